"""Reminders appear exactly once, show the true remaining time, and never make a save fail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.domain import leads, tasks
from app.domain.automation import reminders
from app.domain.automation.reminders import due_tasks, minutes_left, next_check, remind, remind_many
from app.domain.change_context import ChangeContext
from app.domain.notifications.notices import Notification
from app.domain.picklists import LeadStatus
from app.domain.tasks import Task
from app.ops.database.connections import STATEMENTS
from tests import factories
from tests.factories import DAY, HOUR, MINUTE, NOW, ZONE

DUE = NOW + 2 * HOUR


@pytest.fixture
def ana(session: Session) -> Any:
    return factories.user(session, "ana", "Sales User")


def task_with_reminders(session: Session, ana: Any, due_on: datetime = DUE) -> Task:
    task = factories.task(session, factories.lead(session, ana), due_on=None)
    task.set_due(due_on, (60, 5), NOW)
    session.flush()
    return task


def minute_by_minute(session: Session, start: datetime, end: datetime, step: Any = MINUTE) -> None:
    """Run the job every minute."""
    now = start
    while now <= end:
        for task_id in due_tasks(session, now, 100):
            remind(session, task_id, now, ZONE)
        now += step


def notified(session: Session) -> list[tuple[str, int]]:
    rows = session.scalars(select(Notification).order_by(Notification.id))
    return [(row.kind, row.payload["minutes"]) for row in rows]


def test_the_default_reminders_come_an_hour_and_five_minutes_before(session: Session, ana: Any) -> None:
    task_with_reminders(session, ana)
    minute_by_minute(session, NOW, DUE)
    assert notified(session) == [("task_due", 60), ("task_due", 5)]


def test_reminders_come_at_the_users_own_offsets(session: Session, ana: Any) -> None:
    ana.reminder_minutes = [30]
    task_with_reminders(session, ana).schedule_reminder((30,), NOW)
    minute_by_minute(session, NOW, DUE)
    assert notified(session) == [("task_due", 30)]


def test_without_offsets_only_the_overdue_notice_comes(session: Session, ana: Any) -> None:
    ana.reminder_minutes = []
    task_with_reminders(session, ana).schedule_reminder((), NOW)
    minute_by_minute(session, NOW, DUE + 2 * HOUR)
    assert notified(session) == [("task_overdue", -60)]


@pytest.mark.parametrize(
    ("started", "said"),
    [
        (DUE - 40 * MINUTE, ("task_due", 40)),
        (DUE - 3 * MINUTE, ("task_due", 3)),
        (DUE + 20 * MINUTE, ("task_due", -20)),
        (DUE + 61 * MINUTE, ("task_overdue", -61)),
    ],
)
def test_after_a_delay_only_the_nearest_reminder_comes_with_the_true_time(
    session: Session, ana: Any, started: Any, said: Any
) -> None:
    task = task_with_reminders(session, ana)
    assert due_tasks(session, started, 100) == [task.id]
    remind(session, task.id, started, ZONE)
    assert notified(session) == [said]


def test_a_reminder_appears_once_however_often_the_job_runs(session: Session, ana: Any) -> None:
    task = task_with_reminders(session, ana)
    answers = [remind(session, task.id, DUE - 5 * MINUTE, ZONE) for _ in range(3)]
    assert answers == ["task_due", "skipped", "skipped"]


def test_a_new_due_time_sets_new_reminders(session: Session, ana: Any) -> None:
    task = task_with_reminders(session, ana)
    minute_by_minute(session, NOW, DUE)
    session.refresh(task)
    tasks.change(session, task, {"due_on": DUE + DAY}, ChangeContext(ana.id, DUE))
    session.flush()
    minute_by_minute(session, DUE + DAY - 2 * HOUR, DUE + DAY)
    assert notified(session) == [("task_due", 60), ("task_due", 5)] * 2


def test_an_overdue_task_is_notified_once_a_day_in_the_morning(session: Session, ana: Any) -> None:
    task_with_reminders(session, ana, NOW + 10 * MINUTE)
    minute_by_minute(session, NOW + HOUR, NOW + 3 * DAY, 10 * MINUTE)
    overdue = select(Notification.at).where(Notification.kind == "task_overdue")
    times = [f"{at.astimezone(factories.OFFICE.zone):%a %H:%M}" for at in session.scalars(overdue)]
    assert times == ["Mon 11:10", "Tue 09:00", "Wed 09:00", "Thu 09:00"]


def test_the_day_is_in_the_users_zone(session: Session, ana: Any) -> None:
    """Due at 22:00 UTC: in New York both checks are on the same Monday; the next is at 9:00 on Tuesday."""
    ana.time_zone = "America/New_York"
    task = task_with_reminders(session, ana, datetime(2026, 11, 23, 22, tzinfo=UTC))
    remind(session, task.id, datetime(2026, 11, 23, 23, tzinfo=UTC), ZONE)
    remind(session, task.id, datetime(2026, 11, 24, 3, tzinfo=UTC), ZONE)
    session.refresh(task)
    assert len(notified(session)) == 1
    assert task.remind_on == datetime(2026, 11, 24, 14, tzinfo=UTC)


@pytest.mark.parametrize("status", ["Done", "Canceled"])
def test_closed_tasks_have_no_reminders(session: Session, ana: Any, status: str) -> None:
    task = task_with_reminders(session, ana)
    tasks.change(session, task, {"status": status}, ChangeContext(ana.id, NOW))
    session.flush()
    assert due_tasks(session, DUE + DAY, 100) == []
    assert remind(session, task.id, DUE, ZONE) == "skipped"


def test_inactive_users_get_no_reminders(session: Session, ana: Any) -> None:
    task = task_with_reminders(session, ana)
    ana.active = False
    assert remind(session, task.id, DUE, ZONE) == "skipped"
    assert due_tasks(session, DUE, 100) == []


def test_a_reminder_does_not_make_a_save_of_the_task_stale(session: Session, ana: Any) -> None:
    task = task_with_reminders(session, ana)
    seen = task.version
    remind(session, task.id, DUE - HOUR, ZONE)
    session.refresh(task)
    assert (task.version, task.remind_on) == (seen, DUE - 5 * MINUTE)


# --- Many at once, and on leave


def on_leave(session: Session, ana: Any, **delegate: Any) -> Any:
    """Ana is on leave, and Ben is her delegate."""
    ben = factories.user(session, "ben", "Sales User", **delegate)
    ana.leave_from, ana.leave_to, ana.delegate_id = NOW - DAY, NOW + DAY, ben.id
    session.flush()
    return ben


def recipients(session: Session) -> list[int]:
    return list(session.scalars(select(Notification.user_id).order_by(Notification.id)))


def test_during_a_leave_the_delegate_is_reminded(session: Session, ana: Any) -> None:
    ben = on_leave(session, ana)
    task = task_with_reminders(session, ana)
    assert remind(session, task.id, DUE - HOUR, ZONE) == "task_due"
    assert (recipients(session), task.assignee_id) == ([ben.id], ana.id)


def test_the_delegate_is_reminded_at_their_own_offsets(session: Session, ana: Any) -> None:
    ben = on_leave(session, ana, reminder_minutes=[10])
    task_with_reminders(session, ana)
    minute_by_minute(session, NOW, DUE)
    assert (recipients(session), notified(session)) == ([ben.id], [("task_due", 10)])


@pytest.mark.parametrize("absent", [{"active": False}, {"available": False}, {"away_until": NOW + DAY}])
def test_without_an_available_delegate_the_user_on_leave_is_reminded(session: Session, ana: Any, absent: Any) -> None:
    on_leave(session, ana, **absent)
    remind(session, task_with_reminders(session, ana).id, DUE - HOUR, ZONE)
    assert recipients(session) == [ana.id]


def test_after_the_leave_the_user_is_reminded_again(session: Session, ana: Any) -> None:
    on_leave(session, ana)
    task = task_with_reminders(session, ana)
    remind(session, task.id, DUE - HOUR, ZONE)
    ana.leave_to = DUE - 30 * MINUTE
    minute_by_minute(session, DUE - 30 * MINUTE, DUE)
    assert recipients(session) == [ana.delegate_id, ana.id]


def test_many_tasks_at_once_return_one_result_each(session: Session, ana: Any) -> None:
    ids = [task_with_reminders(session, ana, DUE + minutes * MINUTE).id for minutes in (0, 0, 30)]
    assert remind_many(session, [*ids, 4711], DUE - HOUR, ZONE) == ["task_due", "task_due", "skipped", "skipped"]
    assert remind_many(session, ids, DUE - HOUR, ZONE) == ["skipped"] * 3
    assert due_tasks(session, DUE - HOUR, 100) == []


@pytest.mark.parametrize("size", [1, 20])
def test_a_chunk_of_reminders_costs_the_same_whatever_its_size(session: Session, ana: Any, size: int) -> None:
    ids = [task_with_reminders(session, ana).id for _ in range(size)]
    said: list[str] = []
    token = STATEMENTS.set(said)
    remind_many(session, ids, DUE - HOUR, ZONE)
    STATEMENTS.reset(token)
    assert len(said) <= 6, said


def test_a_locked_task_is_notified_in_the_next_run(picklists_url: str) -> None:
    engine = factories.connected(picklists_url)
    with factories.opened(engine) as session, factories.opened(engine) as other:
        task = task_with_reminders(session, factories.user(session, "ana", "Sales User"))
        session.commit()
        other.scalars(select(Task).where(Task.id == task.id).with_for_update()).one()
        assert remind(session, task.id, DUE - HOUR, ZONE) == "skipped"
        other.rollback()
        assert remind(session, task.id, DUE - HOUR, ZONE) == "task_due"
    engine.dispose()


@pytest.mark.parametrize(("left", "said"), [(5 * MINUTE, 5), (4.5 * MINUTE, 5), (0 * MINUTE, 0), (-61 * MINUTE, -61)])
def test_minutes_left_are_rounded_up(left: Any, said: int) -> None:
    assert minutes_left(NOW + left, NOW) == said


# --- Order, chunks and what the notice says


def test_the_longest_waiting_tasks_come_first(session: Session, ana: Any) -> None:
    rows = [task_with_reminders(session, ana, DUE + minutes * MINUTE) for minutes in (2, 0, 1, 1)]
    ids = [rows[index].id for index in (1, 2, 3, 0)]
    assert due_tasks(session, DUE, 100) == ids
    assert due_tasks(session, DUE, 2) == ids[:2]


@pytest.mark.parametrize(("now", "found"), [(DUE - HOUR - MINUTE, False), (DUE - HOUR, True), (DUE, True)])
def test_a_task_is_due_from_its_moment_on(session: Session, ana: Any, now: Any, found: bool) -> None:
    task = task_with_reminders(session, ana)
    assert due_tasks(session, now, 100) == ([task.id] if found else [])
    task.assignee_id = None
    assert due_tasks(session, now, 100) == []


def test_the_notice_names_the_task_its_record_and_its_due_time(session: Session, ana: Any) -> None:
    task = task_with_reminders(session, ana)
    remind(session, task.id, DUE - HOUR, ZONE)
    notice = session.scalars(select(Notification)).one()
    assert notice.payload == {"title": task.title, "due": DUE.isoformat(), "minutes": 60}
    assert (notice.task_id, notice.lead_id, notice.actor_id) == (task.id, task.lead_id, None)
    assert notice.event_key == f"due:{task.id}:60:{DUE.isoformat()}:{ana.id}"


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (DUE - HOUR - MINUTE, DUE - HOUR),
        (DUE - HOUR, DUE - 5 * MINUTE),
        (DUE, DUE + HOUR),
        (DUE + HOUR, datetime(2026, 11, 24, 3, 30, tzinfo=UTC)),
    ],
)
def test_the_next_check_is_the_first_moment_ahead(now: Any, expected: Any) -> None:
    assert next_check(DUE, (5, 60), now, factories.OFFICE.zone) == expected


def test_a_check_reads_the_task_as_it_is_now(session: Session, ana: Any) -> None:
    task = task_with_reminders(session, ana)
    session.execute(update(Task).values(due_on=DUE + DAY), execution_options={"synchronize_session": False})
    assert remind(session, task.id, DUE - HOUR, ZONE) == "skipped"
    assert (task.due_on, task.remind_on) == (DUE + DAY, DUE + DAY - HOUR)


def test_a_due_time_that_changes_meanwhile_keeps_its_own_reminder(session: Session, ana: Any) -> None:
    task = task_with_reminders(session, ana)
    session.execute(update(Task).values(due_on=DUE + DAY), execution_options={"synchronize_session": False})
    before = task.remind_on
    reminders._schedule(session, [(task, NOW + MINUTE)])
    assert task.remind_on == before


# --- tasks of closed records


@pytest.mark.parametrize("make, meaning", [(factories.lead, "junk"), (factories.ticket, "resolved")])
def test_a_task_of_a_closed_record_is_overdue_once(session: Session, ana: Any, make: Any, meaning: str) -> None:
    task = factories.task(session, make(session, ana, meaning), ana, due_on=None)
    task.set_due(DUE, (60, 5), NOW)
    session.flush()
    minute_by_minute(session, NOW, DUE + 3 * DAY, 30 * MINUTE)
    kinds = session.scalars(select(Notification.kind).order_by(Notification.id)).all()
    assert (kinds, task.remind_on) == (["task_due", "task_due", "task_overdue"], None)


def test_a_record_that_is_closed_while_its_task_is_overdue_ends_the_reminders(session: Session, ana: Any) -> None:
    task = factories.task(session, factories.lead(session, ana, "junk"), ana, due_on=None)
    task.set_due(NOW - 9 * DAY, (60, 5), NOW)
    session.flush()
    assert (remind(session, task.id, NOW, ZONE), task.remind_on) == ("skipped", None)


def test_a_reopened_record_is_reminded_of_again(session: Session, ana: Any) -> None:
    lead = factories.lead(session, ana, "junk")
    task = factories.task(session, lead, ana, NOW - DAY)
    working = session.scalars(select(LeadStatus.id).where(LeadStatus.meaning == "working")).first()
    leads.change(session, lead, {"status_id": working}, ChangeContext(None, NOW, may_reopen=True))
    assert task.remind_on == NOW
