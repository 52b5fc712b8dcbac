"""Colleagues as public cards, for picklists and over REST."""

from __future__ import annotations

from typing import Any

from flask import jsonify, request
from flask_appbuilder import BaseView, expose
from flask_appbuilder.api import BaseApi, protect
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.base import NotFound
from app.domain.people.permissions import VERBS
from app.domain.people.users import absence
from app.extensions import db
from app.models import User
from app.web.api import schemas
from app.web.api.list_parameters import page_of, read_parameters
from app.web.api.operations import DocumentedOperations, OperationSpec
from app.web.core.fab_access import JsonErrorResponses, current_viewer, json_answer, refuse_as_json, signed_in
from app.web.core.view_registry import registered
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import may_receive
from app.web.records import colleague_search, mentions
from app.web.records.assignment_history import absent_in_words


class PeopleView(BaseView):
    """/people/lookup"""

    route_base = "/people"
    default_view = "lookup"

    @expose("/lookup")
    @signed_in
    @refuse_as_json
    def lookup(self) -> Any:
        """Up to 20 active colleagues by name or username.

        With `about` a record (lead:5), up to 8 who can see it; with `assigns` a list (leads), those to whom the viewer
        may assign its records. With `first` a table (leads, ticket), those who may get its records come first, and
        each result says until when the person is away. Left out are the users `without`, who have the record already.
        """
        typed, about, viewer = request.args.get("q", ""), request.args.get("about"), current_viewer()
        hits = (
            mentions.offered(db.session(), about, typed, viewer) if about else colleague_search.matching(typed, viewer)
        )
        if without := set(request.args.getlist("without")):
            hits = [card for card in hits if str(card["id"]) not in without]
        if base := request.args.get("assigns"):
            hits = [card for card in hits if _may_get(card["id"], base, viewer)]
        away: dict[int, str] = {}
        if kind := request.args.get("first"):
            module = _module_of(kind)
            hits = sorted(hits, key=lambda card: not (module and may_receive(card["id"], module, viewer)))
            away = _away([card["id"] for card in hits[:20]], viewer)
        results = [
            {"value": card["id"], "label": card["full_name"], "hint": away.get(card["id"], card["username"])}
            for card in hits[:20]
        ]
        return jsonify({"results": results})


def _may_get(user: int, base: str, viewer: Viewer) -> bool:
    """Whether the viewer may assign records of the list at this address to this user."""
    screen = next((each for each in registered("screens").values() if each.route_base == f"/{base}"), None)
    return screen is not None and may_receive(user, screen.module, viewer)


def _module_of(kind: str) -> str | None:
    """The module of the records of this table."""
    screens = registered("screens").values()
    return next((each.module for each in screens if each.service.record.__tablename__ == kind), None)


def _away(users: list[int], viewer: Viewer) -> dict[int, str]:
    """user -> why and until when they get no new work, of those who are away."""
    columns = (User.id, User.active, User.available, User.away_until, User.leave_from, User.leave_to)
    rows = db.session.execute(select(*columns).where(User.id.in_(users)))
    found = {row.id: absence(row, viewer.now) for row in rows}
    return {
        key: absent_in_words({"why": each.why, "until": each.until and each.until.isoformat()}, viewer)
        for key, each in found.items()
        if each is not None
    }


class UserResource(JsonErrorResponses, DocumentedOperations, BaseApi):
    """/api/v1/user/: public cards only."""

    resource_name = "user"
    class_permission_name = "Dashboard"
    method_permission_name = {"get": "read", "get_list": "read"}
    base_permissions = ["can_" + verb for verb in VERBS]
    allow_browser_login = True
    csrf_exempt = False
    is_documented = True
    documentation = {
        "get": OperationSpec("Read one record", (404,), ("pk",)),
        "get_list": OperationSpec("List", (414,), ("page_query", "page", "page_size"), answer="list"),
    }

    @expose("/", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("get")
    def get_list(self) -> Any:
        """Active colleagues, by name."""
        page, size = page_of(read_parameters({"page", "page_size"}), 20)
        cards = [
            card
            for key, card in sorted(current_viewer().lookups.people.items())
            if key in current_viewer().lookups.active
        ]
        part = cards[page * size : (page + 1) * size]
        body = {"count": len(cards), "count_capped": False, "ids": [card["id"] for card in part], "result": part}
        return json_answer(200, body)

    @expose("/<int:pk>", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("get")
    def get(self, pk: int) -> Any:
        """One colleague's card."""
        card = current_viewer().lookups.person(pk)
        if card is None:
            raise NotFound(_("There is no such colleague."))
        return json_answer(200, {"id": pk, "result": card})

    def add_apispec_components(self, api_spec: Any) -> None:
        """The card."""
        card = schemas.SHARED["UserCard"]["properties"]
        schemas.register_schemas(api_spec, schemas.SHARED | {"User": schemas.shape(card, *card)})
