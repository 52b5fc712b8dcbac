"""Exports over REST: a short list is returned at once, a long one is written in the background."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response, current_app
from flask_appbuilder import expose
from flask_appbuilder.api import BaseApi, protect
from flask_appbuilder.security.decorators import permission_name
from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.base import RuleBroken
from app.domain.files.export_and_import_runs import EXPORT_STATES, FORMATS, ExportRun
from app.domain.people.permissions import VERBS
from app.extensions import db
from app.ops.database.connections import WRITES
from app.web.api.list_parameters import read_parameters
from app.web.api.operations import DocumentedOperations, OperationSpec
from app.web.api.resource import request_json
from app.web.api.schemas import ID, STRING, shape
from app.web.core.fab_access import JsonErrorResponses, current_viewer, json_answer, refuse_as_json
from app.web.core.viewer import Viewer
from app.web.transfer import export_requests, exports

#: Characters of the filters.
MAX_QUERY = 4000
_BODY = shape(
    {
        "kind": {**STRING, "description": "The records, by the name of their resource: lead, customer, ticket …"},
        "format": {"type": "string", "enum": list(FORMATS)},
        "query": {**STRING, "description": "Filters, search and order as in the address of the list's page."},
        "columns": {"type": "array", "items": STRING, "description": "Those of the list by default."},
    },
    "kind",
    "format",
)
#: The state of an export.
STATE = shape(
    {
        "id": ID,
        "state": {"type": "string", "enum": list(EXPORT_STATES)},
        "rows": ID,
        "total": {"type": "integer", "nullable": True},
        "size": ID,
        "error": {**STRING, "nullable": True},
        "expires_on": {"type": "string", "format": "date-time", "nullable": True},
    },
    "id",
    "state",
)
_LIST = shape({"ids": {"type": "array", "items": ID}, "result": {"type": "array", "items": STATE}}, "ids", "result")
#: The documented type of any file.
MIME_TYPE = "application/octet-stream"
BINARY = {"type": "string", "format": "binary"}


def as_file(response: Response) -> Response:
    """The response with one type for all kinds of files, as the API documents it; the file name shows which it is."""
    response.headers["Content-Type"] = MIME_TYPE
    return response


class ExportResource(JsonErrorResponses, DocumentedOperations, BaseApi):
    """/api/v1/export/: for readers of the dashboard; the module's own export permission decides."""

    resource_name = "export"
    class_permission_name = "Dashboard"
    method_permission_name = dict.fromkeys(("post", "listed", "get", "file", "cancel"), "read")
    base_permissions = ["can_" + verb for verb in VERBS]
    allow_browser_login = True
    csrf_exempt = False
    is_documented = True
    documentation = {
        "post": OperationSpec(
            "Export a list: up to 1,000 rows are the answer (200, the file), longer ones are written in the background "
            "(202)",
            (404, 413, 422),
            (),
            _BODY,
            BINARY,
            good=(200, 202),
            mime_type=MIME_TYPE,
            accepted=STATE,
        ),
        "listed": OperationSpec("One's own exports, the newest 50 first", answer=_LIST),
        "get": OperationSpec("How far an export is", (404,), ("pk",), answer=STATE),
        "file": OperationSpec("The file of a finished export", (404, 422), ("pk",), answer=BINARY, mime_type=MIME_TYPE),
        "cancel": OperationSpec("Stop an export that is being written", (404,), ("pk",), answer=STATE),
    }

    @expose("/", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("post")
    def post(self) -> Response:
        """Export a list."""
        raw, viewer = request_json(), current_viewer()
        unknown = sorted(set(raw) - {"kind", "format", "query", "columns"})
        if unknown:
            raise RuleBroken(_("There is no field “%(name)s” here.", name=unknown[0][:60]), unknown[0][:60])
        kind: Any = raw.get("kind")
        query, columns = raw.get("query") or "", raw.get("columns") or []
        is_right = isinstance(kind, str) and isinstance(query, str) and isinstance(columns, list)
        if not is_right or len(query) > MAX_QUERY or not all(isinstance(each, str) for each in columns):
            text = _("“kind” and “query” must be text, and “columns” a list of names.")
            raise RuleBroken(text, "kind")
        screen = exports.screen_for(kind, viewer)
        with _list_of(query):
            want = exports.parse_request(screen, columns, str(raw.get("format", "")), viewer)
            if exports.count(want) <= exports.AT_ONCE:
                return as_file(export_requests.export_response(kind, want, viewer))
            key = export_requests.start_export(kind, want, viewer)
        return json_answer(202, state_of(export_requests.own_export(key, viewer)))

    @expose("/", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("get")
    def listed(self) -> Response:
        """The person's own exports, the newest 50 first."""
        read_parameters(frozenset())
        mine = (ExportRun.created_by_id == current_viewer().person.id, ExportRun.kind.not_in(exports.elsewhere()))
        rows = db.session.scalars(select(ExportRun).where(*mine).order_by(ExportRun.id.desc()).limit(50)).all()
        return json_answer(200, {"ids": [row.id for row in rows], "result": [state_of(row) for row in rows]})

    @expose("/<int:pk>", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("get")
    def get(self, pk: int) -> Response:
        """The state of the person's own export."""
        read_parameters(frozenset())
        return json_answer(200, state_of(export_requests.own_export(pk, current_viewer())))

    @expose("/<int:pk>/file", methods=["GET"])
    @protect()
    @refuse_as_json
    @permission_name("file")
    def file(self, pk: int) -> Response:
        """Download the file."""
        read_parameters(frozenset())
        viewer: Viewer = current_viewer()
        return as_file(export_requests.download(pk, viewer))

    @expose("/<int:pk>/cancel", methods=["POST"])
    @protect()
    @refuse_as_json
    @permission_name("cancel")
    def cancel(self, pk: int) -> Response:
        """Cancel one's own export; a finished one stays unchanged."""
        read_parameters(frozenset())
        viewer = current_viewer()
        export_requests.stop(export_requests.own_export(pk, viewer), viewer)
        db.session.expire_all()
        return json_answer(200, state_of(export_requests.own_export(pk, viewer)))


@contextmanager
def _list_of(query: str) -> Iterator[None]:
    """Inside, the request is for the page of the list with these arguments."""
    writes = WRITES.get()
    with current_app.test_request_context(f"/?{query}"):
        yield
    WRITES.set(writes)


def state_of(run: ExportRun) -> dict[str, Any]:
    """The state of an export, as STATE."""
    return {
        "id": run.id,
        "state": run.outcome,
        "rows": run.rows,
        "total": run.total,
        "size": run.size,
        "error": run.error,
        "expires_on": run.expires_on.isoformat() if run.expires_on else None,
    }
