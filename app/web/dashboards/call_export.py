"""The monthly summary of calls as a file: XLSX or CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

from flask import Response
from flask_babel import gettext as _
from sqlalchemy import ColumnElement

from app import access
from app.domain.analytics import call_summary
from app.domain.analytics.call_summary import Row
from app.domain.analytics.figures import CountScope
from app.domain.audit_log import audit
from app.domain.base import RuleBroken
from app.extensions import db
from app.lib.lazy_imports import IMPORTING
from app.lib.spreadsheet_formulas import as_text
from app.models import CallLog
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.dashboards.filters import Filters
from app.web.records.lists.figure_filter import scope_of

NAME = "Call_Log_Monthly_Summary"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def may_export(viewer: Viewer) -> bool:
    """Whether the role matrix lets the person export calls."""
    return viewer.person.may("Call Logs", "export")


def exportable(viewer: Viewer) -> list[ColumnElement[bool]]:
    """The condition for calls that the person may export, if these are fewer than those that they see."""
    person = viewer.person
    if person.level("Call Logs", "export") == person.level("Call Logs", "read"):
        return []
    return [access.visible(person, CallLog, "export")]


def summary_file(kind: str, filters: Filters, viewer: Viewer) -> Response:
    """The file, recorded in the audit. Raises Denied; RuleBroken if there are no calls."""
    if not may_export(viewer):
        viewer.person.refuse_unless("Call Logs", "export")
    return send_summary(kind, SummaryOf(scope_of(filters.period, viewer, filters.people), filters.who), viewer)


@dataclass(frozen=True)
class SummaryOf:
    """The calls that are summed up."""

    scope: CountScope
    #: Whose they are, for the audit.
    who: str
    #: Further conditions on calls.
    conditions: tuple[Any, ...] = ()


def send_summary(kind: str, of: SummaryOf, viewer: Viewer) -> Response:
    """The file of these calls, recorded in the audit. Raises RuleBroken if there are none."""
    summary = call_summary.summarize(db.session(), of.scope, *of.conditions, *exportable(viewer))
    if not summary:
        raise RuleBroken(_("There are no calls in this period. Please choose another one."), "from")
    people = {key: as_text(card["full_name"]) for key, card in viewer.lookups.people.items()}
    rows = list(call_summary.table(summary, people, (_("Nobody"), _("Total"))))
    span = f"{of.scope.period.first_day} – {of.scope.period.last_day}"
    with request_transaction() as writing:
        audit.write(writing, "export", viewer.person.id, viewer.now, NAME, what=span, who=of.who, rows=len(rows))
    made, mimetype = (as_csv(rows), "text/csv; charset=utf-8") if kind == "csv" else (as_xlsx(rows), XLSX)
    attachment = {"Content-Disposition": f"attachment; filename={NAME}.{kind}", "Cache-Control": "no-store"}
    return Response(made, 200, attachment, content_type=mimetype)


def as_csv(rows: list[Row]) -> bytes:
    """UTF-8 with a byte order mark for Excel; lines end with CR LF."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def as_xlsx(rows: list[Row]) -> bytes:
    """One sheet; counts are numbers."""
    with IMPORTING:
        from openpyxl import Workbook

    book: Any = Workbook(write_only=True)
    sheet = book.create_sheet("Monthly summary")
    sheet.column_dimensions["A"].width = 28
    for row in rows:
        sheet.append(row)
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()
