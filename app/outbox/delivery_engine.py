"""One delivery engine: claim a due row, attempt it, settle the result, and sweep up what got stuck.

The row in the database is authoritative; the queue only makes delivery fast. "sending" is committed before anything is
sent, so no two workers send the same row. Each kind of delivery is declared as a `DeliveryKind`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any, TypeVar

from sqlalchemy import literal, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import access
from app.channels.base import Channel, ChannelError, Content, DeliveryUnknown
from app.domain.persistence.bulk_statements import execute_counted
from app.ops.database.database_errors import cause_of, summary_of
from app.ops.queues import queue

#: A queue may deliver a call slightly early.
EARLY = timedelta(seconds=2)
#: A queued row that is overdue by this much has been lost by the queue, or the queue is long.
STUCK_AFTER = timedelta(minutes=1)
#: The same if nearly nothing waits in the queue: otherwise it would have been attempted.
LOST_AFTER = timedelta(seconds=5)
#: Up to this many waiting calls count as nearly nothing.
FEW_WAITING = 20
#: A row that has been "sending" for longer was interrupted.
INTERRUPTED_AFTER = timedelta(minutes=5)
#: Minutely jobs add no calls to a queue that already has this many: waiting rows are found due again each minute, and
#: would multiply. Deliveries of an account at its limit are postponed by a write each, so they are few.
MAX_QUEUED = 500
#: Overdue rows of a kind that its minutely job queues; a call after them continues with the others (backlog.py).
SHARE = 100
#: The number of oldest overdue rows that are considered, so that each account or webhook gets its turn.
LOOKED_AT = 2000
#: Longer waits are left to the sweep.
LATER = timedelta(hours=12)
#: Seconds before the second, third … attempt to store a result, after a deadlock or while the database is unavailable:
#: longer than it takes to restart. Meanwhile the worker can do nothing else.
STORE_WAITS = (0.1, 0.5, 2.0, 5.0, 8.0, 8.0)
#: Deliveries that share a queued call if many wait: a call costs as much as one of them. After so many seconds such a
#: call begins no more of them, so that a slow one delays no others.
TOGETHER, TOGETHER_SECONDS = 10, 5.0
SKIPPED = "skipped"
Item = TypeVar("Item")
A_FAULT = "Internal error; see the server log."


@dataclass(frozen=True)
class DeliveryResult:
    """The result of one attempt."""

    #: sent, queued (to be attempted again), failed, dropped or unknown.
    state: str
    #: The reason, as a sentence for the person who reads the delivery log.
    error: str | None = None
    #: False when the attempt ended before anything was sent.
    was_attempted: bool = True
    #: Minimum seconds before the next attempt; 0 = as the kind of delivery defines. An attempt that ended before
    #: anything was sent, and has a wait, doesn't count.
    wait: float = 0.0


def send_content(_row: Any, prepared: tuple[Channel, str, Content]) -> DeliveryResult:
    """Transmit what a kind of delivery prepared as (channel, address, content). Raises ChannelError."""
    channel, address, content = prepared
    channel.send(address, content)
    return DeliveryResult("sent")


class NotSent(Exception):
    """Raised by `DeliveryKind.prepare`: the attempt ends with `result` and sends nothing."""

    def __init__(self, result: DeliveryResult) -> None:
        super().__init__(result.error)
        self.result = result


class NotToBeSent(NotSent):
    """The delivery is no longer wanted or allowed; it is dropped for this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(DeliveryResult("dropped", reason, was_attempted=False))


def _no_columns(row: Any, result: Any, now: datetime) -> dict[str, Any]:
    return {}


def _nothing_more(session: Session, row: Any, result: Any, now: datetime) -> None:
    """The default: a result is stored only in the delivery's row."""


@dataclass(frozen=True)
class DeliveryKind:
    """What differs between kinds of deliveries.

    `model` has the columns state and tries; next_try_on and error too, unless `due_on` and `why` name others.
    """

    #: The name of a row in the log.
    label: str
    log: logging.Logger
    model: Any
    #: The unique column by which queued calls identify a row: int or str.
    key: Any
    #: The column with the start of the last attempt, UTC.
    began_on: Any
    queue: str
    #: The module-level function that the queue calls with a key; its path is stored in queues and dead letters.
    send: Callable[[Any], None]
    #: row -> seconds before the second, third … attempt. There is one attempt more than there are waits.
    waits: Callable[[Any], Sequence[int]]
    #: row -> the argument for `transmit`. Raises NotSent.
    prepare: Callable[[Any], Any]
    #: (row, prepared) -> result. Raises ChannelError.
    transmit: Callable[[Any, Any], DeliveryResult]
    #: What an interrupted delivery becomes: ("queued", …) if a second copy does no harm, else ("unknown", …).
    interrupted: DeliveryResult
    #: The column with the due time of a queued row, UTC, and the one with the reason of a failure; None = see above.
    due_on: Any = None
    why: Any = None
    #: The column with the end of the last attempt, UTC, if there is one; may be the same.
    ended_on: Any = None
    #: (row, result, now) -> further columns of the row to store for the result.
    columns: Callable[[Any, Any, datetime], dict[str, Any]] = _no_columns
    #: Called in the transaction that stores a result.
    on_settled: Callable[[Session, Any, Any, datetime], None] = _nothing_more
    #: Whether its calls go to the front of the queue.
    is_urgent: bool = False
    #: The column of the account or webhook that rows go to. Overdue rows of each take turns, so that a slow one delays
    #: no others.
    target_column: Any = None
    #: The function that the queue calls with several keys if many wait (see `TOGETHER`); None = one call each.
    send_several: Callable[..., None] | None = None
    #: Further conditions for a row to be claimed, and to be queued by the sweep.
    claimable: Sequence[Any] = ()
    sweepable: Sequence[Any] = ()
    #: Columns that tell one delivery of a row from the next, if a row is delivered anew.
    same: Sequence[Any] = ()

    @property
    def resends(self) -> bool:
        """Whether a delivery that may have arrived is sent again."""
        return self.interrupted.state == "queued"

    @property
    def due_column(self) -> Any:
        """The column with the due time of a queued row."""
        return self.model.next_try_on if self.due_on is None else self.due_on

    def waiting(self, error: str | None, due_on: datetime | None) -> dict[str, Any]:
        """The columns for the reason of a failed attempt, and the due time of the next one."""
        why = self.model.error if self.why is None else self.why
        return {why.key: error, self.due_column.key: due_on}

    def key_of(self, row: Any) -> int | str:
        """The key of the row in queued calls."""
        key: int | str = getattr(row, self.key.key)
        return key

    def end(self, now: datetime) -> dict[str, Any]:
        """The columns with the end of an attempt."""
        return {} if self.ended_on is None else {self.ended_on.key: now}


def deliver(kind: DeliveryKind, key: int | str) -> None:
    """Send one delivery if it is due and nobody else sends or has sent it."""
    row = claim(kind, key, datetime.now(UTC))
    if row is not None:
        settle(kind, row, attempt(kind, row), datetime.now(UTC))


def enqueue(kind: DeliveryKind, key: int | str) -> bool:
    """Send a delivery soon. Returns False if no queue accepts it; then the sweep finds it."""
    return queue.enqueue_call(queue.build_call(kind.queue, kind.send, key), is_urgent=kind.is_urgent)


def enqueue_several(kind: DeliveryKind, keys: Sequence[int | str]) -> bool:
    """Send these deliveries soon, by one call if the kind allows it. Returns False if no queue accepts it."""
    if kind.send_several is None or len(keys) == 1:
        return all(enqueue(kind, key) for key in keys)
    return queue.enqueue_call(queue.build_call(kind.queue, kind.send_several, *keys), is_urgent=kind.is_urgent)


def send_in_turn(kind: DeliveryKind, keys: Sequence[int], send: Callable[[int], None]) -> None:
    """Send one after the other. Those that don't fit into the time of a call get calls of their own.

    So do those after one for which `send` raises: the call is retried then, and would stop at the same place.
    """
    ends = time.monotonic() + TOGETHER_SECONDS
    for place, key in enumerate(keys):
        if time.monotonic() > ends:
            _enqueue_each(kind, keys[place:])
            return
        try:
            send(key)
        except Exception:
            _enqueue_each(kind, keys[place + 1 :])
            raise


def _enqueue_each(kind: DeliveryKind, keys: Sequence[int]) -> None:
    for key in keys:
        enqueue(kind, key)


# --- claim, attempt, settle


def claim(kind: DeliveryKind, key: int | str, now: datetime) -> Any | None:
    """Move a due row from queued to sending, and commit. Returns the row; None if it must not be sent now."""
    is_due = or_(kind.due_column.is_(None), kind.due_column <= now + EARLY)
    mine = (kind.key == key, kind.model.state == "queued", is_due, *kind.claimable)
    values = {"state": "sending", kind.began_on.key: now, "tries": kind.model.tries + 1}
    with access.system_transaction() as session:
        if not execute_counted(session, update(kind.model).where(*mine).values(values)):
            return None
        return session.scalars(select(kind.model).where(kind.key == key)).one()


def attempt(kind: DeliveryKind, row: Any) -> DeliveryResult:
    """Prepare and transmit once. Any error becomes a result, unless this process is killed."""
    key = kind.key_of(row)
    try:
        prepared = kind.prepare(row)
    except NotSent as ended:
        return ended.result
    except Exception as error:
        if cause_of(error) is not None:  # the database was unavailable; the delivery is fine
            kind.log.warning("%s %s waits for the database (%s)", kind.label, key, summary_of(error))
            return retry(kind, row, A_FAULT)
        kind.log.exception("%s %s could not be written", kind.label, key)
        return DeliveryResult("failed", A_FAULT, was_attempted=False)
    try:
        return kind.transmit(row, prepared)
    except DeliveryUnknown as error:
        return _uncertain(kind, row, str(error))
    except ChannelError as error:
        return DeliveryResult("failed", str(error)) if error.permanent else retry(kind, row, str(error))
    except Exception:
        kind.log.exception("%s %s broke down", kind.label, key)
        return _uncertain(kind, row, A_FAULT if kind.resends else kind.interrupted.error or "")


def _uncertain(kind: DeliveryKind, row: Any, error: str) -> DeliveryResult:
    """The result of an attempt that may have arrived."""
    return retry(kind, row, error) if kind.resends else DeliveryResult(kind.interrupted.state, error)


def retry(kind: DeliveryKind, row: Any, error: str) -> DeliveryResult:
    """The result of an attempt that failed temporarily: queued, or failed if it was the last."""
    return DeliveryResult("queued" if row.tries <= len(kind.waits(row)) else "failed", error)


def settle(kind: DeliveryKind, row: Any, result: DeliveryResult, now: datetime) -> None:
    """Store the result of this attempt, and queue the next one. Does nothing if the row has changed meanwhile."""
    is_queued = result.state == "queued"
    is_retried = is_queued and result.was_attempted
    wait = max(result.wait, queue.add_jitter(kind.waits(row)[row.tries - 1]) if is_retried else 0.0)
    values = {"state": result.state} | kind.waiting(result.error, now + timedelta(seconds=wait) if is_queued else None)
    values |= kind.end(now) | kind.columns(row, result, now)
    if result.wait and not is_retried:
        values["tries"] = row.tries - 1
    if not _store(kind, row, result, values, now):
        return
    key = kind.key_of(row)
    if is_queued and (is_retried or wait) and wait < LATER.total_seconds():
        queue.enqueue_in(wait, kind.queue, kind.send, key)
    if result.state in ("failed", "unknown"):
        kind.log.warning("%s %s %s after %s tries: %s", kind.label, key, result.state, row.tries, result.error)


def _store(kind: DeliveryKind, row: Any, result: DeliveryResult, values: dict[str, Any], now: datetime) -> bool:
    """Store the result, repeatedly if the database fails: otherwise the fate of the delivery would be unknown."""
    for wait in (*STORE_WAITS, None):
        try:
            with access.system_transaction() as session:
                mine = _same_attempt(kind, row, result)
                is_mine = bool(execute_counted(session, update(kind.model).where(*mine).values(values)))
                if is_mine:
                    kind.on_settled(session, row, result, now)
                return is_mine
        except SQLAlchemyError as error:
            if wait is None or cause_of(error) is None:
                raise
            kind.log.warning("%s %s could not be stored, again: %s", kind.label, kind.key_of(row), summary_of(error))
            time.sleep(queue.add_jitter(wait))
    return False


def _same_attempt(kind: DeliveryKind, row: Any, result: DeliveryResult) -> tuple[Any, ...]:
    """Conditions on the row: after an attempt so long that the row counts as unknown, the result may still be stored,
    but not retried.
    """
    states = {"sending"}
    if result.state != "queued" and not kind.resends:
        states.add(kind.interrupted.state)
    same = (column == getattr(row, column.key) for column in kind.same)
    return kind.model.id == row.id, kind.model.tries == row.tries, kind.model.state.in_(states), *same


# --- sweep, once a minute


def find_interrupted(kind: DeliveryKind, session: Session, now: datetime, limit: int) -> list[int | str]:
    """The keys of rows whose sending was interrupted."""
    return list(session.scalars(select(kind.key).where(*_is_interrupted(kind, now)).limit(limit)))


def overdue(kind: DeliveryKind, session: Session, before: datetime, limit: int) -> list[int | str]:
    """The keys of queued rows that were due before this time: oldest first, and those of each target in turn."""
    mine = (kind.model.state == "queued", kind.due_column < before, *kind.sweepable)
    target = literal(0) if kind.target_column is None else kind.target_column
    looked_at = limit if kind.target_column is None else max(limit, LOOKED_AT)
    query = select(kind.key, target).where(*mine).order_by(kind.due_column, kind.model.id).limit(looked_at)
    by_target: dict[Any, list[int | str]] = {}
    for key, target_id in session.execute(query):
        by_target.setdefault(target_id, []).append(key)
    return in_turn(by_target.values())[:limit]


def in_turn(lists: Iterable[Sequence[Item]]) -> list[Item]:
    """The first of each list, then the second of each, and so on."""
    return [each for row in zip_longest(*lists, fillvalue=None) for each in row if each is not None]


def lost_before(waiting: int, now: datetime) -> datetime:
    """Rows due before this time are in no queue any more, if this many calls wait in it."""
    return now - (LOST_AFTER if waiting <= FEW_WAITING else STUCK_AFTER)


def sweep(kind: DeliveryKind, session: Session, item: tuple[str, int | str], now: datetime) -> str:
    """Queue a stuck row again, or store that it was interrupted. Returns its state, or SKIPPED."""
    state, key = item
    if state == "queued":
        return "queued" if enqueue(kind, key) else SKIPPED
    # The next sweep queues a row that is sent again.
    due_on = now - STUCK_AFTER if kind.resends else None
    values = {"state": kind.interrupted.state} | kind.waiting(kind.interrupted.error, due_on) | kind.end(now)
    mine = (kind.key == key, *_is_interrupted(kind, now))
    if not execute_counted(session, update(kind.model).where(*mine).values(values)):
        return SKIPPED
    outcome = "sent again" if kind.resends else kind.interrupted.state
    kind.log.warning("%s %s was broken off and is %s", kind.label, key, outcome)
    return kind.interrupted.state


def _is_interrupted(kind: DeliveryKind, now: datetime) -> tuple[Any, ...]:
    return kind.model.state == "sending", kind.began_on < now - INTERRUPTED_AFTER


def room(name: str, maximum: int | None = None) -> int:
    """How many more calls a minutely job may add to the queue, up to `maximum` in it; 0 if Redis is unavailable."""
    maximum = MAX_QUEUED if maximum is None else maximum
    return max(0, maximum - waiting_calls(name, maximum))


def waiting_calls(name: str, maximum: int | None = None) -> int:
    """The number of calls waiting in the queue, at most `maximum`; `maximum` if Redis is unavailable."""
    maximum = MAX_QUEUED if maximum is None else maximum
    depths = queue.depths()
    waiting = next((each.waiting for each in depths if each.name == name), 0) if depths is not None else maximum
    return min(waiting, maximum)


# --- database
