"""The round-robin page: the order of each role, who is next, past turns, and setting who is next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from flask import flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain import assignment, round_robin
from app.domain.audit_log import audit
from app.domain.base import NotFound
from app.domain.people import users
from app.extensions import db
from app.lib.digit_grouping import GroupedInt
from app.lib.ids import parse_id
from app.models import Lead, Ticket
from app.web.core.fab_access import current_viewer
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage
from app.web.records.assignment_history import REASONS, absent_in_words, name_of, skipped_people

PREVIEW_TURNS, MAX_HISTORY = 10, 100
#: Turns are counted in this many of the role's latest assignments.
COUNTED_ASSIGNMENTS = 1000


class RoundRobinView(SettingsPage):
    """/turns/"""

    route_base = "/turns"
    VERBS = {"index": "read", "set_next": "write"}

    @page_route("/")
    def index(self) -> Any:
        """One role: its order, the next turns, past turns."""
        roles = round_robin.roles_in_use(db.session())
        busiest = max(roles, key=lambda pair: pair[1].turns if pair[1] else 0, default=None)
        name = request.args.get("role") or (busiest[0].name if busiest else "")
        found = next((pair for pair in roles if pair[0].name == name), None)
        if found is None:
            raise NotFound(_("There is no such role, or it has no round robin."))
        tabs = [{"label": role.name, "url": _url(role.name), "active": role.name == name} for role, _pointer in roles]
        return render_template("settings/round_robin.html", page=_page(*found, current_viewer()) | {"tabs": tabs})

    @page_route("/begin", methods=["POST"])
    def set_next(self) -> Any:
        """Set who is next; without a user, the first in order. Audited."""
        viewer, session = current_viewer(), db.session()
        role, user = request.form.get("role", ""), request.form.get("user", "")
        key = (parse_id(user) or 0) if user else None
        round_robin.set_next(session, role, key, viewer.now)
        with access.as_system(session):  # each entry is chained to the last one, which the person may not see
            audit.write(
                session, "turn change", viewer.person.id, viewer.now, about=f"role {role}"[:190], begins_with=key
            )
        session.commit()
        flash(_next_text(role, viewer), "success")
        return redirect(_url(role))


def _url(role: str) -> str:
    return "/turns/?" + urlencode({"role": role})


def _next_text(role: str, viewer: Viewer) -> str:
    held = next((pair for pair in round_robin.roles_in_use(db.session()) if pair[0].name == role), None)
    line = round_robin.load_line(db.session(), held[0], held[1].last_user_id if held[1] else None) if held else None
    preview = round_robin.preview_turns(line, viewer.now, 1) if line else []
    if not preview:
        return _("No one with this role is available now.")
    return _("%(name)s is next.", name=name_of(preview[0].user_id, viewer))


def _page(role: Any, pointer: Any, viewer: Viewer) -> dict[str, Any]:
    session = db.session()
    line = round_robin.load_line(session, role, pointer.last_user_id if pointer else None)
    preview = round_robin.preview_turns(line, viewer.now, PREVIEW_TURNS)
    with access.as_system(session):  # the number of turns reveals nothing about the records
        counts = assignment.turn_counts(session, role.name, COUNTED_ASSIGNMENTS)
        turns = assignment.latest_turns(session, role.name, MAX_HISTORY)
    first = (preview[0].substitute_for or preview[0].user_id) if preview else None
    return {
        "role": role.name,
        "turns": GroupedInt(pointer.turns if pointer else 0),
        "counted": COUNTED_ASSIGNMENTS,
        "changed": moment_cell(pointer.changed_on if pointer else None, viewer),
        "line": [_position_row(position, first, counts, viewer) for position in line.in_turn()],
        "coming": [_preview_row(each, viewer) for each in preview],
        "history": _history(turns, viewer),
        "may_change": viewer.person.may("Settings", "write"),
        "action": "/turns/begin",
    }


def _position_row(
    position: round_robin.TurnPosition, first: int | None, counts: dict[int, Any], viewer: Viewer
) -> dict[str, Any]:
    user = position.user
    away, other = users.absence(user, viewer.now), round_robin.substitute(position, viewer.now)
    entry = {"why": away.why, "until": away.until.isoformat() if away.until else None} if away else None
    count, last = counts.get(user.id, (0, None))
    return {
        "id": user.id,
        "person": _card(user.id, viewer),
        "is_next": user.id == first,
        "had": GroupedInt(count),
        "last": moment_cell(last, viewer),
        "away": absent_in_words(entry, viewer) if entry else "",
        "stand_in": name_of(other, viewer) if other else "",
    }


def _preview_row(decision: round_robin.TurnDecision, viewer: Viewer) -> dict[str, Any]:
    substitute_for = name_of(decision.substitute_for, viewer) if decision.substitute_for else ""
    return {"person": _card(decision.user_id, viewer), "stead": substitute_for}


def _card(key: int | None, viewer: Viewer) -> dict[str, Any]:
    return person_card(viewer.lookups.person(key) or {"full_name": "?", "username": "?"})


def _history(turns: list[Any], viewer: Viewer) -> list[dict[str, Any]]:
    """Each turn with the person and the reason; with the record if the viewer can see it."""
    links = _links(Lead, "/leads/", (each.lead_id for each in turns))
    links |= _links(Ticket, "/tickets/", (each.ticket_id for each in turns))
    return [
        {
            "person": _card(each.user_id, viewer),
            "when": moment_cell(each.started_on, viewer),
            "reason": REASONS.get(each.reason, each.reason),
            "skipped": skipped_people(each.decision, viewer),
            "stead": name_of(each.stead_of_id, viewer) if each.stead_of_id else "",
            "record": links.get(("leads", each.lead_id)) or links.get(("ticket", each.ticket_id)),
        }
        for each in turns
    ]


def _links(record: Any, base: str, ids: Iterable[int | None]) -> dict[tuple[str, int | None], dict[str, str]]:
    keys = {key for key in ids if key is not None}
    query = select(record.id, record.number).where(record.id.in_(keys))
    rows = db.session.execute(query).all() if keys else []
    return {(record.__tablename__, key): {"number": number, "url": f"{base}{number}"} for key, number in rows}
