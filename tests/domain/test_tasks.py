"""Tasks: validation, reminders, reassignment flags and order."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.domain import tasks
from app.domain.base import Conflict, RuleBroken
from app.domain.change_context import ChangeContext
from app.domain.working_time import office_hours, sla
from app.models import Activity, Task
from tests.factories import DAY, HOUR, MINUTE, NOW, lead, ticket, user


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
def test_an_invalid_value_is_refused_for_its_field(db: Session, field: str, values: Any) -> None:
    with pytest.raises(RuleBroken) as refused:
        make(db, **values)
    assert list(refused.value.errors) == [field]


def test_a_task_has_one_parent_by_rule_and_by_constraint(db: Session) -> None:
    both = {"lead_id": lead(db).id, "ticket_id": ticket(db).id}
    with pytest.raises(RuleBroken, match="exactly one lead or ticket"):
        make(db, **both)
    row = make(db)
    row.ticket_id = both["ticket_id"]
    with pytest.raises(IntegrityError):
        db.flush()


@pytest.mark.parametrize(
    "due, expected", [(2 * HOUR, 1 * HOUR), (30 * MINUTE, 25 * MINUTE), (MINUTE, MINUTE + HOUR), (None, None)]
)
def test_the_next_reminder_is_scheduled(db: Session, due: Any, expected: Any) -> None:
    ana = user(db, "ana")
    task = make(db, assignee_id=ana.id, due_on=NOW + due if due else None)
    assert task.remind_on == (NOW + expected if expected else None)


@pytest.mark.parametrize(
    "values", [{"status": "Done"}, {"status": "Canceled"}, {"due_on": None}, {"assignee_id": None}]
)
def test_a_task_that_needs_no_reminder_has_none(db: Session, values: Any) -> None:
    task = make(db, assignee_id=user(db, "ana").id)
    tasks.change(db, task, values, ChangeContext(None, NOW))
    assert task.remind_on is None


@pytest.mark.parametrize("values", [{"due_on": NOW + 3 * DAY}, {"status": "Done"}, {"assignee_id": 1}])
def test_a_users_change_ends_the_round_of_reassignment(db: Session, values: Any) -> None:
    about = lead(db)
    user(db, "ana")
    task = make(db, lead_id=about.id)
    task.exhausted, task.tried, about.exhausted_task_id = True, [7, 8], task.id
    db.flush()
    tasks.change(db, task, values, ChangeContext(None, NOW))
    db.flush()
    db.expire(about)
    after: Any = (task.exhausted, task.tried, about.exhausted_task_id)
    assert after == (False, [], None)


def test_the_record_then_names_its_other_exhausted_task(db: Session) -> None:
    about = lead(db)
    first, second = make(db, lead_id=about.id), make(db, lead_id=about.id)
    first.exhausted = second.exhausted = True
    about.exhausted_task_id = first.id
    db.flush()
    tasks.change(db, first, {"status": "Done"}, ChangeContext(None, NOW))
    db.flush()
    db.expire(about)
    assert about.exhausted_task_id == second.id


def test_done_on_is_set_by_done_and_cleared_by_reopening(db: Session) -> None:
    task = make(db)
    tasks.change(db, task, {"status": "Done"}, ChangeContext(None, NOW + HOUR))
    assert task.done_on == NOW + HOUR
    tasks.change(db, task, {"status": "Todo"}, ChangeContext(None, NOW + DAY))
    assert task.done_on is None


def test_a_change_without_a_difference_is_not_logged(db: Session) -> None:
    task = make(db)
    tasks.change(db, task, {"title": "Call", "status": "Todo"}, ChangeContext(None, NOW))
    assert len(db.scalars(select(Activity)).all()) == 1


@pytest.mark.parametrize(
    "status, late", [("Backlog", True), ("Todo", True), ("In Progress", True), ("Done", False), ("Canceled", False)]
)
def test_open_tasks_are_late_after_their_due_time(status: str, late: bool) -> None:
    task = Task(status=status, due_on=NOW)
    assert (task.is_late(NOW), task.is_late(NOW + MINUTE)) == (False, late)


def test_open_tasks_are_sorted_by_due_time_those_without_last(db: Session) -> None:
    about = lead(db)
    made = [make(db, lead_id=about.id, due_on=due) for due in (None, NOW + DAY, NOW + HOUR)]
    make(db, lead_id=about.id, status="Done")
    assert tasks.open_tasks(db, lead_id=about.id) == made[::-1]


# --- What is stored and logged


def lines(session: Session) -> list[dict[str, Any]]:
    return [row.payload for row in session.scalars(select(Activity).order_by(Activity.id))]


def test_a_new_task_holds_what_was_given_and_is_logged(db: Session) -> None:
    ana, about = user(db, "ana"), ticket(db)
    context = ChangeContext(ana.id, NOW, reminder_minutes=(30,))
    given = {"title": " Call ", "description": "Twice", "status": "Backlog", "priority": "High", "due_on": NOW + DAY}
    task = tasks.create(db, given | {"ticket_id": about.id}, context)
    assert {name: getattr(task, name) for name in given} == given | {"title": "Call"}
    assert (task.assignee_id, task.owner_id, task.version) == (ana.id, ana.id, 1)
    assert (task.exhausted, task.tried, task.remind_on) == (False, [], NOW + DAY - 30 * MINUTE)
    assert (task.created_by_id, task.created_on, task.changed_on) == (ana.id, NOW, NOW)
    (line,) = db.scalars(select(Activity)).all()
    assert (line.kind, line.task_id, line.ticket_id, line.actor_id, line.at) == ("task", task.id, about.id, ana.id, NOW)
    due = (NOW + DAY).isoformat()
    assert line.payload == {"text": "Call", "what": "created", "due": due, "assignee": ana.id}


def test_a_new_task_is_a_medium_todo_of_its_author_unless_given_to_no_one(db: Session) -> None:
    ana = user(db, "ana")
    task = tasks.create(db, {"title": "Call", "lead_id": lead(db).id}, ChangeContext(ana.id, NOW))
    assert (task.status, task.priority, task.assignee_id, task.due_on) == ("Todo", "Medium", ana.id, None)
    assert make(db, assignee_id=None).assignee_id is None


@pytest.mark.parametrize(
    "field, values, message",
    [
        ("title", {"title": None}, "what to do"),
        ("status", {"status": "Perhaps"}, "status of a task"),
        ("status", {"status": None}, "choose one"),
        ("priority", {"priority": "Urgent"}, "priority of a task"),
        ("priority", {"priority": None}, "choose one"),
        ("lead", {"lead_id": None, "ticket_id": None}, "exactly one"),
    ],
)
def test_each_refusal_names_its_field(db: Session, field: str, values: Any, message: str) -> None:
    with pytest.raises(RuleBroken, match=message) as refused:
        make(db, **values)
    assert list(refused.value.errors) == [field]


@pytest.mark.parametrize("values", [{"title": " "}, {"status": "Perhaps"}, {"priority": None}])
def test_invalid_changes_are_refused(db: Session, values: Any) -> None:
    task = make(db)
    with pytest.raises(RuleBroken) as refused:
        tasks.change(db, task, values, ChangeContext(None, NOW))
    assert list(refused.value.errors) == list(values)


@pytest.mark.parametrize(
    "values, what",
    [
        ({"status": "Done"}, "done"),
        ({"status": "Canceled"}, "canceled"),
        ({"status": "In Progress"}, "changed"),
        ({"title": "Visit"}, "changed"),
    ],
)
def test_a_change_is_stamped_and_logged_by_what_it_is(db: Session, values: Any, what: str) -> None:
    ana, task = user(db, "ana"), make(db)
    tasks.change(db, task, values, ChangeContext(ana.id, NOW + HOUR))
    db.flush()
    ((name, new),) = values.items()
    old = {"title": "Call", "status": "Todo"}[name]
    assert lines(db)[-1] == {"text": task.title, "what": what, "changes": [[name, old, new]]}
    assert (task.changed_on, task.changed_by_id) == (NOW + HOUR, ana.id)


def test_a_change_of_a_finished_task_is_only_a_change(db: Session) -> None:
    task = make(db, status="Done")
    tasks.change(db, task, {"title": "Visit", "due_on": NOW + HOUR}, ChangeContext(None, NOW))
    due = [(NOW + DAY).isoformat(), (NOW + HOUR).isoformat()]
    assert lines(db)[-1]["what"] == "changed"
    assert lines(db)[-1]["changes"] == [["title", "Call", "Visit"], ["due_on", *due]]


def test_reminders_follow_the_users_own_minutes_and_only_new_times(db: Session) -> None:
    task = make(db, assignee_id=user(db, "ana").id, due_on=NOW + 3 * HOUR)
    tasks.change(db, task, {"title": "Visit"}, ChangeContext(None, NOW, reminder_minutes=(30,)))
    assert task.remind_on == NOW + 2 * HOUR
    tasks.change(db, task, {"due_on": NOW + DAY}, ChangeContext(None, NOW, reminder_minutes=(30,)))
    assert task.remind_on == NOW + DAY - 30 * MINUTE


@pytest.mark.parametrize(
    "now, expected",
    [(NOW - HOUR, -HOUR), (NOW - HOUR + MINUTE, -5 * MINUTE), (NOW - 4 * MINUTE, HOUR), (NOW + HOUR, HOUR)],
)
def test_the_first_reminder_is_the_next_one_ahead(now: Any, expected: Any) -> None:
    assert tasks.first_reminder_check(NOW, (5, 60), now) == NOW + expected
    assert tasks.first_reminder_check(NOW, (60, 5), now) == NOW + expected


def test_after_the_last_reminder_the_check_is_at_once() -> None:
    assert tasks.first_reminder_check(NOW, (5,), NOW + DAY) == NOW + DAY


def test_a_ticket_too_forgets_its_exhausted_task(db: Session) -> None:
    about, other = ticket(db), ticket(db)
    task = tasks.create(db, {"title": "Call", "ticket_id": about.id}, ChangeContext(None, NOW))
    elsewhere = tasks.create(db, {"title": "Call", "ticket_id": other.id}, ChangeContext(None, NOW))
    task.exhausted = elsewhere.exhausted = True
    about.exhausted_task_id, other.exhausted_task_id = task.id, elsewhere.id
    db.flush()
    tasks.change(db, task, {"status": "Done"}, ChangeContext(None, NOW))
    db.expire_all()
    after: Any = (about.exhausted_task_id, other.exhausted_task_id)
    assert after == (None, elsewhere.id)


def test_the_open_tasks_of_a_ticket_are_its_own(db: Session) -> None:
    about = ticket(db)
    own = tasks.create(db, {"title": "Call", "ticket_id": about.id}, ChangeContext(None, NOW))
    make(db)
    assert tasks.open_tasks(db, ticket_id=about.id) == [own]


@pytest.mark.parametrize(
    "requested, minutes, expected",
    [
        (None, None, ("Default", "High", 60 * MINUTE)),
        ({"title": "Own", "priority": None}, None, ("Own", "High", 60 * MINUTE)),
        ({"priority": "Low", "due_on": NOW + MINUTE}, None, ("Default", "Low", MINUTE)),
        ({"priority": "Odd"}, {"Medium": 7}, ("Default", "Odd", 7 * MINUTE)),
        ({"priority": "Odd"}, {"High": 7}, ("Default", "Odd", 120 * MINUTE)),
    ],
)
def test_the_first_task_is_as_requested_else_by_default(requested: Any, minutes: Any, expected: Any) -> None:
    context = ChangeContext(None, NOW, first_task_minutes=minutes or {})
    values = tasks.first_task_values({"title": "Default", "priority": "High"}, requested, context)
    assert (values["title"], values["priority"], values["due_on"] - NOW) == expected


def test_the_default_title_of_the_first_task_fits_its_column() -> None:
    values = tasks.first_task_values({"title": "x" * 201, "priority": "Low"}, None, ChangeContext(None, NOW))
    assert values["title"] == "x" * 200


def test_the_refusal_without_an_open_task_names_the_status() -> None:
    refused = tasks.missing_open_task("Planned")
    assert "“Planned” needs an open task" in str(refused) and list(refused.errors) == ["task"]


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-23T11:00+05:30", "2026-11-23T13:00+05:30"),
        ("2026-11-23T17:30+05:30", "2026-11-24T10:30+05:30"),
        ("2026-11-21T23:00+05:30", "2026-11-23T11:00+05:30"),
    ],
)
def test_the_first_task_is_due_after_so_much_office_time(now: str, due: str) -> None:
    week = tuple(office_hours.OpeningRange(day, time(9), time(18)) for day in range(5))
    terms = sla.SlaTerms(office_hours.OfficeSchedule(ZoneInfo("Asia/Kolkata"), week))
    context = ChangeContext(None, datetime.fromisoformat(now), sla_terms=terms, first_task_minutes={"Medium": 120})
    values = tasks.first_task_values({"title": "Call", "priority": "Medium"}, None, context)
    assert values["due_on"] == datetime.fromisoformat(due)


@pytest.mark.parametrize("status", tasks.STATUSES)
def test_a_closed_task_is_not_closed_again(status: str) -> None:
    task = Task(title="Call", status=status)
    if status in tasks.OPEN:
        tasks.refuse_closed(task)
        return
    with pytest.raises(Conflict, match="“Call” is already finished"):
        tasks.refuse_closed(task)
