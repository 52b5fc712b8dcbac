"""Office hours: when the office is open, and arithmetic with open time."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import TypeVar
from zoneinfo import ZoneInfo

from app.domain.working_time import daylight_saving
from app.lib.cached_property import cached_property
from app.lib.iso_time import read_time

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
NO_TIME = timedelta(0)
#: An office that is closed for longer than this counts as never opening.
DAYS_TO_LOOK_AHEAD = 2 * 366
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

#: Pattern of a time in input fields.
START_PATTERN = "([01]?[0-9]|2[0-3]):[0-5][0-9]"
END_PATTERN = f"{START_PATTERN}|24:00"
#: An end of 23:59:59, the last second that a time field offers, means midnight.
_LAST_SECOND = time(23, 59, 59)

#: Start and end on the wall clock, since midnight; the end is exclusive.
Window = tuple[timedelta, timedelta]
#: Start and end in UTC; the end is exclusive.
Interval = tuple[datetime, datetime]

#: Earlier than any due time; databases store nothing earlier.
_LONG_AGO = datetime(1000, 1, 1, tzinfo=UTC)

Point = TypeVar("Point", timedelta, datetime)


class NeverOpens(Exception):
    """The office stays closed for more than two years from the moment in question."""


@dataclass(frozen=True)
class OpeningRange:
    """A part of a weekday in which the office is open. An end of 00:00 or 23:59:59 is midnight, the end of the day."""

    #: Monday is 0, Sunday 6.
    weekday: int
    #: Local time of the office, without a zone.
    starts: time
    ends: time


@dataclass(frozen=True)
class OfficeSchedule:
    """The opening hours of an office. Without any range it is always open, even on holidays.

    Ranges of a day may touch and overlap; one that ends before it starts does not count.
    """

    #: The zone of the office's wall clock.
    zone: ZoneInfo
    ranges: tuple[OpeningRange, ...] = ()
    #: Local dates on which it stays closed, even if they are half-days too.
    holidays: frozenset[date] = frozenset()
    #: Local date -> the (start, end) pairs that replace its ranges; without a pair it is closed.
    half_days: Mapping[date, tuple[tuple[time, time], ...]] = field(default_factory=dict, hash=False)

    @cached_property
    def is_always_open(self) -> bool:
        """Whether there are no usable hours. Then the office counts as open, so that jobs run."""
        return not any(self.week)

    @cached_property
    def week(self) -> tuple[tuple[Window, ...], ...]:
        """The windows of Monday to Sunday, merged and ordered."""
        days = ([each for each in self.ranges if each.weekday == day] for day in range(len(WEEKDAYS)))
        return tuple(_merged((each.starts, each.ends) for each in day) for day in days)

    @cached_property
    def hours(self) -> tuple[timedelta, ...]:
        """The open time of each day from Monday to Sunday, by the wall clock."""
        return tuple(_length(windows) for windows in self.week)

    @cached_property
    def hours_a_week(self) -> timedelta:
        """The open time of a week without exceptions, by the wall clock."""
        return sum(self.hours, NO_TIME)

    @cached_property
    def exceptions(self) -> Mapping[date, tuple[Window, ...]]:
        """The windows of the holidays and half-days."""
        short = {day: _merged(pairs) for day, pairs in self.half_days.items()}
        return short | dict.fromkeys(self.holidays, ())

    @cached_property
    def exception_dates(self) -> tuple[date, ...]:
        """The holidays and half-days, in order."""
        return tuple(sorted(self.exceptions))

    def windows(self, day: date) -> tuple[Window, ...]:
        """When it is open on a local date, by the wall clock; empty if closed.

        Not for an office that is always open.
        """
        found = self.exceptions.get(day)
        return self.week[day.weekday()] if found is None else found


# --- queries


def is_open(office: OfficeSchedule, now: datetime) -> bool:
    """Whether the wall clock is within a range of the day, both ends included (as in the legacy system)."""
    local = _utc(now).astimezone(office.zone)
    if office.is_always_open:
        return True
    day, wall = local.date(), _since_midnight(local.time())
    if any(starts <= wall <= ends for starts, ends in office.windows(day)):
        return True
    return not wall and any(ends == DAY for _, ends in office.windows(day - DAY))


def open_time_between(office: OfficeSchedule, start: datetime, end: datetime) -> timedelta:
    """The exact open time from start to end; 0 if the end comes first. Clock changes count as elapsed time."""
    start, end = _utc(start), _utc(end)
    if end <= start:
        return NO_TIME
    if office.is_always_open:
        return end - start
    first, last = _local_date(office, start), _local_date(office, end)
    first_and_last = sum((_length(_clipped(office, day, start, end)) for day in {first, last}), NO_TIME)
    return first_and_last + _open_time_of_days(office, first + DAY, last)


def add_open_time(office: OfficeSchedule, start: datetime, span: timedelta) -> datetime:
    """The earliest time (UTC) at which `span` of open time has passed since start; for no span, the next opening.

    Raises ValueError for a negative span, and NeverOpens.
    """
    if span < NO_TIME:
        raise ValueError("Office time is counted forward: the span cannot be negative.")
    if not span:
        return next_opening(office, start)
    start = _utc(start)
    if office.is_always_open:
        return start + span
    day = _local_date(office, start)
    # Counted from the beginning of the day, which avoids a special case for the first day.
    span += _length((opens, min(shuts, start)) for opens, shuts in _intervals(office, day) if opens < start)
    return _nth_moment(office, *_weeks_skipped(office, day, span))


def subtract_open_time(office: OfficeSchedule, end: datetime, span: timedelta) -> datetime:
    """The earliest time (UTC) from which at most `span` of open time passes until end.

    Exactly the due times before it are overdue by more than `span`, which SQL can check by one comparison. The year
    1000 if the office was never open for that long. Raises ValueError for a negative span.
    """
    if span < NO_TIME:
        raise ValueError("Office time is counted: the span cannot be negative.")
    end = _utc(end)
    start = _long_before(office, end, span)
    steps = range((end - start) // timedelta.resolution + 1)
    first_within = bisect_left(
        steps, True, key=lambda n: open_time_between(office, start + n * timedelta.resolution, end) <= span
    )
    return start + first_within * timedelta.resolution


def next_opening(office: OfficeSchedule, now: datetime) -> datetime:
    """The first time (UTC) from now on at which the office is open, possibly now. Raises NeverOpens."""
    now = _utc(now)
    if is_open(office, now):
        return now
    return next(opens for opens, _ in _openings(office, _local_date(office, now)) if opens > now)


def add_working_days(office: OfficeSchedule, start: datetime, days: int) -> datetime:
    """The time (UTC) `days` working days later at the same local time, or the next opening after it.

    A working day is a local date on which the office opens at all; the day of the start does not count. Raises
    ValueError for negative days, and NeverOpens.
    """
    if days < 0:
        raise ValueError("Working days are counted forward: their number cannot be negative.")
    local = _utc(start).astimezone(office.zone)
    day = _working_day(office, local.date(), days)
    if day == local.date():
        return next_opening(office, start)
    return next_opening(office, datetime.combine(day, local.time(), tzinfo=office.zone))


def refuse_bad_ranges(ranges: Iterable[OpeningRange]) -> None:
    """Raise ValueError, with a text for the admin, for a range that ends before it starts or overlaps another."""
    ordered = sorted(ranges, key=lambda each: (each.weekday, each.starts))
    for each in ordered:
        _refuse_bad_range(each)
    for one, other in pairwise(ordered):
        if one.weekday == other.weekday and _end_of_day_time(one.ends) > _since_midnight(other.starts):
            raise ValueError(f"{WEEKDAYS[one.weekday]}: {_text(one)} and {_text(other)} overlap; make them one range.")


# --- input and display


def parse_end(text: str) -> time:
    """The end of a range as typed; 24:00 is midnight at the end of the day. Raises ValueError."""
    return time.min if text.strip() in ("24:00", "24:00:00") else read_time(text.strip())


def end_text(ends: time) -> str:
    """The end of a range as shown: 24:00 for the midnight at the end of the day."""
    return "24:00" if _end_of_day_time(ends) == DAY else f"{ends:%H:%M}"


def span_text(window: timedelta) -> str:
    """A time of day, given as time since midnight, with seconds: 9:00:00, or 24:00:00 at its end."""
    minutes, seconds = divmod(int(window.total_seconds()), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def is_empty(starts: time, ends: time) -> bool:
    """Whether a range ends before or at its start."""
    return _end_of_day_time(ends) <= _since_midnight(starts)


def ends_a_minute_early(ends: time) -> bool:
    """Whether the office is closed in the last minute of the day, which is hardly ever intended."""
    return DAY - timedelta(minutes=1) <= _end_of_day_time(ends) < DAY


# --- the wall clock


def _refuse_bad_range(each: OpeningRange) -> None:
    if not 0 <= each.weekday < len(WEEKDAYS):
        raise ValueError("Choose a weekday from Monday to Sunday.")
    if is_empty(each.starts, each.ends):
        raise ValueError(f"{WEEKDAYS[each.weekday]}: {_text(each)} ends before it starts; put the later time second.")


def _text(each: OpeningRange) -> str:
    return f"{each.starts:%H:%M} to {end_text(each.ends)}"


def _since_midnight(wall: time) -> timedelta:
    return timedelta(hours=wall.hour, minutes=wall.minute, seconds=wall.second, microseconds=wall.microsecond)


def _end_of_day_time(wall: time) -> timedelta:
    return DAY if wall == time.min or wall >= _LAST_SECOND else _since_midnight(wall)


def _merged(pairs: Iterable[tuple[time, time]]) -> tuple[Window, ...]:
    """The pairs in order, with overlapping and adjacent ones merged, without those that end before they start."""
    merged: list[Window] = []
    for starts, ends in sorted((_since_midnight(starts), _end_of_day_time(ends)) for starts, ends in pairs):
        if merged and starts <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ends))
        elif starts < ends:
            merged.append((starts, ends))
    return tuple(merged)


def _length(spans: Iterable[tuple[Point, Point]]) -> timedelta:
    return sum((ends - starts for starts, ends in spans), NO_TIME)


# --- single days and many days


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("Office time needs moments with a time zone.")
    return moment.astimezone(UTC)


def _local_date(office: OfficeSchedule, moment: datetime) -> date:
    return moment.astimezone(office.zone).date()


def _intervals(office: OfficeSchedule, day: date) -> list[Interval]:
    """When the office is open on a local date: while the wall clock shows that date and a time in one of its windows.

    A window in an hour that the clock skips is empty, and one in an hour that it repeats occurs twice.
    """
    midnight = datetime.combine(day, time.min, tzinfo=UTC)
    bounds = (
        (max(midnight + starts - period.offset, period.since), min(midnight + ends - period.offset, period.until))
        for period in daylight_saving.offset_periods(office.zone, day)
        for starts, ends in office.windows(day)
    )
    return [(opens, shuts) for opens, shuts in bounds if opens < shuts]


def _clipped(office: OfficeSchedule, day: date, start: datetime, end: datetime) -> Iterator[Interval]:
    for opens, shuts in _intervals(office, day):
        if opens < end and start < shuts:
            yield max(opens, start), min(shuts, end)


def _open_time_of_days(office: OfficeSchedule, first: date, last: date) -> timedelta:
    """The open time of the local dates from first up to, but not including, last: whole weeks, then exceptions."""
    if last <= first:
        return NO_TIME
    weeks, rest = divmod((last - first).days, len(WEEKDAYS))
    usual = weeks * office.hours_a_week
    usual += sum((office.hours[(first.weekday() + day) % len(WEEKDAYS)] for day in range(rest)), NO_TIME)
    return usual + sum((_deviation(office, day) for day in _unusual_days(office, first, last)), NO_TIME)


def _unusual_days(office: OfficeSchedule, first: date, last: date) -> set[date]:
    dates = office.exception_dates
    exceptions = dates[bisect_left(dates, first) : bisect_left(dates, last)]
    changes = (
        day for year in range(first.year, last.year + 1) for day in daylight_saving.clock_changes(office.zone, year)
    )
    return {*exceptions, *(day for day in changes if first <= day < last)}


def _deviation(office: OfficeSchedule, day: date) -> timedelta:
    """The difference between the open time of this date and that of its weekday."""
    has_change = day in daylight_saving.clock_changes(office.zone, day.year)
    actual = _length(_intervals(office, day)) if has_change else _length(office.windows(day))
    return actual - office.hours[day.weekday()]


# --- searching backward and forward


def _long_before(office: OfficeSchedule, end: datetime, span: timedelta) -> datetime:
    """A time from which more than `span` of open time passes until end, but not much earlier than necessary."""
    back = span + DAY
    while back < end - _LONG_AGO and open_time_between(office, end - back, end) <= span:
        back *= 2
    return max(end - back, _LONG_AGO)


def _openings(office: OfficeSchedule, day: date) -> Iterator[Interval]:
    """All intervals from a local date on. Raises NeverOpens after two years without one."""
    closed_days = 0
    while closed_days <= DAYS_TO_LOOK_AHEAD:
        found = _intervals(office, day)
        yield from found
        closed_days = 0 if found else closed_days + 1
        day += DAY
    raise _never_opens(day)


def _nth_moment(office: OfficeSchedule, day: date, span: timedelta) -> datetime:
    """The moment at which `span` (not 0) of open time has passed since the local date began."""
    openings = _openings(office, day)
    opens, shuts = next(openings)
    while span > shuts - opens:
        span -= shuts - opens
        opens, shuts = next(openings)
    return opens + span


def _weeks_skipped(office: OfficeSchedule, day: date, span: timedelta) -> tuple[date, timedelta]:
    """Skip whole weeks. Returns a later date, and the rest of the span, which is at most a few weeks and never 0."""
    weeks = span // office.hours_a_week
    while weeks:
        skipped = _open_time_of_days(office, day, day + weeks * WEEK)
        if not skipped:
            break
        if skipped < span:
            day, span = day + weeks * WEEK, span - skipped
            weeks = min(weeks, span // office.hours_a_week)
        else:
            weeks //= 2
    return day, span


def _working_day(office: OfficeSchedule, day: date, number: int) -> date:
    if office.is_always_open:
        return day + number * DAY
    closed_days = 0
    while number and closed_days <= DAYS_TO_LOOK_AHEAD:
        day += DAY
        if office.windows(day):
            number, closed_days = number - 1, 0
        else:
            closed_days += 1
    if number:
        raise _never_opens(day)
    return day


def _never_opens(day: date) -> NeverOpens:
    return NeverOpens(f"The office does not open once in the two years before {day:%d %b %Y}: look at its holidays.")
