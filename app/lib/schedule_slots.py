"""When something is due again and again: each slot has a name, the same for everybody who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Every:
    """Every so many minutes; missed ones coalesce into the newest."""

    minutes: int

    def slot(self, now: datetime, zone: str) -> tuple[str, datetime]:
        """Name and moment of the newest slot."""
        began = now.astimezone(UTC).replace(second=0, microsecond=0)
        began -= timedelta(minutes=began.minute % self.minutes)
        return f"{began:%Y-%m-%dT%H:%MZ}", began

    def after(self, now: datetime, zone: str) -> datetime:
        """When the next slot begins, UTC."""
        return self.slot(now, zone)[1] + timedelta(minutes=self.minutes)


@dataclass(frozen=True)
class Daily:
    """Once a local date of the office, also when its clock changes; a missed one once, up to 24 hours late."""

    times: tuple[time, ...]

    def slot(self, now: datetime, zone: str) -> tuple[str, datetime]:
        """Name (local date and time) and moment of the newest slot."""
        place = ZoneInfo(zone)
        today = now.astimezone(place).date()
        days = (today - timedelta(days=1), today)
        moments = [datetime.combine(day, at, tzinfo=place) for day in days for at in self.times]
        newest = max((m for m in moments if m.astimezone(UTC) <= now), key=lambda m: m.replace(tzinfo=None))
        return f"{newest:%Y-%m-%d %H:%M}", newest.astimezone(UTC)

    def after(self, now: datetime, zone: str) -> datetime:
        """When the next slot begins, UTC."""
        place = ZoneInfo(zone)
        today = now.astimezone(place).date()
        days = (today, today + timedelta(days=1))
        moments = [datetime.combine(day, at, tzinfo=place).astimezone(UTC) for day in days for at in self.times]
        return min(moment for moment in moments if moment > now)


every_minute = Every(1)


def daily_at(*times: str) -> Daily:
    """Daily at these local times, e.g. "10:00"."""
    return Daily(tuple(time.fromisoformat(each) for each in times))
