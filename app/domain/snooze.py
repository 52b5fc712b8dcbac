"""How long a notification or task can be snoozed."""

from __future__ import annotations

from datetime import datetime, time, timedelta, tzinfo

from app.domain.base import RuleBroken

#: Choice -> duration; the other choice is "tomorrow".
SPANS = {"15m": timedelta(minutes=15), "1h": timedelta(hours=1), "3h": timedelta(hours=3)}
#: Local time of "tomorrow", and of reminders of overdue tasks.
MORNING = time(9)


def snoozed_until(choice: str, start: datetime, zone: tzinfo) -> datetime:
    """The time 15m, 1h or 3h after `start`, or the next morning in this zone. Raises RuleBroken for other choices."""
    if choice in SPANS:
        return start + SPANS[choice]
    if choice == "tomorrow":
        return next_morning(start, zone)
    raise RuleBroken("Please choose 15 minutes, 1 hour, 3 hours or tomorrow at 9:00.", "until")


def snoozed_due_on(due_on: datetime | None, choice: str, now: datetime, zone: tzinfo) -> datetime:
    """The new due time of a task, in UTC or in this zone. Raises RuleBroken for another choice.

    Counted from now, or from the due time if it is in the future, so that a task is never moved to an earlier time.
    """
    return snoozed_until(choice, max(now, due_on or now), zone)


def next_morning(moment: datetime, zone: tzinfo) -> datetime:
    """MORNING of the day after `moment`, both in this zone."""
    tomorrow = moment.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, MORNING, tzinfo=zone)
