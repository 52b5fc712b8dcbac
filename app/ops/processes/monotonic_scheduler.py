"""APScheduler in this process, made independent of changes of the clock."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler


class _ThreadForEach(BaseExecutor):  # type: ignore[misc]
    """Runs each call in a thread of its own, which ends with it.

    A pool would keep the threads of the start, when all jobs are due at once, each with the memory of its stack.
    """

    def _do_submit_job(self, job: Any, run_times: Sequence[datetime]) -> None:
        thread = threading.Thread(target=self._run, args=(job, run_times), name=f"job {job.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine has no room for one
            self._run(job, run_times)

    def _run(self, job: Any, run_times: Sequence[datetime]) -> None:
        try:
            events = run_job(job, job._jobstore_alias, run_times, self._logger.name)
        except BaseException as error:  # noqa: BLE001  # APScheduler logs it
            self._run_job_error(job.id, error, sys.exc_info()[2])
        else:
            self._run_job_success(job.id, events)


class MonotonicScheduler(BackgroundScheduler):  # type: ignore[misc]
    """Runs functions added to it, at once or every few seconds, in threads of its own.

    APScheduler waits by the machine's clock: set back by an hour, it would sleep for an hour. So it checks at least
    every `max_wait` seconds, and a job due later than its longest interval is due now.
    """

    def __init__(self, max_wait: float) -> None:
        # Coalesced, and never too late: whatever could not run in time runs once.
        defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        super().__init__(executors={"default": _ThreadForEach()}, job_defaults=defaults, timezone=UTC)
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
