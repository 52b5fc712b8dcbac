"""Assignment requests: their REST resource, their pages, and who may decide them."""

from __future__ import annotations

from typing import Any

from flask import flash, g, redirect, render_template, request
from flask_appbuilder import expose
from flask_appbuilder.api import protect
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, and_, false, func, select
from sqlalchemy.orm import Session

from app import access
from app.domain import assignment_requests
from app.domain.assignment_requests import STATES, AssignmentRequest, RequestDecision
from app.domain.base import NotFound, RuleBroken
from app.extensions import db
from app.models import Lead, Ticket
from app.web.api.resource import Resource
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.core.fields.base import ChoiceField, TextField
from app.web.core.fields.reference_fields import PersonField
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import RecordService
from app.web.pages.routes import page_route
from app.web.records.lists.list_tabs import ListTab, shown_tabs
from app.web.records.related_person_field import RelatedPersonField
from app.web.records.screen import Screen

#: The highest count of the badge.
MAX_COUNTED = 100
SPECIAL_FIELDS = (
    PersonField(
        "requested_user", columns=(AssignmentRequest.requested_user_id,), key="requested_user_id", required=True
    ),
    PersonField("requester", columns=(AssignmentRequest.created_by_id,)),
    TextField("reason", max_length=500, required=True),
    ChoiceField(
        "status",
        options=STATES,
        colors={"Pending": "amber", "Approved": "green", "Rejected": "red", "Expired": "gray", "Withdrawn": "slate"},
    ),
    RelatedPersonField("about", _l("Record"), AssignmentRequest),
)
LABELS = {
    "number": _l("Number"),
    "lead": _l("Lead"),
    "ticket": _l("Ticket"),
    "about": _l("Record"),
    "requested_user": _l("For"),
    "requester": _l("Requested by"),
    "reason": _l("Reason"),
    "status": _l("Status"),
    "decided_by": _l("Decided by"),
    "decided_on": _l("Decided"),
    "decision_note": _l("Note"),
    "created_on": _l("Created"),
}


class RequestService(RecordService):
    """Assignment requests: created by anyone who sees the record, decided by managers of the requested person."""

    record = AssignmentRequest
    module = "Requests"
    fields = SPECIAL_FIELDS
    label_columns = LABELS

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> AssignmentRequest:
        """Request the assignment of a record that the person can see."""
        if (values.get("lead_id") is None) == (values.get("ticket_id") is None):
            raise RuleBroken(_("A request needs exactly one lead or ticket."), "lead")
        if values.get("requested_user_id") is None:
            raise RuleBroken(_("Please choose a colleague."), "requested_user")
        record = Lead if values.get("lead_id") else Ticket
        row = access.get_visible(session, record, values.get("lead_id") or values.get("ticket_id"))
        if row is None:
            raise NotFound(_("There is no such record."))
        assignment_request = assignment_requests.create(
            session, row, values["requested_user_id"], values.get("reason") or "", viewer.stamp
        )
        session.flush()
        return assignment_request

    def change(self, session: Session, row: AssignmentRequest, values: dict[str, Any], viewer: Viewer) -> None:
        """Decide: status Approved or Rejected, with a note."""
        status = values.get("status")
        if status not in ("Approved", "Rejected"):
            raise RuleBroken(_("A request can be Approved or Rejected."), "status")
        decide(session, row, RequestDecision(status == "Approved", values.get("decision_note")), viewer)


# --- decisions


def may_decide(person: access.Person, requested: int | None, requester: int | None) -> bool:
    """Whether the person may decide: managers of the requested person and admins, but never requester or requested."""
    reach = person.reach("Requests", "write")
    return person.id not in (requested, requester) and (reach is None or requested in reach)


def waiting_condition(person: access.Person) -> ColumnElement[bool]:
    """Pending requests that the person may decide, as an SQL condition."""
    reach = person.reach("Requests", "write")
    if reach is not None and not reach - {person.id}:
        return false()
    rule = and_(
        AssignmentRequest.status == "Pending",
        AssignmentRequest.requested_user_id != person.id,
        func.coalesce(AssignmentRequest.created_by_id, 0) != person.id,
    )
    return rule if reach is None else and_(rule, AssignmentRequest.requested_user_id.in_(sorted(reach - {person.id})))


def waiting(person: access.Person) -> Any:
    """SELECT of the requests that this person has to decide, for the badge of the sidebar."""
    return select(AssignmentRequest.id).where(waiting_condition(person))


def waiting_count(person: access.Person) -> int:
    """The number of requests that this person has to decide, up to MAX_COUNTED.

    The sidebar uses it from `g.waiting`.
    """
    if request.headers.get("HX-Request") or not person.may("Requests", "write"):
        return 0
    if "waiting" not in g:
        g.waiting = len(db.session.execute(waiting(person).limit(MAX_COUNTED)).all())
    return int(g.waiting)


def decide(session: Session, row: AssignmentRequest, verdict: RequestDecision, viewer: Viewer) -> None:
    """Approve or reject. Raises Denied, RuleBroken, and Conflict if it is decided already."""
    viewer.person.refuse_unless("Requests", "write")
    if viewer.person.id in (row.requested_user_id, row.created_by_id):
        raise access.Denied(_("You can't decide your own request or a request for yourself. Ask another manager."))
    if not may_decide(viewer.person, row.requested_user_id, row.created_by_id):
        raise access.Denied(_("Only a manager of the requested person can decide this."))
    with access.as_system(session):
        assignment_requests.decide(session, row, _record_of(session, row), verdict, viewer.stamp)


def withdraw(session: Session, row: AssignmentRequest, viewer: Viewer) -> None:
    """Withdraw one's own request. Raises Denied, and Conflict if it is decided already."""
    if row.created_by_id != viewer.person.id:
        raise access.Denied(_("Only the person who sent the request can withdraw it."))
    with access.as_system(session):
        assignment_requests.withdraw(session, row, _record_of(session, row), viewer.stamp)


def _record_of(session: Session, row: AssignmentRequest) -> Any:
    record = session.get(Lead, row.lead_id) if row.lead_id else session.get(Ticket, row.ticket_id)
    if record is None:
        raise NotFound(_("There is no such record."))
    return record


# --- REST resource and pages


class RequestResource(Resource):
    """/api/v1/assignment_request/"""

    resource_name = "assignment_request"
    datamodel = SQLAInterface(AssignmentRequest)
    module = "Requests"
    service = RequestService()
    show_columns = [
        "number",
        "lead",
        "ticket",
        "requested_user",
        "requester",
        "reason",
        "status",
        "decided_by",
        "decided_on",
        "decision_note",
        "created_on",
    ]
    add_columns = ["lead", "ticket", "requested_user", "reason"]
    edit_columns = ["status", "decision_note"]
    search_columns = ["number", "lead", "ticket", "requested_user", "requester", "status", "created_on"]
    order_columns = ["created_on"]
    VERBS = Resource.VERBS | {"withdraw": "create"}
    exclude_route_methods = {"delete"}

    @expose("/<int:pk>/withdraw", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("withdraw")
    def withdraw(self, pk: Any) -> Any:
        """Withdraw one's own pending request."""
        row = self._row(pk, "read")
        withdraw(db.session(), row, current_viewer())
        db.session.commit()
        return json_answer(200, {"id": row.id, "result": self._after(row.id)})


class RequestScreen(Screen):
    """/requests/"""

    route_base = "/requests"
    datamodel = SQLAInterface(AssignmentRequest)
    module = "Requests"
    service = RequestService()
    list_title, record_name = _l("Requests"), _l("Request")
    empty_text = _l("No requests yet. People who may not assign a record can request it with “Assign” on the record.")
    list_columns = [
        "about",
        "number",
        "requested_user",
        "requester",
        "reason",
        "status",
        "created_on",
    ]
    search_columns = RequestResource.search_columns
    order_columns = RequestResource.order_columns
    show_columns = RequestResource.show_columns
    add_columns = RequestResource.add_columns
    edit_columns: list[str] = []
    is_searched = False
    is_in_new_menu = False
    quick_filters = ("status", "requested_user")
    tab_names = ("waiting", "mine", "all")
    summary_columns = ("status", "requested_user", "requester", "decided_by")
    title_column = "number"
    exclude_route_methods = {"edit", "delete"}
    VERBS = Screen.VERBS | {"decide": "write", "reject": "write", "withdraw": "create"}
    more_actions_verb = "read"

    def tabs(self, viewer: Viewer) -> list[dict[str, Any]]:
        """The tabs: requests to decide, the viewer's own, and all."""
        chosen = request.args.get("tab") or "all"
        tabs = [ListTab("mine", _("Mine"), _("You have not requested any assignment.")), ListTab("all", _("All"))]
        if viewer.person.may("Requests", "write"):
            count = waiting_count(viewer.person) or None
            tabs.insert(0, ListTab("waiting", _("Waiting for me"), _("No requests are waiting for you."), count))
        return shown_tabs(self.route_base, tabs, chosen)

    def opening_tab(self, viewer: Viewer) -> str | None:
        """What waits for a decision of the person; for people who decide nothing, their own requests."""
        return "waiting" if viewer.person.may("Requests", "write") else "mine"

    def _list_query(self, viewer: Viewer) -> ListQuery:
        list_query, tab = super()._list_query(viewer), request.args.get("tab")
        if tab == "waiting":
            list_query.conditions.append(waiting_condition(viewer.person))
        if tab == "mine":
            list_query.conditions.append(AssignmentRequest.created_by_id == viewer.person.id)
        return list_query

    def row_buttons(self, rows: list[Any], names: tuple[str, ...], viewer: Viewer) -> dict[int, list[dict[str, Any]]]:
        """The actions of a request's page, for the pending ones that this person can decide."""
        found = self.record_table.serialize_rows(db.session(), rows, names, viewer)
        made = {row["id"]: self.more_actions(row, viewer) for row in found}
        return {key: _primary_first(actions) for key, actions in made.items() if actions}

    def more_actions(self, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
        """Approve or reject, for deciders; withdraw, for the requester."""
        if row.get("status") != "Pending":
            return []
        people = [(row.get(name) or {}).get("id") for name in ("requested_user", "requester")]
        if viewer.person.may("Requests", "write") and may_decide(viewer.person, *people):
            return [
                {
                    "label": _("Approve"),
                    "url": f"/requests/decide/{row['id']}?approve=1",
                    "method": "post",
                    "icon": "check",
                },
                {"label": _("Reject"), "url": f"/requests/reject/{row['id']}", "method": "get", "icon": "x"},
            ]
        if people[1] != viewer.person.id:
            return []
        return [
            {
                "label": _("Withdraw"),
                "url": f"/requests/withdraw/{row['id']}",
                "method": "post",
                "icon": "arrow-back-up",
                "confirm": _("Withdraw this request?"),
            }
        ]

    @page_route("/decide/<pk>", methods=["POST"])
    def decide(self, pk: str) -> Any:
        """Approve or reject a request."""
        row, approve = self.row_for(pk, "read"), request.values.get("approve") == "1"
        decide(db.session(), row, RequestDecision(approve, request.form.get("note")), current_viewer())
        db.session.commit()
        name = (current_viewer().lookups.person(row.requested_user_id) or {}).get("full_name", "")
        flash(_("Approved. The record is assigned to %(name)s.", name=name) if approve else _("Rejected."), "success")
        return redirect("/" if request.form.get("came_from") == "day" else f"{self.route_base}/?tab=waiting")

    @page_route("/reject/<pk>", methods=["GET"], permission="decide")
    def reject(self, pk: str) -> Any:
        """The form that asks for the reason."""
        row, viewer = self.row_for(pk, "read"), current_viewer()
        note = self.record_table.by_name["decision_note"].form_input(None, [], viewer)
        note |= {"name": "note", "label": _("Reason"), "kind": "textarea", "required": True}
        form = {
            "title": _("Reject %(number)s", number=row.number),
            "action": f"/requests/decide/{row.id}",
            "conflict": None,
            "submit_label": _("Reject"),
            "cancel_url": self.url_of(row),
            "back_label": self.list_title,
            "version": None,
            "sections": [{"title": None, "fields": [note]}],
            "error": None,
        }
        return render_template("pages/form.html", form=form)

    @page_route("/withdraw/<pk>", methods=["POST"])
    def withdraw(self, pk: str) -> Any:
        """Withdraw one's own request."""
        row = self.row_for(pk, "read")
        withdraw(db.session(), row, current_viewer())
        db.session.commit()
        flash(_("Withdrawn."), "success")
        return redirect(self.url_of(row))


def _primary_first(actions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [action | {"primary": at == 0 and not action.get("confirm")} for at, action in enumerate(actions)]
