"""Counts leads, tickets and tasks by day: rows that are marked, and all rows in turn.

Counting holds the lock of the state of its table, and reads marks before rows: a row that changes meanwhile leaves a
mark that stays. Each row is compared with what is counted of it, so to count it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import and_, case, delete, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from app.domain.analytics.record_rollups import (
    DUE_BY_HOUR,
    HOURS,
    RECORDS,
    SUMS,
    CountedRow,
    CountRules,
    RecordRollupState,
    RecordSum,
    cube_ids,
)
from app.domain.analytics.record_shares import AT_ONCE, Sums, add, current, of_all, read, written
from app.domain.persistence import bulk_statements
from app.domain.persistence.bulk_statements import InsertPlan
from app.domain.persistence.recount_marks import RowMark
from app.lib.batches import batched

#: Marks, and rows that are compared in turn, per transaction.
MARKS_AT_ONCE, ROWS_AT_ONCE = 500, 1000
#: After another version has begun to count, servers of the former one may change rows without marks for so long.
SETTLES_IN = timedelta(hours=24)
#: Meanwhile, all rows are compared again so long after the last time began, by so many transactions of a pass.
COMPARED_EVERY, _SETTLING = timedelta(minutes=15), 10
_BULK = {"synchronize_session": False}


@dataclass(frozen=True)
class Counting:
    """A kind of rows that this transaction counts; its state is locked."""

    state: RecordRollupState
    rules: CountRules
    now: datetime


# --- counting


def count_rows(session: Session, kind: int, keys: Iterable[int], rules: CountRules) -> set[int]:
    """Bring what is counted of these rows up to date, in the caller's transaction. Returns those that differed."""
    changed, deltas = {}, Sums()
    for some in batched(sorted(set(keys)), AT_ONCE):
        stored = stored_shares(session, {kind: some})[kind]
        found = {key: written(shares) for key, shares in current(session, RECORDS[kind], some, rules)}
        for key in some:
            before, now = stored.get(key, ""), found.get(key, "")
            if before != now and read(before) != read(now):  # in another order, they are the same
                changed[key] = now
                add(deltas, read(before), -1)
                add(deltas, read(now))
    _store(session, kind, changed)
    _add_to_sums(session, deltas)
    return set(changed)


def stored_shares(session: Session, keys: Mapping[int, Iterable[int]]) -> dict[int, dict[int, str]]:
    """Kind -> id -> what is counted of these rows ({kind: ids}), in one statement."""
    table = CountedRow.__table__.c
    found: dict[int, dict[int, str]] = {kind: {} for kind in keys}
    parts = [
        select(table.kind, table.row_id, table.shares).where(table.kind == kind, table.row_id.in_(list(some)))
        for kind, some in keys.items()
    ]
    for kind, key, shares in session.execute(union_all(*parts)) if parts else ():
        found[kind][key] = shares
    return found


def _store(session: Session, kind: int, changed: Mapping[int, str]) -> None:
    gone = [key for key, shares in changed.items() if not shares]
    for some in batched(gone, AT_ONCE):
        step = delete(CountedRow).where(CountedRow.kind == kind, CountedRow.row_id.in_(some))
        session.execute(step, execution_options=_BULK)
    rows = [{"kind": kind, "row_id": key, "shares": shares} for key, shares in changed.items() if shares]
    bulk_statements.insert_rows(session, CountedRow, rows, InsertPlan(unique=("kind", "row_id"), update=("shares",)))


def _add_to_sums(session: Session, deltas: Sums) -> None:
    rows = [
        {"cube": cube, "day": day, "key": key, **dict(zip(SUMS, sums, strict=True))}
        for (cube, day, key), sums in sorted(deltas.items())
        if any(sums)
    ]
    bulk_statements.insert_rows(session, RecordSum, rows, InsertPlan(unique=("cube", "day", "key"), add=SUMS))


# --- passes


def lock(session: Session, kind: int, zone: ZoneInfo, now: datetime) -> Counting:
    """Lock the state of a kind of rows until the end of the transaction; it starts over if other rules apply now.

    Raises RuntimeError if the transaction reads the data as it was before the last change of the sums.
    """
    query = select(RecordRollupState).where(RecordRollupState.kind == kind).with_for_update()
    state = session.scalars(query.execution_options(populate_existing=True)).first()
    if state is None:
        values = {"kind": kind, "zone": "", "rules": "", "is_complete": False, "turn": 0, "compared_until": 0}
        bulk_statements.insert_if_missing(session, RecordRollupState, "kind", values)
        state = session.scalars(query).one()
    rules = CountRules.stored(session, zone)  # after the lock: the transaction may read as of now
    if (state.zone, state.rules) != (zone.key, rules.fingerprint(kind)):
        state.zone, state.rules, state.is_complete = zone.key, rules.fingerprint(kind), False
        state.compared_until, state.settles_on = 0, now + SETTLES_IN
    seen = session.execute(select(RecordRollupState.__table__.c.turn).where(RecordRollupState.kind == kind)).scalar()
    if seen is not None and seen != state.turn:
        raise RuntimeError("rows are counted in a transaction that began before they were last counted")
    state.turn += 1
    return Counting(state, rules, now)


def to_count(session: Session, zone: ZoneInfo, now: datetime, limit: int) -> list[int]:
    """The kind of rows of each transaction that is to be done, found in two statements."""
    state, rules = RecordRollupState.__table__.c, CountRules.stored(session, zone)
    marks = select(RowMark.kind).order_by(RowMark.id).limit(limit * MARKS_AT_ONCE).subquery()
    marked = select(marks.c.kind, func.count(), literal("")).group_by(marks.c.kind)
    has_begun = or_(state.compared_until > 0, state.compared_since <= now - COMPARED_EVERY)
    is_idle = case((and_(state.settles_on.is_not(None), has_begun), 0), else_=1)
    known = select(-state.kind, is_idle, state.rules).where(state.zone == zone.key, state.is_complete)
    counts, least = dict.fromkeys(RECORDS, 0), dict.fromkeys(RECORDS, limit)
    for kind, count, stored in session.execute(union_all(marked, known)):
        if kind > 0:
            counts[kind] = -(-int(count) // MARKS_AT_ONCE)
        elif stored == rules.fingerprint(-kind):
            least[-kind] = 0 if count else _SETTLING
    return [kind for kind, count in counts.items() for _ in range(min(limit, count + least[kind]))]


def count_marked(session: Session, kind: int, zone: ZoneInfo, now: datetime) -> int:
    """Count the next marked rows, or else, until all are counted, the next rows. Returns how many were looked at."""
    return _count_waiting(session, lock(session, kind, zone, now))


def count_next(session: Session, kind: int, zone: ZoneInfo, now: datetime) -> int:
    """`count_marked`, or else, while servers of a former version may run, compare the next rows."""
    counting = lock(session, kind, zone, now)
    counted = _count_waiting(session, counting)
    return counted or (0 if counting.state.settles_on is None else compare_next(session, counting)[0])


def _count_waiting(session: Session, counting: Counting) -> int:
    kind = counting.state.kind
    query = select(RowMark.id, RowMark.row_id).where(RowMark.kind == kind).order_by(RowMark.id).limit(MARKS_AT_ONCE)
    marks = session.execute(query).all()  # before the rows
    if marks:
        count_rows(session, kind, [row_id for _key, row_id in marks], counting.rules)
        done = delete(RowMark).where(RowMark.id.in_([key for key, _row in marks]))
        session.execute(done, execution_options=_BULK)
        return len(marks)
    return 0 if counting.state.is_complete else compare_next(session, counting)[0]


def compare_next(session: Session, counting: Counting) -> tuple[int, int]:
    """Compare the next rows in turn with what is counted of them. Returns (rows looked at, rows that differed).

    Marked rows have just changed and wait to be counted: that they differ says nothing. After the last row, all rows
    are counted, and the turn begins again.
    """
    state = counting.state
    kind, after, record = state.kind, state.compared_until, RECORDS[state.kind]
    if after == 0:
        state.compared_since = counting.now
    keys = list(session.scalars(select(record.id).where(record.id > after).order_by(record.id).limit(ROWS_AT_ONCE)))
    is_last = len(keys) < ROWS_AT_ONCE
    gone = select(CountedRow.row_id).where(CountedRow.kind == kind, CountedRow.row_id > after)
    counted = session.scalars(gone if is_last else gone.where(CountedRow.row_id <= keys[-1]))
    differed = count_rows(session, kind, {*keys, *counted}, counting.rules)
    state.compared_until = 0 if is_last else keys[-1]
    if is_last:
        _end_turn(state)
    return len(keys), len(differed - _marked(session, kind, differed))


def _marked(session: Session, kind: int, keys: set[int]) -> set[int]:
    """Those of these rows that are marked; read after the rows, for a mark is stored together with its change."""
    found: set[int] = set()
    for some in batched(sorted(keys), AT_ONCE):
        found |= set(session.scalars(select(RowMark.row_id).where(RowMark.kind == kind, RowMark.row_id.in_(some))))
    return found


def _end_turn(state: RecordRollupState) -> None:
    state.is_complete = True
    if state.settles_on is not None and state.compared_since is not None and state.compared_since >= state.settles_on:
        state.settles_on = None


def compare_turn(session: Session, kind: int, zone: ZoneInfo, now: datetime) -> tuple[int, int]:
    """`compare_next` under the lock; (0, 0) until all rows are counted."""
    counting = lock(session, kind, zone, now)
    return compare_next(session, counting) if counting.state.is_complete else (0, 0)


# --- the operator's commands


def start_over(session: Session, kind: int, zone: ZoneInfo, now: datetime) -> None:
    """Forget everything that is counted of a kind of rows, in the caller's transaction."""
    state = lock(session, kind, zone, now).state
    state.is_complete, state.compared_until = False, 0
    session.execute(delete(CountedRow).where(CountedRow.kind == kind), execution_options=_BULK)
    step = delete(RecordSum).where(RecordSum.cube.in_(cube_ids(RECORDS[kind])))
    session.execute(step, execution_options=_BULK)


def differing_days(session: Session, kind: int, zone: ZoneInfo) -> list[int]:
    """The days whose sums differ from those of all rows, read one by one; marked rows as they were counted.

    While others write, the session has to see the database as of one moment.
    """
    record, total = RECORDS[kind], Sums()
    marked = set(session.scalars(select(RowMark.row_id).where(RowMark.kind == kind)))
    for key, shares in of_all(session, record, CountRules.stored(session, zone)):
        if key not in marked:
            add(total, shares)
    for some in batched(sorted(marked), AT_ONCE):
        for text in stored_shares(session, {kind: some})[kind].values():
            add(total, read(text))
    table = RecordSum.__table__
    for cube, day, key, *sums in session.execute(select(table).where(table.c.cube.in_(cube_ids(record)))):
        add(total, {(cube, day, key): [int(each) for each in sums]}, -1)
    return sorted({_day_of(cube, day) for (cube, day, _key), sums in total.items() if any(sums)})


def _day_of(cube: int, day: int) -> int:
    """The day of a sum, which can be one of an hour."""
    return day // HOURS if cube == DUE_BY_HOUR.id else day
