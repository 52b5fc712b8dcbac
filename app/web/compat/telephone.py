"""What the telephone applications in the field call: their calls, their figures, who they are, which version is new."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response
from flask_babel import gettext as _
from sqlalchemy import case, func, select

from app.domain import settings
from app.domain.call_sync import MAX_BATCH, CallResult
from app.extensions import db
from app.models import CallLog, Customer, Lead, PhoneSync, Ticket, User
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.responses import CompatError
from app.web.core.gate import current_viewer, json_answer
from app.web.records import call_batches

MAX_CALLS = 500
#: One side of a call, which may be an e-mail address, and its mask.
_NUMBER_FIELD = DOCTYPES["CRM Call Log"].record_table.by_name["other_number"]


# --- calls in


def sync_call_logs(arguments: Arguments) -> Any:
    """A batch of calls. Raises Refused: 403 without the right, 413 for more than MOST, 417 for what is no list."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Call Logs", "create")
    try:
        return _sync_result(call_batches.store(_call_records(arguments), viewer))
    except call_batches.ComeAgain as broken:
        return _retry_later(str(broken.message))


def _call_records(arguments: Arguments) -> list[Any]:
    data = arguments.json_value("call_logs_data")
    if isinstance(data, dict):
        data = [data]
    if not isinstance(data, list):
        raise CompatError(417, _("“call_logs_data” must be a list of calls."))
    if len(data) > MAX_BATCH:
        raise CompatError(413, _("A batch holds at most %(most)s calls. Please send fewer at once.", most=MAX_BATCH))
    return data


def _retry_later(text: str) -> Response:
    """A passing fault fails the whole batch: telephones move their cursor past single records that failed."""
    body = {"success": False, "message": text, "error": text, "success_count": 0, "failure_count": 0}
    answer = json_answer(503, {"message": body, "exc_type": "Exception", "exception": text})
    answer.headers["Retry-After"] = "30"
    return answer


def _sync_result(results: list[CallResult]) -> dict[str, Any]:
    """Per record, and in the predecessor's counters, which the applications look for in two places."""
    status = [result.status for result in results]
    done, twice = status.count("created") + status.count("updated"), status.count("duplicate")
    counters = {"success_count": done, "failure_count": status.count("error"), "duplicate_count": twice}
    errors = [f"{result.device_call_id or result.index}: {result.sentence}" for result in results if result.sentence]
    named = {"errors": errors, "processed_ids": [str(each.call_id) for each in results if each.call_id is not None]}
    text = _("Synced %(done)s call logs, %(twice)s duplicates skipped", done=done, twice=twice)
    data = counters | named | {"results": [_result(result) for result in results]}
    return {"success": True, "message": text, **counters, **named, "data": data}


def _result(result: CallResult) -> dict[str, Any]:
    told = {"index": result.index, "device_call_id": result.device_call_id, "status": result.status}
    if result.status == "error":
        return told | {"error_code": result.code, "error": result.sentence}
    return told | {"name": str(result.call_id)}


# --- calls and figures out


def list_user_calls(arguments: Arguments) -> dict[str, Any]:
    """One's own calls, newest first: limit (50, at most 500), offset, from_date, to_date."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Call Logs", "read")
    limit, offset = arguments.integer("limit", 50, 1, MAX_CALLS), arguments.integer("offset", 0, 0, 10**6)
    query = select(CallLog, Lead.number, Ticket.number, Customer.first_name, Customer.last_name)
    for record, key in ((Lead, CallLog.lead_id), (Ticket, CallLog.ticket_id), (Customer, CallLog.customer_id)):
        query = query.outerjoin(record, record.id == key)  # only what the person sees
    query = query.where(CallLog.employee_id == viewer.person.id, *_date_conditions(arguments, viewer.zone))
    rows = db.session.execute(query.order_by(CallLog.started_on.desc(), CallLog.id.desc()).limit(limit).offset(offset))
    data = [
        _call_document(call, (lead, ticket), " ".join(n for n in names if n), viewer)
        for call, lead, ticket, *names in rows
    ]
    return {"success": True, "message": _("Retrieved %(n)s call logs", n=len(data)), "data": data}


def _date_conditions(arguments: Arguments, zone: ZoneInfo) -> list[Any]:
    rules = []
    for name in ("from_date", "to_date"):
        if name in arguments:
            moment = _parse_moment(arguments.text(name), zone, is_end=name == "to_date")
            rules.append(CallLog.started_on <= moment if name == "to_date" else CallLog.started_on >= moment)
    return rules


def _parse_moment(text: str, zone: ZoneInfo, is_end: bool) -> datetime:
    """A local date (its first or last second) or moment. Raises Refused (417)."""
    try:
        moment = datetime.fromisoformat(text.strip()[:32])
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return moment.replace(hour=23, minute=59, second=59) if is_end and len(text.strip()) == 10 else moment
    except (ValueError, OverflowError) as error:
        raise CompatError(417, _("“%(text)s” isn't a date such as 2026-11-23.", text=text[:40])) from error


def _call_document(call: CallLog, places: tuple[str | None, str | None], customer: str, viewer: Any) -> dict[str, Any]:
    """The predecessor's keys; numbers as the person may see them. `places`: numbers of its lead and of its ticket."""
    native, mobile = call.native or {}, lambda number: _NUMBER_FIELD.value((number,), viewer)
    place = next((each for each in zip(("CRM Lead", "CRM Ticket"), places, strict=True) if each[1]), (None, None))
    return {
        "name": str(call.id),
        "from": mobile(call.from_number),
        "to": mobile(call.to_number),
        "type": call.direction,
        "status": call.status,
        "duration": call.duration_seconds,
        "native_duration": native.get("duration"),
        "start_time": _local(call.started_on, viewer.zone),
        "end_time": _local(call.ended_on, viewer.zone),
        "telephony_medium": "Manual",
        "medium": "Mobile App" if call.medium == "mobile" else call.medium,
        "method": "Mobile" if call.medium == "mobile" else "Manual",
        "employee": viewer.person.username,
        "customer": mobile(call.other_e164),
        "customer_name": customer or None,
        "is_cold_call": int(call.cold),
        "native_call_type": native.get("native_call_type"),
        "native_call_status": native.get("native_call_status"),
        "caller": None,
        "receiver": None,
        "reference_doctype": place[0],
        "reference_docname": place[1],
        "creation": _local(call.created_on, viewer.zone),
    }


def _local(moment: datetime | None, zone: ZoneInfo) -> str | None:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}" if moment else None


def sync_stats(arguments: Arguments) -> dict[str, Any]:
    """How many calls of one's own there are, how many came by telephone, when it synced last."""
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
    share = round(100 * int(mobile or 0) / total, 1) if total else 0.0
    return {
        "success": True,
        "data": {
            "total_call_logs": total,
            "mobile_synced_logs": int(mobile or 0),
            "today_logs": int(today or 0),
            "last_sync_time": _local(last, viewer.zone),
            "sync_percentage": share,
        },
    }


def user_profile(arguments: Arguments) -> dict[str, Any]:
    """Who one is, and one's own number, by which the applications tell directions apart."""
    user = db.session.execute(
        select(
            User.username, User.first_name, User.last_name, User.email, User.mobile_e164, User.telephony_number
        ).where(User.id == current_viewer().person.id)
    ).one()
    number = user.telephony_number or user.mobile_e164 or ""
    data = {
        "user": user.username,
        "full_name": f"{user.first_name} {user.last_name}".strip(),
        "mobile_no": number,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
    }
    return {"success": True, "data": data}


# --- the application itself


def app_version(arguments: Arguments) -> Response:
    """Which version is new; the keys stand at the top, where the application looks, and under message."""
    said = settings.values_of(db.session(), "phone_app_version", "phone_app_build", "phone_app_url", "phone_app_force")
    name, build = said["phone_app_version"], said["phone_app_build"]
    version = {
        "success": True,
        "current_version": name,
        "current_build": build,
        "version": name,
        "build_number": build,
        "download_url": said["phone_app_url"] or None,
        "release_notes": "",
        "force_update": said["phone_app_force"],
        "min_supported_version": name if said["phone_app_force"] else "1.0.0",
        "file_size": None,
        "last_updated": None,
    }
    return json_answer(200, version | {"message": version})


def update_settings(arguments: Arguments) -> Response:
    """How often the application asks for a new version, and after how many days it insists."""
    force = settings.values_of(db.session(), "phone_app_force")["phone_app_force"]
    known = {"success": True, "check_interval_hours": 24, "force_after_days": 0 if force else 30, "auto_check": True}
    return json_answer(200, known | {"message": known})
