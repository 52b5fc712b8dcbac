"""CONTENTS: what the CRM does by itself. SCHEDULE, and how each of its jobs finds its items."""

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

#: A run that has been "running" for longer belongs to a process that was killed.
INTERRUPTED_AFTER = timedelta(minutes=5)
#: How long runs are kept.
KEPT = timedelta(days=30)


def _reassign(session: Session, job_pass: JobPass) -> Work:
    office = settings.load_office(session, job_pass.zone)
    if not office_hours.is_open(office, job_pass.now):
        return Work()
    terms = reassignment.load_terms(session)
    found = reassignment.due_records(session, job_pass.now, terms.grace_minutes, office, job_pass.limit)
    reassignment_pass = reassignment.pass_at(job_pass.now, office, terms)
    return Work(found, many=lambda session, rows: reassignment.reassign(session, rows, reassignment_pass))


def _remind(session: Session, job_pass: JobPass) -> Work:
    found = reminders.due_tasks(session, job_pass.now, job_pass.limit)
    return Work(found, many=lambda session, ids: reminders.remind_many(session, ids, job_pass.now, job_pass.zone))


def _check_sla(session: Session, job_pass: JobPass) -> Work:
    found = escalation.due_records(session, job_pass.now, job_pass.limit)
    terms = sla.load_terms(session, job_pass.zone) if found else sla.NO_TERMS
    return Work(found, lambda session, row: escalation.check_record(session, row, job_pass.now, terms))


def _expire_leads(session: Session, job_pass: JobPass) -> Work:
    found = expiry.due_leads(session, job_pass.now, job_pass.limit)
    return Work(found, lambda session, lead_id: expiry.expire_lead(session, lead_id, job_pass.now))


def _expire_requests(session: Session, job_pass: JobPass) -> Work:
    found = expiry.due_requests(session, job_pass.now, settings.load_office(session, job_pass.zone), job_pass.limit)
    return Work(found, lambda session, request_id: expiry.expire_request(session, request_id, job_pass.now))


def _return_after_leave(session: Session, job_pass: JobPass) -> Work:
    found = leave_return.due_assignments(session, job_pass.now, job_pass.limit)
    return Work(found, lambda session, key: leave_return.return_record(session, key, job_pass.now))


def _sweep(kind: DeliveryKind) -> Callable[[Session, JobPass], Work]:
    def work(session: Session, job_pass: JobPass) -> Work:
        found = engine.find_stuck(kind, session, job_pass.now, job_pass.limit)
        return Work(found, lambda session, item: engine.sweep(kind, session, item, job_pass.now))

    return work


def _close_interrupted_runs(session: Session, job_pass: JobPass) -> Work:
    """Close the runs of killed processes. No item is lost: the next slot finds those that were not done."""
    lost = (JobRun.outcome == "running", JobRun.started_on < job_pass.now - INTERRUPTED_AFTER)
    values = {"outcome": "failed", "ended_on": job_pass.now, "error": "The process running it ended."}
    return Work(("runs",), lambda session, _: _execute(session, update(JobRun).where(*lost).values(**values)))


def _delete_old_runs(session: Session, job_pass: JobPass) -> Work:
    old = delete(JobRun).where(JobRun.started_on < job_pass.now - KEPT)
    return Work(("runs",), lambda session, _: _execute(session, old))


def _delete_old_deliveries(session: Session, job_pass: JobPass) -> Work:
    return Work(("deliveries",), lambda session, _: _execute(session, webhooks.cleanup_statement(job_pass.now)))


def _delete_old_responses(session: Session, job_pass: JobPass) -> Work:
    old = {
        "answers": idempotency.cleanup_statement(job_pass.now),
        "tries": authentication.cleanup_statement(job_pass.now),
    }
    return Work(tuple(old), lambda session, name: _execute(session, old[name]))


def _execute(session: Session, statement: Any) -> str:
    done = session.execute(statement, execution_options={"synchronize_session": False})
    return f"{done.rowcount} rows" if done.rowcount else SKIPPED  # type: ignore[attr-defined]


SCHEDULE = (
    Job("reassign overdue tasks", every_minute, _reassign),
    Job("send due reminders", every_minute, _remind),
    Job("hand back after leave", Every(5), _return_after_leave),
    Job("watch the SLA clocks", every_minute, _check_sla),
    Job("queue what was left", every_minute, _sweep(NOTICES)),
    Job("send what webhooks wait for", every_minute, _sweep(WEBHOOKS)),
    Job("expire leads", daily_at("10:00"), _expire_leads),
    Job("expire requests", daily_at("10:00"), _expire_requests),
    Job("close runs that were cut off", Every(5), _close_interrupted_runs),
    Job("forget old job runs", daily_at("03:10"), _delete_old_runs),
    Job("forget old deliveries of webhooks", daily_at("03:20"), _delete_old_deliveries),
    Job("forget old answers", daily_at("03:30"), _delete_old_responses),
)


def next_runs(now: datetime, zone: str) -> dict[str, datetime]:
    """Job -> when it runs next, UTC."""
    return {job.name: job.when.after(now, zone) for job in SCHEDULE}


def names() -> list[str]:
    """The names of the jobs, in the order of the schedule."""
    return [job.name for job in SCHEDULE]


def minutely() -> list[str]:
    """The names of the jobs that run every minute: they show whether any process runs the schedule."""
    return [job.name for job in SCHEDULE if job.when == every_minute]


def run_now(app: Any, name: str, at: datetime | None = None) -> JobRun:
    """Run a job now, as if it were `at` (UTC; default: now). Raises KeyError for an unknown name."""
    job = {each.name: each for each in SCHEDULE}[name]
    runner: Runner = app.extensions["crm_jobs"]
    now = at or datetime.now(UTC)
    slot = f"{MANUAL_PREFIX}{datetime.now(UTC):%m-%dT%H:%M:%S.%f}"
    run = run_slot(runner, job, (slot, now), now)
    if run is None:
        raise RuntimeError(f"“{name}” was started by somebody else at the same moment.")
    return run


def start(app: Any) -> Scheduler | None:
    """Start the schedule in this process, unless CRM_SCHEDULER is off. Never call it in a process that will fork."""
    chosen = app.config["CRM"]
    if not chosen.scheduler:
        return None
    scheduler = Scheduler(app.extensions["crm_jobs"], election(chosen.database_url, chosen.instance_dir), SCHEDULE)
    scheduler.start()
    return scheduler
