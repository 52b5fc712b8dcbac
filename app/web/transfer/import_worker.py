"""The worker of imports: some rows per transaction, which also counts them, so that an interrupted one continues.

The transaction locks the row of the import, so workers take turns. A row of the file is unique in `import_row`, so none
is imported twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, BinaryIO

from flask import current_app
from sqlalchemy import delete, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from app import access
from app.domain.audit_log import audit
from app.domain.base import RuleBroken, translatable
from app.domain.files import export_and_import_runs, spreadsheet_files
from app.domain.files.export_and_import_runs import OPEN_IMPORTS, ImportRow, ImportRun
from app.domain.files.spreadsheet_files import Dialect
from app.domain.notifications import notices
from app.domain.notifications.notice_batches import NoticeBatch
from app.domain.persistence import bulk_statements
from app.domain.persistence.session_context import session_context
from app.domain.persistence.transaction_state import transaction_state
from app.extensions import db
from app.ops.database.database_errors import Cause, cause_of, summary_of
from app.ops.queues import queue
from app.ops.storage.file_store import FileStore
from app.outbox.delivery_engine import SKIPPED
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.transfer import import_kinds, import_notices, import_resume, import_rows, import_undo
from app.web.transfer.import_options import ImportOptions
from app.web.transfer.import_plan import ImportPlan, refuse_unallowed
from app.web.transfer.import_rows import Line, RowChunk, Seen
from app.web.transfer.predecessor import worker as moves
from app.web.transfer.predecessor.source_rows import PredecessorSource
from app.web.transfer.run_as import acting_for

QUEUE = "long"
#: Rows per transaction; users one by one, so that a manager in the same file is known.
CHUNK, USERS_CHUNK = 200, 1
#: Seconds that one call works; then others have their turn.
MAX_SECONDS = 240.0
#: How long a worker that starts waits for a sign of life of an open import, and how many it takes up.
SIGN_OF_LIFE_SECONDS, MOST_LOST = 5.0, 100
#: Attempts of a transaction that collides with another.
TRIES = 5

#: Notices of single records that are left out: assignees are notified once.
_TOLD_ONCE = ("assigned", "unassigned", "status", "task_assigned")

STORAGE_AWAY = translatable(
    "The storage of files could not be used for more than an hour. What was imported before stays. Please try again, "
    "or ask an admin."
)
BROKEN_OFF = translatable(
    "This was interrupted several times. What was imported before stays. Please try again, or ask an admin."
)

log = logging.getLogger("crm.imports")


class ImportSource:
    """The file of an import, read on from its position."""

    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
        self.position = -1
        self.seen: Seen = {}
        #: For an import from the predecessor.
        self.move = PredecessorSource()
        #: Whether a command works on it: only that has access to the folder.
        self.is_command = False
        self._file: BinaryIO | None = None
        self._rows: Iterator[list[str]] = iter(())

    def take(self, count: int) -> list[Line]:
        """The next rows, with their numbers; fewer at the end. Raises RuleBroken."""
        return list(self._numbered(count))

    def _numbered(self, count: int) -> Iterator[Line]:
        for row in islice(self._rows, count):
            self.position += 1
            yield self.position, row

    def ready(self, run: ImportRun) -> None:
        """Find the position of the run in its file before a transaction begins. Raises RuleBroken."""
        if run.kind == moves.KIND:
            if self.is_command or not run.payload.get("folder"):
                self.move.ready(run, moves.CHUNK)
        elif run.outcome != "reverting" and self.position != run.position:
            self._open(run)

    def _open(self, run: ImportRun) -> None:
        self.close()
        if run.digest is None:
            raise RuleBroken("The file of this import was deleted. Please upload it again.")
        store: FileStore = current_app.extensions["crm_files"]
        try:
            self._file = store.open(run.digest)
        except FileNotFoundError as error:
            raise RuleBroken("The file of this import is missing. Please upload it again.") from error
        self.seen, self.position = {}, 0
        options = ImportOptions.from_json(run.payload["options"])
        is_matched = options.duplicates != "create" and options.keys
        skipped = 0 if is_matched else run.position
        self._rows = spreadsheet_files.rows(self._file, Dialect(**run.payload["dialect"]), skipped)
        if is_matched:
            self.seen = import_resume.seen_so_far(db.session(), run, self._numbered(run.position))
        self.position = run.position

    def close(self) -> None:
        """Close the file."""
        self.move.close()
        if self._file is not None:
            self._file.close()
            self._file = None


def work(run_id: int) -> None:
    """Continue an import, its dry run, or its revert. The function's path is stored in queues."""
    _work(run_id, None)


def _work(run_id: int, silent_since: datetime | None) -> None:
    with access.system_transaction() as session:
        tries = export_and_import_runs.take_up_import(session, run_id, datetime.now(UTC), silent_since)
    if tries is None:
        return
    if tries > export_and_import_runs.MAX_TRIES:
        _fail(run_id, BROKEN_OFF, is_over=True)
        return
    source, ends = ImportSource(run_id), time.monotonic() + MAX_SECONDS
    try:
        while time.monotonic() < ends:
            if not step(run_id, source):
                return
    finally:
        source.close()
    queue.enqueue(QUEUE, work, run_id)


def step(run_id: int, source: ImportSource) -> bool:
    """Run one transaction. Returns whether there is more to do."""
    for tried in range(TRIES):
        try:
            return _step(run_id, source)
        except RuleBroken as broken:
            _fail(run_id, str(broken.message))
            return False
        except OSError as error:  # includes StorageUnavailable
            _put_off(run_id, error)
            return False
        except OperationalError as error:
            if cause_of(error) not in (Cause.COLLIDED, Cause.LOCKED) or tried == TRIES - 1:
                raise
            log.info("import %s collided, and is tried again", run_id)
            source.position = -1
            time.sleep(queue.add_jitter(0.2 * (tried + 1)))
    return False


def _step(run_id: int, source: ImportSource) -> bool:
    with db.session.no_autoflush, access.as_system(db.session()):
        author = db.session.execute(
            select(ImportRun.created_by_id).where(ImportRun.id == run_id, ImportRun.outcome.in_(OPEN_IMPORTS))
        ).scalar()
        db.session.rollback()
    if author is None:
        return False
    with acting_for(author, "/imports/", writes=True) as viewer:
        session = db.session()
        mine = select(ImportRun).where(ImportRun.id == run_id, ImportRun.outcome.in_(OPEN_IMPORTS))
        try:
            _read_ahead(session, mine, source)
            with access.as_system(session):
                run = session.scalars(mine.with_for_update(skip_locked=True)).first()
            return run is not None and _work_on(session, run, source, viewer)
        except RuleBroken as broken:
            raise RuleBroken(translate_text(broken.message)) from broken  # here it is still the person's language


def _read_ahead(session: Session, mine: Any, source: ImportSource) -> None:
    """Read ahead in the file while nothing is locked: the row of the import, and on SQLite the whole database."""
    with access.as_system(session):
        run = session.scalars(mine).first()
    if run is not None:
        session.expunge(run)
    session.rollback()
    if run is not None:
        source.ready(run)


def _work_on(session: Session, run: ImportRun, source: ImportSource, viewer: Viewer) -> bool:
    if run.kind == moves.KIND:
        return _move_some(session, run, source, viewer)
    if run.outcome == "reverting":
        import_kinds.kinds()[run.kind].refuse_others(viewer)
        return import_undo.step(session, run, viewer)
    return _import_some(session, run, source, viewer)


def _import_some(session: Session, run: ImportRun, source: ImportSource, viewer: Viewer) -> bool:
    plan, is_trial = ImportPlan.of(run), run.outcome == "checking"
    refuse_unallowed(plan.options, plan.kind, viewer)
    if source.position != run.position:
        return True  # another worker has continued meanwhile: the position is found again, without the lock
    lines = source.take(USERS_CHUNK if run.kind == "user" else CHUNK)
    chunk = RowChunk(plan, lines, source.seen, is_trial)
    context, batch = session_context(session), NoticeBatch()
    context.notice_batch = batch  # assignees are notified once, at the end
    try:
        outcomes = import_rows.run(session, chunk, viewer) if lines else []
        at = viewer.now
        if is_trial:
            session.rollback()
            return _count_trial(session, run.id, (lines, outcomes, at), source)
        context.notice_batch = None
        _count(session, run, (lines, outcomes, at), plan)
        with access.as_system(session):
            notices.notify_many(session, [each for each in batch.merged() if each.kind not in _TOLD_ONCE], at)
            if not lines:
                import_notices.notify_done(session, run, at)
                if plan.options.notifies:
                    import_notices.notify_assignees(session, run, plan.kind, at)
        session.commit()
    finally:
        context.notice_batch = None
    return bool(lines)


def _move_some(session: Session, run: ImportRun, source: ImportSource, viewer: Viewer) -> bool:
    """Some rows of a move; one of a folder is left to its command."""
    if run.payload.get("folder") and not source.is_command:
        return False
    import_kinds.kinds()[run.kind].refuse_others(viewer)
    return moves.step(session, run, source.move, viewer)


Counted = tuple[list[Line], list[import_rows.RowOutcome], datetime]


def _count(session: Session, run: ImportRun, counted: Counted, plan: ImportPlan) -> None:
    """Store the results of the rows, in their transaction."""
    lines, outcomes, at = counted
    with access.as_system(session):
        bulk_statements.insert_rows(session, ImportRow, import_rows.row_values(run.id, outcomes, at, is_trial=False))
        for name in ("created", "updated", "skipped", "wrong"):
            setattr(run, name, getattr(run, name) + sum(each.result == name for each in outcomes))
        run.position += len(lines)
        run.come_further(datetime.now(UTC))
        if not lines:
            run.outcome, run.finished_on = "done", at
            audit.write(session, "import", run.created_by_id, at, f"{run.kind} {run.id}", **import_notices.figures(run))
        session.flush()
    gathered = transaction_state(session)
    gathered.changed_timelines, gathered.notified = set(), []
    if not plan.options.calls_webhooks:
        gathered.change_events.clear()


def _count_trial(session: Session, run_id: int, counted: Counted, source: ImportSource) -> bool:
    """Store the results of the dry run, whose changes are rolled back."""
    lines, outcomes, at = counted
    with access.as_system(session):
        run = session.get(ImportRun, run_id, with_for_update=True)
        is_mine = run is not None and run.outcome == "checking" and run.position + len(lines) == source.position
        if run is None or not is_mine:
            session.rollback()
            return False
        check = dict(run.payload.get("check") or {})
        for name in ("created", "updated", "skipped", "wrong"):
            check[name] = check.get(name, 0) + sum(each.result == name for each in outcomes)
        bulk_statements.insert_rows(session, ImportRow, import_rows.row_values(run_id, outcomes, at, is_trial=True))
        run.payload = {**run.payload, "check": check}
        run.position += len(lines)
        run.come_further(datetime.now(UTC))
        if not lines:
            run.outcome, run.total, run.position, run.seen_on = "checked", run.position, 0, None
        session.commit()
    return bool(lines)


# --- the end


def _fail(run_id: int, why: str, is_over: bool = False) -> None:
    """End it. After a dry run, which leaves nothing behind, the mapping can be corrected; then not `is_over`."""
    log.warning("import %s stopped", run_id)
    now = datetime.now(UTC)
    with access.system_transaction() as session:
        run = session.get(ImportRun, run_id, with_for_update=True)
        if run is None or run.outcome not in OPEN_IMPORTS:
            return
        has_mapping = run.outcome == "checking" and run.kind != moves.KIND
        run.payload = {**run.payload, "stopped": run.outcome}
        run.outcome = "mapping" if has_mapping and not is_over else "failed"
        run.error = str(why)[:300]
        run.finished_on = run.changed_on = now
        import_notices.notify_failed(session, run, now)


def _put_off(run_id: int, error: OSError) -> None:
    """Retry later, because file storage was unavailable, or give up after the last attempt."""
    log.warning("import %s waits for the storage of files (%s)", run_id, type(error).__name__)
    with access.system_transaction() as session:
        run = session.get(ImportRun, run_id, with_for_update=True)
        is_put_off = run is None or export_and_import_runs.put_off_import(run, datetime.now(UTC))
    if not is_put_off:
        _fail(run_id, STORAGE_AWAY, is_over=True)


def begin_trial(session: Session, run: ImportRun) -> None:
    """Have the file checked, from its beginning."""
    mine = (ImportRow.run_id == run.id, ImportRow.is_trial.is_(True))
    session.execute(delete(ImportRow).where(*mine), execution_options={"synchronize_session": False})
    run.begin_step("checking")
    run.position, run.payload = 0, {**run.payload, "check": {}}


# --- after a worker was killed


def look_for_lost(name: str) -> None:
    """When a worker of this queue starts: queue the imports again that a killed worker may have left unfinished.

    They are queued with a delay of `SIGN_OF_LIFE_SECONDS`, in which a worker that still runs shows that it does. The
    job that looks for such imports each minute waits for a minute instead.
    """
    if name != QUEUE:
        return
    now = datetime.now(UTC)
    try:
        with access.system_transaction() as session:
            found = _without_folders(session, export_and_import_runs.silent_imports(session, now, MOST_LOST))
    except SQLAlchemyError as error:
        log.warning("a worker could not look for imports that were cut off (%s)", summary_of(error))
        return
    for key in found:
        queue.enqueue_in(SIGN_OF_LIFE_SECONDS, QUEUE, resume, key, int(now.timestamp()))


def resume(run_id: int, since: int) -> None:
    """Continue an import that has given no sign of life since then, Unix seconds. The path is stored in queues.

    Should another worker still have it, they take turns.
    """
    moment = datetime.fromtimestamp(since, UTC)
    with access.system_transaction() as session:
        is_silent = bool(export_and_import_runs.silent_imports(session, moment, 1, run_id))
    if is_silent:
        _work(run_id, moment)


# --- each minute


def find_due(session: Session, now: datetime, limit: int) -> list[int]:
    """Imports without a worker."""
    return _without_folders(session, export_and_import_runs.lost_imports(session, now, limit))


def _without_folders(session: Session, found: list[int]) -> list[int]:
    """Those that a worker can do: a move from a folder is left to its command."""
    folders = select(ImportRun.id).where(ImportRun.kind == moves.KIND, ImportRun.digest.is_(None))
    left = set(session.scalars(folders)) if found else set()
    return [key for key in found if key not in left]


def enqueue(run_id: int) -> str:
    """Have a worker continue soon."""
    return "queued" if queue.enqueue(QUEUE, work, run_id) else SKIPPED
