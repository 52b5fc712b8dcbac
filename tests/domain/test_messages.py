"""Messages: noted or queued, first responses, and customers who want none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import customers, tickets
from app.domain.base import RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.messaging import messages
from app.domain.working_time import sla
from app.models import Activity, Message, Ticket
from tests.factories import ALWAYS_OPEN, HOUR, MINUTE, NOW, user

TERMS = sla.SlaTerms(ALWAYS_OPEN, {("ticket", ""): (60, 480)})
SMS = {"channel": "sms", "peer": "9820012345", "body": "Hi"}


@pytest.fixture
def cleo(db: Session) -> Any:
    return user(db, "cleo", "Support User")


@pytest.fixture
def ticket(db: Session, cleo: Any) -> Ticket:
    return tickets.create(db, {"subject_ids": [1]}, ChangeContext(cleo.id, NOW, sla_terms=TERMS))


def test_a_noted_message_is_the_first_response_when_it_was_sent(db: Session, cleo: Any, ticket: Ticket) -> None:
    values = {**SMS, "ticket_id": ticket.id, "happened_on": NOW + MINUTE}
    message = messages.record_elsewhere(db, values, Stamp(cleo.id, NOW + HOUR))
    db.refresh(ticket)
    assert (message.state, message.happened_on, message.due_on) == ("noted", NOW + MINUTE, None)
    assert ticket.replied_on == NOW + MINUTE


def test_a_noted_incoming_message_is_no_response(db: Session, cleo: Any, ticket: Ticket) -> None:
    message = messages.record_elsewhere(
        db, {**SMS, "ticket_id": ticket.id, "direction": "in"}, Stamp(cleo.id, NOW + HOUR)
    )
    db.refresh(ticket)
    assert (message.direction, message.happened_on, ticket.replied_on) == ("in", NOW + HOUR, None)


@pytest.mark.parametrize("moment", [NOW + timedelta(seconds=1), NOW.replace(year=1999)])
def test_a_message_is_noted_after_it_happened(db: Session, moment: Any) -> None:
    with pytest.raises(RuleBroken) as refused:
        messages.record_elsewhere(db, {**SMS, "happened_on": moment}, Stamp(None, NOW))
    assert list(refused.value.errors) == ["happened_on"]


def test_a_queued_message_is_the_first_response_once_it_is_sent(db: Session, cleo: Any, ticket: Ticket) -> None:
    message = messages.enqueue(db, {**SMS, "ticket_id": ticket.id}, Stamp(cleo.id, NOW))
    db.refresh(ticket)
    assert (message.state, message.happened_on, message.due_on, ticket.replied_on) == ("queued", None, NOW, None)
    assert messages.advance(db, message, "sending", NOW + MINUTE)
    db.refresh(ticket)
    assert ticket.replied_on is None
    assert messages.advance(db, message, "sent", NOW + HOUR) and message.happened_on == NOW + HOUR
    assert messages.advance(db, message, "read", NOW + 2 * HOUR) and message.happened_on == NOW + HOUR
    db.refresh(ticket)
    assert ticket.replied_on == NOW + HOUR


@pytest.mark.parametrize(
    "path", [["failed"], ["sending", "failed"], ["sending", "unknown"], ["sending", "unknown", "queued"]]
)
def test_what_never_arrived_is_no_response(db: Session, cleo: Any, ticket: Ticket, path: list[str]) -> None:
    message = messages.enqueue(db, {**SMS, "ticket_id": ticket.id}, Stamp(cleo.id, NOW))
    assert all(messages.advance(db, message, state, NOW + HOUR) for state in path)
    db.refresh(ticket)
    assert ticket.replied_on is None


@pytest.mark.parametrize(
    "state, later",
    [("noted", "sent"), ("queued", "delivered"), ("delivered", "sent"), ("read", "delivered"), ("failed", "sent")],
)
def test_states_only_move_forward(db: Session, state: str, later: str) -> None:
    message = messages.enqueue(db, SMS, Stamp(None, NOW))
    message.state = state
    assert not messages.advance(db, message, later, NOW) and message.state == state


# --- opt-outs

PEERS = {"sms": "9820012345", "whatsapp": "9820012345", "email": "asha@x.in"}


def make_customer(session: Session, **flags: Any) -> Any:
    values = {"first_name": "Asha", "mobile": "9820012345", "email": "asha@x.in", "alternative_mobile": "9820054321"}
    return customers.create(session, values | flags, ChangeContext(None, NOW))


@pytest.mark.parametrize("write", [messages.record_elsewhere, messages.enqueue])
@pytest.mark.parametrize("channel", messages.CHANNELS)
def test_an_opt_out_refuses_promotional_messages_of_its_channel_only(db: Session, write: Any, channel: str) -> None:
    make_customer(db, **{messages.OPT_OUTS[channel]: True})
    values = {"channel": channel, "peer": PEERS[channel], "body": "Buy"}
    with pytest.raises(RuleBroken, match="promotional") as refused:
        write(db, values, Stamp(None, NOW))
    assert list(refused.value.errors) == ["channel"] and db.scalars(select(Message)).all() == []
    assert write(db, values | {"purpose": "service"}, Stamp(None, NOW)).id
    other = next(each for each in messages.CHANNELS if each != channel)
    assert write(db, {"channel": other, "peer": PEERS[other], "body": "Buy"}, Stamp(None, NOW)).id


def test_an_opt_out_counts_however_the_customer_is_found(db: Session, ticket: Ticket) -> None:
    asha = make_customer(db, no_sms=True)
    ticket.customer_id = asha.id
    db.flush()
    other = {**SMS, "peer": "9833333333"}
    ways = ({**SMS, "peer": "98200 54321"}, other | {"customer_id": asha.id}, other | {"ticket_id": ticket.id})
    for values in ways:
        with pytest.raises(RuleBroken, match="promotional"):
            messages.record_elsewhere(db, values, Stamp(None, NOW))
    assert messages.record_elsewhere(db, other, Stamp(None, NOW)).id


def test_an_incoming_message_of_who_wants_none_is_noted(db: Session) -> None:
    make_customer(db, no_sms=True)
    assert messages.record_elsewhere(db, {**SMS, "direction": "in"}, Stamp(None, NOW)).purpose == "service"


def test_the_timeline_says_what_became_of_the_message(db: Session, ticket: Ticket) -> None:
    messages.record_elsewhere(db, {**SMS, "ticket_id": ticket.id}, Stamp(None, NOW))
    line = db.scalars(select(Activity).where(Activity.kind == "message")).one()
    assert (line.payload["state"], line.payload["direction"]) == ("noted", "out")
