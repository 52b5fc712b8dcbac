"""What a report has found, for one viewer: a table that pages, charts and files show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from flask_babel import gettext as _

from app.lib.digit_grouping import grouped
from app.web.core.durations import span
from app.web.core.local_dates import format_local_date
from app.web.reports import statements
from app.web.reports.statements import CheckedReport
from app.web.transfer.export_cells import Cell, cell_value
from app.web.transfer.export_files import Row


@dataclass
class Table:
    """Rows of cells, and what is said about them."""

    title: str
    heading: list[str]
    rows: list[Row] = field(default_factory=list)
    #: The address behind each row: the list of a group, or the page of a record; "" = none.
    urls: list[str] = field(default_factory=list)
    #: The last row of a grouped table, of everything; None = none.
    totals: Row | None = None
    #: The list of everything; "" = no address says it.
    total_url: str = ""
    #: (label, text) of the figures of all rows, for a report that lists rows.
    summary: list[tuple[str, str]] = field(default_factory=list)
    #: How many of the first columns name the row, and which columns hold seconds.
    names: int = 1
    seconds: frozenset[int] = frozenset()
    #: Column -> how pages and paper show its values; files have them as they are stored.
    formats: Mapping[int, Callable[[Any], str]] = field(default_factory=dict)
    #: How many records the report is about.
    count: int = 0
    #: What is left out, and why, in whole sentences.
    notes: list[str] = field(default_factory=list)
    is_grouped: bool = False
    chart: str = "none"
    #: Which of the figures the chart draws.
    drawn: int = 0
    #: Which records, in words.
    about: str = ""

    def text(self, place: int, value: Cell) -> str:
        """A cell of this column as pages and paper show it."""
        if value not in (None, "") and place in self.formats:
            return self.formats[place](value)
        return text_of(value, place in self.seconds)


def figures_of(checked: CheckedReport, parts: tuple[Any, ...]) -> Row:
    """The values of the figures from what the database has worked out."""
    made: Row = []
    start = 0
    for figure, _column in checked.figures:
        end = start + statements.width_of(figure)
        made.append(cell_value(statements.figure_of(figure, parts[start:end]), checked.viewer))
        start = end
    return made


def text_of(value: Cell, is_seconds: bool = False) -> str:
    """A cell as pages and PDFs show it."""
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
    """What the last row is called."""
    return _("Total")
