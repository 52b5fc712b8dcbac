"""Providers' reports about calls, in whatever order they arrive: one row per call, whose state only moves forward."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.channels.provider import CallUpdate
from app.domain import address_hashes, timeline
from app.domain.base import Stamp
from app.domain.leads import Lead
from app.domain.messaging.channel_accounts import ChannelAccount
from app.domain.persistence.session_context import session_context
from app.domain.telephony import call_cards, call_matching, call_requests, calls, missed_calls, recordings
from app.domain.telephony.call_cards import CallCard
from app.domain.telephony.call_parsing import MAX_SECONDS
from app.domain.telephony.call_requests import CallRequest
from app.domain.telephony.calls import CallLog
from app.domain.telephony.missed_calls import MissedCall
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


def apply_event(session: Session, account: ChannelAccount, event: CallUpdate, now: datetime) -> str:
    """Apply a provider's event to its call. Idempotent."""
    call = _known(session, account, event)
    is_new = call is None
    if call is None:
        call = _create(session, account, event, now)
    if event.provider_id and call.provider_id is None and not calls.is_erased(call):
        call.provider_id = event.provider_id
    call_requests.confirm(session, call)
    was_over = calls.has_ended(call)
    status = _status(event)
    if calls.progress_of(status) > calls.progress_of(call.status):
        call.status = status
    if event.talk_seconds is not None and call.duration_seconds < event.talk_seconds <= MAX_SECONDS:
        call.duration_seconds = event.talk_seconds
    if event.state == "answered" and call.answered_on is None:
        call.answered_on = min(max(event.started_on or now, call.started_on), now)
    call.ended_on = call.ended_on or _end(event, now)
    if event.recording_url and not calls.is_erased(call):
        recordings.report_recording(session, call, event.recording_url, now)
    call.stamp(Stamp(None, now))
    timeline.mark_changed(session, call.lead_id, call.ticket_id, call.customer_id)
    _show(session, call, event, is_new, now)
    if calls.has_ended(call) and not was_over:
        _finish(session, call, now)
    return "call"


def _show(session: Session, call: CallLog, event: CallUpdate, is_new: bool, now: datetime) -> None:
    """Update the cards of the call: whose telephone rings, and who has answered."""
    is_incoming = call.direction == "Incoming" and not calls.has_ended(call)
    if is_incoming and is_new:
        call_cards.notify(session, call, now, session_context(session).zone)
    answered_by = call_cards.user_of_number(session, event.person) if is_incoming and event.person else None
    if answered_by is not None and call.status == "In Progress":
        call_cards.accept(session, call, answered_by, now)
    call_cards.mark_changed(session, call.id)


def _status(event: CallUpdate) -> str:
    status = STATUSES.get(event.state, "Ringing")
    return "Missed Call" if event.direction == "in" and status in ("No Answer", "Canceled", "Busy") else status


def _end(event: CallUpdate, now: datetime) -> datetime | None:
    """When it ended: the provider's time, else now for a call that is over."""
    if event.ended_on is not None:
        return event.ended_on
    if calls.progress_of(STATUSES.get(event.state, "Ringing")) < calls.FINAL_RANK:
        return None
    if event.started_on is not None and event.talk_seconds is not None:
        return event.started_on + timedelta(seconds=event.talk_seconds)
    return now


def _known(session: Session, account: ChannelAccount, event: CallUpdate) -> CallLog | None:
    """The call, locked after its request, in the order in which dialing locks them. Never one of another account."""
    mine = select(CallLog.id).where(CallLog.account_id == account.id)
    # An erased call has the hash of its id.
    names = list(address_hashes.ids_known_as(session, [event.provider_id]))
    key = session.scalar(mine.where(CallLog.provider_id.in_(names)))
    found = _KEY.fullmatch(event.key)
    if key is None and found:
        key = session.scalar(mine.where(CallLog.id == int(found[1])))
    if key is None:
        return None
    session.execute(select(CallRequest.id).where(CallRequest.call_id == key).with_for_update())
    query = select(CallLog).where(CallLog.id == key).with_for_update()
    return session.scalars(query, execution_options={"populate_existing": True}).one()


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
    """Update the timeline, the first response and the person's line, and say who should call back."""
    call_requests.release(session, call.id)
    if call.direction == "Incoming":  # its outcome is for whoever talked, if anybody did
        talked = (CallCard.user_id != call.employee_id,) if call.status == "Completed" and call.employee_id else ()
        call_cards.close(session, call.id, now, *talked)
    is_on_timeline = calls.timeline_line(session, call) is not None  # it was linked during the call
    if not is_on_timeline and (call.lead_id or call.ticket_id or call.customer_id):
        timeline.write(session, call, "call", Stamp(call.employee_id, now), **calls.timeline_payload(call, call.id))
    if call.status == "Completed" and call.employee_id is not None:
        calls.count_as_first_reply(session, call, min(call.answered_on or call.started_on, now))
    if call.status == "Missed Call" and call.employee_id is not None:
        ids = {"lead_id": call.lead_id, "ticket_id": call.ticket_id, "customer_id": call.customer_id}
        missed = MissedCall(call.id, [call.employee_id], ids, _number_of(session, call))
        missed_calls.notify(session, [missed], now)


def _number_of(session: Session, call: CallLog) -> str | None:
    """The number of its lead or ticket, for a notice: never a phone number."""
    if call.ticket_id is not None:
        return session.scalar(select(Ticket.number).where(Ticket.id == call.ticket_id))
    return session.scalar(select(Lead.number).where(Lead.id == call.lead_id)) if call.lead_id else None
