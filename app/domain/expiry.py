"""What ends by itself: leads that nobody touched, and assignment requests that nobody answered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from app.domain import leads, notices, office_hours, settings, timeline
from app.domain.assignment_requests import AssignmentRequest
from app.domain.leads import Lead
from app.domain.settings import LeadStatus
from app.domain.tickets import Ticket

_OPENED = "opened"


def due_leads(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of the leads to expire now, longest untouched first."""
    query = select(Lead.id).join(LeadStatus, LeadStatus.id == Lead.status_id).where(_is_due(session, now))
    return list(session.scalars(query.order_by(Lead.changed_on, Lead.id).limit(limit)))


def _is_due(session: Session, now: datetime) -> ColumnElement[bool]:
    """60 days without change while it is worked on, or 30 days in Account Opened (the settings say how many)."""
    untouched = now - timedelta(days=settings.value_of(session, "lead_expiry_days"))
    opened = now - timedelta(days=settings.value_of(session, "opened_expiry_days"))
    is_worked_on = LeadStatus.meaning.not_in((*leads.TERMINAL, _OPENED))
    return or_(
        and_(is_worked_on, Lead.changed_on <= untouched), and_(LeadStatus.meaning == _OPENED, Lead.status_on <= opened)
    )


def expire_lead(session: Session, lead_id: int, now: datetime) -> str:
    """Move one lead to its expired status through the state machine; the caller commits.

    Answers expired, or skipped when somebody holds it or touched it meanwhile.
    """
    query = (
        select(Lead)
        .join(LeadStatus, LeadStatus.id == Lead.status_id)
        .where(Lead.id == lead_id, _is_due(session, now))
        .with_for_update(skip_locked=True, of=Lead)
    )
    lead = session.scalars(query, execution_options={"populate_existing": True}).first()
    if lead is None:
        return "skipped"
    leads.expire(session, lead, lead.status.meaning == _OPENED, now)
    return "expired"


def due_requests(session: Session, now: datetime, office: office_hours.Office, limit: int) -> list[int]:
    """Ids of the assignment requests that were pending for longer than they may (working days)."""
    days = settings.value_of(session, "request_expiry_days")
    pending = (AssignmentRequest.status == "Pending", AssignmentRequest.created_on <= now - timedelta(days=days))
    query = select(AssignmentRequest.id, AssignmentRequest.created_on).where(*pending)
    rows = session.execute(query.order_by(AssignmentRequest.created_on, AssignmentRequest.id).limit(limit))
    return [row.id for row in rows if office_hours.add_working_days(office, row.created_on, days) <= now]


def expire_request(session: Session, request_id: int, now: datetime) -> str:
    """End one pending request and tell who asked; whoever decides it at the same moment wins or loses as a whole.

    Answers expired, or skipped when it was decided meanwhile.
    """
    step = update(AssignmentRequest).where(AssignmentRequest.id == request_id, AssignmentRequest.status == "Pending")
    values = {"status": "Expired", "pending_key": None, "decided_on": now, "changed_on": now, "changed_by_id": None}
    done = session.execute(step.values(**values), execution_options={"synchronize_session": False})
    if done.rowcount != 1:  # type: ignore[attr-defined]
        return "skipped"
    request = session.get_one(AssignmentRequest, request_id, populate_existing=True)
    notices.resolve(session, f"request:{request.id}", now)
    record = _record(session, request)
    timeline.write(session, record, "assignment", None, now, what="request expired", to=request.requested_user_id)
    asker = [request.created_by_id] if request.created_by_id else []
    notices.notify(
        session, asker, "request_expired", f"request_expired:{request.id}", record, None, now, number=record.number
    )
    return "expired"


def _record(session: Session, request: AssignmentRequest) -> Any:
    if request.lead_id is not None:
        return session.get_one(Lead, request.lead_id)
    return session.get_one(Ticket, request.ticket_id)
