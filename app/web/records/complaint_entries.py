"""The ways in which a grievance came: pages of a complaint that add one, correct it, and remove it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request
from flask_babel import gettext as _

from app.domain.complaints import entries
from app.domain.complaints.complaint import SOURCES, WAYS, Complaint
from app.extensions import db
from app.lib.ids import parse_id
from app.web.core.fab_access import NOT_REFUSED, REFUSABLE, Refusal, current_viewer, refusal
from app.web.core.fields.base import ChoiceField, TextField
from app.web.core.fields.date_fields import DateField
from app.web.pages.routes import page_route
from app.web.records.complaint_fields import LABELS, stamp_for

#: The inputs of an entry.
_INPUTS = (
    ChoiceField("source", LABELS["source"], options=SOURCES, required=True),
    TextField("reference", LABELS["reference"], max_length=60),
    DateField("received_on", LABELS["received_on"], required=True),
    ChoiceField("way", LABELS["way"], options=WAYS),
    TextField("remark", max_length=entries.MAX_REMARK),
)


class ComplaintEntries:
    """The endpoints of the screen of complaints for the ways in which they came."""

    ENTRY_VERBS = dict.fromkeys(("entry", "add_entry", "known_entry", "change_entry", "remove_entry"), "write")
    row_for: Any
    url_of: Any

    @page_route("/entry/<pk>", methods=["GET"])
    def entry(self, pk: str) -> Any:
        """The form of one more way in which the grievance came."""
        return self._entry_form(self.row_for(pk, "write"), None, {})

    @page_route("/entry/<pk>", methods=["POST"])
    def add_entry(self, pk: str) -> Any:
        """Add it, or show the errors by field."""
        row, viewer = self.row_for(pk, "write"), current_viewer()
        key = row.id
        try:
            entries.add_entry(db.session(), row, _posted(), stamp_for(viewer))
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            refused = refusal(broken)
            return self._entry_form(self.row_for(str(key), "write"), None, request.form, refused), refused.status
        flash(_("The entry is added. The clocks count from the earliest day of receipt."), "success")
        return redirect(self.url_of(row))

    @page_route("/entry/<pk>/<entry>", methods=["GET"])
    def known_entry(self, pk: str, entry: str) -> Any:
        """The form of an entry that was added by hand."""
        row = self.row_for(pk, "write")
        found = entries.own_entry(db.session(), row, parse_id(entry))
        return self._entry_form(row, found.id, {each.name: getattr(found, each.name) for each in _INPUTS})

    @page_route("/entry/<pk>/<entry>", methods=["POST"])
    def change_entry(self, pk: str, entry: str) -> Any:
        """Correct it, or show the errors by field."""
        row, viewer, key = self.row_for(pk, "write"), current_viewer(), parse_id(entry)
        row_id, stamp = row.id, stamp_for(viewer)
        try:
            found = entries.own_entry(db.session(), row, key)
            entries.change_entry(db.session(), found, _posted(), stamp)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            refused = refusal(broken)
            return self._entry_form(self.row_for(str(row_id), "write"), key, request.form, refused), refused.status
        flash(_("The entry is corrected. The clocks count from the earliest day of receipt."), "success")
        return redirect(self.url_of(row))

    @page_route("/entry/<pk>/<entry>/remove", methods=["POST"])
    def remove_entry(self, pk: str, entry: str) -> Any:
        """Remove it; the audit keeps what it said."""
        row, viewer = self.row_for(pk, "write"), current_viewer()
        found = entries.own_entry(db.session(), row, parse_id(entry))
        entries.remove_entry(db.session(), found, stamp_for(viewer))
        db.session.commit()
        flash(_("The entry is removed. The clocks count from the earliest day of receipt."), "success")
        return redirect(self.url_of(row))

    def _entry_form(
        self, row: Complaint, entry: int | None, shown: Mapping[str, Any], refused: Refusal = NOT_REFUSED
    ) -> str:
        viewer, errors = current_viewer(), refused.errors
        inputs = [each.form_input(shown.get(each.name), errors.get(each.name, []), viewer) for each in _INPUTS]
        inputs[-1]["label"] = _("Remark")
        title = _("Another way in which %(number)s came", number=row.number)
        form: dict[str, Any] = {"action": f"/complaints/entry/{row.id}", "submit_label": _("Save"), "inputs": inputs}
        if entry is not None:
            title, form["action"] = _("A way in which %(number)s came", number=row.number), f"{form['action']}/{entry}"
            form["remove_url"] = f"{form['action']}/remove"
        return form_of(row, self.url_of(row), form | {"title": title}, refused)


def _posted() -> dict[str, Any]:
    return {each.name: each.parse(request.form.get(each.name), current_viewer()) for each in _INPUTS}


def form_of(row: Complaint, url: str, form: dict[str, Any], refused: Refusal) -> str:
    """The page of a form about a complaint whose page is at `url`; `form` with its title, action and inputs."""
    shared = {
        "sections": [{"title": None, "fields": form["inputs"]}],
        "cancel_url": url,
        "back_label": row.number,
        "error": "" if refused.errors else refused.sentence,
    }
    return render_template("records/complaint_entry.html", form=form | shared | {"conflict": None, "version": None})
