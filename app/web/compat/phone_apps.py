"""Methods of the telephone apps: sync call logs, own calls and statistics, profile, app version."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_babel import gettext as _
from sqlalchemy import case, func, select

from app.domain import business_settings
from app.domain.telephony.call_sync import SyncedCallResult
from app.extensions import db
from app.models import CallLog, Customer, Lead, PhoneSync, Ticket, User
from app.web.compat import date_ranges
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import CALL_LOG, LEAD, TICKET
from app.web.compat.responses import CompatError, error_response
from app.web.compat.timestamps import local_timestamp
from app.web.compat.users import name_of
from app.web.core.fab_access import current_viewer, json_answer
from app.web.core.viewer import Viewer
from app.web.records.telephony import call_batches

MAX_CALLS = 500
#: Masks the number of one side of a call, which may be an email address.
_NUMBER_FIELD = CALL_LOG.record_table.by_name["other_number"]


# --- sync


def sync_call_logs(arguments: Arguments) -> Any:
    """call_logs_data -> the result of each call. Raises Denied (403), CompatError (413 for a large batch, 417)."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Call Logs", "create")
    try:
        return _sync_result(call_batches.store(_call_records(arguments), viewer))
    except call_batches.TemporarilyUnavailable as broken:
        return _retry_later(str(broken.message))


def _call_records(arguments: Arguments) -> list[Any]:
    data = arguments.json_value("call_logs_data")
    if isinstance(data, dict):
        data = [data]
    if not isinstance(data, list):
        raise CompatError(417, _("“call_logs_data” must be a list of calls."))
    try:
        call_batches.refuse_too_large(data)
    except call_batches.BatchTooLarge as refused:
        raise CompatError(refused.http_status, str(refused.message)) from None
    return data


def _retry_later(text: str) -> Response:
    """Fail the whole batch on a temporary error, because the apps don't resend a single failed record."""
    response = error_response(503, text)
    response.headers["Retry-After"] = "30"
    return response


def _sync_result(results: list[SyncedCallResult]) -> dict[str, Any]:
    """The result of each record, and counters, which the apps read in two places."""
    statuses = [result.status for result in results]
    stored, duplicates = statuses.count("created") + statuses.count("updated"), statuses.count("duplicate")
    summary: dict[str, Any] = {
        "success_count": stored,
        "failure_count": statuses.count("error"),
        "duplicate_count": duplicates,
    }
    errors = [f"{result.device_call_id or result.index}: {result.sentence}" for result in results if result.sentence]
    processed_ids = [str(result.call_id) for result in results if result.call_id is not None]
    summary |= {"errors": errors, "processed_ids": processed_ids}
    text = _("Synced %(done)s call logs, %(twice)s duplicates skipped", done=stored, twice=duplicates)
    data = summary | {"results": [_result(result) for result in results]}
    return {"success": True, "message": text, **summary, "data": data}


def _result(result: SyncedCallResult) -> dict[str, Any]:
    fields = {"index": result.index, "device_call_id": result.device_call_id, "status": result.status}
    if result.status == "error":
        return fields | {"error_code": result.code, "error": result.sentence}
    return fields | {"name": str(result.call_id)}


# --- own calls and statistics


def list_user_calls(arguments: Arguments) -> dict[str, Any]:
    """limit (50, at most 500), offset, from_date, to_date -> the person's own calls, newest first."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Call Logs", "read")
    limit, offset = arguments.integer("limit", 50, 1, MAX_CALLS), arguments.integer("offset", 0, 0, 10**6)
    query = select(CallLog, Lead.number, Ticket.number, Customer.first_name, Customer.last_name)
    for record, key in ((Lead, CallLog.lead_id), (Ticket, CallLog.ticket_id), (Customer, CallLog.customer_id)):
        query = query.outerjoin(record, record.id == key)  # null for a record that is not visible to the person
    query = query.where(CallLog.employee_id == viewer.person.id, *_date_conditions(arguments, viewer))
    rows = db.session.execute(query.order_by(CallLog.started_on.desc(), CallLog.id.desc()).limit(limit).offset(offset))
    data = [_call_document(row, viewer) for row in rows]
    return {"success": True, "message": _("Retrieved %(n)s call logs", n=len(data)), "data": data}


def _date_conditions(arguments: Arguments, viewer: Viewer) -> list[Any]:
    """From the start of from_date to the end of to_date, both dates or times. Raises CompatError (417)."""
    conditions = []
    for name in ("from_date", "to_date"):
        if name in arguments:
            start, end = date_ranges.parse_span(arguments.text(name), viewer)
            conditions.append(CallLog.started_on < end if name == "to_date" else CallLog.started_on >= start)
    return conditions


def _call_document(row: Any, viewer: Viewer) -> Any:
    """A call with the numbers of its lead and ticket and its customer's names; phone numbers are masked."""
    call, lead, ticket, *names = row
    native = call.native or {}
    doctype = LEAD.name if lead else TICKET.name if ticket else None
    return {
        "name": str(call.id),
        "from": _masked(call.from_number, viewer),
        "to": _masked(call.to_number, viewer),
        "type": call.direction,
        "status": call.status,
        "duration": call.duration_seconds,
        "native_duration": native.get("duration"),
        "start_time": local_timestamp(call.started_on, viewer, "seconds"),
        "end_time": local_timestamp(call.ended_on, viewer, "seconds"),
        "telephony_medium": "Manual",
        "medium": "Mobile App" if call.medium == "mobile" else call.medium,
        "method": "Mobile" if call.medium == "mobile" else "Manual",
        "employee": viewer.person.username,
        "customer": _masked(call.other_e164, viewer),
        "customer_name": " ".join(name for name in names if name) or None,
        "is_cold_call": int(call.cold),
        "native_call_type": native.get("native_call_type"),
        "native_call_status": native.get("native_call_status"),
        "caller": None,
        "receiver": None,
        "reference_doctype": doctype,
        "reference_docname": lead or ticket,
        "creation": local_timestamp(call.created_on, viewer, "seconds"),
    }


def _masked(number: str | None, viewer: Viewer) -> Any:
    return _NUMBER_FIELD.value((number,), viewer)


def sync_stats(arguments: Arguments) -> dict[str, Any]:
    """Counts of the person's own calls, how many of them were synced, and the time of the last sync."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Call Logs", "read")
    midnight = viewer.now.astimezone(viewer.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    sums = (
        func.count(CallLog.id),
        func.sum(case((CallLog.medium == "mobile", 1), else_=0)),
        func.sum(case((CallLog.created_on >= midnight, 1), else_=0)),
    )
    total, mobile, today = db.session.execute(select(*sums).where(CallLog.employee_id == viewer.person.id)).one()
    last = db.session.execute(select(PhoneSync.synced_on).where(PhoneSync.employee_id == viewer.person.id)).scalar()
    percentage = round(100 * int(mobile or 0) / total, 1) if total else 0.0
    return {
        "success": True,
        "data": {
            "total_call_logs": total,
            "mobile_synced_logs": int(mobile or 0),
            "today_logs": int(today or 0),
            "last_sync_time": local_timestamp(last, viewer, "seconds"),
            "sync_percentage": percentage,
        },
    }


def user_profile(arguments: Arguments) -> dict[str, Any]:
    """The person's name, email and own number, by which the apps tell incoming from outgoing calls."""
    user = db.session.execute(
        select(User.first_name, User.last_name, User.email, User.mobile_e164, User.telephony_number).where(
            User.id == current_viewer().person.id
        )
    ).one()
    number = user.telephony_number or user.mobile_e164 or ""
    data = {
        "user": name_of(current_viewer().person.id, current_viewer()),
        "full_name": f"{user.first_name} {user.last_name}".strip(),
        "mobile_no": number,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
    }
    return {"success": True, "data": data}


# --- the app itself


def app_version(arguments: Arguments) -> Response:
    """The current version of the app; the keys are at the top level, where the app reads them, and under message."""
    values = business_settings.values_of(
        db.session(), "phone_app_version", "phone_app_build", "phone_app_url", "phone_app_force"
    )
    name, build = values["phone_app_version"], values["phone_app_build"]
    version = {
        "success": True,
        "current_version": name,
        "current_build": build,
        "version": name,
        "build_number": build,
        "download_url": values["phone_app_url"] or None,
        "release_notes": "",
        "force_update": values["phone_app_force"],
        "min_supported_version": name if values["phone_app_force"] else "1.0.0",
        "file_size": None,
        "last_updated": None,
    }
    return json_answer(200, version | {"message": version})


def update_settings(arguments: Arguments) -> Response:
    """How often the app checks for a new version, and after how many days it forces the update."""
    force = business_settings.values_of(db.session(), "phone_app_force")["phone_app_force"]
    body = {"success": True, "check_interval_hours": 24, "force_after_days": 0 if force else 30, "auto_check": True}
    return json_answer(200, body | {"message": body})


def log_update_check(arguments: Arguments) -> Response:
    """Answer an app that tells that it has looked for a new version; nothing of it is kept."""
    body = {"success": True}
    return json_answer(200, body | {"message": body})
