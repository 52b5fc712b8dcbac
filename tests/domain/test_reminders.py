"""Reminders appear exactly once, say the true remaining time, and never stand in the way of somebody's save."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import tasks
from app.domain.change_context import ChangeContext
from app.domain.notices import Notification
from app.domain.reminders import due_tasks, minutes_left, remind, remind_many
from app.domain.tasks import Task
from app.ops.database import STATEMENTS
from tests import makers
from tests.makers import DAY, HOUR, MINUTE, NOW, ZONE

DUE = NOW + 2 * HOUR


@pytest.fixture
def ana(session: Session) -> Any:
    return makers.user(session, "ana", "Sales User")


def armed(session: Session, ana: Any, due_on: datetime = DUE) -> Task:
    task = makers.task(session, makers.lead(session, ana), due_on=None)
    task.set_due(due_on, (60, 5), NOW)
    session.flush()
    return task


def minute_by_minute(session: Session, start: datetime, end: datetime, step: Any = MINUTE) -> None:
    """The job as it runs: every minute, what is due."""
    now = start
    while now <= end:
        for task_id in due_tasks(session, now, 100):
            remind(session, task_id, now, ZONE)
        now += step


def told(session: Session) -> list[tuple[str, int]]:
    rows = session.scalars(select(Notification).order_by(Notification.id))
    return [(row.kind, row.payload["minutes"]) for row in rows]


def test_a_person_is_reminded_an_hour_and_five_minutes_before(session, ana):
    armed(session, ana)
    minute_by_minute(session, NOW, DUE)
    assert told(session) == [("task_due", 60), ("task_due", 5)]


def test_a_person_is_reminded_when_he_wants_it(session, ana):
    ana.reminder_minutes = [30]
    armed(session, ana).schedule_reminder((30,), NOW)
    minute_by_minute(session, NOW, DUE)
    assert told(session) == [("task_due", 30)]


def test_who_wants_no_reminder_hears_of_the_overdue_only(session, ana):
    ana.reminder_minutes = []
    armed(session, ana).schedule_reminder((), NOW)
    minute_by_minute(session, NOW, DUE + 2 * HOUR)
    assert told(session) == [("task_overdue", -60)]


@pytest.mark.parametrize(
    ("started", "said"),
    [
        (DUE - 40 * MINUTE, ("task_due", 40)),
        (DUE - 3 * MINUTE, ("task_due", 3)),
        (DUE + 20 * MINUTE, ("task_due", -20)),
        (DUE + 61 * MINUTE, ("task_overdue", -61)),
    ],
)
def test_after_a_late_start_only_the_nearest_is_told_with_the_true_time(session, ana, started, said):
    task = armed(session, ana)
    assert due_tasks(session, started, 100) == [task.id]
    remind(session, task.id, started, ZONE)
    assert told(session) == [said]


def test_a_reminder_appears_once_however_often_the_job_runs(session, ana):
    task = armed(session, ana)
    answers = [remind(session, task.id, DUE - 5 * MINUTE, ZONE) for _ in range(3)]
    assert answers == ["task_due", "skipped", "skipped"]


def test_re_dating_arms_the_reminders_anew(session, ana):
    task = armed(session, ana)
    minute_by_minute(session, NOW, DUE)
    session.refresh(task)
    tasks.change(session, task, {"due_on": DUE + DAY}, ChangeContext(ana.id, DUE))
    session.flush()
    minute_by_minute(session, DUE + DAY - 2 * HOUR, DUE + DAY)
    assert told(session) == [("task_due", 60), ("task_due", 5)] * 2


def test_an_overdue_task_is_told_once_a_day_in_the_morning(session, ana):
    armed(session, ana, NOW + 10 * MINUTE)
    minute_by_minute(session, NOW + HOUR, NOW + 3 * DAY, 10 * MINUTE)
    overdue = select(Notification.at).where(Notification.kind == "task_overdue")
    times = [f"{at.astimezone(makers.OFFICE.zone):%a %H:%M}" for at in session.scalars(overdue)]
    assert times == ["Mon 11:10", "Tue 09:00", "Wed 09:00", "Thu 09:00"]


def test_the_day_is_the_persons_own(session, ana):
    """Due 22:00 UTC: in New York it is still the same Monday when it is told and again at 9 on Tuesday there."""
    ana.time_zone = "America/New_York"
    task = armed(session, ana, datetime(2026, 11, 23, 22, tzinfo=UTC))
    remind(session, task.id, datetime(2026, 11, 23, 23, tzinfo=UTC), ZONE)
    remind(session, task.id, datetime(2026, 11, 24, 3, tzinfo=UTC), ZONE)
    session.refresh(task)
    assert len(told(session)) == 1
    assert task.remind_on == datetime(2026, 11, 24, 14, tzinfo=UTC)


@pytest.mark.parametrize("status", ["Done", "Canceled"])
def test_what_is_done_is_not_told(session, ana, status):
    task = armed(session, ana)
    tasks.change(session, task, {"status": status}, ChangeContext(ana.id, NOW))
    session.flush()
    assert due_tasks(session, DUE + DAY, 100) == []
    assert remind(session, task.id, DUE, ZONE) == "skipped"


def test_who_left_the_house_is_not_told(session, ana):
    task = armed(session, ana)
    ana.active = False
    assert remind(session, task.id, DUE, ZONE) == "skipped"
    assert due_tasks(session, DUE, 100) == []


def test_a_reminder_does_not_make_a_save_of_the_task_stale(session, ana):
    task = armed(session, ana)
    seen = task.version
    remind(session, task.id, DUE - HOUR, ZONE)
    session.refresh(task)
    assert (task.version, task.remind_on) == (seen, DUE - 5 * MINUTE)


# --- Many at once, and on leave


def on_leave(session: Session, ana: Any, **delegate: Any) -> Any:
    """Ana is on leave, and Ben stands in for her."""
    ben = makers.user(session, "ben", "Sales User", **delegate)
    ana.leave_from, ana.leave_to, ana.delegate_id = NOW - DAY, NOW + DAY, ben.id
    session.flush()
    return ben


def listeners(session: Session) -> list[int]:
    return list(session.scalars(select(Notification.user_id).order_by(Notification.id)))


def test_who_stands_in_is_reminded_instead_of_who_is_on_leave(session, ana):
    ben = on_leave(session, ana)
    task = armed(session, ana)
    assert remind(session, task.id, DUE - HOUR, ZONE) == "task_due"
    assert (listeners(session), task.assignee_id) == ([ben.id], ana.id)


def test_who_stands_in_is_reminded_at_his_own_times(session, ana):
    ben = on_leave(session, ana, reminder_minutes=[10])
    armed(session, ana)
    minute_by_minute(session, NOW, DUE)
    assert (listeners(session), told(session)) == ([ben.id], [("task_due", 10)])


@pytest.mark.parametrize("absent", [{"active": False}, {"available": False}, {"away_until": NOW + DAY}])
def test_without_somebody_present_to_stand_in_it_stays_with_who_is_on_leave(session, ana, absent):
    on_leave(session, ana, **absent)
    remind(session, armed(session, ana).id, DUE - HOUR, ZONE)
    assert listeners(session) == [ana.id]


def test_who_is_back_hears_of_it_again_himself(session, ana):
    on_leave(session, ana)
    task = armed(session, ana)
    remind(session, task.id, DUE - HOUR, ZONE)
    ana.leave_to = DUE - 30 * MINUTE
    minute_by_minute(session, DUE - 30 * MINUTE, DUE)
    assert listeners(session) == [ana.delegate_id, ana.id]


def test_many_are_reminded_at_once_and_each_is_answered_for(session, ana):
    ids = [armed(session, ana, DUE + minutes * MINUTE).id for minutes in (0, 0, 30)]
    assert remind_many(session, [*ids, 4711], DUE - HOUR, ZONE) == ["task_due", "task_due", "skipped", "skipped"]
    assert remind_many(session, ids, DUE - HOUR, ZONE) == ["skipped"] * 3
    assert due_tasks(session, DUE - HOUR, 100) == []


@pytest.mark.parametrize("size", [1, 20])
def test_a_chunk_of_reminders_costs_the_same_whatever_its_size(session, ana, size):
    ids = [armed(session, ana).id for _ in range(size)]
    said: list[str] = []
    token = STATEMENTS.set(said)
    remind_many(session, ids, DUE - HOUR, ZONE)
    STATEMENTS.reset(token)
    assert len(said) <= 6, said


def test_a_task_that_somebody_is_at_is_told_in_the_next_minute(mariadb_url):
    engine = makers.database(mariadb_url)
    with makers.opened(engine) as session, makers.opened(engine) as other:
        task = armed(session, makers.user(session, "ana", "Sales User"))
        session.commit()
        other.scalars(select(Task).where(Task.id == task.id).with_for_update()).one()
        assert remind(session, task.id, DUE - HOUR, ZONE) == "skipped"
        other.rollback()
        assert remind(session, task.id, DUE - HOUR, ZONE) == "task_due"
    engine.dispose()


@pytest.mark.parametrize(("left", "said"), [(5 * MINUTE, 5), (4.5 * MINUTE, 5), (0 * MINUTE, 0), (-61 * MINUTE, -61)])
def test_begun_minutes_count_as_whole_ones(left, said):
    assert minutes_left(NOW + left, NOW) == said
