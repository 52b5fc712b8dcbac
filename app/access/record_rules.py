"""Which leads, tickets, customers, tasks, calls, messages and files a person reaches, and what belongs to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_, true

from app.access.person import Person
from app.access.rule_conditions import inside, is_there, of_people, reaches
from app.models import (
    Assignment,
    AssignmentRequest,
    Attachment,
    CallLog,
    CallRecording,
    Campaign,
    CampaignRecipient,
    Complaint,
    ComplaintEntry,
    Consent,
    Conversation,
    Customer,
    CustomerLink,
    Lead,
    Message,
    OrderEvidence,
    Task,
    Ticket,
)


def leads(person: Person, lead: Any = Lead, verb: str = "read") -> ColumnElement[bool]:
    """Leads assigned to or owned by people within reach."""
    return reaches(lead, person.reach("Leads", verb))


def tickets(person: Person, ticket: Any = Ticket, verb: str = "read") -> ColumnElement[bool]:
    """Tickets assigned to or owned by people within reach."""
    return _reaches_ticket(ticket, person.reach("Tickets", verb))


def _reaches_ticket(ticket: Any, reach: frozenset[int] | None) -> ColumnElement[bool]:
    """Tickets with an assignee within reach; a ticket may have several."""
    rule = reaches(ticket, reach)
    if not reach:
        return rule
    is_assignee = exists().where(
        Assignment.ticket_id == ticket.id, Assignment.user_id.in_(sorted(reach)), Assignment.ended_on.is_(None)
    )
    return or_(rule, is_assignee)


def complaints(person: Person, complaint: Any = Complaint, verb: str = "read") -> ColumnElement[bool]:
    """Complaints of visible tickets, as far as the ticket or the responsible officer is within reach."""
    reach = person.reach("Complaints", verb)
    if (reach is not None and not reach) or not person.may("Tickets", "read"):
        return false()
    ticket = inside(complaint, Ticket)
    of_visible = is_there(ticket.id == complaint.ticket_id, tickets(person, ticket))
    if reach is None:
        return true() if person.reach("Tickets") is None else of_visible
    is_reached = is_there(ticket.id == complaint.ticket_id, _reaches_ticket(ticket, reach))
    return and_(of_visible, or_(of_people(complaint.officer_id, reach), is_reached))


def reaches_all_complaints(person: Person, verb: str = "read") -> bool:
    """Whether the verb reaches all complaints: those of tickets that the person doesn't see are beyond any level."""
    return person.level("Complaints", verb) == "all" and person.reach("Tickets") is None


def complaint_entries(person: Person, entry: Any = ComplaintEntry, verb: str = "read") -> ColumnElement[bool]:
    """The entries of visible complaints."""
    complaint = inside(entry, Complaint)
    return is_there(complaint.id == entry.complaint_id, complaints(person, complaint, verb))


def customers(person: Person, customer: Any = Customer, verb: str = "read") -> ColumnElement[bool]:
    """The person's own customers, and those permanently linked to leads and tickets that they see.

    A verb with a lower level than read reaches fewer: the person's own customers, and those of their own leads and
    tickets.
    """
    reach = person.reach("Customers", verb)
    if reach is None or not reach:
        return of_people(customer.owner_id, reach)
    return _customers_within(person, customer, reach, None if verb == "read" else reach)


def _customers_within(
    person: Person, customer: Any, owners: frozenset[int] | None, within: frozenset[int] | None
) -> ColumnElement[bool]:
    """Customers of these owners, and those of visible leads and tickets that are within this reach."""
    lead, ticket = inside(customer, Lead), inside(customer, Ticket)
    rules = [of_people(customer.owner_id, owners)]
    if person.may("Leads", "read"):
        rules.append(exists().where(lead.customer_id == customer.id, leads(person, lead), reaches(lead, within)))
    if person.may("Tickets", "read"):
        rules.append(
            exists().where(
                ticket.customer_id == customer.id,
                ticket.opens_customer.is_(True),
                tickets(person, ticket),
                _reaches_ticket(ticket, within),
            )
        )
    return or_(*rules)


def with_parents(
    person: Person, row: Any, *others: ColumnElement[bool], within: frozenset[int] | None = None
) -> ColumnElement[bool]:
    """Rows of a visible lead, ticket or customer; other verbs also need that parent within reach."""
    lead, ticket, customer = (inside(row, each) for each in (Lead, Ticket, Customer))
    rules = list(others)
    if hasattr(row, "lead_id") and person.may("Leads", "read"):
        rules.append(is_there(lead.id == row.lead_id, leads(person, lead), reaches(lead, within)))
    if hasattr(row, "ticket_id") and person.may("Tickets", "read"):
        rules.append(is_there(ticket.id == row.ticket_id, tickets(person, ticket), _reaches_ticket(ticket, within)))
    if hasattr(row, "customer_id") and person.may("Customers", "read"):
        is_within = true() if within is None else _customers_within(person, customer, within, within)
        rules.append(is_there(customer.id == row.customer_id, customers(person, customer), is_within))
    return or_(*rules) if rules else false()


def reads_all_parents(person: Person) -> bool:
    """Whether the person reads all leads, tickets and customers, so that parents need no check."""
    return all(person.reach(module) is None for module in ("Leads", "Tickets", "Customers"))


def _own_or_with_parents(column: Any, module: str, person: Person, row: Any, verb: str) -> ColumnElement[bool]:
    """The person's own rows by this column, and those of visible parents."""
    reach = person.reach(module, verb)
    own = of_people(column, reach)
    return own if not reach else with_parents(person, row, own, within=None if verb == "read" else reach)


def tasks(person: Person, task: Any = Task, verb: str = "read") -> ColumnElement[bool]:
    """Tasks of people within reach, and those of visible parents."""
    return _own_or_with_parents(task.assignee_id, "Tasks", person, task, verb)


def calls(person: Person, call: Any = CallLog, verb: str = "read") -> ColumnElement[bool]:
    """Calls of people within reach, and those of visible parents."""
    return _own_or_with_parents(call.employee_id, "Call Logs", person, call, verb)


def recordings(person: Person) -> ColumnElement[bool]:
    """Recordings of calls that the person's right to listen reaches."""
    call = inside(CallRecording, CallLog)
    return exists().where(call.id == CallRecording.call_id, calls(person, call, "recordings"))


def evidence(person: Person) -> ColumnElement[bool]:
    """What proves the orders of visible calls."""
    call = inside(OrderEvidence, CallLog)
    return exists().where(call.id == OrderEvidence.call_id, calls(person, call))


def messages(person: Person, message: Any = Message, verb: str = "read") -> ColumnElement[bool]:
    """The person's own messages, those of visible parents, and those of visible conversations."""
    rule = _own_or_with_parents(message.created_by_id, "Messages", person, message, verb)
    if not person.reach("Messages", verb):
        return rule
    conversation = inside(message, Conversation)
    seen = conversations(person, conversation, verb)
    return or_(rule, exists().where(conversation.id == message.conversation_id, seen))


def of_messages(person: Person, model: Any) -> ColumnElement[bool]:
    """Rows that belong to visible messages."""
    message = inside(model, Message)
    return exists().where(message.id == model.message_id, messages(person, message))


def conversations(person: Person, conversation: Any = Conversation, verb: str = "read") -> ColumnElement[bool]:
    """Conversations that the person or their team has claimed, those of visible parents, and unclaimed ones.

    Unclaimed are those with numbers that belong to no record: anyone who reads messages may claim one.
    """
    reach = person.reach("Messages", verb)
    claimed = of_people(conversation.claimed_by_id, reach)
    if not reach:
        return claimed
    is_nobodys = and_(
        conversation.claimed_by_id.is_(None),
        conversation.lead_id.is_(None),
        conversation.ticket_id.is_(None),
        conversation.customer_id.is_(None),
    )
    within = None if verb == "read" else reach
    return with_parents(person, conversation, claimed, is_nobodys, within=within)


def consents(person: Person) -> ColumnElement[bool]:
    """Consents of visible leads and customers, and all for those who read all customers."""
    if person.may("Customers", "read") and person.reach("Customers") is None:
        return true()
    return with_parents(person, Consent)


def campaigns(person: Person, campaign: Any = Campaign, verb: str = "read") -> ColumnElement[bool]:
    """The person's own, and those of people within reach."""
    return of_people(campaign.created_by_id, person.reach("Messages", verb))


def recipients(person: Person) -> ColumnElement[bool]:
    """Recipients of visible campaigns; their names come from the visible leads and customers."""
    campaign = inside(CampaignRecipient, Campaign)
    return exists().where(campaign.id == CampaignRecipient.campaign_id, campaigns(person, campaign))


def with_nearest_parent(person: Person, row: Any) -> ColumnElement[bool]:
    """Rows about a lead or ticket are visible with it; with the customer only if they have no other parent.

    Rows of a converted lead are visible with its customer too.
    """
    lead, ticket, customer = (inside(row, each) for each in (Lead, Ticket, Customer))
    rules: list[ColumnElement[bool]] = []
    if person.may("Leads", "read"):
        rules.append(exists().where(lead.id == row.lead_id, leads(person, lead)))
    if person.may("Tickets", "read"):
        rules.append(exists().where(ticket.id == row.ticket_id, tickets(person, ticket)))
    if person.may("Customers", "read"):
        of_visible = exists().where(customer.id == row.customer_id, customers(person, customer))
        rules.append(and_(is_nearest_to_customer(row), of_visible))
    return or_(*rules) if rules else false()


def is_nearest_to_customer(row: Any) -> ColumnElement[bool]:
    """SQL: rows that have no other parent than their customer, or only a converted lead."""
    lead = inside(row, Lead)
    converted = exists().where(lead.id == row.lead_id, lead.converted_on.is_not(None))
    return and_(row.ticket_id.is_(None), or_(row.lead_id.is_(None), converted))


def attachments(person: Person, file: Any = Attachment, verb: str = "read") -> ColumnElement[bool]:
    """Files of visible records, for those who may read notes.

    Other verbs need the uploader or the record within reach.
    """
    if not person.may("Notes", "read"):
        return false()
    task = inside(file, Task)
    seen = with_nearest_parent(person, file)
    if person.may("Tasks", "read"):
        seen = or_(seen, exists().where(task.id == file.task_id, tasks(person, task)))
    reach = person.reach("Notes", verb)
    if verb == "read" or reach is None:
        return seen
    mine = exists().where(task.id == file.task_id, of_people(task.assignee_id, reach))
    return and_(seen, with_parents(person, file, of_people(file.created_by_id, reach), mine, within=reach))


def requests(person: Person, request: Any = AssignmentRequest, verb: str = "read") -> ColumnElement[bool]:
    """Requests by or for the person; for a manager those by or for their team."""
    reach = person.reach("Requests", verb)
    if reach is None:
        return true()
    if not reach:
        return false()
    return or_(of_people(request.requested_user_id, reach), of_people(request.created_by_id, reach))


def waiting_links(person: Person) -> ColumnElement[bool]:
    """Links to customers of owners within reach; none if the number is masked, because a link would confirm a guess."""
    if person.mask("mobile") != "full":
        return false()
    customer = inside(CustomerLink, Customer)
    reach = person.reach("Customers", "write")
    return exists().where(customer.id == CustomerLink.customer_id, of_people(customer.owner_id, reach))
