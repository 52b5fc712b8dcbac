"""After a call: outcome, note, follow-up, links, and records created from it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import customers
from app.domain.base import RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.customer_rights import ALL_RIGHTS
from app.domain.leads import Lead
from app.domain.persistence.transaction_state import transaction_state
from app.domain.tasks import Task
from app.domain.telephony import call_outcomes, calls
from app.domain.telephony.call_outcomes import CallOutcome
from app.domain.timeline import Activity
from tests import factories
from tests.factories import HOUR, MINUTE, NOW


@pytest.fixture
def ana(db: Session) -> Any:
    return factories.user(db, "ana", "Sales User")


@pytest.fixture
def call(db: Session, ana: Any) -> Any:
    return create_call(db, ana)


def create_call(session: Session, ana: Any, **values: Any) -> Any:
    known = {"direction": "Incoming", "status": "Completed", "from_number": "9820012345", "started_on": NOW - HOUR}
    return calls.create(session, known | values, Stamp(ana.id, NOW))


def lines(session: Session, kind: str) -> list[Activity]:
    return list(session.scalars(select(Activity).where(Activity.kind == kind)))


def test_outcome_note_and_follow_up_are_saved_together(db: Session, ana: Any) -> None:
    lead = factories.lead(db, ana)
    call = create_call(db, ana, lead_id=lead.id)
    call_outcomes.save_outcome(
        db, call, CallOutcome("Interested", "Wants an SIP", NOW + HOUR), ChangeContext(ana.id, NOW)
    )
    assert (call.outcome, lines(db, "note")[0].payload["text"]) == ("Interested", "Wants an SIP")
    task = db.scalars(select(Task)).one()
    assert (task.title, task.due_on, task.lead_id) == ("Follow up: Interested", NOW + HOUR, lead.id)
    db.refresh(lead)
    assert lead.next_follow_up_on == NOW + HOUR


@pytest.mark.parametrize(
    ("outcome", "field"),
    [
        (CallOutcome("  "), "outcome"),
        (CallOutcome("x" * 501), "outcome"),
        (CallOutcome("x", None, NOW), "follow_up_on"),
        (CallOutcome("x", None, NOW + HOUR), "follow_up_on"),
        (CallOutcome("x", "a note"), "note"),
    ],
)
def test_an_invalid_outcome_is_refused(db: Session, ana: Any, call: Any, outcome: Any, field: str) -> None:
    with pytest.raises(RuleBroken) as broken:
        call_outcomes.save_outcome(db, call, outcome, ChangeContext(ana.id, NOW))
    assert field in broken.value.errors
    assert not db.scalars(select(Task)).all()


def test_a_linked_call_belongs_only_to_the_new_record(db: Session, ana: Any) -> None:
    first, second = factories.lead(db, ana), factories.lead(db, ana)
    call = create_call(db, ana, lead_id=first.id)
    call_outcomes.link(db, call, second, Stamp(ana.id, NOW))
    db.flush()
    assert (call.lead_id, call.linked) == (second.id, True)
    assert [line.lead_id for line in lines(db, "call")] == [second.id]


def test_an_unmatched_call_gets_its_timeline_line_when_linked(db: Session, ana: Any, call: Any) -> None:
    lead = factories.lead(db, ana)
    call_outcomes.link(db, call, lead, Stamp(ana.id, NOW))
    db.flush()
    assert [(line.lead_id, line.at) for line in lines(db, "call")] == [(lead.id, call.started_on)]
    assert [(line.actor_id, line.payload["call"]) for line in lines(db, "call")] == [(ana.id, call.id)]


def test_an_unlinked_call_belongs_to_nothing(db: Session, ana: Any) -> None:
    call = create_call(db, ana, lead_id=factories.lead(db, ana).id)
    call_outcomes.unlink(db, call, Stamp(ana.id, NOW))
    db.flush()
    assert (call.lead_id, call.customer_id, call.linked) == (None, None, True)


def test_a_lead_is_created_from_a_call(db: Session, ana: Any, call: Any) -> None:
    call.native = {"contact_name": "Ravi Kumar"}
    lead = call_outcomes.create_lead(db, call, ChangeContext(ana.id, NOW))
    assert (lead.mobile_e164, lead.first_name, lead.assignee_id) == ("+919820012345", "Ravi Kumar", ana.id)
    assert call.lead_id == lead.id
    with pytest.raises(RuleBroken):
        call_outcomes.create_lead(db, call, ChangeContext(ana.id, NOW))


def test_no_lead_is_created_from_a_withheld_number(db: Session, ana: Any) -> None:
    call = create_call(db, ana, from_number="Private")
    with pytest.raises(RuleBroken):
        call_outcomes.create_lead(db, call, ChangeContext(ana.id, NOW))
    assert not db.scalars(select(Lead)).all()


def test_a_ticket_is_created_from_a_call(db: Session, ana: Any, call: Any) -> None:
    ticket = call_outcomes.create_ticket(db, call, ChangeContext(ana.id, NOW))
    assert (ticket.title, call.ticket_id) == ("DP charges", ticket.id)


# --- At the boundaries, and what is written


@pytest.mark.parametrize(("text", "is_valid"), [("", False), (" x ", True), ("x" * 500, True), ("x" * 501, False)])
def test_an_outcome_has_up_to_500_characters(db: Session, ana: Any, call: Any, text: str, is_valid: bool) -> None:
    if is_valid:
        call_outcomes.save_outcome(db, call, CallOutcome(text), ChangeContext(ana.id, NOW))
        assert (call.outcome, call.changed_by_id, call.changed_on) == (text.strip(), ana.id, NOW)
        return
    with pytest.raises(RuleBroken, match="at most 500 characters") as broken:
        call_outcomes.save_outcome(db, call, CallOutcome(text), ChangeContext(ana.id, NOW))
    assert list(broken.value.errors) == ["outcome"]


@pytest.mark.parametrize(("follow_up_on", "is_valid"), [(NOW - HOUR, False), (NOW, False), (NOW + MINUTE, True)])
def test_a_follow_up_lies_ahead(db: Session, ana: Any, follow_up_on: Any, is_valid: bool) -> None:
    call = create_call(db, ana, lead_id=factories.lead(db, ana).id)
    outcome = CallOutcome("x", follow_up_on=follow_up_on, title=" Visit ")
    if is_valid:
        task = call_outcomes.save_outcome(db, call, outcome, ChangeContext(ana.id, NOW))
        assert (task.title, task.assignee_id, task.ticket_id) == ("Visit", ana.id, None)
        return
    with pytest.raises(RuleBroken, match="in the past") as broken:
        call_outcomes.save_outcome(db, call, outcome, ChangeContext(ana.id, NOW))
    assert list(broken.value.errors) == ["follow_up_on"]


def test_the_follow_up_of_a_ticket_belongs_to_it_and_its_title_is_cut(db: Session, ana: Any) -> None:
    ticket = factories.ticket(db, ana)
    call = create_call(db, ana, ticket_id=ticket.id)
    outcome = CallOutcome("x" * 300, " ", NOW + HOUR)
    task = call_outcomes.save_outcome(db, call, outcome, ChangeContext(ana.id, NOW))
    assert (task.ticket_id, task.lead_id, len(task.title), lines(db, "note")) == (ticket.id, None, 200, [])


@pytest.mark.parametrize(("before", "cold", "after"), [(True, None, True), (True, False, False), (False, True, True)])
def test_a_call_is_cold_as_entered_or_as_before(
    db: Session, ana: Any, call: Any, before: bool, cold: bool | None, after: bool
) -> None:
    call.cold = before
    assert call_outcomes.save_outcome(db, call, CallOutcome("x", cold=cold), ChangeContext(ana.id, NOW)) is None
    assert call.cold is after


@pytest.mark.parametrize("column", ["lead_id", "ticket_id", "customer_id"])
def test_a_note_is_written_on_whatever_record_the_call_has(db: Session, ana: Any, column: str) -> None:
    made: Any = {"lead_id": factories.lead, "ticket_id": factories.ticket}.get(column, create_customer)(db)
    call = create_call(db, ana, **{column: made.id})
    call_outcomes.save_outcome(db, call, CallOutcome("x", " Later "), ChangeContext(ana.id, NOW))
    (note,) = lines(db, "note")
    assert (getattr(note, column), note.payload, note.actor_id) == (made.id, {"text": "Later"}, ana.id)


def create_customer(session: Any) -> Any:
    return customers.create(session, {"first_name": "Asha", "mobile": "9811111111"}, ChangeContext(None, NOW))


def test_a_moved_call_leaves_the_old_timeline_and_marks_both(db: Session, ana: Any) -> None:
    customer = create_customer(db)
    first, second = factories.lead(db, ana), factories.ticket(db, ana, customer_id=customer.id)
    call = create_call(db, ana, lead_id=first.id)
    transaction_state(db).changed_timelines.clear()
    call_outcomes.link(db, call, second, Stamp(ana.id, NOW))
    assert (call.lead_id, call.ticket_id, call.customer_id) == (None, second.id, customer.id)
    (line,) = lines(db, "call")
    assert (line.lead_id, line.ticket_id, line.customer_id) == (None, second.id, customer.id)
    marked = {("lead", first.id), ("ticket", second.id), ("customer", customer.id)}
    assert transaction_state(db).changed_timelines == marked
    transaction_state(db).changed_timelines.clear()
    call_outcomes.unlink(db, call, Stamp(ana.id, NOW))
    assert transaction_state(db).changed_timelines == marked - {("lead", first.id)}


@pytest.mark.parametrize("column", ["lead_id", "ticket_id"])
def test_a_call_that_has_a_record_gets_no_second_one(db: Session, ana: Any, column: str) -> None:
    make: Any
    make, create = {
        "lead_id": (factories.lead, call_outcomes.create_lead),
        "ticket_id": (factories.ticket, call_outcomes.create_ticket),
    }[column]
    call = create_call(db, ana, **{column: make(db).id})
    with pytest.raises(RuleBroken, match="already linked"):
        create(db, call, ChangeContext(ana.id, NOW))


def test_the_ticket_of_a_call_belongs_to_the_calls_customer_or_a_new_one(db: Session, ana: Any, call: Any) -> None:
    customer = create_customer(db)
    known = create_call(db, ana, customer_id=customer.id, from_number="9833333333")
    may_all = ChangeContext(ana.id, NOW, customer_rights=ALL_RIGHTS)
    ticket = call_outcomes.create_ticket(db, known, may_all, {"title": "Own"})
    assert (ticket.customer_id, ticket.source, ticket.assignee_id) == (customer.id, "On Call", ana.id)
    assert db.scalars(select(Task.title)).all() == ["Own"]
    call.native = {"contact_name": " Ravi " + "x" * 90}
    made = call_outcomes.create_ticket(db, call, may_all, {})
    assert made.customer is not None and made.customer.mobile_e164 == "+919820012345"
    assert made.customer.first_name == ("Ravi " + "x" * 90)[:80]
    about = factories.lead(db, ana)
    of_lead = call_outcomes.create_ticket(db, create_call(db, ana, lead_id=about.id), ChangeContext(ana.id, NOW), {})
    assert (of_lead.lead_id, of_lead.customer_id) == (about.id, None)
