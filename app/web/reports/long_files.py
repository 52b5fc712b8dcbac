"""Files of reports with many rows, written in the background like exports of lists, from the definition at the request.

The definition is stored with the export: changing the report meanwhile doesn't change the file halfway.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken, translatable
from app.domain.files.export_and_import_runs import ExportRun
from app.domain.reports import Report
from app.extensions import db
from app.web.core.view_registry import screen_of_kind
from app.web.core.viewer import Viewer
from app.web.reports import files, row_reports, running
from app.web.reports.available_columns import ReportColumn
from app.web.reports.definition import ReportDefinition, read
from app.web.reports.statements import CheckedReport
from app.web.transfer import export_requests, exports
from app.web.transfer.export_files import Row

#: The kind of these exports.
KIND = "report"


@dataclass(frozen=True, eq=False)
class ReportSource:
    """The contents of such a file: rows of records by id, or all groups at once."""

    checked: CheckedReport
    #: Of a report that lists rows.
    columns: list[ReportColumn]

    @property
    def heading(self) -> list[str]:
        """The labels of the columns."""
        if self.checked.groups:
            return files.heading(running.new_table(self.checked))
        return [column.label for column in self.columns]

    def whole(self) -> list[Row] | None:
        """The groups with their figures, and the totals."""
        if not self.checked.groups:
            return None
        with running.limit_time(db.session(), running.FILE_SECONDS):
            return files.all_rows(running.grouped(db.session(), self.checked))

    def ids(self) -> list[int]:
        """The rows in the order of the report."""
        with running.limit_time(db.session(), running.FILE_SECONDS):
            return row_reports.ids(db.session(), self.checked)

    def rows(self, ids: Sequence[int], viewer: Viewer) -> Iterable[Row]:
        """The cells of these rows."""
        return row_reports.of_ids(db.session(), self.checked, self.columns, ids)


def source(definition: ReportDefinition, viewer: Viewer) -> ReportSource:
    """The contents of a report's file, under the viewer's rights. Raises RuleBroken, NotFound, Denied."""
    checked = replace(running.check(definition, viewer, "export"), limit=definition.limit)
    return ReportSource(checked, [] if checked.groups else row_reports.columns_of(checked)[0])


def request_file(report: Report, format_: str, definition: ReportDefinition, viewer: Viewer) -> int:
    """Queue the file of a report. Returns the id of the export. Raises RuleBroken, NotFound, Denied."""
    payload = {"report": report.id, "label": report.label, "definition": definition.as_json(), "query": ""}
    payload["columns"] = _names(source(definition, viewer))
    return export_requests.queue_export(KIND, format_, payload, viewer)


def _payload_again(run: ExportRun, viewer: Viewer) -> dict[str, Any]:
    """The same request, with the columns that the viewer may have now. Raises RuleBroken, NotFound, Denied."""
    return run.payload | {"columns": _names(source(read(run.payload["definition"]), viewer))}


def _names(found: ReportSource) -> list[str]:
    """The columns of the file; fixed, so that a changed rule for one does not shift the others halfway."""
    return [group.column for group, _column in found.checked.groups] + [column.name for column in found.columns]


def _source_of(run: ExportRun, viewer: Viewer) -> ReportSource:
    found = source(read(run.payload["definition"]), viewer)
    if _names(found) != run.payload["columns"]:
        text = "What you may see of this report has changed while its file was written. Please download it again."
        raise RuleBroken(translatable(text))
    return found


def _is_allowed(run: ExportRun, viewer: Viewer) -> bool:
    screen, person = screen_of_kind(run.payload["definition"]["kind"]), viewer.person
    is_reader = person.may("Reports", "read")
    return is_reader and screen is not None and all(person.may(screen.module, verb) for verb in ("read", "export"))


def _title(run: ExportRun) -> str:
    return _("Report “%(name)s”", name=run.payload["label"])


def _about(run: ExportRun) -> str:
    return f"report of {run.payload['definition']['kind']}"


def _stem(run: ExportRun) -> str:
    return files.stem_of(run.payload["label"])


exports.KINDS[KIND] = exports.ExportKind(_source_of, _is_allowed, _title, _about, _stem, _payload_again)
