"""In which hours messages and promotional calls leave: promotional hours and quiet hours; the hours are settings."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from app.domain import business_settings
from app.domain.messaging import messages
from app.domain.messaging.messages import Message


def postponed_until(session: Session, message: Message, now: datetime, zone: str) -> datetime | None:
    """Until when the message has to wait, UTC; None = it may be sent now.

    Promotional messages have permitted hours; messages that no person has sent respect the quiet hours.
    """
    if message.purpose == "promotional":
        return promotional_opening(session, now, zone)
    if message.created_by_id is None or messages.is_of_campaign(message):
        return end_of_quiet_hours(session, now, zone)
    return None


def end_of_quiet_hours(session: Session, now: datetime, zone: str) -> datetime | None:
    """When the quiet hours end, UTC; None = it is none of them."""
    ends, begins = _hours(business_settings.value_of(session, "quiet_hours"))
    return _next_opening(now.astimezone(ZoneInfo(zone)), begins, ends)


def promotional_opening(session: Session, now: datetime, zone: str) -> datetime | None:
    """When promotional messages and calls are next allowed, UTC; None = they are allowed now."""
    begins, ends = _hours(business_settings.value_of(session, "promotional_hours"))
    return _next_opening(now.astimezone(ZoneInfo(zone)), begins, ends)


def _hours(text: str) -> tuple[time, time]:
    first, _dash, last = text.partition("-")
    return time.fromisoformat(first.strip()), time.fromisoformat(last.strip())


def _next_opening(local: datetime, begins: time, ends: time) -> datetime | None:
    """When the hours from `begins` to `ends` (possibly after midnight) next begin, UTC; None = it is within them."""
    now = local.time().replace(tzinfo=None)
    is_open = begins <= now < ends if begins <= ends else now >= begins or now < ends
    if is_open or begins == ends:
        return None
    day = local.date() if now < begins else local.date() + timedelta(days=1)
    return datetime.combine(day, begins, local.tzinfo).astimezone(UTC)
