"""The forms of a record on pages of their own: adding and editing one."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request
from flask_babel import gettext as _

from app.extensions import db
from app.web.core.fab_access import REFUSABLE, current_viewer, parse_integer, refusal
from app.web.core.fields.base import Field
from app.web.core.repeated_writes import again_if_overtaken_with
from app.web.core.viewer import Viewer
from app.web.core.views import save_warnings
from app.web.pages.refusals import previous_page
from app.web.pages.routes import page_route
from app.web.records import record_form
from app.web.records.record_form import FormState


class RecordForms:
    """The endpoints of a screen for its forms."""

    record_table: Any
    service: Any
    record_name: Any
    row_for: Any
    create_row: Any
    change_row: Any
    post_add: Any
    post_update: Any
    url_of: Any
    known_url: Any

    @page_route("/add", methods=["GET", "POST"])
    def add(self) -> Any:
        """The form of a new record; the input is kept on an error."""
        viewer = current_viewer()
        raw: dict[str, Any] = {
            name: request.args.get(name) for name in self.record_table.declared.add if request.args.get(name)
        }
        if request.method == "GET":
            return self._form(FormState("add", raw), viewer)
        raw |= self._typed("add")  # a form on a record's page names the record in its URL
        try:
            record_form.refuse_vanished(self.service.record)
            values = self.record_table.parse(raw, "add", viewer)
            self._refuse_missing(values)
            row = self.create_row(values, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            return self._form_with_errors(FormState("add", raw), broken, viewer)
        self.post_add(row)
        self._flash_saved()
        return redirect(previous_page() if request.args.get("back") else self.url_of(row))

    @page_route("/edit/<pk>", methods=["GET", "POST"])
    def edit(self, pk: str) -> Any:
        """The form of a record; a stale save shows submitted and stored values."""
        viewer = current_viewer()
        row = self.row_for(pk, "write")
        key = row.id  # a refused flush leaves the row unreadable until the rollback
        stored = record_form.form_values(self, key, viewer)
        if request.method == "GET":
            return self._form(FormState("edit", stored, row=row), viewer)
        raw = self._typed("edit")
        version = parse_integer(request.form.get("version"), 0, 0, 2**31) or None

        def save(row: Any) -> Any:
            record_form.refuse_vanished(self.service.record, row)
            values = self.record_table.parse(record_form.changed_values(raw, stored), "edit", viewer)
            self._refuse_emptied(values)
            self.change_row(row, values, version, viewer)
            db.session.commit()
            return row

        try:
            row = again_if_overtaken_with(row, lambda: self.row_for(pk, "write"), save)
        except REFUSABLE as broken:
            return self._form_with_errors(FormState("edit", raw, row=key), broken, viewer)
        self.post_update(row)
        self._flash_saved()
        return redirect(self.url_of(row))

    def _flash_saved(self) -> None:
        flash(_("%(what)s saved.", what=str(self.record_name)), "success")
        for sentence in save_warnings.pop_all():
            flash(sentence, "warning")

    def _refuse_missing(self, values: dict[str, Any]) -> None:
        """Raise RuleBroken for a missing value; services with rules of their own check this themselves."""
        if self.service.is_generic:
            record_form.refuse_missing(self._inputs("add"), values)

    def _refuse_emptied(self, values: dict[str, Any]) -> None:
        if self.service.is_generic:
            record_form.refuse_missing([each for each in self._inputs("edit") if each.key in values], values)

    def _inputs(self, mode: str) -> list[Field]:
        named, declared = self.record_table.by_name, self.record_table.declared
        return [named[name] for name in (declared.add if mode == "add" else declared.edit)]

    def _typed(self, mode: str) -> dict[str, Any]:
        """The submitted values by field."""
        sent: dict[str, Any] = {}
        for each in self._inputs(mode):
            if each.kind == "many":
                sent[each.name] = [part for part in request.form.getlist(each.name) if part]
            elif each.kind == "flag":
                sent[each.name] = bool(request.form.get(each.name))
            elif each.name in request.form or record_form.reference_sent(each.name):
                sent[each.name] = record_form.reference_sent(each.name)
        return sent if mode == "edit" else {name: given for name, given in sent.items() if given not in ("", [])}

    def _form_with_errors(self, state: FormState, broken: Exception, viewer: Viewer) -> Any:
        """The form again, with what is wrong. `state.row` is the id of the row, which the rollback makes unreadable."""
        db.session.rollback()
        status, sentence, errors = refusal(broken)
        row = self.service.find(db.session(), state.row) if state.row is not None else None
        return self._form(FormState(state.mode, state.raw, errors, row, sentence, status), viewer)

    def _form(self, state: FormState, viewer: Viewer) -> Any:
        inputs = self._inputs(state.mode)
        context = record_form.form_page(self, inputs, state, viewer)
        if state.mode == "add":
            context["known_url"] = self.known_url(each.name for each in inputs)
        if state.status == 409 and state.row is not None:
            context["conflict"] = record_form.conflict(self, state.row, state.raw, viewer)
            context["version"] = state.row.version
        return render_template("pages/form.html", form=context), state.status
