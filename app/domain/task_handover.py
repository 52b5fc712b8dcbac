"""The open tasks of a lead or ticket go to its new assignee along with it."""

from __future__ import annotations

from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.domain import tasks
from app.domain.base import Stamp
from app.domain.change_context import ChangeContext
from app.domain.notifications import reminder_preferences
from app.domain.persistence import row_updates
from app.domain.tasks import Task


def read_again(session: Session, record: Any, user_id: int) -> None:
    """Read the open tasks of a user for the record as they are now, for a session that may have older ones."""
    session.scalars(_open_tasks(record, user_id), execution_options={"populate_existing": True}).all()


def _open_tasks(record: Any, user_id: int) -> Select[Task]:
    parent = Task.lead_id if record.__tablename__ == "leads" else Task.ticket_id
    theirs = (parent == record.id, Task.assignee_id == user_id, Task.status.in_(tasks.OPEN))
    return select(Task).where(*theirs).order_by(Task.id)


def hand_over(session: Session, record: Any, from_id: int, stamp: Stamp) -> None:
    """Give the record's assignee the open tasks that another user has for it.

    They keep their due times, and get the new user's reminders. The notice about the record stands for them too. A
    reassignment round in progress continues: the former assignee counts as tried, the new one no longer does. For a
    task that had stayed overdue with everybody in turn, a new round begins, as if the task itself had been assigned.
    """
    to_id, found = record.assignee_id, list(session.scalars(_open_tasks(record, from_id)))
    offsets = reminder_preferences.reminder_offsets(session.get_one(User, to_id)) if found else ()
    context = ChangeContext(stamp.by, stamp.now, reminder_minutes=offsets)
    kept = [task for task in found if not task.exhausted]
    tasks.change_many(session, [(task, {"assignee_id": to_id}) for task in found if task.exhausted], context)
    for task in kept:
        if task.tried:
            tried = dict.fromkeys([*task.tried, from_id])
            task.tried = [user for user in tried if user is not None and user != to_id]
        task.assignee_id = to_id
        task.schedule_reminder(offsets, stamp.now)
        task.stamp(stamp)
    if len(found) > 1:
        row_updates.flush(session)  # now, while they are all that changed: they are written together
