"""In-place actions of a list and a record's page: edit one value, preview a record beside its list, show changes."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

from flask import render_template, request
from flask_babel import gettext as _
from sqlalchemy.orm.exc import StaleDataError

from app.domain.base import NotFound, RuleBroken
from app.extensions import db
from app.ops.database.database_errors import Cause, cause_of
from app.web.core.fab_access import REFUSABLE, current_viewer, refusal, sentence_header
from app.web.core.fields.base import Field
from app.web.core.viewer import Viewer
from app.web.core.views import save_warnings
from app.web.pages.html_parts import cell
from app.web.pages.routes import page_route
from app.web.records import inline_edit_fields, record_form
from app.web.records import record_page as pages

#: Attempts to save a value while others save other values of the record.
SAVE_TRIES = 12
#: Random pause after a collision, in seconds, so that the next attempts don't coincide.
SAVE_PAUSE_SECONDS = 0.02
#: Entries of the timeline in the preview.
PREVIEW_ENTRIES = 5


@dataclass(frozen=True)
class CellEdit:
    """An edited value in its place, and why it was not saved."""

    row: Any
    field: Field
    typed: Any
    #: HTTP; 409 without a sentence: somebody else has changed the value.
    status: int = 200
    sentence: str | None = None
    stored: Any = None


class InlineActions:
    """The endpoints of a screen for the rows of its list."""

    record_table: Any
    row_for: Any
    change_row: Any
    url_of: Any
    _refuse_emptied: Any

    @page_route("/cell/<pk>/<string:name>", methods=["GET"], permission="edit")
    def cell_form(self, pk: str, name: str) -> Any:
        """The input for one cell, with the currently stored value: a fragment."""
        viewer, each = current_viewer(), self._editable(name)
        row = self.row_for(pk, "write")
        return self._cell_form(CellEdit(row, each, self._stored(row.id, each, viewer)), viewer)

    @page_route("/cell/<pk>/<string:name>", methods=["POST"], permission="edit")
    def save_cell(self, pk: str, name: str) -> Any:
        """Save one value. A refusal is shown beside the input.

        Concurrent changes of other columns are kept. If this one was changed, both values are shown, and the next save
        is based on the new one.
        """
        viewer, each, typed = current_viewer(), self._editable(name), record_form.reference_sent(name)
        for tries_left in reversed(range(SAVE_TRIES)):
            row = self.row_for(pk, "write")
            key, stored = row.id, self._stored(row.id, each, viewer)
            if _text(stored) not in (_text(request.form.get("before")), _text(typed)):
                return self._cell_form(CellEdit(row, each, typed, 409, stored=stored), viewer)
            try:
                versions = self._save_value(row, each, typed, viewer)
                break
            except REFUSABLE as broken:
                db.session.rollback()
                # Another column was saved at the same time: once more, based on the current values.
                if not tries_left or not _has_collided(broken):
                    status, sentence, _errors = refusal(broken)
                    edit = CellEdit(self.row_for(pk, "read"), each, typed, status, sentence)
                    return self._cell_form(edit, viewer)
                time.sleep(random.uniform(0, SAVE_PAUSE_SECONDS))  # noqa: S311
        warnings = save_warnings.pop_all()
        headers = versions | (sentence_header(" ".join(warnings)) if warnings else {})
        return str(cell(self._cell(key, each, viewer))), 200, headers

    def _save_value(self, row: Any, each: Field, typed: Any, viewer: Viewer) -> dict[str, str]:
        """Save, and return the headers with the version before and after: the page's forms save on top of their own.

        No headers if nothing has changed.
        """
        given = bool(typed) if each.kind == "flag" else typed
        values = self.record_table.parse({each.name: given}, "edit", viewer)
        self._refuse_emptied(values)
        before = getattr(row, "version", None)
        self.change_row(row, values, None, viewer)
        db.session.flush()
        after = getattr(row, "version", None)
        db.session.commit()
        return {"X-Version-Before": str(before), "X-Version": str(after)} if before != after else {}

    def _editable(self, name: str) -> Field:
        each = self.record_table.by_name.get(name)
        if each is None or not each.columns:
            raise NotFound(_("This list has no column “%(name)s”.", name=name[:60]))
        if not inline_edit_fields.on_page(self, each, current_viewer()):
            raise RuleBroken(_("“%(name)s” can't be changed here.", name=str(each.label)))
        return each

    def _values(self, key: int, each: Field) -> tuple[Any, ...]:
        row = self.record_table.one(db.session(), key, (each.name,))
        return tuple(row)[self.record_table.selection((each.name,))[1][0][1]]

    def _stored(self, key: int, each: Field, viewer: Viewer) -> Any:
        return each.form_value(self._values(key, each), viewer)

    def _cell(self, key: int, each: Field, viewer: Viewer) -> Any:
        return each.shown_cell(self._values(key, each), viewer)

    def _cell_form(self, edit: CellEdit, viewer: Viewer) -> Any:
        row, each, is_conflict = edit.row, edit.field, edit.status == 409 and edit.sentence is None
        before = edit.stored if is_conflict else request.form.get("before", edit.typed)
        who = viewer.lookups.person(getattr(row, "changed_by_id", None))
        context = {
            "field": each.form_input(record_form.number_of(each, edit.typed), [], viewer) | {"required": False},
            "label": str(each.label),
            "before": _text(before),
            "error": edit.sentence,
            "conflict": cell(self._cell(row.id, each, viewer)) if is_conflict else None,
            "who": who["full_name"] if who else _("the system"),
        }
        return render_template("records/_value_editor.html", cell_form=context), edit.status

    @page_route("/panel/<pk>", methods=["GET"], permission="show")
    def panel(self, pk: str) -> Any:
        """The current head and right third of a record's page: a fragment for an open page."""
        row, viewer = self.row_for(pk, "read"), current_viewer()
        shown = self.record_table.one(db.session(), row.id)
        if shown is None:
            raise NotFound(_("This record doesn't exist, or you don't have access to it."))
        return render_template("records/_record_refresh.html", record=pages.record_page(self, shown, viewer, {}))

    @page_route("/preview/<pk>", methods=["GET"], permission="show")
    def preview(self, pk: str) -> Any:
        """The preview of a record beside its list."""
        row = self.row_for(pk, "read")
        viewer = current_viewer()
        shown = self.record_table.one(db.session(), row.id)
        if shown is None:
            raise NotFound(_("This record doesn't exist, or you don't have access to it."))
        context = pages.record_page(self, shown, viewer, {})
        context |= {
            "url": self.url_of(row),
            "timeline": context["timeline"][:PREVIEW_ENTRIES],
            "older_url": None,
            "filters": None,
        }
        return render_template("records/_record_preview.html", record=context)


def _has_collided(broken: BaseException) -> bool:
    return isinstance(broken, StaleDataError) or cause_of(broken) is Cause.COLLIDED


def _text(stored: Any) -> str:
    """A stored value in the form of a hidden field; forms end lines with CR LF."""
    if isinstance(stored, dict):
        stored = stored.get("id")
    return "" if stored is None or stored is False else str(stored).replace("\r\n", "\n")
