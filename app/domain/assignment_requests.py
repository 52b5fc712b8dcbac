"""Requests to be given a lead or ticket: asked, decided, withdrawn, expired; one pending one a record and person."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import assignment, notices, team, timeline
from app.domain.base import Conflict, Record, RuleBroken, UtcDateTime, next_number

#: Of a request; all but Pending are ends.
STATES = ("Pending", "Approved", "Rejected", "Withdrawn", "Expired")


class AssignmentRequest(Record):
    """Somebody asks that a record be given to a person."""

    __tablename__ = "assignment_request"
    __table_args__ = (
        CheckConstraint("(lead_id IS NULL) <> (ticket_id IS NULL)", name="request_of_lead_or_ticket"),
        # Set while pending, null afterwards: the database allows one pending request a record and person.
        UniqueConstraint("pending_key"),
        Index("ix_request_status", "status", "id"),
        Index("ix_request_user", "requested_user_id", "status"),
    )
    number: Mapped[str] = mapped_column(String(24), nullable=False, unique=True)
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


def create(session: Session, record: Any, user_id: int, reason: str, by: int, now: datetime) -> AssignmentRequest:
    """Make a pending request. Raises RuleBroken without a reason, Conflict when one is pending already."""
    if not (reason or "").strip():
        raise RuleBroken("Please give a reason why this person should get the record.", "reason")
    if record.assignee_id == user_id:
        raise RuleBroken("This person already has the record.", "requested_user")
    assignment.refuse_absent(session, user_id, now, "requested_user")
    request = AssignmentRequest(
        number=next_number(session, "CAR", now.year),
        requested_user_id=user_id,
        reason=reason.strip(),
        status="Pending",
        pending_key=assignment.record_user_key(record, user_id),
        **assignment.record_column(record),
    )
    request.stamp(by, now)
    try:
        with session.begin_nested():
            session.add(request)
    except IntegrityError as error:
        raise Conflict("A request for this record and person is already pending.") from error
    timeline.write(session, record, "assignment", by, now, what="requested", to=user_id, text=request.reason)
    people = approvers(session, user_id, by)
    notices.notify(session, people, "request", f"request:{request.id}", record, by, now, number=record.number)
    return request


def approvers(session: Session, user_id: int, by: int | None) -> list[int]:
    """Who is asked about this person: the managers above, without who asks; where nobody is there, the admins."""
    above = _working(session, {*team.managers_above(session, user_id)} - {by, user_id})
    admins = (user.id for user in team.members(session, team.get_role(session, "Admin").id)) if not above else ()
    return above or _working(session, {*admins} - {by, user_id})


def _working(session: Session, users: set[Any]) -> list[int]:
    return list(session.scalars(select(User.id).where(User.id.in_(users), User.active.is_(True)).order_by(User.id)))


def decide(
    session: Session, request: AssignmentRequest, record: Any, approve: bool, note: str | None, by: int, now: datetime
) -> None:
    """Approve (assigns) or reject; of two deciders exactly one wins. Raises Conflict for the other.

    Whoever is absent by now gets nothing: RuleBroken, and the request waits on. The record may have changed since.
    """
    if not approve and not (note or "").strip():
        raise RuleBroken("Please give a reason for rejecting the request.", "decision_note")
    if approve:
        assignment.refuse_absent(session, request.requested_user_id, now, "requested_user")
    close(session, request, "Approved" if approve else "Rejected", by, now, note)
    if approve:
        assignment.lock(session, record)
        assignment.assign(session, record, request.requested_user_id, "request", by, now)
        record.stamp(by, now)
    kind = "request_approved" if approve else "request_rejected"
    people = [request.created_by_id, request.requested_user_id]
    notices.notify(session, people, kind, f"{kind}:{request.id}", record, by, now, number=record.number)


def withdraw(session: Session, request: AssignmentRequest, record: Any, by: int, now: datetime) -> None:
    """Who asked takes it back; who was to decide hears of it. Raises Conflict once it is decided."""
    if request.created_by_id != by:
        raise RuleBroken("Only the person who sent the request can withdraw it.")
    close(session, request, "Withdrawn", by, now)
    timeline.write(session, record, "assignment", by, now, what="request withdrawn", to=request.requested_user_id)
    people, key = approvers(session, request.requested_user_id, by), f"request_withdrawn:{request.id}"
    notices.notify(session, people, "request_withdrawn", key, record, by, now, number=record.number)


def close(
    session: Session, request: AssignmentRequest, status: str, by: int | None, now: datetime, note: str | None = None
) -> None:
    """Bring a pending request to its end; nobody's bell asks for a decision any more. Raises Conflict."""
    step = update(AssignmentRequest).where(AssignmentRequest.id == request.id, AssignmentRequest.status == "Pending")
    values = {
        "status": status,
        "pending_key": None,
        "decided_by_id": by,
        "decided_on": now,
        "changed_on": now,
        "changed_by_id": by,
        "decision_note": (note or "").strip() or None,
    }
    done = session.execute(step.values(**values), execution_options={"synchronize_session": False})
    if done.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict("Someone has already decided this request.")
    session.refresh(request)
    notices.resolve(session, f"request:{request.id}", now)
