"""Sending an email: subject, HTML and copies beside the text. The message itself goes through `outgoing.send`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import outgoing
from app.domain.base import RuleBroken, Stamp, translatable
from app.domain.mails import Mail
from app.domain.messages import Message
from app.domain.outgoing import Outgoing
from app.lib import html_cleaning
from app.lib.identity import is_email
from app.lib.mail_addresses import message_ids

MAX_CC = 50
MAX_HTML = 200_000
#: Of the mails that a reply refers to, so many are named.
MAX_REFERENCES = 20


@dataclass(frozen=True)
class MailWish:
    """An email as somebody wants to send it."""

    to: str
    subject: str = ""
    text: str = ""
    #: As the composer gives it; it is cleaned. Without a text, the text is made of it.
    html: str = ""
    cc: tuple[str, ...] = ()
    account_id: int | None = None
    reply_to_id: int | None = None
    #: promotional or service; None = not said.
    purpose: str | None = None
    cause: str | None = None
    media: tuple[Mapping[str, str], ...] = ()
    #: lead_id, ticket_id and customer_id of the records that it belongs to.
    records: Mapping[str, int | None] = field(default_factory=dict)


def send(session: Session, wish: MailWish, stamp: Stamp) -> Message:
    """Put an email into the outbox. Raises RuleBroken with the errors by field."""
    if not wish.subject.strip():
        raise RuleBroken("Please enter a subject.", "subject")
    if len(wish.html) > MAX_HTML:
        raise RuleBroken("This text is too long for an email. Please shorten it or attach it as a file.", "html")
    cc = clean_cc(wish.cc, wish.to)
    cleaned = html_cleaning.clean(wish.html).html if wish.html.strip() else ""
    message = outgoing.send(
        session,
        Outgoing(
            channel="email",
            peer=wish.to,
            body=wish.text.strip() or html_cleaning.plain_text(cleaned),
            subject=" ".join(wish.subject.split())[:200],
            account_id=wish.account_id,
            reply_to_id=wish.reply_to_id,
            purpose=wish.purpose,
            cause=wish.cause,
            media=wish.media,
            records=wish.records,
        ),
        stamp,
    )
    if of_message(session, message.id) is None:
        row = Mail(account_id=message.account_id, message_id=message.id, direction="out", state="sent", origin="person")
        row.peer, row.cc, row.participants = message.peer, list(cc), [message.peer, *cc]
        row.html, row.received_on = html_cleaning.with_remote_pictures(cleaned) or None, stamp.now
        session.add(row)
        session.flush()
    return message


def of_message(session: Session, message_id: int) -> Mail | None:
    """What the email has beside its message."""
    return session.scalars(select(Mail).where(Mail.message_id == message_id)).first()


def clean_cc(cc: tuple[str, ...], to: str) -> tuple[str, ...]:
    """The addresses in lower case, each once, without the recipient. Raises RuleBroken."""
    addresses = list(dict.fromkeys(each.strip().lower() for each in cc if each.strip()))
    for number, each in enumerate(addresses, 1):
        if not is_email(each) or not each.isascii():
            text = "Cc address %(number)s isn't valid. Please check it."
            raise RuleBroken(translatable(text, number=number), "cc")
    if len(addresses) > MAX_CC:
        raise RuleBroken("An email can have up to 50 cc addresses.", "cc")
    return tuple(each for each in addresses if each != to.strip().lower())


def references_of(session: Session, answered: Message) -> tuple[str, ...]:
    """The Message-IDs that a reply names: of the mail that it answers. Ours is added by who knows the seal."""
    row = of_message(session, answered.id)
    return message_ids(f"<{row.header_id}>") if row is not None and row.header_id else ()
