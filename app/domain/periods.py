"""Periods of figures: whole local days in a time zone, both ends included; a week has seven days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, case, literal

from app.domain.base import RuleBroken, translatable
from app.domain.sql_times import epoch_seconds

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
#: The longest period; the most points of a series.
MAX_DAYS, MAX_POINTS = 366, 31
#: Named periods.
TODAY, WEEK, MONTH, CUSTOM = "today", "week", "month", "custom"
NAMES = (TODAY, WEEK, MONTH, CUSTOM)
#: 1 January 1970 was a Thursday; weeks begin on Monday.
_THURSDAY = 3


@dataclass(frozen=True)
class SeriesPoint:
    """One point of a series: local days, or one hour (0-23) of a single day."""

    first_day: date
    last_day: date
    hour: int | None = None


@dataclass(frozen=True)
class Period:
    """The days from one local date to another, both included."""

    first_day: date
    last_day: date
    zone: ZoneInfo

    @property
    def start(self) -> datetime:
        """The first moment, UTC."""
        return self._midnight(self.first_day)

    @property
    def end(self) -> datetime:
        """The first moment that is no longer in it, UTC."""
        return self._midnight(self.last_day + DAY)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(0), tzinfo=self.zone).astimezone(UTC)

    @property
    def days(self) -> int:
        """The number of days."""
        return (self.last_day - self.first_day).days + 1

    @property
    def step(self) -> int:
        """The days of a point of a series, if there are several days."""
        return -(-self.days // MAX_POINTS)

    def contains(self, column: Any) -> ColumnElement[bool]:
        """SQL: whether a time column is within the period."""
        return and_(column >= self.start, column < self.end)

    def previous(self) -> Period:
        """The period of the same length before this one."""
        return Period(self.first_day - timedelta(days=self.days), self.first_day - DAY, self.zone)

    def points(self) -> list[SeriesPoint]:
        """The points of a series: the hours of a single day, else equal numbers of days."""
        if self.days == 1:
            return [SeriesPoint(self.first_day, self.last_day, hour) for hour in range(24)]
        firsts = [self.first_day + timedelta(days=n) for n in range(0, self.days, self.step)]
        return [SeriesPoint(day, min(day + timedelta(days=self.step - 1), self.last_day)) for day in firsts]

    def point_of(self, local_hour: int) -> int:
        """The index of the point for an hour from `local_hours`."""
        if self.days == 1:
            return local_hour % 24
        day = date(1970, 1, 1) + timedelta(days=local_hour // 24)
        return (day - self.first_day).days // self.step

    def local_hours(self, column: Any) -> ColumnElement[int]:
        """SQL: hours of a time column since 1970 in the zone, daylight saving time included."""
        changes = self._offset_changes()
        offset: Any = literal(changes[0][1])
        if len(changes) > 1:
            before = [
                (column < moment, seconds) for (moment, _), (_m, seconds) in zip(changes[1:], changes[:-1], strict=True)
            ]
            offset = case(*before, else_=changes[-1][1])
        hours: ColumnElement[int] = (epoch_seconds(column) + offset) // 3600
        return hours

    def local_slot(self, column: Any) -> ColumnElement[int]:
        """SQL: the hour of the week of a time column, 0 = Monday from 0:00 to 1:00."""
        return (self.local_hours(column) + _THURSDAY * 24) % 168

    def _offset_changes(self) -> list[tuple[datetime, int]]:
        """(time UTC, offset from UTC in seconds from then on); the first also applies before it."""
        found = [(self.start, self._offset(self.start))]
        moment = self.start
        while moment < self.end:
            later = moment + DAY
            if self._offset(later) != found[-1][1]:
                while self._offset(moment + timedelta(minutes=15)) == found[-1][1]:
                    moment += timedelta(minutes=15)
                found.append((moment + timedelta(minutes=15), self._offset(later)))
            moment = later
        return found

    def _offset(self, moment: datetime) -> int:
        offset = moment.astimezone(self.zone).utcoffset()
        return int(offset.total_seconds()) if offset is not None else 0


def named_period(name: str, now: datetime, zone: ZoneInfo) -> Period:
    """Today, the last seven days, or this month until today, in the zone. Raises RuleBroken."""
    today = now.astimezone(zone).date()
    first = today.replace(day=1)
    ends = {
        TODAY: (today, today),
        WEEK: (today - 6 * DAY, today),
        MONTH: (first, today),
    }
    if name not in ends:
        raise RuleBroken("The period must be today, week, month or custom.", "period")
    return Period(*ends[name], zone)


def between(first: str, last: str, zone: ZoneInfo) -> Period:
    """The period of two dates such as 2026-11-30, in either order. Raises RuleBroken."""
    try:
        ends = [date.fromisoformat(each.strip()[:10]) for each in (first, last)]
    except ValueError as error:
        raise RuleBroken("Please enter both dates in the form 2026-11-30.", "from") from error
    if not all(2000 <= day.year <= 2199 for day in ends) or (max(ends) - min(ends)).days >= MAX_DAYS:
        raise RuleBroken(translatable("Please choose at most %(most)s days of this century.", most=MAX_DAYS), "from")
    return Period(min(ends), max(ends), zone)
