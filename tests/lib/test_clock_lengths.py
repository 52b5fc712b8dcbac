"""Lengths as a clock shows them."""

from __future__ import annotations

import pytest

from app.lib import clock_lengths


@pytest.mark.parametrize(
    ("text", "seconds"), [("4:30", 270), ("0:05", 5), (" 1:04:30 ", 3870), ("90:00", 5400), ("0:00", 0)]
)
def test_minutes_and_seconds_are_read(text: str, seconds: int) -> None:
    assert clock_lengths.seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "4", "4:3", "4:60", "1:60:00", "1:2:3:4", "-1:00", "4:30x", "4.30", "٤:٣٠", ":30"]
)
def test_anything_else_is_not(text: str) -> None:
    assert clock_lengths.seconds_of(text) is None


@pytest.mark.parametrize("seconds", [0, 5, 59, 60, 270, 3599, 3600, 3870, 100_000])
def test_what_is_shown_is_read_as_the_same_length(seconds: int) -> None:
    assert clock_lengths.seconds_of(clock_lengths.text_of(seconds)) == seconds
