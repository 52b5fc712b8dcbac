"""Methods for assignment requests."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain.assignment_requests import RequestDecision
from app.domain.base import Conflict
from app.extensions import db
from app.models import AssignmentRequest
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.assignment import ASSIGNABLE, active_colleagues
from app.web.compat.doctypes import ASSIGNMENT_REQUEST
from app.web.compat.documents import fetch_documents
from app.web.compat.filters import parse_filters
from app.web.compat.references import REFERENCE_TARGETS
from app.web.compat.responses import CompatError, DuplicateError
from app.web.compat.users import refuse_limited_key
from app.web.core.fab_access import current_viewer
from app.web.core.queries.list_query import ListQuery
from app.web.workday import assignment_requests

#: The predecessor's list ends here.
MAX_REQUESTS = 200


def create_request(arguments: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_name, requested_user, reason -> the request. Raises DuplicateError (409)."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Requests", "create")
    doctype = client.record_doctype(arguments.text("reference_doctype"), *ASSIGNABLE)
    record = client.get_record(doctype, arguments.first_text("reference_name", "reference_docname"), "read")
    raw = {"requested_user": arguments.text("requested_user"), "reason": arguments.text("reason", "")}
    values = ASSIGNMENT_REQUEST.record_table.parse(raw, "add", viewer) | {
        REFERENCE_TARGETS[doctype.name].column: record.id
    }
    try:
        row = ASSIGNMENT_REQUEST.resource.service.create(db.session(), values, viewer)
    except Conflict as conflict:
        raise DuplicateError(conflict.message) from conflict
    text = _("Your request was sent.")
    return {"success": True, "message": text, "request": row.number, "name": row.number, "status": row.status}


def approve_request(arguments: Arguments) -> dict[str, Any]:
    """name -> its new status. A request that is already decided is refused with 409."""
    return _decide(arguments, True)


def reject_request(arguments: Arguments) -> dict[str, Any]:
    """name, reason -> its new status."""
    return _decide(arguments, False)


def _decide(arguments: Arguments, approves: bool) -> dict[str, Any]:
    viewer, session = current_viewer(), db.session()
    name = arguments.first_text("name", "request_name", "request")
    row = client.get_record(ASSIGNMENT_REQUEST, name, "read")
    raw = {"decision_note": arguments.text("reason", "")}
    note = ASSIGNMENT_REQUEST.record_table.parse(raw, "edit", viewer)["decision_note"]
    with session.no_autoflush:  # so that the record is written once, at the end
        assignment_requests.decide(session, row, RequestDecision(approves, note), viewer)
    text = _("Approved.") if approves else _("Rejected.")
    return {"success": True, "message": text, "name": row.number, "status": row.status}


def list_requests(arguments: Arguments) -> list[dict[str, Any]]:
    """status, mine -> the newest requests visible to the person, with all fields."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Requests", "read")
    filters = {"status": arguments.text("status")} if "status" in arguments else {}
    conditions = parse_filters(filters, ASSIGNMENT_REQUEST, viewer)
    if arguments.flag("mine"):
        conditions.append(AssignmentRequest.created_by_id == viewer.person.id)
    limit = arguments.integer("limit", MAX_REQUESTS, 1, MAX_REQUESTS)
    list_query = ListQuery(conditions, [AssignmentRequest.id.desc()], limit, newest=True)
    return fetch_documents(ASSIGNMENT_REQUEST, list_query, ("name", *ASSIGNMENT_REQUEST.fields), viewer)


def assignable_users(arguments: Arguments) -> list[dict[str, Any]]:
    """[{name, full_name, is_crm_user}] of active colleagues."""
    refuse_limited_key(current_viewer().person)
    return [each | {"is_crm_user": 1} for each in active_colleagues(current_viewer())]


def reference_summary(arguments: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_name -> {customer_name, mobile_no, account_type or subject}, for a tooltip."""
    name = arguments.text("reference_doctype")
    doctype = client.record_doctype(name, *ASSIGNABLE)
    if "reference_name" not in arguments and "reference_docname" not in arguments:
        raise CompatError(417, _("Missing argument: %(name)s", name="reference_name"), "MandatoryError")
    doc = client.read_document(doctype, arguments.first_text("reference_name", "reference_docname"))
    extra = {"account_type": doc["account_type"]} if name == "CRM Lead" else {"subject": doc["subject"]}
    return {"customer_name": doc.get("lead_name") or doc.get("customer_name"), "mobile_no": doc["mobile_no"]} | extra
