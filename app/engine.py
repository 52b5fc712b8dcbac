"""The small engine below the jobs: it claims a slot, runs its items, and knows which process leads."""

from __future__ import annotations

import logging
import random
import threading
import time as stopwatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app import access
from app.domain.runs import JobRun
from app.ops.database import WRITES
from app.ops.lead import LEAD_SECONDS

log = logging.getLogger("crm.jobs")

#: Items of one pass; the next minute goes on with the rest.
LIMIT = 2000
#: How often an item is tried again when the database says "somebody was in the way".
TRIES = 3
#: MariaDB: lock wait timeout, deadlock, the row of a race already there.
IN_THE_WAY = (1205, 1213, 1062)
#: What an item's work answers when there was nothing to do for it (any more).
SKIPPED = "skipped"


# --- When


@dataclass(frozen=True)
class Every:
    """Every so many minutes; missed ones coalesce into the newest."""

    minutes: int

    def slot(self, now: datetime, zone: str) -> tuple[str, datetime]:
        """Name and moment of the newest slot."""
        began = now.astimezone(UTC).replace(second=0, microsecond=0)
        began -= timedelta(minutes=began.minute % self.minutes)
        return f"{began:%Y-%m-%dT%H:%MZ}", began

    def after(self, now: datetime, zone: str) -> datetime:
        """When the next slot begins, UTC."""
        return self.slot(now, zone)[1] + timedelta(minutes=self.minutes)


@dataclass(frozen=True)
class Daily:
    """Once a local date of the office, also when its clock changes; a missed one once, up to 24 hours late."""

    times: tuple[time, ...]

    def slot(self, now: datetime, zone: str) -> tuple[str, datetime]:
        """Name (local date and time) and moment of the newest slot."""
        place = ZoneInfo(zone)
        today = now.astimezone(place).date()
        days = (today - timedelta(days=1), today)
        moments = [datetime.combine(day, at, tzinfo=place) for day in days for at in self.times]
        newest = max((m for m in moments if m.astimezone(UTC) <= now), key=lambda m: m.replace(tzinfo=None))
        return f"{newest:%Y-%m-%d %H:%M}", newest.astimezone(UTC)

    def after(self, now: datetime, zone: str) -> datetime:
        """When the next slot begins, UTC."""
        place = ZoneInfo(zone)
        today = now.astimezone(place).date()
        days = (today, today + timedelta(days=1))
        moments = [datetime.combine(day, at, tzinfo=place).astimezone(UTC) for day in days for at in self.times]
        return min(moment for moment in moments if moment > now)


every_minute = Every(1)


def daily_at(*times: str) -> Daily:
    """Daily at these local times, e.g. "10:00"."""
    return Daily(tuple(time.fromisoformat(each) for each in times))


# --- What


@dataclass(frozen=True)
class Pass:
    """What a job is told: the moment (UTC), the office's zone, how many items it may take."""

    now: datetime
    zone: str
    limit: int = LIMIT


@dataclass(frozen=True)
class Work:
    """The items found, and what to do for each: one item, one session, one transaction."""

    items: Iterable[Any] = ()
    each: Callable[[Session, Any], str] = lambda session, item: SKIPPED


@dataclass(frozen=True)
class Job:
    """One line of the schedule: `work` looks for items in a session of the system."""

    name: str
    when: Every | Daily
    work: Callable[[Session, Pass], Work]


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
    #: Set = end after the item at hand.
    stopping: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Tally:
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
    tally = _run_items(runner, job, Pass(now, runner.zone, runner.limit))
    _end(runner, run, tally, now + timedelta(seconds=stopwatch.monotonic() - began))
    return run


def _claim(runner: Runner, job: Job, slot: tuple[str, datetime], now: datetime) -> JobRun | None:
    """The INSERT is the claim: UNIQUE (job, slot) lets one process have it."""
    lag = max(0, int((now - slot[1]).total_seconds()))
    run = JobRun(job=job.name, slot=slot[0], started_on=now, outcome="running", lag_seconds=lag)
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


def _end(runner: Runner, run: JobRun, tally: _Tally, now: datetime) -> None:
    values = {"ended_on": now, "outcome": tally.outcome, "items": tally.items, "failed_items": tally.failed_items}
    step = update(JobRun).where(JobRun.id == run.id).values(error=tally.error, **values)
    with _writing(runner) as session:
        session.execute(step, execution_options={"synchronize_session": False})
        session.commit()
    for name, value in {**values, "error": tally.error}.items():
        setattr(run, name, value)


def _run_items(runner: Runner, job: Job, at: Pass) -> _Tally:
    tally = _Tally()
    try:
        with runner.sessions() as session, access.as_system(session):
            work = job.work(session, at)
    except Exception as error:
        log.exception("job %r could not look for its items", job.name)
        tally.error = _said(error)
        return tally
    for item in work.items:
        if runner.stopping.is_set():
            break
        _count(runner, job, work, item, tally)
    return tally


def _count(runner: Runner, job: Job, work: Work, item: Any, tally: _Tally) -> None:
    """One broken item stops nobody: it is heard in the log, with its id, and counted."""
    try:
        answer, told = _one_item(runner, work, item)
    except Exception as error:
        log.exception("job %r failed for item %r", job.name, item)
        tally.failed_items, tally.error = tally.failed_items + 1, f"{item}: {_said(error)}"[:500]
        return
    tally.items += answer != SKIPPED
    if told:
        runner.announce(told)


def _one_item(runner: Runner, work: Work, item: Any) -> tuple[str, list[tuple[int, str]]]:
    """Its own short transaction; again, a moment later, when another one was in the way."""
    for attempt in range(1, TRIES + 1):
        try:
            with _writing(runner) as session:
                answer = work.each(session, item)
                told = session.info.pop("told", [])
                session.commit()
                return answer, told
        except (DBAPIError, StaleDataError) as error:
            if attempt == TRIES or not _in_the_way(error):
                raise
            stopwatch.sleep(random.uniform(0.02, 0.1) * attempt)  # noqa: S311  # jitter, no secret
    raise AssertionError("unreachable")


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
        self._last: dict[str, str] = {}
        self._ticks: Any = None

    def start(self) -> None:
        """Begin to tick; call it in the process that shall run the jobs, never before a fork."""
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        calm = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        # One thread a job and one for the lead: what hangs, hangs alone.
        threads = ThreadPoolExecutor(len(self.schedule) + 1)
        self._ticks = BackgroundScheduler(executors={"default": threads}, job_defaults=calm, timezone=UTC)
        self._ticks.add_job(self._keep_leading, "interval", seconds=LEAD_SECONDS, next_run_time=datetime.now(UTC))
        for job in self.schedule:
            self._ticks.add_job(self._tick, "cron", second=0, args=[job], id=job.name)
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
        led, self.leads = self.leads, self.leadership.holds()
        if self.leads and not led:
            log.info("this process runs the schedule now")
            self._catch_up()
        elif led and not self.leads:
            log.warning("this process lost the lead of the schedule")

    def _catch_up(self) -> None:
        """What was missed while nobody led, once; then minute by minute."""
        for job in self.schedule:
            self._ticks.modify_job(job.name, next_run_time=datetime.now(UTC))

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
