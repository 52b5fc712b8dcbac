"""The register of requests about personal data: pages and REST resource."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, redirect, render_template, request
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import lazy_pgettext, pgettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import data_requests
from app.domain.base import RuleBroken
from app.domain.data_requests import KINDS, STATES, DataRequest
from app.domain.erasure.erasures import DataErasure
from app.web.api.resource import Resource
from app.web.compliance import erasure_requests, person_copy_requests, register_history
from app.web.compliance.deadline_fields import AnswerDueField
from app.web.compliance.erasure_rest import ERASURE_DOCUMENTATION, ErasureRest
from app.web.compliance.register_service import RegisterService
from app.web.core.fab_access import current_viewer, refusal
from app.web.core.fields.base import ChoiceField, Field, LongTextField, TextField
from app.web.core.fields.date_fields import DateField
from app.web.core.fields.scalar_fields import BooleanField
from app.web.core.localization.data_request_words import KIND_WORDS
from app.web.core.localization.languages import translate_text
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer
from app.web.core.views import save_warnings
from app.web.pages.routes import page_route
from app.web.records import reveals
from app.web.records.screen import Screen

STATE_WORDS = {
    "open": lazy_pgettext("label", "Open"),
    "answered": _l("Answered"),
    "refused": _l("Refused"),
    "withdrawn": _l("Withdrawn"),
}


class RequestNumberField(Field):
    """The number by which people name a request, and erased rows the one for which they were erased."""

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> str:
        """Such as DR-12."""
        return data_requests.number_of(values[0])

    def found_by(self, typed: str) -> list[Any]:
        """Such as DR-12, or 12."""
        key = data_requests.id_of_number(typed) or data_requests.id_of_number(f"DR-{typed}")
        return [DataRequest.id == key] if key is not None else []


class RequestPersonField(TextField):
    """The person's name; it need not be a customer's or lead's."""

    def found_by(self, typed: str) -> list[Any]:
        """By any part of it: the register is short."""
        return [DataRequest.person.icontains(typed, autoescape=True)]


_BEGUN = select(DataErasure.id).where(DataErasure.request_id == DataRequest.id).correlate(DataRequest)
_FIELDS: tuple[Field, ...] = (
    RequestNumberField("number", columns=(DataRequest.id,)),
    BooleanField("is_erasure_begun", columns=(_BEGUN.scalar_subquery(),)),
    RequestPersonField("person", max_length=200),
    ChoiceField("kind", options=KINDS, words=KIND_WORDS, required=True),
    ChoiceField(
        "state",
        options=STATES,
        words=STATE_WORDS,
        colors={"open": "amber", "answered": "green", "refused": "red", "withdrawn": "gray"},
    ),
    DateField("received_on"),
    AnswerDueField("due_on", columns=(DataRequest.due_on, DataRequest.state)),
    LongTextField("details"),
    LongTextField("answer"),
)
_LABELS = {
    "number": _l("Number"),
    "person": _l("Person"),
    "customer": _l("Customer"),
    "lead": _l("Lead"),
    "contact": _l("How to reach them"),
    "kind": _l("Asks for"),
    "details": _l("Details"),
    "received_on": _l("Received on"),
    "due_on": _l("Answer due"),
    "state": _l("State"),
    "identity_how": _l("How the identity was checked"),
    "identity_checked_on": _l("Identity checked on"),
    "identity_checked_by": _l("Identity checked by"),
    "answered_on": _l("Answered on"),
    "answer": lazy_pgettext("noun", "Answer"),
    "proof": _l("Proof of the answer"),
    "created_on": _l("Noted on"),
    "changed_on": _l("Updated"),
}
_HELP = {
    "customer": _l("If you choose another one, the identity has to be checked again."),
    "lead": _l("Of a person who is no customer."),
    "person": _l("Leave it empty to take the customer's name."),
    "received_on": _l("Leave it empty for today."),
    "due_on": _l("Leave it empty for the number of days in the settings."),
    "proof": _l("Where it is: a file, a message, a letter."),
}
_TYPED = (
    *("customer", "lead", "person", "contact", "kind", "details", "received_on", "due_on"),
    *("identity_how", "identity_checked_on", "state", "answered_on", "answer", "proof"),
)


class DataRequestService(RegisterService):
    """Requests about personal data: kept, never deleted."""

    record = DataRequest
    module = data_requests.MODULE
    fields = _FIELDS
    label_columns = _LABELS

    event = "data request"

    def complete(self, session: Session, row: Any, viewer: Viewer) -> None:
        """Fill in what follows from the rest. Raises RuleBroken."""
        data_requests.complete(session, row, viewer.stamp, viewer.today)

    def change(self, session: Session, row: Any, values: dict[str, Any], viewer: Viewer) -> None:
        """Change it; that the identity has to be checked again is told, and audited. Raises RuleBroken."""
        before, was_checked = _subject(row), row.identity_checked_on is not None
        super().change(session, row, values, viewer)
        if was_checked and row.identity_checked_on is None and _subject(row) != before:
            self._audit(session, row, viewer, what="identity check cleared")
            save_warnings.add(_("The identity has to be checked again: it was checked for another person or purpose."))


def _subject(row: DataRequest) -> list[Any]:
    """Whom the request is about, and what it asks for."""
    return [getattr(row, name) for name in data_requests.SUBJECT]


class DataRequestResource(ErasureRest, Resource):
    """/api/v1/data_request/"""

    resource_name = "data_request"
    datamodel = SQLAInterface(DataRequest)
    module = data_requests.MODULE
    service = DataRequestService()
    add_columns = edit_columns = list(_TYPED)
    show_columns = ["number", *_TYPED, "identity_checked_by", "version", "created_on", "changed_on"]
    search_columns = [
        *("person", "customer", "kind", "state", "received_on", "due_on"),
        *("answered_on", "identity_checked_on", "created_on"),
    ]
    order_columns = ["due_on", "received_on", "answered_on", "created_on"]
    exclude_route_methods = {"delete"}
    VERBS = Resource.VERBS | ErasureRest.ERASURE_REST_VERBS
    documentation = ERASURE_DOCUMENTATION


class DataRequestScreen(Screen):
    """/data-requests/"""

    route_base = "/data-requests"
    datamodel = SQLAInterface(DataRequest)
    module = data_requests.MODULE
    service = DataRequestService()
    list_title, record_name = _l("Data requests"), _l("Data request")
    empty_text = _l("No requests yet. Note here when somebody asks what you store about them, or to change it.")
    list_columns = ["person", "number", "kind", "state", "due_on", "received_on", "answered_on"]
    search_columns = DataRequestResource.search_columns
    order_columns = DataRequestResource.order_columns
    show_columns = [*DataRequestResource.show_columns, "is_erasure_begun"]  # by which the main button goes
    show_fieldsets = [
        (
            _l("Request"),
            {"fields": ["customer", "lead", "contact", "kind", "received_on", "due_on", "state", "details"]},
        ),
        (_l("Identity"), {"fields": ["identity_how", "identity_checked_on", "identity_checked_by"]}),
        (lazy_pgettext("noun", "Answer"), {"fields": ["answered_on", "proof", "answer"]}),
        (_l("Record"), {"fields": ["created_on", "changed_on"]}),
    ]
    add_fieldsets = [
        (
            _l("Request"),
            {"fields": ["customer", "lead", "person", "contact", "kind", "details", "received_on", "due_on"]},
        ),
        (_l("Identity"), {"fields": ["identity_how", "identity_checked_on"]}),
        (lazy_pgettext("noun", "Answer"), {"fields": ["state", "answered_on", "answer", "proof"]}),
    ]
    edit_fieldsets = add_fieldsets
    add_columns = edit_columns = DataRequestResource.add_columns
    description_columns = _HELP
    text_columns = ("details", "answer")
    quick_filters = ("kind", "state")
    tab_names = ("due", "all")
    summary_columns = ("kind", "state", "due_on", "received_on")
    title_column = "person"
    is_in_new_menu = is_searched = False
    exclude_route_methods = {"delete"}
    VERBS = Screen.VERBS | {
        **{"copy": "export", "make_copy": "export", "copy_file": "export"},
        **{"erasure": "write", "erase": "write"},
    }
    more_actions_verb = "read"

    def tabs(self, viewer: Viewer) -> list[dict[str, Any]]:
        """The open requests by their last day, and all."""
        chosen = request.args.get("tab") or "all"
        parts = (("due", pgettext("label", "Open"), _("No request is open.")), ("all", _("All"), ""))
        return [
            {
                "label": label,
                "url": f"{self.route_base}/?tab={name}",
                "count": None,
                "active": name == chosen,
                "empty": empty,
            }
            for name, label, empty in parts
        ]

    def opening_tab(self, viewer: Viewer) -> str | None:
        """The open ones."""
        return "due"

    def _list_query(self, viewer: Viewer) -> ListQuery:
        list_query = super()._list_query(viewer)
        if request.args.get("tab") == "due":
            list_query.conditions.append(DataRequest.state == "open")
            if list_query.newest:
                list_query.order = [DataRequest.due_on, DataRequest.id]
                list_query.newest = False
        return list_query

    def id_of_number(self, number: str) -> int | None:
        """The id of the request with this number, such as DR-12."""
        return data_requests.id_of_number(number)

    def context_overrides(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
        """Its number, and its history in place of a timeline."""
        return {
            "number": row["number"],
            "timeline": register_history.history(self, row["id"], viewer),
            "older_url": None,
        }

    def main_action(self, row: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
        """The next thing to do with an open request: check who asks, erase what they want erased, then answer."""
        if row.get("state") != "open" or not viewer.person.may(self.module, "write"):
            return None
        is_checked = row.get("identity_checked_on") or row.get("kind") not in data_requests.NEED_IDENTITY
        if is_checked and row.get("kind") == "erasure" and not row.get("is_erasure_begun"):
            return self._erase_link(row)
        label, name = (_("Enter the answer"), "answer") if is_checked else (_("Check the identity"), "identity_how")
        url = f"{self.route_base}/edit/{row['id']}#f-{name}"
        return {"label": label, "icon": "pencil" if is_checked else "user-check", "url": url, "method": "get"}

    def _erase_link(self, row: dict[str, Any]) -> dict[str, Any]:
        url = f"{self.route_base}/erasure/{row['id']}"
        return {"label": _("Erase the data"), "icon": "trash", "url": url, "method": "get"}

    def more_actions(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """The copy of the person's data, of a request for access; the erasure of one for erasure."""
        kind, may = row.get("kind"), viewer.person.may
        if kind == "access" and may(self.module, "export"):
            url = f"{self.route_base}/copy/{row['id']}"
            return [{"label": _("Copy of the data"), "icon": "file-export", "url": url, "method": "get"}]
        if kind == "erasure" and may(self.module, "write"):
            return [self._erase_link(row)]
        return []

    # --- the copy

    @page_route("/copy/<pk>", methods=["GET"])
    def copy(self, pk: str) -> Any:
        """The copy of the person's data: how far it is, and what can be done."""
        return self._copy_page(self.row_for(pk, "read"))

    @page_route("/copy/<pk>", methods=["POST"])
    def make_copy(self, pk: str) -> Any:
        """Have the copy made in the background, under the rights of whoever asks; with a reason, in full."""
        row, typed = self.row_for(pk, "write"), request.form.get("reason")
        try:
            reason = "" if typed is None else reveals.clean_reason(typed)
            person_copy_requests.start(row, current_viewer(), reason)
        except access.Denied:
            raise
        except RuleBroken as broken:
            page = {"error": translate_text(broken.message), "reason": typed}
            return self._copy_page(row, page), refusal(broken)[0]
        flash(_("The copy is being made. You will be notified when it is ready."), "success")
        return redirect(f"{self.route_base}/copy/{row.id}")

    @page_route("/copy/<pk>/file", methods=["POST"])
    def copy_file(self, pk: str) -> Response | Any:
        """The finished copy, once; another one can be made."""
        row = self.row_for(pk, "read")
        try:
            return person_copy_requests.download(row, current_viewer())
        except access.Denied:
            raise
        except RuleBroken as broken:
            return self._copy_page(row, {"error": translate_text(broken.message)}), 422

    def _copy_page(self, row: DataRequest, more: dict[str, Any] | None = None) -> str:
        """`more`: error, and the reason that was typed."""
        page = person_copy_requests.context(row, current_viewer()) | (more or {})
        return render_template("compliance/copy.html", page=page)

    # --- the erasure

    @page_route("/erasure/<pk>", methods=["GET"])
    def erasure(self, pk: str) -> Any:
        """What an erasure would do, or how far it is."""
        return self._preview(self.row_for(pk, "write"))

    @page_route("/erasure/<pk>", methods=["POST"])
    def erase(self, pk: str) -> Any:
        """Begin the erasure; later, note the end of the accounts. With `preview`: show what it would do."""
        row = self.row_for(pk, "write")
        if "preview" in request.form:
            return self._preview(row)
        try:
            made = erasure_requests.confirm(row, request.form.get("confirm", ""), request.form, current_viewer())
        except RuleBroken as broken:
            return self._erasure_page(row, broken), refusal(broken)[0]
        noted = _("The last day of the accounts was noted. In a few minutes, you see here until when data is kept.")
        begun = _("The erasure goes on by itself. This page shows how far it is.")
        flash(begun if made.state == "running" else noted, "success")
        return redirect(f"{self.route_base}/erasure/{row.id}")

    def _preview(self, row: DataRequest) -> Any:
        broken = erasure_requests.refusal_of_day(row, request.values, current_viewer())
        return self._erasure_page(row, broken), 200 if broken is None else 422

    def _erasure_page(self, row: DataRequest, broken: RuleBroken | None = None) -> str:
        page = erasure_requests.context(row, request.values, current_viewer(), broken)
        return render_template("compliance/erasure.html", page=page)
