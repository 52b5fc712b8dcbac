"""What a person does with their exports, on pages, over REST and from reports: start, repeat, stop, download."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from flask import Response
from flask_babel import gettext as _
from sqlalchemy import update

from app import access
from app.domain.base import Gone, NotFound, RuleBroken
from app.domain.files import export_and_import_runs
from app.domain.files.export_and_import_runs import OPEN_EXPORTS, ExportRun, NewExport
from app.extensions import db
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.transfer import export_all_request, export_worker, exports, file_rights
from app.web.transfer.export_files import MIME, csv_rows, sheet_rows, write_workbook
from app.web.transfer.exports import ExportQuery


def start_export(kind: str, export_query: ExportQuery, viewer: Viewer) -> int:
    """Queue the export. Returns its id."""
    return queue_export(
        kind, export_query.format, {"columns": list(export_query.names), "query": exports.query_string()}, viewer
    )


def queue_export(kind: str, format_: str, payload: dict[str, Any], viewer: Viewer) -> int:
    """Add an export of this kind and queue it; `payload` has columns and query. Returns its id."""
    payload = payload | {"scope": sorted(viewer.person.scope or ())}
    with request_transaction() as session:
        key = export_and_import_runs.new_export(session, NewExport(kind, format_, payload), viewer.stamp).id
    export_worker.enqueue(key)
    return key


def make_again(run: ExportRun, viewer: Viewer) -> int:
    """Repeat the export, with the current rights. Returns its id. Raises RuleBroken, NotFound, Denied."""
    refuse_unallowed(run, viewer)
    if run.kind == "all":
        return start_full_export(viewer)
    return queue_export(run.kind, run.format, exports.kind_of(run).payload(run, viewer), viewer)


def start_full_export(viewer: Viewer) -> int:
    """Queue an export of everything for an admin. Returns its id. Raises RuleBroken, Denied."""
    export_all_request.refuse_others(viewer)
    with request_transaction() as session:
        key = export_all_request.request_export(session, viewer.stamp)
    export_worker.enqueue(key)
    return key


def own_export(key: int, viewer: Viewer) -> ExportRun:
    """The person's own export. Raises NotFound, also for an admin: the file shows what another person sees."""
    row: ExportRun | None = access.get_visible(db.session(), ExportRun, key)
    if row is None or row.created_by_id != viewer.person.id or exports.kind_of(row).has_own_page:
        raise NotFound(_("There is no such export of yours."))
    return row


def stop(run: ExportRun, viewer: Viewer) -> None:
    """Cancel an export in progress; does nothing to a finished one."""
    with request_transaction() as session:
        mine = (ExportRun.id == run.id, ExportRun.outcome.in_(OPEN_EXPORTS))
        step = update(ExportRun).where(*mine).values(outcome="cancelled", finished_on=viewer.now)
        done: Any = session.execute(step, execution_options={"synchronize_session": False})
        if done.rowcount:
            export_and_import_runs.drop_parts(session, run.id, "ids", "rows")


def refuse_unallowed(run: ExportRun, viewer: Viewer) -> None:
    """Raise Denied if the person may no longer export this at all."""
    if run.kind == "all":
        export_all_request.refuse_others(viewer)
    elif not exports.kind_of(run).is_allowed(run, viewer):
        raise access.Denied(_("Your role doesn't allow this export any more."))


def download(key: int, viewer: Viewer) -> Response:
    """The file of a finished export. Raises NotFound, Gone, Denied, RuleBroken, StorageUnavailable."""
    run = own_export(key, viewer)
    refuse_unallowed(run, viewer)
    if run.outcome == "expired" or (run.expires_on is not None and run.expires_on <= viewer.now):
        raise Gone(_("This file has expired. Please export the list again."))
    if run.outcome != "done":
        raise RuleBroken(_("This export isn't finished yet."))
    file_rights.refuse_fewer(run.rights, viewer)
    pieces = export_worker.stream(run.id)
    with request_transaction() as session:
        exports.note_download(session, run, viewer)
    mime = MIME.get(run.format, "application/zip")
    headers = file_headers(exports.kind_of(run).stem(run), run.format, viewer) | {"Content-Length": str(run.size)}
    return Response(pieces, 200, headers, content_type=mime)


def export_response(kind: str, export_query: ExportQuery, viewer: Viewer, **more: int) -> Response:
    """A short export as the response to this request; `more` is noted in the audit."""
    rows = list(export_query.rows(export_query.ids()[: exports.AT_ONCE], viewer))
    is_csv = export_query.format == "csv"
    data = csv_rows(rows, export_query.heading) if is_csv else workbook(export_query, sheet_rows(rows, 2))
    query = exports.query_string()
    exports.write_audit(
        viewer, kind, len(rows), format=export_query.format, query=query, columns=list(export_query.names), **more
    )
    db.session.commit()
    return Response(data, 200, file_headers(kind, export_query.format, viewer), content_type=MIME[export_query.format])


def workbook(export_query: ExportQuery, piece: bytes) -> bytes:
    """A small export as an XLSX workbook."""
    target = BytesIO()
    write_workbook(target, export_query.heading, [piece])
    return target.getvalue()


def file_headers(stem: str, format_: str, viewer: Viewer) -> dict[str, str]:
    """The headers of a download: with a name, never executed or stored by a browser."""
    name = f"{stem}-{viewer.now.astimezone(viewer.zone):%Y-%m-%d}.{format_}"
    return {
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
