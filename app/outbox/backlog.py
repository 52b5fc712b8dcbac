"""Queues what an outage left in the outbox, batch by batch, each when the queue has worked off the one before.

A batch is followed by a call of `go_on`, which queues the next one and itself after it. So the queue stays short, its
workers never wait for the next minute, and anything queued meanwhile gets its turn after one batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from flask import current_app
from sqlalchemy.orm import Session

from app import access
from app.extensions import db
from app.lib.batches import batched
from app.ops.queues import queue
from app.outbox import delivery_engine
from app.outbox.delivery_engine import SKIPPED, DeliveryKind

#: Seconds for which `go_on` waits for its turn in a busy queue; the next minute starts again.
PATIENCE_SECONDS = 60
#: After this many seconds every process has noticed that the queue is reachable again, and unqueued rows are overdue.
NOTICED_AFTER_SECONDS = 12.0
#: Seconds between its attempts. It isn't queued meanwhile: several of them would wait for each other.
ASKS_AGAIN_SECONDS = 1.0
#: The item of a minutely job that has more to queue than its share.
_MORE = "more"


@dataclass(frozen=True)
class BacklogSource:
    """Rows in the database that wait for a queued call."""

    label: str
    queue: str
    #: (session, before, limit) -> keys of rows that were due before this time, oldest first.
    find: Callable[[Session, datetime, int], Sequence[int | str]]
    #: Queues the call for these keys, at most `together`; False if no queue accepts it.
    enqueue: Callable[[Sequence[int | str]], bool]
    #: Rows that share a call.
    together: int = 1


def source(kind: DeliveryKind) -> BacklogSource:
    """Deliveries of this kind that wait in the database."""
    together = 1 if kind.send_several is None else delivery_engine.TOGETHER
    enqueue = partial(delivery_engine.enqueue_several, kind)
    return BacklogSource(kind.label, kind.queue, partial(delivery_engine.overdue, kind), enqueue, together)


# --- the minutely job


def find(kind: DeliveryKind, session: Session, now: datetime, limit: int) -> list[tuple[str, int | str]]:
    """Interrupted rows as ("sending", key), and the first rows that are in no queue any more as ("queued", key).

    If there may be more, followed by an item that has `go_on` called.
    """
    found = [("sending", key) for key in delivery_engine.find_interrupted(kind, session, now, limit)]
    waiting = delivery_engine.waiting_calls(kind.queue)
    left = min(limit, delivery_engine.SHARE, delivery_engine.MAX_QUEUED - waiting)
    if left <= 0:
        return found
    lost = delivery_engine.overdue(kind, session, delivery_engine.lost_before(waiting, now), left)
    more: list[tuple[str, int | str]] = [(_MORE, kind.queue)] if len(lost) == left else []
    return [*found, *(("queued", key) for key in lost), *more]


def sweep(kind: DeliveryKind, session: Session, item: tuple[str, int | str], now: datetime) -> str:
    """Sweep an item of `find`. Returns its state, or SKIPPED."""
    state, key = item
    if state != _MORE:
        return delivery_engine.sweep(kind, session, item, now)
    begin(str(key))
    return SKIPPED


# --- continuing


def begin(name: str) -> bool:
    """Queue everything that waits for this queue and is not in it. False if no queue accepts the call."""
    return _call_again(name, _now(), {})


def begin_after_outage(name: str) -> bool:
    """Like `begin`, now and again when every process has noticed that the queue is back."""
    return begin(name) and _call_again(name, _now(), {}, NOTICED_AFTER_SECONDS)


def go_on(name: str, until: int, former: str) -> None:
    """Queue the next batch and this call after it; later, if others wait in the queue. Its path is stored in queues.

    `until`, Unix seconds, is when it gives up waiting for its turn. `former` is JSON: label of a source -> first key of
    its last batch. A source that begins with the same key again makes no progress, and is left to the next minute.
    """
    now, firsts = _now(), json.loads(former)
    waiting = delivery_engine.waiting_calls(name)
    if waiting > delivery_engine.FEW_WAITING:
        if now.timestamp() < until:
            queue.enqueue_in(ASKS_AGAIN_SECONDS, name, go_on, name, until, former)
        return
    limit = delivery_engine.MAX_QUEUED - waiting
    found = {each: keys for each, keys in _found(name, waiting, limit) if str(keys[0]) != firsts.get(each.label)}
    batch = delivery_engine.in_turn([[(each, key) for key in keys] for each, keys in found.items()])
    if batch and all(each.enqueue(keys) for each, keys in _calls(batch[:limit])):
        # Once more after the last batch: calls of killed workers are in no queue any more.
        seconds = 0.0 if len(batch) >= limit else NOTICED_AFTER_SECONDS
        _call_again(name, now, {each.label: str(keys[0]) for each, keys in found.items()}, seconds)


def _calls(batch: Sequence[tuple[BacklogSource, int | str]]) -> list[tuple[BacklogSource, list[int | str]]]:
    """The keys of each call, alternating between the sources."""
    keys: dict[BacklogSource, list[int | str]] = {}
    for each, key in batch:
        keys.setdefault(each, []).append(key)
    return delivery_engine.in_turn(
        [[(each, some) for some in batched(mine, each.together)] for each, mine in keys.items()]
    )


def _found(name: str, waiting: int, limit: int) -> list[tuple[BacklogSource, Sequence[int | str]]]:
    """The rows that wait for this queue, by source; sources without any are left out."""
    sources: Sequence[BacklogSource] = current_app.extensions["crm_backlog"]
    before = delivery_engine.lost_before(waiting, _now())
    with Session(db.engine) as session, access.as_system(session):
        found = [(each, each.find(session, before, limit)) for each in sources if each.queue == name]
    return [(each, keys) for each, keys in found if keys]


def _call_again(name: str, now: datetime, firsts: dict[str, str], seconds: float = 0.0) -> bool:
    until = int(now.timestamp() + seconds) + PATIENCE_SECONDS
    return queue.enqueue_in(seconds, name, go_on, name, until, json.dumps(firsts))


def _now() -> datetime:
    return datetime.now(UTC)
