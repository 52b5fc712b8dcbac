"""The search page and the palette: visible records by number, name, phone number in any format, or email address.

Notes by their words, files of records by name, support pages and, in the palette, settings by words of their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from flask import current_app, jsonify, render_template, request
from flask_appbuilder import BaseView, expose
from flask_babel import gettext as _

from app import access
from app.extensions import db
from app.lib.text_normalization import fold_apostrophes
from app.models import CallLog, Customer, Lead, Message, Ticket
from app.web.core.fab_access import current_viewer
from app.web.core.queries import first_rows
from app.web.core.queries.first_rows import FirstRows
from app.web.core.queries.list_query import ListQuery
from app.web.core.queries.record_pages import FoundRows, rows_found
from app.web.core.queries.record_table import RecordTable
from app.web.core.queries.replica_lists import from_replica
from app.web.core.queries.text_search import (
    MAX_LOOKED_UP,
    TextSearch,
    best_first,
    common_among_own,
    exact_first,
    matching_all,
)
from app.web.core.urls.local_links import row_url
from app.web.core.urls.merged_redirects import is_number_of
from app.web.core.view_registry import registered
from app.web.core.viewer import Viewer
from app.web.pages.routes import signed_in_route
from app.web.records.attachments import file_search
from app.web.records.timelines import note_search
from app.web.settings import settings_menu
from app.web.workday import mistyped_names
from app.web.workday.sidebar import may_open

#: Hits per group, and characters of a hit's title.
MAX_HITS, MAX_TITLE = 8, 100
#: Minimum characters of a search.
_LEAST = 2
#: Columns of a hit besides its title; a message shows its text, with whom and when.
_WANTED = ("number", "status", "mobile")
_OF_MESSAGE = ("peer", "channel", "direction", "created_on")
_OF_TICKET = ("caller", *_WANTED)
_OF_CALL = ("status", "started_on", "employee")


def searched_screens() -> list[Any]:
    """The screens whose records are searched, in the order of the menu."""
    return [screen for screen in registered("screens").values() if screen.is_searched]


class SearchView(BaseView):
    """/search"""

    route_base = "/search"
    default_view = "page"

    @expose("")
    @signed_in_route("/")
    @from_replica
    def page(self) -> Any:
        """Hits by kind, as a page, or as JSON for programs."""
        text = _typed()
        viewer = current_viewer()
        groups = [*_found(text, viewer), *_with_rows(_support_pages(text, viewer))] if len(text) >= _LEAST else []
        if request.accept_mimetypes.best == "application/json":
            return jsonify({"groups": groups})
        return render_template("workday/search.html", typed=text, groups=groups)

    @signed_in_route("/hits")
    @from_replica
    def hits(self) -> Any:
        """Hits for the palette: {groups: [{title, url, rows: [{title, hint, url}]}]}.

        At a URL of its own: a browser would show JSON when going back to a page with the same URL.
        """
        text, viewer = _typed(), current_viewer()
        groups = [group | {"rows": [_line(row) for row in group["rows"]]} for group in _found(text, viewer)]
        if len(text) >= _LEAST:
            groups += _with_rows(_support_pages(text, viewer), _settings(text, viewer))
        return jsonify({"groups": groups})


def _with_rows(*groups: dict[str, Any]) -> list[dict[str, Any]]:
    return [group for group in groups if group["rows"]]


def _typed() -> str:
    return request.args.get("q", "").strip()[:100]


def _found(text: str, viewer: Viewer) -> list[dict[str, Any]]:
    """The groups that have hits; where none has, those of names that are one typing mistake away."""
    if len(text) < _LEAST:
        return []
    groups = _groups(text, viewer)
    other = mistyped_names.corrected(db.session(), text) if not groups else ""
    return _groups_of_common(other, viewer) if other else groups


def _groups(text: str, viewer: Viewer) -> list[dict[str, Any]]:
    """The first hits of each kind that the person may read and that has some, notes and files last."""
    screens = _read(searched_screens(), viewer)
    tables = [screen.record_table for screen in screens]
    text_search = TextSearch(
        tuple(tables),
        text,
        viewer,
        MAX_LOOKED_UP,
        lambda: [note_search.note_lookup(text, viewer), file_search.file_lookup(text, viewer)],
    )
    *lookups, notes, files = matching_all(text_search, 2 * MAX_HITS)
    others = (
        {"title": _("Notes"), "url": "", "rows": note_search.hits(notes, text, MAX_HITS, viewer)},
        {"title": _("Files"), "url": "", "rows": file_search.hits(files, MAX_HITS, viewer)},
    )
    return [*_groups_of(screens, lookups, text, viewer), *_with_rows(*others)]


def _groups_of_common(text: str, viewer: Viewer) -> list[dict[str, Any]]:
    """The first hits among people of a name that many are probably called by."""
    screens = _read([each for each in searched_screens() if each.record_table.record in (Customer, Lead)], viewer)
    lookups = common_among_own([screen.record_table for screen in screens], text, viewer, 2 * MAX_HITS)
    return _groups_of(screens, lookups, text, viewer)


def _read(screens: list[Any], viewer: Viewer) -> list[Any]:
    """Those whose records the viewer may read."""
    return [screen for screen in screens if viewer.person.may(screen.module, "read")]


def _groups_of(
    screens: list[Any], lookups: Sequence[access.IndexLookup], text: str, viewer: Viewer
) -> list[dict[str, Any]]:
    """The first hits of those screens' records that have some."""
    found = [(screen, each) for screen, each in zip(screens, lookups, strict=True) if each.ids != set()]
    rows = _rows([_Kind(screen, screen.record_table, each, text, viewer) for screen, each in found])
    return [_group(screen, hits, text, viewer) for (screen, _each), hits in zip(found, rows, strict=True) if hits]


@dataclass(frozen=True)
class _Kind:
    """The hits of one record."""

    screen: Any
    table: RecordTable
    lookup: access.IndexLookup
    text: str
    viewer: Viewer

    @property
    def is_common(self) -> bool:
        """Whether there are too many hits to list their ids."""
        return self.lookup.ids is None

    @property
    def is_scanned(self) -> bool:
        """Whether its rows are found by several statements."""
        record = self.lookup.record
        return self.is_common and access.is_scanned(record) and not access.reads_all(self.viewer.person, record)

    def order(self) -> list[Any]:
        """Exact names first, then the newest; of a common text the newest."""
        return self.table.order_by(None, "desc", self.viewer) if self.is_common else [*best_first(self.table)]

    def first_rows(self) -> FirstRows:
        """The first hits as part of a statement for several kinds."""
        table, kept = self.table, self.lookup.kept_rule() if self.is_common else None
        common = [self.lookup.rule()] if self.is_common and kept is None else []
        is_newest = self.is_common and table.base_order is None
        query = ListQuery([*table.base_conditions(), *common], self.order(), MAX_HITS, newest=is_newest)
        typed = None if self.is_common else self.text
        return FirstRows(table, query, _names(table, _title(self.screen)), self.lookup.ids, typed, kept)

    def rows(self) -> list[Any]:
        """The first hits by a statement of their own."""
        table, kept = self.table, self.lookup.kept_rule()
        base, session, names = table.base_conditions(), db.session(), _names(table, _title(self.screen))
        is_plain = not self.is_common or access.reads_all(self.viewer.person, table.record)
        if kept is not None and not base and is_plain:
            return rows_found(table, session, FoundRows(kept, self.text, self.order, MAX_HITS), names)
        order = self.order() if self.is_common else exact_first(table, self.text)
        query = ListQuery([*base, self.lookup.rule()], order, MAX_HITS)
        rows: list[Any] = table.rows(session, query, names)
        return rows


@lru_cache(maxsize=100)
def _names(table: RecordTable, title: str) -> tuple[str, ...]:
    """The columns of a hit."""
    wanted = (title, *{Message: _OF_MESSAGE, CallLog: _OF_CALL, Ticket: _OF_TICKET}.get(table.record, _WANTED))
    return tuple(name for name in wanted if name in table.by_name and table.by_name[name].columns)


def _title(screen: Any) -> str:
    return "body" if screen.service.record is Message else str(screen.title_column)


def _rows(kinds: list[_Kind]) -> list[list[Any]]:
    """The rows of each kind: of several kinds in one statement, except where they are scanned."""
    rows: list[list[Any]] = [[] for _each in kinds]
    together = [at for at, each in enumerate(kinds) if not each.is_scanned]
    pages = [kinds[at].first_rows() for at in together]
    if len(pages) == 1 and not pages[0].is_short:
        together, pages = [], []
    for at, found in zip(together, first_rows.load(db.session(), pages), strict=True):
        rows[at] = found
    for at, each in enumerate(kinds):
        if at not in together:
            rows[at] = each.rows()
    return rows


def _group(screen: Any, rows: list[Any], text: str, viewer: Viewer) -> dict[str, Any]:
    """The hits of one kind with their cells, for both pages."""
    table = screen.record_table
    slices = table.selection(_names(table, _title(screen)))[1]
    merged = text.upper() if is_number_of(table.record, text) else None
    return {
        "title": str(screen.list_title),
        "url": f"{screen.route_base}/?{urlencode({'q': text})}",
        "rows": [_hit(screen, row, [(each, row[cut]) for each, cut in slices], (merged, viewer)) for row in rows],
    }


def _hit(screen: Any, row: Any, values: list[Any], about: tuple[str | None, Viewer]) -> dict[str, Any]:
    """A row with its cells. `values`: (field, its values); `about`: the number that was typed, if any, and by whom."""
    typed, viewer = about
    cells = {each.name: each.cell(own, viewer) for each, own in values}
    number = cells.get("number", {}).get("text")
    return {
        "url": row_url(screen.route_base, row[0], number),
        "note": "" if typed is None else _note(typed, number),
        "cells": list(cells.values()),
        "title": (cells[_title(screen)].get("text") or number or str(row[0]))[:MAX_TITLE],
    }


def _note(typed: str, number: str | None) -> str:
    """Why a record is found by the complete number of another one: that was merged into it."""
    is_other = number is not None and number != typed
    return _("%(number)s was merged into %(kept)s.", number=typed, kept=number) if is_other else ""


def _line(row: dict[str, Any]) -> dict[str, str]:
    """A hit for the palette: its cells on one line."""
    parts = [row["note"]]
    parts += [
        str(cell.get("label") or cell.get("text") or "") for cell in row["cells"][1:] if cell["kind"] != "missing"
    ]
    return {"title": row["title"], "hint": " · ".join(filter(None, parts)), "url": row["url"]}


def _has_words(label: str, text: str) -> bool:
    """Whether each typed word begins a word of the label."""
    own = fold_apostrophes(label).casefold().split()
    return all(any(each.startswith(word) for each in own) for word in fold_apostrophes(text).casefold().split())


def _support_pages(text: str, viewer: Viewer) -> dict[str, Any]:
    """The offered support pages, from the lookups: no statement."""
    lookups, rows = viewer.lookups, []
    if viewer.person.may("Support Pages", "read"):
        offered = [lookups.rows["support_page"][key] for key in lookups.offered["support_page"]]
        rows = [_page_hit(row) for row in offered if _has_words(row["label"], text)]
    return {"title": _("Support pages"), "url": "", "rows": rows[:MAX_HITS]}


def _page_hit(row: Any) -> dict[str, Any]:
    """A hit for both pages."""
    label, description = row["label"], row["description"] or ""
    cells = [{"kind": "text", "text": each} for each in (label, description) if each]
    return {"title": label, "hint": description, "url": row["url"], "cells": cells, "note": ""}


def _settings(text: str, viewer: Viewer) -> dict[str, Any]:
    """The settings pages that the person may open."""
    menu = current_app.appbuilder.menu  # type: ignore[attr-defined]
    entries = [(group, item) for group in settings_menu.GROUPS for item in menu.find(group.name).childs]
    rows = [
        {"title": str(item.label), "hint": str(group.label), "url": item.get_url()}
        for group, item in entries
        if _has_words(str(item.label), text) and item.should_render() and may_open(viewer.person, item)
    ]
    return {"title": _("Settings"), "url": "/settings/", "rows": rows[:MAX_HITS]}
