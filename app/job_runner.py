"""The small engine below the jobs: it claims a slot, runs its items, and knows which process leads."""

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

#: Items of one pass, and seconds after which it begins no other chunk: the next minute goes on with the rest.
LIMIT = 20_000
PASS_SECONDS = 50.0
#: Items of one transaction, where a job can deal with many at once.
CHUNK = 100
#: Between two chunks the interpreter belongs to people's requests for so long.
NAP_SECONDS = 0.005
#: News of a long pass go out so often; each makes every bell count anew.
NEWS_SECONDS = 1.0
#: How often an item is tried again when the database says "somebody was in the way".
TRIES = 3
#: MariaDB: lock wait timeout, deadlock, the row of a race already there.
IN_THE_WAY = (1205, 1213, 1062)
#: What an item's work answers when there was nothing to do for it (any more).
SKIPPED = "skipped"


# --- What


@dataclass(frozen=True)
class JobPass:
    """What a job is told: the moment (UTC), the office's zone, how many items it may take."""

    now: datetime
    zone: str
    limit: int = LIMIT


def _nothing(session: Session, item: Any) -> str:
    return SKIPPED


@dataclass(frozen=True)
class Work:
    """The items found, and what is done with them, one by one or a chunk at a time: a chunk is one transaction."""

    items: Iterable[Any] = ()
    #: Does its work for one item and says what came of it: SKIPPED or a word.
    each: Callable[[Session, Any], str] = _nothing
    #: The same for a chunk, one answer an item and in their order; instead of `each`.
    many: Callable[[Session, list[Any]], list[str]] | None = None
    #: How many items make a chunk of `many`.
    size: int = CHUNK

    def chunks(self) -> list[list[Any]]:
        """The items by transaction."""
        items, size = list(self.items), self.size if self.many else 1
        return [items[start : start + size] for start in range(0, len(items), size)]

    def take(self, session: Session, chunk: list[Any]) -> list[str]:
        """Do a chunk."""
        return self.many(session, chunk) if self.many else [self.each(session, item) for item in chunk]


@dataclass(frozen=True)
class Job:
    """One line of the schedule: `work` looks for items in a session of the system."""

    name: str
    when: Every | Daily
    work: Callable[[Session, JobPass], Work]


# --- The engine


def _to_nobody(told: list[tuple[int, str]]) -> None:
    """Until create_app names somebody who pushes."""


@dataclass
class Runner:
    """Where jobs run: sessions, the office's zone, and whom to tell after a commit who was notified."""

    sessions: Callable[[], Session]
    zone: str = "Asia/Kolkata"
    #: Gets [(user id, kind)] after the commit; must not raise.
    announce: Callable[[list[tuple[int, str]]], None] = _to_nobody
    limit: int = LIMIT
    pass_seconds: float = PASS_SECONDS
    #: Set = end after the chunk at hand.
    stopping: threading.Event = field(default_factory=threading.Event)


@dataclass
class _ItemCounter:
    items: int = 0
    failed_items: int = 0
    error: str | None = None

    @property
    def outcome(self) -> str:
        return "failed" if self.error and not self.items else "done"


def run_slot(runner: Runner, job: Job, slot: tuple[str, datetime], now: datetime) -> JobRun | None:
    """Run one slot of one job, unless somebody claimed it: then None. Never raises for what an item does."""
    run = _claim(runner, job, slot, now)
    if run is None:
        return None
    began = stopwatch.monotonic()
    shift = _LeaderTerm(runner, job)
    shift.run(JobPass(now, runner.zone, runner.limit))
    tally = shift.tally
    _end(runner, run, tally, now + timedelta(seconds=stopwatch.monotonic() - began))
    return run


def _claim(runner: Runner, job: Job, slot: tuple[str, datetime], now: datetime) -> JobRun | None:
    """The INSERT is the claim: UNIQUE (job, slot) lets one process have it."""
    lag = max(0, int((now - slot[1]).total_seconds()))
    run = JobRun(job=job.name, slot=slot[0], started_on=now, outcome="running", lag_seconds=lag, ran_by=_who())
    run.items = run.failed_items = 0
    with _writing(runner) as session:
        try:
            session.add(run)
            session.flush()
        except IntegrityError:
            return None
        session.expunge(run)  # the caller reads it when the session is long closed
        session.commit()
    return run


def _who() -> str:
    """This machine and process."""
    pid = f":{os.getpid()}"
    return socket.gethostname()[: 80 - len(pid)] + pid


def _end(runner: Runner, run: JobRun, tally: _ItemCounter, now: datetime) -> None:
    values = {"ended_on": now, "outcome": tally.outcome, "items": tally.items, "failed_items": tally.failed_items}
    step = update(JobRun).where(JobRun.id == run.id).values(error=tally.error, **values)
    with _writing(runner) as session:
        session.execute(step, execution_options={"synchronize_session": False})
        session.commit()
    for name, value in {**values, "error": tally.error}.items():
        setattr(run, name, value)


@dataclass
class _LeaderTerm:
    """One job at its items."""

    runner: Runner
    job: Job
    tally: _ItemCounter = field(default_factory=_ItemCounter)
    work: Work = field(default_factory=Work)
    #: How people want to be told: read once, for all items.
    choices: NoticeChoices = field(default_factory=dict)
    #: Who was notified and has not heard of it yet.
    told: list[tuple[int, str]] = field(default_factory=list)
    began: float = field(default_factory=stopwatch.monotonic)
    announced: float = field(default_factory=stopwatch.monotonic)

    def run(self, at: JobPass) -> None:
        """Look for the items, then do them chunk by chunk."""
        try:
            chunks = self._look(at)
        except Exception as error:
            log.exception("job %r could not look for its items", self.job.name)
            self.tally.error = _said(error)
            return
        for chunk in chunks:
            if self._is_over():
                break
            self._take(chunk)
            self._announce(NEWS_SECONDS)
            if self.work.many:
                self.runner.stopping.wait(NAP_SECONDS)
        self._announce()

    def _look(self, at: JobPass) -> list[list[Any]]:
        with self.runner.sessions() as session, access.as_system(session):
            self.work = self.job.work(session, at)
            chunks = self.work.chunks()
            self.choices = notices.load_choices(session) if chunks else {}
        return chunks

    def _is_over(self) -> bool:
        """A daily job has no next minute: it goes on until it is done."""
        is_late = stopwatch.monotonic() - self.began > self.runner.pass_seconds
        return self.runner.stopping.is_set() or (is_late and not isinstance(self.job.when, Daily))

    def _take(self, chunk: list[Any]) -> None:
        """One broken item stops nobody: its chunk is done one by one, and it is heard in the log, with its id."""
        try:
            answers, told = self._commit(chunk)
        except Exception as error:
            if len(chunk) == 1:
                log.exception("job %r failed for item %r", self.job.name, chunk[0])
                self.tally.failed_items += 1
                self.tally.error = f"{chunk[0]}: {_said(error)}"[:500]
                return
            log.warning("job %r does %d items one by one: %s", self.job.name, len(chunk), _said(error), exc_info=True)
            for item in chunk:
                if not self._is_over():
                    self._take([item])
            return
        self.tally.items += sum(answer != SKIPPED for answer in answers)
        self.told += told

    def _commit(self, chunk: list[Any]) -> tuple[list[str], list[tuple[int, str]]]:
        """Its own short transaction; again, a moment later, when another one was in the way."""
        for attempt in range(1, TRIES + 1):
            try:
                with _writing(self.runner) as session:
                    session_context(session).notice_choices = self.choices
                    answers = self.work.take(session, chunk)
                    told = pending(session).take_notified()
                    session.commit()
                    return answers, told
            except (DBAPIError, StaleDataError) as error:
                if attempt == TRIES or not _in_the_way(error):
                    raise
                stopwatch.sleep(random.uniform(0.02, 0.1) * attempt)  # noqa: S311  # jitter, no secret
        raise AssertionError("unreachable")

    def _announce(self, after: float = 0.0) -> None:
        """Tell, after the commit, whoever was notified; not more often than every so many seconds."""
        if self.told and stopwatch.monotonic() - self.announced >= after:
            self.runner.announce(self.told)
            self.told, self.announced = [], stopwatch.monotonic()


@contextmanager
def _writing(runner: Runner) -> Iterator[Session]:
    """A session of the system that writes: SQLite, which knows no row locks, takes its write lock at once."""
    token = WRITES.set(True)
    try:
        with runner.sessions() as session, access.as_system(session):
            yield session
    finally:
        WRITES.reset(token)


def _in_the_way(error: Exception) -> bool:
    if isinstance(error, StaleDataError):
        return True
    said = getattr(error, "orig", None)
    return bool(said and said.args and (said.args[0] in IN_THE_WAY or "locked" in str(said.args[0])))


def _said(error: Exception) -> str:
    """Kind and first line, without the values of a statement."""
    said = getattr(error, "orig", None) or error
    return f"{type(said).__name__}: {said}".splitlines()[0][:400]


# --- Who runs the schedule


class Scheduler:
    """Ticks in this process; runs the schedule only while this process leads."""

    def __init__(self, runner: Runner, leadership: Any, schedule: Sequence[Job]) -> None:
        self.runner, self.leadership, self.schedule = runner, leadership, schedule
        self.leads = False
        self._minutely = [job.name for job in schedule if job.when == every_minute]
        self._born = datetime.now(UTC)
        self._last: dict[str, str] = {}
        self._ticks: Any = None

    def start(self) -> None:
        """Begin to tick; call it in the process that shall run the jobs, never before a fork."""
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        calm = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        # One thread a job, one for the lead and one for the watch: what hangs, hangs alone.
        threads = ThreadPoolExecutor(len(self.schedule) + 2)
        self._ticks = BackgroundScheduler(executors={"default": threads}, job_defaults=calm, timezone=UTC)
        self._ticks.add_job(self._keep_leading, "interval", seconds=ELECTION_SECONDS, next_run_time=datetime.now(UTC))
        for job in self.schedule:
            self._ticks.add_job(self._tick, "cron", second=0, args=[job], id=job.name)
        self._ticks.add_job(self._watch, "cron", second=30)
        # A job that is still at work when its next minute comes is no news.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._ticks.start()

    def stop(self, seconds: float = 4.0) -> None:
        """End after the items at hand, at most so many seconds later; the lead goes to another process at once."""
        self.runner.stopping.set()
        if self._ticks is not None and self._ticks.running:
            ending = threading.Thread(target=self._ticks.shutdown, daemon=True)
            ending.start()
            ending.join(seconds)
        self.leads = False
        self.leadership.release()

    def _keep_leading(self) -> None:
        led, self.leads = self.leads, self.leadership.acquire()
        if self.leads and not led:
            log.info("this process runs the schedule now")
            self._tell_gap()
            self._catch_up()
        elif led and not self.leads:
            log.warning("this process lost the lead of the schedule")

    def _catch_up(self) -> None:
        """What was missed while nobody led, once; then minute by minute."""
        for job in self.schedule:
            self._ticks.modify_job(job.name, next_run_time=datetime.now(UTC))

    def _watch(self) -> None:
        """Every process looks, leading or not: the one that should run the jobs may be the one that hangs."""
        now = datetime.now(UTC)
        if now - self._born > job_health.LATE_AFTER:
            self._tell_of(now, job_health.current_delays)

    def _tell_gap(self) -> None:
        """Nobody led for a while, and nobody may have been there to say so."""
        self._tell_of(datetime.now(UTC), job_health.delay_before_takeover)

    def _tell_of(
        self, now: datetime, find: Callable[[Session, list[str], datetime], list[job_health.JobDelay]]
    ) -> None:
        try:
            with self.runner.sessions() as session, access.as_system(session):
                found = find(session, self._minutely, now) if self._minutely else []
            told = self._tell(found, now) if found else []
        except Exception:
            log.exception("nobody could be told whether the jobs are late")
            return
        if told:
            self.runner.announce(told)

    def _tell(self, found: list[job_health.JobDelay], now: datetime) -> list[tuple[int, str]]:
        with _writing(self.runner) as session:
            job_health.notify_admins(session, found, now, self.runner.zone)
            told = pending(session).take_notified()
            session.commit()
        return told

    def _tick(self, job: Job) -> None:
        now = datetime.now(UTC)
        slot = job.when.slot(now, self.runner.zone)
        if not self.leads or self._last.get(job.name) == slot[0]:
            return
        try:
            run_slot(self.runner, job, slot, now)
        except Exception:
            log.exception("job %r could not be run", job.name)  # the database is away: the next minute tries again
            return
        self._last[job.name] = slot[0]
