"""APScheduler in this process, made independent of changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler


class MonotonicScheduler(BackgroundScheduler):  # type: ignore[misc]
    """Runs functions added to it, at once or every few seconds, in threads of its own.

    APScheduler waits by the machine's clock: set back by an hour, it would sleep for an hour. So it checks at least
    every `max_wait` seconds, and a job due later than its longest interval is due now.
    """

    def __init__(self, threads: int, max_wait: float) -> None:
        # Coalesced, and never too late: whatever could not run in time runs once.
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        super().__init__(executors={"default": ThreadPoolExecutor(threads)}, job_defaults=defaults, timezone=UTC)
        self.max_wait = max_wait

    def _process_jobs(self) -> float:
        now = datetime.now(UTC)
        latest = now + timedelta(seconds=2 * self.max_wait + 1)
        for job in self.get_jobs():
            if job.next_run_time is not None and job.next_run_time > latest:
                job.modify(next_run_time=now)
        try:
            wait = super()._process_jobs()
        except JobLookupError:
            if self.running:
                raise
            wait = None  # stopped between the start of a call and its removal from the list, which is gone by then
        return self.max_wait if wait is None else min(wait, self.max_wait)
