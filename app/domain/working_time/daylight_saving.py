"""Daylight saving time: the days on which a zone's clock changes, and its UTC offsets before and after."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
#: In other years clocks never change, so that 31 Dec 9999, which users enter for "never", is fast too.
YEARS_WITH_CHANGES = range(1900, 2200)


@dataclass(frozen=True)
class OffsetPeriod:
    """A period with one UTC offset."""

    since: datetime
    until: datetime
    offset: timedelta


_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@lru_cache(maxsize=8192)
def offset_periods(zone: ZoneInfo, day: date) -> tuple[OffsetPeriod, ...]:
    """The UTC offset of a local date, or two of them when the clock changes on it."""
    change = clock_changes(zone, day.year).get(day)
    earliest, latest = _ALWAYS
    if change is None:
        return (OffsetPeriod(earliest, latest, _offset(zone, datetime.combine(day, time(12), tzinfo=zone))),)
    before = OffsetPeriod(earliest, change, _offset(zone, change - timedelta.resolution))
    return before, OffsetPeriod(change, latest, _offset(zone, change))


@lru_cache(maxsize=1024)
def clock_changes(zone: ZoneInfo, year: int) -> Mapping[date, datetime]:
    """Local date -> moment, for all dates of a year that a clock change touches."""
    found: dict[date, datetime] = {}
    if year not in YEARS_WITH_CHANGES:
        return found
    # Steps of two weeks find every change: the shortest pause of daylight saving, Morocco's Ramadan, lasts a month.
    moments = (datetime(year, 1, 1, tzinfo=UTC) - 3 * DAY + step * 14 * DAY for step in range(28))
    for (since, old), (until, new) in pairwise((moment, _offset(zone, moment)) for moment in moments):
        if old != new:
            change = _find_change(zone, since, until)
            found |= {day: change for day in _touched_dates(zone, change) if day.year == year}
    return found


def _find_change(zone: ZoneInfo, since: datetime, until: datetime) -> datetime:
    """The first moment of the new offset; changes happen on whole seconds."""
    old, seconds = _offset(zone, since), range((until - since) // SECOND)
    return since + SECOND * bisect_left(seconds, True, key=lambda second: _offset(zone, since + second * SECOND) != old)


def _touched_dates(zone: ZoneInfo, change: datetime) -> list[date]:
    """The dates shown by the local clock just before and after the change, and those that it skips."""
    sides = [moment.astimezone(zone).date() for moment in (change - timedelta.resolution, change)]
    return [min(sides) + number * DAY for number in range(abs((sides[1] - sides[0]).days) + 1)]


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
