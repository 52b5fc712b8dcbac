"""Tickets: customers' requests for help, from creation to resolution."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.domain import (
    assignment,
    custom_values,
    customer_linking,
    pending_customer_links,
    status_changes,
    task_closing,
    tasks,
    timeline,
)
from app.domain.base import Code, Record, RuleBroken, UtcDateTime, Versioned, translatable
from app.domain.change_context import ChangeContext
from app.domain.custom_values import HasCustomFields
from app.domain.customer_linking import CustomerMatch
from app.domain.customers import CONTACT_FIELDS, Contact, Customer
from app.domain.leads import Lead
from app.domain.persistence import history_rows
from app.domain.persistence.numbering import next_number
from app.domain.picklists import TicketStatus, TicketSubject
from app.domain.working_time import sla
from app.domain.working_time.sla import SlaRecord

PRIORITIES = ("Low", "Medium", "High", "Urgent")
SOURCES = ("On Call", "Office Visit", "E-mail", "WhatsApp", "Web")
#: (meaning, label, color) as shipped.
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
#: Its complaint waits for an outcome; has one; was joined to another complaint.
COMPLAINT_STATES = ("pending", "disposed", "joined")
#: Characters of a summary.
MAX_SUMMARY = 200
#: Meanings of a closed ticket.
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


class Ticket(Contact, SlaRecord, HasCustomFields, Versioned, Record):
    """A request for help. It has contact fields only until it is linked to a customer."""

    #: What other records show of it: the number, followed by the name.
    __label_columns__ = ("number",)
    __tablename__ = "ticket"
    applies_to, paused_in, ended_in = "ticket", ("waiting",), ENDED
    __table_args__ = (
        Index("ix_ticket_assignee", "assignee_id", "id"),
        Index("ix_ticket_owner", "owner_id", "id"),
        Index("ix_ticket_status", "status_id", "id"),
        Index("ix_ticket_assignee_status", "assignee_id", "status_id", "id"),
        Index("ix_ticket_owner_status", "owner_id", "status_id", "id"),
        Index("ix_ticket_assignee_reply", "assignee_id", "reply_due_on"),
        Index("ix_ticket_assignee_resolve", "assignee_id", "resolve_due_on"),
        Index("ix_ticket_assignee_changed", "assignee_id", "changed_on"),
        Index("ix_ticket_owner_changed", "owner_id", "changed_on"),
        Index("ix_ticket_assignee_customer", "assignee_id", "customer_id"),
        Index("ix_ticket_owner_customer", "owner_id", "customer_id"),
        Index("ix_ticket_created", "created_on"),
        # Dashboards of one person.
        Index("ix_ticket_assignee_created", "assignee_id", "created_on"),
        Index("ix_ticket_owner_created", "owner_id", "created_on"),
        # As ix_leads_figures.
        Index(
            "ix_ticket_figures",
            *("created_on", "status_id", "priority", "replied_on", "sla_started_on"),
            *("reply_late_on", "reply_due_on", "resolve_late_on", "assignee_id", "owner_id"),
        ),
        Index("ix_ticket_changed", "changed_on"),
        Index("ix_ticket_resolved", "resolved_on"),
        Index("ix_ticket_reply", "reply_due_on"),
        Index("ix_ticket_resolve", "resolve_due_on"),
        Index("ix_ticket_sla", "sla_on"),
        Index("ix_ticket_first_name", "first_name", "last_name"),
        Index("ix_ticket_last_name", "last_name", "first_name"),
        Index("ix_ticket_words", "title", mysql_prefix="FULLTEXT"),
    )
    number: Mapped[str] = mapped_column(Code(24), nullable=False, unique=True)
    #: What lists call it and search finds: its summary, else its subjects.
    title: Mapped[str] = mapped_column(String(500), nullable=False, default="")
    #: What the customer asks, in one line: the subject of the email that opened it, or as typed.
    summary: Mapped[str | None] = mapped_column(String(200))
    subjects: Mapped[list[TicketSubject]] = relationship(secondary=ticket_subjects, order_by=TicketSubject.position)
    priority: Mapped[str] = mapped_column(String(16), nullable=False, default="Medium")
    status_id: Mapped[int] = mapped_column(ForeignKey("ticket_status.id"), nullable=False)
    status_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    source: Mapped[str] = mapped_column(String(24), nullable=False, default="On Call")
    description: Mapped[str | None] = mapped_column(Text)
    resolution: Mapped[str | None] = mapped_column(Text)
    resolved_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"), index=True)
    #: Whether people who see the ticket see its customer. Not while a customer found by the limited look-up awaits
    #: approval by their owner or a manager.
    opens_customer: Mapped[bool] = mapped_column(Boolean, nullable=False, default=True, server_default=text("1"))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"), index=True)
    #: The current assignee; the open Assignment rows name all of them.
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    assigned_role: Mapped[str | None] = mapped_column(String(64))
    exhausted_task_id: Mapped[int | None] = mapped_column(Integer)
    #: Whether it is in the register of complaints: none, or one of COMPLAINT_STATES.
    complaint_state: Mapped[str | None] = mapped_column(String(8))
    status: Mapped[TicketStatus] = relationship()
    customer: Mapped[Customer | None] = relationship()
    lead: Mapped[Lead | None] = relationship()

    @property
    def subject_labels(self) -> str:
        """The labels of its subjects, joined by comma."""
        return ", ".join(subject.label for subject in self.subjects)[:500]


def create(session: Session, values: dict[str, Any], context: ChangeContext) -> Ticket:
    """Create a ticket with its assignment, first task and SLA clock, in the caller's transaction.

    `values`: subject_ids, summary, priority, source, description, customer_id, contact fields, lead_id, status_id,
    resolution, assignee_id or assign_to_role, task (dict of title, priority, due_on; {} = none). Raises RuleBroken.

    The customer is the given one, else the one with the mobile number, else a new one if the person may create
    customers. If the person doesn't see the customer, the link is pending and the ticket keeps what was entered.
    """
    ticket = Ticket(version=1, priority="Medium", source="On Call", opens_customer=True)
    ticket.set_contact({name: values[name] for name in CONTACT_FIELDS if values.get(name)}, context.vault)
    _set_fields(session, ticket, values)
    if not ticket.subjects:
        raise RuleBroken("Please choose at least one subject.", "subjects")
    status = _status(session, values.get("status_id"))
    ticket.status, ticket.status_id, ticket.status_on = status, status.id, context.now
    ticket.owner_id = values.get("owner_id") or context.by
    _set_resolution(ticket, status, values, context.now)
    sla.start_clock(ticket, context.sla_terms, context.now)
    decision = assignment.choose_assignee(session, values, context)
    match = _match(session, ticket, values.get("customer_id"), context)
    differences = _link(session, ticket, match, context)
    ticket.assignee_id, ticket.assigned_role = decision.user_id, decision.role or None
    ticket.number = next_number(session, "TICKET", context.now.year)
    ticket.stamp(context)
    session.add(ticket)
    session.flush()
    with history_rows.written_together(session):
        if match is not None:
            pending_customer_links.record_match(session, ticket, match, context)
        timeline.write(session, ticket, "system", context, text="Ticket created")
        customer_linking.write_proposal(session, ticket, differences, context)
        status_changes.start_history(session, ticket, context)
        assignment.open_first(session, ticket, decision, context)
        task = _first_task(ticket, values.get("task"), context)
        if task:
            tasks.create(session, task | {"ticket_id": ticket.id}, context)
    return ticket


def _first_task(ticket: Ticket, requested: dict[str, Any] | None, context: ChangeContext) -> dict[str, Any] | None:
    """The values of the first task; None if there is none, or no assignee."""
    if ticket.assignee_id is None or requested == {} or ticket.status.meaning in ENDED:
        return None
    priority = "High" if ticket.priority == "Urgent" else ticket.priority
    defaults = {"title": f"{task_closing.HANDLE_TICKET}{ticket.title}", "priority": priority}
    return tasks.first_task_values(defaults, requested, context) | {"assignee_id": ticket.assignee_id}


def _match(session: Session, ticket: Ticket, customer_id: int | None, context: ChangeContext) -> CustomerMatch | None:
    """The customer of a new ticket: the given one, else found by mobile number, else a new one, else None."""
    if customer_id is not None:
        return customer_linking.match_chosen(session, customer_id, context)
    if ticket.mobile_e164 is None:
        return None
    if not context.rights.may_create():
        return customer_linking.match_by_number(session, ticket.mobile_e164, context)
    values = {"source": "Ticket", "owner_id": context.by, "text": "Customer created"}
    return customer_linking.find_or_create(session, ticket, values, context)


def _link(session: Session, ticket: Ticket, match: CustomerMatch | None, context: ChangeContext) -> list[list[Any]]:
    """Link the ticket to the customer, as far as the person may. Returns the differences, for a proposal."""
    if match is None:
        return []
    if match.how == "new":
        customer_linking.link_to(ticket, match.customer)
        return []
    if match.is_open:
        return customer_linking.link(session, ticket, match.customer, context)
    if match.how == "choice":
        _name_customer(ticket, match.customer)
    return []


def _name_customer(ticket: Ticket, customer: Customer) -> None:
    """Link a customer whom the person knows only by the limited look-up: the ticket shows only the name."""
    ticket.customer, ticket.customer_id, ticket.opens_customer = customer, customer.id, False
    if not ticket.first_name and not ticket.last_name:
        ticket.first_name, ticket.last_name = customer.first_name, customer.last_name


_FIELDS = ("priority", "source", "description", "lead_id", "resolution")


def _set_fields(session: Session, ticket: Ticket, values: dict[str, Any]) -> None:
    for name in _FIELDS:
        if name in values:
            setattr(ticket, name, values[name])
    custom_values.set_values(ticket, values)
    if ticket.priority not in PRIORITIES:
        raise RuleBroken("The priority of a ticket must be Low, Medium, High or Urgent.", "priority")
    if ticket.source not in SOURCES:
        raise RuleBroken(
            translatable("Please choose one of the sources: %(words)s.", words=", ".join(SOURCES)), "source"
        )
    if "subject_ids" in values:
        _set_subjects(session, ticket, values["subject_ids"] or [])
    if "summary" in values:
        ticket.summary = " ".join((values["summary"] or "").split())[:MAX_SUMMARY] or None
    if "subject_ids" in values or "summary" in values:
        ticket.title = ticket.summary or ticket.subject_labels


def _set_subjects(session: Session, ticket: Ticket, subject_ids: list[int]) -> None:
    ids = list(dict.fromkeys(subject_ids))
    found = session.scalars(select(TicketSubject).where(TicketSubject.id.in_(ids))).all() if ids else []
    if not found:
        raise RuleBroken("Please choose at least one subject.", "subjects")
    ticket.subjects = sorted(found, key=lambda subject: subject.position)


def _status(session: Session, status_id: int | None, meaning: str = "new") -> TicketStatus:
    if status_id is not None:
        status = session.get(TicketStatus, status_id)
    else:
        query = select(TicketStatus).where(TicketStatus.meaning == meaning).order_by(TicketStatus.position)
        status = session.scalars(query).first()
    if status is None:
        raise RuleBroken("There is no such ticket status.", "status")
    return status


def _set_resolution(ticket: Ticket, new: TicketStatus, values: dict[str, Any], now: datetime) -> None:
    """Require a resolution for a status that closes the ticket; any other status clears `resolved_on`."""
    if new.meaning in ENDED:
        _refuse_pending_complaint(ticket)
        text = str(values.get("resolution") or ticket.resolution or "").strip()
        if not text:
            raise RuleBroken(
                translatable("“%(status)s” needs a resolution. What was done for the customer?", status=new.label),
                "resolution",
            )
        ticket.resolution, ticket.resolved_on = text, ticket.resolved_on or now
    else:
        ticket.resolved_on = None


def refuse_registered(ticket: Ticket) -> None:
    """Raise RuleBroken for a ticket in the register of complaints, which is neither deleted nor merged into another."""
    if ticket.complaint_state is not None:
        raise RuleBroken(
            translatable(
                "%(number)s is in the register of complaints and stays. You can merge other tickets into it.",
                number=ticket.number,
            )
        )


def _refuse_pending_complaint(ticket: Ticket) -> None:
    """Raise RuleBroken for a ticket whose complaint has no outcome; no statement, the ticket knows."""
    if ticket.complaint_state == "pending":
        raise RuleBroken(
            "This ticket is a complaint without an outcome. Enter the outcome of the complaint first, then resolve it.",
            "status",
        )


def change_status(session: Session, ticket: Ticket, values: dict[str, Any], context: ChangeContext) -> None:
    """Change the status to `values["status_id"]` after checking its requirements.

    `values` may contain resolution, task or close_tasks: without the latter, a status that closes the ticket also
    closes its "Handle ticket" task. Raises RuleBroken.
    """
    old, new, since = ticket.status, _status(session, values["status_id"]), ticket.status_on
    if old.id == new.id:
        return
    if new.meaning == "scheduled" and not values.get("task") and not tasks.open_tasks(session, ticket_id=ticket.id):
        raise tasks.missing_open_task(new.label)
    _set_resolution(ticket, new, values, context.now)
    status_changes.set_status(session, ticket, new, context, ticket.resolution if new.meaning in ENDED else None)
    if new.meaning in ENDED and values.get("close_tasks") is None:
        task_closing.close_handling(session, ticket.id, context)
    if old.meaning in ENDED and new.meaning not in ENDED:
        task_closing.open_again(session, ticket, since, context)
    _add_task(session, ticket, values, context)


def _add_task(session: Session, ticket: Ticket, values: dict[str, Any], context: ChangeContext) -> None:
    """Create the task that came with a change, after the ticket is written, since the task refers to it."""
    if values.get("task"):
        tasks.create(session, values["task"] | {"ticket_id": ticket.id, "assignee_id": ticket.assignee_id}, context)


def change(session: Session, ticket: Ticket, values: dict[str, Any], context: ChangeContext) -> None:
    """Change fields, the status if `values` has another status_id, and close the tasks in close_tasks (ids).

    Raises RuleBroken.
    """
    with history_rows.written_together(session):
        _change(session, ticket, values, context)


def _change(session: Session, ticket: Ticket, values: dict[str, Any], context: ChangeContext) -> None:
    before = {name: getattr(ticket, name) for name in (*_FIELDS, "custom", "customer_id", "title", "owner_id")}
    before |= {"subject_labels": ticket.subject_labels} if ticket.summary and "subject_ids" in values else {}
    _set_fields(session, ticket, values)
    if "customer_id" in values and values["customer_id"] != ticket.customer_id:
        _change_customer(session, ticket, values["customer_id"], context)
    if values.get("owner_id") is not None:
        ticket.owner_id = values["owner_id"]
    if values.get("status_id") is not None and values["status_id"] != ticket.status_id:
        change_status(session, ticket, values, context)
    else:
        _add_task(session, ticket, values, context)
    task_closing.close_chosen(session, ticket, values.get("close_tasks") or (), context)
    if ticket.priority != before["priority"]:
        sla.apply_priority(ticket, context.sla_terms)
    changes = timeline.field_changes(ticket, before)
    if changes:
        ticket.stamp(context)
        timeline.write(session, ticket, "field_change", context, changes=changes)


def _change_customer(session: Session, ticket: Ticket, customer_id: int | None, context: ChangeContext) -> None:
    """Assign the ticket to another customer, or none."""
    pending_customer_links.withdraw_request(session, ticket, context)
    match = customer_linking.match_chosen(session, customer_id, context) if customer_id is not None else None
    ticket.customer, ticket.customer_id, ticket.opens_customer = None, None, True
    differences = _link(session, ticket, match, context)
    ticket.customer_id = match.customer.id if match is not None else None
    customer_linking.write_proposal(session, ticket, differences, context)
    if match is not None:
        pending_customer_links.record_match(session, ticket, match, context)
