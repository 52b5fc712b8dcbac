"""Runs requested by a row: by the schedule, or by a person on the page. The queue `long` executes them.

The row is claimed by an UPDATE, so that one process runs it however often the queue calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from flask import current_app
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import access
from app.backups import retention, runs, s3_copy
from app.backups.create import one_at_a_time
from app.backups.drill import drill
from app.backups.errors import BackupBusy, BackupError
from app.backups.installation import Installation, installation_of
from app.backups.runs import RunOutcome, outcome_of
from app.backups.verify import verify
from app.domain.base import Stamp
from app.domain.maintenance import backup_runs
from app.domain.maintenance.backup_runs import BackupRun
from app.lib.process_name import process_name
from app.ops.queues import queue

log = logging.getLogger("crm.backups")
QUEUE = "long"


def run(run_id: int) -> None:
    """Execute the run of this row, unless somebody else does. The function's path is stored in queues."""
    claimed = _claim(run_id)
    if claimed is None:
        return
    installation = installation_of(current_app._get_current_object())  # type: ignore[attr-defined]
    try:
        runs.record(installation, claimed.kind, _task(claimed), run_id)
    except BackupBusy:
        log.info("the %s %d waits for another one", claimed.kind, run_id)
    except BackupError as trouble:
        log.error("a %s failed: %s", claimed.kind, trouble)


def enqueue(run_id: int) -> str:
    """Queue a waiting row. Returns what was done, for the job."""
    return "queued" if queue.enqueue(QUEUE, run, run_id) else "skipped"


def _claim(run_id: int) -> BackupRun | None:
    now = datetime.now(UTC)
    values = {"outcome": "running", "started_on": now, "seen_on": now, "ended_on": None, "ran_by": process_name()}
    step = update(BackupRun).where(BackupRun.id == run_id, BackupRun.outcome == "waiting")
    with access.system_transaction() as session:
        done = session.execute(
            step.values(values | {"tries": BackupRun.tries + 1}), execution_options={"synchronize_session": False}
        )
        if not done.rowcount:  # type: ignore[attr-defined]
            return None
        return session.scalars(select(BackupRun).where(BackupRun.id == run_id)).one()


def _task(row: BackupRun) -> Callable[[Installation], RunOutcome]:
    name = row.name or ""
    tasks: dict[str, Callable[[Installation], RunOutcome]] = {
        "backup": lambda installation: runs.back_up(installation, "schedule" if row.slot else "person"),
        "verify": lambda installation: outcome_of(verify(installation, name)),
        "drill": lambda installation: outcome_of(drill(installation, name or None)),
        "delete": lambda installation: delete(installation, name),
    }
    return tasks[row.kind]


def delete(installation: Installation, name: str) -> RunOutcome:
    """Delete a backup at a person's request, here and on S3; never the only one. Raises BackupError."""
    with one_at_a_time(installation):
        backup = installation.folder.find(name)
        if len(installation.folder.all()) == 1:
            raise BackupError(f"{name} is the only backup. Make another one first.")
        installation.folder.delete(backup)
        retention.sweep(installation)
        if installation.s3:
            s3_copy.delete(installation, [name])
    return RunOutcome("done", name, deleted=[name])


def ask_for_slot(session: Session, kind: str, slot: str, now: datetime) -> str:
    """Add a run for this slot of the schedule, once, whichever server asks."""
    if backup_runs.is_requested(session, slot) or (
        kind == "drill" and backup_runs.last_good(session, "backup") is None
    ):
        return "skipped"
    backup_runs.request_run(session, backup_runs.WantedRun(kind, slot=slot), Stamp(None, now))
    return "asked"
