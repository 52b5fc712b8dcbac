"""After a call: what came of it and what is next, in one dialog; whom it belongs to; what begins with it."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import Response, flash, jsonify, redirect, render_template, request
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _

from app import access
from app.domain import call_outcomes, office_hours
from app.domain.base import RuleBroken
from app.domain.call_outcomes import SUGGESTED_OUTCOMES, CallOutcome
from app.domain.calls import CallLog
from app.extensions import db
from app.web.core.date_fields import DateTimeField
from app.web.core.fields import Viewer, clean_text
from app.web.core.gate import REFUSABLE, current_viewer, refusal
from app.web.core.languages import said
from app.web.pages.refusals import back, refuse_as_page
from app.web.records import call_lines, call_targets
from app.web.records.screen import Screen
from app.web.records.tasks import offsets_of

#: When people call again, if they say "tomorrow".
MORNING = time(10)
_DUE = DateTimeField("follow_up_on", "", ())
#: What a call that belongs to nothing may begin -> whose module, and how.
_RECORDS_FROM_CALL = {"lead": ("Leads", call_outcomes.create_lead), "ticket": ("Tickets", call_outcomes.create_ticket)}


class CallOutcomeScreen(Screen):
    """A screen of calls, with what one does after a call."""

    VERBS = Screen.VERBS | {
        "outcome": "write",
        "begin_lead": "write",
        "begin_ticket": "write",
        "link": "write",
        "unlink": "write",
        "places": "write",
    }

    @expose("/outcome/<pk>", methods=["GET", "POST"])
    @has_access
    @refuse_as_page
    @permission_name("outcome")
    def outcome(self, pk: str) -> Any:
        """Say what came of the call, and when it goes on; what was typed stays on any error."""
        call, viewer = self.row_for(pk, "write"), current_viewer()
        if request.method == "GET":
            return self._dialog(call, _stored(call), {}, "")
        try:
            offsets, said = offsets_of(db.session(), viewer.person.id), _typed(viewer)
            if not self._place(call, viewer):
                self._begin(call, request.form.get("begin") or "", said, viewer)
            call_outcomes.save_outcome(db.session(), call, said, viewer.change_context(reminder_minutes=offsets))
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, errors = refusal(broken)
            return self._dialog(self.row_for(pk, "write"), request.form, errors, sentence), status
        flash(_("Outcome logged."), "success")
        return _gone(request.form.get("back"), f"/calls/show/{call.id}")

    def _dialog(self, call: CallLog, raw: Any, errors: dict[str, list[str]], sentence: str) -> str:
        viewer, has_place = current_viewer(), bool(call.lead_id or call.ticket_id)
        context = {
            "action": f"/calls/outcome/{call.id}",
            "title": _("How did the call go?"),
            "about": _about(self, call, viewer),
            "offered": SUGGESTED_OUTCOMES,
            "raw": raw,
            "errors": errors,
            "error": "" if errors else sentence,
            "has_place": has_place,
            "may_note": has_place or call.customer_id,
            "begins": _begins(call, viewer),
            "place": None
            if has_place
            else call_targets.field(raw.get("place"), errors.get("place", []), _("Linked record"), viewer),
            "choices": choices(viewer),
            "back": request.values.get("back") or _referrer(),
            "call_url": f"/calls/show/{call.id}",
        }
        part = bool(request.headers.get("HX-Request"))
        return render_template("crm/_outcome.html" if part else "crm/outcome.html", page=context)

    # --- what begins with a call

    def _place(self, call: CallLog, viewer: Viewer) -> bool:
        """Link the call to the record that was chosen in its dialog; one that belongs to a lead or ticket stays."""
        row = None if call.lead_id or call.ticket_id else call_targets.chosen(request.form.get("place"))
        if row is not None:
            call_outcomes.link(db.session(), call, row, viewer.stamp)
        return row is not None

    def _begin(self, call: CallLog, what: str, said: CallOutcome, viewer: Viewer) -> None:
        """Make the lead or ticket that the dialog was asked for; its first task is the follow-up, if there is one."""
        if what not in _RECORDS_FROM_CALL or call.lead_id or call.ticket_id:
            return
        self._make(call, what, viewer, {} if said.follow_up_on else None)

    def _make(self, call: CallLog, what: str, viewer: Viewer, task: dict[str, Any] | None = None) -> Any:
        """The lead or ticket; raises Denied to who may make none."""
        module, make = _RECORDS_FROM_CALL[what]
        viewer.person.refuse_unless(module, "create")
        with access.as_system(db.session()):  # whose number it is, is asked of all customers
            context = viewer.change_context(
                vault=self.service.vault(),
                sla_terms=viewer.lookups.terms,
                first_task_minutes=viewer.lookups.business["first_task_minutes"],
            )
            return make(db.session(), call, context, task)

    @expose("/lead/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("begin_lead")
    def begin_lead(self, pk: str) -> Any:
        """A lead with the caller's number and name, which the server takes over, seen or not."""
        return _made(self._make(self.row_for(pk, "write"), "lead", current_viewer()), "/leads/")

    @expose("/ticket/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("begin_ticket")
    def begin_ticket(self, pk: str) -> Any:
        """The same for a ticket."""
        return _made(self._make(self.row_for(pk, "write"), "ticket", current_viewer()), "/tickets/")

    # --- to whom it belongs

    @expose("/link/<pk>", methods=["GET", "POST"])
    @has_access
    @refuse_as_page
    @permission_name("link")
    def link(self, pk: str) -> Any:
        """Say to which lead, ticket or customer that one sees the call belongs."""
        call, viewer = self.row_for(pk, "write"), current_viewer()
        if request.method == "GET":
            return self._link_form(call, viewer)
        try:
            row = call_targets.chosen(request.form.get("place"))
        except RuleBroken as broken:
            return self._link_form(call, viewer, [said(broken.message)]), 422
        if row is None:
            return self._link_form(call, viewer, [_("Please choose one lead, ticket or customer.")]), 422
        call_outcomes.link(db.session(), call, row, viewer.stamp)
        db.session.commit()
        flash(_("The call is linked to %(number)s.", number=row.number), "success")
        return redirect(f"/calls/show/{call.id}")

    def _link_form(self, call: CallLog, viewer: Viewer, errors: list[str] | None = None) -> str:
        place = call_targets.field(request.form.get("place"), errors or [], _("Lead, ticket or customer"), viewer)
        form = {
            "title": _("Link this call to a record"),
            "action": f"/calls/link/{call.id}",
            "version": None,
            "conflict": None,
            "error": None,
            "submit_label": _("Link"),
            "cancel_url": f"/calls/show/{call.id}",
            "back_label": _about(self, call, viewer)["text"],
            "sections": [{"title": "", "fields": [place]}],
        }
        return render_template("crm/form.html", form=form)

    @expose("/places", methods=["GET"])
    @has_access
    @refuse_as_page
    @permission_name("places")
    def places(self) -> Any:
        """The pick-list of what a call may belong to: {results: [{value, label, hint}]}."""
        return jsonify({"results": call_targets.offered(request.args.get("q", "").strip(), current_viewer())})

    @expose("/unlink/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("unlink")
    def unlink(self, pk: str) -> Any:
        """The call belongs to nobody."""
        call, viewer = self.row_for(pk, "write"), current_viewer()
        call_outcomes.unlink(db.session(), call, viewer.stamp)
        db.session.commit()
        flash(_("The call is no longer linked to a record."), "success")
        return redirect(f"/calls/show/{call.id}")

    # --- what the call's own page offers

    def primary(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
        """The one main action: the outcome of one's own call."""
        if not call_lines.may_settle((row.get("employee") or {}).get("id"), viewer) or row.get("outcome"):
            return None
        return {"label": _("Log outcome"), "icon": "phone-check", "url": f"/calls/outcome/{row['id']}"}

    def instead(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
        """A call has no timeline: its own line stands there, with what one may do about it in sight."""
        offered = self.more(row, viewer) if viewer.person.may("Call Logs", "write") else []
        return {"timeline": call_lines.alone(row["id"], offered, viewer), "older_url": None}

    def more(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """Outcome again, lead, ticket, links."""
        offered = []
        if row.get("outcome"):
            offered.append((_("Edit outcome"), "phone-check", f"outcome/{row['id']}", "get"))
        if viewer.person.may("Leads", "create") and not row.get("lead") and row.get("other_number"):
            offered.append((_("New lead from this number"), "target-arrow", f"lead/{row['id']}", "post"))
        if viewer.person.may("Tickets", "create") and not row.get("ticket"):
            offered.append((_("New ticket from this call"), "lifebuoy", f"ticket/{row['id']}", "post"))
        offered.append((_("Link to a record"), "link", f"link/{row['id']}", "get"))
        if any(row.get(name) for name in ("lead", "ticket", "customer")):
            offered.append((_("Unlink"), "x", f"unlink/{row['id']}", "post"))
        return [
            {"label": label, "icon": icon, "url": f"/calls/{url}", "method": method}
            for label, icon, url, method in offered
        ]


def choices(viewer: Viewer) -> list[dict[str, str]]:
    """The quick choices of the next follow-up: {value, label}; a day on which the office is shut is passed over."""
    local = viewer.now.astimezone(viewer.zone)
    made = [{"value": "1h", "label": _("In 1 hour")}]
    for value, days in (("tomorrow", 1), ("3d", 3)):
        moment = moment_of(value, viewer).astimezone(viewer.zone)
        is_plain = moment.date() == local.date() + timedelta(days=days) and moment.time() == MORNING
        plain = _("Tomorrow, 10:00") if days == 1 else _("In 3 days, 10:00")
        made.append({"value": value, "label": plain if is_plain else f"{moment:%a %-d %b, %H:%M}"})
    return [each | {"key": key} for each, key in zip(made, "htd", strict=True)]


def moment_of(choice: str, viewer: Viewer) -> datetime:
    """The moment of a quick choice, UTC. Raises RuleBroken for one that there is not."""
    days = {"1h": 0, "tomorrow": 1, "3d": 3}.get(choice)
    if days is None:
        raise RuleBroken(_("Please choose one of the suggested times."), "follow_up_on")
    if choice == "1h":
        return viewer.now + timedelta(hours=1)
    day = viewer.now.astimezone(viewer.zone).date() + timedelta(days=days)
    moment = datetime.combine(day, MORNING, tzinfo=viewer.zone)
    try:
        opens = office_hours.next_opening(viewer.lookups.office, moment)
        # The office opens on a later day: not at its first minute, but when people call again.
        later = datetime.combine(opens.astimezone(viewer.zone).date(), MORNING, tzinfo=viewer.zone)
        return office_hours.next_opening(viewer.lookups.office, max(opens, later))
    except office_hours.NeverOpens:
        return moment


def _begins(call: CallLog, viewer: Viewer) -> dict[str, str] | None:
    """{value, label} of what a call that belongs to no lead or ticket may begin with its outcome."""
    if call.lead_id or call.ticket_id:
        return None
    if call.other_e164 and viewer.person.may("Leads", "create"):
        return {"value": "lead", "label": _("Create a lead from this number")}
    if viewer.person.may("Tickets", "create"):
        return {"value": "ticket", "label": _("Create a ticket from this call")}
    return None


def _typed(viewer: Viewer) -> CallOutcome:
    """What the form says. Raises RuleBroken."""
    form = request.form
    text = clean_text(form.get("other"), "outcome", 1000) or clean_text(form.get("outcome"), "outcome", 1000) or ""
    chosen = form.get("when") or ""
    moment = moment_of(chosen, viewer) if chosen else _DUE.parse(form.get("follow_up_on"), viewer)
    note, title = clean_text(form.get("note"), "note", 20_000), clean_text(form.get("title"), "title", 200)
    if note:
        viewer.person.refuse_unless("Notes", "create")
    if moment is not None:
        viewer.person.refuse_unless("Tasks", "create")
    return CallOutcome(text, note, moment, title, bool(form.get("cold")))


def _stored(call: CallLog) -> dict[str, Any]:
    """The form as it begins: of a call that nobody took, the outcome is clear already."""
    known = call.outcome or ("No answer" if call.status != "Completed" else "")
    is_offered = known in SUGGESTED_OUTCOMES
    return {"outcome": known if is_offered else "", "other": "" if is_offered else known, "cold": call.cold}


def _about(screen: Any, call: CallLog, viewer: Viewer) -> dict[str, Any]:
    """The other side, as the list shows it."""
    record_table = screen.record_table
    row = tuple(record_table.one(db.session(), call.id, ("other",)))
    ((field, cut),) = record_table.selection(("other",))[1]
    return dict(field.cell(row[cut], viewer))


def _made(record: Any, root: str) -> Any:
    db.session.commit()
    flash(_("%(number)s was created and the call linked to it.", number=record.number), "success")
    return redirect(f"{root}{record.number}")


def _referrer() -> str:
    """Where the person came from, unless it was a form of the call."""
    came = back()
    return "" if came.startswith(("/calls/outcome/", "/calls/add", "/calls/link/")) or came == "/" else came


def _gone(asked: str | None, otherwise: str) -> Any:
    """Back to where the dialog was opened: a path of this site, or the call's page."""
    came = urlsplit(asked or "")
    is_ours = bool(came.path.startswith("/") and not came.path.startswith("//") and not came.netloc and not came.scheme)
    target = asked if is_ours and asked and "\\" not in asked else otherwise
    if request.headers.get("HX-Request"):
        return Response(status=204, headers={"HX-Redirect": target})
    return redirect(target)
