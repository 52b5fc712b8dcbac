"""Actions on a task during the day: postpone it, or refuse what is no longer possible. See follow_ups.py."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from app.domain import tasks
from app.domain.base import Conflict, translatable
from app.domain.snooze import snoozed_until
from app.domain.tasks import Task


def snoozed_due_on(task: Task, choice: str, now: datetime, zone: ZoneInfo) -> datetime:
    """The new due time for "15m", "1h" or "tomorrow" (at nine in the user's zone), in UTC or in that zone.

    Counted from now, or from the due time if it is in the future, so that a task is never moved to an earlier time.
    Raises RuleBroken for another choice.
    """
    return snoozed_until(choice, max(now, task.due_on or now), zone)


def refuse_closed(task: Task) -> None:
    """Raise Conflict if the task is already finished or canceled."""
    if task.status not in tasks.OPEN:
        raise Conflict(
            translatable("“%(title)s” is already finished. Someone else may have finished it.", title=task.title)
        )
