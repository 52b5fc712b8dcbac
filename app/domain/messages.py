"""Messages: one row per WhatsApp message, SMS or email, sent or received. The peer identifies the thread."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text, UniqueConstraint, select, union
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import sla, timeline
from app.domain.base import Record, RuleBroken, Stamp, UtcDateTime
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.tickets import Ticket
from app.lib import phone
from app.lib.identity import is_email

CHANNELS = ("whatsapp", "sms", "email")
#: "noted" was written down by hand and has happened; every other message only moves forward through the rest.
STATES = ("noted", "queued", "sending", "unknown", "sent", "delivered", "read", "failed")
#: Of outgoing messages that reached the provider or the customer.
SENT = ("sent", "delivered", "read")
#: Service messages answer or inform about a customer's own matters; promotional ones respect an opt-out.
PURPOSES = ("promotional", "service")
#: Channel -> the customer's opt-out.
OPT_OUTS = {"whatsapp": "no_whatsapp", "sms": "no_sms", "email": "no_email"}


class Message(Record):
    """One message; the outgoing ones are the outbox."""

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("channel", "provider_id"),
        Index("ix_message_peer", "peer", "id"),
        Index("ix_message_author", "created_by_id", "id"),
        Index("ix_message_outbox", "state", "due_on"),
        Index("ix_message_lead", "lead_id", "id"),
        Index("ix_message_ticket", "ticket_id", "id"),
        Index("ix_message_customer", "customer_id", "id"),
    )
    channel: Mapped[str] = mapped_column(String(16), nullable=False)
    #: out or in.
    direction: Mapped[str] = mapped_column(String(8), nullable=False)
    #: The other party's number in E.164, or email address.
    peer: Mapped[str] = mapped_column(String(254), nullable=False)
    subject: Mapped[str | None] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text, nullable=False)
    state: Mapped[str] = mapped_column(String(16), nullable=False, default="queued")
    #: When it was sent or received, UTC; null while it waits.
    happened_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: One of PURPOSES.
    purpose: Mapped[str] = mapped_column(String(16), nullable=False, default="service", server_default="service")
    #: Why it failed, as a text for users.
    reason: Mapped[str | None] = mapped_column(String(300))
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: Not to be sent before, UTC.
    due_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    provider_id: Mapped[str | None] = mapped_column(String(120))
    #: What caused the message; unique, so that one cause sends one message.
    cause: Mapped[str | None] = mapped_column(String(190), unique=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="SET NULL"))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="SET NULL"))
    native: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)


def note(session: Session, values: dict[str, Any], stamp: Stamp) -> Message:
    """Write down a message that was sent or received elsewhere. Raises RuleBroken.

    `values`: channel, peer, body, direction (default: out), happened_on (default: now), subject, purpose, customer_id,
    lead_id, ticket_id. An outgoing one counts as the first response, at the time it was sent.
    """
    happened_on = values.get("happened_on") or stamp.now
    if happened_on > stamp.now or happened_on.year < 2000:
        raise RuleBroken(
            "Please enter when the message was sent or received; it can't be in the future.", "happened_on"
        )
    message = _new(values)
    message.state, message.direction, message.happened_on = "noted", values.get("direction") or "out", happened_on
    if message.direction == "out":
        _refuse_opted_out(session, message)
    else:
        message.purpose = "service"
    _store(session, message, stamp)
    if stamp.by is not None and message.direction == "out":
        _record_first_reply(session, message, happened_on)
    return message


def enqueue(session: Session, values: dict[str, Any], stamp: Stamp) -> Message:
    """Put a message into the outbox, where it waits to be sent. Raises RuleBroken.

    It counts as the first response when it was sent (`advance`), not before.
    """
    message = _new(values)
    message.state, message.direction, message.due_on = "queued", "out", stamp.now
    _refuse_opted_out(session, message)
    _store(session, message, stamp)
    return message


#: State -> those that may follow it.
_NEXT = {
    "queued": ("sending", "failed"),
    "sending": ("unknown", "sent", "delivered", "read", "failed"),
    "unknown": ("queued", "sent", "delivered", "read", "failed"),
    "sent": ("delivered", "read", "failed"),
    "delivered": ("read",),
}


def advance(session: Session, message: Message, state: str, now: datetime, reason: str | None = None) -> bool:
    """Move a message of the outbox forward; False for a state that lies behind it, such as a late callback.

    One that was sent by a user is the first response from then on.
    """
    if state not in _NEXT.get(message.state, ()):
        return False
    message.state, message.reason = state, reason
    if state in SENT and message.happened_on is None:
        message.happened_on = now
        if message.created_by_id is not None:
            _record_first_reply(session, message, now)
    return True


def _new(values: dict[str, Any]) -> Message:
    """The message, checked but not stored. Raises RuleBroken for an unknown channel, invalid peer or empty text."""
    if values.get("channel") not in CHANNELS:
        raise RuleBroken("Please choose WhatsApp, SMS or email.", "channel")
    peer = (values.get("peer") or "").strip()
    peer = peer.lower() if values["channel"] == "email" else (phone.normalize(peer) or "")
    if not peer or (values["channel"] == "email" and not is_email(peer)):
        raise RuleBroken("Please enter the number or address to send to.", "peer")
    if not (values.get("body") or "").strip():
        raise RuleBroken("Please enter a text.", "body")
    message = Message(peer=peer, tries=0, native={}, purpose=values.get("purpose") or "promotional")
    for name in ("channel", "subject", "body", "customer_id", "lead_id", "ticket_id", "cause"):
        setattr(message, name, values.get(name))
    return message


def _store(session: Session, message: Message, stamp: Stamp) -> None:
    message.stamp(stamp)
    session.add(message)
    session.flush()
    if message.lead_id or message.ticket_id or message.customer_id:
        payload = {"message": message.id, "channel": message.channel}
        payload |= {"state": message.state, "direction": message.direction}
        timeline.write(session, message, "message", stamp, **payload)


def _record_first_reply(session: Session, message: Message, at: datetime) -> None:
    sla.record_first_reply(session, Lead, message.lead_id, at)
    sla.record_first_reply(session, Ticket, message.ticket_id, at)


# --- opt-outs


def _refuse_opted_out(session: Session, message: Message) -> None:
    """Raise RuleBroken for a promotional message to a customer who wants none on this channel."""
    if message.purpose != "service" and has_opted_out(session, message):
        text = "This customer doesn't want promotional messages on this channel. Only service messages are allowed."
        raise RuleBroken(text, "channel")


def _same_mailbox(address: str) -> list[Any]:
    """Rules for addresses that reach the mailbox of this one: name+anything@domain is name@domain."""
    name, _at, domain = address.rpartition("@")
    name = name.partition("+")[0]
    if not name:
        return []
    tagged = Customer.email.like(f"{_escaped(name)}+%@{_escaped(domain)}", escape="!")
    return [Customer.email == f"{name}@{domain}", tagged]


def _escaped(text: str) -> str:
    return re.sub(r"([!%_])", r"!\1", text)


def has_opted_out(session: Session, message: Message) -> bool:
    """Whether a customer of the message has opted out of its channel: the given one, its record's, or the peer's.

    The outbox asks again before it sends: the customer may have opted out meanwhile.
    """
    peer = (Customer.email,) if message.channel == "email" else (Customer.mobile_e164, Customer.alternative_e164)
    of_lead = select(Lead.customer_id).where(Lead.id == message.lead_id)
    of_ticket = select(Ticket.customer_id).where(Ticket.id == message.ticket_id)
    ways = [column == message.peer for column in peer]
    ways += _same_mailbox(message.peer) if message.channel == "email" else []
    if message.customer_id is not None:
        ways.append(Customer.id == message.customer_id)
    ways += [Customer.id.in_(of_lead)] if message.lead_id is not None else []
    ways += [Customer.id.in_(of_ticket)] if message.ticket_id is not None else []
    opted_out = getattr(Customer, OPT_OUTS[message.channel])
    # One indexed SELECT per way: no index serves an OR of them all.
    queries = [select(Customer.id).where(way, opted_out.is_(True)) for way in ways]
    return session.execute(union(*queries).limit(1)).first() is not None
