"""The next step with a lead or ticket: what a follow-up must have."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, join_texts
from app.domain.leads import Lead
from app.domain.next_follow_up import PlannedTask, moved

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


def set_follow_up(session: Session, lead_id: int, planned: PlannedTask) -> None:
    """Move the lead's next follow-up to the planned task, unless another comes first.

    A lead that the session's user may not see stays unchanged. The lead is locked in any case.
    """
    moved_to = moved(Lead.next_follow_up_on, len(planned.replaced))
    statement = update(Lead).where(Lead.id == lead_id).values(next_follow_up_on=moved_to)
    session.execute(statement, planned.parameters, execution_options={"synchronize_session": False})
