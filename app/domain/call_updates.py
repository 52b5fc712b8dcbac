"""What providers say of telephone calls, in whatever order it arrives: one row per call that only moves forward."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.channels.provider import CallUpdate
from app.domain import call_matching, calls, notices, sla, timeline
from app.domain.base import Stamp
from app.domain.calls import CallLog
from app.domain.channel_accounts import ChannelAccount
from app.domain.leads import Lead
from app.domain.tickets import Ticket

#: Our keys of calls, as providers return them.
_KEY = re.compile(r"c([1-9][0-9]{0,9})")
#: State at the provider -> status of the call.
STATUSES = {
    "ringing": "Ringing",
    "answered": "In Progress",
    "completed": "Completed",
    "busy": "Busy",
    "no-answer": "No Answer",
    "failed": "Failed",
    "canceled": "Canceled",
}
#: Of a call that is not over, how far it is; every other status is final.
_RANKS = {"Initiated": 0, "Queued": 0, "Ringing": 1, "In Progress": 2}
_FINAL = 3
MAX_ADDRESS = 500


def take(session: Session, account: ChannelAccount, event: CallUpdate, now: datetime) -> str:
    """Store what an event says; a second time it changes nothing."""
    call = _known(session, account, event) or _create(session, account, event, now)
    if event.provider_id and call.provider_id is None:
        call.provider_id = event.provider_id
    was_over = _rank(call.status) == _FINAL
    status = _status(event)
    if _rank(status) > _rank(call.status):
        call.status = status
    if event.talk_seconds is not None and event.talk_seconds > call.duration_seconds:
        call.duration_seconds = event.talk_seconds
    call.ended_on = call.ended_on or _end(event, now)
    if event.recording_url:
        call.recording = event.recording_url[:MAX_ADDRESS]
    call.stamp(Stamp(None, now))
    timeline.mark_changed(session, call.lead_id, call.ticket_id, call.customer_id)
    if _rank(call.status) == _FINAL and not was_over:
        _finish(session, call, now)
    return "call"


def _status(event: CallUpdate) -> str:
    status = STATUSES.get(event.state, "Ringing")
    return "Missed Call" if event.direction == "in" and status in ("No Answer", "Canceled", "Busy") else status


def _rank(status: str) -> int:
    return _RANKS.get(status, _FINAL)


def _end(event: CallUpdate, now: datetime) -> datetime | None:
    """When it ended: as the provider says, else now for a call that is over."""
    if event.ended_on is not None:
        return event.ended_on
    if _rank(STATUSES.get(event.state, "Ringing")) < _FINAL:
        return None
    if event.started_on is not None and event.talk_seconds is not None:
        return event.started_on + timedelta(seconds=event.talk_seconds)
    return now


def _known(session: Session, account: ChannelAccount, event: CallUpdate) -> CallLog | None:
    mine = select(CallLog).where(CallLog.account_id == account.id).with_for_update()
    if row := session.scalars(mine.where(CallLog.provider_id == event.provider_id)).first():
        return row
    found = _KEY.fullmatch(event.key)
    return session.scalars(mine.where(CallLog.id == int(found[1]))).first() if found else None


def _create(session: Session, account: ChannelAccount, event: CallUpdate, now: datetime) -> CallLog:
    started = event.started_on or now
    target = call_matching.match_number(session, event.peer, started) if event.peer else call_matching.CallTarget()
    ends = (event.peer or None, event.own_number or None)
    from_number, to_number = ends if event.direction == "in" else ends[::-1]
    call = CallLog(
        direction="Incoming" if event.direction == "in" else "Outgoing",
        status="Initiated",
        from_number=from_number,
        to_number=to_number,
        other_e164=event.peer or None,
        started_on=started,
        duration_seconds=0,
        native={},
        employee_id=next(iter(target.responsible), None),
        cold=False,
        medium=account.kind if account.kind in calls.MEDIUMS else "manual",
        account_id=account.id,
        provider_id=event.provider_id,
        **target.as_columns(),
    )
    call.stamp(Stamp(None, now))
    try:
        with session.begin_nested():
            session.add(call)
    except IntegrityError:  # another worker has made it at this moment
        mine = (CallLog.account_id == account.id, CallLog.provider_id == event.provider_id)
        return session.scalars(select(CallLog).where(*mine).with_for_update()).one()
    return call


def _finish(session: Session, call: CallLog, now: datetime) -> None:
    """The timeline, the first response, and who should call back."""
    if call.lead_id or call.ticket_id or call.customer_id:
        timeline.write(session, call, "call", Stamp(None, now), **calls.timeline_payload(call, call.id))
    if call.status == "Completed" and call.employee_id is not None:
        sla.record_first_reply(session, Lead, call.lead_id, now)
        sla.record_first_reply(session, Ticket, call.ticket_id, now)
    if call.status == "Missed Call" and call.employee_id is not None:
        ids = {"lead_id": call.lead_id, "ticket_id": call.ticket_id, "customer_id": call.customer_id, "task_id": None}
        number = _number_of(session, call)
        payload = {"number": number} if number else {}
        event = notices.NoticeEvent("missed_call", f"missed:{call.id}", [call.employee_id], payload, ids)
        notices.notify(session, event, now)


def _number_of(session: Session, call: CallLog) -> str | None:
    """The number of its lead or ticket, for a notice: never a telephone number."""
    if call.ticket_id is not None:
        return session.scalar(select(Ticket.number).where(Ticket.id == call.ticket_id))
    return session.scalar(select(Lead.number).where(Lead.id == call.lead_id)) if call.lead_id else None
