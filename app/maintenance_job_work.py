"""The work of the jobs of upkeep: backups, health, roll-ups, the audit log, old data and files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, update
from sqlalchemy.orm import Session

from app.backups import requested_runs as backup_work
from app.domain import custom_fields, custom_values, searchable_note_backfill, task_holders
from app.domain.analytics import record_rollup_fill, record_rollups
from app.domain.audit_log import audit_chain
from app.domain.erasure import erasing, erasure_list
from app.domain.files import attachments, file_quotas
from app.domain.maintenance import backup_runs, health_samples, health_watch, retention
from app.domain.maintenance.job_runs import JobRun
from app.domain.telephony import call_rollup_fill
from app.inbound import delayed_virus_scans, message_file_fetch
from app.job_runner import SKIPPED, Daily, JobPass, JobWork
from app.ops.database.server_status import server_status
from app.ops.queues import queue
from app.ops.storage.audit_head_file import AuditHeadFile
from app.ops.storage.erasure_list_file import ErasureListFile

log = logging.getLogger("crm.jobs")
#: A run that has shown no heartbeat for longer belongs to a process that was killed.
INTERRUPTED_AFTER = timedelta(minutes=5)
#: Rows deleted for their age per transaction, not counting the rows that depend on them.
_FORGOTTEN_AT_ONCE = 500
#: Days of calls that a pass looks for and counts as far as its time goes, and days per transaction: counting a day of
#: 10,000 calls takes a tenth of a second.
_DAYS_IN_A_PASS, _DAYS_AT_ONCE = 1000, 5
#: Transactions for a kind of records in one pass of counting and of comparing, of 500 or 1,000 rows each.
_COUNTS_IN_A_PASS, _COMPARED_IN_A_PASS = 200, 150
#: Transactions of one pass that copies notes: 100,000 entries of timelines, of which notes are a small part.
_STEPS_OF_NOTES = 50
#: Transactions of one pass that compares tasks or assignments with the holders of their records, of 1,000 rows each.
_STEPS_OF_HOLDERS = 50
#: Transactions of one pass for an erasure, of up to 200 rows each.
_STEPS_OF_ERASURES = 200
#: A file to which no row refers may belong to a form that somebody still fills in.
FORGOTTEN_AFTER = timedelta(days=1)


def delete_forgotten_files(session: Session, job_pass: JobPass) -> JobWork:
    """Remove files to which no row refers: of forms that were never sent, and of deleted messages."""
    store, before = job_pass.files, job_pass.now - FORGOTTEN_AFTER
    if store is None:
        return JobWork()
    try:
        found = message_file_fetch.forgotten(session, store, before, job_pass.limit)
    except OSError as error:
        log.warning("files that nobody needs are looked for tomorrow: %s", error)
        return JobWork()

    def remove(session: Session, digest: str) -> str:
        if job_pass.is_dry_run:
            return "file"
        return "file" if message_file_fetch.remove_forgotten(session, store, digest, before) else SKIPPED

    return JobWork(found, remove)


def scan_files(session: Session, job_pass: JobPass) -> JobWork:
    """Queue scans of the files that were accepted while the virus scanner was unavailable."""
    found = attachments.waiting_for_scan(session, job_pass.limit)
    return JobWork(found, lambda _session, key: delayed_virus_scans.enqueue(key))


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
        level = logging.WARNING if report.head[0] else logging.INFO
        log.log(level, "the audit log is intact: %d entries, head %s", *report.head)
        return JobWork()
    log.error("the audit log was altered: %d places, first %s", report.broken, report.faults[:1])
    return JobWork((report,), lambda session, found: _notify_of_audit(session, found, job_pass.now))


def _notify_of_audit(session: Session, report: audit_chain.ChainReport, now: datetime) -> str:
    return "alarm" if audit_chain.notify_admins(session, report, now) else SKIPPED


def watch_health(session: Session, job_pass: JobPass) -> JobWork:
    """Record the health of the whole installation; notify admins of thresholds that were crossed or are met again."""
    queued = queue.depths()
    depth = None if queued is None else sum(each.waiting for each in queued)
    status = server_status(session)
    readings = health_watch.Readings(depth, status.connections, status.pages_asked, status.pages_read)
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


def go_on_with_erasures(session: Session, job_pass: JobPass) -> JobWork:
    """Erase what is due: of erasures that were confirmed, and what duties have kept until now.

    Each turn is a transaction; erasures that a restored database doesn't know are begun again first.
    """
    if job_pass.folder is not None and not job_pass.is_dry_run:
        erasure_list.compare(session, ErasureListFile(job_pass.folder), job_pass.now)
    turns = range(_in_a_row(job_pass, _STEPS_OF_ERASURES))
    found = [key for key in erasing.due(session, job_pass.now, job_pass.limit) for _ in turns]

    def erase(session: Session, key: int) -> str:
        return "rows" if erasing.step(session, key, job_pass.now) else SKIPPED

    return JobWork(found[: job_pass.limit], erase, in_turns=True)


def count_calls(session: Session, job_pass: JobPass) -> JobWork:
    """Fill the daily roll-ups of calls: of past days, and of days whose calls have changed since."""
    zone, now = ZoneInfo(job_pass.zone), job_pass.now

    def fill(session: Session, days: list[int]) -> list[str]:
        filled = set(call_rollup_fill.fill(session, days, zone, now))
        return ["day" if day in filled else SKIPPED for day in days]

    limit = min(_DAYS_IN_A_PASS, job_pass.limit)
    return JobWork(call_rollup_fill.days_to_fill(session, zone, now, limit), many=fill, size=_DAYS_AT_ONCE)


def _in_a_row(job_pass: JobPass, most: int) -> int:
    """How many transactions go on where the one before has ended: in a dry run, which undoes it, one."""
    return 1 if job_pass.is_dry_run else most


def copy_notes(session: Session, job_pass: JobPass) -> JobWork:
    """Copy the texts of notes that an earlier version has written to the table in which they are searched."""
    most = min(_in_a_row(job_pass, _STEPS_OF_NOTES), job_pass.limit)
    steps = most if searchable_note_backfill.is_behind(session, job_pass.now) else 0

    def copy(session: Session, _notes: str) -> str:
        return "entries" if searchable_note_backfill.fill_next(session, job_pass.now) else SKIPPED

    return JobWork(["notes"] * steps, copy, in_turns=True)


def note_holders_are_kept(session: Session, now: datetime) -> None:
    """Note that the leader keeps the holders of tasks: each minute, and before the first job of a new leader.

    After hours in which no server ran, the minute's other jobs would otherwise look like those of a former version.
    """
    if task_holders.note_leader(session, now):
        log.warning("a version without the holders of tasks has run: all tasks are compared again")


def check_holders(session: Session, job_pass: JobPass) -> JobWork:
    """Compare the next tasks with the holders of their leads and tickets; those that differ are put right."""
    turns = range(_in_a_row(job_pass, _STEPS_OF_HOLDERS))
    steps = [name for name in task_holders.waiting(session, job_pass.now) for _ in turns]

    def check(session: Session, name: str) -> str:
        if name == task_holders.LEADER:
            note_holders_are_kept(session, job_pass.now)
            return SKIPPED
        compared, differed = task_holders.check_next(session, name, job_pass.now)
        return f"{name}s put right" if differed else "rows" if compared else SKIPPED

    return JobWork([task_holders.LEADER, *steps[: job_pass.limit]], check, in_turns=True)


def count_records(session: Session, job_pass: JobPass) -> JobWork:
    """Count the leads, tickets and tasks that have changed, and all of them in a new database."""
    zone = ZoneInfo(job_pass.zone)

    def count(session: Session, kind: int) -> str:
        return "rows" if record_rollup_fill.count_next(session, kind, zone, job_pass.now) else SKIPPED

    limit = min(_in_a_row(job_pass, _COUNTS_IN_A_PASS), job_pass.limit)
    return JobWork(record_rollup_fill.to_count(session, zone, job_pass.now, limit), count, in_turns=True)


def compare_records(session: Session, job_pass: JobPass) -> JobWork:
    """Compare the next records with what is counted of them; each that differs is an item, and is put right."""
    zone = ZoneInfo(job_pass.zone)

    def compare(session: Session, kinds: list[int]) -> list[str]:
        _looked, differed = record_rollup_fill.compare_turn(session, kinds[0], zone, job_pass.now)
        if differed:
            log.error("%d rows of kind %d were counted otherwise than they are", differed, kinds[0])
        return ["differs"] * differed or [SKIPPED]

    kinds = record_rollups.RECORDS
    turns = range(_in_a_row(job_pass, _COMPARED_IN_A_PASS))
    return JobWork([kind for _ in turns for kind in kinds], many=compare, size=1)


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
