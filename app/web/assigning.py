"""Assigning leads and tickets: to a person, by round robin, by request; and why this person has it."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request
from flask_appbuilder import expose
from flask_appbuilder.api import protect
from flask_appbuilder.security.decorators import has_access, permission_name
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app import access
from app.domain import assignment, team
from app.domain.assignment import AssignmentRequest
from app.domain.base import NotThere, RuleBroken
from app.extensions import db
from app.models import Lead, Ticket
from app.web import record as pages
from app.web.desk import Desk
from app.web.fields import Choice, Field, Glass, Text
from app.web.gate import glass, json_answer, refuse_as_json
from app.web.moments import When
from app.web.plan import Plan
from app.web.references import Reference, Someone
from app.web.resource import Resource, sent
from app.web.screen import Screen, refuse_as_page


class Assignable(Screen):
    """A screen whose records are assigned."""

    #: Role whose round robin is offered first.
    served_by = "Sales User"

    @expose("/assign/<pk>", methods=["GET", "POST"])
    @has_access
    @refuse_as_page
    @permission_name("show")
    def assign(self, pk: str) -> Any:
        """The page that says who has it and why, and hands it on or asks for it."""
        row, seen = self.row_for(pk, "read"), glass()
        if request.method == "GET":
            return render_template("crm/assign.html", page=self._assign_page(row, seen))
        how = request.form.get("how", "")
        {"person": self._to_person, "role": self._to_role, "request": self._ask}.get(how, self._unknown)(row, seen)
        db.session.commit()
        return redirect(self.url_of(row))

    def _assign_page(self, row: Any, seen: Glass) -> dict[str, Any]:
        named = self.desk.plan.by_name["assignee"]
        roles = [role for role in seen.cards.roles if role.startswith(("Sales", "Support"))]
        return {
            "title": _("Assign %(number)s", number=row.number), "number": row.number, "back_url": self.url_of(row),
            "list_label": self.title, "list_url": f"{self.route_base}/", "action": f"{self.route_base}/assign/{row.id}",
            "may_assign": seen.who.may(self.module, "assign"), "may_ask": seen.who.may("Requests", "create"),
            "person": named.input(None, [], seen) | {"label": _("Colleague")}, "history": pages.why(row, seen),
            "role": {"name": "role", "label": _("Role"), "kind": "choice", "value": row.assigned_role or self.served_by,
                     "errors": [], "options": [(role, role) for role in roles], "required": True},
            "reason": {"name": "reason", "label": _("Reason"), "kind": "textarea", "value": "", "errors": [],
                       "required": True, "maxlength": 500},
        }  # fmt: skip

    def _to_person(self, row: Any, seen: Glass) -> None:
        chosen = self.desk.plan.by_name["assignee"].take(request.form.get("assignee"), seen)
        pages.give(self, row, chosen, seen, "direct")
        flash(_("Assigned."), "success")

    def _to_role(self, row: Any, seen: Glass) -> None:
        self.refuse_unless_reached(row, "assign")
        give_by_turn(db.session(), row, request.form.get("role", ""), seen)
        flash(_("Assigned."), "success")

    @staticmethod
    def _ask(row: Any, seen: Glass) -> None:
        seen.who.refuse_unless("Requests", "create")
        chosen = seen.cards.find_person(request.form.get("assignee", ""))
        if chosen is None:
            raise RuleBroken(_("Please choose a colleague."), "assignee")
        assignment.ask(db.session(), row, chosen, request.form.get("reason", ""), seen.who.id, seen.now)
        flash(_("Your request was sent."), "success")

    @staticmethod
    def _unknown(row: Any, seen: Glass) -> None:
        raise RuleBroken(_("Please choose how to assign it."))


def give_by_turn(session: Session, row: Any, role: str, seen: Glass) -> None:
    """Assign by round robin, never to who has it now."""
    had = frozenset({row.assignee_id}) if row.assignee_id else frozenset()
    decision = team.next_in_turn(session, role, seen.now, had)
    if decision.user_id is None:
        raise RuleBroken(_("Nobody else with the role %(role)s is available now.", role=role), "role")
    row.assigned_role = role
    assignment.give(session, row, decision.user_id, "round robin", seen.who.id, seen.now, decision)
    row.stamp(seen.who.id, seen.now)


STATES = ("Pending", "Approved", "Rejected", "Expired")
FIELDS: list[Field] = [
    Text("number", _l("Number"), (AssignmentRequest.number,), listed=True, filter=True),
    Reference("lead", _l("Lead"), (AssignmentRequest.lead_id, Lead.number), key="lead_id", record=Lead, url="/leads/",
              listed=True, filter=True, add=True),
    Reference("ticket", _l("Ticket"), (AssignmentRequest.ticket_id, Ticket.number), key="ticket_id", record=Ticket,
              url="/tickets/", listed=True, filter=True, add=True),
    Someone("requested_user", _l("For"), (AssignmentRequest.requested_user_id,), key="requested_user_id", listed=True,
            filter=True, add=True, required=True),
    Someone("requester", _l("Asked by"), (AssignmentRequest.created_by_id,), listed=True, filter=True),
    Text("reason", _l("Reason"), (AssignmentRequest.reason,), most=500, listed=True, add=True, required=True),
    Choice("status", _l("Status"), (AssignmentRequest.status,), options=STATES, listed=True, filter=True, edit=True,
           colors={"Pending": "amber", "Approved": "green", "Rejected": "red", "Expired": "gray"}),
    Someone("decided_by", _l("Decided by"), (AssignmentRequest.decided_by_id,), listed=True),
    When("decided_on", _l("Decided"), (AssignmentRequest.decided_on,)),
    Text("decision_note", _l("Note"), (AssignmentRequest.decision_note,), most=500, edit=True),
    When("created_on", _l("Created"), (AssignmentRequest.created_on,), listed=True, filter=True, sort=True),
]  # fmt: skip


class RequestDesk(Desk):
    """Assignment requests: asked by whoever sees the record, decided by managers of the requested person."""

    record = AssignmentRequest
    module = "Requests"
    plan = Plan(AssignmentRequest, FIELDS, joins=((Lead, Lead.id == AssignmentRequest.lead_id),
                                                  (Ticket, Ticket.id == AssignmentRequest.ticket_id)))  # fmt: skip

    def create(self, session: Session, values: dict[str, Any], glass: Glass) -> AssignmentRequest:
        """Ask for a record that the person sees."""
        if (values.get("lead_id") is None) == (values.get("ticket_id") is None):
            raise RuleBroken(_("A request names one lead or one ticket."), "lead")
        if values.get("requested_user_id") is None:
            raise RuleBroken(_("Please choose a colleague."), "requested_user")
        record = Lead if values.get("lead_id") else Ticket
        row = access.get_visible(session, record, values.get("lead_id") or values.get("ticket_id"))
        asked = assignment.ask(
            session, row, values["requested_user_id"], values.get("reason") or "", glass.who.id, glass.now
        )
        session.flush()
        return asked

    def change(self, session: Session, row: AssignmentRequest, values: dict[str, Any], glass: Glass) -> None:
        """Decide: status Approved or Rejected, with a note."""
        status = values.get("status")
        if status not in ("Approved", "Rejected"):
            raise RuleBroken(_("A request can be Approved or Rejected."), "status")
        decide(session, row, status == "Approved", values.get("decision_note"), glass)


def decide(session: Session, row: AssignmentRequest, approve: bool, note: str | None, glass: Glass) -> None:
    """By a manager of the requested person, or an admin; nobody decides his own wish unless he is admin."""
    reach = glass.who.reach("Requests", "write")
    if not glass.who.is_admin:
        glass.who.refuse_unless("Requests", "write")
        mine = row.requested_user_id == glass.who.id or row.created_by_id == glass.who.id
        if mine or (reach is not None and row.requested_user_id not in reach):
            raise access.Denied(_("Only a manager of the requested person decides this."))
    with access.as_system(session):
        record = session.get(Lead, row.lead_id) if row.lead_id else session.get(Ticket, row.ticket_id)
        if record is None:
            raise NotThere(_("There is no such record."))
        assignment.decide(session, row, record, approve, note, glass.who.id, glass.now)


class RequestResource(Resource):
    """/api/v1/assignment_request/"""

    resource_name = "assignment_request"
    module = "Requests"
    desk = RequestDesk()
    exclude_route_methods = {"delete"}


class RequestScreen(Screen):
    """/requests/"""

    route_base = "/requests"
    module = "Requests"
    desk = RequestDesk()
    title, singular = _l("Requests"), _l("Request")
    quick = ("status", "requested_user")
    strip = ("status", "requested_user", "requester", "decided_by")
    input_names = ("lead", "ticket", "requested_user", "reason")
    headline = "number"
    exclude_route_methods = {"edit", "delete"}
    VERBS = Screen.VERBS | {"decide": "write", "reject": "write"}

    @expose("/decide/<pk>", methods=["POST"])
    @has_access
    @refuse_as_page
    @permission_name("decide")
    def decide(self, pk: str) -> Any:
        """Approve or reject."""
        row = self.row_for(pk, "read")
        decide(db.session(), row, request.values.get("approve") == "1", request.form.get("note"), glass())
        db.session.commit()
        flash(_("Decided."), "success")
        return redirect("/requests/")

    def more(self, row: dict[str, Any], glass: Glass) -> list[dict[str, Any]]:
        """Approve or reject, for those who decide."""
        if row.get("status") != "Pending" or not glass.who.may("Requests", "write"):
            return []
        return [
            {"label": _("Approve"), "url": f"/requests/decide/{row['id']}?approve=1", "method": "post",
            "icon": "check"},
            {"label": _("Reject"), "url": f"/requests/reject/{row['id']}", "method": "get", "icon": "x"},
        ]  # fmt: skip

    @expose("/reject/<pk>", methods=["GET"])
    @has_access
    @refuse_as_page
    @permission_name("decide")
    def reject(self, pk: str) -> Any:
        """Asks why."""
        row, seen = self.row_for(pk, "read"), glass()
        note = self.desk.plan.by_name["decision_note"].input(None, [], seen)
        note |= {"name": "note", "label": _("Reason"), "kind": "textarea", "required": True}
        form = {
            "title": _("Reject %(number)s", number=row.number), "action": f"/requests/decide/{row.id}",
            "conflict": None,
            "submit_label": _("Reject"), "cancel_url": self.url_of(row), "back_label": self.title, "version": None,
            "sections": [{"title": None, "fields": [note]}], "error": None,
        }  # fmt: skip
        return render_template("crm/form.html", form=form)


class AssignableResource(Resource):
    """A resource whose records are assigned."""

    VERBS = Resource.VERBS | {"assign": "assign"}

    @expose("/<pk>/assign", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("assign")
    def assign(self, pk: Any) -> Any:
        """Hand the record to a colleague {assign_to}, or to the next of a role {assign_to_role}."""
        row, seen, raw = self._row(pk, "assign"), glass(), sent()
        if raw.get("assign_to_role"):
            give_by_turn(db.session(), row, str(raw["assign_to_role"]), seen)
        else:
            chosen = self.desk.plan.by_name["assign_to"].take(raw.get("assign_to"), seen)
            pages.give(self, row, chosen, seen, "direct")
        db.session.commit()
        return json_answer(200, {"id": row.id, "result": self._after(row.id)})
