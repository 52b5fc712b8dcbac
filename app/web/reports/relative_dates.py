"""Relative time spans: this month, last week … as dates in the reader's calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from app.web.reports.definition import RelativeSpan

_DAY = timedelta(days=1)


def _month(day: date, months: int) -> date:
    """The first day of the month so many months from the given day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, 1)


def _quarter(day: date, quarters: int) -> date:
    return _month(day, -((day.month - 1) % 3) + 3 * quarters)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


#: Span -> today -> its first day, and the first one after it.
_ENDS: dict[str, Callable[[date], tuple[date, date]]] = {
    "today": lambda day: (day, day + _DAY),
    "yesterday": lambda day: (day - _DAY, day),
    "last_7": lambda day: (day - 6 * _DAY, day + _DAY),
    "last_30": lambda day: (day - 29 * _DAY, day + _DAY),
    "week": lambda day: (_monday(day), _monday(day) + 7 * _DAY),
    "last_week": lambda day: (_monday(day) - 7 * _DAY, _monday(day)),
    "month": lambda day: (_month(day, 0), _month(day, 1)),
    "last_month": lambda day: (_month(day, -1), _month(day, 0)),
    "quarter": lambda day: (_quarter(day, 0), _quarter(day, 1)),
    "last_quarter": lambda day: (_quarter(day, -1), _quarter(day, 0)),
    "year": lambda day: (date(day.year, 1, 1), date(day.year + 1, 1, 1)),
}


def ends(span: str, today: date) -> tuple[date, date]:
    """The first day of a span, and the first day after it."""
    return _ENDS[span](today)


def conditions(period: RelativeSpan | None, today: date) -> list[Any]:
    """The span as conditions of a list."""
    if period is None:
        return []
    first, after = ends(period.span, today)
    return [[period.column, "ge", first.isoformat()], [period.column, "lt", after.isoformat()]]
