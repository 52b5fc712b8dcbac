"""CONTENTS: the tables with data of a person, what becomes of their rows, and which of them duties keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Table, case, delete, false, not_, or_, select, update
from sqlalchemy.orm import Session

from app.domain.assignment_requests import AssignmentRequest
from app.domain.base import Stamp
from app.domain.bulk_undo import BulkChange
from app.domain.complaints.complaint import Complaint, ComplaintEntry
from app.domain.customer_keys import CustomerKey
from app.domain.customers import Customer, CustomerAccount
from app.domain.data_requests import DataRequest
from app.domain.erasure import complainants
from app.domain.erasure.campaign_parts import CampaignPart, RecipientPart
from app.domain.erasure.complainants import ComplainantPart
from app.domain.erasure.erasure_scope import Scope
from app.domain.erasure.inbound_part import InboundPart
from app.domain.erasure.other_parts import (
    BulkPart,
    ConsentPart,
    DoNotDisturbPart,
    ImportPart,
    MailAlonePart,
    MergePart,
    NoticePart,
    RejectedCallPart,
    RequestPart,
    SavedViewPart,
    WebhookPart,
    WrongLinePart,
)
from app.domain.erasure.table_parts import MARKER, RecordPart, Stays, TablePart, hash_ids, is_whole_id
from app.domain.erasure.timeline_part import TimelinePart
from app.domain.files import attachments
from app.domain.files.attachments import Attachment
from app.domain.files.export_and_import_runs import ImportRow
from app.domain.inbound.inbound_queue import InboundEvent
from app.domain.leads import Lead
from app.domain.legal_holds import LegalHold
from app.domain.merging.merged_records import RecordMerge
from app.domain.messaging.campaigns import Campaign, CampaignRecipient
from app.domain.messaging.consents import Consent, DoNotDisturb
from app.domain.messaging.conversations import ERASED_PEER, Conversation
from app.domain.messaging.dnd_uploads import DndWrongLine
from app.domain.messaging.mails import Mail
from app.domain.messaging.message_files import MessageFile
from app.domain.messaging.message_reactions import MessageReaction
from app.domain.messaging.messages import Message
from app.domain.notifications.notices import Notification
from app.domain.predecessor_names import PredecessorName
from app.domain.saved_views import SavedView
from app.domain.tasks import Task
from app.domain.telephony import calls
from app.domain.telephony.call_cards import CallCard
from app.domain.telephony.call_requests import CallRequest
from app.domain.telephony.calls import CallLog
from app.domain.telephony.recordings import CallRecording
from app.domain.telephony.telephones import QuarantinedCall
from app.domain.tickets import Ticket
from app.domain.timeline import Activity
from app.domain.webhooks import WebhookDelivery

#: The contact fields of a person, all but the last name, in which the marker stands.
_CONTACT = dict.fromkeys(
    (
        *("first_name", "mobile", "mobile_e164", "alternative_mobile", "alternative_e164", "email", "address"),
        *("pan_sealed", "pan_blind", "aadhaar_sealed", "aadhaar_blind"),
    )
)

_MAIL: dict[str, Any] = {
    **{"peer": None, "also_to": None, "cc": [], "participants": [], "html": None, "quoted": None},
    **{"original": None, "header_id": None, "sentence": None},
}


def _customer_stays(scope: Scope, table: Table) -> list[Stays]:
    return [Stays("customer", scope.kept_until, table.c.id == scope.key)] if scope.is_kept else []


def _account_stays(scope: Scope, table: Table) -> list[Stays]:
    return [Stays("customer", scope.kept_until, table.c.customer_id == scope.key)] if scope.is_kept else []


def _call_stays(scope: Scope, table: Table) -> list[Stays]:
    kept = scope.kept_calls
    return [Stays("order", kept.until, table.c.id.in_(sorted(kept.ids)))] if kept.ids else []


def _message_stays(scope: Scope, table: Table) -> list[Stays]:
    kept = sorted(scope.kept_messages)
    return [Stays("order", scope.kept_calls.until, table.c.id.in_(kept))] if kept else []


def _file_stays(scope: Scope, table: Table) -> list[Stays]:
    """Proofs of orders, and the customer's own files: what proves who they are."""
    kept = sorted(scope.kept_files)
    found = [Stays("order", scope.kept_calls.until, table.c.id.in_(kept))] if kept else []
    if scope.is_kept:
        alone = table.c.lead_id.is_(None) & table.c.ticket_id.is_(None) & table.c.task_id.is_(None)
        own = (table.c.customer_id == scope.key) & alone & table.c.activity_id.is_(None)
        found.append(Stays("customer", scope.kept_until, own))
    return found


class ContactPart(RecordPart):
    """Records of a person, into which somebody may have entered data anew after they were erased."""

    def _is_free(self, scope: Scope) -> Iterable[Any]:
        """What was entered since isn't erased when a duty ends; of a complaint, all is."""
        yield from super()._is_free(scope)
        if scope.settled_on is not None:
            of_complaint = self.table.c.id.in_(sorted(scope.complaints)) if self.record is Ticket else false()
            yield or_(self.table.c.changed_on <= scope.settled_on, of_complaint)


class CustomerPart(ContactPart):
    """The customer's own data, and the values that only they might have."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Erase it."""
        complainants.keep(session, scope, stamp)
        super().erase(session, scope, ids, stamp)
        keys = CustomerKey.__table__
        session.connection().execute(delete(keys).where(keys.c.customer_id.in_(list(ids))))


class PersonPart(ContactPart):
    """Leads and tickets, which have contact fields of their own only while they are no customer's."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Erase them."""
        if scope.table == self.table.name:
            complainants.keep(session, scope, stamp)
        super().erase(session, scope, ids, stamp)
        linked = (self.table.c.id.in_(list(ids)), self.table.c.customer_id.is_not(None))
        session.connection().execute(update(self.table).where(*linked).values(last_name=None))

    def _differs(self, name: str, blank: Any, scope: Scope) -> Any:
        if name == "client_id" and scope.is_kept:
            return false()
        if name == "last_name":
            linked, column = self.table.c.customer_id.is_not(None), self.table.c.last_name
            return case((linked, column.is_not(None)), else_=super()._differs(name, blank, scope))
        return super()._differs(name, blank, scope)

    def values(self, scope: Scope) -> dict[str, Any]:
        """Column -> what it holds afterwards; the client ID stays with the account."""
        found = super().values(scope)
        return {name: each for name, each in found.items() if name != "client_id" or not scope.is_kept}


class AccountPart(TablePart):
    """Accounts: a client ID is unique and can't be empty."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Replace the client IDs."""
        for key in ids:
            chosen = self.table.c.id == key
            session.connection().execute(update(self.table).where(chosen).values(client_id=f"ERASED-{key}"))

    def _is_left(self, scope: Scope) -> Any:
        return not_(self.table.c.client_id.regexp_match("^ERASED-[0-9]+$"))


class CallPart(TablePart):
    """Calls: their days are counted anew, since the different numbers of a day are."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Erase these calls; what they count stays."""
        step = update(CallLog).where(CallLog.id.in_(list(ids))).values(self.values(scope))
        session.execute(step, execution_options={"synchronize_session": False})
        hash_ids(session, self.table.c.device_call_id, ids)
        hash_ids(session, self.table.c.provider_id, ids)
        former = PredecessorName.__table__.c  # a fingerprint of what the predecessor called it, with the number in it
        query = select(former.id).where(former.kind == self.table.name, former.record_id.in_(list(ids)))
        hash_ids(session, former.name, session.execute(query).scalars().all())

    def _is_left(self, scope: Scope) -> Any:
        return or_(super()._is_left(scope), *map(is_whole_id, (self.table.c.device_call_id, self.table.c.provider_id)))


class CallRequestPart(TablePart):
    """Calls to be dialed: what waits isn't dialed any more."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Erase these."""
        state = case((self.table.c.state == "queued", "dropped"), else_=self.table.c.state)
        chosen = self.table.c.id.in_(list(ids))
        session.connection().execute(update(self.table).where(chosen).values({**self.values(scope), "state": state}))


#: States of messages in which their number is still needed, or what a provider says of them would be stored.
_NOT_SETTLED = ("queued", "sending", "unknown")


class MessagePart(TablePart):
    """Messages: what waits to be sent isn't sent any more, and the provider isn't asked about them."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Erase these messages."""
        state = case((self.table.c.state.in_(_NOT_SETTLED), "canceled"), else_=self.table.c.state)
        chosen = self.table.c.id.in_(list(ids))
        session.connection().execute(update(self.table).where(chosen).values({**self.values(scope), "state": state}))
        hash_ids(session, self.table.c.provider_id, ids)

    def _is_left(self, scope: Scope) -> Any:
        return or_(super()._is_left(scope), is_whole_id(self.table.c.provider_id))


class ConversationPart(TablePart):
    """Conversations: a new message from the number begins another one."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Erase the other party of these conversations."""
        for key in ids:
            values = {"peer": f"{ERASED_PEER}{key}", "peer_name": None, "unread": 0, "state": "closed"}
            session.connection().execute(update(self.table).where(self.table.c.id == key).values(values))

    def _is_left(self, scope: Scope) -> Any:
        return not_(self.table.c.peer.regexp_match(f"^{ERASED_PEER}[0-9]+$"))


class FilePart(TablePart):
    """Files of records: the content goes with the next deletion of files that nobody needs."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Delete these files; their bytes no longer count for whoever attached them."""
        attachments.delete_for_good(session, ids)


#: In the order of the work: first what identifies the person, so that nothing new is linked to them; rows that are
#: found by others before these.
PARTS: tuple[TablePart, ...] = (
    CustomerPart(
        "contact",
        Customer,
        {**_CONTACT, "last_name": MARKER, "picture": None, "custom": None, "referral_code": None},
        time=None,
        stays=_customer_stays,
    ),
    AccountPart("contact", CustomerAccount, {"client_id": None}, stays=_account_stays),
    PersonPart(
        "leads",
        Lead,
        {
            **_CONTACT,
            **{"last_name": MARKER, "description": None, "rejection_reason": None, "client_id": None},
            **{"pod_id": None, "date_of_birth": None, "custom": None},
        },
    ),
    PersonPart(
        "tickets",
        Ticket,
        {
            **_CONTACT,
            **{"last_name": MARKER, "title": MARKER, "summary": None, "description": None},
            **{"resolution": None, "custom": None},
        },
    ),
    ComplainantPart("contact", Ticket, complainants.EXCESS),
    ConversationPart("messages", Conversation, {"peer": ""}, "peer"),
    TablePart(
        "complaints",
        ComplaintEntry,
        {"reference": None, "remark": None},
        owner=("complaint_id", Complaint),
    ),
    RecordPart(
        "complaints",
        Complaint,
        {
            **{"title": MARKER, "reference": None, "report_facts": None, "report_findings": None},
            **{"report_actions": None, "report_evidence": None},
        },
    ),
    RecordPart("tasks", Task, {"title": MARKER, "description": None, "custom": None}, also={"is_generated": False}),
    TablePart("recordings", CallRecording, None, "other_e164", ("call_id", CallLog), stays=_call_stays),
    TablePart("calls", CallCard, {"note": None}, "other_e164", ("call_id", CallLog), stays=_call_stays),
    CallRequestPart(
        "calls",
        CallRequest,
        {"person_number": "", "error": None},
        "other_e164",
        ("call_id", CallLog),
        stays=_call_stays,
    ),
    CallPart(
        "calls",
        CallLog,
        {"from_number": None, "to_number": None, "other_e164": None, "outcome": None, "native": calls.ERASED},
        "other_e164",
        stays=_call_stays,
    ),
    TablePart("messages", MessageReaction, {"error": None}, "peer", ("message_id", Message), stays=_message_stays),
    TablePart("messages", MessageFile, None, "peer", ("message_id", Message), stays=_message_stays),
    TablePart(
        "messages",
        Mail,
        _MAIL,
        "peer",
        ("message_id", Message),
        time="received_on",
        stays=_message_stays,
    ),
    MessagePart(
        "messages",
        Message,
        {"peer": "", "subject": None, "body": "", "variables": None, "media": None, "native": {}, "reason": None},
        "peer",
        stays=_message_stays,
    ),
    MailAlonePart(
        "messages",
        Mail,
        _MAIL,
        "peer",
        time="received_on",
        also={"state": "dismissed"},
    ),
    RecipientPart("campaigns", CampaignRecipient, {"address": None, "variables": None, "reason": None}, "address"),
    WrongLinePart("consents", DndWrongLine, {"text": ""}, time=None),
    CampaignPart("campaigns", Campaign, None, time=None),
    FilePart("files", Attachment, None, stays=_file_stays),
    TimelinePart("timeline", Activity, {"payload": {}}, time="at"),
    TablePart("timeline", AssignmentRequest, {"reason": MARKER, "decision_note": None}),
    TablePart("timeline", LegalHold, {"reason": MARKER, "released_why": None}, time="placed_on"),
    BulkPart("timeline", BulkChange, None, time=None),
    WebhookPart("notices", WebhookDelivery, {"answer": None, "error": None}, time="at"),
    NoticePart("notices", Notification, None, time="at"),
    ConsentPart("consents", Consent, {"address": ""}, "address"),
    DoNotDisturbPart("consents", DoNotDisturb, {"number": ""}, time=None),
    MergePart("merges", RecordMerge, {"fields": {}}, time="at"),
    ImportPart("imports", ImportRow, {"before": None, "cells": None, "problem": None}, time=None),
    RejectedCallPart("rejected calls", QuarantinedCall, None, time=None),
    InboundPart("messages", InboundEvent, {"request_sealed": ""}, time="received_on"),
    SavedViewPart("saved views", SavedView, None, time=None),
    RequestPart(
        "requests",
        DataRequest,
        {
            **{"person": MARKER, "contact": None, "details": None, "identity_how": None},
            **{"answer": MARKER, "proof": None},
        },
    ),
)
#: The kinds, in the order in which people read them.
KINDS = tuple(dict.fromkeys(part.kind for part in PARTS))
