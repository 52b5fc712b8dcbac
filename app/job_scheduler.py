"""The schedule: runs the jobs in the leader process, at the time of the database.

Nothing here waits for the machine's clock, so setting it neither delays a job nor brings one forward.
"""

from __future__ import annotations

import logging
import threading
import time as stopwatch
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import not_, select, update
from sqlalchemy.orm import Session

from app import late_jobs
from app.domain.maintenance import job_health
from app.domain.maintenance.job_runs import MANUAL_PREFIX, JobRun
from app.job_runner import Job, Runner, every_minute, is_settled, process_name, run_slot, writing
from app.late_jobs import FindDelays
from app.lib.fair_semaphore import FairSemaphore
from app.ops.monitoring import process_health
from app.ops.processes.leader import ELECTION_SECONDS, Election

log = logging.getLogger("crm.jobs")

#: Seconds after which a job is looked at again that failed, or whose slot another process works on.
RETRY_SECONDS = 20.0
#: How often each process looks for late jobs.
CHECK_SECONDS = 60.0
#: A look that takes longer hangs. It may wait for a database that doesn't answer, for less than a minute.
LONGEST_LOOK_SECONDS = 60.0
#: After a start, it has a process all the time for so long; then one for the jobs of each minute, if it ends so early.
REST_AFTER_SECONDS, SHORTEST_REST_SECONDS = 120.0, 10.0
#: How often a wrong clock is logged.
CLOCK_LOG_SECONDS = 600.0


#: Called with the time when this process becomes the leader, before its first job, in a transaction of the caller's.
AtElection = Callable[[Session, datetime], None]


class Scheduler:
    """Checks every other second, by APScheduler, whether this process is the leader and which slots have begun."""

    def __init__(
        self, runner: Runner, election: Election, schedule: Sequence[Job], at_election: AtElection | None = None
    ) -> None:
        self.runner, self.election, self.schedule, self.at_election = runner, election, schedule, at_election
        self.is_leader = False
        #: For what the look itself does: it waits for no job, or another process would take the lead.
        self._aside = replace(runner, turns=FairSemaphore(2))
        #: Seconds between two looks.
        self.look_seconds: float = ELECTION_SECONDS
        self._minutely = [job.name for job in schedule if job.when == every_minute]
        self._began_at = self._checked_at = self._looked_at = stopwatch.monotonic()
        #: Whether it follows another process of the same parent.
        self._goes_on = False
        #: Job -> the last slot of which nothing is left to do, and when to look again at one that is not.
        self._settled_slots: dict[str, str] = {}
        self._retry_at: dict[str, float] = {}
        #: Names of the jobs that run in this process.
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        #: Held while the election is asked: its connection isn't for two threads at once.
        self._election_lock = threading.Lock()
        self._timers: Any = None
        self._stopping = threading.Event()
        #: How the jobs of this term of leadership run; the end of the term stops them after their current items.
        self._term = replace(runner, stopping=threading.Event())
        self._clock_logged_at: float | None = None

    def start(self, goes_on: bool = False) -> None:
        """Start checking. Call it in the process that runs the jobs, never before a fork.

        `goes_on` = it follows another process of the same parent, which has paused or was replaced.
        """
        self._goes_on = goes_on
        self._began_at = self._checked_at = self._looked_at = stopwatch.monotonic()
        self._running_timers().add_job(
            self._look_safely, "interval", seconds=self.look_seconds, id="look", next_run_time=datetime.now(UTC)
        )

    def stop(self, seconds: float = 4.0) -> None:
        """Stop after the current items, after at most `seconds`, and let another process become the leader."""
        self._stopping.set()
        self.runner.stopping.set()
        self._term.stopping.set()
        end = stopwatch.monotonic() + seconds
        while self._busy and stopwatch.monotonic() < end:
            stopwatch.sleep(0.02)
        if self._timers is not None:
            self._timers.shutdown(wait=False)
        self.is_leader = False
        if self._election_lock.acquire(timeout=max(0.1, end - stopwatch.monotonic())):
            self.election.release()
            self._election_lock.release()

    def retire(self) -> bool:
        """Begin no more jobs, unless one runs, or what starts and watches them. Returns whether it is time to stop."""
        with self._lock:
            if not self._busy:
                self._stopping.set()
        return self._stopping.is_set()

    def pause(self) -> float | None:
        """Begin no more jobs until some are due that aren't yet. Returns the seconds until then, if there is time.

        None while jobs are due or run, soon after a start, if another process leads, and on SQLite.
        """
        is_early = not self._goes_on and stopwatch.monotonic() - self._began_at < REST_AFTER_SECONDS
        if is_early or not (self.is_leader and self.election.may_rest):
            return None
        now, zone = self.election.now(), self.runner.zone
        seconds = min(((job.when.after(now, zone) - now).total_seconds() for job in self.schedule), default=0.0)
        settled = all(self._settled_slots.get(job.name) == job.when.slot(now, zone)[0] for job in self.schedule)
        return seconds if settled and seconds >= SHORTEST_REST_SECONDS and self.retire() else None

    @property
    def hangs(self) -> bool:
        """Whether it has not looked for far too long. A job that hangs doesn't keep it from looking."""
        return stopwatch.monotonic() - self._looked_at > LONGEST_LOOK_SECONDS

    def _running_timers(self) -> Any:
        """APScheduler, started on first use, because threads that begin before a fork are lost."""
        if self._timers is None:
            # Imported only in the process that runs jobs.
            from app.ops.processes.monotonic_scheduler import MonotonicScheduler

            # A thread for each job, the check for leadership, the start of jobs and the check of delays: none can block
            # another.
            self._timers = MonotonicScheduler(self.look_seconds)
            self._timers.start()
        return self._timers

    def _look_safely(self) -> None:
        try:
            self.look()
        except Exception:
            log.exception("the schedule could not be looked at")
        self._looked_at = stopwatch.monotonic()

    def look(self) -> None:
        """Become or stay the leader if possible, and start the jobs that are due."""
        self._elect()
        if self.is_leader:
            self._in_background("(due)", self._start_what_is_due)
        if stopwatch.monotonic() - self._checked_at >= CHECK_SECONDS:
            self._checked_at = stopwatch.monotonic()
            self._in_background("(delays)", self._check_delays)

    # --- leadership

    def _elect(self) -> None:
        was_leader, self.is_leader = self.is_leader, self._leads()
        self._say_clock()
        if self.is_leader and not was_leader:
            log.log(logging.DEBUG if self._goes_on else logging.INFO, "this process runs the schedule now")
            self._term = replace(self.runner, stopping=threading.Event())
            self._settled_slots, self._retry_at = {}, {}
            self._report_gap()
            self._take_over()
        elif was_leader and not self.is_leader and not self._stopping.is_set():
            log.warning("this process no longer runs the schedule")
            self._term.stopping.set()

    def _leads(self) -> bool:
        """Whether this process is the leader now; one that stops no longer asks."""
        with self._election_lock:
            return not self._stopping.is_set() and self.election.acquire()

    def _take_over(self) -> None:
        """Close what a former leader left running, to be taken up again at once, and do what precedes the first job."""
        now = self.election.now()
        begun = (JobRun.outcome == "running", not_(JobRun.slot.startswith(MANUAL_PREFIX)))
        ours = JobRun.id.not_in(list(self.runner.active))
        values = {"outcome": "cut", "ended_on": now, "error": "The process running it ended."}
        try:
            with writing(self._aside) as session:
                step = update(JobRun).where(*begun, ours).values(**values)
                session.execute(step, execution_options={"synchronize_session": False})
                if self.at_election is not None:
                    self.at_election(session, now)
                done = self._slots_done(session, now)
                session.commit()
            self._settled_slots = done  # only now: from here on it may rest
        except Exception:
            log.exception("could not take over from the former leader")
            self.is_leader = False  # the next look tries again

    def _slots_done(self, session: Session, now: datetime) -> dict[str, str]:
        """Job -> its newest slot, of the jobs of which nothing of that is left to do."""
        slots = {job.name: job.when.slot(now, self.runner.zone)[0] for job in self.schedule}
        newest = (JobRun.job.in_(list(slots)), JobRun.slot.in_(sorted({*slots.values()})))
        done = session.execute(select(JobRun.job, JobRun.slot).where(*newest, JobRun.outcome.in_(("done", "failed"))))
        return {job: slot for job, slot in done if slots.get(job) == slot}

    def _say_clock(self) -> None:
        """Report in the log, on the jobs page and in /healthz that this process can't lead because of its clock."""
        if not self.election.is_clock_wrong:
            if process_health.take_note("clock"):
                log.warning("the clock of this process is right again")
            self._clock_logged_at = None
            return
        process_health.report("clock", clock_text(self.election.skew))
        now = stopwatch.monotonic()
        if self._clock_logged_at is None or now - self._clock_logged_at >= CLOCK_LOG_SECONDS:
            self._clock_logged_at = now
            log.error("%s; this process (%s) runs no jobs", clock_text(self.election.skew), process_name())

    # --- slots

    def _start_what_is_due(self) -> None:
        """Start jobs one after the other as long as they are quick, then all others at once.

        All at once, each would take a thread, a database connection and some MB of memory, which the process keeps.
        """
        patient_until = stopwatch.monotonic() + self.look_seconds / 2
        for job in self.schedule:
            if self._is_due(job):
                ended = self._in_background(job.name, lambda job=job: self._tick(job))  # type: ignore[misc]
                ended.wait(max(0.0, patient_until - stopwatch.monotonic()))

    def _is_due(self, job: Job) -> bool:
        slot = job.when.slot(self.election.now(), self.runner.zone)
        waits = self._retry_at.get(job.name, 0.0) > stopwatch.monotonic()
        return self._settled_slots.get(job.name) != slot[0] and not waits and job.name not in self._busy

    def _in_background(self, name: str, function: Callable[[], None]) -> threading.Event:
        """Call the function in another thread, unless the last call of this name still runs, or the schedule stops.

        The event is set at its end.
        """
        ended = threading.Event()
        with self._lock:
            if name in self._busy or self._stopping.is_set():
                return ended
            self._busy.add(name)

        def call() -> None:
            try:
                function()
            finally:
                self._busy.discard(name)
                ended.set()

        try:
            # Each job has an id of its own. APScheduler drops a call whose id it still counts as running, a moment
            # after the last one has ended; the name would then stay busy for ever, and the schedule would stop.
            self._running_timers().add_job(call, name=name, next_run_time=datetime.now(UTC))
        except BaseException:
            self._busy.discard(name)
            raise
        return ended

    def _tick(self, job: Job) -> None:
        """Run the newest slot of a job, or what is left of it, if this process leads."""
        now = self.election.now()
        slot = job.when.slot(now, self.runner.zone)
        if not self.is_leader or self._settled_slots.get(job.name) == slot[0]:
            return
        try:
            run = run_slot(self._term, job, slot, now)
            settled = run.outcome in ("done", "failed") if run else is_settled(self.runner, job, slot)
        except Exception:
            log.exception("job %r could not be run", job.name)  # the database is unreachable
            settled = False
        if settled:
            self._settled_slots[job.name] = slot[0]
        else:
            self._retry_at[job.name] = stopwatch.monotonic() + RETRY_SECONDS

    # --- late jobs

    def _check_delays(self) -> None:
        """Notify admins of late jobs. Every process checks, because the leader may be the one that hangs."""
        if stopwatch.monotonic() - self._began_at > job_health.LATE_AFTER.total_seconds():
            self._report(job_health.current_delays)

    def _report_gap(self) -> None:
        """Notify admins when no process was the leader for a while."""
        self._report(job_health.delay_before_takeover)

    def _report(self, find: FindDelays) -> None:
        late_jobs.report(self._aside, self._minutely, self.election.now(), find)


def clock_text(skew: timedelta) -> str:
    """How far the clock is off, as text."""
    minutes, seconds = divmod(round(abs(skew).total_seconds()), 60)
    direction = "ahead of" if skew > timedelta(0) else "behind"
    return f"the clock of this process is {minutes} min {seconds} s {direction} the database's"
