"""Reads figures by person, leads given, and overdue tasks from the daily sums; see `record_rollup_counts`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import and_, func, literal, null, or_, select, union_all
from sqlalchemy.orm import Session

from app.domain.analytics.figures import CountScope
from app.domain.analytics.record_rollup_counts import BEFORE, BOTH, NOW, Grid, turn_of
from app.domain.analytics.record_rollups import (
    DONE_OF,
    DUE_BY_DAY,
    DUE_BY_MONTH,
    GIVEN,
    GIVEN_TO,
    LEADS_OF,
    PART,
    TICKETS_OF,
    GivenCube,
    RecordSum,
    first_of_month,
)
from app.domain.persistence.recount_marks import KINDS
from app.domain.tasks import OPEN, Task
from app.domain.telephony.call_rollups import day_of, number_of, start_of

#: The cubes of a person's figures of the period, and those of leads given, which a period has to correct.
_OF_PERSON = (LEADS_OF, TICKETS_OF, DONE_OF)
_PLACES: dict[str, tuple[Any, int]] = {
    name: (cube, place) for cube in (*_OF_PERSON, GIVEN_TO) for place, name in enumerate(cube.values)
}
OVERDUE = "tasks_overdue"
_TASKS = KINDS["task"]


def _is_served(scope: CountScope, kind: int) -> bool:
    counted = scope.counted
    return counted is not None and scope.slot is None and not scope.leads and kind in counted.turns


# --- by person


def by_person(session: Session, names: tuple[str, ...], scope: CountScope) -> list[tuple[Any, ...]] | None:
    """[(user id, value of each figure)], also of people outside the scope; None = the sums don't have these figures."""
    if names == (OVERDUE,):
        due = overdue(session, scope)
        return None if due is None else list(due.items())
    if not all(name in _PLACES for name in names):
        return None
    columns = [_column(session, name, scope) for name in names]
    known = [each for each in columns if each is not None]
    if len(known) < len(columns):
        return None
    people = dict.fromkeys(person for each in known for person in each)
    return [(person, *[each.get(person, 0) for each in known]) for person in people]


def _column(session: Session, name: str, scope: CountScope) -> dict[int, int] | None:
    """Person -> their value of a figure in the period."""
    cube, place = _PLACES[name]
    if not _is_served(scope, KINDS[cube.record.__tablename__]):
        return None
    _preload(session, scope)
    found: dict[int, int] = {}
    for _at, key, values in _of_cube(session, cube, scope, NOW) or ():
        if key:
            found[int(key)] = found.get(int(key), 0) + values[place]
    return found if KINDS[cube.record.__tablename__] in scope.counted.turns else None


def _preload(session: Session, scope: CountScope) -> None:
    """Read everything that a table of people shows, in one statement."""
    cubes = [each for each in (*_OF_PERSON, GIVEN_TO) if _is_served(scope, KINDS[each.record.__tablename__])]
    again = [each.again for each in cubes if isinstance(each, GivenCube)]
    scope.counted.preload(session, [*[each.id for each in cubes], *again], scope.period, NOW)


def _of_cube(session: Session, cube: Any, scope: CountScope, days: str) -> Iterator[tuple[int, str, list[int]]] | None:
    """(point, key, sums) of the period, and, for BOTH, the one before, without what counts twice in one of them."""
    grid = scope.counted.sums(session, cube.id, scope.period, days)
    again = scope.counted.sums(session, cube.again, scope.period, days) if isinstance(cube, GivenCube) else {}
    return None if grid is None or again is None else _corrected(grid, again, scope)


def _corrected(grid: Grid, again: Grid, scope: CountScope) -> Iterator[tuple[int, str, list[int]]]:
    starts = {0: number_of(scope.period.first_day), BEFORE: number_of(scope.period.previous().first_day)}
    for (at, key), sums in grid.items():
        yield at, key, sums
    for (at, key), sums in again.items():
        key, before = key.rsplit(PART, 1)
        if int(before) >= starts[at]:
            yield at, key, [-each for each in sums]


# --- leads given, to anybody


def given(session: Session, names: Iterable[str], scope: CountScope) -> dict[str, tuple[int, int]]:
    """Figure -> (in the period, in the previous one), of those of these figures that the sums have."""
    wanted = [name for name in names if name in GIVEN.values]
    if not wanted or scope.people is not None or not _is_served(scope, KINDS["leads"]):
        return {}
    scope.counted.preload(session, [GIVEN.id, GIVEN.again], scope.period, BOTH)
    rows = _of_cube(session, GIVEN, scope, BOTH)
    if rows is None:
        return {}
    totals = {0: [0] * len(GIVEN.values), BEFORE: [0] * len(GIVEN.values)}
    for at, _key, sums in rows:
        totals[at] = [total + each for total, each in zip(totals[at], sums, strict=False)]
    places = {name: GIVEN.values.index(name) for name in wanted}
    return {name: (totals[0][place], totals[BEFORE][place]) for name, place in places.items()}


# --- overdue tasks


def overdue(session: Session, scope: CountScope) -> dict[int | None, int] | None:
    """Person -> their open tasks that were due before now; None = the sums don't have them.

    Whole months and days come from the sums, today from the tasks.
    """
    if not _is_served(scope, _TASKS):
        return None
    if scope.counted.overdue is None:
        scope.counted.overdue = _overdue(session, scope)
    found: dict[int | None, int] | None = scope.counted.overdue
    return found


def _overdue(session: Session, scope: CountScope) -> dict[int | None, int] | None:
    counted, today = scope.counted, day_of(scope.now, scope.period.zone)
    month = first_of_month(today)
    table, found = RecordSum.__table__.c, dict[int | None, int]()
    whole = or_(
        and_(table.cube == DUE_BY_MONTH.id, table.day < month),
        and_(table.cube == DUE_BY_DAY.id, table.day >= month, table.day < today),
    )
    sums = select(turn_of(_TASKS), table.key, null(), func.sum(table.sum_0)).where(whole).group_by(table.key)
    is_due = and_(Task.due_on >= start_of(today, scope.period.zone), Task.due_on < scope.now)
    of_today = select(literal(None), literal(""), Task.assignee_id, func.count())
    of_today = of_today.where(Task.status.in_(OPEN), is_due).group_by(Task.assignee_id)
    for turn, key, person, count in session.execute(union_all(sums, of_today)):
        if turn is not None and not counted.is_current(_TASKS, turn):
            return None
        who = person if turn is None else _person(key)
        found[who] = found.get(who, 0) + int(count)
    for (cube, day, key), values in counted.changed.items():
        if (cube == DUE_BY_MONTH.id and day < month) or (cube == DUE_BY_DAY.id and month <= day < today):
            found[_person(key)] = found.get(_person(key), 0) + values[0]
    return found


def _person(key: str) -> int | None:
    return int(key) if key else None
