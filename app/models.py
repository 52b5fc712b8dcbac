"""CONTENTS: all records of the CRM, and the module that defines each."""

from flask_appbuilder.security.sqla.models import Group, Role, User

from app.domain.analytics.record_rollups import (  # leads, tickets and tasks counted by day
    CountedRow,
    RecordRollupState,
    RecordSum,
)
from app.domain.assignment import Assignment  # who is assigned to what, since when and why
from app.domain.assignment_requests import AssignmentRequest  # a user's request to be assigned a record
from app.domain.audit_log.audit import AuditEntry, AuditHead  # the audit log, and the end of its chain
from app.domain.base import NumberSeries, Record, never_reuse_ids, remove_sequence_defaults
from app.domain.brand import Brand  # what the CRM is called and looks like
from app.domain.bulk_undo import BulkChange  # the values that a bulk action has replaced
from app.domain.business_settings import BusinessSetting  # a business setting that was changed
from app.domain.complaints.complaint import Complaint, ComplaintEntry  # a complaint; one way in which it came
from app.domain.complaints.published_disclosures import ComplaintDisclosure  # a published month of complaints
from app.domain.custom_fields import CustomField  # a field that an admin has added
from app.domain.custom_values import CustomValue  # a value of such a field, for filters and sorting
from app.domain.customer_keys import CustomerKey  # a number or identity that only one customer has
from app.domain.customers import Customer, CustomerAccount  # a customer; a brokerage account
from app.domain.dashboard_boards import Board, BoardHome  # dashboards that people arrange; the home page of a role
from app.domain.data_breaches import DataBreach  # a breach of personal data
from app.domain.data_requests import DataRequest  # a request of a person about their data
from app.domain.erasure.erasures import DataErasure  # what was erased for a request, and what is left
from app.domain.files.attachments import Attachment  # a file of a record
from app.domain.files.export_and_import_runs import (  # imports and exports, with their files
    ExportRun,
    ImportRow,
    ImportRun,
    TransferPart,
)
from app.domain.files.file_quotas import FileUsage  # how many bytes of files somebody has
from app.domain.idempotency import StoredResponse  # responses to repeated requests
from app.domain.inbound.inbound_queue import InboundEvent  # a request of a provider, as it arrived
from app.domain.leads import Lead  # a person who may become a customer
from app.domain.legal_holds import LegalHold  # a record of which nothing is deleted
from app.domain.maintenance.backup_runs import BackupRun  # one backup, check or drill
from app.domain.maintenance.health_samples import (
    ErrorReport,
    HealthCrossing,
    HealthSample,
    SlowStatement,
)  # samples of the installation's health
from app.domain.maintenance.job_runs import FailedCall, JobRun
from app.domain.maintenance.retention_runs import (  # how long rows are kept; what was deleted
    RetentionRule,
    RetentionRun,
)
from app.domain.merging.duplicate_pairs import DuplicatePair, DuplicateScan  # records that look like duplicates
from app.domain.merging.merged_records import (  # records that were merged, and what moved
    MergeChange,
    MergedRecord,
    RecordMerge,
)
from app.domain.messaging.campaigns import Campaign, CampaignRecipient  # one message to many; one of them
from app.domain.messaging.channel_accounts import ChannelAccount  # an account with a provider of messages or calls
from app.domain.messaging.consents import (  # who wants which messages; numbers on a do-not-disturb list
    Consent,
    DoNotDisturb,
)
from app.domain.messaging.conversations import Conversation  # all that was said with one number or address
from app.domain.messaging.dnd_uploads import (  # an uploaded do-not-disturb list; a line that is wrong
    DndUpload,
    DndWrongLine,
)
from app.domain.messaging.mail_signatures import MailSignature  # the signature of a person or an account
from app.domain.messaging.mails import Mail, MailboxState  # an email beside its message; up to where a mailbox was read
from app.domain.messaging.message_files import MessageFile  # a file of a message
from app.domain.messaging.message_reactions import MessageReaction  # a reaction of ours, on its way
from app.domain.messaging.message_templates import MessageTemplate  # a text of messages
from app.domain.messaging.messages import Message  # one WhatsApp, SMS or email, out or in
from app.domain.notifications.notices import (  # a notification of one user; its delivery by channel
    Delivery,
    Notification,
)
from app.domain.pending_customer_links import CustomerLink  # a link to a customer that waits for a decision
from app.domain.people.authentication import ApiKey, FailedLogin, SignIn  # sign-ins, API keys, failed sign-ins
from app.domain.people.invitations import Invitation  # the link by which a new user chooses their password
from app.domain.people.login_names import LoginName  # the names and addresses by which people sign in
from app.domain.people.permissions import AccessVersion, FieldMask, ModulePermission  # permission matrix, field masks
from app.domain.people.two_factor import (  # the second factor of sign-in
    PendingSignIn,
    RecoveryCode,
    RememberedBrowser,
    TwoFactor,
)
from app.domain.persistence.recount_marks import RowMark  # a lead, ticket or task to be counted again
from app.domain.picklists import (  # picklists
    AccountType,
    ComplaintCategory,
    LeadSource,
    LeadStatus,
    SupportPage,
    TicketStatus,
    TicketSubject,
)
from app.domain.predecessor_names import (  # what records were called in the predecessor
    PredecessorName,
    PredecessorPerson,
)
from app.domain.report_schedules import ReportRun, ReportSchedule  # a report by email; one for one reader
from app.domain.reports import Report, ReportPin  # reports that people build, and their pins
from app.domain.retired_keys import RetiredKey  # a key of an earlier part of the audit log, or of sent emails
from app.domain.round_robin import RoundRobin  # round robin of a role
from app.domain.saved_views import ListChoice, ListSetup, SavedView, ViewPin  # views of lists, and who has chosen which
from app.domain.search_columns import add_rest_of_names, add_reversed
from app.domain.searchable_notes import NoteText, NoteTextState  # texts of notes, to search them
from app.domain.task_holders import HolderCheck  # how far the holders of leads and tickets in tasks were compared
from app.domain.tasks import Task  # one thing to do
from app.domain.telephony.call_cards import CallCard  # one call on the pages of one user
from app.domain.telephony.call_requests import CallRequest  # a call to be dialed by a provider
from app.domain.telephony.call_rollups import (  # calls counted by day
    DayCount,
    DayNumbers,
    HourCount,
    LineCount,
    RollupMark,
    RollupState,
)
from app.domain.telephony.calls import CallLog  # one call
from app.domain.telephony.order_evidence import OrderEvidence  # what proves an order by telephone
from app.domain.telephony.recordings import CallRecording  # a recording of a call
from app.domain.telephony.telephones import (  # call sync of a telephone; calls it sent that were invalid
    PhoneSync,
    QuarantinedCall,
)
from app.domain.tickets import Ticket  # a request for help
from app.domain.timeline import Activity, StatusChange  # the timeline
from app.domain.webhooks import Webhook, WebhookDelivery  # webhooks and the log of their deliveries
from app.domain.working_time.office_schedule import Holiday, OfficeRange  # a holiday; office hours of a weekday
from app.domain.working_time.sla_policies import SlaPolicy, SlaTarget  # response and resolution targets

for _record in (Lead, Customer, Ticket, CallLog, Message):
    add_reversed(_record.__table__)
for _named in (Lead, Customer, Ticket):
    add_rest_of_names(_named.__table__)
remove_sequence_defaults()
never_reuse_ids()

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
    "AuditHead",
    "BackupRun",
    "Board",
    "BoardHome",
    "Brand",
    "BulkChange",
    "BusinessSetting",
    "CallCard",
    "CallLog",
    "CallRecording",
    "CallRequest",
    "Campaign",
    "CampaignRecipient",
    "ChannelAccount",
    "Complaint",
    "ComplaintCategory",
    "ComplaintDisclosure",
    "ComplaintEntry",
    "Consent",
    "Conversation",
    "CountedRow",
    "CustomField",
    "CustomValue",
    "Customer",
    "CustomerAccount",
    "CustomerKey",
    "CustomerLink",
    "DataBreach",
    "DataErasure",
    "DataRequest",
    "DayCount",
    "DayNumbers",
    "Delivery",
    "DndUpload",
    "DndWrongLine",
    "DoNotDisturb",
    "DuplicatePair",
    "DuplicateScan",
    "ErrorReport",
    "ExportRun",
    "FailedCall",
    "FailedLogin",
    "FieldMask",
    "FileUsage",
    "Group",
    "HealthCrossing",
    "HealthSample",
    "HolderCheck",
    "Holiday",
    "HourCount",
    "ImportRow",
    "ImportRun",
    "InboundEvent",
    "Invitation",
    "JobRun",
    "Lead",
    "LeadSource",
    "LeadStatus",
    "LegalHold",
    "LineCount",
    "ListChoice",
    "ListSetup",
    "LoginName",
    "Mail",
    "MailSignature",
    "MailboxState",
    "MergeChange",
    "MergedRecord",
    "Message",
    "MessageFile",
    "MessageReaction",
    "MessageTemplate",
    "ModulePermission",
    "NoteText",
    "NoteTextState",
    "Notification",
    "NumberSeries",
    "OfficeRange",
    "OrderEvidence",
    "PendingSignIn",
    "PhoneSync",
    "PredecessorName",
    "PredecessorPerson",
    "QuarantinedCall",
    "Record",
    "RecordMerge",
    "RecordRollupState",
    "RecordSum",
    "RecoveryCode",
    "RememberedBrowser",
    "Report",
    "ReportPin",
    "ReportRun",
    "ReportSchedule",
    "RetentionRule",
    "RetentionRun",
    "RetiredKey",
    "Role",
    "RollupMark",
    "RollupState",
    "RoundRobin",
    "RowMark",
    "SavedView",
    "SignIn",
    "SlaPolicy",
    "SlaTarget",
    "SlowStatement",
    "StatusChange",
    "StoredResponse",
    "SupportPage",
    "Task",
    "Ticket",
    "TicketStatus",
    "TicketSubject",
    "TransferPart",
    "TwoFactor",
    "User",
    "ViewPin",
    "Webhook",
    "WebhookDelivery",
]

#: The tables of the product; whatever stands beside them belongs to an add-on.
CORE_TABLES = frozenset(Record.metadata.tables)
