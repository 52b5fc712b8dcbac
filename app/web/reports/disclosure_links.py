"""The list of complaints behind each figure of a disclosure: the same conditions as a URL."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from app.domain.complaints import disclosure_periods
from app.domain.complaints.disclosure_periods import Span
from app.domain.complaints.exchange_return import AGES
from app.web.core.view_registry import screen_of_kind
from app.web.pages.disclosure_tables import TableRow

Condition = list[Any]
#: How figures of the return begin.
_AGE, _TAKEN, _OUTCOME = "age ", "taken ", "outcome "


def address(figure: str, row: TableRow) -> str:
    """The URL of the list with the complaints of a figure of a row; "" for a figure that no list can show.

    `figure`: a key of FIGURES, "age 0" (the first age of the return), "taken 0", or "outcome Resolved".
    """
    screen = screen_of_kind("complaint")
    found = _conditions(figure, row.span) if row.span else []
    if screen is None or not found:
        return ""
    where = ["all", *_shared(row), *found]
    given = {"tab": "all"} if "all" in screen.tab_names else {}
    text = json.dumps(where, ensure_ascii=False, separators=(",", ":"))
    return f"{screen.route_base}/?{urlencode(given | {'where': text})}"


def _shared(row: TableRow) -> list[Condition]:
    """What the complaints of a row have in common."""
    shared = [["is_impersonation", "eq", "0"], ["joined_to", "null", "1"]]
    if row.source:
        shared.append(["source", "eq", row.source])
    if row.category_id is not None:
        shared.append(["category", "eq", str(row.category_id)])
    return shared


def _conditions(figure: str, span: Span) -> list[Condition]:
    first, after = span.first.isoformat(), span.after.isoformat()
    received_before = ["received_on", "lt", after]
    pending = [received_before, _open_on(after)]
    old_before = disclosure_periods.not_old_from(disclosure_periods.month_of(span.last)).isoformat()
    if figure.startswith(_AGE):
        return [*pending, *_received_in_age(int(figure.removeprefix(_AGE)), span)]
    resolved = [["disposed_on", "ge", first], ["disposed_on", "lt", after]]
    if figure.startswith(_TAKEN):
        return [*resolved, *_taken(int(figure.removeprefix(_TAKEN)))]
    if figure.startswith(_OUTCOME):
        return [*resolved, _outcome(figure.removeprefix(_OUTCOME))]
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


def _received_in_age(place: int, span: Span) -> list[Condition]:
    """Received so many days before the last day of the span as one of the ages of the return says."""
    first, last = (0, *[each + 1 for each in AGES])[place], (*AGES, None)[place]
    latest = ["received_on", "le", (span.last - timedelta(days=first)).isoformat()]
    return [latest, *([["received_on", "ge", (span.last - timedelta(days=last)).isoformat()]] if last else [])]


def _taken(place: int) -> list[Condition]:
    """Disposed of after so many days as one of the ages of the return says."""
    first, last = (0, *[each + 1 for each in AGES])[place], (*AGES, None)[place]
    return [["days_taken", "ge", str(first)], *([["days_taken", "le", str(last)]] if last else [])]


def _outcome(name: str) -> Condition:
    return ["outcome", "eq", name] if name else ["outcome", "null", "1"]
