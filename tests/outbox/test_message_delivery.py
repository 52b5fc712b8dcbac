"""Messages of the outbox: sent once, retried, given up, queried; hours and limits; providers' reports."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import jobs
from app.channels import provider_registry
from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.provider import Inbound, OnDoNotDisturb, OptedOut, OutgoingMessage, ProviderRefusal
from app.domain.base import RuleBroken, Stamp
from app.domain.inbound import inbound_queue
from app.domain.messaging import channel_accounts, consents, message_sending, messages
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.messaging.message_sending import OutgoingRequest
from app.extensions import db
from app.inbound import inbound_processing
from app.job_runner import run_slot
from app.models import (
    Activity,
    BusinessSetting,
    Consent,
    Conversation,
    DoNotDisturb,
    InboundEvent,
    Message,
    MessageTemplate,
    Notification,
)
from app.ops.queues import queue
from app.outbox import delivery_engine, message_delivery
from tests.app_fixtures import Crm
from tests.outbox.fake_provider import CARRIER, KIND, Carrier

PEER = "+919820012345"


@pytest.fixture
def carrier(monkeypatch: pytest.MonkeyPatch) -> Iterator[Carrier]:
    monkeypatch.setitem(provider_registry.KINDS, "carrier", KIND)
    CARRIER.__init__()  # type: ignore[misc]
    yield CARRIER
    CARRIER.__init__()  # type: ignore[misc]


@pytest.fixture(autouse=True)
def _context(crm: Crm) -> Iterator[None]:
    with crm.app.app_context():
        yield


@pytest.fixture
def account(crm: Crm, carrier: Carrier) -> Any:
    return add_account(crm)


def add_account(crm: Crm, name: str = "Line", **more: Any) -> Any:
    wanted = AccountSettings(name, {"token": "t0ken"}, **more)
    made = channel_accounts.create(crm.session, KIND, wanted, Stamp(None, now()), crm.vault)
    crm.session.commit()
    return made


def now() -> datetime:
    return datetime.now(UTC)


def send(crm: Crm, who: str | None = "ana", **more: Any) -> int:
    wish = OutgoingRequest(**{"channel": "sms", "peer": PEER, "body": "Namaste", "purpose": "service", **more})
    message = message_sending.send(crm.session, wish, Stamp(crm.people[who].id if who else None, now()))
    crm.session.commit()
    return int(message.id)


def run_calls() -> int:
    return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def row(crm: Crm, key: int) -> Message:
    crm.session.commit()
    crm.session.expire_all()
    return crm.session.get_one(Message, key)


def let_pass(crm: Crm, key: int, **values: Any) -> None:
    crm.session.execute(update(Message).where(Message.id == key).values(values))
    crm.session.commit()


def run_job(crm: Crm, name: str) -> None:
    job = next(each for each in jobs.SCHEDULE if each.name == name)
    run_slot(crm.app.extensions["crm_jobs"], job, (now().isoformat()[:30], now()), now())


def raiser(error: Exception) -> Any:
    def fault(_message: Any) -> None:
        raise error

    return fault


# --- sending


def test_a_message_is_sent_once_and_is_the_first_response(crm: Crm, make: Any, account: Any, carrier: Any) -> None:
    ticket = make.ticket("cleo")
    key = send(crm, "cleo", records={"ticket_id": ticket.id})
    assert row(crm, key).state == "queued"
    assert run_calls() == 1 and carrier.keys() == [f"m{key}"]
    sent = row(crm, key)
    assert (sent.state, sent.provider_id, sent.tries, sent.due_on) == ("sent", "C1", 1, None)
    assert sent.happened_on and crm.session.get_one(type(ticket), ticket.id).replied_on
    message_delivery.send(key)
    assert len(carrier.accepted) == 1
    talk = crm.session.get_one(Conversation, sent.conversation_id)
    assert (talk.ticket_id, talk.last_message_id, talk.unread) == (ticket.id, key, 0)
    assert carrier.accepted[0].status_url.endswith(channel_accounts.token_of(account, crm.vault))


def test_one_cause_sends_one_message(crm: Crm, account: Any) -> None:
    assert send(crm, cause="birthday 7") == send(crm, cause="birthday 7")


@pytest.mark.parametrize(
    "more, field",
    [
        ({"channel": "fax"}, "channel"),
        ({"channel": "email", "peer": "a@x.in"}, "channel"),
        ({"peer": "12"}, "peer"),
        ({"body": " "}, "body"),
        ({"body": "x" * 2001}, "body"),
        ({"account_id": 99}, "account"),
        ({"reply_to_id": 99}, "reply_to"),
    ],
)
def test_what_cannot_be_sent_is_refused(crm: Crm, account: Any, more: dict[str, Any], field: str) -> None:
    with pytest.raises(RuleBroken) as refused:
        send(crm, **more)
    crm.session.rollback()
    assert list(refused.value.errors) == [field]


def test_a_refusal_for_now_is_tried_again_after_the_time_asked_for(crm: Crm, account: Any, carrier: Any) -> None:
    carrier.fault = raiser(ProviderRefusal("Slow down, +91 98200 12345!", code="429", retry_after=600))
    key = send(crm)
    run_calls()
    waiting = row(crm, key)
    assert (waiting.state, waiting.tries, waiting.code) == ("queued", 1, "429")
    assert waiting.reason == "Slow down, …!"
    assert waiting.due_on is not None and waiting.due_on >= now() + timedelta(seconds=590)
    carrier.fault = lambda _message: None
    message_delivery.send(key)
    assert row(crm, key).state == "queued"  # not yet
    let_pass(crm, key, due_on=now())
    message_delivery.send(key)
    assert (row(crm, key).state, row(crm, key).reason, row(crm, key).code) == ("sent", None, None)


def test_after_eight_tries_it_has_failed_and_can_be_sent_again(crm: Crm, account: Any, carrier: Any) -> None:
    carrier.fault = raiser(ChannelError("The line is down."))
    key = send(crm)
    for _each in range(10):
        let_pass(crm, key, due_on=now())
        message_delivery.send(key)
    dead = row(crm, key)
    assert (dead.state, dead.tries, dead.reason) == ("failed", 8, "The line is down.")
    carrier.fault = lambda _message: None
    messages.send_again(crm.session, dead, Stamp(crm.people["ana"].id, now()))
    crm.session.commit()
    run_calls()
    assert (row(crm, key).state, carrier.keys()) == ("sent", [f"m{key}"])


@pytest.mark.parametrize("error, words", [(ProviderRefusal("No such number.", permanent=True, code="21211"), 0)])
def test_a_permanent_refusal_ends_it(crm: Crm, account: Any, carrier: Any, error: Any, words: int) -> None:
    carrier.fault = raiser(error)
    key = send(crm)
    run_calls()
    dead = row(crm, key)
    assert (dead.state, dead.tries, dead.reason, dead.code) == ("failed", 1, "No such number.", "21211")
    crm.session.commit()
    crm.session.expire_all()
    assert account.last_error == "No such number." and crm.count(Consent) == words


def test_an_opt_out_at_the_provider_goes_into_the_ledger(crm: Crm, account: Any, carrier: Any) -> None:
    carrier.fault = raiser(OptedOut("They wrote STOP.", permanent=True, code="21610"))
    send(crm)
    run_calls()
    (entry,) = crm.rows(select(Consent))
    assert (entry.action, entry.how, entry.address) == ("withdrawn", "provider", PEER)


def test_a_do_not_disturb_answer_of_the_provider_is_a_check_of_the_list(crm: Crm, account: Any, carrier: Any) -> None:
    carrier.fault = raiser(OnDoNotDisturb("The number is on the list.", permanent=True, code="23005"))
    for _twice in range(2):
        send(crm)
        run_calls()
    assert crm.count(Consent) == 0  # the person has withdrawn nothing
    (entry,) = crm.rows(select(DoNotDisturb))
    assert (entry.number, entry.preference, entry.how) == (PEER, "blocked", "provider")
    assert consents.is_blocked(crm.session, PEER, now(), days=7)


def test_a_message_is_canceled_before_it_is_sent(crm: Crm, account: Any, carrier: Any) -> None:
    key = send(crm)
    messages.cancel(crm.session, row(crm, key), Stamp(crm.people["ana"].id, now()))
    crm.session.commit()
    run_calls()
    assert (row(crm, key).state, carrier.accepted) == ("canceled", [])


def test_nothing_leaves_by_an_account_that_is_off(crm: Crm, account: Any, carrier: Any) -> None:
    key = send(crm)
    channel_accounts.set_active(crm.session, account, False, Stamp(None, now()))
    crm.session.commit()
    run_calls()
    assert row(crm, key).state == "queued"
    channel_accounts.set_active(crm.session, account, True, Stamp(None, now()))
    let_pass(crm, key, due_on=now() - timedelta(minutes=2))
    run_job(crm, "send messages that wait")
    run_calls()
    assert row(crm, key).state == "sent"


# --- consent and hours


def test_who_opts_out_meanwhile_is_not_sent_to(crm: Crm, account: Any, carrier: Any) -> None:
    let_pass(crm, key := send(crm), purpose="promotional")
    said = {"channel": "sms", "address": PEER, "action": "withdrawn", "how": "form"}
    consents.record(crm.session, said, Stamp(None, now()))
    crm.session.commit()
    run_calls()
    assert (row(crm, key).state, row(crm, key).code, carrier.accepted) == ("failed", "not wanted", [])
    with pytest.raises(RuleBroken):
        send(crm, purpose=None)  # an unsaid purpose may be a promotional one
    crm.session.rollback()
    assert send(crm, purpose="service")


@pytest.mark.parametrize(
    "purpose, who, hours, waits",
    [
        ("promotional", "ana", "closed", True),
        ("promotional", "ana", "open", False),
        ("service", "ana", "closed", False),
        ("service", None, "closed", True),
        ("service", None, "open", False),
    ],
)
def test_hours(crm: Crm, account: Any, carrier: Any, purpose: str, who: str | None, hours: str, waits: bool) -> None:
    local = now() + timedelta(hours=5, minutes=30)
    begin, end = local - timedelta(hours=1), local + timedelta(hours=1)
    spans = {True: f"{begin:%H:%M}-{end:%H:%M}", False: f"{end:%H:%M}-{begin:%H:%M}"}
    for name, is_span in (("promotional_hours", hours == "open"), ("quiet_hours", hours == "closed")):
        crm.session.add(BusinessSetting(key=name, value=spans[is_span]))
    crm.session.commit()
    key = send(crm, who, purpose="service")
    let_pass(crm, key, purpose=purpose)
    run_calls()
    assert (row(crm, key).state, row(crm, key).tries) == (("queued", 0) if waits else ("sent", 1))
    if waits:
        assert timedelta(minutes=58) < row(crm, key).due_on - now() < timedelta(minutes=62)  # type: ignore[operator]


def test_an_account_keeps_its_rate(crm: Crm, carrier: Any) -> None:
    add_account(crm, per_minute=3)
    keys = [send(crm, body=f"No {n}") for n in range(8)]
    run_calls()
    states = [row(crm, key).state for key in keys]
    assert (states.count("sent"), states.count("queued")) in ((3, 5), (6, 2))  # (6, 2): a minute has just begun
    assert all(row(crm, key).tries == 0 and row(crm, key).due_on > now() for key in keys[6:])  # type: ignore[operator]


# --- nobody knows


def test_an_unknown_message_is_found_at_the_provider(crm: Crm, account: Any, carrier: Any) -> None:
    carrier.drop = raiser(DeliveryUnknown("The connection broke."))
    key = send(crm)
    run_calls()
    assert (row(crm, key).state, row(crm, key).provider_id) == ("unknown", None)
    let_pass(crm, key, ask_on=now())
    run_job(crm, "ask what became of messages")
    run_calls()
    found = row(crm, key)
    assert (found.state, found.provider_id, len(carrier.accepted)) == ("sent", "C1", 1) and found.happened_on


def test_what_the_provider_does_not_know_is_sent_again(crm: Crm, account: Any, carrier: Any) -> None:
    carrier.fault = raiser(DeliveryUnknown("The connection broke."))
    key = send(crm)
    run_calls()
    carrier.fault = lambda _message: None
    let_pass(crm, key, ask_on=None)
    message_delivery.ask(key)
    assert row(crm, key).state == "unknown"  # it may still be on its way
    let_pass(crm, key, ask_on=None, began_on=now() - timedelta(minutes=2))
    message_delivery.ask(key)
    assert (row(crm, key).state, row(crm, key).tries) == ("queued", 1)
    run_calls()
    assert (row(crm, key).state, carrier.keys()) == ("sent", [f"m{key}"])


def test_a_person_decides_where_the_provider_cannot_say(crm: Crm, account: Any, carrier: Any) -> None:
    carrier.drop = raiser(DeliveryUnknown("The connection broke."))
    carrier.can_be_asked = False
    key = send(crm)
    run_calls()
    let_pass(crm, key, ask_on=None)
    message_delivery.ask(key)
    assert row(crm, key).state == "unknown" and "decide" in str(row(crm, key).reason)
    run_job(crm, "ask what became of messages")
    assert run_calls() == 0
    messages.mark_not_delivered(crm.session, row(crm, key), Stamp(crm.people["ana"].id, now()))
    assert row(crm, key).state == "failed"


def test_an_equal_text_is_not_taken_for_the_other(crm: Crm, account: Any, carrier: Any) -> None:
    send(crm)
    run_calls()
    carrier.fault = raiser(DeliveryUnknown("The connection broke."))
    second = send(crm)
    run_calls()
    let_pass(crm, second, ask_on=None)
    message_delivery.ask(second)
    assert (row(crm, second).state, row(crm, second).provider_id) == ("unknown", None)


def test_a_process_that_was_killed_leaves_the_message_unknown(crm: Crm, account: Any, carrier: Any) -> None:
    key = send(crm)
    assert delivery_engine.claim(message_delivery.MESSAGES, key, now())
    let_pass(crm, key, began_on=now() - timedelta(minutes=6))
    run_job(crm, "send messages that wait")
    assert row(crm, key).state == "unknown"
    run_job(crm, "ask what became of messages")
    while run_calls():
        pass
    assert (row(crm, key).state, carrier.keys()) == ("sent", [f"m{key}"])  # it had never left


def test_a_kill_between_the_answer_and_our_commit_sends_nothing_twice(
    crm: Crm, account: Any, carrier: Any, tmp_path: Path
) -> None:
    keys, taken = [send(crm, body=f"Text {n}") for n in range(3)], tmp_path / "taken"

    def note_and_kill(message: OutgoingMessage) -> None:
        with taken.open("a") as file:
            file.write(f"{message.key} {message.text}\n")
        os.kill(os.getpid(), signal.SIGKILL)

    for key in keys:
        child = os.fork()
        if not child:
            db.engine.dispose(close=False)
            carrier.drop = note_and_kill
            message_delivery.send(key)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    for line in taken.read_text().splitlines():  # what the carrier has, although the children are gone
        key_, _blank, text = line.partition(" ")
        carrier.take(OutgoingMessage(key_, "sms", PEER, text))
    crm.session.execute(update(Message).values(began_on=now() - timedelta(minutes=6)))
    crm.session.commit()
    run_job(crm, "send messages that wait")
    assert {row(crm, key).state for key in keys} == {"unknown"}
    run_job(crm, "ask what became of messages")
    while run_calls():
        pass
    assert {row(crm, key).state for key in keys} == {"sent"}
    assert sorted(carrier.keys()) == sorted(f"m{key}" for key in keys)


# --- what the provider reports


def report(crm: Crm, account: Any, *events: dict[str, Any], body: bytes | None = None) -> int | None:
    request = Inbound("POST", "https://crm/x", {"X-Carrier": "t0ken"}, body or json.dumps(events).encode())
    key = inbound_processing.store(crm.session, account, request, now())
    crm.session.commit()
    return key


def event(crm: Crm, key: int | None) -> InboundEvent:
    crm.session.commit()
    crm.session.expire_all()
    return crm.session.get_one(InboundEvent, key)


def state_of(provider_id: str, state: str, **more: Any) -> dict[str, Any]:
    return {"kind": "status", "provider_id": provider_id, "state": state, **more}


def said(text: str, provider_id: str = "I1", **more: Any) -> dict[str, Any]:
    return {"kind": "message", "provider_id": provider_id, "peer": PEER, "text": text, **more}


def test_states_arrive_in_any_order_and_more_than_once(crm: Crm, account: Any) -> None:
    key = send(crm)
    run_calls()
    later = state_of("C1", "read")
    report(crm, account, later)
    report(crm, account, state_of("C1", "failed", reason="x"), state_of("C1", "delivered"))
    assert report(crm, account, later) is None  # a replay
    run_calls()
    assert (row(crm, key).state, row(crm, key).reason) == ("read", None)
    assert row(crm, key).delivered_on and row(crm, key).read_on


def test_a_state_that_comes_before_our_commit_waits_for_it(crm: Crm, account: Any) -> None:
    arrived = report(crm, account, state_of("C1", "delivered"))
    run_calls()
    assert (event(crm, arrived).state, event(crm, arrived).tries) == ("new", 1)
    key = send(crm)
    run_calls()
    crm.session.execute(update(InboundEvent).values(next_try_on=now() - timedelta(minutes=2)))
    crm.session.commit()
    run_job(crm, "work off what providers reported")
    run_calls()
    assert (row(crm, key).state, event(crm, arrived).summary) == ("delivered", "1 state")


def test_a_backlog_of_reports_does_not_multiply_each_minute(
    crm: Crm, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        report(crm, account, said(f"Hello {n}", f"R{n}"))
    crm.session.execute(update(InboundEvent).values(next_try_on=now() - timedelta(minutes=2)))
    crm.session.commit()
    monkeypatch.setattr(inbound_processing, "MAX_QUEUED", 5)
    for _minute in range(3):
        run_job(crm, "work off what providers reported")
    assert run_calls() == 5 and crm.count(Message) == 4


def test_our_key_finds_a_message_whose_id_we_never_got(crm: Crm, account: Any, carrier: Any) -> None:
    carrier.drop = raiser(DeliveryUnknown("The connection broke."))
    key = send(crm)
    run_calls()
    other = add_account(crm, "Other")
    report(crm, other, state_of("C9", "read", key=f"m{key}"))  # not theirs
    report(crm, account, state_of("C1", "delivered", key=f"m{key}"))
    run_calls()
    assert (row(crm, key).state, row(crm, key).provider_id) == ("delivered", "C1")


def test_a_message_of_a_known_number_goes_to_its_record(crm: Crm, make: Any, account: Any) -> None:
    lead = make.lead("ana", mobile=PEER)
    asked = said("When do you open?")
    report(crm, account, asked | {"peer_name": " Asha  P "}, asked, said("Hm", "I2"))
    run_calls()
    first, second = crm.rows(select(Message).order_by(Message.id))
    assert (first.direction, first.state, first.lead_id, first.peer) == ("in", "delivered", lead.id, PEER)
    (talk,) = crm.rows(select(Conversation))
    assert (talk.unread, talk.peer_name, talk.lead_id) == (2, "Asha P", lead.id)
    assert talk.claimed_by_id == crm.people["ana"].id and second.conversation_id == talk.id
    (notice,) = crm.rows(select(Notification).where(Notification.kind == "message"))
    assert notice.user_id == talk.claimed_by_id and PEER not in str(notice.payload)
    assert crm.count(Activity, Activity.kind == "message", Activity.lead_id == lead.id) == 2


def test_an_unknown_number_makes_a_conversation_of_nobody(crm: Crm, account: Any) -> None:
    report(crm, account, said("Hello"), said("Hi", "I2", peer="VM-BANK"))
    run_calls()
    assert {(each.peer, each.claimed_by_id, each.lead_id) for each in crm.rows(select(Conversation))} == {
        (PEER, None, None),
        ("VM-BANK", None, None),
    }


def test_stop_is_heeded_and_start_too(crm: Crm, make: Any, account: Any) -> None:
    customer = make.customer("ana", mobile=PEER)
    for n, (text, wants_none) in enumerate((("STOP", True), ("चालू करें", False), ("બંધ કરો", True))):
        report(crm, account, said(text, f"S{n}"))
        run_calls()
        crm.session.commit()
        crm.session.expire_all()
        assert crm.session.get_one(type(customer), customer.id).no_sms == wants_none
    assert [each.words for each in crm.rows(select(Consent))] == ["STOP", "चालू करें", "બંધ કરો"]


def test_a_late_start_undoes_no_later_stop(crm: Crm, make: Any, account: Any) -> None:
    customer = make.customer("ana", mobile=PEER)
    for n, (text, hour) in enumerate((("STOP", 9), ("START", 8))):
        report(crm, account, said(text, f"S{n}") | {"happened_on": f"2026-11-20T{hour:02}:00:00"})
        run_calls()
    crm.session.commit()
    crm.session.expire_all()
    assert crm.session.get_one(type(customer), customer.id).no_sms


def test_a_reaction_belongs_to_its_message(crm: Crm, account: Any) -> None:
    key = send(crm)
    run_calls()
    report(crm, account, said("", "R1", in_reply_to="C1", reaction="👍"))
    run_calls()
    assert row(crm, key).reactions == {"peer": "👍"} and crm.count(Message) == 1


def test_what_cannot_be_read_waits_for_a_person(crm: Crm, account: Any) -> None:
    key = report(crm, account, body=b"{")
    run_calls()
    assert (event(crm, key).state, event(crm, key).error) == ("failed", "This is no list.")
    inbound_queue.try_again(crm.session, event(crm, key), Stamp(crm.people["root"].id, now()))
    crm.session.commit()
    inbound_processing.work_off(int(key or 0))
    assert event(crm, key).state == "failed" and PEER not in event(crm, key).request_sealed
    inbound_queue.dismiss(crm.session, event(crm, key), Stamp(crm.people["root"].id, now()))
    assert event(crm, key).state == "dismissed"


def test_a_state_of_somebody_elses_message_is_ignored_in_the_end(crm: Crm, account: Any) -> None:
    key = report(crm, account, state_of("ZZ", "delivered"))
    for _each in range(9):
        crm.session.execute(update(InboundEvent).values(next_try_on=now()))
        crm.session.commit()
        inbound_processing.work_off(int(key or 0))
    assert event(crm, key).state == "done" and "ignored" in str(event(crm, key).summary)


# --- WhatsApp


def template(session: Session, **more: Any) -> MessageTemplate:
    values = {"label": "Hello", "channel": "whatsapp", "body": "Dear {{1}}, {{2}}", "name": "hello"}
    made = MessageTemplate(position=1, is_active=True, approval="approved", **(values | more))
    session.add(made)
    session.commit()
    return made


def test_after_a_day_only_a_template_is_sent(crm: Crm, account: Any, carrier: Any) -> None:
    report(crm, account, said("Hi", channel="whatsapp"))
    run_calls()
    assert send(crm, channel="whatsapp")
    crm.session.execute(update(Conversation).values(last_inbound_on=now() - timedelta(hours=25)))
    crm.session.commit()
    with pytest.raises(RuleBroken, match="24 hours") as refused:
        send(crm, channel="whatsapp")
    crm.session.rollback()
    assert list(refused.value.errors) == ["template"]
    made = template(crm.session)
    key = send(crm, channel="whatsapp", body="", template=made, variables={"1": "Asha", "2": "KYC"})
    run_calls()
    given = carrier.accepted[-1]
    assert given.text == "Dear Asha, KYC" == row(crm, key).body and given.template is not None
    assert (given.template.name, given.template.variables) == ("hello", ("Asha", "KYC"))
