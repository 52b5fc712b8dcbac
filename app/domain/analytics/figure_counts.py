"""Counts the figures in grouped statements; the caller's session adds the person's access rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, distinct, exists, func, literal, select, true
from sqlalchemy.orm import Session

from app.domain.analytics import call_rollup_counts, record_person_counts, record_rollup_counts
from app.domain.analytics.figures import FIGURES, CountScope, Figure
from app.domain.periods import Period
from app.domain.telephony.calls import CallLog


@dataclass(frozen=True)
class FigureCount:
    """A figure in the period, and in the previous one; None = there is no previous value."""

    now: int
    before: int | None = None

    @property
    def change(self) -> float | None:
        """The change in percent; None without a previous value."""
        return change(self.now, self.before)


RETURNED = "calls_missed_returned"
#: Figure -> which calls it compares with others, and of how many at most: each missed call is looked for among later
#: ones, and different numbers are collected in the memory of the process.
MOST_COMPARED = {RETURNED: ("calls_missed", 100_000), "numbers": ("calls", 500_000)}


def change(now: float, before: float | None) -> float | None:
    """The change of a figure in percent; None if there was nothing before."""
    return round(100 * (now - before) / before, 1) if before else None


def rate(part: int, whole: int) -> float | None:
    """The percentage; None if the whole is 0."""
    return round(100 * part / whole, 1) if whole else None


def mean(total: int, count: int) -> float | None:
    """The mean; None if the count is 0."""
    return round(total / count, 2) if count else None


def sum_each(session: Session, record: Any, parts: Mapping[str, Any], *conditions: Any) -> dict[str, int]:
    """Name -> the sum of this expression over the matching rows, in one statement."""
    query = select(*[func.sum(part) for part in parts.values()]).select_from(record)
    sums = session.execute(query.where(*conditions)).one()
    return {name: int(each or 0) for name, each in zip(parts, sums, strict=True)}


def when(condition: ColumnElement[bool], value: Any = None) -> Any:
    """SQL: 1, or the value, if the condition holds, else 0."""
    return case((condition, 1 if value is None else value), else_=0)


def count_all(
    session: Session, names: Iterable[str], scope: CountScope, compare: bool = True
) -> dict[str, FigureCount]:
    """Each figure in the period and in the previous one; one statement per record.

    Those of MOST_COMPARED are left out if the period has too many calls.
    """
    by_record: dict[Any, list[str]] = {}
    found: dict[str, FigureCount] = {}
    names = list(names)
    record_rollup_counts.preload(session, names, scope)
    for name in names:
        if name not in _NUMBERS:
            by_record.setdefault(FIGURES[name].record, []).append(name)
    for some in by_record.values():
        summed = record_rollup_counts.by_period(session, record_rollup_counts.served(scope, some), scope)
        given = record_person_counts.given(session, some, scope)
        for name, (now, before) in ((summed or {}) | given).items():
            found[name] = FigureCount(now, before if compare else None)
        if record_person_counts.OVERDUE in some:
            found |= _overdue(session, scope)
        rest = [name for name in some if name not in found]
        found |= _count_of(session, rest, scope, compare) if rest else {}
    for name in names:
        if name in _NUMBERS and not _compares_too_many(session, name, scope, found):
            found[name] = FigureCount(_number_of(session, name, scope))
    return found


def _compares_too_many(session: Session, name: str, scope: CountScope, found: Mapping[str, FigureCount]) -> bool:
    """Whether a figure would compare too many calls with each other; `found`: figures counted before."""
    if name not in MOST_COMPARED:
        return False
    compared, most = MOST_COMPARED[name]
    calls = found.get(compared) or count_all(session, [compared], scope, compare=False)[compared]
    return calls.now > most


def _overdue(session: Session, scope: CountScope) -> dict[str, FigureCount]:
    """The figure of overdue tasks, if the daily sums have it."""
    due = record_person_counts.count_overdue(session, scope)
    return {} if due is None else {record_person_counts.OVERDUE: FigureCount(due)}


def _count_of(session: Session, names: list[str], scope: CountScope, compare: bool) -> dict[str, FigureCount]:
    some = [FIGURES[name] for name in names]
    if call_rollup_counts.can_count(scope, names):
        found = call_rollup_counts.by_period(session, names, scope, compare)
        return {name: FigureCount(now, before if compare else None) for name, (now, before) in found.items()}
    if len({each.at for each in some}) == 1 and some[0].at:
        return _by_period(session, names, scope, compare)
    return _by_each_time(session, names, scope, compare)


def _by_each_time(session: Session, names: list[str], scope: CountScope, compare: bool) -> dict[str, FigureCount]:
    """Figures of one record by several time columns, in one statement of sub-selects of one row each.

    Each reads its own range of its own index; with OR between the ranges, databases read the whole table.
    """
    parts: list[Any] = []
    for at in dict.fromkeys(FIGURES[name].at for name in names):
        some = [name for name in names if FIGURES[name].at == at]
        parts += [_of_time(some, scope, compare)] if at else _of_rules(some, scope, compare)
    rows = [part.subquery() for part in parts]
    joined: Any = rows[0]
    for row in rows[1:]:
        joined = joined.join(row, row.c.one == rows[0].c.one)
    query = select(*[column for row in rows for column in row.c if column.key != "one"]).select_from(joined)
    found = {key: int(value or 0) for key, value in session.execute(query).mappings().one().items()}
    return {name: FigureCount(found[name], found.get(_BEFORE + name)) for name in names}


#: Sub-selects of one row are joined on this.
_ONE: Any = literal(1).label("one")
#: Prefix of the columns with figures of the previous period.
_BEFORE = "before_"


def _of_time(names: list[str], scope: CountScope, compare: bool) -> Any:
    """SQL: the sums of figures by one time column, over the rows of both periods."""
    first = FIGURES[names[0]]
    column: Any = getattr(first.record, first.at)
    both = replace(scope.period, first_day=scope.period.previous().first_day) if compare else scope.period
    sums = []
    for name in names:
        each = FIGURES[name]
        rule = true() if each.rule is None else each.rule(scope)
        sums.append(func.sum(when(and_(column >= scope.period.start, rule), each.value)).label(name))
        if compare:
            sums.append(func.sum(when(and_(column < scope.period.start, rule), each.value)).label(_BEFORE + name))
    return (
        select(_ONE, *sums).select_from(first.record).where(replace(first, rule=None).rows(replace(scope, period=both)))
    )


def _of_rules(names: list[str], scope: CountScope, compare: bool) -> list[Any]:
    """SQL: figures whose rule contains the period, each in a select of its own."""
    found = []
    for name in names:
        each = FIGURES[name]
        value = func.count() if each.value is None else func.sum(each.value)
        scopes = {"": scope} | ({_BEFORE: scope.before()} if compare and each.is_of_period else {})
        for prefix, one in scopes.items():
            found.append(select(_ONE, value.label(prefix + name)).select_from(each.record).where(each.rows(one)))
    return found


def _by_period(session: Session, names: list[str], scope: CountScope, compare: bool) -> dict[str, FigureCount]:
    """Figures of one record by one time column: each row is assigned to a period once, not for each figure."""
    first = FIGURES[names[0]]
    column: Any = getattr(first.record, first.at)
    is_now = case((column >= scope.period.start, 1), else_=0).label("is_now")
    sums = [_sum_of(FIGURES[name], scope) for name in names]
    both = replace(scope.period, first_day=scope.period.previous().first_day) if compare else scope.period
    wanted = replace(first, rule=None).rows(replace(scope, period=both))
    query = select(is_now, *sums).select_from(first.record).where(wanted).group_by(is_now)
    by_flag = {int(flag): counts for flag, *counts in session.execute(query)}
    now, before = (by_flag.get(flag, [0] * len(names)) for flag in (1, 0))
    return {
        name: FigureCount(int(now[place] or 0), int(before[place] or 0) if compare else None)
        for place, name in enumerate(names)
    }


def _sum_of(figure: Figure, scope: CountScope) -> Any:
    """SQL: the figure, over rows known to be in the period."""
    if figure.rule is None:
        return func.count() if figure.value is None else func.sum(figure.value)
    return func.sum(when(figure.rule(scope), figure.value))


def _unique_numbers(scope: CountScope) -> Any:
    """The number of different numbers; a list shows the first call with each."""
    calls = FIGURES["calls"].rows(scope)
    return select(func.count(distinct(CallLog.other_e164))).where(calls)


def _new_numbers(scope: CountScope, since: datetime | None = None) -> Any:
    """The number of different numbers without a call before the period, or the part of it that begins at `since`."""
    since = since or scope.period.start
    within = (FIGURES["calls"].rows(scope), CallLog.started_on >= since, CallLog.other_e164.is_not(None))
    numbers = select(CallLog.other_e164).where(*within).distinct().subquery()
    earlier: Any = CallLog.__table__.alias("earlier")
    rules = [earlier.c.other_e164 == numbers.c.other_e164, earlier.c.started_on < since]
    if scope.people is not None:
        rules.append(earlier.c.employee_id.in_(sorted(scope.people)))
    return select(func.count()).select_from(numbers).where(~exists().where(*rules).correlate(numbers))


def _missed_returned(scope: CountScope) -> Any:
    return select(func.count()).select_from(CallLog).where(FIGURES["calls_missed_returned"].rows(scope))


def _number_of(session: Session, name: str, scope: CountScope) -> int:
    """A figure of _NUMBERS, from the roll-ups as far as they contain it."""
    if scope.rolled is None or name == RETURNED:
        return int(session.execute(_NUMBERS[name](scope)).scalar() or 0)
    if name == "numbers":
        return call_rollup_counts.count_numbers(session, scope)
    if not call_rollup_counts.knows_new_numbers(scope):  # new to several people: that can't be summed over them
        return int(session.execute(_new_numbers(scope)).scalar() or 0)
    found, rest = call_rollup_counts.count_new_numbers(session, scope)
    return found + (0 if rest is None else int(session.execute(_new_numbers(scope, rest)).scalar() or 0))


#: Figures that compare calls with each other, in a statement of their own: counting the distinct numbers is much faster
#: than going row by row. They aren't compared with the previous period, which would cost as much again.
_NUMBERS = {"numbers": _unique_numbers, "numbers_new": _new_numbers, RETURNED: _missed_returned}


def preload_groups(session: Session, groups: Iterable[tuple[str, Any]], scope: CountScope) -> None:
    """Read what `count_by` needs of these figures and columns in one statement, as far as the daily sums have it."""
    record_rollup_counts.preload_groups(session, [(name, column.key) for name, column in groups], scope)


def count_by(session: Session, name: str, column: Any, scope: CountScope) -> list[tuple[Any, int]]:
    """[(value of the column, rows of the figure)], the most first."""
    if call_rollup_counts.can_count(scope, [name]):
        return call_rollup_counts.count_by(session, name, column, scope)
    summed = record_rollup_counts.count_by(session, name, column, scope)
    if summed is not None:
        return summed
    each = FIGURES[name]
    return group_count(session, column, each.condition(scope), each.within(scope))


def group_count(session: Session, column: Any, *conditions: Any) -> list[tuple[Any, int]]:
    """[(value of the column, rows)], the most first."""
    count = func.count()
    query = select(column, count).where(*conditions).group_by(column).order_by(count.desc(), column)
    return [(value, int(number)) for value, number in session.execute(query)]


def series(session: Session, names: Iterable[str], scope: CountScope) -> dict[str, list[int]]:
    """Figure -> its value at each point of the period; one statement for figures of the same record and time column."""
    found: dict[str, list[int]] = {}
    together: dict[Any, list[str]] = {}
    for name in names:
        together.setdefault((FIGURES[name].record, FIGURES[name].at), []).append(name)
    for (record, at), some in together.items():
        found |= _series_of(session, getattr(record, at), some, scope)
    return found


def _series_of(session: Session, column: Any, names: list[str], scope: CountScope) -> dict[str, list[int]]:
    if scope.period.days > 1 and call_rollup_counts.can_count(scope, names):
        by_day = call_rollup_counts.by_day(session, names, scope)
        return dict(
            zip(names, map(list, zip(*_points_of_days(scope.period, by_day, len(names)), strict=True)), strict=True)
        )
    if call_rollup_counts.can_count_hours(scope, names):
        by_hour = call_rollup_counts.by_hour(session, names, scope)
        return {
            name: [by_hour[hour][n] if hour in by_hour else 0 for hour in range(24)] for n, name in enumerate(names)
        }
    summed = record_rollup_counts.by_point(session, names, scope)
    if summed is not None:
        return summed
    sums = [func.sum(when(FIGURES[name].condition(scope), FIGURES[name].value)) for name in names]
    each_point = _by_point(session, column, scope.period, sums, FIGURES[names[0]].within(scope))
    return dict(zip(names, map(list, zip(*each_point, strict=True)), strict=True))


def _points_of_days(period: Period, by_day: Mapping[int, list[int]], width: int) -> list[list[int]]:
    found = [[0] * width for _point in period.points()]
    for day, counts in by_day.items():
        point = found[period.point_of(day * 24)]
        for place, count in enumerate(counts):
            point[place] += count
    return found


def series_of(session: Session, column: Any, period: Period, *conditions: Any) -> list[int]:
    """The number of rows whose time column is at each point of the period."""
    return [numbers[0] for numbers in _by_point(session, column, period, [func.count()], *conditions)]


def _by_point(session: Session, column: Any, period: Period, sums: list[Any], *conditions: Any) -> list[list[int]]:
    """For each point of the period the value of each sum, in one statement."""
    hours = period.local_hours(column)
    unit = (hours if period.days == 1 else hours // 24).label("unit")
    query = select(unit, *sums).where(period.contains(column), *conditions).group_by(unit)
    found = [[0] * len(sums) for _point in period.points()]
    for value, *counts in session.execute(query):
        point = found[period.point_of(int(value) if period.days == 1 else int(value) * 24)]
        for place, count in enumerate(counts):
            point[place] += int(count or 0)
    return found


def by_slot(session: Session, name: str, scope: CountScope) -> dict[int, int]:
    """Hour of the week (0 = Monday from 0:00) -> rows of the figure; hours without any are left out."""
    if name == "calls" and call_rollup_counts.can_count(scope, [name]):
        return call_rollup_counts.by_slot(session, scope)
    each = FIGURES[name]
    slot = scope.period.local_slot(getattr(each.record, each.at)).label("slot")
    query = select(slot, func.count()).where(each.rows(scope)).group_by(slot)
    return {int(value): int(count) for value, count in session.execute(query)}
