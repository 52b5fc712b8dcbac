"""Call logs: one row per call, with the lead, ticket and customer it belongs to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    func,
    select,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import timeline
from app.domain.audit_log import audit
from app.domain.base import Record, RuleBroken, Stamp, UtcDateTime, translatable
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.tickets import Ticket
from app.domain.working_time import sla
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
#: The progress of a call that isn't over; every other status is final.
RANKS = {"Initiated": 0, "Queued": 0, "Ringing": 1, "In Progress": 2}
FINAL_RANK = 3
MEDIUMS = ("mobile", "manual", "twilio", "exotel", "console")
#: `native` of a call that was erased with its person.
ERASED = {"erased": True}
#: What figures of calls depend on, besides the time.
_COUNTED = ("employee_id", "direction", "status", "cold", "duration_seconds", "other_e164")


class CallLog(Record):
    """A telephone call."""

    __tablename__ = "call_log"
    __table_args__ = (
        UniqueConstraint("employee_id", "device_call_id"),
        UniqueConstraint("account_id", "provider_id", name="uq_call_provider"),
        Index("ix_call_employee", "employee_id", "id"),
        Index("ix_call_employee_started", "employee_id", "started_on"),
        Index("ix_call_started", "started_on"),
        # Lists of missed calls to return, of everybody and of a person.
        Index("ix_call_status", "status", "started_on"),
        Index("ix_call_employee_status", "employee_id", "status", "started_on"),
        # Dashboards count the calls of a period from the index alone.
        Index("ix_call_figures", "started_on", *_COUNTED),
        # For missed calls of a period, to check for each whether somebody has called back.
        Index("ix_call_missed", "direction", "status", "started_on", "employee_id", "other_e164"),
        Index("ix_call_changed", "changed_on"),
        Index("ix_call_created", "created_on"),
        Index("ix_call_other_person", "other_e164", "started_on", "employee_id"),
        Index("ix_call_lead", "lead_id", "id"),
        Index("ix_call_ticket", "ticket_id", "id"),
        Index("ix_call_customer", "customer_id", "id"),
        # Orders, and among them those without evidence.
        Index("ix_call_order", "is_order", "started_on"),
    )
    #: The telephone's own id of the call, unique per employee. Compared case-sensitively: with "a" = "A" one of two
    #: calls would be lost.
    device_call_id: Mapped[str | None] = mapped_column(CASE_SENSITIVE_ID)
    direction: Mapped[str] = mapped_column(String(16), nullable=False)
    status: Mapped[str] = mapped_column(String(24), nullable=False)
    #: As sent by the telephone or provider.
    from_number: Mapped[str | None] = mapped_column(String(40))
    to_number: Mapped[str | None] = mapped_column(String(40))
    #: The other party's number in E.164.
    other_e164: Mapped[str | None] = mapped_column(String(20))
    #: Changing it loads the former value, because that day has to be counted again, too.
    started_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False, active_history=True)
    #: When the other party answered, if a provider has reported it; the talk time counts from then.
    answered_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Talk time; 0 when unanswered.
    duration_seconds: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: What the telephone sent: type, status, duration, text of the start time.
    native: Mapped[dict[str, Any]] = mapped_column(JSON, nullable=False, default=dict)
    #: Who made or received the call.
    employee_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="SET NULL"))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"))
    ticket_id: Mapped[int | None] = mapped_column(ForeignKey("ticket.id", ondelete="SET NULL"))
    #: Whether a user linked or unlinked it by hand; then nothing is linked automatically.
    linked: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False, server_default=text("0"))
    cold: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    #: Whether the customer placed an order in it; such a call needs evidence (`order_evidence`).
    is_order: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False, server_default=text("0"))
    medium: Mapped[str] = mapped_column(String(16), nullable=False, default="manual")
    #: The account that was used, and the provider's id; null for calls of telephones and logged by hand.
    account_id: Mapped[int | None] = mapped_column(ForeignKey("channel_account.id", ondelete="SET NULL"))
    provider_id: Mapped[str | None] = mapped_column(String(120))
    #: The outcome, in a few words.
    outcome: Mapped[str | None] = mapped_column(String(500))


def is_erased(call: CallLog) -> bool:
    """Whether the call was erased with its person: nothing of it is stored again."""
    return call.native == ERASED


def create(session: Session, values: dict[str, Any], stamp: Stamp) -> CallLog:
    """Log a call by hand. Raises RuleBroken for an unknown direction or status, or a start in the future."""
    _refuse_invalid(values, stamp.now)
    call = CallLog(cold=False, is_order=False, native={}, duration_seconds=0, medium="manual")
    _set_fields(call, values)
    _complete_from_records(session, call)
    call.employee_id = values.get("employee_id") or stamp.by
    call.stamp(stamp)
    if stamp.by is not None and call.status == "Completed":  # any other call reached nobody
        # Before the call refers to the lead: it would share a lock of it, and two calls would deadlock.
        count_as_first_reply(session, call, call.started_on)
    session.add(call)
    session.flush()
    if call.lead_id or call.ticket_id or call.customer_id:
        timeline.write(session, call, "call", stamp, **timeline_payload(call, call.id))
    return call


def count_as_first_reply(session: Session, call: CallLog, at: datetime) -> None:
    """Count the call as the first reply to its lead and ticket, at this time, however late it became known."""
    for record, key in ((Lead, call.lead_id), (Ticket, call.ticket_id)):
        sla.record_first_replies(session, record, {key: at} if key is not None else {})


def change(session: Session, call: CallLog, values: dict[str, Any], stamp: Stamp) -> None:
    """Change fields of a call. Raises RuleBroken."""
    present = {"direction": call.direction, "status": call.status, "started_on": call.started_on}
    _refuse_invalid(present | values, stamp.now)
    marked = call.is_order
    _set_fields(call, values)
    note_unmarked(session, call, marked, stamp)
    call.stamp(stamp)


def note_unmarked(session: Session, call: CallLog, marked: bool, stamp: Stamp) -> None:
    """Record in the audit that a call no longer counts as an order; `marked`: whether it did before the change."""
    if marked and not call.is_order:
        audit.write(session, "order", stamp.by, stamp.now, f"call {call.id}", what="unmarked")


def timeline_payload(call: Any, call_id: int) -> dict[str, Any]:
    """The payload of a timeline entry of kind "call"; `call`: a CallLog or a ParsedCall."""
    return {"text": f"{call.direction} call, {call.status}", "call": call_id, "seconds": call.duration_seconds}


def timeline_line(session: Session, call: CallLog) -> timeline.Activity | None:
    """The timeline entry of this call, found by the index of the record that it belongs to."""
    line = timeline.Activity
    names = ("lead_id", "ticket_id", "customer_id")
    records = [getattr(line, name) == getattr(call, name) for name in names if getattr(call, name) is not None]
    if not records:
        return None
    is_this_call = line.payload["call"].as_integer() == call.id
    return session.scalars(select(line).where(records[0], line.kind == "call", is_this_call)).first()


def progress_of(status: str) -> int:
    """The progress of a call with this status; FINAL_RANK = it is over."""
    return RANKS.get(status, FINAL_RANK)


def has_ended(call: CallLog) -> bool:
    """Whether the call has ended, or never began."""
    return progress_of(call.status) == FINAL_RANK


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
    "is_order",
    "outcome",
)


def _set_fields(call: CallLog, values: dict[str, Any]) -> None:
    for name in _FIELDS:
        if name in values and not (values[name] is None and name in ("cold", "is_order", "duration_seconds")):
            setattr(call, name, values[name])
    other = call.from_number if call.direction == "Incoming" else call.to_number
    call.other_e164 = phone.normalize(other)


def _complete_from_records(session: Session, call: CallLog) -> None:
    """Fill in the customer from the lead or ticket, and a missing number from the lead or customer."""
    if not (call.lead_id or call.ticket_id or call.customer_id):
        return
    lead, ticket = Lead.id == call.lead_id, Ticket.id == call.ticket_id
    if call.customer_id is None:
        of_lead, of_ticket = (
            select(record.customer_id).where(own).scalar_subquery() for record, own in ((Lead, lead), (Ticket, ticket))
        )
        call.customer_id = session.execute(select(func.coalesce(of_lead, of_ticket))).scalar()
    if call.from_number or call.to_number:
        return
    customer_number = select(Customer.mobile_e164).where(Customer.id == call.customer_id).scalar_subquery()
    lead_number = select(Lead.mobile_e164).where(lead).scalar_subquery()
    number = session.execute(select(func.coalesce(lead_number, customer_number))).scalar()
    if call.direction == "Incoming":
        call.from_number = number
    else:
        call.to_number = number
    call.other_e164 = number


def _refuse_invalid(values: dict[str, Any], now: datetime) -> None:
    if values.get("direction") not in DIRECTIONS:
        raise RuleBroken("The direction must be Incoming or Outgoing.", "direction")
    if values.get("status") not in STATUSES:
        raise RuleBroken(translatable("Please choose one of: %(words)s.", words=", ".join(STATUSES)), "status")
    started = values.get("started_on")
    if started is None or started > now or started.year < 2000:
        raise RuleBroken("Please enter when the call started; it can't be in the future.", "started_on")
    if (values.get("duration_seconds") or 0) < 0 or (values.get("duration_seconds") or 0) > 86_400:
        raise RuleBroken("A call can last from 0 seconds to 24 hours.", "duration_seconds")
