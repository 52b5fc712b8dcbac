"""Expiry of leads without changes and of assignment requests without a decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from app.domain import leads, notices, office_hours, settings, timeline
from app.domain.assignment_requests import AssignmentRequest
from app.domain.base import Stamp
from app.domain.leads import Lead
from app.domain.settings import LeadStatus
from app.domain.tickets import Ticket


def due_leads(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of the leads to expire now, longest unchanged first."""
    query = select(Lead.id).join(LeadStatus, LeadStatus.id == Lead.status_id).where(_is_expired(session, now))
    return list(session.scalars(query.order_by(Lead.changed_on, Lead.id).limit(limit)))


def _is_expired(session: Session, now: datetime) -> ColumnElement[bool]:
    """60 days without a change in a working status, or 30 days in Account Opened; settings change these numbers."""
    unchanged_since = now - timedelta(days=settings.value_of(session, "lead_expiry_days"))
    opened_before = now - timedelta(days=settings.value_of(session, "opened_expiry_days"))
    is_worked_on = LeadStatus.meaning.not_in((*leads.TERMINAL, leads.OPENED))
    return or_(
        and_(is_worked_on, Lead.changed_on <= unchanged_since),
        and_(LeadStatus.meaning == leads.OPENED, Lead.status_on <= opened_before),
    )


def expire_leads(session: Session, lead_ids: Sequence[int], now: datetime) -> list[str]:
    """Move leads to their expired status through the state machine. The caller commits.

    Returns for each id "expired", or "skipped" if another transaction holds the lead or changed it meanwhile.
    """
    query = (
        select(Lead)
        .join(LeadStatus, LeadStatus.id == Lead.status_id)
        .where(Lead.id.in_(lead_ids), _is_expired(session, now))
        .order_by(Lead.id)
        .with_for_update(skip_locked=True, of=Lead)
    )
    locked = session.scalars(query, execution_options={"populate_existing": True}).all()
    leads.expire(session, locked, now)
    done = {lead.id for lead in locked}
    return ["expired" if lead_id in done else "skipped" for lead_id in lead_ids]


def due_requests(session: Session, now: datetime, office: office_hours.OfficeSchedule, limit: int) -> list[int]:
    """Ids of the assignment requests that have been pending for too many working days."""
    days = settings.value_of(session, "request_expiry_days")
    pending = (AssignmentRequest.status == "Pending", AssignmentRequest.created_on <= now - timedelta(days=days))
    query = select(AssignmentRequest.id, AssignmentRequest.created_on).where(*pending)
    rows = session.execute(query.order_by(AssignmentRequest.created_on, AssignmentRequest.id).limit(limit))
    return [row.id for row in rows if office_hours.add_working_days(office, row.created_on, days) <= now]


def expire_request(session: Session, request_id: int, now: datetime) -> str:
    """Expire one pending request and notify its author.

    Returns "expired", or "skipped" if it was decided meanwhile: the UPDATE of its status decides the race.
    """
    step = update(AssignmentRequest).where(AssignmentRequest.id == request_id, AssignmentRequest.status == "Pending")
    values = {"status": "Expired", "pending_key": None, "decided_on": now, "changed_on": now, "changed_by_id": None}
    done = session.execute(step.values(**values), execution_options={"synchronize_session": False})
    if done.rowcount != 1:  # type: ignore[attr-defined]
        return "skipped"
    request = session.get_one(AssignmentRequest, request_id, populate_existing=True)
    notices.resolve(session, f"request:{request.id}", now)
    record = _record(session, request)
    timeline.write(
        session, record, "assignment", Stamp(None, now), what="request expired", to=request.requested_user_id
    )
    requester = [request.created_by_id] if request.created_by_id else []
    notices.notify(
        session,
        notices.NoticeEvent(
            "request_expired", f"request_expired:{request.id}", requester, {"number": record.number}, record
        ),
        now,
    )
    return "expired"


def _record(session: Session, request: AssignmentRequest) -> Any:
    if request.lead_id is not None:
        return session.get_one(Lead, request.lead_id)
    return session.get_one(Ticket, request.ticket_id)
