"""Snoozing tasks, and refusing closed ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.domain import task_actions
from app.domain.base import Conflict, RuleBroken
from app.domain.tasks import Task
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


@pytest.mark.parametrize("status", ["Backlog", "Todo", "In Progress"])
def test_an_open_task_is_not_refused(status: str) -> None:
    task_actions.refuse_closed(Task(title="Call", status=status))
