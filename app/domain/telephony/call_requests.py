"""Calls made from the CRM: a request rings the person's own telephone first, then connects the customer.

A request is dialed once or not at all. It reserves its person's line until the call is over, so that a second click,
or a second window, rings nobody again: the database decides by a unique key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import Boolean, ForeignKey, Index, Integer, String, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import timeline
from app.domain.audit_log import audit
from app.domain.base import Conflict, Record, RuleBroken, Stamp, UtcDateTime, hold_name, translatable
from app.domain.messaging import consents, permitted_hours
from app.domain.messaging.consents import MessageAddress
from app.domain.persistence.transaction_state import transaction_state
from app.domain.telephony import call_cards, caller_ids, calls
from app.domain.telephony.caller_ids import CallerLine
from app.domain.telephony.calls import CallLog
from app.lib import phone

#: A call that could not be dialed within this time is dropped, because nobody expects it any more.
LASTS = timedelta(seconds=60)
#: A call without any report for this long no longer reserves its person's line.
LINE_HELD_FOR = timedelta(hours=4)
#: Neither does a call that was not reported as ringing for this long.
SILENT_FOR = timedelta(minutes=10)
#: What a provider didn't answer for this long is unknown.
DIALING = timedelta(seconds=60)
#: A call of which nobody knows whether it was dialed ends by itself after this time: no phone rings for longer.
UNKNOWN_FOR = timedelta(minutes=2)
#: "dropped": nobody has said whether it was dialed; a report of the provider still counts.
STATES = ("queued", "sending", "sent", "failed", "dropped", "unknown")
NEVER_KNOWN = "Nobody knows whether your phone rang: neither you nor the phone provider has said so."


class LineUnknown(Conflict):
    """The person's line is reserved by a call of which nobody knows whether it was dialed."""


class CallRequest(Record):
    """One call to be dialed by a provider, and its state."""

    __tablename__ = "call_request"
    __table_args__ = (Index("ix_call_request_due", "state", "due_on"),)
    call_id: Mapped[int] = mapped_column(ForeignKey("call_log.id", ondelete="CASCADE"), nullable=False, unique=True)
    #: Whose telephone rings first, and its number in E.164.
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), nullable=False)
    person_number: Mapped[str] = mapped_column(String(20), nullable=False)
    #: The number that the customer sees, E.164; null = the provider chooses.
    caller_id: Mapped[str | None] = mapped_column(String(20))
    #: promotional or service.
    purpose: Mapped[str] = mapped_column(String(16), nullable=False)
    #: Whether the caller ID is suitable for this purpose.
    fits_purpose: Mapped[bool] = mapped_column(Boolean, nullable=False, default=True)
    #: One of STATES. "sending" is committed before the provider is called.
    state: Mapped[str] = mapped_column(String(12), nullable=False)
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    due_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: It is not dialed after this moment.
    expires_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    began_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Why it was not dialed, as a sentence.
    error: Mapped[str | None] = mapped_column(String(300))
    #: The user whose line this call reserves; null once it is over. Unique: one call at a time.
    line_of: Mapped[int | None] = mapped_column(Integer, unique=True)


@dataclass(frozen=True)
class NewCallRequest:
    """A call requested by a person."""

    #: Whom to call, E.164.
    peer: str
    #: lead_id, ticket_id and customer_id of the records that it belongs to.
    records: Mapping[str, int | None] = field(default_factory=dict)
    #: Whether it takes the place of a call of which nobody knows whether it was dialed.
    replaces_unknown: bool = False


@dataclass(frozen=True)
class QueuedCall:
    """A call that was put into the outbox."""

    request: CallRequest
    call: CallLog
    #: Whether it existed before: a second click.
    is_repeated: bool = False


def start(session: Session, call_request: NewCallRequest, stamp: Stamp, zone: str) -> QueuedCall:
    """Queue the call, to be dialed within LASTS or not at all. Returns the running call for a second click.

    `zone`: that of the hours for promotional calls. Raises RuleBroken.
    """
    assert stamp.by is not None  # noqa: S101  # a person calls
    number = own_number(session, stamp.by)
    if number == call_request.peer:
        raise RuleBroken("This is your own number: your phone would call itself.", "peer")
    hold_name(session, f"line {stamp.by}")  # concurrent clicks wait here; otherwise they would violate the unique key
    running = _running(session, stamp.by, stamp.now)
    if running and call_request.replaces_unknown and is_unknown(running.request, stamp.now):
        drop(session, running.request, stamp.now)
    elif running:
        return _repeated(running, call_request, stamp.now)
    purpose = caller_ids.purpose_of(session, call_request.peer, call_request.records, stamp.now)
    line = caller_ids.choose(session, purpose)
    refuse_unwanted(session, call_request, purpose, stamp.now, zone)
    try:
        with session.begin_nested():
            return _store(session, call_request, (number, purpose, line), stamp)
    except IntegrityError:  # another click was faster
        other = _running(session, stamp.by, stamp.now)
        if other is None:
            raise
        return _repeated(other, call_request, stamp.now)


def own_number(session: Session, user_id: int) -> str:
    """The number that rings the person: telephony number, else mobile; E.164. Raises RuleBroken."""
    user: Any = session.get_one(User, user_id)
    number = phone.normalize(user.telephony_number) or user.mobile_e164 or phone.normalize(user.mobile)
    if not number:
        text = (
            "To call from the CRM, your own phone has to ring first, and your number is missing. Please add your "
            "mobile number in My profile."
        )
        raise RuleBroken(text, "person")
    return str(number)


def refuse_unwanted(session: Session, call_request: NewCallRequest, purpose: str, now: datetime, zone: str) -> None:
    """Raise RuleBroken for a promotional call to someone who opted out, or outside the permitted hours."""
    records = {name: call_request.records.get(name) for name in ("customer_id", "lead_id", "ticket_id")}
    if reason := consents.refusal(session, MessageAddress("voice", call_request.peer, purpose, **records), now):
        raise RuleBroken(reason, "peer")
    if purpose == "promotional" and (until := permitted_hours.promotional_opening(session, now, zone)):
        text = "Promotional calls aren't allowed at this hour. You can call from %(time)s on."
        raise RuleBroken(translatable(text, time=f"{until.astimezone(ZoneInfo(zone)):%H:%M}"), "peer")


def _running(session: Session, user_id: int, now: datetime) -> QueuedCall | None:
    """The call that reserves the person's line, locked. One that is over, or long silent, is released."""
    mine = select(CallRequest).where(CallRequest.line_of == user_id).with_for_update()
    # As stored now, not as in this transaction's snapshot.
    request = session.scalars(mine, execution_options={"populate_existing": True}).first()
    if request is None:
        return None
    call = session.get_one(CallLog, request.call_id)
    if not calls.has_ended(call) and not _is_forgotten(request, call, now):
        return QueuedCall(request, call, is_repeated=True)
    if is_unknown(request, now):
        drop(session, request, now)
    request.line_of = None
    session.flush()
    return None


def is_unknown(request: CallRequest, now: datetime) -> bool:
    """Whether nobody knows if the call was dialed."""
    is_late = request.state == "sending" and request.began_on is not None and request.began_on < now - DIALING
    return request.state == "unknown" or is_late


def _is_forgotten(request: CallRequest, call: CallLog, now: datetime) -> bool:
    if request.state == "unknown" and call.changed_on < now - UNKNOWN_FOR:
        return True
    is_silent = calls.progress_of(call.status) == 0 and call.changed_on < now - SILENT_FOR
    return is_silent or call.changed_on < now - LINE_HELD_FOR


def _repeated(running: QueuedCall, call_request: NewCallRequest, now: datetime) -> QueuedCall:
    if running.call.other_e164 == call_request.peer:
        return running
    if is_unknown(running.request, now):
        text = "Nobody knows whether your last call was made. Please look at your phone and answer the call's card."
        raise LineUnknown(text)
    raise Conflict("You are in another call. Please end it, or close its card, and call again.")


def _store(
    session: Session, call_request: NewCallRequest, chosen: tuple[str, str, CallerLine], stamp: Stamp
) -> QueuedCall:
    number, purpose, line = chosen
    call = _add_call(session, call_request, line, stamp)
    request = CallRequest(
        call_id=call.id,
        user_id=stamp.by,
        person_number=number,
        caller_id=line.number or None,
        purpose=purpose,
        fits_purpose=line.fits,
        state="queued",
        tries=0,
        due_on=stamp.now,
        expires_on=stamp.now + LASTS,
        line_of=stamp.by,
    )
    request.stamp(stamp)
    session.add(request)
    session.flush()
    call_cards.show(session, call, [request.user_id], stamp)
    transaction_state(session).call_requests.append(request.id)
    payload: dict[str, Any] = {"account": line.account.name, "purpose": purpose, "series": line.series}
    audit.write(session, "call", stamp.by, stamp.now, f"call {call.id}", **payload)
    return QueuedCall(request, call)


def _add_call(session: Session, call_request: NewCallRequest, line: CallerLine, stamp: Stamp) -> CallLog:
    """The queued call, with its ID."""
    account = line.account
    call = CallLog(
        direction="Outgoing",
        status="Queued",
        from_number=line.number or None,
        to_number=call_request.peer,
        other_e164=call_request.peer,
        started_on=stamp.now,
        duration_seconds=0,
        native={},
        employee_id=stamp.by,
        cold=False,
        medium=account.kind if account.kind in calls.MEDIUMS else "manual",
        account_id=account.id,
        **{name: call_request.records.get(name) for name in ("lead_id", "ticket_id", "customer_id")},
    )
    call.stamp(stamp)
    session.add(call)
    session.flush()
    return call


# --- results


def note_dialed(session: Session, request: CallRequest, provider_id: str | None, now: datetime) -> None:
    """Record that the provider has accepted the call."""
    call = session.scalars(select(CallLog).where(CallLog.id == request.call_id).with_for_update()).one()
    if provider_id and call.provider_id is None:
        call.provider_id = provider_id
    if call.status == "Queued":
        call.status = "Initiated"
    _mark(session, call, now)


def note_failed(session: Session, request: CallRequest, now: datetime) -> None:
    """Record that the call was surely not dialed: it has failed, and the person's line is free."""
    call = session.scalars(select(CallLog).where(CallLog.id == request.call_id).with_for_update()).one()
    release(session, call.id)
    if calls.has_ended(call):
        return
    call.status, call.ended_on = "Failed", now
    if (call.lead_id or call.ticket_id or call.customer_id) and calls.timeline_line(session, call) is None:
        timeline.write(session, call, "call", Stamp(request.user_id, now), **calls.timeline_payload(call, call.id))
    _mark(session, call, now)


def note_unknown(session: Session, request: CallRequest, now: datetime) -> None:
    """Record that it is unknown whether the call was dialed; its person is asked."""
    _mark(session, session.get_one(CallLog, request.call_id), now)


def decide(session: Session, call: CallLog, has_rung: bool, stamp: Stamp) -> None:
    """Record whether a call with an unknown outcome has rung. Raises Conflict if that is known by now."""
    request = _locked(session, CallRequest.call_id == call.id)
    if request is None or not is_unknown(request, stamp.now):
        raise Conflict("What became of this call is known by now. Its card shows it.")
    request.state = "sent" if has_rung else "failed"
    if has_rung:
        request.error = None
        note_dialed(session, request, None, stamp.now)
    else:
        note_failed(session, request, stamp.now)


def confirm(session: Session, call: CallLog) -> None:
    """Record that a call with an unknown outcome was dialed: the provider has reported on it.

    One that was given up for want of a report goes on.
    """
    mine = (CallRequest.call_id == call.id, CallRequest.state.in_(("unknown", "dropped")))
    if call.status == "Failed" and session.execute(select(CallRequest.id).where(*mine)).first():
        call.status, call.ended_on = "Initiated", None
    step = update(CallRequest).where(*mine).values(state="sent", error=None)
    session.execute(step, execution_options={"synchronize_session": False})


def find_unknown(session: Session, now: datetime, limit: int) -> list[int]:
    """The requests of which nobody has known for UNKNOWN_FOR whether they were dialed."""
    query = select(CallRequest.id).join(CallLog, CallLog.id == CallRequest.call_id)
    is_old = (CallRequest.state == "unknown", CallLog.changed_on < now - UNKNOWN_FOR)
    return list(session.scalars(query.where(*is_old).order_by(CallRequest.id).limit(limit)))


def drop_unknown(session: Session, request_id: int, now: datetime) -> str:
    """Give up one of `find_unknown`, unless what became of it is known by now. Returns the result for the job's log."""
    request = _locked(session, CallRequest.id == request_id)
    if request is None or request.state != "unknown":
        return "skipped"
    drop(session, request, now)
    return "dropped"


def drop(session: Session, request: CallRequest, now: datetime) -> None:
    """Give up a call of which nobody knows whether it was dialed: its person can call again. The request is locked."""
    request.state, request.error = "dropped", NEVER_KNOWN
    session.flush()
    note_failed(session, request, now)


def _locked(session: Session, *rules: Any) -> CallRequest | None:
    query = select(CallRequest).where(*rules).with_for_update()
    return session.scalars(query, execution_options={"populate_existing": True}).first()


def release(session: Session, call_id: int) -> None:
    """Free the person's line: the call is over."""
    step = update(CallRequest).where(CallRequest.call_id == call_id, CallRequest.line_of.is_not(None))
    session.execute(step.values(line_of=None), execution_options={"synchronize_session": False})


def _mark(session: Session, call: CallLog, now: datetime) -> None:
    call.stamp(Stamp(None, now))
    timeline.mark_changed(session, call.lead_id, call.ticket_id, call.customer_id)
    call_cards.mark_changed(session, call.id)
