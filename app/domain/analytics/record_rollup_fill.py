"""Counts leads, tickets and tasks by day: rows that are marked, and all rows in turn.

Counting holds the lock of the state of its table, and reads marks before rows: a row that changes meanwhile leaves a
mark that stays. Each row is compared with what is counted of it, so to count it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, func, literal, select, union_all
from sqlalchemy.orm import Session

from app.domain.analytics.record_rollups import (
    RECORDS,
    SUMS,
    CountedRow,
    Cube,
    RecordRollupState,
    RecordSum,
    cubes_of,
    rules_of,
)
from app.domain.persistence import bulk
from app.domain.persistence.recount_marks import RowMark
from app.domain.telephony.call_rollups import day_of
from app.lib.batches import batched

#: Marks, and rows that are compared in turn, per transaction.
MARKS_AT_ONCE, ROWS_AT_ONCE = 500, 1000
#: Rows of one statement.
_AT_ONCE = 500
_BULK = {"synchronize_session": False}
#: (cube, day, key) -> sums.
Sums = dict[tuple[int, int, str], list[int]]


# --- what a row adds


def shares_of(record: Any, row: Any, zone: ZoneInfo) -> Sums:
    """What a row of `rows_query` adds to the sums."""
    found: Sums = {}
    place = 1
    for cube in cubes_of(record):
        moment, key, *values = row[place : place + 2 + len(cube.values)]
        place += 2 + len(cube.values)
        if moment is not None:
            found[cube.id, day_of(moment, zone), "" if key is None else str(key)] = [int(each or 0) for each in values]
    return found


def rows_query(record: Any) -> Any:
    """SELECT the id of each row and what its shares are made of."""
    return select(record.id, *[column for cube in cubes_of(record) for column in _labeled(cube)])


def _labeled(cube: Cube) -> list[Any]:
    return [column.label(f"cube_{cube.id}_{n}") for n, column in enumerate(cube.columns)]


def written(shares: Sums) -> str:
    """Shares in their stored form."""
    return "|".join(":".join([*map(str, key), ",".join(map(str, sums))]) for key, sums in shares.items())


def read(text: str) -> Sums:
    """Shares from their stored form."""
    found: Sums = {}
    for part in text.split("|") if text else ():
        cube, day, key, sums = part.split(":")
        found[int(cube), int(day), key] = [int(each) for each in sums.split(",")]
    return found


def add(total: Sums, shares: Sums, factor: int = 1) -> None:
    """Add shares to sums, or take them out if `factor` is -1."""
    for key, values in shares.items():
        sums = total.setdefault(key, [0] * len(SUMS))
        for place, value in enumerate(values):
            sums[place] += factor * value


# --- counting


def count_rows(session: Session, kind: int, keys: Iterable[int], zone: ZoneInfo) -> int:
    """Bring what is counted of these rows up to date, in the caller's transaction. Returns how many differed."""
    record, changed, deltas = RECORDS[kind], {}, Sums()
    for some in batched(sorted(set(keys)), _AT_ONCE):
        stored = stored_shares(session, {kind: some})[kind]
        found = session.execute(rows_query(record).where(record.id.in_(some)))
        current = {row[0]: written(shares_of(record, row, zone)) for row in found}
        for key in some:
            before, now = stored.get(key, ""), current.get(key, "")
            if before != now:
                changed[key] = now
                add(deltas, read(before), -1)
                add(deltas, read(now))
    _store(session, kind, changed)
    _add_to_sums(session, deltas)
    return len(changed)


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
    for some in batched(gone, _AT_ONCE):
        step = delete(CountedRow).where(CountedRow.kind == kind, CountedRow.row_id.in_(some))
        session.execute(step, execution_options=_BULK)
    rows = [{"kind": kind, "row_id": key, "shares": shares} for key, shares in changed.items() if shares]
    bulk.insert_rows(session, CountedRow, rows, unique=("kind", "row_id"), update=("shares",))


def _add_to_sums(session: Session, deltas: Sums) -> None:
    rows = [
        {"cube": cube, "day": day, "key": key, **dict(zip(SUMS, sums, strict=True))}
        for (cube, day, key), sums in sorted(deltas.items())
        if any(sums)
    ]
    if rows:
        table = RecordSum.__table__.c
        step = bulk.upsert(
            session, RecordSum, ("cube", "day", "key"), lambda new: {name: table[name] + new[name] for name in SUMS}
        )
        session.execute(step, rows)


# --- passes


def lock(session: Session, kind: int, zone: ZoneInfo) -> RecordRollupState:
    """The state of a kind of rows, locked until the end of the transaction; it starts over in another time zone.

    Raises RuntimeError if the transaction reads the data as it was before the last change of the sums.
    """
    query = select(RecordRollupState).where(RecordRollupState.kind == kind).with_for_update()
    state = session.scalars(query.execution_options(populate_existing=True)).first()
    if state is None:
        values = {"kind": kind, "zone": "", "rules": "", "is_complete": False, "turn": 0, "compared_until": 0}
        bulk.insert_if_missing(session, RecordRollupState, "kind", values)
        state = session.scalars(query).one()
    if (state.zone, state.rules) != (zone.key, rules_of(kind)):
        state.zone, state.rules, state.is_complete, state.compared_until = zone.key, rules_of(kind), False, 0
    seen = session.execute(select(RecordRollupState.__table__.c.turn).where(RecordRollupState.kind == kind)).scalar()
    if seen is not None and seen != state.turn:
        raise RuntimeError("rows are counted in a transaction that began before they were last counted")
    state.turn += 1
    return state


def to_count(session: Session, zone: ZoneInfo, limit: int) -> list[int]:
    """The kind of rows of each transaction that is to be done, found in one statement."""
    state = RecordRollupState.__table__.c
    marks = select(RowMark.kind).order_by(RowMark.id).limit(limit * MARKS_AT_ONCE).subquery()
    marked = select(marks.c.kind, func.count(), literal("")).group_by(marks.c.kind)
    known = select(-state.kind, literal(0), state.rules).where(state.zone == zone.key, state.is_complete)
    counts, complete = dict.fromkeys(RECORDS, 0), set()
    for kind, count, rules in session.execute(union_all(marked, known)):
        if kind > 0:
            counts[kind] = -(-int(count) // MARKS_AT_ONCE)
        elif rules == rules_of(-kind):
            complete.add(-kind)
    return [kind for kind, count in counts.items() for _ in range(count if kind in complete else limit)]


def count_marked(session: Session, kind: int, zone: ZoneInfo) -> int:
    """Count the next marked rows, or else, until all are counted, the next rows. Returns how many were looked at."""
    state = lock(session, kind, zone)
    query = select(RowMark.id, RowMark.row_id).where(RowMark.kind == kind).order_by(RowMark.id).limit(MARKS_AT_ONCE)
    marks = session.execute(query).all()  # before the rows
    if marks:
        count_rows(session, kind, [row_id for _key, row_id in marks], zone)
        done = delete(RowMark).where(RowMark.id.in_([key for key, _row in marks]))
        session.execute(done, execution_options=_BULK)
        return len(marks)
    return 0 if state.is_complete else compare_next(session, state, zone)[0]


def compare_next(session: Session, state: RecordRollupState, zone: ZoneInfo) -> tuple[int, int]:
    """Compare the next rows in turn with what is counted of them. Returns (rows looked at, rows that differed).

    After the last one, all rows are counted, and the turn begins again.
    """
    kind, after = state.kind, state.compared_until
    record = RECORDS[kind]
    keys = list(session.scalars(select(record.id).where(record.id > after).order_by(record.id).limit(ROWS_AT_ONCE)))
    is_last = len(keys) < ROWS_AT_ONCE
    gone = select(CountedRow.row_id).where(CountedRow.kind == kind, CountedRow.row_id > after)
    counted = session.scalars(gone if is_last else gone.where(CountedRow.row_id <= keys[-1]))
    differed = count_rows(session, kind, {*keys, *counted}, zone)
    if is_last:
        state.is_complete, state.compared_until = True, 0
    else:
        state.compared_until = keys[-1]
    return len(keys), differed


def compare_turn(session: Session, kind: int, zone: ZoneInfo) -> tuple[int, int]:
    """`compare_next` under the lock; (0, 0) until all rows are counted."""
    state = lock(session, kind, zone)
    return compare_next(session, state, zone) if state.is_complete else (0, 0)


# --- the operator's commands


def start_over(session: Session, kind: int, zone: ZoneInfo) -> None:
    """Forget everything that is counted of a kind of rows, in the caller's transaction."""
    state = lock(session, kind, zone)
    state.is_complete, state.compared_until = False, 0
    session.execute(delete(CountedRow).where(CountedRow.kind == kind), execution_options=_BULK)
    cubes = [cube.id for cube in cubes_of(RECORDS[kind])]
    session.execute(delete(RecordSum).where(RecordSum.cube.in_(cubes)), execution_options=_BULK)


def differing_days(session: Session, kind: int, zone: ZoneInfo) -> list[int]:
    """The days whose sums differ from those of all rows, read one by one; rows that are marked may differ, too."""
    record, total = RECORDS[kind], Sums()
    for row in session.execute(rows_query(record).execution_options(yield_per=5000)):
        add(total, shares_of(record, row, zone))
    table = RecordSum.__table__
    cubes = [cube.id for cube in cubes_of(record)]
    for cube, day, key, *sums in session.execute(select(table).where(table.c.cube.in_(cubes))):
        add(total, {(cube, day, key): [int(each) for each in sums]}, -1)
    return sorted({day for (_cube, day, _key), sums in total.items() if any(sums)})
