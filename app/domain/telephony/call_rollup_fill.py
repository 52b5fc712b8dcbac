"""Fills the daily roll-ups of calls, day by day, and compares them with the calls.

Filling holds the lock of the state, and reads the marks of a day before its calls: a call stored meanwhile leaves a
mark that stays. Whether a number is new depends on earlier days, so a change of a day's numbers also marks the days
that it affects.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import and_, delete, exists, func, insert, literal, select, union_all
from sqlalchemy.orm import Session

from app.domain.telephony.call_line_counts import CallLine, LineFigures, count_lines
from app.domain.telephony.call_rollups import (
    COUNTS,
    EVERYBODY,
    FIRST_QUARTER,
    FIRST_SUM,
    NOBODY,
    DayCount,
    DayNumbers,
    HourCount,
    LineCount,
    RollupMark,
    RollupState,
    counted_by,
    day_of,
    filled_quarters,
    lock,
    mark,
    quarter_of,
    quarters_of,
    start_of,
    start_of_quarter,
    sums_of,
)
from app.domain.telephony.calls import CallLog
from app.lib.batches import batched

#: Numbers that one statement looks up.
_AT_ONCE = 1000
_BULK = {"synchronize_session": False}
_CALL: Any = CallLog.__table__
#: The columns of a key of DayFigures.counts.
_KIND = ("person_id", "direction", "status", "cold")


@dataclass
class DayFigures:
    """The stored figures of one day."""

    #: (person, direction, status, cold) -> (calls, seconds).
    counts: dict[tuple[int, str, str, bool], tuple[int, int]] = field(default_factory=dict)
    #: (person, hour) -> calls.
    hours: dict[tuple[int, int], int] = field(default_factory=dict)
    #: Person -> their numbers.
    numbers: dict[int, frozenset[str]] = field(default_factory=dict)
    #: Person -> how many of their numbers have no call of theirs on an earlier day; EVERYBODY -> no call of anybody.
    fresh: dict[int, int] = field(default_factory=dict)
    #: The outgoing calls of each line.
    lines: dict[CallLine, LineFigures] = field(default_factory=dict)


def pack_numbers(numbers: Iterable[str]) -> bytes:
    """Numbers in their stored form."""
    return zlib.compress("\n".join(sorted(numbers)).encode())


def unpack_numbers(stored: bytes) -> list[str]:
    """The phone numbers stored by `pack_numbers`."""
    text = zlib.decompress(stored).decode()
    return text.split("\n") if text else []


# --- one day


def count_day(session: Session, day: int, zone: ZoneInfo) -> DayFigures:
    """The figures of a day, from its calls."""
    return _count_between(session, start_of(day, zone), start_of(day + 1, zone), zone)


def _count_between(session: Session, start: datetime, end: datetime, zone: ZoneInfo) -> DayFigures:
    columns = [_CALL.c[name] for name in ("employee_id", "direction", "status", "cold", "duration_seconds")]
    query = select(*columns, _CALL.c.other_e164, _CALL.c.started_on)
    found, calls, seconds = DayFigures(), Counter[Any](), Counter[Any]()
    hours, numbers = Counter[Any](), dict[int, set[str]]()
    for row in session.execute(query.where(_CALL.c.started_on >= start, _CALL.c.started_on < end)):
        hour = row.started_on.astimezone(zone).hour
        for person in (EVERYBODY, row.employee_id or NOBODY):
            key = (person, row.direction, row.status, bool(row.cold))
            calls[key] += 1
            seconds[key] += row.duration_seconds
            hours[person, hour] += 1
            if row.other_e164 is not None:
                numbers.setdefault(person, set()).add(row.other_e164)
    found.counts = {key: (count, seconds[key]) for key, count in calls.items()}
    found.hours = dict(hours)
    found.numbers = {person: frozenset(some) for person, some in numbers.items()}
    found.fresh = _count_fresh(session, start, end) if numbers else {}
    found.lines = count_lines(session, and_(CallLog.started_on >= start, CallLog.started_on < end))
    return found


def _count_fresh(session: Session, start: datetime, end: datetime) -> dict[int, int]:
    """Person -> how many of their numbers in the period have no call of theirs before it; EVERYBODY -> of anybody."""
    within = (_CALL.c.started_on >= start, _CALL.c.started_on < end, _CALL.c.other_e164.is_not(None))
    person = _CALL.c.employee_id
    own = select(person, _CALL.c.other_e164).where(*within, person.is_not(None)).distinct().subquery("own")
    every = select(_CALL.c.other_e164).where(*within).distinct().subquery("every")
    by_person = select(own.c.employee_id, func.count()).where(_is_fresh(own, start, is_own=True))
    of_all = select(literal(EVERYBODY), func.count()).select_from(every).where(_is_fresh(every, start))
    rows = session.execute(union_all(by_person.group_by(own.c.employee_id), of_all))
    return {int(who): int(count) for who, count in rows if count}


def _is_fresh(numbers: Any, start: datetime, is_own: bool = False) -> Any:
    """SQL: whether a number has no call before this time, of anybody or of its own person."""
    earlier: Any = _CALL.alias("earlier")
    rules = [earlier.c.other_e164 == numbers.c.other_e164, earlier.c.started_on < start]
    if is_own:
        rules.append(earlier.c.employee_id == numbers.c.employee_id)
    return ~exists().where(*rules).correlate(numbers)


def stored_day(session: Session, day: int) -> DayFigures:
    """The stored figures of a day."""
    found = DayFigures()
    for row in session.execute(select(DayCount.__table__).where(DayCount.day == day)):
        key = (row.person_id, row.direction, row.status, bool(row.cold))
        found.counts[key] = (row.calls, row.seconds)
    for row in session.execute(select(HourCount.__table__).where(HourCount.day == day)):
        found.hours[row.person_id, row.hour] = row.calls
    for row in session.execute(select(DayNumbers.__table__).where(DayNumbers.day == day)):
        found.numbers[row.person_id] = frozenset(unpack_numbers(row.numbers))
        if row.fresh:
            found.fresh[row.person_id] = row.fresh
    for row in session.execute(select(LineCount.__table__).where(LineCount.day == day)):
        line = CallLine(row.number, row.series, bool(row.is_own), row.purpose)
        found.lines[line] = LineFigures(row.calls, row.completed, row.seconds, row.unfitting)
    return found


def _fill(session: Session, day: int, zone: ZoneInfo, is_again: bool) -> None:
    """Replace the stored figures of a day or quarter, in the caller's transaction and under the lock."""
    is_quarter = day >= FIRST_QUARTER
    start, end = (start_of_quarter(each) if is_quarter else start_of(each, zone) for each in (day, day + 1))
    within = select(RollupMark.id).where(RollupMark.moment >= start, RollupMark.moment < end)
    marks = list(session.scalars(within))  # before the calls
    former = _stored_numbers(session, day) if is_again else {}
    found = _count_between(session, start, end, zone)
    for table in COUNTS:
        session.execute(delete(table).where(table.day == day), execution_options=_BULK)
    _insert(session, day, found)
    if is_again:
        _mark_followers(session, _changed_numbers(former, found.numbers), end)
    for some in batched(marks, _AT_ONCE):
        session.execute(delete(RollupMark).where(RollupMark.id.in_(some)), execution_options=_BULK)


def _stored_numbers(session: Session, day: int) -> dict[int, frozenset[str]]:
    """Person -> their stored numbers of a day."""
    rows = session.execute(select(DayNumbers.person_id, DayNumbers.numbers).where(DayNumbers.day == day))
    return {who: frozenset(unpack_numbers(numbers)) for who, numbers in rows}


def _changed_numbers(former: dict[int, frozenset[str]], now: dict[int, frozenset[str]]) -> frozenset[str]:
    """The numbers that somebody has now and had not before, or the other way round."""
    none: frozenset[str] = frozenset()
    return none.union(*[former.get(who, none) ^ now.get(who, none) for who in former.keys() | now.keys()])


def _insert(session: Session, day: int, found: DayFigures) -> None:
    counts = [
        {"day": day, **dict(zip(_KIND, key, strict=True)), "calls": calls, "seconds": seconds}
        for key, (calls, seconds) in found.counts.items()
    ]
    hours = [{"person_id": who, "day": day, "hour": hour, "calls": n} for (who, hour), n in found.hours.items()]
    numbers = [
        {
            "person_id": who,
            "day": day,
            "numbers": pack_numbers(some),
            "fresh": None if who == NOBODY else found.fresh.get(who, 0),
        }
        for who, some in found.numbers.items()
    ]
    lines = [{"day": day, **line._asdict(), **asdict(figures)} for line, figures in found.lines.items()]
    made: list[tuple[Any, list[dict[str, Any]]]] = [
        *((DayCount, counts), (HourCount, hours), (DayNumbers, numbers), (LineCount, lines)),
    ]
    for table, rows in made:
        if rows:
            session.execute(insert(table.__table__), rows)


def _mark_followers(session: Session, numbers: frozenset[str], end: datetime) -> None:
    """Mark the next day of each of these numbers, for each person: whether it is new there may have changed."""
    ordered, moments = sorted(numbers), set()
    for some in batched(ordered, _AT_ONCE):
        rules = (_CALL.c.other_e164.in_(some), _CALL.c.started_on >= end)
        query = select(func.min(_CALL.c.started_on)).where(*rules).group_by(_CALL.c.other_e164, _CALL.c.employee_id)
        moments |= set(session.scalars(query))
    mark(session, sorted(moments))


# --- many days


def days_to_fill(session: Session, zone: ZoneInfo, now: datetime, limit: int) -> list[int]:
    """Days to fill, the earliest first: marked ones, and those after the last filled one until yesterday.

    If none but these are left, quarters of today; today itself if there are only marks without meaning, which `fill`
    removes.
    """
    state, today = session.get(RollupState, 1, populate_existing=True), day_of(now, zone)
    done = None if state is None or state.zone != counted_by(zone) else state.filled_until
    moments = session.scalars(select(RollupMark.moment).distinct()).all()
    marked = {day_of(each, zone) for each in moments}
    days = {day for day in marked if done is not None and day <= done}
    following = _with_calls(session, zone, -1 if done is None else done, today)
    while len(days) < limit and (day := next(following, None)) is not None:
        days.add(day)
    found = sorted(days)[:limit]
    if state is not None and done == today - 1:
        found += quarters_to_fill(session, state, moments, OfficeClock(zone, now))[: limit - len(found)]
    return found or ([today] if marked else [])


def _with_calls(session: Session, zone: ZoneInfo, after: int, today: int) -> Iterator[int]:
    """The days with calls after this one and before today, in order; always ends with yesterday."""
    day = after
    while day + 1 < today:
        first = session.execute(
            select(func.min(_CALL.c.started_on)).where(
                _CALL.c.started_on >= start_of(day + 1, zone), _CALL.c.started_on < start_of(today, zone)
            )
        ).scalar()
        day = today - 1 if first is None else day_of(first, zone)
        yield day


def fill(session: Session, days: Iterable[int], zone: ZoneInfo, now: datetime) -> list[int]:
    """Fill these days and quarters, in order; returns those that were filled. Between them are no calls, or all filled.

    Marks of days and quarters that aren't filled yet have no meaning and are removed.
    """
    days = list(days)
    state, today, done = lock(session), day_of(now, zone), []
    if state.zone != counted_by(zone):
        state.zone, state.filled_until, state.quarter_until = counted_by(zone), None, None
    for day in sorted(each for each in days if each < today):
        last = -1 if state.filled_until is None else state.filled_until
        if day > last:
            if next(_with_calls(session, zone, last, today), None) != day:
                break  # an earlier day got its first call meanwhile: it comes first, the next time
            for table in COUNTS:
                gap = delete(table).where(table.day > last, table.day < day)
                session.execute(gap, execution_options=_BULK)
        _fill(session, day, zone, is_again=day <= last)
        state.filled_until = max(day, last)
        session.flush()
        done.append(day)
    given = sorted(each for each in days if each >= FIRST_QUARTER)
    done += _fill_quarters(session, state, given, OfficeClock(zone, now))
    if state.filled_until is not None:
        quarters = filled_quarters(state, zone)
        end = start_of_quarter(quarters.stop) if quarters else start_of(state.filled_until + 1, zone)
        session.execute(delete(RollupMark).where(RollupMark.moment >= end), execution_options=_BULK)
        if state.rebuild_until is not None and state.filled_until >= state.rebuild_until:
            state.rebuild_until = None
    return done


# --- quarters of today


@dataclass(frozen=True)
class OfficeClock:
    """The time of a run, and the time zone of the office."""

    zone: ZoneInfo
    now: datetime

    @property
    def today(self) -> int:
        """The number of the running day."""
        return day_of(self.now, self.zone)


def quarters_to_fill(
    session: Session, state: RollupState, moments: Iterable[datetime], clock: OfficeClock
) -> list[int]:
    """The quarters of today to fill, in order: marked ones, and those with calls after the last filled one.

    `moments`: the marked ones. The running quarter isn't among them.
    """
    quarters = filled_quarters(state, clock.zone)
    marked = {quarter_of(each) for each in moments} & set(quarters)
    return sorted(marked) + _quarters_with_calls(session, quarters, clock)


def _quarters_with_calls(session: Session, filled: range, clock: OfficeClock) -> list[int]:
    """The quarters of today after the filled ones that have calls and have ended."""
    first = filled.stop if filled else quarters_of(clock.today, clock.zone).start
    end = start_of_quarter(quarter_of(clock.now))
    within = (_CALL.c.started_on >= start_of_quarter(first), _CALL.c.started_on < end)
    return sorted({quarter_of(each) for each in session.scalars(select(_CALL.c.started_on).where(*within))})


def _fill_quarters(session: Session, state: RollupState, quarters: list[int], clock: OfficeClock) -> list[int]:
    """Fill these quarters of today; returns those that were filled."""
    today, zone = clock.today, clock.zone
    if not quarters or state.filled_until != today - 1:
        return []
    filled, done = filled_quarters(state, zone), []
    if not filled:
        _forget_quarters(session)
    following = _quarters_with_calls(session, filled, clock)
    for quarter in quarters:
        if quarter not in filled:
            if following[:1] != [quarter]:
                break  # an earlier one got its first call meanwhile, or it isn't of today: the next time
            following.pop(0)
        _fill(session, quarter, zone, is_again=quarter in filled)
        done.append(quarter)
    if done:
        state.quarter_until = max(done[-1], filled[-1] if filled else 0)
        session.flush()
        _sum_quarters(session, today, zone)
    return done


def _forget_quarters(session: Session) -> None:
    """Delete the quarters of a former day or time zone, which nobody reads any more."""
    for table in COUNTS:
        session.execute(delete(table).where(table.day >= FIRST_SUM), execution_options=_BULK)


def _sum_quarters(session: Session, today: int, zone: ZoneInfo) -> None:
    """Store the sums of the quarters of today; sets of numbers don't add up."""
    quarters, day = quarters_of(today, zone), sums_of(today)
    for model in (DayCount, HourCount, LineCount):
        table: Any = model.__table__
        session.execute(delete(model).where(model.day == day), execution_options=_BULK)
        keys = [each for each in table.c if each.primary_key and each.name != "day"]
        values = [each for each in table.c if not each.primary_key]
        within = table.c.day.between(quarters[0], quarters[-1])
        sums = select(literal(day), *keys, *map(func.sum, values)).where(within).group_by(*keys)
        names = ["day", *(each.name for each in (*keys, *values))]
        session.execute(insert(table).from_select(names, sums))


# --- rebuilding and comparing


def begin_rebuild(session: Session, zone: ZoneInfo, now: datetime) -> bool:
    """Start a rebuild, unless one is in progress, which continues. Returns whether it was started now."""
    state = lock(session)
    if state.rebuild_until is not None and state.zone == counted_by(zone):
        return False
    state.zone, state.filled_until, state.quarter_until = counted_by(zone), None, None
    state.rebuild_until = day_of(now, zone) - 1
    return True


def differing(session: Session, day: int, zone: ZoneInfo) -> bool | None:
    """Whether the stored figures of a day differ from its calls; None for a day that has to be filled anyway.

    While others write, the session has to see the database as of one moment.
    """
    start, end = start_of(day, zone), start_of(day + 1, zone)
    marks = select(func.min(RollupMark.moment), func.max(RollupMark.moment)).where(RollupMark.moment < end)
    first, last = session.execute(marks).one()
    if last is not None and last >= start:
        return None
    stored, counted = stored_day(session, day), count_day(session, day, zone)
    if first is not None:  # which numbers are new depends on a day that has to be filled first
        stored.fresh = counted.fresh
    return stored != counted


def filled_days(session: Session, zone: ZoneInfo) -> list[int]:
    """The days that are filled and have calls, or counts of calls."""
    state = session.get(RollupState, 1)
    if state is None or state.zone != counted_by(zone) or state.filled_until is None:
        return []
    days = set(session.scalars(select(DayCount.day).where(DayCount.day <= state.filled_until).distinct()))
    return sorted(days | set(_with_calls(session, zone, -1, state.filled_until + 1)))
