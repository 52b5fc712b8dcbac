"""The tables of a disclosure of complaints and of the return to the exchange, in the language of the page.

The page, the public address and all files show these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.domain.complaints.disclosure_figures import Disclosure, Movement, joined
from app.domain.complaints.disclosure_periods import Span, month_of
from app.lib.digit_grouping import grouped
from app.web.core.localization.day_and_month_names import format_local_date

Value = int | Decimal | None
#: What is shown for an average of nothing.
NOTHING = "–"

#: Source -> how a disclosure names it.
_SOURCES = {
    "Investor": _l("Directly from investors"),
    "SEBI SCORES": _l("SEBI (SCORES)"),
    "Stock exchange": _l("Stock exchanges"),
    "Depository": _l("Depositories"),
    "Other": _l("Other sources"),
}


@dataclass(frozen=True)
class TableColumn:
    """A column of numbers."""

    #: Which complaints it counts: see reports/disclosure_links.py; "" = no list can show them.
    figure: str
    label: str


@dataclass(frozen=True)
class TableRow:
    """The numbers of a source or of a span."""

    label: str
    values: tuple[Value, ...]
    #: What its complaints have in common; None = any.
    source: str | None = None
    span: Span | None = None
    #: The id of the category of all of them; None = any.
    category_id: int | None = None
    #: What the numbers count, if it isn't what the columns say.
    figures: tuple[str, ...] = ()
    is_total: bool = False
    #: Whether its figures don't add up.
    is_wrong: bool = False


@dataclass(frozen=True)
class FigureTable:
    """A table under its title, with notes below it."""

    title: str
    #: The heading of the labels.
    name: str
    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...] = ()


#: Figure -> its value.
FIGURES: dict[str, Callable[[Movement], Value]] = {
    "carried": lambda movement: movement.carried,
    "received": lambda movement: movement.received,
    "total": lambda movement: movement.carried + movement.received,
    "resolved": lambda movement: movement.resolved,
    "pending": lambda movement: movement.pending,
    "recent": lambda movement: movement.pending - movement.old,
    "old": lambda movement: movement.old,
    "average": lambda movement: movement.average,
}


def value_text(value: Value) -> str:
    """A number as it is shown: grouped as in India; averages with two decimals."""
    if value is None:
        return NOTHING
    return str(value) if isinstance(value, Decimal) else grouped(value)


def source_label(source: str | None) -> str:
    """How a disclosure names a source; None = all of them."""
    return _("All sources") if source is None else str(_SOURCES.get(source, source))


def month_label(month: Span) -> str:
    """The name of a month."""
    return format_local_date(month.first, "%B %Y")


def span_label(span: Span) -> str:
    """The name of a month or of a financial year, which may end early."""
    if month_of(span.first) == span:
        return month_label(span)
    name = f"{span.first:%Y}-{(span.first.year + 1) % 100:02}"
    if span.after.month == span.first.month:
        return name
    return _("%(year)s (up to %(month)s)", year=name, month=month_label(month_of(span.last)))


def tables_of(disclosure: Disclosure, layout: str) -> tuple[FigureTable, ...]:
    """The table of the month, and the trends by month and by year."""
    return _month_table(disclosure, layout), _month_trend(disclosure), _year_trend(disclosure)


def _columns_2021() -> Mapping[str, str]:
    return {
        "carried": _("Carried forward from previous month"),
        "received": _("Received during the month"),
        "total": _("Total pending"),
        "resolved": _("Resolved*"),
        "recent": _("Pending at the end of the month for less than 3 months"),
        "old": _("Pending at the end of the month for more than 3 months"),
        "average": _("Average resolution time^ (in days)"),
    }


def _columns_2025() -> Mapping[str, str]:
    return {
        "carried": _("Pending at the end of last month"),
        "received": _("Received"),
        "resolved": _("Resolved*"),
        "pending": _("Total pending#"),
        "old": _("Pending complaints > 3 months"),
        "average": _("Average resolution time^ (in days)"),
    }


def _month_table(disclosure: Disclosure, layout: str) -> FigureTable:
    is_new = layout != "2021"
    columns = _columns_2025() if is_new else _columns_2021()
    rows = [
        _row(source_label(source), movement, columns, source=source, span=disclosure.month)
        for source, movement in disclosure.sources.items()
    ]
    rows.append(_row(_("Grand total"), disclosure.total, columns, span=disclosure.month, is_total=True))
    title = _("Data for the month ending %(day)s", day=format_local_date(disclosure.month.last, "%-d %B %Y"))
    notes = (*_notes(is_new), *((_impersonations(disclosure.impersonations),) if is_new else ()))
    return FigureTable(title, _("Received from"), _columns(columns), tuple(rows), notes)


def _notes(is_new: bool) -> list[str]:
    notes = [_("* Includes complaints of earlier months that were resolved in this month.")]
    if is_new:
        notes.append(_("# Includes all complaints that are pending on the last day of the month."))
    average = _(
        "^ The sum of the days that each complaint resolved in this month took, divided by the number of complaints "
        "resolved in this month."
    )
    return [*notes, average]


def _impersonations(count: int) -> str:
    return _(
        "Complaints received in this month about impersonation by others, which are not counted above: %(count)s.",
        count=grouped(count),
    )


def _month_trend(disclosure: Disclosure) -> FigureTable:
    columns = {
        "carried": _("Carried forward from previous month"),
        "received": _("Received"),
        "resolved": _("Resolved*"),
        "pending": _("Pending#"),
    }
    notes = (
        _("* Includes complaints of earlier months that were resolved in the month."),
        _("# Includes all complaints that are pending on the last day of the month."),
    )
    title = _("Trend of monthly disposal of complaints")
    return FigureTable(title, _("Month"), _columns(columns), _trend(disclosure.months, columns), notes)


def _year_trend(disclosure: Disclosure) -> FigureTable:
    columns = {
        "carried": _("Carried forward from previous year"),
        "received": _("Received during the year"),
        "resolved": _("Resolved during the year*"),
        "pending": _("Pending at the end of the year#"),
    }
    notes = (
        _("* Includes complaints of earlier years that were resolved in the year."),
        _("# Includes all complaints that are pending on the last day of the year."),
    )
    title = _("Trend of annual disposal of complaints")
    return FigureTable(title, _("Year"), _columns(columns), _trend(disclosure.years, columns), notes)


def _trend(movements: Mapping[Span, Movement], columns: Mapping[str, str]) -> tuple[TableRow, ...]:
    """A row for each span, and their total: carried into the first one, pending at the end of the last one."""
    rows = [_row(span_label(span), movement, columns, span=span) for span, movement in movements.items()]
    spans = list(movements)
    whole = Span(spans[0].first, spans[-1].after)
    return *rows, _row(_("Grand total"), joined(movements.values()), columns, span=whole, is_total=True)


def _columns(labels: Mapping[str, str]) -> tuple[TableColumn, ...]:
    return tuple(TableColumn(figure, label) for figure, label in labels.items())


def _row(label: str, movement: Movement, columns: Mapping[str, str], **more: Any) -> TableRow:
    values = tuple(FIGURES[figure](movement) for figure in columns)
    return TableRow(label, values, is_wrong=movement.excess != 0, **more)
