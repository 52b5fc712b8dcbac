"""Late jobs: what should run every minute and does not, and who hears of it, once an incident."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import job_runs, notices, team
from app.domain.job_runs import JobRun

#: A job of every minute that did not start for longer, or is at work for longer, is late.
LATE_AFTER = timedelta(minutes=3)
#: Runs that hang are closed after some minutes; older ones are no news.
_LOOK_BACK = timedelta(minutes=15)


@dataclass(frozen=True)
class JobDelay:
    """One incident."""

    #: The job; "" = all of them stand still.
    job: str
    #: The last slot that was begun: it names the incident, for everybody who sees it.
    slot: str
    #: When that was, UTC.
    since: datetime
    #: When a process took the lead again, UTC; null = nobody has yet.
    until: datetime | None = None
    #: It began and does not end.
    hangs: bool = False
    #: It began later than now: the clock was set back, and slots that ran are not run again until it has passed them.
    is_ahead: bool = False


def current_delays(session: Session, jobs: list[str], now: datetime) -> list[JobDelay]:
    """The jobs of every minute that are late now; one incident where all of them stopped together."""
    last = job_runs.newest_runs(session, jobs)
    if still := _ahead(last, now) or _standstill(last, now):
        return [still]
    late = {run.job: _of_run(run) for run in last.values() if now - run.started_on > LATE_AFTER}
    return list(late.values()) + [_of_run(run) for run in _hanging(session, jobs, now) if run.job not in late]


def delay_before_takeover(session: Session, jobs: list[str], now: datetime) -> list[JobDelay]:
    """For who takes the lead: that no job ran until now, if it was for long."""
    still = _standstill(job_runs.newest_runs(session, jobs), now)
    return [JobDelay(still.job, still.slot, still.since, now)] if still else []


def _standstill(last: dict[str, JobRun], now: datetime) -> JobDelay | None:
    """Nothing at all was begun for too long."""
    newest = max(last.values(), key=lambda run: run.started_on, default=None)
    if newest is None or now - newest.started_on <= LATE_AFTER:
        return None
    return JobDelay("" if len(last) > 1 else newest.job, newest.slot, newest.started_on)


def _ahead(last: dict[str, JobRun], now: datetime) -> JobDelay | None:
    """The newest run lies in the future."""
    newest = max(last.values(), key=lambda run: run.started_on, default=None)
    if newest is None or newest.started_on - now <= LATE_AFTER:
        return None
    return JobDelay("", newest.slot, newest.started_on, is_ahead=True)


def _of_run(run: JobRun) -> JobDelay:
    return JobDelay(run.job, run.slot, run.started_on, hangs=run.outcome == "running")


def _hanging(session: Session, jobs: list[str], now: datetime) -> list[JobRun]:
    """Runs that go on for too long, even if a later one was begun elsewhere; the last of each job."""
    at_work = (JobRun.job.in_(jobs), JobRun.started_on < now - LATE_AFTER, JobRun.started_on > now - _LOOK_BACK)
    query = select(JobRun).where(*at_work, JobRun.outcome == "running").order_by(JobRun.started_on)
    return list({run.job: run for run in session.scalars(query)}.values())


def notify_admins(session: Session, found: Iterable[JobDelay], now: datetime, zone: str) -> int:
    """Notify the admins, once an incident however many processes see it. Answers how many notices were new."""
    found = list(found)
    if not found:
        return 0
    users = tuple(team.active_admins(session))
    return notices.notify_many(session, [_news(each, users, now, ZoneInfo(zone)) for each in found], now)


def _news(late: JobDelay, users: tuple[int, ...], now: datetime, zone: ZoneInfo) -> notices.NoticeEvent:
    """`from` and `to` are what the office's clock showed; the others are for machines."""
    end = late.until or now
    says: dict[str, Any] = {"job": late.job, "since": late.since.isoformat(), "from": _clock(late.since, zone)}
    says |= {"minutes": abs(end - late.since) // timedelta(minutes=1), "hangs": late.hangs, "ahead": late.is_ahead}
    if late.until:
        says |= {"until": late.until.isoformat(), "to": _clock(late.until, zone)}
    key = f"job_lag:{late.job or 'all'}:{late.slot}{':ahead' if late.is_ahead else ''}"
    return notices.NoticeEvent("job_lag", key, users, says, notices.record_ids_of(None))


def _clock(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%-d %b, %H:%M}"
