"""Charts as SVG: the pictures that a page comes with. charts.js draws over one once somebody points at it.

Widths are percentages, so that a picture fills its card; text stays outside whatever is stretched. Colors and patterns
come from classes of dashboards.css, because the Content-Security-Policy allows no inline styles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flask_babel import gettext as _
from markupsafe import Markup

from app.lib.digit_grouping import grouped
from app.lib.html_escape import escape
from app.web.dashboards.chart_scale import Scale, exact_scale, named_points, round_scale

Part = dict[str, Any]
#: Pixels of a line chart without its legend: the lines, and the names of points below them.
_LINES, _NAMES = 232, 24
#: Pixels of a group of bars: around them, and for each; the thickness of a single bar, and of one of several.
_AROUND, _EACH, _SINGLE, _THICK = 12, 22, 22, 18
#: Fewest groups of bars for which there is room: the tooltip needs it.
_FEWEST = 3
#: A pie's side, and the radius of its ring, inside and outside, in pixels.
_PIE, _INSIDE, _OUTSIDE = 200, 52, 96
#: Patterns by series or slice; forms of points, by series. Further ones repeat them.
PATTERNS, FORMS = 5, 3
#: The coordinates of lines, which are stretched to the size of their chart.
_UNITS = 1000


def chart_picture(part: Part) -> Markup:
    """The chart of a part {kind, label, columns, rows: [{label, cells: [{text, value}]}]}."""
    return Markup(_PICTURES[part["kind"]](part))  # noqa: S704  # made of escaped texts and numbers


def _legend(part: Part) -> str:
    """The names of the series; buttons that hide one, which charts.js enables."""
    names = part["columns"][1:]
    keys = "".join(_key(part["kind"], place, name, len(names) > 1) for place, name in enumerate(names))
    return f'<ul class="chart-keys" aria-label="{escape(_("Legend"))}">{keys}</ul>'


def _key(kind: str, place: int, name: str, is_button: bool) -> str:
    text = f"{_sample(kind, place)}{escape(name)}"
    if not is_button:
        return f'<li><span class="chart-key">{text}</span></li>'
    state = f'data-key="{place}" aria-pressed="true" disabled'
    return f'<li><button class="chart-key" type="button" {state}>{text}</button></li>'


def _sample(kind: str, place: int) -> str:
    """The look of a series, before its name."""
    width, form = 28 if kind == "line" else 14, place % FORMS
    look = f'<rect width="14" height="14" rx="3" {_fill(place)}/>'
    if kind == "line":
        look = f'<line class="chart-line chart-line-{form}" x2="28" y1="7" y2="7"/>{_point(form, "14", "7")}'
    return f'<svg class="chart-sample" width="{width}" height="14" aria-hidden="true">{look}</svg>'


def _plot(size: tuple[int | str, int], grid: str, marks: str) -> str:
    """The part of the picture in whose place charts.js draws the marks."""
    return (
        f'<svg class="chart-plot" width="{size[0]}" height="{size[1]}" data-plot>{grid}<g data-marks>{marks}</g></svg>'
    )


def _fill(place: int) -> str:
    look = place % PATTERNS
    return f'fill="url(#chart-pattern-{look})"' if look else 'class="chart-fill-0"'


def _point(form: int, x: str, y: str) -> str:
    return f'<use class="chart-point-{form}" href="#chart-form-{form}" x="{x}" y="{y}"/>'


def _frame(part: Part, scale: Scale, inner: str) -> str:
    """The picture, with what charts.js needs to draw in the same place."""
    ends = f'data-low="{scale.low}" data-high="{scale.high}"'
    return f'<div class="chart-body" data-canvas {ends} role="img" aria-label="{escape(part["label"])}">{inner}</div>'


def _numbers(part: Part) -> list[list[float]]:
    """The values, by row."""
    return [[cell["value"] or 0 for cell in row["cells"]] for row in part["rows"]]


# --- bars


def _bars(part: Part) -> str:
    rows, values = part["rows"], _numbers(part)
    scale = exact_scale([value for row in values for value in row])
    count = len(values[0])
    height = max(_FEWEST, len(rows)) * (_AROUND + _EACH * count)
    marks = "".join(
        _group(row, scale, place * height / len(rows), height / len(rows)) for place, row in enumerate(rows)
    )
    names = "".join(f"<span>{escape(row['label'])}</span>" for row in rows)
    room = max((_text(cell) for row in rows for cell in row["cells"]), key=len)
    plot = _plot(("100%", height), "", marks)
    body = _frame(
        part, scale, f'<div class="chart-names">{names}</div>{plot}<span class="chart-room">{escape(room)}</span>'
    )
    return f'<div class="dash-chart chart-bars">{_legend(part) if count > 1 else ""}{body}</div>'


def _text(cell: Part) -> str:
    return f"{cell['text']} {cell.get('note', '')}".strip()


def _group(row: Part, scale: Scale, top: float, height: float) -> str:
    """The bars of a row, one below the other, each with its value."""
    cells = row["cells"]
    thick = _SINGLE if len(cells) == 1 else _THICK
    first = top + (height - (len(cells) - 1) * _EACH - thick) / 2
    zero = scale.part(0)
    made = []
    for place, cell in enumerate(cells):
        ends = sorted((zero, scale.part(cell["value"] or 0)))
        y = round(first + place * _EACH, 1)
        made.append(
            f'<rect x="{ends[0]}%" y="{y}" width="{round(ends[1] - ends[0], 2)}%" height="{thick}" rx="3" '
            f"{_fill(place)}/>"
            f'<text x="{ends[1]}%" dx="6" y="{round(y + thick / 2, 1)}">{escape(_text(cell))}</text>'
        )
    return "".join(made)


# --- lines


def _lines(part: Part) -> str:
    values, labels = _numbers(part), [row["label"] for row in part["rows"]]
    scale = round_scale([value for row in values for value in row])
    ticks = scale.ticks()
    across = [_across(place, len(labels)) for place in range(len(labels))]
    grid = "".join(
        f'<line class="chart-grid" x2="100%" y1="{y}%" y2="{y}%"/>' for y in (100 - scale.part(tick) for tick in ticks)
    )
    series = list(zip(*values, strict=True))
    lines = "".join(_line(place, across, each, scale) for place, each in enumerate(series))
    points = "".join(_points(place, across, each, scale) for place, each in enumerate(series))
    box = f'width="100%" height="100%" viewBox="0 0 {_UNITS} {_UNITS}" preserveAspectRatio="none"'
    plot = _plot(("100%", _LINES), grid, f"<svg {box}>{lines}</svg>{points}")
    sides = "".join(f"<span>{escape(grouped(tick))}</span>" for tick in reversed(ticks))
    body = _frame(part, scale, f'<div class="chart-sides">{sides}</div>{plot}{_below(labels, across)}')
    return f'<div class="dash-chart chart-lines">{_legend(part)}{body}</div>'


def _across(place: int, count: int) -> float:
    """Where a point lies from left to right, in percent; a single one is in the middle."""
    return round(100 * place / (count - 1), 2) if count > 1 else 50


def _line(place: int, across: Sequence[float], values: Sequence[float], scale: Scale) -> str:
    share = _UNITS / 100
    points = " ".join(
        f"{x * share:.5g},{(100 - scale.part(value)) * share:.5g}" for x, value in zip(across, values, strict=True)
    )
    return f'<polyline class="chart-line chart-line-{place % FORMS}" points="{points}"/>'


def _points(place: int, across: Sequence[float], values: Sequence[float], scale: Scale) -> str:
    form = place % FORMS
    return "".join(
        _point(form, f"{x}%", f"{round(100 - scale.part(value), 2)}%") for x, value in zip(across, values, strict=True)
    )


def _below(labels: Sequence[str], across: Sequence[float]) -> str:
    """The names of points for which there is room, by the width of the chart."""
    shown = [each for each in zip(across, labels, named_points(labels), strict=True) if each[2]]
    texts = "".join(
        f'<text class="{widths}{_side(x)}" x="{x}%" y="17">{escape(label)}</text>' for x, label, widths in shown
    )
    return f'<svg class="chart-below" width="100%" height="{_NAMES}">{texts}</svg>'


def _side(x: float) -> str:
    """The class of a name at an end of the line, which would reach over it."""
    return " at-start" if x == 0 else " at-end" if x == 100 else ""


# --- pies


def _pie(part: Part) -> str:
    values = [row[0] for row in _numbers(part)]
    total = sum(values)
    begin, slices = 0.0, []
    for place, value in enumerate(values):
        slices.append(_slice(begin, begin + value / total, place))
        begin += value / total
    keys = "".join(_slice_key(row, place, total) for place, row in enumerate(part["rows"]))
    body = _frame(part, exact_scale(values), _plot((_PIE, _PIE), "", "".join(slices)))
    return f'<div class="dash-chart chart-pie">{body}<ul class="chart-keys">{keys}</ul></div>'


def _slice_key(row: Part, place: int, total: float) -> str:
    share = grouped(round(100 * (row["cells"][0]["value"] or 0) / total, 1))
    text = f"{escape(row['label'])}: {escape(row['cells'][0]['text'])} ({share} %)"
    return f'<li><span class="chart-key">{_sample("pie", place)}{text}</span></li>'


def _slice(begin: float, end: float, place: int) -> str:
    """A slice of the ring between two parts of the whole, clockwise from the top; a whole ring has a hair's gap."""
    end = min(end, begin + 0.9999)
    if end <= begin:
        return ""
    is_large = int(end - begin > 0.5)
    a, b, c, d = _at(begin, _OUTSIDE), _at(end, _OUTSIDE), _at(end, _INSIDE), _at(begin, _INSIDE)
    path = f"M{a}A{_OUTSIDE} {_OUTSIDE} 0 {is_large} 1 {b}L{c}A{_INSIDE} {_INSIDE} 0 {is_large} 0 {d}Z"
    return f'<path d="{path}" {_fill(place)} stroke-width="2"/>'


def _at(share: float, radius: int) -> str:
    angle = 2 * math.pi * share
    return f"{_PIE / 2 + radius * math.sin(angle):.2f} {_PIE / 2 - radius * math.cos(angle):.2f}"


_PICTURES = {"bar": _bars, "line": _lines, "pie": _pie}
GLOBALS = {"chart_picture": chart_picture}
