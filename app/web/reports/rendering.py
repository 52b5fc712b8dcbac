"""A report for its page: the table with its links, and the chart with the table that it is based on."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.lib.digit_grouping import grouped
from app.web.dashboards.rendering import chart
from app.web.reports.table import ReportTable, text_of

#: Rows of a page; bars or points, and lines, of a chart.
MAX_ROWS, MAX_POINTS, MAX_SERIES = 200, 30, 3
Drawn = dict[str, Any]


def result_context(table: ReportTable) -> Drawn:
    """The context of reports/_result.html."""
    cut = len(table.rows) - MAX_ROWS
    notes = list(table.notes)
    if cut > 0:
        notes.append(_("The page shows the first %(most)s rows; files hold all of them.", most=MAX_ROWS))
    made = {
        "heading": [{"label": text, "to_end": _is_figure(table, place)} for place, text in enumerate(table.heading)],
        "rows": [_row(table, row, url) for row, url in zip(table.rows[:MAX_ROWS], table.urls, strict=False)],
        "totals": _row(table, table.totals, table.total_url) if table.totals else None,
        "total": table.count,
        "count": grouped(table.count),
        "total_url": table.total_url,
        "summary": table.summary,
        "notes": notes,
        "about": table.about,
        "is_grouped": table.is_grouped,
        "chart": None,
    }
    if table.chart != "none" and table.is_grouped and table.rows:
        made["chart"] = _chart(table, notes)
    return made


def _is_figure(table: ReportTable, place: int) -> bool:
    return table.is_grouped and place >= table.names


def _row(table: ReportTable, row: Any, url: str) -> list[Drawn]:
    """The cells; a group's figures open its list, the first cell of a record opens its page."""
    cells = []
    for place, value in enumerate(row):
        is_figure = _is_figure(table, place)
        opens = url if (is_figure and value not in (None, 0)) or (not table.is_grouped and place == 0) else ""
        is_empty_name = value is None and not is_figure and table.is_grouped
        text = "" if is_empty_name else table.text(place, value)
        to_end = is_figure or (not table.is_grouped and isinstance(value, int | float))
        cells.append({"text": text, "url": opens, "to_end": to_end})
    return cells


def _chart(table: ReportTable, notes: list[str]) -> Drawn | None:
    if len(table.heading) <= table.names:
        return None
    columns, rows = _pivot(table, notes) if table.names == 2 and table.chart != "pie" else _plain(table)
    if len(rows) > MAX_POINTS:
        # For a line, the newest points matter most.
        rows = rows[-MAX_POINTS:] if table.chart == "line" else rows[:MAX_POINTS]
        notes.append(_("The chart shows %(most)s of the groups.", most=MAX_POINTS))
    if any(cell["value"] < 0 for row in rows for cell in row["cells"]) and table.chart == "pie":
        notes.append(_("A pie can't show negative figures; see the table."))
        return None
    part = chart(table.chart, columns, rows)
    return part | {"name": "report", "label": table.heading[table.names + table.drawn], "help": "", "size": 12}


def _plain(table: ReportTable) -> tuple[list[str], list[Drawn]]:
    place = table.names + table.drawn
    rows = [
        {
            "label": " · ".join(text_of(each) for each in row[: table.names]),
            "cells": [_cell(row[place], url, place in table.seconds)],
        }
        for row, url in zip(table.rows, table.urls, strict=True)
    ]
    return ["", table.heading[place]], rows


def _pivot(table: ReportTable, notes: list[str]) -> tuple[list[str], list[Drawn]]:
    """The figure as a pivot: a row for each first group, a column for each of the largest second groups."""
    place, sums = table.names + table.drawn, dict[str, float]()
    for row in table.rows:
        name = text_of(row[1])
        sums[name] = sums.get(name, 0) + _number(row[place])
    series = sorted(sums, key=lambda name: -sums[name])[:MAX_SERIES]
    if len(sums) > MAX_SERIES:
        names = ", ".join(series)
        notes.append(
            _("The chart shows only the largest of %(group)s: %(names)s.", group=table.heading[1], names=names)
        )
    found: dict[str, dict[str, Drawn]] = {}
    for row, url in zip(table.rows, table.urls, strict=True):
        found.setdefault(text_of(row[0]), {})[text_of(row[1])] = _cell(row[place], url, place in table.seconds)
    empty = _cell(0, "", place in table.seconds)
    rows = [{"label": name, "cells": [cells.get(each, empty) for each in series]} for name, cells in found.items()]
    return ["", *series], rows


def _cell(value: Any, url: str, is_seconds: bool) -> Drawn:
    number = _number(value)
    return {"text": text_of(value, is_seconds), "value": number, "url": url if number else ""}


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0
