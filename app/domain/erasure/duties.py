"""CONTENTS: the duties that keep data of a person who asked for erasure, and the settings that say for how long.

The sources of the settings are on their page; all of it is as set by the compliance officer.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy.orm import Session

from app.domain import business_settings

#: Duty -> the setting with its days.
SETTINGS = {
    "customer": "erasure_customer_days",
    "complaint": "erasure_complaint_days",
    "complainant": "erasure_complaint_days",
    "order": "erasure_order_days",
    "proof": "erasure_proof_days",
}


def days_of(session: Session) -> dict[str, int]:
    """Duty -> its days, as set now."""
    values = business_settings.values_of(session, *SETTINGS.values())
    return {duty: int(values[key]) for duty, key in SETTINGS.items()}


def end_of(began: date | None, days: int) -> date | None:
    """The first day on which the duty no longer holds; None while it has not begun to end."""
    return None if began is None else began + timedelta(days=days)


def is_over(until: date | None, now: datetime) -> bool:
    """Whether the duty is over, in every time zone."""
    return until is not None and begin_of(until) <= now


def begin_of(day: date) -> datetime:
    """When this day has begun in every time zone of the world, UTC."""
    return datetime.combine(day, time(), tzinfo=UTC) + timedelta(hours=12)
