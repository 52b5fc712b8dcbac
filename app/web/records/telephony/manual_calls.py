"""A call made elsewhere, logged from a lead, ticket or customer, with its outcome and the next step."""

from __future__ import annotations

from typing import Any

from flask import flash, render_template, request
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.domain.telephony import calls
from app.domain.telephony.call_outcomes import CallOutcome
from app.extensions import db
from app.models import CallLog
from app.web.core.fab_access import NOT_REFUSED, REFUSABLE, Refusal, current_viewer, refusal
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.urls.local_links import local_path
from app.web.core.urls.record_references import PAGES, named_record
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.records.telephony import call_outcomes
from app.web.records.telephony.call_outcome_actions import log_outcome

VERBS = {"log": "create"}
#: The outcome if nobody was reached, and the status of such a call by its direction.
NO_ANSWER = "No answer"
_UNANSWERED = {"Outgoing": "No Answer", "Incoming": "Missed Call"}
_BEGAN = DateTimeField("started_on", "", ())


class CallByHandRoutes:
    """/calls/log/<kind of record>/<id>"""

    @page_route("/log/<kind>/<pk>", methods=["GET", "POST"])
    def log(self, kind: str, pk: str) -> Any:
        """Log the call with its outcome and the next follow-up; the input is kept on any error."""
        row, viewer = named_record(kind, pk), current_viewer()
        if request.method == "GET":
            return _form(kind, row, {"direction": "Outgoing"})
        try:
            _save(kind, row, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            refused = refusal(broken)
            return _form(kind, named_record(kind, pk), request.form, refused), refused.status
        flash(_("Call logged."), "success")
        return call_outcomes.return_to(request.form.get("back"), f"{PAGES[kind]}{row.id}")


def _save(kind: str, row: Any, viewer: Viewer) -> None:
    """Store the call. Raises Denied, RuleBroken."""
    viewer.person.refuse_unless("Call Logs", "write")
    outcome = call_outcomes.parse_form(viewer)
    if not outcome.text.strip():  # before the call is created
        raise RuleBroken(_("Please choose what came of the call, or write it."), "outcome")
    call = calls.create(db.session(), _values(kind, row, outcome, viewer), viewer.stamp)
    log_outcome(call, outcome, viewer)


def _values(kind: str, row: Any, outcome: CallOutcome, viewer: Viewer) -> dict[str, Any]:
    direction = request.form.get("direction") or "Outgoing"
    is_answered = outcome.text != NO_ANSWER
    return {
        "direction": direction,
        "status": "Completed" if is_answered else _UNANSWERED.get(direction, "No Answer"),
        "started_on": _BEGAN.parse(request.form.get("started_on"), viewer) or viewer.now,
        f"{kind}_id": row.id,
    }


def _form(kind: str, row: Any, raw: Any, refused: Refusal = NOT_REFUSED) -> str:
    viewer, has_place = current_viewer(), kind in ("lead", "ticket")
    is_htmx = bool(request.headers.get("HX-Request"))
    page_url = f"{PAGES[kind]}{row.id}"
    planned = CallLog(employee_id=viewer.person.id, **{f"{kind}_id": row.id})  # never saved
    with db.session.no_autoflush:
        replaced = call_outcomes.replaced(planned, raw, viewer) if has_place else None
    context = {
        "key": "call-log",
        # a form of the page of its own says so; those in a box of the record's page stand below its name
        "is_part": is_htmx and not request.form.get("page"),
        "action": f"/calls/log/{kind}/{row.id}",
        "title": _("Log a call"),
        "about": {"kind": "text", "text": getattr(row, "name", "") or row.number},
        "by_hand": {"direction": raw.get("direction") or "Outgoing", "started_on": raw.get("started_on") or ""},
        "offered": call_outcomes.offered_outcomes(),
        "raw": raw,
        "errors": refused.errors,
        "error": "" if refused.errors else refused.sentence,
        "has_place": has_place,
        "may_note": True,
        "begins": None,
        "place": None,
        "choices": call_outcomes.choices(viewer) if viewer.person.may("Tasks", "create") else [],
        "replaced": replaced,
        "back": local_path(request.values.get("back")) or page_url,
        "call_url": page_url,
    }
    return render_template("records/_call_outcome.html" if is_htmx else "records/call_outcome.html", page=context)
