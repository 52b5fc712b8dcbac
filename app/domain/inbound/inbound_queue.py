"""Requests from providers to our hooks, as they arrived: stored once, processed later, kept until they are
understood.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from flask_appbuilder import Model
from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.audit_log import audit
from app.domain.base import Conflict, Stamp, UtcDateTime

#: new: to be processed. failed: not understood, until a person retries or dismisses it.
STATES = ("new", "done", "failed", "dismissed")
#: Seconds before the second, third … attempt after an error or an unknown message.
WAITS = (2, 5, 15, 60, 300, 900)
_BIG = BigInteger().with_variant(Integer, "sqlite")
#: MariaDB's TEXT ends at 64 KB, and a batch of a provider may have 3 MB.
_LONG_TEXT = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


class InboundEvent(Model):  # type: ignore[misc]
    """One verified request at a hook."""

    __tablename__ = "inbound_event"
    __table_args__ = (
        UniqueConstraint("account_id", "digest", name="uq_inbound_event"),
        Index("ix_inbound_event_due", "state", "next_try_on"),
        Index("ix_inbound_event_at", "received_on"),
    )
    id: Mapped[int] = mapped_column(_BIG, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"), nullable=False)
    #: SHA-256 of the request, so that a replay is stored only once.
    digest: Mapped[str] = mapped_column(String(64), nullable=False)
    received_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: The request as JSON, encrypted by the vault, because it contains customers' numbers and texts.
    request_sealed: Mapped[str] = mapped_column(_LONG_TEXT, nullable=False)
    #: One of STATES.
    state: Mapped[str] = mapped_column(String(12), nullable=False, default="new")
    #: What it was, for the page: "1 message, 2 states".
    summary: Mapped[str | None] = mapped_column(String(120))
    #: What is wrong with it, as a sentence without personal data.
    error: Mapped[str | None] = mapped_column(String(300))
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: When it is due, UTC; null once it is processed.
    next_try_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    done_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SealedRequest(NamedTuple):
    """A request of a provider as it is stored: a digest of its content, and all of it, encrypted."""

    digest: str
    sealed: str


def store(session: Session, account_id: int, request: SealedRequest, now: datetime) -> int | None:
    """Store a request. Returns its id, or None if it is stored already."""
    values = {"account_id": account_id, "digest": request.digest, "request_sealed": request.sealed, "received_on": now}
    values |= {"state": "new", "tries": 0, "next_try_on": now}
    try:
        with session.begin_nested():
            done: Any = session.execute(insert(InboundEvent).values(values))
    except IntegrityError:
        return None
    return int(done.inserted_primary_key[0])


def due(session: Session, now: datetime, limit: int) -> list[int]:
    """The events to process now, oldest first."""
    query = select(InboundEvent.id).where(InboundEvent.state == "new", InboundEvent.next_try_on <= now)
    return list(session.scalars(query.order_by(InboundEvent.next_try_on, InboundEvent.id).limit(limit)))


def lock(session: Session, event_id: int, now: datetime) -> InboundEvent | None:
    """The event, locked, if it is due; None if another process has it or has processed it."""
    query = select(InboundEvent).where(InboundEvent.id == event_id, InboundEvent.state == "new")
    return session.scalars(query.where(InboundEvent.next_try_on <= now).with_for_update(skip_locked=True)).first()


def finish(event: InboundEvent, summary: str, now: datetime) -> None:
    """Mark the event as processed."""
    event.state, event.summary, event.error = "done", summary[:120], None
    event.done_on, event.next_try_on = now, None


def fail(event: InboundEvent, error: str) -> None:
    """Mark the event as not understood, for a person to retry or dismiss."""
    event.state, event.error, event.next_try_on = "failed", error[:300], None


def wait(event: InboundEvent, error: str, now: datetime) -> float | None:
    """Schedule another attempt; returns the seconds until then, None after the last one."""
    event.tries += 1
    if event.tries > len(WAITS):
        fail(event, error)
        return None
    seconds = WAITS[event.tries - 1]
    event.error, event.next_try_on = error[:300], now + timedelta(seconds=seconds)
    return float(seconds)


def try_again(session: Session, event: InboundEvent, stamp: Stamp) -> None:
    """Queue the event for another attempt by a person's request. Raises Conflict if it isn't waiting for one."""
    _decide(session, event, "new", stamp)
    event.tries, event.next_try_on, event.error = 0, stamp.now, None


def dismiss(session: Session, event: InboundEvent, stamp: Stamp) -> None:
    """Record a person's decision that there is nothing to do. Raises Conflict."""
    _decide(session, event, "dismissed", stamp)
    event.done_on = stamp.now


def _decide(session: Session, event: InboundEvent, state: str, stamp: Stamp) -> None:
    step = update(InboundEvent).where(InboundEvent.id == event.id, InboundEvent.state == "failed").values(state=state)
    done: Any = session.execute(step, execution_options={"synchronize_session": False})
    if not done.rowcount:
        raise Conflict("Someone has already handled this. Please reload the list.")
    session.refresh(event)
    about = f"inbound event {event.id}"
    audit.write(session, "inbound event", stamp.by, stamp.now, about, outcome=state)
