"""Missed calls: who is notified of one, whether a phone or a provider reports it, and which still await a call back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import ColumnElement, exists, not_, or_, select
from sqlalchemy.orm import Session

from app.domain.notifications import notices
from app.domain.people.users import delegate_on_leave, on_leave
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
    """Notify the responsible users of each call, and who covers for them on leave, once per call and user."""
    calls = list(missed)
    delegates = _delegates(session, {each for call in calls for each in call.responsible}, now)
    if calls:
        notices.notify_many(session, [_event(call, delegates) for call in calls], now)


def _delegates(session: Session, user_ids: set[int], now: datetime) -> dict[int, int]:
    """Those of these users who are on leave -> who covers for them."""
    away = session.scalars(select(User).where(User.id.in_(user_ids), on_leave(now))) if user_ids else ()
    found = ((user.id, delegate_on_leave(session, user, now)) for user in away)
    return {user_id: delegate.id for user_id, delegate in found if delegate is not None}


def _event(call: MissedCall, delegates: Mapping[int, int]) -> notices.NoticeEvent:
    payload = {"number": call.record_number, "call": call.call_id}
    ids = {"task_id": None, **call.record_ids}
    told = dict.fromkeys([*call.responsible, *(delegates[each] for each in call.responsible if each in delegates)])
    return notices.NoticeEvent("missed_call", f"missed_call:{call.call_id}", list(told), payload, ids)


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
