"""Tasks: validation, reminders, reassignment flags and order."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.domain import tasks
from app.domain.base import RuleBroken
from app.domain.change_context import ChangeContext
from app.models import Activity, Task
from tests.makers import DAY, HOUR, MINUTE, NOW, lead, ticket, user


def make(session: Session, **values: Any) -> Task:
    given = {"title": "Call", "due_on": NOW + DAY} | values
    if "lead_id" not in given and "ticket_id" not in given:
        given["lead_id"] = lead(session).id
    return tasks.create(session, given, ChangeContext(None, NOW))


@pytest.mark.parametrize(
    "field, values",
    [
        ("title", {"title": "  "}),
        ("status", {"status": "Perhaps"}),
        ("priority", {"priority": "Urgent"}),
        ("lead", {"lead_id": None}),
    ],
)
def test_an_invalid_value_is_refused_for_its_field(office: Session, field: str, values: Any) -> None:
    with pytest.raises(RuleBroken) as refused:
        make(office, **values)
    assert list(refused.value.errors) == [field]


def test_a_task_has_one_parent_by_rule_and_by_constraint(office: Session) -> None:
    both = {"lead_id": lead(office).id, "ticket_id": ticket(office).id}
    with pytest.raises(RuleBroken, match="exactly one lead or ticket"):
        make(office, **both)
    row = make(office)
    row.ticket_id = both["ticket_id"]
    with pytest.raises(IntegrityError):
        office.flush()


@pytest.mark.parametrize(
    "due, expected", [(2 * HOUR, 1 * HOUR), (30 * MINUTE, 25 * MINUTE), (MINUTE, MINUTE + HOUR), (None, None)]
)
def test_the_next_reminder_is_scheduled(office: Session, due: Any, expected: Any) -> None:
    ana = user(office, "ana")
    task = make(office, assignee_id=ana.id, due_on=NOW + due if due else None)
    assert task.remind_on == (NOW + expected if expected else None)


@pytest.mark.parametrize(
    "values", [{"status": "Done"}, {"status": "Canceled"}, {"due_on": None}, {"assignee_id": None}]
)
def test_a_task_that_needs_no_reminder_has_none(office: Session, values: Any) -> None:
    task = make(office, assignee_id=user(office, "ana").id)
    tasks.change(office, task, values, ChangeContext(None, NOW))
    assert task.remind_on is None


@pytest.mark.parametrize("values", [{"due_on": NOW + 3 * DAY}, {"status": "Done"}, {"assignee_id": 1}])
def test_a_users_change_ends_the_round_of_reassignment(office: Session, values: Any) -> None:
    about = lead(office)
    user(office, "ana")
    task = make(office, lead_id=about.id)
    task.exhausted, task.tried, about.exhausted_task_id = True, [7, 8], task.id
    office.flush()
    tasks.change(office, task, values, ChangeContext(None, NOW))
    office.flush()
    office.expire(about)
    assert (task.exhausted, task.tried, about.exhausted_task_id) == (False, [], None)


def test_the_record_then_names_its_other_exhausted_task(office: Session) -> None:
    about = lead(office)
    first, second = make(office, lead_id=about.id), make(office, lead_id=about.id)
    first.exhausted = second.exhausted = True
    about.exhausted_task_id = first.id
    office.flush()
    tasks.change(office, first, {"status": "Done"}, ChangeContext(None, NOW))
    office.flush()
    office.expire(about)
    assert about.exhausted_task_id == second.id


def test_done_on_is_set_by_done_and_cleared_by_reopening(office: Session) -> None:
    task = make(office)
    tasks.change(office, task, {"status": "Done"}, ChangeContext(None, NOW + HOUR))
    assert task.done_on == NOW + HOUR
    tasks.change(office, task, {"status": "Todo"}, ChangeContext(None, NOW + DAY))
    assert task.done_on is None


def test_a_change_without_a_difference_is_not_logged(office: Session) -> None:
    task = make(office)
    tasks.change(office, task, {"title": "Call", "status": "Todo"}, ChangeContext(None, NOW))
    assert len(office.scalars(select(Activity)).all()) == 1


@pytest.mark.parametrize(
    "status, late", [("Backlog", True), ("Todo", True), ("In Progress", True), ("Done", False), ("Canceled", False)]
)
def test_open_tasks_are_late_after_their_due_time(status: str, late: bool) -> None:
    task = Task(status=status, due_on=NOW)
    assert (task.is_late(NOW), task.is_late(NOW + MINUTE)) == (False, late)


def test_open_tasks_are_sorted_by_due_time_those_without_last(office: Session) -> None:
    about = lead(office)
    made = [make(office, lead_id=about.id, due_on=due) for due in (None, NOW + DAY, NOW + HOUR)]
    make(office, lead_id=about.id, status="Done")
    assert tasks.open_tasks(office, lead_id=about.id) == made[::-1]
