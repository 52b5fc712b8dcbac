"""The report builder: a form with all options of a report, and the definition chosen in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.domain.date_buckets import UNITS
from app.lib.ids import parse_id
from app.web.core.viewer import Viewer
from app.web.records.lists.filter_texts import filter_field
from app.web.records.lists.list_page import filters_of
from app.web.reports import built_in_reports, labels
from app.web.reports.available_columns import AvailableColumns, ReportColumn, available_columns, kinds
from app.web.reports.definition import CHARTS, DEFAULT_LIMIT, FIGURES, MAX_LIMIT, SPANS, ReportDefinition, read
from app.web.reports.drill_down_links import joined

#: Rows of figures in the form; more are possible over REST.
FIGURE_ROWS = 4
#: Characters of the conditions of a form.
MAX_WHERE = 4000
Raw = dict[str, Any]


def from_form(form: Any, viewer: Viewer) -> ReportDefinition:
    """The definition chosen in the form. Raises RuleBroken."""
    kind = str(form.get("kind", ""))[:24]
    column, span = form.get("period_column", ""), form.get("period_span", "")
    raw: Raw = {
        "kind": kind,
        "columns": form.getlist("columns"),
        "where": _where(form, kind, viewer),
        "period": {"column": column, "span": span} if span else None,
        "groups": [
            {"column": form.get(f"group{n}", ""), "by": form.get(f"by{n}", "")} for n in (1, 2) if form.get(f"group{n}")
        ],
        "figures": list(_figures(form)),
        "sort": form.get("sort", ""),
        "descending": bool(form.get("descending")),
        "limit": form.get("limit") or DEFAULT_LIMIT,
        "chart": form.get("chart", "none"),
    }
    if kind in built_in_reports.READY:
        raw |= {"columns": [], "groups": [], "where": None, "sort": ""}
    return read(_settled(raw))


def _settled(raw: Raw) -> Raw:
    """The definition without leftovers of another choice: an order of rows in a grouped report, a chart of rows."""
    if raw["groups"]:
        is_of_groups = raw["sort"] in ("", "group") or raw["sort"].startswith("figure:")
        number = parse_id(raw["sort"].removeprefix("figure:"))
        is_gone = number is not None and number >= len(raw["figures"])
        return raw | {"sort": raw["sort"] if is_of_groups and not is_gone else ""}
    is_of_rows = raw["sort"] != "group" and not raw["sort"].startswith("figure:")
    return raw | {"sort": raw["sort"] if is_of_rows else "", "chart": "none"}


def _figures(form: Any) -> Iterable[Raw]:
    for n in range(FIGURE_ROWS):
        of, column = form.get(f"of{n}", ""), form.get(f"of_column{n}", "")
        if of == "count":
            yield {"of": of, "column": ""}
        elif of and column:
            yield {"of": of, "column": column}
        elif of:
            raise RuleBroken(
                _(
                    "Please choose of which column: %(figure)s.",
                    figure=labels.of_kind(of) if of in FIGURES else of[:20],
                ),
                "figures",
            )


def _where(form: Any, kind: str, viewer: Viewer) -> list[Any] | None:
    """The conditions: JSON of the filter builder, and, without JavaScript, the filled-in fields."""
    text = form.get("where", "")
    try:
        found = json.loads(text) if text and len(text) <= MAX_WHERE else None
    except (ValueError, RecursionError):
        found = None
    if text and not isinstance(found, list):
        raise RuleBroken(_("The conditions of this report can't be read. Please set the filter again."), "where")
    if kind in built_in_reports.READY:
        return None
    flat = [[name, op, value] for _key, op, name, value in filters_of(available_columns(kind, viewer).screen, form)]
    return joined(found if found and len(found) > 1 else None, flat)


# --- display


def start(kind: str, viewer: Viewer) -> ReportDefinition:
    """The initial definition of a new report: the columns of the list."""
    if kind in built_in_reports.READY:
        return read({"kind": kind, "period": {"column": "started_on", "span": "last_month"}})
    found = available_columns(kind, viewer)
    shown = [name for name in found.screen.list_columns if name in found.columns and name not in found.hidden]
    return read({"kind": kind, "columns": shown, "figures": [{"of": "count"}]})


def offered_kinds(viewer: Viewer) -> list[Raw]:
    """The kinds of records for reports: {kind, label}."""
    found = [{"kind": kind, "label": str(screen.list_title)} for kind, screen in kinds(viewer).items()]
    more = [
        {"kind": kind, "label": str(label)}
        for kind, (label, module) in built_in_reports.READY.items()
        if viewer.person.may(module, "read")
    ]
    return [*found, *more]


def context(definition: ReportDefinition, viewer: Viewer) -> Raw:
    """The context of the form in reports/builder.html."""
    shared = {
        "kind": definition.kind,
        "spans": _options(SPANS.items(), definition.period.span if definition.period else ""),
        "is_ready": definition.kind in built_in_reports.READY,
    }
    if shared["is_ready"]:
        return shared | {"title": built_in_reports.label_of(definition.kind)}
    found = available_columns(definition.kind, viewer)
    return shared | {
        "title": str(found.screen.list_title),
        "columns": _column_choices(found, definition),
        "gone": [name for name in _used(definition) if name not in found.columns],
        "groups": [_group_choice(found, definition, place) for place in range(2)],
        "figures": [_figure_choice(found, definition, place) for place in range(FIGURE_ROWS)],
        "dates": _options(_dates(found), definition.period.column if definition.period else "created_on"),
        "sorts": _sorts(found, definition),
        "descending": definition.descending,
        "limit": definition.limit,
        "most": MAX_LIMIT,
        "charts": _options(_chart_words(), definition.chart),
        "where": json.dumps(definition.where, ensure_ascii=False) if definition.where else "",
        "filter_fields": [filter_field(each, viewer) for each in found.screen.record_table.filterable(viewer)],
    }


def _options(pairs: Iterable[tuple[str, Any]], chosen: str) -> list[tuple[str, str, bool]]:
    return [(value, str(label), value == chosen) for value, label in pairs]


def _usable(available: AvailableColumns) -> Iterable[ReportColumn]:
    return (each for each in available.columns.values() if each.name not in available.hidden)


def _used(definition: ReportDefinition) -> list[str]:
    """The columns used by a report."""
    named = [*definition.columns, *(each.column for each in definition.groups)]
    named += [each.column for each in definition.figures if each.column]
    return list(dict.fromkeys([*named, *([definition.period.column] if definition.period else [])]))


def _column_choices(available: AvailableColumns, definition: ReportDefinition) -> list[Raw]:
    """The columns in parts: those of the record, then those of each related one; chosen ones first in their order."""
    parts: dict[str, list[Raw]] = {}
    known = {each.name: each for each in _usable(available)}
    names = [
        *[name for name in definition.columns if name in known],
        *[n for n in known if n not in definition.columns],
    ]
    for name in names:
        relation = name.partition(".")[0] if known[name].is_related else ""
        on = name in definition.columns
        parts.setdefault(relation, []).append({"name": name, "label": known[name].label, "on": on})
    made = []
    for relation, some in sorted(parts.items()):
        title = some[0]["label"].partition(":")[0] if relation else ""
        made.append({"title": title, "columns": some, "open": not relation or any(each["on"] for each in some)})
    return made


def _group_choice(available: AvailableColumns, definition: ReportDefinition, place: int) -> Raw:
    now = definition.groups[place] if place < len(definition.groups) else None
    pairs = [(each.name, each.label) for each in _usable(available) if each.is_group]
    units = [(unit, labels.of_unit(unit)) for unit in UNITS]
    dates = [each.name for each in _usable(available) if each.is_group and each.is_date]
    return {
        "columns": _options(pairs, now.column if now else ""),
        "units": _options(units, (now.by if now else "") or "month"),
        "dates": dates,
    }


def _figure_choice(available: AvailableColumns, definition: ReportDefinition, place: int) -> Raw:
    now = definition.figures[place] if place < len(definition.figures) else None
    kinds_ = [(each, labels.of_kind(each)) for each in FIGURES]
    numbers = [(each.name, each.label) for each in _usable(available) if each.is_number]
    dates = [(each.name, each.label) for each in _usable(available) if each.is_date and each.is_group]
    return {
        "of": _options(kinds_, now.of if now else ""),
        "columns": _options([*numbers, *dates], now.column if now else ""),
    }


def _dates(available: AvailableColumns) -> list[tuple[str, str]]:
    return [
        (each.name, each.label)
        for each in _usable(available)
        if each.is_date and each.field.filter and not each.is_related
    ]


def _sorts(available: AvailableColumns, definition: ReportDefinition) -> list[tuple[str, str, bool]]:
    pairs = [("", _("As usual")), ("group", _("The groups"))]
    pairs += [(f"figure:{n}", _("Figure %(number)s", number=n + 1)) for n in range(FIGURE_ROWS)]
    pairs += [(each.name, each.label) for each in _usable(available) if each.field.sort and not each.is_related]
    return _options(pairs, definition.sort)


def _chart_words() -> list[tuple[str, str]]:
    words = {"none": _("None"), "bar": _("Bars"), "line": _("Line"), "pie": _("Pie")}
    return [(each, words[each]) for each in CHARTS]
