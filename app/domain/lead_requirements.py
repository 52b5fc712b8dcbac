"""What a status of a lead requires: a field, an account of a customer, an open task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.domain import client_ids, customer_linking, customers, pending_customer_links, tasks
from app.domain.base import RuleBroken, translatable
from app.domain.change_context import ChangeContext
from app.domain.customer_linking import CustomerMatch
from app.domain.customers import Customer
from app.domain.next_follow_up import PlannedTask
from app.domain.picklists import LeadStatus

#: Meaning -> the field that a lead must have for a status of this meaning.
REQUIRED_FIELDS = {"opened": "client_id", "activated": "client_id", "sent": "pod_id", "rejected": "rejection_reason"}


@dataclass(frozen=True)
class LeadTransition:
    """A lead that is about to change its status."""

    lead: Any
    new: LeadStatus
    #: May contain client_id, pod_id, rejection_reason and task.
    values: dict[str, Any]
    context: ChangeContext


def refuse_first_status(status: LeadStatus, values: dict[str, Any]) -> None:
    """Raise RuleBroken for a status whose requirements can't be given for a new lead."""
    name = REQUIRED_FIELDS.get(status.meaning)
    if name is not None and not values.get(name):
        raise RuleBroken(
            translatable(
                "A new lead can't be “%(status)s” at once. Save it with another status first, then change the status.",
                status=status.label,
            ),
            name,
        )


def enter(session: Session, transition: LeadTransition) -> None:
    """Check the requirements of the new status and apply it. Raises RuleBroken, which names the missing field."""
    meaning = transition.new.meaning
    _require_field(transition)
    if meaning in ("opened", "activated"):
        _open_account(session, transition)
    if meaning == "scheduled":
        _require_open_task(session, transition)


def add_task(session: Session, lead: Any, values: dict[str, Any], context: ChangeContext) -> None:
    """Create the task that came with a change, if one did. Raises RuleBroken.

    After the lead was given its status, so that it is written before the task refers to it (`record_locks`), and so
    that a status that closes the lead doesn't close the task.
    """
    if values.get("task"):
        task = values["task"] | {"lead_id": lead.id, "assignee_id": lead.assignee_id or context.by}
        if task.get("due_on") is not None:
            planned = PlannedTask(task["due_on"], context.now)
            lead.next_follow_up_on = planned.next_after(lead.next_follow_up_on)
        tasks.create(session, task, context)


_MISSING_FIELD = {
    "client_id": "“%(status)s” needs the client ID of the account.",
    "pod_id": "“%(status)s” needs the POD ID of the documents.",
    "rejection_reason": "“%(status)s” needs the reason for the rejection.",
}


def _require_field(transition: LeadTransition) -> None:
    lead, name = transition.lead, REQUIRED_FIELDS.get(transition.new.meaning)
    if name is None:
        return
    value = str(transition.values.get(name) or getattr(lead, name) or "").strip()
    if not value:
        raise RuleBroken(translatable(_MISSING_FIELD[name], status=transition.new.label), name)
    setattr(lead, name, client_ids.normalize_client_id(value) if name == "client_id" else value)


def _open_account(session: Session, transition: LeadTransition) -> None:
    lead, context = transition.lead, transition.context
    customer = lead.customer or find_or_create_customer(session, lead, context)
    client_ids.refuse_taken(session, lead, lead.client_id or "")
    account = customers.open_account(session, customer, lead, context)
    lead.opened_on = lead.opened_on or context.now
    if transition.new.meaning == "activated":
        lead.activated_on = lead.activated_on or context.now
        account.activated_on = account.activated_on or context.now


def find_or_create_customer(session: Session, lead: Any, context: ChangeContext) -> Customer:
    """Link the lead to the customer with its mobile number, or to a new one made from its contact fields.

    Encrypted fields are copied as they are. Raises LinkPending for a customer whom the person doesn't see: anybody can
    enter a client ID, as they can a number, so it proves nothing.
    """
    values = {"source": "Lead", "owner_id": lead.owner_id, "text": f"Customer created from {lead.number}"}
    match = customer_linking.find_or_create(session, lead, values, context)
    if not match.is_open:
        raise pending_customer_links.LinkPending(
            "A customer whom you can't see has this number. Their owner or a manager has to confirm the link to this "
            "lead before its account can be opened.",
            match,
        )
    if match.how == "new":
        customer_linking.link_to(lead, match.customer)
    else:
        differences = customer_linking.link(session, lead, match.customer, context)
        customer_linking.write_proposal(session, lead, differences, context)
        pending_customer_links.withdraw_request(session, lead, context)
        customer_linking.write_audit(session, lead, CustomerMatch(match.customer, True, "conversion"), context)
    session.flush()
    return match.customer


def _require_open_task(session: Session, transition: LeadTransition) -> None:
    """Raise RuleBroken if no task comes with the status and the lead has no open one."""
    lead = transition.lead
    if not (transition.values.get("task") or (lead.id and tasks.open_tasks(session, lead_id=lead.id))):
        raise tasks.missing_open_task(transition.new.label)
