"""After a call: log outcome and follow-up in one dialog, link the call to a record, create a lead or ticket from it."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from flask import Response, flash, jsonify, redirect, render_template, request
from flask_babel import gettext as _

from app import access
from app.domain.base import RuleBroken
from app.domain.telephony import call_cards, call_outcomes
from app.domain.telephony.call_outcomes import SUGGESTED_OUTCOMES, CallOutcome
from app.domain.telephony.calls import CallLog
from app.domain.working_time import office_hours
from app.extensions import db
from app.web.core.fab_access import REFUSABLE, current_viewer, refusal
from app.web.core.fields.base import clean_text
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.default_labels import shown_label
from app.web.core.localization.languages import translate_text
from app.web.core.urls.local_links import local_path
from app.web.core.viewer import Viewer
from app.web.pages.refusals import previous_page
from app.web.pages.routes import page_route
from app.web.records import record_form
from app.web.records.close_tasks_field import chosen_tasks, tasks_input
from app.web.records.notes import clean_note
from app.web.records.screen import Screen
from app.web.records.telephony import call_link_targets
from app.web.records.telephony.call_outcome_actions import DUE, day_end, log_outcome
from app.web.records.timelines import call_entries

#: Time of day of the follow-up choices in days, such as "tomorrow".
MORNING = time(10)
#: Kind of record that can be created from an unlinked call -> module, and function that creates it.
_RECORDS_FROM_CALL = {"lead": ("Leads", call_outcomes.create_lead), "ticket": ("Tickets", call_outcomes.create_ticket)}


class CallOutcomeScreen(Screen):
    """A screen of calls, with the actions after a call."""

    VERBS = Screen.VERBS | {
        "outcome": "write",
        "begin_lead": "write",
        "begin_ticket": "write",
        "link": "write",
        "unlink": "write",
        "places": "write",
    }

    @page_route("/outcome/<pk>", methods=["GET", "POST"])
    def outcome(self, pk: str) -> Any:
        """Log the outcome of the call, and the next follow-up; the input is kept on any error."""
        call, viewer = self.row_for(pk, "write"), current_viewer()
        if request.method == "GET":
            return self._dialog(call, _stored(call) | {"note": _taken_note(call, viewer)}, {}, "")
        try:
            outcome = parse_form(viewer)
            is_linked = self._link_chosen_record(call, viewer)
            made = (
                None if is_linked else self._create_requested_record(call, request.form.get("begin"), outcome, viewer)
            )
            log_outcome(call, outcome, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, errors = refusal(broken)
            return self._dialog(self.row_for(pk, "write"), request.form, errors, sentence), status
        flash(_created_text(made) if made is not None else _("Outcome logged."), "success")
        return return_to(request.form.get("back"), f"/calls/show/{call.id}")

    def _dialog(self, call: CallLog, raw: Any, errors: dict[str, list[str]], sentence: str) -> str:
        viewer, has_place = current_viewer(), bool(call.lead_id or call.ticket_id)
        context = {
            "action": f"/calls/outcome/{call.id}",
            "title": _("How did the call go?"),
            "about": _about(self, call, viewer),
            "offered": offered_outcomes(),
            "raw": raw,
            "errors": errors,
            "error": "" if errors else sentence,
            "has_place": has_place,
            "may_note": has_place or call.customer_id,
            "begins": _offered_record(call, viewer),
            "place": None
            if has_place
            else call_link_targets.field(
                raw.get("place") or raw.get("place--typed"), errors.get("place", []), _("Linked record"), viewer
            ),
            "choices": choices(viewer),
            "replaced": replaced(call, raw, viewer) if has_place else None,
            "back": request.values.get("back") or _referrer(),
            "call_url": f"/calls/show/{call.id}",
        }
        part = bool(request.headers.get("HX-Request"))
        return render_template("records/_call_outcome.html" if part else "records/call_outcome.html", page=context)

    # --- creating a record from a call

    def _link_chosen_record(self, call: CallLog, viewer: Viewer) -> bool:
        """Link the call to the record chosen in the dialog, unless it is linked to a lead or ticket already."""
        row = None if call.lead_id or call.ticket_id else call_link_targets.chosen(record_form.reference_sent("place"))
        if row is not None:
            call_outcomes.link(db.session(), call, row, viewer.stamp)
        return row is not None

    def _create_requested_record(self, call: CallLog, what: str | None, outcome: CallOutcome, viewer: Viewer) -> Any:
        """The lead or ticket requested in the dialog, or None; its first task is the follow-up, if there is one."""
        if what not in _RECORDS_FROM_CALL or call.lead_id or call.ticket_id:
            return None
        return self._create_record(call, what, viewer, {} if outcome.follow_up_on else None)

    def _create_record(self, call: CallLog, what: str, viewer: Viewer, task: dict[str, Any] | None = None) -> Any:
        """Create the lead or ticket. Raises Denied if the viewer can't create one."""
        module, make = _RECORDS_FROM_CALL[what]
        viewer.person.refuse_unless(module, "create")
        with access.as_system(db.session()):  # a number is matched against all customers
            context = viewer.change_context(
                vault=self.service.vault(),
                sla_terms=viewer.lookups.terms,
                first_task_minutes=viewer.lookups.business["first_task_minutes"],
            )
            return make(db.session(), call, context, task)

    @page_route("/lead/<pk>", methods=["POST"])
    def begin_lead(self, pk: str) -> Any:
        """Create a lead with the caller's number and name, even if the viewer sees them masked."""
        return _redirect_to_new(self._create_record(self.row_for(pk, "write"), "lead", current_viewer()), "/leads/")

    @page_route("/ticket/<pk>", methods=["POST"])
    def begin_ticket(self, pk: str) -> Any:
        """Create a ticket likewise."""
        return _redirect_to_new(self._create_record(self.row_for(pk, "write"), "ticket", current_viewer()), "/tickets/")

    # --- linking

    @page_route("/link/<pk>", methods=["GET", "POST"])
    def link(self, pk: str) -> Any:
        """Link the call to a lead, ticket or customer that the viewer sees."""
        call, viewer = self.row_for(pk, "write"), current_viewer()
        if request.method == "GET":
            return self._link_form(call, viewer)
        try:
            row = call_link_targets.chosen(record_form.reference_sent("place"))
        except RuleBroken as broken:
            return self._link_form(call, viewer, [translate_text(broken.message)]), 422
        if row is None:
            return self._link_form(call, viewer, [_("Please choose one lead, ticket or customer.")]), 422
        call_outcomes.link(db.session(), call, row, viewer.stamp)
        db.session.commit()
        flash(_("The call is linked to %(number)s.", number=row.number), "success")
        return redirect(f"/calls/show/{call.id}")

    def _link_form(self, call: CallLog, viewer: Viewer, errors: list[str] | None = None) -> str:
        place = call_link_targets.field(
            record_form.reference_sent("place"), errors or [], _("Lead, ticket or customer"), viewer
        )
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
        return render_template("pages/form.html", form=form)

    @page_route("/places", methods=["GET"])
    def places(self) -> Any:
        """Records that a call can be linked to: {results: [{value, label, hint}]}."""
        return jsonify({"results": call_link_targets.offered(request.args.get("q", "").strip(), current_viewer())})

    @page_route("/unlink/<pk>", methods=["POST"])
    def unlink(self, pk: str) -> Any:
        """Unlink the call."""
        call, viewer = self.row_for(pk, "write"), current_viewer()
        call_outcomes.unlink(db.session(), call, viewer.stamp)
        db.session.commit()
        flash(_("The call is no longer linked to a record."), "success")
        return redirect(f"/calls/show/{call.id}")

    # --- the call's own page

    def main_action(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
        """The main action: log the outcome of the viewer's own call."""
        if not call_entries.can_log_outcome((row.get("employee") or {}).get("id"), viewer) or row.get("outcome"):
            return None
        return {"label": _("Log outcome"), "icon": "phone-check", "url": f"/calls/outcome/{row['id']}"}

    def context_overrides(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
        """A call has no timeline: its own entry, with the actions, takes its place."""
        offered = self.more_actions(row, viewer) if viewer.person.may("Call Logs", "write") else []
        found = next((name for name in ("ticket", "lead", "customer") if row.get(name)), None)
        target = f"{found}/{row[found]['id']}" if found else f"call/{row['id']}"
        can_write = viewer.person.may("Messages", "create") and bool(row.get("other_number"))
        return {
            "timeline": call_entries.call_page_entries(row["id"], offered, viewer),
            "older_url": None,
            "whatsapp_url": f"/inbox/to/{target}?channel=whatsapp" if can_write else None,
        }

    def more_actions(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """Edit the outcome, create a lead or ticket, the evidence of an order, link and unlink."""
        offered = []
        if row.get("outcome"):
            offered.append((_("Edit outcome"), "phone-check", f"outcome/{row['id']}", "get"))
        if viewer.person.may("Leads", "create") and not row.get("lead") and row.get("other_number"):
            offered.append((_("New lead from this number"), "target-arrow", f"lead/{row['id']}", "post"))
        if viewer.person.may("Tickets", "create") and not row.get("ticket"):
            offered.append((_("New ticket from this call"), "lifebuoy", f"ticket/{row['id']}", "post"))
        if row.get("is_order"):
            offered.append((_("Evidence of the order"), "clipboard-check", f"evidence/{row['id']}", "get"))
        offered.append((_("Link to a record"), "link", f"link/{row['id']}", "get"))
        if any(row.get(name) for name in ("lead", "ticket", "customer")):
            offered.append((_("Unlink"), "x", f"unlink/{row['id']}", "post"))
        return [
            {"label": label, "icon": icon, "url": f"/calls/{url}", "method": method}
            for label, icon, url, method in offered
        ]


def choices(viewer: Viewer) -> list[dict[str, str]]:
    """The quick choices for the follow-up: {value, label, key}; days on which the office is closed are skipped."""
    local = viewer.now.astimezone(viewer.zone)
    made = [{"value": "1h", "label": _("In 1 hour")}]
    for value, days in (("tomorrow", 1), ("3d", 3)):
        moment = moment_of(value, viewer).astimezone(viewer.zone)
        is_plain = moment.date() == local.date() + timedelta(days=days) and moment.time() == MORNING
        plain = _("Tomorrow, 10:00") if days == 1 else _("In 3 days, 10:00")
        made.append({"value": value, "label": plain if is_plain else format_local_date(moment, "%a %-d %b, %H:%M")})
    return [each | {"key": key} for each, key in zip(made, "htd", strict=True)]


def moment_of(choice: str, viewer: Viewer) -> datetime:
    """The time of a quick choice, UTC. Raises RuleBroken for an unknown choice."""
    days = {"1h": 0, "tomorrow": 1, "3d": 3}.get(choice)
    if days is None:
        raise RuleBroken(_("Please choose one of the suggested times."), "follow_up_on")
    if choice == "1h":
        return viewer.now + timedelta(hours=1)
    day = viewer.today + timedelta(days=days)
    moment = datetime.combine(day, MORNING, tzinfo=viewer.zone)
    try:
        opens = office_hours.next_opening(viewer.lookups.office, moment)
        # The office opens on a later day: use MORNING instead of its first minute.
        later = datetime.combine(opens.astimezone(viewer.zone).date(), MORNING, tzinfo=viewer.zone)
        return office_hours.next_opening(viewer.lookups.office, max(opens, later))
    except office_hours.NeverOpens:
        return moment


def _offered_record(call: CallLog, viewer: Viewer) -> dict[str, str] | None:
    """{value, label} of the record that the outcome dialog offers to create; None for a linked call."""
    if call.lead_id or call.ticket_id:
        return None
    if call.other_e164 and viewer.person.may("Leads", "create"):
        return {"value": "lead", "label": _("Create a lead from this number")}
    if viewer.person.may("Tickets", "create"):
        return {"value": "ticket", "label": _("Create a ticket from this call")}
    return None


def parse_form(viewer: Viewer) -> CallOutcome:
    """The submitted form. Raises RuleBroken."""
    form = request.form
    text = clean_text(form.get("other"), "outcome", 1000) or clean_text(form.get("outcome"), "outcome", 1000) or ""
    chosen = form.get("when") or ""
    moment = moment_of(chosen, viewer) if chosen else DUE.parse(form.get("follow_up_on"), viewer)
    note = clean_note(form.get("note"), "note")
    title = clean_text(form.get("title"), "title", 200)
    if note:
        viewer.person.refuse_unless("Notes", "create")
    if moment is not None:
        viewer.person.refuse_unless("Tasks", "create")
    closing = chosen_tasks(form.getlist("close_tasks")) if form.get("offered_tasks") else None
    marks = {name: bool(form.get(name)) for name in ("cold", "is_order")}
    return CallOutcome(text, note, moment, title, **marks, close_tasks=closing, due_until=day_end(viewer))


def replaced(call: CallLog, raw: Any, viewer: Viewer) -> dict[str, Any] | None:
    """The checkboxes of the tasks that a follow-up replaces, all checked at first; None without any."""
    found = call_outcomes.replaced_tasks(db.session(), call, viewer.person.id, day_end(viewer))
    if not found:
        return None
    is_sent = raw.get("offered_tasks") is not None
    kept = set(raw.getlist("close_tasks")) if is_sent else {str(task.id) for task in found}
    return tasks_input([(task.id, task.title, task.due_on) for task in found], kept, viewer)


def offered_outcomes() -> list[tuple[str, str]]:
    """(suggested outcome, its label in the language of the page)."""
    return [(each, shown_label(each)) for each in SUGGESTED_OUTCOMES]


def _stored(call: CallLog) -> dict[str, Any]:
    """The initial values of the form; an unanswered call is prefilled with "No answer"."""
    known = call.outcome or ("No answer" if call.status != "Completed" else "")
    is_offered = known in SUGGESTED_OUTCOMES
    marks = {"cold": call.cold, "is_order": call.is_order}
    return {"outcome": known if is_offered else "", "other": "" if is_offered else known} | marks


def _taken_note(call: CallLog, viewer: Viewer) -> str:
    """The note that the viewer wrote during the call, until its outcome is logged."""
    return "" if call.outcome else call_cards.note_of(db.session(), call.id, viewer.person.id)


def _about(screen: Any, call: CallLog, viewer: Viewer) -> dict[str, Any]:
    """The other party, as the list shows it."""
    record_table = screen.record_table
    row = tuple(record_table.one(db.session(), call.id, ("other",)))
    ((field, cut),) = record_table.selection(("other",))[1]
    return dict(field.cell(row[cut], viewer))


def _redirect_to_new(record: Any, root: str) -> Any:
    db.session.commit()
    flash(_created_text(record), "success")
    return redirect(f"{root}{record.number}")


def _created_text(record: Any) -> str:
    return _("%(number)s was created and the call linked to it.", number=record.number)


def _referrer() -> str:
    """The referring page, unless it was a form of the call."""
    path = previous_page()
    is_form = path == "/" or path.startswith(("/calls/outcome/", "/calls/add", "/calls/link/"))
    return "" if is_form else path


def return_to(requested: str | None, otherwise: str) -> Any:
    """Redirect to where the dialog was opened if it is a path of this site, else to `otherwise`."""
    target = local_path(requested) or otherwise
    if request.headers.get("HX-Request"):
        return Response(status=204, headers={"HX-Redirect": target})
    return redirect(target)
