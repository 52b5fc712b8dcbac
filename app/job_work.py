"""The work of each job of the schedule: how it finds its items, and what it does with them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, update
from sqlalchemy.orm import Session

from app.backups import requested_runs as backup_work
from app.domain import (
    attachments,
    audit_chain,
    custom_fields,
    custom_values,
    file_quotas,
    office_hours,
    report_schedules,
    settings,
    sla,
    transfer_runs,
)
from app.domain.analytics import record_rollup_fill, record_rollups
from app.domain.automation import escalation, expiry, leave_return, reassignment, reminders
from app.domain.maintenance import backup_runs, health_samples, health_watch, retention
from app.domain.maintenance.job_runs import JobRun
from app.domain.merging import duplicates, merged_records
from app.domain.telephony import call_rollup_fill
from app.job_runner import SKIPPED, Daily, JobPass, JobWork
from app.ops.database import connections
from app.ops.queues import queue
from app.ops.storage.audit_head_file import AuditHeadFile
from app.outbox import (
    backlog,
    campaign_sending,
    dnd_import,
    inbound_processing,
    mail_fetch,
    message_delivery,
    message_files,
    virus_scans,
)
from app.outbox.engine import DeliveryKind
from app.web.reports import schedule_worker
from app.web.transfer import export_worker, import_worker

log = logging.getLogger("crm.jobs")
#: A run that has shown no heartbeat for longer belongs to a process that was killed.
INTERRUPTED_AFTER = timedelta(minutes=5)
#: Records or tasks per transaction of reassignment and reminders: it holds their locks for a tenth of a second.
_AT_ONCE = 200
#: Rows deleted for their age per transaction, not counting the rows that depend on them.
_FORGOTTEN_AT_ONCE = 500
#: Days of calls that a pass looks for and counts as far as its time goes, and days per transaction: counting a day of
#: 10,000 calls takes a tenth of a second.
_DAYS_IN_A_PASS, _DAYS_AT_ONCE = 1000, 5
#: Transactions for a kind of records in one pass of counting and of comparing, of 500 or 1,000 rows each.
_COUNTS_IN_A_PASS, _COMPARED_IN_A_PASS = 200, 150
#: Seconds after which a transaction of a job has surely been committed.
AFTER_COMMIT = 2.0
#: A file to which no row refers may belong to a form that somebody still fills in.
FORGOTTEN_AFTER = timedelta(days=1)


def reassign(session: Session, job_pass: JobPass) -> JobWork:
    """Reassign overdue tasks, while the office is open."""
    office = settings.load_office(session, job_pass.zone)
    if not office_hours.is_open(office, job_pass.now):
        return JobWork()
    terms = reassignment.load_terms(session)
    found = reassignment.due_records(session, job_pass.now, terms.grace_minutes, office, job_pass.limit)
    reassignment_pass = reassignment.pass_at(job_pass.now, office, terms)
    return JobWork(
        found, many=lambda session, rows: reassignment.reassign(session, rows, reassignment_pass), size=_AT_ONCE
    )


def remind(session: Session, job_pass: JobPass) -> JobWork:
    """Send the reminders that are due."""
    found = reminders.due_tasks(session, job_pass.now, job_pass.limit)
    return JobWork(
        found,
        many=lambda session, ids: reminders.remind_many(session, ids, job_pass.now, job_pass.zone),
        size=_AT_ONCE,
    )


def check_sla(session: Session, job_pass: JobPass) -> JobWork:
    """Notify people of SLA targets that are near or missed."""
    found = escalation.due_records(session, job_pass.now, job_pass.limit)
    terms = sla.load_terms(session, job_pass.zone) if found else sla.NO_TERMS
    return JobWork(found, lambda session, row: escalation.check_record(session, row, job_pass.now, terms))


def expire_leads(session: Session, job_pass: JobPass) -> JobWork:
    """Expire leads that nobody has worked on."""
    found = expiry.due_leads(session, job_pass.now, job_pass.limit)
    return JobWork(found, many=lambda session, ids: expiry.expire_leads(session, ids, job_pass.now), size=_AT_ONCE)


def expire_requests(session: Session, job_pass: JobPass) -> JobWork:
    """Expire assignment requests that nobody has decided."""
    found = expiry.due_requests(session, job_pass.now, settings.load_office(session, job_pass.zone), job_pass.limit)
    return JobWork(found, lambda session, request_id: expiry.expire_request(session, request_id, job_pass.now))


def return_after_leave(session: Session, job_pass: JobPass) -> JobWork:
    """Give records back to people whose leave is over."""
    found = leave_return.due_assignments(session, job_pass.now, job_pass.limit)
    return JobWork(found, lambda session, key: leave_return.return_record(session, key, job_pass.now))


def sweep(kind: DeliveryKind) -> Callable[[Session, JobPass], JobWork]:
    """A function that queues rows of this kind again whose call was lost or waits."""

    def work(session: Session, job_pass: JobPass) -> JobWork:
        found = backlog.find(kind, session, job_pass.now, job_pass.limit)
        return JobWork(found, lambda session, item: backlog.sweep(kind, session, item, job_pass.now))

    return work


def ask_providers(session: Session, job_pass: JobPass) -> JobWork:
    """Queue questions to the providers about messages whose outcome is unknown."""
    found = message_delivery.find_unknown(session, job_pass.now, job_pass.limit)
    return JobWork(found, lambda _session, key: message_delivery.enqueue_question(key))


def work_off_hooks(session: Session, job_pass: JobPass) -> JobWork:
    """Queue requests of providers again that wait or were lost."""
    found = inbound_processing.find_due(session, job_pass.now, job_pass.limit)
    return JobWork(found, lambda _session, key: inbound_processing.enqueue(key))


def fetch_mail(session: Session, job_pass: JobPass) -> JobWork:
    """Queue the reading of mailboxes, whose servers may be slow."""
    return JobWork(mail_fetch.find_due(session), lambda _session, key: mail_fetch.enqueue(key))


def advance_campaigns(session: Session, job_pass: JobPass) -> JobWork:
    """Start campaigns whose time has come, and resume those whose worker has died."""
    found = campaign_sending.find_due(session, job_pass.now, job_pass.limit)
    return JobWork(found, lambda _session, key: campaign_sending.enqueue(key))


def read_dnd_lists(session: Session, job_pass: JobPass) -> JobWork:
    """Queue uploaded do-not-disturb lists that are still to be read."""
    return JobWork(dnd_import.find_due(session, job_pass.limit), lambda _session, key: dnd_import.enqueue(key))


def write_exports(session: Session, job_pass: JobPass) -> JobWork:
    """Resume exports whose worker has died."""
    found = export_worker.find_due(session, job_pass.now, job_pass.limit)
    return JobWork(found, lambda _session, key: export_worker.enqueue(key))


def go_on_importing(session: Session, job_pass: JobPass) -> JobWork:
    """Resume imports whose worker has died."""
    found = import_worker.find_due(session, job_pass.now, job_pass.limit)
    return JobWork(found, lambda _session, key: import_worker.enqueue(key))


def send_reports(session: Session, job_pass: JobPass) -> JobWork:
    """Start the reports that are due.

    Each slot of a schedule is one row per reader, which only one process can insert.
    """

    def begin(session: Session, key: int) -> str:
        made = report_schedules.open_slot(session, key, job_pass.now, job_pass.zone)
        for run in made:  # after the commit; what the queue loses is found a minute later
            schedule_worker.enqueue(run, AFTER_COMMIT)
        return f"{len(made)} readers" if made else SKIPPED

    return JobWork(report_schedules.find_due(session, job_pass.now, job_pass.limit), begin)


def make_reports(session: Session, job_pass: JobPass) -> JobWork:
    """Resume reports whose worker has died."""
    found = report_schedules.find_stalled(session, job_pass.now, job_pass.limit)
    return JobWork(found, lambda _session, key: schedule_worker.enqueue(key))


def forget_imports(session: Session, job_pass: JobPass) -> JobWork:
    """Delete the files and rows of imports that can no longer be reverted."""

    def forget(session: Session, key: int) -> str:
        transfer_runs.forget_import(session, key)
        return "forgotten"

    return JobWork(transfer_runs.old_imports(session, job_pass.now, job_pass.limit), forget)


def look_for_duplicates(session: Session, job_pass: JobPass) -> JobWork:
    """Look for duplicates of new and changed records; the first runs look at all records."""
    done: set[str] = set()

    def look(session: Session, kind: str) -> str:
        if kind not in done and duplicates.scan_next(session, kind, job_pass.now):
            return "looked at"
        done.add(kind)
        return SKIPPED

    return JobWork(duplicates.kinds_to_scan(session)[: job_pass.limit], look)


def forget_merges(session: Session, job_pass: JobPass) -> JobWork:
    """Delete the undo data of merges that can no longer be undone."""
    return JobWork(
        ("merges",),
        lambda session, _: (
            f"{count} merges" if (count := merged_records.forget_old(session, job_pass.now, 500)) else SKIPPED
        ),
    )


def expire_exports(session: Session, job_pass: JobPass) -> JobWork:
    """Delete the files of exports that have expired."""
    store = job_pass.files

    def expire(session: Session, key: int) -> str:
        digests = transfer_runs.expire(session, key)
        if store is not None and not job_pass.is_dry_run:
            for digest in dict.fromkeys(digests):
                message_files.remove_forgotten(session, store, digest, job_pass.now)
        return "expired"

    return JobWork(transfer_runs.expired_exports(session, job_pass.now, job_pass.limit), expire)


def delete_forgotten_files(session: Session, job_pass: JobPass) -> JobWork:
    """Remove files to which no row refers: of forms that were never sent, and of deleted messages."""
    store, before = job_pass.files, job_pass.now - FORGOTTEN_AFTER
    if store is None:
        return JobWork()
    try:
        found = message_files.forgotten(session, store, before, job_pass.limit)
    except OSError as error:
        log.warning("files that nobody needs are looked for tomorrow: %s", error)
        return JobWork()

    def remove(session: Session, digest: str) -> str:
        if job_pass.is_dry_run:
            return "file"
        return "file" if message_files.remove_forgotten(session, store, digest, before) else SKIPPED

    return JobWork(found, remove)


def scan_files(session: Session, job_pass: JobPass) -> JobWork:
    """Queue scans of the files that were accepted while the virus scanner was unavailable."""
    found = attachments.waiting_for_scan(session, job_pass.limit)
    return JobWork(found, lambda _session, key: virus_scans.enqueue(key))


def recount_files(session: Session, job_pass: JobPass) -> JobWork:
    """Recount the bytes that each person has attached: a deleted record also deletes its files."""
    return JobWork(("usage",), lambda session, _: f"{file_quotas.recount(session)} rows")


def compare_custom_fields(session: Session, job_pass: JobPass) -> JobWork:
    """Compare the index of custom fields with the records; each record that differs counts as an item."""

    def compare(session: Session, tables: list[str]) -> list[str]:
        counts = {table: custom_values.differing(session, table) for table in tables}
        for table, count in counts.items():
            if count:
                log.error("%s: the index of custom fields differs from %d records", table, count)
        return ["differs"] * sum(counts.values())

    return JobWork(tuple(custom_fields.RECORDS), many=compare, size=1)


def close_interrupted_runs(session: Session, job_pass: JobPass) -> JobWork:
    """Close the runs of killed processes as cut off; the leader takes up their slots again.

    A new leader closes the runs of the former one at once; this finds all others, such as those started by hand.
    """
    silent = func.coalesce(JobRun.seen_on, JobRun.started_on) < job_pass.now - INTERRUPTED_AFTER
    values = {"outcome": "cut", "ended_on": job_pass.now, "error": "The process running it ended."}
    step = update(JobRun).where(JobRun.outcome == "running", silent).values(**values)
    return JobWork(("runs",), lambda session, _: _execute(session, step))


def note_audit_head(session: Session, job_pass: JobPass) -> JobWork:
    """Record the head of the audit log outside the database, so that missing entries at the end are noticed."""
    if job_pass.folder is not None and not job_pass.is_dry_run:
        AuditHeadFile(job_pass.folder).note(job_pass.now, audit_chain.current_head(session))
    return JobWork()


def check_audit(session: Session, job_pass: JobPass) -> JobWork:
    """Check the audit log, log its end, and alert the admins if it was altered."""
    record = AuditHeadFile(job_pass.folder).heads() if job_pass.folder is not None else []
    report = audit_chain.verify(session, [audit_chain.ChainHead(*head) for head in record])
    if report.is_our_key and not report.broken:
        # A warning only so that the line reaches the log by default: it is kept as evidence outside the database.
        log.warning("the audit log is intact: %d entries, head %s", *report.head)
        return JobWork()
    log.error("the audit log was altered: %d places, first %s", report.broken, report.faults[:1])
    return JobWork((report,), lambda session, found: _notify_of_audit(session, found, job_pass.now))


def _notify_of_audit(session: Session, report: audit_chain.ChainReport, now: datetime) -> str:
    return "alarm" if audit_chain.notify_admins(session, report, now) else SKIPPED


def watch_health(session: Session, job_pass: JobPass) -> JobWork:
    """Record the health of the whole installation; notify admins of thresholds that were crossed or are met again."""
    queued = queue.depths()
    depth = None if queued is None else sum(each.waiting for each in queued)
    readings = health_watch.Readings(depth, connections.open_connections(session))
    return JobWork(("thresholds",), lambda session, _: health_watch.watch(session, readings, job_pass.now) or SKIPPED)


#: The last item of a retention run: records what was deleted, and deletes surplus health samples.
_CLOSE = retention.ExpiredRow("", 0, None)


def forget_old(session: Session, job_pass: JobPass) -> JobWork:
    """Delete rows that are older than the retention settings allow."""
    now = job_pass.now
    found = retention.find(session, now, job_pass.limit)
    is_last = len(found.rows) < job_pass.limit

    def forget(session: Session, rows: list[retention.ExpiredRow]) -> list[str]:
        closes = _CLOSE in rows
        deleted = retention.forget(session, [row for row in rows if row != _CLOSE], now)
        if closes:
            retention.close(session, found.ends, now)
            for step in health_samples.surplus(session):
                session.execute(step, execution_options={"synchronize_session": False})
        return ["forgotten"] * deleted + [SKIPPED] * (len(rows) - deleted)

    return JobWork([*found.rows, _CLOSE] if is_last else found.rows, many=forget, size=_FORGOTTEN_AT_ONCE)


def count_calls(session: Session, job_pass: JobPass) -> JobWork:
    """Fill the daily roll-ups of calls: of past days, and of days whose calls have changed since."""
    zone, now = ZoneInfo(job_pass.zone), job_pass.now

    def fill(session: Session, days: list[int]) -> list[str]:
        filled = set(call_rollup_fill.fill(session, days, zone, now))
        return ["day" if day in filled else SKIPPED for day in days]

    limit = min(_DAYS_IN_A_PASS, job_pass.limit)
    return JobWork(call_rollup_fill.days_to_fill(session, zone, now, limit), many=fill, size=_DAYS_AT_ONCE)


def count_records(session: Session, job_pass: JobPass) -> JobWork:
    """Count the leads, tickets and tasks that have changed, and all of them in a new database."""
    zone = ZoneInfo(job_pass.zone)
    done: set[int] = set()

    def count(session: Session, kind: int) -> str:
        if kind not in done and record_rollup_fill.count_next(session, kind, zone, job_pass.now):
            return "rows"
        done.add(kind)
        return SKIPPED

    return JobWork(
        record_rollup_fill.to_count(session, zone, job_pass.now, min(_COUNTS_IN_A_PASS, job_pass.limit)), count
    )


def compare_records(session: Session, job_pass: JobPass) -> JobWork:
    """Compare the next records with what is counted of them; each that differs is an item, and is put right."""
    zone = ZoneInfo(job_pass.zone)

    def compare(session: Session, kinds: list[int]) -> list[str]:
        _looked, differed = record_rollup_fill.compare_turn(session, kinds[0], zone, job_pass.now)
        if differed:
            log.error("%d rows of kind %d were counted otherwise than they are", differed, kinds[0])
        return ["differs"] * differed or [SKIPPED]

    kinds = record_rollups.RECORDS
    return JobWork([kind for _ in range(_COMPARED_IN_A_PASS) for kind in kinds], many=compare, size=1)


#: Runs of backups and drills that a pass starts.
_BACKUPS_AT_ONCE = 20


def ask_for(kind: str, times: Daily) -> Callable[[Session, JobPass], JobWork]:
    """A function that adds a row for the newest slot; the queue `long` does the work, however long it takes."""

    def work(session: Session, job_pass: JobPass) -> JobWork:
        slot = f"{kind} {times.slot(job_pass.now, job_pass.zone)[0]}"
        return JobWork((slot,), lambda session, slot: backup_work.ask_for_slot(session, kind, slot, job_pass.now))

    return work


def start_backups(session: Session, job_pass: JobPass) -> JobWork:
    """Queue the waiting runs, and restart those that a killed process has left behind."""
    found = backup_runs.to_start(session, job_pass.now, _BACKUPS_AT_ONCE)
    return JobWork(found, lambda session, key: _start_backup(session, key, job_pass.now))


def _start_backup(session: Session, key: int, now: datetime) -> str:
    # The queue may be faster than this commit; then the next minute queues it.
    return backup_work.enqueue(key) if backup_runs.begin_again(session, key, now) else "given up"


def watch_backups(session: Session, job_pass: JobPass) -> JobWork:
    """Tell the admins if the newest backup is too old."""
    return JobWork(
        ("backups",), lambda session, _: " ".join(backup_runs.notify_overdue(session, job_pass.now)) or SKIPPED
    )


def _execute(session: Session, statement: Any) -> str:
    done = session.execute(statement, execution_options={"synchronize_session": False})
    return f"{done.rowcount} rows" if done.rowcount else SKIPPED  # type: ignore[attr-defined]
