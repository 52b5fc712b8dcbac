"""Reads figures by person, leads given, and overdue tasks from the daily sums; see `record_rollup_counts`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from sqlalchemy import and_, func, literal, null, or_, select, true, union_all
from sqlalchemy.orm import Session

from app.domain.analytics.figures import CountScope
from app.domain.analytics.record_rollup_counts import (
    ALL,
    BEFORE,
    BOTH,
    NOW,
    ONLY_HELD,
    Grid,
    is_of_person,
    is_served,
    of_person,
    turn_of,
)
from app.domain.analytics.record_rollups import (
    DONE_OF,
    DUE_BY_DAY,
    DUE_BY_HOUR,
    DUE_BY_MONTH,
    GIVEN,
    GIVEN_AND_HELD,
    GIVEN_TO,
    HOURS,
    LEADS_OF,
    PART,
    TICKETS_OF,
    GivenCube,
    RecordSum,
    first_of_month,
    hour_of,
    start_of_hour,
)
from app.domain.persistence.recount_marks import KINDS
from app.domain.tasks import OPEN, Task
from app.domain.telephony.call_rollups import number_of

#: The cubes of a person's figures of the period, and those of leads given, which a period has to correct.
_OF_PERSON = (LEADS_OF, TICKETS_OF, DONE_OF)
_PLACES: dict[str, tuple[Any, int]] = {
    name: (cube, place) for cube in (*_OF_PERSON, GIVEN_TO) for place, name in enumerate(cube.values)
}
OVERDUE = "tasks_overdue"
#: Before the first of all days.
_EVER = number_of(date.min)
_LEADS, _TASKS = KINDS["leads"], KINDS["task"]


def _has_cube(scope: CountScope, cube: Any) -> bool:
    """Whether the sums of a cube can be used; a lead that was given to a person may be out of the reader's reach."""
    sees = (ALL,) if isinstance(cube, GivenCube) else ()
    return is_served(scope, KINDS[cube.record.__tablename__], *sees)


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
    if not _has_cube(scope, cube):
        return None
    _preload(session, scope)
    found: dict[int, int] = {}
    for _at, key, values in _of_cube(session, cube, scope, NOW) or ():
        if key:
            found[int(key)] = found.get(int(key), 0) + values[place]
    return found if KINDS[cube.record.__tablename__] in scope.counted.turns else None


def _preload(session: Session, scope: CountScope) -> None:
    """Read everything that a table of people shows, in one statement."""
    cubes = [each for each in (*_OF_PERSON, GIVEN_TO) if _has_cube(scope, each)]
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


# --- leads given, to anybody or to the one person


def given(session: Session, names: Iterable[str], scope: CountScope) -> dict[str, tuple[int, int]]:
    """Figure -> (in the period, in the previous one), of those of these figures that the sums have."""
    wanted, cube = [name for name in names if name in GIVEN.values], _given_cube(scope)
    if not wanted or cube is None:
        return {}
    scope.counted.preload(session, [cube.id, cube.again], scope.period, BOTH)
    rows = _of_cube(session, cube, scope, BOTH)
    if rows is None:
        return {}
    totals = {0: [0] * len(GIVEN.values), BEFORE: [0] * len(GIVEN.values)}
    for at, _key, sums in rows:
        totals[at] = [total + each for total, each in zip(totals[at], sums, strict=False)]
    places = {name: GIVEN.values.index(name) for name in wanted}
    return {name: (totals[0][place], totals[BEFORE][place]) for name, place in places.items()}


def _given_cube(scope: CountScope) -> GivenCube | None:
    """The cube of the leads that the reader sees; None = no sums have them."""
    if is_served(scope, _LEADS, ALL):
        return GIVEN if scope.people is None else GIVEN_TO if scope.counted.person is not None else None
    return GIVEN_AND_HELD if is_served(scope, _LEADS, ONLY_HELD) else None


# --- overdue tasks


def overdue(session: Session, scope: CountScope) -> dict[int | None, int] | None:
    """Person -> their open tasks that were due before now; None = the sums don't have them.

    Whole months, days, and hours of today come from the sums, the hour that has begun from the tasks.
    """
    if not is_served(scope, _TASKS):
        return None
    return _overdue(session, scope, is_by_person=True)


def count_overdue(session: Session, scope: CountScope) -> int | None:
    """The overdue tasks of everybody, or of the one person; None = the sums don't have them."""
    if not is_served(scope, _TASKS) or (scope.people is not None and scope.counted.person is None):
        return None
    due = _overdue(session, scope, is_by_person=False)
    return None if due is None else sum(due.values())


def _overdue(session: Session, scope: CountScope, is_by_person: bool) -> dict[int | None, int] | None:
    """Person -> their overdue tasks; or all under None."""
    counted, found = scope.counted, dict[int | None, int]()
    for turn, key, whose, count in session.execute(_due_before(scope, is_by_person)):
        if turn is not None and not counted.is_current(_TASKS, turn):
            return None
        who = whose if turn is None else _person(key)
        found[who] = found.get(who, 0) + int(count or 0)
    for (cube, day, key), values in counted.changed.items():
        first, end = _due_spans(scope).get(cube, (0, 0))
        if first <= day < end and (counted.person is None or is_of_person(key, counted.person)):
            who = _person(key) if is_by_person else None
            found[who] = found.get(who, 0) + values[0]
    return found


def _due_spans(scope: CountScope) -> dict[int, tuple[int, int]]:
    """Cube -> the first of its days or hours, and the one after the last, of what was due before this hour."""
    zone = scope.period.zone
    hour = hour_of(scope.now, zone)
    today, month = hour // HOURS, first_of_month(hour // HOURS)
    return {
        DUE_BY_MONTH.id: (_EVER, month),
        DUE_BY_DAY.id: (month, today),
        DUE_BY_HOUR.id: (HOURS * today, hour),
    }


def _due_before(scope: CountScope, is_by_person: bool) -> Any:
    """SQL: (change of the sums, key, null, tasks) due before this hour; (null, "", person, tasks) in it, before now.

    All together are read half as often as by person: no row is looked up in its group.
    """
    table, person = RecordSum.__table__.c, scope.counted.person
    own, held = (true(), true()) if person is None else (of_person(table.key, person), Task.assignee_id == person)
    spans = _due_spans(scope).items()
    whole = or_(*[and_(table.cube == cube, _within(table.day, span, person)) for cube, span in spans])
    key, holder = (table.key, Task.assignee_id) if is_by_person else (literal(""), null())
    sums = select(turn_of(_TASKS), key, null(), func.sum(table.sum_0)).where(whole, own)
    zone = scope.period.zone
    is_due = and_(Task.due_on >= start_of_hour(hour_of(scope.now, zone), zone), Task.due_on < scope.now)
    tasks = select(null(), literal(""), holder, func.count()).where(Task.status.in_(OPEN), is_due, held)
    return union_all(sums.group_by(key), tasks.group_by(holder)) if is_by_person else union_all(sums, tasks)


def _within(day: Any, span: tuple[int, int], person: int | None) -> Any:
    """SQL: whether a day or hour is in this span; as a list for one person, see `record_rollup_counts._Days`."""
    first, end = span
    is_short = person is not None and first != _EVER
    return day.in_(range(first, end)) if is_short else and_(day >= first, day < end)


def _person(key: str) -> int | None:
    return int(key) if key else None
