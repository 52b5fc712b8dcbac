"""Return from leave: users get back what their delegate took for them, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.domain import assignment, leave_return, team
from app.domain.base import Stamp
from app.models import Activity, Assignment, Lead, Notification, Task, Ticket, User
from tests.app_fixtures import World
from tests.domain.test_assignment import run_in_parallel
from tests.factories import DAY, HOUR, MINUTE, NOW, lead, task, ticket, user

LATER = NOW + 2 * DAY


@pytest.fixture
def people(office: Session) -> dict[str, Any]:
    """Ana is on leave until tomorrow, Ben is her delegate, Dev is in sales too."""
    ben, dev = user(office, "ben"), user(office, "dev", "Sales User", available=False)
    away = {"leave_from": NOW - DAY, "leave_to": NOW + DAY, "delegate_id": ben.id}
    return {"ana": user(office, "ana", "Sales User", **away), "ben": ben, "dev": dev}


def assigned_to_delegate(office: Session, about: Any) -> Assignment:
    """Assign the record at Ana's turn, so that Ben gets it."""
    decision = team.take_turn(office, "Sales User", NOW)
    assignment.assign(
        office, about, assignment.NewAssignee(int(decision.user_id or 0), "round robin", decision), Stamp(None, NOW)
    )
    office.commit()
    return office.scalars(select(Assignment).order_by(Assignment.id.desc())).first()


def returned(office: Session, now: Any = LATER) -> list[str]:
    answers = [leave_return.return_record(office, key, now) for key in leave_return.due_assignments(office, now, 100)]
    office.commit()
    return answers


@pytest.mark.parametrize("make", [lead, ticket])
def test_the_record_goes_back_when_the_leave_is_over(office: Session, people: Any, make: Any) -> None:
    about = make(office)
    assigned = assigned_to_delegate(office, about)
    assert (about.assignee_id, assigned.stead_of_id) == (people["ben"].id, people["ana"].id)
    assert returned(office, NOW + HOUR) == []
    assert returned(office) == ["returned"] and returned(office) == []
    assert about.assignee_id == people["ana"].id
    (now_open,) = office.scalars(select(Assignment).where(Assignment.ended_on.is_(None)))
    assert (now_open.user_id, now_open.reason, now_open.stead_of_id) == (people["ana"].id, "delegate", None)


def test_both_are_notified_once_and_the_timeline_has_one_line(office: Session, people: Any) -> None:
    assigned_to_delegate(office, lead(office))
    before = len(office.scalars(select(Activity)).all())
    returned(office)
    notified = office.execute(select(Notification.user_id, Notification.kind).where(Notification.at == LATER)).all()
    assert {tuple(row) for row in notified} == {(people["ana"].id, "assigned"), (people["ben"].id, "unassigned")}
    assert len(office.scalars(select(Activity)).all()) == before + 1


def test_open_tasks_go_back_with_the_users_own_reminders(office: Session, people: Any) -> None:
    people["ana"].reminder_minutes = [30]
    about, ben = lead(office), people["ben"]
    assigned_to_delegate(office, about)
    call = task(office, about, ben, due_on=LATER + HOUR)
    done, other = task(office, about, ben, status="Done"), task(office, about, people["dev"])
    returned(office)
    assert (call.assignee_id, call.remind_on) == (people["ana"].id, LATER + HOUR - 30 * MINUTE)
    assert (done.assignee_id, other.assignee_id) == (ben.id, people["dev"].id)


def test_a_reassignment_round_under_way_goes_on(office: Session, people: Any) -> None:
    about, (ana, ben, dev) = lead(office), (people[name].id for name in ("ana", "ben", "dev"))
    assigned_to_delegate(office, about)
    late = task(office, about, people["ben"], tried=[ana, dev])
    returned(office)
    assert (late.assignee_id, late.tried, late.due_on) == (ana, [dev, ben], NOW)


def test_a_record_assigned_to_someone_else_stays_there(office: Session, people: Any) -> None:
    about = lead(office)
    assigned_to_delegate(office, about)
    assignment.assign(office, about, assignment.NewAssignee(people["dev"].id, "direct"), Stamp(None, NOW + HOUR))
    assert returned(office) == [] and about.assignee_id == people["dev"].id


def test_an_ended_record_stays_with_the_delegate(office: Session, people: Any) -> None:
    about = ticket(office, meaning="closed")
    assigned_to_delegate(office, about)
    assert returned(office) == [] and about.assignee_id == people["ben"].id


@pytest.mark.parametrize("columns", [{"active": False}, {"available": False}, {"away_until": LATER + DAY}])
def test_nothing_goes_back_to_a_user_who_still_takes_no_work(office: Session, people: Any, columns: Any) -> None:
    assigned_to_delegate(office, lead(office))
    for name, value in columns.items():
        setattr(people["ana"], name, value)
    assert returned(office) == []


def test_an_early_return_gets_the_record_at_once(office: Session, people: Any) -> None:
    assigned_to_delegate(office, lead(office))
    people["ana"].leave_to = NOW + HOUR
    assert returned(office, NOW + HOUR) == ["returned"]


def test_a_record_reassigned_between_search_and_lock_is_skipped(office: Session, people: Any) -> None:
    about = ticket(office)
    assigned = assigned_to_delegate(office, about)
    assignment.assign(office, about, assignment.NewAssignee(people["dev"].id, "direct"), Stamp(None, LATER))
    office.commit()
    assert leave_return.return_record(office, assigned.id, LATER) == "skipped"
    assert office.get_one(Ticket, about.id).assignee_id == people["dev"].id


def test_of_several_simultaneous_returns_one_succeeds(maria: World) -> None:
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


def test_the_oldest_assignments_come_first(office: Session, people: Any) -> None:
    rows = [assigned_to_delegate(office, make(office)).id for make in (lead, ticket, lead)]
    assert leave_return.due_assignments(office, LATER, 100) == rows
    assert leave_return.due_assignments(office, LATER, 2) == rows[:2]


@pytest.mark.parametrize("now, is_due", [(NOW + DAY - MINUTE, False), (NOW + DAY, True)])
def test_a_record_goes_back_from_the_end_of_the_leave_on(office: Session, people: Any, now: Any, is_due: bool) -> None:
    assigned_to_delegate(office, lead(office))
    assert returned(office, now) == ["returned"] * is_due


def test_who_stands_in_for_themselves_gets_nothing_back(office: Session, people: Any) -> None:
    assigned = assigned_to_delegate(office, lead(office))
    assigned.stead_of_id = assigned.user_id
    office.commit()
    assert leave_return.due_assignments(office, LATER, 100) == []


def test_an_ended_assignment_and_an_unknown_one_are_skipped(office: Session, people: Any) -> None:
    assigned = assigned_to_delegate(office, lead(office))
    assigned.ended_on = NOW
    office.commit()
    assert [leave_return.return_record(office, key, LATER) for key in (assigned.id, 999)] == ["skipped", "skipped"]


@pytest.mark.parametrize("make", [lead, ticket])
def test_a_return_is_stamped_and_notified_with_its_record(office: Session, people: Any, make: Any) -> None:
    about, (ana, ben) = make(office), (people["ana"].id, people["ben"].id)
    assigned = assigned_to_delegate(office, about)
    call = task(office, about, people["ben"])
    returned(office)
    assert (about.changed_on, about.changed_by_id, call.changed_on, call.tried) == (LATER, None, LATER, [])
    rows = office.scalars(select(Notification).where(Notification.at == LATER).order_by(Notification.id)).all()
    key, number = f"back:{assigned.id}", about.number
    assert [(row.event_key, row.kind, row.payload) for row in rows] == [
        (f"{key}:{ana}", "assigned", {"back": True, "number": number}),
        (f"{key}:{ben}", "unassigned", {"to": ana, "number": number}),
    ]
    assert all((row.lead_id or row.ticket_id) == about.id for row in rows)


@pytest.mark.parametrize("make", [lead, ticket])
def test_tasks_of_other_records_stay_with_the_delegate(office: Session, people: Any, make: Any) -> None:
    about = make(office)
    assigned_to_delegate(office, about)
    elsewhere = task(office, make(office), people["ben"])
    returned(office)
    assert elsewhere.assignee_id == people["ben"].id


def test_a_return_reads_record_and_tasks_as_they_are_now(office: Session, people: Any) -> None:
    about = lead(office)
    assigned = assigned_to_delegate(office, about)
    call = task(office, about, people["ben"])
    assert about.description is None
    for table, values in ((Lead, {"description": "Newer"}), (Task, {"tried": [people["dev"].id]})):
        office.execute(update(table).values(**values), execution_options={"synchronize_session": False})
    assert leave_return.return_record(office, assigned.id, LATER) == "returned"
    assert (about.description, call.tried) == ("Newer", [people["dev"].id, people["ben"].id])
