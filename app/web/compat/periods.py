"""The spans of the predecessor's dashboards, in the person's zone, with a week of seven days."""

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
#: Nobody asks for more days at once; points of one line.
MAX_DAYS, MAX_POINTS = 366, 31


@dataclass(frozen=True)
class Period:
    """Local dates, both included."""

    first_day: date
    last_day: date
    zone: ZoneInfo

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(0), tzinfo=self.zone)

    @property
    def days(self) -> int:
        """How many."""
        return (self.last_day - self.first_day).days + 1

    def contains(self, column: Any) -> ColumnElement[bool]:
        """Whether a moment lies in it, as SQL."""
        return and_(column >= self._midnight(self.first_day), column < self._midnight(self.last_day + DAY))

    def previous(self) -> Period:
        """As many days before."""
        return Period(self.first_day - timedelta(days=self.days), self.first_day - DAY, self.zone)

    def points(self) -> list[tuple[str, datetime, datetime]]:
        """(label, from, to) of a line over it: by the hour of one day, else by equal stretches of days."""
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
    """view: daily, weekly, monthly or custom (custom_start_date, custom_end_date). Raises Refused (417)."""
    view, today = arguments.text("view", "daily").lower(), viewer.now.astimezone(viewer.zone).date()
    if view == "custom":
        return _custom_period(arguments, viewer.zone)
    month = today.replace(day=1)
    spans = {
        "daily": (today, today),
        "weekly": (today - 6 * DAY, today),
        "monthly": (month, (month + 31 * DAY).replace(day=1) - DAY),
    }
    if view not in spans:
        raise CompatError(417, _("The view must be daily, weekly, monthly or custom."))
    return Period(*spans[view], viewer.zone)


def _custom_period(arguments: Arguments, zone: ZoneInfo) -> Period:
    try:
        ends = [date.fromisoformat(arguments.text(name)[:10]) for name in ("custom_start_date", "custom_end_date")]
    except ValueError as wrong:
        raise CompatError(417, _("Please enter both dates in the form 2026-11-30.")) from wrong
    found = Period(min(ends), max(ends), zone)
    if found.days > MAX_DAYS or not 2000 <= found.first_day.year <= found.last_day.year <= 2199:
        raise CompatError(417, _("Please choose at most %(most)s days of this century.", most=MAX_DAYS))
    return found
