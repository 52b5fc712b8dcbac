"""Tasks: what is to be done for a lead or a ticket, by whom and by when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Boolean, CheckConstraint, ForeignKey, Index, String, Text, func, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import business_settings, custom_values, timeline
from app.domain.base import Conflict, Record, RuleBroken, UtcDateTime, Versioned, translatable
from app.domain.change_context import ChangeContext
from app.domain.custom_values import HasCustomFields
from app.domain.persistence import fast_insert, history_rows, parent_holders

STATUSES = ("Backlog", "Todo", "In Progress", "Done", "Canceled")
OPEN = ("Backlog", "Todo", "In Progress")
#: Open statuses in which a task can become overdue and is then reassigned.
ACTIVE = ("Todo", "In Progress")
PRIORITIES = ("Low", "Medium", "High")


class Task(HasCustomFields, Versioned, Record):
    """A task."""

    __tablename__ = "task"
    __table_args__ = (
        CheckConstraint("(lead_id IS NULL) <> (ticket_id IS NULL)", name="task_of_lead_or_ticket"),
        Index("ix_task_assignee", "assignee_id", "status", "due_on"),
        Index("ix_task_assignee_id", "assignee_id", "id"),
        Index("ix_task_assignee_due", "assignee_id", "due_on"),
        Index("ix_task_assignee_done", "assignee_id", "done_on", "status", "due_on"),
        Index("ix_task_assignee_created", "assignee_id", "created_on", "status"),
        Index("ix_task_due_on", "due_on"),
        Index("ix_task_watched", "exhausted", "status", "due_on"),
        # Lists by due time check the access rules, and figures count, on this index alone.
        Index("ix_task_due", "status", "due_on", "id", "assignee_id", "lead_id", "ticket_id"),
        Index("ix_task_lead", "lead_id", "status"),
        Index("ix_task_ticket", "ticket_id", "status"),
        Index("ix_task_remind", "remind_on"),
        Index("ix_task_created", "created_on"),
        Index("ix_task_changed", "changed_on"),
        Index("ix_task_done", "done_on", "status", "due_on", "assignee_id"),
        Index("ix_task_words", "title", mysql_prefix="FULLTEXT"),
    )
    title: Mapped[str] = mapped_column(String(200), nullable=False)
    description: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16), nullable=False, default="Todo")
    priority: Mapped[str] = mapped_column(String(16), nullable=False, default="Medium")
    #: UTC; null = no due time.
    due_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"))
    #: Whether it stayed overdue with every colleague in turn; cleared by a new due time, assignee or status.
    exhausted: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    #: Ids of the users who had this task in the current round of reassignment.
    tried: Mapped[list[int]] = mapped_column(JSON, nullable=False, default=list)
    #: When the reminder job checks this task next, UTC; null = never.
    remind_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    done_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Whether the CRM made the title, as that of a first task; null = stored before this was known: the title says it.
    is_generated: Mapped[bool | None] = mapped_column(Boolean)

    def is_late(self, now: datetime) -> bool:
        """Whether it is open and past its due time."""
        return self.status in OPEN and self.due_on is not None and now > self.due_on

    def set_due(self, due_on: datetime | None, reminder_minutes: tuple[int, ...], now: datetime) -> None:
        """Set the due time, schedule its reminders and end the round of reassignment."""
        self.due_on, self.exhausted, self.tried = due_on, False, []
        self.schedule_reminder(reminder_minutes, now)

    def schedule_reminder(self, reminder_minutes: tuple[int, ...], now: datetime) -> None:
        """Set `remind_on` to the next moment at which a reminder may be due."""
        if self.due_on is None or self.status not in OPEN or self.assignee_id is None:
            self.remind_on = None
            return
        self.remind_on = first_reminder_check(self.due_on, reminder_minutes, now)


parent_holders.add_columns(Task.__table__)


def first_reminder_check(due_on: datetime, reminder_minutes: tuple[int, ...], now: datetime) -> datetime:
    """The first moment from now on at which a reminder may be due (`reminder_minutes`: before the due time)."""
    moments = sorted([due_on - timedelta(minutes=m) for m in reminder_minutes] + [due_on + timedelta(hours=1)])
    return next((moment for moment in moments if moment >= now), now)


def create(session: Session, values: dict[str, Any], context: ChangeContext) -> Task:
    """Create a task of a lead or a ticket. Raises RuleBroken for a missing title or parent."""
    _refuse_invalid(values)
    if (values.get("lead_id") is None) == (values.get("ticket_id") is None):
        raise RuleBroken("A task needs exactly one lead or ticket.", "lead")
    _refuse_no_title(values)
    fields = ("title", "description", "status", "priority", "lead_id", "ticket_id")
    task = Task(version=1, **{name: values[name] for name in fields if values.get(name) is not None})
    task.title = task.title.strip()
    custom_values.set_values(task, values)
    task.status, task.priority = task.status or "Todo", task.priority or "Medium"
    task.assignee_id = values.get("assignee_id", context.by)
    task.owner_id, task.exhausted, task.tried = context.by, False, []
    task.is_generated = bool(values.get("is_generated"))
    task.set_due(values.get("due_on"), context.reminder_minutes, context.now)
    task.stamp(context)
    fast_insert.insert(session, task)
    line = {"text": task.title, "what": "created", "due": timeline.as_json(task.due_on), "assignee": task.assignee_id}
    with history_rows.written_together(session):
        timeline.write(session, task, "task", context, **line)
    return task


def refuse_closed(task: Task) -> None:
    """Raise Conflict if the task is already finished or canceled."""
    if task.status not in OPEN:
        raise Conflict(
            translatable("“%(title)s” is already finished. Someone else may have finished it.", title=task.title)
        )


def change(session: Session, task: Task, values: dict[str, Any], context: ChangeContext) -> None:
    """Change fields of a task, and with them its reminders, reassignment and timeline. Raises RuleBroken."""
    change_many(session, [(task, values)], context)


def change_many(
    session: Session,
    changes: Iterable[tuple[Task, dict[str, Any]]],
    context: ChangeContext,
    *,
    reason: str | None = None,
) -> None:
    """`change` for many tasks, each with its own values; their leads and tickets are cleared by one statement each.

    `reason`: why they were changed by themselves, for the timeline: "record closed" or "record reopened".
    """
    cleared = []
    for task, values in changes:
        was_exhausted = task.exhausted
        changed = _change(task, values, context)
        if changed:
            payload = _change_payload(task, changed) | ({"reason": reason} if reason else {})
            timeline.write(session, task, "task", context, **payload)
        if was_exhausted and not task.exhausted:
            cleared.append(task)
    _clear_exhausted_tasks(session, cleared)


def _change(task: Task, values: dict[str, Any], context: ChangeContext) -> list[list[Any]]:
    """Set the values. Returns what has changed: [[field, old, new]]."""
    _refuse_invalid(values)
    if "title" in values:
        _refuse_no_title(values)
    names = ("title", "description", "priority", "status", "due_on", "assignee_id")
    values = _due_again(task, values, context.now)
    changes = [[n, getattr(task, n), values[n]] for n in names if n in values and values[n] != getattr(task, n)]
    for name, _, new in changes:
        setattr(task, name, new)
        if name == "title":
            task.is_generated = False
    custom = task.custom
    custom_values.set_values(task, values)
    changes += custom_values.changes(task, custom)
    changed = {name for name, _, _ in changes}
    if changed & {"due_on", "assignee_id", "status"}:
        task.set_due(task.due_on, context.reminder_minutes, context.now)
    if "status" in changed:
        task.done_on = context.now if task.status == "Done" else None
    if changes:
        task.stamp(context)
    return changes


def _due_again(task: Task, values: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The values, with a due time of now for an exhausted overdue task that is given to somebody as it is.

    Otherwise the next run of the reassignment would take it from them at once; so they have the grace time.
    """
    is_given = values.get("assignee_id") not in (None, task.assignee_id)
    is_redated = values.get("due_on", task.due_on) != task.due_on
    if not (task.exhausted and is_given and task.is_late(now)) or is_redated:
        return values
    return values | {"due_on": now}


def _change_payload(task: Task, changes: list[list[Any]]) -> dict[str, Any]:
    """What the timeline says of a changed task."""
    has_new_status = any(name == "status" for name, _, _ in changes)
    what = {"Done": "done", "Canceled": "canceled"}.get(task.status, "changed") if has_new_status else "changed"
    rows = [[name, timeline.as_json(old), timeline.as_json(new)] for name, old, new in changes]
    return {"text": task.title, "what": what, "changes": rows}


def _clear_exhausted_tasks(session: Session, cleared: Sequence[Task]) -> None:
    """Clear the exhausted task of these tasks' leads and tickets, or name another of theirs that is still exhausted.

    The update uses the bare table, without access rules: a user who may change the task need not see its lead.
    """
    # Those that aren't flushed yet are still exhausted in the database.
    settled = [each.id for each in session.dirty if isinstance(each, Task) and not each.exhausted]
    for table, column in parent_holders.PARENTS.items():
        keys = {key for task in cleared if (key := getattr(task, column)) is not None}
        if keys:
            parent = Task.metadata.tables[table]
            rules = (getattr(Task, column) == parent.c.id, Task.exhausted.is_(True), Task.id.not_in(settled))
            other = select(func.min(Task.id)).where(*rules).correlate(parent).scalar_subquery()
            with session.no_autoflush:  # which would write each task by a statement of its own
                session.execute(update(parent).where(parent.c.id.in_(keys)).values(exhausted_task_id=other))


def _refuse_invalid(values: dict[str, Any]) -> None:
    if values.get("status") is not None and values["status"] not in STATUSES:
        raise RuleBroken("The status of a task must be Backlog, Todo, In Progress, Done or Canceled.", "status")
    if values.get("priority") is not None and values["priority"] not in PRIORITIES:
        raise RuleBroken("The priority of a task must be Low, Medium or High.", "priority")
    for name in ("status", "priority"):
        if name in values and values[name] is None:
            raise RuleBroken("Please choose one.", name)


def _refuse_no_title(values: dict[str, Any]) -> None:
    if not (values.get("title") or "").strip():
        raise RuleBroken("Please enter what to do.", "title")


def missing_open_task(status_label: str) -> RuleBroken:
    """The refusal of a status that needs an open task."""
    text = translatable("“%(status)s” needs an open task. Please add one with a due time.", status=status_label)
    return RuleBroken(text, "task")


def open_tasks(session: Session, lead_id: int | None = None, ticket_id: int | None = None) -> list[Task]:
    """The open tasks of a lead or ticket, earliest due first."""
    parent = Task.lead_id == lead_id if lead_id else Task.ticket_id == ticket_id
    query = select(Task).where(parent, Task.status.in_(OPEN))
    return list(session.scalars(query.order_by(or_(Task.due_on.is_(None)), Task.due_on, Task.id)))


def first_task_values(
    defaults: dict[str, str], requested: dict[str, Any] | None, context: ChangeContext
) -> dict[str, Any]:
    """The values of a new record's first task: as requested, else the default title and priority.

    Without a requested due time it is due after the office minutes of its priority (Medium if unknown).
    """
    given = {name: value for name, value in (requested or {}).items() if value is not None}
    values: dict[str, Any] = {"title": defaults["title"][:200], "priority": defaults["priority"]} | given
    minutes = context.first_task_minutes or business_settings.DEFINITIONS["first_task_minutes"][0]
    wait = timedelta(minutes=minutes.get(values["priority"], minutes.get("Medium", 120)))
    values["is_generated"] = values["title"] == defaults["title"][:200]
    values["due_on"] = values.get("due_on") or context.sla_terms.after(context.now, wait) or context.now + wait
    return values
