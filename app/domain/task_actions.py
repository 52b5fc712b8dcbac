"""Actions on a task during the day: postpone it, or finish it and plan the next step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import case, literal, or_, update
from sqlalchemy.orm import Session

from app.domain import tasks
from app.domain.base import Conflict, RuleBroken, UtcDateTime, join_texts, translatable
from app.domain.leads import Lead
from app.domain.snooze import snoozed_until
from app.domain.tasks import Task


def snoozed_due_on(task: Task, choice: str, now: datetime, zone: ZoneInfo) -> datetime:
    """The new due time for "15m", "1h" or "tomorrow" (at nine in the user's zone), in UTC or in that zone.

    Counted from now, or from the due time if it is in the future, so that a task is never moved to an earlier time.
    Raises RuleBroken for another choice.
    """
    return snoozed_until(choice, max(now, task.due_on or now), zone)


def refuse_closed(task: Task) -> None:
    """Raise Conflict if the task is already finished or canceled."""
    if task.status not in tasks.OPEN:
        raise Conflict(
            translatable("“%(title)s” is already finished. Someone else may have finished it.", title=task.title)
        )


def refuse_invalid_follow_up(values: dict[str, Any], now: datetime) -> None:
    """Raise one RuleBroken for a next step without a title, or without a due time in the future."""
    errors: dict[str, list[str]] = {}
    if not (values.get("title") or "").strip():
        errors["title"] = ["Please enter what to do next."]
    if values.get("due_on") is None:
        errors["due_on"] = ["When is the next follow-up? Please choose a day and time."]
    elif values["due_on"] <= now:
        errors["due_on"] = ["This time is in the past. Please choose a later one."]
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
