"""Reads figures of leads, tickets and tasks from their daily sums.

Rows that have changed since are taken out of the sums as they were counted, and added as they are. Each function
returns None for what the sums can't answer, so that the rows themselves are counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from app.domain.analytics.figures import CountScope
from app.domain.analytics.record_rollup_fill import stored_shares
from app.domain.analytics.record_rollups import (
    MONTH_CUBES,
    MONTHS_AFTER,
    OF_HOLDER,
    PART,
    RECORDS,
    SHARES,
    SUMS,
    CountRules,
    RecordRollupState,
    RecordSum,
    Share,
    cube_ids,
    first_of_month,
    next_month,
    share_by,
)
from app.domain.analytics.record_shares import Sums, add, current, read
from app.domain.periods import Period
from app.domain.persistence.recount_marks import KINDS, RowMark
from app.domain.telephony.call_rollups import day_of, number_of
from app.lib.cached_property import cached_property

#: With more changed rows than this, the rows themselves are counted.
MOST_MARKED = 1000
#: The point of days before the period.
BEFORE = -1
#: Which days are read: the period and the one before it, the period alone, each point of the period, or, of GROUPS,
#: the months and days of the period.
BOTH, NOW, POINTS, WHOLE = "both", "now", "points", "whole"
#: Which rows of a record a reader sees: all; at least those that the one person holds whose figures are read; or
#: exactly those.
ALL, HELD, ONLY_HELD = "all", "held", "only held"
#: (point, key) -> sums.
Grid = dict[tuple[int, str], list[int]]
#: Cube -> its kind of rows.
KIND_OF = {cube: kind for kind, record in RECORDS.items() for cube in cube_ids(record)}


@dataclass
class RecordCoverage:
    """The kinds of rows whose sums can be used, and how those of changed rows differ."""

    #: Kind -> the number of the change of its sums up to which `changed` is right.
    turns: dict[int, int]
    #: Kind -> ALL, HELD or ONLY_HELD.
    sees: dict[int, str]
    #: The one person whose figures are read; None = everybody, or several people of a table.
    person: int | None = None
    #: The stored number of the day of now: later days have few rows, if any.
    today: int = 0
    #: What changed rows add to the sums, beyond what is counted of them.
    changed: Sums = field(default_factory=dict)
    #: Sums that were read, by id of the cube, period and which days.
    _read: dict[tuple[int, Period, str], Grid] = field(default_factory=dict)

    def sums(self, session: Session, cube: int, period: Period, days: str) -> Grid | None:
        """The sums of a cube; `days`: BOTH, NOW, POINTS or WHOLE. None if they were counted anew meanwhile."""
        if (cube, period, days) not in self._read:
            self.preload(session, [cube], period, days)
        return self._read.get((cube, period, days))

    def preload(self, session: Session, cubes: list[int], period: Period, days: str) -> None:
        """Read the sums of these cubes, in one statement."""
        missing = [cube for cube in cubes if (cube, period, days) not in self._read]
        span = _Whole(period, self.person, self.today) if days == WHOLE else _Days(period, days, self.person)
        for cube, grid in (_sums(session, self, missing, span) if missing else {}).items():
            self._read[cube, period, days] = grid

    def is_current(self, kind: int, seen: int) -> bool:
        """Whether sums that were read with this number agree with `changed`."""
        if seen != self.turns.get(kind):
            self.turns.pop(kind, None)  # counted meanwhile, in a database without snapshots
        return kind in self.turns


def coverage_of(session: Session, scope: CountScope, seen: Mapping[Any, str]) -> RecordCoverage | None:
    """The usable sums; None = none. `seen`: record -> ALL, or, for figures of one person, HELD or ONLY_HELD."""
    sees, own = {KINDS[record.__tablename__]: how for record, how in seen.items()}, CountRules.of_scope(scope)
    kinds = sorted(sees)
    state, turns, marked = RecordRollupState.__table__.c, {}, {kind: list[int]() for kind in kinds}
    marks = select(RowMark.kind, RowMark.row_id).where(RowMark.kind.in_(kinds)).distinct().limit(MOST_MARKED + 1)
    known = select(-state.kind, state.turn, state.rules).where(
        state.kind.in_(kinds), state.zone == scope.period.zone.key, state.is_complete
    )
    some = marks.subquery()
    for kind, value, rules in session.execute(union_all(known, select(some.c.kind, some.c.row_id, literal("")))):
        if kind > 0:
            marked[kind].append(value)
        elif rules == own.fingerprint(-kind):
            turns[-kind] = value
    if not turns or sum(map(len, marked.values())) > MOST_MARKED:
        return None
    theirs = {kind: keys for kind, keys in marked.items() if keys and kind in turns}
    today = day_of(scope.now, scope.period.zone)
    return RecordCoverage(turns, sees, one_of(scope.people), today, _changes(session, own, theirs))


def one_of(people: Collection[int] | None) -> int | None:
    """The person, if it is one."""
    return next(iter(people)) if people is not None and len(people) == 1 else None


def _changes(session: Session, rules: CountRules, marked: dict[int, list[int]]) -> Sums:
    """What marked rows add to the sums now, less what is counted of them."""
    found = Sums()
    for rows in stored_shares(session, marked).values():
        for shares in rows.values():
            add(found, read(shares), -1)
    for kind, keys in marked.items():
        for _key, now in current(session, RECORDS[kind], keys, rules):
            add(found, now)
    return found


# --- sums


@dataclass(frozen=True)
class _Days:
    """The days that are read, and the point of each."""

    period: Period
    which: str
    person: int | None

    @property
    def first(self) -> int:
        """The first day."""
        return number_of((self.period.previous() if self.which == BOTH else self.period).first_day)

    @property
    def last(self) -> int:
        """The last day."""
        return number_of(self.period.last_day)

    def cubes(self, cube: int) -> list[int]:
        """The cubes in which the sums of this one stand."""
        return [cube]

    def rule(self, table: Any, cubes: list[int]) -> ColumnElement[bool]:
        """SQL: the sums of these cubes and days, and of the one person.

        The day stands before the person in the primary key: only single days make use of both.
        """
        is_of_cube = table.cube.in_(cubes)
        if self.person is None:
            return and_(is_of_cube, table.day.between(self.first, self.last))
        return and_(is_of_cube, table.day.in_(range(self.first, self.last + 1)), of_person(table.key, self.person))

    def has(self, _cube: int, day: int) -> bool:
        """Whether a sum belongs to them."""
        return self.first <= day <= self.last

    def point_in_sql(self, table: Any) -> Any:
        """SQL: the point of a sum."""
        day, start = table.day, number_of(self.period.first_day)
        return (day - start) // self.period.step if self.which == POINTS else case((day >= start, 0), else_=BEFORE)

    def point(self, _cube: int, day: int) -> int:
        """The point of a sum."""
        after = day - number_of(self.period.first_day)
        return after // self.period.step if self.which == POINTS else 0 if after >= 0 else BEFORE


#: The point of sums that are taken out again.
TAKEN_OUT = -2


@dataclass(frozen=True)
class _Whole:
    """The months of a period that are read as such, and the days that are added to them or taken out."""

    period: Period
    person: int | None
    today: int

    @cached_property
    def _spans(self) -> tuple[list[int], list[int], list[int]]:
        """(first days of months, days to add, days to take out): whichever are fewer, of each month."""
        months, added, taken = list[int](), list[int](), list[int]()
        for month, days in groupby(range(*self._ends), first_of_month):
            within = [*days]
            rest = sorted({*range(month, next_month(month))} - {*within})
            if sum(day <= self.today for day in rest) < len(within):
                months.append(month)
                taken += rest
            else:
                added += within
        return months, added, taken

    @property
    def _ends(self) -> tuple[int, int]:
        return number_of(self.period.first_day), number_of(self.period.last_day) + 1

    def cubes(self, cube: int) -> list[int]:
        """The cubes in which the sums of this one stand: its own, and that of months."""
        return [cube, cube + MONTHS_AFTER]

    def rule(self, table: Any, cubes: list[int]) -> ColumnElement[bool]:
        """SQL: the sums of these months and days, and of the one person."""
        months, added, taken = self._spans
        of_months = [cube for cube in cubes if cube in MONTH_CUBES]
        of_days = [cube for cube in cubes if cube not in MONTH_CUBES]
        spans = [(of_months, months), (of_days, sorted([*added, *taken]))]
        rules = [and_(table.cube.in_(some), table.day.in_(days)) for some, days in spans if days]
        own = [] if self.person is None else [of_person(table.key, self.person)]
        return or_(*[and_(rule, *own) for rule in rules])

    def has(self, cube: int, day: int) -> bool:
        """Whether a sum belongs to them."""
        months, added, taken = self._spans
        return day in months if cube in MONTH_CUBES else day in added or day in taken

    def point_in_sql(self, table: Any) -> Any:
        """SQL: the point of a sum."""
        _months, _added, taken = self._spans
        # MariaDB groups by no constant, so that it is a CASE also if there is none.
        is_taken = and_(table.cube.not_in(sorted(MONTH_CUBES)), table.day.in_(taken or [0]))
        return case((is_taken, TAKEN_OUT), else_=0)

    def point(self, cube: int, day: int) -> int:
        """The point of a sum."""
        return TAKEN_OUT if cube not in MONTH_CUBES and day in self._spans[2] else 0


def _sums(session: Session, coverage: RecordCoverage, cubes: list[int], days: _Days | _Whole) -> dict[int, Grid]:
    table, kinds = RecordSum.__table__.c, sorted({KIND_OF[cube] for cube in cubes})
    read_as = {each: cube for cube in cubes for each in days.cubes(cube)}
    point, sums = days.point_in_sql(table).label("point"), [func.sum(table[name]) for name in SUMS]
    query = select(*map(turn_of, kinds), table.cube, point, table.key, *sums).where(days.rule(table, [*read_as]))
    found: dict[int, Grid] = {cube: {} for cube in cubes}
    for row in session.execute(query.group_by(table.cube, point, table.key)):
        if not all(map(coverage.is_current, kinds, row)):
            return {}
        cube, at, key, *values = row[len(kinds) :]
        _add(found[read_as[cube]], (int(at), key), [int(value) for value in values])
    for (cube, day, key), values in coverage.changed.items():
        is_read = cube in read_as and days.has(cube, day)
        if is_read and (days.person is None or is_of_person(key, days.person)):
            _add(found[read_as[cube]], (days.point(cube, day), key), values)
    return found


def _add(grid: Grid, place: tuple[int, str], values: list[int]) -> None:
    """Add sums to those that stand there."""
    before = grid.get(place)
    grid[place] = values if before is None else [a + b for a, b in zip(before, values, strict=True)]


def of_person(key: Any, person: int) -> ColumnElement[bool]:
    """SQL: keys that are, or begin with, this person: "12" and "12/3", but not "120". "0" follows PART."""
    return and_(key >= str(person), key < f"{person}0")


def is_of_person(key: str, person: int) -> bool:
    """`of_person` of a key."""
    return key.partition(PART)[0] == str(person)


def turn_of(kind: int) -> Any:
    """SQL: the number of the last change of the sums of a kind of rows."""
    return select(RecordRollupState.turn).where(RecordRollupState.kind == kind).scalar_subquery()


def _selected(share: Share, grid: Grid, scope: CountScope) -> Iterator[tuple[tuple[int, str], int]]:
    """(point and key, value) of a figure."""
    wanted: Collection[str] | None = None
    if share.meanings is not None:
        wanted = {str(key) for key in scope.status_ids(share.picklist, share.meanings)}
    place = list(share.cube.values).index(share.value)
    for key, sums in grid.items():
        if wanted is None or key[1] in wanted:
            yield key, sums[place]


def _usable(scope: CountScope, names: Iterable[str]) -> bool:
    """Whether the sums have these figures, for everybody together or one person."""
    return all(name in SHARES and is_served(scope, _kind_of(SHARES[name])) for name in names) and (
        scope.people is None or scope.counted.person is not None
    )


def is_served(scope: CountScope, kind: int, *sees: str) -> bool:
    """Whether the sums of a kind of rows can be used; `sees`: only if the reader sees that much; none = anything."""
    counted = scope.counted
    return (
        counted is not None
        and scope.slot is None
        and not scope.leads
        and counted.person == one_of(scope.people)
        and kind in counted.turns
        and (not sees or counted.sees[kind] in sees)
    )


def _kind_of(share: Share) -> int:
    return KINDS[share.cube.record.__tablename__]


def _grid(session: Session, share: Share, scope: CountScope, days: str) -> Grid | None:
    """The sums of a figure's cube, by point and key: of everybody, or of the one person."""
    coverage = scope.counted
    found: Grid | None = coverage.sums(session, _cube_of(share, scope), scope.period, days)
    if found is None or coverage.person is None:
        return found
    return {(at, key.partition(PART)[2]): sums for (at, key), sums in found.items()}


def _cube_of(share: Share, scope: CountScope) -> int:
    return share.cube.id if scope.counted.person is None else OF_HOLDER[share.cube.id]


# --- figures


def preload(session: Session, names: Iterable[str], scope: CountScope) -> None:
    """Read the sums of these figures in one statement, as far as there are any."""
    cubes = dict.fromkeys(_cube_of(SHARES[name], scope) for name in served(scope, names))
    if cubes:
        scope.counted.preload(session, [*cubes], scope.period, BOTH)


def served(scope: CountScope, names: Iterable[str]) -> list[str]:
    """Those of these figures that the sums have."""
    return [name for name in names if _usable(scope, [name])]


def by_period(session: Session, names: list[str], scope: CountScope) -> dict[str, tuple[int, int]] | None:
    """Figure -> (in the period, in the previous one)."""
    found = {}
    for name in names:
        share = SHARES[name]
        grid = _grid(session, share, scope, BOTH)
        if grid is None:
            return None
        totals = {0: 0, BEFORE: 0}
        for (at, _key), value in _selected(share, grid, scope):
            totals[at] += value
        found[name] = (totals[0], totals[BEFORE])
    return found


def preload_groups(session: Session, groups: Iterable[tuple[str, str]], scope: CountScope) -> None:
    """Read the sums of these figures by these columns in one statement, as far as there are any."""
    shares = [share for name, column in groups if (share := _share_by(name, column, scope)) is not None]
    if shares:
        cubes = dict.fromkeys(_cube_of(share, scope) for share in shares)
        scope.counted.preload(session, [*cubes], scope.period, WHOLE)


def _share_by(name: str, column: str, scope: CountScope) -> Share | None:
    """How a figure is read by a column; None = the sums can't be used for it."""
    return share_by(name, column) if _usable(scope, [name]) else None


def count_by(session: Session, name: str, column: Any, scope: CountScope) -> list[tuple[Any, int]] | None:
    """[(value of the column, rows of the figure)], the most first."""
    share = _share_by(name, column.key, scope)
    grid = None if share is None else _grid(session, share, scope, WHOLE)
    if share is None or grid is None:
        return None
    counts: dict[str, int] = {}
    for (at, key), value in _selected(share, grid, scope):
        counts[key] = counts.get(key, 0) + (-value if at == TAKEN_OUT else value)
    convert = column.type.python_type
    rows = [(convert(key) if key else None, count) for key, count in counts.items() if count]
    return sorted(rows, key=lambda row: (-row[1], row[0] is not None, row[0]))


def by_point(session: Session, names: list[str], scope: CountScope) -> dict[str, list[int]] | None:
    """Figure -> its value at each point of a period of several days."""
    if scope.period.days == 1 or not _usable(scope, names):
        return None
    found = {}
    scope.counted.preload(
        session, [*dict.fromkeys(_cube_of(SHARES[name], scope) for name in names)], scope.period, POINTS
    )
    for name in names:
        grid = _grid(session, SHARES[name], scope, POINTS)
        if grid is None:
            return None
        found[name] = [0] * len(scope.period.points())
        for (at, _key), value in _selected(SHARES[name], grid, scope):
            found[name][at] += value
    return found
