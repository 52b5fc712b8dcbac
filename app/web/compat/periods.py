"""Periods of the dashboards by the predecessor's names, in the person's time zone; a week has seven days."""

from __future__ import annotations

from flask_babel import gettext as _

from app.domain import periods
from app.domain.base import RuleBroken
from app.domain.periods import DAY, Period
from app.web.compat.arguments import Arguments
from app.web.compat.responses import CompatError
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer


def parse_period(arguments: Arguments, viewer: Viewer) -> Period:
    """view: daily, weekly, monthly or custom (custom_start_date, custom_end_date). Raises CompatError (417)."""
    view, today = arguments.text("view", "daily").lower(), viewer.today
    if view == "custom":
        return _custom_period(arguments, viewer)
    if view == "monthly":  # the whole month, as in the predecessor
        first = today.replace(day=1)
        return Period(first, (first + 31 * DAY).replace(day=1) - DAY, viewer.zone)
    names = {"daily": periods.TODAY, "weekly": periods.WEEK}
    if view not in names:
        raise CompatError(417, _("The view must be daily, weekly, monthly or custom."))
    return periods.named_period(names[view], viewer.now, viewer.zone)


def _custom_period(arguments: Arguments, viewer: Viewer) -> Period:
    first, last = (arguments.text(name) for name in ("custom_start_date", "custom_end_date"))
    try:
        return periods.between(first, last, viewer.zone)
    except RuleBroken as broken:
        raise CompatError(417, translate_text(broken.message)) from broken


def point_labels(period: Period) -> list[str]:
    """The label of each point of a series: the hour of a single day, else the first day."""
    return [
        f"{point.hour:02d}:00" if point.hour is not None else point.first_day.isoformat() for point in period.points()
    ]
