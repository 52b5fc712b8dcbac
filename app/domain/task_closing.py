"""Tasks that become superfluous: closed with their record or a new status, or replaced by the next follow-up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import tasks
from app.domain.assignment import Assignment
from app.domain.base import RECORD_COLUMNS, RuleBroken, translatable
from app.domain.change_context import ChangeContext
from app.domain.tasks import Task

#: Prefix of the title of a ticket's first task, unless another title was given.
HANDLE_TICKET = "Handle ticket: "
#: Prefix of the title of a lead's first task and of a follow-up of a call, unless another title was given.
FOLLOW_UP = "Follow up: "


def is_handling(task: Task) -> bool:
    """Whether this is the task to handle its ticket, which is done when the ticket is."""
    return task.title.startswith(HANDLE_TICKET)


def close_chosen(session: Session, record: Any, ids: Sequence[int], context: ChangeContext) -> list[Task]:
    """Mark these tasks of the lead or ticket as done; closed ones stay unchanged. Returns all of them.

    Raises RuleBroken for an id that isn't a task of the record.
    """
    found = chosen(session, record, ids)
    close(session, found, context)
    return found


def chosen(session: Session, record: Any, ids: Sequence[int]) -> list[Task]:
    """The tasks of the lead or ticket with these ids. Raises RuleBroken for an id that isn't a task of the record."""
    if not ids:
        return []
    parent = getattr(Task, RECORD_COLUMNS[record.__tablename__]) == record.id
    found = {task.id: task for task in session.scalars(select(Task).where(parent, Task.id.in_(ids)))}
    foreign = next((key for key in ids if key not in found), None)
    if foreign is not None:
        raise RuleBroken(
            translatable(
                "Task %(id)s does not belong to %(number)s. Please choose among its own tasks.",
                id=foreign,
                number=record.number,
            ),
            "close_tasks",
        )
    return list(found.values())


def close_handling(session: Session, ticket_id: int, context: ChangeContext) -> None:
    """Mark the ticket's open "Handle ticket" tasks as done."""
    open_tasks = tasks.open_tasks(session, ticket_id=ticket_id)
    close(session, [task for task in open_tasks if is_handling(task)], context)


def close_with_leads(session: Session, closed: Sequence[Any], context: ChangeContext) -> None:
    """Close the open follow-ups of leads that were just closed: done if the account is active, canceled otherwise.

    Tasks that people have named stay. The leads have their new status.
    """
    rules = (Task.lead_id.in_([lead.id for lead in closed]), Task.status.in_(tasks.OPEN))
    meanings = {lead.id: lead.status.meaning for lead in closed}
    for task in session.scalars(select(Task).where(*rules).order_by(Task.id)):
        if task.title.startswith(FOLLOW_UP):
            status = "Done" if meanings[task.lead_id] == "activated" else "Canceled"
            tasks.change(session, task, {"status": status}, context, reason="record closed")


def open_again(session: Session, record: Any, closed_on: datetime, context: ChangeContext) -> None:
    """Open the tasks again that were canceled when the record was closed at `closed_on`, unless changed since.

    Those whose due time has passed are due now, so that their assignees have the grace time. Those of a former assignee
    of the record go to its present one, as they would have, had they been open. Tasks that stayed open are reminded of
    again.
    """
    parent = getattr(Task, RECORD_COLUMNS[record.__tablename__]) == record.id
    for task in session.scalars(select(Task).where(parent, Task.status.in_((*tasks.OPEN, "Canceled")))):
        if task.status != "Canceled":
            task.schedule_reminder(context.reminder_minutes, context.now)
        elif task.changed_on == closed_on:
            due_on = max(task.due_on, context.now) if task.due_on else None
            values = {"status": "Todo", "due_on": due_on, "assignee_id": _holder(session, task, record, closed_on)}
            tasks.change(session, task, values, context, reason="record reopened")


def _holder(session: Session, task: Task, record: Any, closed_on: datetime) -> int | None:
    """Who has the task when its record is open again."""
    if record.assignee_id in (None, task.assignee_id):
        return task.assignee_id
    parent = getattr(Assignment, RECORD_COLUMNS[record.__tablename__]) == record.id
    ended = (parent, Assignment.user_id == task.assignee_id, Assignment.ended_on >= closed_on)
    is_former = session.scalars(select(Assignment.id).where(*ended).limit(1)).first() is not None
    return record.assignee_id if is_former else task.assignee_id


def replaced_by_follow_up(session: Session, parent: Any, users: Sequence[int | None], until: datetime) -> list[Task]:
    """The users' open tasks of a lead or ticket that are due by `until`, UTC, and replaced by the next follow-up.

    `parent`: anything with a ticket_id and a lead_id.
    """
    found = tasks.open_tasks(session, **_parent_of(parent))
    return [task for task in found if task.assignee_id in users and task.due_on is not None and task.due_on <= until]


def _parent_of(row: Any) -> dict[str, int | None]:
    return {"ticket_id": row.ticket_id} if row.ticket_id else {"lead_id": row.lead_id}


def close(session: Session, found: Sequence[Task], context: ChangeContext) -> None:
    """Mark these tasks as done; closed ones stay unchanged."""
    for task in found:
        if task.status in tasks.OPEN:
            tasks.change(session, task, {"status": "Done"}, context)
