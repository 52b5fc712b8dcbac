"""Reassignment of overdue tasks: once, all of a record together, and only while the office is open."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import time as dtime
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import create_engine, func, select, text, update
from sqlalchemy.orm import Session, sessionmaker

from app import job_runner, jobs
from app.domain import assignment, tasks
from app.domain.assignment import Assignment, NewAssignee, open_assignment
from app.domain.automation.reassignment import (
    ReassignmentPass,
    ReassignmentTerms,
    due_records,
    load_terms,
    pass_at,
)
from app.domain.automation.reassignment import reassign as reassign_many
from app.domain.base import Stamp
from app.domain.business_settings import BusinessSetting
from app.domain.change_context import ChangeContext
from app.domain.leads import Lead
from app.domain.notifications.notices import Notification
from app.domain.persistence.transaction_state import transaction_state
from app.domain.round_robin import RoundRobin
from app.domain.tasks import Task
from app.domain.timeline import Activity
from app.domain.working_time.office_schedule import Holiday
from app.ops.database.connections import STATEMENTS
from tests import factories, forked_programs
from tests.factories import ALWAYS_OPEN, DAY, HOUR, MINUTE, NOW, OFFICE
from tests.servers import eventually

TERMS = ReassignmentTerms(grace_minutes=30, retry_minutes=540)
#: Saturday, 10:00 in the office.
SATURDAY = NOW - 2 * DAY


@pytest.fixture
def people(session: Session) -> dict[str, Any]:
    """Ana and Ben are in sales, Mia is Ana's manager, Cleo is in support, Ada is an admin."""
    mia = factories.user(session, "mia", "Sales Manager")
    made = {"mia": mia, "ana": factories.user(session, "ana", "Sales User", manager_id=mia.id)}
    made["ben"] = factories.user(session, "ben", "Sales User")
    made["cleo"] = factories.user(session, "cleo", "Support User")
    made["ada"] = factories.user(session, "ada", "Admin")
    return made


def reassign(session: Session, record: Any, now: Any = NOW, db: Any = ALWAYS_OPEN) -> str:
    kind = "lead" if record.__tablename__ == "leads" else "ticket"
    return reassign_many(session, [(kind, record.id)], pass_at(now, db, TERMS))[0]


def notified(session: Session, kind: str) -> list[int]:
    query = select(Notification.user_id).where(Notification.kind == kind).order_by(Notification.user_id)
    return list(session.scalars(query))


@pytest.mark.parametrize(
    ("late", "found"), [(29 * MINUTE, False), (30 * MINUTE, False), (31 * MINUTE, True), (20 * DAY, True)]
)
def test_a_task_is_due_for_reassignment_after_the_grace_time(
    session: Session, people: dict[str, Any], late: Any, found: bool
) -> None:
    lead = factories.lead(session, people["ana"])
    factories.task(session, lead, due_on=NOW - late)
    assert due_records(session, NOW, 30, ALWAYS_OPEN, 100) == ([("lead", lead.id)] if found else [])


@pytest.mark.parametrize("status", ["Backlog", "Done", "Canceled"])
def test_a_task_that_is_not_active_stays_where_it_is(session: Session, people: dict[str, Any], status: str) -> None:
    factories.task(session, factories.lead(session, people["ana"]), due_on=NOW - DAY, status=status)
    assert due_records(session, NOW, 30, ALWAYS_OPEN, 100) == []


def test_the_grace_time_counts_office_time(session: Session, people: dict[str, Any]) -> None:
    """Due on Friday at 17:50, ten minutes before closing: on Monday at 9:20 it is 30 minutes late, not three days."""
    monday_920 = NOW - 40 * MINUTE
    lead = factories.lead(session, people["ana"])
    factories.task(session, lead, due_on=monday_920 - 2 * DAY - 15 * HOUR - 30 * MINUTE)
    assert due_records(session, monday_920, 30, OFFICE, 100) == []
    assert due_records(session, monday_920 + MINUTE, 30, OFFICE, 100) == [("lead", lead.id)]


def test_nothing_is_reassigned_while_the_office_is_closed(session: Session, people: dict[str, Any]) -> None:
    factories.task(session, factories.lead(session, people["ana"]), due_on=NOW - 10 * DAY)
    assert due_records(session, SATURDAY, 30, OFFICE, 100) == []
    assert len(due_records(session, SATURDAY, 30, ALWAYS_OPEN, 100)) == 1


@pytest.mark.parametrize("meaning", ["activated", "unqualified", "junk", "expired", "expired_opened"])
def test_tasks_of_a_lead_that_has_ended_are_left_alone(session: Session, people: dict[str, Any], meaning: str) -> None:
    lead = factories.lead(session, people["ana"], meaning)
    task = factories.task(session, lead, due_on=NOW - DAY)
    assert due_records(session, NOW, 30, ALWAYS_OPEN, 100) == []
    assert reassign(session, lead) == "skipped"
    assert task.assignee_id == people["ana"].id


@pytest.mark.parametrize("meaning", ["resolved", "closed"])
def test_tasks_of_a_ticket_that_has_ended_are_left_alone(
    session: Session, people: dict[str, Any], meaning: str
) -> None:
    ticket = factories.ticket(session, people["cleo"], meaning)
    factories.task(session, ticket, due_on=NOW - DAY)
    assert due_records(session, NOW, 30, ALWAYS_OPEN, 100) == []
    assert reassign(session, ticket) == "skipped"


def test_an_overdue_task_goes_to_the_next_in_turn(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["ana"])
    task = factories.task(session, lead, due_on=NOW - HOUR)
    assert reassign(session, lead, db=OFFICE) == "reassigned"
    session.flush()
    assert (task.assignee_id, lead.assignee_id) == (people["ben"].id, people["ben"].id)
    assert task.tried == [people["ana"].id]
    assert task.due_on == NOW + DAY  # nine office hours later: tomorrow at the same time
    assert task.remind_on == NOW + DAY - HOUR
    assert reassign(session, lead, db=OFFICE) == "skipped"


@pytest.mark.parametrize("gap, is_moved", [(0 * HOUR, True), (HOUR, False), (None, False)])
def test_the_next_follow_up_of_a_lead_moves_with_its_task(
    session: Session, people: dict[str, Any], gap: Any, is_moved: bool
) -> None:
    due_on = NOW - DAY
    before = None if gap is None else due_on + gap
    lead = factories.lead(session, people["ana"], next_follow_up_on=before)
    task = factories.task(session, lead, due_on=due_on)
    assert reassign(session, lead) == "reassigned"
    assert lead.next_follow_up_on == (task.due_on if is_moved else before)


def test_old_and_new_assignee_are_notified_once(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["ana"])
    factories.task(session, lead, due_on=NOW - HOUR)
    factories.task(session, lead, due_on=NOW - 2 * HOUR)
    reassign(session, lead)
    assert notified(session, "task_taken") == [people["ana"].id]
    assert notified(session, "task_assigned") == [people["ben"].id]
    assert notified(session, "assigned") == notified(session, "unassigned") == []


def test_all_overdue_tasks_of_a_record_go_to_the_same_person(session: Session, people: dict[str, Any]) -> None:
    eve = factories.user(session, "eve", "Sales User")
    lead = factories.lead(session, people["ana"])
    late = [factories.task(session, lead, people[who], NOW - HOUR) for who in ("ana", "ben", "ana")]
    early = factories.task(session, lead, people["ana"], NOW + HOUR)
    reassign(session, lead)
    assert {task.assignee_id for task in late} == {eve.id}
    assert early.assignee_id == people["ana"].id


def test_the_timeline_has_one_line_and_the_assignment_its_reason(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["ana"])
    factories.task(session, lead, due_on=NOW - HOUR)
    reassign(session, lead)
    line = session.scalars(select(Activity)).one()
    assert (line.kind, line.payload["to"], line.payload["reason"]) == ("assignment", people["ben"].id, "overdue")
    decision = session.scalars(select(Assignment)).one().decision
    assert decision["candidates"] == [people["ana"].id, people["ben"].id]


def test_a_task_of_another_user_goes_to_the_records_assignee(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["ben"])
    factories.task(session, lead, people["ana"], NOW - HOUR)
    assert reassign(session, lead) == "reassigned"
    assert lead.assignee_id == people["ben"].id
    assert session.scalars(select(Activity.kind)).all() == ["assignment"]


def test_a_ticket_goes_to_support_and_a_record_to_its_own_role(session: Session, people: dict[str, Any]) -> None:
    dee = factories.user(session, "dee", "Support User")
    ticket = factories.ticket(session, people["cleo"])
    lead = factories.lead(session, people["ana"], assigned_role="Support User")
    for record in (ticket, lead):
        factories.task(session, record, due_on=NOW - HOUR)
    assert [reassign(session, ticket), reassign(session, lead)] == ["reassigned", "reassigned"]
    assert ticket.assignee_id == dee.id
    assert lead.assignee_id == people["cleo"].id


def test_when_no_one_is_left_managers_and_admins_are_notified_once(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["ana"])
    task = factories.task(session, lead, due_on=NOW - HOUR, tried=[people["ben"].id])
    assert reassign(session, lead) == "exhausted"
    assert (task.exhausted, lead.exhausted_task_id) == (True, task.id)
    assert task.assignee_id == people["ana"].id
    assert notified(session, "exhausted") == [people["mia"].id, people["ada"].id]
    assert session.scalars(select(Activity)).one().payload["what"] == "exhausted"
    assert due_records(session, NOW, 30, ALWAYS_OPEN, 100) == []


def test_deactivated_colleagues_are_no_candidates(session: Session, people: dict[str, Any]) -> None:
    people["ben"].active = False
    lead = factories.lead(session, people["ana"])
    factories.task(session, lead, due_on=NOW - HOUR)
    assert reassign(session, lead) == "exhausted"
    decision = session.scalars(select(Activity)).one().payload["decision"]
    assert {"user": people["ben"].id, "why": "deactivated"} in decision["skipped"]


def test_a_missing_role_counts_as_no_one_left(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["ana"], assigned_role="Telephone Team")
    factories.task(session, lead, due_on=NOW - HOUR)
    assert reassign(session, lead) == "exhausted"
    assert "Telephone Team" in session.scalars(select(Activity)).one().payload["text"]


@pytest.mark.parametrize("change", [{"due_on": NOW + DAY}, {"status": "Done"}, {"assignee_id": 2}])
def test_a_change_of_the_task_clears_the_exhausted_flag(session: Session, people: dict[str, Any], change: Any) -> None:
    lead = factories.lead(session, people["ben"])
    task = factories.task(session, lead, due_on=NOW - HOUR, tried=[people["ana"].id])
    assert reassign(session, lead) == "exhausted"
    tasks.change(session, task, change, ChangeContext(people["mia"].id, NOW))
    session.flush()
    session.refresh(lead)
    assert (task.exhausted, task.tried, lead.exhausted_task_id) == (False, [], None)


def test_the_records_flag_stays_while_another_task_is_exhausted(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["ana"])
    first, second = (
        factories.task(session, lead, due_on=NOW - late, tried=[people["ben"].id]) for late in (2 * HOUR, HOUR)
    )
    reassign(session, lead)
    tasks.change(session, first, {"status": "Done"}, ChangeContext(people["ana"].id, NOW))
    session.flush()
    session.refresh(lead)
    assert lead.exhausted_task_id == second.id


def test_assigning_the_record_by_hand_begins_a_new_round_of_its_exhausted_tasks(
    session: Session, people: dict[str, Any]
) -> None:
    lead = factories.lead(session, people["ana"])
    both = [factories.task(session, lead, due_on=NOW - late, tried=[people["ben"].id]) for late in (DAY, HOUR)]
    assert reassign(session, lead) == "exhausted"
    assignment.assign(session, lead, NewAssignee(people["ben"].id, "direct"), Stamp(people["mia"].id, NOW))
    session.flush()
    session.refresh(lead)
    assert lead.exhausted_task_id is None
    for task in both:
        assert (task.assignee_id, task.exhausted, task.tried) == (people["ben"].id, False, [])
        assert task.due_on == NOW  # Ben has the grace time; the next run doesn't take it from him
    assert due_records(session, NOW + 30 * MINUTE, 30, ALWAYS_OPEN, 100) == []
    assert due_records(session, NOW + 31 * MINUTE, 30, ALWAYS_OPEN, 100) == [("lead", lead.id)]


@pytest.mark.parametrize(("given", "due_on"), [({}, NOW), ({"due_on": NOW + DAY}, NOW + DAY)])
def test_an_exhausted_task_that_is_given_to_somebody_is_due_now_or_when_they_say(
    session: Session, people: dict[str, Any], given: dict[str, Any], due_on: Any
) -> None:
    lead = factories.lead(session, people["ana"])
    task = factories.task(session, lead, due_on=NOW - HOUR, tried=[people["ben"].id])
    assert reassign(session, lead) == "exhausted"
    context = ChangeContext(people["mia"].id, NOW)
    tasks.change(session, task, {"assignee_id": people["ben"].id} | given, context)
    assert (task.due_on, task.exhausted) == (due_on, False)


def test_the_business_settings_apply(session: Session) -> None:
    session.add(BusinessSetting(key="grace_minutes", value=5))
    session.flush()
    assert load_terms(session) == ReassignmentTerms(grace_minutes=5, retry_minutes=540)


def test_turns_are_spread_evenly(session: Session, people: dict[str, Any]) -> None:
    team_of_four = [people["ben"], *(factories.user(session, name, "Sales User") for name in ("eve", "fay", "gus"))]
    for _ in range(8):
        lead = factories.lead(session, people["ana"])
        factories.task(session, lead, due_on=NOW - HOUR)
        reassign(session, lead)
    had = session.execute(select(Task.assignee_id, func.count()).group_by(Task.assignee_id))
    assert {tuple(row) for row in had} == {(user.id, 2) for user in team_of_four}


# --- A chunk


@pytest.fixture
def by() -> ReassignmentPass:
    return pass_at(NOW, ALWAYS_OPEN, TERMS)


def test_a_chunk_can_mix_leads_tickets_and_roles(
    session: Session, people: dict[str, Any], by: ReassignmentPass
) -> None:
    dee = factories.user(session, "dee", "Support User")
    records: list[Any] = [
        factories.lead(session, people["ana"]),
        factories.ticket(session, people["cleo"]),
        factories.lead(session, people["ana"], assigned_role="Support User"),
        factories.lead(session, people["ana"], assigned_role="Telephone Team"),
    ]
    for record in records:
        factories.task(session, record, due_on=NOW - HOUR)
    places = [("ticket" if record.__tablename__ == "ticket" else "lead", record.id) for record in records]
    assert reassign_many(session, places, by) == ["reassigned", "reassigned", "reassigned", "exhausted"]
    assert [record.assignee_id for record in records] == [people["ben"].id, dee.id, people["cleo"].id, people["ana"].id]


def test_a_chunk_returns_results_in_the_order_given(
    session: Session, people: dict[str, Any], by: ReassignmentPass
) -> None:
    late, ended, early = (factories.lead(session, people["ana"], meaning) for meaning in ("new", "junk", "new"))
    for lead, due_on in ((late, NOW - HOUR), (ended, NOW - HOUR), (early, NOW)):
        factories.task(session, lead, due_on=due_on)
    asked = [("lead", key) for key in (early.id, late.id, 4711, ended.id)]
    assert reassign_many(session, asked, by) == ["skipped", "reassigned", "skipped", "skipped"]
    assert reassign_many(session, asked, by) == ["skipped"] * 4


def test_all_exhausted_records_of_a_chunk_notify_managers_and_admins(
    session: Session, people: dict[str, Any], by: ReassignmentPass
) -> None:
    leads = [factories.lead(session, people["ana"]) for _ in range(3)]
    for lead in leads:
        factories.task(session, lead, due_on=NOW - HOUR, tried=[people["ben"].id])
    assert reassign_many(session, [("lead", lead.id) for lead in leads], by) == ["exhausted"] * 3
    assert Counter(notified(session, "exhausted")) == {people["mia"].id: 3, people["ada"].id: 3}
    assert all(lead.exhausted_task_id for lead in leads)


@pytest.mark.parametrize("size", [1, 20])
def test_a_chunk_costs_the_same_whatever_its_size(
    session: Session, people: dict[str, Any], by: ReassignmentPass, size: int
) -> None:
    leads = [factories.lead(session, people["ana"]) for _ in range(size)]
    for lead in leads:
        factories.task(session, lead, due_on=NOW - HOUR)
    session.flush()
    said: list[str] = []
    token = STATEMENTS.set(said)
    reassign_many(session, [("lead", lead.id) for lead in leads], by)
    STATEMENTS.reset(token)
    assert len(said) <= 20, said


def test_a_save_with_the_old_version_of_a_moved_task_is_refused(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["ana"])
    task = factories.task(session, lead, due_on=NOW - HOUR)
    seen = task.version, lead.version
    reassign(session, lead)
    assert (task.version, lead.version) == (seen[0] + 1, seen[1] + 1)


def test_a_reassigned_lead_has_a_closed_and_an_open_assignment(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["ana"])
    open_assignment(session, lead, NewAssignee(people["ana"].id, "created"), Stamp(None, NOW - DAY))
    factories.task(session, lead, due_on=NOW - HOUR)
    reassign(session, lead)
    rows = session.execute(select(Assignment.user_id, Assignment.ended_on, Assignment.role).order_by(Assignment.id))
    assert [tuple(row) for row in rows] == [(people["ana"].id, NOW, None), (people["ben"].id, None, "Sales User")]


OFFICES = {
    "weekend": (SATURDAY, False),
    "holiday": (NOW + DAY, False),
    "half-day, open": (NOW + 2 * DAY, True),
    "half-day, shut": (NOW + 2 * DAY + 4 * HOUR, False),
    "before opening": (NOW - 90 * MINUTE, False),
    "at the opening": (NOW - HOUR, True),
    "at the closing": (NOW + 8 * HOUR, True),
    "after the closing": (NOW + 8 * HOUR + MINUTE, False),
}


@pytest.mark.parametrize(("now", "moves"), OFFICES.values(), ids=OFFICES)
def test_the_job_moves_tasks_while_the_office_is_open(
    session: Session, people: dict[str, Any], now: Any, moves: Any
) -> None:
    """Tuesday is a holiday, Wednesday a half-day until 13:00."""
    factories.hours(session)
    days = [(now.date(), None, None) for now in (NOW + DAY,)] + [((NOW + 2 * DAY).date(), dtime(9), dtime(13))]
    session.add_all(Holiday(day=day, label="Off", starts=starts, ends=ends) for day, starts, ends in days)
    factories.task(session, factories.lead(session, people["ana"]), due_on=NOW - 10 * DAY)
    work = jobs.SCHEDULE[0].work(session, job_runner.JobPass(now, factories.ZONE))
    assert len(work.chunks()) == moves


# --- Order, and what is written


def test_the_records_of_the_oldest_tasks_come_first(session: Session, people: dict[str, Any]) -> None:
    rows = [
        (make(session, people["ana"]), days)
        for make, days in ((factories.lead, 2), (factories.ticket, 3), (factories.lead, 1))
    ]
    for record, days in rows:
        factories.task(session, record, due_on=NOW - days * DAY)
    factories.task(session, rows[0][0], due_on=NOW - DAY)
    found = [("ticket", rows[1][0].id), ("lead", rows[0][0].id), ("lead", rows[2][0].id)]
    assert due_records(session, NOW, 30, ALWAYS_OPEN, 100) == found
    assert due_records(session, NOW, 30, ALWAYS_OPEN, 2) == found[:2]


def test_a_reassignment_is_written_with_its_notices_and_events(session: Session, people: dict[str, Any]) -> None:
    (ana, ben), lead = (people[name].id for name in ("ana", "ben")), factories.lead(session, people["ana"])
    late = [factories.task(session, lead, due_on=NOW - hours * HOUR, title=f"{hours}") for hours in (1, 2)]
    transaction_state(session).change_events.clear()
    assert reassign(session, lead) == "reassigned"
    assert (lead.changed_on, lead.changed_by_id, lead.exhausted_task_id) == (NOW, None, None)
    assert {(task.changed_on, task.changed_by_id, task.exhausted) for task in late} == {(NOW, None, False)}
    line = session.scalars(select(Activity)).one()
    assert (line.payload, line.at, line.actor_id) == ({"to": ben, "old": ana, "reason": "overdue"}, NOW, None)
    assert session.scalars(select(Assignment.reason)).all() == ["overdue"]
    due, key = (NOW + 9 * HOUR).isoformat(), f"{late[1].id}:{(NOW - 2 * HOUR).isoformat()}"
    shared = {"number": lead.number, "title": "2", "tasks": 2}
    notices = session.scalars(select(Notification).order_by(Notification.id)).all()
    assert [(row.kind, row.event_key, row.payload, row.task_id) for row in notices] == [
        ("task_taken", f"taken:{key}:{ana}", shared | {"to": ben}, late[1].id),
        ("task_assigned", f"given:{key}:{ben}", shared | {"due": due}, late[1].id),
    ]
    events = {record: set(change.events) for record, change in transaction_state(session).change_events.items()}
    assert events == {("lead", lead.id): {"assigned"}} | {("task", task.id): {"assigned", "changed"} for task in late}


def test_an_exhausted_record_is_marked_but_not_changed(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["ana"], at=NOW - 9 * DAY)
    late = [factories.task(session, lead, due_on=NOW - hours * HOUR, tried=[people["ben"].id]) for hours in (1, 2)]
    assert reassign(session, lead) == "exhausted"
    assert (lead.changed_on, lead.changed_by_id, lead.assignee_id) == (
        NOW - 9 * DAY,
        people["ana"].id,
        people["ana"].id,
    )
    assert lead.exhausted_task_id == late[1].id
    assert {(task.exhausted, task.due_on is not None and task.due_on < NOW, task.assignee_id) for task in late} == {
        (True, True, people["ana"].id)
    }
    line = session.scalars(select(Activity)).one()
    assert (line.kind, line.payload["task"], line.payload["text"].count("Sales User")) == ("system", late[1].id, 1)
    notice = session.scalars(select(Notification).order_by(Notification.id).limit(1)).one()
    assert notice.payload == {"number": lead.number, "title": "Call back", "role": "Sales User", "tasks": 2}
    assert notice.event_key.startswith(f"exhausted:{late[1].id}:{(NOW - 2 * HOUR).isoformat()}:")


def test_each_loser_is_notified_of_their_own_tasks(session: Session, people: dict[str, Any]) -> None:
    eve = factories.user(session, "eve", "Sales User")
    lead = factories.lead(session, people["ana"])
    for name, title in (("ana", "a"), ("ben", "b"), ("ana", "c")):
        factories.task(session, lead, people[name], NOW - HOUR, title=title)
    reassign(session, lead)
    rows = session.scalars(select(Notification).where(Notification.kind == "task_taken").order_by(Notification.id))
    assert [(row.user_id, row.payload["tasks"], row.payload["title"], row.payload["to"]) for row in rows] == [
        (people["ana"].id, 2, "a", eve.id),
        (people["ben"].id, 1, "b", eve.id),
    ]


def test_all_active_managers_above_are_notified_when_no_one_is_left(session: Session, people: dict[str, Any]) -> None:
    top = factories.user(session, "top")
    gone = factories.user(session, "gone", active=False, manager_id=top.id)
    people["mia"].manager_id, top.manager_id = gone.id, people["mia"].id
    lead = factories.lead(session, people["ana"])
    factories.task(session, lead, due_on=NOW - HOUR, tried=[people["ben"].id])
    reassign(session, lead)
    assert notified(session, "exhausted") == sorted([people["mia"].id, people["ada"].id, top.id])


def test_a_run_reads_records_and_tasks_as_they_are_now(session: Session, people: dict[str, Any]) -> None:
    lead = factories.lead(session, people["ana"])
    task = factories.task(session, lead, due_on=NOW - HOUR)
    session.execute(update(Task).values(tried=[4711]), execution_options={"synchronize_session": False})
    assert reassign(session, lead) == "reassigned"
    assert task.tried == [4711, people["ana"].id]


def test_the_moments_of_a_run(session: Session) -> None:
    terms = ReassignmentTerms(grace_minutes=90, retry_minutes=120)
    monday_ten = pass_at(NOW, OFFICE, terms)
    assert (monday_ten.now, monday_ten.due_on) == (NOW, NOW + 2 * HOUR)
    assert monday_ten.overdue_before == NOW - 2 * DAY - 16 * HOUR - 30 * MINUTE


# --- MariaDB: locked rows


@pytest.fixture
def maria(picklists_url: str) -> Iterator[Any]:
    engine = factories.connected(picklists_url)
    yield engine
    engine.dispose()


def overdue_tasks(session: Session) -> list[Task]:
    """Ana's two leads with an overdue task each, and Ben, who could take them."""
    ana = factories.user(session, "ana", "Sales User")
    factories.user(session, "ben", "Sales User")
    made = [factories.task(session, factories.lead(session, ana), due_on=NOW - HOUR) for _ in range(2)]
    session.commit()
    return made


@pytest.mark.parametrize("held", [Lead, Task])
def test_locked_rows_wait_for_the_next_run_and_block_nothing(maria: Any, by: ReassignmentPass, held: Any) -> None:
    with factories.opened(maria) as session, factories.opened(maria) as other:
        tasks_of = overdue_tasks(session)
        places = [("lead", task.lead_id or 0) for task in tasks_of]
        mine = tasks_of[0].lead_id if held is Lead else tasks_of[0].id
        other.scalars(select(held).where(held.id == mine).with_for_update()).one()
        assert reassign_many(session, places, by) == ["skipped", "reassigned"]
        session.commit()
        other.rollback()
        assert reassign_many(session, places, by) == ["reassigned", "skipped"]


def test_of_two_simultaneous_chunks_the_second_waits_and_finds_nothing(maria: Any, by: ReassignmentPass) -> None:
    with factories.opened(maria) as session, factories.opened(maria) as other, ThreadPoolExecutor(1) as pool:
        places = [("lead", task.lead_id or 0) for task in overdue_tasks(session)]
        assert reassign_many(session, places, by) == ["reassigned"] * 2
        second = pool.submit(reassign_many, other, places, by)
        eventually(lambda: is_waiting(maria), "nothing waits for the pointer")
        session.commit()
        assert second.result() == ["skipped"] * 2
        other.rollback()


def is_waiting(engine: Any) -> bool:
    """Whether a statement waits for the pointer of a role."""
    with engine.connect() as connection:
        asked = select(func.count()).select_from(text("information_schema.processlist"))
        mine = text("db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE '%round_robin%FOR UPDATE%'")
        return bool(connection.scalar(asked.where(mine)))


def test_a_kill_in_the_middle_of_a_chunk_leaves_nothing_half_done(maria: Any, by: ReassignmentPass) -> None:
    with factories.opened(maria) as session:
        places = [("lead", task.lead_id or 0) for task in overdue_tasks(session)]
        reassign_many(session, places, by)
        cast(Any, session.connection().connection.dbapi_connection).close()  # what the server sees of a kill
        session.invalidate()
    with factories.opened(maria) as session:
        assert due_records(session, NOW, 30, ALWAYS_OPEN, 10) == places
        assert session.scalar(select(func.count(Notification.id))) == 0


# --- MariaDB: eight processes, five of them killed

TASKS, SELLERS = 240, 6
#: From Linux' <sys/prctl.h>
PR_SET_PDEATHSIG = 1


def test_each_task_is_reassigned_once_whichever_process_is_killed(picklists_url: str, tmp_path: Path) -> None:
    """One transaction per chunk, skipped row locks, event keys: nothing twice, nothing lost."""
    engine = factories.connected(picklists_url)
    with factories.opened(engine) as session:
        ana = factories.user(session, "ana", "Sales User")
        for number in range(SELLERS):
            factories.user(session, f"seller{number}", "Sales User")
        for _ in range(TASKS):
            factories.task(session, factories.lead(session, ana), due_on=NOW - HOUR)
        session.commit()
        _run_and_kill(picklists_url, tmp_path / "go", kills=5)
        assert due_records(session, NOW, 30, ALWAYS_OPEN, TASKS) == []
        _assert_each_once(session, ana.id)
    engine.dispose()


def _run_and_kill(url: str, go: Path, kills: int) -> None:
    command = ("-m", "tests.domain.test_reassignment", url, str(go), str(3 + kills))
    with go.with_name("said").open("wb") as said:
        parent = forked_programs.start(command, os.environ, said.fileno())
    try:
        eventually(lambda: len(list(go.parent.glob("ready-*"))) == 3 + kills, "the processes do not start")
        running = [int(each.name.removeprefix("ready-")) for each in sorted(go.parent.glob("ready-*"))]
        go.touch()
        dice = random.Random(7)
        for victim in running[:kills]:
            time.sleep(dice.uniform(0.05, 0.25))
            assert not go.with_name(f"ended-{victim}").exists(), "it ended before it could be killed"
            os.kill(victim, signal.SIGKILL)
        assert parent.wait(200) == 0, go.with_name("said").read_text()
        ends = [int(go.with_name(f"ended-{pid}").read_text()) for pid in running]
        assert ends == [-signal.SIGKILL] * kills + [0] * 3
    finally:
        parent.kill()
        parent.wait()


def _assert_each_once(session: Session, ana: int) -> None:
    moved = select(Assignment.lead_id, Assignment.user_id).where(Assignment.reason == "overdue")
    rows = session.execute(moved).all()
    assert len(rows) == len({row.lead_id for row in rows}) == TASKS
    turns = Counter(row.user_id for row in rows)
    assert ana not in turns
    assert max(turns.values()) - min(turns.values()) <= 1
    kinds = Counter(session.scalars(select(Notification.kind)))
    assert kinds == {"task_taken": TASKS, "task_assigned": TASKS}
    assert session.scalars(select(RoundRobin.turns)).one() == TASKS
    assert set(session.scalars(select(func.json_length(Task.tried)))) == {1}


def _fork(url: str, go: Path, count: int) -> None:
    """So many processes, which import nothing again; how each of them ended is written down."""
    for _ in range(count):
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            random.seed()  # else all of them take the tasks in the same order
            _pass_after_pass(url, go)
            os._exit(0)
    for _ in range(count):
        pid, status = os.wait()
        ended = go.with_name(f"ended-{pid}")
        ended.with_suffix(".half").write_text(str(os.waitstatus_to_exitcode(status)))
        ended.with_suffix(".half").rename(ended)


def _pass_after_pass(url: str, go: Path) -> None:
    """The work of one process: runs of its own, without claiming slots, until nothing is overdue."""
    engine = create_engine(url, isolation_level="READ COMMITTED")
    runner = job_runner.Runner(sessionmaker(engine, expire_on_commit=False))
    slow = job_runner.Job("reassign overdue tasks", job_runner.every_minute, _slowly)
    go.with_name(f"ready-{os.getpid()}").touch()
    while not go.exists():
        time.sleep(0.01)
    for number in range(1000):
        slot = f"{random.getrandbits(60)}-{number}"
        job_runner.run_slot(runner, slow, (slot, NOW), NOW)
        with factories.opened(engine) as session:
            if not due_records(session, NOW, 30, ALWAYS_OPEN, 1):
                return


def _slowly(session: Session, at: job_runner.JobPass) -> job_runner.JobWork:
    """The real work in small chunks, in random order, with a pause in which a kill meets an open transaction."""
    work = jobs.SCHEDULE[0].work(session, at)
    items = random.sample(list(work.items), k=len(list(work.items)))

    def many(one: Session, chunk: list[Any]) -> list[str]:
        answers = work.do(one, chunk)
        time.sleep(random.uniform(0, 0.02))
        return answers

    return job_runner.JobWork(items, many=many, size=5)


if __name__ == "__main__" and len(sys.argv) == 4:
    _fork(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
