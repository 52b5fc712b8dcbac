"""A list as a board: a column for each status, with its first cards; more on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from flask import render_template, request
from flask_babel import gettext as _
from markupsafe import Markup

from app.domain.base import NotFound
from app.domain.tasks import OPEN
from app.web.core.localization.languages import in_page_language
from app.web.core.queries.list_query import ListQuery
from app.web.core.urls.local_links import row_url
from app.web.core.viewer import Viewer
from app.web.records.lists import list_groups, view_switcher
from app.web.records.lists.board_card_html import cards_html
from app.web.records.lists.grouped_rows import GroupedList
from app.web.records.lists.list_groups import ListGroup
from app.web.records.lists.list_page import AskedList, count_url, list_page, title_of, url
from app.web.records.open_tasks import OVER

#: Kinds that need a label on a card, because their value alone is not clear.
_TITLED = ("moment", "date", "number")
#: Cards of a column that are loaded at once, more than a window shows.
CARDS = 8
#: The highest page of a column: 20,000 cards.
MAX_PAGE = 2500


def card_names(screen: Any) -> tuple[str, ...]:
    """The columns that the cards read."""
    named = screen.record_table.by_name
    wanted = (screen.title_column, *screen.card_columns, "number", "status")
    return tuple(dict.fromkeys(name for name in wanted if name in named and named[name].columns))


def page(asked: AskedList) -> Any:
    """The board, or the part of it requested by htmx."""
    screen, list_query, viewer = asked.screen, asked.list_query, asked.viewer
    names = card_names(screen)
    found = GroupedList(screen, "status", replace(list_query, size=CARDS), names).load(viewer)
    shown = list_page(replace(asked, list_query=replace(list_query, page=0)), []) | view_switcher.switcher(
        screen, viewer
    )
    shown |= {
        "tabs": [],
        "count_text": list_groups.total_text(found),
        "count_url": count_url(screen) if any(group.is_capped for group in found) else None,
        "may_move": viewer.person.may(screen.module, "write"),
        "columns": [
            _column(screen, group, cards(screen, group.rows, names, viewer))
            | {"add_url": _add_url(screen, group.value, viewer)}
            for group in found
        ],
        "kind": screen.record_table.name,
        "here": url(page=None),
    }
    return render_template(
        "records/_board.html" if request.headers.get("HX-Request") else "records/board.html", page=shown
    )


def more_cards(screen: Any, list_query: ListQuery, key: str, viewer: Viewer) -> Any:
    """The cards of one column on this page of it: a fragment. Raises NotFound for an unknown status."""
    names = card_names(screen)
    group = group_of(screen, key, viewer)
    query = replace(list_query, size=CARDS, page=min(list_query.page, MAX_PAGE))
    GroupedList(screen, "status", query, names).load_rows([group])
    screen.record_table.prepare(group.rows, names, viewer)
    shown = _column(screen, group, cards(screen, group.rows, names, viewer), query.page)
    return render_template("records/_board_cards.html", column=shown)


def group_of(screen: Any, key: str, viewer: Viewer) -> ListGroup:
    """The column of this status. Raises NotFound for an unknown one, and one that is no longer offered."""
    found = [each for each in list_groups.groups_of(screen, "status", viewer) if str(each.value) == key]
    if not found:
        raise NotFound(_("There is no such status."))
    return found[0]


def _column(screen: Any, group: ListGroup, drawn: Markup, number: int = 0) -> dict[str, Any]:
    seen = number * CARDS + len(group.rows)
    has_more = bool(group.rows) and (group.count > seen or group.is_capped)
    return {
        "key": group.value,
        "label": group.label,
        "color": group.color,
        "count": group.count_text,
        "cards_html": drawn,
        "more_url": f"{screen.route_base}/board/{group.value}?{_query(page=number + 1)}" if has_more else None,
    }


def _add_url(screen: Any, status: Any, viewer: Viewer) -> str | None:
    """The form of a new record with this status; None for a status that closes a record or has requirements."""
    table = screen.record_table
    if "status" not in table.declared.add or not viewer.person.may(screen.module, "create"):
        return None
    if screen.status_picklist:
        meaning = viewer.lookups.meanings[screen.status_picklist].get(status, "")
        is_plain = meaning not in (*screen.status_requirements, "scheduled", *OVER.get(screen.service.record, ()))
    else:
        is_plain = status in OPEN
    form = "quick" if screen.quick_fields else "add"
    return f"{screen.route_base}/{form}?status={quote(str(status))}" if is_plain else None


def cards(screen: Any, rows: Sequence[Any], names: tuple[str, ...], viewer: Viewer) -> Markup:
    """The cards of these rows as HTML."""
    shown = [card(screen, row, names, viewer) for row in rows]
    return cards_html(shown, f"{screen.route_base}/", viewer.person.may(screen.module, "write"))


def _query(**changes: Any) -> str:
    return url(**changes).partition("?")[2]


def card(screen: Any, row: Any, names: tuple[str, ...], viewer: Viewer) -> dict[str, Any]:
    """One card: title, the values below it, and the assignee."""
    values = tuple(row)
    cells = {
        each.name: each.shown_cell(values[cut], viewer) | {"caption": in_page_language(each.label), "column": each.kind}
        for each, cut in screen.record_table.selection(names)[1]
    }
    title = title_of(screen.title_column, cells) or cells.get("number", {}).get("text") or str(values[0])
    number = cells.get("number", {}).get("text")
    lines = [
        cells[name] | {"titled": cells[name]["column"] in _TITLED}
        for name in screen.card_columns
        if name in cells and cells[name]["kind"] not in ("missing", "person", "people")
    ]
    people = [cells[name] for name in screen.card_columns if cells[name]["kind"] in ("person", "people")]
    return {
        "id": values[0],
        "title": title,
        "number": number if number != title else None,
        "url": row_url(screen.route_base, values[0], number),
        "lines": lines,
        "people": people,
    }
