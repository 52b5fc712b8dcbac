"""Providers' reports of calls, in any order; and the templates that they list."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.channels.console_provider import KIND
from app.channels.provider import CallUpdate, IncomingMessage, ListedTemplate
from app.domain import leads
from app.domain.base import Stamp
from app.domain.change_context import ChangeContext
from app.domain.inbound import provider_events
from app.domain.messaging import channel_accounts, message_templates
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.telephony import calls
from app.lib.field_encryption import Vault
from app.models import Activity, CallLog, CallRecording, Message, MessageTemplate, Notification
from tests.factories import MINUTE, NOW, user

PEER, OWN = "+919820012345", "+911600123456"


@pytest.fixture
def account(db: Session, vault: Vault) -> Any:
    return channel_accounts.create(db, KIND, AccountSettings("Console"), Stamp(None, NOW), vault)


@pytest.fixture
def lead(db: Session) -> Any:
    asha = user(db, "asha", "Sales User")
    return leads.create(db, {"first_name": "Ravi", "mobile": PEER}, ChangeContext(asha.id, NOW - MINUTE))


def update(state: str, direction: str = "out", **more: Any) -> CallUpdate:
    return CallUpdate("C1", state, direction, PEER, OWN, started_on=NOW, **more)


RINGS, TALKS = update("ringing"), update("answered")
ENDS = update("completed", talk_seconds=61, ended_on=NOW + timedelta(seconds=70), recording_url="https://x.in/r.mp3")


@pytest.mark.parametrize("order", list(permutations((RINGS, TALKS, ENDS))))
def test_a_call_ends_the_same_in_whatever_order_it_is_told(db: Session, account: Any, lead: Any, order: Any) -> None:
    for event in (*order, order[0]):
        assert provider_events.process(db, account, event, NOW + MINUTE) == "call"
    (call,) = db.scalars(select(CallLog)).all()
    assert (call.status, call.duration_seconds, call.direction, call.other_e164) == ("Completed", 61, "Outgoing", PEER)
    assert (call.lead_id, call.from_number, call.medium) == (lead.id, OWN, "console")
    (recording,) = db.scalars(select(CallRecording)).all()
    assert (recording.address, recording.state, recording.call_id) == (ENDS.recording_url, "queued", call.id)
    assert len(db.scalars(select(Activity).where(Activity.kind == "call")).all()) == 1


@pytest.mark.parametrize("told", [(ENDS,), (TALKS, ENDS)])
def test_a_call_that_is_told_of_late_is_the_first_response_when_it_was(
    db: Session, account: Any, lead: Any, told: Any
) -> None:
    lead.reply_due_on = NOW + MINUTE
    db.flush()
    for event in told:
        provider_events.process(db, account, event, NOW + timedelta(hours=5))
    db.refresh(lead)
    assert (lead.replied_on, lead.reply_late_on) == (NOW, None)


def test_a_call_that_is_logged_afterwards_is_the_first_response_when_it_was(db: Session, lead: Any) -> None:
    lead.reply_due_on = NOW + MINUTE
    values = {"direction": "Outgoing", "status": "Completed", "to_number": PEER, "started_on": NOW, "lead_id": lead.id}
    calls.create(db, values, Stamp(lead.assignee_id, NOW + timedelta(hours=5)))
    db.refresh(lead)
    assert (lead.replied_on, lead.reply_late_on) == (NOW, None)


def test_no_call_is_longer_than_a_day(db: Session, account: Any, lead: Any) -> None:
    for seconds in (86_401, 999_999_999):
        provider_events.process(db, account, update("completed", talk_seconds=seconds), NOW + MINUTE)
    assert db.scalars(select(CallLog.duration_seconds)).all() == [0]


@pytest.mark.parametrize("text", ["x" * 65_536, "😀" * 30_000, "हिन्दी " * 9_000])
def test_a_text_of_any_length_can_be_stored(db: Session, account: Any, text: str) -> None:
    provider_events.process(db, account, IncomingMessage("M1", "sms", PEER, OWN, text), NOW)
    (stored,) = db.scalars(select(Message.body)).all()
    assert stored.endswith(" …") and len(stored.encode()) < 65_536  # what MariaDB's TEXT takes


def test_who_is_responsible_learns_of_a_missed_call(db: Session, account: Any, lead: Any) -> None:
    provider_events.process(db, account, update("no-answer", "in"), NOW)
    (call,) = db.scalars(select(CallLog)).all()
    assert (call.status, call.from_number, call.employee_id) == ("Missed Call", PEER, lead.owner_id)
    (notice,) = db.scalars(select(Notification).where(Notification.kind == "missed_call")).all()
    assert notice.payload == {"number": lead.number, "call": call.id}


def test_the_providers_templates_are_kept_in_step(db: Session, account: Any) -> None:
    hello = ListedTemplate("hello", "en", "Dear {{1}}", "approved", "MARKETING", "T1")
    bye = ListedTemplate("bye", "hi", "Namaste", "pending")
    assert message_templates.sync(db, account, [hello, bye], NOW) == 2
    assert message_templates.sync(db, account, [ListedTemplate("hello", "en", "Hi {{1}}", "paused")], NOW) == 1
    rows = {row.name: row for row in db.scalars(select(MessageTemplate))}
    assert (rows["hello"].body, rows["hello"].approval, rows["hello"].is_active) == ("Hi {{1}}", "paused", True)
    assert (rows["bye"].is_active, rows["bye"].channel, rows["bye"].label) == (False, "whatsapp", "bye (hi)")
