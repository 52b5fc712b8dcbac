"""Expiry of leads without activity and of assignment requests without a decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from app.domain import business_settings, leads, timeline
from app.domain.assignment_requests import AssignmentRequest
from app.domain.base import Stamp
from app.domain.leads import Lead
from app.domain.notifications import notices
from app.domain.picklists import LeadStatus
from app.domain.tickets import Ticket
from app.domain.working_time import office_hours
from app.lib.batches import batched

#: Assignees per statement: for more values than 199 MariaDB estimates their rows, and may read all leads.
_ASSIGNEES_AT_ONCE = 10
#: Leads per statement that looks for their activity, for the same reason.
_LEADS_AT_ONCE = 100
#: Entries of the timeline that show that somebody is in contact with the lead; its own changes set `changed_on`.
ACTIVITY = ("note", "comment", "call", "message", "task", "file")


def due_leads(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of the leads to expire now, longest unchanged first; not those in work with activity since.

    Those in work are looked up for each assignee and status by their last change, as most of them aren't due.
    """
    unchanged_since, opened_before = _latest_changes(session, now)
    statuses = session.execute(select(LeadStatus.id, LeadStatus.meaning)).all()
    opened = [row.id for row in statuses if row.meaning == leads.OPENED]
    in_work = [row.id for row in statuses if row.meaning not in (*leads.TERMINAL, leads.OPENED)]
    due = [Lead.status_id.in_(in_work), Lead.changed_on <= unchanged_since]
    assignees = batched(_assignees(session), _ASSIGNEES_AT_ONCE)
    rules = [[Lead.assignee_id.is_(None), *due], *([Lead.assignee_id.in_(part), *due] for part in assignees)]
    found = _oldest(session, [Lead.status_id.in_(opened), Lead.status_on <= opened_before], limit)
    found += [row for each in rules for row in _inactive(session, each, unchanged_since, limit)]
    return [key for _changed_on, key in sorted(found)[:limit]]


def _inactive(
    session: Session, rules: Sequence[ColumnElement[bool]], since: datetime, limit: int
) -> list[tuple[datetime, int]]:
    """Those of the oldest without activity since; further ones are read in place of those with some."""
    found: list[tuple[datetime, int]] = []
    after: list[ColumnElement[bool]] = []
    while True:
        rows = _oldest(session, [*rules, *after], limit)
        active = _active(session, [key for _changed_on, key in rows], since)
        found += [row for row in rows if row[1] not in active]
        if len(rows) < limit or len(found) >= limit:
            return found
        changed_on, key = rows[-1]
        after = [or_(Lead.changed_on > changed_on, and_(Lead.changed_on == changed_on, Lead.id > key))]


def _active(session: Session, lead_ids: Sequence[int], since: datetime) -> set[int | None]:
    """Those of the leads that somebody has called, written to, planned for or written about since."""
    table = timeline.Activity
    rules = (table.kind.in_(ACTIVITY), table.at > since)
    return {
        key
        for part in batched(lead_ids, _LEADS_AT_ONCE)
        for key in session.scalars(select(table.lead_id).where(table.lead_id.in_(part), *rules).distinct())
    }


def _oldest(session: Session, rules: Sequence[ColumnElement[bool]], limit: int) -> list[tuple[datetime, int]]:
    """(last change, id). No index has this order, in which MariaDB might read all leads for the few that are due."""
    changed_on = func.coalesce(Lead.changed_on, Lead.status_on)
    query = select(Lead.changed_on, Lead.id).where(*rules).order_by(changed_on, Lead.id).limit(limit)
    return [(row.changed_on, row.id) for row in session.execute(query)]


def _assignees(session: Session) -> list[int]:
    return list(session.scalars(select(Lead.assignee_id).where(Lead.assignee_id.is_not(None)).distinct()))


def _latest_changes(session: Session, now: datetime) -> tuple[datetime, datetime]:
    """60 days without activity in a status of work, and 30 days in Account Opened; settings change these numbers."""
    days = (business_settings.value_of(session, name) for name in ("lead_expiry_days", "opened_expiry_days"))
    unchanged_since, opened_before = (now - timedelta(days=each) for each in days)
    return unchanged_since, opened_before


def _is_expired(session: Session, now: datetime) -> ColumnElement[bool]:
    unchanged_since, opened_before = _latest_changes(session, now)
    is_worked_on = LeadStatus.meaning.not_in((*leads.TERMINAL, leads.OPENED))
    return or_(
        and_(is_worked_on, Lead.changed_on <= unchanged_since),
        and_(LeadStatus.meaning == leads.OPENED, Lead.status_on <= opened_before),
    )


def expire_leads(session: Session, lead_ids: Sequence[int], now: datetime) -> list[str]:
    """Move leads to their expired status through the state machine. The caller commits.

    Returns for each id "expired", or "skipped" if another transaction holds the lead, or it was changed or worked on
    meanwhile.
    """
    query = (
        select(Lead)
        .join(LeadStatus, LeadStatus.id == Lead.status_id)
        .where(Lead.id.in_(lead_ids), _is_expired(session, now))
        .order_by(Lead.id)
        .with_for_update(skip_locked=True, of=Lead)
    )
    locked = session.scalars(query, execution_options={"populate_existing": True}).all()
    active = _active(session, lead_ids, _latest_changes(session, now)[0])
    due = [lead for lead in locked if lead.status.meaning == leads.OPENED or lead.id not in active]
    leads.expire(session, due, now)
    done = {lead.id for lead in due}
    return ["expired" if lead_id in done else "skipped" for lead_id in lead_ids]


def due_requests(session: Session, now: datetime, office: office_hours.OfficeSchedule, limit: int) -> list[int]:
    """Ids of the assignment requests that have been pending for too many working days."""
    days = business_settings.value_of(session, "request_expiry_days")
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
