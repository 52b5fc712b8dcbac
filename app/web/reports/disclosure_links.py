"""The list of complaints behind each figure of a disclosure: the same conditions as a URL."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from app.domain.complaints import disclosure_periods
from app.domain.complaints.disclosure_periods import Span
from app.web.core.view_registry import screen_of_kind

Condition = list[Any]


def address(figure: str, source: str | None, span: Span) -> str:
    """The URL of the list with the complaints of a figure; "" for a figure that no list can show."""
    screen = screen_of_kind("complaint")
    found = _conditions(figure, span)
    if screen is None or not found:
        return ""
    shared = [["is_impersonation", "eq", "0"], ["joined_to", "null", "1"]]
    where = ["all", *([["source", "eq", source]] if source else []), *shared, *found]
    given = {"tab": "all"} if "all" in screen.tab_names else {}
    text = json.dumps(where, ensure_ascii=False, separators=(",", ":"))
    return f"{screen.route_base}/?{urlencode(given | {'where': text})}"


def _conditions(figure: str, span: Span) -> list[Condition]:
    first, after = span.first.isoformat(), span.after.isoformat()
    received_before = ["received_on", "lt", after]
    pending = [received_before, _open_on(after)]
    old_before = disclosure_periods.not_old_from(disclosure_periods.month_of(span.last)).isoformat()
    resolved = [["disposed_on", "ge", first], ["disposed_on", "lt", after]]
    return {
        "carried": [["received_on", "lt", first], _open_on(first)],
        "received": [["received_on", "ge", first], received_before],
        "total": [received_before, _open_on(first)],
        "resolved": resolved,
        "average": resolved,
        "pending": pending,
        "recent": [*pending, ["received_on", "ge", old_before]],
        "old": [*pending, ["received_on", "lt", old_before]],
    }.get(figure, [])


def _open_on(day: str) -> Condition:
    """Not disposed of before this day."""
    return ["any", ["disposed_on", "null", "1"], ["disposed_on", "ge", day]]
