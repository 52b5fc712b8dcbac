"""Who has what, since when, why; and requests to be given something."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, Integer, String, UniqueConstraint, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import notices, team, timeline
from app.domain.base import Conflict, Moment, Record, RuleBroken, next_number

REASONS = ("created", "round robin", "direct", "request", "overdue", "delegate", "bulk")


class Assignment(Model):  # type: ignore[misc]
    """One stretch of one person having one record; open while ended_on is null."""

    __tablename__ = "assignment"
    __table_args__ = (
        Index("ix_assignment_lead", "lead_id", "ended_on"),
        Index("ix_assignment_ticket", "ticket_id", "ended_on"),
        Index("ix_assignment_user", "user_id", "ended_on"),
        Index("ix_assignment_role", "role", "id"),
        Index("ix_assignment_stead", "stead_of_id", "ended_on"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="CASCADE"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), nullable=False)
    started_on: Mapped[datetime] = mapped_column(Moment, nullable=False)
    #: Past assignees have lost access.
    ended_on: Mapped[datetime | None] = mapped_column(Moment)
    #: One of REASONS.
    reason: Mapped[str] = mapped_column(String(20), nullable=False)
    #: The role whose turn it was; null = nobody's turn was asked for.
    role: Mapped[str | None] = mapped_column(String(64))
    #: In whose stead, while he is on leave; he gets it back when he returns.
    stead_of_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id", name="fk_assignment_stead"))
    #: Who decided; null = the system.
    by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: Candidates, and who was skipped and why ("Why this person?").
    decision: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)


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
    #: Pending, Approved, Rejected or Expired.
    status: Mapped[str] = mapped_column(String(16), nullable=False, default="Pending")
    pending_key: Mapped[str | None] = mapped_column(String(40))
    decided_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    decided_on: Mapped[datetime | None] = mapped_column(Moment)
    decision_note: Mapped[str | None] = mapped_column(String(500))


def choose(session: Session, values: dict[str, Any], by: int | None, now: datetime) -> team.Decision:
    """Who gets a new record: the next of a role, the one named, or its maker. Raises RuleBroken."""
    if values.get("assign_to_role"):
        decision = team.next_in_turn(session, values["assign_to_role"], now)
        if decision.user_id is None:
            raise RuleBroken(f"Nobody with the role {decision.role} is available now.", "assign_to_role")
        return decision
    if values.get("assignee_id") and values["assignee_id"] != by:
        refuse_absent(session, values["assignee_id"], now, "assign_to")
    return team.Decision(values.get("assignee_id") or by, "")


def give(session: Session, record: Any, user_id: int, reason: str, by: int | None, now: datetime,
         decision: team.Decision | None = None, told: bool = True) -> None:  # fmt: skip
    """Make the user the current assignee of a lead or ticket: ends the old stretch, writes timeline and notices.

    A no-op when he has it already. The caller has checked that the person may be assigned.
    """
    old = record.assignee_id
    if old == user_id:
        return
    if old is not None and record.id is not None:
        _end_open(session, record, old, now)
    record.assignee_id = user_id
    begin(session, record, user_id, reason, by, now, decision, old, told)


def begin(session: Session, record: Any, user_id: int, reason: str, by: int | None, now: datetime,
          decision: team.Decision | None = None, old: int | None = None, told: bool = True) -> None:  # fmt: skip
    """Open the stretch of an assignee that the record names already; writes timeline and notices."""
    own = {"lead_id": record.id} if record.__tablename__ == "leads" else {"ticket_id": record.id}
    why = decision.as_json() if decision else {}
    turn = {"role": decision.role or None, "stead_of_id": decision.stead_of} if decision else {}
    session.add(Assignment(user_id=user_id, started_on=now, reason=reason, by_id=by, decision=why, **turn, **own))
    timeline.write(session, record, "assignment", by, now, to=user_id, old=old, reason=reason)
    if told:
        _tell_both(session, record, old, user_id, by, now)


def _end_open(session: Session, record: Any, user_id: int, now: datetime) -> None:
    mine = Assignment.lead_id == record.id if record.__tablename__ == "leads" else Assignment.ticket_id == record.id
    step = update(Assignment).where(mine, Assignment.user_id == user_id, Assignment.ended_on.is_(None))
    session.execute(step.values(ended_on=now), execution_options={"synchronize_session": False})


def _tell_both(session: Session, record: Any, old: int | None, new: int, by: int | None, now: datetime) -> None:
    key = f"{record.__tablename__}:{record.id}:{now.isoformat()}"
    notices.tell(session, [new], "assigned", f"assigned:{key}", record, by, now, number=record.number)
    if old is not None:
        notices.tell(session, [old], "unassigned", f"unassigned:{key}", record, by, now, number=record.number, to=new)


def refuse_absent(session: Session, user_id: int, now: datetime, field: str = "assignee") -> Any:
    """The user row, or RuleBroken when nobody of that id is here and takes work."""
    user = session.get(User, user_id)
    if user is None:
        raise RuleBroken("There is no such colleague. Please choose somebody else.", field)
    reason = team.why_absent(user, now)
    if reason:
        raise RuleBroken(
            f"{user.get_full_name()} is {reason} and takes no work now. Please choose somebody else.", field
        )
    return user


def ask(session: Session, record: Any, user_id: int, reason: str, by: int, now: datetime) -> AssignmentRequest:
    """Make a pending request. Raises RuleBroken without a reason, Conflict when one is pending already."""
    if not (reason or "").strip():
        raise RuleBroken("Please say why this person should get the record.", "reason")
    refuse_absent(session, user_id, now, "requested_user")
    if record.assignee_id == user_id:
        raise RuleBroken("This person has the record already.", "requested_user")
    own = {"lead_id": record.id} if record.__tablename__ == "leads" else {"ticket_id": record.id}
    request = AssignmentRequest(
        number=next_number(session, "CAR", now.year), requested_user_id=user_id, reason=reason.strip(),
        status="Pending", pending_key=f"{record.__tablename__}:{record.id}:{user_id}", **own,
    )  # fmt: skip
    request.stamp(by, now)
    try:
        with session.begin_nested():
            session.add(request)
    except IntegrityError as error:
        raise Conflict("A request for this record and person is pending already.") from error
    timeline.write(session, record, "assignment", by, now, what="requested", to=user_id, text=request.reason)
    deciders = team.managers_above(session, user_id) or [user_id]
    notices.tell(session, deciders, "request", f"request:{request.id}", record, by, now, number=record.number)
    return request


def decide(session: Session, request: AssignmentRequest, record: Any, approve: bool, note: str | None, by: int,
           now: datetime) -> None:  # fmt: skip
    """Approve (assigns) or reject; of two deciders exactly one wins. Raises Conflict for the other."""
    if not approve and not (note or "").strip():
        raise RuleBroken("Please say why you reject the request.", "decision_note")
    status = "Approved" if approve else "Rejected"
    step = update(AssignmentRequest).where(AssignmentRequest.id == request.id, AssignmentRequest.status == "Pending")
    values = {"status": status, "pending_key": None, "decided_by_id": by, "decided_on": now, "changed_on": now,
              "changed_by_id": by, "decision_note": (note or "").strip() or None}  # fmt: skip
    done = session.execute(step.values(**values), execution_options={"synchronize_session": False})
    if done.rowcount != 1:  # type: ignore[attr-defined]
        raise Conflict("Somebody decided this request already.")
    session.refresh(request)
    if approve:
        refuse_absent(session, request.requested_user_id, now, "requested_user")
        give(session, record, request.requested_user_id, "request", by, now)
        record.stamp(by, now)
    kind = "request_approved" if approve else "request_rejected"
    people = [request.created_by_id, request.requested_user_id]
    told = [user for user in people if user is not None]
    notices.tell(session, told, kind, f"{kind}:{request.id}", record, by, now, number=record.number)


def history(session: Session, record: Any) -> list[Assignment]:
    """All stretches of a lead or ticket, newest first."""
    mine = Assignment.lead_id == record.id if record.__tablename__ == "leads" else Assignment.ticket_id == record.id
    return list(session.scalars(select(Assignment).where(mine).order_by(Assignment.id.desc())))
