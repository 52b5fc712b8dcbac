"""How long something can be snoozed."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from app.domain.base import RuleBroken
from app.domain.snooze import next_morning, snoozed_until
from tests.factories import HOUR, MINUTE, NOW

INDIA = ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize(
    "choice, expected",
    [("15m", NOW + 15 * MINUTE), ("1h", NOW + HOUR), ("tomorrow", datetime(2026, 11, 24, 3, 30, tzinfo=UTC))],
)
def test_each_choice_is_a_moment(choice: str, expected: datetime) -> None:
    assert snoozed_until(choice, NOW, INDIA) == expected


def test_other_choices_are_refused_for_their_field() -> None:
    with pytest.raises(RuleBroken) as refused:
        snoozed_until("2h", NOW, INDIA)
    assert list(refused.value.errors) == ["until"]


def test_the_next_morning_is_on_the_next_day_of_the_zone() -> None:
    before_nine = datetime(2026, 11, 23, 2, tzinfo=UTC)
    assert next_morning(before_nine, INDIA) == datetime(2026, 11, 24, 9, tzinfo=INDIA)
    assert next_morning(before_nine, ZoneInfo("America/New_York")).date() == before_nine.date()
