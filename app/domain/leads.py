"""Leads: taken in one transaction, moved through gates."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import Date, ForeignKey, Index, Integer, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.domain import assignment, client_ids, customer_linking, customers, notices, settings, sla, tasks, timeline
from app.domain.base import Record, RuleBroken, UtcDateTime, Versioned, next_number, translatable
from app.domain.customers import CONTACT_FIELDS, Contact, Customer
from app.domain.settings import LeadStatus
from app.domain.sla import SlaRecord
from app.lib.vault import Vault

CATEGORIES = ("Direct", "Indirect")
#: meaning -> (label, colour) as shipped; the machine knows meanings, managers rename labels.
STATUSES = (
    ("new", "New", "gray"),
    ("working", "Contacted", "orange"),
    ("scheduled", "Follow-up Scheduled", "cyan"),
    ("followed", "Follow-up Complete", "teal"),
    ("documents", "Documents Collected", "blue"),
    ("sent", "Sent to HO", "purple"),
    ("verified", "Documents Verified", "amber"),
    ("working", "Nurture", "blue"),
    ("working", "Qualified", "green"),
    ("opened", "Account Opened", "green"),
    ("rejected", "Rejected - Follow-up Required", "red"),
    ("activated", "Account Activated", "violet"),
    ("unqualified", "Unqualified", "red"),
    ("junk", "Junk", "purple"),
    ("expired", "Lead Expired", "pink"),
    ("expired_opened", "Lead Expired (Account Opened)", "orange"),
)
#: Only managers reopen a lead that ended so.
TERMINAL = ("activated", "unqualified", "junk", "expired", "expired_opened")
#: What a move to a status of this meaning needs to be told, if the lead does not have it yet.
REQUIRED_FIELDS = {"opened": "client_id", "activated": "client_id", "sent": "pod_id", "rejected": "rejection_reason"}


class Lead(Contact, SlaRecord, Versioned, Record):
    """Somebody who may become a customer. Contact fields are its own only until it has a customer."""

    #: What other records show of it: the number, and behind it what people call it.
    __label_columns__ = ("number",)
    __tablename__ = "leads"
    #: A lead is "solved" when its account is open, or when it has ended otherwise.
    applies_to, paused_in, ended_in = "lead", ("scheduled", "waiting"), (*TERMINAL, "opened")
    __table_args__ = (
        Index("ix_leads_assignee", "assignee_id", "id"),
        Index("ix_leads_owner", "owner_id", "id"),
        Index("ix_leads_status", "status_id", "id"),
        Index("ix_leads_assignee_status", "assignee_id", "status_id", "id"),
        Index("ix_leads_created", "created_on"),
        Index("ix_leads_changed", "changed_on"),
        Index("ix_leads_follow_up", "next_follow_up_on"),
        Index("ix_leads_reply", "reply_due_on"),
        Index("ix_leads_sla", "sla_on"),
        Index("ix_leads_name", "first_name", "last_name"),
    )
    number: Mapped[str] = mapped_column(String(24), nullable=False, unique=True)
    status_id: Mapped[int] = mapped_column(ForeignKey("lead_status.id"), nullable=False)
    #: Since when it has this status, UTC.
    status_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    source_id: Mapped[int | None] = mapped_column(ForeignKey("lead_source.id"))
    #: Direct or Indirect.
    category: Mapped[str] = mapped_column(String(16), nullable=False, default="Direct")
    account_type_id: Mapped[int | None] = mapped_column(ForeignKey("account_type.id"))
    #: Client id of who referred him.
    referral: Mapped[str | None] = mapped_column(String(40), index=True)
    #: Client id of the account that this lead became.
    client_id: Mapped[str | None] = mapped_column(String(40), index=True)
    #: Proof-of-delivery id of the documents sent; many leads may share one.
    pod_id: Mapped[str | None] = mapped_column(String(255), index=True)
    rejection_reason: Mapped[str | None] = mapped_column(String(500))
    description: Mapped[str | None] = mapped_column(Text)
    date_of_birth: Mapped[date | None] = mapped_column(Date)
    next_follow_up_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Who works on it now; who answers for it.
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: Role whose round robin serves this lead; null = Sales User.
    assigned_role: Mapped[str | None] = mapped_column(String(64))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"), index=True)
    opened_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    activated_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    converted_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Every colleague had one of its tasks while it stayed overdue.
    exhausted_task_id: Mapped[int | None] = mapped_column(Integer)
    status: Mapped[LeadStatus] = relationship()
    customer: Mapped[Customer | None] = relationship()

    @property
    def called(self) -> str:
        """First and last name, read through the customer when there is one, else the number; nothing that is masked."""
        person = self.customer or self
        return " ".join(part for part in (person.first_name, person.last_name) if part) or self.number or ""


def create(
    session: Session,
    values: dict[str, Any],
    by: int | None,
    now: datetime,
    vault: Vault | None,
    terms: sla.SlaTerms = sla.NO_TERMS,
    minutes: dict[str, int] | None = None,
) -> Lead:
    """Take a lead: customer match, assignment, first task, SLA and one notice, in the caller's transaction.

    `values`: contact fields, status_id, source_id, category, account_type_id, referral, description,
    assignee_id or assign_to_role, task (dict of title, priority, due_on). `terms`: what its SLA clock goes by;
    `minutes`: until the first task is due, by priority. Raises RuleBroken.
    """
    lead = Lead(version=1)
    lead.take({name: values[name] for name in CONTACT_FIELDS if name in values}, vault)
    if not lead.name and not lead.email:
        raise RuleBroken("Please enter a name, a mobile number or an email address for the lead.", "first_name")
    _take_rest(lead, values)
    lead.category = lead.category or "Direct"
    status = _status(session, values.get("status_id"))
    lead.status, lead.status_id, lead.status_on = status, status.id, now
    lead.owner_id = values.get("owner_id") or by
    sla.start_clock(lead, terms, now)
    customer = customers.find_by_mobile(session, lead.mobile_e164)
    _refuse_self_referral(session, lead, customer)
    decision = assignment.choose_assignee(session, values, by, now)
    proposed = customer_linking.link(session, lead, customer, by, now) if customer else []
    lead.assignee_id, lead.assigned_role = decision.user_id, decision.role or None
    task = _first_task(lead, values.get("task"), now, minutes or settings.DEFINITIONS["first_task_minutes"][0])
    lead.number = next_number(session, "LEAD", now.year)
    lead.stamp(by, now)
    session.add(lead)
    session.flush()
    if status.meaning != "scheduled":  # a new lead has its first task, which is what that gate asks for
        _gate(session, lead, status, values, by, now)
    timeline.write(session, lead, "system", by, now, text="Lead created")
    session.add(timeline.StatusChange(lead_id=lead.id, to_id=status.id, at=now, by_id=by))
    customer_linking.write_proposal(session, lead, proposed, by, now)
    if decision.user_id is not None:
        reason = "round robin" if decision.role else ("created" if decision.user_id == by else "direct")
        assignment.open_assignment(
            session, lead, decision.user_id, reason, by, now, decision if decision.role else None
        )
    if task:
        tasks.create(session, task | {"lead_id": lead.id}, by, now)
    return lead


def _first_task(
    lead: Lead, wanted: dict[str, Any] | None, now: datetime, minutes: dict[str, int]
) -> dict[str, Any] | None:
    """The values of the first task, and the follow-up time on the lead; None when none is wanted."""
    if lead.assignee_id is None or wanted == {}:
        return None
    first = tasks.first_task_values(f"Follow up: {lead.called}".removesuffix(": "), "Medium", wanted, minutes, now)
    lead.next_follow_up_on = lead.next_follow_up_on or first["due_on"]
    return first | {"assignee_id": lead.assignee_id}


def _refuse_self_referral(session: Session, lead: Lead, customer: Customer | None) -> None:
    if customer is None or not lead.referral:
        return
    owned = select(customers.CustomerAccount.id).where(
        customers.CustomerAccount.customer_id == customer.id, customers.CustomerAccount.client_id == lead.referral
    )
    if session.execute(owned.limit(1)).first():
        raise RuleBroken("A customer can't refer themselves. Please enter another referral code.", "referral")


def _status(session: Session, status_id: int | None, meaning: str = "new") -> LeadStatus:
    if status_id is not None:
        status = session.get(LeadStatus, status_id)
        if status is None:
            raise RuleBroken("There is no such lead status.", "status")
        return status
    query = select(LeadStatus).where(LeadStatus.meaning == meaning).order_by(LeadStatus.position)
    return session.scalars(query).first() or _missing(meaning)


def _missing(meaning: str) -> LeadStatus:
    raise RuleBroken(
        translatable("No lead status has the meaning “%(meaning)s”. An admin can add one.", meaning=meaning),
        "status",
    )


def move_to(
    session: Session,
    lead: Lead,
    status_id: int,
    values: dict[str, Any],
    by: int | None,
    now: datetime,
    may_reopen: bool = False,
    terms: sla.SlaTerms = sla.NO_TERMS,
) -> None:
    """Change the status, whichever door asks: gate, record, SLA clock, StatusChange, Activity and notices at once.

    `values` may carry client_id, pod_id, rejection_reason, close_tasks (ids) or task. Raises RuleBroken.
    """
    old, new = lead.status, _status(session, status_id)
    if old.id == new.id:
        return
    if old.meaning in TERMINAL and not may_reopen:
        raise RuleBroken(
            translatable("This lead is closed as “%(status)s”. Only a manager can reopen it.", status=old.label),
            "status",
        )
    _gate(session, lead, new, values, by, now)
    lead.status, lead.status_id = new, new.id
    seconds = int((now - lead.status_on).total_seconds())
    lead.status_on = now
    sla.apply_move(lead, sla.Move(old.meaning, new.meaning, by, now), terms)
    lead.stamp(by, now)
    change = timeline.StatusChange(lead_id=lead.id, from_id=old.id, to_id=new.id, at=now, by_id=by, seconds=seconds)
    session.add(change)
    timeline.write(session, lead, "status_change", by, now, **{"from": old.id, "to": new.id}, note=_note(lead, new))
    people = [user for user in (lead.assignee_id, lead.owner_id) if user]
    key = f"status:lead:{lead.id}:{now.isoformat()}"
    notices.notify(session, people, "status", key, lead, by, now, number=lead.number, status=new.id)


def _note(lead: Lead, status: LeadStatus) -> str | None:
    needed = REQUIRED_FIELDS.get(status.meaning)
    return getattr(lead, needed) if needed else None


def _gate(session: Session, lead: Lead, new: LeadStatus, values: dict[str, Any], by: int | None, now: datetime) -> None:
    """What a status demands before it is entered. Raises RuleBroken naming the missing field."""
    needed = REQUIRED_FIELDS.get(new.meaning)
    if needed:
        given = str(values.get(needed) or getattr(lead, needed) or "").strip()
        if not given:
            raise RuleBroken(translatable(_ASK[needed], status=new.label), needed)
        setattr(lead, needed, given.upper() if needed == "client_id" else given)
    if new.meaning in ("opened", "activated"):
        _open_account(session, lead, new, by, now)
    if new.meaning == "scheduled":
        _refuse_unscheduled(session, lead, new, values, by, now)
    if new.meaning == "followed":
        _close_tasks(session, lead, values.get("close_tasks") or [], by, now)


_ASK = {
    "client_id": "“%(status)s” needs the client ID of the account.",
    "pod_id": "“%(status)s” needs the POD ID of the documents.",
    "rejection_reason": "“%(status)s” needs the reason for the rejection.",
}


def _open_account(session: Session, lead: Lead, new: LeadStatus, by: int | None, now: datetime) -> None:
    customer = lead.customer or find_or_create_customer(session, lead, by, now)
    account = customers.open_account(session, customer, lead.client_id or "", lead, by, now)
    lead.opened_on = lead.opened_on or now
    if new.meaning == "activated":
        lead.activated_on = lead.activated_on or now
        account.activated_on = account.activated_on or now


def find_or_create_customer(session: Session, lead: Lead, by: int | None, now: datetime) -> Customer:
    """The customer of this lead: found by number, or made of its contact fields (sealed values move as they are)."""
    known = customer = customers.find_by_mobile(session, lead.mobile_e164)
    if customer is None:
        customer = Customer(version=1, source="Lead", status="Active", kyc_status="Pending", owner_id=lead.owner_id)
        for name in customer_linking.CONTACT_COLUMNS:
            setattr(customer, name, getattr(lead, name))
        customer.number = next_number(session, "CUST", now.year)
        customer.stamp(by, now)
        session.add(customer)
        session.flush()
        timeline.write(session, customer, "system", by, now, text=f"Customer created from {lead.number}")
    proposed = customer_linking.link(session, lead, customer, by, now)
    if known:
        customer_linking.write_proposal(session, lead, proposed, by, now)
    session.flush()
    return customer


def _refuse_unscheduled(
    session: Session, lead: Lead, new: LeadStatus, values: dict[str, Any], by: int | None, now: datetime
) -> None:
    if values.get("task"):
        task = values["task"] | {"lead_id": lead.id, "assignee_id": lead.assignee_id or by}
        made = tasks.create(session, task, by, now)
        lead.next_follow_up_on = made.due_on
    elif not (lead.id and tasks.open_tasks(session, lead_id=lead.id)):
        raise RuleBroken(
            translatable("“%(status)s” needs an open task. Please add one with a due time.", status=new.label), "task"
        )


def _close_tasks(session: Session, lead: Lead, ids: list[int], by: int | None, now: datetime) -> None:
    for task in tasks.open_tasks(session, lead_id=lead.id) if ids else []:
        if task.id in ids:
            tasks.change(session, task, {"status": "Done"}, by, now)


_REST = (
    "source_id",
    "category",
    "account_type_id",
    "referral",
    "description",
    "date_of_birth",
    "next_follow_up_on",
    "pod_id",
    "rejection_reason",
)


def _take_rest(lead: Lead, values: dict[str, Any]) -> None:
    for name in _REST:
        if name in values:
            setattr(lead, name, values[name])
    if lead.category is not None and lead.category not in CATEGORIES:
        raise RuleBroken("The category must be Direct or Indirect.", "category")


def change(
    session: Session,
    lead: Lead,
    values: dict[str, Any],
    by: int | None,
    now: datetime,
    vault: Vault | None,
    may_reopen: bool = False,
    terms: sla.SlaTerms = sla.NO_TERMS,
) -> None:
    """Change fields, and the status through its gate, when `values` has status_id. Raises RuleBroken."""
    contact = {name: values[name] for name in CONTACT_FIELDS if name in values}
    moves = values.get("status_id") not in (None, lead.status_id)
    told = (
        *_REST,
        "owner_id",
        *customer_linking.TIMELINE_FIELDS,
        *([] if moves else ["client_id"]),
    )  # a gate's client id is its note
    before = {name: getattr(lead, name, None) for name in told}
    if contact and lead.customer is not None:
        customers.change(session, lead.customer, contact, by, now, vault)
    elif contact:
        lead.take(contact, vault)
        if not lead.name and not lead.email:
            raise RuleBroken("Please enter a name, a mobile number or an email address for the lead.", "first_name")
        _match_late(session, lead, contact, by, now)
    _take_rest(lead, values)
    if values.get("owner_id") is not None:
        lead.owner_id = values["owner_id"]
    if "client_id" in values and not (moves and _opens(session, lead, values["status_id"])):
        client_ids.set_client_id(session, lead, values["client_id"], by, now)
    if moves:
        move_to(session, lead, values["status_id"], values, by, now, may_reopen, terms)
    _log_changes(session, lead, before, values, by, now)


def _opens(session: Session, lead: Lead, status_id: int) -> bool:
    """Whether the gate of this status opens the account, and looks at its client id itself."""
    return lead.opened_on is None and REQUIRED_FIELDS.get(_status(session, status_id).meaning) == "client_id"


def _match_late(session: Session, lead: Lead, contact: dict[str, Any], by: int | None, now: datetime) -> None:
    """A mobile typed later may be a known customer's."""
    customer = customers.find_by_mobile(session, lead.mobile_e164) if contact.get("mobile") else None
    if customer is not None:
        customer_linking.write_proposal(session, lead, customer_linking.link(session, lead, customer, by, now), by, now)


def _log_changes(
    session: Session, lead: Lead, before: dict[str, Any], values: dict[str, Any], by: int | None, now: datetime
) -> None:
    changes = [[n, _plain(before[n]), _plain(getattr(lead, n))] for n in before if n in values]
    changes = [row for row in changes if row[1] != row[2]]
    if lead.customer is None:
        changes += [[secret, None, None] for secret in ("pan", "aadhaar") if secret in values]
    if changes:
        lead.stamp(by, now)
        timeline.write(session, lead, "field_change", by, now, changes=changes)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def expire(session: Session, lead: Lead, opened: bool, now: datetime) -> None:
    """Daily job: move to the expired status through the state machine."""
    status = _status(session, None, "expired_opened" if opened else "expired")
    move_to(session, lead, status.id, {}, None, now, may_reopen=True)
