"""CONTENTS: what the CRM knows. Each record with its chapter; read this while standing."""

from flask_appbuilder.security.sqla.models import Group, Role, User

from app.domain.assignment import Assignment  # who has what, since when, why
from app.domain.assignment_requests import AssignmentRequest  # somebody asks to be given a record
from app.domain.audit import AuditEntry  # what must be answerable for years
from app.domain.authentication import ApiKey, FailedLogin, SignIn  # who is signed in where
from app.domain.base import NumberSeries, Record, remove_sequence_defaults
from app.domain.calls import CallLog  # one call
from app.domain.customers import Customer, CustomerAccount  # a person we deal with; a brokerage account
from app.domain.idempotency import StoredResponse  # what a client that repeats itself is told
from app.domain.job_runs import Attachment, BackupRun, ExportRun, FailedCall, ImportRun, JobRun, SavedView
from app.domain.leads import Lead  # somebody who may become a customer
from app.domain.messages import Message  # one WhatsApp, SMS or e-mail, out or in
from app.domain.notices import Delivery, Notification  # something one person must know; how it was told
from app.domain.permissions import AccessVersion, FieldMask, ModulePermission  # the matrix and the masks
from app.domain.settings import (  # masters and what a manager may turn
    AccountType,
    BusinessSetting,
    Holiday,
    LeadSource,
    LeadStatus,
    MessageTemplate,
    OfficeRange,
    SlaPolicy,
    SlaTarget,
    SupportPage,
    TicketStatus,
    TicketSubject,
)
from app.domain.tasks import Task  # one thing to do
from app.domain.team import RoundRobin  # whose turn it is
from app.domain.telephones import PhoneSync, QuarantinedCall  # a telephone in the field; what it sent in vain
from app.domain.tickets import Ticket  # a request for help
from app.domain.timeline import Activity, StatusChange  # what happened
from app.domain.webhooks import Webhook, WebhookDelivery  # who outside is told of what; what became of it

remove_sequence_defaults()

__all__ = [
    "CORE_TABLES",
    "AccessVersion",
    "AccountType",
    "Activity",
    "ApiKey",
    "Assignment",
    "AssignmentRequest",
    "Attachment",
    "AuditEntry",
    "BackupRun",
    "BusinessSetting",
    "CallLog",
    "Customer",
    "CustomerAccount",
    "Delivery",
    "ExportRun",
    "FailedCall",
    "FailedLogin",
    "FieldMask",
    "Group",
    "Holiday",
    "ImportRun",
    "JobRun",
    "Lead",
    "LeadSource",
    "LeadStatus",
    "Message",
    "MessageTemplate",
    "ModulePermission",
    "Notification",
    "NumberSeries",
    "OfficeRange",
    "PhoneSync",
    "QuarantinedCall",
    "Record",
    "Role",
    "RoundRobin",
    "SavedView",
    "SignIn",
    "SlaPolicy",
    "SlaTarget",
    "StatusChange",
    "StoredResponse",
    "SupportPage",
    "Task",
    "Ticket",
    "TicketStatus",
    "TicketSubject",
    "User",
    "Webhook",
    "WebhookDelivery",
]

#: The tables of the product; whatever stands beside them belongs to an add-on.
CORE_TABLES = frozenset(Record.metadata.tables)
