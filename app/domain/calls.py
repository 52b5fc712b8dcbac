"""Call logs: one row a call, matched to people by normalised number."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    and_,
    exists,
    func,
    not_,
    or_,
    select,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import sla, timeline
from app.domain.base import Record, RuleBroken, UtcDateTime, translatable
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.tickets import Ticket
from app.lib import phone

DIRECTIONS = ("Incoming", "Outgoing", "Unknown")
STATUSES = (
    "Initiated",
    "Ringing",
    "In Progress",
    "Completed",
    "Failed",
    "Busy",
    "No Answer",
    "Queued",
    "Canceled",
    "Did Not Picked",
    "Missed Call",
)
CASE_SENSITIVE_ID = String(120).with_variant(mysql.VARCHAR(120, collation="utf8mb4_bin"), "mysql", "mariadb")
#: Nobody calls back after so long.
CALLBACK_WINDOW = timedelta(days=30)
MEDIUMS = ("mobile", "manual", "twilio", "exotel")


class CallLog(Record):
    """One call."""

    __tablename__ = "call_log"
    __table_args__ = (
        UniqueConstraint("employee_id", "device_call_id"),
        Index("ix_call_natural", "employee_id", "other_e164", "started_on"),
        Index("ix_call_employee", "employee_id", "id"),
        Index("ix_call_started", "started_on"),
        Index("ix_call_other", "other_e164", "started_on"),
        Index("ix_call_lead", "lead_id", "id"),
        Index("ix_call_ticket", "ticket_id", "id"),
        Index("ix_call_customer", "customer_id", "id"),
    )
    #: The telephone's own id of the call; unique per employee, chosen by the client. Compared sign by sign: where
    #: the database took "a" for "A", one of two calls would be lost.
    device_call_id: Mapped[str | None] = mapped_column(CASE_SENSITIVE_ID)
    direction: Mapped[str] = mapped_column(String(16), nullable=False)
    status: Mapped[str] = mapped_column(String(24), nullable=False)
    #: As given by the telephone or provider.
    from_number: Mapped[str | None] = mapped_column(String(40))
    to_number: Mapped[str | None] = mapped_column(String(40))
    #: The other side in E.164.
    other_e164: Mapped[str | None] = mapped_column(String(20))
    started_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    ended_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Seconds of talk; 0 when unanswered.
    duration_seconds: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: What the telephone said: type, status, duration, raw text of the start time.
    native: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)
    #: Our side.
    employee_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="SET NULL"))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="SET NULL"))
    #: A person said what it belongs to; nothing else may link it otherwise.
    linked: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False, server_default=text("0"))
    cold: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    recording: Mapped[str | None] = mapped_column(String(500))
    medium: Mapped[str] = mapped_column(String(16), nullable=False, default="manual")
    #: What came of it, in a few words.
    outcome: Mapped[str | None] = mapped_column(String(500))


def create(session: Session, values: dict[str, Any], by: int | None, now: datetime) -> CallLog:
    """Log a call by hand. Raises RuleBroken for an unknown direction or status, or a start in the future."""
    _refuse_wrong(values, now)
    call = CallLog(cold=False, native={}, duration_seconds=0, medium="manual")
    _take(call, values)
    _take_customer(session, call)
    call.employee_id = values.get("employee_id") or by
    call.stamp(by, now)
    session.add(call)
    session.flush()
    if call.lead_id or call.ticket_id or call.customer_id:
        text = f"{call.direction} call, {call.status}"
        timeline.write(session, call, "call", by, now, text=text, call=call.id, seconds=call.duration_seconds)
    if by is not None and call.status == "Completed":  # nobody was reached by any other
        sla.record_first_reply(session, Lead, call.lead_id, now)
        sla.record_first_reply(session, Ticket, call.ticket_id, now)
    return call


def change(session: Session, call: CallLog, values: dict[str, Any], by: int | None, now: datetime) -> None:
    """Change what people may change of a call. Raises RuleBroken."""
    _refuse_wrong({"direction": call.direction, "status": call.status, "started_on": call.started_on} | values, now)
    _take(call, values)
    call.stamp(by, now)


def awaits_callback(now: datetime) -> ColumnElement[bool]:
    """Calls that were missed, and whose number nobody of us has called, or talked with, since; of the last month."""
    later: Any = CallLog.__table__.alias("later")
    tried = or_(later.c.direction == "Outgoing", later.c.status == "Completed")
    again = exists().where(later.c.other_e164 == CallLog.other_e164, later.c.started_on > CallLog.started_on, tried)
    return and_(
        CallLog.status == "Missed Call",
        CallLog.started_on > now - CALLBACK_WINDOW,
        CallLog.other_e164.is_not(None),
        not_(again.correlate(CallLog)),
    )


_FIELDS = (
    "device_call_id",
    "direction",
    "status",
    "from_number",
    "to_number",
    "started_on",
    "ended_on",
    "duration_seconds",
    "customer_id",
    "lead_id",
    "ticket_id",
    "cold",
    "outcome",
)


def _take(call: CallLog, values: dict[str, Any]) -> None:
    for name in _FIELDS:
        if name in values and not (values[name] is None and name in ("cold", "duration_seconds")):
            setattr(call, name, values[name])
    other = call.from_number if call.direction == "Incoming" else call.to_number
    call.other_e164 = phone.normal(other)


def _take_customer(session: Session, call: CallLog) -> None:
    """The customer of the lead or ticket is the call's; without any number it went to his mobile, or the lead's."""
    if not (call.lead_id or call.ticket_id or call.customer_id):
        return
    lead, ticket = Lead.id == call.lead_id, Ticket.id == call.ticket_id
    if call.customer_id is None:
        of_lead, of_ticket = (
            select(kind.customer_id).where(own).scalar_subquery() for kind, own in ((Lead, lead), (Ticket, ticket))
        )
        call.customer_id = session.execute(select(func.coalesce(of_lead, of_ticket))).scalar()
    if call.from_number or call.to_number:
        return
    customer = select(Customer.mobile_e164).where(Customer.id == call.customer_id).scalar_subquery()
    own_number = select(Lead.mobile_e164).where(lead).scalar_subquery()
    number = session.execute(select(func.coalesce(own_number, customer))).scalar()
    if call.direction == "Incoming":
        call.from_number = number
    else:
        call.to_number = number
    call.other_e164 = number


def _refuse_wrong(values: dict[str, Any], now: datetime) -> None:
    if values.get("direction") not in DIRECTIONS:
        raise RuleBroken("The direction must be Incoming or Outgoing.", "direction")
    if values.get("status") not in STATUSES:
        raise RuleBroken(translatable("Please choose one of: %(words)s.", words=", ".join(STATUSES)), "status")
    started = values.get("started_on")
    if started is None or started > now or started.year < 2000:
        raise RuleBroken("Please enter when the call started; it can't be in the future.", "started_on")
    if (values.get("duration_seconds") or 0) < 0 or (values.get("duration_seconds") or 0) > 86_400:
        raise RuleBroken("A call can last from 0 seconds to 24 hours.", "duration_seconds")
