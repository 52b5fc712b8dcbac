"""Tells the admins that jobs are late: for the processes that run the schedule, and for those that serve pages.

Where the schedule can't even start, no process of its own is left to say so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.domain.maintenance import job_health
from app.domain.persistence.transaction_state import transaction_state
from app.job_runner import Runner, writing
from app.ops.database.connections import database_now

log = logging.getLogger("crm.jobs")

#: Finds what is late among these jobs, at this time.
FindDelays = Callable[[Session, list[str], datetime], list[job_health.JobDelay]]


def report(runner: Runner, jobs: list[str], now: datetime | None, find: FindDelays) -> None:
    """Notify the admins of what is found, once however many processes see it. `now`: None = the database's time."""
    try:
        with runner.session() as session:
            now = now or database_now(session)
            found = find(session, jobs, now) if jobs else []
        notified = _notify_admins(runner, found, now) if found else []
    except (SQLAlchemyError, OSError) as error:
        log.warning("could not report whether the jobs are late (%s)", type(error).__name__)
        return
    except Exception:
        log.exception("could not report whether the jobs are late")
        return
    if notified:
        runner.announce(notified)


def _notify_admins(runner: Runner, found: list[job_health.JobDelay], now: datetime) -> list[tuple[int, str]]:
    with writing(runner) as session:
        job_health.notify_admins(session, found, now, runner.zone)
        notified = transaction_state(session).take_notified()
        session.commit()
    return notified


def watch(app: Any, began_at: float | None = None) -> Callable[[], None]:
    """A function for a process that serves pages, to call once a minute: it reports late jobs.

    Not in the first minutes of the process: after a standstill, whoever takes over the schedule says how long it was.
    `began_at`: when the process began, by the monotonic clock; None = now.
    """
    begin = time.monotonic() if began_at is None else began_at

    def look() -> None:
        if time.monotonic() - begin > job_health.LATE_AFTER.total_seconds():
            report(app.extensions["crm_jobs"], app.extensions["crm_minute_jobs"], None, job_health.current_delays)

    return look
