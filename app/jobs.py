"""CONTENTS: what the CRM does by itself: the schedule of its jobs, and the functions that queued calls may name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from app import job_work, maintenance_job_work
from app.backups import requested_runs as backup_work
from app.domain import custom_values
from app.domain.base import gettext_noop
from app.domain.inbound import inbound_queue
from app.domain.maintenance.backup_runs import BACKUP_TIMES, DRILL_TIMES
from app.domain.maintenance.job_runs import MANUAL_PREFIX, JobRun
from app.inbound import delayed_virus_scans, inbound_processing, mail_fetch, message_file_fetch, recording_fetch
from app.inbound.message_file_fetch import FILES
from app.inbound.recording_fetch import RECORDINGS
from app.job_dry_run import DryRun, try_out
from app.job_runner import Every, Job, Runner, daily_at, every_minute, run_slot
from app.job_scheduler import Scheduler
from app.ops.database.connections import database_now
from app.ops.processes.leader import election
from app.outbox import (
    backlog,
    call_delivery,
    campaign_sending,
    invitation_delivery,
    message_delivery,
    notice_delivery,
    reaction_delivery,
    webhook_delivery,
)
from app.outbox.backlog import BacklogSource
from app.outbox.call_delivery import CALLS
from app.outbox.invitation_delivery import INVITATIONS
from app.outbox.message_delivery import MESSAGES
from app.outbox.notice_delivery import NOTICES
from app.outbox.reaction_delivery import REACTIONS
from app.outbox.webhook_delivery import WEBHOOKS
from app.web.messaging import dnd_list_worker
from app.web.reports import schedule_worker
from app.web.reports.schedule_worker import REPORTS
from app.web.transfer import export_worker, import_worker

#: The functions that queued calls may name; all others are refused.
QUEUED = (
    notice_delivery.send,
    webhook_delivery.send,
    message_delivery.send,
    message_delivery.send_several,
    call_delivery.send,
    recording_fetch.send,
    message_delivery.ask,
    mail_fetch.fetch,
    message_file_fetch.work,
    reaction_delivery.send,
    invitation_delivery.send,
    inbound_processing.work_off,
    backup_work.run,
    campaign_sending.advance,
    dnd_list_worker.read,
    export_worker.work,
    schedule_worker.make,
    schedule_worker.send,
    import_worker.work,
    import_worker.resume,
    delayed_virus_scans.scan,
    backlog.go_on,
)

#: Outbox rows that an outage can leave behind; they are queued again when the queue is back.
BACKLOG = (
    *map(backlog.source, (NOTICES, WEBHOOKS, MESSAGES, FILES, REACTIONS, CALLS, RECORDINGS, REPORTS, INVITATIONS)),
    BacklogSource(
        "event", inbound_processing.QUEUE, inbound_queue.due, lambda keys: inbound_processing.enqueue_event(keys[0])
    ),
)
SCHEDULE = (
    Job(gettext_noop("reassign overdue tasks"), every_minute, job_work.reassign),
    Job(gettext_noop("send due reminders"), every_minute, job_work.remind),
    Job(gettext_noop("hand back after leave"), Every(5), job_work.return_after_leave),
    Job(gettext_noop("watch the SLA clocks"), every_minute, job_work.check_sla),
    Job(gettext_noop("queue what was left"), every_minute, job_work.sweep(NOTICES)),
    Job(gettext_noop("send what webhooks wait for"), every_minute, job_work.sweep(WEBHOOKS)),
    Job(gettext_noop("send messages that wait"), every_minute, job_work.sweep(MESSAGES)),
    Job(gettext_noop("fetch files that wait"), every_minute, job_work.sweep(FILES)),
    Job(gettext_noop("send reactions that wait"), every_minute, job_work.sweep(REACTIONS)),
    Job(gettext_noop("send invitations that wait"), every_minute, job_work.sweep(INVITATIONS)),
    Job(gettext_noop("settle calls that wait"), every_minute, job_work.settle_calls),
    Job(gettext_noop("fetch recordings that wait"), every_minute, job_work.sweep(RECORDINGS)),
    Job(gettext_noop("ask what became of messages"), every_minute, job_work.ask_providers),
    Job(gettext_noop("work off what providers reported"), every_minute, job_work.work_off_hooks),
    Job(gettext_noop("fetch mail"), every_minute, job_work.fetch_mail),
    Job(gettext_noop("go on with campaigns"), every_minute, job_work.advance_campaigns),
    Job(gettext_noop("read do-not-disturb lists"), every_minute, job_work.read_dnd_lists),
    Job(gettext_noop("go on with exports"), every_minute, job_work.write_exports),
    Job(gettext_noop("go on with imports"), every_minute, job_work.go_on_importing),
    Job(gettext_noop("send scheduled reports"), every_minute, job_work.send_reports),
    Job(gettext_noop("go on with reports"), every_minute, job_work.make_reports),
    Job(gettext_noop("email reports that wait"), every_minute, job_work.sweep(REPORTS)),
    Job(gettext_noop("delete files of expired exports"), Every(15), job_work.expire_exports),
    Job(gettext_noop("forget what can't be undone any more"), Every(15), job_work.forget_undone),
    Job(gettext_noop("look for duplicates"), Every(5), job_work.look_for_duplicates),
    Job(gettext_noop("watch the clocks of complaints"), daily_at("09:00"), job_work.watch_complaints),
    Job(gettext_noop("expire leads"), daily_at("10:00"), job_work.expire_leads),
    Job(gettext_noop("remind of re-KYC"), daily_at("10:00"), job_work.remind_of_rekyc),
    Job(gettext_noop("remind of the disclosure of complaints"), daily_at("09:00"), job_work.remind_of_disclosure),
    Job(gettext_noop("tell of orders without evidence"), daily_at("10:00"), job_work.tell_of_orders),
    Job(gettext_noop("watch data requests and breaches"), Every(5), job_work.watch_compliance_clocks),
    Job(gettext_noop("expire requests"), daily_at("10:00"), job_work.expire_requests),
    Job(gettext_noop("back up"), BACKUP_TIMES, maintenance_job_work.ask_for("backup", BACKUP_TIMES)),
    Job(gettext_noop("drill the newest backup"), DRILL_TIMES, maintenance_job_work.ask_for("drill", DRILL_TIMES)),
    Job(gettext_noop("start backups and drills"), every_minute, maintenance_job_work.start_backups),
    Job(gettext_noop("watch the age of backups"), Every(30), maintenance_job_work.watch_backups),
    Job(gettext_noop("close runs that were cut off"), every_minute, maintenance_job_work.close_interrupted_runs),
    Job(gettext_noop("note the end of the audit log"), Every(5), maintenance_job_work.note_audit_head),
    Job(gettext_noop("check the audit log"), daily_at("03:40"), maintenance_job_work.check_audit),
    Job(gettext_noop("watch the health"), every_minute, maintenance_job_work.watch_health),
    Job(gettext_noop("count the calls of each day"), every_minute, maintenance_job_work.count_calls),
    Job(gettext_noop("count records that have changed"), every_minute, maintenance_job_work.count_records),
    Job(gettext_noop("copy earlier notes for the search"), every_minute, maintenance_job_work.copy_notes),
    Job(gettext_noop("compare the holders of tasks"), every_minute, maintenance_job_work.check_holders),
    Job(gettext_noop("compare the counts of records"), daily_at("04:05"), maintenance_job_work.compare_records),
    Job(gettext_noop("go on with erasures"), every_minute, maintenance_job_work.go_on_with_erasures),
    Job(gettext_noop("forget what is too old"), daily_at("03:15"), maintenance_job_work.forget_old),
    Job(gettext_noop("forget files that nobody needs"), daily_at("03:50"), maintenance_job_work.delete_forgotten_files),
    Job(gettext_noop("scan files that wait"), Every(5), maintenance_job_work.scan_files),
    Job(gettext_noop("recount the files of records"), daily_at("03:58"), maintenance_job_work.recount_files),
    Job(custom_values.COMPARING_JOB, daily_at("04:00"), maintenance_job_work.compare_custom_fields),
    Job(gettext_noop("forget what old merges replaced"), daily_at("03:45"), job_work.forget_merges),
    Job(gettext_noop("forget old imports"), daily_at("03:55"), job_work.forget_imports),
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
    """Run a job now, as if it were `at` (UTC; default: the database's time). Raises KeyError for an unknown name."""
    job, runner = _named(name), _runner_of(app)
    now = at or time_of_database(app)
    slot = f"{MANUAL_PREFIX}{datetime.now(UTC):%m-%dT%H:%M:%S.%f}"
    run = run_slot(runner, job, (slot, now), now)
    if run is None:
        raise RuntimeError(f"“{name}” was started by somebody else at the same moment.")
    return run


def dry_run(app: Any, name: str, at: datetime | None = None) -> DryRun:
    """What the job would change now, or at `at`; nothing is changed. Raises KeyError for an unknown name."""
    return try_out(_runner_of(app), _named(name), at or time_of_database(app))


def time_of_database(app: Any) -> datetime:
    """The database's time, UTC."""
    with _runner_of(app).sessions() as session:
        return database_now(session)


def _named(name: str) -> Job:
    return {each.name: each for each in SCHEDULE}[name]


def _runner_of(app: Any) -> Runner:
    runner: Runner = app.extensions["crm_jobs"]
    return runner


def schedule_of(app: Any) -> Scheduler | None:
    """The scheduler, not yet started; None if CRM_SCHEDULER is off. Made before a fork, it is in shared memory."""
    chosen = app.config["CRM"]
    if not chosen.scheduler:
        return None
    from app.ops.processes import monotonic_scheduler  # noqa: F401  # what it will need

    return Scheduler(
        _runner_of(app),
        election(chosen.database_url, chosen.instance_dir),
        SCHEDULE,
        maintenance_job_work.note_holders_are_kept,
    )
