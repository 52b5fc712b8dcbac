"""Orders by telephone without evidence: Compliance and the managers are told once a day how many there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.notifications import notices
from app.domain.notifications.notices import NoticeEvent
from app.domain.people import permission_holders, teams
from app.domain.telephony.calls import CallLog
from app.domain.telephony.order_evidence import without_evidence

SKIPPED = "skipped"


@dataclass(frozen=True)
class OrderNotice:
    """What one person is told on one day."""

    user_id: int
    #: The day, in the office's zone.
    day: date
    #: Orders of former days without evidence: all, or for a manager those of the people who report to them.
    orders: int


def due_notices(session: Session, now: datetime, zone: str) -> list[OrderNotice]:
    """Whom to tell today; none if all orders before today have evidence. `zone`: the office's.

    The orders of today are left out: providers need some time to deliver a recording.
    """
    day = now.astimezone(ZoneInfo(zone)).date()
    begins = datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC)
    query = select(CallLog.employee_id, func.count(CallLog.id)).where(*without_evidence(), CallLog.started_on < begins)
    by_employee = {key: number for key, number in session.execute(query.group_by(CallLog.employee_id))}  # noqa: C416
    if not by_employee:
        return []
    counts = _of_managers(session, by_employee)
    counts |= dict.fromkeys(permission_holders.holders(session, "Call Logs", "recordings"), sum(by_employee.values()))
    return [OrderNotice(user, day, number) for user, number in sorted(counts.items())]


def _of_managers(session: Session, by_employee: dict[int | None, int]) -> dict[int, int]:
    """The nearest active manager of each employee -> the orders of their people."""
    active, counts = permission_holders.active_users(session), Counter[int]()
    for employee, number in by_employee.items():
        above = teams.managers_above(session, employee) if employee is not None else []
        nearest = next((manager for manager in above if manager in active), None)
        if nearest is not None:
            counts[nearest] += number
    return dict(counts)


def notify(session: Session, notice: OrderNotice, now: datetime) -> str:
    """Tell one person; "skipped" if they were told on this day already. The caller commits."""
    payload = {"what": "orders", "orders": notice.orders}
    event = NoticeEvent("compliance", f"orders:{notice.day}", (notice.user_id,), payload)
    return "notified" if notices.notify(session, event, now) else SKIPPED
