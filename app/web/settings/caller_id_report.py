"""Calls by caller ID: 140 is the series for promotional calls, 1600 that for service calls."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

from flask import request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from sqlalchemy import case, func, select

from app import access
from app.domain.base import RuleBroken
from app.extensions import db
from app.lib import phone, phone_number_series
from app.models import CallLog, CallRequest
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
        viewer = current_viewer()
        first, last = _period(viewer)
        rows = _read(first, last, viewer)
        return self.render_template(
            "settings/caller_id_report.html",
            first=first.isoformat(),
            last=last.isoformat(),
            series=_by_series(rows),
            numbers=_by_number(rows),
            most=MOST,
        )


def _period(viewer: Viewer) -> tuple[date, date]:
    """First and last day, in the viewer's zone. Raises RuleBroken."""
    today = viewer.today
    try:
        last = date.fromisoformat(request.args.get("to") or today.isoformat())
        first = date.fromisoformat(request.args.get("from") or (last - timedelta(days=DAYS - 1)).isoformat())
        days = (last - first).days + 1
    except (ValueError, OverflowError):
        days = 0
    if not 1 <= days <= MAX_DAYS:
        raise RuleBroken(_("Please choose a period of 1 to %(most)s days.", most=MAX_DAYS), "from")
    return first, last


def _read(first: date, last: date, viewer: Viewer) -> list[Any]:
    """(number, medium, purpose, calls, answered, seconds, unsuitable) of all outgoing calls of the period."""
    begins, ends = (datetime.combine(day, time(), viewer.zone) for day in (first, last + timedelta(days=1)))
    answered = func.sum(case((CallLog.status == "Completed", 1), else_=0))
    unfitting = func.sum(case((CallRequest.fits_purpose.is_(False), 1), else_=0))
    query = (
        select(
            CallLog.from_number,
            CallLog.medium,
            CallRequest.purpose,
            func.count(),
            answered,
            func.sum(CallLog.duration_seconds),
            unfitting,
        )
        .outerjoin(CallRequest, CallRequest.call_id == CallLog.id)
        .where(CallLog.direction == "Outgoing", CallLog.started_on >= begins, CallLog.started_on < ends)
        .group_by(CallLog.from_number, CallLog.medium, CallRequest.purpose)
    )
    with access.as_system(db.session()):  # sums over all calls, without any customer
        return list(db.session.execute(query).all())


def _by_series(rows: list[Any]) -> list[dict[str, Any]]:
    labels = {
        "140": _("140 series (promotional)"),
        "1600": _("1600 series (service)"),
        "ten-digit": _("Ordinary ten-digit numbers"),
        "other": _("Other or unknown numbers"),
    }
    sums = {name: [0] * 6 for name in phone_number_series.SERIES}
    for row in rows:
        own = sums[phone_number_series.phone_series(phone.normalize(row.from_number))]
        place = {"promotional": 0, "service": 1}.get(row.purpose, 2)
        own[place] += row[3]
        own[3], own[4], own[5] = own[3] + (row[4] or 0), own[4] + (row[5] or 0), own[5] + (row[6] or 0)
    return [
        {
            "label": labels[name],
            "is_bad": name == "ten-digit" and sum(own[:3]) > 0,
            "calls": sum(own[:3]),
            "promotional": own[0],
            "service": own[1],
            "by_hand": own[2],
            "answered": own[3],
            "talked": span(own[4]) if own[4] else "",
            "unfitting": own[5],
        }
        for name, own in sums.items()
    ]


def _by_number(rows: list[Any]) -> list[dict[str, Any]]:
    """The company's numbers, the most used first. Employees' own phones are one line."""
    sums: dict[tuple[str, bool], int] = {}
    for row in rows:
        is_own = row.medium in ("mobile", "manual")
        key = ("" if is_own else phone.normalize(row.from_number) or "", is_own)
        sums[key] = sums.get(key, 0) + row[3]
    listed = sorted(sums.items(), key=lambda pair: -pair[1])[:MOST]
    by_hand = _("Employees' own phones")
    return [
        {
            "number": by_hand if is_own else phone.display(number) or _("Unknown"),
            "series": "" if is_own else phone_number_series.phone_series(number),
            "calls": count,
        }
        for (number, is_own), count in listed
    ]
