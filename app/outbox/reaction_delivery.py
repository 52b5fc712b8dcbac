"""Our reactions as sent to the provider. Repeating one has no effect, so they are retried."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app import access
from app.channels.provider import OutgoingReaction, ReactionProvider
from app.domain.messaging import messages
from app.domain.persistence.transaction_state import pop_committed
from app.extensions import db
from app.models import Message, MessageReaction
from app.outbox import delivery_engine, provider_clients
from app.outbox.delivery_engine import DeliveryKind, DeliveryResult, NotSent

#: Seconds before the second, third … attempt.
WAITS = (5, 30, 120, 600, 1800)
CANNOT = "Reactions can't be sent by this account."

log = logging.getLogger("crm.messages")


@dataclass(frozen=True)
class _Ready:
    provider: ReactionProvider
    reaction: OutgoingReaction


def send(reaction_id: int) -> None:
    """Send one reaction. The function's path is stored in queues."""
    delivery_engine.deliver(REACTIONS, reaction_id)


def _prepare(row: MessageReaction) -> _Ready:
    with Session(db.engine, expire_on_commit=False) as session, access.as_system(session):
        message = session.get(Message, row.message_id)
        provider = provider_clients.client_of(session, message.account_id if message is not None else None, CANNOT)
        if message is None or not isinstance(provider, ReactionProvider):
            raise NotSent(DeliveryResult("failed", CANNOT, was_attempted=False))
        return _Ready(provider, OutgoingReaction(message.peer, message.provider_id or "", row.emoji))


def _transmit(row: MessageReaction, prepared: _Ready) -> DeliveryResult:
    with provider_clients.repeatable():
        prepared.provider.react(prepared.reaction)
    return DeliveryResult("sent")


def _on_settled(session: Session, row: MessageReaction, result: DeliveryResult, now: datetime) -> None:
    """Remove our reaction from the message if it failed permanently: the customer doesn't see it."""
    message = session.get(Message, row.message_id)
    if message is None or result.state == "sent":
        return
    if result.state == "failed":
        theirs = {who: each for who, each in (message.reactions or {}).items() if who == "peer"}
        message.reactions = theirs or None
    messages.mark_changed(session, message)


REACTIONS = DeliveryKind(
    label="reaction",
    log=log,
    model=MessageReaction,
    key=MessageReaction.id,
    began_on=MessageReaction.began_on,
    queue="short",
    send=send,
    waits=lambda _row: WAITS,
    prepare=_prepare,
    transmit=_transmit,
    interrupted=DeliveryResult("queued"),
    on_settled=_on_settled,
)


def enqueue_committed(session: Session) -> None:
    """Session hook, after a commit: queue its reactions."""
    for key in pop_committed(session, "message_reactions"):
        delivery_engine.enqueue(REACTIONS, key)
