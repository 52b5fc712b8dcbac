"""Which rows a person reaches: one SQL expression per record; a record without a rule shows none."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_, select, true
from sqlalchemy.orm import aliased

from app.access.person import Person
from app.domain import permissions
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
    Lead,
    Message,
    Notification,
    PhoneSync,
    QuarantinedCall,
    Record,
    SavedView,
    SignIn,
    StatusChange,
    StoredResponse,
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
    return _shared(ticket, who.reach("Tickets", verb))


def _shared(ticket: Any, reach: frozenset[int] | None) -> ColumnElement[bool]:
    """A ticket has several assignees; each present one reaches it."""
    rule = _reaches(ticket, reach)
    if not reach:
        return rule
    present = exists().where(
        Assignment.ticket_id == ticket.id, Assignment.user_id.in_(sorted(reach)), Assignment.ended_on.is_(None)
    )
    return or_(rule, present)


def _customers(who: Person, customer: Any = Customer, verb: str = "read") -> ColumnElement[bool]:
    """Those one answers for, and those of the leads and tickets that one sees.

    What is done to them reaches less far than the eye where its level does: one's own customers are then those of
    one's own leads and tickets.
    """
    reach = who.reach("Customers", verb)
    if reach is None or not reach:
        return _in(customer.owner_id, reach)
    return _held(who, customer, reach, None if verb == "read" else reach)


def _held(
    who: Person, customer: Any, owners: frozenset[int] | None, within: frozenset[int] | None
) -> ColumnElement[bool]:
    """Customers of these owners, and those of leads and tickets that one sees and that are within this reach."""
    lead, ticket = aliased(Lead), aliased(Ticket)
    rules = [_in(customer.owner_id, owners)]
    if who.may("Leads", "read"):
        rules.append(exists().where(lead.customer_id == customer.id, _leads(who, lead), _reaches(lead, within)))
    if who.may("Tickets", "read"):
        rules.append(exists().where(ticket.customer_id == customer.id, _tickets(who, ticket), _shared(ticket, within)))
    return or_(*rules)


def _parented(
    who: Person, row: Any, *others: ColumnElement[bool], within: frozenset[int] | None = None
) -> ColumnElement[bool]:
    """Rows that hang on a lead, ticket or customer are seen with it; what is done to them wants it within reach."""
    lead, ticket, customer = aliased(Lead), aliased(Ticket), aliased(Customer)
    rules = list(others)
    if hasattr(row, "lead_id") and who.may("Leads", "read"):
        rules.append(exists().where(lead.id == row.lead_id, _leads(who, lead), _reaches(lead, within)))
    if hasattr(row, "ticket_id") and who.may("Tickets", "read"):
        rules.append(exists().where(ticket.id == row.ticket_id, _tickets(who, ticket), _shared(ticket, within)))
    if hasattr(row, "customer_id") and who.may("Customers", "read"):
        held = true() if within is None else _held(who, customer, within, within)
        rules.append(exists().where(customer.id == row.customer_id, _customers(who, customer), held))
    return or_(*rules) if rules else false()


def _everything(who: Person) -> bool:
    """A reader of all leads, tickets and customers needs no look at the parents."""
    return all(who.reach(module) is None for module in ("Leads", "Tickets", "Customers"))


def _of(column: Any, module: str, who: Person, row: Any, verb: str) -> ColumnElement[bool]:
    """One's own by this column, and those that hang on what one sees."""
    reach = who.reach(module, verb)
    own = _in(column, reach)
    return own if not reach else _parented(who, row, own, within=None if verb == "read" else reach)


def _tasks(who: Person, task: Any = Task, verb: str = "read") -> ColumnElement[bool]:
    return _of(task.assignee_id, "Tasks", who, task, verb)


def _calls(who: Person, call: Any = CallLog, verb: str = "read") -> ColumnElement[bool]:
    return _of(call.employee_id, "Call Logs", who, call, verb)


def _messages(who: Person, message: Any = Message, verb: str = "read") -> ColumnElement[bool]:
    return _of(message.created_by_id, "Messages", who, message, verb)


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


def _activities(who: Person, line: Any = Activity) -> ColumnElement[bool]:
    """Lines of what one sees; those that tell of what has a module of its own for whom that is open."""
    if _everything(who) and who.reach("Tasks") is None:
        seen = line.record_kind.is_(None) if _TIMELINES else true()
    else:
        seen = _nearest(who, line)
    if _TIMELINES:
        seen = or_(seen, *[_lines_of(who, model, line) for model in _TIMELINES])
    closed = sorted(kind for kind, module in ACTIVITY_MODULES.items() if not who.may(module, "read"))
    return and_(seen, line.kind.not_in(closed)) if closed else seen


def _lines_of(who: Person, model: Any, line: Any) -> ColumnElement[bool]:
    """Timeline lines of the visible rows of a record without a column of its own in Activity."""
    ids = select(model.id).where(visible(who, model))
    return and_(line.record_kind == model.__tablename__, line.record_id.in_(ids))


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


#: Kind of line -> the module of what it tells of.
ACTIVITY_MODULES = {"note": "Notes", "comment": "Notes", "task": "Tasks", "call": "Call Logs", "message": "Messages"}
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
    StoredResponse: lambda who: StoredResponse.user_id == who.id,
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
#: On what its rows may hang: these reach them, too.
_PARENTS = {
    Customer: ("Leads", "Tickets"),
    **dict.fromkeys((Task, CallLog, Message), ("Leads", "Tickets", "Customers")),
}
#: The verbs whose rows may be fewer than those one reads.
_BY_VERB = {
    Lead: _leads,
    Ticket: _tickets,
    Customer: _customers,
    Task: _tasks,
    CallLog: _calls,
    Message: _messages,
    AssignmentRequest: _requests,
}
MODULE_OF = {
    Lead: "Leads",
    Ticket: "Tickets",
    Customer: "Customers",
    Task: "Tasks",
    CallLog: "Call Logs",
    Message: "Messages",
    AssignmentRequest: "Requests",
}


#: Records whose timeline lines are found by table and id.
_TIMELINES: dict[Any, None] = {}


def add_model(model: Any, module: str, has_timeline: bool = False) -> None:
    """Guard a model's table by a module, made if need be: its rows are for those who read the module at level all.

    A model that has a rule in RULES keeps it. `has_timeline`: lines are written by table and id.
    """
    if has_timeline:
        _TIMELINES[model] = None
    permissions.add_module(module)
    if model not in RULES:
        RULES[model] = lambda who: true() if who.level(module, "read") == "all" else false()
    MODULE_OF.setdefault(model, module)


@lru_cache(maxsize=1)
def _guarded(_mapped: int, _ruled: int) -> dict[str, Any]:
    """Table -> record, of all that have a rule and of every Record that was forgotten and so shows no rows."""
    forgotten = [mapper.class_ for mapper in Record.registry.mappers if issubclass(mapper.class_, Record)]
    return {record.__tablename__: record for record in (*forgotten, *RULES)}


def guarded_tables() -> dict[str, Any]:
    """Table -> record that the law guards; the rest are masters and FAB's own tables."""
    return _guarded(len(Record.registry._class_registry), len(RULES))


def reaches_all_visible(who: Person, record: Any, verb: str) -> bool:
    """Whether the verb reaches every row that one sees, as far as the levels alone say it."""
    reach = who.reach(MODULE_OF[record], verb)
    parents = [who.reach(module) for module in _PARENTS.get(record, ()) if who.may(module, "read")]
    return reach == who.reach(MODULE_OF[record]) and all(each == reach for each in parents)


def visible(who: Person, record: Any, verb: str = "read") -> ColumnElement[bool]:
    """The WHERE for the rows of `record` that `verb` reaches; nothing for a record without a rule."""
    if verb != "read" and record in _BY_VERB:
        return _BY_VERB[record](who, record, verb)
    return RULES[record](who) if record in RULES else false()
