"""Missed calls: who is notified of one, whether a phone or a provider reports it, and which still await a call back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, not_, or_
from sqlalchemy.orm import Session

from app.domain.notifications import notices
from app.domain.telephony.calls import CallLog

#: Older missed calls need no call back.
CALLBACK_WINDOW = timedelta(days=30)


@dataclass(frozen=True)
class MissedCall:
    """A call that nobody took."""

    call_id: int
    #: The users who should call back.
    responsible: Sequence[int]
    #: The columns lead_id, ticket_id and customer_id of the record to which it belongs.
    record_ids: dict[str, int | None]
    #: The number of that record, for the text: never a phone number. None = it belongs to none that has one.
    record_number: str | None = None


def notify(session: Session, missed: Iterable[MissedCall], now: datetime) -> None:
    """Notify the responsible users of each call, once per call and user."""
    events = [_event(call) for call in missed]
    if events:
        notices.notify_many(session, events, now)


def _event(call: MissedCall) -> notices.NoticeEvent:
    payload = {"number": call.record_number, "call": call.call_id}
    ids = {"task_id": None, **call.record_ids}
    return notices.NoticeEvent("missed_call", f"missed_call:{call.call_id}", call.responsible, payload, ids)


def awaits_callback(now: datetime) -> list[ColumnElement[bool]]:
    """SQL: missed calls of the last 30 days whose number nobody has called or talked with since.

    The days begin with a whole hour, so that the statement is the same for as long. The status is one of a list, which
    lists read in the order of an index.
    """
    since = (now - CALLBACK_WINDOW).replace(minute=0, second=0, microsecond=0)
    return [
        CallLog.status.in_(("Missed Call",)),
        CallLog.started_on > since,
        CallLog.other_e164.is_not(None),
        not_(is_called_back()),
    ]


def is_called_back() -> ColumnElement[bool]:
    """SQL: calls whose number somebody has called or talked with since."""
    later: Any = CallLog.__table__.alias("later")
    reached = or_(later.c.direction == "Outgoing", later.c.status == "Completed")
    again = exists().where(later.c.other_e164 == CallLog.other_e164, later.c.started_on > CallLog.started_on, reached)
    return again.correlate(CallLog)
