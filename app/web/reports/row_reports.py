"""Reports that list rows: chosen columns of a record and of those that it belongs to, with totals below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken
from app.lib.batches import batched
from app.lib.digit_grouping import grouped
from app.web.core.local_links import row_url
from app.web.reports import drill_down_links, labels, statements
from app.web.reports.catalogue import Column
from app.web.reports.statements import CheckedReport
from app.web.reports.table import Table, figures_of, text_of
from app.web.transfer import exports
from app.web.transfer.export_cells import reader_of
from app.web.transfer.export_files import Row


def columns_of(asked: CheckedReport) -> tuple[list[Column], list[str]]:
    """The columns that are shown, and sentences about those that are not. Raises RuleBroken if none is left."""
    found, left_out = [], []
    for name in asked.definition.columns:
        column = asked.catalogue.columns.get(name)
        if column is None:
            left_out.append(_("The column “%(name)s” doesn't exist any more and is left out.", name=name[:60]))
        elif name in asked.catalogue.hidden:
            left_out.append(_("“%(name)s” is left out, because it is hidden from you.", name=column.label))
        else:
            found.append(column)
    if not found:
        sentence = " ".join([_("None of the columns of this report can be shown."), *left_out])
        raise RuleBroken(sentence, "columns")
    return found, left_out


def listed(session: Session, asked: CheckedReport) -> Table:
    """The rows of a report, up to its limit, with the totals of all of them."""
    columns, left_out = columns_of(asked)
    order = _order(asked)
    rows, limit = _rows(session, asked, columns, order), asked.limit
    whole = session.execute(statements.totals(asked)).one()
    made = Table(
        title=str(asked.catalogue.screen.list_title),
        heading=[column.label for column in columns],
        notes=left_out,
        about=labels.about(asked),
        count=int(whole[0]),
        formats=labels.formats(columns),
    )
    readers = _readers(asked, columns, rows[:limit])
    for row in rows[:limit]:
        values = tuple(row)
        made.rows.append([read(values[cut]) for read, cut in readers])
        made.urls.append(row_url(asked.catalogue.screen.route_base, values[0], None))
    if len(rows) > limit:
        text = _("Only the first %(shown)s of %(all)s rows are shown.", shown=grouped(limit), all=grouped(made.count))
        made.notes.append(text)
    made.total_url = drill_down_links.address(
        asked.catalogue, drill_down_links.where(asked.definition, asked.viewer), []
    )
    made.summary = _summary(asked, tuple(whole)[1:])
    return made


def _order(asked: CheckedReport) -> list[Any]:
    name = asked.definition.sort
    table = asked.catalogue.screen.record_table
    if not name or name in ("group",) or name.startswith("figure:"):
        return list(table.order_by(None, None, asked.viewer))
    asked.catalogue.column(name, "sort")
    return list(table.order_by(name, "desc" if asked.definition.descending else "asc", asked.viewer))


def _rows(session: Session, asked: CheckedReport, columns: list[Column], order: list[Any]) -> list[Any]:
    query = _selected(asked, columns, [*asked.rules, *order])
    return list(session.execute(query.where(*asked.rules).order_by(*order).limit(asked.limit + 1)))


def _selected(asked: CheckedReport, columns: list[Column], parts: list[Any]) -> Any:
    """The id and the columns of all rows, joined with what these expressions need, too."""
    record = asked.catalogue.record
    chosen = [record.id, *(each for column in columns for each in column.field.columns)]
    # One column may serve two fields: labels keep them apart.
    query = select(*[each.label(f"c{place}") for place, each in enumerate(chosen)]).select_from(record)
    return asked.catalogue.joined(query, [*chosen, *parts])


def ids(session: Session, asked: CheckedReport) -> list[int]:
    """The rows of a report in its order, up to the limit that it asks for."""
    order, key = _order(asked), asked.catalogue.record.id
    query = asked.catalogue.joined(select(key).select_from(asked.catalogue.record), [key, *asked.rules, *order])
    return list(session.scalars(query.where(*asked.rules).order_by(*order).limit(asked.definition.limit)))


def of_ids(session: Session, asked: CheckedReport, columns: list[Column], keys: Sequence[int]) -> Iterator[Row]:
    """The cells of these rows in this order; those that are gone, or may not be exported by now, are left out."""
    screen = asked.catalogue.screen
    rules = [*screen.record_table.base_conditions(), *exports.export_reach(screen, asked.viewer)]
    for part in batched(keys):
        rule = asked.catalogue.record.id.in_(part)
        found = {row[0]: row for row in session.execute(_selected(asked, columns, rules).where(rule, *rules))}
        rows = [found[key] for key in part if key in found]
        readers = _readers(asked, columns, rows)
        for row in rows:
            yield [read(tuple(row)[cut]) for read, cut in readers]
        asked.viewer.objects.clear()


def _readers(asked: CheckedReport, columns: list[Column], rows: list[Any]) -> list[tuple[Any, slice]]:
    found, start = [], 1
    for column in columns:
        cut = slice(start, start + len(column.field.columns))
        load = getattr(column.field, "prepare", None)
        if load is not None and rows:
            load([tuple(row)[cut] for row in rows], asked.viewer)
        found.append((reader_of(column.field, asked.viewer), cut))
        start = cut.stop
    return found


def _summary(asked: CheckedReport, parts: tuple[Any, ...]) -> list[tuple[str, str]]:
    """The figures of all rows, in words."""
    values = figures_of(asked, parts)
    return [
        (labels.of_figure(figure, column), text_of(value, column is not None and labels.is_duration(column)))
        for (figure, column), value in zip(asked.figures, values, strict=True)
        if column is not None  # the count of the records is said anyway
    ]
