"""Sending an email: subject, HTML and copies besides the text. `message_sending.send` sends the message itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, Stamp, translatable
from app.domain.messaging import consents, message_sending
from app.domain.messaging.mails import Mail
from app.domain.messaging.message_sending import OutgoingRequest
from app.domain.messaging.messages import Message
from app.lib import html_cleaning, html_text
from app.lib.mail_addresses import is_email, message_ids

MAX_CC = 50
MAX_HTML = 200_000


@dataclass(frozen=True)
class MailParts:
    """The parts of an email besides its text."""

    #: HTML from the composer, cleaned here. If there is no text, it is derived from this.
    html: str = ""
    cc: tuple[str, ...] = ()
    #: The email that it replies to or forwards, shown below; cleaned HTML, and its text.
    quote_html: str = ""
    quote_text: str = ""
    #: Recipients besides that of the message.
    to: tuple[str, ...] = ()


def send(session: Session, request: OutgoingRequest, parts: MailParts, stamp: Stamp) -> Message:
    """Put an email into the outbox. Raises RuleBroken with the errors by field."""
    if len(parts.html) > MAX_HTML:
        raise RuleBroken("This text is too long for an email. Please shorten it or attach it as a file.", "html")
    if request.template is not None and parts.html.strip():
        raise RuleBroken("A template has its own text. Please send the one or the other.", "html")
    also_to = clean_copies(parts.to, (request.peer,), "to")
    cc = clean_copies(parts.cc, (request.peer, *also_to), "cc")
    if len(also_to) + len(cc) > MAX_CC:
        raise RuleBroken("An email can have up to 50 cc addresses.", "cc")
    _refuse_unwanted_copies(session, request, {"to": also_to, "cc": cc}, stamp.now)
    cleaned = html_cleaning.clean(parts.html).html if parts.html.strip() else ""
    body = request.body.strip() or html_text.text_of(cleaned)
    subject = " ".join((request.subject or "").split())[:200]
    message = message_sending.send(session, replace(request, body=body, subject=subject or None), stamp)
    if of_message(session, message.id) is None:
        row = Mail(account_id=message.account_id, message_id=message.id, direction="out", state="sent", origin="person")
        row.peer, row.also_to, row.cc = message.peer, list(also_to) or None, list(cc)
        row.participants = [message.peer, *also_to, *cc]
        whole = html_cleaning.with_remote_pictures(cleaned) + (parts.quote_html if cleaned else "")
        row.html, row.quoted, row.received_on = whole or None, parts.quote_text or None, stamp.now
        session.add(row)
        session.flush()
    return message


def _refuse_unwanted_copies(
    session: Session, request: OutgoingRequest, copies: dict[str, tuple[str, ...]], now: datetime
) -> None:
    """Raise RuleBroken for a promotional copy to someone who opted out; without the address, which may be masked."""
    purpose = request.template.purpose if request.template else request.purpose or "promotional"
    for field, addresses in copies.items():
        if number := _unwanted(session, addresses, purpose, now):
            text = "Cc address %(number)s is of a person who doesn't want promotional messages. Please remove it."
            if field == "to":
                number += 1
                text = "Recipient %(number)s is a person who doesn't want promotional messages. Please remove them."
            raise RuleBroken(translatable(text, number=number), field)


def copy_refusal(session: Session, message: Message, now: datetime) -> str | None:
    """Why a queued email must not be sent: a recipient of a copy has opted out since. None = it may be."""
    if message.channel != "email" or message.purpose == "service":
        return None
    parts = of_message(session, message.id)
    if parts is None:
        return None
    if _unwanted(session, tuple(parts.also_to or ()), message.purpose, now):
        return translatable("One of the recipients no longer wants promotional messages. Nothing was sent.")
    number = _unwanted(session, tuple(parts.cc), message.purpose, now)
    if not number:
        return None
    text = "Cc address %(number)s is of a person who no longer wants promotional messages. Nothing was sent."
    return translatable(text, number=number)


def _unwanted(session: Session, cc: tuple[str, ...], purpose: str, now: datetime) -> int:
    """The position, from 1, of the cc address of someone who opted out of this purpose; 0 = none."""
    numbered = enumerate((consents.MessageAddress("email", each, purpose) for each in cc), 1)
    return next((number for number, each in numbered if consents.refusal(session, each, now)), 0)


def of_message(session: Session, message_id: int) -> Mail | None:
    """The Mail of a message; None for other messages."""
    return session.scalars(select(Mail).where(Mail.message_id == message_id)).first()


def clean_copies(typed: tuple[str, ...], others: tuple[str, ...], field: str) -> tuple[str, ...]:
    """The addresses of `to` or `cc` in lower case, each once, without the `others`. Raises RuleBroken."""
    addresses = list(dict.fromkeys(each.strip().lower() for each in typed if each.strip()))
    for number, each in enumerate(addresses, 1):
        if not is_email(each) or not each.isascii():
            text = "Cc address %(number)s isn't valid. Please check it."
            if field == "to":
                number += 1
                text = "Recipient %(number)s isn't a valid address. Please check it."
            raise RuleBroken(translatable(text, number=number), field)
    if len(addresses) > MAX_CC:
        raise RuleBroken("An email can have up to 50 cc addresses.", field)
    known = {each.strip().lower() for each in others}
    return tuple(each for each in addresses if each not in known)


def references_of(session: Session, answered: Message) -> tuple[str, ...]:
    """The Message-IDs of a reply's References: those of the email it answers.

    Our own is added by the caller, who has the key.
    """
    row = of_message(session, answered.id)
    return message_ids(f"<{row.header_id}>") if row is not None and row.header_id else ()
