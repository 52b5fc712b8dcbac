"""Call logs: pages and REST resource."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Response, request
from flask_appbuilder.api import expose, protect
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import permission_name
from flask_babel import lazy_gettext as _
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken
from app.domain.telephony import call_sync, calls, missed_calls, order_evidence
from app.domain.telephony.calls import DIRECTIONS, STATUSES, CallLog
from app.extensions import db
from app.web.api.resource import Resource, request_json
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.core.fields.base import ChoiceField, Field, TextField
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.fields.scalar_fields import DurationField
from app.web.core.queries.list_query import ListQuery
from app.web.core.repeated_writes import again_if_overtaken
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService
from app.web.records.call_fields import (
    COLORS,
    STATUS_WORDS,
    CallNumberField,
    MediumField,
    OtherPartyField,
    OutcomeField,
)
from app.web.records.record_form import FormState
from app.web.records.recordings import RECORDING_VERBS, RecordingRoutes
from app.web.records.telephony import call_batches, call_outcome_actions, calling_rest, manual_calls
from app.web.records.telephony.call_cards import CARD_VERBS, CallCardRoutes
from app.web.records.telephony.call_outcomes import CallOutcomeScreen
from app.web.records.telephony.manual_calls import CallByHandRoutes
from app.web.records.telephony.order_evidence import EVIDENCE_VERBS, OrderEvidenceRoutes
from app.web.records.telephony.order_evidence_rest import EVIDENCE_DOCUMENTATION, OrderEvidenceRest
from app.web.records.timelines import call_entries

SPECIAL_FIELDS: tuple[Field, ...] = (
    DateTimeField("started_on", required=True),
    ChoiceField(
        "direction",
        options=DIRECTIONS,
        required=True,
        colors={"Incoming": "blue", "Outgoing": "teal", "Unknown": "gray"},
    ),
    ChoiceField("status", options=STATUSES, colors=COLORS, words=STATUS_WORDS, required=True),
    CallNumberField("from_number", columns=(CallLog.from_number,)),
    CallNumberField("to_number", columns=(CallLog.to_number,)),
    OtherPartyField("other"),
    CallNumberField("other_number", columns=(CallLog.other_e164,)),
    DurationField("duration_seconds"),
    OutcomeField("outcome", max_length=500),
    TextField("device_call_id", max_length=120),
    MediumField("medium"),
)
LABELS = {
    "started_on": _("Started"),
    "direction": _("Direction"),
    "status": _("Status"),
    "from_number": _("From"),
    "to_number": _("Other party's number"),
    "other": _("Contact"),
    "other_number": _("Number"),
    "duration_seconds": _("Duration"),
    "ended_on": _("Ended"),
    "employee": _("Employee"),
    "customer": _("Customer"),
    "lead": _("Lead"),
    "ticket": _("Ticket"),
    "cold": _("Cold call"),
    "is_order": _("Phone order"),
    "outcome": _("Outcome"),
    "device_call_id": _("Device call ID"),
    "medium": _("Logged by"),
    "created_on": _("Created"),
    "changed_on": _("Updated"),
}


class CallService(RecordService):
    """Calls. Created by hand or in a batch here; phones also send them to the predecessor's API."""

    record = CallLog
    module = "Call Logs"
    fields = SPECIAL_FIELDS
    label_columns = LABELS

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> CallLog:
        """Create a call of the viewer."""
        return calls.create(session, values, viewer.stamp)

    def change(self, session: Session, row: CallLog, values: dict[str, Any], viewer: Viewer) -> None:
        """Change outcome, links and other fields."""
        calls.change(session, row, values, viewer.stamp)


class CallResource(OrderEvidenceRest, Resource):
    """/api/v1/call_log/"""

    resource_name = "call_log"
    datamodel = SQLAInterface(CallLog)
    module = "Call Logs"
    service = CallService()
    show_columns = [
        "started_on",
        "direction",
        "status",
        "from_number",
        "to_number",
        "other",
        "other_number",
        "duration_seconds",
        "ended_on",
        "employee",
        "customer",
        "lead",
        "ticket",
        "cold",
        "is_order",
        "outcome",
        "device_call_id",
        "medium",
        "created_on",
        "changed_on",
    ]
    edit_columns = [
        "started_on",
        "direction",
        "status",
        "from_number",
        "to_number",
        "duration_seconds",
        "ended_on",
        "customer",
        "lead",
        "ticket",
        "cold",
        "is_order",
        "outcome",
    ]
    add_columns = [*edit_columns, "device_call_id"]
    search_columns = [
        "started_on",
        "direction",
        "status",
        "other_number",
        "duration_seconds",
        "employee",
        "customer",
        "lead",
        "ticket",
        "cold",
        "is_order",
        "outcome",
        "device_call_id",
        "medium",
        "created_on",
        "changed_on",
    ]
    order_columns = ["started_on", "duration_seconds", "created_on"]
    VERBS = (
        Resource.VERBS
        | {"bulk": "create", "outcome": "write", "dial": "create"}
        | OrderEvidenceRest.EVIDENCE_REST_VERBS
    )
    documentation = calling_rest.DOCUMENTATION | EVIDENCE_DOCUMENTATION

    @expose("/dial", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("dial")
    def dial(self, **kwargs: Any) -> Response:
        """Call the person of a lead, ticket, customer, earlier call or conversation."""
        answer, code = calling_rest.dial(request_json(), current_viewer())
        return json_answer(code, answer | {"result": self._after(answer["id"])})

    @expose("/<int:pk>/outcome", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("outcome")
    def outcome(self, pk: Any) -> Response:
        """Log the outcome of a call, with a note and the next follow-up, like the form after a call."""
        viewer = current_viewer()
        outcome = call_outcome_actions.outcome_from_json(request_json(), viewer)

        def log() -> int:
            row = self._row(pk, "write")
            call_outcome_actions.log_outcome(row, outcome, viewer)
            db.session.commit()
            return int(row.id)

        key = again_if_overtaken(log)
        return json_answer(200, {"id": key, "result": self._after(key)})

    @expose("/bulk", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("bulk")
    def bulk(self, **kwargs: Any) -> Response:
        """Create many calls of the viewer, with one result each; sending a batch again creates no duplicates."""
        rows = request_json().get("call_logs")
        if not isinstance(rows, list):
            raise RuleBroken(_("“call_logs” must be a list of calls."), "call_logs")
        call_batches.refuse_too_large(rows)
        results = call_batches.store([_as_phone_call(row) for row in rows], current_viewer())
        return json_answer(200, {"results": [_serialize_result(result) for result in results]})


#: REST name of a field -> the phones' name, for the sync.
_PHONE_NAMES = {
    "direction": "type",
    "status": "status",
    "from_number": "from",
    "to_number": "to",
    "started_on": "start_time",
    "ended_on": "end_time",
    "duration_seconds": "duration",
    "device_call_id": "device_call_id",
}


def _as_phone_call(row: Any) -> Any:
    """A REST call in the phones' format; every status other than "Completed" becomes "no answer"."""
    if not isinstance(row, dict):
        return row
    phone_call = {theirs: row[ours] for ours, theirs in _PHONE_NAMES.items() if ours in row}
    if phone_call.get("status") not in (None, "", "Completed"):
        phone_call["status"] = "no answer"
    return phone_call


def _serialize_result(result: call_sync.SyncedCallResult) -> dict[str, Any]:
    result_fields = {
        "index": result.index,
        "status": result.status,
        "id": result.call_id,
        "device_call_id": result.device_call_id,
    }
    return result_fields | ({"code": result.code, "error": result.sentence} if result.status == "error" else {})


class CallScreen(OrderEvidenceRoutes, CallCardRoutes, RecordingRoutes, CallByHandRoutes, CallOutcomeScreen):
    """/calls/"""

    VERBS = CallOutcomeScreen.VERBS | CARD_VERBS | RECORDING_VERBS | manual_calls.VERBS | EVIDENCE_VERBS

    route_base = "/calls"
    datamodel = SQLAInterface(CallLog)
    module = "Call Logs"
    service = CallService()
    list_title, record_name = _("Calls"), _("Call")
    empty_text = _("No calls yet. Phones (My phone) and phone lines send them, or you log one with “New”.")
    list_columns = ["other", "status", "started_on", "duration_seconds", "employee", "outcome"]
    search_columns = CallResource.search_columns
    order_columns = CallResource.order_columns
    show_columns = CallResource.show_columns
    show_fieldsets = [
        (
            _("Details"),
            {"fields": [*CallResource.edit_columns[:7], "employee", *CallResource.edit_columns[7:], "medium"]},
        ),
        (_("Record"), {"fields": ["created_on", "changed_on"]}),
    ]
    add_columns = edit_columns = [
        "direction",
        "status",
        "from_number",
        "to_number",
        "started_on",
        "ended_on",
        "duration_seconds",
        "customer",
        "lead",
        "ticket",
        "cold",
        "is_order",
        "outcome",
    ]
    quick_filters = ("direction", "status", "employee", "is_order")
    tab_names = ("open", "missed", "orders")
    summary_columns = ("direction", "status", "started_on", "duration_seconds", "other_number")
    title_column = "other"

    #: A call by hand names the other party's number; from or to follows from the direction.
    by_hand = (
        *(CallResource.record_table.by_name[name] for name in ("direction", "status")),
        CallNumberField("to_number", _("Other party's number"), (CallLog.to_number,), add=True),
        *(CallResource.record_table.by_name[name] for name in ("lead", "customer", "ticket", "started_on")),
        CallResource.record_table.by_name["duration_seconds"],
    )

    def tabs(self, viewer: Viewer) -> list[dict[str, Any]]:
        """All calls, own calls without an outcome, missed calls not returned, orders, the viewer's phone."""
        return call_entries.call_tabs(request.args.get("tab", ""))

    def _list_query(self, viewer: Viewer) -> ListQuery:
        list_query, tab = super()._list_query(viewer), request.args.get("tab")
        if list_query.newest:  # phones do not send calls in order of time
            list_query.order = [CallLog.started_on.desc(), CallLog.id.desc()]
        if tab == "open":
            list_query.conditions += [CallLog.outcome.is_(None), CallLog.employee_id.in_(sorted(viewer.person.own_ids))]
        if tab == "missed":
            list_query.conditions += missed_calls.awaits_callback(viewer.now)
        if tab == "orders":
            list_query.conditions += order_evidence.without_evidence()
        return list_query

    # --- by hand

    def _inputs(self, mode: str) -> list[Field]:
        return list(self.by_hand) if mode == "add" else super()._inputs(mode)

    def _typed(self, mode: str) -> dict[str, Any]:
        typed = super()._typed(mode)
        if mode == "add" and typed.get("direction") == "Incoming" and "to_number" in typed:
            typed["from_number"] = typed.pop("to_number")
        return typed

    def _form(self, state: FormState, viewer: Viewer) -> Any:
        if state.mode == "add":
            fresh = {} if request.method == "POST" else _defaults_by_hand(viewer)
            names = {"from_number": "to_number"}
            state = replace(
                state,
                raw=fresh | {"to_number": state.raw.get("from_number")} | state.raw,
                errors={names.get(name, name): messages for name, messages in state.errors.items()},
            )
        return super()._form(state, viewer)

    def url_of(self, row: Any) -> str:
        """The page of a call; for one just logged by hand, its outcome form."""
        made = request.endpoint == f"{self.endpoint}.add" and not row.outcome
        return f"/calls/outcome/{row.id}" if made else super().url_of(row)


def _defaults_by_hand(viewer: Viewer) -> dict[str, str]:
    """What the form of a call proposes: one that was just made."""
    started = viewer.now.astimezone(viewer.zone).strftime("%Y-%m-%dT%H:%M")
    return {"direction": "Outgoing", "status": "Completed", "started_on": started}
