"""Conversations: all messages with one peer through one account, whichever record they belong to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ForeignKey, Index, Integer, String, UniqueConstraint, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.audit_log import audit
from app.domain.base import Conflict, Record, RuleBroken, Stamp, UtcDateTime
from app.domain.persistence.transaction_state import transaction_state

STATES = ("open", "closed")
#: How long after the customer's last WhatsApp message free text may be sent; later only a template.
WINDOW = timedelta(hours=24)
#: Channels with this window.
WINDOWED = ("whatsapp",)
#: The columns of the records that it belongs to.
RECORDS = ("lead_id", "ticket_id", "customer_id")

#: In place of the number or address of an erased party, before the conversation's id.
ERASED_PEER = "erased:"


class Conversation(Record):
    """One thread of messages with a number or address."""

    __tablename__ = "conversation"
    __table_args__ = (
        UniqueConstraint("channel", "account_id", "peer", name="uq_conversation"),
        Index("ix_conversation_peer", "peer"),
        Index("ix_conversation_claimed", "claimed_by_id", "state", "last_message_on"),
        Index("ix_conversation_state", "state", "last_message_on"),
        Index("ix_conversation_lead", "lead_id"),
        Index("ix_conversation_ticket", "ticket_id"),
        Index("ix_conversation_customer", "customer_id"),
    )
    channel: Mapped[str] = mapped_column(String(16), nullable=False)
    account_id: Mapped[int] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"), nullable=False)
    #: The other party's number in E.164, or email address in lower case.
    peer: Mapped[str] = mapped_column(String(254), nullable=False)
    #: The name that the peer gives themselves.
    peer_name: Mapped[str | None] = mapped_column(String(140))
    #: One of STATES; a new message from the peer reopens it.
    state: Mapped[str] = mapped_column(String(8), nullable=False, default="open", server_default="open")
    #: The records that it currently belongs to.
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="SET NULL"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="SET NULL"))
    #: Who answers it; null = nobody has claimed it.
    claimed_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    claimed_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Messages from the peer since somebody last read it.
    unread: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    #: The newest message in either direction, and its time; when the peer last wrote. UTC.
    last_message_id: Mapped[int | None] = mapped_column(Integer)
    last_message_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_inbound_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


def is_nobodys(conversation: Conversation) -> bool:
    """Whether it is unclaimed and belongs to no record: then everybody who reads messages sees it."""
    return conversation.claimed_by_id is None and all(getattr(conversation, name) is None for name in RECORDS)


def window_ends(conversation: Conversation) -> datetime | None:
    """Until when free text may be sent, UTC; None = always."""
    if conversation.channel not in WINDOWED:
        return None
    return (conversation.last_inbound_on or datetime.fromtimestamp(0, conversation.created_on.tzinfo)) + WINDOW


def is_window_open(conversation: Conversation, now: datetime) -> bool:
    """Whether free text may be sent now."""
    ends = window_ends(conversation)
    return ends is None or now < ends


class ConversationKey(NamedTuple):
    """What only one conversation has."""

    account_id: int
    channel: str
    #: E.164, or an address in lower case.
    peer: str


def find_or_create(session: Session, key: ConversationKey, stamp: Stamp) -> Conversation:
    """The conversation of this account with the peer.

    The database allows one row per account and peer, so concurrent requests get the same one. It is locked before a
    message refers to it, because `note_message` writes it afterwards (`record_locks`).
    """
    mine = [getattr(Conversation, name) == value for name, value in key._asdict().items()]
    if found := session.scalars(select(Conversation).where(*mine).with_for_update()).first():
        return found
    made = Conversation(**key._asdict(), state="open", unread=0)
    made.stamp(stamp)
    try:
        with session.begin_nested():
            session.add(made)
    except IntegrityError:
        return session.scalars(select(Conversation).where(*mine).with_for_update()).one()
    return made


def attach(conversation: Conversation, records: dict[str, int | None], responsible: int | None, stamp: Stamp) -> None:
    """Link it to these records (lead_id, ticket_id, customer_id).

    An unclaimed conversation is assigned to whoever is responsible for them.
    """
    for name in RECORDS:
        if records.get(name) is not None:
            setattr(conversation, name, records[name])
    if conversation.claimed_by_id is None and responsible is not None:
        conversation.claimed_by_id, conversation.claimed_on = responsible, stamp.now
    conversation.stamp(stamp)


def note_message(session: Session, conversation: Conversation, message: Any, now: datetime) -> None:
    """Store its newest message; one from the peer is unread, reopens the conversation and restarts the window."""
    newest = {"last_message_id": message.id, "last_message_on": now, "changed_on": now}
    if message.direction == "in":
        newest |= {"state": "open", "unread": Conversation.unread + 1}
        received_on = message.happened_on or now
        if conversation.last_inbound_on is None or conversation.last_inbound_on < received_on:
            newest["last_inbound_on"] = received_on
    # Counted by the database, because two messages may arrive at once.
    step = update(Conversation).where(Conversation.id == conversation.id).values(newest)
    session.execute(step, execution_options={"synchronize_session": False})
    session.refresh(conversation)
    mark_changed(session, conversation)


def mark_changed(session: Session, conversation: Conversation) -> None:
    """Update pages that show the conversation after the commit."""
    transaction_state(session).changed_timelines.add(("conversation", conversation.id))


# --- actions of people


def claim(session: Session, conversation: Conversation, stamp: Stamp) -> None:
    """Claim an unclaimed conversation. Raises Conflict if somebody else has it."""
    _set_claim(session, conversation, stamp.by, stamp, Conversation.claimed_by_id.is_(None))


def hand_over(session: Session, conversation: Conversation, user_id: int | None, stamp: Stamp) -> None:
    """Give it to a colleague, or release it (None). Raises Conflict if somebody else has claimed it meanwhile."""
    held = conversation.claimed_by_id
    unchanged = Conversation.claimed_by_id.is_(None) if held is None else Conversation.claimed_by_id == held
    _set_claim(session, conversation, user_id, stamp, unchanged)


def _set_claim(session: Session, conversation: Conversation, user_id: int | None, stamp: Stamp, unchanged: Any) -> None:
    if conversation.claimed_by_id == user_id and user_id is not None:
        return
    values = {"claimed_by_id": user_id, "claimed_on": stamp.now if user_id else None}
    values |= {"changed_on": stamp.now, "changed_by_id": stamp.by}
    step = update(Conversation).where(Conversation.id == conversation.id, unchanged).values(values)
    done: Any = session.execute(step, execution_options={"synchronize_session": False})
    if not done.rowcount:
        raise Conflict("Somebody else has taken this conversation.")
    session.refresh(conversation)
    about = f"conversation {conversation.id}"
    audit.write(session, "conversation change", stamp.by, stamp.now, about, what="handed", to=user_id)
    mark_changed(session, conversation)


def close(session: Session, conversation: Conversation, stamp: Stamp) -> None:
    """Close it until the peer writes again. Raises Conflict if it is closed already."""
    _set_state(session, conversation, "closed", stamp)


def reopen(session: Session, conversation: Conversation, stamp: Stamp) -> None:
    """Reopen it. Raises Conflict if it is open."""
    _set_state(session, conversation, "open", stamp)


def _set_state(session: Session, conversation: Conversation, state: str, stamp: Stamp) -> None:
    if conversation.state == state:
        text = "This conversation is already closed." if state == "closed" else "This conversation is already open."
        raise Conflict(text)
    conversation.state = state
    conversation.stamp(stamp)
    mark_changed(session, conversation)


def mark_read(session: Session, conversation: Conversation, stamp: Stamp) -> None:
    """Mark all messages as read; others who see the conversation are notified."""
    if conversation.unread:
        conversation.unread = 0
        conversation.stamp(stamp)
        mark_changed(session, conversation)


def link(session: Session, conversation: Conversation, record: Any, stamp: Stamp) -> None:
    """Link it to a lead, ticket or customer from now on; earlier messages stay where they are."""
    name = {"leads": "lead_id", "ticket": "ticket_id", "customer": "customer_id"}.get(record.__tablename__)
    if name is None:
        raise RuleBroken("A conversation belongs to a lead, a ticket or a customer.")
    customer_id = getattr(record, "customer_id", None)
    responsible = getattr(record, "assignee_id", None) or record.owner_id
    attach(conversation, {name: record.id, "customer_id": customer_id} | {name: record.id}, responsible, stamp)
    mark_changed(session, conversation)
