"""Reminders: at the person's own offsets before a task is due, and once a day while it is overdue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased, load_only

from app.domain import bulk, notices, tasks, team
from app.domain.snooze import next_morning
from app.domain.tasks import Task

#: Overdue for so long, a task is told as overdue.
OVERDUE = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
_COLUMNS = (Task.title, Task.status, Task.due_on, Task.assignee_id, Task.lead_id, Task.ticket_id)


def reminder_offsets(user: Any) -> tuple[int, ...]:
    """Minutes before due at which this person wants to be reminded; an empty list of his own means never."""
    chosen = getattr(user, "reminder_minutes", None)
    return tuple(team.REMINDER_MINUTES if chosen is None else chosen)


def due_tasks(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of the open tasks at which a reminder may be due, longest waiting first."""
    waiting = (Task.remind_on <= now, Task.status.in_(tasks.OPEN), Task.assignee_id.is_not(None))
    return list(session.scalars(select(Task.id).where(*waiting).order_by(Task.remind_on, Task.id).limit(limit)))


def remind(session: Session, task_id: int, now: datetime, zone: str) -> str:
    """Tell what is due now of one task: remind_many() for one."""
    return remind_many(session, [task_id], now, zone)[0]


def remind_many(session: Session, task_ids: Sequence[int], now: datetime, zone: str) -> list[str]:
    """Tell the assignees what is due now, and arm for the next moment. The caller commits: one transaction.

    Answers in order: task_due, task_overdue, or skipped (nothing to tell, or somebody is at the task: the next minute
    looks again). `zone`: the office's, for people without one of their own. However often it is called, the event key
    (task, offset, due time; task, local date) lets each reminder appear once.
    """
    looks = _looks(session, task_ids, now, zone)
    news = {look.task.id: told for look in looks if (told := look.news(now))}
    fresh = _not_told(session, news)
    notices.notify_many(session, [news[key] for key in sorted(fresh)], now)
    _arm(session, [(look.task, look.next(now)) for look in looks])
    return [news[key].kind if key in fresh else "skipped" for key in task_ids]


@dataclass(frozen=True)
class _Look:
    """A task under its lock, and who hears of it: its assignee, or whoever stands in for him."""

    task: Task
    user: Any
    place: ZoneInfo

    def news(self, now: datetime) -> notices.NoticeEvent | None:
        """What is to be told now."""
        due_on = self.task.due_on
        if due_on is None or not self.user.active:
            return None
        event = _event(self.task.id, due_on, reminder_offsets(self.user), now, self.place)
        says = {"title": self.task.title, "due": due_on.isoformat(), "minutes": minutes_left(due_on, now)}
        return notices.NoticeEvent(*event, (self.user.id,), says, notices.record_ids_of(self.task)) if event else None

    def next(self, now: datetime) -> datetime | None:
        """When it is to be looked at again."""
        due_on = self.task.due_on
        return next_check(due_on, reminder_offsets(self.user), now, self.place) if due_on else None


def _looks(session: Session, task_ids: Sequence[int], now: datetime, zone: str) -> list[_Look]:
    """The tasks that are ours now; whose assignee is on leave, with his delegate if that one is there."""
    query = select(Task).options(load_only(*_COLUMNS)).where(Task.id.in_(task_ids)).order_by(Task.id)
    locked = query.with_for_update(skip_locked=True)
    found = list(session.scalars(locked, execution_options={"populate_existing": True}))
    found = [task for task in found if task.due_on and task.assignee_id and task.status in tasks.OPEN]
    people = _listeners(session, {int(task.assignee_id or 0) for task in found}, now)
    heard = ((task, people[task.assignee_id or 0]) for task in found)
    return [_Look(task, user, ZoneInfo(user.time_zone or zone)) for task, user in heard]


def _listeners(session: Session, users: set[int], now: datetime) -> dict[int, Any]:
    """Assignee -> who hears it."""
    if not users:
        return {}
    delegate = aliased(User)
    query = select(User, delegate).outerjoin(delegate, delegate.id == User.delegate_id).where(User.id.in_(users))
    pairs = [
        (user, other, team.substitute(team.TurnPosition(user, other), now)) for user, other in session.execute(query)
    ]
    return {user.id: user if instead is None else other for user, other, instead in pairs}


def _not_told(session: Session, news: dict[int, notices.NoticeEvent]) -> set[int]:
    """The tasks whose event stands in nobody's bell yet."""
    keys = {f"{told.key}:{told.users[0]}": task for task, told in news.items()}
    if not keys:
        return set()
    told = session.scalars(select(notices.Notification.event_key).where(notices.Notification.event_key.in_(keys)))
    return set(news) - {keys[key] for key in told}


def next_check(due_on: datetime, offsets: tuple[int, ...], now: datetime, place: ZoneInfo) -> datetime:
    """The first moment after now at which this task is to be looked at again."""
    moments = [due_on - minutes * MINUTE for minutes in offsets] + [due_on + OVERDUE]
    later = [moment for moment in moments if moment > now]
    return min(later) if later else next_morning(now, place)


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


def _arm(session: Session, moments: Sequence[tuple[Task, datetime | None]]) -> None:
    """UPDATE of this column alone: no new version, so no person's save meets a conflict.

    It names the due time that was read: somebody who re-dates meanwhile has armed the task himself.
    """
    new = [{"id": task.id, "due_on": task.due_on, "remind_on": moment} for task, moment in moments]
    bulk.update_rows(session, Task, new, where=["due_on"], save=False)
    for task, _ in moments:
        session.expire(task, ["remind_on"])
