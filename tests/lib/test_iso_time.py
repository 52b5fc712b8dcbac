"""Texts that are dates and times, and texts that only look like them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone

import pytest

from app.lib.iso_time import read_moment, read_time

INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2026-11-30", datetime(2026, 11, 30)),
        ("2026-11-30T17:30", datetime(2026, 11, 30, 17, 30)),
        ("2026-11-30 17:30:05", datetime(2026, 11, 30, 17, 30, 5)),
        ("2026-11-30T17:30:05.25Z", datetime(2026, 11, 30, 17, 30, 5, 250_000, tzinfo=UTC)),
        ("2026-11-30T17:30+05:30", datetime(2026, 11, 30, 17, 30, tzinfo=INDIA)),
        ("2026-11-30T17:30+0530", datetime(2026, 11, 30, 17, 30, tzinfo=INDIA)),
    ],
)
def test_a_moment_is_what_its_text_says(typed: str, meant: datetime) -> None:
    assert read_moment(typed) == meant


@pytest.mark.parametrize(
    "typed",
    # A fraction of an hour or a minute would lose half an hour in silence
    [
        *("2026-11-30 18.30", "2026-11-30T18,30", "2026-11-30T18", "2026-11-30T18:30.5", "2026-11-30T18:30,5"),
        *("1764123456789", "20261130", "2026-W48-1", "30-11-2026", "2026-11-30T24:00", "2026-02-30", "2026-11-30x", ""),
    ],
)
def test_what_only_looks_like_a_moment_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_moment(typed)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("17:30", time(17, 30)), ("9:30", time(9, 30)), ("17:30:15", time(17, 30, 15)), ("00:00:00.000", time(0, 0))],
)
def test_a_time_is_what_its_text_says(typed: str, meant: time) -> None:
    assert read_time(typed) == meant


@pytest.mark.parametrize(
    "typed", ["18.30", "18,30", "1830", "18", "T18:30", "18:30Z", "18:30+05:30", "6:30 PM", "24:00", "18:30.5", ""]
)
def test_what_only_looks_like_a_time_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_time(typed)
