"""The days and times of a calendar, in India and in zones with clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.domain import calendar_range
from app.domain.calendar_range import CalendarRange

INDIA, BERLIN, HAVANA, BEIRUT = (
    ZoneInfo(name) for name in ("Asia/Kolkata", "Europe/Berlin", "America/Havana", "Asia/Beirut")
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    "zone, span, day, first, last, start, end",
    [
        (INDIA, "day", "2026-11-23", "2026-11-23", "2026-11-23", utc(2026, 11, 22, 18, 30), utc(2026, 11, 23, 18, 30)),
        (INDIA, "week", "2026-11-29", "2026-11-23", "2026-11-29", utc(2026, 11, 22, 18, 30), utc(2026, 11, 29, 18, 30)),
        (INDIA, "month", "2026-11-23", "2026-10-26", "2026-12-06", utc(2026, 10, 25, 18, 30), utc(2026, 12, 6, 18, 30)),
        (INDIA, "month", "2027-02-28", "2027-02-01", "2027-02-28", utc(2027, 1, 31, 18, 30), utc(2027, 2, 28, 18, 30)),
        (INDIA, "month", "2026-12-31", "2026-11-30", "2027-01-03", utc(2026, 11, 29, 18, 30), utc(2027, 1, 3, 18, 30)),
        # 23 and 25 hours
        (BERLIN, "day", "2027-03-28", "2027-03-28", "2027-03-28", utc(2027, 3, 27, 23), utc(2027, 3, 28, 22)),
        (BERLIN, "day", "2026-10-25", "2026-10-25", "2026-10-25", utc(2026, 10, 24, 22), utc(2026, 10, 25, 23)),
        (BERLIN, "week", "2026-10-25", "2026-10-19", "2026-10-25", utc(2026, 10, 18, 22), utc(2026, 10, 25, 23)),
        # midnight comes twice; midnight is skipped
        (HAVANA, "day", "2026-11-01", "2026-11-01", "2026-11-01", utc(2026, 11, 1, 4), utc(2026, 11, 2, 5)),
        (BEIRUT, "day", "2027-03-28", "2027-03-28", "2027-03-28", utc(2027, 3, 27, 22), utc(2027, 3, 28, 21)),
    ],
)
def test_a_range_begins_and_ends_at_local_midnight(
    zone: ZoneInfo, span: str, day: str, first: str, last: str, start: datetime, end: datetime
) -> None:
    found = CalendarRange(span, date.fromisoformat(day), zone)
    assert [each.isoformat() for each in (found.first, found.last)] == [first, last]
    assert (found.start, found.end) == (start, end)
    assert found.days[0] == found.first and found.days[-1] == found.last and len(set(found.days)) == len(found.days)


@pytest.mark.parametrize(
    "span, day, earlier, later",
    [
        ("day", "2026-12-31", "2026-12-30", "2027-01-01"),
        ("week", "2026-11-25", "2026-11-18", "2026-12-02"),
        ("month", "2027-01-31", "2026-12-01", "2027-02-01"),
        ("month", "2026-12-15", "2026-11-01", "2027-01-01"),
    ],
)
def test_the_ways_to_other_days(span: str, day: str, earlier: str, later: str) -> None:
    found = CalendarRange(span, date.fromisoformat(day), INDIA)
    assert [each.isoformat() for each in (found.earlier, found.later)] == [earlier, later]


@pytest.mark.parametrize(
    "zone, moment, day, moved",
    [
        (INDIA, utc(2026, 11, 23, 4, 30), "2026-11-24", utc(2026, 11, 24, 4, 30)),
        (BERLIN, utc(2026, 10, 24, 7), "2026-10-25", utc(2026, 10, 25, 8)),  # 9:00 stays 9:00
        (BERLIN, utc(2027, 3, 27, 1, 30), "2027-03-28", utc(2027, 3, 28, 1, 30)),  # there is no 2:30, so 3:30
    ],
)
def test_another_day_keeps_the_time_by_the_clock(zone: ZoneInfo, moment: datetime, day: str, moved: datetime) -> None:
    assert calendar_range.on_day(moment, date.fromisoformat(day), zone) == moved


def test_half_hours() -> None:
    found = list(calendar_range.slots(date(2026, 11, 23), INDIA, range(9, 11)))
    assert [label for label, _start, _end in found] == ["09:00", "09:30", "10:00", "10:30"]
    assert found[0][1:] == (utc(2026, 11, 23, 3, 30), utc(2026, 11, 23, 4)) and found[0][2] == found[1][1]
    assert calendar_range.slot_of(found[1][1].astimezone(INDIA) + timedelta(minutes=14)) == "09:30"
