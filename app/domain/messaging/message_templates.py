"""Message templates with {{placeholders}}: our own, and those registered with a provider."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.channels.provider import ListedTemplate
from app.domain.base import RuleBroken, UtcDateTime, translatable
from app.domain.picklists import PicklistEntry
from app.lib import dlt

#: The approval by the provider or the DLT registry; "local" texts need none.
APPROVALS = ("local", "pending", "approved", "rejected", "paused", "unsupported")
#: Those that may be used to send a message.
USABLE = ("local", "approved")
#: A variable: {{1}} or {{first_name}}; the DLT registry writes {#var#} for all of them.
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z0-9_]{1,40})\s*\}\}")


class MessageTemplate(PicklistEntry):
    """A text for one channel and language. People choose it by its `label`."""

    __tablename__ = "message_template"
    __table_args__ = (UniqueConstraint("account_id", "name", "language", name="uq_message_template_name"),)
    #: whatsapp, sms or email.
    channel: Mapped[str] = mapped_column(String(16), nullable=False)
    body: Mapped[str] = mapped_column(Text, nullable=False)
    #: The account with which it is registered; null = any of the channel.
    account_id: Mapped[int | None] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"))
    #: Its name at the provider.
    name: Mapped[str | None] = mapped_column(String(120))
    language: Mapped[str] = mapped_column(String(16), nullable=False, default="en", server_default="en")
    #: promotional or service.
    purpose: Mapped[str] = mapped_column(String(16), nullable=False, default="service", server_default="service")
    #: The provider's own category, such as UTILITY.
    category: Mapped[str | None] = mapped_column(String(40))
    #: The subject of an email, the header of a WhatsApp template, the sender id (header) of a DLT text.
    header: Mapped[str | None] = mapped_column(String(200))
    #: The provider's id: Twilio's ContentSid, the DLT template id.
    provider_id: Mapped[str | None] = mapped_column(String(64))
    #: One of APPROVALS, and why it was rejected.
    approval: Mapped[str] = mapped_column(String(16), nullable=False, default="local", server_default="local")
    approval_note: Mapped[str | None] = mapped_column(String(300))
    #: When the provider last reported it, UTC.
    synced_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


def refuse_invalid(template: MessageTemplate) -> None:
    """Raise RuleBroken for an SMS with a subject, or with a DLT template ID that can't be one."""
    if template.channel == "sms" and template.header:
        raise RuleBroken("Only an email has a subject. Please leave it out.", "header")
    if template.channel == "sms" and template.provider_id and not dlt.is_template_id(template.provider_id):
        raise RuleBroken("A DLT template ID has only digits, 10 to 30 of them.", "provider_id")


def variables(template: Any) -> tuple[str, ...]:
    """The names of the template's variables, in order; for an email including those of the subject."""
    return tuple(dict.fromkeys(_VARIABLE.findall(template.body) + _VARIABLE.findall(subject_of(template))))


def subject_of(template: Any, values: Mapping[str, str] | None = None) -> str:
    """The subject of an email by this template, with known variables filled in; "" = none."""
    subject = getattr(template, "header", None) if getattr(template, "channel", None) == "email" else None
    return _VARIABLE.sub(lambda found: str((values or {}).get(found[1]) or found[0]).strip(), subject or "")


def takes_file(template: Any) -> bool:
    """Whether a file is sent with it, in place of a heading."""
    return str(template.header or "").lower() in ("image", "video", "document")


def as_registered(template: Any) -> str:
    """The text in the form of the DLT registry, with {#var#} for each variable."""
    return _VARIABLE.sub(dlt.VARIABLE, template.body)


def render(template: Any, values: Mapping[str, str]) -> str:
    """The text with its variables filled in. Raises RuleBroken if one is missing, empty or unknown."""
    names = variables(template)
    if unknown := sorted(set(values) - set(names)):
        raise RuleBroken(translatable("This template has no variable “%(name)s”.", name=unknown[0]), "variables")
    for name in names:
        if not str(values.get(name) or "").strip():
            raise RuleBroken(translatable("Please fill in “%(name)s”.", name=name), "variables")
    return _VARIABLE.sub(lambda found: str(values[found[1]]).strip(), template.body)


def placeholders(text: str) -> list[str]:
    """The names of variables that are left in a text."""
    return _VARIABLE.findall(text)


def fill(template: Any, values: Mapping[str, str]) -> str:
    """The text with known variables filled in; a person fills in the others."""
    return _VARIABLE.sub(lambda found: values.get(found[1]) or found[0], template.body)


def refuse_unusable(template: Any, channel: str, account_id: int) -> None:
    """Raise RuleBroken for a template that cannot be sent on this channel by this account."""
    if template.channel != channel or template.account_id not in (None, account_id):
        raise RuleBroken("This template belongs to another channel or account. Please choose another one.", "template")
    if not template.is_active or template.approval not in USABLE:
        raise RuleBroken("This template isn't approved by the provider. Please choose another one.", "template")


def sync(session: Session, account: Any, listed: Iterable[ListedTemplate], now: datetime) -> int:
    """Store the templates that a provider has registered for an account; those that it no longer has are deactivated.

    Returns how many it has.
    """
    mine = {(each.name, each.language): each for each in session.scalars(_of(account)) if each.synced_on is not None}
    seen = set()
    for each in listed:
        key = (each.name[:120], each.language[:16])
        seen.add(key)
        row = mine.get(key) or _new(session, account, each)
        row.body, row.approval, row.is_active, row.synced_on = each.text, _approval(each.state), True, now
        row.category, row.provider_id = each.category[:40] or None, each.provider_id[:64] or None
        row.header = each.header[:200] or None
        row.purpose = "promotional" if each.category.lower() == "marketing" else "service"
    for key, row in mine.items():
        if key not in seen:
            row.is_active, row.synced_on = False, now
    session.flush()
    return len(seen)


def _of(account: Any) -> Any:
    return select(MessageTemplate).where(MessageTemplate.account_id == account.id)


def _approval(state: str) -> str:
    return state if state in APPROVALS else "pending"


def _new(session: Session, account: Any, listed: ListedTemplate) -> MessageTemplate:
    """A new row; its label is its name, with a suffix if needed to make it unique."""
    plain = f"{listed.name} ({listed.language})"[:100]
    label, taken = plain, select(MessageTemplate.id)
    for more in (f" – {account.name}"[:36], *(f" {n}" for n in range(2, 100))):
        if session.execute(taken.where(MessageTemplate.label == label)).first() is None:
            break
        label = plain + more
    channel = "whatsapp" if "whatsapp" in account.channels else account.channels[0]
    row = MessageTemplate(label=label, channel=channel, account_id=account.id, position=0)
    row.name, row.language, row.body = listed.name[:120], listed.language[:16], listed.text
    session.add(row)
    session.flush()
    return row
