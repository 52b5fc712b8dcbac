"""Signatures of emails: a person's own, else that of the sending account."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from sqlalchemy import ForeignKey, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Record, RuleBroken, Stamp, Versioned, refuse_stale, translatable
from app.lib import html_cleaning

#: Variables of a signature: {{name}} and so on, of the person who sends the email.
VARIABLES = ("name", "title", "mobile", "email", "company")
MAX_HTML = 10_000
MAX_TITLE = 80
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z0-9_]{1,40})\s*\}\}")
#: The end of a line in cleaned HTML.
_LINE_END = re.compile(r"(<br>|</p>|</div>|</li>)")
_TAG = re.compile(r"<(/?)[^<>]*>")


class MailSignature(Versioned, Record):
    """The signature of a person or of an account; one of `user_id` and `account_id` is set."""

    __tablename__ = "mail_signature"
    user_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), unique=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"), unique=True)
    #: The person's title, such as "Relationship Manager"; null for an account.
    title: Mapped[str | None] = mapped_column(String(MAX_TITLE))
    #: Cleaned by `app.lib.html_cleaning`, with variables; empty = the account's is used.
    html: Mapped[str] = mapped_column(Text, nullable=False, default="")


@dataclass(frozen=True)
class SignatureInput:
    """A signature as edited."""

    html: str
    title: str = ""
    #: The version that the person saw; None = there was none.
    version: int | None = None


def of_user(session: Session, user_id: int) -> MailSignature | None:
    """The signature of a person."""
    return session.scalars(select(MailSignature).where(MailSignature.user_id == user_id)).first()


def of_account(session: Session, account_id: int) -> MailSignature | None:
    """The signature of an account."""
    return session.scalars(select(MailSignature).where(MailSignature.account_id == account_id)).first()


def save(session: Session, whose: dict[str, int], edited: SignatureInput, stamp: Stamp) -> MailSignature:
    """Store the signature of {"user_id": id} or {"account_id": id}. Raises RuleBroken, Conflict."""
    if len(edited.html) > MAX_HTML:
        raise RuleBroken("This signature is too long. Please shorten it.", "html")
    cleaned = html_cleaning.clean(edited.html).html if html_cleaning.stripped(edited.html) else ""
    if unknown := [name for name in _VARIABLE.findall(cleaned) if name not in VARIABLES]:
        text = "A signature has no variable “%(name)s”. It can have: %(names)s."
        raise RuleBroken(translatable(text, name=unknown[0], names=", ".join(VARIABLES)), "html")
    if len(edited.title) > MAX_TITLE or not edited.title.isprintable():
        raise RuleBroken("Please enter a title of at most 80 characters.", "title")
    row = session.scalars(select(MailSignature).filter_by(**whose)).first()
    if row is None:
        row = MailSignature(**whose, version=1)
        session.add(row)
    else:
        refuse_stale(row, edited.version)
    row.html, row.title = html_cleaning.with_remote_pictures(cleaned), edited.title.strip() or None
    row.stamp(stamp)
    session.flush()
    return row


def fill_variables(html: str, values: Mapping[str, Any]) -> str:
    """A signature with its variables filled in. A line with a variable that has no value is left out."""
    if not html:
        return ""
    given = {name: str(values.get(name) or "").strip() for name in VARIABLES}
    lines = _LINE_END.sub(r"\1\n", html.replace("\n", " ")).split("\n")
    kept = "".join(_left(line) if _lacks(line, given) else line for line in lines)
    return _VARIABLE.sub(lambda found: escape(given.get(found[1], "")), kept).strip()


def _lacks(line: str, given: Mapping[str, str]) -> bool:
    return any(not given.get(name) for name in _VARIABLE.findall(line))


def _left(line: str) -> str:
    """The parts of an omitted line that must stay: tags whose counterpart is on another line."""
    tags = [found for found in _TAG.finditer(line) if found[0] != "<br>"]
    opened = sum(1 if not found[1] else -1 for found in tags)
    return "" if opened == 0 else "".join(found[0] for found in tags)
