"""Draws computed widgets: numbers with their change, charts with their tables, links to the lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import time
from typing import Any

from flask_babel import gettext as _

from app.domain.analytics.figure_counts import FigureCount, mean, rate
from app.domain.analytics.figures import FIGURES
from app.domain.periods import SeriesPoint
from app.lib.digit_grouping import grouped
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.default_labels import shown_label
from app.web.core.viewer import Viewer
from app.web.dashboards.filters import Filters
from app.web.dashboards.people_table import duration, people_bars, people_table, waiting_time
from app.web.dashboards.referral_table import referral_table
from app.web.dashboards.widget_data import WidgetData, trend_names
from app.web.dashboards.widget_kinds import (
    Breakdown,
    HeatMap,
    MeanWidget,
    NumberWidget,
    PeopleBars,
    PeopleTable,
    RateWidget,
    ReferralTable,
    StepsWidget,
    TrendWidget,
    Widget,
)
from app.web.records.lists.figure_filter import weekdays
from app.web.records.lists.figure_labels import LABELS

#: Shades of a heat map, not counting none.
SHADES = 5
#: Figures for which more is worse, and figures for which it is neutral.
_BAD = (
    *("leads_lost", "calls_missed", "calls_not_picked", "tasks_overdue", "tasks_done_late", "messages_failed"),
    *("lead_replies_late", "ticket_replies_late", "ticket_resolutions_late"),
)
Drawn = dict[str, Any]


@dataclass(frozen=True)
class RenderContext:
    """What all widgets of one page need."""

    found: WidgetData
    filters: Filters
    viewer: Viewer


def draw(name: str, widget: Widget, canvas: RenderContext) -> Drawn:
    """A widget for templates/dashboards/_widgets.html."""
    made = _DRAWN[type(widget)](name, widget, canvas)
    help_ = str(widget.help) if widget.help is not None else ""
    return {"name": name, "label": str(widget.label), "help": help_, "size": widget.size} | made


# --- numbers


def _number(_name: str, widget: NumberWidget, canvas: RenderContext) -> Drawn:
    counted = canvas.found.counts[widget.name]
    is_time = FIGURES[widget.name].value is not None
    shown = _card(duration(counted.now) if is_time else grouped(counted.now), canvas.filters.list_of(widget.name))
    return shown | _change(counted.change, counted, widget.name in _BAD)


def _rate(_name: str, widget: RateWidget, canvas: RenderContext) -> Drawn:
    part, all_of_it = canvas.found.counts[widget.part], canvas.found.counts[widget.whole]
    now = rate(part.now, all_of_it.now)
    before = None if part.before is None else rate(part.before, all_of_it.before or 0)
    text = "–" if now is None else f"{grouped(now)} %"
    shown = _card(text, canvas.filters.list_of(widget.part))
    shown["detail"] = _("%(part)s of %(whole)s", part=grouped(part.now), whole=grouped(all_of_it.now))
    shown["detail_url"] = canvas.filters.list_of(widget.whole)
    if now is None or before is None:
        return shown | {"change": None}
    return shown | _changed(round(now - before, 1), _("points"), widget.part in _BAD)


def _mean(_name: str, widget: MeanWidget, canvas: RenderContext) -> Drawn:
    seconds, count = canvas.found.counts[widget.seconds], canvas.found.counts[widget.count]
    now, before = mean(seconds.now, count.now), mean(seconds.before or 0, count.before or 0)
    shown = _card("–" if now is None else waiting_time(now), canvas.filters.list_of(widget.count))
    shown["detail"] = _("mean of %(count)s", count=grouped(count.now))
    if not now or not before:
        return shown | {"change": None}
    return shown | _changed(round(100 * (now - before) / before, 1), "%", True)


def _card(text: str, url: str) -> Drawn:
    return {"kind": "number", "text": text, "url": url, "detail": "", "detail_url": ""}


def _change(percent: float | None, counted: FigureCount, is_bad: bool) -> Drawn:
    if percent is None:
        is_new = counted.before == 0 and counted.now > 0
        return {"change": {"text": _("none before"), "icon": "", "tone": "gray"} if is_new else None}
    return _changed(percent, "%", is_bad)


def _changed(amount: float, unit: str, is_bad: bool) -> Drawn:
    """The change since the previous period, shown by sign, arrow and tone."""
    if amount == 0:
        return {"change": {"text": _("as before"), "icon": "", "tone": "gray"}}
    icon, tone = ("arrow-up", "green") if amount > 0 else ("arrow-down", "red")
    if is_bad:
        tone = "red" if amount > 0 else "green"
    return {
        "change": {
            "text": f"{'+' if amount > 0 else '−'}{grouped(abs(amount))} {unit}",
            "icon": icon,
            "tone": tone,
        }
    }


# --- charts


def chart(kind: str, columns: list[str], rows: list[Drawn]) -> Drawn:
    """A chart and its table; rows: {label, cells: [{text, value, url}]}."""
    is_empty = not any(cell["value"] for row in rows for cell in row["cells"])
    return {"kind": kind, "columns": columns, "rows": rows, "is_empty": is_empty}


def counted_cell(number: int, url: str) -> Drawn:
    """A count linked to its list; not linked if it is 0."""
    return {"text": grouped(number), "value": number, "url": url if number else ""}


def _steps(_name: str, widget: StepsWidget, canvas: RenderContext) -> Drawn:
    rows = []
    first = canvas.found.counts[widget.names[0]].now
    for place, name in enumerate(widget.names):
        number = canvas.found.counts[name].now
        cell = counted_cell(number, canvas.filters.list_of(name))
        if widget.is_funnel and place and first:
            cell["note"] = f"({grouped(rate(number, first) or 0)} %)"
        rows.append({"label": str(LABELS[name]), "cells": [cell]})
    return chart("bar", ["", _("Count")], rows)


def _breakdown(name: str, widget: Breakdown, canvas: RenderContext) -> Drawn:
    rows = []
    for value, number in canvas.found.groups[name]:
        by = {f"_flt_null_{widget.filter}": "1"} if value is None else {f"_flt_eq_{widget.filter}": value}
        url = canvas.filters.list_of(widget.name, **by)
        rows.append({"label": _word(widget, value, canvas.viewer), "cells": [counted_cell(number, url)]})
    return chart("bar", ["", str(LABELS[widget.name])], rows)


def _word(widget: Breakdown, value: Any, viewer: Viewer) -> str:
    if value is None:
        return _("None")
    if widget.picklist:
        card = viewer.lookups.card(widget.picklist, value)
        return str(shown_label(card["label"])) if card else _("Removed")
    return str((widget.words or {}).get(value) or shown_label(value))


def _trend(_name: str, widget: TrendWidget, canvas: RenderContext) -> Drawn:
    names = trend_names(widget, canvas.viewer)
    points = canvas.filters.period.points()
    rows = [
        {
            "label": _point_label(point),
            "cells": [_point_cell(name, point, canvas.found.series[name][place], canvas) for name in names],
        }
        for place, point in enumerate(points)
    ]
    labels = [str(LABELS[name]) for name in names]
    shown = chart("line", [_("Hour") if len(points) == 24 else _("Day"), *labels], rows)
    return shown if len(names) == len(widget.names) else shown | {"label": ", ".join(labels)}


def _point_label(point: SeriesPoint) -> str:
    if point.hour is not None:
        return f"{point.hour:02d}:00"
    first, last = format_local_date(point.first_day, "%-d %b"), format_local_date(point.last_day, "%-d %b")
    return first if first == last else f"{first} – {last}"


def _point_cell(name: str, point: SeriesPoint, number: int, canvas: RenderContext) -> Drawn:
    days = {"from": point.first_day.isoformat(), "to": point.last_day.isoformat()}
    slot = {} if point.hour is None else {"slot": point.first_day.weekday() * 24 + point.hour}
    return counted_cell(number, canvas.filters.list_of(name, **days, **slot))


def _heat_map(name: str, widget: HeatMap, canvas: RenderContext) -> Drawn:
    slots = canvas.found.slots[name]
    most, opens = max(slots.values(), default=0), _office_hours(canvas.viewer)
    with_rows = {slot % 24 for slot, count in slots.items() if count}
    shown = range(min(with_rows | opens), max(with_rows | opens) + 1)

    def cell(slot: int) -> Drawn:
        return _heat_cell(slots.get(slot, 0), most, canvas.filters.list_of(widget.name, slot=slot))

    rows = [
        {"label": day, "cells": [cell(place * 24 + hour) for hour in shown]} for place, day in enumerate(weekdays())
    ]
    # On a phone it begins when the office opens.
    return chart("heat", ["", *[str(hour) for hour in shown]], rows) | {"begin": min(opens) - shown[0] + 1}


def _office_hours(viewer: Viewer) -> set[int]:
    """The hours from the week's first opening to its last closing; all hours if the office never closes."""
    midnight = time(0)
    ranges = [each for each in viewer.lookups.office.ranges if each.ends > each.starts or each.ends == midnight]
    if not ranges:
        return set(range(24))
    last = max(23 if each.ends == midnight else each.ends.hour - (each.ends.minute == 0) for each in ranges)
    return set(range(min(each.starts.hour for each in ranges), last + 1))


def _heat_cell(number: int, maximum: int, url: str) -> Drawn:
    shade = -(-number * SHADES // maximum) if maximum else 0
    return counted_cell(number, url) | {"shade": shade}


def _people(_name: str, _widget: PeopleTable, canvas: RenderContext) -> Drawn:
    return people_table(canvas.found.people, canvas.filters, canvas.viewer)


def _people_bars(_name: str, widget: PeopleBars, canvas: RenderContext) -> Drawn:
    return people_bars(widget.names, canvas.found.people, canvas.filters, canvas.viewer)


def _referrals(_name: str, _widget: ReferralTable, canvas: RenderContext) -> Drawn:
    return referral_table(canvas.found.referrals, canvas.filters, canvas.viewer)


_DRAWN: dict[type[Widget], Callable[[str, Any, RenderContext], Drawn]] = {
    NumberWidget: _number,
    RateWidget: _rate,
    MeanWidget: _mean,
    StepsWidget: _steps,
    Breakdown: _breakdown,
    TrendWidget: _trend,
    HeatMap: _heat_map,
    PeopleTable: _people,
    PeopleBars: _people_bars,
    ReferralTable: _referrals,
}
