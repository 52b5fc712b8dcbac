"""How long something can be snoozed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.domain.base import RuleBroken
from app.domain.snooze import next_morning, snoozed_due_on, snoozed_until
from tests.factories import DAY, HOUR, MINUTE, NOW

INDIA = ZoneInfo("Asia/Kolkata")
NINE_TOMORROW = datetime(2026, 11, 24, 3, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "choice, expected",
    [("15m", NOW + 15 * MINUTE), ("1h", NOW + HOUR), ("3h", NOW + 3 * HOUR), ("tomorrow", NINE_TOMORROW)],
)
def test_each_choice_is_a_moment(choice: str, expected: datetime) -> None:
    assert snoozed_until(choice, NOW, INDIA) == expected


def test_other_choices_are_refused_for_their_field() -> None:
    with pytest.raises(RuleBroken) as refused:
        snoozed_until("2h", NOW, INDIA)
    assert list(refused.value.errors) == ["until"]


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
    assert snoozed_due_on(due_on, choice, NOW, INDIA) == expected


def test_tomorrow_is_in_the_users_zone() -> None:
    late = datetime(2026, 11, 23, 20, tzinfo=UTC)  # in India it is already the 24th
    assert snoozed_due_on(None, "tomorrow", late, INDIA) == NINE_TOMORROW + DAY
    assert snoozed_due_on(None, "tomorrow", late, ZoneInfo("UTC")).day == 24


@pytest.mark.parametrize("choice", ["", "soon", "15", "1h;drop"])
def test_a_task_is_not_snoozed_by_another_choice(choice: str) -> None:
    with pytest.raises(RuleBroken, match="15 minutes"):
        snoozed_due_on(None, choice, NOW, INDIA)


def test_the_next_morning_is_on_the_next_day_of_the_zone() -> None:
    before_nine = datetime(2026, 11, 23, 2, tzinfo=UTC)
    assert next_morning(before_nine, INDIA) == datetime(2026, 11, 24, 9, tzinfo=INDIA)
    assert next_morning(before_nine, ZoneInfo("America/New_York")).date() == before_nine.date()
