"""Backups, checks and drills as rows: requests, results, and when to notify admins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Index,
    String,
    UniqueConstraint,
    and_,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Record, Stamp, UtcDateTime
from app.domain.maintenance.job_runs import JobRun
from app.domain.notifications import notices
from app.domain.people import users
from app.lib.recurring_times import daily_at

KINDS = ("backup", "verify", "drill", "delete")
#: partly: nothing was wrong, but not everything could be checked. cut: the process that ran it died.
OUTCOMES = ("waiting", "running", "done", "partly", "failed", "cut")
GOOD = ("done", "partly")
#: A run without a heartbeat for this long was cut off; and how often such a run is restarted.
SILENT_AFTER = timedelta(minutes=5)
MAX_TRIES = 3
#: When backups are made and the newest is restored for a trial, in the office's zone.
BACKUP_TIMES, DRILL_TIMES = daily_at("02:00", "17:25"), daily_at("04:10")
#: Admins are notified if the last good backup or drill is older.
MAX_AGE = timedelta(hours=24)


class BackupRun(Record):
    """One backup, check, drill or deletion."""

    __tablename__ = "backup_run"
    __table_args__ = (
        UniqueConstraint("slot", name="uq_backup_run_slot"),
        Index("ix_backup_run_kind", "kind", "outcome", "ended_on"),
        Index("ix_backup_run_name", "name"),
    )
    #: One of KINDS.
    kind: Mapped[str] = mapped_column(String(12), nullable=False, default="backup", server_default="backup")
    #: One of OUTCOMES.
    outcome: Mapped[str] = mapped_column(String(16), nullable=False)
    #: The slot of the schedule that requested it, in the office's zone; null = a person or a command did.
    slot: Mapped[str | None] = mapped_column(String(40))
    #: The name of the backup; null until it is known.
    name: Mapped[str | None] = mapped_column(String(80))
    started_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The last sign of life of the process that runs it, UTC.
    seen_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    tries: Mapped[int] = mapped_column(nullable=False, default=0, server_default="0")
    #: Bytes of the parts, and SHA-256 of the database's.
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64))
    #: Why it failed, as a sentence.
    error: Mapped[str | None] = mapped_column(String(500))
    #: parts, rows, files, schema of a backup; checked, unchecked, faults of a check or drill. No personal data.
    details: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    #: Machine and process that ran it.
    ran_by: Mapped[str | None] = mapped_column(String(80))
    #: When the backup was copied to S3, and when it was deleted, UTC.
    copied_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deleted_on: Mapped[datetime | None] = mapped_column(UtcDateTime)


# --- requests


@dataclass(frozen=True)
class WantedRun:
    """A backup, check or drill that is to be run."""

    kind: str
    #: The backup that is to be checked or restored, if one was chosen.
    name: str | None = None
    #: The slot of the schedule; None if a person or a command asks for it.
    slot: str | None = None


def request_run(session: Session, wanted: WantedRun, stamp: Stamp) -> BackupRun:
    """Add a row that requests a run. The database refuses a second one for the same slot."""
    run = BackupRun(kind=wanted.kind, outcome="waiting", name=wanted.name, slot=wanted.slot, tries=0)
    run.stamp(stamp)
    session.add(run)
    session.flush()
    return run


def is_requested(session: Session, slot: str) -> bool:
    """Whether there is a run for this slot of the schedule."""
    return session.execute(select(BackupRun.id).where(BackupRun.slot == slot)).first() is not None


def to_start(session: Session, now: datetime, limit: int) -> list[int]:
    """Runs that were not started, and those whose process has died; oldest first."""
    due = or_(BackupRun.outcome == "waiting", _is_silent(now))
    return list(session.scalars(select(BackupRun.id).where(due).order_by(BackupRun.id).limit(limit)))


def _is_silent(now: datetime) -> ColumnElement[bool]:
    seen_on = func.coalesce(BackupRun.seen_on, BackupRun.started_on)
    return and_(BackupRun.outcome == "running", seen_on < now - SILENT_AFTER)


def begin_again(session: Session, run_id: int, now: datetime) -> bool:
    """Request a run whose process has died again; after too many attempts it counts as failed.

    Returns whether it will run again.
    """
    run = session.scalars(select(BackupRun).where(BackupRun.id == run_id).with_for_update()).one()
    if run.outcome != "running":
        return run.outcome == "waiting"
    run.error = "The process that ran it ended."
    if run.tries < MAX_TRIES:
        run.outcome = "waiting"
        return True
    run.outcome, run.ended_on = "failed", now
    reason = f"It was cut off {MAX_TRIES} times and is given up."
    notify_admins(session, BackupProblem(run.kind, f"{run.id}", reason), now)
    return False


# --- notices for admins


@dataclass(frozen=True)
class BackupProblem:
    """Something of which admins are told once."""

    #: backup, verify, drill, delete, copy, late or late_drill.
    why: str
    #: Tells it from others of its kind.
    event: str
    reason: str = ""


def notify_admins(session: Session, problem: BackupProblem, now: datetime) -> int:
    """Notify the admins once about this problem. Returns how many were told."""
    payload = {"why": problem.why, "reason": problem.reason[:300]}
    admins = tuple(users.active_admins(session))
    key = f"backup:{problem.why}:{problem.event}"[:150]
    return notices.notify_many(session, [notices.NoticeEvent("backup", key, admins, payload)], now)


def notify_overdue(session: Session, now: datetime) -> list[str]:
    """Notify the admins, once a day, if the last good backup or drill is too old. Returns which are late."""
    late = []
    for kind, why in (("backup", "late"), ("drill", "late_drill")):
        newest = last_good(session, kind)
        since = newest.ended_on if newest is not None else _first_job(session)
        is_late = since is not None and now - since > MAX_AGE
        if is_late and notify_admins(session, BackupProblem(why, f"{now:%Y-%m-%d}"), now):
            late.append(why)
    return late


def last_good(session: Session, kind: str) -> BackupRun | None:
    """The newest successful run of this kind."""
    good = (BackupRun.kind == kind, BackupRun.outcome.in_(GOOD), BackupRun.ended_on.is_not(None))
    return session.scalars(select(BackupRun).where(*good).order_by(BackupRun.ended_on.desc()).limit(1)).first()


def first_drill_due(session: Session, zone: str) -> datetime | None:
    """When the first drill is due, UTC; None if one has ended, also with a fault, or there is no good backup.

    `zone`: the office's.
    """
    ended = BackupRun.ended_on.is_not(None)
    if session.execute(select(BackupRun.id).where(BackupRun.kind == "drill", ended).limit(1)).first() is not None:
        return None
    good = (BackupRun.kind == "backup", BackupRun.outcome.in_(GOOD), ended)
    first = session.scalars(select(func.min(BackupRun.ended_on)).where(*good)).first()
    return DRILL_TIMES.after(first, zone) if first is not None else None


def _first_job(session: Session) -> datetime | None:
    """When this installation first ran its schedule, as far as is known."""
    return session.scalars(select(JobRun.started_on).order_by(JobRun.id).limit(1)).first()


# --- for the page


def available_backups(session: Session, limit: int) -> list[BackupRun]:
    """The existing backups, newest first."""
    there = (BackupRun.kind == "backup", BackupRun.outcome == "done", BackupRun.deleted_on.is_(None))
    return list(session.scalars(select(BackupRun).where(*there).order_by(BackupRun.ended_on.desc()).limit(limit)))


def proofs(session: Session, names: list[str]) -> dict[str, BackupRun]:
    """Name of a backup -> its newest finished drill, else its newest finished check."""
    ended = (BackupRun.kind.in_(("verify", "drill")), BackupRun.ended_on.is_not(None), BackupRun.name.in_(names))
    found = session.scalars(select(BackupRun).where(*ended).order_by(BackupRun.ended_on))
    return {str(run.name): run for run in sorted(found, key=lambda run: run.kind == "drill")}


def is_pending(session: Session, kind: str, name: str | None) -> bool:
    """Whether such a run is waiting or running."""
    same = (BackupRun.kind == kind, BackupRun.name == name, BackupRun.outcome.in_(("waiting", "running")))
    return session.execute(select(BackupRun.id).where(*same).limit(1)).first() is not None


def recent(session: Session, limit: int) -> list[BackupRun]:
    """The last runs of all kinds, newest first."""
    return list(session.scalars(select(BackupRun).order_by(BackupRun.id.desc()).limit(limit)))


def mark_deleted(session: Session, names: list[str], now: datetime) -> None:
    """Record that these backups were deleted."""
    step = update(BackupRun).where(BackupRun.kind == "backup", BackupRun.name.in_(names)).values(deleted_on=now)
    session.execute(step, execution_options={"synchronize_session": False})
