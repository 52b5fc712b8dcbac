"""Which rows a person reaches: one SQL expression per record. A record without a rule shows no rows."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, and_, exists, false, literal_column, or_, select, true
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
    AuditHead,
    BackupRun,
    Board,
    BulkChange,
    CallCard,
    CallLog,
    CallRecording,
    CallRequest,
    Campaign,
    CampaignRecipient,
    ChannelAccount,
    Consent,
    Conversation,
    Customer,
    CustomerAccount,
    CustomerKey,
    CustomerLink,
    CustomField,
    CustomValue,
    Delivery,
    DndUpload,
    DndWrongLine,
    DoNotDisturb,
    DuplicatePair,
    DuplicateScan,
    ErrorReport,
    ExportRun,
    FailedCall,
    FileUsage,
    HealthCrossing,
    HealthSample,
    ImportRow,
    ImportRun,
    InboundEvent,
    Invitation,
    JobRun,
    Lead,
    LegalHold,
    ListChoice,
    LoginName,
    Mail,
    MailboxState,
    MailSignature,
    MergeChange,
    MergedRecord,
    Message,
    MessageFile,
    MessageReaction,
    Notification,
    PhoneSync,
    PredecessorName,
    PredecessorPerson,
    QuarantinedCall,
    Record,
    RecordMerge,
    Report,
    ReportPin,
    ReportRun,
    ReportSchedule,
    RetentionRule,
    RetentionRun,
    RetiredKey,
    Role,
    SavedView,
    SignIn,
    SlowStatement,
    StatusChange,
    StoredResponse,
    Task,
    Ticket,
    TransferPart,
    User,
    ViewPin,
    Webhook,
    WebhookDelivery,
)
from app.ops.statements.sqlalchemy_internals import mapped_classes

#: What the rows of an EXISTS belong to -> record -> its alias there.
_aliases: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()
_aliases_lock = threading.Lock()


def _inside(outer: Any, record: Any) -> Any:
    """The alias of a record in an EXISTS about rows of `outer`, a record or an alias; the same for all people.

    An alias copies every column, 50 kB: with aliases of their own, one person's rules took 19 MB. An EXISTS inside
    another one has other aliases, so that the two can't be confused. Threads that ask at the same time get the same
    alias: two of them in one statement would multiply their rows.
    """
    with _aliases_lock:
        made = _aliases.setdefault(outer, {})
        if record not in made:
            alias = aliased(record)
            # SQLAlchemy fills the index of an alias's columns at the first use, without a lock of its own.
            alias.id.__clause_element__()
            made[record] = alias
        return made[record]


def _within(column: Any, reach: frozenset[int] | None) -> ColumnElement[bool]:
    if reach is None:
        return true()
    return column.in_(sorted(reach)) if reach else false()


def _reaches(record: Any, reach: frozenset[int] | None) -> ColumnElement[bool]:
    """Rows assigned to or owned by someone within reach."""
    if reach is None or not reach:
        return _within(record.owner_id, reach)
    return or_(_within(record.assignee_id, reach), _within(record.owner_id, reach))


def _leads(person: Person, lead: Any = Lead, verb: str = "read") -> ColumnElement[bool]:
    return _reaches(lead, person.reach("Leads", verb))


def _tickets(person: Person, ticket: Any = Ticket, verb: str = "read") -> ColumnElement[bool]:
    return _reaches_ticket(ticket, person.reach("Tickets", verb))


def _reaches_ticket(ticket: Any, reach: frozenset[int] | None) -> ColumnElement[bool]:
    """Tickets with an assignee within reach; a ticket may have several."""
    rule = _reaches(ticket, reach)
    if not reach:
        return rule
    is_assignee = exists().where(
        Assignment.ticket_id == ticket.id, Assignment.user_id.in_(sorted(reach)), Assignment.ended_on.is_(None)
    )
    return or_(rule, is_assignee)


def _customers(person: Person, customer: Any = Customer, verb: str = "read") -> ColumnElement[bool]:
    """The person's own customers, and those permanently linked to leads and tickets that they see.

    A verb with a lower level than read reaches fewer: the person's own customers, and those of their own leads and
    tickets.
    """
    reach = person.reach("Customers", verb)
    if reach is None or not reach:
        return _within(customer.owner_id, reach)
    return _customers_within(person, customer, reach, None if verb == "read" else reach)


def _customers_within(
    person: Person, customer: Any, owners: frozenset[int] | None, within: frozenset[int] | None
) -> ColumnElement[bool]:
    """Customers of these owners, and those of visible leads and tickets that are within this reach."""
    lead, ticket = _inside(customer, Lead), _inside(customer, Ticket)
    rules = [_within(customer.owner_id, owners)]
    if person.may("Leads", "read"):
        rules.append(exists().where(lead.customer_id == customer.id, _leads(person, lead), _reaches(lead, within)))
    if person.may("Tickets", "read"):
        rules.append(
            exists().where(
                ticket.customer_id == customer.id,
                ticket.opens_customer.is_(True),
                _tickets(person, ticket),
                _reaches_ticket(ticket, within),
            )
        )
    return or_(*rules)


def _with_parents(
    person: Person, row: Any, *others: ColumnElement[bool], within: frozenset[int] | None = None
) -> ColumnElement[bool]:
    """Rows of a visible lead, ticket or customer; other verbs also need that parent within reach."""
    lead, ticket, customer = (_inside(row, each) for each in (Lead, Ticket, Customer))
    rules = list(others)
    if hasattr(row, "lead_id") and person.may("Leads", "read"):
        rules.append(_is_there(lead.id == row.lead_id, _leads(person, lead), _reaches(lead, within)))
    if hasattr(row, "ticket_id") and person.may("Tickets", "read"):
        rules.append(_is_there(ticket.id == row.ticket_id, _tickets(person, ticket), _reaches_ticket(ticket, within)))
    if hasattr(row, "customer_id") and person.may("Customers", "read"):
        is_within = true() if within is None else _customers_within(person, customer, within, within)
        rules.append(_is_there(customer.id == row.customer_id, _customers(person, customer), is_within))
    return or_(*rules) if rules else false()


def _is_there(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is the one row, named by its id, that meets the conditions.

    For an EXISTS, MariaDB first collects all rows of the person, thousands of leads for a page of eight tasks; this it
    looks up by the id.
    """
    return select(literal_column("1")).where(*conditions).scalar_subquery().is_not(None)


def _reads_all_parents(person: Person) -> bool:
    """Whether the person reads all leads, tickets and customers, so that parents need no check."""
    return all(person.reach(module) is None for module in ("Leads", "Tickets", "Customers"))


def _own_or_with_parents(column: Any, module: str, person: Person, row: Any, verb: str) -> ColumnElement[bool]:
    """The person's own rows by this column, and those of visible parents."""
    reach = person.reach(module, verb)
    own = _within(column, reach)
    return own if not reach else _with_parents(person, row, own, within=None if verb == "read" else reach)


def _tasks(person: Person, task: Any = Task, verb: str = "read") -> ColumnElement[bool]:
    return _own_or_with_parents(task.assignee_id, "Tasks", person, task, verb)


def _calls(person: Person, call: Any = CallLog, verb: str = "read") -> ColumnElement[bool]:
    return _own_or_with_parents(call.employee_id, "Call Logs", person, call, verb)


def _recordings(person: Person) -> ColumnElement[bool]:
    """Recordings of calls that the person's right to listen reaches."""
    call = _inside(CallRecording, CallLog)
    return exists().where(call.id == CallRecording.call_id, _calls(person, call, "recordings"))


def _messages(person: Person, message: Any = Message, verb: str = "read") -> ColumnElement[bool]:
    """The person's own messages, those of visible parents, and those of visible conversations."""
    rule = _own_or_with_parents(message.created_by_id, "Messages", person, message, verb)
    if not person.reach("Messages", verb):
        return rule
    conversation = _inside(message, Conversation)
    seen = _conversations(person, conversation, verb)
    return or_(rule, exists().where(conversation.id == message.conversation_id, seen))


def _of_messages(person: Person, model: Any) -> ColumnElement[bool]:
    """Rows that belong to visible messages."""
    message = _inside(model, Message)
    return exists().where(message.id == model.message_id, _messages(person, message))


def _mails(person: Person) -> ColumnElement[bool]:
    """Emails of visible messages; those in no conversation for readers of the settings, who set up the accounts."""
    message = _inside(Mail, Message)
    of_visible = exists().where(message.id == Mail.message_id, _messages(person, message))
    return or_(of_visible, and_(Mail.message_id.is_(None), _settings_readers(person)))


def _conversations(person: Person, conversation: Any = Conversation, verb: str = "read") -> ColumnElement[bool]:
    """Conversations that the person or their team has claimed, those of visible parents, and unclaimed ones.

    Unclaimed are those with numbers that belong to no record: anyone who reads messages may claim one.
    """
    reach = person.reach("Messages", verb)
    claimed = _within(conversation.claimed_by_id, reach)
    if not reach:
        return claimed
    is_nobodys = and_(
        conversation.claimed_by_id.is_(None),
        conversation.lead_id.is_(None),
        conversation.ticket_id.is_(None),
        conversation.customer_id.is_(None),
    )
    within = None if verb == "read" else reach
    return _with_parents(person, conversation, claimed, is_nobodys, within=within)


def _consents(person: Person) -> ColumnElement[bool]:
    """Consents of visible leads and customers, and all for those who read all customers."""
    if person.may("Customers", "read") and person.reach("Customers") is None:
        return true()
    return _with_parents(person, Consent)


def _campaigns(person: Person, campaign: Any = Campaign, verb: str = "read") -> ColumnElement[bool]:
    """The person's own, and those of people within reach."""
    return _within(campaign.created_by_id, person.reach("Messages", verb))


def _recipients(person: Person) -> ColumnElement[bool]:
    """Recipients of visible campaigns; their names come from the visible leads and customers."""
    campaign = _inside(CampaignRecipient, Campaign)
    return exists().where(campaign.id == CampaignRecipient.campaign_id, _campaigns(person, campaign))


def _with_nearest_parent(person: Person, row: Any) -> ColumnElement[bool]:
    """Rows about a lead or ticket are visible with it; with the customer only if they have no other parent.

    Rows of a converted lead are visible with its customer too.
    """
    lead, ticket, customer = (_inside(row, each) for each in (Lead, Ticket, Customer))
    rules: list[ColumnElement[bool]] = []
    if person.may("Leads", "read"):
        rules.append(exists().where(lead.id == row.lead_id, _leads(person, lead)))
    if person.may("Tickets", "read"):
        rules.append(exists().where(ticket.id == row.ticket_id, _tickets(person, ticket)))
    if person.may("Customers", "read"):
        converted = exists().where(lead.id == row.lead_id, lead.converted_on.is_not(None))
        own = and_(row.ticket_id.is_(None), or_(row.lead_id.is_(None), converted))
        rules.append(and_(own, exists().where(customer.id == row.customer_id, _customers(person, customer))))
    return or_(*rules) if rules else false()


def _attachments(person: Person, file: Any = Attachment, verb: str = "read") -> ColumnElement[bool]:
    """Files of visible records, for those who may read notes.

    Other verbs need the uploader or the record within reach.
    """
    if not person.may("Notes", "read"):
        return false()
    task = _inside(file, Task)
    seen = _with_nearest_parent(person, file)
    if person.may("Tasks", "read"):
        seen = or_(seen, exists().where(task.id == file.task_id, _tasks(person, task)))
    reach = person.reach("Notes", verb)
    if verb == "read" or reach is None:
        return seen
    mine = exists().where(task.id == file.task_id, _within(task.assignee_id, reach))
    return and_(seen, _with_parents(person, file, _within(file.created_by_id, reach), mine, within=reach))


def _activities(person: Person, line: Any = Activity) -> ColumnElement[bool]:
    """Entries of visible records.

    Entries about a note, task, call or message only for those who may read that module.
    """
    if _reads_all_parents(person) and person.reach("Tasks") is None:
        seen = line.record_kind.is_(None) if _TIMELINES else true()
    else:
        seen = _with_nearest_parent(person, line)
    if _TIMELINES:
        seen = or_(seen, *[_lines_of(person, model, line) for model in _TIMELINES])
    closed = sorted(kind for kind, module in ACTIVITY_MODULES.items() if not person.may(module, "read"))
    return and_(seen, line.kind.not_in(closed)) if closed else seen


def _lines_of(person: Person, model: Any, line: Any) -> ColumnElement[bool]:
    """Timeline entries of the visible rows of a record that has no column of its own in Activity."""
    ids = select(model.id).where(visible(person, model))
    return and_(line.record_kind == model.__tablename__, line.record_id.in_(ids))


def _requests(person: Person, request: Any = AssignmentRequest, verb: str = "read") -> ColumnElement[bool]:
    """Requests by or for the person; for a manager those by or for their team."""
    reach = person.reach("Requests", verb)
    if reach is None:
        return true()
    if not reach:
        return false()
    return or_(_within(request.requested_user_id, reach), _within(request.created_by_id, reach))


def _waiting_links(person: Person) -> ColumnElement[bool]:
    """Links to customers of owners within reach; none if the number is masked, because a link would confirm a guess."""
    if person.mask("mobile") != "full":
        return false()
    customer = _inside(CustomerLink, Customer)
    reach = person.reach("Customers", "write")
    return exists().where(customer.id == CustomerLink.customer_id, _within(customer.owner_id, reach))


def _own_deliveries(person: Person) -> ColumnElement[bool]:
    """Deliveries of the person's own notifications."""
    notification = _inside(Delivery, Notification)
    return exists().where(notification.id == Delivery.notification_id, notification.user_id == person.id)


def _saved_views(person: Person) -> ColumnElement[bool]:
    """The person's own views, and those shared with everybody or one of their roles.

    Only of lists that they may open.
    """
    of_a_role = and_(SavedView.audience == "role", SavedView.role_id.in_(_roles_of(person)))
    shared = or_(SavedView.audience == "all", of_a_role)
    return or_(SavedView.owner_id == person.id, shared)


def _roles_of(person: Person) -> Any:
    """The ids of the person's roles, as a query."""
    return select(Role.id).where(Role.name.in_(sorted(person.roles)))


def _teams_of(person: Person) -> Any:
    """The managers whose teams the person belongs to, as a query: their own id and those of all managers above them."""
    above = select(User.id, User.manager_id).where(User.id == person.id).cte(recursive=True)
    above = above.union(select(User.id, User.manager_id).join(above, User.id == above.c.manager_id))
    return select(above.c.id)


def _boards(person: Person) -> ColumnElement[bool]:
    """The person's own boards, and those shared with their roles or by a manager above them.

    Settings readers: all shared.
    """
    given = or_(
        and_(Board.audience == "role", Board.role_id.in_(_roles_of(person))),
        and_(Board.audience == "team", Board.manager_id.in_(_teams_of(person))),
    )
    if person.may("Settings", "read"):
        given = Board.audience != "me"
    return or_(Board.owner_id == person.id, given)


def _reports(person: Person, report: Any = Report) -> ColumnElement[bool]:
    """The person's own reports, and those shared with everybody, one of their roles, or the team of a manager above
    them.
    """
    if not person.may("Reports", "read"):
        return false()
    shared = or_(
        report.audience == "all",
        and_(report.audience == "role", report.role_id.in_(_roles_of(person))),
        and_(report.audience == "team", report.owner_id.in_(_teams_of(person))),
    )
    return or_(report.owner_id == person.id, shared)


def _of_own_report(person: Person, column: Any) -> ColumnElement[bool]:
    """Rows that belong to the person's own reports."""
    report = _inside(column.parent, Report)
    return exists().where(report.id == column, report.owner_id == person.id)


def _report_runs(person: Person) -> ColumnElement[bool]:
    """Runs of schedules of the person's own reports."""
    schedule = _inside(ReportRun, ReportSchedule)
    return exists().where(schedule.id == ReportRun.schedule_id, _of_own_report(person, schedule.report_id))


def _auditors(person: Person) -> ColumnElement[bool]:
    return true() if person.may("Audit Log", "read") else false()


def _of_own_run(person: Person, run: Any, column: Any) -> ColumnElement[bool]:
    """Rows that belong to the person's own imports or exports."""
    mine = _inside(column.class_, run)
    return exists().where(mine.id == column, mine.created_by_id == person.id)


def _own_or_reader_of_sign_ins(column: Any, person: Person) -> ColumnElement[bool]:
    return true() if person.may("Sign-ins", "read") else column == person.id


def _settings_readers(person: Person) -> ColumnElement[bool]:
    return true() if person.may("Settings", "read") else false()


def _admins(person: Person) -> ColumnElement[bool]:
    return true() if person.is_admin else false()


#: Kind of timeline line -> the module of what it is about.
ACTIVITY_MODULES = {
    **dict.fromkeys(("note", "comment", "file"), "Notes"),
    "task": "Tasks",
    "call": "Call Logs",
    "message": "Messages",
}


class OwnedRows:
    """The rule of a record that belongs to people: its owner or assignee must be within reach of the module."""

    def __init__(self, model: Any, module: str) -> None:
        self.columns = [getattr(model, name) for name in ("owner_id", "assignee_id") if hasattr(model, name)]
        if not self.columns:
            raise TypeError(f"OwnedRows needs an owner_id or assignee_id, and {model.__name__} has neither")
        self.module = module

    def __call__(self, person: Person, verb: str = "read") -> ColumnElement[bool]:
        """The WHERE for the rows that the verb reaches."""
        reach = person.reach(self.module, verb)
        return or_(*[_within(column, reach) for column in self.columns])


#: Record -> the rows a person sees. A record that is not here shows no rows.
RULES: dict[Any, Callable[[Person], ColumnElement[bool]]] = {
    Lead: _leads,
    Ticket: _tickets,
    Customer: _customers,
    CustomerAccount: lambda person: _with_parents(person, CustomerAccount),
    CustomerKey: _admins,
    CustomerLink: _waiting_links,
    Task: _tasks,
    CallLog: _calls,
    CallRequest: lambda person: CallRequest.user_id == person.id,
    CallCard: lambda person: CallCard.user_id == person.id,
    CallRecording: _recordings,
    Message: _messages,
    MessageFile: lambda person: _of_messages(person, MessageFile),
    MessageReaction: lambda person: _of_messages(person, MessageReaction),
    Mail: _mails,
    MailboxState: _settings_readers,
    MailSignature: lambda person: or_(MailSignature.user_id == person.id, MailSignature.account_id.is_not(None)),
    Conversation: _conversations,
    Campaign: _campaigns,
    CampaignRecipient: _recipients,
    Consent: _consents,
    DoNotDisturb: _settings_readers,
    DndUpload: _settings_readers,
    DndWrongLine: _settings_readers,
    ChannelAccount: _settings_readers,
    # Everybody gets them through the lookups.
    CustomField: _settings_readers,
    # Conditions on records name its bare table; the records' rules apply (app/domain/custom_sql.py).
    CustomValue: lambda _person: false(),
    InboundEvent: _settings_readers,
    Activity: _activities,
    AssignmentRequest: _requests,
    Assignment: lambda person: _with_parents(person, Assignment),
    StatusChange: lambda person: _with_parents(person, StatusChange),
    Attachment: _attachments,
    Notification: lambda person: Notification.user_id == person.id,
    SavedView: _saved_views,
    Board: _boards,
    ViewPin: lambda person: ViewPin.user_id == person.id,
    Report: _reports,
    ReportPin: lambda person: ReportPin.user_id == person.id,
    ReportSchedule: lambda person: _of_own_report(person, ReportSchedule.report_id),
    ReportRun: _report_runs,
    ListChoice: lambda person: ListChoice.user_id == person.id,
    BulkChange: lambda person: BulkChange.user_id == person.id,
    ApiKey: lambda person: _own_or_reader_of_sign_ins(ApiKey.user_id, person),
    Invitation: lambda person: true() if person.may("Settings", "read") else false(),
    SignIn: lambda person: _own_or_reader_of_sign_ins(SignIn.user_id, person),
    AuditEntry: _auditors,
    AuditHead: _auditors,
    RetiredKey: lambda _person: false(),
    # Merges and likely duplicates are shown by pages that check both records.
    RecordMerge: lambda _person: false(),
    MergedRecord: lambda _person: false(),
    MergeChange: lambda _person: false(),
    DuplicatePair: lambda _person: false(),
    DuplicateScan: lambda _person: false(),
    StoredResponse: lambda person: StoredResponse.user_id == person.id,
    PhoneSync: lambda person: _within(PhoneSync.employee_id, person.reach("Call Logs")),
    QuarantinedCall: lambda person: _within(QuarantinedCall.employee_id, person.reach("Call Logs")),
    JobRun: _settings_readers,
    HealthSample: _settings_readers,
    HealthCrossing: _settings_readers,
    SlowStatement: _settings_readers,
    ErrorReport: _settings_readers,
    FailedCall: _settings_readers,
    FileUsage: _settings_readers,
    Delivery: _own_deliveries,
    Webhook: _settings_readers,
    WebhookDelivery: _settings_readers,
    LoginName: _admins,
    BackupRun: _admins,
    RetentionRule: _admins,
    RetentionRun: _admins,
    # A record's former name is shown by pages that check the record.
    PredecessorName: lambda _person: false(),
    PredecessorPerson: lambda _person: false(),
    LegalHold: lambda person: true() if person.may("Legal Holds", "read") else false(),
    ImportRun: lambda person: true() if person.is_admin else ImportRun.created_by_id == person.id,
    ImportRow: lambda person: _of_own_run(person, ImportRun, ImportRow.run_id),
    ExportRun: lambda person: true() if person.is_admin else ExportRun.created_by_id == person.id,
    TransferPart: lambda person: _of_own_run(person, ExportRun, TransferPart.export_id),
}
#: Record -> modules of its parents, whose readers see it too.
_PARENTS = {
    Customer: ("Leads", "Tickets"),
    **dict.fromkeys((Task, CallLog, Message, Conversation, Attachment), ("Leads", "Tickets", "Customers")),
}
#: Records of which other verbs may reach fewer rows than read.
_VERB_RULES = {
    Lead: _leads,
    Ticket: _tickets,
    Customer: _customers,
    Task: _tasks,
    CallLog: _calls,
    Message: _messages,
    Conversation: _conversations,
    Campaign: _campaigns,
    AssignmentRequest: _requests,
    Attachment: _attachments,
}
MODULE_OF = {
    Lead: "Leads",
    Ticket: "Tickets",
    Customer: "Customers",
    Task: "Tasks",
    CallLog: "Call Logs",
    Message: "Messages",
    Conversation: "Messages",
    Campaign: "Messages",
    Consent: "Messages",
    AssignmentRequest: "Requests",
    Attachment: "Notes",
}


#: Records whose timeline lines are found by table and id.
_TIMELINES: dict[Any, None] = {}


def add_model(model: Any, module: str, has_timeline: bool = False) -> None:
    """Guard a model's table by a module, created if needed: its rows are for those who read the module at level all.

    A model that has a rule in RULES keeps it. `has_timeline`: timeline entries are written by table and id.
    """
    if has_timeline:
        _TIMELINES[model] = None
    permissions.add_module(module, has_owner=model in RULES)
    if model not in RULES:
        RULES[model] = lambda person: true() if person.level(module, "read") == "all" else false()
    MODULE_OF.setdefault(model, module)


def has_added_timelines() -> bool:
    """Whether there are records of add-ons whose timeline entries are found by table and id."""
    return bool(_TIMELINES)


@lru_cache(maxsize=1)
def _records_by_table(_mapped: int, _ruled: int) -> dict[str, Any]:
    """Table -> record: all with a rule, and every Record without one, which shows no rows."""
    records = [mapper.class_ for mapper in Record.registry.mappers if issubclass(mapper.class_, Record)]
    return {record.__tablename__: record for record in (*records, *RULES)}


def guarded_tables() -> dict[str, Any]:
    """Table -> record that access rules filter; all other tables are masters and FAB's own."""
    return _records_by_table(mapped_classes(Record.registry), len(RULES))


def reaches_all_visible(person: Person, record: Any, verb: str) -> bool:
    """Whether the verb reaches every visible row, judging by the levels alone."""
    reach = person.reach(MODULE_OF[record], verb)
    parents = [person.reach(module) for module in _PARENTS.get(record, ()) if person.may(module, "read")]
    return reach == person.reach(MODULE_OF[record]) and all(each == reach for each in parents)


def visible(person: Person, record: Any, verb: str = "read") -> ColumnElement[bool]:
    """The WHERE for the rows of `record` that `verb` reaches; nothing for a record without a rule."""
    rule = RULES.get(record)
    if rule is None:
        return false()
    if verb == "read":
        return rule(person)
    if record in _VERB_RULES and not isinstance(rule, OwnedRows):  # a rule set by an add-on counts
        return _VERB_RULES[record](person, record, verb)
    if _takes_verb(rule):
        return rule(person, verb=verb)  # type: ignore[call-arg]
    return rule(person) if _reaches_as_read(person, MODULE_OF.get(record), verb) else false()


def visible_alias(person: Person, record: Any, alias: Any, verb: str = "read") -> ColumnElement[bool]:
    """`visible` for an alias of a record that `has_own_rule`."""
    return _VERB_RULES[record](person, alias, verb)


def has_own_rule(record: Any) -> bool:
    """Whether the record's rule is the product's own, not one that an add-on has put in its place."""
    return record in _VERB_RULES and RULES.get(record) is _VERB_RULES[record]


def reads_all(person: Person, record: Any) -> bool:
    """Whether the person sees every row of the record, by the product's own rule."""
    return has_own_rule(record) and person.reach(MODULE_OF[record]) is None


@lru_cache(maxsize=500)
def _takes_verb(rule: Any) -> bool:
    return "verb" in inspect.signature(rule).parameters


def _reaches_as_read(person: Person, module: str | None, verb: str) -> bool:
    """Whether a rule that covers only reading holds for the verb: its level is that of read, or all."""
    return module is None or person.reach(module, verb) in (None, person.reach(module))
