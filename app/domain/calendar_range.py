"""The days that a calendar shows, and times moved by the wall clock, across clock changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SPANS = ("day", "week", "month")
DAY = timedelta(days=1)
#: Minutes per slot of the day view.
SLOT_MINUTES = 30


@dataclass(frozen=True)
class CalendarRange:
    """The days of a calendar: one, a week from Monday, or the whole weeks that a month touches."""

    span: str
    #: The requested day.
    day: date
    zone: ZoneInfo

    @property
    def first(self) -> date:
        """The first day shown."""
        if self.span == "day":
            return self.day
        start = self.day.replace(day=1) if self.span == "month" else self.day
        return start - start.weekday() * DAY

    @property
    def last(self) -> date:
        """The last day shown."""
        if self.span == "day":
            return self.day
        end = next_month(self.day) - DAY if self.span == "month" else self.day
        return end + (6 - end.weekday()) * DAY

    @property
    def days(self) -> tuple[date, ...]:
        """All days, in order."""
        return tuple(self.first + number * DAY for number in range((self.last - self.first).days + 1))

    @property
    def start(self) -> datetime:
        """When the first day begins, UTC."""
        return midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """When the day after the last one begins, UTC (exclusive)."""
        return midnight(self.last + DAY, self.zone)

    @property
    def later(self) -> date:
        """A day of the next day, week or month."""
        return next_month(self.day) if self.span == "month" else self.day + self._length

    @property
    def earlier(self) -> date:
        """A day of the previous day, week or month."""
        if self.span == "month":
            return (self.day.replace(day=1) - DAY).replace(day=1)
        return self.day - self._length

    @property
    def _length(self) -> timedelta:
        return DAY if self.span == "day" else 7 * DAY


def next_month(day: date) -> date:
    """The first day of the month after this one."""
    return (day.replace(day=1) + 31 * DAY).replace(day=1)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When a local day begins, in UTC: at the change if the clock skips midnight, at the first one if there are two."""
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def slots(day: date, zone: ZoneInfo, hours: range) -> Iterator[tuple[str, datetime, datetime]]:
    """(“09:30”, start, end in UTC) of the half-hour slots of these hours by the wall clock."""
    for number in range(hours.start * 2, hours.stop * 2):
        wall = datetime.combine(day, time(number // 2, number % 2 * SLOT_MINUTES), tzinfo=zone)
        start = wall.astimezone(UTC)
        yield f"{wall:%H:%M}", start, start + timedelta(minutes=SLOT_MINUTES)


def slot_of(local: datetime) -> str:
    """The half-hour slot of a local time: “09:30” for 9:44."""
    return f"{local.hour:02}:{local.minute // SLOT_MINUTES * SLOT_MINUTES:02}"


def on_day(moment: datetime, day: date, zone: ZoneInfo) -> datetime:
    """The same wall-clock time on another day, in UTC; a skipped hour becomes the next one."""
    wall = moment.astimezone(zone).time().replace(fold=0)
    return datetime.combine(day, wall, tzinfo=zone).astimezone(UTC)
