"""Reminder habits: how many minutes before due a person is reminded, and what follows when he changes his mind."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, literal, select, update
from sqlalchemy.orm import Session

from app.domain import reminders, tasks
from app.domain.base import RuleBroken, UtcDateTime
from app.domain.tasks import Task

#: A reminder comes at most a week ahead.
MAX_MINUTES = 7 * 24 * 60
MAX_OFFSETS = 5
#: So many tasks are armed anew by one statement.
_AT_ONCE = 200


def parse_offsets(typed: str) -> list[int] | None:
    """Minutes before due, largest first, of a text such as "60, 5"; None for an empty one. Raises RuleBroken."""
    parts = typed.replace(",", " ").split()
    if not parts:
        return None
    good = all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts)
    if not good or len(parts) > MAX_OFFSETS or not all(0 < int(part) <= MAX_MINUTES for part in parts):
        raise RuleBroken(
            "Please enter up to five numbers of minutes from 1 to 10080, such as 60, 5.", "reminder_minutes"
        )
    return sorted({int(part) for part in parts}, reverse=True)


def reschedule(session: Session, user_id: int, offsets: tuple[int, ...], now: datetime) -> int:
    """Set the next reminder of the person's open tasks by new offsets (minutes before due); answers how many.

    The session sees everything, as the system. Tasks told as overdue keep their morning, and a reminder that
    is due this minute is left to the job, which arms by the new offsets itself. No version counts up.
    """
    ahead = (Task.assignee_id == user_id, Task.status.in_(tasks.OPEN), Task.remind_on > now)
    query = select(Task.id, Task.due_on).where(*ahead, Task.due_on > now - reminders.OVERDUE)
    rows: Any = session.execute(query.with_for_update())
    armed = {key: _next(due_on, offsets, now) for key, due_on in rows}
    ids = list(armed)
    for start in range(0, len(ids), _AT_ONCE):
        part = {key: literal(armed[key], UtcDateTime) for key in ids[start : start + _AT_ONCE]}
        step = update(Task).where(Task.id.in_(part)).values(remind_on=case(part, value=Task.id))
        session.execute(step, execution_options={"synchronize_session": False})
    return len(ids)


def _next(due_on: datetime, offsets: tuple[int, ...], now: datetime) -> datetime:
    moments = [due_on - timedelta(minutes=each) for each in offsets] + [due_on + reminders.OVERDUE]
    return min(moment for moment in moments if moment > now)
