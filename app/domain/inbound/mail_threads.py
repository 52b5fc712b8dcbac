"""Finds the record that an incoming email belongs to. A record number or guessed reference alone is not enough.

The sender must take part in the thread: as a recipient or sender of the referenced email, or as the customer of the
record whose number is in the subject.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import leads
from app.domain.base import kind_of_number
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.messaging import mails
from app.domain.messaging.conversations import RECORDS
from app.domain.messaging.mails import Mail
from app.domain.messaging.messages import Message
from app.domain.picklists import LeadStatus
from app.domain.tickets import Ticket
from app.lib.field_encryption import Vault
from app.lib.mail_reading import ReadMail

#: The most record numbers in a subject that are looked up.
MAX_NUMBERS = 3
_NUMBER = re.compile(r"\bCRM-(?:LEAD|TICKET|CUST)-\d{4}-\d{5,9}\b", re.IGNORECASE)
_MODELS: dict[str | None, Any] = {"LEAD": Lead, "TICKET": Ticket, "CUST": Customer}


@dataclass(frozen=True)
class Thread:
    """The records that an email belongs to; none if `records` is empty."""

    #: lead_id, ticket_id and customer_id.
    records: dict[str, int | None] = field(default_factory=dict)
    #: The message that it replies to.
    reply_to_id: int | None = None
    #: Whether a referenced email or a record was found; then it creates nothing new.
    is_found: bool = False
    #: A thread that the sender does not take part in, as a hint for readers: "CRM-TICKET-2026-00001".
    hint: str = ""


def thread_of(session: Session, mail: ReadMail, vault: Vault, is_unverified: bool) -> Thread:
    """The thread of an email: by its references, else by the number in its subject."""
    message = _referred(session, mail, vault, is_unverified)
    if message is not None:
        return Thread({name: getattr(message, name) for name in RECORDS}, message.id, is_found=True)
    hint = ""
    for number in list(dict.fromkeys(each.upper() for each in _NUMBER.findall(mail.subject)))[:MAX_NUMBERS]:
        record = _record(session, number)
        if record is None:
            continue
        if not is_unverified and mail.sender.address in parties(record):
            return Thread(records_of(record), is_found=True)
        hint = number
    return Thread(hint=hint)


def _referred(session: Session, mail: ReadMail, vault: Vault, is_unverified: bool) -> Message | None:
    """The nearest referenced email that its sender takes part in."""
    ours = {number: each for each in mail.references if (number := mails.message_of(session, vault, each))}
    theirs = [each for each in mail.references if each not in ours.values()]
    found = {**_our_messages(session, ours), **_their_messages(session, theirs)}
    for reference in mail.references:
        for message, participants, is_sealed in found.get(reference, ()):
            # If the server has not verified the sender, anybody could use this address; but they can't know a sealed
            # reference.
            if mail.sender.address in participants and (is_sealed or not is_unverified):
                return message
    return None


_Found = dict[str, list[tuple[Message, set[str], bool]]]


def _our_messages(session: Session, ids: dict[int, str]) -> _Found:
    query = select(Message, Mail).outerjoin(Mail, Mail.message_id == Message.id)
    rows = session.execute(query.where(Message.id.in_(ids), Message.channel == "email", Message.direction == "out"))
    found: _Found = {}
    for message, sent in rows:
        participants = {message.peer, *((*sent.cc, *(sent.also_to or ())) if sent is not None else ())}
        found.setdefault(ids[message.id], []).append((message, participants, True))
    return found


def _their_messages(session: Session, references: Sequence[str]) -> _Found:
    query = select(Message, Mail).join(Mail, Mail.message_id == Message.id).where(Mail.header_id.in_(references))
    found: _Found = {}
    for message, received in session.execute(query.order_by(Mail.id).limit(100)) if references else ():
        # Compared again here, because the database may ignore case.
        found.setdefault(str(received.header_id), []).append((message, set(received.participants), False))
    return found


def _record(session: Session, number: str) -> Any:
    model = _MODELS[kind_of_number(number)]
    return session.scalars(select(model).where(model.number == number)).first()


def parties(record: Any) -> set[str]:
    """The addresses of the people to whom a record belongs."""
    people = [record, getattr(record, "customer", None), getattr(record, "lead", None)]
    return {each.email.lower() for each in people if each is not None and each.email}


def records_of(record: Any) -> dict[str, int | None]:
    """lead_id, ticket_id and customer_id of a lead, ticket or customer."""
    if isinstance(record, Customer):
        return {"customer_id": record.id}
    if isinstance(record, Lead):
        return {"lead_id": record.id, "customer_id": record.customer_id}
    return {"ticket_id": record.id, "lead_id": record.lead_id, "customer_id": record.customer_id}


def open_lead(session: Session, address: str) -> Lead | None:
    """The newest open lead with this address."""
    query = select(Lead).join(LeadStatus, LeadStatus.id == Lead.status_id).where(Lead.email == address)
    going = LeadStatus.meaning.not_in((*leads.TERMINAL, "opened"))
    return session.scalars(query.where(going).order_by(Lead.id.desc()).limit(1)).first()


def customer_of(session: Session, address: str) -> Customer | None:
    """The customer with this address; None if there are several."""
    found = session.scalars(select(Customer).where(Customer.email == address).limit(2)).all()
    return found[0] if len(found) == 1 else None
