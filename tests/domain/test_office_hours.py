"""Office hours: ranges, holidays, clock changes; open time compared with a count of single minutes."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.working_time.office_hours import (
    NeverOpens,
    OfficeSchedule,
    OpeningRange,
    add_open_time,
    add_working_days,
    is_open,
    next_opening,
    open_time_between,
    refuse_bad_ranges,
    subtract_open_time,
)

KOLKATA, NEW_YORK = ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NONE = timedelta(0)

WORKING_WEEK = tuple(OpeningRange(day, time(9), time(18)) for day in range(5))
HOLI, MUHURAT, REPUBLIC_DAY = date(2026, 3, 4), date(2026, 11, 8), date(2026, 1, 26)
OFFICE = OfficeSchedule(
    KOLKATA,
    (*WORKING_WEEK, OpeningRange(5, time(9), time(11)), OpeningRange(5, time(12), time(14))),
    holidays=frozenset({REPUBLIC_DAY, HOLI}),
    half_days={date(2026, 3, 3): ((time(9), time(13)),), MUHURAT: ((time(18), time(19)),), date(2026, 3, 5): ()},
)
IN_NEW_YORK = OfficeSchedule(NEW_YORK, tuple(OpeningRange(day, time(9), time(18)) for day in range(7)))
NIGHT_SHIFT = OfficeSchedule(NEW_YORK, tuple(OpeningRange(day, time(0), time(6)) for day in range(7)))
ROUND_THE_CLOCK = tuple(OpeningRange(day, time(0), time(0)) for day in range(7))


def at(text: str, zone: ZoneInfo = KOLKATA) -> datetime:
    """The UTC moment of a local time such as '2026-03-02 09:00'; of a repeated one, the first."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


# --- Open or closed


@pytest.mark.parametrize(
    "moment, opened",
    [
        *(("2026-03-02 08:59:59", False), ("2026-03-02 09:00:00", True), ("2026-03-02 18:00:00", True)),  # a Monday
        *(("2026-03-02 18:00:01", False), ("2026-03-02 00:00:00", False), ("2026-03-01 12:00:00", False)),
        *(("2026-03-07 11:00:00", True), ("2026-03-07 11:30:00", False), ("2026-03-07 12:00:00", True)),  # two ranges
        *(("2026-03-04 12:00:00", False), ("2026-01-26 12:00:00", False)),  # holidays
        *(("2026-03-03 12:59:00", True), ("2026-03-03 14:00:00", False)),  # half-day
        *(("2026-11-08 18:30:00", True), ("2026-03-05 12:00:00", False)),  # a Sunday's session, a day without any
    ],
)
def test_the_office_is_open_within_its_ranges_and_closed_on_holidays(moment: str, opened: bool) -> None:
    assert is_open(OFFICE, at(moment)) is opened


def test_an_office_without_hours_is_always_open_even_on_holidays() -> None:
    office = OfficeSchedule(KOLKATA, holidays=frozenset({HOLI}), half_days={MUHURAT: ((time(9), time(10)),)})
    start = at("2026-03-04 03:00")
    assert is_open(office, start)
    assert open_time_between(office, start, start + 40 * DAY) == 40 * DAY
    assert add_open_time(office, start, 5 * HOUR) == start + 5 * HOUR
    assert next_opening(office, start) == start
    assert add_working_days(office, start, 3) == start + 3 * DAY


def test_unusable_hours_count_as_no_hours() -> None:
    assert is_open(
        OfficeSchedule(KOLKATA, (OpeningRange(0, time(18), time(9)), OpeningRange(1, time(9), time(9)))),
        at("2026-03-01 12:00"),
    )


def test_a_holiday_wins_over_a_half_day() -> None:
    office = OfficeSchedule(KOLKATA, WORKING_WEEK, frozenset({HOLI}), {HOLI: ((time(9), time(13)),)})
    assert not is_open(office, at("2026-03-04 10:00"))


@pytest.mark.parametrize("midnight", [time(0), time(23, 59, 59), time.max])
def test_an_end_at_midnight_is_the_end_of_the_day(midnight: time) -> None:
    office = OfficeSchedule(KOLKATA, (OpeningRange(0, time(20), midnight),))
    assert is_open(office, at("2026-03-02 23:59:59.5"))
    assert is_open(office, at("2026-03-03 00:00:00"))
    assert not is_open(office, at("2026-03-03 00:00:01"))
    assert open_time_between(office, at("2026-03-02 12:00"), at("2026-03-03 12:00")) == 4 * HOUR


def test_ranges_that_touch_or_overlap_count_once() -> None:
    ranges = (
        OpeningRange(0, time(9), time(13)),
        OpeningRange(0, time(13), time(15)),
        OpeningRange(0, time(10), time(11)),
        OpeningRange(0, time(14), time(18)),
    )
    assert (
        open_time_between(OfficeSchedule(KOLKATA, ranges), at("2026-03-02 00:00"), at("2026-03-03 00:00")) == 9 * HOUR
    )


@pytest.mark.parametrize("ask", [is_open, next_opening])
def test_a_datetime_without_a_zone_is_refused(ask: Callable[[OfficeSchedule, datetime], object]) -> None:
    with pytest.raises(ValueError, match="time zone"):
        ask(OFFICE, datetime(2026, 3, 2, 12))


# --- Amounts of open time


@pytest.mark.parametrize(
    "start, end, hours",
    [
        ("2026-03-02 09:00", "2026-03-02 18:00", 9),
        ("2026-03-02 06:00", "2026-03-02 10:30", 1.5),
        ("2026-03-02 17:45", "2026-03-03 09:15", 0.5),  # the night does not count
        ("2026-03-02 18:00", "2026-03-03 09:00", 0),
        ("2026-03-03 00:00", "2026-03-06 00:00", 4),  # half-day, holiday, day without a session
        ("2026-03-07 10:00", "2026-03-09 10:00", 4),  # two ranges, Sunday
        ("2026-02-02 00:00", "2026-03-02 00:00", 4 * 49),
        ("2026-03-02 12:00", "2026-03-02 12:00", 0),
        ("2026-03-03 12:00", "2026-03-02 12:00", 0),  # the end comes first
    ],
)
def test_open_time_between_two_moments(start: str, end: str, hours: float) -> None:
    assert open_time_between(OFFICE, at(start), at(end)) == hours * HOUR


@pytest.mark.parametrize(
    "start, hours, moment",
    [
        ("2026-03-02 09:00", 1, "2026-03-02 10:00"),
        ("2026-03-02 09:00", 9, "2026-03-02 18:00"),  # at the end, not next morning
        ("2026-03-02 17:30", 1, "2026-03-03 09:30"),
        ("2026-03-02 20:00", 0.5, "2026-03-03 09:30"),
        ("2026-03-03 12:00", 2, "2026-03-06 10:00"),  # over half-day, holiday and empty day
        ("2026-03-07 10:30", 1, "2026-03-07 12:30"),  # over the lunch break
        ("2026-03-07 10:30", 4, "2026-03-09 10:30"),
        ("2026-03-09 09:00", 49 * 4, "2026-04-04 14:00"),  # four whole weeks
        ("2026-03-02 06:00", 0, "2026-03-02 09:00"),
        ("2026-03-02 12:00", 0, "2026-03-02 12:00"),
        ("2026-03-02 18:00", 0, "2026-03-02 18:00"),
        ("2026-03-02 18:01", 0, "2026-03-03 09:00"),
    ],
)
def test_adding_open_time(start: str, hours: float, moment: str) -> None:
    assert add_open_time(OFFICE, at(start), hours * HOUR) == at(moment)


def test_a_negative_span_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        add_open_time(OFFICE, at("2026-03-02 09:00"), -MINUTE)
    with pytest.raises(ValueError, match="negative"):
        add_working_days(OFFICE, at("2026-03-02 09:00"), -1)


@pytest.mark.parametrize(
    "now, opens",
    [
        ("2026-03-02 12:00", "2026-03-02 12:00"),
        ("2026-03-02 18:30", "2026-03-03 09:00"),
        ("2026-03-03 13:30", "2026-03-06 09:00"),
        ("2026-03-07 11:30", "2026-03-07 12:00"),
        ("2026-11-08 03:00", "2026-11-08 18:00"),
    ],
)
def test_the_next_opening(now: str, opens: str) -> None:
    assert next_opening(OFFICE, at(now)) == at(opens)


@pytest.mark.parametrize(
    "start, days, moment",
    [
        ("2026-03-09 11:00", 3, "2026-03-12 11:00"),
        ("2026-03-12 11:00", 3, "2026-03-16 11:00"),  # Saturday counts, Sunday does not
        ("2026-03-02 16:00", 1, "2026-03-06 09:00"),  # a half-day counts; closed at 16:00, so the next opening
        ("2026-03-03 12:00", 1, "2026-03-06 12:00"),  # over holiday and empty day
        ("2026-03-13 20:00", 1, "2026-03-16 09:00"),
        ("2026-03-15 12:00", 1, "2026-03-16 12:00"),  # from a Sunday
        ("2026-03-15 12:00", 0, "2026-03-16 09:00"),
        ("2026-03-09 11:00", 0, "2026-03-09 11:00"),
    ],
)
def test_adding_working_days(start: str, days: int, moment: str) -> None:
    assert add_working_days(OFFICE, at(start), days) == at(moment)


# --- An office that stays closed


def closed_for(days: int) -> OfficeSchedule:
    return OfficeSchedule(KOLKATA, WORKING_WEEK, frozenset(date(2026, 3, 2) + number * DAY for number in range(days)))


@pytest.mark.parametrize("span", [NONE, HOUR, 5_000 * HOUR])
def test_an_office_closed_for_three_years_never_opens(span: timedelta) -> None:
    with pytest.raises(NeverOpens):
        add_open_time(closed_for(3 * 366), at("2026-03-02 12:00"), span)
    with pytest.raises(NeverOpens):
        add_working_days(closed_for(3 * 366), at("2026-03-02 12:00"), 1)


@pytest.mark.parametrize("hours, opened_for", [(1, 1), (18, 18), (900, 900)])
def test_an_office_closed_for_a_year_opens_again(hours: int, opened_for: int) -> None:
    office = closed_for(365)
    moment = add_open_time(office, at("2026-03-02 12:00"), hours * HOUR)
    assert moment > at("2027-03-02 09:00")
    assert open_time_between(office, at("2027-03-02 00:00"), moment) == opened_for * HOUR


# --- Clock changes


@pytest.mark.parametrize(
    "start, end, hours",
    [
        ("2026-03-07 12:00", "2026-03-08 12:00", 9),  # New York goes forward on Sunday, 8 March
        ("2026-03-01 00:00", "2026-04-01 00:00", 31 * 9),
        ("2026-10-31 12:00", "2026-11-01 12:00", 9),  # and back on Sunday, 1 November
    ],
)
def test_daylight_saving_does_not_affect_a_day_shift(start: str, end: str, hours: int) -> None:
    assert open_time_between(IN_NEW_YORK, at(start, NEW_YORK), at(end, NEW_YORK)) == hours * HOUR


def test_opening_moves_in_utc_with_daylight_saving() -> None:
    assert next_opening(IN_NEW_YORK, at("2026-03-07 19:00", NEW_YORK)) == datetime(2026, 3, 8, 13, tzinfo=UTC)
    assert next_opening(IN_NEW_YORK, at("2026-10-31 19:00", NEW_YORK)) == datetime(2026, 11, 1, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    "day, hours, in_the_month",
    [("2026-03-08", 5, 31 * 6 - 1), ("2026-11-01", 7, 30 * 6 + 1), ("2026-07-01", 6, 31 * 6)],
)
def test_a_night_shift_is_counted_in_elapsed_time(day: str, hours: int, in_the_month: int) -> None:
    midnight = at(day, NEW_YORK)
    assert open_time_between(NIGHT_SHIFT, midnight, midnight + 12 * HOUR) == hours * HOUR
    assert add_open_time(NIGHT_SHIFT, midnight, hours * HOUR) == at(f"{day} 06:00", NEW_YORK)
    first = datetime.fromisoformat(day).replace(day=1, tzinfo=NEW_YORK)
    following = (first + 40 * DAY).replace(day=1)
    assert open_time_between(NIGHT_SHIFT, first, following) == in_the_month * HOUR


def test_a_skipped_hour_is_not_counted_and_a_repeated_one_is_counted_twice() -> None:
    office = OfficeSchedule(NEW_YORK, (OpeningRange(6, time(1, 30), time(2, 30)),))
    assert open_time_between(office, at("2026-03-08 00:00", NEW_YORK), at("2026-03-08 12:00", NEW_YORK)) == HOUR / 2
    assert open_time_between(office, at("2026-11-01 00:00", NEW_YORK), at("2026-11-01 12:00", NEW_YORK)) == 1.5 * HOUR


def test_the_second_of_a_repeated_hour_is_open_too() -> None:
    office = OfficeSchedule(NEW_YORK, (OpeningRange(6, time(1), time(1, 30)),))
    first_pass = at("2026-11-01 01:15", NEW_YORK)
    assert [is_open(office, first_pass + number * HOUR / 2) for number in range(4)] == [True, False, True, False]
    assert next_opening(office, first_pass + HOUR / 2) == first_pass + 0.75 * HOUR


def test_working_days_keep_the_local_time_over_a_clock_change() -> None:
    assert add_working_days(IN_NEW_YORK, at("2026-03-06 10:00", NEW_YORK), 3) == at("2026-03-09 10:00", NEW_YORK)


def test_kolkata_has_no_clock_changes() -> None:
    nights = OfficeSchedule(KOLKATA, tuple(OpeningRange(day, time(0), time(6)) for day in range(7)))
    assert open_time_between(nights, at("2016-01-01 00:00"), at("2026-01-01 00:00")) == 3653 * 6 * HOUR


def test_a_skipped_date_has_no_open_time() -> None:
    apia = OfficeSchedule(ZoneInfo("Pacific/Apia"), tuple(OpeningRange(day, time(9), time(18)) for day in range(7)))
    start, end = datetime(2011, 12, 1, tzinfo=apia.zone), datetime(2012, 1, 1, tzinfo=apia.zone)
    assert open_time_between(apia, start, end) == 30 * 9 * HOUR


# --- Against counting single minutes


def is_open_minute(office: OfficeSchedule, moment: datetime) -> bool:
    """Whether the minute that starts now is open, by the simplest possible implementation."""
    local = moment.astimezone(office.zone)
    day, wall = local.date(), local.time()
    if day in office.holidays:
        return False
    usual = tuple((each.starts, each.ends) for each in office.ranges if each.weekday == day.weekday())
    return any(starts <= wall and (wall < ends or ends == time(0)) for starts, ends in office.half_days.get(day, usual))


def minutes_counted(office: OfficeSchedule, start: datetime, end: datetime) -> timedelta:
    """All minutes of a quarter of an hour are alike: ranges begin and end at quarters, and clocks are set at them."""
    minutes, number, found = (end - start) // MINUTE, 0, 0
    while number < minutes:
        moment = start + number * MINUTE
        alike = min(15 - moment.minute % 15, minutes - number)
        found += alike * is_open_minute(office, moment)
        number += alike
    return found * MINUTE


#: Around clock changes of these zones: day shift, night change, half an hour, over midnight, none, a Ramadan pause.
SCENES = (
    *(
        ("America/New_York", date(2026, 3, 8)),
        ("America/New_York", date(2026, 11, 1)),
        ("Asia/Kolkata", date(2026, 3, 8)),
    ),
    *(
        ("Australia/Lord_Howe", date(2026, 4, 5)),
        ("America/Nuuk", date(2026, 10, 24)),
        ("Africa/Casablanca", date(2026, 2, 15)),
    ),
    *(
        ("America/New_York", date(2026, 12, 31)),
        ("Pacific/Apia", date(2011, 12, 30)),
        ("Africa/Cairo", date(2026, 4, 24)),
    ),
)
times = st.builds(time, st.integers(0, 23), st.sampled_from([0, 0, 15, 30]))
ranges = st.builds(OpeningRange, st.integers(0, 6), times, times | st.just(time(0))).filter(
    lambda each: each.starts < each.ends or each.ends == time(0)
)
pairs = st.lists(ranges, max_size=2).map(lambda some: tuple((each.starts, each.ends) for each in some))


@st.composite
def offices_at_work(draw: st.DrawFn) -> tuple[OfficeSchedule, datetime]:
    name, day = draw(st.sampled_from(SCENES))
    near = st.integers(-5, 5).map(lambda number: day + number * DAY)
    office = OfficeSchedule(
        ZoneInfo(name),
        tuple(draw(st.lists(ranges, min_size=1, max_size=9) | st.just(list(ROUND_THE_CLOCK)))),
        draw(st.frozensets(near, max_size=3)),
        draw(st.dictionaries(near, pairs, max_size=3)),
    )
    minute = draw(st.integers(-4 * 1440, 3 * 1440))
    return office, datetime.combine(day, time(0), tzinfo=UTC) + minute * MINUTE


@settings(max_examples=60, deadline=None)
@given(scene=offices_at_work(), minutes=st.integers(0, 4 * 1440))
def test_open_time_equals_the_counted_minutes(scene: tuple[OfficeSchedule, datetime], minutes: int) -> None:
    office, start = scene
    assert open_time_between(office, start, start + minutes * MINUTE) == minutes_counted(
        office, start, start + minutes * MINUTE
    )


@settings(max_examples=120, deadline=None)
@given(scene=offices_at_work(), seconds=st.integers(1, 60 * 3600))
def test_adding_open_time_finds_the_earliest_moment(scene: tuple[OfficeSchedule, datetime], seconds: int) -> None:
    office, start = scene
    span = timedelta(seconds=seconds)
    moment = add_open_time(office, start, span)
    assert open_time_between(office, start, moment) == span
    assert open_time_between(office, start, moment - timedelta.resolution) == span - timedelta.resolution
    if moment - start < 3 * DAY:
        whole = moment.replace(second=0)
        assert minutes_counted(office, start, whole) + (moment - whole) == span


@settings(max_examples=70, deadline=None)
@given(scene=offices_at_work())
def test_the_next_opening_is_the_first_open_minute(scene: tuple[OfficeSchedule, datetime]) -> None:
    office, now = scene
    opens = next_opening(office, now)
    assert opens == add_open_time(office, now, NONE)
    assert is_open(office, opens)
    assume(opens - now < 4 * DAY)
    assert minutes_counted(office, now, opens) == NONE


@settings(max_examples=90, deadline=None)
@given(scene=offices_at_work(), first=st.integers(0, 3_000 * 1440), second=st.integers(0, 3_000 * 1440))
def test_open_time_adds_up_over_years(scene: tuple[OfficeSchedule, datetime], first: int, second: int) -> None:
    office, start = scene
    middle = start + first * MINUTE
    end = middle + second * MINUTE
    assert open_time_between(office, start, middle) + open_time_between(office, middle, end) == open_time_between(
        office, start, end
    )


@settings(max_examples=50, deadline=None)
@given(scene=offices_at_work(), hours=st.integers(1, 30_000))
def test_long_spans_are_exact(scene: tuple[OfficeSchedule, datetime], hours: int) -> None:
    office, start = scene
    moment = add_open_time(office, start, hours * HOUR)
    assert open_time_between(office, start, moment) == hours * HOUR
    assert open_time_between(office, start, moment - MINUTE) == hours * HOUR - MINUTE


class Counting(OfficeSchedule):
    """An office that records for which days its windows are read."""

    def windows(self, day: date) -> Any:
        self.asked.append(day)
        return super().windows(day)

    @cached_property
    def asked(self) -> list[date]:
        return []


@pytest.mark.parametrize("zone", [KOLKATA, NEW_YORK])
def test_only_the_unusual_days_of_ten_years_are_computed(zone: ZoneInfo) -> None:
    holidays = frozenset(date(2020, 1, 1) + number * 13 * DAY for number in range(300))
    office = Counting(zone, WORKING_WEEK, holidays)
    start, end = datetime(2021, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    unusual = (
        len([day for day in holidays if start.date() <= day < end.date()]) + 10 * 2 * 2
    )  # two clock changes a year, before and after
    span = open_time_between(office, start, end)
    assert len(office.asked) <= unusual + 4
    office.asked.clear()
    assert add_open_time(office, start, span) <= end
    assert len(office.asked) <= 3 * unusual  # the search takes a few steps


# --- Subtracting open time


@pytest.mark.parametrize(
    "end, minutes, since",
    [
        ("2026-03-10 12:00", 30, "2026-03-10 11:30"),  # a Tuesday
        ("2026-03-10 09:20", 30, "2026-03-09 17:50"),  # ten minutes of Monday
        ("2026-03-10 09:30", 30, "2026-03-09 18:00"),  # it is half an hour all night; a task due at 18:00 is not late
        ("2026-03-09 09:00", 0, "2026-03-07 14:00"),  # Saturday ends at 14:00, Sunday is closed
        ("2026-03-08 12:00", 60, "2026-03-07 13:00"),  # while it is closed
        ("2026-03-06 09:30", 60, "2026-03-03 12:30"),  # over a day without a session, a holiday and half of a half-day
        ("2026-01-27 09:30", 60, "2026-01-24 13:30"),  # over a holiday, Sunday and part of Saturday
    ],
)
def test_subtracting_open_time(end: str, minutes: int, since: str) -> None:
    assert subtract_open_time(OFFICE, at(end), minutes * MINUTE) == at(since)


def test_a_repeated_hour_counts_twice_when_subtracting() -> None:
    """At 03:00 on 1 November three hours of the night shift have passed since 01:00 in New York, the first of two."""
    assert subtract_open_time(NIGHT_SHIFT, at("2026-11-01 03:00", NEW_YORK), 3 * HOUR) == at(
        "2026-11-01 01:00", NEW_YORK
    )


def test_nothing_is_late_if_the_office_was_not_open_for_so_long() -> None:
    assert subtract_open_time(OFFICE, at("2026-03-10 12:00"), 400 * 366 * DAY) == datetime(1000, 1, 1, tzinfo=UTC)
    assert subtract_open_time(OfficeSchedule(KOLKATA), at("2026-03-10 12:00"), 5 * HOUR) == at("2026-03-10 07:00")


@pytest.mark.parametrize("count", [subtract_open_time, add_open_time])
def test_a_negative_span_of_open_time_is_refused(
    count: Callable[[OfficeSchedule, datetime, timedelta], datetime],
) -> None:
    with pytest.raises(ValueError, match="negative"):
        count(OFFICE, at("2026-03-10 12:00"), -MINUTE)


@settings(max_examples=120, deadline=None)
@given(scene=offices_at_work(), seconds=st.integers(0, 60 * 3600))
def test_subtracting_open_time_finds_the_earliest_moment(scene: tuple[OfficeSchedule, datetime], seconds: int) -> None:
    office, end = scene
    span = timedelta(seconds=seconds)
    moment = subtract_open_time(office, end, span)
    assert open_time_between(office, moment, end) == span
    assert open_time_between(office, moment - timedelta.resolution, end) > span


@settings(max_examples=60, deadline=None)
@given(scene=offices_at_work(), minutes=st.integers(0, 600), back=st.integers(0, 4 * 1440))
def test_lateness_equals_the_counted_minutes(scene: tuple[OfficeSchedule, datetime], minutes: int, back: int) -> None:
    office, end = scene
    due_on = end - back * MINUTE
    assert (due_on < subtract_open_time(office, end, minutes * MINUTE)) is (
        minutes_counted(office, due_on, end) > minutes * MINUTE
    )


# --- The admin screen


def test_valid_ranges_are_accepted() -> None:
    refuse_bad_ranges(
        [OpeningRange(0, time(13), time(0)), OpeningRange(0, time(9), time(13)), OpeningRange(1, time(12), time(14))]
    )


@pytest.mark.parametrize(
    "bad, sentence",
    [
        (
            [OpeningRange(0, time(18), time(9))],
            "Monday: 18:00 to 09:00 ends before it starts; put the later time second.",
        ),
        (
            [OpeningRange(1, time(9), time(9))],
            "Tuesday: 09:00 to 09:00 ends before it starts; put the later time second.",
        ),
        (
            [OpeningRange(5, time(12), time(18)), OpeningRange(5, time(9), time(13))],
            "Saturday: 09:00 to 13:00 and 12:00 to 18:00 overlap; make them one range.",
        ),
        ([OpeningRange(7, time(9), time(18))], "Choose a weekday from Monday to Sunday."),
    ],
)
def test_invalid_ranges_are_refused_with_a_reason(bad: list[OpeningRange], sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        refuse_bad_ranges(bad)
    assert str(error.value) == sentence
