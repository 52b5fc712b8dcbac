"""A report as a file: CSV, XLSX or PDF, under the export permission; audited."""

from __future__ import annotations

import re
from datetime import date
from io import BytesIO
from typing import Any

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app.domain.audit_log import audit
from app.domain.base import RuleBroken
from app.domain.report_schedules import FORMATS
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.web.core.viewer import Viewer
from app.web.reports import built_in_reports, pdf, running
from app.web.reports.definition import AT_ONCE, ReportDefinition
from app.web.reports.table import ReportTable
from app.web.transfer.export_files import MIME, Row, csv_rows, sheet_rows, write_workbook

MIMES = MIME | {"pdf": "application/pdf"}


def make(label: str, definition: ReportDefinition, viewer: Viewer, format_: str) -> tuple[bytes, int]:
    """The file and its number of rows, as this viewer may export them. Raises RuleBroken, Denied, NotFound."""
    if format_ not in FORMATS:
        raise RuleBroken(_("Please choose CSV, XLSX or PDF."), "format")
    session = db.session()
    if definition.kind in built_in_reports.READY and format_ != "pdf":
        return built_in_reports.file_of(session, definition, viewer, format_)
    if format_ != "pdf" and running.is_long(session, definition, viewer):
        text = _(
            "This report has more than %(most)s rows: please download its file on its page.", most=grouped(AT_ONCE)
        )
        raise RuleBroken(text)
    table = running.run(session, definition, viewer, "export")
    return _DATA[format_](table, label, viewer), len(table.rows)


def all_rows(table: ReportTable) -> list[Row]:
    """The rows of a file: those of the table, then their totals."""
    return [*table.rows, table.totals] if table.totals else table.rows


def heading(table: ReportTable) -> list[str]:
    """The column labels. Durations are numbers in files."""
    seconds = _("seconds")
    return [f"{text} ({seconds})" if place in table.seconds else text for place, text in enumerate(table.heading)]


def _csv(table: ReportTable, _label: str, _viewer: Viewer) -> bytes:
    return csv_rows(all_rows(table), heading(table))


def _xlsx(table: ReportTable, _label: str, _viewer: Viewer) -> bytes:
    target = BytesIO()
    write_workbook(target, heading(table), [sheet_rows(all_rows(table), 2)])
    return target.getvalue()


_DATA = {"csv": _csv, "xlsx": _xlsx, "pdf": pdf.document}


def name_of(label: str, format_: str, day: date) -> str:
    """The file name: letters and digits of the report's name, and the day."""
    return f"{stem_of(label)}-{day:%Y-%m-%d}.{format_}"


def stem_of(label: str) -> str:
    """The beginning of its files' names."""
    return re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-").lower()[:60] or "report"


def write_audit(session: Session, viewer: Viewer, definition: ReportDefinition, **what: Any) -> None:
    """Record in the audit who got the file, without values that may identify a person."""
    shown = {"columns": list(definition.columns), "groups": [each.column for each in definition.groups]} | what
    audit.write(session, "export", viewer.person.id, viewer.now, f"report of {definition.kind}", **shown)
