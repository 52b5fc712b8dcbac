"""What a person does to a task in the course of the day: put it off, or finish it and set the next step."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import or_, update
from sqlalchemy.orm import Session

from app.domain import tasks
from app.domain.base import Conflict, RuleBroken, join_texts, translatable
from app.domain.leads import Lead
from app.domain.snooze import snoozed_until
from app.domain.tasks import Task


def postponed_due_on(task: Task, said: str, now: datetime, zone: ZoneInfo) -> datetime:
    """The new due time, UTC or in the zone: 15m, 1h, or tomorrow at nine in the person's zone.

    Counted from now, or from the due time where that lies ahead: nothing is put off to an earlier moment.
    Raises RuleBroken for other words.
    """
    return snoozed_until(said, max(now, task.due_on or now), zone)


def refuse_closed(task: Task) -> None:
    """Raise Conflict when somebody has finished or canceled the task already."""
    if task.status not in tasks.OPEN:
        raise Conflict(
            translatable("“%(title)s” is already finished. Someone else may have finished it.", title=task.title)
        )


def refuse_invalid_follow_up(values: dict[str, Any], now: datetime) -> None:
    """Raise RuleBroken, all at once, for a next step without a title or without a moment ahead of now."""
    errors: dict[str, list[str]] = {}
    if not (values.get("title") or "").strip():
        errors["title"] = ["Please enter what to do next."]
    if values.get("due_on") is None:
        errors["due_on"] = ["When is the next follow-up? Please choose a day and time."]
    elif values["due_on"] <= now:
        errors["due_on"] = ["This time is in the past. Please choose a later one."]
    if errors:
        raise RuleBroken(join_texts(sentence for list_ in errors.values() for sentence in list_), errors=errors)


def set_follow_up(session: Session, lead_id: int, due_on: datetime, before: datetime) -> None:
    """The lead's next follow-up is this one, unless it names another moment between `before` and this one.

    A lead that the session's person does not see stays as it is.
    """
    stored = Lead.next_follow_up_on
    outdated = or_(stored.is_(None), stored <= before, stored > due_on)
    step = update(Lead).where(Lead.id == lead_id, outdated).values(next_follow_up_on=due_on)
    session.execute(step, execution_options={"synchronize_session": False})
