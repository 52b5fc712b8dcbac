"""Tickets: creation, status changes, resolution and SLA clock."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import customers, sla, tickets
from app.domain.base import RuleBroken
from app.domain.change_context import ChangeContext
from app.domain.settings import TicketStatus
from app.models import Assignment, Customer, StatusChange, Task, Ticket
from tests.makers import ALWAYS_OPEN, HOUR, MINUTE, NOW, user

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


def test_the_title_lists_the_subjects_in_order(office: Session) -> None:
    assert create_ticket(office, subject_ids=[2, 1, 2]).title == "KYC update, DP charges"


@pytest.mark.parametrize(
    "field, values",
    [
        ("subjects", {"subject_ids": []}),
        ("subjects", {"subject_ids": [999]}),
        ("priority", {"priority": "Whenever"}),
        ("source", {"source": "Pigeon"}),
    ],
)
def test_an_invalid_value_is_refused_for_its_field(office: Session, field: str, values: Any) -> None:
    with pytest.raises(RuleBroken) as refused:
        create_ticket(office, **values)
    assert list(refused.value.errors) == [field]


@pytest.mark.parametrize("ticket, task", [("Low", "Low"), ("Medium", "Medium"), ("High", "High"), ("Urgent", "High")])
def test_the_first_task_is_as_urgent_as_the_ticket(office: Session, ticket: str, task: str) -> None:
    create_ticket(office, user(office, "cleo"), priority=ticket)
    assert office.scalars(select(Task.priority)).one() == task


@pytest.mark.parametrize("meaning", tickets.ENDED)
def test_ending_a_ticket_needs_a_resolution_and_stops_the_clock(office: Session, meaning: str) -> None:
    ticket = create_ticket(office)
    with pytest.raises(RuleBroken) as refused:
        change_status(office, ticket, meaning, resolution="  ")
    assert list(refused.value.errors) == ["resolution"]
    change_status(office, ticket, meaning, resolution=" Form sent ", at=NOW + HOUR)
    assert (ticket.resolution, ticket.resolved_on) == ("Form sent", NOW + HOUR)
    assert (ticket.reply_due_on, ticket.resolve_due_on) == (None, None)


def test_closing_a_resolved_ticket_keeps_when_it_was_resolved(office: Session) -> None:
    ticket = create_ticket(office)
    change_status(office, ticket, "resolved", resolution="Done")
    change_status(office, ticket, "closed", at=NOW + HOUR)
    assert ticket.resolved_on == NOW


def test_a_reopened_ticket_restarts_its_clock_and_keeps_its_history(office: Session) -> None:
    ticket = create_ticket(office)
    change_status(office, ticket, "resolved", resolution="Done")
    change_status(office, ticket, "open", at=NOW + HOUR)
    assert (ticket.resolved_on, ticket.resolve_due_on, ticket.resolution) == (None, NOW + 9 * HOUR, "Done")
    assert len(office.scalars(select(StatusChange)).all()) == 3


def test_waiting_pauses_the_clock(office: Session) -> None:
    ticket = create_ticket(office)
    change_status(office, ticket, "waiting", at=NOW + MINUTE)
    assert ticket.paused_on == NOW + MINUTE
    change_status(office, ticket, "open", at=NOW + HOUR)
    assert ticket.paused_on is None


def test_the_first_status_change_by_a_user_is_the_first_reply(office: Session) -> None:
    ticket = create_ticket(office)
    change_status(office, ticket, "open", user(office, "cleo"), NOW + MINUTE)
    assert (ticket.replied_on, ticket.reply_due_on) == (NOW + MINUTE, None)


def test_the_follow_up_status_needs_an_open_task(office: Session) -> None:
    ticket = create_ticket(office)
    with pytest.raises(RuleBroken) as refused:
        change_status(office, ticket, "scheduled")
    assert list(refused.value.errors) == ["task"]
    change_status(office, ticket, "scheduled", task={"title": "Call back"})
    assert office.scalars(select(Task.title)).one() == "Call back"


def test_a_ticket_for_a_role_goes_to_its_next_user_with_the_decision(office: Session) -> None:
    cleo = user(office, "cleo", "Support User")
    ticket = create_ticket(office, assign_to_role="Support User")
    row = office.scalars(select(Assignment)).one()
    assert (ticket.assignee_id, ticket.assigned_role, row.reason) == (cleo.id, "Support User", "round robin")
    assert row.decision == {"role": "Support User", "candidates": [cleo.id], "skipped": []}


def test_the_customer_of_a_ticket_is_given_found_or_created(office: Session) -> None:
    known = customers.create(office, {"first_name": "Asha", "mobile": "9820012345"}, ChangeContext(None, NOW))
    ask = tickets.customer_for
    assert ask(office, {"customer_id": 77, "mobile": "9820012345"}, ChangeContext(None, NOW)) == 77
    assert ask(office, {"mobile": "+91 98200 12345"}, ChangeContext(None, NOW)) == known.id
    assert ask(office, {}, ChangeContext(None, NOW)) is None
    made = ask(office, {"mobile": "9811111111", "first_name": "Usha"}, ChangeContext(None, NOW))
    assert office.get(Customer, made).source == "Ticket"  # type: ignore[union-attr]
