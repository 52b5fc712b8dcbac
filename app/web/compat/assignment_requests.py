"""The predecessor's methods for requests to be given a record."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain.base import Conflict
from app.extensions import db
from app.models import AssignmentRequest
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.assignment import active_colleagues
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.documents import fetch_documents
from app.web.compat.list_query import parse_filters
from app.web.compat.references import REFERENCE_TARGETS
from app.web.compat.responses import CompatError, DuplicateError
from app.web.core.gate import current_viewer
from app.web.core.record_table import ListQuery
from app.web.workday import requests

REQUEST = DOCTYPES["CRM Assignment Request"]
#: The old list ended here.
MAX_REQUESTS = 200
ASSIGNABLE = ("CRM Lead", "CRM Ticket")


def create_request(arguments: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_name, requested_user, reason. A pending one like it is refused with 409."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Requests", "create")
    doctype = client.record_doctype(arguments.text("reference_doctype"), *ASSIGNABLE)
    about = client.get_record(doctype, arguments.first_text("reference_name", "reference_docname"), "read")
    raw = {"requested_user": arguments.text("requested_user"), "reason": arguments.text("reason", "")}
    values = REQUEST.record_table.parse(raw, "add", viewer) | {REFERENCE_TARGETS[doctype.name].column: about.id}
    try:
        row = REQUEST.resource.service.create(db.session(), values, viewer)
    except Conflict as pending:
        raise DuplicateError(pending.message) from pending
    text = _("Your request was sent.")
    return {"success": True, "message": text, "request": row.number, "name": row.number, "status": row.status}


def approve_request(arguments: Arguments) -> dict[str, Any]:
    """name. Of two who decide at once one hears 409."""
    return _decide(arguments, True)


def reject_request(arguments: Arguments) -> dict[str, Any]:
    """name, reason."""
    return _decide(arguments, False)


def _decide(arguments: Arguments, approves: bool) -> dict[str, Any]:
    row, viewer = (
        client.get_record(REQUEST, arguments.first_text("name", "request_name", "request"), "read"),
        current_viewer(),
    )
    note = REQUEST.record_table.parse({"decision_note": arguments.text("reason", "")}, "edit", viewer)["decision_note"]
    session = db.session()
    with session.no_autoflush:  # the record is written once, at the end
        requests.decide(session, row, approves, note, viewer)
    text = _("Approved.") if approves else _("Rejected.")
    return {"success": True, "message": text, "name": row.number, "status": row.status}


def list_requests(arguments: Arguments) -> list[dict[str, Any]]:
    """status, mine -> the newest requests that the person sees, whole."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Requests", "read")
    fit = parse_filters({"status": arguments.text("status")} if "status" in arguments else {}, REQUEST, viewer)
    if str(arguments.raw("mine", "0")).lower() not in ("0", "false", "none", ""):
        fit.append(AssignmentRequest.created_by_id == viewer.person.id)
    wanted = ListQuery(
        fit, [AssignmentRequest.id.desc()], arguments.integer("limit", MAX_REQUESTS, 1, MAX_REQUESTS), newest=True
    )
    return fetch_documents(REQUEST, wanted, ("name", *REQUEST.fields), viewer)


def assignable_users(arguments: Arguments) -> list[dict[str, Any]]:
    """[{name, full_name, is_crm_user}] of active colleagues."""
    return [each | {"is_crm_user": 1} for each in active_colleagues(current_viewer())]


def reference_summary(arguments: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_name -> {customer_name, mobile_no, account_type or subject}, for a tooltip."""
    name = arguments.text("reference_doctype")
    doctype = client.record_doctype(name, *ASSIGNABLE)
    if "reference_name" not in arguments and "reference_docname" not in arguments:
        raise CompatError(417, _("Missing argument: %(name)s", name="reference_name"), "MandatoryError")
    doc = client.read_document(doctype, arguments.first_text("reference_name", "reference_docname"))
    about = {"account_type": doc["account_type"]} if name == "CRM Lead" else {"subject": doc["subject"]}
    return {"customer_name": doc.get("lead_name") or doc.get("customer_name"), "mobile_no": doc["mobile_no"]} | about
