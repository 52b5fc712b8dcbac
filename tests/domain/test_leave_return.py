"""Return from leave: users get back what their delegate received for them, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.domain import assignment, round_robin
from app.domain.automation import leave_return
from app.domain.base import Stamp
from app.models import Activity, Assignment, Lead, Notification, Task, Ticket, User
from tests.app_fixtures import Crm
from tests.domain.test_assignment import run_in_parallel
from tests.factories import DAY, HOUR, MINUTE, NOW, lead, task, ticket, user

LATER = NOW + 2 * DAY


@pytest.fixture
def people(db: Session) -> dict[str, Any]:
    """Ana is on leave until tomorrow, Ben is her delegate, Dev is in sales too."""
    ben, dev = user(db, "ben"), user(db, "dev", "Sales User", available=False)
    away = {"leave_from": NOW - DAY, "leave_to": NOW + DAY, "delegate_id": ben.id}
    return {"ana": user(db, "ana", "Sales User", **away), "ben": ben, "dev": dev}


def assigned_to_delegate(db: Session, about: Any) -> Assignment:
    """Assign the record at Ana's turn, so that Ben gets it."""
    decision = round_robin.take_turn(db, "Sales User", NOW)
    assignment.assign(
        db, about, assignment.NewAssignee(int(decision.user_id or 0), "round robin", decision), Stamp(None, NOW)
    )
    db.commit()
    return db.scalars(select(Assignment).order_by(Assignment.id.desc()).limit(1)).one()


def returned(db: Session, now: Any = LATER) -> list[str]:
    answers = [leave_return.return_record(db, key, now) for key in leave_return.due_assignments(db, now, 100)]
    db.commit()
    return answers


@pytest.mark.parametrize("make", [lead, ticket])
def test_the_record_goes_back_when_the_leave_is_over(db: Session, people: Any, make: Any) -> None:
    about = make(db)
    assigned = assigned_to_delegate(db, about)
    assert (about.assignee_id, assigned.stead_of_id) == (people["ben"].id, people["ana"].id)
    assert returned(db, NOW + HOUR) == []
    assert returned(db) == ["returned"] and returned(db) == []
    assert about.assignee_id == people["ana"].id
    (now_open,) = db.scalars(select(Assignment).where(Assignment.ended_on.is_(None)))
    assert (now_open.user_id, now_open.reason, now_open.stead_of_id) == (people["ana"].id, "delegate", None)


def test_both_are_notified_once_and_the_timeline_has_one_line(db: Session, people: Any) -> None:
    assigned_to_delegate(db, lead(db))
    before = len(db.scalars(select(Activity)).all())
    returned(db)
    notified = db.execute(select(Notification.user_id, Notification.kind).where(Notification.at == LATER)).all()
    assert {tuple(row) for row in notified} == {(people["ana"].id, "assigned"), (people["ben"].id, "unassigned")}
    assert len(db.scalars(select(Activity)).all()) == before + 1


def test_open_tasks_go_back_with_the_users_own_reminders(db: Session, people: Any) -> None:
    people["ana"].reminder_minutes = [30]
    about, ben = lead(db), people["ben"]
    assigned_to_delegate(db, about)
    call = task(db, about, ben, due_on=LATER + HOUR)
    done, other = task(db, about, ben, status="Done"), task(db, about, people["dev"])
    returned(db)
    assert (call.assignee_id, call.remind_on) == (people["ana"].id, LATER + HOUR - 30 * MINUTE)
    assert (done.assignee_id, other.assignee_id) == (ben.id, people["dev"].id)


def test_a_reassignment_round_under_way_goes_on(db: Session, people: Any) -> None:
    about, (ana, ben, dev) = lead(db), (people[name].id for name in ("ana", "ben", "dev"))
    assigned_to_delegate(db, about)
    late = task(db, about, people["ben"], tried=[ana, dev])
    returned(db)
    assert (late.assignee_id, late.tried, late.due_on) == (ana, [dev, ben], NOW)


def test_a_record_assigned_to_someone_else_stays_there(db: Session, people: Any) -> None:
    about = lead(db)
    assigned_to_delegate(db, about)
    assignment.assign(db, about, assignment.NewAssignee(people["dev"].id, "direct"), Stamp(None, NOW + HOUR))
    assert returned(db) == [] and about.assignee_id == people["dev"].id


def test_an_ended_record_stays_with_the_delegate(db: Session, people: Any) -> None:
    about = ticket(db, meaning="closed")
    assigned_to_delegate(db, about)
    assert returned(db) == [] and about.assignee_id == people["ben"].id


@pytest.mark.parametrize("columns", [{"active": False}, {"available": False}, {"away_until": LATER + DAY}])
def test_nothing_goes_back_to_a_user_who_still_takes_no_work(db: Session, people: Any, columns: Any) -> None:
    assigned_to_delegate(db, lead(db))
    for name, value in columns.items():
        setattr(people["ana"], name, value)
    assert returned(db) == []


def test_an_early_return_gets_the_record_at_once(db: Session, people: Any) -> None:
    assigned_to_delegate(db, lead(db))
    people["ana"].leave_to = NOW + HOUR
    assert returned(db, NOW + HOUR) == ["returned"]


def test_a_record_reassigned_between_search_and_lock_is_skipped(db: Session, people: Any) -> None:
    about = ticket(db)
    assigned = assigned_to_delegate(db, about)
    assignment.assign(db, about, assignment.NewAssignee(people["dev"].id, "direct"), Stamp(None, LATER))
    db.commit()
    assert leave_return.return_record(db, assigned.id, LATER) == "skipped"
    assert db.get_one(Ticket, about.id).assignee_id == people["dev"].id


def test_of_several_simultaneous_returns_one_succeeds(maria: Crm) -> None:
    ben = maria.people["ben"].id
    ana = maria.session.get_one(User, maria.people["ana"].id)
    ana.leave_from, ana.leave_to, ana.delegate_id = NOW - DAY, NOW + DAY, ben
    maria.session.commit()
    about = maria.make.lead(None, assign_to_role="Sales User")
    (assigned,) = maria.rows(select(Assignment.id).where(Assignment.stead_of_id == ana.id))
    answers = run_in_parallel(maria, [lambda session: leave_return.return_record(session, assigned, LATER)] * 6)
    assert sorted(answers) == ["returned", *["skipped"] * 5]
    notified = maria.rows(select(Notification.user_id).where(Notification.at == LATER))
    assert sorted(notified) == sorted([ana.id, ben]) and maria.fresh(about).assignee_id == ana.id


# --- Order, and what is written


def test_the_oldest_assignments_come_first(db: Session, people: Any) -> None:
    rows = [assigned_to_delegate(db, make(db)).id for make in (lead, ticket, lead)]
    assert leave_return.due_assignments(db, LATER, 100) == rows
    assert leave_return.due_assignments(db, LATER, 2) == rows[:2]


@pytest.mark.parametrize("now, is_due", [(NOW + DAY - MINUTE, False), (NOW + DAY, True)])
def test_a_record_goes_back_from_the_end_of_the_leave_on(db: Session, people: Any, now: Any, is_due: bool) -> None:
    assigned_to_delegate(db, lead(db))
    assert returned(db, now) == ["returned"] * is_due


def test_who_stands_in_for_themselves_gets_nothing_back(db: Session, people: Any) -> None:
    assigned = assigned_to_delegate(db, lead(db))
    assigned.stead_of_id = assigned.user_id
    db.commit()
    assert leave_return.due_assignments(db, LATER, 100) == []


def test_an_ended_assignment_and_an_unknown_one_are_skipped(db: Session, people: Any) -> None:
    assigned = assigned_to_delegate(db, lead(db))
    assigned.ended_on = NOW
    db.commit()
    assert [leave_return.return_record(db, key, LATER) for key in (assigned.id, 999)] == ["skipped", "skipped"]


@pytest.mark.parametrize("make", [lead, ticket])
def test_a_return_is_stamped_and_notified_with_its_record(db: Session, people: Any, make: Any) -> None:
    about, (ana, ben) = make(db), (people["ana"].id, people["ben"].id)
    assigned = assigned_to_delegate(db, about)
    call = task(db, about, people["ben"])
    returned(db)
    assert (about.changed_on, about.changed_by_id, call.changed_on, call.tried) == (LATER, None, LATER, [])
    rows = db.scalars(select(Notification).where(Notification.at == LATER).order_by(Notification.id)).all()
    key, number = f"back:{assigned.id}", about.number
    assert [(row.event_key, row.kind, row.payload) for row in rows] == [
        (f"{key}:{ana}", "assigned", {"back": True, "number": number}),
        (f"{key}:{ben}", "unassigned", {"to": ana, "number": number}),
    ]
    assert all((row.lead_id or row.ticket_id) == about.id for row in rows)


@pytest.mark.parametrize("make", [lead, ticket])
def test_tasks_of_other_records_stay_with_the_delegate(db: Session, people: Any, make: Any) -> None:
    about = make(db)
    assigned_to_delegate(db, about)
    elsewhere = task(db, make(db), people["ben"])
    returned(db)
    assert elsewhere.assignee_id == people["ben"].id


def test_a_return_reads_record_and_tasks_as_they_are_now(db: Session, people: Any) -> None:
    about = lead(db)
    assigned = assigned_to_delegate(db, about)
    call = task(db, about, people["ben"])
    assert about.description is None
    for table, values in ((Lead, {"description": "Newer"}), (Task, {"tried": [people["dev"].id]})):
        db.execute(update(table).values(**values), execution_options={"synchronize_session": False})
    assert leave_return.return_record(db, assigned.id, LATER) == "returned"
    after: Any = (about.description, call.tried)
    assert after == ("Newer", [people["dev"].id, people["ben"].id])
