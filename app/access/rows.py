"""Which rows a person reaches: one SQL expression per record; a record without a rule shows none."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_, true
from sqlalchemy.orm import aliased

from app.access.who import Person
from app.models import (
    Activity,
    ApiKey,
    Assignment,
    AssignmentRequest,
    Attachment,
    AuditEntry,
    BackupRun,
    CallLog,
    Customer,
    CustomerAccount,
    Delivery,
    ExportRun,
    FailedCall,
    ImportRun,
    JobRun,
    KeptAnswer,
    Lead,
    Message,
    Notification,
    PhoneSync,
    QuarantinedCall,
    Record,
    SavedView,
    SignIn,
    StatusChange,
    Task,
    Ticket,
    Webhook,
    WebhookDelivery,
)


def _in(column: Any, reach: frozenset[int] | None) -> ColumnElement[bool]:
    if reach is None:
        return true()
    return column.in_(sorted(reach)) if reach else false()


def _reaches(record: Any, reach: frozenset[int] | None) -> ColumnElement[bool]:
    """Assigned to or owned by somebody within reach."""
    if reach is None or not reach:
        return _in(record.owner_id, reach)
    return or_(_in(record.assignee_id, reach), _in(record.owner_id, reach))


def _leads(who: Person, lead: Any = Lead, verb: str = "read") -> ColumnElement[bool]:
    return _reaches(lead, who.reach("Leads", verb))


def _tickets(who: Person, ticket: Any = Ticket, verb: str = "read") -> ColumnElement[bool]:
    reach = who.reach("Tickets", verb)
    rule = _reaches(ticket, reach)
    if not reach:
        return rule
    # A ticket has several assignees; each present one reaches it.
    present = exists().where(
        Assignment.ticket_id == ticket.id, Assignment.user_id.in_(sorted(reach)), Assignment.ended_on.is_(None)
    )
    return or_(rule, present)


def _customers(who: Person, customer: Any = Customer, verb: str = "read") -> ColumnElement[bool]:
    """Those one answers for, and those of the leads and tickets that one sees."""
    reach = who.reach("Customers", verb)
    if reach is None or not reach:
        return _in(customer.owner_id, reach)
    lead, ticket = aliased(Lead), aliased(Ticket)
    rules = [_in(customer.owner_id, reach)]
    if who.may("Leads", "read"):
        rules.append(exists().where(lead.customer_id == customer.id, _leads(who, lead)))
    if who.may("Tickets", "read"):
        rules.append(exists().where(ticket.customer_id == customer.id, _tickets(who, ticket)))
    return or_(*rules)


def _parented(who: Person, row: Any, *others: ColumnElement[bool]) -> ColumnElement[bool]:
    """Rows that hang on a lead, ticket or customer are seen with it."""
    lead, ticket, customer = aliased(Lead), aliased(Ticket), aliased(Customer)
    rules = list(others)
    if hasattr(row, "lead_id") and who.may("Leads", "read"):
        rules.append(exists().where(lead.id == row.lead_id, _leads(who, lead)))
    if hasattr(row, "ticket_id") and who.may("Tickets", "read"):
        rules.append(exists().where(ticket.id == row.ticket_id, _tickets(who, ticket)))
    if hasattr(row, "customer_id") and who.may("Customers", "read"):
        rules.append(exists().where(customer.id == row.customer_id, _customers(who, customer)))
    return or_(*rules) if rules else false()


def _everything(who: Person) -> bool:
    """A reader of all leads, tickets and customers needs no look at the parents."""
    return all(who.reach(module) is None for module in ("Leads", "Tickets", "Customers"))


def _tasks(who: Person, task: Any = Task, verb: str = "read") -> ColumnElement[bool]:
    reach = who.reach("Tasks", verb)
    if reach is None or not reach:
        return _in(task.assignee_id, reach)
    return _parented(who, task, _in(task.assignee_id, reach))


def _calls(who: Person, call: Any = CallLog, verb: str = "read") -> ColumnElement[bool]:
    reach = who.reach("Call Logs", verb)
    if reach is None or not reach:
        return _in(call.employee_id, reach)
    return _parented(who, call, _in(call.employee_id, reach))


def _messages(who: Person, message: Any = Message, verb: str = "read") -> ColumnElement[bool]:
    reach = who.reach("Messages", verb)
    if reach is None or not reach:
        return _in(message.created_by_id, reach)
    return _parented(who, message, _in(message.created_by_id, reach))


def _nearest(who: Person, row: Any) -> ColumnElement[bool]:
    """Rows that tell of a lead or ticket are seen with that one; with the customer only those of nobody else.

    A converted lead's rows have moved into the customer's view.
    """
    lead, ticket, customer, moved = aliased(Lead), aliased(Ticket), aliased(Customer), aliased(Lead)
    rules: list[ColumnElement[bool]] = []
    if who.may("Leads", "read"):
        rules.append(exists().where(lead.id == row.lead_id, _leads(who, lead)))
    if who.may("Tickets", "read"):
        rules.append(exists().where(ticket.id == row.ticket_id, _tickets(who, ticket)))
    if who.may("Customers", "read"):
        converted = exists().where(moved.id == row.lead_id, moved.converted_on.is_not(None))
        own = and_(row.ticket_id.is_(None), or_(row.lead_id.is_(None), converted))
        rules.append(and_(own, exists().where(customer.id == row.customer_id, _customers(who, customer))))
    return or_(*rules) if rules else false()


def _activities(who: Person, line: Any = Activity, verb: str = "read") -> ColumnElement[bool]:
    if _everything(who) and who.reach("Tasks") is None:
        return true()
    return _nearest(who, line)


def _requests(who: Person, request: Any = AssignmentRequest, verb: str = "read") -> ColumnElement[bool]:
    """One's own, those about oneself, and as a manager those about one's team."""
    reach = who.reach("Requests", verb)
    if reach is None:
        return true()
    if not reach:
        return false()
    return or_(_in(request.requested_user_id, reach), _in(request.created_by_id, reach))


def _deliveries(who: Person) -> ColumnElement[bool]:
    """Those of one's own notifications."""
    told = aliased(Notification)
    return exists().where(told.id == Delivery.notification_id, told.user_id == who.id)


def _audience(who: Person) -> ColumnElement[bool]:
    return true() if who.is_admin or "Compliance" in who.roles else false()


def _admins(who: Person) -> ColumnElement[bool]:
    return true() if who.is_admin else false()


#: Record -> the rows a person sees. A record that is not here shows no rows.
RULES: dict[Any, Callable[[Person], ColumnElement[bool]]] = {
    Lead: _leads,
    Ticket: _tickets,
    Customer: _customers,
    CustomerAccount: lambda who: _parented(who, CustomerAccount),
    Task: _tasks,
    CallLog: _calls,
    Message: _messages,
    Activity: _activities,
    AssignmentRequest: _requests,
    Assignment: lambda who: _parented(who, Assignment),
    StatusChange: lambda who: _parented(who, StatusChange),
    Attachment: lambda who: _nearest(who, Attachment),
    Notification: lambda who: Notification.user_id == who.id,
    SavedView: lambda who: or_(SavedView.owner_id == who.id, SavedView.shared.is_(True)),
    ApiKey: lambda who: true() if who.is_admin else ApiKey.user_id == who.id,
    SignIn: lambda who: true() if who.is_admin else SignIn.user_id == who.id,
    AuditEntry: _audience,
    KeptAnswer: lambda who: KeptAnswer.user_id == who.id,
    PhoneSync: lambda who: _in(PhoneSync.employee_id, who.reach("Call Logs")),
    QuarantinedCall: lambda who: _in(QuarantinedCall.employee_id, who.reach("Call Logs")),
    JobRun: lambda who: true() if who.may("Settings", "read") else false(),
    FailedCall: lambda who: true() if who.may("Settings", "read") else false(),
    Delivery: _deliveries,
    Webhook: lambda who: true() if who.may("Settings", "read") else false(),
    WebhookDelivery: lambda who: true() if who.may("Settings", "read") else false(),
    BackupRun: _admins,
    ImportRun: lambda who: true() if who.is_admin else ImportRun.created_by_id == who.id,
    ExportRun: lambda who: true() if who.is_admin else ExportRun.created_by_id == who.id,
}
#: The verbs whose rows may be fewer than those one reads.
_BY_VERB = {Lead: _leads, Ticket: _tickets, Customer: _customers, Task: _tasks, CallLog: _calls, Message: _messages,
            AssignmentRequest: _requests}  # fmt: skip
MODULE_OF = {Lead: "Leads", Ticket: "Tickets", Customer: "Customers", Task: "Tasks", CallLog: "Call Logs",
             Message: "Messages", AssignmentRequest: "Requests"}  # fmt: skip


@lru_cache(maxsize=1)
def _guarded(_mapped: int) -> dict[str, Any]:
    """Table -> record, of all that have a rule and of every Record that was forgotten and so shows no rows."""
    forgotten = [mapper.class_ for mapper in Record.registry.mappers if issubclass(mapper.class_, Record)]
    return {record.__tablename__: record for record in (*forgotten, *RULES)}


def guarded() -> dict[str, Any]:
    """Table -> record that the law guards; the rest are masters and FAB's own tables."""
    return _guarded(len(Record.registry._class_registry))


def visible(who: Person, record: Any, verb: str = "read") -> ColumnElement[bool]:
    """The WHERE for the rows of `record` that `verb` reaches; nothing for a record without a rule."""
    if verb != "read" and record in _BY_VERB:
        return _BY_VERB[record](who, record, verb)
    return RULES[record](who) if record in RULES else false()
