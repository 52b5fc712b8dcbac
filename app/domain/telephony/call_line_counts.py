"""Outgoing calls counted by the line that customers saw: the number, its series, and the purpose of the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from app.domain.telephony.call_requests import CallRequest
from app.domain.telephony.calls import CallLog
from app.lib import phone, phone_number_series

#: Media of calls that employees make with their own phones; the CRM doesn't request them.
OWN_PHONES = ("mobile", "manual")


class CallLine(NamedTuple):
    """What calls are counted apart by."""

    #: E.164; "" = unknown, or one of the employees' own phones.
    number: str
    #: One of phone_number_series.SERIES.
    series: str
    is_own: bool
    #: promotional or service; "" = not called by the CRM.
    purpose: str


@dataclass(frozen=True)
class LineFigures:
    """Figures of the calls of a line."""

    calls: int = 0
    completed: int = 0
    seconds: int = 0
    unfitting: int = 0

    def __add__(self, other: LineFigures) -> LineFigures:
        return LineFigures(
            self.calls + other.calls,
            self.completed + other.completed,
            self.seconds + other.seconds,
            self.unfitting + other.unfitting,
        )


NO_CALLS = LineFigures()


def count_lines(session: Session, when: Any) -> dict[CallLine, LineFigures]:
    """The figures of each line, from the outgoing calls that match a condition; in one statement."""
    completed = func.sum(case((CallLog.status == "Completed", 1), else_=0))
    unfitting = func.sum(case((CallRequest.fits_purpose.is_(False), 1), else_=0))
    figures = (func.count(), completed, func.sum(CallLog.duration_seconds), unfitting)
    line = (CallLog.from_number, CallLog.medium, CallRequest.purpose)
    # Of an employee's own phone, no request is looked up.
    is_request = and_(CallRequest.call_id == CallLog.id, CallLog.medium.not_in(("mobile",)))
    query = select(*line, *figures).select_from(CallLog).outerjoin(CallRequest, is_request)
    found: dict[CallLine, LineFigures] = {}
    for number, medium, purpose, *counts in session.execute(
        query.where(CallLog.direction == "Outgoing", when).group_by(*line)
    ):
        key = _line(number, medium, purpose)
        found[key] = found.get(key, NO_CALLS) + LineFigures(*[int(each or 0) for each in counts])
    return found


def _line(sent: str | None, medium: str, purpose: str | None) -> CallLine:
    number, is_own = phone.normalize(sent), medium in OWN_PHONES
    return CallLine("" if is_own else number or "", phone_number_series.phone_series(number), is_own, purpose or "")
