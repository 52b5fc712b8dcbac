"""The monthly summary of calls as a file, of the calls that match the filters of a list."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_babel import gettext as _
from sqlalchemy import func, select

from app.domain.base import RuleBroken
from app.domain.periods import Period
from app.extensions import db
from app.models import CallLog
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import CALL_LOG
from app.web.compat.filters import parse_filters
from app.web.compat.responses import CompatError
from app.web.core.fab_access import current_viewer
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer
from app.web.dashboards.call_export import SummaryOf, send_summary
from app.web.records.lists.figure_filter import scope_of

#: The predecessor's names of formats -> ours.
_FORMATS = {"excel": "xlsx", "xlsx": "xlsx", "csv": "csv"}


def export_monthly_summary(arguments: Arguments) -> Response:
    """filters of CRM Call Log, file_format_type (Excel or CSV) -> the file. Raises Denied; RuleBroken without calls."""
    viewer = current_viewer()
    viewer.person.refuse_unless(CALL_LOG.module, "export")
    format_ = _FORMATS.get(arguments.text("file_format_type", "Excel").lower())
    if format_ is None:
        raise CompatError(417, _("“%(name)s” must be Excel or CSV.", name="file_format_type"))
    conditions = parse_filters(arguments.json_value("filters"), CALL_LOG, viewer)
    matching = CallLog.id.in_(CALL_LOG.record_table.ids(ListQuery(conditions, [], 1)))
    scope = scope_of(_period(matching, viewer), viewer, viewer.person.reach("Dashboard"))
    return send_summary(format_, SummaryOf(scope, "list", (matching,)), viewer)


def _period(matching: Any, viewer: Viewer) -> Period:
    """From the first to the last of these calls."""
    first, last = db.session.execute(
        select(func.min(CallLog.started_on), func.max(CallLog.started_on)).where(matching)
    ).one()
    if first is None:
        raise RuleBroken(_("There are no calls in this period. Please choose another one."), "filters")
    return Period(first.astimezone(viewer.zone).date(), last.astimezone(viewer.zone).date(), viewer.zone)
