"""A list in groups: a table with a heading and the first rows for each status or person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import render_template, request
from flask_babel import gettext as _

from app.web.records.lists import list_groups, view_switcher
from app.web.records.lists.grouped_rows import GroupedList
from app.web.records.lists.list_cells import list_rows
from app.web.records.lists.list_groups import ListGroup
from app.web.records.lists.list_page import AskedList, count_url, list_page, url
from app.web.records.lists.list_rows_html import rows_html, tools_class

#: Initial rows of a group.
ROWS = 10


def page(name: str, asked: AskedList) -> Any:
    """The page in groups by this column, or the part of it requested by htmx."""
    screen, columns, viewer = asked.screen, asked.columns, asked.viewer
    query = replace(asked.list_query, size=ROWS)
    found = GroupedList(screen, name, query, columns.names).load(viewer)
    shown = list_page(asked, []) | view_switcher.switcher(screen, viewer)
    shown["rows"] = list_rows(screen, [row for group in found for row in group.rows], columns.names, viewer)
    shown |= {
        "tabs": screen.tabs(viewer),
        "count_text": list_groups.total_text(found),
        "count_url": count_url(screen) if any(group.is_capped for group in found) else None,
        "page_sizes": [],
        "next_url": None,
    }
    left_out = list_groups.people_left_out(screen, name, viewer)
    if left_out:
        shown["groups_note"] = _("%(count)s more colleagues are not shown. Filter by assignee.", count=left_out)
    shown |= {"tools": tools_class(shown["rows"]), "groups": _drawn(found, name, shown)}
    return render_template(
        "records/_list_rows.html" if request.headers.get("HX-Request") else "records/list.html", page=shown
    )


def _drawn(groups: list[ListGroup], name: str, shown: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups with their rows as HTML, and the URL of all rows of each."""
    drawn, start = [], 0
    for group in groups:
        rows = shown["rows"][start : start + len(group.rows)]
        start += len(group.rows)
        rest = {f"_flt_eq_{name}": group.value} if group.value != list_groups.NOBODY else {f"_flt_null_{name}": "1"}
        drawn.append(
            {
                "label": group.label,
                "color": group.color,
                "person": group.person,
                "count": group.count_text,
                "rows_html": rows_html(shown | {"rows": rows}),
                "all_url": url(group=None, page=None, **rest) if group.count > len(rows) or group.is_capped else None,
            }
        )
    return [each for each, group in zip(drawn, groups, strict=True) if group.count]
