"""Task reminders: at the assignee's own offsets before a task is due, and once a day while it is overdue.

A task of a closed lead or ticket is reported as overdue once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from app.domain import round_robin, tasks
from app.domain.automation.reassignment import KINDS
from app.domain.notifications import notices, reminder_preferences
from app.domain.persistence import bulk_statements
from app.domain.persistence.bulk_statements import LockedRow
from app.domain.snooze import next_morning
from app.domain.tasks import Task

#: How long after its due time a task is first reported as overdue.
OVERDUE = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
_COLUMNS = (Task.id, Task.title, Task.status, Task.due_on, Task.assignee_id, Task.lead_id, Task.ticket_id)


def due_tasks(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of the open tasks for which a reminder may be due, longest waiting first."""
    waiting = (Task.remind_on <= now, Task.status.in_(tasks.OPEN), Task.assignee_id.is_not(None))
    return list(session.scalars(select(Task.id).where(*waiting).order_by(Task.remind_on, Task.id).limit(limit)))


def remind(session: Session, task_id: int, now: datetime, zone: str) -> str:
    """Call `remind_many` for one task."""
    return remind_many(session, [task_id], now, zone)[0]


def remind_many(session: Session, task_ids: Sequence[int], now: datetime, zone: str) -> list[str]:
    """Send the due reminders of these tasks, and set when to check them next. The caller commits.

    Returns for each id task_due, task_overdue, or skipped: nothing to send, or another transaction holds the task and
    the next run retries. `zone`: the office's, for users without their own. Idempotent: the event key names task,
    offset and due time, or task and local date.
    """
    checks = _checks(session, task_ids, now, zone)
    events = {check.task.id: event for check in checks if (event := check.event(now))}
    new = _not_yet_sent(session, events)
    notices.notify_many(session, [events[key] for key in sorted(new)], now)
    _schedule(session, [(check.task, check.next_on(now)) for check in checks])
    return [events[key].kind if key in new else "skipped" for key in task_ids]


@dataclass(frozen=True)
class _TaskCheck:
    """A locked task, and the recipient of its reminders: its assignee or their substitute."""

    task: LockedRow
    user: Any
    zone: ZoneInfo
    #: Whether its lead or ticket is closed.
    is_over: bool = False

    def event(self, now: datetime) -> notices.NoticeEvent | None:
        """The reminder that is due now."""
        due_on = self.task.due_on
        if due_on is None or not self.user.active:
            return None
        found = self._kind_and_key(due_on, now)
        if found is None:
            return None
        payload = {"title": self.task.title, "due": due_on.isoformat(), "minutes": minutes_left(due_on, now)}
        return notices.NoticeEvent(*found, (self.user.id,), payload, self.task)

    def _kind_and_key(self, due_on: datetime, now: datetime) -> tuple[str, str] | None:
        """Kind and event key of the reminder that is due now, or None."""
        if now >= due_on + OVERDUE:
            if self.is_over and now >= due_on + OVERDUE + timedelta(days=1):
                return None
            return "task_overdue", f"overdue:{self.task.id}:{now.astimezone(self.zone).date()}"
        missed = [
            minutes for minutes in reminder_preferences.reminder_offsets(self.user) if due_on - minutes * MINUTE <= now
        ]
        # Only the nearest one: after a delay nobody needs the reminder for an hour that has passed.
        return ("task_due", f"due:{self.task.id}:{min(missed)}:{due_on.isoformat()}") if missed else None

    def next_on(self, now: datetime) -> datetime | None:
        """When to check the task next."""
        due_on = self.task.due_on
        if self.is_over and due_on and now >= due_on + OVERDUE:
            return None
        return next_check(due_on, reminder_preferences.reminder_offsets(self.user), now, self.zone) if due_on else None


def _checks(session: Session, task_ids: Sequence[int], now: datetime, zone: str) -> list[_TaskCheck]:
    """The tasks that this transaction could lock and that are still open, with their recipients."""
    query = select(*_COLUMNS).where(Task.id.in_(task_ids)).order_by(Task.id)
    locked = [LockedRow.of(Task, row) for row in session.execute(query.with_for_update(skip_locked=True))]
    found = [task for task in locked if task.due_on and task.assignee_id and task.status in tasks.OPEN]
    recipients = _recipients(session, {int(task.assignee_id or 0) for task in found}, now)
    pairs = ((task, recipients[task.assignee_id or 0]) for task in found)
    over = _of_closed_records(session, [task for task in found if task.due_on and now >= task.due_on + OVERDUE])
    return [_TaskCheck(task, user, ZoneInfo(user.time_zone or zone), task.id in over) for task, user in pairs]


def _of_closed_records(session: Session, overdue: Sequence[LockedRow]) -> set[int]:
    """Those of the tasks whose lead or ticket is closed."""
    over: set[int] = set()
    for kind, (record, status, _role, meanings) in KINDS.items():
        parents = {task.id: parent for task in overdue if (parent := getattr(task, f"{kind}_id")) is not None}
        if not parents:
            continue
        is_closed = record.status_id.in_(select(status.id).where(status.meaning.in_(meanings)))
        closed = set(session.scalars(select(record.id).where(record.id.in_(set(parents.values())), is_closed)))
        over |= {key for key, parent in parents.items() if parent in closed}
    return over


def _recipients(session: Session, assignees: set[int], now: datetime) -> dict[int, Any]:
    """Assignee -> recipient: during a leave the delegate, if available."""
    if not assignees:
        return {}
    delegate = aliased(User)
    query = select(User, delegate).outerjoin(delegate, delegate.id == User.delegate_id).where(User.id.in_(assignees))
    return {
        user.id: other if round_robin.substitute(round_robin.TurnPosition(user, other), now) is not None else user
        for user, other in session.execute(query)
    }


def _not_yet_sent(session: Session, events: dict[int, notices.NoticeEvent]) -> set[int]:
    """The tasks whose event has no notification yet."""
    keys = {f"{event.key}:{event.users[0]}": task for task, event in events.items()}
    if not keys:
        return set()
    sent = session.scalars(select(notices.Notification.event_key).where(notices.Notification.event_key.in_(keys)))
    return set(events) - {keys[key] for key in sent}


def next_check(due_on: datetime, offsets: tuple[int, ...], now: datetime, zone: ZoneInfo) -> datetime:
    """The first moment after now at which this task must be checked again."""
    moments = [due_on - minutes * MINUTE for minutes in offsets] + [due_on + OVERDUE]
    later = [moment for moment in moments if moment > now]
    return min(later) if later else next_morning(now, zone)


def minutes_left(due_on: datetime, now: datetime) -> int:
    """Minutes until due, rounded up; negative once it has passed."""
    return -((now - due_on) // MINUTE)


def _schedule(session: Session, moments: Sequence[tuple[LockedRow, datetime | None]]) -> None:
    """Set remind_on alone, without a new version, so that it can't make saves conflict.

    The UPDATE compares the due time that was read, because changing it also sets remind_on.
    """
    new = [{"id": task.id, "due_on": task.due_on, "remind_on": moment} for task, moment in moments]
    bulk_statements.update_rows(session, Task, new, where=["due_on"], bump_version=False)
    for loaded in [each for each in session.identity_map.values() if isinstance(each, Task)]:
        session.expire(loaded)
