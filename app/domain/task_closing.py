"""Tasks that become superfluous: closed with their record or a new status, or replaced by the next follow-up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from app.domain import tasks
from app.domain.assignment import Assignment
from app.domain.base import RECORD_COLUMNS, RuleBroken, translatable
from app.domain.change_context import ChangeContext
from app.domain.tasks import Task
from app.lib.digit_grouping import grouped

#: Prefix of the title of a ticket's first task, unless another title was given.
HANDLE_TICKET = "Handle ticket: "
#: Prefix of the title of a lead's first task and of a follow-up of a call, unless another title was given.
FOLLOW_UP = "Follow up: "
#: Tasks that a person may close or open again with their record, in one request; a thousand take half a second.
MOST = 5000


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
    rules = (Task.ticket_id == ticket_id, Task.status.in_(tasks.OPEN), *_generated(HANDLE_TICKET))
    close(session, list(session.scalars(select(Task).where(*rules).order_by(Task.id))), context)


def _generated(prefix: str) -> tuple[ColumnElement[bool], ...]:
    """The conditions of tasks whose title the CRM made with this prefix, rather than a person."""
    return Task.title.startswith(prefix, autoescape=True), Task.is_generated.is_not(False)


def close_with_leads(session: Session, closed: Sequence[Any], context: ChangeContext) -> None:
    """Close the open follow-ups of leads that were just closed: done if the account is active, canceled otherwise.

    Tasks that people have named stay. The leads have their new status.
    """
    by_id = {lead.id: lead for lead in closed}
    found = generated_of(session, closed, context)
    changes = [(task, _as_closed(by_id[task.lead_id])) for task in found]
    tasks.change_many(session, changes, context, reason="record closed")


def generated_of(session: Session, records: Sequence[Any], context: ChangeContext) -> list[Task]:
    """The open tasks of these leads, or tickets, that close with them: those whose title the CRM has made.

    Raises RuleBroken if they are too many.
    """
    if not records:
        return []
    column = RECORD_COLUMNS[records[0].__tablename__]
    prefix = FOLLOW_UP if column == "lead_id" else HANDLE_TICKET
    parent = getattr(Task, column).in_([record.id for record in records])
    rules = (parent, Task.status.in_(tasks.OPEN), *_generated(prefix))
    found = list(session.scalars(select(Task).where(*rules).order_by(Task.id).limit(_limit(context))))
    _refuse_many(records[0], found, context)
    return found


def close_generated(session: Session, record: Any, found: Sequence[Task], context: ChangeContext) -> None:
    """Close these tasks of a closed lead or ticket as its status would have closed them."""
    tasks.change_many(session, [(task, _as_closed(record)) for task in found], context, reason="record closed")


def _as_closed(record: Any) -> dict[str, Any]:
    """Tasks of a closed lead are canceled, unless its account is active."""
    is_canceled = RECORD_COLUMNS[record.__tablename__] == "lead_id" and record.status.meaning != "activated"
    return {"status": "Canceled" if is_canceled else "Done"}


def _limit(context: ChangeContext) -> int | None:
    """How many tasks are read: jobs have the time for any number."""
    return None if context.by is None else MOST + 1


def _refuse_many(record: Any, found: Sequence[Task], context: ChangeContext) -> None:
    if context.by is not None and len(found) > MOST:
        refusal = translatable(
            "%(number)s has more than %(most)s tasks. Please finish or cancel some in the list of tasks first.",
            number=record.number,
            most=grouped(MOST),
        )
        raise RuleBroken(refusal, "status")


def open_again(session: Session, record: Any, closed_on: datetime, context: ChangeContext) -> None:
    """Open the tasks again that were canceled when the record was closed at `closed_on`, unless changed since.

    Those whose due time has passed are due now, so that their assignees have the grace time. Those of a former assignee
    of the record go to its present one, as they would have, had they been open. Tasks that stayed open are reminded of
    again.
    """
    parent = getattr(Task, RECORD_COLUMNS[record.__tablename__]) == record.id
    canceled = and_(Task.status == "Canceled", Task.changed_on == closed_on)
    query = select(Task).where(parent, or_(Task.status.in_(tasks.OPEN), canceled))
    found = list(session.scalars(query.limit(_limit(context))))
    _refuse_many(record, found, context)
    for task in found:
        if task.status != "Canceled":
            task.schedule_reminder(context.reminder_minutes, context.now)
    again = [task for task in found if task.status == "Canceled"]
    former = _former_assignees(session, record, closed_on) if again else set()
    changes = [(task, _as_reopened(task, record.assignee_id, former, context.now)) for task in again]
    tasks.change_many(session, changes, context, reason="record reopened")


def _as_reopened(task: Task, holder_id: int | None, former: set[int], now: datetime) -> dict[str, Any]:
    """The values of a task whose record is open again. `former`: whose tasks are the holder's now."""
    due_on = max(task.due_on, now) if task.due_on else None
    is_moved = holder_id is not None and task.assignee_id in former
    return {"status": "Todo", "due_on": due_on, "assignee_id": holder_id if is_moved else task.assignee_id}


def _former_assignees(session: Session, record: Any, closed_on: datetime) -> set[int]:
    """Who was an assignee of the record until some time after it was closed."""
    parent = getattr(Assignment, RECORD_COLUMNS[record.__tablename__]) == record.id
    return set(session.scalars(select(Assignment.user_id).where(parent, Assignment.ended_on >= closed_on).distinct()))


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
    changes: list[tuple[Task, dict[str, Any]]] = [
        (task, {"status": "Done"}) for task in found if task.status in tasks.OPEN
    ]
    tasks.change_many(session, changes, context)
