"""Everything as one ZIP file, requested by an admin on the page; see `export_all` for its contents."""

from __future__ import annotations

import logging
import tempfile
import zipfile
from datetime import UTC, datetime
from io import BytesIO

from flask import current_app
from sqlalchemy.orm import Session

from app import access
from app.domain.audit_log import audit
from app.domain.base import Stamp, translatable
from app.domain.files import export_and_import_runs
from app.domain.files.export_and_import_runs import ExportRun, NewExport, TransferPart
from app.extensions import db
from app.ops.storage.file_store import FileStore
from app.web.core.viewer import Viewer
from app.web.transfer import export_all, exports
from app.web.transfer.export_files import slices
from app.web.transfer.export_heartbeat import ExportStopped, Heartbeat
from app.web.transfer.run_as import acting_for

#: Bytes of a piece of the archive.
SLICE = 16_000_000

log = logging.getLogger("crm.exports")


def refuse_others(viewer: Viewer) -> None:
    """Raise Denied except for an admin in their own name: no limited API key, no view as another user."""
    person = viewer.person
    if not person.is_admin or person.read_only or person.scope is not None:
        raise access.Denied(translatable("Only an admin can export everything."))


def request_export(session: Session, stamp: Stamp) -> int:
    """Add an export of everything. Returns its id."""
    audit.write(session, "export", stamp.by, stamp.now, "everything", what="asked for")
    return export_and_import_runs.new_export(session, NewExport("all", "zip", {"columns": [], "query": ""}), stamp).id


def write_archive(run: ExportRun) -> None:
    """Write the archive, from its beginning: pieces of a killed worker are deleted with it.

    Raises Denied if whoever requested it is no longer an admin, or can't sign in.
    """
    with acting_for(run.created_by_id, "/exports/") as viewer:
        refuse_others(viewer)
    store: FileStore = current_app.extensions["crm_files"]
    heartbeat = Heartbeat(run)
    try:
        with tempfile.TemporaryFile(dir=current_app.config["CRM"].instance_dir) as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
                manifest = _write(archive, heartbeat)
            made = [store.put(BytesIO(piece)) for piece in heartbeat.over(slices(file, SLICE))]
    except ExportStopped:
        log.info("the export %s of everything was stopped", run.id)
        return
    now = datetime.now(UTC)
    values = {"outcome": "done", "size": sum(each.size for each in made), "rows": manifest.rows, "finished_on": now}
    values |= {"expires_on": now + export_and_import_runs.KEPT_FOR, "total": manifest.rows}
    with access.system_transaction() as session:
        if not export_and_import_runs.advance_export(session, run, values):
            return
        for place, each in enumerate(made):
            session.add(TransferPart(export_id=run.id, role="file", place=place, digest=each.digest, size=each.size))
        audit.write(session, "export", run.created_by_id, now, "everything", rows=manifest.rows, files=manifest.files)
        exports.notify(session, run, {"rows": manifest.rows}, now)


def _write(archive: zipfile.ZipFile, heartbeat: Heartbeat) -> export_all.Manifest:
    with Session(db.engine) as session, access.as_system(session):
        return export_all.write(session, export_all.ZipTarget(archive), heartbeat.beat)
