"""Late jobs: which jobs of every minute did not run, and one notice of each incident to the admins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.maintenance import job_runs
from app.domain.maintenance.job_runs import JobRun
from app.domain.notifications import notices
from app.domain.people.users import active_admins

#: A job of every minute is late if it has not started for longer than this, or runs for longer.
LATE_AFTER = timedelta(minutes=3)
#: How far back to look for stuck runs; the scheduler closes them after some minutes.
_LOOK_BACK = timedelta(minutes=15)


@dataclass(frozen=True)
class JobDelay:
    """An incident: jobs that are late."""

    #: The job; "" = no job runs.
    job: str
    #: The last slot that was started; identifies the incident in all processes.
    slot: str
    #: When that slot was started, UTC.
    since: datetime
    #: When a process took over the schedule again, UTC; None = none has yet.
    until: datetime | None = None
    #: Whether it started and does not end.
    is_stuck: bool = False
    #: Whether its slot is in the future: the clock was set back, and slots that ran are not run again.
    is_ahead: bool = False


def current_delays(session: Session, jobs: list[str], now: datetime) -> list[JobDelay]:
    """The jobs of every minute that are late now; one incident if all of them stopped."""
    last = _newest_of_schedule(session, jobs)
    if common := _clock_set_back(last, now) or _all_stopped(last, now):
        return [common]
    late = {run.job: _delay_of(run) for run in last.values() if now - run.started_on > LATE_AFTER}
    return list(late.values()) + [_delay_of(run) for run in _stuck_runs(session, jobs, now) if run.job not in late]


def delay_before_takeover(session: Session, jobs: list[str], now: datetime) -> list[JobDelay]:
    """The delay before a process took over the schedule; empty unless it was long."""
    delay = _all_stopped(_newest_of_schedule(session, jobs), now)
    return [JobDelay(delay.job, delay.slot, delay.since, now)] if delay else []


def _newest_of_schedule(session: Session, jobs: list[str]) -> dict[str, JobRun]:
    """The newest run of each job that no admin started: what they start doesn't show that the schedule runs."""
    newest = job_runs.newest_runs(session, jobs)
    found = {job: job_runs.newest_of_schedule(session, job) if run.is_manual else run for job, run in newest.items()}
    return {job: run for job, run in found.items() if run is not None}


def _all_stopped(last: dict[str, JobRun], now: datetime) -> JobDelay | None:
    """Whether no job was started for too long."""
    newest = max(last.values(), key=lambda run: run.started_on, default=None)
    if newest is None or now - newest.started_on <= LATE_AFTER:
        return None
    return JobDelay("" if len(last) > 1 else newest.job, newest.slot, newest.started_on)


def _clock_set_back(last: dict[str, JobRun], now: datetime) -> JobDelay | None:
    """Whether the newest run is in the future."""
    newest = max(last.values(), key=lambda run: run.started_on, default=None)
    if newest is None or newest.started_on - now <= LATE_AFTER:
        return None
    return JobDelay("", newest.slot, newest.started_on, is_ahead=True)


def _delay_of(run: JobRun) -> JobDelay:
    return JobDelay(run.job, run.slot, run.started_on, is_stuck=run.outcome == "running")


def _stuck_runs(session: Session, jobs: list[str], now: datetime) -> list[JobRun]:
    """The last run of each job that takes too long, even if a later one was started elsewhere."""
    started = (JobRun.job.in_(jobs), JobRun.started_on < now - LATE_AFTER, JobRun.started_on > now - _LOOK_BACK)
    query = select(JobRun).where(*started, JobRun.outcome == "running").order_by(JobRun.started_on)
    return list({run.job: run for run in session.scalars(query)}.values())


def notify_admins(session: Session, delays: Iterable[JobDelay], now: datetime, zone: str) -> int:
    """Notify the admins of each incident once, however many processes see it. Returns how many notices were new."""
    delays = list(delays)
    if not delays:
        return 0
    users = tuple(active_admins(session))
    return notices.notify_many(session, [_event(each, users, now, ZoneInfo(zone)) for each in delays], now)


def _event(delay: JobDelay, users: tuple[int, ...], now: datetime, zone: ZoneInfo) -> notices.NoticeEvent:
    """`from` and `to` are texts in the office's zone; `since` and `until` are ISO 8601."""
    end = delay.until or now
    payload: dict[str, Any] = {"job": delay.job, "since": delay.since.isoformat(), "from": _clock(delay.since, zone)}
    payload |= {"minutes": abs(end - delay.since) // timedelta(minutes=1)}
    payload |= {"hangs": delay.is_stuck, "ahead": delay.is_ahead}
    if delay.until:
        payload |= {"until": delay.until.isoformat(), "to": _clock(delay.until, zone)}
    key = f"job_lag:{delay.job or 'all'}:{delay.slot}{':ahead' if delay.is_ahead else ''}"
    return notices.NoticeEvent("job_lag", key, users, payload)


def _clock(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%-d %b, %H:%M}"
