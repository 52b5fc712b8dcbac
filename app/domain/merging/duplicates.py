"""Searches for duplicates: chunks of records, each looked up by indexes; then whatever has changed since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from difflib import SequenceMatcher
from typing import Any

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.orm import Session

from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.merging.duplicate_pairs import DuplicatePair, DuplicateScan, bits_of, score_of
from app.domain.persistence import bulk
from app.lib.batches import batched

#: Records that are scanned, by table.
SCANNED: dict[str, Any] = {"leads": Lead, "customer": Customer}
#: Records per transaction.
CHUNK = 500
#: If more records share a value, each is paired with this many others: a value of hundreds identifies nobody.
MOST_PARTNERS = 7
#: The most records of one birth date whose names are compared.
_MOST_BORN = 200
#: The similarity, 0 to 1, from which names count as similar.
_SIMILAR = 0.84
#: Changes may be committed later than others with a later time.
_OVERLAP = timedelta(seconds=90)

_VALUES = (
    ("mobile", ("mobile_e164", "alternative_e164")),
    ("email", ("email",)),
    ("pan", ("pan_blind",)),
    ("aadhaar", ("aadhaar_blind",)),
)
_NAMES = ("first_name", "last_name")

#: (older id, newer id) -> reasons.
Found = dict[tuple[int, int], set[str]]


def chunks_left(session: Session, kind: str) -> int:
    """The most chunks that are left to scan; includes one for later changes."""
    table, state = SCANNED[kind].__table__, session.get(DuplicateScan, kind)
    if state is not None and state.finished_on is not None:
        since = state.seen_until or state.finished_on
        query = select(func.count()).select_from(table).where(table.c.changed_on >= since)
    else:
        query = select(func.count()).select_from(table).where(table.c.id > (state.position if state else 0))
    return int(session.connection().execute(query).scalar() or 0) // CHUNK + 2


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
    table = SCANNED[state.kind].__table__
    query = select(table.c.id).where(table.c.id > state.position).order_by(table.c.id).limit(CHUNK)
    ids = list(session.connection().scalars(query))
    if not ids:
        state.finished_on = now
        return 0
    rescan(session, state.kind, ids, now)
    state.position = ids[-1]
    return len(ids)


def _changed(session: Session, state: DuplicateScan, now: datetime) -> int:
    table, since = SCANNED[state.kind].__table__, state.seen_until or now
    column = table.c.changed_on
    after = or_(column > since, and_(column == since, table.c.id > state.seen_id))
    query = select(table.c.id, column).where(column >= since, after).order_by(column, table.c.id).limit(CHUNK)
    rows = session.connection().execute(query).all()
    if rows:
        rescan(session, state.kind, [row.id for row in rows], now)
    if len(rows) == CHUNK:
        state.seen_until, state.seen_id = rows[-1].changed_on, rows[-1].id
    else:
        state.seen_until, state.seen_id = max(since, now - _OVERLAP), 0
    return len(rows) if len(rows) == CHUNK else 0


def rescan(session: Session, kind: str, ids: Sequence[int], now: datetime) -> None:
    """Find the duplicates of these records, and remove pairs that no longer are. Decisions about pairs stay."""
    found = find(session, kind, ids)
    _drop_others(session, kind, ids, found)
    rows = []
    for (first, second), reasons in sorted(found.items()):
        bits = bits_of(reasons)
        values = {"kind": kind, "first_id": first, "second_id": second, "reasons": bits, "score": score_of(bits)}
        rows.append(values | {"found_on": now})
    bulk.insert_rows(
        session, DuplicatePair, rows, unique=("kind", "first_id", "second_id"), update=("reasons", "score")
    )


def find(session: Session, kind: str, ids: Sequence[int]) -> Found:
    """The pairs of these records with any others, and their reasons; by indexes on the values."""
    record = SCANNED[kind]
    found: Found = defaultdict(set)
    for reason, columns in _VALUES:
        _same_value(session, record.__table__, ids, (reason, columns), found)
    if "date_of_birth" in record.__table__.c:
        _same_birth(session, record.__table__, ids, found)
    return found


def _same_value(session: Session, table: Any, ids: Sequence[int], what: tuple[str, Any], found: Found) -> None:
    reason, names = what
    columns = [table.c[name] for name in names]
    connection = session.connection()
    values = {
        value
        for row in connection.execute(select(*columns).where(table.c.id.in_(ids)))
        for value in row
        if value not in (None, "")
    }
    if not values:
        return
    holders: dict[Any, set[int]] = defaultdict(set)
    for column in columns:
        for key, value in connection.execute(select(table.c.id, column).where(column.in_(sorted(values)))):
            holders[value].add(key)
    _pair(holders.values(), set(ids), reason, found)


def _pair(groups: Iterable[set[int]], wanted: set[int], reason: str, found: Found) -> None:
    for group in groups:
        keys = sorted(group)
        for place, key in enumerate(keys):
            for older in keys[max(0, place - MOST_PARTNERS) : place]:
                if key in wanted or older in wanted:
                    found[older, key].add(reason)


def _same_birth(session: Session, table: Any, ids: Sequence[int], found: Found) -> None:
    connection = session.connection()
    birth_date = table.c.date_of_birth
    days = sorted(set(connection.scalars(select(birth_date).where(table.c.id.in_(ids), birth_date.is_not(None)))))
    if not days:
        return
    people: dict[date, list[tuple[int, str]]] = defaultdict(list)
    query = (
        select(table.c.id, birth_date, *(table.c[name] for name in _NAMES))
        .where(birth_date.in_(days))
        .order_by(table.c.id)
    )
    for key, day, *names in connection.execute(query):
        people[day].append((key, _name(names)))
    for those in people.values():
        if len(those) <= _MOST_BORN:  # 1 January is often entered without care
            _similar(those, set(ids), found)


def _similar(people: list[tuple[int, str]], wanted: set[int], found: Found) -> None:
    for place, (key, name) in enumerate(people):
        for older, other in people[:place]:
            if (key in wanted or older in wanted) and name and is_similar(name, other):
                found[older, key].add("birth")


def _name(parts: Iterable[str | None]) -> str:
    return " ".join(" ".join(part for part in parts if part).casefold().split())


def is_similar(one: str, other: str) -> bool:
    """Whether two names may be the same: the same words in any order, or with one or two letters mistyped."""
    first, second = (" ".join(sorted(each.split())) for each in (one, other))
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    return matcher.quick_ratio() >= _SIMILAR and matcher.ratio() >= _SIMILAR


def _drop_others(session: Session, kind: str, ids: Sequence[int], found: Found) -> None:
    """Delete the undecided pairs of these records that are no longer found."""
    table = DuplicatePair.__table__
    own = and_(
        table.c.kind == kind,
        or_(table.c.first_id.in_(ids), table.c.second_id.in_(ids)),
        table.c.dismissed_on.is_(None),
    )
    query = select(table.c.id, table.c.first_id, table.c.second_id).where(own)
    gone = [key for key, first, second in session.connection().execute(query) if (first, second) not in found]
    for part in batched(gone, CHUNK):
        session.connection().execute(delete(table).where(table.c.id.in_(part)))
