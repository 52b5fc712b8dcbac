"""CONTENTS: the predecessor's DocTypes and field names, and what they are called here. One line a field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.domain.timeline import Activity
from app.models import AssignmentRequest, CallLog, Customer, Lead, Notification, Task, Ticket
from app.web.api.resource import Resource
from app.web.compat import child_rows
from app.web.compat.references import (
    CUSTOMER,
    LEAD,
    TICKET,
    NoteContentField,
    NoteTitleField,
    NotificationStatusField,
    NotificationTypeField,
    ReferenceDocTypeField,
    ReferenceNameField,
)
from app.web.core.date_fields import DateTimeField
from app.web.core.fields import Field, TextField, Viewer
from app.web.core.gate import refuse_unreached
from app.web.core.personal_fields import EmailField, NameField, PhoneField, SecretField
from app.web.core.record_table import RecordTable
from app.web.core.reference_fields import PersonField
from app.web.records import mentions
from app.web.records.calls import CallResource
from app.web.records.customers import CustomerResource
from app.web.records.leads import LeadResource
from app.web.records.tasks import TaskResource
from app.web.records.tickets import TicketResource
from app.web.records.timeline import ActivityResource
from app.web.workday.notices import NoticeResource
from app.web.workday.requests import RequestResource

#: On every document.
_STAMPS = {"creation": "created_on", "modified": "changed_on", "modified_by": "changed_by"}
_PERSON = {
    "first_name": "first_name",
    "last_name": "last_name",
    "mobile_no": "mobile",
    "email": "email",
    "alternative_mobile_no": "alternative_mobile",
    "pan_card_number": "pan",
    "aadhaar_card_number": "aadhaar",
}
_ABOUT = {"reference_doctype": "about_kind", "reference_docname": "about_number"}
#: Fields that hardly anybody filled in: they read as null, and whoever sends one is told that it was not kept.
IGNORED_FIELDS = frozenset(
    {
        "salutation",
        "middle_name",
        "gender",
        "marital_status",
        "anniversary",
        "phone",
        "website",
        "organization",
        "job_title",
        "image",
        "industry",
        "territory",
        "naming_series",
        "docstatus",
        "idx",
        "_assign",
        "_user_tags",
        "_comments",
        "_liked_by",
        "sla",
        "sla_status",
        "sla_creation",
        "communication_status",
        "issue_type",
        "department",
        "no_of_employees",
        "annual_revenue",
        "converted",
        "products",
        "total",
        "net_total",
        "lead_type",
        "branch",
        "assigned_role",
        "resolved",
        "resolution_time",
        "first_response_time",
        "start_date",
        "notification_time",
        "notification_status",
        "reassignment_processed",
        "telephony_medium",
        "method",
        "caller",
        "receiver",
        "links",
        "native_call_type",
        "native_call_status",
        "native_duration",
        "recording_url",
        "customer_source",
        "city",
        "state",
        "country",
        "pincode",
        "address_line_2",
        "referral_count",
        "created_from_lead",
        "created_from_ticket",
        "account_open_date",
        "date_of_birth",
        "approved_by",
        "first_responded_on",
        "final_overdue_task",
        "customer_name",
        "lead_name",
        "source",
        "escalated",
        "call_log",
        "assignment_notes",
        "id",
        "retry_count",
        "last_retry_at",
    }
)


@dataclass(frozen=True)
class DocType:
    """A record under its old name."""

    name: str
    resource: type[Resource]
    #: Theirs -> ours.
    fields: dict[str, str]
    #: Ours, by which a document is named; None = its id.
    name_field: str | None = "number"
    #: Fields of our own that only this door has.
    extra_fields: tuple[Field, ...] = ()
    #: Theirs -> ours, where a new document's word goes elsewhere.
    insert_fields: dict[str, str] = field(default_factory=dict)
    #: Rules that choose its rows among the record's.
    conditions: tuple[Any, ...] = ()
    #: (session, id, glass) -> what hangs on one document, as lists.
    children: Callable[..., dict[str, Any]] | None = None
    #: Raises Denied where the person sees a row, but may not change it.
    refuse_change: Callable[[Any, Viewer], None] | None = None

    @cached_property
    def ignored_fields(self) -> frozenset[str]:
        """Theirs that answer null, and are not kept."""
        return IGNORED_FIELDS - set(self.fields)

    @cached_property
    def record_table(self) -> RecordTable:
        """The desk's table of columns and what only this door shows."""
        ours = self.resource.service.record_table
        return RecordTable(ours.record, [*ours.input_fields, *self.extra_fields], joins=ours.joins)

    @cached_property
    def tables(self) -> frozenset[str]:
        """Those of a document with all of its fields, which the law must look at."""
        joined = (table.__tablename__ for table, _on in self.record_table.joins)
        return frozenset({self.record_table.record.__tablename__, *joined})

    @property
    def module(self) -> str:
        """Its module in the matrix."""
        return self.resource.module

    def allows(self, verb: str) -> bool:
        """Whether our own REST has this verb (post, put, delete) for the record at all."""
        return verb not in (self.resource.exclude_route_methods or ())

    def refuse_unreached(self, row: Any, verb: str, viewer: Viewer) -> None:
        """Raise Denied where the person sees the row, but may not do this to it."""
        if self.refuse_change is not None:
            self.refuse_change(row, viewer)
        else:
            refuse_unreached(self.module, row, verb)


def _changed_by(record: Any) -> Field:
    return PersonField("changed_by", "Changed by", (record.changed_by_id,), filter=True)


def _about(row: Any, *places: Any) -> tuple[Field, Field]:
    return ReferenceDocTypeField("about_kind", row, places), ReferenceNameField("about_number", row, places)


def _own(row: Any, viewer: Viewer) -> None:
    """One's own, which the law has seen to."""


_ALL = (
    DocType(
        "CRM Lead",
        LeadResource,
        _STAMPS
        | _PERSON
        | {
            "lead_name": "name",
            "status": "status",
            "source": "source",
            "lead_source": "source",
            "lead_category": "category",
            "account_type": "account_type",
            "referral_through": "referral",
            "client_id": "client_id",
            "pod_id": "pod_id",
            "rejection_reason": "rejection_reason",
            "follow_up_date": "next_follow_up_on",
            "description": "description",
            "date_of_birth": "date_of_birth",
            "customer_id": "customer",
            "lead_owner": "owner",
            "owner": "owner",
            "assign_to": "assignee",
            "response_by": "reply_due_on",
            "account_opened_on": "opened_on",
            "account_activated_on": "activated_on",
        },
        extra_fields=(
            _changed_by(Lead),
            DateTimeField("opened_on", "Opened", (Lead.opened_on,), filter=True, sort=True),
            DateTimeField("activated_on", "Activated", (Lead.activated_on,), filter=True, sort=True),
        ),
        insert_fields={"assign_to": "assign_to", "assigned_role": "assign_to_role"},
        children=child_rows.lead_children,
    ),
    DocType(
        "CRM Ticket",
        TicketResource,
        _STAMPS
        | _PERSON
        | {
            "subject": "title",
            "ticket_subject": "title",
            "priority": "priority",
            "customer_name": "customer_name",
            "status": "status",
            "ticket_source": "source",
            "description": "description",
            "resolution": "resolution",
            "resolved_on": "resolved_on",
            "customer_id": "customer",
            "lead": "lead",
            "assigned_to": "assignee",
            "ticket_owner": "owner",
            "owner": "owner",
            "response_by": "reply_due_on",
        },
        extra_fields=(
            _changed_by(Ticket),
            NameField("customer_name", "Customer", (Customer.first_name, Customer.last_name)),
            TextField("first_name", "First name", (Customer.first_name,), max_length=80, add=True, filter=True),
            TextField("last_name", "Last name", (Customer.last_name,), max_length=80, add=True, filter=True),
            PhoneField("mobile", "Mobile", (Customer.mobile, Customer.mobile_e164), add=True, filter=True),
            PhoneField(
                "alternative_mobile", "Other mobile", (Customer.alternative_mobile, Customer.alternative_e164), add=True
            ),
            EmailField("email", "E-mail", (Customer.email,), add=True, filter=True),
            SecretField("pan", "PAN", (Customer.pan_sealed, Customer.pan_blind), add=True),
            SecretField("aadhaar", "Aadhaar", (Customer.aadhaar_sealed, Customer.aadhaar_blind), add=True),
        ),
        insert_fields={
            "ticket_subjects": "subjects",
            "ticket_subject": "subjects",
            "assigned_to": "assign_to",
            "assigned_role": "assign_to_role",
        },
        children=child_rows.ticket_children,
    ),
    DocType(
        "CRM Customer",
        CustomerResource,
        _STAMPS
        | _PERSON
        | {
            "customer_name": "name",
            "status": "status",
            "customer_source": "source",
            "referral_code": "referral_code",
            "referral_through": "referred_by",
            "address_line_1": "address",
            "owner": "owner",
        },
        extra_fields=(_changed_by(Customer),),
        children=child_rows.customer_children,
    ),
    DocType(
        "CRM Task",
        TaskResource,
        _STAMPS
        | _ABOUT
        | {
            "title": "title",
            "priority": "priority",
            "status": "status",
            "assigned_to": "assignee",
            "due_date": "due_on",
            "description": "description",
            "final_overdue": "exhausted",
            "lead": "lead",
            "ticket": "ticket",
            "owner": "assignee",
        },
        name_field=None,
        extra_fields=(_changed_by(Task), *_about(Task, LEAD, TICKET)),
    ),
    DocType(
        "CRM Call Log",
        CallResource,
        _STAMPS
        | _ABOUT
        | {
            "device_call_id": "device_call_id",
            "from": "from_number",
            "to": "to_number",
            "type": "direction",
            "status": "status",
            "duration": "duration_seconds",
            "start_time": "started_on",
            "end_time": "ended_on",
            "employee": "employee",
            "owner": "employee",
            "customer": "other_number",
            "customer_name": "customer_name",
            "is_cold_call": "cold",
            "medium": "medium",
            "note": "outcome",
            "lead": "lead",
            "ticket": "ticket",
            "customer_id": "customer",
        },
        name_field=None,
        extra_fields=(
            _changed_by(CallLog),
            *_about(CallLog, LEAD, TICKET),
            NameField("customer_name", "Customer", (Customer.first_name, Customer.last_name)),
        ),
    ),
    DocType(
        "CRM Assignment Request",
        RequestResource,
        _STAMPS
        | {
            "requested_user": "requested_user",
            "requested_by": "requester",
            "owner": "requester",
            "reason": "reason",
            "status": "status",
            "approved_by": "decided_by",
            "approved_on": "decided_on",
            "rejection_reason": "decision_note",
            "lead": "lead",
            "ticket": "ticket",
            "reference_doctype": "about_kind",
            "reference_name": "about_number",
            "reference_docname": "about_number",
        },
        extra_fields=(
            _changed_by(AssignmentRequest),
            *_about(AssignmentRequest, LEAD, TICKET),
            DateTimeField("changed_on", "Changed", (AssignmentRequest.changed_on,), filter=True),
        ),
    ),
    DocType(
        "FCRM Note",
        ActivityResource,
        _ABOUT
        | {
            "title": "title",
            "content": "content",
            "owner": "actor",
            "creation": "at",
            "modified": "edited_on",
            "modified_by": "actor",
        },
        name_field=None,
        extra_fields=(
            NoteTitleField("title", "Title", (Activity.payload,)),
            NoteContentField("content", "Content", (Activity.payload,)),
            *_about(Activity, TICKET, LEAD, CUSTOMER),
        ),
        conditions=(Activity.kind == "note",),
        refuse_change=mentions.refuse_foreign,
    ),
    DocType(
        "CRM Task Notification",
        NoticeResource,
        _ABOUT
        | {
            "task": "task_id",
            "assigned_to": "recipient",
            "notification_type": "type",
            "status": "state",
            "message": "text",
            "notification_text": "text",
            "sent_at": "at",
            "read_at": "read_on",
            "owner": "recipient",
            "creation": "at",
            "modified": "at",
        },
        name_field=None,
        extra_fields=(
            PersonField("recipient", "To", (Notification.user_id,), filter=True),
            NotificationTypeField("type", "Type", (Notification.kind,), filter=True),
            NotificationStatusField("state", "Status", (Notification.read_on,), filter=True),
            DateTimeField("read_on", "Read", (Notification.read_on,)),
            *_about(Notification, TICKET, LEAD, CUSTOMER),
        ),
        refuse_change=_own,
    ),
    DocType(
        "CRM Notification",
        NoticeResource,
        {
            "from_user": "actor",
            "to_user": "recipient",
            "type": "type",
            "read": "read",
            "message": "text",
            "notification_text": "text",
            "owner": "actor",
            "creation": "at",
            "modified": "at",
            "reference_doctype": "about_kind",
            "reference_name": "about_number",
            "notification_type_doctype": "about_kind",
            "notification_type_doc": "about_number",
        },
        name_field=None,
        extra_fields=(
            PersonField("recipient", "To", (Notification.user_id,), filter=True),
            NotificationTypeField("type", "Type", (Notification.kind,), filter=True),
            *_about(Notification, TICKET, LEAD, CUSTOMER),
        ),
        refuse_change=_own,
    ),
)
DOCTYPES: dict[str, DocType] = {each.name: each for each in _ALL}
#: Read here, and never written, whatever our own REST allows.
READ_ONLY = frozenset({"CRM Task Notification", "CRM Notification"})
