"""Editing and deleting notes: authors edit their note in place or on a page of its own; earlier texts stay readable."""

from __future__ import annotations

import json
from typing import Any

from flask import flash, make_response, redirect, render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _

from app import access
from app.domain.base import NotFound, RuleBroken
from app.domain.timeline import MAX_NOTE_LENGTH
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Activity
from app.web.core.fab_access import REFUSABLE, ModulePermissions, current_viewer, refusal
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.records import note_deletion, note_links, notes
from app.web.records.timelines import entry_texts
from app.web.records.timelines.timeline_rest import ActivityResource

#: Column of Activity that refers to the record -> URL of the record's page.
_PAGES = {"ticket_id": "/tickets/show/", "lead_id": "/leads/show/", "customer_id": "/customers/show/"}
_EDITED = DateTimeField("edited_on", _)


class NotesView(ModulePermissions, BaseView):
    """/notes/<id>: the form to edit one's own note, and the deletion of a note."""

    route_base = "/notes"
    default_view = "form"
    module = "Notes"
    VERBS = {
        "form": "write",
        "save": "write",
        "remove": "delete",
        "undo": "delete",
        "shown": "read",
        "place": "read",
    }

    @page_route("/<pk>", methods=["GET"])
    def form(self, pk: str) -> Any:
        """The form: in place on the timeline, or as a page."""
        line = _own(pk)
        return _answered(line, line.payload.get("text"), "")

    @page_route("/<pk>", methods=["POST"])
    def save(self, pk: str) -> Any:
        """Save the text; on an error the form keeps the input."""
        line, viewer = _own(pk), current_viewer()
        typed = request.form.get("text", "")
        try:
            text = notes.clean_note(typed, "text")
            if not text:
                raise RuleBroken(_("Please enter a text. A note can't be empty."), "text")
            edit = notes.NoteEdit(text, _EDITED.parse(request.form.get("edited_on"), viewer))
            notes.edit_note(db.session(), line, edit, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, _errors = refusal(broken)
            return _answered(_own(pk), typed, sentence), status
        return _saved(line, viewer)

    @page_route("/<pk>/delete", methods=["POST"])
    def remove(self, pk: str) -> Any:
        """Delete the note and return to the page of its record; the flash message offers to undo it."""
        line, viewer = _line(pk), current_viewer()
        notes.refuse_undeletable(line, viewer)
        column, key = _place(line)
        change = note_deletion.delete(db.session(), line, ActivityResource.service, viewer)
        db.session.commit()
        undo = {"url": "/notes/undo", "fields": {"change": change}}
        flash({"text": _("Note deleted."), "undo": undo}, "success")  # type: ignore[arg-type]
        return redirect(f"{_PAGES[column]}{key}")

    @page_route("/undo", methods=["POST"])
    def undo(self) -> Any:
        """Bring back the note that the person has deleted."""
        key, viewer = parse_id(request.form.get("change")) or 0, current_viewer()
        line = note_deletion.restore(db.session(), key, viewer)
        db.session.commit()
        flash(_("The note is back."), "success")
        column, key = _place(line)
        return redirect(f"{_PAGES[column]}{key}#entry-{line.id}")

    @page_route("/<pk>/shown", methods=["GET"])
    def shown(self, pk: str) -> Any:
        """The timeline entry, to replace a canceled form."""
        return render_template("records/_entry.html", e=entry_texts.entry(_line(pk), current_viewer()))

    @page_route("/<pk>/place", methods=["GET"])
    def place(self, pk: str) -> Any:
        """Redirect to the note on the timeline of the first of its records that the viewer sees."""
        return redirect(note_links.url_of(_line(pk), current_viewer()))


def _line(pk: str) -> Any:
    line = access.get_visible(db.session(), Activity, parse_id(pk))
    if line is None:
        raise NotFound(_("This note doesn't exist, or you don't have access to its record."))
    return line


def _own(pk: str) -> Any:
    """The entry, if the viewer can change it. Raises NotFound, Denied or RuleBroken."""
    line = _line(pk)
    notes.refuse_foreign(line, current_viewer())
    return line


def _answered(line: Any, typed: Any, sentence: str) -> Any:
    """The form with the typed text and, on a conflict, the stored text."""
    stored = line.payload.get("text")
    column, key = _place(line)
    note = {
        "id": line.id,
        "action": f"/notes/{line.id}",
        "text": typed,
        "error": sentence,
        "most": MAX_NOTE_LENGTH,
        "stored": stored if sentence and stored != typed else None,
        "back_url": f"{_PAGES[column]}{key}",
        "edited_on": line.edited_on.isoformat() if line.edited_on else "",
        "about": f"{column.removesuffix('_id')}:{key}",
    }
    is_part = bool(request.headers.get("HX-Request"))
    return render_template("records/_note.html" if is_part else "records/note.html", note=note)


def _place(line: Any) -> tuple[str, int]:
    """(column, id) of the note's record that the person sees."""
    row = notes.about_of(db.session(), line)
    column = next(column for record, column in notes.ABOUT.values() if isinstance(row, record))
    return column, int(row.id)


def _saved(line: Any, viewer: Viewer) -> Any:
    """The changed timeline entry or a redirect to the record's page, with a message about who was not notified."""
    if request.headers.get("HX-Request"):
        answer = make_response(render_template("records/_entry.html", e=entry_texts.entry(line, viewer)))
        if remark_text := " ".join(notes.unnotified_people()):
            answer.headers["HX-Trigger"] = json.dumps({"crm:toast": {"text": remark_text}})
        return answer
    flash(_("Note saved."), "success")
    for sentence in notes.unnotified_people():
        flash(sentence, "warning")
    column, key = _place(line)
    return redirect(f"{_PAGES[column]}{key}#entry-{line.id}")
