"""Recurring times. Each slot has a name that is the same in every process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Every:
    """Every n minutes. Of several missed slots, only the newest runs."""

    minutes: int

    def slot(self, now: datetime, zone: str) -> tuple[str, datetime]:
        """Name and start (UTC) of the newest slot."""
        start = now.astimezone(UTC).replace(second=0, microsecond=0)
        start -= timedelta(minutes=start.minute % self.minutes)
        return f"{start:%Y-%m-%dT%H:%MZ}", start

    def after(self, now: datetime, zone: str) -> datetime:
        """The moment the next slot begins, UTC."""
        return self.slot(now, zone)[1] + timedelta(minutes=self.minutes)


@dataclass(frozen=True)
class Daily:
    """Once per local date at each of these times, also on days when the clock changes.

    A missed slot runs once, up to 24 hours late.
    """

    times: tuple[time, ...]

    def slot(self, now: datetime, zone: str) -> tuple[str, datetime]:
        """Name (local date and time) and start (UTC) of the newest slot."""
        time_zone = ZoneInfo(zone)
        today = now.astimezone(time_zone).date()
        days = (today - timedelta(days=1), today)
        moments = [datetime.combine(day, at, tzinfo=time_zone) for day in days for at in self.times]
        newest = max((m for m in moments if m.astimezone(UTC) <= now), key=lambda m: m.replace(tzinfo=None))
        return f"{newest:%Y-%m-%d %H:%M}", newest.astimezone(UTC)

    def after(self, now: datetime, zone: str) -> datetime:
        """The moment the next slot begins, UTC."""
        time_zone = ZoneInfo(zone)
        today = now.astimezone(time_zone).date()
        days = (today, today + timedelta(days=1))
        moments = [datetime.combine(day, at, tzinfo=time_zone).astimezone(UTC) for day in days for at in self.times]
        return min(moment for moment in moments if moment > now)


every_minute = Every(1)


def daily_at(*times: str) -> Daily:
    """Daily at these local times, for example "10:00"."""
    return Daily(tuple(time.fromisoformat(each) for each in times))
