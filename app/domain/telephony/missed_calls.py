"""What a missed call sets off, whether a phone or a provider reports it: whoever is responsible is notified."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.domain.notifications import notices


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
