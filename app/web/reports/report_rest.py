"""Reports over REST: those that the person sees, and their results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from flask import Response
from flask_appbuilder import expose
from flask_appbuilder.api import BaseApi, protect
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.domain.people.permissions import VERBS
from app.domain.report_schedules import FORMATS
from app.domain.reports import AUDIENCES, Report
from app.extensions import db
from app.ops.database.connections import WRITES
from app.web.api.list_parameters import read_parameters
from app.web.api.operations import DocumentedOperations, OperationSpec
from app.web.api.resource import request_json
from app.web.api.schemas import ID, STRING, shape
from app.web.core.fab_access import REFUSABLE, JsonErrorResponses, current_viewer, json_answer, refuse_as_json
from app.web.core.viewer import Viewer
from app.web.reports import long_files, running
from app.web.reports.available_columns import available_columns
from app.web.reports.pages import definition_of, listed_reports, report_file, visible_report
from app.web.reports.table import ReportTable
from app.web.transfer.export_cells import Cell
from app.web.transfer.export_requests import own_export
from app.web.transfer.export_rest import BINARY, MIME_TYPE, STATE, as_file, state_of

#: Replaces a value that the person may not see.
HIDDEN = "······"
_CELL = {"description": "Text, number, ISO date or moment on the person's clock; null = none.", "nullable": True}
_ROW = {"type": "array", "items": _CELL}
_REPORT = shape(
    {
        "id": ID,
        "name": STRING,
        "kind": {**STRING, "description": "The records, by the name of their resource; or call_summary."},
        "audience": {"type": "string", "enum": list(AUDIENCES)},
        "is_own": {"type": "boolean"},
        "definition": {"type": "object", "additionalProperties": True},
    },
    "id",
    "name",
    "kind",
)
_LIST = shape({"ids": {"type": "array", "items": ID}, "result": {"type": "array", "items": _REPORT}}, "ids", "result")
_RESULT = shape(
    {
        "name": STRING,
        "about": {**STRING, "description": "Period and conditions, in words."},
        "columns": {"type": "array", "items": STRING},
        "rows": {"type": "array", "items": _ROW},
        "totals": {**_ROW, "nullable": True},
        "summary": {"type": "object", "additionalProperties": STRING},
        "count": {**ID, "description": "Records that the report is about."},
        "notes": {"type": "array", "items": STRING, "description": "What is left out, and why."},
    },
    "columns",
    "rows",
)


_EXPORT = shape({"format": {"type": "string", "enum": list(FORMATS)}}, "format")


class ReportResource(JsonErrorResponses, DocumentedOperations, BaseApi):
    """/api/v1/report/"""

    resource_name = "report"
    class_permission_name = "Reports"
    method_permission_name = dict.fromkeys(("listed", "get", "run", "export"), "read")
    base_permissions = ["can_" + verb for verb in VERBS]
    allow_browser_login = True
    csrf_exempt = False
    is_documented = True
    documentation = {
        "listed": OperationSpec("The reports that the person sees: own ones and shared ones", answer=_LIST),
        "get": OperationSpec("A report: what it asks for", (404,), ("pk",), answer=_REPORT),
        "run": OperationSpec(
            "What a report finds now, under the rights of who asks", (400, 404), ("pk",), answer=_RESULT
        ),
        "export": OperationSpec(
            "A report as a file: up to 10,000 rows are the answer (200), longer ones are written in the background "
            "(202), to be watched and fetched as an export",
            (404, 413, 422),
            ("pk",),
            _EXPORT,
            BINARY,
            good=(200, 202),
            mime_type=MIME_TYPE,
            accepted=STATE,
        ),
    }

    @expose("/", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("listed")
    def listed(self) -> Response:
        """The reports that the person sees."""
        read_parameters(frozenset())
        viewer = current_viewer()
        rows = listed_reports(viewer)
        shown = [_shown(row, viewer) for row in rows]
        return json_answer(200, {"ids": [row.id for row in rows], "result": shown})

    @expose("/<int:pk>", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("get")
    def get(self, pk: int) -> Response:
        """One report."""
        read_parameters(frozenset())
        return json_answer(200, _shown(visible_report(pk), current_viewer()))

    @expose("/<int:pk>/run", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("run")
    def run(self, pk: int) -> Response:
        """Run the report: columns, rows and totals."""
        read_parameters(frozenset())
        viewer, report = current_viewer(), visible_report(pk)
        table = running.run(db.session(), definition_of(report), viewer)
        return json_answer(200, {"name": report.label} | as_json(table))

    @expose("/<int:pk>/export", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("export")
    def export(self, pk: int) -> Response:
        """Export the report as a file, at once or in the background."""
        format_ = _format_sent()
        db.session.rollback()
        WRITES.set(False)  # it reads for a while: on SQLite nobody else has to wait
        viewer, report = current_viewer(), visible_report(pk)
        definition = definition_of(report)
        if format_ != "pdf" and running.is_long(db.session(), definition, viewer):
            key = long_files.request_file(report, format_, definition, viewer)
            return json_answer(202, state_of(own_export(key, viewer)))
        return as_file(report_file(report, format_, viewer))


def _format_sent() -> str:
    """The format in the request body. Raises RuleBroken."""
    raw = request_json()
    for name in raw:
        if name != "format":
            raise RuleBroken(_("There is no field “%(name)s” here.", name=name[:60]), name[:60])
    if raw.get("format") not in FORMATS:
        raise RuleBroken(_("Please choose CSV, XLSX or PDF."), "format")
    return str(raw["format"])


def as_json(table: ReportTable) -> dict[str, Any]:
    """The results of a report in REST's format."""
    return {
        "about": table.about,
        "columns": table.heading,
        "rows": [[_cell(each) for each in row] for row in table.rows],
        "totals": [_cell(each) for each in table.totals] if table.totals else None,
        "summary": dict(table.summary),
        "count": table.count,
        "notes": table.notes,
    }


def _cell(value: Cell) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _shown(row: Report, viewer: Viewer) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.label,
        "kind": row.kind,
        "audience": row.audience,
        "is_own": row.owner_id == viewer.person.id,
        "definition": _definition(row, viewer),
    }


def _definition(row: Report, viewer: Viewer) -> dict[str, Any]:
    """The definition, without values of columns that are hidden from the person."""
    if row.owner_id == viewer.person.id or not row.definition.get("where"):
        return row.definition
    try:
        hidden, where = available_columns(row.kind, viewer).hidden, definition_of(row).where
        return row.definition | {"where": _without_values(where, hidden)}
    except REFUSABLE:  # records that they may not read, or a report of another version
        return row.definition | {"where": None}


def _without_values(part: Any, hidden: Mapping[str, str]) -> Any:
    if not isinstance(part, list) or not part:
        return part
    if isinstance(part[0], str) and part[0] in hidden:
        return [*part[:2], *[HIDDEN] * len(part[2:])]
    return [part[0], *[_without_values(each, hidden) for each in part[1:]]]
