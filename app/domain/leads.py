"""Leads: possible customers, their statuses; what each status requires is in `lead_requirements`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Date, ForeignKey, Index, Integer, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.domain import (
    assignment,
    client_ids,
    custom_values,
    customer_linking,
    customers,
    lead_requirements,
    pending_customer_links,
    round_robin,
    status_changes,
    task_closing,
    tasks,
    timeline,
    typed_codes,
)
from app.domain.base import Code, Record, RuleBroken, UtcDateTime, Versioned, translatable
from app.domain.change_context import ChangeContext
from app.domain.custom_values import HasCustomFields
from app.domain.customer_linking import CustomerMatch
from app.domain.customers import CONTACT_FIELDS, SECRET_FIELDS, Contact, Customer
from app.domain.lead_requirements import REQUIRED_FIELDS, LeadTransition
from app.domain.persistence import fast_insert, history_rows
from app.domain.persistence.numbering import next_number
from app.domain.picklists import LeadStatus
from app.domain.working_time import sla
from app.domain.working_time.sla import SlaRecord

CATEGORIES = ("Direct", "Indirect")
#: (meaning, label, color) as shipped. Code uses meanings; managers may rename labels.
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
#: Meanings that close a lead; only a manager may reopen it.
TERMINAL = ("activated", "unqualified", "junk", "expired", "expired_opened")
#: Meaning of an account that is open but not active yet.
OPENED = "opened"


class Lead(Contact, SlaRecord, HasCustomFields, Versioned, Record):
    """Somebody who may become a customer. It has contact fields only until it is linked to a customer."""

    #: What other records show of it: the number, followed by the name.
    __label_columns__ = ("number",)
    __tablename__ = "leads"
    #: For the SLA, a lead is resolved when its account is open or it was closed otherwise.
    applies_to, paused_in, ended_in = "lead", ("scheduled", "waiting"), (*TERMINAL, "opened")
    __table_args__ = (
        Index("ix_leads_assignee", "assignee_id", "id"),
        Index("ix_leads_owner", "owner_id", "id"),
        Index("ix_leads_status", "status_id", "id"),
        Index("ix_leads_assignee_status", "assignee_id", "status_id", "id"),
        Index("ix_leads_owner_status", "owner_id", "status_id", "id"),
        Index("ix_leads_assignee_reply", "assignee_id", "reply_due_on"),
        Index("ix_leads_assignee_resolve", "assignee_id", "resolve_due_on"),
        Index("ix_leads_assignee_follow_up", "assignee_id", "next_follow_up_on"),
        Index("ix_leads_owner_follow_up", "owner_id", "next_follow_up_on"),
        # Dashboards of one person: the two ranges are joined.
        Index("ix_leads_assignee_created", "assignee_id", "created_on"),
        Index("ix_leads_owner_created", "owner_id", "created_on"),
        Index("ix_leads_assignee_changed", "assignee_id", "changed_on"),
        Index("ix_leads_owner_changed", "owner_id", "changed_on"),
        Index("ix_leads_assignee_status_changed", "assignee_id", "status_id", "changed_on"),
        Index("ix_leads_owner_status_changed", "owner_id", "status_id", "changed_on"),
        Index("ix_leads_created", "created_on"),
        # Dashboards count the leads of a period from the index alone.
        Index(
            "ix_leads_figures",
            *("created_on", "status_id", "source_id", "replied_on", "sla_started_on"),
            *("reply_late_on", "reply_due_on", "assignee_id", "owner_id", "referral"),
        ),
        Index("ix_leads_changed", "changed_on"),
        Index("ix_leads_opened", "opened_on"),
        Index("ix_leads_activated", "activated_on"),
        Index("ix_leads_birth", "date_of_birth"),
        Index("ix_leads_follow_up", "next_follow_up_on"),
        Index("ix_leads_reply", "reply_due_on"),
        Index("ix_leads_sla", "sla_on"),
        Index("ix_leads_first_name", "first_name", "last_name"),
        Index("ix_leads_last_name", "last_name", "first_name"),
        Index("ix_leads_assignee_first_name", "assignee_id", "first_name"),
        Index("ix_leads_assignee_last_name", "assignee_id", "last_name"),
        Index("ix_leads_owner_first_name", "owner_id", "first_name"),
        Index("ix_leads_owner_last_name", "owner_id", "last_name"),
        Index("ix_leads_assignee_customer", "assignee_id", "customer_id"),
        Index("ix_leads_owner_customer", "owner_id", "customer_id"),
    )
    number: Mapped[str] = mapped_column(Code(24), nullable=False, unique=True)
    status_id: Mapped[int] = mapped_column(ForeignKey("lead_status.id"), nullable=False)
    #: Since when it has this status, UTC.
    status_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    source_id: Mapped[int | None] = mapped_column(ForeignKey("lead_source.id"))
    #: Direct or Indirect.
    category: Mapped[str] = mapped_column(String(16), nullable=False, default="Direct")
    account_type_id: Mapped[int | None] = mapped_column(ForeignKey("account_type.id"))
    #: Client id of the customer who referred this lead.
    referral: Mapped[str | None] = mapped_column(Code(40), index=True)
    #: Client id of the account that this lead became.
    client_id: Mapped[str | None] = mapped_column(Code(40), index=True)
    #: Proof-of-delivery id of the documents sent; many leads may share one.
    pod_id: Mapped[str | None] = mapped_column(String(255), index=True)
    rejection_reason: Mapped[str | None] = mapped_column(String(500))
    description: Mapped[str | None] = mapped_column(Text)
    date_of_birth: Mapped[date | None] = mapped_column(Date)
    next_follow_up_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Who works on it now, and who is responsible for it.
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: Role whose round robin serves this lead; null = Sales User.
    assigned_role: Mapped[str | None] = mapped_column(String(64))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"), index=True)
    opened_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    activated_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    converted_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: A task that stayed overdue with every colleague in turn.
    exhausted_task_id: Mapped[int | None] = mapped_column(Integer)
    status: Mapped[LeadStatus] = relationship()
    customer: Mapped[Customer | None] = relationship()

    @property
    def display_name(self) -> str:
        """First and last name, from the customer if there is one, else the number; never a masked field."""
        person = self.customer or self
        return " ".join(part for part in (person.first_name, person.last_name) if part) or self.number or ""


def create(session: Session, values: dict[str, Any], context: ChangeContext) -> Lead:
    """Create a lead with its customer match, assignment, first task and SLA clock, in the caller's transaction.

    `values`: contact fields, status_id, source_id, category, account_type_id, referral, description,
    assignee_id or assign_to_role, task (dict of title, priority, due_on; {} = none). Raises RuleBroken.
    """
    return create_many(session, [values], context)[0]


def create_many(session: Session, many: Sequence[dict[str, Any]], context: ChangeContext) -> list[Lead]:
    """Create many leads, inserted together. Raises RuleBroken for the first that breaks a rule."""
    drafts = [_draft(session, values, context) for values in many]
    _insert(session, [draft.lead for draft in drafts])
    with history_rows.written_together(session):
        for draft in drafts:
            _complete(session, draft, context)
    return [draft.lead for draft in drafts]


@dataclass(frozen=True)
class _Draft:
    """A new lead before it is inserted, and its consequences."""

    lead: Lead
    values: dict[str, Any]
    match: CustomerMatch | None
    differences: list[list[Any]]
    decision: round_robin.TurnDecision
    task: dict[str, Any] | None


def _draft(session: Session, values: dict[str, Any], context: ChangeContext) -> _Draft:
    lead = Lead(version=1)
    lead.set_contact({name: values[name] for name in CONTACT_FIELDS if name in values}, context.vault)
    _refuse_anonymous(lead)
    _set_fields(lead, values)
    lead.category = lead.category or "Direct"
    status = _status(session, values.get("status_id"))
    lead.status, lead.status_id, lead.status_on = status, status.id, context.now
    lead.owner_id = values.get("owner_id") or context.by
    sla.start_clock(lead, context.sla_terms, context.now)
    match = customer_linking.match_by_number(session, lead.mobile_e164, context)
    open_match = match if match is not None and match.is_open else None
    customers.refuse_self_referral(session, open_match.customer if open_match else None, lead.referral)
    decision = assignment.choose_assignee(session, values, context)
    differences = customer_linking.link(session, lead, open_match.customer, context) if open_match else []
    lead.assignee_id, lead.assigned_role = decision.user_id, decision.role or None
    task = _first_task(lead, values.get("task"), context)
    lead.number = next_number(session, "LEAD", context.now.year)
    lead.stamp(context)
    return _Draft(lead, values, match, differences, decision, task)


def _insert(session: Session, new: Sequence[Lead]) -> None:
    """Insert new leads: one by a statement of our own, many by a flush, which writes them together."""
    if len(new) == 1:
        fast_insert.insert(session, new[0])
        return
    session.add_all(new)
    session.flush()


def _complete(session: Session, draft: _Draft, context: ChangeContext) -> None:
    lead, values, status = draft.lead, draft.values, draft.lead.status
    if draft.match is not None:
        pending_customer_links.record_match(session, lead, draft.match, context)
    lead_requirements.refuse_first_status(status, values)
    if status.meaning != "scheduled":  # that status requires a task, and a new lead gets its first one
        lead_requirements.enter(session, LeadTransition(lead, status, values, context))
    timeline.write(session, lead, "system", context, text="Lead created")
    status_changes.start_history(session, lead, context)
    customer_linking.write_proposal(session, lead, draft.differences, context)
    assignment.open_first(session, lead, draft.decision, context)
    if draft.task:
        tasks.create(session, draft.task | {"lead_id": lead.id}, context)


def _first_task(lead: Lead, requested: dict[str, Any] | None, context: ChangeContext) -> dict[str, Any] | None:
    """The values of the first task, or None; also sets the lead's next follow-up."""
    if lead.assignee_id is None or requested == {}:
        return None
    defaults = {"title": f"{task_closing.FOLLOW_UP}{lead.display_name}", "priority": "Medium"}
    values = tasks.first_task_values(defaults, requested, context)
    lead.next_follow_up_on = lead.next_follow_up_on or values["due_on"]
    return values | {"assignee_id": lead.assignee_id}


def _refuse_anonymous(lead: Lead) -> None:
    if not lead.name and not lead.email:
        raise RuleBroken("Please enter a name, a mobile number or an email address for the lead.", "first_name")


def _status(session: Session, status_id: int | None, meaning: str = "new") -> LeadStatus:
    """The status with this id, or the first of the meaning. Raises RuleBroken if there is none."""
    if status_id is not None:
        status = session.get(LeadStatus, status_id)
        if status is None:
            raise RuleBroken("There is no such lead status.", "status")
        return status
    query = select(LeadStatus).where(LeadStatus.meaning == meaning).order_by(LeadStatus.position)
    return session.scalars(query).first() or _refuse_missing_status(meaning)


def _refuse_missing_status(meaning: str) -> LeadStatus:
    raise RuleBroken(
        translatable("No lead status has the meaning “%(meaning)s”. An admin can add one.", meaning=meaning),
        "status",
    )


def change_status(session: Session, lead: Lead, values: dict[str, Any], context: ChangeContext) -> None:
    """Change the status to `values["status_id"]` after checking its requirements.

    `values` may contain client_id, pod_id, rejection_reason, task or close_tasks: without the latter, a status that
    closes the lead also closes its follow-ups. Raises RuleBroken.
    """
    old, since = lead.status, lead.status_on
    _set_status(session, lead, values, context)
    was_closed, is_closed = old.meaning in TERMINAL, lead.status.meaning in TERMINAL
    if is_closed and not was_closed and values.get("close_tasks") is None:
        task_closing.close_with_leads(session, [lead], context)
    if was_closed and not is_closed:
        task_closing.open_again(session, lead, since, context)
    lead_requirements.add_task(session, lead, values, context)


def _set_status(session: Session, lead: Lead, values: dict[str, Any], context: ChangeContext) -> None:
    """Change the status alone."""
    old, new = lead.status, _status(session, values["status_id"])
    if old.id == new.id:
        return
    if old.meaning in TERMINAL and not context.may_reopen:
        raise RuleBroken(
            translatable("This lead is closed as “%(status)s”. Only a manager can reopen it.", status=old.label),
            "status",
        )
    lead_requirements.enter(session, LeadTransition(lead, new, values, context))
    status_changes.set_status(session, lead, new, context, getattr(lead, REQUIRED_FIELDS.get(new.meaning, ""), None))


#: Fields that are stored as given, apart from the contact fields.
_FIELDS = (
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


def _set_fields(lead: Lead, values: dict[str, Any]) -> None:
    typed_codes.refuse_ambiguous(lead, values)
    for name in _FIELDS:
        if name in values:
            setattr(lead, name, values[name])
    custom_values.set_values(lead, values)
    if lead.category is not None and lead.category not in CATEGORIES:
        raise RuleBroken("The category must be Direct or Indirect.", "category")


def change(session: Session, lead: Lead, values: dict[str, Any], context: ChangeContext) -> bool:
    """Change fields, the status if `values` has another status_id, and close the tasks in close_tasks (ids).

    Raises RuleBroken. Returns False if contact fields became a proposal, because the person may not change the lead's
    customer.
    """
    with history_rows.written_together(session):
        return _change(session, lead, values, context)


def _change(session: Session, lead: Lead, values: dict[str, Any], context: ChangeContext) -> bool:
    has_new_status = values.get("status_id") not in (None, lead.status_id)
    before = _logged_fields(lead, values, has_new_status)
    is_written = _change_contact(session, lead, values, context)
    _set_fields(lead, values)
    if values.get("owner_id") is not None:
        lead.owner_id = values["owner_id"]
    if "client_id" in values and not (has_new_status and _opens_account(session, lead, values["status_id"])):
        client_ids.set_client_id(session, lead, values["client_id"], context)
    step = change_status if has_new_status else lead_requirements.add_task
    step(session, lead, values, context)
    task_closing.close_chosen(session, lead, values.get("close_tasks") or (), context)
    changes = timeline.field_changes(lead, before)
    if lead.customer is None:
        changes += [[name, None, None] for name in SECRET_FIELDS if name in values]
    if changes:
        lead.stamp(context)
        timeline.write(session, lead, "field_change", context, changes=changes)
    return is_written


def _logged_fields(lead: Lead, values: dict[str, Any], has_new_status: bool) -> dict[str, Any]:
    """The current values of the fields whose changes go to the timeline."""
    names = [*_FIELDS, "custom", "owner_id", *customer_linking.TIMELINE_FIELDS]
    if not has_new_status:  # else the entry of the new status contains the client id
        names.append("client_id")
    return {name: getattr(lead, name, None) for name in names if name in values}


def _change_contact(session: Session, lead: Lead, values: dict[str, Any], context: ChangeContext) -> bool:
    """Change the contact fields where they are stored: on the customer if there is one, else on the lead.

    Returns False if they became a proposal.
    """
    contact = {name: values[name] for name in CONTACT_FIELDS if name in values}
    if contact and lead.customer is not None:
        return customer_linking.change_contact(session, lead, contact, context)
    if contact:
        lead.set_contact(contact, context.vault)
        _refuse_anonymous(lead)
        _link_known_customer(session, lead, contact, context)
    return True


def _opens_account(session: Session, lead: Lead, status_id: int) -> bool:
    """Whether this status opens the account, which checks the client id itself."""
    name = REQUIRED_FIELDS.get(_status(session, status_id).meaning)
    return lead.opened_on is None and name == "client_id"


def _link_known_customer(session: Session, lead: Lead, contact: dict[str, Any], context: ChangeContext) -> None:
    """Link the lead to the customer with the entered mobile number, if there is one, or request the link."""
    if "mobile" not in contact:
        return
    match = customer_linking.match_by_number(session, lead.mobile_e164, context)
    if match is None or match.is_open:
        pending_customer_links.withdraw_request(session, lead, context)
    if match is None:
        return
    differences = customer_linking.link(session, lead, match.customer, context) if match.is_open else []
    customer_linking.write_proposal(session, lead, differences, context)
    pending_customer_links.record_match(session, lead, match, context)


def expire(session: Session, expired: Sequence[Lead], now: datetime) -> None:
    """Set leads to the expired status: the one for opened accounts, or the other."""
    context, statuses = ChangeContext(None, now, may_reopen=True), dict[str, LeadStatus]()
    with history_rows.written_together(session):
        for lead in expired:
            meaning = "expired_opened" if lead.status.meaning == OPENED else "expired"
            if meaning not in statuses:
                statuses[meaning] = _status(session, None, meaning)
            _set_status(session, lead, {"status_id": statuses[meaning].id}, context)
        task_closing.close_with_leads(session, expired, context)
