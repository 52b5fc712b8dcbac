"""Counts call figures from the daily roll-ups: filled days from there, the others from the calls themselves.

The rule of a figure is that of `figures`, with the columns of the roll-up in place of those of the calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, exists, false, func, literal, or_, select, true, union_all
from sqlalchemy.orm import Session
from sqlalchemy.sql.visitors import iterate, replacement_traverse

from app.domain.analytics.call_rollup_coverage import RollupCoverage, coverage_of_days
from app.domain.analytics.figures import BY_NUMBER, FIGURES, CountScope, Figure
from app.domain.periods import Period
from app.domain.telephony.call_line_counts import NO_CALLS, CallLine, LineFigures, count_lines
from app.domain.telephony.call_rollup_fill import unpack_numbers
from app.domain.telephony.call_rollups import (
    EVERYBODY,
    FIRST_QUARTER,
    FIRST_SUM,
    NOBODY,
    DayCount,
    DayNumbers,
    HourCount,
    LineCount,
    RollupState,
    is_of_zone,
    number_of,
    quarters_of,
    start_of,
    start_of_quarter,
    sums_of,
)
from app.domain.telephony.calls import CallLog

#: Columns of calls by which the roll-ups count apart.
_COMPARED = frozenset({"direction", "status", "cold"})
#: Days that the roll-ups never hold, or not yet: today and yesterday.
_DAYS_OF_LATE = 2
#: A page counts no more calls than this one by one, of days that aren't in the roll-ups.
MOST_UNROLLED = 100_000
#: 1 January 1970 was a Thursday; weeks begin on Monday.
_THURSDAY = 3


def is_far_behind(session: Session, scope: CountScope, people: frozenset[int] | None) -> bool:
    """Whether more than `MOST_UNROLLED` calls of the period and the one before aren't in the roll-ups.

    `scope.rolled` is what `coverage_of` has found; `people`: as there. Today and yesterday alone are never too many.
    """
    both = replace(scope.period, first_day=scope.period.previous().first_day)
    roll = scope.rolled or RollupCoverage(people, -1, frozenset())
    if sum(last - first + 1 for first, last in roll.stretches(both)) <= _DAYS_OF_LATE:
        return False
    state = RollupState.__table__.c  # in another time zone, to wait would not help
    is_of_others = exists().where(state.zone != "", ~is_of_zone(state.zone, scope.period.zone))
    query = select(literal(1)).select_from(CallLog).where(_raw(roll, both), ~is_of_others)
    return session.execute(query.limit(1).offset(MOST_UNROLLED)).first() is not None


def can_count(scope: CountScope, names: Iterable[str]) -> bool:
    """Whether these figures can be counted on the roll-ups."""
    some = [FIGURES[name] for name in names]
    return (
        scope.rolled is not None
        and scope.slot is None
        and all(each.record is CallLog and each.at == "started_on" for each in some)
        and not any(name in BY_NUMBER for name in names)
        and all(_has_columns_of(each, scope) for each in some)
    )


def _has_columns_of(figure: Figure, scope: CountScope) -> bool:
    """Whether the roll-ups have each column that the figure's rule compares; of the duration they have sums only."""
    if figure.rule is None:
        return True
    parts: Iterable[Any] = iterate(figure.rule(scope))
    of_calls = [each for each in parts if getattr(getattr(each, "table", None), "name", "") == CallLog.__tablename__]
    return {each.key for each in of_calls} <= _COMPARED


# --- rows to count


def _of_people(roll: RollupCoverage, column: Any, is_by_person: bool = False) -> Any:
    """The rows of a roll-up for the people of the scope."""
    if roll.people is not None:
        return column.in_(sorted(roll.people)) if roll.people else false()
    return column > NOBODY if is_by_person else column == EVERYBODY


def _clean(roll: RollupCoverage, column: Any, period: Period) -> Any:
    """The valid days of the period."""
    first, last = number_of(period.first_day), min(number_of(period.last_day), roll.filled_until)
    within = [day for day in sorted(roll.marked) if first <= day <= last]
    return and_(column.between(first, last), column.not_in(within) if within else true())


def _added(roll: RollupCoverage, column: Any, period: Period) -> Any:
    """The valid days of the period, the sums of today's quarters, and the quarters to subtract from these.

    Those that the job has filled since `roll` was read are in its sums by now, and subtracted like the changed ones.
    """
    if not roll.has_quarters(period):
        return _clean(roll, column, period)
    later = column.between(roll.quarters.stop, quarters_of(roll.today, period.zone)[-1])
    changed = [column.in_(sorted(roll.marked_quarters))] if roll.marked_quarters else []
    return or_(_clean(roll, column, period), column == sums_of(roll.today), later, *changed)


def _valid_quarters(roll: RollupCoverage, column: Any) -> Any:
    """The quarters of today that haven't changed since they were filled."""
    changed = sorted(roll.marked_quarters)
    within = column.between(roll.quarters.start, roll.quarters.stop - 1)
    return and_(within, column.not_in(changed)) if changed else within


def _signed(roll: RollupCoverage, period: Period, day: Any, value: Any) -> Any:
    """SQL: a stored count of the rows of `_added`, with its sign."""
    return case((day >= FIRST_QUARTER, -value), else_=value) if roll.has_quarters(period) else value


def _day(roll: RollupCoverage, period: Period, day: Any) -> Any:
    """SQL: the local day of the rows of `_added`."""
    return case((day >= FIRST_SUM, roll.today), else_=day) if roll.has_quarters(period) else day


def _raw(roll: RollupCoverage, period: Period) -> Any:
    """The calls to be counted themselves."""
    ranges = [and_(CallLog.started_on >= start, CallLog.started_on < end) for start, end in roll.unfilled(period)]
    people = true() if roll.people is None else CallLog.employee_id.in_(sorted(roll.people)) if roll.people else false()
    return and_(or_(*ranges), people) if ranges else None


def _parts(roll: RollupCoverage, period: Period, is_by_person: bool = False) -> list[Any]:
    """Sub-selects of counts: person_id, day, direction, status, cold, calls, seconds.

    They are those of the roll-ups, and of calls that are counted one by one, if any.
    """
    table = DayCount.__table__.c
    values = [_signed(roll, period, table.day, each).label(each.name) for each in (table.calls, table.seconds)]
    columns = (table.person_id, _day(roll, period, table.day).label("day"), table.direction, table.status, table.cold)
    within = (_of_people(roll, table.person_id, is_by_person), _added(roll, table.day, period))
    stored = select(*columns, *values).where(*within)
    if is_by_person and roll.people is None:  # by the primary key, the days of all years would be read
        stored = stored.with_hint(DayCount.__table__, "FORCE INDEX (ix_call_day_count_day)", "mysql")
    raw = _raw(roll, period)
    days = period.local_hours(CallLog.started_on) // 24
    return [part.subquery("counted") for part in (stored, *([] if raw is None else [_calls(raw, days)]))]


def _calls(raw: Any, day: Any) -> Any:
    """A SELECT of these calls with the columns of `_parts`."""
    who = func.coalesce(CallLog.employee_id, NOBODY).label("person_id")
    kinds = (CallLog.direction, CallLog.status, CallLog.cold)
    one = (literal(1).label("calls"), CallLog.duration_seconds.label("seconds"))
    return select(who, day.label("day"), *kinds, *one).where(raw)


def _on(expression: Any, rows: Any) -> Any:
    """The expression over calls, rewritten for these rows."""

    def other(element: Any, **_options: Any) -> Any:
        table = getattr(element, "table", None)
        if getattr(table, "name", "") != CallLog.__tablename__ or not hasattr(element, "key"):
            return None
        return rows.c.seconds if element.key == "duration_seconds" else rows.c[element.key]

    clause = expression.__clause_element__() if hasattr(expression, "__clause_element__") else expression
    return replacement_traverse(clause, {}, other)


def _sum_of(name: str, scope: CountScope, rows: Any) -> Any:
    """SQL: the figure over these rows."""
    figure = FIGURES[name]
    value = rows.c.calls if figure.value is None else _on(figure.value, rows)
    if figure.rule is None:
        return func.sum(value)
    return func.sum(case((_on(figure.rule(scope), rows), value), else_=0))


# --- figures


def by_period(session: Session, names: list[str], scope: CountScope, compare: bool) -> dict[str, tuple[int, int]]:
    """Figure -> (in the period, in the previous one)."""
    both = replace(scope.period, first_day=scope.period.previous().first_day) if compare else scope.period
    first = number_of(scope.period.first_day)
    keyed = [(case((rows.c.day >= first, 1), else_=0), rows) for rows in _parts(scope.rolled, both)]
    by_flag = _sums(session, names, scope, keyed)
    now, before = (by_flag.get(flag, [0] * len(names)) for flag in (1, 0))
    return {name: (now[n], before[n]) for n, name in enumerate(names)}


def count_by(session: Session, name: str, column: Any, scope: CountScope) -> list[tuple[Any, int]]:
    """[(value of the column, rows of the figure)], the most first."""
    parts = _parts(scope.rolled, scope.period)
    found = _sums(session, [name], scope, [(_on(column, rows), rows) for rows in parts])
    counts = [(each, number) for each, (number,) in found.items() if number]
    return sorted(counts, key=lambda each: (-each[1], each[0] is not None, each[0]))


def by_day(session: Session, names: list[str], scope: CountScope) -> dict[int, list[int]]:
    """Day -> the value of each figure."""
    parts = _parts(scope.rolled, scope.period)
    found = _sums(session, names, scope, [(rows.c.day, rows) for rows in parts])
    return {int(day): sums for day, sums in found.items()}


def can_count_hours(scope: CountScope, names: Iterable[str]) -> bool:
    """Whether these figures can be counted by the hour: for today alone, on its quarters."""
    period = scope.period
    return period.days == 1 and can_count(scope, names) and bool(scope.rolled.has_quarters(period))


def by_hour(session: Session, names: list[str], scope: CountScope) -> dict[int, list[int]]:
    """Local hour of today (0-23) -> the value of each figure."""
    roll, period, table = scope.rolled, scope.period, DayCount.__table__.c
    columns = (table.day, table.direction, table.status, table.cold, table.calls, table.seconds)
    stored = select(*columns).where(_of_people(roll, table.person_id), _valid_quarters(roll, table.day))
    parts = [
        part.subquery("counted")
        for part in (stored, _calls(_raw(roll, period), period.local_hours(CallLog.started_on)))
    ]
    found: dict[int, list[int]] = {}
    for key, sums in _sums(session, names, scope, [(rows.c.day, rows) for rows in parts]).items():
        is_quarter = key >= FIRST_QUARTER
        hour = start_of_quarter(int(key)).astimezone(period.zone).hour if is_quarter else int(key) % 24
        before = found.get(hour, [0] * len(names))
        found[hour] = [total + each for total, each in zip(before, sums, strict=True)]
    return found


def by_person(session: Session, names: tuple[str, ...], scope: CountScope) -> list[tuple[Any, ...]]:
    """[(user id, value of each figure)]."""
    parts = _parts(scope.rolled, scope.period, is_by_person=True)
    found = _sums(session, names, scope, [(rows.c.person_id, rows) for rows in parts])
    return [(person, *sums) for person, sums in found.items() if person > NOBODY and any(sums)]


def _sums(
    session: Session, names: Sequence[str], scope: CountScope, keyed: Iterable[tuple[Any, Any]]
) -> dict[Any, list[int]]:
    """Key -> the value of each figure. `keyed`: the key, in SQL, of each of `_parts`.

    Each part is summed by itself: a union would first copy all of its rows.
    """
    summed = []
    for key, rows in keyed:
        named = key.label("counted_by")
        summed.append(select(named, *[_sum_of(name, scope, rows) for name in names]).group_by(named))
    found: dict[Any, list[int]] = {}
    for key, *sums in session.execute(union_all(*summed)):
        before = found.get(key, [0] * len(names))
        found[key] = [total + int(each or 0) for total, each in zip(before, sums, strict=True)]
    return found


def by_slot(session: Session, scope: CountScope) -> dict[int, int]:
    """Hour of the week -> calls."""
    roll, period, table = scope.rolled, scope.period, HourCount.__table__.c
    slot = ((_day(roll, period, table.day) + _THURSDAY) % 7 * 24 + table.hour).label("slot")
    calls = func.sum(_signed(roll, period, table.day, table.calls))
    query = select(slot, calls).where(_of_people(roll, table.person_id), _added(roll, table.day, period))
    found = {int(hour): int(count) for hour, count in session.execute(query.group_by(slot))}
    raw = _raw(roll, period)
    if raw is not None:
        hour = period.local_slot(CallLog.started_on).label("slot")
        for key, count in session.execute(select(hour, func.count()).where(raw).group_by(hour)):
            found[int(key)] = found.get(int(key), 0) + int(count)
    return {hour: count for hour, count in found.items() if count}


def count_numbers(session: Session, scope: CountScope) -> int:
    """The number of different numbers."""
    roll, period, table = scope.rolled, scope.period, DayNumbers.__table__.c
    within = [_clean(roll, table.day, period)]
    if roll.has_quarters(period):
        within.append(_valid_quarters(roll, table.day))
    numbers: set[str] = set()
    for each in session.scalars(select(table.numbers).where(_of_people(roll, table.person_id), or_(*within))):
        numbers.update(unpack_numbers(each))
    raw = _raw(roll, period)
    if raw is not None:
        numbers.update(
            session.scalars(select(CallLog.other_e164).where(raw, CallLog.other_e164.is_not(None)).distinct())
        )
    return len(numbers)


def by_line(session: Session, period: Period) -> dict[CallLine, LineFigures]:
    """The outgoing calls of everybody by line."""
    roll = coverage_of_days(session, period)
    if roll is None:
        return count_lines(session, period.contains(CallLog.started_on))
    raw, table = _raw(roll, period), LineCount.__table__
    found = {} if raw is None else count_lines(session, raw)
    for day, number, series, is_own, purpose, *counts in session.execute(
        select(table).where(_added(roll, table.c.day, period))
    ):
        line, sign = CallLine(number, series, bool(is_own), purpose), -1 if day >= FIRST_QUARTER else 1
        found[line] = found.get(line, NO_CALLS) + LineFigures(*[sign * each for each in counts])
    return {line: figures for line, figures in found.items() if figures.calls}


def knows_new_numbers(scope: CountScope) -> bool:
    """Whether the roll-ups say which numbers are new: to everybody, or to one person."""
    return scope.rolled is not None and (scope.people is None or len(scope.people) == 1)


def count_new_numbers(session: Session, scope: CountScope) -> tuple[int, datetime | None]:
    """How many numbers are new in the period, up to the first changed day; and from when on the rest is to be counted.

    Whether a number is new depends on all days before, so nothing is valid from the first changed day on. The same
    goes for the quarters of today.
    """
    roll, period, table = scope.rolled, scope.period, DayNumbers.__table__.c
    first, last = number_of(period.first_day), number_of(period.last_day)
    until = min([last, roll.filled_until, *[day - 1 for day in roll.marked]])
    within, rest = [table.day.between(first, until)], start_of(until + 1, period.zone)
    if until == roll.filled_until and roll.has_quarters(period):
        end = min([roll.quarters.stop, *roll.marked_quarters])
        within.append(table.day.between(roll.quarters.start, end - 1))
        rest = start_of_quarter(end)
    query = select(func.sum(table.fresh)).where(_of_people(roll, table.person_id), or_(*within))
    found = int(session.execute(query).scalar() or 0)
    return found, None if until == last else max(period.start, rest)
