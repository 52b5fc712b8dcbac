"""Webhooks are told at least once: claimed before the call, tried again with growing waits, and each try written down.

The row is the truth; the queue only makes it fast. What was broken off may have arrived: it is sent again under the
same key, by which the receiver knows it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from flask import current_app
from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from app import access
from app.channels.base import ChannelError
from app.channels.webhook import HttpAnswer, WebhookClient, signature
from app.domain import webhooks
from app.extensions import db
from app.lib.vault import Vault
from app.models import User, Webhook, WebhookDelivery
from app.ops import queue
from app.ops.database import WRITES

log = logging.getLogger("crm.webhooks")

#: Seconds before the second, third … try; one try more than there are waits.
WAITS = (60, 300, 1800, 7200, 28_800)
#: Those of e-mail must not wait behind a receiver that does not answer.
QUEUE = "default"
#: A queue may wake a call a moment too early.
EARLY = timedelta(seconds=2)
#: A queued one that is overdue by so much is no longer in any queue, or its queue is long.
LEFT_AFTER = timedelta(minutes=1)
#: One that says "sending" for longer was broken off.
LOST_AFTER = timedelta(minutes=5)
#: So many calls may wait before the sweep puts no more into the queue.
FULL = 500
SKIPPED = "skipped"
#: Signs of an answer that are kept.
KEPT_SIGNS = 200
GONE = 410
NOT_SEEN = "The record is gone, or its user does not see it."
NOT_ACTIVE = "Its user is no longer active."
BROKEN_OFF = "Sending was broken off; it may have arrived, and is sent again."
A_FAULT = "A fault of the program; it stands in the log."

#: (session of a person, kind, id, now) -> the record as REST shows it to the person; None where he does not see it.
Writer = Callable[[Session, str, int, datetime], dict[str, Any] | None]


@dataclass(frozen=True)
class WebhookSender:
    """What this process sends with."""

    line: WebhookClient
    write: Writer
    waits: tuple[int, ...] = WAITS

    def tries(self, event: str) -> int:
        """How often it is tried; a test once, for somebody waits for it."""
        return 1 if event == webhooks.TEST else len(self.waits) + 1


@dataclass(frozen=True)
class DeliveryResult:
    """What became of one try."""

    #: sent, queued (again), failed or dropped.
    state: str
    error: str | None = None
    answer: HttpAnswer | None = None
    #: The state in which it leaves its webhook, and why; "" = as it is.
    stop: tuple[str, str] = ("", "")
    #: Whether the try says something of the receiver.
    counts: bool = True


class NotToBeSent(Exception):
    """It need not or must not be sent; the message says why."""


class _NotActive(Exception):
    """The user in whose eyes the webhook looks has left."""


# --- one try


def send(key: str) -> None:
    """Tell one that is due, unless somebody else does or did. What fails for now is tried again later."""
    now = datetime.now(UTC)
    if _claim(key, now):
        with Session(db.engine, expire_on_commit=False) as session, access.as_system(session):
            row, hook = webhooks.of_key(session, key)
        _settle(row, hook, _try(row, hook, now), datetime.now(UTC))


def _claim(key: str, now: datetime) -> bool:
    """From queued to sending, committed, if it is due and its webhook is on; a test goes out in any case."""
    is_on = WebhookDelivery.webhook_id.in_(select(Webhook.id).where(Webhook.state == "on"))
    mine = (
        WebhookDelivery.key == key,
        WebhookDelivery.state == "queued",
        WebhookDelivery.next_try_on <= now + EARLY,
        or_(is_on, WebhookDelivery.event == webhooks.TEST),
    )
    with _writing() as session:
        values = {"state": "sending", "tried_on": now, "tries": WebhookDelivery.tries + 1}
        return bool(_changed(session, update(WebhookDelivery).where(*mine).values(values)))


def _try(row: WebhookDelivery, hook: Webhook, now: datetime) -> DeliveryResult:
    """Whatever happens is an outcome, except that this process is ended."""
    post: WebhookSender = current_app.extensions["crm_post"]
    try:
        body = orjson.dumps(_letter(row, hook, post), default=str)
        secret = _vault().open(hook.secret_sealed)
    except NotToBeSent as dropped:
        return DeliveryResult("dropped", str(dropped), counts=False)
    except _NotActive:
        return DeliveryResult("queued", NOT_ACTIVE, stop=("paused", "user"), counts=False)
    except Exception:
        log.exception("webhook delivery %s could not be written", row.key)
        return DeliveryResult("failed", A_FAULT, counts=False)
    try:
        answer = post.line.post(hook.url, headers_of(row, secret, body, now), body)
    except ChannelError as refused:
        return DeliveryResult(_again(row, post), str(refused))
    return _heard(row, post, answer)


def _heard(row: WebhookDelivery, post: WebhookSender, answer: HttpAnswer) -> DeliveryResult:
    if 200 <= answer.code < 300:
        return DeliveryResult("sent", None, answer)
    if answer.code == GONE:
        return DeliveryResult("failed", "The receiver says that it is gone for good (410).", answer, ("off", "gone"))
    if 300 <= answer.code < 400:
        return DeliveryResult(
            _again(row, post), f"It answered with a redirect ({answer.code}), which is not followed.", answer
        )
    return DeliveryResult(_again(row, post), f"The receiver refused it ({answer.code}).", answer)


def _again(row: WebhookDelivery, post: WebhookSender) -> str:
    return "queued" if row.tries < post.tries(row.event) else "failed"


def headers_of(row: WebhookDelivery, secret: str, body: bytes, now: datetime) -> dict[str, str]:
    """What stands above the body; the signature covers the second and the body."""
    timestamp = str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "User-Agent": "EshinCRM-Webhook/1",
        "X-CRM-Event": row.event,
        "X-CRM-Delivery": row.key,
        "X-CRM-Timestamp": timestamp,
        "X-CRM-Signature": signature(secret, timestamp, body),
    }


def _vault() -> Vault:
    vault: Vault = current_app.extensions["vault"]
    return vault


# --- what is told


def _letter(row: WebhookDelivery, hook: Webhook, post: WebhookSender) -> dict[str, Any]:
    """The event, and the record as it is now. Raises Dropped, _NotActive."""
    letter = {"id": row.key, "event": row.event, "at": row.at.isoformat()}
    if row.event == webhooks.TEST or row.record_id is None:
        return letter | {"record": None}
    kind, _dot, what = row.event.partition(".")
    if what == "deleted":
        with Session(db.engine, expire_on_commit=False) as session:
            _look_as(session, hook)
        return letter | {"record": {"id": row.record_id, "number": row.number}}
    record = _seen(hook, kind, row.record_id, post)
    if record is None:
        raise NotToBeSent(NOT_SEEN)
    return letter | {"record": record}


def _seen(hook: Webhook, kind: str, key: int, post: WebhookSender) -> dict[str, Any] | None:
    """The record in the eyes of the webhook's user: his rows, his masks."""
    with Session(db.engine, expire_on_commit=False) as session:
        _look_as(session, hook)
        return post.write(session, kind, key, datetime.now(UTC))


def _look_as(session: Session, hook: Webhook) -> None:
    """Give the session to the webhook's user. Raises _NotActive."""
    with access.as_system(session):
        query = select(User.active, access.version_query()).where(User.id == hook.user_id)
        is_active, version = session.execute(query).one()
        if not is_active:
            raise _NotActive
    access.act_as(session, access.person(session, hook.user_id, version or 0))


# --- what became of it


def _settle(row: WebhookDelivery, hook: Webhook, outcome: DeliveryResult, now: datetime) -> None:
    """Write it down, on the webhook too; one that failed for now goes into the queue again."""
    post: WebhookSender = current_app.extensions["crm_post"]
    wait = queue.jittered(post.waits[row.tries - 1]) if outcome.state == "queued" and outcome.counts else 0.0
    with _writing() as session:
        if not _changed(session, _step(row, outcome, now + timedelta(seconds=wait))):
            return  # it took so long that somebody else was told to send it
        if outcome.counts:
            _count(session, hook, outcome, now)
        if outcome.stop[0]:
            webhooks.stop(session, hook.id, *outcome.stop, now)
    if wait:
        queue.enqueue_in(wait, QUEUE, send, row.key)
    if outcome.state == "failed":
        log.warning("webhook delivery %s failed after %s tries: %s", row.key, row.tries, outcome.error)


def _step(row: WebhookDelivery, outcome: DeliveryResult, next_on: datetime) -> Any:
    same_try = (WebhookDelivery.id == row.id, WebhookDelivery.state == "sending", WebhookDelivery.tries == row.tries)
    text = outcome.answer.text[:KEPT_SIGNS] if outcome.answer else None
    values = {
        "state": outcome.state,
        "error": outcome.error,
        "code": outcome.answer.code if outcome.answer else None,
        "answer": text.replace("\x00", "�") if text else None,
        "next_try_on": next_on if outcome.state == "queued" else None,
    }
    return update(WebhookDelivery).where(*same_try).values(values)


def _count(session: Session, hook: Webhook, outcome: DeliveryResult, now: datetime) -> None:
    """The webhook's row of failures; too many in a row pause it."""
    result = f"HTTP {outcome.answer.code}" if outcome.answer else outcome.error
    failures: Any = 0 if outcome.state == "sent" else Webhook.failures + 1
    values = {"tried_on": now, "result": result, "failures": failures}
    _changed(session, update(Webhook).where(Webhook.id == hook.id).values(values))
    failed = select(Webhook.failures).where(Webhook.id == hook.id)
    if (session.scalar(failed) or 0) >= webhooks.MOST_FAILURES:
        webhooks.stop(session, hook.id, "paused", "failures", now)


# --- the sweep, once a minute


def left(session: Session, now: datetime, limit: int) -> list[tuple[str, str]]:
    """What no queue holds any more, as ("queued", key), and what was broken off, as ("sending", key)."""
    lost = and_(WebhookDelivery.state == "sending", WebhookDelivery.tried_on < now - LOST_AFTER)
    found = [("sending", key) for key in session.scalars(select(WebhookDelivery.key).where(lost).limit(limit))]
    due = and_(WebhookDelivery.state == "queued", WebhookDelivery.next_try_on < now - LEFT_AFTER)
    query = select(WebhookDelivery.key).join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
    query = query.where(due, Webhook.state == "on").order_by(WebhookDelivery.next_try_on, WebhookDelivery.id)
    if room := min(limit, _room()):
        found += [("queued", key) for key in session.scalars(query.limit(room))]
    return found


def _room() -> int:
    """How many calls the queue may take; none while Redis is away or has plenty to do."""
    depths = queue.depths()
    waiting = next((each.waiting for each in depths if each.name == QUEUE), 0) if depths is not None else FULL
    return max(0, FULL - waiting)


def take_up(session: Session, item: tuple[str, str], now: datetime) -> str:
    """Put a queued one into the queue again; one that was broken off is due again, and its next sweep queues it."""
    state, key = item
    if state == "queued":
        return "queued" if queue.enqueue(QUEUE, send, key) else SKIPPED
    lost = (WebhookDelivery.key == key, WebhookDelivery.state == "sending", WebhookDelivery.tried_on < now - LOST_AFTER)
    values = {"state": "queued", "next_try_on": now - LEFT_AFTER, "error": BROKEN_OFF}
    if not _changed(session, update(WebhookDelivery).where(*lost).values(values)):
        return SKIPPED
    log.warning("webhook delivery %s was broken off and is sent again", key)
    return "again"


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
