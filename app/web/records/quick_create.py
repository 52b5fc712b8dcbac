"""The quick form of a new record: the most important fields of a record."""

from __future__ import annotations

from typing import Any

from flask import flash, make_response, redirect, render_template, request
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.extensions import db
from app.models import Lead
from app.web.core.fab_access import REFUSABLE, current_viewer, refusal
from app.web.core.urls.local_links import redirect_to
from app.web.core.viewer import Viewer
from app.web.core.views import custom_columns, save_warnings
from app.web.pages.routes import page_route
from app.web.records import first_task_inputs, record_form
from app.web.records.possible_duplicates import PossibleDuplicates
from app.web.records.record_form import FormState

#: Fields of one quick form.
MAX_FIELDS = 8
#: Kinds of inputs that fit into it.
_KINDS = (
    "text",
    "textarea",
    "phone",
    "email",
    "picklist",
    "choice",
    "person",
    "record",
    "date",
    "moment",
    "flag",
    "many",
    "number",
)


def offered(screen: Any) -> list[str]:
    """The names of fields that an admin can choose for the quick form; empty for other lists."""
    if not screen.quick_fields:
        return []
    named = screen.record_table.by_name
    return [name for name in screen.record_table.declared.add if named[name].kind in _KINDS]


def names_of(screen: Any, viewer: Viewer) -> list[str]:
    """The fields of the quick form: the admin's choice, else the declared ones."""
    chosen = viewer.lookups.list_setups.get(screen.list_key, {}).get("create_fields")
    names = [name for name in (chosen or screen.quick_fields) if name in offered(screen)]
    return [*names, *(name for name in custom_columns.quick_names(screen.record_table) if name not in names)]


def refuse_incomplete(screen: Any, names: list[str]) -> None:
    """Raise RuleBroken for a quick form that lacks a required field."""
    named = screen.record_table.by_name
    missing = [str(named[name].label) for name in screen.add_columns if named[name].is_required and name not in names]
    if missing:
        raise RuleBroken(_("The quick form also needs: %(names)s.", names=", ".join(missing)))
    if screen.service.record is Lead and not {"mobile", "email"} & set(names):
        raise RuleBroken(_("The quick form also needs a mobile number or an email address."))


class QuickCreate(PossibleDuplicates):
    """The endpoints of a screen for its quick form."""

    quick_fields: tuple[str, ...]
    record_table: Any
    route_base: Any
    service: Any
    create_row: Any
    url_of: Any
    record_name: Any
    list_title: Any
    _refuse_missing: Any

    @page_route("/quick", methods=["GET", "POST"], permission="add")
    def quick(self) -> Any:
        """The quick form: a dialog over any page, or a page. The input is kept on any error."""
        viewer = current_viewer()
        if not names_of(self, viewer):
            return redirect(f"{self.route_base}/add")
        raw = self._quick_typed(viewer)
        if request.method == "GET":
            return self._quick_form(FormState("add", raw), viewer)
        try:
            record_form.refuse_vanished(self.service.record)
            values = self.record_table.parse(raw, "add", viewer) | first_task_inputs.typed(self, viewer)
            self._refuse_missing(values)
            row = self.create_row(values, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, errors = refusal(broken)
            return self._quick_form(FormState("add", raw, errors, None, sentence, status), viewer)
        return self._quick_saved(row)

    def _quick_typed(self, viewer: Viewer) -> dict[str, Any]:
        sent: dict[str, Any] = {}
        for name in names_of(self, viewer):
            if self.record_table.by_name[name].kind == "many":
                sent[name] = [part for part in request.values.getlist(name) if part]
            else:
                sent[name] = (
                    record_form.reference_sent(name) if request.method == "POST" else request.args.get(name, "")
                )
        if "status" not in sent and "status" in self.record_table.declared.add:
            sent["status"] = request.values.get("status", "")  # from the column of a board
        return {name: given for name, given in sent.items() if given not in ("", [])}

    def _quick_saved(self, row: Any) -> Any:
        """Redirect to the record; with “Save & new” an empty form again, which says what was saved."""
        for sentence in save_warnings.pop_all():
            flash(sentence, "warning")
        saved = _("%(what)s saved.", what=str(self.record_name))
        url = self.url_of(row)
        if not request.form.get("again"):
            flash(saved, "success")
            return redirect_to(url)
        message = f"{saved} {getattr(row, 'number', '')}".strip()
        again = {"status": request.form["status"]} if request.form.get("status") else {}
        return self._quick_form(FormState("add", again), current_viewer(), {"text": message, "url": url})

    def _quick_form(self, state: FormState, viewer: Viewer, message: dict[str, Any] | None = None) -> Any:
        fields = [self.record_table.by_name[name] for name in names_of(self, viewer)]
        made = record_form.form_page(self, fields, state, viewer)
        inputs = {each["name"]: each for part in made["sections"] for each in part["fields"]}
        page = {
            "title": made["title"],
            "action": f"{self.route_base}/quick",
            "full_url": f"{self.route_base}/add",
            "list_label": self.list_title,
            "list_url": f"{self.route_base}/",
            "known_url": self.known_url(names_of(self, viewer)),
            "fields": [
                *(inputs[each.name] for each in fields if each.name in inputs),
                *first_task_inputs.inputs(self, state.errors, viewer, keeps=message is None),
            ],
            "status": state.raw.get("status") if "status" not in inputs else None,
            "error": made["error"],
            "told": message,
        }
        template = "records/_quick_create.html" if request.headers.get("HX-Request") else "records/quick_create.html"
        answer = make_response(render_template(template, page=page), state.status)
        if request.method == "POST":
            answer.headers["X-Needs"] = "1"  # the dialog stays open
        return answer
