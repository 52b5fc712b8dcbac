"""Collects the decisions of one reassignment run, and writes them with one statement for each kind of row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import assignment, round_robin, tasks, timeline
from app.domain.base import Stamp
from app.domain.leads import Lead
from app.domain.notifications import notices, reminder_preferences
from app.domain.people.users import active_admins
from app.domain.persistence import bulk_statements, change_events, recount_marks
from app.domain.persistence.bulk_statements import LockedRow
from app.domain.tasks import Task
from app.domain.tickets import Ticket


@dataclass(frozen=True)
class RecordToReassign:
    """A locked record with its overdue tasks, oldest first."""

    #: lead or ticket, and its id.
    key: tuple[str, int]
    #: The role whose round robin its tasks follow.
    role: str
    record: LockedRow
    overdue: list[LockedRow]

    def has_role(self, default: str) -> bool:
        """Whether the locked record still has this role, explicitly or by default."""
        return bool((self.record.assigned_role or default) == self.role)


@dataclass
class ReassignmentBatch:
    """The changes of one transaction."""

    now: datetime
    #: The new due time of the reassigned tasks.
    due_on: datetime
    #: (lead or ticket, id) -> reassigned or exhausted.
    results: dict[tuple[str, int], str] = field(default_factory=dict)
    _reassigned: list[tuple[RecordToReassign, round_robin.TurnDecision]] = field(default_factory=list)
    _exhausted: list[tuple[RecordToReassign, round_robin.TurnDecision]] = field(default_factory=list)

    def reassign(self, item: RecordToReassign, decision: round_robin.TurnDecision) -> None:
        """Move all overdue tasks of the record to the user of the decision."""
        self.results[item.key] = "reassigned"
        self._reassigned.append((item, decision))

    def mark_exhausted(self, item: RecordToReassign, decision: round_robin.TurnDecision) -> None:
        """Record that nobody is left to take its tasks."""
        self.results[item.key] = "exhausted"
        self._exhausted.append((item, decision))

    def write(self, session: Session) -> None:
        """Write everything, and expire the session, so that its objects are read again."""
        offsets = _reminder_offsets(session, [decision.user_id for _, decision in self._reassigned])
        bulk_statements.update_rows(
            session,
            Task,
            [self._reassigned_task(task, decision, offsets) for task, decision in self._tasks()]
            + [self._exhausted_task(task) for item, _ in self._exhausted for task in item.overdue],
        )
        recount_marks.mark(session, "task", [task.id for task, _decision in self._tasks()])
        items = [*self._reassigned, *self._exhausted]
        for record in (Lead, Ticket):
            theirs = [each for each in items if each[0].record.__tablename__ == record.__tablename__]
            bulk_statements.update_rows(session, record, [self._record_row(*each) for each in theirs])
        self._note_events(session)
        assignment.reassign_many(
            session, [(item.record, decision) for item, decision in self._reassigned], "overdue", self.now
        )
        timeline.write_many(session, self._lines(), Stamp(None, self.now))
        notices.notify_many(session, self._events(_Managers(session) if self._exhausted else None), self.now)
        session.flush()
        session.expire_all()

    def _note_events(self, session: Session) -> None:
        """Record change events for webhooks, because the rows are written without the session."""
        for item, _decision in self._reassigned:
            change_events.record_event(session, *item.key, "assigned")
        for task, _decision in self._tasks():
            change_events.record_event(session, "task", task.id, "assigned", "changed")

    # --- rows

    def _tasks(self) -> Iterable[tuple[LockedRow, round_robin.TurnDecision]]:
        return ((task, decision) for item, decision in self._reassigned for task in item.overdue)

    def _reassigned_task(
        self, task: LockedRow, decision: round_robin.TurnDecision, offsets: dict[int, tuple[int, ...]]
    ) -> dict[str, Any]:
        """The round continues: `tried` grows, whereas setting a due time by hand clears it."""
        tried = [task.assignee_id] if task.assignee_id is not None and task.assignee_id not in task.tried else []
        assignee = int(decision.user_id or 0)
        remind_on = tasks.first_reminder_check(self.due_on, offsets[assignee], self.now)
        return self._row(
            task, assignee_id=assignee, due_on=self.due_on, tried=[*task.tried, *tried], remind_on=remind_on
        )

    def _exhausted_task(self, task: LockedRow) -> dict[str, Any]:
        return self._row(task, exhausted=True)

    def _row(self, task: LockedRow, **new: Any) -> dict[str, Any]:
        names = ("assignee_id", "due_on", "tried", "remind_on", "exhausted")
        same = {name: new.get(name, getattr(task, name)) for name in names}
        return {"id": task.id, "changed_on": self.now, "changed_by_id": None} | same

    def _record_row(self, item: RecordToReassign, decision: round_robin.TurnDecision) -> dict[str, Any]:
        """The new assignee of the record; or the exhausted task, which does not count as a change of the record."""
        record, assignee = item.record, decision.user_id
        stamp = (self.now, None) if assignee else (record.changed_on, record.changed_by_id)
        flag = record.exhausted_task_id if assignee else item.overdue[0].id
        follow_up = {"next_follow_up_on": self._follow_up(item, assignee)} if item.key[0] == "lead" else {}
        return follow_up | {
            "id": record.id,
            "assignee_id": assignee or record.assignee_id,
            "exhausted_task_id": flag,
            "changed_on": stamp[0],
            "changed_by_id": stamp[1],
        }

    def _follow_up(self, item: RecordToReassign, assignee: int | None) -> datetime | None:
        """The next follow-up of a lead: it moves with the task that is due at the same time, as by hand."""
        stored: datetime | None = item.record.next_follow_up_on
        return self.due_on if assignee and stored in {task.due_on for task in item.overdue} else stored

    def _lines(self) -> Iterable[timeline.TimelineLine]:
        for item, decision in self._reassigned:
            payload = {"to": decision.user_id, "old": item.record.assignee_id, "reason": "overdue"}
            yield timeline.TimelineLine(item.record, "assignment", payload)
        for item, decision in self._exhausted:
            first = item.overdue[0]
            text = f"No one with the role {decision.role} is available for the overdue task “{first.title}”."
            payload = {"text": text, "what": "exhausted", "task": first.id, "decision": decision.as_json()}
            yield timeline.TimelineLine(item.record, "system", payload)

    # --- notices

    def _events(self, managers: _Managers | None) -> Iterable[notices.NoticeEvent]:
        for item, decision in self._reassigned:
            yield from self._events_of_losers(item, decision.user_id)
            payload = {"number": item.record.number, "title": item.overdue[0].title, "tasks": len(item.overdue)}
            payload["due"] = self.due_on.isoformat()
            first = item.overdue[0]
            yield notices.NoticeEvent("task_assigned", _key("given", first), (decision.user_id,), payload, first)
        for item, decision in self._exhausted:
            first, tasks = item.overdue[0], len(item.overdue)
            payload = {"number": item.record.number, "title": first.title, "role": decision.role, "tasks": tasks}
            people = managers.above(task.assignee_id for task in item.overdue) if managers else ()
            yield notices.NoticeEvent("exhausted", _key("exhausted", first), people, payload, first)

    def _events_of_losers(self, item: RecordToReassign, assignee: int | None) -> Iterable[notices.NoticeEvent]:
        """One event for each user who loses tasks, whatever their number."""
        for user in dict.fromkeys(
            task.assignee_id for task in item.overdue if task.assignee_id not in (None, assignee)
        ):
            lost = [task for task in item.overdue if task.assignee_id == user]
            payload = {"number": item.record.number, "tasks": len(lost), "to": assignee, "title": lost[0].title}
            yield notices.NoticeEvent("task_taken", _key("taken", lost[0]), (user,), payload, lost[0])


def _key(what: str, task: LockedRow) -> str:
    """The key of a notice: it names one overdue period of one task, so that it is notified once."""
    return f"{what}:{task.id}:{task.due_on.isoformat() if task.due_on else ''}"


def _reminder_offsets(session: Session, takers: Iterable[int | None]) -> dict[int, tuple[int, ...]]:
    """User id -> minutes before due of their reminders; the session has loaded these users already."""
    return {
        user: reminder_preferences.reminder_offsets(session.get_one(User, user))
        for user in {*takers}
        if user is not None
    }


class _Managers:
    """The active managers above users, and the active admins."""

    def __init__(self, session: Session) -> None:
        users = session.execute(select(User.id, User.manager_id, User.active)).all()
        self._manager: dict[int | None, int | None] = {row.id: row.manager_id for row in users}
        self._active = {row.id for row in users if row.active}
        self._admins = active_admins(session)

    def above(self, users: Iterable[int | None]) -> tuple[int, ...]:
        """Ids of the managers above these users and of the admins, in order."""
        found: set[int | None] = set(self._admins)
        for user in users:
            chain = [user]
            while (manager := self._manager.get(chain[-1])) is not None and manager not in chain:
                chain.append(manager)
            found.update(chain[1:])
        return tuple(sorted(self._active & found))
