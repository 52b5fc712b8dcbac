"""Keeps the table of duplicates: all records are scanned once, chunk by chunk, then whatever has changed since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, func, null, or_, select
from sqlalchemy.orm import Session

from app.domain.merging.duplicate_comparison import SCANNED, FoundPairs, find, has_birth
from app.domain.merging.duplicate_pairs import DuplicatePair, DuplicateScan, bits_of, score_of
from app.domain.persistence import bulk_statements
from app.domain.persistence.bulk_statements import InsertPlan
from app.lib.batches import batched

#: Records per transaction.
CHUNK = 500
#: Chunks of both tables together in one pass of the job: a few seconds, and up to some 400,000 rows read.
CHUNKS_IN_A_PASS = 100
#: Ids per statement that looks in the table of pairs. From 200 on, MariaDB may read all of it.
_IDS_AT_ONCE = 100
#: Changes may be committed later than others with a later time.
_OVERLAP = timedelta(seconds=90)
_BEFORE_ALL_BIRTHS = date(1000, 1, 1)


def chunks_left(session: Session, kind: str) -> int:
    """How many chunks of a table are left to scan: at least so many, unless it is more than one pass has."""
    table, state = SCANNED[kind].__table__, session.get(DuplicateScan, kind)
    if state is None or state.finished_on is None:
        newest = session.connection().execute(select(func.max(table.c.id))).scalar() or 0
        return min(CHUNKS_IN_A_PASS, int(newest) // CHUNK + 2)
    since = state.seen_until or state.finished_on
    changed = select(table.c.id).where(table.c.changed_on >= since).limit(CHUNK * CHUNKS_IN_A_PASS).subquery()
    count = session.connection().execute(select(func.count()).select_from(changed)).scalar() or 0
    return min(CHUNKS_IN_A_PASS, int(count) // CHUNK + 1)


def kinds_to_scan(session: Session) -> list[str]:
    """The table of each chunk of a pass, in turns, so that one with very many records doesn't hold up the other."""
    left = {kind: chunks_left(session, kind) for kind in SCANNED}
    turns = [kind for number in range(CHUNKS_IN_A_PASS) for kind, count in left.items() if number < count]
    return turns[:CHUNKS_IN_A_PASS]


def scan_next(session: Session, kind: str, now: datetime) -> int:
    """Scan the next records: all of them once, then changed ones. Returns how many; 0 = up to date.

    The caller commits; an interrupted run continues after the last commit.
    """
    state = session.scalars(select(DuplicateScan).where(DuplicateScan.kind == kind).with_for_update()).first()
    if state is None:
        state = DuplicateScan(kind=kind, position=0, seen_until=now - _OVERLAP, seen_id=0)
        session.add(state)
        session.flush()
    if state.finished_on is None:
        return _first_pass(session, state, now)
    return _changed(session, state, now)


def _first_pass(session: Session, state: DuplicateScan, now: datetime) -> int:
    """Records without a date of birth by id, then the others by that date, so that each date is read once."""
    rows = _next_undated(session, state) if state.birth_position is None else []
    if not rows and has_birth(state.kind):
        state.birth_position = state.birth_position or _BEFORE_ALL_BIRTHS
        rows = _next_dated(session, state)
    if not rows:
        state.finished_on = now
        return 0
    rescan(session, state.kind, [row[0] for row in rows], now)
    state.position, state.birth_position = rows[-1]
    return len(rows)


def _next_undated(session: Session, state: DuplicateScan) -> Sequence[Any]:
    """(id, None) of the next records without a date of birth."""
    table = SCANNED[state.kind].__table__
    query = select(table.c.id, null()).where(table.c.id > state.position).order_by(table.c.id).limit(CHUNK)
    if has_birth(state.kind):
        query = query.where(table.c.date_of_birth.is_(None))
    return session.connection().execute(query).all()


def _next_dated(session: Session, state: DuplicateScan) -> Sequence[Any]:
    """(id, date of birth) of the next records with one."""
    table, since = SCANNED[state.kind].__table__, state.birth_position
    birth, key = table.c.date_of_birth, table.c.id
    after = or_(birth > since, and_(birth == since, key > state.position))
    query = select(key, birth).where(birth >= since, after).order_by(birth, key).limit(CHUNK)
    return session.connection().execute(query).all()


def _changed(session: Session, state: DuplicateScan, now: datetime) -> int:
    table, since = SCANNED[state.kind].__table__, state.seen_until or now
    column = table.c.changed_on
    after = or_(column > since, and_(column == since, table.c.id > state.seen_id))
    query = select(table.c.id, column).where(column >= since, after).order_by(column, table.c.id).limit(CHUNK)
    rows = session.connection().execute(query).all()
    if rows:
        crowded = rescan(session, state.kind, [row.id for row in rows], now).crowded
        outgrown = _paired(session, state.kind, crowded)
        if outgrown:
            rescan(session, state.kind, outgrown, now)
    if len(rows) == CHUNK:
        state.seen_until, state.seen_id = rows[-1].changed_on, rows[-1].id
    else:
        state.seen_until, state.seen_id = max(since, now - _OVERLAP), 0
    return len(rows) if len(rows) == CHUNK else 0


def rescan(session: Session, kind: str, ids: Sequence[int], now: datetime) -> FoundPairs:
    """Find the duplicates of these records, and remove pairs that no longer are. Decisions about pairs stay."""
    found = find(session, kind, ids)
    _drop_others(session, kind, ids, found)
    rows = []
    for (first, second), reasons in sorted(found.pairs.items()):
        bits = bits_of(reasons)
        values = {"kind": kind, "first_id": first, "second_id": second, "reasons": bits, "score": score_of(bits)}
        rows.append(values | {"found_on": now})
    bulk_statements.insert_rows(
        session,
        DuplicatePair,
        rows,
        InsertPlan(unique=("kind", "first_id", "second_id"), update=("reasons", "score")),
    )
    return found


def _drop_others(session: Session, kind: str, ids: Sequence[int], found: FoundPairs) -> None:
    """Delete the undecided pairs of these records that are no longer found."""
    table = DuplicatePair.__table__
    gone = {key for key, first, second in _undecided(session, kind, ids) if (first, second) not in found.pairs}
    for part in batched(sorted(gone), CHUNK):
        session.connection().execute(delete(table).where(table.c.id.in_(part)))


def _paired(session: Session, kind: str, ids: set[int]) -> list[int]:
    """Those of these records that stand in an undecided pair."""
    return sorted(ids & {key for _id, *both in _undecided(session, kind, sorted(ids)) for key in both})


def _undecided(session: Session, kind: str, ids: Sequence[int]) -> Iterator[Any]:
    """(id, first, second) of the undecided pairs of these records; one of two of them comes twice."""
    table = DuplicatePair.__table__
    for part in batched(ids, _IDS_AT_ONCE):
        for side in (table.c.first_id, table.c.second_id):
            own = (table.c.kind == kind, side.in_(part), table.c.dismissed_on.is_(None))
            query = select(table.c.id, table.c.first_id, table.c.second_id).where(*own)
            yield from session.connection().execute(query)
