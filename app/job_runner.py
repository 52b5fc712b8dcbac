"""The job runner: claims a slot and runs its items in transactions. `job_scheduler` says when, in the leader process.

A run that is cut off, by a kill, a stop or the loss of the database, leaves its slot to be taken up again.
"""

from __future__ import annotations

import logging
import random
import threading
import time as stopwatch
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app import access
from app.domain.maintenance.job_runs import JobRun
from app.domain.notifications import notices
from app.domain.persistence.session_context import NoticeChoices, session_context
from app.domain.persistence.transaction_state import transaction_state
from app.job_definition import MAX_ITEMS, SKIPPED, Job, JobPass, JobWork
from app.lib.fair_semaphore import FairSemaphore
from app.lib.process_name import process_name
from app.lib.recurring_times import Daily, Every, daily_at, every_minute
from app.ops.database.connections import WRITES
from app.ops.database.database_errors import Cause, cause_of
from app.ops.queues.queue import error_summary
from app.ops.storage.file_store import FileStore

__all__ = [
    "SKIPPED",
    "Daily",
    "Every",
    "Job",
    "JobPass",
    "JobWork",
    "Runner",
    "daily_at",
    "every_minute",
    "is_settled",
    "process_name",
    "run_slot",
]
log = logging.getLogger("crm.jobs")

#: The time after which a pass begins no further chunk.
PASS_SECONDS = 50.0
#: The pause between two chunks, so that threads that serve requests can run.
PAUSE_SECONDS = 0.005
#: How often a long pass announces who was notified; each time their open pages count their notices again.
ANNOUNCE_SECONDS = 1.0
#: How often an item is tried when it conflicts with another transaction.
MAX_ATTEMPTS = 3
#: MariaDB: lock wait timeout, deadlock (also of a transaction with savepoints), duplicate key (another process inserted
#: the row first).
CONFLICT_CODES = (1205, 1213, 1305, 1062)
#: How often a slot is taken up again. One that is cut off so often probably ends its process itself.
MAX_CONTINUATIONS = 10
#: Why a run is cut off by what is wrong with the database.
_CUT_BY: dict[Cause | None, str] = {
    Cause.AWAY: "The database could not be reached.",
    Cause.CROWDED: "No connection to the database was free.",
}
#: How often a run that takes long sends a heartbeat.
SIGN_OF_LIFE_SECONDS = 15.0


# --- the runner


def _ignore(notified: list[tuple[int, str]]) -> None:
    """The default until create_app sets a function that updates open pages."""


@dataclass
class Runner:
    """How jobs run: their sessions, their time zone, and who is told which users a commit has notified."""

    sessions: Callable[[], Session]
    zone: str = "Asia/Kolkata"
    #: Gets [(user id, kind of notice)] after the commit; must not raise.
    announce: Callable[[list[tuple[int, str]]], None] = _ignore
    limit: int = MAX_ITEMS
    pass_seconds: float = PASS_SECONDS
    #: Set to end after the current chunk.
    stopping: threading.Event = field(default_factory=threading.Event)
    #: Ids of the runs that this process works on.
    active: set[int] = field(default_factory=set)
    #: How many transactions of jobs this process has at once: each takes one of its few database connections.
    turns: FairSemaphore = field(default_factory=lambda: FairSemaphore(2))
    folder: Path | None = None
    files: FileStore | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session of the system for one transaction, as soon as it is its turn."""
        with self.turns, self.sessions() as session, access.as_system(session):
            yield session

    def pass_at(self, now: datetime, is_dry_run: bool = False) -> JobPass:
        """A pass of any job, as of this moment."""
        return JobPass(now, self.zone, self.limit, self.folder, is_dry_run, self.files)


@dataclass
class _Totals:
    items: int = 0
    failed_items: int = 0
    error: str | None = None
    #: Why it ended early; its slot is then taken up again.
    cut: str | None = None

    @property
    def outcome(self) -> str:
        if self.cut:
            return "cut"
        return "failed" if self.error and not self.items else "done"


def run_slot(runner: Runner, job: Job, slot: tuple[str, datetime], now: datetime) -> JobRun | None:
    """Run one slot of a job, or the rest of it. Exceptions of single items are logged, never raised.

    Returns None if there is nothing to run: the slot is finished, or another process runs it.
    """
    run = _claim(runner, job, slot, now)
    if run is None:
        return None
    started = stopwatch.monotonic()
    execution = Execution(runner, job, run_id=run.id)
    try:
        execution.run(runner.pass_at(now))
    except BaseException:  # Ctrl+C of a command, the end of a worker: the row says what became of the run
        execution.totals.cut = "The process was stopped."
        raise
    finally:
        try:
            _finish(runner, run, execution.totals, now + timedelta(seconds=stopwatch.monotonic() - started))
        finally:
            runner.active.discard(run.id)
    return run


def is_settled(runner: Runner, job: Job, slot: tuple[str, datetime]) -> bool:
    """Whether the slot is finished, successfully or not, and need not be looked at again."""
    with runner.session() as session:
        newest = _newest_attempt(session, job, slot)
        return newest is not None and newest.outcome in ("done", "failed")


def _claim(runner: Runner, job: Job, slot: tuple[str, datetime], now: datetime) -> JobRun | None:
    """Claim the slot by an INSERT: UNIQUE (job, slot) lets only one process succeed."""
    return _insert(runner, job, slot, now) or _take_up_again(runner, job, slot, now)


def _insert(runner: Runner, job: Job, slot: tuple[str, datetime], now: datetime) -> JobRun | None:
    lag = max(0, int((now - slot[1]).total_seconds()))
    run = JobRun(job=job.name, slot=slot[0], started_on=now, outcome="running", lag_seconds=lag, ran_by=process_name())
    run.items, run.failed_items, run.seen_on = 0, 0, now
    with writing(runner) as session:
        try:
            session.add(run)
            session.flush()
        except IntegrityError:
            return None
        runner.active.add(run.id)  # before others of this process can see it
        session.expunge(run)  # the caller reads it after the session is closed
        session.commit()
    return run


def _take_up_again(runner: Runner, job: Job, slot: tuple[str, datetime], now: datetime) -> JobRun | None:
    """Claim the rest of a slot whose last run was cut off, as a run of its own, such as “2026-11-23 10:00 (2)”."""
    with writing(runner) as session:
        newest = _newest_attempt(session, job, slot)
        if newest is None:
            return None
        if newest.outcome == "running" and newest.ran_by == process_name() and newest.id not in runner.active:
            newest.outcome, newest.ended_on = "cut", now  # its end could not be stored
        number = 2 if newest.slot == slot[0] else int(newest.slot.rpartition("(")[2].rstrip(")")) + 1
        if newest.outcome == "cut" and number > MAX_CONTINUATIONS:
            newest.outcome, newest.error = "failed", f"It was cut off {MAX_CONTINUATIONS} times and is given up."
            log.error("job %r was cut off %d times in slot %s and is given up", job.name, MAX_CONTINUATIONS, slot[0])
        was_cut = newest.outcome == "cut"
        session.commit()
    return _insert(runner, job, (f"{slot[0]} ({number})", slot[1]), now) if was_cut else None


def _newest_attempt(session: Session, job: Job, slot: tuple[str, datetime]) -> JobRun | None:
    attempts = or_(JobRun.slot == slot[0], JobRun.slot.startswith(f"{slot[0]} (", autoescape=True))
    query = select(JobRun).where(JobRun.job == job.name, attempts).order_by(JobRun.id.desc()).limit(1)
    return session.scalars(query).first()


def _finish(runner: Runner, run: JobRun, totals: _Totals, now: datetime) -> None:
    values = {"ended_on": now, "outcome": totals.outcome, "items": totals.items, "failed_items": totals.failed_items}
    values |= {"error": totals.error or totals.cut}
    _update_run(runner, run.id, **values)
    for name, value in values.items():
        setattr(run, name, value)


def _update_run(runner: Runner, run_id: int, **values: Any) -> None:
    step = update(JobRun).where(JobRun.id == run_id).values(**values)
    with writing(runner) as session:
        session.execute(step, execution_options={"synchronize_session": False})
        session.commit()


@dataclass
class Execution:
    """One pass of a job over its items."""

    runner: Runner
    job: Job
    run_id: int = 0
    totals: _Totals = field(default_factory=_Totals)
    work: JobWork = field(default_factory=JobWork)
    #: How users want to be notified; read once for all items.
    choices: NoticeChoices = field(default_factory=dict)
    #: (user id, kind) of notices that are not announced yet.
    notified: list[tuple[int, str]] = field(default_factory=list)
    #: Items of which nothing is left, of work that comes in turns.
    ended: set[Any] = field(default_factory=set)
    started_at: float = field(default_factory=stopwatch.monotonic)
    seen_at: float = field(default_factory=stopwatch.monotonic)
    announced_at: float = field(default_factory=stopwatch.monotonic)

    def run(self, job_pass: JobPass) -> None:
        """Find the items, then do them chunk by chunk; again while there were as many as a pass may find."""
        while True:
            done_before, chunks = self.totals.items, self._find_chunks(job_pass)
            self._do_all(chunks, job_pass.now)
            is_full = sum(map(len, chunks)) >= job_pass.limit
            if self.totals.cut or not (is_full and self.goes_on and self.totals.items > done_before):
                break
        self._announce()

    @property
    def goes_on(self) -> bool:
        """Whether it continues until everything is done.

        A job that runs every minute leaves the rest to the next minute.
        """
        return self.job.when != every_minute

    def _do_all(self, chunks: list[list[Any]], now: datetime) -> None:
        for chunk in chunks:
            if self._is_over():
                break
            if self.work.in_turns and self.ended.issuperset(chunk):
                continue
            self._do(chunk)
            self._announce(ANNOUNCE_SECONDS)
            self._show_life(now)
            if self.work.many:
                self.runner.stopping.wait(PAUSE_SECONDS)

    def _find_chunks(self, job_pass: JobPass) -> list[list[Any]]:
        """The items of each transaction; [] if the job failed to find them."""
        try:
            with self.runner.session() as session:
                self.work, self.ended = self.job.work(session, job_pass), set()
                chunks = self.work.chunks()
                self.choices = notices.load_choices(session) if chunks else {}
            return chunks
        except Exception as error:
            log.exception("job %r could not look for its items", self.job.name, exc_info=error)
            self.totals.error = error_summary(error)
            self._note_lost_database(error)
            return []

    def _is_over(self) -> bool:
        """Whether to begin no further chunk."""
        if self.runner.stopping.is_set():
            self.totals.cut = self.totals.cut or "The process was stopped, or another one leads."
        is_late = stopwatch.monotonic() - self.started_at > self.runner.pass_seconds
        return bool(self.totals.cut) or (is_late and not self.goes_on)

    def _note_lost_database(self, error: Exception) -> None:
        """Where the database is at fault, what is left is taken up again."""
        cause = cause_of(error)
        if cause in _CUT_BY:
            self.totals.cut = _CUT_BY[cause]

    def _show_life(self, now: datetime) -> None:
        """Show a heartbeat now and then, so that the run isn't taken for interrupted."""
        if self.run_id and stopwatch.monotonic() - self.seen_at >= SIGN_OF_LIFE_SECONDS:
            self.seen_at = stopwatch.monotonic()
            _update_run(self.runner, self.run_id, seen_on=now + timedelta(seconds=self.seen_at - self.started_at))

    def _do(self, chunk: list[Any]) -> None:
        """Process a chunk.

        If it fails, process each item alone, so that only the broken one fails and its id is logged.
        """
        try:
            results, notified = self.commit(chunk)
        except Exception as error:
            self._note_lost_database(error)
            if len(chunk) == 1 or self.totals.cut:
                self._note_failure(chunk, error)
                return
            log.warning(
                "job %r does %d items one by one: %s",
                *(self.job.name, len(chunk), error_summary(error)),
                exc_info=error,
            )
            for item in chunk:
                if not self._is_over():
                    self._do([item])
            return
        self.totals.items += sum(result != SKIPPED for result in results)
        self.notified += notified
        if self.work.in_turns:
            self.ended.update(item for item, result in zip(chunk, results, strict=True) if result == SKIPPED)

    def _note_failure(self, chunk: list[Any], error: Exception) -> None:
        log.exception("job %r failed for item %r", self.job.name, chunk[0], exc_info=error)
        self.totals.failed_items += len(chunk)
        self.totals.error = f"{chunk[0]}: {error_summary(error)}"[:500]

    def commit(self, chunk: list[Any]) -> tuple[list[str], list[tuple[int, str]]]:
        """Do a chunk in a transaction of its own, and again a moment later when it conflicts with another one."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                with writing(self.runner) as session:
                    session_context(session).notice_choices = self.choices
                    results = self.work.do(session, chunk)
                    notified = transaction_state(session).take_notified()
                    session.commit()
                    return results, notified
            except (DBAPIError, StaleDataError) as error:
                if attempt == MAX_ATTEMPTS or not _is_conflict(error):
                    raise
                stopwatch.sleep(random.uniform(0.02, 0.1) * attempt)  # noqa: S311  # jitter, no secret
        raise AssertionError("unreachable")

    def _announce(self, after: float = 0.0) -> None:
        """Announce who was notified, unless that was done within the last `after` seconds."""
        if self.notified and stopwatch.monotonic() - self.announced_at >= after:
            self.runner.announce(self.notified)
            self.notified, self.announced_at = [], stopwatch.monotonic()


@contextmanager
def writing(runner: Runner) -> Iterator[Session]:
    """A system session for writing. On SQLite, which has no row locks, it takes the write lock at once."""
    token = WRITES.set(True)
    try:
        with runner.session() as session:
            yield session
    finally:
        WRITES.reset(token)


def _is_conflict(error: Exception) -> bool:
    if isinstance(error, StaleDataError):
        return True
    cause = getattr(error, "orig", None)
    return bool(cause and cause.args and (cause.args[0] in CONFLICT_CODES or "locked" in str(cause.args[0])))
