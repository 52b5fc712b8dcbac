"""A message that failed after it was sent no longer counts as the first response."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.channels.console_provider import KIND
from app.channels.provider import StatusUpdate
from app.domain import tickets
from app.domain.automation import escalation
from app.domain.base import Stamp
from app.domain.change_context import ChangeContext
from app.domain.inbound import provider_events
from app.domain.messaging import channel_accounts, messages
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.picklists import TicketStatus
from app.domain.telephony import calls
from app.domain.working_time import sla
from app.domain.working_time.sla_policies import SlaPolicy, SlaTarget
from app.lib.field_encryption import Vault
from app.models import Message, Notification
from tests.factories import ALWAYS_OPEN, HOUR, MINUTE, NOW, user

TERMS = sla.SlaTerms(ALWAYS_OPEN, {("ticket", ""): (60, 480)})
PEER = "+919820012345"
SENT_ON, FAILED_ON = NOW + 5 * MINUTE, NOW + 15 * MINUTE
CALL = {"direction": "Outgoing", "status": "Completed", "to_number": PEER}


class Desk:
    """A ticket with a target of an hour, and what Cleo and the provider do about it."""

    def __init__(self, session: Session, vault: Vault) -> None:
        self.session, self.cleo = session, user(session, "cleo", "Support User")
        self.account = channel_accounts.create(session, KIND, AccountSettings("Console"), Stamp(None, NOW), vault)
        targets = [SlaTarget(priority="", first_response_minutes=60, resolution_minutes=480)]
        session.add(SlaPolicy(label="Tickets", applies_to="ticket", is_active=True, position=1, targets=targets))
        session.flush()
        self.ticket = tickets.create(session, {"subject_ids": [1]}, self.context(NOW))
        self.due_on = self.ticket.reply_due_on

    def context(self, at: datetime) -> ChangeContext:
        return ChangeContext(self.cleo.id, at, sla_terms=TERMS)

    def send(self, at: datetime = SENT_ON, **more: Any) -> Message:
        values = {"channel": "sms", "peer": PEER, "body": "Hi", "ticket_id": self.ticket.id, "purpose": "service"}
        values |= {"account_id": self.account.id} | more
        message = messages.enqueue(self.session, values, Stamp(self.cleo.id, NOW))
        assert messages.advance(self.session, message, "sending", at)
        assert messages.advance(self.session, message, "sent", at)
        message.provider_id = f"P{message.id}"
        self.session.flush()
        return message

    def report(self, message: Message, state: str, at: datetime = FAILED_ON) -> None:
        event = StatusUpdate(message.provider_id or "", state, happened_on=at)
        provider_events.process(self.session, self.account, event, at)

    def move(self, meaning: str, context: ChangeContext) -> None:
        status = self.session.query(TicketStatus).filter_by(meaning=meaning).one()
        tickets.change_status(self.session, self.ticket, {"status_id": status.id, "resolution": "Done"}, context)
        self.session.flush()

    def clock(self) -> tuple[Any, ...]:
        """(first response, its due time, since when it is overdue)."""
        self.session.flush()
        self.session.refresh(self.ticket)
        return (self.ticket.replied_on, self.ticket.reply_due_on, self.ticket.reply_late_on)


@pytest.fixture
def desk(db: Session, vault: Vault) -> Desk:
    return Desk(db, vault)


def test_what_failed_is_no_response_and_the_clock_goes_on(desk: Desk, db: Session) -> None:
    message, before, version = desk.send(), desk.ticket.sla_on, desk.ticket.version
    assert desk.clock() == (SENT_ON, None, None)
    desk.report(message, "failed")
    assert desk.clock() == (None, desk.due_on, None)
    assert (desk.ticket.sla_on, desk.ticket.version) == (before, version)
    assert escalation.check_record(db, ("ticket", desk.ticket.id), NOW + 2 * HOUR, TERMS) == "sla_breach"
    assert desk.clock() == (None, desk.due_on, desk.due_on)
    assert {each.kind for each in db.query(Notification)} == {"sla_breach"}


@pytest.mark.parametrize("how", ["message", "call", "status"])
def test_the_next_response_counts_in_place_of_what_failed(desk: Desk, db: Session, how: str) -> None:
    message, at = desk.send(), NOW + 10 * MINUTE
    if how == "message":
        desk.send(at)
    if how == "call":
        calls.create(db, CALL | {"started_on": at, "ticket_id": desk.ticket.id}, Stamp(desk.cleo.id, at))
    if how == "status":
        desk.move("open", desk.context(at))
    desk.report(message, "failed")
    assert desk.clock() == (at, None, None)


def test_a_response_after_the_due_time_is_late_once_the_earlier_one_has_failed(desk: Desk) -> None:
    message = desk.send()
    desk.send(NOW + 2 * HOUR)
    desk.report(message, "failed", NOW + 3 * HOUR)
    assert desk.clock() == (NOW + 2 * HOUR, None, desk.due_on)


def test_a_message_that_had_not_stopped_the_clock_changes_nothing_when_it_fails(desk: Desk) -> None:
    desk.send()
    desk.report(desk.send(NOW + 10 * MINUTE), "failed")
    assert desk.clock() == (SENT_ON, None, None)


def test_a_breach_before_a_late_response_that_failed_is_not_reported_twice(desk: Desk, db: Session) -> None:
    escalation.check_record(db, ("ticket", desk.ticket.id), NOW + HOUR, TERMS)
    message = desk.send(NOW + 61 * MINUTE)
    desk.report(message, "failed", NOW + 62 * MINUTE)
    assert desk.clock() == (None, desk.due_on, desk.due_on)
    escalation.check_record(db, ("ticket", desk.ticket.id), NOW + 63 * MINUTE, TERMS)
    assert db.query(Notification).filter_by(kind="sla_breach").count() == 1


def test_what_was_reported_failed_and_then_delivered_counts_again(desk: Desk) -> None:
    message = desk.send()
    desk.report(message, "failed")
    desk.report(message, "delivered", NOW + 20 * MINUTE)
    assert desk.clock() == (SENT_ON, None, None)


def test_a_closed_ticket_whose_only_response_failed_is_judged_by_its_end(desk: Desk, db: Session) -> None:
    message = desk.send()
    desk.move("closed", ChangeContext(None, NOW + 2 * HOUR, sla_terms=TERMS))
    desk.report(message, "failed", NOW + 3 * HOUR)
    assert desk.clock() == (None, None, desk.due_on)
    assert desk.ticket.sla_on is None
