"""Requests to assign a lead or ticket to a user: created, decided, withdrawn or expired."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import assignment, timeline
from app.domain.assignment import NewAssignee
from app.domain.base import Code, Conflict, Record, RuleBroken, Stamp, UtcDateTime
from app.domain.notifications import notices
from app.domain.people import teams
from app.domain.people.users import get_role, members
from app.domain.persistence import record_locks
from app.domain.persistence.numbering import next_number

#: States of a request; all but Pending are final.
STATES = ("Pending", "Approved", "Rejected", "Withdrawn", "Expired")


class AssignmentRequest(Record):
    """A request to assign a record to a user."""

    __tablename__ = "assignment_request"
    __table_args__ = (
        CheckConstraint("(lead_id IS NULL) <> (ticket_id IS NULL)", name="request_of_lead_or_ticket"),
        # Set while pending, null afterwards: the database allows one pending request per record and user.
        UniqueConstraint("pending_key"),
        Index("ix_request_status", "status", "id"),
        Index("ix_request_user", "requested_user_id", "status"),
    )
    number: Mapped[str] = mapped_column(Code(24), nullable=False, unique=True)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"), index=True)
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"), index=True)
    requested_user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), nullable=False)
    reason: Mapped[str] = mapped_column(String(500), nullable=False)
    #: One of STATES.
    status: Mapped[str] = mapped_column(String(16), nullable=False, default="Pending")
    pending_key: Mapped[str | None] = mapped_column(String(40))
    decided_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    decided_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    decision_note: Mapped[str | None] = mapped_column(String(500))


@dataclass(frozen=True)
class RequestDecision:
    """The decision about a request; a rejection needs a note."""

    is_approved: bool
    note: str | None = None


@dataclass(frozen=True)
class RequestOutcome:
    """The final status of a request, and what was said about it."""

    status: str
    note: str | None = None


def create(session: Session, record: Any, user_id: int, reason: str, stamp: Stamp) -> AssignmentRequest:
    """Create a pending request. Raises RuleBroken without a reason, Conflict when one is already pending."""
    if not (reason or "").strip():
        raise RuleBroken("Please give a reason why this person should get the record.", "reason")
    if record.assignee_id == user_id:
        raise RuleBroken("This person already has the record.", "requested_user")
    assignment.refuse_absent(session, user_id, stamp.now, "requested_user")
    request = AssignmentRequest(
        number=next_number(session, "CAR", stamp.now.year),
        requested_user_id=user_id,
        reason=reason.strip(),
        status="Pending",
        pending_key=assignment.record_user_key(record, user_id),
        **assignment.record_column(record),
    )
    request.stamp(stamp)
    try:
        with session.begin_nested():
            session.add(request)
    except IntegrityError as error:
        raise Conflict("A request for this record and person is already pending.") from error
    timeline.write(session, record, "assignment", stamp, what="requested", to=user_id, text=request.reason)
    users = approvers(session, user_id, stamp.by)
    notices.notify(
        session,
        notices.NoticeEvent("request", f"request:{request.id}", users, {"number": record.number}, record, stamp.by),
        stamp.now,
    )
    return request


def approvers(session: Session, user_id: int, by: int | None) -> list[int]:
    """Ids of the users who may decide about this user: the managers above, or the admins if there are none.

    Neither `by`, who sends the request, nor the user themselves is among them.
    """
    managers = _active(session, {*teams.managers_above(session, user_id)} - {by, user_id})
    admins = (user.id for user in members(session, get_role(session, "Admin").id)) if not managers else ()
    return managers or _active(session, {*admins} - {by, user_id})


def _active(session: Session, user_ids: set[Any]) -> list[int]:
    query = select(User.id).where(User.id.in_(user_ids), User.active.is_(True))
    return list(session.scalars(query.order_by(User.id)))


def decide(session: Session, request: AssignmentRequest, record: Any, verdict: RequestDecision, stamp: Stamp) -> None:
    """Approve the request, which assigns the record, or reject it.

    Raises Conflict if it is decided already, possibly by a concurrent request; RuleBroken if the user has become
    absent, and it then stays pending.
    """
    if not verdict.is_approved and not (verdict.note or "").strip():
        raise RuleBroken("Please give a reason for rejecting the request.", "decision_note")
    if verdict.is_approved:
        assignment.refuse_absent(session, request.requested_user_id, stamp.now, "requested_user")
    close(session, request, RequestOutcome("Approved" if verdict.is_approved else "Rejected", verdict.note), stamp)
    if verdict.is_approved:
        assignment.lock(session, record)
        record.stamp(stamp)
        assignment.assign(session, record, NewAssignee(request.requested_user_id, "request"), stamp)
    kind = "request_approved" if verdict.is_approved else "request_rejected"
    users = [request.created_by_id, request.requested_user_id]
    notices.notify(
        session,
        notices.NoticeEvent(kind, f"{kind}:{request.id}", users, {"number": record.number}, record, stamp.by),
        stamp.now,
    )


def withdraw(session: Session, request: AssignmentRequest, record: Any, stamp: Stamp) -> None:
    """Withdraw a pending request and notify its approvers. Only its author may. Raises Conflict once it is decided."""
    if request.created_by_id != stamp.by:
        raise RuleBroken("Only the person who sent the request can withdraw it.")
    close(session, request, RequestOutcome("Withdrawn"), stamp)
    timeline.write(session, record, "assignment", stamp, what="request withdrawn", to=request.requested_user_id)
    users, key = approvers(session, request.requested_user_id, stamp.by), f"request_withdrawn:{request.id}"
    notices.notify(
        session,
        notices.NoticeEvent("request_withdrawn", key, users, {"number": record.number}, record, stamp.by),
        stamp.now,
    )


def _lock_record(session: Session, request: AssignmentRequest) -> None:
    """Lock the record before the request, as a merge of the record does."""
    if request.lead_id is not None:
        record_locks.lock(session, [("leads", request.lead_id)])
    elif request.ticket_id is not None:
        record_locks.lock(session, [("ticket", request.ticket_id)])


def close(session: Session, request: AssignmentRequest, outcome: RequestOutcome, stamp: Stamp) -> None:
    """Give a pending request its final status and settle its notices. Raises Conflict when it has one already."""
    _lock_record(session, request)
    is_pending = (AssignmentRequest.id == request.id, AssignmentRequest.status == "Pending")
    values = {
        "status": outcome.status,
        "pending_key": None,
        "decided_by_id": stamp.by,
        "decided_on": stamp.now,
        "changed_on": stamp.now,
        "changed_by_id": stamp.by,
        "decision_note": (outcome.note or "").strip() or None,
    }
    statement = update(AssignmentRequest).where(*is_pending).values(**values)
    result = session.execute(statement, execution_options={"synchronize_session": False})
    if result.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict("Someone has already decided this request.")
    session.refresh(request)
    notices.resolve(session, f"request:{request.id}", stamp.now)
