"""Runs a report for a viewer: checks its columns, queries the database, and returns a table for pages and files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken
from app.lib import digit_grouping
from app.ops.database.statement_limit import StatementTooSlow, limited
from app.web.core.viewer import Viewer
from app.web.records.lists.list_page import list_query_from
from app.web.reports import built_in_reports, drill_down_links, labels, row_reports, statements
from app.web.reports.available_columns import AvailableColumns, ReportColumn, available_columns
from app.web.reports.definition import AT_ONCE, ReportDefinition, ReportFigure, ReportGroup
from app.web.reports.statements import CheckedReport
from app.web.reports.table import ReportTable, figures_of, heading_of_totals
from app.web.transfer import exports

#: Seconds for a statement of a report on a page, and for a file; an exchange with MariaDB ends after 15.
PAGE_SECONDS, FILE_SECONDS = 8.0, 14.0


def check(definition: ReportDefinition, viewer: Viewer, verb: str = "read") -> CheckedReport:
    """The report with its columns resolved. `verb`: "export" for files. Raises RuleBroken, NotFound, Denied."""
    found = available_columns(definition.kind, viewer, verb)
    if verb == "export":
        viewer.person.refuse_unless(found.screen.module, "export")
    rules = _rules(found, definition, viewer)
    if verb == "export":
        rules += exports.export_reach(found.screen, viewer)
    groups = [_group(found, each) for each in definition.groups]
    figures = [(each, _figure(found, each)) for each in definition.figures]
    _refuse_order(found, definition)
    if not definition.groups and not definition.columns:
        raise RuleBroken(_("Please choose columns, or something to group by."), "columns")
    return CheckedReport(found, definition, viewer, rules, groups, figures, min(definition.limit, AT_ONCE))


def _rules(available: AvailableColumns, definition: ReportDefinition, viewer: Viewer) -> list[Any]:
    if definition.period is not None:
        column = available.column(definition.period.column, "period")
        if not (column.is_date and column.field.filter):
            raise RuleBroken(_("“%(name)s” has no dates to choose a period of.", name=column.label), "period")
    wanted = drill_down_links.all_conditions(definition, viewer)
    return list(list_query_from(available.screen, drill_down_links.arguments(wanted), viewer).conditions)


def _refuse_order(available: AvailableColumns, definition: ReportDefinition) -> None:
    """Raise RuleBroken for an unsupported order: none is ignored."""
    wanted, is_figure = definition.sort, definition.sort.startswith("figure:")
    is_known = wanted in {f"figure:{place}" for place in range(len(definition.figures))}
    if definition.groups and wanted not in ("", "group") and not (is_figure and is_known):
        raise RuleBroken(_("A report of groups is sorted by “group” or by one of its figures."), "sort")
    if not definition.groups and (wanted == "group" or is_figure):
        raise RuleBroken(_("A report that isn't grouped is sorted by one of its columns."), "sort")
    if wanted and not definition.groups and available.column(wanted, "sort").is_related:
        raise RuleBroken(_("A report can't be sorted by a column of a related record."), "sort")


def _group(available: AvailableColumns, group: ReportGroup) -> tuple[ReportGroup, ReportColumn]:
    column = available.column(group.column, "groups")
    if not column.is_group:
        raise RuleBroken(_("A report can't be grouped by “%(name)s”.", name=column.label), "groups")
    return group if column.is_date else ReportGroup(group.column), column


def _figure(available: AvailableColumns, figure: ReportFigure) -> ReportColumn | None:
    if figure.of == "count":
        return None
    column = available.column(figure.column, "figures")
    can_be = column.is_number or (column.is_date and figure.of in ("min", "max") and column.is_group)
    if not can_be:
        raise RuleBroken(_("“%(name)s” can't be worked out: it isn't a number.", name=column.label), "figures")
    return column


def run(session: Session, definition: ReportDefinition, viewer: Viewer, verb: str = "read") -> ReportTable:
    """The results, at most AT_ONCE rows, as the viewer may see them. Raises RuleBroken, also if it is slow."""
    is_ready = definition.kind in built_in_reports.READY
    checked = None if is_ready else check(definition, viewer, verb)
    with limit_time(session, PAGE_SECONDS if verb == "read" else FILE_SECONDS):
        if checked is None:
            return built_in_reports.run(session, definition, viewer, verb)
        return grouped(session, checked) if checked.groups else row_reports.listed(session, checked)


def is_long(session: Session, definition: ReportDefinition, viewer: Viewer) -> bool:
    """Whether its file has more rows than are written while somebody waits; counting stops there. Raises RuleBroken."""
    if definition.limit <= AT_ONCE or definition.kind in built_in_reports.READY:
        return False
    checked, count = check(definition, viewer, "export"), statements.number_of_rows
    with limit_time(session, FILE_SECONDS):
        counted = (statements.number_of_groups if checked.groups else count)(checked, AT_ONCE + 1)
        return int(session.execute(counted).scalar() or 0) > AT_ONCE


@contextmanager
def limit_time(session: Session, seconds: float) -> Iterator[None]:
    """Inside, each statement is limited to `seconds`. Raises RuleBroken for one that takes longer."""
    try:
        with limited(session, seconds):
            yield
    except StatementTooSlow:
        text = _(
            "This report takes longer than %(seconds)s seconds. Please narrow it down, for example to a period.",
            seconds=int(seconds),
        )
        raise RuleBroken(text) from None


def grouped(session: Session, checked: CheckedReport) -> ReportTable:
    """The groups of a report up to its limit, with their figures, and the totals over all of them."""
    found = session.execute(statements.grouped(checked)).all()
    limit, made, keyed = checked.limit, new_table(checked), len(checked.groups)
    labels.load(checked, found)
    whole = None if len(found) > limit else statements.totals_of_groups(checked, [tuple(row)[keyed:] for row in found])
    if whole is None:
        whole = list(session.execute(statements.totals(checked)).one())
    if len(found) > limit:
        groups = int(session.execute(statements.number_of_groups(checked)).scalar() or 0)
        text = ngettext(
            "Only the first %(shown)s of %(num)s group are shown. The totals are of all of them.",
            "Only the first %(shown)s of %(num)s groups are shown. The totals are of all of them.",
            digit_grouping.GroupedInt(groups),
            shown=digit_grouping.grouped(limit),
        )
        made.notes.append(text)
    else:
        found = labels.in_order(checked, found)
    wanted = drill_down_links.all_conditions(checked.definition, checked.viewer)
    for row in found[:limit]:
        keys, parts = tuple(row)[:keyed], tuple(row)[keyed + 1 :]
        made.rows.append([*labels.of_groups(checked, keys), *figures_of(checked, parts)])
        made.urls.append(drill_down_links.address(checked.available, wanted, _conditions(checked, keys)))
    _add_totals(checked, made, tuple(whole))
    return made


def new_table(checked: CheckedReport) -> ReportTable:
    """A table with its heading."""
    names = [labels.of_group(group, column) for group, column in checked.groups]
    figures = [labels.of_figure(figure, column) for figure, column in checked.figures]
    seconds = frozenset(
        len(names) + place
        for place, (_figure_, column) in enumerate(checked.figures)
        if column is not None and labels.is_duration(column)
    )
    return ReportTable(
        title=str(checked.available.screen.list_title),
        heading=[*names, *figures],
        names=len(names),
        seconds=seconds,
        is_grouped=True,
        chart=checked.definition.chart,
        drawn=statements.sorted_figure(checked) or 0,
        about=labels.about(checked),
    )


def _add_totals(checked: CheckedReport, made: ReportTable, whole: tuple[Any, ...]) -> None:
    made.count = int(whole[0])
    made.totals = [heading_of_totals(), *[None] * (made.names - 1), *figures_of(checked, whole[1:])]
    wanted = drill_down_links.all_conditions(checked.definition, checked.viewer)
    made.total_url = drill_down_links.address(checked.available, wanted, [])


def _conditions(checked: CheckedReport, keys: tuple[Any, ...]) -> list[Any] | None:
    """The rows of one group as conditions of the list; None if they can't express it."""
    found: list[Any] = []
    for (group, column), value in zip(checked.groups, keys, strict=True):
        part = drill_down_links.conditions(column, group, value)
        if part is None:
            return None
        found += part
    return found
