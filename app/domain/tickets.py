"""Tickets: what a customer needs help with, by when, until it is resolved."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.domain import assignment, customers, notices, settings, sla, tasks, timeline
from app.domain.base import Record, RuleBroken, UtcDateTime, Versioned, next_number, translatable
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.settings import TicketStatus, TicketSubject
from app.domain.sla import SlaRecord

PRIORITIES = ("Low", "Medium", "High", "Urgent")
SOURCES = ("On Call", "Office Visit", "E-mail", "WhatsApp", "Web")
#: meaning -> (label, colour) as shipped.
STATUSES = (
    ("new", "New", "blue"),
    ("open", "Open", "orange"),
    ("working", "In Progress", "yellow"),
    ("scheduled", "Follow-up Scheduled", "cyan"),
    ("followed", "Follow-up Complete", "teal"),
    ("waiting", "Waiting for Customer", "indigo"),
    ("resolved", "Resolved", "green"),
    ("closed", "Closed", "gray"),
)
ENDED = ("resolved", "closed")
SUBJECTS = (
    "KYC update",
    "Re-KYC",
    "Account opening status",
    "Account closure",
    "Account reactivation",
    "Login problem",
    "Password reset",
    "Two-factor problem",
    "Mobile number change",
    "E-mail change",
    "Address change",
    "Bank account change",
    "Nominee update",
    "Pay-in not credited",
    "Pay-out delay",
    "Fund transfer",
    "Margin query",
    "Margin shortfall",
    "Brokerage and charges",
    "Contract note",
    "Ledger statement",
    "Profit and loss statement",
    "Tax statement",
    "DP charges",
    "DP holding mismatch",
    "Off-market transfer",
    "Pledge and unpledge",
    "Corporate action",
    "IPO application",
    "Mutual fund order",
    "Order rejection",
    "Trade dispute",
    "Segment activation",
    "Trading terminal problem",
    "Mobile app problem",
    "General query",
)

ticket_subjects = Table(
    "ticket_subjects",
    Model.metadata,
    Column("ticket_id", Integer, ForeignKey("ticket.id", ondelete="CASCADE"), primary_key=True),
    Column("subject_id", Integer, ForeignKey("ticket_subject.id"), primary_key=True, index=True),
)


class Ticket(SlaRecord, Versioned, Record):
    """A request for help."""

    #: What other records show of it: the number, and behind it what people call it.
    __label_columns__ = ("number",)
    __tablename__ = "ticket"
    applies_to, paused_in, ended_in = "ticket", ("waiting",), ENDED
    __table_args__ = (
        Index("ix_ticket_assignee", "assignee_id", "id"),
        Index("ix_ticket_owner", "owner_id", "id"),
        Index("ix_ticket_status", "status_id", "id"),
        Index("ix_ticket_assignee_status", "assignee_id", "status_id", "id"),
        Index("ix_ticket_created", "created_on"),
        Index("ix_ticket_changed", "changed_on"),
        Index("ix_ticket_reply", "reply_due_on"),
        Index("ix_ticket_resolve", "resolve_due_on"),
        Index("ix_ticket_sla", "sla_on"),
    )
    number: Mapped[str] = mapped_column(String(24), nullable=False, unique=True)
    #: Labels of the subjects joined by comma, for lists and search.
    title: Mapped[str] = mapped_column(String(500), nullable=False, default="")
    subjects: Mapped[list[TicketSubject]] = relationship(secondary=ticket_subjects, order_by=TicketSubject.position)
    priority: Mapped[str] = mapped_column(String(16), nullable=False, default="Medium")
    status_id: Mapped[int] = mapped_column(ForeignKey("ticket_status.id"), nullable=False)
    status_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    source: Mapped[str] = mapped_column(String(24), nullable=False, default="On Call")
    description: Mapped[str | None] = mapped_column(Text)
    resolution: Mapped[str | None] = mapped_column(Text)
    resolved_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"), index=True)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"), index=True)
    #: The current one; all present ones are the open Assignment rows.
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    assigned_role: Mapped[str | None] = mapped_column(String(64))
    exhausted_task_id: Mapped[int | None] = mapped_column(Integer)
    status: Mapped[TicketStatus] = relationship()
    customer: Mapped[Customer | None] = relationship()
    lead: Mapped[Lead | None] = relationship()


def create(
    session: Session,
    values: dict[str, Any],
    by: int | None,
    now: datetime,
    terms: sla.SlaTerms = sla.NO_TERMS,
    minutes: dict[str, int] | None = None,
) -> Ticket:
    """Take a ticket in one transaction. `values`: subject_ids, priority, source, description, customer_id,
    lead_id, status_id, resolution, assignee_id or assign_to_role, task. `terms`: what its SLA clock
    goes by; `minutes`: until the first task is due, by priority. Raises RuleBroken.
    """
    ticket = Ticket(version=1, priority="Medium", source="On Call")
    _take(session, ticket, values)
    if not ticket.subjects:
        raise RuleBroken("Please choose at least one subject.", "subjects")
    status = _status(session, values.get("status_id"))
    ticket.status, ticket.status_id, ticket.status_on = status, status.id, now
    ticket.owner_id = values.get("owner_id") or by
    _gate(ticket, status, values, now)
    sla.start_clock(ticket, terms, now)
    decision = assignment.choose_assignee(session, values, by, now)
    ticket.assignee_id, ticket.assigned_role = decision.user_id, decision.role or None
    ticket.number = next_number(session, "TICKET", now.year)
    ticket.stamp(by, now)
    session.add(ticket)
    session.flush()
    timeline.write(session, ticket, "system", by, now, text="Ticket created")
    session.add(timeline.StatusChange(ticket_id=ticket.id, to_id=status.id, at=now, by_id=by))
    if decision.user_id is not None:
        reason = "round robin" if decision.role else ("created" if decision.user_id == by else "direct")
        assignment.open_assignment(
            session, ticket, decision.user_id, reason, by, now, decision if decision.role else None
        )
    task = _first_task(ticket, values.get("task"), now, minutes or settings.DEFINITIONS["first_task_minutes"][0])
    if task:
        tasks.create(session, task | {"ticket_id": ticket.id}, by, now)
    return ticket


def _first_task(
    ticket: Ticket, wanted: dict[str, Any] | None, now: datetime, minutes: dict[str, int]
) -> dict[str, Any] | None:
    """The values of the first task; None when none is wanted or nobody has the ticket."""
    if ticket.assignee_id is None or wanted == {} or ticket.status.meaning in ENDED:
        return None
    priority = "High" if ticket.priority == "Urgent" else ticket.priority
    return tasks.first_task_values(f"Handle ticket: {ticket.title}", priority, wanted, minutes, now) | {
        "assignee_id": ticket.assignee_id
    }


def _take(session: Session, ticket: Ticket, values: dict[str, Any]) -> None:
    for name in ("priority", "source", "description", "customer_id", "lead_id", "resolution"):
        if name in values:
            setattr(ticket, name, values[name])
    if ticket.priority not in PRIORITIES:
        raise RuleBroken("The priority of a ticket must be Low, Medium, High or Urgent.", "priority")
    if ticket.source not in SOURCES:
        raise RuleBroken(
            translatable("Please choose one of the sources: %(words)s.", words=", ".join(SOURCES)), "source"
        )
    if "subject_ids" in values:
        wanted = list(dict.fromkeys(values["subject_ids"] or []))
        found = session.scalars(select(TicketSubject).where(TicketSubject.id.in_(wanted))).all() if wanted else []
        if not found:
            raise RuleBroken("Please choose at least one subject.", "subjects")
        ticket.subjects = sorted(found, key=lambda s: s.position)
        ticket.title = ", ".join(s.label for s in ticket.subjects)[:500]


def _status(session: Session, status_id: int | None, meaning: str = "new") -> TicketStatus:
    if status_id is not None:
        status = session.get(TicketStatus, status_id)
    else:
        query = select(TicketStatus).where(TicketStatus.meaning == meaning).order_by(TicketStatus.position)
        status = session.scalars(query).first()
    if status is None:
        raise RuleBroken("There is no such ticket status.", "status")
    return status


def _gate(ticket: Ticket, new: TicketStatus, values: dict[str, Any], now: datetime) -> None:
    """Resolving needs a text; leaving the end clears the stamp."""
    if new.meaning in ENDED:
        text = str(values.get("resolution") or ticket.resolution or "").strip()
        if not text:
            raise RuleBroken(
                translatable("“%(status)s” needs a resolution. What was done for the customer?", status=new.label),
                "resolution",
            )
        ticket.resolution, ticket.resolved_on = text, ticket.resolved_on or now
    else:
        ticket.resolved_on = None


def move_to(
    session: Session,
    ticket: Ticket,
    status_id: int,
    values: dict[str, Any],
    by: int | None,
    now: datetime,
    terms: sla.SlaTerms = sla.NO_TERMS,
) -> None:
    """Change the status, whichever door asks: gate, record, SLA clock, StatusChange, Activity and notices at once."""
    old, new = ticket.status, _status(session, status_id)
    if old.id == new.id:
        return
    if new.meaning == "scheduled" and not values.get("task") and not tasks.open_tasks(session, ticket_id=ticket.id):
        raise RuleBroken(
            translatable("“%(status)s” needs an open task. Please add one with a due time.", status=new.label), "task"
        )
    if new.meaning == "scheduled" and values.get("task"):
        tasks.create(session, values["task"] | {"ticket_id": ticket.id, "assignee_id": ticket.assignee_id}, by, now)
    _gate(ticket, new, values, now)
    ticket.status, ticket.status_id = new, new.id
    seconds = int((now - ticket.status_on).total_seconds())
    ticket.status_on = now
    sla.apply_move(ticket, sla.Move(old.meaning, new.meaning, by, now), terms)
    ticket.stamp(by, now)
    session.add(
        timeline.StatusChange(ticket_id=ticket.id, from_id=old.id, to_id=new.id, at=now, by_id=by, seconds=seconds)
    )
    note = ticket.resolution if new.meaning in ENDED else None
    timeline.write(session, ticket, "status_change", by, now, **{"from": old.id, "to": new.id}, note=note)
    people = [user for user in (ticket.assignee_id, ticket.owner_id) if user]
    key = f"status:ticket:{ticket.id}:{now.isoformat()}"
    notices.notify(session, people, "status", key, ticket, by, now, number=ticket.number, status=new.id)


def change(
    session: Session,
    ticket: Ticket,
    values: dict[str, Any],
    by: int | None,
    now: datetime,
    terms: sla.SlaTerms = sla.NO_TERMS,
) -> None:
    """Change fields, and the status through its gate. Raises RuleBroken."""
    names = ("priority", "source", "description", "customer_id", "lead_id", "resolution", "title", "owner_id")
    before = {name: getattr(ticket, name) for name in names}
    _take(session, ticket, values)
    if values.get("owner_id") is not None:
        ticket.owner_id = values["owner_id"]
    if values.get("status_id") is not None and values["status_id"] != ticket.status_id:
        move_to(session, ticket, values["status_id"], values, by, now, terms)
    if ticket.priority != before["priority"]:
        sla.apply_priority(ticket, terms)
    changes = [[n, before[n], getattr(ticket, n)] for n in before if before[n] != getattr(ticket, n)]
    if changes:
        ticket.stamp(by, now)
        timeline.write(session, ticket, "field_change", by, now, changes=changes)


def customer_for(session: Session, values: dict[str, Any], by: int | None, now: datetime, vault: Any) -> int | None:
    """The customer of a new ticket: the one named, or found by mobile, or made of the contact given."""
    if values.get("customer_id") or not values.get("mobile"):
        return values.get("customer_id")
    probe = Customer()
    probe.take({"mobile": values["mobile"]}, None)
    known = customers.find_by_mobile(session, probe.mobile_e164)
    if known is not None:
        return known.id
    contact = {name: values[name] for name in customers.CONTACT_FIELDS if values.get(name)}
    return customers.create(session, contact | {"source": "Ticket"}, by, now, vault).id
