"""What each lead, ticket and task adds to the daily sums: read from the row, and in its stored form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.analytics.record_rollups import (
    GIVEN_CUBES,
    GIVEN_FACTS,
    HOLDERS,
    OF_HOLDER,
    PART,
    SUMS,
    CountRules,
    Cube,
    cubes_of,
)
from app.domain.assignment import Assignment
from app.domain.leads import Lead
from app.domain.telephony.call_rollups import day_of
from app.domain.tickets import Ticket
from app.lib.batches import batched

#: Rows of one statement.
AT_ONCE = 500
#: Rows read at once of all.
_OF_ALL = 5000
#: (cube, day, key) -> sums.
Sums = dict[tuple[int, int, str], list[int]]
#: Who got a lead, and when.
_Given = tuple[int, datetime]


# --- the stored form


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


# --- rows


def current(session: Session, record: Any, keys: Iterable[int], rules: CountRules) -> Iterator[tuple[int, Sums]]:
    """(id, what it adds now) of these rows, of those that exist."""
    for some in batched(list(keys), AT_ONCE):
        rows = session.execute(_rows_query(record).where(record.id.in_(some)), rules.parameters).all()
        given = _given(session, record, [row[0] for row in rows])
        for row in rows:
            own, theirs = _shares_of(record, row, rules.zone), given.get(row[0], [])
            holders = _holders(record, row, theirs)
            shares = own | _of_holders(own, holders)
            yield row[0], shares | _given_shares(row, theirs, holders, rules.zone) if record is Lead else shares


def of_all(session: Session, record: Any, rules: CountRules) -> Iterator[tuple[int, Sums]]:
    """`current` of all rows of a record."""
    last, query = 0, select(record.id).order_by(record.id).limit(_OF_ALL)
    while keys := session.scalars(query.where(record.id > last)).all():
        yield from current(session, record, keys, rules)
        last = keys[-1]


def _rows_query(record: Any) -> Any:
    """SELECT the id of each row, its holders, and what its shares are made of."""
    holders = [getattr(record, name) for name in HOLDERS[record]]
    facts = [each.label(f"fact_{n}") for n, each in enumerate(GIVEN_FACTS if record is Lead else ())]
    return select(record.id, *holders, *[column for cube in cubes_of(record) for column in _labeled(cube)], *facts)


def _labeled(cube: Cube) -> list[Any]:
    return [column.label(f"cube_{cube.id}_{n}") for n, column in enumerate(cube.columns)]


def _shares_of(record: Any, row: Any, zone: ZoneInfo) -> Sums:
    found: Sums = {}
    place = 1 + len(HOLDERS[record])
    for cube in cubes_of(record):
        moment, key, *values = row[place : place + 2 + len(cube.values)]
        place += 2 + len(cube.values)
        if moment is not None and any(values):
            sums = [int(each or 0) for each in values]
            found[cube.id, cube.day(moment, zone), "" if key is None else str(key)] = sums
    return found


# --- people


def _given(session: Session, record: Any, keys: Sequence[int]) -> dict[int, list[_Given]]:
    """Lead -> everybody who got it; ticket -> its assignees."""
    table, found = Assignment.__table__.c, dict[int, list[_Given]]()
    if not keys or record not in (Lead, Ticket):
        return found
    column = table.lead_id if record is Lead else table.ticket_id
    query = select(column, table.user_id, table.started_on).where(column.in_(list(keys)))
    for row, person, moment in session.execute(query if record is Lead else query.where(table.ended_on.is_(None))):
        found.setdefault(row, []).append((person, moment))
    return found


def _holders(record: Any, row: Any, given: Iterable[_Given]) -> set[int]:
    """Who holds a row, as `figures.OF_PEOPLE` says it."""
    of_columns = {each for each in row[1 : 1 + len(HOLDERS[record])] if each is not None}
    return of_columns | {person for person, _moment in given} if record is Ticket else of_columns


def _of_holders(own: Sums, holders: Iterable[int]) -> Sums:
    """What a row adds to the cubes of its holders."""
    return {
        (OF_HOLDER[cube], day, f"{holder}{PART}{key}"): sums
        for (cube, day, key), sums in own.items()
        if cube in OF_HOLDER
        for holder in holders
    }


def _given_shares(row: Any, given: Iterable[_Given], holders: set[int], zone: ZoneInfo) -> Sums:
    """What a lead adds to the GIVEN_CUBES; the row ends with GIVEN_FACTS."""
    found: Sums = {}
    for cube in GIVEN_CUBES:
        days: dict[str, set[int]] = {}
        for person, moment in given:
            if cube.is_held and person not in holders:
                continue
            days.setdefault(str(person) if cube.is_by_person else "", set()).add(day_of(moment, zone))
        for key, theirs in days.items():
            before = None
            for day in sorted(theirs):
                values = [1, *[int(each) for each in row[-len(GIVEN_FACTS) :]]]
                found[cube.id, day, key] = values
                if before is not None:
                    found[cube.again, day, f"{key}{PART}{before}"] = values
                before = day
    return found
