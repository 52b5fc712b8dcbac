"""The predecessor's methods for requests to be given a record."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain.base import Conflict
from app.extensions import db
from app.models import AssignmentRequest
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.assignment import colleagues
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.documents import documents
from app.web.compat.list_query import rules
from app.web.compat.references import PLACES
from app.web.compat.responses import Refused, Taken
from app.web.core.gate import glass
from app.web.core.record_table import Asked
from app.web.workday import requests

REQUEST = DOCTYPES["CRM Assignment Request"]
#: The old list ended here.
MOST = 200
_WORK = ("CRM Lead", "CRM Ticket")


def create(asked: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_name, requested_user, reason. A pending one like it is refused with 409."""
    seen = glass()
    seen.who.refuse_unless("Requests", "create")
    kind = client.record_kind(asked.text("reference_doctype"), *_WORK)
    about = client.row_of(kind, asked.first("reference_name", "reference_docname"), "read")
    raw = {"requested_user": asked.text("requested_user"), "reason": asked.text("reason", "")}
    values = REQUEST.plan.take(raw, "add", seen) | {PLACES[kind.name].column: about.id}
    try:
        row = REQUEST.resource.desk.create(db.session(), values, seen)
    except Conflict as pending:
        raise Taken(pending.message) from pending
    text = _("Your request was sent.")
    return {"success": True, "message": text, "request": row.number, "name": row.number, "status": row.status}


def approve(asked: Arguments) -> dict[str, Any]:
    """name. Of two who decide at once one hears 409."""
    return _decide(asked, True)


def reject(asked: Arguments) -> dict[str, Any]:
    """name, reason."""
    return _decide(asked, False)


def _decide(asked: Arguments, approves: bool) -> dict[str, Any]:
    row, seen = client.row_of(REQUEST, asked.first("name", "request_name", "request"), "read"), glass()
    note = REQUEST.plan.take({"decision_note": asked.text("reason", "")}, "edit", seen)["decision_note"]
    session = db.session()
    with session.no_autoflush:  # the record is written once, at the end
        requests.decide(session, row, approves, note, seen)
    text = _("Approved.") if approves else _("Rejected.")
    return {"success": True, "message": text, "name": row.number, "status": row.status}


def listed(asked: Arguments) -> list[dict[str, Any]]:
    """status, mine -> the newest requests that the person sees, whole."""
    seen = glass()
    seen.who.refuse_unless("Requests", "read")
    fit = rules({"status": asked.text("status")} if "status" in asked else {}, REQUEST, seen)
    if str(asked.raw("mine", "0")).lower() not in ("0", "false", "none", ""):
        fit.append(AssignmentRequest.created_by_id == seen.who.id)
    wanted = Asked(fit, [AssignmentRequest.id.desc()], asked.whole("limit", MOST, 1, MOST), newest=True)
    return documents(REQUEST, wanted, ("name", *REQUEST.fields), seen)


def people(asked: Arguments) -> list[dict[str, Any]]:
    """[{name, full_name, is_crm_user}] of active colleagues."""
    return [each | {"is_crm_user": 1} for each in colleagues(glass())]


def summary(asked: Arguments) -> dict[str, Any]:
    """reference_doctype, reference_name -> {customer_name, mobile_no, account_type or subject}, for a tooltip."""
    name = asked.text("reference_doctype")
    kind = client.record_kind(name, *_WORK)
    if "reference_name" not in asked and "reference_docname" not in asked:
        raise Refused(417, _("Missing argument: %(name)s", name="reference_name"), "MandatoryError")
    doc = client.whole_of(kind, asked.first("reference_name", "reference_docname"))
    about = {"account_type": doc["account_type"]} if name == "CRM Lead" else {"subject": doc["subject"]}
    return {"customer_name": doc.get("lead_name") or doc.get("customer_name"), "mobile_no": doc["mobile_no"]} | about
