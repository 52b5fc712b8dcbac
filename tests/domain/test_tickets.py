"""Tickets: creation, status changes, resolution and SLA clock."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import customers, tasks, tickets
from app.domain.base import RuleBroken
from app.domain.change_context import ChangeContext
from app.domain.picklists import TicketStatus, TicketSubject
from app.domain.working_time import sla
from app.models import Activity, Assignment, StatusChange, Task, Ticket
from tests.factories import ALWAYS_OPEN, HOUR, MINUTE, NOW, lead, user

TERMS = sla.SlaTerms(ALWAYS_OPEN, {("ticket", ""): (60, 480)})


def create_ticket(session: Session, by: Any = None, **values: Any) -> Ticket:
    return tickets.create(
        session, {"subject_ids": [1], **values}, ChangeContext(by.id if by else None, NOW, sla_terms=TERMS)
    )


def change_status(session: Session, ticket: Ticket, meaning: str, by: Any = None, at: Any = NOW, **values: Any) -> None:
    key = session.scalars(select(TicketStatus.id).where(TicketStatus.meaning == meaning)).first() or 0
    tickets.change_status(
        session, ticket, {"status_id": key} | values, ChangeContext(by.id if by else None, at, sla_terms=TERMS)
    )


def test_the_title_lists_the_subjects_in_order(db: Session) -> None:
    assert create_ticket(db, subject_ids=[2, 1, 2]).title == "KYC update, DP charges"


@pytest.mark.parametrize(
    "field, values",
    [
        ("subjects", {"subject_ids": []}),
        ("subjects", {"subject_ids": [999]}),
        ("priority", {"priority": "Whenever"}),
        ("source", {"source": "Pigeon"}),
    ],
)
def test_an_invalid_value_is_refused_for_its_field(db: Session, field: str, values: Any) -> None:
    with pytest.raises(RuleBroken) as refused:
        create_ticket(db, **values)
    assert list(refused.value.errors) == [field]


@pytest.mark.parametrize("ticket, task", [("Low", "Low"), ("Medium", "Medium"), ("High", "High"), ("Urgent", "High")])
def test_the_first_task_is_as_urgent_as_the_ticket(db: Session, ticket: str, task: str) -> None:
    create_ticket(db, user(db, "cleo"), priority=ticket)
    assert db.scalars(select(Task.priority)).one() == task


@pytest.mark.parametrize("meaning", tickets.ENDED)
def test_ending_a_ticket_needs_a_resolution_and_stops_the_clock(db: Session, meaning: str) -> None:
    ticket = create_ticket(db)
    with pytest.raises(RuleBroken) as refused:
        change_status(db, ticket, meaning, resolution="  ")
    assert list(refused.value.errors) == ["resolution"]
    change_status(db, ticket, meaning, resolution=" Form sent ", at=NOW + HOUR)
    assert (ticket.resolution, ticket.resolved_on) == ("Form sent", NOW + HOUR)
    assert (ticket.reply_due_on, ticket.resolve_due_on) == (None, None)


def test_closing_a_resolved_ticket_keeps_when_it_was_resolved(db: Session) -> None:
    ticket = create_ticket(db)
    change_status(db, ticket, "resolved", resolution="Done")
    change_status(db, ticket, "closed", at=NOW + HOUR)
    assert ticket.resolved_on == NOW


def test_a_reopened_ticket_restarts_its_clock_and_keeps_its_history(db: Session) -> None:
    ticket = create_ticket(db)
    change_status(db, ticket, "resolved", resolution="Done")
    change_status(db, ticket, "open", at=NOW + HOUR)
    assert (ticket.resolved_on, ticket.resolve_due_on, ticket.resolution) == (None, NOW + 9 * HOUR, "Done")
    assert len(db.scalars(select(StatusChange)).all()) == 3


def test_waiting_pauses_the_clock(db: Session) -> None:
    ticket = create_ticket(db)
    change_status(db, ticket, "waiting", at=NOW + MINUTE)
    assert ticket.paused_on == NOW + MINUTE
    change_status(db, ticket, "open", at=NOW + HOUR)
    assert ticket.paused_on is None


def test_the_first_status_change_by_a_user_is_the_first_reply(db: Session) -> None:
    ticket = create_ticket(db)
    change_status(db, ticket, "open", user(db, "cleo"), NOW + MINUTE)
    assert (ticket.replied_on, ticket.reply_due_on) == (NOW + MINUTE, None)


def test_the_follow_up_status_needs_an_open_task(db: Session) -> None:
    ticket = create_ticket(db)
    with pytest.raises(RuleBroken) as refused:
        change_status(db, ticket, "scheduled")
    assert list(refused.value.errors) == ["task"]
    change_status(db, ticket, "scheduled", task={"title": "Call back"})
    assert db.scalars(select(Task.title)).one() == "Call back"


def test_a_ticket_for_a_role_goes_to_its_next_user_with_the_decision(db: Session) -> None:
    cleo = user(db, "cleo", "Support User")
    ticket = create_ticket(db, assign_to_role="Support User")
    row = db.scalars(select(Assignment)).one()
    assert (ticket.assignee_id, ticket.assigned_role, row.reason) == (cleo.id, "Support User", "round robin")
    assert row.decision == {"role": "Support User", "candidates": [cleo.id], "skipped": []}


def test_the_customer_of_a_ticket_is_given_found_or_created(db: Session) -> None:
    known = customers.create(db, {"first_name": "Asha", "mobile": "9820012345"}, ChangeContext(None, NOW))
    other = customers.create(db, {"first_name": "Ravi", "mobile": "9820099999"}, ChangeContext(None, NOW))
    assert create_ticket(db, customer_id=other.id, mobile="9820012345").customer is other
    assert create_ticket(db, mobile="+91 98200 12345").customer is known
    assert create_ticket(db).customer is None
    made = create_ticket(db, mobile="9811111111", first_name="Usha").customer
    assert made is not None and (made.source, made.first_name) == ("Ticket", "Usha")


# --- What is stored


def test_a_new_ticket_holds_what_was_given(db: Session) -> None:
    ana, cleo = user(db, "ana"), user(db, "cleo")
    about = lead(db)
    given = {"priority": "High", "source": "Web", "description": "Twice", "lead_id": about.id, "owner_id": ana.id}
    ticket = create_ticket(db, cleo, **given)
    assert {name: getattr(ticket, name) for name in given} == given
    assert (ticket.number, ticket.version, ticket.status.meaning) == ("CRM-TICKET-2026-00001", 1, "new")
    assert (ticket.status_on, ticket.created_on, ticket.created_by_id) == (NOW, NOW, cleo.id)
    assert (ticket.assignee_id, ticket.assigned_role, ticket.sla_started_on) == (cleo.id, None, NOW)
    line = db.scalars(select(Activity).order_by(Activity.id)).first()
    assert line and (line.kind, line.payload) == ("system", {"text": "Ticket created"})
    (history,) = db.scalars(select(StatusChange)).all()
    assert (history.ticket_id, history.from_id, history.to_id, history.by_id) == (
        ticket.id,
        None,
        ticket.status_id,
        cleo.id,
    )
    row = db.scalars(select(Assignment)).one()
    assert (row.user_id, row.reason, row.by_id) == (cleo.id, "created", cleo.id)


def test_a_new_ticket_is_medium_by_telephone_and_owned_by_its_author(db: Session) -> None:
    cleo = user(db, "cleo")
    ticket = create_ticket(db, cleo)
    assert (ticket.priority, ticket.source, ticket.owner_id) == ("Medium", "On Call", cleo.id)


@pytest.mark.parametrize(
    "field, values",
    [("subjects", {}), ("subjects", {"subject_ids": [999]}), ("status", {"subject_ids": [1], "status_id": 999})],
)
def test_a_ticket_with_unknown_subjects_or_status_is_refused(db: Session, field: str, values: Any) -> None:
    with pytest.raises(RuleBroken, match=r"at least one subject|no such ticket status") as refused:
        tickets.create(db, values, ChangeContext(None, NOW))
    assert list(refused.value.errors) == [field]


def test_a_ticket_may_begin_in_any_status(db: Session) -> None:
    ids = {row.meaning: row.id for row in db.scalars(select(TicketStatus))}
    ticket = create_ticket(db, user(db, "cleo"), status_id=ids["resolved"], resolution=" Done ")
    assert (ticket.status.meaning, ticket.resolution, ticket.resolved_on) == ("resolved", "Done", NOW)
    assert db.scalars(select(Task)).all() == []
    assert create_ticket(db, status_id=ids["waiting"]).paused_on == NOW


@pytest.mark.parametrize(
    "requested, expected",
    [(None, ["Handle ticket: KYC update"]), ({}, []), ({"title": "Own"}, ["Own"])],
)
def test_the_first_task_is_as_requested(db: Session, requested: Any, expected: list[str]) -> None:
    cleo = user(db, "cleo")
    ticket = create_ticket(db, cleo, task=requested)
    rows = db.scalars(select(Task)).all()
    assert [row.title for row in rows] == expected
    assert all((row.ticket_id, row.assignee_id) == (ticket.id, cleo.id) for row in rows)


def test_the_title_fits_its_column_and_unknown_subjects_are_left_out(db: Session) -> None:
    db.add_all(TicketSubject(label=f"{n} {'x' * 90}", position=10 + n) for n in range(6))
    db.flush()
    ids = list(db.scalars(select(TicketSubject.id)))
    ticket = create_ticket(db, subject_ids=[*ids, 999])
    assert (len(ticket.title), len(ticket.subjects)) == (500, len(ids))


def test_a_change_is_stamped_and_logged_with_its_fields(db: Session) -> None:
    ana, ticket = user(db, "ana"), create_ticket(db)
    values = {"description": "New", "subject_ids": [2], "owner_id": ana.id, "priority": "Urgent"}
    tickets.change(db, ticket, values, ChangeContext(ana.id, NOW + HOUR, sla_terms=TERMS))
    (line,) = db.scalars(select(Activity).where(Activity.kind == "field_change")).all()
    assert sorted(line.payload["changes"]) == [
        ["description", None, "New"],
        ["owner_id", None, ana.id],
        ["priority", "Medium", "Urgent"],
        ["title", "KYC update", "DP charges"],
    ]
    assert (ticket.changed_on, ticket.changed_by_id, line.actor_id) == (NOW + HOUR, ana.id, ana.id)


def test_a_save_without_a_difference_is_no_change_and_keeps_the_owner(db: Session) -> None:
    cleo = user(db, "cleo")
    ticket = create_ticket(db, cleo)
    values = {"priority": "Medium", "owner_id": None, "status_id": ticket.status_id, "subject_ids": [1]}
    tickets.change(db, ticket, values, ChangeContext(None, NOW + HOUR))
    assert (ticket.owner_id, ticket.changed_on) == (cleo.id, NOW)
    assert db.scalars(select(Activity).where(Activity.kind == "field_change")).all() == []


def test_a_change_may_bring_a_status_whose_note_is_the_resolution(db: Session) -> None:
    ticket = create_ticket(db)
    key = db.scalars(select(TicketStatus.id).where(TicketStatus.meaning == "resolved")).one()
    tickets.change(db, ticket, {"status_id": key, "resolution": "Sent"}, ChangeContext(None, NOW + HOUR))
    line = db.scalars(select(Activity).where(Activity.kind == "status_change")).one()
    assert (ticket.status_id, line.payload["note"]) == (key, "Sent")
    change_status(db, ticket, "open")
    notes = [row.payload["note"] for row in db.scalars(select(Activity).where(Activity.kind == "status_change"))]
    assert notes == ["Sent", None]


def test_a_follow_up_task_belongs_to_the_ticket_and_its_assignee(db: Session) -> None:
    cleo = user(db, "cleo")
    ticket = create_ticket(db, cleo, task={})
    change_status(db, ticket, "scheduled", task={"title": "Call back"})
    task = db.scalars(select(Task)).one()
    assert (task.ticket_id, task.assignee_id) == (ticket.id, cleo.id)
    change_status(db, ticket, "open")
    change_status(db, ticket, "scheduled")
    assert ticket.status.meaning == "scheduled"


@pytest.mark.parametrize("meaning", ["new", "open", "scheduled"])
def test_a_task_that_comes_with_a_change_is_created(db: Session, meaning: str) -> None:
    cleo = user(db, "cleo")
    ticket = create_ticket(db, cleo)
    before = len(tasks.open_tasks(db, ticket_id=ticket.id))
    key = db.scalars(select(TicketStatus.id).where(TicketStatus.meaning == meaning)).first()
    values = {"status_id": key, "task": {"title": "Call back"}}
    tickets.change(db, ticket, values, ChangeContext(cleo.id, NOW))
    assert len(tasks.open_tasks(db, ticket_id=ticket.id)) == before + 1


def test_a_new_customer_of_a_ticket_has_the_callers_contact(db: Session) -> None:
    values = {"mobile": "9811111111", "first_name": "Usha", "email": "u@x.in", "priority": "High"}
    customer = create_ticket(db, **values).customer
    assert customer is not None
    assert (customer.first_name, customer.email, customer.mobile_e164) == ("Usha", "u@x.in", "+919811111111")
