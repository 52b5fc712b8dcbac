"""The telephone of the console page: ring, answer and hang up as the customer, and call in."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.channels.console_provider import tone_address
from app.domain.base import NotFound, RuleBroken
from app.domain.telephony.calls import has_ended
from app.extensions import db
from app.lib import phone
from app.models import CallLog, ChannelAccount
from app.web.core.fields.date_fields import moment_cell
from app.web.core.viewer import Viewer
from app.web.records.call_fields import COLORS

#: Calls that are shown.
MOST = 20
#: The longest invented recording, in seconds.
MAX_TONE_SECONDS = 120
#: Step on the page -> reported state.
STEPS = {"ring": "ringing", "answer": "answered", "hangup": "completed", "busy": "busy", "ignore": "no-answer"}


def rows(account: ChannelAccount, viewer: Viewer) -> list[dict[str, Any]]:
    """The newest calls of the account."""
    query = select(CallLog).where(CallLog.account_id == account.id).order_by(CallLog.id.desc()).limit(MOST)
    return [_row(each, viewer) for each in db.session.scalars(query)]


def _row(call: CallLog, viewer: Viewer) -> dict[str, Any]:
    shown = viewer.person.mask_value("mobile", call.other_e164)
    return {
        "id": call.id,
        "peer": phone.display(shown) if shown == call.other_e164 else shown or "••••••",
        "is_out": call.direction == "Outgoing",
        "state": {"kind": "status", "label": call.status, "color": COLORS.get(call.status, "gray")},
        "at": moment_cell(call.started_on, viewer),
        "steps": [] if has_ended(call) else _steps(call),
        "may_record": call.status == "Completed",
    }


def _steps(call: CallLog) -> list[str]:
    if call.status == "In Progress":
        return ["hangup"]
    return (["ring"] if call.status != "Ringing" else []) + ["answer", "busy", "ignore"]


def event_of(account: ChannelAccount, key: int, step: str, now: datetime) -> dict[str, Any]:
    """The provider's report of a step of a call, or of a recording. Raises NotFound, RuleBroken."""
    call = db.session.scalars(select(CallLog).where(CallLog.id == key, CallLog.account_id == account.id)).first()
    if call is None:
        raise NotFound("This call wasn't made by this account.")
    is_out = call.direction == "Outgoing"
    event: dict[str, Any] = {
        "type": "call",
        "provider_id": call.provider_id or f"console-c{call.id}",
        "direction": "out" if is_out else "in",
        "key": f"c{call.id}" if is_out else "",
        "peer": call.other_e164 or "",
    }
    if step == "record":
        seconds = max(1, min(call.duration_seconds, MAX_TONE_SECONDS))
        return event | {"state": "completed", "recording_url": tone_address(seconds)}
    if has_ended(call):
        raise RuleBroken("This call is over.")
    event["state"] = STEPS[step]
    if step == "hangup":
        begin = call.answered_on or call.started_on
        seconds = max(1, int((now - begin).total_seconds()))
        event["talk_seconds"] = seconds
        if account.settings.get("record_outgoing") != "no":
            event["recording_url"] = tone_address(min(seconds, MAX_TONE_SECONDS))
    return event


def incoming_event(raw: str, own: str) -> dict[str, Any]:
    """The provider's report of an incoming call; an empty number is withheld. Raises RuleBroken."""
    peer = phone.normalize(raw) if raw.strip() else ""
    if peer is None:
        raise RuleBroken("Please enter the caller's number, or leave it empty for a withheld one.", "peer")
    given = {"type": "call", "provider_id": f"in-{secrets.token_hex(8)}", "direction": "in", "state": "ringing"}
    return given | {"peer": peer, "own_number": phone.normalize(own) or ""}
