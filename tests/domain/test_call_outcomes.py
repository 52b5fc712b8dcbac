"""After a call: outcome, note, follow-up, links, and records created from it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import call_outcomes, calls
from app.domain.base import RuleBroken, Stamp
from app.domain.call_outcomes import CallOutcome
from app.domain.change_context import ChangeContext
from app.domain.leads import Lead
from app.domain.tasks import Task
from app.domain.timeline import Activity
from tests import makers
from tests.makers import HOUR, NOW


@pytest.fixture
def ana(office: Session) -> Any:
    return makers.user(office, "ana", "Sales User")


@pytest.fixture
def call(office: Session, ana: Any) -> Any:
    return create_call(office, ana)


def create_call(session: Session, ana: Any, **values: Any) -> Any:
    known = {"direction": "Incoming", "status": "Completed", "from_number": "9820012345", "started_on": NOW - HOUR}
    return calls.create(session, known | values, Stamp(ana.id, NOW))


def lines(session: Session, kind: str) -> list[Activity]:
    return list(session.scalars(select(Activity).where(Activity.kind == kind)))


def test_outcome_note_and_follow_up_are_saved_together(office, ana):
    lead = makers.lead(office, ana)
    call = create_call(office, ana, lead_id=lead.id)
    call_outcomes.save_outcome(
        office, call, CallOutcome("Interested", "Wants an SIP", NOW + HOUR), ChangeContext(ana.id, NOW)
    )
    assert (call.outcome, lines(office, "note")[0].payload["text"]) == ("Interested", "Wants an SIP")
    task = office.scalars(select(Task)).one()
    assert (task.title, task.due_on, task.lead_id) == ("Follow up: Interested", NOW + HOUR, lead.id)
    office.refresh(lead)
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
def test_an_invalid_outcome_is_refused(office, ana, call, outcome, field):
    with pytest.raises(RuleBroken) as broken:
        call_outcomes.save_outcome(office, call, outcome, ChangeContext(ana.id, NOW))
    assert field in broken.value.errors
    assert not office.scalars(select(Task)).all()


def test_a_linked_call_belongs_only_to_the_new_record(office, ana):
    first, second = makers.lead(office, ana), makers.lead(office, ana)
    call = create_call(office, ana, lead_id=first.id)
    call_outcomes.link(office, call, second, Stamp(ana.id, NOW))
    office.flush()
    assert (call.lead_id, call.linked) == (second.id, True)
    assert [line.lead_id for line in lines(office, "call")] == [second.id]


def test_an_unmatched_call_gets_its_timeline_line_when_linked(office, ana, call):
    lead = makers.lead(office, ana)
    call_outcomes.link(office, call, lead, Stamp(ana.id, NOW))
    office.flush()
    assert [(line.lead_id, line.at) for line in lines(office, "call")] == [(lead.id, call.started_on)]


def test_an_unlinked_call_belongs_to_nothing(office, ana):
    call = create_call(office, ana, lead_id=makers.lead(office, ana).id)
    call_outcomes.unlink(office, call, Stamp(ana.id, NOW))
    office.flush()
    assert (call.lead_id, call.customer_id, call.linked) == (None, None, True)


def test_a_lead_is_created_from_a_call(office, ana, call):
    call.native = {"contact_name": "Ravi Kumar"}
    lead = call_outcomes.create_lead(office, call, ChangeContext(ana.id, NOW))
    assert (lead.mobile_e164, lead.first_name, lead.assignee_id) == ("+919820012345", "Ravi Kumar", ana.id)
    assert call.lead_id == lead.id
    with pytest.raises(RuleBroken):
        call_outcomes.create_lead(office, call, ChangeContext(ana.id, NOW))


def test_no_lead_is_created_from_a_withheld_number(office, ana):
    call = create_call(office, ana, from_number="Private")
    with pytest.raises(RuleBroken):
        call_outcomes.create_lead(office, call, ChangeContext(ana.id, NOW))
    assert not office.scalars(select(Lead)).all()


def test_a_ticket_is_created_from_a_call(office, ana, call):
    ticket = call_outcomes.create_ticket(office, call, ChangeContext(ana.id, NOW))
    assert (ticket.title, call.ticket_id) == ("DP charges", ticket.id)
