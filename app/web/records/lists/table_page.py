"""The page of a list as a table. All but its rows and figures is rendered once and kept with the person's rights.

What is kept depends on the person, the lookups, their views and columns, and the address. Each has a new object or
another key when it changes, so a right that is taken away is gone with the next request. See docs/decisions/0111.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

from flask import current_app, render_template, session

from app.lib.html_escape import escape
from app.lib.lru_cache import LruCache
from app.web.core.fab_access import request_time
from app.web.core.flask_internals import request_context
from app.web.core.localization.languages import language_key
from app.web.core.viewer import Viewer
from app.web.core.views.list_preferences import preferences_of
from app.web.pages import brand
from app.web.pages.cached_fragments import (
    csrf_placeholders,
    filled,
    html_placeholder,
    pages_of,
    placeholder,
    split_once,
)
from app.web.pages.cached_page_frame import PlacedFrame
from app.web.pages.page_frame import Frame, frame_of
from app.web.records.lists import list_page, view_switcher
from app.web.records.lists.list_cells import list_rows
from app.web.records.lists.list_columns import ChosenColumns
from app.web.records.lists.list_rows_html import RowDrawing, tools_class

#: Longer addresses are not kept.
_MAX_QUERY = 300
#: What was typed into the search, if it is the same in an address and in HTML.
_TYPED = re.compile(r"(?<![^&])q=([A-Za-z0-9]+)(?![^&])")
#: Arguments of a list whose page shows more than they say: figures, conditions in words, changes of a view.
_TELLING = re.compile(r"(?<![^&])(?:figure|where|view)=")

Rows = list[dict[str, Any]]


class _Sources(NamedTuple):
    """The objects that a page was made from; a change makes new ones."""

    lookups: Any
    choices: Any
    brand: Any

    def are(self, others: _Sources) -> bool:
        """Whether they are the same objects."""
        return all(one is other for one, other in zip(self, others, strict=True))


@dataclass(frozen=True, slots=True)
class _KeptPage:
    """A rendered page with placeholders."""

    sources: _Sources
    parts: tuple[str, ...]
    drawing: RowDrawing


@dataclass(frozen=True)
class _Table:
    """The table that a request asks for."""

    screen: Any
    extent: list_page.ListExtent
    columns: ChosenColumns
    viewer: Viewer
    rows: Rows
    actions: Rows
    tabs: Rows

    def context(self) -> dict[str, Any]:
        """The context of records/list.html."""
        page = list_page.around_rows(self.screen, self.extent, self.columns, self.viewer)
        page |= {"rows": self.rows, "actions": self.actions, "tabs": self.tabs, "tools": tools_class(self.rows)}
        return page | view_switcher.switcher(self.screen, self.viewer)


def render(asked: list_page.AskedList, found: list[Any]) -> str:
    """The page, or for htmx the part with the table, with these rows."""
    screen, columns, viewer = asked.screen, asked.columns, asked.viewer
    extent = list_page.extent_of(screen, asked.list_query, found)
    screen.record_table.prepare(found, columns.names, viewer)
    rows = list_rows(screen, found, columns.names, viewer)
    buttons = screen.row_buttons(found, columns.names, viewer)
    for row in rows if buttons else ():
        if row["id"] in buttons:
            row["buttons"] = buttons[row["id"]]
    actions = [action.shown() for action in screen.bulk_actions(viewer)]
    table = _Table(screen, extent, columns, viewer, rows, actions, screen.tabs(viewer))
    context: Any = request_context()
    query = context.request.query_string.decode(errors="replace")
    # The banner of a view as another user tells its own end.
    if _may_be_kept(query) and not viewer.person.read_only:
        return _from_kept(table, context, query)
    page = table.context()
    page["rows_html"] = RowDrawing(page).html(rows)
    return render_template(_template(context.request), page=page)


def _template(request: Any) -> str:
    return "records/_list_rows.html" if request.headers.get("HX-Request") else "records/list.html"


def _may_be_kept(query: str) -> bool:
    """Whether the page shows nothing beyond what its key says."""
    is_plain = len(query) <= _MAX_QUERY and _TELLING.search(query) is None
    return is_plain and not current_app.debug and "_flashes" not in session


def _from_kept(table: _Table, context: Any, query: str) -> str:
    """The page from what is kept; it is rendered if nothing is, or if it was made from other sources."""
    person, request = table.viewer.person, context.request
    frame = None if request.headers.get("HX-Request") else frame_of(person)
    typed = _TYPED.search(query)
    address = query if typed is None else f"{query[: typed.start(1)]}{placeholder('typed')}{query[typed.end(1) :]}"
    sources = _Sources(table.viewer.lookups, preferences_of(table.viewer), brand.current_brand())
    kept: LruCache[Hashable, _KeptPage] = pages_of(person, __name__)
    key = _key(table, request, address, frame)
    page = kept.get(key)
    if page is None or not page.sources.are(sources):
        page = _KeptPage(sources, *_rendered(table, context, address, frame))
        kept.keep(key, page)
    places = {
        "count": escape(table.extent.count_text),
        "range": escape(table.extent.range_text),
        "rows": page.drawing.html(table.rows),
        "typed": "" if typed is None else typed[1],
        "moment": request_time().isoformat(timespec="seconds"),
    }
    if frame is not None:
        places |= {"sidebar": frame.sidebar, "topbar": frame.topbar_end}
    return filled(page.parts, places)


def _key(table: _Table, request: Any, address: str, frame: Frame | None) -> Hashable:
    """All that the page depends on, beside the person and the sources."""
    extent = table.extent
    return (
        *(table.screen.route_base, request.script_root, request.path, address, language_key()),
        *(extent.is_capped, extent.has_more, bool(table.rows), tools_class(table.rows)),
        *(table.viewer.now.astimezone(table.viewer.zone).date(), frame is None, frame is not None and frame.has_calls),
        # Screens of add-ons may offer other ones from request to request.
        *(_hashable(table.actions), _hashable(table.tabs)),
    )


def _hashable(entries: Rows) -> tuple[tuple[tuple[str, str], ...], ...]:
    return tuple(tuple((name, str(value)) for name, value in entry.items()) for entry in entries)


def _rendered(table: _Table, context: Any, address: str, frame: Frame | None) -> tuple[tuple[str, ...], RowDrawing]:
    """The page with placeholders, as if the one for the typed text had been typed, in parts; how its rows are drawn."""
    asked = context.request
    context.request = _asking(asked, address)
    try:
        page = table.context()
        drawing = RowDrawing(page)
        page |= {"count_text": placeholder("count"), "rows_html": html_placeholder("rows")}
        page["range_text"] = placeholder("range") if page["range_text"] else ""
        placed = {"frame": PlacedFrame(frame)} if frame is not None else {}
        html = render_template(
            _template(asked), page=page, rendered_at=placeholder("moment"), **placed, **csrf_placeholders()
        )
    finally:
        context.request = asked
    return split_once(html), drawing


def _asking(asked: Any, address: str) -> Any:
    """The request with this query string."""
    made = current_app.request_class(asked.environ | {"QUERY_STRING": address})
    made.url_rule, made.view_args = asked.url_rule, asked.view_args
    return made
