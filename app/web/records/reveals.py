"""Revealing a masked value of a record: with a reason, limited, audited before it is shown, and shown briefly.

No browser stores a page with the value: the response is not cached, and the page removes it by itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from flask import Response, current_app, make_response, render_template, request
from flask_appbuilder import expose
from flask_appbuilder.api import protect
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _

from app import access
from app.domain import who_has_seen
from app.domain.base import NotFound, RuleBroken, translatable
from app.extensions import db
from app.ops.redis.rate_counter import Rate
from app.web.api.operations import OperationSpec
from app.web.api.resource import request_json
from app.web.api.schemas import STRING, shape
from app.web.core.fab_access import REFUSABLE, current_viewer, json_answer, refusal, refuse_as_json
from app.web.core.fields.base import Field, clean_text
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.security.rate_limits import TooManyRequests

#: Verbs of RevealActions and RevealApi.
REVEAL_VERBS = {"reveal": "reveal"}
#: Values that one person may reveal.
RATES = (Rate(10, 60), Rate(60, 3600), Rate(200, 86_400))
#: Shortest and longest reason, in characters.
LEAST_REASON, MOST_REASON = 5, 300
#: The documentation of RevealApi.
REVEAL_DOCUMENTATION = {
    "reveal": OperationSpec(
        "Read a masked value in full; who, when and the reason are kept in the audit",
        (404, 413, 422),
        ("pk",),
        shape({"field": STRING, "reason": STRING}, "field", "reason"),
        shape({"result": shape({"field": STRING, "value": STRING}, "field", "value")}, "result"),
    )
}
#: Seconds for which a page shows the value.
SHOWN_SECONDS = 30


def link(screen: Any, cells: dict[str, dict[str, Any]], key: int, viewer: Viewer) -> None:
    """Link the masked values of a record to the page that reveals them, for people who may."""
    if not isinstance(screen, RevealActions) or not viewer.person.may(screen.module, "reveal"):
        return
    for each in screen.record_table.fields:
        if each.name in cells and _is_revealable(each, viewer) and cells[each.name]["kind"] != "missing":
            cells[each.name] |= {"reveal_url": f"{screen.route_base}/reveal/{key}/{each.name}"}


class RevealRequest(NamedTuple):
    """Which field of a record somebody wants to see, and why, as typed."""

    field: str
    reason: Any


def reveal(screen: Any, row: Any, wanted: RevealRequest, viewer: Viewer) -> dict[str, Any]:
    """The cell with the whole value. It is audited, and committed, before it is returned.

    Raises RuleBroken for a field that is not masked, is hidden or empty, and for too short a reason; Denied;
    TooManyRequests.
    """
    each = _field(screen, wanted.field, viewer)
    refuse_unreached(screen, row, viewer)
    why = clean_reason(wanted.reason)
    count(viewer, "reveal", RATES)
    seen = who_has_seen.Reveal(f"{row.__tablename__.rstrip('s')} {row.number}", wanted.field, why, request.remote_addr)
    shown = _whole(screen, row.id, each, viewer)
    if shown["kind"] == "missing":
        raise RuleBroken(_("“%(name)s” is empty.", name=str(each.label)))
    with access.as_system(db.session()) as session:  # an audit entry is chained to the last one, which they may not see
        who_has_seen.write_reveal(session, seen, viewer.stamp)
        session.commit()
    return shown


def clean_reason(typed: Any) -> str:
    """Why somebody needs to see a value in full, as typed. Raises RuleBroken if it is too short or too long."""
    why = clean_text(typed, "reason", MOST_REASON) or ""
    if len(why) < LEAST_REASON:
        raise RuleBroken(_("Please say in a few words why you need it."), "reason")
    return why


def refuse_unreached(screen: Any, row: Any, viewer: Viewer) -> None:
    """Raise Denied if the person sees the record, but may not reveal its values."""
    viewer.person.refuse_unless(screen.module, "reveal")
    if not access.reaches_row(db.session(), viewer.person, row, "reveal"):
        raise access.Denied(_("You can see this record but not reveal its values. Ask its assignee or your manager."))


def _is_revealable(each: Field, viewer: Viewer) -> bool:
    """Whether the person sees a part of the field; completely hidden fields stay so."""
    return each.mask and bool(each.columns) and viewer.person.mask(each.mask_name) == "last4"


def _field(screen: Any, name: str, viewer: Viewer) -> Field:
    each: Field | None = screen.record_table.by_name.get(name)
    if each is None or not each.mask or not each.columns:
        raise NotFound(_("There is no such page."))
    if not _is_revealable(each, viewer):
        raise RuleBroken(_("“%(name)s” can't be revealed for your role.", name=str(each.label)))
    return each


def _whole(screen: Any, key: int, each: Field, viewer: Viewer) -> dict[str, Any]:
    """The cell as if only this field had no mask."""
    person = replace(viewer.person, masks=viewer.person.masks | {each.mask_name: "full"})
    values = tuple(screen.record_table.one(db.session(), key, (each.name,)))
    cut = screen.record_table.selection((each.name,))[1][0][1]
    return each.cell(values[cut], replace(viewer, person=person))


def count(viewer: Viewer, what: str, rates: Sequence[Rate]) -> None:
    """Count a revealed value of this person, or something else that reveals values. Raises TooManyRequests."""
    counter, now = current_app.extensions["crm_limits"].counter, time.time()
    for rate in rates:
        counted = counter.add(f"{what} {rate.seconds} {viewer.person.id}", rate, now)
        if counted.is_exceeded:
            wait = max(1, -(-(counted.ends - int(now)) // 60))
            raise TooManyRequests(
                translatable(
                    "You have revealed many values in a short time. Please wait %(minutes)s min, or ask your manager.",
                    minutes=wait,
                )
            )


class RevealActions:
    """The endpoint of a screen that reveals a value: the form that asks for a reason, then the value."""

    module: Any
    record_table: Any
    route_base: Any
    row_for: Any
    url_of: Any

    @page_route("/reveal/<pk>/<string:name>", methods=["GET", "POST"])
    def reveal(self, pk: str, name: str) -> Any:
        """Ask for the reason; with one, return the value: a fragment for our pages, else a page with a link back."""
        row, viewer = self.row_for(pk, "read"), current_viewer()
        refuse_unreached(self, row, viewer)
        each, back = _field(self, name, viewer), self.url_of(row)
        page = {
            "title": _("Show %(name)s", name=str(each.label)),
            "action": f"{self.route_base}/reveal/{row.id}/{name}",
            "number": row.number,
            "label": str(each.label),
            "seconds": SHOWN_SECONDS,
            "most": MOST_REASON,
            "reason": request.form.get("reason", ""),
            "list_url": back,
            "list_label": row.number,
        }
        if request.method == "GET":
            return _answer("reveal", page)
        try:
            page["shown"] = reveal(self, row, RevealRequest(name, page["reason"]), viewer)
        except REFUSABLE as broken:
            db.session.rollback()
            status, sentence, _errors = refusal(broken)
            return _answer("reveal", page | {"error": sentence}, status)
        made = _answer("revealed", page)
        if not request.headers.get("HX-Request"):
            made.headers["Refresh"] = f"{SHOWN_SECONDS}; url={back}"
        return made


class RevealApi:
    """Revealing masked values over REST."""

    _row: Any

    @expose("/<int:pk>/reveal", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("reveal")
    def reveal(self, pk: Any) -> Any:
        """Reveal {field} for {reason}."""
        row, raw, viewer = self._row(pk, "read"), request_json(), current_viewer()
        shown = reveal(self, row, RevealRequest(str(raw.get("field")), raw.get("reason")), viewer)
        made = json_answer(200, {"result": {"field": raw["field"], "value": shown["text"]}})
        made.headers["Cache-Control"] = "private, no-store"
        return made


def _answer(template: str, page: dict[str, Any], status: int = 200) -> Response:
    """A fragment for htmx, else a page; never stored by a browser or proxy."""
    place = "records/_" if request.headers.get("HX-Request") else "records/"
    made = make_response(render_template(f"{place}{template}.html", page=page), status)
    made.headers["Cache-Control"] = "private, no-store"
    return made
