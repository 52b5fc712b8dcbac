"""The tables of the monthly return to the exchange, in the language of the page."""

from __future__ import annotations

from collections.abc import Sequence

from flask_babel import gettext as _

from app.domain.complaints.complaint import OUTCOMES
from app.domain.complaints.disclosure_periods import Span
from app.domain.complaints.exchange_return import AGES, ExchangeReturn, ReturnLine
from app.web.core.localization.default_labels import shown_label
from app.web.pages.disclosure_tables import FigureTable, TableColumn, TableRow, month_label, source_label


def tables_of(found: ExchangeReturn, month: Span) -> tuple[FigureTable, ...]:
    """The movement of the month, the ages, and the categories by source and outcome."""
    return _movement(found, month), _ages(found, month), _lines(found, month)


def _movement(found: ExchangeReturn, month: Span) -> FigureTable:
    columns = (
        TableColumn("carried", _("Opening")),
        TableColumn("received", _("Received")),
        TableColumn("resolved", _("Resolved")),
        TableColumn("pending", _("Closing")),
    )
    row = TableRow(month_label(month), (found.opening, found.received, found.resolved, found.closing), span=month)
    return FigureTable(_("Complaints of %(month)s", month=month_label(month)), _("Month"), columns, (row,))


def _age_labels() -> list[str]:
    first, labels = 0, []
    for last in AGES:
        labels.append(_("%(first)s–%(last)s days", first=first, last=last))
        first = last + 1
    return [*labels, _("More than %(last)s days", last=AGES[-1])]


def _ages(found: ExchangeReturn, month: Span) -> FigureTable:
    columns = tuple(TableColumn("", label) for label in (*_age_labels(), _("Total")))
    pending, resolved = found.pending_ages, found.resolved_ages
    ages, taken = ([f"{kind} {place}" for place in range(len(pending))] for kind in ("age", "taken"))
    rows = (
        _with_total(_("Pending on the last day, by days since receipt"), pending, (*ages, "pending"), month),
        _with_total(_("Resolved in the month, by days taken"), resolved, (*taken, "resolved"), month),
    )
    return FigureTable(_("Ages of complaints"), _("Complaints"), columns, rows)


def _with_total(label: str, values: Sequence[int], figures: tuple[str, ...], month: Span) -> TableRow:
    return TableRow(label, (*values, sum(values)), span=month, figures=figures)


def _lines(found: ExchangeReturn, month: Span) -> FigureTable:
    # Complaints of former versions may have been disposed of without an outcome.
    outcomes = [each for each in (*OUTCOMES, "") if each or any("" in line.resolved for line in found.lines)]
    columns = (
        TableColumn("carried", _("Opening")),
        TableColumn("received", _("Received")),
        *[TableColumn(f"outcome {each}", _outcome_label(each)) for each in outcomes],
        TableColumn("resolved", _("Resolved in all")),
        TableColumn("pending", _("Closing")),
    )
    rows = [_line(line, outcomes, month) for line in found.lines]
    if rows:
        sums = tuple(sum(row.values[place] or 0 for row in rows) for place in range(len(columns)))
        rows.append(TableRow(_("Grand total"), sums, span=month, is_total=True))
    return FigureTable(_("By category, source and way of resolution"), _("Category and source"), columns, tuple(rows))


def _outcome_label(outcome: str) -> str:
    """“Resolved” is what the whole month has; as an outcome it is one of several ways."""
    if not outcome:
        return _("Without an outcome")
    return _("Resolved in full") if outcome == OUTCOMES[0] else shown_label(outcome)


def _line(line: ReturnLine, outcomes: Sequence[str], month: Span) -> TableRow:
    category = " › ".join(shown_label(part) for part in line.category.split(" › ")) if line.category else _("None")
    resolved = [line.resolved.get(each, 0) for each in outcomes]
    values = (line.opening, line.received, *resolved, sum(resolved), line.closing)
    label = f"{category} · {source_label(line.source)}"
    return TableRow(label, values, line.source, month, line.category_id)
