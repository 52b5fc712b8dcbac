"""The statements of a report: rows, groups with their figures, and totals. The session adds the access rules.

Groups are built on a subquery of plain columns, so that each expression occurs once. A median is the mean of the middle
one or two values, which window functions find on both databases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, case, func, literal, select

from app.domain.date_buckets import bucket
from app.web.core.fields.reference_fields import RecordField
from app.web.core.viewer import Viewer
from app.web.reports.available_columns import AvailableColumns, ReportColumn
from app.web.reports.definition import ReportDefinition, ReportFigure, ReportGroup


@dataclass(frozen=True, eq=False)
class CheckedReport:
    """A report whose columns exist and may be used."""

    available: AvailableColumns
    definition: ReportDefinition
    viewer: Viewer
    #: SQL conditions of the rows.
    rules: list[Any]
    groups: list[tuple[ReportGroup, ReportColumn]]
    #: The column is None for the count.
    figures: list[tuple[ReportFigure, ReportColumn | None]]

    #: Maximum rows or groups.
    limit: int

    @property
    def needs_middle(self) -> list[int]:
        """The indexes of the medians."""
        return [place for place, (figure, _column) in enumerate(self.figures) if figure.of == "median"]


def _group_value(group: ReportGroup, column: ReportColumn, viewer: Viewer) -> Any:
    if not column.is_date:
        return _unindexed(column.value)
    return bucket(column.value, group.by or "day", viewer.zone if column.has_zone else None, viewer.now)


def _unindexed(value: Any) -> Any:
    """The column as an expression: in index order, MariaDB would fetch each row separately, five times slower."""
    if getattr(value, "name", "") == "nullif":
        return value
    return func.nullif(value, literal(-1), type_=getattr(value, "type", None))


def _plain(checked: CheckedReport, with_groups: bool) -> Any:
    """The subquery of the rows: g0, g1 to group by, and v0 … to aggregate."""
    record = checked.available.record
    columns = [record.id.label("key")]
    for place, (group, column) in enumerate(checked.groups if with_groups else ()):
        columns.append(_group_value(group, column, checked.viewer).label(f"g{place}"))
    for place, (_figure, of) in enumerate(checked.figures):
        if of is not None:
            columns.append(of.value.label(f"v{place}"))
    query = checked.available.joined(select(*columns).select_from(record), [*columns, *checked.rules])
    return query.where(*checked.rules).subquery("plain")


def _with_middles(checked: CheckedReport, plain: Any, keys: Sequence[Any]) -> Any:
    """The same with the position of each value in its group, and the size of the group, for medians."""
    if not checked.needs_middle:
        return plain
    more = []
    for place in checked.needs_middle:
        value = plain.c[f"v{place}"]
        # Empty values form a partition of their own, without affecting the positions of others.
        among = (*keys, value.is_(None))
        more.append(func.row_number().over(partition_by=among, order_by=value).label(f"r{place}"))
        more.append(func.count(value).over(partition_by=keys or None).label(f"n{place}"))
    return select(*plain.c, *more).subquery("placed")


def _parts(checked: CheckedReport, rows: Any) -> list[Any]:
    """The aggregates for each figure: one or two numbers, see `figure_of`."""
    found: list[Any] = []
    for place, (figure, of) in enumerate(checked.figures):
        value = rows.c[f"v{place}"] if of is not None else None
        if value is None:
            found.append(func.count().label(f"f{place}"))
        elif figure.of == "average":
            found += [func.sum(value).label(f"f{place}"), func.count(value).label(f"f{place}b")]
        elif figure.of == "median":
            rank, count = rows.c[f"r{place}"], rows.c[f"n{place}"]
            middle = case((value.is_not(None) & (2 * rank >= count) & (2 * rank <= count + 2), value))
            found += [func.min(middle).label(f"f{place}"), func.max(middle).label(f"f{place}b")]
        else:
            found.append(getattr(func, figure.of)(value).label(f"f{place}"))
    return found


def grouped(checked: CheckedReport) -> Select[Any]:
    """g0, g1, the rows and the aggregates of the figures of each group, in order, up to one more than the limit."""
    plain = _plain(checked, with_groups=True)
    names = [f"g{place}" for place in range(len(checked.groups))]
    rows = _with_middles(checked, plain, [plain.c[name] for name in names])
    keys = [rows.c[name] for name in names]
    parts = _parts(checked, rows)
    query = select(*keys, func.count().label("rows"), *parts).group_by(*keys).order_by(*_order(checked, keys, rows))
    return query.limit(checked.limit + 1)


def _order(checked: CheckedReport, keys: list[Any], rows: Any) -> list[Any]:
    place = sorted_figure(checked)
    if place is None:
        turned = checked.definition.descending
        return [each.desc() if turned else each.asc() for each in keys]
    by: Any = _order_of_figure(checked, rows, place)
    return [by.desc() if checked.definition.descending or not checked.definition.sort else by.asc(), *keys]


def _order_of_figure(checked: CheckedReport, rows: Any, place: int) -> Any:
    of = checked.figures[place][0].of
    parts = {part.name: part.element for part in _parts(checked, rows)}
    first, second = parts[f"f{place}"], parts.get(f"f{place}b")
    if of == "average":
        return first * 1.0 / func.nullif(second, 0)
    return first + second if of == "median" else first


def sorted_figure(checked: CheckedReport) -> int | None:
    """The figure by which groups are sorted; None = by their own values, which is the default for dates."""
    wanted = checked.definition.sort
    if wanted.startswith("figure:"):
        return next((place for place in range(len(checked.figures)) if wanted == f"figure:{place}"), None)
    if wanted or not checked.figures:
        return None
    return None if checked.groups and checked.groups[0][1].is_date else 0


def number_of_groups(checked: CheckedReport, maximum: int | None = None) -> Select[Any]:
    """The number of groups; counting stops at `maximum`."""
    plain = _plain(checked, with_groups=True)
    keys = [plain.c[f"g{place}"] for place in range(len(checked.groups))]
    return select(func.count()).select_from(select(*keys).distinct().limit(maximum).subquery())


def number_of_rows(checked: CheckedReport, maximum: int) -> Select[Any]:
    """The number of rows; counting stops at `maximum`."""
    key = checked.available.record.id
    rows = checked.available.joined(select(key).select_from(checked.available.record), [key, *checked.rules])
    return select(func.count()).select_from(rows.where(*checked.rules).limit(maximum).subquery())


def totals(checked: CheckedReport) -> Select[Any]:
    """The number of rows, then the aggregates of the figures over all rows."""
    rows = _with_middles(checked, _plain(checked, with_groups=False), [])
    return select(func.count().label("rows"), *_parts(checked, rows)).select_from(rows)


def totals_of_groups(checked: CheckedReport, groups: Sequence[Sequence[Any]]) -> list[Any] | None:
    """The result of `totals`, computed from all groups; None if only the database can do it: medians."""
    if checked.needs_middle:
        return None
    found: list[Any] = [sum(int(group[0]) for group in groups)]
    place = 1
    for figure, _column in checked.figures:
        for _part in range(width_of(figure)):
            values = [group[place] for group in groups if group[place] is not None]
            found.append(_together(figure.of, values))
            place += 1
    return found


def _together(of: str, values: list[Any]) -> Any:
    if of in ("min", "max"):
        return {"min": min, "max": max}[of](values, default=None)
    return sum(values) if values or of == "count" else None


def figure_of(figure: ReportFigure, parts: Sequence[Any]) -> Any:
    """The value of a figure from its aggregates: int, float, date or datetime; None if there is none."""
    if figure.of == "average":
        total, count = parts
        return None if not count else round(float(total) / int(count), 2)
    if figure.of == "median":
        low, high = parts
        return None if low is None else python_number((float(low) + float(high)) / 2)
    return python_number(parts[0])


def python_number(value: Any) -> Any:
    """A database number as int if it is whole, else float; other values unchanged."""
    if value is None or isinstance(value, int) or not hasattr(value, "__float__"):
        return value
    number = float(value)
    return int(value) if number.is_integer() else round(number, 4)


def width_of(figure: ReportFigure) -> int:
    """The number of aggregates of a figure."""
    return 2 if figure.of in ("average", "median") else 1


def record_columns(column: ReportColumn) -> list[Any]:
    """The columns that identify the record of a group: its number and more, for labels."""
    return list(column.field.columns) if isinstance(column.field, RecordField) else []
