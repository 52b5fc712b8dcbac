"""Due times of reports: each is processed once, however many processes check."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import session_hooks
from app.domain import report_schedules as schedules
from app.domain.base import RuleBroken, Stamp
from app.domain.date_buckets import days_of
from app.domain.report_schedules import ScheduleInput, ScheduleTimes, read_times
from app.models import Notification, Report, ReportRun, ReportSchedule, User
from tests import factories
from tests.factories import NOW

INDIA, BERLIN = "Asia/Kolkata", "Europe/Berlin"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("times", "zone", "now", "after", "newest"),
    [
        # 09:30 in India is 04:00 UTC.
        (ScheduleTimes("daily", time(9, 30), 0), INDIA, "2026-11-26 03:59", "2026-11-26 04:00", "2026-11-25 09:30"),
        (ScheduleTimes("daily", time(9, 30), 0), INDIA, "2026-11-26 04:00", "2026-11-27 04:00", "2026-11-26 09:30"),
        # 26 November 2026 is a Thursday.
        (ScheduleTimes("weekly", time(9, 0), 0), INDIA, "2026-11-26 12:00", "2026-11-30 03:30", "2026-11-23 09:00"),
        (ScheduleTimes("weekly", time(9, 0), 3), INDIA, "2026-11-26 03:30", "2026-12-03 03:30", "2026-11-26 09:00"),
        # A month that is too short ends sooner.
        (ScheduleTimes("monthly", time(0, 0), 31), INDIA, "2026-11-26 12:00", "2026-11-29 18:30", "2026-10-31 00:00"),
        (ScheduleTimes("monthly", time(8, 0), 31), INDIA, "2027-02-01 00:00", "2027-02-28 02:30", "2027-01-31 08:00"),
        # The night without 02:30, and the one with two of them: once each.
        (ScheduleTimes("daily", time(2, 30), 0), BERLIN, "2026-03-28 12:00", "2026-03-29 01:30", "2026-03-28 02:30"),
        (ScheduleTimes("daily", time(2, 30), 0), BERLIN, "2026-10-25 00:30", "2026-10-26 01:30", "2026-10-25 02:30"),
    ],
)
def test_when_it_is_due(times: ScheduleTimes, zone: str, now: str, after: str, newest: str) -> None:
    assert times.after(utc(now), zone) == utc(after)
    assert times.newest(utc(now), zone)[0] == newest


def test_how_many_times_were_missed() -> None:
    times = ScheduleTimes("daily", time(9, 30), 0)
    first, last = utc("2026-11-20 04:00"), utc("2026-11-23 04:00")
    assert (times.missed(first, last, INDIA), times.missed(last, last, INDIA)) == (3, 0)


@pytest.mark.parametrize(
    ("rhythm", "at", "day"),
    [
        ("hourly", "09:00", ""),
        ("daily", "25:00", ""),
        ("weekly", "09:00", "7"),
        ("monthly", "09:00", "32"),
        ("monthly", "9", "x"),
    ],
)
def test_times_that_are_none(rhythm: str, at: str, day: str) -> None:
    with pytest.raises(RuleBroken):
        read_times(rhythm, at, day)


@pytest.mark.parametrize(
    ("unit", "number", "first", "after"),
    [
        ("day", 0, date(1970, 1, 1), date(1970, 1, 2)),
        ("week", 0, date(1969, 12, 29), date(1970, 1, 5)),
        ("month", 202612, date(2026, 12, 1), date(2027, 1, 1)),
        ("month", 202702, date(2027, 2, 1), date(2027, 3, 1)),
        ("quarter", 20261, date(2026, 1, 1), date(2026, 4, 1)),
        ("quarter", 20264, date(2026, 10, 1), date(2027, 1, 1)),
    ],
)
def test_the_days_of_a_bucket(unit: str, number: int, first: date, after: date) -> None:
    assert days_of(unit, number) == (first, after)


# --- slots


@pytest.fixture
def session() -> Iterator[Session]:
    session_hooks.install()
    engine = factories.database()
    with factories.opened(engine) as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def schedule(session: Session) -> ReportSchedule:
    """Every day at 9:30, to two people."""
    people = [factories.user(session, name) for name in ("mia", "ana")]
    stamp = Stamp(people[0].id, NOW)
    report = Report(owner_id=people[0].id, label="Leads", kind="lead", definition={}, audience="me")
    report.stamp(stamp)
    session.add(report)
    session.flush()
    wish = ScheduleInput(ScheduleTimes("daily", time(9, 30), 0), "csv", (people[0].id, people[1].id))
    made: ReportSchedule = schedules.save(session, None, report, wish, (stamp, INDIA))
    session.commit()
    return made


def runs(session: Session) -> list[Any]:
    query = select(ReportRun.slot, ReportRun.user_id, ReportRun.state, ReportRun.missed).order_by(ReportRun.id)
    return [tuple(row) for row in session.execute(query)]


def test_a_time_is_opened_once_and_what_was_missed_is_counted(session: Session, schedule: ReportSchedule) -> None:
    due = schedule.next_on
    assert schedules.find_due(session, due - timedelta(seconds=1), 9) == []
    late = due + timedelta(days=2, hours=1)
    assert schedules.find_due(session, late, 9) == [schedule.id]
    assert len(schedules.open_slot(session, schedule.id, late, INDIA)) == 2
    assert schedules.open_slot(session, schedule.id, late, INDIA) == []
    schedule.next_on = due  # another process, which has read it before
    schedules.open_slot(session, schedule.id, late, INDIA)
    found = runs(session)
    assert [row[1] for row in found] == schedule.readers
    day = (late + timedelta(hours=5, minutes=30)).date()
    assert {(row[0], row[2], row[3]) for row in found} == {(f"{day} 09:30", "waiting", 2)}
    assert schedule.next_on == due + timedelta(days=3)


def test_a_worker_that_dies_is_replaced_until_it_has_died_too_often(session: Session, schedule: ReportSchedule) -> None:
    key = schedules.open_slot(session, schedule.id, schedule.next_on, INDIA)[0]
    now = schedule.next_on
    for _times in range(schedules.MAX_TRIES):
        assert schedules.claim(session, key, now) is not None
        assert schedules.claim(session, key, now) is None  # somebody is at it
        now += schedules.LOST_AFTER + timedelta(seconds=1)
        assert schedules.find_stalled(session, now, 9)[:1] == [key]
    assert schedules.claim(session, key, now) is None
    assert session.get_one(ReportRun, key, populate_existing=True).state == "failed"


def ends(session: Session, schedule: ReportSchedule, state: str, times: int) -> None:
    for _n in range(times):
        key = schedules.open_slot(session, schedule.id, schedule.next_on, INDIA)[0]
        run = schedules.claim(session, key, schedule.next_on)
        assert run is not None
        schedules.settle(session, run, (state, "It can't be read."), schedule.next_on)


def test_a_schedule_that_keeps_failing_is_paused_and_its_author_told(
    session: Session, schedule: ReportSchedule
) -> None:
    ends(session, schedule, "failed", schedules.MAX_FAILURES)
    assert schedule.paused_on is not None and "It can't be read." in (schedule.paused_why or "")
    assert schedules.find_due(session, schedule.next_on + timedelta(days=9), 9) == []
    notice = session.scalars(select(Notification)).one()
    assert (notice.kind, notice.user_id, notice.payload["why"]) == ("report", schedule.readers[0], "paused")
    schedules.resume(schedule, Stamp(notice.user_id, NOW), INDIA)
    after: Any = (schedule.paused_on, schedule.failures)
    assert after == (None, 0)


def test_who_may_not_have_it_is_left_out_and_the_author_told(session: Session, schedule: ReportSchedule) -> None:
    first, second = schedule.readers
    ends(session, schedule, "dropped", 1)
    assert schedule.readers == [second]
    notice = session.scalars(select(Notification)).one()
    named = session.get_one(User, first).first_name
    assert (notice.payload["why"], notice.payload["reader"].split()[0]) == ("dropped", named)
