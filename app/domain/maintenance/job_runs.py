"""Runs of jobs, and queued calls that failed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import (
    JSON,
    ForeignKey,
    Index,
    Integer,
    String,
    UniqueConstraint,
    and_,
    func,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import UtcDateTime

#: Prefix of the slot of a run that an admin started.
MANUAL_PREFIX = "by hand "


class JobRun(Model):  # type: ignore[misc]
    """One slot of one job; the unique (job, slot) is the claim, so that a slot runs once."""

    __tablename__ = "job_run"
    __table_args__ = (UniqueConstraint("job", "slot"), Index("ix_job_run_started", "job", "started_on"))
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    job: Mapped[str] = mapped_column(String(60), nullable=False)
    #: The minute or day for which it ran, UTC, e.g. 2026-11-22T10:31Z.
    slot: Mapped[str] = mapped_column(String(32), nullable=False)
    started_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    ended_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The last sign of life of the process that runs it, UTC; null in runs of older versions.
    seen_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: running, done, failed, or cut: ended before everything was done; its slot is then taken up again.
    outcome: Mapped[str] = mapped_column(String(16), nullable=False)
    #: How many items it processed, and how many failed.
    items: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    failed_items: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: Seconds between the slot and the start.
    lag_seconds: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    error: Mapped[str | None] = mapped_column(String(500))
    #: Machine and process that ran it, e.g. "crm1:4711".
    ran_by: Mapped[str | None] = mapped_column(String(80))

    @property
    def is_manual(self) -> bool:
        """Whether an admin started it."""
        return self.slot.startswith(MANUAL_PREFIX)


def newest_runs(session: Session, jobs: Iterable[str]) -> dict[str, JobRun]:
    """Job -> its newest run; one statement that reads one index row per job."""
    last = select(JobRun.job, func.max(JobRun.started_on).label("started_on")).where(JobRun.job.in_(list(jobs)))
    last_runs = last.group_by(JobRun.job).subquery()
    is_last = and_(JobRun.job == last_runs.c.job, JobRun.started_on == last_runs.c.started_on)
    return {run.job: run for run in session.scalars(select(JobRun).join(last_runs, is_last).order_by(JobRun.id))}


def newest_of_schedule(session: Session, job: str) -> JobRun | None:
    """The newest run of the job that no admin started."""
    mine = (JobRun.job == job, JobRun.slot.not_like(f"{MANUAL_PREFIX}%"))
    return session.scalars(select(JobRun).where(*mine).order_by(JobRun.started_on.desc()).limit(1)).first()


class FailedCall(Model):  # type: ignore[misc]
    """A queued call that failed permanently; an admin retries or dismisses it."""

    __tablename__ = "failed_call"
    __table_args__ = (Index("ix_failed_call_open", "settled_on", "id"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: short, default or long.
    queue: Mapped[str] = mapped_column(String(16), nullable=False)
    #: module:function.
    function: Mapped[str] = mapped_column(String(120), nullable=False)
    #: Ids of rows only, never personal data.
    arguments: Mapped[list[Any]] = mapped_column(JSON, nullable=False)
    tries: Mapped[int] = mapped_column(Integer, nullable=False)
    #: Kind and first line of the last error.
    error: Mapped[str] = mapped_column(String(500), nullable=False)
    failed_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: When it was retried or dismissed, UTC; null = unresolved.
    settled_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    settled_by_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: again or dropped.
    outcome: Mapped[str | None] = mapped_column(String(16))
