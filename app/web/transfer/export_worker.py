"""The worker of exports: some thousand rows at a time become a piece of the file, stored before it is counted.

Only one worker advances an export: the UPDATE that counts a piece compares the worker and the position. Pieces that a
killed worker has not counted are written again by the next one.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
import time
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from itertools import chain
from typing import Any

from flask import current_app
from sqlalchemy.orm import Session

from app import access
from app.domain.base import Gone, RuleBroken, translatable
from app.domain.files import export_and_import_runs
from app.domain.files.export_and_import_runs import ExportRun, TransferPart
from app.extensions import db
from app.models import User
from app.ops.queues import queue
from app.ops.storage.file_store import FileStore
from app.outbox.delivery_engine import SKIPPED
from app.web.core.viewer import Viewer
from app.web.transfer import export_all_request, exports, file_rights
from app.web.transfer.export_files import Row, csv_rows, sheet_rows, slices, write_workbook
from app.web.transfer.export_heartbeat import ExportStopped, Heartbeat
from app.web.transfer.exports import ExportSource
from app.web.transfer.run_as import acting_for

QUEUE = "long"
#: Rows of one piece, and bytes of a piece of the finished file.
PIECE, SLICE = 5000, 16_000_000
#: Seconds that one call works; then others have their turn.
MAX_SECONDS = 240.0
STORE_AWAY = translatable(
    "The storage of files could not be used for more than an hour. Please try again, or ask an admin."
)
BROKEN_OFF = translatable("Writing this file was interrupted several times. Please try again, or ask an admin.")

log = logging.getLogger("crm.exports")


def work(run_id: int) -> None:
    """Continue an export. The function's path is stored in queues."""
    ends, worker = time.monotonic() + MAX_SECONDS, secrets.token_hex(8)
    while time.monotonic() < ends:
        if not step(run_id, worker):
            return
    _leave(run_id, worker)
    queue.enqueue(QUEUE, work, run_id)


def step(run_id: int, worker: str) -> bool:
    """Write the next piece, or finish. Returns whether there is more to do for this worker."""
    with access.system_transaction() as session:
        run = export_and_import_runs.claim_export(session, run_id, worker, datetime.now(UTC))
    if run is None:
        return False
    if run.tries > export_and_import_runs.MAX_TRIES:
        _fail(run, BROKEN_OFF)
        return False
    try:
        if run.kind == "all":
            export_all_request.write_archive(run)
            return False
        if (archive := exports.kind_of(run).archive) is not None:
            archive(run)
            return False
        payload = run.payload
        with acting_for(run.created_by_id, f"/?{payload['query']}", scope=payload.get("scope", ())) as viewer:
            return _advance(run, exports.kind_of(run).source(run, viewer), viewer)
    except ExportStopped:
        log.info("the export %s was stopped", run.id)
        return False
    except RuleBroken as broken:
        _fail(run, broken.message)
        return False
    except OSError as error:  # includes StorageUnavailable
        _put_off(run, error)
        return False


def _advance(run: ExportRun, source: ExportSource, viewer: Viewer) -> bool:
    store: FileStore = current_app.extensions["crm_files"]
    file_rights.refuse_fewer(run.rights, viewer, file_rights.CHANGED_MEANWHILE)
    run.rights = file_rights.rights_of(viewer)  # as wide as any piece's
    if run.rows and run.rows == run.total:
        return _finish(run, source, viewer, store)
    if (whole := source.whole()) is not None:
        return _write_whole(run, source, whole, store) and _finish(run, source, viewer, store)
    if run.total is None:
        return _begin(run, source, store)
    ids = _ids(run, store)
    place = run.rows // PIECE
    part = ids[place * PIECE : (place + 1) * PIECE]
    if not len(part) and run.rows:
        return _finish(run, source, viewer, store)
    data = _piece(run, source, list(source.rows(part, viewer)), place)
    # The position in the list is counted: deleted rows leave a gap, never a repeated row.
    done = _count_piece(run, (place, data), run.rows + len(part), store)
    if done and run.rows + len(part) >= len(ids):
        run.rows += len(part)
        return _finish(run, source, viewer, store)
    return done


def _piece(run: ExportRun, source: ExportSource, rows: list[Row], place: int) -> bytes:
    if run.format == "csv":
        return csv_rows(rows, source.heading if place == 0 else None)
    return sheet_rows(rows, place * PIECE + 2)


def _write_whole(run: ExportRun, source: ExportSource, rows: list[Row], store: FileStore) -> bool:
    """Store all pieces, which are counted together; a killed worker's are rewritten."""
    made = []
    for place in range(max(1, -(-len(rows) // PIECE))):
        stored = store.put(_piece(run, source, rows[place * PIECE : (place + 1) * PIECE], place))
        made.append(TransferPart(export_id=run.id, role="rows", place=place, digest=stored.digest, size=stored.size))
    values = {"rows": len(rows), "total": len(rows)} | _further(run)
    with access.system_transaction() as session:
        if not export_and_import_runs.advance_export(session, run, values):
            return False
        export_and_import_runs.drop_parts(session, run.id, "rows")
        session.add_all(made)
    run.rows = run.total = len(rows)
    return True


def _begin(run: ExportRun, source: ExportSource, store: FileStore) -> bool:
    ids = source.ids()
    if len(ids) > exports.MAX_ROWS:
        raise RuleBroken("This list has more than 1,000,000 rows. Please filter it and export it in parts.")
    stored = store.put(array("i", ids).tobytes())
    with access.system_transaction() as session:
        if export_and_import_runs.advance_export(session, run, {"total": len(ids)} | _further(run)):
            session.add(TransferPart(export_id=run.id, role="ids", place=0, digest=stored.digest, size=stored.size))
            return True
    return False


def _ids(run: ExportRun, store: FileStore) -> array[int]:
    with access.system_transaction() as session:
        part = export_and_import_runs.parts_of(session, run.id, "ids")[0]
    ids = array("i")
    with store.open(part.digest) as file:
        ids.frombytes(file.read())
    return ids


def _count_piece(run: ExportRun, piece: tuple[int, bytes], rows: int, store: FileStore) -> bool:
    place, data = piece
    stored = store.put(data)
    with access.system_transaction() as session:
        if not export_and_import_runs.advance_export(session, run, {"rows": rows} | _further(run)):
            return False
        session.add(TransferPart(export_id=run.id, role="rows", place=place, digest=stored.digest, size=stored.size))
    return True


def _further(run: ExportRun) -> dict[str, Any]:
    """The columns for its progress, and its rights."""
    return {"seen_on": datetime.now(UTC), "rights": run.rights, "tries": 0, "next_try_on": None}


# --- the end


def _finish(run: ExportRun, source: ExportSource, viewer: Viewer, store: FileStore) -> bool:
    with access.system_transaction() as session:
        parts = export_and_import_runs.parts_of(session, run.id, "rows")
    if run.format == "xlsx":
        made = _workbook(run, source, (parts, store))
    else:
        made = [(part.digest, part.size) for part in parts]
    now = datetime.now(UTC)
    size = sum(bytes_ for _digest, bytes_ in made)
    values = {"outcome": "done", "size": size, "finished_on": now, "expires_on": now + export_and_import_runs.KEPT_FOR}
    with access.system_transaction() as session:
        if not export_and_import_runs.advance_export(session, run, values):
            return False
        export_and_import_runs.drop_parts(session, run.id, "ids", "rows")
        for place, (digest, bytes_) in enumerate(made):
            session.add(TransferPart(export_id=run.id, role="file", place=place, digest=digest, size=bytes_))
        exports.notify(session, run, {"rows": run.rows}, now)
        exports.audit_export(session, run, now)
    return False


def _workbook(
    run: ExportRun, want: ExportSource, source: tuple[list[TransferPart], FileStore]
) -> list[tuple[str, int]]:
    """(digest, size) of the pieces of the finished file."""
    parts, store = source
    heading, heartbeat = want.heading, Heartbeat(run)
    db.session.rollback()  # everything was read, and MariaDB ends idle transactions
    with tempfile.TemporaryFile(dir=current_app.config["CRM"].instance_dir) as file:
        write_workbook(file, heading, (content(store, part) for part in heartbeat.over(parts)))
        found = [store.put(BytesIO(piece)) for piece in heartbeat.over(slices(file, SLICE))]
    return [(each.digest, each.size) for each in found]


def content(store: FileStore, part: TransferPart) -> bytes:
    """A piece of a file. Raises FileNotFoundError, StorageUnavailable."""
    with store.open(part.digest) as file:
        return file.read()


def stream(run_id: int) -> Iterator[bytes]:
    """The finished file, piece by piece; the first one is read at once, so that unavailable storage is reported.

    The others are read after the request. Raises Gone, StorageUnavailable.
    """
    store: FileStore = current_app.extensions["crm_files"]
    with access.system_transaction() as session:
        parts = export_and_import_runs.parts_of(session, run_id, "file")
    try:
        first = [content(store, part) for part in parts[:1]]
    except FileNotFoundError as missing:
        raise Gone("This file has expired. Please export the list again.") from missing
    return chain(first, (content(store, part) for part in parts[1:]))


def _fail(run: ExportRun, why: str) -> None:
    log.warning("export %s ended: %s", run.id, getattr(why, "msgid", why))
    now = datetime.now(UTC)
    with access.system_transaction() as session:
        text = str(why)[:300]
        if export_and_import_runs.advance_export(
            session, run, {"outcome": "failed", "error": text, "finished_on": now}
        ):
            export_and_import_runs.drop_parts(session, run.id, "ids", "rows")
            if session.get(User, run.created_by_id) is not None:
                exports.notify(session, run, {"error": text}, now)


def _put_off(run: ExportRun, error: OSError) -> None:
    """Retry later, because file storage was unavailable, or give up after the last attempt."""
    log.warning("export %s waits for the storage of files (%s)", run.id, type(error).__name__)
    with access.system_transaction() as session:
        is_put_off = export_and_import_runs.postpone_export(session, run, datetime.now(UTC))
    if not is_put_off:
        _fail(run, STORE_AWAY)


def _leave(run_id: int, worker: str) -> None:
    """Let any worker continue at once."""
    with access.system_transaction() as session:
        run = export_and_import_runs.claim_export(session, run_id, worker, datetime.now(UTC))
        if run is not None:
            export_and_import_runs.advance_export(session, run, {"worker": None})


# --- each minute


def find_due(session: Session, now: datetime, limit: int) -> list[int]:
    """Exports without a worker whose next attempt is due."""
    return export_and_import_runs.stalled_exports(session, now, limit)


def enqueue(run_id: int) -> str:
    """Have a worker continue soon."""
    return "queued" if queue.enqueue(QUEUE, work, run_id) else SKIPPED
