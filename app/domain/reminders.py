"""Reminders: at the person's own offsets before a task is due, and once a day while it is overdue."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.domain import notices, tasks, team
from app.domain.tasks import Task

#: Overdue for so long, a task is told as overdue.
OVERDUE = timedelta(hours=1)
#: From the second day on it is told at this local time of the person, not at midnight.
MORNING = time(9)
MINUTE = timedelta(minutes=1)


def offsets_of(user: Any) -> tuple[int, ...]:
    """Minutes before due at which this person wants to be reminded; an empty list of his own means never."""
    chosen = getattr(user, "reminder_minutes", None)
    return tuple(team.REMINDER_MINUTES if chosen is None else chosen)


def due(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of the open tasks at which a reminder may be due, longest waiting first."""
    waiting = (Task.remind_on <= now, Task.status.in_(tasks.OPEN), Task.assignee_id.is_not(None))
    return list(session.scalars(select(Task.id).where(*waiting).order_by(Task.remind_on, Task.id).limit(limit)))


def remind(session: Session, task_id: int, now: datetime, zone: str) -> str:
    """Tell the assignee what is due now, and arm for the next moment. Answers task_due, task_overdue or skipped.

    `zone`: the office's, for people without one of their own. However often it is called, the event key
    (task, offset, due time; task, local date) lets each reminder appear once.
    """
    task = session.get(Task, task_id)
    if task is None or task.due_on is None or task.assignee_id is None or task.status not in tasks.OPEN:
        return "skipped"
    user = session.get_one(User, task.assignee_id)
    place = ZoneInfo(user.time_zone or zone)
    event = _event(task.id, task.due_on, offsets_of(user), now, place) if user.active else None
    says: dict[str, Any] = {"title": task.title, "due": task.due_on.isoformat()}
    says["minutes"] = minutes_left(task.due_on, now)
    told = notices.tell(session, [user.id], *event, task, None, now, **says) if event else 0
    _arm(session, task, next_moment(task.due_on, offsets_of(user), now, place))
    return event[0] if event and told else "skipped"


def next_moment(due_on: datetime, offsets: tuple[int, ...], now: datetime, place: ZoneInfo) -> datetime:
    """The first moment after now at which this task is to be looked at again."""
    moments = [due_on - minutes * MINUTE for minutes in offsets] + [due_on + OVERDUE]
    later = [moment for moment in moments if moment > now]
    return min(later) if later else _next_morning(now, place)


def _next_morning(now: datetime, place: ZoneInfo) -> datetime:
    tomorrow = now.astimezone(place).date() + timedelta(days=1)
    return datetime.combine(tomorrow, MORNING, tzinfo=place)


def _event(
    task_id: int, due_on: datetime, offsets: tuple[int, ...], now: datetime, place: ZoneInfo
) -> tuple[str, str] | None:
    """Kind and event key of what is to be told now, or None."""
    if now >= due_on + OVERDUE:
        return "task_overdue", f"overdue:{task_id}:{now.astimezone(place).date()}"
    missed = [minutes for minutes in offsets if due_on - minutes * MINUTE <= now]
    # The nearest one only: after a late start nobody needs to hear of the hour that has gone.
    return ("task_due", f"due:{task_id}:{min(missed)}:{due_on.isoformat()}") if missed else None


def minutes_left(due_on: datetime, now: datetime) -> int:
    """Whole minutes until due, begun ones counted; negative once it has passed."""
    return -((now - due_on) // MINUTE)


def _arm(session: Session, task: Task, moment: datetime) -> None:
    """Plain UPDATE of this column alone: no new version, so no person's save meets a conflict.

    It names the due time that was read: somebody who re-dates meanwhile has armed the task himself.
    """
    step = update(Task).where(Task.id == task.id, Task.due_on == task.due_on).values(remind_on=moment)
    session.execute(step, execution_options={"synchronize_session": False})
