"""Messages: one row per WhatsApp message, SMS or email, sent or received. The peer identifies the thread."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import sla, timeline
from app.domain.base import Record, RuleBroken, Stamp, UtcDateTime
from app.domain.leads import Lead
from app.domain.tickets import Ticket
from app.lib import phone

CHANNELS = ("whatsapp", "sms", "email")
#: A message only moves forward through these.
STATES = ("queued", "sending", "unknown", "sent", "delivered", "read", "failed")


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


def enqueue(session: Session, values: dict[str, Any], stamp: Stamp) -> Message:
    """Put a message into the outbox. Raises RuleBroken for an unknown channel, an invalid peer or an empty text."""
    if values.get("channel") not in CHANNELS:
        raise RuleBroken("Please choose WhatsApp, SMS or email.", "channel")
    peer = (values.get("peer") or "").strip()
    peer = peer.lower() if values["channel"] == "email" else (phone.normalize(peer) or "")
    if not peer or (values["channel"] == "email" and "@" not in peer):
        raise RuleBroken("Please enter the number or address to send to.", "peer")
    if not (values.get("body") or "").strip():
        raise RuleBroken("Please enter a text.", "body")
    message = Message(direction="out", peer=peer, state="queued", tries=0, due_on=stamp.now, native={})
    for name in ("channel", "subject", "body", "customer_id", "lead_id", "ticket_id", "cause"):
        setattr(message, name, values.get(name))
    message.stamp(stamp)
    session.add(message)
    session.flush()
    if message.lead_id or message.ticket_id or message.customer_id:
        timeline.write(session, message, "message", stamp, message=message.id, channel=message.channel)
    if stamp.by is not None:
        sla.record_first_reply(session, Lead, message.lead_id, stamp.now)
        sla.record_first_reply(session, Ticket, message.ticket_id, stamp.now)
    return message
