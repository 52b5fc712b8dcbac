"""The search page: finds visible records by number, name, phone number in any format, or email address."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import jsonify, render_template, request
from flask_appbuilder import BaseView, expose

from app import access
from app.extensions import db
from app.models import Message
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer, signed_in
from app.web.core.record_table import ListQuery
from app.web.core.registry import registered
from app.web.core.replica_lists import from_replica
from app.web.core.text_search import MAX_LOOKED_UP, best_first, matching_all
from app.web.pages.refusals import refuse_as_page
from app.web.records.list_page import row_url

#: Hits per group, and characters of the title of one.
MAX_HITS, MAX_TITLE = 8, 100
#: What a hit shows beside its title; a message shows its text, with whom and when.
_WANTED = ("number", "status", "mobile")
_OF_MESSAGE = ("peer", "channel", "direction", "created_on")


def searched() -> list[Any]:
    """The screens whose records are searched, in the order of the menu."""
    return [screen for screen in registered("screens").values() if screen.is_searched]


class SearchView(BaseView):
    """/search"""

    route_base = "/search"
    default_view = "page"

    @expose("")
    @expose("/")
    @signed_in
    @refuse_as_page
    @from_replica
    def page(self) -> Any:
        """Hits by kind, as a page, or as JSON for the command palette."""
        text = request.args.get("q", "").strip()[:100]
        groups = _groups(text, current_viewer()) if len(text) > 1 else []
        groups = [group for group in groups if group["rows"]]
        if request.accept_mimetypes.best == "application/json":
            return jsonify({"groups": groups})
        return render_template("crm/search.html", typed=text, groups=groups)


def _groups(text: str, viewer: Viewer) -> list[dict[str, Any]]:
    """The first hits of each kind that the person may read."""
    screens = [screen for screen in searched() if viewer.person.may(screen.module, "read")]
    found = matching_all([screen.record_table for screen in screens], text, viewer, MAX_LOOKED_UP, 2 * MAX_HITS)
    return [_hits(screen, text, each, viewer) for screen, each in zip(screens, found, strict=True)]


def _hits(screen: Any, text: str, found: access.Asked, viewer: Viewer) -> dict[str, Any]:
    """The first hits of one kind: who is called exactly so first, then the newest."""
    record_table = screen.record_table
    group: dict[str, Any] = {
        "title": str(screen.list_title),
        "url": f"{screen.route_base}/?{urlencode({'q': text})}",
        "rows": [],
    }
    if found.ids == set():
        return group
    is_message = record_table.record is Message
    title = "body" if is_message else screen.title_column
    wanted = (title, *(_OF_MESSAGE if is_message else _WANTED))
    names = tuple(name for name in wanted if name in record_table.by_name and record_table.by_name[name].columns)
    rules = [*record_table.base_conditions(), found.rule()]
    order = record_table.order_by(None, "desc", viewer) if found.ids is None else best_first(record_table, text)
    query = ListQuery(rules, order, MAX_HITS)
    slices = record_table.selection(names)[1]
    for row in record_table.rows(db.session(), query, names):
        values = tuple(row)
        cells = {each.name: each.cell(values[cut], viewer) for each, cut in slices}
        number = cells.get("number", {}).get("text")
        group["rows"].append(
            {
                "url": row_url(screen.route_base, values[0], number),
                "cells": list(cells.values()),
                "title": (cells[title].get("text") or number or str(values[0]))[:MAX_TITLE],
            }
        )
    return group
