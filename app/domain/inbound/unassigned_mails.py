"""Emails without a conversation: those that could not be read, came back, or were left in the mailbox.

A person retries one, adds it to a record, or dismisses it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from app.domain.audit_log import audit
from app.domain.base import Conflict, RuleBroken, Stamp
from app.domain.inbound import inbound_mail, mail_threads
from app.domain.inbound.inbound_mail_context import InboundMailContext
from app.domain.inbound.mail_threads import Thread
from app.domain.messaging import conversations, messages
from app.domain.messaging.mails import Mail
from app.domain.messaging.messages import Message
from app.lib.mail_reading import ReadMail, UnreadableMail, read
from app.ops.storage.file_store import PREFIX, FileStore

#: States in which an email waits for a person.
WAITING = ("failed", "refused", "dropped")
UNREADABLE = "(This email could not be read. The original is attached.)"
#: Shown for an email without a sender.
NOBODY = "unknown sender"


def waiting() -> Select[tuple[Mail]]:
    """SELECT of the emails that wait for a person, newest first."""
    here = (Mail.message_id.is_(None), Mail.direction == "in", Mail.state.in_(WAITING))
    return select(Mail).where(*here).order_by(Mail.id.desc())


def reports() -> Select[tuple[Mail]]:
    """SELECT of bounces, newest first; they mark the emails that did not arrive."""
    return select(Mail).where(Mail.message_id.is_(None), Mail.origin == "bounce").order_by(Mail.id.desc())


def original_of(store: FileStore, mail: Mail) -> bytes:
    """The original email; for one that was left in the mailbox, its headers. Raises RuleBroken."""
    try:
        with store.open(mail.original or "") as file:
            content: bytes = file.read()
            return content
    except FileNotFoundError as missing:
        text = "The original of this email no longer exists. Please look for it in the mailbox."
        raise RuleBroken(text) from missing


def parsed_mail(raw: bytes, groups: Collection[str] = ()) -> ReadMail | None:
    """The parsed email; None if it can't be read. `groups`: of its account, see InboundMailContext."""
    try:
        return read(raw, groups=groups)
    except UnreadableMail:
        return None


def dismiss(session: Session, mail: Mail, stamp: Stamp) -> None:
    """Record a person's decision that there is nothing to do. Raises Conflict."""
    _decide(session, mail, "dismissed")
    audit.write(session, "inbound event", stamp.by, stamp.now, f"mail {mail.id}", outcome="dismissed")


def attach(session: Session, context: InboundMailContext, mail: Mail, record: Any, stamp: Stamp) -> Message:
    """Move it into the conversation of a lead, ticket or customer. Raises RuleBroken, Conflict."""
    raw = original_of(context.store, mail)
    parsed = parsed_mail(raw, context.groups)
    _decide(session, mail, "kept")
    records = mail_threads.records_of(record)
    conversation = None
    if parsed is None:
        values = _placeholder(mail)
    else:
        mail.peer, mail.html = parsed.sender.address, parsed.html or None
        mail.has_remote_pictures, mail.quoted = parsed.has_remote_pictures, parsed.quoted or None
        mail.is_unverified = True  # nobody has verified its sender
        conversation = inbound_mail.conversation_of(session, context, parsed, records, is_unverified=True)
        values = inbound_mail.message_values(context, parsed, Thread(), conversation)
        values["native"] |= {"unverified": True}
    values["media"] = [*(values.get("media") or []), _original(mail)]
    message = messages.receive(session, values | {"account_id": mail.account_id} | records, stamp)
    mail.message_id = message.id
    if conversation is not None:
        conversations.note_message(session, conversation, message, stamp.now)
    payload: dict[str, Any] = {"outcome": "attached", "record": record.number, "message": message.id}
    audit.write(session, "inbound event", stamp.by, stamp.now, f"mail {mail.id}", **payload)
    return message


def _placeholder(mail: Mail) -> dict[str, Any]:
    """The message of an unreadable email: it says only that there was one."""
    return {
        "channel": "email",
        "peer": mail.peer or NOBODY,
        "subject": None,
        "body": UNREADABLE,
        "happened_on": mail.received_on,
        "native": {},
    }


def _original(mail: Mail) -> dict[str, str]:
    address = f"{PREFIX}{mail.original}"
    return {"address": address, "mime_type": "application/octet-stream", "name": "original.eml", "caption": ""}


def _decide(session: Session, mail: Mail, state: str) -> None:
    """Set the state; the database decides who was first. Raises Conflict."""
    mine = (Mail.id == mail.id, Mail.state.in_(WAITING), Mail.message_id.is_(None))
    step = update(Mail).where(*mine).values(state=state)
    done: Any = session.execute(step, execution_options={"synchronize_session": False})
    if not done.rowcount:
        raise Conflict("Someone has already handled this. Please reload the list.")
    session.refresh(mail)
