"""Return from leave: users get back the records that their delegate took for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from app.domain import assignment, leads, task_handover, tickets
from app.domain.assignment import Assignment
from app.domain.base import Stamp
from app.domain.leads import Lead
from app.domain.notifications import notices
from app.domain.people import users
from app.domain.picklists import LeadStatus, TicketStatus
from app.domain.tickets import Ticket


def due_assignments(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of the open assignments to a delegate whose delegator takes work again, oldest first."""
    # For the order and the limit, MariaDB would read all assignments by id: few of them are a delegate's.
    query = _returnable(now).with_hint(Assignment, "FORCE INDEX (ix_assignment_stead)", "mysql")
    query = query.where(Assignment.stead_of_id.is_not(None)).order_by(Assignment.id).limit(limit)
    return list(session.scalars(query))


def _returnable(now: datetime) -> Select[Any]:
    """Only open records whose assignee is still the delegate; records assigned to someone else stay there."""
    ended_leads = select(LeadStatus.id).where(LeadStatus.meaning.in_(leads.TERMINAL))
    ended_tickets = select(TicketStatus.id).where(TicketStatus.meaning.in_(tickets.ENDED))
    return (
        select(Assignment.id)
        .join(User, User.id == Assignment.stead_of_id)
        .outerjoin(Lead, (Lead.id == Assignment.lead_id) & (Lead.assignee_id == Assignment.user_id))
        .outerjoin(Ticket, (Ticket.id == Assignment.ticket_id) & (Ticket.assignee_id == Assignment.user_id))
        .where(Assignment.ended_on.is_(None), Assignment.stead_of_id != Assignment.user_id, *users.available(now))
        .where(or_(Lead.status_id.not_in(ended_leads), Ticket.status_id.not_in(ended_tickets)))
    )


def return_record(session: Session, assignment_id: int, now: datetime) -> str:
    """Return the record of one such assignment, and its open tasks, to the delegator. The caller commits.

    Returns "returned", or "skipped" when another transaction holds the record or the delegate no longer has it.
    """
    delegated = session.get(Assignment, assignment_id)
    record = _locked(session, delegated) if delegated is not None else None
    if delegated is None or record is None or not _still_due(session, assignment_id, now):
        return "skipped"
    person = session.get_one(User, delegated.stead_of_id)
    task_handover.read_again(session, record, delegated.user_id)
    assignment.assign(session, record, assignment.NewAssignee(person.id, "delegate", notify=False), Stamp(None, now))
    record.stamp(Stamp(None, now))
    _notify_both(session, record, delegated, now)
    return "returned"


def _locked(session: Session, delegated: Assignment) -> Any:
    """The record under its lock; None if another transaction holds it: the next run retries."""
    record: Any = Lead if delegated.lead_id is not None else Ticket
    query = select(record).where(record.id == (delegated.lead_id or delegated.ticket_id))
    query = query.with_for_update(skip_locked=True, of=record)
    return session.scalars(query, execution_options={"populate_existing": True}).first()


def _still_due(session: Session, assignment_id: int, now: datetime) -> bool:
    return session.execute(_returnable(now).where(Assignment.id == assignment_id)).first() is not None


def _notify_both(session: Session, record: Any, delegated: Assignment, now: datetime) -> None:
    key, payload = f"back:{delegated.id}", {"number": record.number}
    notices.notify(
        session, notices.NoticeEvent("assigned", key, (delegated.stead_of_id,), {"back": True, **payload}, record), now
    )
    notices.notify(
        session,
        notices.NoticeEvent("unassigned", key, (delegated.user_id,), {"to": delegated.stead_of_id, **payload}, record),
        now,
    )
