"""The worker of scheduled reports: makes each reader's file under their own rights, then sends it, once.

The file is made and stored first, which may be repeated; sending is claimed by the delivery engine and is never
repeated. A process killed in between leaves a run that another one resumes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import current_app
from flask_babel import force_locale, gettext, ngettext
from sqlalchemy.orm import Session

from app import access, shown_brand
from app.channels.base import AttachedFile, Channel, Content
from app.channels.console import Console
from app.domain import report_schedules
from app.domain.base import RuleBroken, translatable
from app.domain.report_schedules import ReportRun, ReportSchedule
from app.domain.reports import Report
from app.extensions import db
from app.lib.digit_grouping import GroupedInt
from app.models import User
from app.ops.queues import queue
from app.ops.storage.file_store import FileStore, TooLarge
from app.outbox import delivery_engine
from app.outbox.delivery_engine import SKIPPED, DeliveryKind, DeliveryResult, NotSent, NotToBeSent, send_content
from app.outbox.system_emails import SystemEmail, content_of
from app.shown_brand import ShownBrand
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.viewer import Viewer
from app.web.reports import files
from app.web.reports.pages import definition_of
from app.web.transfer import file_rights
from app.web.transfer.run_as import acting_for

QUEUE = "long"
#: Seconds before the second, third … attempt to send.
WAITS = (60, 300, 1800)
#: Mail servers refuse larger messages.
MAX_BYTES = 15_000_000
NOT_KNOWN = "Unknown whether it arrived: sending was interrupted. Please ask the reader before you send it again."
IS_GONE = "They can't sign in any more."
NO_SERVER = "No mail server is set up, so emails are only logged. An admin sets CRM_SMTP_URL."
NO_ADDRESS = "They have no email address."
TOO_LARGE = "The file is larger than 15 MB. Please narrow the report down."

STORE_AWAY = translatable("The storage of files could not be used. Please try again later.")

log = logging.getLogger("crm.reports")


# --- the file


def make(run_id: int) -> None:
    """Make the file of a run and queue its sending. The function's path is stored in queues."""
    started = time.monotonic()
    with access.system_transaction() as session:
        run = report_schedules.claim(session, run_id, datetime.now(UTC))
        found = _report_of(session, run) if run is not None else None
    if run is None or found is None:
        return
    report, format_ = found
    try:
        data, values = _file(run, report, format_)
    except access.Denied as denied:
        _end(run, "dropped", denied.message)
    except RuleBroken as broken:
        _end(run, "failed", broken.message)
    except TooLarge:
        _end(run, "failed", TOO_LARGE)
    else:
        _keep(run, data, values | {"took_ms": round(1000 * (time.monotonic() - started))})


def _report_of(session: Session, run: ReportRun) -> tuple[Report, str] | None:
    schedule = session.get_one(ReportSchedule, run.schedule_id)
    report = session.get_one(Report, schedule.report_id)
    session.expunge(report)
    return report, schedule.format


def _file(run: ReportRun, report: Report, format_: str) -> tuple[bytes, dict[str, Any]]:
    """The file for the reader, with its rows and their rights.

    Raises Denied if they have no right to it, RuleBroken, TooLarge.
    """
    with acting_for(run.user_id, f"/reports/{report.id}/") as viewer:
        viewer.person.refuse_unless("Reports", "read")
        definition = definition_of(report)
        rights = file_rights.rights_of(viewer)
        data, rows = files.make(report.label, definition, viewer, format_)
        if len(data) > MAX_BYTES:
            raise TooLarge
        _note(viewer, definition, {"report": report.id, "rows": rows, "format": format_, "run": run.id})
    return data, {"rows": rows, "rights": rights}


def _note(viewer: Viewer, definition: Any, what: dict[str, Any]) -> None:
    with access.system_transaction() as session:
        files.write_audit(session, viewer, definition, via="email", **what)


def _keep(run: ReportRun, data: bytes, values: dict[str, Any]) -> None:
    """Store the file, and queue its sending; later, if the storage is unavailable."""
    try:
        _store(run, data, values)
    except OSError as error:
        log.warning("report run %s waits for the storage of files (%s)", run.id, type(error).__name__)
        with access.system_transaction() as session:
            is_postponed = report_schedules.postpone(session, run, datetime.now(UTC))
        if not is_postponed:
            _end(run, "failed", STORE_AWAY)


def _store(run: ReportRun, data: bytes, values: dict[str, Any]) -> None:
    store: FileStore = current_app.extensions["crm_files"]
    stored = store.put(data)
    with access.system_transaction() as session:
        values |= {"digest": stored.digest, "size": stored.size}
        if not report_schedules.mark_file_written(session, run, values, datetime.now(UTC)):
            return
    delivery_engine.enqueue(REPORTS, run.id)


def _end(run: ReportRun, state: str, why: str) -> None:
    log.warning("report run %s %s: %s", run.id, state, getattr(why, "msgid", why))
    with access.system_transaction() as session:
        report_schedules.settle(session, run, (state, str(why)), datetime.now(UTC))


def enqueue(run_id: int, seconds: float = 0.0) -> str:
    """Have a worker make the file soon."""
    return "queued" if queue.enqueue_in(seconds, QUEUE, make, run_id) else SKIPPED


# --- the email


def send(run_id: int) -> None:
    """Send the file of a run that is due. The function's path is stored in queues."""
    delivery_engine.deliver(REPORTS, run_id)


def _prepare(row: ReportRun) -> tuple[Channel, str, Content]:
    """Channel, address and content.

    Raises NotToBeSent if the reader is inactive, NotSent for a file to be made again or if no email leaves here.
    """
    channels: Mapping[str, Channel] = current_app.extensions["crm_channels"]
    channel = channels["email"]
    if isinstance(channel, Console):
        raise NotSent(DeliveryResult("failed", NO_SERVER, was_attempted=False))
    with Session(db.engine, expire_on_commit=False) as session, access.as_system(session):
        user = session.get_one(User, row.user_id)
        schedule = session.get_one(ReportSchedule, row.schedule_id)
        report = session.get_one(Report, schedule.report_id)
        author = session.get(User, report.owner_id)
        brand = shown_brand.current(current_app, session)
    if not user.active:
        raise NotToBeSent(IS_GONE)
    if not user.email:
        raise NotToBeSent(NO_ADDRESS)
    data = _data_of(row)
    office = ZoneInfo(current_app.config["CRM"].time_zone)
    name = files.name_of(report.label, schedule.format, datetime.now(office).date())
    mime = files.MIMES[schedule.format].partition(";")[0]
    with force_locale(user.locale or "en"):
        by = f"{author.first_name} {author.last_name}".strip() if author else ""
        content = _content(row, report, by, brand)
    content = replace(content, files=(AttachedFile(name, mime, data),))
    return channel, user.email, content


def _data_of(row: ReportRun) -> bytes:
    """The file. Raises NotSent: it contains more than the reader may see now, or the storage is unavailable."""
    with acting_for(row.user_id) as viewer:
        if file_rights.are_fewer(row.rights, viewer) or not viewer.person.may("Reports", "read"):
            raise NotSent(DeliveryResult("waiting", None, was_attempted=False))
    store: FileStore = current_app.extensions["crm_files"]
    try:
        with store.open(row.digest or "") as file:
            return file.read()
    except OSError as error:
        log.warning("report run %s waits for the storage of files (%s)", row.id, type(error).__name__)
        raise NotSent(delivery_engine.retry(REPORTS, row, str(STORE_AWAY))) from error


def _content(row: ReportRun, report: Report, author: str, brand: ShownBrand) -> Content:
    chosen = current_app.config["CRM"]
    lines = [
        gettext("The report “%(name)s” is attached. It shows what you may see.", name=report.label),
        ngettext("It has %(num)s row.", "It has %(num)s rows.", GroupedInt(row.rows)),
    ]
    if row.missed:
        text = ngettext(
            "It could not be sent at %(num)s earlier time, because the CRM was not running then.",
            "It could not be sent at %(num)s earlier times, because the CRM was not running then.",
            row.missed,
        )
        lines.append(text)
    why = gettext("%(author)s has chosen you as a reader of this report in %(brand)s.", author=author, brand=brand.name)
    link = f"{chosen.public_url}/reports/{report.id}/"
    email = SystemEmail(
        about=f"user {row.user_id}: report run {row.id}",
        key=f"report-{row.id}-{int(row.created_on.timestamp())}",
        subject=f"{report.label} · {format_local_date(_moment(row), '%-d %b %Y, %H:%M')}",
        lines=tuple(lines),
        link=link,
        button=gettext("Open the report"),
        reason=why,
    )
    return content_of(email, brand)


def _moment(row: ReportRun) -> datetime:
    """The time of a run on the clock of the office: a slot is written in it, a request by hand in UTC."""
    if row.slot.startswith(report_schedules.MANUAL_PREFIX):
        return row.created_on.astimezone(ZoneInfo(current_app.config["CRM"].time_zone))
    return datetime.fromisoformat(row.slot[:16])


def _on_settled(session: Session, row: ReportRun, result: DeliveryResult, now: datetime) -> None:
    """Delete the file once it was sent or dropped, and update the schedule; one to be made again waits for that."""
    if result.state == "queued":
        return
    stored = session.get_one(ReportRun, row.id, populate_existing=True)
    stored.digest = None
    if result.state == "waiting":
        stored.next_try_on = now
        return
    report_schedules.count_result(session, stored, now)


REPORTS = DeliveryKind(
    label="report run",
    log=log,
    model=ReportRun,
    key=ReportRun.id,
    began_on=ReportRun.began_on,
    ended_on=ReportRun.at,
    queue="short",
    send=send,
    waits=lambda _row: WAITS,
    prepare=_prepare,
    transmit=send_content,
    interrupted=DeliveryResult("unknown", NOT_KNOWN),
    on_settled=_on_settled,
)
