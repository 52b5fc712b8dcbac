"""The labels of the groups and figures of a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.date_buckets import days_of
from app.extensions import db
from app.lib import phone
from app.lib.batches import batched
from app.web.core.fields.base import ChoiceField
from app.web.core.fields.contact_field_types import PhoneField
from app.web.core.fields.reference_fields import PersonField, PicklistField, RecordField
from app.web.core.fields.scalar_fields import BooleanField, DurationField
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.default_labels import shown_label
from app.web.core.localization.durations import span
from app.web.records.lists import list_conditions
from app.web.records.lists.filter_texts import in_words
from app.web.reports import relative_dates
from app.web.reports.available_columns import ReportColumn
from app.web.reports.definition import SPANS, ReportFigure, ReportGroup
from app.web.reports.statements import CheckedReport, record_columns
from app.web.transfer.export_cells import Cell

#: Numbers of records looked up per statement.
_AT_ONCE = 1000


def of_unit(by: str) -> str:
    """The label of a date unit."""
    return {"day": _("by day"), "week": _("by week"), "month": _("by month"), "quarter": _("by quarter")}[by]


def of_group(group: ReportGroup, column: ReportColumn) -> str:
    """The heading of a group."""
    return f"{column.label} ({of_unit(group.by or 'day')})" if column.is_date else column.label


def of_kind(of: str) -> str:
    """The label of an aggregation."""
    words = {"count": _("Count"), "sum": _("Sum"), "average": _("Average"), "median": _("Median")}
    return {**words, "min": _("Smallest"), "max": _("Largest")}[of]


def of_figure(figure: ReportFigure, column: ReportColumn | None) -> str:
    """The heading of a figure."""
    if column is None:
        return of_kind("count")
    if column.is_date:
        words = _("Earliest") if figure.of == "min" else _("Latest")
        return f"{words}: {column.label}"
    return f"{of_kind(figure.of)}: {column.label}"


def is_duration(column: ReportColumn) -> bool:
    """Whether its numbers are seconds."""
    return isinstance(column.field, DurationField)


def formats(columns: Sequence[ReportColumn]) -> dict[int, Callable[[Any], str]]:
    """The formats of these columns' values on pages, as in lists: phone numbers with spaces, shipped labels translated,
    durations in hours, minutes and seconds.
    """
    made: dict[int, Callable[[Any], str]] = {}
    for place, column in enumerate(columns):
        if isinstance(column.field, PhoneField):
            made[place] = phone.display
        elif isinstance(column.field, PicklistField | ChoiceField):
            made[place] = shown_label
        elif is_duration(column):
            made[place] = span
    return made


# --- groups


def load(checked: CheckedReport, rows: Sequence[Any]) -> None:
    """Look up the names of the records that rows are grouped by, in one go."""
    for place, (_group, column) in enumerate(checked.groups):
        columns = record_columns(column)
        if not columns:
            continue
        record, wanted = columns[1].class_, sorted({row[place] for row in rows if row[place] is not None})
        for part in batched(wanted, _AT_ONCE):
            query = select(record.id, *[each for each in columns[1:] if each.class_ is record])
            query = query.where(columns[1].in_(part))
            for found in db.session.execute(query):
                card = column.field.serialize(tuple(found), checked.viewer)
                checked.viewer.objects[f"report {record.__tablename__}", found[1]] = card["label"]


def of_groups(checked: CheckedReport, keys: Sequence[Any]) -> list[Cell]:
    """The labels of a row's groups; dates stay dates."""
    return [of_value(checked, place, value) for place, value in enumerate(keys)]


def of_value(checked: CheckedReport, place: int, value: Any) -> Cell:
    """The label of one value of a group."""
    group, column = checked.groups[place]
    each, viewer = column.field, checked.viewer
    if value is None:
        return _("No one") if isinstance(each, PersonField) else _("None")
    if column.is_date:
        return _of_date(group.by or "day", int(value))
    if isinstance(each, PicklistField):
        card = viewer.lookups.card(each.picklist, value)
        return str(shown_label(card["label"])) if card else _("Removed")
    if isinstance(each, PersonField):
        person = viewer.lookups.person(value)
        return str(person["full_name"]) if person else _("Removed")
    if isinstance(each, RecordField):
        name = viewer.objects.get((f"report {column.field.columns[1].class_.__tablename__}", value), value)
        return f"{name} ({value})" if name != value else str(value)
    if isinstance(each, BooleanField):
        return _("Yes") if value else _("No")
    if isinstance(each, ChoiceField):
        options = dict(each.form_input(None, [], viewer)["options"] or ())
        return str(options.get(value) or shown_label(str(value)))
    return str(value)


def _of_date(unit: str, number: int) -> Cell:
    first, _after = days_of(unit, number)
    if unit == "day":
        return first
    if unit == "week":
        return _("Week of %(day)s", day=format_local_date(first, "%-d %b %Y"))
    if unit == "month":
        return format_local_date(first, "%b %Y")
    return _("Q%(quarter)s %(year)s", quarter=(first.month + 2) // 3, year=first.year)


def in_order(checked: CheckedReport, rows: Sequence[Any]) -> list[Any]:
    """All groups by name, if they are sorted by themselves; the database only has the ids of some."""
    if checked.definition.sort != "group":
        return list(rows)
    turned = checked.definition.descending
    return sorted(
        rows,
        key=lambda row: [_sortable(checked, place, row[place]) for place in range(len(checked.groups))],
        reverse=turned,
    )


def _sortable(checked: CheckedReport, place: int, value: Any) -> tuple[bool, Any]:
    column = checked.groups[place][1]
    if column.is_date:
        return value is not None, int(value or 0)
    return value is not None, str(of_value(checked, place, value)).casefold()


# --- description


def about(checked: CheckedReport) -> str:
    """The records and conditions of a report, as text."""
    screen, definition, viewer = checked.available.screen, checked.definition, checked.viewer
    parts = []
    if definition.period is not None:
        first, after = relative_dates.ends(definition.period.span, viewer.today)
        last = after.fromordinal(after.toordinal() - 1)
        days = (
            format_local_date(first, "%-d %b %Y")
            if first == last
            else f"{format_local_date(first, '%-d %b %Y')} – {format_local_date(last, '%-d %b %Y')}"
        )
        label = checked.available.columns[definition.period.column].label
        parts.append(f"{label}: {SPANS[definition.period.span]} ({days})")
    if definition.where:
        text = list_conditions.describe(
            screen, definition.where, lambda *condition: in_words(screen, condition, viewer)
        )
        parts.append(text)
    return " · ".join(parts) or _("All that you may see")
