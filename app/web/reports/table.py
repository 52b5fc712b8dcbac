"""The results of a report, for one viewer: a table for pages, charts and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _

from app.lib.digit_grouping import grouped
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.durations import span
from app.web.reports import statements
from app.web.reports.statements import CheckedReport
from app.web.transfer.export_cells import Cell, cell_value
from app.web.transfer.export_files import Row


@dataclass
class ReportTable:
    """Rows of cells, with descriptions."""

    title: str
    heading: list[str]
    rows: list[Row] = field(default_factory=list)
    #: The URL of each row: the list of a group, or the page of a record; "" = none.
    urls: list[str] = field(default_factory=list)
    #: The total row of a grouped table; None = none.
    totals: Row | None = None
    #: The list of all rows; "" = no URL can express it.
    total_url: str = ""
    #: (label, text) of the figures over all rows, for a report that lists rows.
    summary: list[tuple[str, str]] = field(default_factory=list)
    #: How many of the first columns identify the row, and which columns are in seconds.
    names: int = 1
    seconds: frozenset[int] = frozenset()
    #: Column -> format of its values on pages and in PDFs; files have the stored values.
    formats: Mapping[int, Callable[[Any], str]] = field(default_factory=dict)
    #: The number of records in the report.
    count: int = 0
    #: What is left out, and why, in whole sentences.
    notes: list[str] = field(default_factory=list)
    is_grouped: bool = False
    chart: str = "none"
    #: The index of the figure in the chart.
    drawn: int = 0
    #: The selection of records, as text.
    about: str = ""

    def text(self, place: int, value: Cell) -> str:
        """A cell of this column, formatted for pages and PDFs."""
        if value not in (None, "") and place in self.formats:
            return self.formats[place](value)
        return text_of(value, place in self.seconds)


def figures_of(checked: CheckedReport, parts: tuple[Any, ...]) -> Row:
    """The values of the figures from their aggregates."""
    made: Row = []
    start = 0
    for figure, _column in checked.figures:
        end = start + statements.width_of(figure)
        made.append(cell_value(statements.figure_of(figure, parts[start:end]), checked.viewer))
        start = end
    return made


def text_of(value: Cell, is_seconds: bool = False) -> str:
    """A cell, formatted for pages and PDFs."""
    if value is None or value == "":
        return "–"
    if isinstance(value, datetime):
        return format_local_date(value, "%-d %b %Y, %H:%M")
    if isinstance(value, date):
        return format_local_date(value, "%-d %b %Y")
    if isinstance(value, int | float):
        return span(round(value)) if is_seconds else grouped(value)
    return value


def heading_of_totals() -> str:
    """The label of the total row."""
    return _("Total")
