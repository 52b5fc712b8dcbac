"""A group of real processes that compete for leadership and run the real schedule; killed ones are replaced at once.

    python -m tests.resilience.process_group '{"count": 4}'

Differences from `python run.py`: a minute of the schedule takes the seconds in GroupSettings, and the processes are
forked from one parent, which forks another one whenever one has ended.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from tests.resilience.tcp_connections import children
from tests.servers import Server

#: From Linux' <sys/prctl.h>
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class GroupSettings:
    """How the pack works."""

    count: int = 4
    #: Items of one pass; few, so that there are many passes to break into.
    limit: int = 50
    #: Seconds that a minute of the schedule lasts.
    minute: float = 0.2
    #: All of them lead at once: what the lock of the lead is there to prevent.
    crowded: bool = False


class ProcessGroup(Server):
    """The parent and its children; they end together."""

    is_preloaded = True

    def __init__(self, folder: Path, terms: GroupSettings, settings: Mapping[str, str]) -> None:
        """`settings` are environment variables (CRM_DATABASE_URL=…)."""
        super().__init__(folder)
        self.terms, self.settings = terms, settings

    def command(self) -> Sequence[str]:
        return (sys.executable, "-m", "tests.resilience.process_group", json.dumps(asdict(self.terms)))

    def environment(self) -> Mapping[str, str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
        return outside | {"CRM_INSTANCE_DIR": str(self.folder / "instance")} | dict(self.settings)

    def answers(self) -> bool:
        return len(self.members()) >= self.terms.count

    def members(self) -> list[int]:
        """The pids of those who live."""
        return children(self.pid)

    def stacks(self) -> str:
        """What each member is doing, as it says itself."""
        for pid in self.members():
            os.kill(pid, signal.SIGUSR1)
            time.sleep(0.5)
        return self.last_words(400)


# --- inside the pack


@dataclass(frozen=True)
class ShortMinute:
    """A minute of the schedule, shorter."""

    seconds: float

    def slot(self, now: datetime, zone: str) -> tuple[str, datetime]:
        """Name and moment of the newest slot."""
        serial = int(now.timestamp() / self.seconds)
        return f"hurried {serial}", datetime.fromtimestamp(serial * self.seconds, now.tzinfo)

    def after(self, now: datetime, zone: str) -> datetime:
        """When the next slot begins."""
        return self.slot(now, zone)[1] + timedelta(seconds=self.seconds)


def main(terms: GroupSettings) -> None:
    """Keep so many children at work until SIGTERM."""
    import config
    import run

    settings = config.load()
    logging.basicConfig(format="%(process)d %(name)s %(message)s")
    app = run.prepare(settings)
    for _ in range(terms.count):
        _bear(app, terms)
    while True:
        os.wait()
        _bear(app, terms)


def _bear(app: Any, terms: GroupSettings) -> None:
    if os.fork():
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    try:
        _work(app, terms)
    finally:
        os._exit(1)


def _work(app: Any, terms: GroupSettings) -> None:
    """As run.py does it in each of its processes, but for the length of a minute."""
    import run
    from app import job_runner, jobs
    from app.job_scheduler import Scheduler
    from app.ops.processes.leader import Election, election

    run._drop_connections(app)
    chosen, runner = app.config["CRM"], app.extensions["crm_jobs"]
    runner.limit = terms.limit
    lead = Election() if terms.crowded else election(chosen.database_url, chosen.instance_dir)
    schedule = [
        replace(job, when=cast(Any, ShortMinute(terms.minute)))
        for job in jobs.SCHEDULE
        if job.when == job_runner.every_minute
    ]
    scheduler = Scheduler(runner, lead, schedule)
    scheduler.look_seconds = terms.minute
    scheduler.start()
    threading.Event().wait()


if __name__ == "__main__":
    main(GroupSettings(**json.loads(sys.argv[1])))
