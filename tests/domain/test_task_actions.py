"""Snoozing tasks, closing them, and planning the next follow-up."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from app.domain import task_actions
from app.domain.base import Conflict, RuleBroken
from app.domain.tasks import Task
from tests import factories
from tests.factories import DAY, HOUR, MINUTE, NOW

INDIA = ZoneInfo("Asia/Kolkata")
NINE_TOMORROW = datetime(2026, 11, 24, 3, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "due_on, choice, expected",
    [
        (NOW - DAY, "15m", NOW + 15 * MINUTE),
        (None, "1h", NOW + HOUR),
        (NOW + HOUR, "15m", NOW + 75 * MINUTE),
        (NOW - DAY, "tomorrow", NINE_TOMORROW),
        (NOW + HOUR, "tomorrow", NINE_TOMORROW),
        (NINE_TOMORROW, "tomorrow", NINE_TOMORROW + DAY),
    ],
)
def test_a_task_is_snoozed_to_a_later_time(due_on: Any, choice: str, expected: datetime) -> None:
    assert task_actions.snoozed_due_on(Task(due_on=due_on), choice, NOW, INDIA) == expected


def test_tomorrow_is_in_the_users_zone() -> None:
    late = datetime(2026, 11, 23, 20, tzinfo=UTC)  # in India it is already the 24th
    assert task_actions.snoozed_due_on(Task(due_on=None), "tomorrow", late, INDIA) == NINE_TOMORROW + DAY
    assert task_actions.snoozed_due_on(Task(due_on=None), "tomorrow", late, ZoneInfo("UTC")).day == 24


@pytest.mark.parametrize("choice", ["", "soon", "15", "1h;drop"])
def test_other_choices_are_refused(choice: str) -> None:
    with pytest.raises(RuleBroken, match="15 minutes"):
        task_actions.snoozed_due_on(Task(due_on=None), choice, NOW, INDIA)


@pytest.mark.parametrize("status", ["Done", "Canceled"])
def test_a_closed_task_is_refused(status: str) -> None:
    with pytest.raises(Conflict, match="“Call” is already finished"):
        task_actions.refuse_closed(Task(title="Call", status=status))


def test_all_errors_of_a_follow_up_are_reported_together() -> None:
    with pytest.raises(RuleBroken) as broken:
        task_actions.refuse_invalid_follow_up({"title": " ", "due_on": None}, NOW)
    assert set(broken.value.errors) == {"title", "due_on"}
    with pytest.raises(RuleBroken, match="past"):
        task_actions.refuse_invalid_follow_up({"title": "Call", "due_on": NOW}, NOW)


@pytest.mark.parametrize(
    "stored, expected",
    [(None, NOW + DAY), (NOW - DAY, NOW + DAY), (NOW + 3 * DAY, NOW + DAY), (NOW + 5 * HOUR, NOW + 5 * HOUR)],
)
def test_the_leads_follow_up_is_the_next_one(session: Session, stored: Any, expected: datetime) -> None:
    lead = factories.lead(session, factories.user(session, "ana", "Sales User"))
    lead.next_follow_up_on = stored
    session.flush()
    task_actions.set_follow_up(session, lead.id, NOW + DAY, NOW)
    session.refresh(lead)
    assert lead.next_follow_up_on == expected


@pytest.mark.parametrize("status", ["Backlog", "Todo", "In Progress"])
def test_an_open_task_is_not_refused(status: str) -> None:
    task_actions.refuse_closed(Task(title="Call", status=status))


@pytest.mark.parametrize(
    "values, errors",
    [
        ({"title": "Call", "due_on": NOW + MINUTE}, {}),
        ({"title": "", "due_on": NOW + MINUTE}, {"title": ["Please enter what to do next."]}),
        ({"title": None, "due_on": NOW + MINUTE}, {"title": ["Please enter what to do next."]}),
        ({"due_on": NOW + MINUTE}, {"title": ["Please enter what to do next."]}),
        ({"title": "Call"}, {"due_on": ["When is the next follow-up? Please choose a day and time."]}),
        ({"title": "Call", "due_on": NOW}, {"due_on": ["This time is in the past. Please choose a later one."]}),
    ],
)
def test_a_follow_up_has_a_title_and_a_time_ahead(values: Any, errors: Any) -> None:
    if not errors:
        task_actions.refuse_invalid_follow_up(values, NOW)
        return
    with pytest.raises(RuleBroken, match=re.escape(next(iter(errors.values()))[0])) as broken:
        task_actions.refuse_invalid_follow_up(values, NOW)
    assert broken.value.errors == errors


@pytest.mark.parametrize(
    "stored, expected",
    [(NOW, NOW + DAY), (NOW + MINUTE, NOW + MINUTE), (NOW + DAY, NOW + DAY), (NOW + DAY + MINUTE, NOW + DAY)],
)
def test_a_follow_up_at_the_boundaries(session: Session, stored: Any, expected: datetime) -> None:
    rows = [factories.lead(session, next_follow_up_on=stored) for _ in range(2)]
    task_actions.set_follow_up(session, rows[0].id, NOW + DAY, NOW)
    session.expire_all()
    assert [each.next_follow_up_on for each in rows] == [expected, stored]
