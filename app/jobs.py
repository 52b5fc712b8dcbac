"""CONTENTS: what it does by itself. SCHEDULE, and what each line of it looks for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from app.domain import (
    authentication,
    escalation,
    expiry,
    idempotency,
    leave_return,
    office_hours,
    reassignment,
    reminders,
    settings,
    sla,
    webhooks,
)
from app.domain.job_runs import MANUAL_PREFIX, JobRun
from app.job_runner import SKIPPED, Every, Job, JobPass, Runner, Scheduler, Work, daily_at, every_minute, run_slot
from app.ops.leader import election
from app.outbox import engine
from app.outbox.engine import DeliveryKind
from app.outbox.notice_delivery import NOTICES
from app.outbox.webhook_delivery import WEBHOOKS

#: A run that says "running" for longer belongs to a process that was killed.
LOST_AFTER = timedelta(minutes=5)
KEPT = timedelta(days=30)


def _reassign(session: Session, at: JobPass) -> Work:
    office = settings.load_office(session, at.zone)
    if not office_hours.is_open(office, at.now):
        return Work()
    terms = reassignment.load_terms(session)
    found = reassignment.due_records(session, at.now, terms.grace_minutes, office, at.limit)
    by = reassignment.pass_at(at.now, office, terms)
    return Work(found, many=lambda one, rows: reassignment.reassign(one, rows, by))


def _remind(session: Session, at: JobPass) -> Work:
    found = reminders.due_tasks(session, at.now, at.limit)
    return Work(found, many=lambda one, ids: reminders.remind_many(one, ids, at.now, at.zone))


def _watch_clocks(session: Session, at: JobPass) -> Work:
    found = escalation.due_records(session, at.now, at.limit)
    terms = sla.load_terms(session, at.zone) if found else sla.NO_TERMS
    return Work(found, lambda one, row: escalation.check_record(one, row[0], row[1], at.now, terms))


def _expire_leads(session: Session, at: JobPass) -> Work:
    found = expiry.due_leads(session, at.now, at.limit)
    return Work(found, lambda one, lead_id: expiry.expire_lead(one, lead_id, at.now))


def _expire_requests(session: Session, at: JobPass) -> Work:
    found = expiry.due_requests(session, at.now, settings.load_office(session, at.zone), at.limit)
    return Work(found, lambda one, request_id: expiry.expire_request(one, request_id, at.now))


def _hand_back(session: Session, at: JobPass) -> Work:
    found = leave_return.due_assignments(session, at.now, at.limit)
    return Work(found, lambda one, key: leave_return.return_record(one, key, at.now))


def _sweep(kind: DeliveryKind) -> Callable[[Session, JobPass], Work]:
    def work(session: Session, at: JobPass) -> Work:
        found = engine.find_stuck(kind, session, at.now, at.limit)
        return Work(found, lambda one, item: engine.sweep(kind, one, item, at.now))

    return work


def _fail_lost(session: Session, at: JobPass) -> Work:
    """Their items are not lost: locks and event keys say what was done, the next slot goes on with the rest."""
    lost = (JobRun.outcome == "running", JobRun.started_on < at.now - LOST_AFTER)
    values = {"outcome": "failed", "ended_on": at.now, "error": "The process running it ended."}
    return Work(("runs",), lambda one, _: _changed(one, update(JobRun).where(*lost).values(**values)))


def _forget(session: Session, at: JobPass) -> Work:
    old = delete(JobRun).where(JobRun.started_on < at.now - KEPT)
    return Work(("runs",), lambda one, _: _changed(one, old))


def _forget_deliveries(session: Session, at: JobPass) -> Work:
    return Work(("deliveries",), lambda one, _: _changed(one, webhooks.cleanup_statement(at.now)))


def _forget_answers(session: Session, at: JobPass) -> Work:
    old = {"answers": idempotency.cleanup_statement(at.now), "tries": authentication.cleanup_statement(at.now)}
    return Work(tuple(old), lambda one, name: _changed(one, old[name]))


def _changed(session: Session, step: Any) -> str:
    done = session.execute(step, execution_options={"synchronize_session": False})
    return f"{done.rowcount} rows" if done.rowcount else SKIPPED  # type: ignore[attr-defined]


SCHEDULE = (
    Job("reassign overdue tasks", every_minute, _reassign),
    Job("send due reminders", every_minute, _remind),
    Job("hand back after leave", Every(5), _hand_back),
    Job("watch the SLA clocks", every_minute, _watch_clocks),
    Job("queue what was left", every_minute, _sweep(NOTICES)),
    Job("send what webhooks wait for", every_minute, _sweep(WEBHOOKS)),
    Job("expire leads", daily_at("10:00"), _expire_leads),
    Job("expire requests", daily_at("10:00"), _expire_requests),
    Job("close runs that were cut off", Every(5), _fail_lost),
    Job("forget old job runs", daily_at("03:10"), _forget),
    Job("forget old deliveries of webhooks", daily_at("03:20"), _forget_deliveries),
    Job("forget old answers", daily_at("03:30"), _forget_answers),
)


def next_runs(now: datetime, zone: str) -> dict[str, datetime]:
    """When each job runs next, UTC."""
    return {job.name: job.when.after(now, zone) for job in SCHEDULE}


def names() -> list[str]:
    """The jobs, in the order of the schedule."""
    return [job.name for job in SCHEDULE]


def minutely() -> list[str]:
    """Those that run every minute: by them one sees whether anybody runs the schedule."""
    return [job.name for job in SCHEDULE if job.when == every_minute]


def run_now(app: Any, name: str, at: datetime | None = None) -> JobRun:
    """Run a job by hand, whatever its time, as of `at` (UTC; now). Raises KeyError for an unknown name."""
    job = {each.name: each for each in SCHEDULE}[name]
    runner: Runner = app.extensions["crm_jobs"]
    now = at or datetime.now(UTC)
    slot = f"{MANUAL_PREFIX}{datetime.now(UTC):%m-%dT%H:%M:%S.%f}"
    run = run_slot(runner, job, (slot, now), now)
    if run is None:
        raise RuntimeError(f"“{name}” was started by somebody else at the same moment.")
    return run


def start(app: Any) -> Scheduler | None:
    """Start the schedule in this process unless CRM_SCHEDULER is off; never in a process that will fork."""
    chosen = app.config["CRM"]
    if not chosen.scheduler:
        return None
    scheduler = Scheduler(app.extensions["crm_jobs"], election(chosen.database_url, chosen.instance_dir), SCHEDULE)
    scheduler.start()
    return scheduler
