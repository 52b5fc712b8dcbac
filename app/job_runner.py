"""The job runner: claims a slot, runs its items in transactions, and schedules the jobs in the leader process."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time as stopwatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app import access
from app.domain import job_health, notices
from app.domain.job_runs import JobRun
from app.domain.pending import pending
from app.domain.session_context import NoticeChoices, session_context
from app.lib.schedule_slots import Daily, Every, daily_at, every_minute
from app.ops import log_privacy
from app.ops.database import WRITES
from app.ops.leader import ELECTION_SECONDS

__all__ = [
    "SKIPPED",
    "Daily",
    "Every",
    "Job",
    "JobPass",
    "Runner",
    "Scheduler",
    "Work",
    "daily_at",
    "every_minute",
    "run_slot",
]
log = logging.getLogger("crm.jobs")

#: The most items of one pass, and the time after which it begins no further chunk. The next pass does the rest.
MAX_ITEMS = 20_000
PASS_SECONDS = 50.0
#: Items of one transaction, where a job can do many at once.
CHUNK_SIZE = 100
#: The pause between two chunks, in which the interpreter serves requests.
PAUSE_SECONDS = 0.005
#: How often a long pass announces who was notified; each time their open pages count their notices again.
ANNOUNCE_SECONDS = 1.0
#: How often an item is tried when it conflicts with another transaction.
MAX_ATTEMPTS = 3
#: MariaDB: lock wait timeout, deadlock, duplicate key (another process inserted the row first).
CONFLICT_CODES = (1205, 1213, 1062)
#: The result of an item for which there was nothing to do (any more).
SKIPPED = "skipped"


# --- a job


@dataclass(frozen=True)
class JobPass:
    """One run of a job."""

    #: UTC.
    now: datetime
    #: The office's time zone.
    zone: str
    #: The most items to find.
    limit: int = MAX_ITEMS


def _skip(session: Session, item: Any) -> str:
    return SKIPPED


@dataclass(frozen=True)
class Work:
    """The items found, and what to do with them: one by one, or a chunk at a time. Each chunk is one transaction."""

    items: Iterable[Any] = ()
    #: (session, item) -> result: SKIPPED, or a word for what was done.
    each: Callable[[Session, Any], str] = _skip
    #: (session, items) -> one result per item, in their order; instead of `each`.
    many: Callable[[Session, list[Any]], list[str]] | None = None
    #: How many items `many` gets at once.
    size: int = CHUNK_SIZE

    def chunks(self) -> list[list[Any]]:
        """The items of each transaction."""
        items, size = list(self.items), self.size if self.many else 1
        return [items[start : start + size] for start in range(0, len(items), size)]

    def do(self, session: Session, chunk: list[Any]) -> list[str]:
        """Do the work for a chunk and return one result per item."""
        return self.many(session, chunk) if self.many else [self.each(session, item) for item in chunk]


@dataclass(frozen=True)
class Job:
    """One entry of the schedule. `work` finds the items, in a session of the system."""

    name: str
    when: Every | Daily
    work: Callable[[Session, JobPass], Work]


# --- the runner


def _ignore(notified: list[tuple[int, str]]) -> None:
    """The default until create_app sets a function that updates open pages."""


@dataclass
class Runner:
    """How jobs run: with which sessions, in which time zone, and what learns which users a commit has notified."""

    sessions: Callable[[], Session]
    zone: str = "Asia/Kolkata"
    #: Gets [(user id, kind of notice)] after the commit; must not raise.
    announce: Callable[[list[tuple[int, str]]], None] = _ignore
    limit: int = MAX_ITEMS
    pass_seconds: float = PASS_SECONDS
    #: Set to end after the current chunk.
    stopping: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Totals:
    items: int = 0
    failed_items: int = 0
    error: str | None = None

    @property
    def outcome(self) -> str:
        return "failed" if self.error and not self.items else "done"


def run_slot(runner: Runner, job: Job, slot: tuple[str, datetime], now: datetime) -> JobRun | None:
    """Run one slot of a job. Returns None when another process has claimed it. Never raises what an item raises."""
    run = _claim(runner, job, slot, now)
    if run is None:
        return None
    started = stopwatch.monotonic()
    execution = _Execution(runner, job)
    execution.run(JobPass(now, runner.zone, runner.limit))
    _finish(runner, run, execution.totals, now + timedelta(seconds=stopwatch.monotonic() - started))
    return run


def _claim(runner: Runner, job: Job, slot: tuple[str, datetime], now: datetime) -> JobRun | None:
    """Claim the slot by an INSERT: UNIQUE (job, slot) lets only one process succeed."""
    lag = max(0, int((now - slot[1]).total_seconds()))
    run = JobRun(job=job.name, slot=slot[0], started_on=now, outcome="running", lag_seconds=lag, ran_by=_process_name())
    run.items = run.failed_items = 0
    with _writing(runner) as session:
        try:
            session.add(run)
            session.flush()
        except IntegrityError:
            return None
        session.expunge(run)  # the caller reads it after the session is closed
        session.commit()
    return run


def _process_name() -> str:
    """host:pid, as long as the column allows."""
    pid = f":{os.getpid()}"
    return socket.gethostname()[: 80 - len(pid)] + pid


def _finish(runner: Runner, run: JobRun, totals: _Totals, now: datetime) -> None:
    values = {"ended_on": now, "outcome": totals.outcome, "items": totals.items, "failed_items": totals.failed_items}
    step = update(JobRun).where(JobRun.id == run.id).values(error=totals.error, **values)
    with _writing(runner) as session:
        session.execute(step, execution_options={"synchronize_session": False})
        session.commit()
    for name, value in {**values, "error": totals.error}.items():
        setattr(run, name, value)


@dataclass
class _Execution:
    """One pass of a job over its items."""

    runner: Runner
    job: Job
    totals: _Totals = field(default_factory=_Totals)
    work: Work = field(default_factory=Work)
    #: How users want to be notified; read once for all items.
    choices: NoticeChoices = field(default_factory=dict)
    #: (user id, kind) of notices that are not announced yet.
    notified: list[tuple[int, str]] = field(default_factory=list)
    started_at: float = field(default_factory=stopwatch.monotonic)
    announced_at: float = field(default_factory=stopwatch.monotonic)

    def run(self, job_pass: JobPass) -> None:
        """Find the items, then do them chunk by chunk."""
        try:
            chunks = self._find_chunks(job_pass)
        except Exception as error:
            log.exception("job %r could not look for its items", self.job.name)
            self.totals.error = _error_summary(error)
            return
        for chunk in chunks:
            if self._is_over():
                break
            self._do(chunk)
            self._announce(ANNOUNCE_SECONDS)
            if self.work.many:
                self.runner.stopping.wait(PAUSE_SECONDS)
        self._announce()

    def _find_chunks(self, job_pass: JobPass) -> list[list[Any]]:
        with self.runner.sessions() as session, access.as_system(session):
            self.work = self.job.work(session, job_pass)
            chunks = self.work.chunks()
            self.choices = notices.load_choices(session) if chunks else {}
        return chunks

    def _is_over(self) -> bool:
        """Whether to begin no further chunk. A daily job has no next minute, so it goes on until it is done."""
        is_late = stopwatch.monotonic() - self.started_at > self.runner.pass_seconds
        return self.runner.stopping.is_set() or (is_late and not isinstance(self.job.when, Daily))

    def _do(self, chunk: list[Any]) -> None:
        """Do a chunk; when it fails, each of its items alone, so that a broken one fails alone and its id is logged."""
        try:
            results, notified = self._commit(chunk)
        except Exception as error:
            if len(chunk) == 1:
                log.exception("job %r failed for item %r", self.job.name, chunk[0])
                self.totals.failed_items += 1
                self.totals.error = f"{chunk[0]}: {_error_summary(error)}"[:500]
                return
            log.warning(
                "job %r does %d items one by one: %s", self.job.name, len(chunk), _error_summary(error), exc_info=True
            )
            for item in chunk:
                if not self._is_over():
                    self._do([item])
            return
        self.totals.items += sum(result != SKIPPED for result in results)
        self.notified += notified

    def _commit(self, chunk: list[Any]) -> tuple[list[str], list[tuple[int, str]]]:
        """Do a chunk in a transaction of its own, and again a moment later when it conflicts with another one."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                with _writing(self.runner) as session:
                    session_context(session).notice_choices = self.choices
                    results = self.work.do(session, chunk)
                    notified = pending(session).take_notified()
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
def _writing(runner: Runner) -> Iterator[Session]:
    """A session of the system for writing: SQLite, which has no row locks, takes its write lock at once."""
    token = WRITES.set(True)
    try:
        with runner.sessions() as session, access.as_system(session):
            yield session
    finally:
        WRITES.reset(token)


def _is_conflict(error: Exception) -> bool:
    if isinstance(error, StaleDataError):
        return True
    cause = getattr(error, "orig", None)
    return bool(cause and cause.args and (cause.args[0] in CONFLICT_CODES or "locked" in str(cause.args[0])))


def _error_summary(error: Exception) -> str:
    """Kind and first line of the error; of a database error without its text, which holds what people have typed."""
    return log_privacy.safe_text(error).splitlines()[0][:400]


# --- the schedule


class Scheduler:
    """Timers of this process; they run the jobs only while this process is the leader."""

    def __init__(self, runner: Runner, election: Any, schedule: Sequence[Job]) -> None:
        """`election` has `acquire()` and `release()`, as in app.ops.leader."""
        self.runner, self.election, self.schedule = runner, election, schedule
        self.is_leader = False
        self._minutely = [job.name for job in schedule if job.when == every_minute]
        self._created_on = datetime.now(UTC)
        self._last_slots: dict[str, str] = {}
        self._timers: Any = None

    def start(self) -> None:
        """Start the timers. Call it in the process that runs the jobs, never before a fork."""
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        # A thread for each job, for the leader election and for the check of delays: one that hangs blocks no other.
        threads = ThreadPoolExecutor(len(self.schedule) + 2)
        self._timers = BackgroundScheduler(executors={"default": threads}, job_defaults=defaults, timezone=UTC)
        self._timers.add_job(self._elect, "interval", seconds=ELECTION_SECONDS, next_run_time=datetime.now(UTC))
        for job in self.schedule:
            self._timers.add_job(self._tick, "cron", second=0, args=[job], id=job.name)
        self._timers.add_job(self._check_delays, "cron", second=30)
        # APScheduler warns when a job still runs in its next minute, which is normal.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._timers.start()

    def stop(self, seconds: float = 4.0) -> None:
        """Stop after the current items, at most this many seconds later, and let another process become the leader."""
        self.runner.stopping.set()
        if self._timers is not None and self._timers.running:
            shutdown = threading.Thread(target=self._timers.shutdown, daemon=True)
            shutdown.start()
            shutdown.join(seconds)
        self.is_leader = False
        self.election.release()

    def _elect(self) -> None:
        was_leader, self.is_leader = self.is_leader, self.election.acquire()
        if self.is_leader and not was_leader:
            log.info("this process runs the schedule now")
            self._report_gap()
            self._run_missed()
        elif was_leader and not self.is_leader:
            log.warning("this process no longer runs the schedule")

    def _run_missed(self) -> None:
        """Run once what was missed while there was no leader."""
        for job in self.schedule:
            self._timers.modify_job(job.name, next_run_time=datetime.now(UTC))

    def _check_delays(self) -> None:
        """Notify admins of late jobs. Every process checks, for the leader may be the one that hangs."""
        now = datetime.now(UTC)
        if now - self._created_on > job_health.LATE_AFTER:
            self._report(now, job_health.current_delays)

    def _report_gap(self) -> None:
        """Notify admins when no process was the leader for a while."""
        self._report(datetime.now(UTC), job_health.delay_before_takeover)

    def _report(self, now: datetime, find: Callable[[Session, list[str], datetime], list[job_health.JobDelay]]) -> None:
        try:
            with self.runner.sessions() as session, access.as_system(session):
                found = find(session, self._minutely, now) if self._minutely else []
            notified = self._notify_admins(found, now) if found else []
        except Exception:
            log.exception("could not report whether the jobs are late")
            return
        if notified:
            self.runner.announce(notified)

    def _notify_admins(self, found: list[job_health.JobDelay], now: datetime) -> list[tuple[int, str]]:
        with _writing(self.runner) as session:
            job_health.notify_admins(session, found, now, self.runner.zone)
            notified = pending(session).take_notified()
            session.commit()
        return notified

    def _tick(self, job: Job) -> None:
        now = datetime.now(UTC)
        slot = job.when.slot(now, self.runner.zone)
        if not self.is_leader or self._last_slots.get(job.name) == slot[0]:
            return
        try:
            run_slot(self.runner, job, slot, now)
        except Exception:
            log.exception(
                "job %r could not be run", job.name
            )  # the database is unreachable: tried again in the next minute
            return
        self._last_slots[job.name] = slot[0]
