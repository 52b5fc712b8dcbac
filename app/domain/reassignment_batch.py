"""What a pass of reassignment decided, gathered on a sheet and written with one statement for each kind of row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import assignment, bulk, change_events, notices, reminders, tasks, team, timeline
from app.domain.tasks import Task


@dataclass(frozen=True)
class RecordToReassign:
    """A record under its lock, with its overdue tasks, oldest first. They are read, never changed, as objects."""

    #: lead or ticket, and its id.
    place: tuple[str, int]
    #: Whose line its tasks go along.
    role: str
    record: Any
    late: list[Task]

    def is_served_by(self, usual: str) -> bool:
        """Whether the locked record still names the role, or none where it is the usual one."""
        return bool((self.record.assigned_role or usual) == self.role)


@dataclass
class ReassignmentBatch:
    """The changes of one transaction."""

    now: datetime
    #: Until when whoever takes a task has time.
    due_on: datetime
    #: (lead or ticket, id) -> reassigned or exhausted.
    answers: dict[tuple[str, int], str] = field(default_factory=dict)
    _taken: list[tuple[RecordToReassign, team.Decision]] = field(default_factory=list)
    _left: list[tuple[RecordToReassign, team.Decision]] = field(default_factory=list)

    def hand_over(self, case: RecordToReassign, decision: team.Decision) -> None:
        """All late tasks of the case go to whom the decision names."""
        self.answers[case.place] = "reassigned"
        self._taken.append((case, decision))

    def exhaust(self, case: RecordToReassign, decision: team.Decision) -> None:
        """Nobody is left to take them."""
        self.answers[case.place] = "exhausted"
        self._left.append((case, decision))

    def write(self, session: Session) -> None:
        """Write it all; whoever holds one of the rows in this session reads it anew."""
        offsets = _offsets(session, [decision.user_id for _, decision in self._taken])
        bulk.update_rows(
            session,
            Task,
            [self._moved(task, decision, offsets) for task, decision in self._tasks()]
            + [self._tired(task) for case, _ in self._left for task in case.late],
        )
        cases = [*self._taken, *self._left]
        for record in dict.fromkeys(type(case.record) for case, _ in cases):
            bulk.update_rows(
                session, record, [self._held(*each) for each in cases if isinstance(each[0].record, record)]
            )
        self._note(session)
        assignment.reassign_many(
            session, [(case.record, decision) for case, decision in self._taken], "overdue", self.now
        )
        timeline.write_many(session, self._lines(), None, self.now)
        notices.notify_many(session, self._news(_Answerable(session) if self._left else None), self.now)
        session.flush()
        session.expire_all()

    def _note(self, session: Session) -> None:
        """For those outside: the rows are written around the session."""
        for case, _decision in self._taken:
            change_events.note(session, *case.place, "assigned")
        for task, _decision in self._tasks():
            change_events.note(session, "task", task.id, "assigned", "changed")

    # --- rows

    def _tasks(self) -> Iterable[tuple[Task, team.Decision]]:
        return ((task, decision) for case, decision in self._taken for task in case.late)

    def _moved(self, task: Task, decision: team.Decision, offsets: dict[int, tuple[int, ...]]) -> dict[str, Any]:
        """The round goes on: `tried` grows, which a re-dating by hand would empty."""
        had = [task.assignee_id] if task.assignee_id is not None and task.assignee_id not in task.tried else []
        taker = int(decision.user_id or 0)
        look = tasks.first_reminder_check(self.due_on, offsets[taker], self.now)
        return self._row(task, assignee_id=taker, due_on=self.due_on, tried=[*task.tried, *had], remind_on=look)

    def _tired(self, task: Task) -> dict[str, Any]:
        return self._row(task, exhausted=True)

    def _row(self, task: Task, **new: Any) -> dict[str, Any]:
        names = ("assignee_id", "due_on", "tried", "remind_on", "exhausted")
        same = {name: new.get(name, getattr(task, name)) for name in names}
        return {"id": task.id, "changed_on": self.now, "changed_by_id": None} | same

    def _held(self, case: RecordToReassign, decision: team.Decision) -> dict[str, Any]:
        """Who has the record now; or which task says that nobody is left, which is no change of the record itself."""
        record, taker = case.record, decision.user_id
        stamp = (self.now, None) if taker else (record.changed_on, record.changed_by_id)
        flag = record.exhausted_task_id if taker else case.late[0].id
        return {
            "id": record.id,
            "assignee_id": taker or record.assignee_id,
            "exhausted_task_id": flag,
            "changed_on": stamp[0],
            "changed_by_id": stamp[1],
        }

    def _lines(self) -> Iterable[timeline.TimelineLine]:
        for case, decision in self._taken:
            says = {"to": decision.user_id, "old": case.record.assignee_id, "reason": "overdue"}
            yield timeline.TimelineLine(case.record, "assignment", says)
        for case, decision in self._left:
            first = case.late[0]
            text = f"No one with the role {decision.role} is available for the overdue task “{first.title}”."
            says = {"text": text, "what": "exhausted", "task": first.id, "decision": decision.as_json()}
            yield timeline.TimelineLine(case.record, "system", says)

    # --- news

    def _news(self, answerable: _Answerable | None) -> Iterable[notices.NoticeEvent]:
        for case, decision in self._taken:
            yield from self._of_taken(case, decision.user_id)
            says = {"number": case.record.number, "title": case.late[0].title, "tasks": len(case.late)}
            says["due"] = self.due_on.isoformat()
            yield _news("task_assigned", "given", case.late[0], (decision.user_id,), says)
        for case, decision in self._left:
            says = {"number": case.record.number, "title": case.late[0].title, "role": decision.role}
            people = answerable.above(task.assignee_id for task in case.late) if answerable else ()
            yield _news("exhausted", "exhausted", case.late[0], people, says | {"tasks": len(case.late)})

    def _of_taken(self, case: RecordToReassign, taker: int | None) -> Iterable[notices.NoticeEvent]:
        """Each person who loses tasks hears it once, whatever their number."""
        for user in dict.fromkeys(task.assignee_id for task in case.late if task.assignee_id not in (None, taker)):
            his = [task for task in case.late if task.assignee_id == user]
            says = {"number": case.record.number, "tasks": len(his), "to": taker, "title": his[0].title}
            yield _news("task_taken", "taken", his[0], (user,), says)


def _news(kind: str, what: str, task: Task, users: tuple[int | None, ...], says: dict[str, Any]) -> notices.NoticeEvent:
    """Its key names one overdue period of one task, so that it is handled once."""
    key = f"{what}:{task.id}:{task.due_on.isoformat() if task.due_on else ''}"
    return notices.NoticeEvent(kind, key, users, says, notices.record_ids_of(task))


def _offsets(session: Session, takers: Iterable[int | None]) -> dict[int, tuple[int, ...]]:
    """user id -> minutes before due at which he wants to be reminded; all of them are known to the session already."""
    return {user: reminders.reminder_offsets(session.get_one(User, user)) for user in {*takers} if user is not None}


class _Answerable:
    """The managers above somebody, and all admins; those who still work here."""

    def __init__(self, session: Session) -> None:
        everybody = session.execute(select(User.id, User.manager_id, User.active)).all()
        self._manager: dict[int | None, int | None] = {row.id: row.manager_id for row in everybody}
        self._working = {row.id for row in everybody if row.active}
        self._admins = [user.id for user in team.members(session, team.get_role(session, "Admin").id)]

    def above(self, users: Iterable[int | None]) -> tuple[int, ...]:
        """In order of id."""
        found: set[int | None] = set(self._admins)
        for user in users:
            chain = [user]
            while (manager := self._manager.get(chain[-1])) is not None and manager not in chain:
                chain.append(manager)
            found.update(chain[1:])
        return tuple(sorted(self._working & found))
