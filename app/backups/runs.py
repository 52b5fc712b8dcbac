"""The row of each backup, check and drill: written at its beginning and end; admins are notified of failures.

A database that accepts no rows at the moment (full, of an older schema, or a replica) does not stop a backup.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import access
from app.backups import create, s3_copy
from app.backups.description import details_of
from app.backups.errors import BackupBusy, BackupError
from app.backups.folder import Backup
from app.backups.installation import Installation
from app.backups.verify import VerificationReport
from app.domain.audit_log import audit
from app.domain.base import Stamp
from app.domain.maintenance import backup_runs
from app.domain.maintenance.backup_runs import BackupRun
from app.lib.process_name import process_name
from app.ops.database.database_errors import summary_of

log = logging.getLogger("crm.backups")

#: How often a run sends a heartbeat.
BEAT_SECONDS = 20.0


@dataclass
class RunOutcome:
    """How a run ended, for its row."""

    outcome: str
    name: str
    size: int | None = None
    sha256: str | None = None
    error: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    #: What an operator should know, as sentences.
    remarks: list[str] = field(default_factory=list)
    report: VerificationReport | None = None
    is_copied: bool = False
    #: Names of backups that were deleted.
    deleted: list[str] = field(default_factory=list)


# --- kinds of runs


def back_up(installation: Installation, cause: str) -> RunOutcome:
    """Make a backup and copy it to S3 if configured. The backup stays good even if copying fails."""
    made = create.make(installation, cause)
    outcome = _made(made.backup)
    outcome.deleted = made.deleted
    if installation.s3:
        try:
            s3_copy.copy(installation, made.backup, made.deleted)
            outcome.is_copied = True
        except BackupError as trouble:
            outcome.error = f"The backup is good, but it was not copied: {trouble}"
            outcome.remarks.append(outcome.error)
    return outcome


def _made(backup: Backup) -> RunOutcome:
    sha256, details = backup.manifest["parts"]["database"]["sha256"], details_of(backup)
    return RunOutcome("done", backup.name, backup.size, sha256, details=details, remarks=details["remarks"])


def outcome_of(report: VerificationReport) -> RunOutcome:
    """The outcome of a check or drill, for its row."""
    details = {"checked": report.checked, "unchecked": report.unchecked, "faults": report.faults[:20]}
    error = " ".join(report.faults)[:500] or None
    return RunOutcome(report.outcome, report.name, error=error, details=details, report=report)


# --- the row


def record(
    installation: Installation, kind: str, do: Callable[[Installation], RunOutcome], run_id: int | None = None
) -> RunOutcome:
    """Run `do` and record its outcome in a row. Raises BackupError, after notifying the admins."""
    key = run_id if run_id is not None else _begin(kind)
    try:
        outcome = do(replace(installation, beat=_Heartbeat(key)))
    except BackupBusy:
        _wait(key, is_asked=run_id is not None)
        raise
    except BackupError as trouble:
        _end(key, kind, None, str(trouble))
        raise
    except Exception as error:
        log.exception("a %s broke down", kind)
        _end(key, kind, None, f"{type(error).__name__}; see the server's log.")
        raise
    _end(key, kind, outcome, outcome.error or "")
    return outcome


@dataclass
class _Heartbeat:
    """Sends a heartbeat now and then."""

    key: int | None
    at: float = field(default_factory=time.monotonic)

    def __call__(self) -> None:
        if self.key is None or time.monotonic() - self.at < BEAT_SECONDS:
            return
        self.at = time.monotonic()
        with _tolerant(), access.system_transaction() as session:
            session.execute(update(BackupRun).where(BackupRun.id == self.key).values(seen_on=datetime.now(UTC)))


def _begin(kind: str) -> int | None:
    now = datetime.now(UTC)
    with _tolerant(), access.system_transaction() as session:
        run = backup_runs.request_run(session, backup_runs.WantedRun(kind), Stamp(None, now))
        run.outcome, run.started_on, run.seen_on, run.ran_by, run.tries = "running", now, now, process_name(), 1
        session.flush()
        return run.id
    return None


def _wait(key: int | None, is_asked: bool) -> None:
    """Another run is in progress: a requested run waits for its turn, a command is refused."""
    values: dict[str, Any] = {"error": "Another run goes on.", "tries": BackupRun.tries - 1}
    values |= {"outcome": "waiting"} if is_asked else {"outcome": "cut", "ended_on": datetime.now(UTC)}
    with _tolerant(), access.system_transaction() as session:
        session.execute(update(BackupRun).where(BackupRun.id == key).values(values))


def _end(key: int | None, kind: str, outcome: RunOutcome | None, error: str) -> None:
    """Store the outcome, and notify the admins of errors."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {"outcome": "failed", "ended_on": now, "error": error[:500] or None}
    if outcome is not None:
        values |= {"outcome": outcome.outcome, "name": outcome.name, "size_bytes": outcome.size}
        values |= {"sha256": outcome.sha256, "details": outcome.details}
        values |= {"copied_on": now} if outcome.is_copied else {}
    with _tolerant(), access.system_transaction() as session:
        if key is not None:
            session.execute(update(BackupRun).where(BackupRun.id == key).values(values))
        if outcome is not None and outcome.deleted:
            by = session.scalars(select(BackupRun.created_by_id).where(BackupRun.id == key)).first()
            _note_deleted(session, outcome.deleted, Stamp(by, now))
        if error:
            why = "copy" if outcome is not None and outcome.outcome == "done" else kind
            problem = backup_runs.BackupProblem(why, f"{key or now.isoformat()}", error)
            backup_runs.notify_admins(session, problem, now)


def _note_deleted(session: Session, names: list[str], stamp: Stamp) -> None:
    backup_runs.mark_deleted(session, names, stamp.now)
    for name in names:
        why = {} if stamp.by else {"reason": "no longer kept"}
        audit.write(session, "deletion", stamp.by, stamp.now, f"backup {name}", **why)


@contextmanager
def _tolerant() -> Iterator[None]:
    """Log a row that can't be written, and continue."""
    try:
        yield
    except DBAPIError as error:
        log.warning("the row of a backup could not be written (%s)", summary_of(error))
