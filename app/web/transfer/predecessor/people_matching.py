"""/imports/people: the predecessor's addresses without a user here, and the form that matches them."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from flask_babel import ngettext as _n

from app import access
from app.domain import predecessor_names
from app.domain.audit_log import audit
from app.domain.base import NotFound, RuleBroken
from app.extensions import db
from app.lib.digit_grouping import GroupedInt, grouped
from app.web.core.fab_access import current_viewer
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.pages.routes import signed_in_route
from app.web.transfer.export_pages import tabs
from app.web.transfer.import_runs import kind_named
from app.web.transfer.predecessor.worker import KIND

BASE = "/imports/people"
#: Addresses on the page.
MOST = 200


class PredecessorPeopleView(BaseView):
    """/imports/people"""

    route_base = BASE
    default_view = "index"

    @signed_in_route("", methods=["GET"])
    def index(self) -> Any:
        """The addresses, the most frequent first."""
        viewer = _mover()
        with access.as_system(db.session()) as session:
            people = predecessor_names.waiting(session)
        shown = [{"email": email, "count": grouped(count)} for email, count in people[:MOST]]
        return self.render_template(
            "transfer/predecessor_people.html",
            people=shown,
            more=GroupedInt(len(people) - len(shown)),
            tabs=tabs("imports", viewer.person),
        )

    @signed_in_route("", methods=["POST"])
    def match(self) -> Any:
        """Set the chosen user wherever the address occurs."""
        viewer = _mover()
        email = request.form.get("email", "").strip().lower()[:140]
        user_id = viewer.lookups.find_person(request.form.get("user_id", "").strip())
        if not user_id or not email:
            raise RuleBroken(_("Please choose who this is."), "user_id")
        with access.as_system(db.session()) as session:
            if not predecessor_names.is_waiting(session, email):
                text = _("“%(email)s” isn't waiting to be matched. Please choose an address in the list.", email=email)
                raise NotFound(text)
        count = _settle(email, user_id, viewer)
        text = _n(
            "%(email)s was matched in %(count)s place.",
            "%(email)s was matched in %(count)s places.",
            count,
            email=email,
            count=grouped(count),
        )
        flash(text, "success")
        return redirect(BASE)


def _settle(email: str, user_id: int, viewer: Viewer) -> int:
    """Assign in steps, each a transaction, because a person may occur in a million places. Returns how many."""
    total, done = 0, 1
    while done:
        with request_transaction() as session, access.as_system(session):
            predecessor_names.remember_user(session, email, user_id)
            done = predecessor_names.assign_user(session, email, user_id)
            total += done
    with request_transaction() as session:
        what: dict[str, Any] = {"what": "person matched", "user": user_id, "count": total}
        audit.write(session, "import", viewer.person.id, viewer.now, "former system", **what)
    return total


def _mover() -> Viewer:
    """The viewer. Raises Denied for people who may not run a move."""
    viewer = current_viewer()
    kind_named(KIND, viewer)
    return viewer
