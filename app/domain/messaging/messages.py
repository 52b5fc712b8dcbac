"""Messages: one row per WhatsApp message, SMS or email, sent or received. The peer identifies the thread."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text, UniqueConstraint, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import timeline
from app.domain.audit_log import audit
from app.domain.base import Conflict, Record, RuleBroken, Stamp, UtcDateTime, translatable
from app.domain.leads import Lead
from app.domain.messaging import consents, message_files
from app.domain.persistence.transaction_state import transaction_state
from app.domain.tickets import Ticket
from app.domain.working_time import sla
from app.lib import phone
from app.lib.mail_addresses import is_email

CHANNELS = ("whatsapp", "sms", "email")
#: "noted" messages were recorded by hand and are final; every other message only moves forward through the rest.
STATES = ("noted", "queued", "sending", "unknown", "sent", "delivered", "read", "failed", "canceled")
#: States of outgoing messages that reached the provider or the customer.
SENT = ("sent", "delivered", "read")
#: States in which a message waits for a person: it failed permanently, or its fate is unknown.
DEAD = ("failed", "unknown")
#: Service messages reply to customers or inform them about their own matters; promotional ones respect an opt-out.
PURPOSES = consents.PURPOSES
#: Channel -> the customer's opt-out.
OPT_OUTS = {channel: consents.OPT_OUTS[channel] for channel in CHANNELS}
#: Prefix of the cause of a campaign's messages: campaign:<campaign>:<recipient>.
CAMPAIGN_CAUSE = "campaign:"
#: Characters of one reaction.
MAX_REACTION = 16
#: Characters of a text that came in: MariaDB's TEXT takes 64 kB, and a character has up to four bytes.
MAX_BODY = 15_000


class Message(Record):
    """One message; the outgoing ones form the outbox."""

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("account_id", "provider_id", name="uq_message_provider"),
        Index("ix_message_peer", "peer", "id"),
        Index("ix_message_author", "created_by_id", "id"),
        Index("ix_message_created", "created_on"),
        Index("ix_message_outbox", "state", "due_on"),
        Index("ix_message_lead", "lead_id", "id"),
        Index("ix_message_ticket", "ticket_id", "id"),
        Index("ix_message_customer", "customer_id", "id"),
        Index("ix_message_conversation", "conversation_id", "id"),
        # SQLite has a table of words instead, see app/ops/database/sqlite_full_text.py.
        Index("ix_message_words", "body", mysql_prefix="FULLTEXT").ddl_if(dialect="mysql"),
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
    #: Why it failed, as a text for users, and the provider's code.
    reason: Mapped[str | None] = mapped_column(String(300))
    code: Mapped[str | None] = mapped_column(String(40))
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: Not to be sent before, UTC.
    due_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When the last attempt began, UTC.
    began_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    provider_id: Mapped[str | None] = mapped_column(String(120))
    #: What caused the message; unique, so that one cause sends one message.
    cause: Mapped[str | None] = mapped_column(String(190), unique=True)
    #: The account that sends or received it, and its conversation; null for a noted one.
    account_id: Mapped[int | None] = mapped_column(ForeignKey("channel_account.id", ondelete="SET NULL"))
    conversation_id: Mapped[int | None] = mapped_column(ForeignKey("conversation.id", ondelete="SET NULL"))
    #: The template, and its variables by name; `body` is the text with them filled in.
    template_id: Mapped[int | None] = mapped_column(ForeignKey("message_template.id", ondelete="SET NULL"))
    variables: Mapped[dict[str, str] | None] = mapped_column(JSON)
    #: Files: [{"address", "mime_type", "name", "caption"}]; null = none.
    media: Mapped[list[dict[str, str]] | None] = mapped_column(JSON)
    #: The message that this one replies to.
    reply_to_id: Mapped[int | None] = mapped_column(ForeignKey("message.id", ondelete="SET NULL"))
    #: Emoji by who reacted, "peer" or a user id; null = none.
    reactions: Mapped[dict[str, str] | None] = mapped_column(JSON)
    #: When it was delivered and read, according to the provider, UTC.
    delivered_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    read_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: How often the provider was asked for its state, and when it is asked next, UTC.
    asks: Mapped[int] = mapped_column(Integer, nullable=False, default=0, server_default="0")
    ask_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="SET NULL"))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="SET NULL"))
    native: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)


def record_elsewhere(session: Session, values: dict[str, Any], stamp: Stamp) -> Message:
    """Record a message that was sent or received elsewhere. Raises RuleBroken.

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
        refuse_unwanted(session, message, stamp.now)
    else:
        message.purpose = "service"
    if stamp.by is not None and message.direction == "out":
        # Before the message refers to the lead: it would share a lock of it, and two of them would deadlock.
        _record_first_reply(session, message, happened_on)
    _store(session, message, stamp)
    return message


def enqueue(session: Session, values: dict[str, Any], stamp: Stamp) -> Message:
    """Put a message into the outbox. Raises RuleBroken.

    `values`: as for `record_elsewhere`, and account_id, conversation_id, template_id, variables, media, reply_to_id,
    cause, due_on; sent_as: the purpose that is stored, if it isn't the one that the recipient has to accept. It counts
    as the first response once it is sent (`advance`). `message_sending.send` chooses the account.
    """
    message = _new(values)
    message.state, message.direction, message.due_on = "queued", "out", values.get("due_on") or stamp.now
    refuse_unwanted(session, message, stamp.now)
    message.purpose = values.get("sent_as") or message.purpose
    _store(session, message, stamp)
    transaction_state(session).messages.append(message.id)
    return message


def cut_body(text: str) -> str:
    """As much of a text that came in as a message can hold."""
    return text if len(text) <= MAX_BODY else text[:MAX_BODY] + " …"


def receive(session: Session, values: dict[str, Any], stamp: Stamp) -> Message:
    """Store a message received from a provider. `values`: columns of a message, checked by the caller."""
    message = Message(tries=0, asks=0, direction="in", state="delivered", purpose="service", **{"native": {}, **values})
    message.happened_on = message.happened_on or stamp.now
    _store(session, message, stamp)
    return message


#: State -> states that may follow it. "failed" may be wrong: a message that arrived has not failed.
_NEXT = {
    "queued": ("sending", "failed", "canceled"),
    "sending": ("unknown", "sent", "delivered", "read", "failed"),
    "unknown": ("queued", "sent", "delivered", "read", "failed"),
    "sent": ("delivered", "read", "failed"),
    "delivered": ("read",),
    "failed": ("delivered", "read"),
    "canceled": ("delivered", "read"),
}
#: States that may follow "queued" after an attempt: the provider may have accepted a message that it seemed to refuse.
_AFTER_A_TRY = ("sent", "delivered", "read")


def is_forward(message: Message, state: str) -> bool:
    """Whether the state is a later one; False for a late callback."""
    is_tried = message.state == "queued" and message.tries > 0
    return state in _NEXT.get(message.state, ()) or (is_tried and state in _AFTER_A_TRY)


def advance(session: Session, message: Message, state: str, now: datetime) -> bool:
    """Move a message of the outbox forward; False if its state is already further, as for a late callback.

    It has no reason then: a caller who knows one sets it. A message that a user sent counts as the first response from
    then on.
    """
    if not is_forward(message, state):
        return False
    message.state, message.reason = state, None
    if state in SENT:
        note_sent(session, message, now)
    if state in ("delivered", "read") and message.delivered_on is None:
        message.delivered_on = now
    if state == "read":
        message.read_on = now
    message.changed_on = now
    mark_changed(session, message)
    return True


def note_sent(session: Session, message: Message, now: datetime) -> None:
    """Record that the message was sent now; it is the first response if a user sent it."""
    message.due_on = message.ask_on = None
    if message.happened_on is None:
        note_first_reply(session, message, now)
        message.happened_on = now


def note_first_reply(session: Session, message: Message, now: datetime) -> None:
    """Count a message that is sent for the first time, by a user, as the first response to its records."""
    if message.happened_on is None and message.created_by_id is not None and not is_of_campaign(message):
        _record_first_reply(session, message, now)


def is_of_campaign(message: Any) -> bool:
    """Whether a campaign sends it: it replies to nobody, and no person has written it to this recipient."""
    return (message.cause or "").startswith(CAMPAIGN_CAUSE)


def mark_changed(session: Session, message: Any) -> None:
    """Update pages that show the message, its records or its conversation after the commit."""
    timeline.mark_changed(session, message.lead_id, message.ticket_id, message.customer_id)
    if message.conversation_id is not None:
        transaction_state(session).changed_timelines.add(("conversation", message.conversation_id))


def cancel(session: Session, message: Message, stamp: Stamp) -> None:
    """Cancel a message that has not been sent. Raises Conflict if it is too late."""
    values = {"state": "canceled", "due_on": None, "changed_on": stamp.now, "changed_by_id": stamp.by}
    if not _move(session, message, ("queued",), values):
        raise Conflict(translatable("It is too late to cancel this message: it isn't waiting any more."))


def send_again(session: Session, message: Message, stamp: Stamp) -> None:
    """Resend a message that failed, or whose outcome is unknown. Raises Conflict, RuleBroken.

    The outbox sends it under the same key.
    """
    if message.account_id is None:
        raise RuleBroken("The account by which this message was sent no longer exists. Please write a new message.")
    if not message.peer:
        raise RuleBroken("What this message said was erased. Please write a new message.")
    refuse_unwanted(session, message, stamp.now)
    values = {"state": "queued", "tries": 0, "due_on": stamp.now, "reason": None, "code": None, "happened_on": None}
    values |= {"provider_id": None, "asks": 0, "ask_on": None, "changed_on": stamp.now, "changed_by_id": stamp.by}
    if not _move(session, message, DEAD, values):
        raise Conflict(translatable("This message has already been sent again, or has arrived after all."))
    transaction_state(session).messages.append(message.id)


def send_many_again(session: Session, ids: list[int], stamp: Stamp) -> int:
    """Resend many messages, in one statement; erased ones and those no longer in DEAD stay. Returns how many.

    The outbox checks opt-outs of the recipients before each attempt.
    """
    values = {"state": "queued", "tries": 0, "due_on": stamp.now, "reason": None, "code": None, "happened_on": None}
    values |= {"provider_id": None, "asks": 0, "ask_on": None, "changed_on": stamp.now, "changed_by_id": stamp.by}
    mine = (Message.id.in_(ids), Message.state.in_(DEAD), Message.account_id.is_not(None), Message.peer != "")
    done: Any = session.execute(update(Message).where(*mine).values(values), execution_options=_UNSYNCHRONIZED)
    transaction_state(session).messages.extend(ids)
    audit.write(session, "message", stamp.by, stamp.now, "messages", what="sent again", count=int(done.rowcount))
    return int(done.rowcount)


_UNSYNCHRONIZED: Any = {"synchronize_session": False}


def mark_not_delivered(session: Session, message: Message, stamp: Stamp) -> None:
    """Record a person's decision that a message did not arrive and is not resent. Raises Conflict."""
    reason = "Unknown whether it arrived; a user decided not to send it again."
    values = {"state": "failed", "reason": reason, "ask_on": None, "changed_on": stamp.now, "changed_by_id": stamp.by}
    if not _move(session, message, ("unknown",), values):
        raise Conflict(translatable("What became of this message is known by now. Please reload the page."))


def mark_arrived(session: Session, message: Message, stamp: Stamp) -> None:
    """Record a person's word that a message did arrive. Raises Conflict.

    It counts as sent when it was tried, and as the first response of that time if a user wrote it.
    """
    at = message.happened_on or message.began_on or stamp.now
    reason = "A user said that it arrived."
    values = {"state": "sent", "reason": reason, "happened_on": at, "ask_on": None}
    values |= {"due_on": None, "changed_on": stamp.now, "changed_by_id": stamp.by}
    if not _move(session, message, ("unknown",), values):
        raise Conflict(translatable("What became of this message is known by now. Please reload the page."))
    if message.created_by_id is not None and not is_of_campaign(message):
        for record, key in ((Lead, message.lead_id), (Ticket, message.ticket_id)):
            sla.record_first_replies(session, record, {} if key is None else {key: at})


def _move(session: Session, message: Message, states: tuple[str, ...], values: dict[str, Any]) -> bool:
    """Change the message if it is in one of these states; the database decides, because a worker may be faster."""
    step = update(Message).where(Message.id == message.id, Message.state.in_(states)).values(values)
    done: Any = session.execute(step, execution_options={"synchronize_session": False})
    if not done.rowcount:
        return False
    session.refresh(message)
    mark_changed(session, message)
    return True


class Reaction(NamedTuple):
    """Whose it is: “peer” or a user id; without an emoji it is withdrawn."""

    who: str
    emoji: str


def react(session: Session, message: Message, reaction: Reaction, now: datetime) -> None:
    """Set or withdraw a reaction to a message."""
    others = {key: each for key, each in (message.reactions or {}).items() if key != reaction.who}
    message.reactions = (others | ({reaction.who: reaction.emoji[:MAX_REACTION]} if reaction.emoji else {})) or None
    message.changed_on = now
    mark_changed(session, message)


def _new(values: dict[str, Any]) -> Message:
    """The message, checked but not stored. Raises RuleBroken for an unknown channel, invalid peer or empty text."""
    if values.get("channel") not in CHANNELS:
        raise RuleBroken("Please choose WhatsApp, SMS or email.", "channel")
    peer = clean_peer(values["channel"], values.get("peer"))
    if not peer:
        raise RuleBroken("Please enter the number or address to send to.", "peer")
    if not (values.get("body") or "").strip():
        raise RuleBroken("Please enter a text.", "body")
    message = Message(peer=peer, tries=0, asks=0, native={}, purpose=values.get("purpose") or "promotional")
    for name in _GIVEN:
        setattr(message, name, values.get(name))
    return message


#: Columns of a new message that are stored as given.
_GIVEN = (
    *("channel", "subject", "body", "customer_id", "lead_id", "ticket_id", "cause"),
    *("account_id", "conversation_id", "template_id", "variables", "media", "reply_to_id"),
)


def clean_peer(channel: str, peer: str | None) -> str:
    """The number in E.164, or the address in lower case; "" if it is invalid. Raises nothing."""
    text = (peer or "").strip()
    if channel == "email":
        return text.lower() if is_email(text.lower()) else ""
    return phone.normalize(text) or ""


def refuse_unwanted(session: Session, message: Message, now: datetime) -> None:
    """Raise RuleBroken for a promotional message to someone who opted out, or is on a do-not-disturb list."""
    if reason := consents.refusal(session, message, now):
        raise RuleBroken(reason, "channel")


def _store(session: Session, message: Message, stamp: Stamp) -> None:
    message.stamp(stamp)
    session.add(message)
    session.flush()
    message_files.add_for(session, message, stamp.now)
    if message.lead_id or message.ticket_id or message.customer_id:
        payload = {"message": message.id, "channel": message.channel}
        payload |= {"state": message.state, "direction": message.direction}
        timeline.write(session, message, "message", stamp, **payload)
    mark_changed(session, message)


def _record_first_reply(session: Session, message: Message, at: datetime) -> None:
    sla.record_first_reply(session, Lead, message.lead_id, at)
    sla.record_first_reply(session, Ticket, message.ticket_id, at)
