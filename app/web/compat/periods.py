"""Periods of the dashboards, in the person's time zone; a week has seven days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, and_

from app.web.compat.arguments import Arguments
from app.web.compat.responses import CompatError
from app.web.core.fields import Viewer

DAY = timedelta(days=1)
#: Longest period; most points of a series.
MAX_DAYS, MAX_POINTS = 366, 31


@dataclass(frozen=True)
class Period:
    """From one local date to another, both included."""

    first_day: date
    last_day: date
    zone: ZoneInfo

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(0), tzinfo=self.zone)

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.last_day - self.first_day).days + 1

    def contains(self, column: Any) -> ColumnElement[bool]:
        """SQL: whether a time column is within the period."""
        return and_(column >= self._midnight(self.first_day), column < self._midnight(self.last_day + DAY))

    def previous(self) -> Period:
        """The period of as many days before this one."""
        return Period(self.first_day - timedelta(days=self.days), self.first_day - DAY, self.zone)

    def points(self) -> list[tuple[str, datetime, datetime]]:
        """(label, start, end) of each point of a series: hours for a single day, else equal numbers of days."""
        if self.days == 1:
            start = self._midnight(self.first_day)
            return [
                (f"{hour:02d}:00", start + hour * timedelta(hours=1), start + (hour + 1) * timedelta(hours=1))
                for hour in range(24)
            ]
        step = -(-self.days // MAX_POINTS)
        starts = [self.first_day + timedelta(days=n) for n in range(0, self.days, step)]
        ends = [*starts[1:], self.last_day + DAY]
        return [
            (day.isoformat(), self._midnight(day), self._midnight(end)) for day, end in zip(starts, ends, strict=True)
        ]


def parse_period(arguments: Arguments, viewer: Viewer) -> Period:
    """view: daily, weekly, monthly or custom (custom_start_date, custom_end_date). Raises CompatError (417)."""
    view, today = arguments.text("view", "daily").lower(), viewer.now.astimezone(viewer.zone).date()
    if view == "custom":
        return _custom_period(arguments, viewer.zone)
    first_of_month = today.replace(day=1)
    periods = {
        "daily": (today, today),
        "weekly": (today - 6 * DAY, today),
        "monthly": (first_of_month, (first_of_month + 31 * DAY).replace(day=1) - DAY),
    }
    if view not in periods:
        raise CompatError(417, _("The view must be daily, weekly, monthly or custom."))
    return Period(*periods[view], viewer.zone)


def _custom_period(arguments: Arguments, zone: ZoneInfo) -> Period:
    try:
        ends = [date.fromisoformat(arguments.text(name)[:10]) for name in ("custom_start_date", "custom_end_date")]
    except ValueError as error:
        raise CompatError(417, _("Please enter both dates in the form 2026-11-30.")) from error
    period = Period(min(ends), max(ends), zone)
    if period.days > MAX_DAYS or not 2000 <= period.first_day.year <= period.last_day.year <= 2199:
        raise CompatError(417, _("Please choose at most %(most)s days of this century.", most=MAX_DAYS))
    return period
