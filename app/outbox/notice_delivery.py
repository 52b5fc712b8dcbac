"""The outbox of notices: a delivery is claimed before it is sent, goes out once, and says what became of it.

The row is the truth; the queue only makes it fast. "sending" is committed before the channel is asked. What is still
"sending" after minutes was broken off: nobody knows whether it arrived, so nothing sends it again by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, current_app
from flask_babel import force_locale, gettext
from sqlalchemy import Engine, or_, select, update
from sqlalchemy.orm import Session, object_session

from app import access
from app.channels.base import Channel, ChannelError, Content, DeliveryUnknown
from app.domain import notices
from app.domain.pending import pending
from app.extensions import db
from app.models import Delivery, Notification, User
from app.ops import queue
from app.ops.database import WRITES
from app.wording import cards_of, text_of, url_of

log = logging.getLogger("crm.delivery")

#: Seconds before the second, third … try; one try more than there are waits.
WAITS = (30, 120, 600, 3600)
TRIES = len(WAITS) + 1
#: A queue may wake a call a moment too early.
EARLY = timedelta(seconds=2)
#: A queued delivery that is overdue by so much is no longer in any queue, or its queue is long.
LEFT_AFTER = timedelta(minutes=1)
#: A delivery that says "sending" for longer was broken off.
LOST_AFTER = timedelta(minutes=5)
#: So many calls may wait before the sweep puts no more into the queue.
FULL = 500
SKIPPED = "skipped"
NOT_KNOWN = "It is not known whether it arrived: sending was broken off. Please check before you send it again."
NOT_WANTED = "The person does not want e-mail about this any more."
IS_GONE = "The person is no longer active."
A_FAULT = "A fault of the program; it stands in the log."


@dataclass(frozen=True)
class DeliveryResult:
    """What became of one try."""

    #: sent, queued (again), failed, dropped or unknown.
    state: str
    #: A sentence for the person who looks at it.
    error: str | None = None


class NotToBeSent(Exception):
    """It need not be sent any more; the message says why."""


# --- sending


def send(delivery_id: int) -> None:
    """Send one delivery that is due, unless somebody else does or did. What fails for now is tried again later."""
    tries = _claim(delivery_id, datetime.now(UTC))
    if tries is not None:
        _settle(delivery_id, _try(delivery_id, tries), tries, datetime.now(UTC))


def _claim(delivery_id: int, now: datetime) -> int | None:
    """From queued to sending, committed; the number of this try. None = it is not to be sent now."""
    is_due = or_(Delivery.next_try_on.is_(None), Delivery.next_try_on <= now + EARLY)
    mine = (Delivery.id == delivery_id, Delivery.state == "queued", is_due)
    with _writing() as session:
        step = update(Delivery).where(*mine).values(state="sending", at=now, tries=Delivery.tries + 1)
        if not _changed(session, step):
            return None
        return session.execute(select(Delivery.tries).where(Delivery.id == delivery_id)).scalar_one()


def _try(delivery_id: int, tries: int) -> DeliveryResult:
    """One try. Whatever happens is an outcome, except that this process is ended."""
    try:
        channel, to, content = _written(delivery_id)
    except NotToBeSent as dropped:
        return DeliveryResult("dropped", str(dropped))
    except Exception:
        log.exception("delivery %s could not be written", delivery_id)
        return DeliveryResult("failed", A_FAULT)
    try:
        channel.send(to, content)
    except DeliveryUnknown as unsure:
        return DeliveryResult("unknown", str(unsure))
    except ChannelError as refused:
        return DeliveryResult("failed" if refused.permanent or tries >= TRIES else "queued", str(refused))
    except Exception:
        log.exception("delivery %s broke down", delivery_id)
        return DeliveryResult("unknown", NOT_KNOWN)
    return DeliveryResult("sent")


def _settle(delivery_id: int, outcome: DeliveryResult, tries: int, now: datetime) -> None:
    """Write down what became of it; one that failed for now goes into the queue again."""
    wait = queue.jittered(WAITS[tries - 1]) if outcome.state == "queued" else None
    # Whoever took so long that it counts as unknown may still say how it ended, but not have it sent again.
    before = ("sending",) if wait else ("sending", "unknown")
    values = {
        "state": outcome.state,
        "at": now,
        "error": outcome.error,
        "next_try_on": now + timedelta(seconds=wait) if wait else None,
    }
    with _writing() as session:
        step = update(Delivery).where(Delivery.id == delivery_id, Delivery.state.in_(before)).values(values)
        changed = _changed(session, step)
    if changed and wait:
        queue.enqueue_in(wait, "short", send, delivery_id)
    if outcome.state in ("failed", "unknown"):
        log.warning("delivery %s is %s after %s tries: %s", delivery_id, outcome.state, tries, outcome.error)


# --- what is sent


def _written(delivery_id: int) -> tuple[Channel, str, Content]:
    """Channel, address and text. Raises Dropped when the person is gone or does not want it any more."""
    with Session(db.engine, expire_on_commit=False) as session:
        with access.as_system(session):
            row, notice, user = session.execute(_with_person(delivery_id)).unique().one()
            if not user.active:
                raise NotToBeSent(IS_GONE)
            if not notices.wants({user.id: user.notice_choices or {}}, user.id, notice.kind, row.channel):
                raise NotToBeSent(NOT_WANTED)
            version = session.execute(select(access.version_query())).scalar() or 0
        access.act_as(session, access.person(session, user.id, version))
        with force_locale(user.locale or "en"):
            content = _content(session, notice, user)
    channels: Mapping[str, Channel] = current_app.extensions["crm_channels"]
    return channels[row.channel], user.email, content


def _with_person(delivery_id: int) -> Any:
    query = select(Delivery, Notification, User).where(Delivery.id == delivery_id)
    return query.join(Notification, Notification.id == Delivery.notification_id).join(
        User, User.id == Notification.user_id
    )


def _content(session: Session, notice: Any, user: Any) -> Content:
    """The sentence of the bell and a link to the record, if the person sees it; nothing that a mask could hide."""
    chosen, sentence = current_app.config["CRM"], text_of(notice)
    link = chosen.public_url + url_of(notice, cards_of(session, [notice]))
    why = gettext(
        "You receive this email because you turned on email for this kind of notification in %(brand)s.",
        brand=chosen.brand,
    )
    return Content(
        about=f"user {user.id}: notice {notice.id}",
        key=f"notice-{notice.id}-{int(notice.at.timestamp())}",
        subject=sentence,
        text=f"{sentence}\n\n{link}\n\n-- \n{why}\n{chosen.public_url}/bell/choices/\n",
    )


# --- the sweep, once a minute


def left(session: Session, now: datetime, limit: int) -> list[tuple[str, int]]:
    """What no queue holds any more, as ("queued", id), and what was broken off, as ("sending", id)."""
    lost = select(Delivery.id).where(Delivery.state == "sending", Delivery.at < now - LOST_AFTER).limit(limit)
    found = [("sending", key) for key in session.scalars(lost)]
    if room := min(limit, _room()):
        due = select(Delivery.id).where(Delivery.state == "queued", Delivery.next_try_on < now - LEFT_AFTER)
        found += [("queued", key) for key in session.scalars(due.order_by(Delivery.next_try_on).limit(room))]
    return found


def _room() -> int:
    """How many calls the queue may take; none while Redis is away or has plenty to do."""
    depths = queue.depths()
    waiting = next((each.waiting for each in depths if each.name == "short"), 0) if depths is not None else FULL
    return max(0, FULL - waiting)


def take_up(session: Session, item: tuple[str, int], now: datetime) -> str:
    """Put a queued one into the queue again; one that was broken off is unknown from now on."""
    state, key = item
    if state == "queued":
        return "queued" if queue.enqueue("short", send, key) else SKIPPED
    lost = (Delivery.id == key, Delivery.state == "sending", Delivery.at < now - LOST_AFTER)
    step = update(Delivery).where(*lost).values(state="unknown", at=now, error=NOT_KNOWN)
    return "unknown" if _changed(session, step) else SKIPPED


# --- after a commit, never before


#: The database whose deliveries this process sends.
_engine: Engine | None = None


def install(app: Flask, channels: Mapping[str, Channel]) -> None:
    """Send by these channels what sessions on the app's database have committed."""
    global _engine
    app.extensions["crm_channels"] = channels
    with app.app_context():
        _engine = db.engine


def note_delivery(_mapper: Any, connection: Any, row: Delivery) -> None:
    """Mapper hook, after the INSERT of a delivery: it is to be queued after the commit."""
    session = object_session(row)
    if session is not None and row.state == "queued" and connection.engine is _engine:
        pending(session).notice_deliveries.append(row.id)


def enqueue_committed(session: Session) -> None:
    """Session hook, after a commit: queue its deliveries."""
    if session.in_nested_transaction():
        return  # a savepoint: its rows may still be rolled back
    gathered = pending(session)
    committed, gathered.notice_deliveries = gathered.notice_deliveries, []
    for key in committed:
        queue.enqueue("short", send, key)


def forget(session: Session) -> None:
    """Session hook, after a rollback: there is nothing to queue."""
    if not session.in_nested_transaction():
        pending(session).notice_deliveries = []


# --- database


@contextmanager
def _writing() -> Iterator[Session]:
    """A session of the system that is committed at the end."""
    token = WRITES.set(True)
    try:
        with Session(db.engine, expire_on_commit=False) as session, access.as_system(session):
            yield session
            session.commit()
    finally:
        WRITES.reset(token)


def _changed(session: Session, step: Any) -> int:
    return int(session.execute(step, execution_options={"synchronize_session": False}).rowcount)  # type: ignore[attr-defined]
