"""Tasks that become superfluous: closed with a new status, or replaced by the next follow-up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import tasks
from app.domain.base import RECORD_COLUMNS, RuleBroken, translatable
from app.domain.change_context import ChangeContext
from app.domain.tasks import Task

#: Prefix of the title of a ticket's first task, unless another title was given.
HANDLE_TICKET = "Handle ticket: "


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
