"""/duplicates/: records that look like the same person, to be merged or dismissed."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

from flask import flash, redirect, render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from flask_babel import ngettext

from app import access
from app.access import Denied, Person
from app.domain.base import NotFound
from app.domain.merging import duplicate_comparison, duplicate_pairs, duplicate_scan
from app.domain.merging.duplicate_pairs import REASONS
from app.extensions import db
from app.lib.digit_grouping import GroupedInt, grouped
from app.lib.ids import parse_id
from app.web.core.fab_access import current_viewer
from app.web.core.fields.date_fields import moment_cell
from app.web.core.request_transaction import request_transaction
from app.web.core.view_registry import kind_of
from app.web.core.viewer import Viewer
from app.web.pages.routes import signed_in_route
from app.web.records.merging import duplicate_list, merge_actions
from app.web.records.merging.duplicate_list import PAGE, DuplicateQuery

BASE = "/duplicates/"
#: Seconds that a scan on demand may take; the job does the rest.
_LOOK_SECONDS = 4.0
_MODULES = ("Leads", "Customers")


class DuplicatesView(BaseView):
    """/duplicates/"""

    route_base = "/duplicates"
    default_view = "index"
    #: Other pages that belong to its entry of the sidebar.
    also_at = ("/merge/",)

    @staticmethod
    def opens_for(person: Person) -> bool:
        """Whether the sidebar offers the list: to people who may merge."""
        return any(person.may(each, "merge") and person.may(each, "write") for each in _MODULES)

    @signed_in_route("/")
    def index(self) -> Any:
        """The pairs of one kind, highest score first."""
        viewer = current_viewer()
        want = _wanted(viewer)
        rows = duplicate_list.rows_of(want, viewer)
        found = duplicate_list.count(want, viewer)
        last = rows[PAGE - 1] if len(rows) > PAGE else None
        page = {
            "kind": kind_of(want.screen),
            "kinds": [
                {"label": each.list_title, "url": _url(viewer, kind=kind_of(each)), "active": each is want.screen}
                for each in duplicate_list.screens(viewer)
            ],
            "groups": duplicate_list.page_groups(want.screen, duplicate_list.groups(rows[:PAGE]), viewer),
            "count": ngettext("%(num)s pair", "%(num)s pairs", GroupedInt(found))
            if found <= duplicate_list.MOST_COUNTED
            else _("More than %(num)s pairs", num=grouped(duplicate_list.MOST_COUNTED)),
            "reasons": [(name, duplicate_list.LABELS[name]) for name in _offered_reasons(want, viewer)],
            "reason": want.reason,
            "owners": _owners(viewer),
            "owner": want.owner_id,
            "is_dismissed": want.is_dismissed,
            "next_url": _url(viewer, after=f"{last.score}.{last.id}") if last is not None else None,
            "first_url": _url(viewer, after=None) if want.after is not None else None,
            "scan": _scan(want.screen, viewer),
            "most_shared": duplicate_comparison.MOST_SHARED,
        }
        return render_template("merge/duplicates.html", page=page)

    @signed_in_route("/decide", methods=["POST"])
    def decide(self) -> Any:
        """Dismiss pairs, or put them back on the list."""
        viewer = current_viewer()
        screen = _screen(viewer)
        keys = [key for raw in request.form.getlist("pair")[:50] if (key := parse_id(raw))]
        reached = duplicate_list.reached_pairs(screen, keys, viewer)
        if not reached:
            raise NotFound(_("This pair isn't on the list any more. Please reload the page."))
        is_back = request.form.get("what") == "back"
        with request_transaction() as session:
            if is_back:
                duplicate_pairs.reopen(session, reached)
            else:
                duplicate_pairs.dismiss(session, reached, viewer.stamp)
        flash(_("On the list again.") if is_back else _("Set aside: these aren't duplicates."), "success")
        return redirect(_url(viewer, kind=kind_of(screen), **({"dismissed": "1"} if is_back else {})))

    @signed_in_route("/look", methods=["POST"])
    def look(self) -> Any:
        """Scan new records now, for a few seconds; the job continues."""
        viewer = current_viewer()
        screen = _screen(viewer)
        kind, ends, looked = screen.service.record.__tablename__, time.monotonic() + _LOOK_SECONDS, 0
        done = 1
        while done and time.monotonic() < ends:
            with request_transaction() as session:
                done = duplicate_scan.scan_next(session, kind, viewer.now)
            looked += done
        flash(_("The search continues in the background.") if done else _("All records have been compared."), "success")
        return redirect(_url(viewer, kind=kind_of(screen)))

    @signed_in_route("/of/<string:kind>/<int:key>")
    def of_record(self, kind: str, key: int) -> Any:
        """The part of a record page about its duplicates: empty without any."""
        viewer = current_viewer()
        screen = merge_actions.screen_for(kind, viewer)
        merge_actions.rows_for(screen, (key,))
        if not request.headers.get("HX-Request"):
            return redirect(f"/merge/{kind}?ids={key}")
        return render_template("merge/_record_duplicates.html", known=duplicate_list.of_record(screen, key, viewer))


def _screen(viewer: Viewer) -> Any:
    offered = duplicate_list.screens(viewer)
    if not offered:
        raise Denied(_("Your role doesn't allow merging records. Ask your manager if you need it."))
    wanted = request.values.get("kind", "")
    return next((each for each in offered if kind_of(each) == wanted), offered[0])


def _wanted(viewer: Viewer) -> DuplicateQuery:
    reason = request.args.get("reason", "")
    score, _dot, key = request.args.get("after", "").partition(".")
    after = (parse_id(score), parse_id(key))
    return DuplicateQuery(
        _screen(viewer),
        reason if reason in REASONS else "",
        parse_id(request.args.get("owner")),
        request.args.get("dismissed") == "1",
        (after[0], after[1]) if after[0] is not None and after[1] is not None else None,
    )


def _offered_reasons(duplicate_query: DuplicateQuery, viewer: Viewer) -> list[str]:
    named = duplicate_pairs.reasons_of(duplicate_list.visible_reasons(viewer))
    has_birth = hasattr(duplicate_query.screen.service.record, "date_of_birth")
    return [name for name in named if name != "birth" or has_birth]


def _owners(viewer: Viewer) -> list[tuple[int, str]]:
    """The colleagues for the filter: those whose records the person reaches."""
    reaches = [viewer.person.reach(each) for each in _MODULES]
    within = None if None in reaches else frozenset().union(*(each for each in reaches if each is not None))
    cards = [(key, viewer.lookups.person(key)) for key in viewer.lookups.active if within is None or key in within]
    return sorted(((key, card["full_name"]) for key, card in cards if card), key=lambda each: each[1].casefold())


def _scan(screen: Any, viewer: Viewer) -> dict[str, Any]:
    """Whether all records have been scanned, and when that was finished."""
    session = db.session()
    with access.as_system(session):
        state = session.get(duplicate_pairs.DuplicateScan, screen.service.record.__tablename__)
    finished = state.finished_on if state is not None else None
    return {"is_done": finished is not None, "at": moment_cell(finished, viewer) if finished else None}


def _url(viewer: Viewer, **changes: Any) -> str:
    args = {name: request.args[name] for name in ("kind", "reason", "owner", "dismissed") if request.args.get(name)}
    args = {name: value for name, value in (args | changes).items() if value not in (None, "")}
    return f"{BASE}?{urlencode(args)}" if args else BASE
