"""Reminder offsets: what can be entered, and that a change reschedules open tasks without a new version."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.automation.reminder_rescheduling import reschedule
from app.domain.base import RuleBroken
from app.domain.notifications.reminder_preferences import parse_offsets
from app.models import User
from tests import factories
from tests.factories import DAY, HOUR, MINUTE, NOW


def task(session: Session, due_in: timedelta, status: str = "Todo") -> Any:
    """Ana's task with the default reminders; the first call creates Ana."""
    ana = session.scalars(select(User)).first() or factories.user(session, "ana", "Sales User")
    made = factories.task(session, factories.lead(session, ana), due_on=None, status=status)
    made.set_due(NOW + due_in, (60, 5), NOW)
    session.flush()
    return made


@pytest.mark.parametrize(
    "typed, offsets",
    [("", None), ("  ", None), ("60, 5", [60, 5]), ("5 60", [60, 5]), ("5,5", [5]), ("10080", [10080])],
)
def test_offsets_can_be_entered_in_several_ways(typed: str, offsets: list[int] | None) -> None:
    assert parse_offsets(typed) == offsets


@pytest.mark.parametrize("typed", ["soon", "0", "-5", "10081", "1 2 3 4 5 6", "5.5", "٥", "9" * 50])
def test_invalid_offsets_are_refused(typed: str) -> None:
    with pytest.raises(RuleBroken, match="numbers of minutes"):
        parse_offsets(typed)


@pytest.mark.parametrize(
    "due_in, offsets, next_in",
    [
        (3 * HOUR, (120, 5), HOUR),
        (90 * MINUTE, (120, 5), 85 * MINUTE),
        (3 * HOUR, (), 4 * HOUR),
        (30 * MINUTE, (60,), 90 * MINUTE),
        (-30 * MINUTE, (60,), 30 * MINUTE),
    ],
)
def test_new_offsets_schedule_the_next_reminder_ahead(
    session: Session, due_in: Any, offsets: Any, next_in: Any
) -> None:
    made = task(session, due_in)
    before = made.version
    assert reschedule(session, made.assignee_id, offsets, NOW) == 1
    session.refresh(made)
    assert (made.remind_on, made.version) == (NOW + next_in, before)


@pytest.mark.parametrize("due_in, status", [(-2 * HOUR, "Todo"), (HOUR, "Todo"), (DAY, "Done")])
def test_overdue_closed_and_currently_due_tasks_are_not_rescheduled(session: Session, due_in: Any, status: str) -> None:
    made = task(session, due_in, status)
    before = made.remind_on
    assert reschedule(session, made.assignee_id, (30,), NOW) == 0
    session.refresh(made)
    assert made.remind_on == before


def check_many(session: Session) -> None:
    mine, other = [task(session, DAY + n * MINUTE) for n in range(230)], task(session, DAY)
    other.assignee_id = None
    session.flush()
    assert reschedule(session, mine[0].assignee_id, (30,), NOW) == 230
    for each in (mine[0], mine[-1]):
        session.refresh(each)
        assert each.remind_on == each.due_on - 30 * MINUTE
    session.refresh(other)
    assert other.remind_on == other.due_on - HOUR


def test_many_tasks_are_rescheduled_and_no_one_elses(session: Session) -> None:
    check_many(session)


def test_mariadb_reschedules_them_the_same_way(picklists_url: str) -> None:
    engine = factories.connected(picklists_url)
    with factories.opened(engine) as session:
        check_many(session)
    engine.dispose()
