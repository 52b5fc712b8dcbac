"""When a user changes how long before tasks are due they are reminded: the next reminders of their open tasks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, literal, select, update
from sqlalchemy.orm import Session

from app.domain import tasks
from app.domain.automation import reminders
from app.domain.base import UtcDateTime
from app.domain.tasks import Task
from app.lib.batches import batched

#: Tasks per UPDATE.
_BATCH = 200


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
