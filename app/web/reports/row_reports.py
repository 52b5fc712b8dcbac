"""Reports that list rows: chosen columns of a record and of related ones, with totals below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken
from app.lib.batches import batched
from app.lib.digit_grouping import grouped
from app.web.core.urls.local_links import row_url
from app.web.reports import drill_down_links, labels, statements
from app.web.reports.available_columns import ReportColumn
from app.web.reports.statements import CheckedReport
from app.web.reports.table import ReportTable, figures_of, text_of
from app.web.transfer import exports
from app.web.transfer.export_cells import reader_of
from app.web.transfer.export_files import Row


def columns_of(checked: CheckedReport) -> tuple[list[ReportColumn], list[str]]:
    """The columns to show, and sentences about those that are left out. Raises RuleBroken if none remains."""
    found, left_out = [], []
    for name in checked.definition.columns:
        column = checked.available.columns.get(name)
        if column is None:
            left_out.append(_("The column “%(name)s” doesn't exist any more and is left out.", name=name[:60]))
        elif name in checked.available.hidden:
            left_out.append(_("“%(name)s” is left out, because it is hidden from you.", name=column.label))
        else:
            found.append(column)
    if not found:
        sentence = " ".join([_("None of the columns of this report can be shown."), *left_out])
        raise RuleBroken(sentence, "columns")
    return found, left_out


def listed(session: Session, checked: CheckedReport) -> ReportTable:
    """The rows of a report, up to its limit, with the totals of all of them."""
    columns, left_out = columns_of(checked)
    order = _order(checked)
    rows, limit = _rows(session, checked, columns, order), checked.limit
    whole = session.execute(statements.totals(checked)).one()
    made = ReportTable(
        title=str(checked.available.screen.list_title),
        heading=[column.label for column in columns],
        notes=left_out,
        about=labels.about(checked),
        count=int(whole[0]),
        formats=labels.formats(columns),
    )
    readers = _readers(checked, columns, rows[:limit])
    for row in rows[:limit]:
        values = tuple(row)
        made.rows.append([read(values[cut]) for read, cut in readers])
        made.urls.append(row_url(checked.available.screen.route_base, values[0], None))
    if len(rows) > limit:
        text = _("Only the first %(shown)s of %(all)s rows are shown.", shown=grouped(limit), all=grouped(made.count))
        made.notes.append(text)
    made.total_url = drill_down_links.address(
        checked.available, drill_down_links.all_conditions(checked.definition, checked.viewer), []
    )
    made.summary = _summary(checked, tuple(whole)[1:])
    return made


def _order(checked: CheckedReport) -> list[Any]:
    name = checked.definition.sort
    table = checked.available.screen.record_table
    if not name or name in ("group",) or name.startswith("figure:"):
        return list(table.order_by(None, None, checked.viewer))
    checked.available.column(name, "sort")
    return list(table.order_by(name, "desc" if checked.definition.descending else "asc", checked.viewer))


def _rows(session: Session, checked: CheckedReport, columns: list[ReportColumn], order: list[Any]) -> list[Any]:
    query = _selected(checked, columns, [*checked.rules, *order])
    return list(session.execute(query.where(*checked.rules).order_by(*order).limit(checked.limit + 1)))


def _selected(checked: CheckedReport, columns: list[ReportColumn], parts: list[Any]) -> Any:
    """The id and the columns of all rows, joined with everything that these expressions need."""
    record = checked.available.record
    chosen = [record.id, *(each for column in columns for each in column.field.columns)]
    # The same column may be used by two fields: labels distinguish them.
    query = select(*[each.label(f"c{place}") for place, each in enumerate(chosen)]).select_from(record)
    return checked.available.joined(query, [*chosen, *parts])


def ids(session: Session, checked: CheckedReport) -> list[int]:
    """The rows of a report in order, up to its limit."""
    order, key = _order(checked), checked.available.record.id
    query = checked.available.joined(select(key).select_from(checked.available.record), [key, *checked.rules, *order])
    return list(session.scalars(query.where(*checked.rules).order_by(*order).limit(checked.definition.limit)))


def of_ids(session: Session, checked: CheckedReport, columns: list[ReportColumn], keys: Sequence[int]) -> Iterator[Row]:
    """The cells of these rows in this order; deleted rows, and those that may no longer be exported, are left out."""
    screen = checked.available.screen
    rules = [*screen.record_table.base_conditions(), *exports.export_reach(screen, checked.viewer)]
    for part in batched(keys):
        rule = checked.available.record.id.in_(part)
        found = {row[0]: row for row in session.execute(_selected(checked, columns, rules).where(rule, *rules))}
        rows = [found[key] for key in part if key in found]
        readers = _readers(checked, columns, rows)
        for row in rows:
            yield [read(tuple(row)[cut]) for read, cut in readers]
        checked.viewer.objects.clear()


def _readers(checked: CheckedReport, columns: list[ReportColumn], rows: list[Any]) -> list[tuple[Any, slice]]:
    found, start = [], 1
    for column in columns:
        cut = slice(start, start + len(column.field.columns))
        load = getattr(column.field, "prepare", None)
        if load is not None and rows:
            load([tuple(row)[cut] for row in rows], checked.viewer)
        found.append((reader_of(column.field, checked.viewer), cut))
        start = cut.stop
    return found


def _summary(checked: CheckedReport, parts: tuple[Any, ...]) -> list[tuple[str, str]]:
    """The figures over all rows, as text."""
    values = figures_of(checked, parts)
    return [
        (labels.of_figure(figure, column), text_of(value, column is not None and labels.is_duration(column)))
        for (figure, column), value in zip(checked.figures, values, strict=True)
        if column is not None  # the count of the records is shown anyway
    ]
