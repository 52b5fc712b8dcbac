"""Leads, tickets and tasks, unchanged: no clocks start, nobody is notified, no form's rules apply."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from app.domain import tasks as task_rules
from app.domain.assignment import Assignment, record_user_key
from app.domain.base import RuleBroken, translatable
from app.domain.leads import CATEGORIES
from app.domain.notifications import reminder_preferences
from app.domain.tickets import ENDED, PRIORITIES
from app.lib import phone
from app.models import Customer, CustomerAccount, Lead, Task, Ticket, TicketSubject
from app.web.transfer.predecessor import contacts, status_log, values
from app.web.transfer.predecessor.import_context import ImportContext, RowDraft

_LEAD_FIELDS = (
    *("source", "lead_source", "lead_category", "account_type", "client_id", "pod_id", "rejection_reason"),
    *("description", "follow_up_date", "lead_owner", "assign_to", "assigned_role", "customer_id", "account_opened_on"),
    *("account_activated_on", "date_of_birth", "status_change_log", "final_overdue_task", "converted", "sla_status"),
    *("first_responded_on", "communication_status", "sla_creation", "response_by", "first_response_time", "sla"),
)
_TICKET_FIELDS = (
    *("ticket_subject", "ticket_subjects", "subject", "description", "priority", "ticket_source", "assigned_to"),
    *("ticket_owner", "assigned_role", "customer_id", "resolution", "resolved", "resolved_on", "status_change_log"),
    *("final_overdue_task", "sla_status", "first_responded_on", "communication_status", "sla_creation", "response_by"),
    *("first_response_time", "sla"),
)


def assignees(given: dict[str, Any]) -> list[str]:
    """The addresses of all assignees, the last one last."""
    named = given.get("_assign") or given.get("assign")
    found = values.listed(named) or str(named or "").replace("\n", ",").split(",")
    return [each for each in (values.line_of(name).lower() for name in found) if each]


def link_customer(context: ImportContext, draft: RowDraft, record: Any, holders: dict[str, int]) -> bool:
    """Link the customer that the record names, else the one with its number. Returns whether there is one."""
    given = draft.row.values
    key = context.find("CRM Customer", given.get("customer_id"))
    if key is None and values.name_of(given.get("customer_id")):
        name = values.name_of(given.get("customer_id"))
        draft.warn(translatable("Its customer %(name)s wasn't imported, so it has none.", name=name[:60]))
    if key is None:
        key = holders.get(phone.normalize(values.line_of(given.get("mobile_no"))) or "")
    record.customer_id = key or None
    return key is not None


def set_own_contact(context: ImportContext, draft: RowDraft, record: Any, field: str) -> None:
    """Set the contact fields of a record without a customer."""
    given = draft.row.values
    wanted = {name: values.line_of(given.get(theirs)) for name, theirs in contacts.CONTACT.items()}
    wanted["first_name"], wanted["last_name"] = contacts.split_name(given, field)
    contacts.set_contact(draft, record, wanted, context.vault)


def holders_of(context: ImportContext, drafts: list[RowDraft]) -> dict[str, int]:
    """Number -> the customer with it, for records that name none."""
    loose = [each.row.values for each in drafts if not values.name_of(each.row.values.get("customer_id"))]
    numbers = {number for given in loose if (number := phone.normalize(values.line_of(given.get("mobile_no"))))}
    query = select(Customer.mobile_e164, Customer.id).where(Customer.mobile_e164.in_(numbers))
    return {str(number): key for number, key in context.session.execute(query)} if numbers else {}


def open_assignment(context: ImportContext, draft: RowDraft) -> None:
    """The open assignment of the current assignee."""

    def add(record: Any) -> None:
        if record.assignee_id is None:
            return
        own = {"lead_id": record.id} if isinstance(record, Lead) else {"ticket_id": record.id}
        row = Assignment(**own, user_id=record.assignee_id, started_on=record.created_on, reason="created", decision={})
        row.open_key = record_user_key(record, record.assignee_id)
        row.by_id = record.created_by_id
        context.session.add(row)

    draft.after.append(add)


class Leads:
    """CRM Lead."""

    def __init__(self, context: ImportContext, drafts: list[RowDraft]) -> None:
        self.context, self.holders = context, holders_of(context, drafts)

    def draft(self, draft: RowDraft) -> None:
        """Convert the lead with its status log."""
        given, move = draft.row.values, self.context
        draft.record = lead = Lead(version=1, paused_seconds=0)
        has_customer = link_customer(move, draft, lead, self.holders)
        if not has_customer:
            set_own_contact(move, draft, lead, "lead_name")
        status = values.line_of(given.get("status")) or "New"
        lead.status_id = move.entry_id("lead_status", status) or 0
        lead.category = values.line_of(given.get("lead_category"))
        lead.category = lead.category if lead.category in CATEGORIES else "Direct"
        own, way = given.get("source"), given.get("lead_source")
        lead.source_id = move.entry_id("lead_source", own or way)
        lead.account_type_id = move.entry_id("account_type", given.get("account_type"))
        for column, name in (("pod_id", "pod_id"), ("rejection_reason", "rejection_reason")):
            move.put(draft, lead, column, values.line_of(given.get(name)))
        move.put(draft, lead, "description", values.from_html(given.get("description")))
        self._codes(draft, lead)
        lead.next_follow_up_on = move.moment(draft, "follow_up_date")
        birth = move.moment(draft, "date_of_birth")
        lead.date_of_birth = birth.astimezone(move.zone).date() if birth and not has_customer else None
        move.stamp(draft, lead)
        self._people(draft, lead)
        lead.opened_on, lead.activated_on = (
            move.moment(draft, "account_opened_on"),
            move.moment(draft, "account_activated_on"),
        )
        lead.converted_on = (lead.opened_on or lead.activated_on) if has_customer else None
        lead.replied_on = move.moment(draft, "first_responded_on")
        lead.status_on = status_log.apply_log(move, draft, "lead_status")
        kept = [] if own and way and own != way else ["lead_source"]
        contacts.write_unmapped(move, draft, [each for each in _LEAD_FIELDS if each != "lead_source"] + kept)
        draft.after.append(self._open_account)

    def _codes(self, draft: RowDraft, lead: Lead) -> None:
        for column, name in (("referral", "referral_through"), ("client_id", "client_id")):
            text = values.line_of(draft.row.values.get(name)).upper()
            setattr(lead, column, contacts.client_id_or_none(text))
            if text and getattr(lead, column) is None:
                draft.warn(contacts.invalid_code_warning(name, text))

    def _people(self, draft: RowDraft, lead: Lead) -> None:
        given, move = draft.row.values, self.context
        owner = given.get("lead_owner") or given.get("owner")
        move.person(draft, lead, "owner_id", owner)
        move.person(draft, lead, "assignee_id", given.get("assign_to") or next(reversed(assignees(given)), owner))
        role = values.line_of(given.get("assigned_role"))
        lead.assigned_role = role[:64] if role and role != "Direct Assignment" else None
        open_assignment(move, draft)

    def _open_account(self, lead: Lead) -> None:
        """Link the account of the lead's client id to it; an open one that the customer lacks is created."""
        if not lead.client_id or not lead.customer_id:
            return
        account = self.context.session.scalars(
            select(CustomerAccount).where(CustomerAccount.client_id == lead.client_id)
        ).first()
        if account is None and (lead.opened_on or lead.activated_on):
            account = CustomerAccount(client_id=lead.client_id, customer_id=lead.customer_id)
            account.account_type_id, account.opened_on = lead.account_type_id, lead.opened_on
            account.activated_on, account.created_on = lead.activated_on, lead.created_on
            account.changed_on = lead.changed_on
            self.context.session.add(account)
            self.context.session.flush()
        if account is not None and account.customer_id == lead.customer_id and account.lead_id is None:
            account.lead_id = lead.id


class Tickets:
    """CRM Ticket."""

    def __init__(self, context: ImportContext, drafts: list[RowDraft]) -> None:
        self.context, self.holders = context, holders_of(context, drafts)

    def draft(self, draft: RowDraft) -> None:
        """Convert the ticket with its status log."""
        given, move = draft.row.values, self.context
        draft.record = ticket = Ticket(version=1, paused_seconds=0, opens_customer=True)
        if not link_customer(move, draft, ticket, self.holders):
            set_own_contact(move, draft, ticket, "customer_name")
        self._subjects(draft, ticket)
        ticket.status_id = move.entry_id("ticket_status", values.line_of(given.get("status")) or "New") or 0
        priority = values.line_of(given.get("priority"))
        ticket.priority = priority if priority in PRIORITIES else "Medium"
        move.put(draft, ticket, "source", values.line_of(given.get("ticket_source")) or "On Call")
        for name in ("description", "resolution"):
            move.put(draft, ticket, name, values.from_html(given.get(name)))
        move.stamp(draft, ticket)
        owner = given.get("ticket_owner") or given.get("owner")
        move.person(draft, ticket, "owner_id", owner)
        move.person(draft, ticket, "assignee_id", given.get("assigned_to") or next(reversed(assignees(given)), owner))
        role = values.line_of(given.get("assigned_role"))
        ticket.assigned_role = role[:64] if role and role != "Direct Assignment" else None
        ticket.replied_on = move.moment(draft, "first_responded_on")
        ticket.status_on = status_log.apply_log(move, draft, "ticket_status")
        if move.meaning("ticket_status", ticket.status_id) in ENDED:
            ticket.resolved_on = move.moment(draft, "resolved_on") or ticket.status_on
        open_assignment(move, draft)
        contacts.write_unmapped(move, draft, _TICKET_FIELDS)

    def _subjects(self, draft: RowDraft, ticket: Ticket) -> None:
        given = draft.row.values
        many = [
            each.get("ticket_subject") or each.get("subject") or each.get("subject_name")
            if isinstance(each, dict)
            else each
            for each in values.listed(given.get("ticket_subjects"))
        ]
        typed = given.get("ticket_subjects")
        if not many and isinstance(typed, str):
            many = [*typed.replace("\n", ",").split(",")]
        labels = [text for each in many if (text := values.line_of(each)[:140])]
        labels = labels or [
            values.line_of(given.get("ticket_subject") or given.get("subject"))[:140] or "General query"
        ]
        keys = list(dict.fromkeys(self.context.entry_id("ticket_subject", label) for label in labels))
        self.context.put(draft, ticket, "title", ", ".join(dict.fromkeys(labels)))
        if not self.context.is_trial:
            found = self.context.session.scalars(select(TicketSubject).where(TicketSubject.id.in_(keys))).all()
            ticket.subjects = list(found)


class Tasks:
    """CRM Task. An overdue one keeps its assignee: the move is no reason to reassign it."""

    def __init__(self, context: ImportContext, drafts: list[RowDraft]) -> None:
        self.context = context

    def draft(self, draft: RowDraft) -> None:
        """Convert the task. Raises RuleBroken without its lead or ticket."""
        given, move = draft.row.values, self.context
        table, key = move.about(given.get("reference_doctype") or "CRM Lead", given.get("reference_docname"))
        if table not in ("leads", "ticket"):
            raise RuleBroken("A task belongs to a lead or a ticket, and this one to neither.")
        draft.record = task = Task(version=1, exhausted=False, tried=[])
        setattr(task, "lead_id" if table == "leads" else "ticket_id", key)
        move.put(draft, task, "title", values.line_of(given.get("title")) or "–")
        move.put(draft, task, "description", values.from_html(given.get("description")))
        status, priority = values.line_of(given.get("status")), values.line_of(given.get("priority"))
        task.status = {"Completed": "Done", "Cancelled": "Canceled"}.get(status, status)
        task.status = task.status if task.status in task_rules.STATUSES else "Todo"
        task.priority = priority if priority in task_rules.PRIORITIES else "Medium"
        move.stamp(draft, task)
        move.person(draft, task, "assignee_id", given.get("assigned_to") or next(reversed(assignees(given)), ""))
        move.person(draft, task, "owner_id", given.get("owner"))
        task.due_on = move.moment(draft, "due_date")
        task.done_on = task.changed_on if task.status == "Done" else None
        is_late = task.due_on is not None and task.due_on <= move.now
        task.exhausted = task.status in task_rules.OPEN and (is_late or values.is_yes(given.get("final_overdue")))
        task.remind_on = None
        if not is_late:
            task.schedule_reminder(reminder_preferences.REMINDER_MINUTES, move.now)
        payload = {"text": task.title, "what": "created", "due": task.due_on.isoformat() if task.due_on else None}
        move.line(draft, "task", task.created_on, given.get("owner"), **payload, assignee=task.assignee_id)
