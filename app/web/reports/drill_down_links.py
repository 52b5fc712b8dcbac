"""The lists behind a report: the same conditions as a URL, so that list and report count the same rows."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict

from app.domain.date_buckets import days_of
from app.lib.text_normalization import fold_apostrophes
from app.web.core.fields.base import ChoiceField
from app.web.core.fields.scalar_fields import BooleanField
from app.web.core.queries.record_table import MAX_FILTERS
from app.web.core.viewer import Viewer
from app.web.records.lists.list_conditions import MAX_DEPTH, MAX_LENGTH, Condition, leaves
from app.web.reports import relative_dates
from app.web.reports.available_columns import AvailableColumns, ReportColumn
from app.web.reports.definition import ReportDefinition, ReportGroup


def all_conditions(definition: ReportDefinition, viewer: Viewer) -> Condition | None:
    """All conditions of a report, including the relative span; None if there are none."""
    moving = relative_dates.conditions(definition.period, viewer.today)
    return joined(definition.where, moving)


def joined(group: Condition | None, more: list[Any]) -> Condition | None:
    """The conditions of a group and some more."""
    if not more:
        return group
    if group is None:
        return ["all", *more]
    return [*group, *more] if group[0] == "all" else ["all", group, *more]


def arguments(found: Condition | None) -> MultiDict[str, str]:
    """The conditions as the arguments of a list."""
    return MultiDict([("where", text_of(found))] if found else [])


def text_of(found: Condition) -> str:
    """The value of the condition in a list's URL."""
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def address(available: AvailableColumns, found: Condition | None, more: list[Any] | None = None) -> str:
    """The URL of the list with these conditions; "" if no URL can express them."""
    if more is None:
        return ""
    wanted = joined(found, more)
    if wanted is not None and (
        _depth(wanted) > MAX_DEPTH or len(leaves(wanted)) > MAX_FILTERS or len(text_of(wanted)) > MAX_LENGTH
    ):
        return ""
    given = {"tab": "all"} if "all" in available.screen.tab_names else {}
    if wanted is not None:
        given["where"] = text_of(wanted)
    elif available.screen.has_views:
        given["view"] = "all"
    query = urlencode(given)
    return f"{available.screen.route_base}/" + (f"?{query}" if query else "")


def _depth(group: Condition) -> int:
    return 1 + max((_depth(part) for part in group[1:] if part[0] in ("all", "any")), default=0)


def conditions(column: ReportColumn, group: ReportGroup, value: Any) -> list[Any] | None:
    """The rows of one group of a column, as conditions of the list; None if the list has no such filter."""
    name, operators = column.name, column.field.operators
    if not column.is_countable_in_list:
        return None
    if value is None:
        return [[name, "null", "1"]] if "null" in operators else None
    if column.is_date:
        first, after = days_of(group.by or "day", int(value))
        return [[name, "ge", first.isoformat()], [name, "lt", after.isoformat()]]
    if isinstance(column.field, BooleanField):
        return [[name, "eq", "1" if value else "0"]]
    text = str(value)
    is_known = not isinstance(column.field, ChoiceField) or text in column.field.options
    # A filter with an apostrophe also finds its look-alikes, which are groups of their own.
    return [[name, "eq", text]] if is_known and "'" not in fold_apostrophes(text) and len(text) <= 255 else None
