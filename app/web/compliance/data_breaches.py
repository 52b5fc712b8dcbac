"""The register of data breaches: pages and REST resource."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import flash, redirect, render_template, request
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import lazy_pgettext
from sqlalchemy.orm import Session

from app import access
from app.domain import data_breaches, who_has_seen
from app.domain.base import RuleBroken
from app.domain.data_breaches import STATES, DataBreach
from app.extensions import db
from app.web.api.resource import Resource
from app.web.compliance import breach_texts, register_history
from app.web.compliance.deadline_fields import TellByField
from app.web.compliance.register_service import RegisterService
from app.web.core.fab_access import NOT_REFUSED, REFUSABLE, Refusal, current_viewer, refusal
from app.web.core.fields.base import MAX_LONG_TEXT, ChoiceField, Field, LongTextField, TextField
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.fields.reference_fields import PersonField
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.records.screen import Screen

STATE_WORDS = {"open": lazy_pgettext("label", "Open"), "closed": _l("Closed")}
_FIELDS: tuple[Field, ...] = (
    TextField("title", max_length=200, required=True),
    DateTimeField("noticed_on"),
    TellByField("cert_in_due_on", columns=(DataBreach.cert_in_due_on, DataBreach.cert_in_told_on, DataBreach.state)),
    TellByField("board_due_on", columns=(DataBreach.board_due_on, DataBreach.board_told_on, DataBreach.state)),
    ChoiceField("state", options=STATES, words=STATE_WORDS, colors={"open": "amber", "closed": "green"}),
    LongTextField("details"),
    LongTextField("people"),
    LongTextField("measures"),
)
_LABELS = {
    "title": _l("What happened"),
    "details": _l("Details"),
    "happened_on": _l("Happened on"),
    "noticed_on": _l("Noticed on"),
    "data_kinds": _l("Which data"),
    "people": _l("Whose data"),
    "people_count": _l("Number of people"),
    "measures": _l("Measures"),
    "cert_in_due_on": _l("CERT-In due"),
    "cert_in_told_on": _l("CERT-In told"),
    "board_due_on": _l("Board due"),
    "board_told_on": _l("Board told"),
    "people_told_on": _l("Persons told"),
    "proof": _l("Proof"),
    "state": _l("State"),
    "created_on": _l("Noted on"),
    "changed_on": _l("Updated"),
}
_HELP = {
    "noticed_on": _l("Leave it empty for now. The hours of the settings count from then."),
    "people": _l("Numbers of records or names. “Whose data, from the audit” adds what a user has seen."),
    "measures": _l("What was done, and what people can do themselves; it goes into the texts."),
    "proof": _l("Where the reports and their receipts are."),
}
_TYPED = (
    *("title", "details", "happened_on", "noticed_on", "data_kinds", "people", "people_count", "measures"),
    *("cert_in_told_on", "board_told_on", "people_told_on", "proof", "state"),
)


class DataBreachService(RegisterService):
    """Breaches: kept, never deleted."""

    record = DataBreach
    module = data_breaches.MODULE
    fields = _FIELDS
    label_columns = _LABELS

    event = "breach"

    def complete(self, session: Session, row: Any, viewer: Viewer) -> None:
        """Fill in what follows from the rest. Raises RuleBroken."""
        data_breaches.complete(session, row, viewer.now)


class DataBreachResource(Resource):
    """/api/v1/data_breach/"""

    resource_name = "data_breach"
    datamodel = SQLAInterface(DataBreach)
    module = data_breaches.MODULE
    service = DataBreachService()
    add_columns = edit_columns = list(_TYPED)
    show_columns = [*_TYPED, "cert_in_due_on", "board_due_on", "version", "created_on", "changed_on"]
    search_columns = ["title", "state", "noticed_on", "cert_in_due_on", "board_due_on", "created_on"]
    order_columns = ["noticed_on", "cert_in_due_on", "board_due_on", "created_on"]
    exclude_route_methods = {"delete"}


class DataBreachScreen(Screen):
    """/breaches/"""

    route_base = "/breaches"
    datamodel = SQLAInterface(DataBreach)
    module = data_breaches.MODULE
    service = DataBreachService()
    list_title, record_name = _l("Data breaches"), _l("Data breach")
    empty_text = _l("No breach is noted. Note one as soon as somebody notices it: the hours count from then.")
    list_columns = [
        "title",
        "state",
        "noticed_on",
        "cert_in_due_on",
        "cert_in_told_on",
        "board_due_on",
        "board_told_on",
    ]
    search_columns = DataBreachResource.search_columns
    order_columns = DataBreachResource.order_columns
    show_columns = DataBreachResource.show_columns
    show_fieldsets = [
        (_l("Breach"), {"fields": ["state", "happened_on", "noticed_on", "data_kinds", "details"]}),
        (_l("Persons"), {"fields": ["people_count", "people_told_on", "people", "measures"]}),
        (
            _l("Authorities"),
            {"fields": ["cert_in_due_on", "cert_in_told_on", "board_due_on", "board_told_on", "proof"]},
        ),
        (_l("Record"), {"fields": ["created_on", "changed_on"]}),
    ]
    add_fieldsets = [
        (_l("Breach"), {"fields": ["title", "details", "happened_on", "noticed_on", "data_kinds"]}),
        (_l("Persons"), {"fields": ["people", "people_count", "measures", "people_told_on"]}),
        (_l("Authorities"), {"fields": ["cert_in_told_on", "board_told_on", "proof", "state"]}),
    ]
    edit_fieldsets = add_fieldsets
    add_columns = edit_columns = DataBreachResource.add_columns
    description_columns = _HELP
    text_columns = ("details", "people", "measures")
    quick_filters = ("state",)
    summary_columns = ("state", "noticed_on", "cert_in_due_on", "board_due_on")
    title_column = "title"
    is_in_new_menu = is_searched = False
    exclude_route_methods = {"delete"}
    VERBS = Screen.VERBS | {"texts": "read", "people": "write", "add_people": "write"}
    more_actions_verb = "read"

    def context_overrides(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
        """Its history, in place of a timeline."""
        return {"timeline": register_history.history(self, row["id"], viewer), "older_url": None}

    def main_action(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
        """The next thing to do about an open breach: tell those who have to be told, then close it."""
        if row.get("state") != "open" or not viewer.person.may(self.module, "write"):
            return None
        waiting = next((each for each in ("cert_in", "board", "people") if not row.get(f"{each}_told_on")), None)
        label, name = (_("Enter who was told"), f"{waiting}_told_on") if waiting else (_("Close the breach"), "state")
        return {
            "label": label,
            "icon": "pencil",
            "url": f"{self.route_base}/edit/{row['id']}#f-{name}",
            "method": "get",
        }

    def more_actions(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """The texts, and whose data it was."""
        base = self.route_base
        made = [{"label": _("Texts to copy"), "icon": "copy", "url": f"{base}/texts/{row['id']}", "method": "get"}]
        if viewer.person.may(self.module, "write") and viewer.person.may("Audit Log", "read"):
            label = _("Whose data, from the audit")
            made.append({"label": label, "icon": "history", "url": f"{base}/people/{row['id']}", "method": "get"})
        return made

    @page_route("/texts/<pk>", methods=["GET"])
    def texts(self, pk: str) -> Any:
        """Texts for the persons, the Board and CERT-In, with what is known."""
        row, viewer = self.row_for(pk, "read"), current_viewer()
        page = {"title": row.title, "url": self.url_of(row), "texts": breach_texts.texts_of(row, viewer)}
        return render_template("compliance/breach_texts.html", page=page)

    @page_route("/people/<pk>", methods=["GET"])
    def people(self, pk: str) -> Any:
        """The form that asks whose account was misused, and when."""
        viewer = current_viewer()
        viewer.person.refuse_unless("Audit Log", "read")
        return self._people_form(self.row_for(pk, "write"), {})

    @page_route("/people/<pk>", methods=["POST"])
    def add_people(self, pk: str) -> Any:
        """Add what this user has seen in full, heard or exported in that time to the breach."""
        row, viewer = self.row_for(pk, "write"), current_viewer()
        viewer.person.refuse_unless("Audit Log", "read")
        try:
            found = _seen(viewer)
            text = _with(row.people or "", found)
            self.service.save(db.session(), row, {"people": text}, row.version, viewer)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            refused = refusal(broken)
            return self._people_form(self.row_for(pk, "write"), request.form, refused), refused.status
        flash(_("Added from the audit: %(count)s.", count=len(found)), "success")
        return redirect(self.url_of(row))

    def _people_form(self, row: DataBreach, raw: Any, refused: Refusal = NOT_REFUSED) -> str:
        viewer = current_viewer()
        fields = [
            each.form_input(raw.get(each.name), refused.errors.get(each.name, []), viewer) | {"required": True}
            for each in _AUDITED
        ]
        form = {
            "title": _("Whose data, from the audit"),
            "action": f"{self.route_base}/people/{row.id}",
            "version": None,
            "conflict": None,
            "error": refused.sentence,
            "submit_label": _("Add"),
            "cancel_url": self.url_of(row),
            "back_label": row.title,
            "sections": [{"title": "", "fields": fields}],
        }
        return render_template("pages/form.html", form=form)


_AUDITED: tuple[Any, ...] = (
    PersonField("user", _l("User whose account was misused"), ()),
    DateTimeField("since", _l("From"), ()),
    DateTimeField("until", _l("Until"), ()),
)


def _seen(viewer: Viewer) -> list[str]:
    """What the chosen user has seen. Raises RuleBroken."""
    user, since, until = (each.parse(request.form.get(each.name), viewer) for each in _AUDITED)
    missing = [each.name for each, value in zip(_AUDITED, (user, since, until), strict=True) if value is None]
    if missing:
        text = _("Please fill in this field.")
        raise RuleBroken(text, errors={name: [text] for name in missing})
    _refuse_backwards(since, until)
    with access.as_system(db.session()) as session:
        found = who_has_seen.of_user(session, user, since, until)
    if not found:
        raise RuleBroken(_("This user has revealed, heard or exported nothing in that time."), "user")
    return found


def _with(people: str, found: list[str]) -> str:
    """The text with these lines. Raises RuleBroken for more than it can hold: nothing is left out in silence."""
    text = "\n".join(dict.fromkeys([*people.splitlines(), *found]))
    if len(found) > who_has_seen.MAX_RECORDS or len(text) > MAX_LONG_TEXT:
        raise RuleBroken(_("This is more than fits here. Please choose a shorter time."), "until")
    return text


def _refuse_backwards(since: datetime, until: datetime) -> None:
    if until < since:
        raise RuleBroken(_("The end has to be after the beginning."), "until")
