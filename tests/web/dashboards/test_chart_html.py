"""Charts as a page comes with them: SVG by the server."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from app.web.dashboards.chart_html import chart_picture
from app.web.dashboards.chart_scale import Scale, exact_scale, named_points, round_scale


def part(kind: str, rows: dict[str, list[Any]], *names: str) -> dict[str, Any]:
    cells = {label: [{"text": str(value), "value": value} for value in values] for label, values in rows.items()}
    shown = [{"label": label, "cells": each} for label, each in cells.items()]
    return {"kind": kind, "label": "Leads <new>", "columns": ["", *names], "rows": shown}


def picture(app: Flask, *given: Any) -> str:
    with app.test_request_context():
        return str(chart_picture(part(*given)))


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([8, 3], Scale(0, 8, 2)),
        ([1], Scale(0, 1, 1)),
        ([0, 0], Scale(0, 1, 1)),
        ([0.4], Scale(0, 1, 1)),
        ([1234], Scale(0, 1500, 500)),
        ([-30, 70], Scale(-50, 100, 50)),
    ],
)
def test_lines_have_readable_steps(values: list[float], scale: Scale) -> None:
    found = round_scale(values)
    assert found == scale
    assert found.ticks()[0] == scale.low and found.ticks()[-1] == scale.high


def test_the_longest_bar_is_as_long_as_there_is_room() -> None:
    assert exact_scale([40, 10]).part(10) == 25
    assert exact_scale([-10, 30]).part(0) == 25
    assert exact_scale([0]).part(0) == 0


def test_bars_have_the_lengths_of_their_values_and_differ_by_pattern(app: Flask) -> None:
    drawn = picture(app, "bar", {"<b>Ana</b>": [40, 10], "Ben": [20, None]}, "Taken", "Converted")
    assert re.findall(r'<rect x="[\d.]+%"[^>]* width="([\d.]+)%"', drawn) == ["100.0", "25.0", "50.0", "0.0"]
    assert drawn.count('fill="url(#chart-pattern-1)"') == 3  # two bars, and the legend
    assert "&lt;b&gt;Ana" in drawn and "<b>" not in drawn and "Leads &lt;new&gt;" in drawn
    assert 'data-low="0" data-high="40"' in drawn and "style=" not in drawn


def test_a_line_goes_from_edge_to_edge_and_says_what_it_is(app: Flask) -> None:
    drawn = picture(app, "line", {"1 Nov": [0], "2 Nov": [4], "3 Nov": [2]}, "Leads")
    assert 'points="0,1000 500,0 1000,500"' in drawn
    assert drawn.count("chart-point-0") == 4  # three points, and the legend
    assert "Leads</span>" in drawn and "<button" not in drawn and "style=" not in drawn
    assert 'x="50%"' in picture(app, "line", {"1 Nov": [3]}, "Leads")


def test_a_pie_says_each_share(app: Flask) -> None:
    drawn = picture(app, "pie", {"Open": [3], "Closed": [1], "Junk": [0]}, "Count")
    assert drawn.count("<path") == 2
    for text in ("Open: 3 (75 %)", "Closed: 1 (25 %)", "Junk: 0 (0 %)"):
        assert text in drawn
    assert " 0 1 1 99.9" in picture(app, "pie", {"Open": [3]}, "Count")


@pytest.mark.parametrize(("count", "text", "names"), [(28, "1 Nov", [4, 7, 14]), (3, "1 Nov", [3, 3, 3])])
def test_as_many_points_are_named_as_have_room(count: int, text: str, names: list[int]) -> None:
    found = named_points([text] * count)
    assert [sum(width in each.split() for each in found) for width in "sml"] == names
