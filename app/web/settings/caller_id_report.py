"""Calls by caller ID: 140 is the series for promotional calls, 1600 that for service calls."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from flask import request
from flask_appbuilder import BaseView
from flask_babel import gettext as _

from app import access
from app.domain.analytics import call_rollup_counts
from app.domain.base import RuleBroken
from app.domain.periods import Period
from app.domain.telephony.call_line_counts import NO_CALLS, CallLine, LineFigures
from app.extensions import db
from app.lib import phone, phone_number_series
from app.web.core.fab_access import ModulePermissions, current_viewer
from app.web.core.localization.durations import span
from app.web.core.queries.replica_lists import from_replica
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route

#: Maximum days of one report, and the default.
MAX_DAYS, DAYS = 92, 30
#: Numbers in the list.
MOST = 50


class CallerReportView(ModulePermissions, BaseView):
    """/settings/caller-ids/"""

    route_base = "/settings/caller-ids"
    default_view = "index"
    module = "Settings"
    VERBS = {"index": "read"}

    @page_route("/")
    @from_replica
    def index(self) -> Any:
        """Outgoing calls by series, and the ordinary numbers from which customers were called."""
        period = _period(current_viewer())
        with access.as_system(db.session()):  # sums over all calls, without any customer
            lines = call_rollup_counts.by_line(db.session(), period)
        return self.render_template(
            "settings/caller_id_report.html",
            first=period.first_day.isoformat(),
            last=period.last_day.isoformat(),
            series=_by_series(lines),
            numbers=_by_number(lines),
            most=MOST,
        )


def _period(viewer: Viewer) -> Period:
    """The chosen days, in the viewer's zone. Raises RuleBroken."""
    today = viewer.today
    try:
        last = date.fromisoformat(request.args.get("to") or today.isoformat())
        first = date.fromisoformat(request.args.get("from") or (last - timedelta(days=DAYS - 1)).isoformat())
        days = (last - first).days + 1
    except (ValueError, OverflowError):
        days = 0
    if not 1 <= days <= MAX_DAYS:
        raise RuleBroken(_("Please choose a period of 1 to %(most)s days.", most=MAX_DAYS), "from")
    return Period(first, last, viewer.zone)


def _by_series(lines: Mapping[CallLine, LineFigures]) -> list[dict[str, Any]]:
    labels = {
        "140": _("140 series (promotional)"),
        "1600": _("1600 series (service)"),
        "ten-digit": _("Ordinary ten-digit numbers"),
        "other": _("Other or unknown numbers"),
    }
    return [_of_series(name, labels[name], lines) for name in phone_number_series.SERIES]


def _of_series(name: str, label: str, lines: Mapping[CallLine, LineFigures]) -> dict[str, Any]:
    own = {line: figures for line, figures in lines.items() if line.series == name}
    total = sum(own.values(), NO_CALLS)
    calls = {
        purpose: sum(figures.calls for line, figures in own.items() if line.purpose == purpose)
        for purpose in ("promotional", "service", "")
    }
    return {
        "label": label,
        "is_bad": name == "ten-digit" and total.calls > 0,
        "calls": total.calls,
        "promotional": calls["promotional"],
        "service": calls["service"],
        "by_hand": calls[""],
        "answered": total.completed,
        "talked": span(total.seconds) if total.seconds else "",
        "unfitting": total.unfitting,
    }


def _by_number(lines: Mapping[CallLine, LineFigures]) -> list[dict[str, Any]]:
    """The company's numbers, the most used first. Employees' own phones are one line."""
    sums: dict[tuple[str, bool], int] = {}
    for line, figures in lines.items():
        key = (line.number, line.is_own)
        sums[key] = sums.get(key, 0) + figures.calls
    listed = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
    by_hand = _("Employees' own phones")
    return [
        {
            "number": by_hand if is_own else phone.display(number) or _("Unknown"),
            "series": "" if is_own else phone_number_series.phone_series(number),
            "calls": count,
        }
        for (number, is_own), count in listed
    ]
