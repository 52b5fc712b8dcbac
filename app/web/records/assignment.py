"""Assigning leads and tickets: to a person, by round robin or by request; several assignees on one ticket."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask import flash, redirect, render_template, request
from flask_appbuilder import expose
from flask_appbuilder.api import protect
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain import assignment, assignment_requests
from app.domain.base import Conflict, RuleBroken
from app.extensions import db
from app.lib.ids import parse_id
from app.web.api.resource import Resource, request_json
from app.web.core.fab_access import current_viewer, json_answer, refuse_as_json
from app.web.core.fields.reference_fields import person_card
from app.web.core.repeated_writes import again_if_overtaken, again_if_overtaken_with
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.records import assignment_actions, assignment_history, bulk_undo_actions, record_form
from app.web.records.bulk_actions import BulkAction
from app.web.records.screen import Screen


def _chosen_person(viewer: Viewer) -> str | None:
    """“Assigned to Ana Shah”, for the colleague named in the submitted form."""
    card = viewer.lookups.person(viewer.lookups.find_person(request.form.get("assignee", "")))
    return _("Assigned to %(name)s", name=card["full_name"]) if card else None


def _refuse_reassigned(row: Any, was: str | None, viewer: Viewer) -> None:
    """Raise Conflict if the assignee isn't the one that the page showed; `was`: their id, empty for nobody, if sent."""
    if was is None or parse_id(was) == row.assignee_id:
        return
    card = viewer.lookups.person(row.assignee_id)
    name = card["full_name"] if card else _("nobody")
    raise Conflict(_("It was assigned to %(name)s meanwhile. Look at it again, then assign it.", name=name))


class AssignableScreen(Screen):
    """A screen whose records have an assignee."""

    #: Role whose round robin is preselected.
    default_role = "Sales User"
    VERBS = Screen.VERBS | {"why": "read"}

    def bulk_actions(self, viewer: Viewer) -> list[BulkAction]:
        """Adds: assign to a user, distribute by round robin."""
        shared = super().bulk_actions(viewer)
        if not viewer.person.may(self.module, "bulk") or not viewer.person.may(self.module, "assign"):
            return shared
        colleague = self.record_table.by_name["assignee"].form_input(None, [], viewer)
        colleague |= {"label": _("Colleague"), "required": True}
        role = {
            "name": "role",
            "label": _("Role"),
            "kind": "choice",
            "value": self.default_role,
            "errors": [],
            "required": True,
            "help": _("Records are distributed evenly by round robin among the users of the role."),
            "options": [(each, each) for each in record_form.roles_offered(viewer)],
        }
        return [
            BulkAction(
                *("assign", _("Assign"), "user-check", self._assign_one),
                fields=(colleague,),
                done=_chosen_person(viewer),
                undo=("assignee_id",),
            ),
            BulkAction(
                *("turn", _("Assign by round robin"), "repeat", self._assign_in_turn),
                fields=(role,),
                undo=("assignee_id",),
            ),
            *shared,
        ]

    def bulk_summary(self, takers: Counter[int], viewer: Viewer) -> str:
        """How many records each person got."""
        return assignment_actions.summary_by_person(takers, viewer)

    def _assign_one(self, row: Any, form: Any, viewer: Viewer) -> None:
        chosen = self.record_table.by_name["assignee"].parse(form.get("assignee"), viewer)
        if not assignment_actions.assign_directly(self, row, chosen, viewer, "bulk"):
            raise RuleBroken(assignment_actions.already_assigned_text(chosen, viewer))

    def _assign_in_turn(self, row: Any, form: Any, viewer: Viewer) -> int:
        return assignment_actions.assign_by_round_robin(self, row, form.get("role", ""), viewer)

    @page_route("/why/<pk>", methods=["GET"])
    def why(self, pk: str) -> Any:
        """The "Why this person?" page, for everyone who can see the record."""
        row, viewer = self.row_for(pk, "read"), current_viewer()
        page = {
            "title": _("Why this person?"),
            "number": row.number,
            "back_url": self.url_of(row),
            "list_label": self.list_title,
            "list_url": f"{self.route_base}/",
            "history": assignment_history.assignment_entries(row, viewer),
        }
        return render_template("records/assignment_history.html", page=page)

    @page_route("/assign/<pk>", methods=["GET", "POST"], permission="show")
    def assign(self, pk: str) -> Any:
        """The assignment page: current assignee and reason, a form to reassign or to request the record."""
        row, viewer = self.row_for(pk, "read"), current_viewer()
        if request.method == "GET":
            return render_template("records/assign.html", page=self._assign_page(row, viewer))
        how = request.form.get("how", "")
        act = {"person": self._to_person, "role": self._to_role, "request": self._ask}.get(how, self._refuse_unknown)

        def write(row: Any) -> tuple[Any, dict[str, Any], str]:
            before = {"id": row.id, "before": {"assignee_id": row.assignee_id}}
            message = act(row, viewer)
            db.session.commit()
            return row, before, message

        row, before, message = again_if_overtaken_with(row, lambda: self.row_for(pk, "read"), write)
        flash(self._with_undo(row, before, message, viewer), "success")  # type: ignore[arg-type]
        return redirect(self.url_of(row) if self._still_reaches(row, "read", viewer) else f"{self.route_base}/")

    def _with_undo(self, row: Any, before: dict[str, Any], message: str, viewer: Viewer) -> str | dict[str, Any]:
        """The message, with a button to undo if the record had another assignee and the viewer can give it back."""
        had = before["before"]["assignee_id"]
        if had in (None, row.assignee_id):
            return message
        if not all(self._still_reaches(row, verb, viewer) for verb in ("write", "assign")):
            return message
        undo = bulk_undo_actions.remember(self, [before | {"version": row.version}], message, viewer)
        db.session.commit()
        return {"text": message, "undo": undo | {"fields": undo["fields"] | {"to": "record"}}}

    def _still_reaches(self, row: Any, verb: str, viewer: Viewer) -> bool:
        """Whether the viewer's verb reaches the row as it is now: one statement, unless it reaches everybody's rows."""
        if viewer.person.reach(self.module, verb) is None:
            return True
        record = type(row)
        query = select(record.id).where(record.id == row.id, access.visible(viewer.person, record, verb))
        with access.as_system(db.session()) as session:
            return session.execute(query).first() is not None

    def _assign_page(self, row: Any, viewer: Viewer) -> dict[str, Any]:
        named = self.record_table.by_name["assignee"]
        roles = [(role, role) for role in record_form.roles_offered(viewer)]
        return {
            "title": _("Assign %(number)s", number=row.number),
            "number": row.number,
            "back_url": self.url_of(row),
            "list_label": self.list_title,
            "list_url": f"{self.route_base}/",
            "action": f"{self.route_base}/assign/{row.id}",
            "may_assign": viewer.person.may(self.module, "assign"),
            "may_ask": viewer.person.may("Requests", "create"),
            "person": _others(
                named.form_input(None, [], viewer) | {"label": _("Colleague"), "required": True}, row.assignee_id
            ),
            "history": assignment_history.assignment_entries(row, viewer),
            "present": None,
            "role": {
                "name": "role",
                "label": _("Role"),
                "kind": "choice",
                "value": row.assigned_role or self.default_role,
                "errors": [],
                "options": roles,
                "required": True,
            },
            "reason": {
                "name": "reason",
                "label": _("Reason"),
                "kind": "textarea",
                "value": "",
                "errors": [],
                "required": True,
                "maxlength": 500,
            },
        }

    def _to_person(self, row: Any, viewer: Viewer) -> str:
        chosen = self.record_table.by_name["assignee"].parse(request.form.get("assignee"), viewer)
        _refuse_reassigned(row, request.form.get("was"), viewer)
        reach = viewer.person.reach(self.module, "assign")
        if chosen not in viewer.person.own_ids and reach and chosen not in reach:  # the page has the form of a request
            raise RuleBroken(_("You can only assign work within your own team. Send a request instead."), "assignee")
        if not assignment_actions.assign_directly(self, row, chosen, viewer, "direct"):
            return assignment_actions.already_assigned_text(chosen, viewer)
        return _("Assigned to %(name)s.", name=assignment_history.name_of(chosen, viewer))

    def _to_role(self, row: Any, viewer: Viewer) -> str:
        chosen = assignment_actions.assign_by_round_robin(self, row, request.form.get("role", ""), viewer)
        return _("Assigned to %(name)s.", name=assignment_history.name_of(chosen, viewer))

    @staticmethod
    def _ask(row: Any, viewer: Viewer) -> str:
        viewer.person.refuse_unless("Requests", "create")
        chosen = viewer.lookups.find_person(request.form.get("assignee", ""))
        if chosen is None:
            raise RuleBroken(_("Please choose a colleague."), "assignee")
        assignment_requests.create(db.session(), row, chosen, request.form.get("reason", ""), viewer.stamp)
        return _("Your request was sent.")

    @staticmethod
    def _refuse_unknown(row: Any, viewer: Viewer) -> str:
        raise RuleBroken(_("Please choose how to assign the record."))


def _others(made: dict[str, Any], *users: int | None) -> dict[str, Any]:
    """The input of a colleague, which doesn't offer these users: they have the record already."""
    return made | {"lookup_url": made["lookup_url"] + "".join(f"&without={key}" for key in users if key)}


class MultiAssigneeScreen(AssignableScreen):
    """A screen whose records can have several assignees."""

    VERBS = AssignableScreen.VERBS | {"join": "assign", "release": "assign"}

    def _assign_page(self, row: Any, viewer: Viewer) -> dict[str, Any]:
        keys = assignment.current_assignees(db.session(), row)
        base = f"{self.route_base}/release/{row.id}"
        people = [
            person_card(card) | {"is_current": key == row.assignee_id, "release_url": f"{base}/{key}"}
            for key in keys
            if (card := viewer.lookups.person(key))
        ]
        page = super()._assign_page(row, viewer)
        return page | {
            "present": people,
            "join_url": f"{self.route_base}/join/{row.id}",
            "colleague": _others(page["person"], *keys) | {"name": "user", "label": _("Add an assignee")},
        }

    @page_route("/join/<pk>", methods=["POST"])
    def join(self, pk: str) -> Any:
        """Add an assignee beside the current ones."""
        row, viewer = self.row_for(pk, "assign"), current_viewer()
        chosen = viewer.lookups.find_person(request.form.get("user", ""))
        joined = assignment_actions.add(self, row, chosen, viewer)
        db.session.commit()
        flash(_("Added.") if joined else assignment_actions.already_assigned_text(chosen, viewer), "success")
        return redirect(f"{self.route_base}/assign/{row.id}")

    @page_route("/release/<pk>/<user>", methods=["POST"])
    def release(self, pk: str, user: str) -> Any:
        """Remove an assignee."""
        row, viewer = self.row_for(pk, "assign"), current_viewer()
        assignment.remove_assignee(db.session(), row, parse_id(user) or 0, viewer.stamp)
        db.session.commit()
        flash(_("Released."), "success")
        return redirect(f"{self.route_base}/assign/{row.id}")


class AssignableResource(Resource):
    """A resource whose records have an assignee."""

    VERBS = Resource.VERBS | {"assign": "assign"}

    @expose("/<int:pk>/assign", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("assign")
    def assign(self, pk: Any) -> Any:
        """Assign the record to a user {assign_to}, or by round robin to a role {assign_to_role}.

        Assigning it to its current assignee has no effect, and is no error.
        """
        key = again_if_overtaken(lambda: self._assigned(pk, request_json(), current_viewer()))
        return json_answer(200, {"id": key, "result": self._after(key)})

    def _assigned(self, pk: Any, raw: dict[str, Any], viewer: Viewer) -> int:
        """The id of the record after its assignment was committed."""
        row = self._row(pk, "assign")
        if raw.get("assign_to_role"):
            assignment_actions.assign_by_round_robin(self, row, str(raw["assign_to_role"]), viewer)
        else:
            user_id = self.record_table.by_name["assign_to"].parse(raw.get("assign_to"), viewer)
            assignment_actions.assign_directly(self, row, user_id, viewer, "direct")
        db.session.commit()
        return int(row.id)


class MultiAssigneeResource(AssignableResource):
    """A resource whose records can have several assignees."""

    VERBS = AssignableResource.VERBS | {"join": "assign", "release": "assign"}

    @expose("/<int:pk>/assignees", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("join")
    def join(self, pk: Any) -> Any:
        """Add the assignee {user}; also 200 if they are assigned already."""

        def join() -> tuple[int, bool]:
            row, viewer = self._row(pk, "assign"), current_viewer()
            joined = assignment_actions.add(self, row, viewer.lookups.find_person(request_json().get("user")), viewer)
            db.session.commit()
            return row.id, joined

        key, joined = again_if_overtaken(join)
        return json_answer(201 if joined else 200, {"id": key, "result": self._after(key)})

    @expose("/<int:pk>/assignees/<int:user>", methods=["DELETE"])
    @protect()
    @refuse_as_json
    @permission_name("release")
    def release(self, pk: Any, user: Any) -> Any:
        """Remove an assignee."""

        def release() -> int:
            row = self._row(pk, "assign")
            assignment.remove_assignee(db.session(), row, parse_id(user) or 0, current_viewer().stamp)
            db.session.commit()
            return int(row.id)

        key = again_if_overtaken(release)
        return json_answer(200, {"id": key, "result": self._after(key)})
