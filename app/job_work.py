"""The work of each job: how it finds its items, and what it does with them. Upkeep is in `maintenance_job_work`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from app.domain import bulk_undo, report_schedules
from app.domain.automation import (
    complaint_warnings,
    compliance_clocks,
    escalation,
    expiry,
    leave_return,
    order_notices,
    reassignment,
    rekyc_reminders,
    reminders,
)
from app.domain.complaints import disclosure_reminders
from app.domain.files import export_and_import_runs
from app.domain.merging import duplicate_scan, merge_undo
from app.domain.telephony import call_requests
from app.domain.working_time import office_hours, office_schedule, sla
from app.inbound import inbound_processing, mail_fetch, message_file_fetch
from app.job_runner import SKIPPED, JobPass, JobWork
from app.outbox import backlog, campaign_sending, message_delivery
from app.outbox.call_delivery import CALLS
from app.outbox.delivery_engine import DeliveryKind
from app.web.messaging import dnd_list_worker
from app.web.reports import schedule_worker
from app.web.transfer import export_worker, import_worker

log = logging.getLogger("crm.jobs")
#: Records or tasks per transaction of reassignment and reminders: it holds their locks for a tenth of a second.
_AT_ONCE = 200
#: Seconds after which a transaction of a job has surely been committed.
AFTER_COMMIT = 2.0


def reassign(session: Session, job_pass: JobPass) -> JobWork:
    """Reassign overdue tasks, while the office is open."""
    office = office_schedule.load_office(session, job_pass.zone)
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


def remind_of_rekyc(session: Session, job_pass: JobPass) -> JobWork:
    """Remind owners of customers whose KYC has to be renewed soon."""
    found = rekyc_reminders.due_customers(session, job_pass.now, job_pass.zone, job_pass.limit)
    return JobWork(
        found,
        many=lambda session, ids: rekyc_reminders.remind_many(session, ids, job_pass.now, job_pass.zone),
        size=_AT_ONCE,
    )


def remind_of_disclosure(session: Session, job_pass: JobPass) -> JobWork:
    """Remind the compliance officer that the disclosure of the last month's complaints is due."""
    found = disclosure_reminders.due_months(session, job_pass.now, job_pass.zone)
    return JobWork(found, lambda session, month: disclosure_reminders.remind(session, month, job_pass.now))


def watch_complaints(session: Session, job_pass: JobPass) -> JobWork:
    """Warn of the clocks of complaints, and send the daily list of them."""
    return JobWork(
        complaint_warnings.due_complaints(session, job_pass.now, job_pass.zone, job_pass.limit),
        many=lambda session, ids: complaint_warnings.warn_many(session, ids, job_pass.now, job_pass.zone),
        size=_AT_ONCE,
    )


def tell_of_orders(session: Session, job_pass: JobPass) -> JobWork:
    """Tell Compliance and managers of orders by telephone without evidence."""
    found = order_notices.due_notices(session, job_pass.now, job_pass.zone)
    return JobWork(found, lambda session, notice: order_notices.notify(session, notice, job_pass.now))


def watch_compliance_clocks(session: Session, job_pass: JobPass) -> JobWork:
    """Warn of deadlines of data requests and data breaches."""
    found = compliance_clocks.due_notices(session, job_pass.now, job_pass.zone, job_pass.limit)
    return JobWork(found, lambda session, notice: compliance_clocks.notify(session, notice, job_pass.now))


def expire_requests(session: Session, job_pass: JobPass) -> JobWork:
    """Expire assignment requests that nobody has decided."""
    found = expiry.due_requests(
        session, job_pass.now, office_schedule.load_office(session, job_pass.zone), job_pass.limit
    )
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


def settle_calls(session: Session, job_pass: JobPass) -> JobWork:
    """Give up calls that were not dialed in time, and those of which nobody knows whether they were."""
    unknown = [(True, key) for key in call_requests.find_unknown(session, job_pass.now, job_pass.limit)]
    waiting = [(False, item) for item in backlog.find(CALLS, session, job_pass.now, job_pass.limit)]

    def settle(session: Session, found: tuple[bool, Any]) -> str:
        is_unknown, item = found
        if is_unknown:
            return call_requests.drop_unknown(session, item, job_pass.now)
        return backlog.sweep(CALLS, session, item, job_pass.now)

    return JobWork([*unknown, *waiting], settle)


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
    return JobWork(
        dnd_list_worker.find_due(session, job_pass.limit), lambda _session, key: dnd_list_worker.enqueue(key)
    )


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
        export_and_import_runs.forget_import(session, key)
        return "forgotten"

    return JobWork(export_and_import_runs.old_imports(session, job_pass.now, job_pass.limit), forget)


def look_for_duplicates(session: Session, job_pass: JobPass) -> JobWork:
    """Look for duplicates of new and changed records; the first runs look at all records."""

    def look(session: Session, kind: str) -> str:
        return "looked at" if duplicate_scan.scan_next(session, kind, job_pass.now) else SKIPPED

    return JobWork(duplicate_scan.kinds_to_scan(session)[: job_pass.limit], look, in_turns=True)


def forget_merges(session: Session, job_pass: JobPass) -> JobWork:
    """Delete the undo data of merges that can no longer be undone."""
    return JobWork(
        ("merges",),
        lambda session, _: (
            f"{count} merges" if (count := merge_undo.forget_old(session, job_pass.now, 500)) else SKIPPED
        ),
    )


def forget_undone(session: Session, job_pass: JobPass) -> JobWork:
    """Delete what can't be undone any more: values before bulk actions, and deleted notes."""
    return JobWork(
        ("actions",),
        lambda session, _: f"{count} actions" if (count := bulk_undo.forget_old(session, job_pass.now)) else SKIPPED,
    )


def expire_exports(session: Session, job_pass: JobPass) -> JobWork:
    """Delete the files of exports that have expired."""
    store = job_pass.files

    def expire(session: Session, key: int) -> str:
        digests = export_and_import_runs.expire(session, key)
        if store is not None and not job_pass.is_dry_run:
            for digest in dict.fromkeys(digests):
                message_file_fetch.remove_forgotten(session, store, digest, job_pass.now)
        return "expired"

    return JobWork(export_and_import_runs.expired_exports(session, job_pass.now, job_pass.limit), expire)
