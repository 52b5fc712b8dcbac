"""Which rows a person reaches: one SQL expression per record. A record without a rule shows no rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_, select, true

from app.access import reader_rules, record_rules, sharing_rules
from app.access.person import Person
from app.access.rule_conditions import inside, of_people
from app.domain.people import permissions
from app.domain.people.permissions import LEVEL_RANK
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
    Complaint,
    ComplaintDisclosure,
    ComplaintEntry,
    Consent,
    Conversation,
    Customer,
    CustomerAccount,
    CustomerKey,
    CustomerLink,
    CustomField,
    CustomValue,
    DataBreach,
    DataErasure,
    DataRequest,
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
    NoteText,
    NoteTextState,
    Notification,
    OrderEvidence,
    PendingSignIn,
    PhoneSync,
    PredecessorName,
    PredecessorPerson,
    QuarantinedCall,
    Record,
    RecordMerge,
    RecoveryCode,
    RememberedBrowser,
    Report,
    ReportPin,
    ReportRun,
    ReportSchedule,
    RetentionRule,
    RetentionRun,
    RetiredKey,
    SavedView,
    SignIn,
    SlowStatement,
    StatusChange,
    StoredResponse,
    Task,
    Ticket,
    TransferPart,
    TwoFactor,
    ViewPin,
    Webhook,
    WebhookDelivery,
)
from app.ops.statements.sqlalchemy_internals import mapped_classes


def _mails(person: Person) -> ColumnElement[bool]:
    """Emails of visible messages; those in no conversation for readers of the settings, who set up the accounts."""
    message = inside(Mail, Message)
    of_visible = exists().where(message.id == Mail.message_id, record_rules.messages(person, message))
    return or_(of_visible, and_(Mail.message_id.is_(None), reader_rules.settings_readers(person)))


def activities(person: Person, line: Any = Activity) -> ColumnElement[bool]:
    """Entries of visible records.

    Entries about a note, task, call, message or complaint only for those who may read that module.
    """
    if record_rules.reads_all_parents(person) and person.reach("Tasks") is None:
        seen = line.record_kind.is_(None) if _TIMELINES else true()
    else:
        seen = record_rules.with_nearest_parent(person, line)
    if _TIMELINES:
        seen = or_(seen, *[_lines_of(person, model, line) for model in _TIMELINES])
    return and_(seen, line.kind.not_in(closed)) if (closed := closed_kinds(person)) else seen


def closed_kinds(person: Person) -> list[str]:
    """The kinds of entries whose module the person may not read.

    Those of complaints also for people who see tickets whose complaints they don't see: they say what is complained of.
    """
    closed = [kind for kind, module in ACTIVITY_MODULES.items() if not person.may(module, "read")]
    tickets, complaints = (LEVEL_RANK[person.level(module, "read")] for module in ("Tickets", "Complaints"))
    return sorted({*closed, *(("complaint",) if complaints < tickets else ())})


def _lines_of(person: Person, model: Any, line: Any) -> ColumnElement[bool]:
    """Timeline entries of the visible rows of a record that has no column of its own in Activity."""
    ids = select(model.id).where(visible(person, model))
    return and_(line.record_kind == model.__tablename__, line.record_id.in_(ids))


#: Kind of timeline line -> the module of what it is about.
ACTIVITY_MODULES = {
    **dict.fromkeys(("note", "comment", "file"), "Notes"),
    "task": "Tasks",
    "call": "Call Logs",
    "message": "Messages",
    "complaint": "Complaints",
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
        return or_(*[of_people(column, reach) for column in self.columns])


#: Record -> the rows a person sees. A record that is not here shows no rows.
RULES: dict[Any, Callable[[Person], ColumnElement[bool]]] = {
    Lead: record_rules.leads,
    Ticket: record_rules.tickets,
    Complaint: record_rules.complaints,
    ComplaintEntry: record_rules.complaint_entries,
    ComplaintDisclosure: lambda person: true() if record_rules.reaches_all_complaints(person) else false(),
    Customer: record_rules.customers,
    CustomerAccount: lambda person: record_rules.with_parents(person, CustomerAccount),
    CustomerKey: reader_rules.admins,
    CustomerLink: record_rules.waiting_links,
    Task: record_rules.tasks,
    CallLog: record_rules.calls,
    CallRequest: lambda person: CallRequest.user_id == person.id,
    CallCard: lambda person: CallCard.user_id == person.id,
    CallRecording: record_rules.recordings,
    OrderEvidence: record_rules.evidence,
    Message: record_rules.messages,
    MessageFile: lambda person: record_rules.of_messages(person, MessageFile),
    MessageReaction: lambda person: record_rules.of_messages(person, MessageReaction),
    Mail: _mails,
    MailboxState: reader_rules.settings_readers,
    MailSignature: lambda person: or_(MailSignature.user_id == person.id, MailSignature.account_id.is_not(None)),
    Conversation: record_rules.conversations,
    Campaign: record_rules.campaigns,
    CampaignRecipient: record_rules.recipients,
    Consent: record_rules.consents,
    DoNotDisturb: reader_rules.settings_readers,
    DndUpload: reader_rules.settings_readers,
    DndWrongLine: reader_rules.settings_readers,
    ChannelAccount: reader_rules.settings_readers,
    # Everybody gets them through the lookups.
    CustomField: reader_rules.settings_readers,
    # Conditions on records name its bare table; the records' rules apply (app/domain/custom_sql.py).
    CustomValue: lambda _person: false(),
    InboundEvent: reader_rules.settings_readers,
    Activity: activities,
    # Searches name its bare table; the rule of the entries applies to what they find.
    NoteText: lambda _person: false(),
    NoteTextState: lambda _person: false(),
    AssignmentRequest: record_rules.requests,
    Assignment: lambda person: record_rules.with_parents(person, Assignment),
    StatusChange: lambda person: record_rules.with_parents(person, StatusChange),
    Attachment: record_rules.attachments,
    Notification: lambda person: Notification.user_id == person.id,
    SavedView: sharing_rules.saved_views,
    Board: sharing_rules.boards,
    ViewPin: lambda person: ViewPin.user_id == person.id,
    Report: sharing_rules.reports,
    ReportPin: lambda person: ReportPin.user_id == person.id,
    ReportSchedule: lambda person: sharing_rules.of_own_report(person, ReportSchedule.report_id),
    ReportRun: sharing_rules.report_runs,
    ListChoice: lambda person: ListChoice.user_id == person.id,
    BulkChange: lambda person: BulkChange.user_id == person.id,
    ApiKey: lambda person: reader_rules.own_or_reader_of_sign_ins(ApiKey.user_id, person),
    Invitation: lambda person: true() if person.may("Settings", "read") else false(),
    SignIn: lambda person: reader_rules.own_or_reader_of_sign_ins(SignIn.user_id, person),
    # Second factors are read by the system: pages show whether there is one, never more.
    TwoFactor: lambda _person: false(),
    RecoveryCode: lambda _person: false(),
    PendingSignIn: lambda _person: false(),
    RememberedBrowser: lambda _person: false(),
    AuditEntry: reader_rules.auditors,
    AuditHead: reader_rules.auditors,
    RetiredKey: lambda _person: false(),
    # Merges and likely duplicates are shown by pages that check both records.
    RecordMerge: lambda _person: false(),
    MergedRecord: lambda _person: false(),
    MergeChange: lambda _person: false(),
    DuplicatePair: lambda _person: false(),
    DuplicateScan: lambda _person: false(),
    StoredResponse: lambda person: StoredResponse.user_id == person.id,
    PhoneSync: lambda person: of_people(PhoneSync.employee_id, person.reach("Call Logs")),
    QuarantinedCall: lambda person: of_people(QuarantinedCall.employee_id, person.reach("Call Logs")),
    JobRun: reader_rules.settings_readers,
    HealthSample: reader_rules.settings_readers,
    HealthCrossing: reader_rules.settings_readers,
    SlowStatement: reader_rules.settings_readers,
    ErrorReport: reader_rules.settings_readers,
    FailedCall: reader_rules.settings_readers,
    FileUsage: reader_rules.settings_readers,
    Delivery: reader_rules.own_deliveries,
    Webhook: reader_rules.settings_readers,
    WebhookDelivery: reader_rules.settings_readers,
    LoginName: reader_rules.admins,
    BackupRun: reader_rules.admins,
    RetentionRule: reader_rules.admins,
    RetentionRun: reader_rules.admins,
    # A record's former name is shown by pages that check the record.
    PredecessorName: lambda _person: false(),
    PredecessorPerson: lambda _person: false(),
    LegalHold: lambda person: reader_rules.readers_of("Legal Holds", person),
    DataRequest: lambda person: reader_rules.readers_of("Data Requests", person),
    DataErasure: lambda person: reader_rules.readers_of("Data Requests", person),
    DataBreach: lambda person: reader_rules.readers_of("Data Breaches", person),
    ImportRun: lambda person: true() if person.is_admin else ImportRun.created_by_id == person.id,
    ImportRow: lambda person: reader_rules.of_own_run(person, ImportRun, ImportRow.run_id),
    ExportRun: lambda person: true() if person.is_admin else ExportRun.created_by_id == person.id,
    TransferPart: lambda person: reader_rules.of_own_run(person, ExportRun, TransferPart.export_id),
}
#: Record -> modules of its parents, whose readers see it too.
_PARENTS = {
    Customer: ("Leads", "Tickets"),
    Complaint: ("Tickets",),
    **dict.fromkeys((Task, CallLog, Message, Conversation, Attachment), ("Leads", "Tickets", "Customers")),
}
#: Records of which other verbs may reach fewer rows than read.
_VERB_RULES = {
    Lead: record_rules.leads,
    Ticket: record_rules.tickets,
    Complaint: record_rules.complaints,
    Customer: record_rules.customers,
    Task: record_rules.tasks,
    CallLog: record_rules.calls,
    Message: record_rules.messages,
    Conversation: record_rules.conversations,
    Campaign: record_rules.campaigns,
    AssignmentRequest: record_rules.requests,
    Attachment: record_rules.attachments,
}
MODULE_OF = {
    Lead: "Leads",
    Ticket: "Tickets",
    Complaint: "Complaints",
    ComplaintEntry: "Complaints",
    Customer: "Customers",
    Task: "Tasks",
    CallLog: "Call Logs",
    Message: "Messages",
    Conversation: "Messages",
    Campaign: "Messages",
    Consent: "Messages",
    AssignmentRequest: "Requests",
    Attachment: "Notes",
    DataRequest: "Data Requests",
    DataBreach: "Data Breaches",
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
    """Table -> record that access rules filter; all other tables are picklists and FAB's own."""
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


def sees_own(person: Person, record: Any) -> bool:
    """Whether the person sees each lead, ticket or task of somebody within reach: themselves, those they cover for …"""
    return has_own_rule(record) and person.may(MODULE_OF[record], "read")


@lru_cache(maxsize=500)
def _takes_verb(rule: Any) -> bool:
    return "verb" in inspect.signature(rule).parameters


def _reaches_as_read(person: Person, module: str | None, verb: str) -> bool:
    """Whether a rule that covers only reading holds for the verb: its level is that of read, or all."""
    return module is None or person.reach(module, verb) in (None, person.reach(module))
