"""CONTENTS: data that grows every day, how long it is kept, and the minimum.

Records themselves (leads, customers, tickets, tasks, calls, messages) are not listed: people decide when to delete
them. Files of records and recordings of calls are deleted with them and, if configured, for their age.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, exists, or_
from sqlalchemy.orm import Session

from app.domain.audit_log import audit_chain
from app.domain.audit_log.audit import AuditEntry
from app.domain.base import TranslatableText, translatable
from app.domain.bulk_undo import BulkChange
from app.domain.files import attachments
from app.domain.files.attachments import Attachment
from app.domain.idempotency import StoredResponse
from app.domain.inbound.inbound_queue import InboundEvent
from app.domain.maintenance.backup_runs import BackupRun
from app.domain.maintenance.health_samples import ErrorReport, HealthCrossing, HealthSample, SlowStatement, minute_of
from app.domain.maintenance.job_runs import FailedCall, JobRun
from app.domain.maintenance.retention_runs import RetentionRun
from app.domain.notifications.notices import Delivery, Notification
from app.domain.people.authentication import FailedLogin, SignIn
from app.domain.people.two_factor import PendingSignIn, RememberedBrowser
from app.domain.report_schedules import ReportRun
from app.domain.telephony.call_cards import CallCard
from app.domain.telephony.calls import CallLog
from app.domain.telephony.recordings import CallRecording
from app.domain.telephony.telephones import QuarantinedCall
from app.domain.tickets import Ticket
from app.domain.timeline import Activity
from app.domain.webhooks import WebhookDelivery

#: No kind can be kept longer; more is a typing error.
MAX_DAYS = 36_500
_THREE_YEARS, _FIVE_YEARS, _EIGHT_YEARS = 1096, 1826, 2922
#: The kind of recordings of calls that are orders.
ORDERS = "recordings of orders"
#: Kinds of timeline entries that the system adds to what people do.
TECHNICAL = ("field_change", "assignment", "system")


def _same(moment: datetime) -> Any:
    return moment


@dataclass(frozen=True)
class RetentionTable:
    """The rows of one table that are deleted."""

    #: The model.
    record: Any
    #: The column with the age of a row.
    time: str
    #: Which of the old rows are deleted.
    only: ColumnElement[bool] | None = None
    #: The primary key, or another unique integer column that grows with time.
    key: str = "id"
    #: Whether rows with a larger key are newer; the end of the old ones is then found without an index on the time.
    in_order: bool = True
    #: Converts a time to the form of the column.
    as_stored: Callable[[datetime], Any] = _same

    @property
    def table(self) -> Table:
        """The bare table: age is the same for everybody, whatever rows the current person may see."""
        return self.record.__table__  # type: ignore[no-any-return]


@dataclass(frozen=True)
class RetentionKind:
    """One line of the settings."""

    name: str
    #: Default number of days, and the minimum.
    days: int
    least: int
    stores: tuple[RetentionTable, ...]
    #: Why not less, as a sentence for people who try.
    why: TranslatableText
    #: Whether other rows of the table stay, so that the progress of scanning is recorded.
    remembers: bool = False
    #: Deletes rows instead of a plain DELETE: (session, keys, oldest time that stays) -> how many.
    delete: Callable[[Session, Sequence[int], datetime], int] | None = None
    #: Whether its rows cover everybody and are only deleted from the beginning, so that one legal hold keeps all.
    is_one_whole: bool = False

    @property
    def is_by_law(self) -> bool:
        """Whether a law requires the minimum."""
        return self.why in (_BOOKS, _ORDERS, _LOGS)


_BOOKS = translatable(
    "SEBI (Stock Brokers) Regulations 1992, regulation 18, ask for five years. As set by your compliance officer."
)
_ORDERS = translatable(
    "SEBI's circular CIR/P/2018/54 asks for three years for recordings of orders, and until a dispute is over: "
    "a legal hold keeps them longer. As set by your compliance officer."
)
_LOGS = translatable("CERT-In's directions of 28 Apr 2022 ask for 180 days. As set by your compliance officer.")
_LOOK_BACK = translatable("People look back for so long to see what happened.")
_WORKS = translatable("The CRM itself needs them for so long.")

# Bare columns: with mapped ones the access rules would apply to the statements.
_line, _call, _card = Activity.__table__.c, FailedCall.__table__.c, CallCard.__table__.c
_delivery, _request, _backup = Delivery.__table__.c, InboundEvent.__table__.c, BackupRun.__table__.c
_report, _recording = ReportRun.__table__.c, CallRecording.__table__.c
_orders, _ticket = CallLog.__table__.c, Ticket.__table__.c
_is_stored = _recording.state.in_(("sent", "failed"))
_is_order = exists().where(_orders.id == _recording.call_id, _orders.is_order.is_(True))
#: A ticket that isn't resolved may be a dispute: that of the call itself, or one of its customer.
_in_dispute = exists().where(
    _orders.id == _recording.call_id,
    or_(_ticket.id == _orders.ticket_id, _ticket.customer_id == _orders.customer_id),
    _ticket.resolved_on.is_(None),
)
_of_records = or_(_line.customer_id.is_not(None), _line.ticket_id.is_not(None))
_technical = _line.kind.in_(TECHNICAL)
#: In processing order: dependent rows before what they belong to.
KINDS = (
    RetentionKind("answers", 1, 1, (RetentionTable(StoredResponse, "at"),), _WORKS),
    RetentionKind(
        "failed sign-ins",
        1,
        1,
        (RetentionTable(FailedLogin, "last_on", in_order=False), RetentionTable(PendingSignIn, "started_on")),
        _WORKS,
    ),
    RetentionKind("undo of actions", 1, 1, (RetentionTable(BulkChange, "at"),), _WORKS),
    RetentionKind("job runs", 30, 2, (RetentionTable(JobRun, "started_on"),), _WORKS),
    RetentionKind(
        "health",
        30,
        7,
        (
            RetentionTable(HealthSample, "minute", as_stored=minute_of),
            RetentionTable(HealthCrossing, "ended_on", in_order=False),
            RetentionTable(SlowStatement, "last_on", key="digest", in_order=False),
            RetentionTable(ErrorReport, "last_on", key="digest", in_order=False),
        ),
        _LOOK_BACK,
    ),
    RetentionKind("webhook deliveries", 30, 7, (RetentionTable(WebhookDelivery, "at"),), _LOOK_BACK),
    RetentionKind(
        "provider requests",
        30,
        7,
        (RetentionTable(InboundEvent, "received_on", _request.state.in_(("done", "dismissed"))),),
        _LOOK_BACK,
    ),
    RetentionKind("rejected calls", 30, 7, (RetentionTable(QuarantinedCall, "last_on", in_order=False),), _LOOK_BACK),
    RetentionKind(
        "failed queue calls",
        90,
        7,
        (RetentionTable(FailedCall, "failed_on", _call.settled_on.is_not(None)),),
        _LOOK_BACK,
    ),
    RetentionKind(
        "call cards",
        90,
        2,
        # A note that was begun and not copied to an outcome stays.
        (RetentionTable(CallCard, "created_on", or_(_card.note.is_(None), _card.note == "")),),
        _WORKS,
        remembers=True,
    ),
    RetentionKind(
        "sent emails of notifications",
        90,
        7,
        (RetentionTable(Delivery, "at", _delivery.state.in_(("sent", "failed", "dropped", "unknown", "shown"))),),
        _LOOK_BACK,
    ),
    RetentionKind(
        "emails of reports",
        180,
        7,
        (RetentionTable(ReportRun, "created_on", _report.state.in_(("sent", "failed", "dropped", "unknown"))),),
        _LOOK_BACK,
    ),
    RetentionKind("notifications", 180, 30, (RetentionTable(Notification, "at"),), _LOOK_BACK),
    RetentionKind(
        "sign-ins",
        365,
        180,
        (RetentionTable(SignIn, "started_on"), RetentionTable(RememberedBrowser, "started_on")),
        _LOGS,
    ),
    RetentionKind(
        "backup runs",
        400,
        30,
        # The row of an existing backup stays.
        (RetentionTable(BackupRun, "created_on", or_(_backup.kind != "backup", _backup.deleted_on.is_not(None))),),
        _LOOK_BACK,
    ),
    RetentionKind(
        "deletions",
        400,
        30,
        (RetentionTable(RetentionRun, "began_on", RetentionRun.__table__.c.open_key.is_(None)),),
        _LOOK_BACK,
    ),
    RetentionKind(
        "deleted files",
        30,
        1,
        (RetentionTable(Attachment, "deleted_on", Attachment.__table__.c.deleted_on.is_not(None), in_order=False),),
        _LOOK_BACK,
        delete=attachments.purge,
    ),
    RetentionKind(
        "files of records",
        MAX_DAYS,
        _FIVE_YEARS,
        (RetentionTable(Attachment, "created_on"),),
        _BOOKS,
        delete=attachments.delete_expired,
    ),
    # Not recordings that are still being fetched. The job that deletes unused files then deletes theirs.
    RetentionKind(
        ORDERS,
        MAX_DAYS,
        _THREE_YEARS,
        (RetentionTable(CallRecording, "created_on", and_(_is_stored, _is_order, ~_in_dispute)),),
        _ORDERS,
    ),
    RetentionKind(
        "recordings of calls",
        MAX_DAYS,
        _THREE_YEARS,
        (RetentionTable(CallRecording, "created_on", and_(_is_stored, ~_is_order)),),
        _ORDERS,
    ),
    RetentionKind(
        "timeline of leads",
        1096,
        90,
        (RetentionTable(Activity, "at", and_(_technical, ~_of_records)),),
        _LOOK_BACK,
        remembers=True,
    ),
    RetentionKind(
        "timeline of customers and tickets",
        _EIGHT_YEARS,
        _FIVE_YEARS,
        (RetentionTable(Activity, "at", and_(_technical, _of_records)),),
        _BOOKS,
        remembers=True,
    ),
    RetentionKind(
        "audit",
        _EIGHT_YEARS,
        _FIVE_YEARS,
        (RetentionTable(AuditEntry, "at", key="seq"),),
        _BOOKS,
        delete=audit_chain.forget,
        is_one_whole=True,
    ),
)
BY_NAME = {kind.name: kind for kind in KINDS}
