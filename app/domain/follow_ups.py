"""The next step with a lead or ticket: what a follow-up must have, and the lead's column that names the next one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, literal, or_, update
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, UtcDateTime, join_texts
from app.domain.leads import Lead

_IN_THE_PAST = "The next follow-up is in the past. Please choose a later time."


def refuse_past(due_on: datetime, now: datetime, field: str) -> None:
    """Raise RuleBroken, at this field, unless the follow-up is in the future."""
    if due_on <= now:
        raise RuleBroken(_IN_THE_PAST, field)


def refuse_invalid_follow_up(values: dict[str, Any], now: datetime) -> None:
    """Raise one RuleBroken for a next step without a title, or without a due time in the future."""
    errors: dict[str, list[str]] = {}
    if not (values.get("title") or "").strip():
        errors["title"] = ["Please enter what to do next."]
    if values.get("due_on") is None:
        errors["due_on"] = ["When is the next follow-up? Please choose a day and time."]
    elif values["due_on"] <= now:
        errors["due_on"] = [_IN_THE_PAST]
    if errors:
        raise RuleBroken(join_texts(text for texts in errors.values() for text in texts), errors=errors)


def set_follow_up(
    session: Session, lead_id: int, due_on: datetime, before: datetime, replaced: Sequence[datetime] = ()
) -> None:
    """Set the lead's next follow-up, unless it already has one between `before` and `due_on`.

    `replaced`: due times, UTC, of the tasks that the new one replaces; a follow-up at one of them doesn't
    count. A lead that the session's user may not see stays unchanged. The lead is locked in any case, before what the
    caller adds about it (`record_locks`): so the condition stands in the value.
    """
    stored = Lead.next_follow_up_on
    is_outdated = or_(stored.is_(None), stored <= before, stored > due_on, stored.in_(replaced))
    moved = case((is_outdated, literal(due_on, UtcDateTime)), else_=stored)
    statement = update(Lead).where(Lead.id == lead_id).values(next_follow_up_on=moved)
    session.execute(statement, execution_options={"synchronize_session": False})
