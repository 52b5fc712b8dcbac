"""Who is back from leave gets back what his delegate took in his stead."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from app.domain import assignment, leads, notices, reminders, tasks, team, tickets
from app.domain.assignment import Assignment
from app.domain.leads import Lead
from app.domain.settings import LeadStatus, TicketStatus
from app.domain.tasks import Task
from app.domain.tickets import Ticket


def due_assignments(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of the open stretches in the stead of somebody who takes work again, oldest first."""
    return list(session.scalars(_returning(now).order_by(Assignment.id).limit(limit)))


def _returning(now: datetime) -> Select[Any]:
    """Only of records that live and whose current assignee is still the delegate.

    What has ended, or was given to somebody else by hand, has ended the stead.
    """
    ended_leads = select(LeadStatus.id).where(LeadStatus.meaning.in_(leads.TERMINAL))
    ended_tickets = select(TicketStatus.id).where(TicketStatus.meaning.in_(tickets.ENDED))
    return (
        select(Assignment.id)
        .join(User, User.id == Assignment.stead_of_id)
        .outerjoin(Lead, (Lead.id == Assignment.lead_id) & (Lead.assignee_id == Assignment.user_id))
        .outerjoin(Ticket, (Ticket.id == Assignment.ticket_id) & (Ticket.assignee_id == Assignment.user_id))
        .where(Assignment.ended_on.is_(None), Assignment.stead_of_id != Assignment.user_id, *team.available(now))
        .where(or_(Lead.status_id.not_in(ended_leads), Ticket.status_id.not_in(ended_tickets)))
    )


def return_record(session: Session, assignment_id: int, now: datetime) -> str:
    """Give the record of one such stretch, and its open tasks, back to whose turn it was; the caller commits.

    Answers returned, or skipped when somebody holds the record or the stead has ended meanwhile.
    """
    stretch = session.get(Assignment, assignment_id)
    record = _locked(session, stretch) if stretch is not None else None
    if stretch is None or record is None or not _still_due(session, assignment_id, now):
        return "skipped"
    person = session.get_one(User, stretch.stead_of_id)
    for task in _held(session, record, stretch.user_id):
        _take_back(task, person, now)
    assignment.assign(session, record, person.id, "delegate", None, now, told=False)
    record.stamp(None, now)
    _tell_both(session, record, stretch, now)
    return "returned"


def _locked(session: Session, stretch: Assignment) -> Any:
    """The record under its lock; None where somebody else holds it: the next pass comes back to it."""
    record: Any = Lead if stretch.lead_id is not None else Ticket
    query = select(record).where(record.id == (stretch.lead_id or stretch.ticket_id))
    query = query.with_for_update(skip_locked=True, of=record)
    return session.scalars(query, execution_options={"populate_existing": True}).first()


def _still_due(session: Session, assignment_id: int, now: datetime) -> bool:
    return session.execute(_returning(now).where(Assignment.id == assignment_id)).first() is not None


def _held(session: Session, record: Any, delegate_id: int) -> list[Task]:
    parent = Task.lead_id == record.id if isinstance(record, Lead) else Task.ticket_id == record.id
    query = select(Task).where(parent, Task.assignee_id == delegate_id, Task.status.in_(tasks.OPEN))
    return list(session.scalars(query.order_by(Task.id), execution_options={"populate_existing": True}))


def _take_back(task: Task, person: Any, now: datetime) -> None:
    """Due when it was due, reminded of at the person's own offsets.

    A round that is under way goes on: the delegate had the task in it, its new assignee has it now.
    """
    if task.tried:
        had = [*task.tried, task.assignee_id]
        task.tried = [user for user in dict.fromkeys(had) if user is not None and user != person.id]
    task.assignee_id = person.id
    task.arm(reminders.reminder_offsets(person), now)
    task.stamp(None, now)


def _tell_both(session: Session, record: Any, stretch: Assignment, now: datetime) -> None:
    key, says = f"back:{stretch.id}", {"number": record.number}
    notices.notify(session, [stretch.stead_of_id], "assigned", key, record, None, now, back=True, **says)
    notices.notify(session, [stretch.user_id], "unassigned", key, record, None, now, to=stretch.stead_of_id, **says)
