"""One-click actions on tasks: done, undo, snooze, and finish with a next task."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request
from flask_babel import gettext as _

from app.domain import follow_ups
from app.domain.base import Conflict
from app.domain.next_follow_up import PlannedTask
from app.domain.snooze import snoozed_due_on
from app.domain.tasks import OPEN, Task, refuse_closed
from app.domain.timeline import MAX_NOTE_LENGTH
from app.extensions import db
from app.generated_titles import shown_title
from app.web.core.fab_access import REFUSABLE, current_viewer, parse_integer, refusal
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.viewer import Viewer
from app.web.pages.refusals import previous_page
from app.web.pages.routes import page_route
from app.web.records.notes import clean_note, unnotified_people, write_note
from app.web.records.screen import Screen
from app.web.records.suggested_times import next_follow_up


class TaskActions(Screen):
    """A screen of tasks with one-click actions."""

    VERBS = Screen.VERBS | {"done": "write", "reopen": "write", "snooze": "write", "finish": "write"}

    def main_action(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
        """Done, while it is open."""
        if row["status"] not in OPEN or not viewer.person.may("Tasks", "write"):
            return None
        return {"label": _("Done"), "url": f"/tasks/done/{row['id']}", "method": "post", "icon": "check"}

    def more_actions(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """Done, with a note and the next task."""
        if row["status"] not in OPEN or not viewer.person.may("Tasks", "create"):
            return []
        return [{"label": _("Done and follow up"), "url": f"/tasks/finish/{row['id']}", "icon": "repeat"}]

    @page_route("/done/<pk>", methods=["POST"])
    def done(self, pk: str) -> Any:
        """Mark a task as done and return to the same page; the flash message offers to undo it."""
        row = self.row_for(pk, "write")
        refuse_closed(row)
        before, title = row.status, row.title
        self.service.change(db.session(), row, {"status": "Done"}, current_viewer())
        db.session.flush()
        undo = {"url": f"/tasks/reopen/{row.id}", "fields": {"status": before, "version": row.version}}
        db.session.commit()
        flash({"text": _("Done: %(title)s", title=shown_title(title)), "undo": undo}, "success")  # type: ignore[arg-type]
        return redirect(previous_page())

    @page_route("/reopen/<pk>", methods=["POST"])
    def reopen(self, pk: str) -> Any:
        """Undo "done", unless the task was changed since."""
        row, viewer = self.row_for(pk, "write"), current_viewer()
        version = parse_integer(request.form.get("version"), 0, 0, 2**31) or None
        if row.status in OPEN or version not in (None, row.version):
            raise Conflict(_("Someone else changed this task, so it can't be undone."))
        status = request.form.get("status")
        self.service.change(db.session(), row, {"status": status if status in OPEN else "Todo"}, viewer)
        flash(_("Reopened: %(title)s", title=shown_title(row.title)), "success")
        db.session.commit()
        return redirect(previous_page())

    @page_route("/snooze/<pk>", methods=["POST"])
    def snooze(self, pk: str) -> Any:
        """Move the due time of a task: `until` is 15m, 1h, 3h or tomorrow."""
        row, viewer = self.row_for(pk, "write"), current_viewer()
        refuse_closed(row)
        moment = snoozed_due_on(row.due_on, request.form.get("until", ""), viewer.now, viewer.zone)
        self.service.change(db.session(), row, {"due_on": moment}, viewer)
        until = format_local_date(moment.astimezone(viewer.zone), "%a %-d %b, %H:%M")
        flash(_("%(title)s: snoozed until %(moment)s.", title=row.title, moment=until), "success")
        db.session.commit()
        return redirect(previous_page())

    @page_route("/finish/<pk>", methods=["GET", "POST"])
    def finish(self, pk: str) -> Any:
        """Mark a task as done, write a note and create the next task, in one transaction."""
        row, viewer = self.row_for(pk, "write"), current_viewer()
        viewer.person.refuse_unless("Tasks", "create")
        refuse_closed(row)
        if request.method == "GET":
            return self._finish_form(row, {"title": row.title, "due_on": next_follow_up(viewer)}, {}, viewer)
        raw = {name: request.form.get(name, "") for name in ("note", "title", "due_on")}
        try:
            self._finish(row, raw, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            status, _sentence, errors = refusal(broken)
            if not errors:
                raise
            return self._finish_form(self.row_for(pk, "write"), raw, errors, viewer), status
        flash(_("Done. The follow-up is set."), "success")
        for sentence in unnotified_people():
            flash(sentence, "warning")
        return redirect("/")

    def _finish(self, row: Task, raw: dict[str, str], viewer: Viewer) -> None:
        session = db.session()
        values = self.record_table.parse({"title": raw["title"], "due_on": raw["due_on"]}, "add", viewer)
        follow_ups.refuse_invalid_follow_up(values, viewer.now)
        note = clean_note(raw["note"], "note")
        before = max(viewer.now, row.due_on or viewer.now)
        self.service.change(session, row, {"status": "Done"}, viewer)
        if row.lead_id is not None:  # before the task is written and new rows refer to the lead, as in the service
            with session.no_autoflush:
                follow_ups.set_follow_up(session, row.lead_id, PlannedTask(values["due_on"], before))
        if note:
            viewer.person.refuse_unless("Notes", "create")
            write_note(session, row, note, viewer)
        parent = {"lead_id": row.lead_id, "ticket_id": row.ticket_id, "priority": row.priority}
        self.service.create(session, values | parent, viewer)

    def _finish_form(self, row: Task, raw: dict[str, Any], errors: dict[str, list[str]], viewer: Viewer) -> Any:
        named = self.record_table.by_name
        note = {
            "name": "note",
            "label": _("How did it go?"),
            "kind": "textarea",
            "value": raw.get("note", ""),
            "errors": errors.get("note", []),
            "maxlength": MAX_NOTE_LENGTH,
            "placeholder": _("Optional"),
        }
        due = named["due_on"].form_input(raw["due_on"], errors.get("due_on", []), viewer)
        title = named["title"].form_input(raw["title"], errors.get("title", []), viewer)
        fields = [due | {"label": _("Next follow-up"), "required": True}, title | {"label": _("Task title")}]
        notes = [note] if viewer.person.may("Notes", "create") else []
        form = {
            "title": _("“%(title)s” is done. What's next?", title=row.title),
            "action": f"/tasks/finish/{row.id}",
            "conflict": None,
            "version": None,
            "error": None,
            "cancel_url": "/",
            "back_label": _("My day"),
            "submit_label": _("Save"),
            "sections": [{"title": None, "fields": [*notes, *fields]}],
        }
        is_part = bool(request.headers.get("HX-Request"))
        return render_template("records/_finish_task.html" if is_part else "records/finish_task.html", form=form)
