"""Reminder offsets of a user, in minutes before due, and how changing them affects their open tasks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, literal, select, update
from sqlalchemy.orm import Session

from app.domain import tasks
from app.domain.automation import reminders
from app.domain.base import RuleBroken, UtcDateTime
from app.domain.tasks import Task
from app.lib.batches import batched

#: The earliest reminder, a week before due.
MAX_MINUTES = 7 * 24 * 60
MAX_OFFSETS = 5
#: Tasks per UPDATE.
_BATCH = 200


def parse_offsets(text: str) -> list[int] | None:
    """ "60, 5" -> minutes before due, largest first; None for an empty text. Raises RuleBroken."""
    parts = text.replace(",", " ").split()
    if not parts:
        return None
    are_numbers = all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts)
    if not are_numbers or len(parts) > MAX_OFFSETS or not all(0 < int(part) <= MAX_MINUTES for part in parts):
        raise RuleBroken(
            "Please enter up to five numbers of minutes from 1 to 10080, such as 60, 5.", "reminder_minutes"
        )
    return sorted({int(part) for part in parts}, reverse=True)


def reschedule(session: Session, user_id: int, offsets: tuple[int, ...], now: datetime) -> int:
    """Set the next reminder of the user's open tasks by new offsets (minutes before due). Returns how many tasks.

    Needs a session of the system. Overdue tasks keep their next morning, and reminders that are due now are left to the
    job, which uses the new offsets itself. Versions do not change.
    """
    upcoming = (Task.assignee_id == user_id, Task.status.in_(tasks.OPEN), Task.remind_on > now)
    query = select(Task.id, Task.due_on).where(*upcoming, Task.due_on > now - reminders.OVERDUE)
    rows: Any = session.execute(query.with_for_update())
    moments = {key: _next_reminder(due_on, offsets, now) for key, due_on in rows}
    for ids in batched(list(moments), _BATCH):
        part = {key: literal(moments[key], UtcDateTime) for key in ids}
        step = update(Task).where(Task.id.in_(part)).values(remind_on=case(part, value=Task.id))
        session.execute(step, execution_options={"synchronize_session": False})
    return len(moments)


def _next_reminder(due_on: datetime, offsets: tuple[int, ...], now: datetime) -> datetime:
    moments = [due_on - timedelta(minutes=each) for each in offsets] + [due_on + reminders.OVERDUE]
    return min(moment for moment in moments if moment > now)
