"""Tasks: what is to be done for a lead or a ticket, by whom, until when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Boolean, CheckConstraint, ForeignKey, Index, String, Text, func, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import timeline
from app.domain.base import Record, RuleBroken, UtcDateTime, Versioned

STATUSES = ("Backlog", "Todo", "In Progress", "Done", "Canceled")
OPEN = ("Backlog", "Todo", "In Progress")
#: The ones that become overdue and are handed on.
ACTIVE = ("Todo", "In Progress")
PRIORITIES = ("Low", "Medium", "High")


class Task(Versioned, Record):
    """One thing to do."""

    __tablename__ = "task"
    __table_args__ = (
        CheckConstraint("(lead_id IS NULL) <> (ticket_id IS NULL)", name="task_of_lead_or_ticket"),
        Index("ix_task_assignee", "assignee_id", "status", "due_on"),
        Index("ix_task_watched", "exhausted", "status", "due_on"),
        Index("ix_task_due", "status", "due_on"),
        Index("ix_task_lead", "lead_id", "status"),
        Index("ix_task_ticket", "ticket_id", "status"),
        Index("ix_task_remind", "remind_on"),
    )
    title: Mapped[str] = mapped_column(String(200), nullable=False)
    description: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16), nullable=False, default="Todo")
    priority: Mapped[str] = mapped_column(String(16), nullable=False, default="Medium")
    #: UTC; null = no time.
    due_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"))
    #: Every colleague had it while it stayed overdue; cleared when re-dated, done or assigned by hand.
    exhausted: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    #: User ids that had this task in the present round of reassignment.
    tried: Mapped[list[int]] = mapped_column(JSON, nullable=False, default=list)
    #: When the reminder job must look at this task next, UTC; null = never.
    remind_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    done_on: Mapped[datetime | None] = mapped_column(UtcDateTime)

    def is_late(self, now: datetime) -> bool:
        """Open and past its due time."""
        return self.status in OPEN and self.due_on is not None and now > self.due_on

    def set_due(self, due_on: datetime | None, offsets: tuple[int, ...], now: datetime) -> None:
        """Re-date: arms the reminders anew and ends the round of reassignment."""
        self.due_on, self.exhausted, self.tried = due_on, False, []
        self.arm(offsets, now)

    def arm(self, offsets: tuple[int, ...], now: datetime) -> None:
        """Set remind_on to the next moment at which a reminder may be due (offsets: minutes before due)."""
        if self.due_on is None or self.status not in OPEN or self.assignee_id is None:
            self.remind_on = None
            return
        self.remind_on = first_reminder_check(self.due_on, offsets, now)


def first_reminder_check(due_on: datetime, offsets: tuple[int, ...], now: datetime) -> datetime:
    """The first moment from now on at which a reminder of what is due then may be owed (offsets: minutes before)."""
    moments = sorted([due_on - timedelta(minutes=m) for m in offsets] + [due_on + timedelta(hours=1)])
    return next((moment for moment in moments if moment >= now), now)


def create(
    session: Session, values: dict[str, Any], by: int | None, now: datetime, offsets: tuple[int, ...] = (60, 5)
) -> Task:
    """Make a task of a lead or a ticket. Raises RuleBroken for a missing title or parent."""
    _refuse_wrong(values)
    if (values.get("lead_id") is None) == (values.get("ticket_id") is None):
        raise RuleBroken("A task needs exactly one lead or ticket.", "lead")
    if not (values.get("title") or "").strip():
        raise RuleBroken("Please enter what to do.", "title")
    fields = ("title", "description", "status", "priority", "lead_id", "ticket_id")
    task = Task(version=1, **{name: values[name] for name in fields if values.get(name) is not None})
    task.title = task.title.strip()
    task.status, task.priority = task.status or "Todo", task.priority or "Medium"
    task.assignee_id = values.get("assignee_id", by)
    task.owner_id, task.exhausted, task.tried = by, False, []
    task.set_due(values.get("due_on"), offsets, now)
    task.stamp(by, now)
    session.add(task)
    session.flush()
    due = task.due_on.isoformat() if task.due_on else None
    timeline.write(session, task, "task", by, now, text=task.title, what="created", due=due, assignee=task.assignee_id)
    return task


def change(
    session: Session,
    task: Task,
    values: dict[str, Any],
    by: int | None,
    now: datetime,
    offsets: tuple[int, ...] = (60, 5),
) -> None:
    """Change a task through its one door: stamps, reminders, exhaustion and timeline follow."""
    _refuse_wrong(values)
    if "title" in values and not (values["title"] or "").strip():
        raise RuleBroken("Please enter what to do.", "title")
    names = ("title", "description", "priority", "status", "due_on", "assignee_id")
    changes = [[n, getattr(task, n), values[n]] for n in names if n in values and values[n] != getattr(task, n)]
    was_exhausted = task.exhausted
    for name, _, new in changes:
        setattr(task, name, new)
    touched = {name for name, _, _ in changes}
    if touched & {"due_on", "assignee_id", "status"}:
        task.set_due(task.due_on, offsets, now)
    if "status" in touched:
        task.done_on = now if task.status == "Done" else None
    if changes:
        task.stamp(by, now)
        timeline.write(
            session, task, "task", by, now, text=task.title, what=_what(task, touched), changes=_told(changes)
        )
    if was_exhausted and not task.exhausted:
        _clear_flag(session, task)


def _clear_flag(session: Session, task: Task) -> None:
    """The record's own flag goes with the task's, or to another task of it that is still exhausted.

    On the bare table: whoever may change the task need not see its lead, and the flag must not stay for that.
    """
    same = Task.lead_id == task.lead_id if task.lead_id is not None else Task.ticket_id == task.ticket_id
    other = select(func.min(Task.id)).where(same, Task.exhausted.is_(True), Task.id != task.id).scalar_subquery()
    record = Task.metadata.tables["leads" if task.lead_id is not None else "ticket"]
    step = update(record).where(record.c.id == (task.lead_id or task.ticket_id)).values(exhausted_task_id=other)
    session.execute(step)


def _refuse_wrong(values: dict[str, Any]) -> None:
    if values.get("status") is not None and values["status"] not in STATUSES:
        raise RuleBroken("The status of a task must be Backlog, Todo, In Progress, Done or Canceled.", "status")
    if values.get("priority") is not None and values["priority"] not in PRIORITIES:
        raise RuleBroken("The priority of a task must be Low, Medium or High.", "priority")
    for name in ("status", "priority"):
        if name in values and values[name] is None:
            raise RuleBroken("Please choose one.", name)


def _what(task: Task, touched: set[str]) -> str:
    if "status" in touched:
        return {"Done": "done", "Canceled": "canceled"}.get(task.status, "changed")
    return "changed"


def _told(changes: list[list[Any]]) -> list[list[Any]]:
    return [[n, *(v.isoformat() if isinstance(v, datetime) else v for v in pair)] for n, *pair in changes]


def open_tasks(session: Session, lead_id: int | None = None, ticket_id: int | None = None) -> list[Task]:
    """The open tasks of a lead or ticket, earliest due first."""
    parent = Task.lead_id == lead_id if lead_id else Task.ticket_id == ticket_id
    query = select(Task).where(parent, Task.status.in_(OPEN))
    return list(session.scalars(query.order_by(or_(Task.due_on.is_(None)), Task.due_on, Task.id)))


def first_task_values(
    title: str, priority: str, wanted: dict[str, Any] | None, minutes: dict[str, int], now: datetime
) -> dict[str, Any]:
    """The values of a new record's first task: what was wanted, and what follows from title and priority."""
    given = {name: value for name, value in (wanted or {}).items() if value is not None}
    made: dict[str, Any] = {"title": title[:200], "priority": priority} | given
    made["due_on"] = made.get("due_on") or first_task_due_on(made["priority"], minutes, now)
    return made


def first_task_due_on(priority: str, minutes: dict[str, int], now: datetime) -> datetime:
    """When a new record's first task is due: by priority, minutes of wall-clock time (Medium if unknown)."""
    return now + timedelta(minutes=minutes.get(priority, minutes.get("Medium", 120)))
