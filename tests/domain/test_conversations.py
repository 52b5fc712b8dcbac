"""Conversations, templates, the consent ledger and the states of messages."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.channels.console_provider import KIND as CONSOLE
from app.domain import customers
from app.domain.base import Conflict, RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.messaging import (
    channel_accounts,
    consents,
    conversations,
    dnd_uploads,
    message_sending,
    message_templates,
    messages,
)
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.messaging.dnd_uploads import DndLine
from app.domain.messaging.message_templates import MessageTemplate
from app.lib import opt_out_words
from app.lib.field_encryption import Vault
from tests.factories import DAY, HOUR, MINUTE, NOW, user

STAMP = Stamp(None, NOW)
PEER = "+919820012345"


@pytest.fixture
def account(db: Session, vault: Vault) -> Any:
    return channel_accounts.create(db, CONSOLE, AccountSettings("Console"), STAMP, vault)


@pytest.fixture
def talk(db: Session, account: Any) -> Any:
    return conversations.find_or_create(db, conversations.ConversationKey(account.id, "whatsapp", PEER), STAMP)


def hear(session: Session, talk: Any, at: Any = NOW) -> Any:
    values = {"channel": talk.channel, "peer": talk.peer, "body": "Hello", "happened_on": at}
    message = messages.receive(session, values | {"conversation_id": talk.id}, Stamp(None, at))
    conversations.note_message(session, talk, message, at)
    return message


def test_a_peer_has_one_conversation_per_account(db: Session, account: Any, talk: Any) -> None:
    assert conversations.find_or_create(db, conversations.ConversationKey(account.id, "whatsapp", PEER), STAMP) is talk
    assert conversations.find_or_create(db, conversations.ConversationKey(account.id, "sms", PEER), STAMP) is not talk


def test_the_window_opens_with_the_peers_message(db: Session, talk: Any) -> None:
    assert not conversations.is_window_open(talk, NOW)
    hear(db, talk, NOW)
    hear(db, talk, NOW - HOUR)  # an older one that came late
    assert conversations.is_window_open(talk, NOW + DAY - MINUTE)
    assert not conversations.is_window_open(talk, NOW + DAY) and talk.unread == 2


def test_a_closed_conversation_opens_with_the_next_message(db: Session, talk: Any) -> None:
    conversations.close(db, talk, STAMP)
    with pytest.raises(Conflict):
        conversations.close(db, talk, STAMP)
    message = hear(db, talk)
    assert (talk.state, talk.last_message_id) == ("open", message.id)
    conversations.mark_read(db, talk, STAMP)
    assert talk.unread == 0


def test_a_conversation_is_claimed_once_and_handed_over(db: Session, talk: Any) -> None:
    asha, ravi = user(db, "asha", "Support User"), user(db, "ravi", "Support User")
    conversations.claim(db, talk, Stamp(asha.id, NOW))
    conversations.claim(db, talk, Stamp(asha.id, NOW))
    with pytest.raises(Conflict):
        conversations.claim(db, talk, Stamp(ravi.id, NOW))
    conversations.hand_over(db, talk, ravi.id, Stamp(asha.id, NOW))
    assert talk.claimed_by_id == ravi.id
    conversations.hand_over(db, talk, None, Stamp(ravi.id, NOW))
    assert talk.claimed_by_id is None


# --- states


def queued(session: Session, account: Any, **more: Any) -> Any:
    values = {"channel": "sms", "peer": PEER, "body": "x", "account_id": account.id, "purpose": "service"}
    return messages.enqueue(session, values | more, STAMP)


@pytest.mark.parametrize(
    "states, end",
    [
        (["sending", "sent", "read", "delivered"], "read"),
        (["sending", "delivered", "sent"], "delivered"),
        (["sending", "sent", "failed", "delivered", "failed"], "delivered"),
        (["sending", "failed", "read"], "read"),
        (["sending", "unknown", "delivered"], "delivered"),
        (["delivered"], "queued"),
    ],
)
def test_states_only_move_forward(db: Session, account: Any, states: list[str], end: str) -> None:
    message = queued(db, account)
    for state in states:
        messages.advance(db, message, state, NOW)
    assert message.state == end


def test_a_message_that_waits_for_its_next_try_may_have_arrived(db: Session, account: Any) -> None:
    message = queued(db, account)
    message.tries = 1
    assert messages.advance(db, message, "delivered", NOW + MINUTE)
    assert (message.state, message.due_on, message.delivered_on) == ("delivered", None, NOW + MINUTE)


def test_canceling_and_sending_again(db: Session, account: Any) -> None:
    message = queued(db, account)
    messages.cancel(db, message, STAMP)
    assert (message.state, message.due_on) == ("canceled", None)
    with pytest.raises(Conflict):
        messages.cancel(db, message, STAMP)
    with pytest.raises(Conflict):
        messages.send_again(db, message, STAMP)
    for state in ("failed", "unknown"):
        message.state, message.tries, message.reason = state, 8, "No"
        db.flush()
        messages.send_again(db, message, STAMP)
        assert (message.state, message.tries, message.reason, message.due_on) == ("queued", 0, None, NOW)
    message.state = "unknown"
    db.flush()
    messages.mark_not_delivered(db, message, STAMP)
    assert message.state == "failed"


def test_a_reaction_is_replaced_and_taken_back(db: Session, account: Any) -> None:
    message = queued(db, account)
    for emoji, left in (("👍", {"peer": "👍"}), ("🙏", {"peer": "🙏"}), ("", None)):
        messages.react(db, message, messages.Reaction("peer", emoji), NOW)
        assert message.reactions == left


# --- consent

WISHES = {
    "withdrawn": (
        *("STOP", " stop. ", "Stop!", "Unsubscribe", "बंद करो", "रोकें", "બંધ કરો", "थांबवा", "बंद करा"),
        *("বন্ধ করুন", "Bondho korun", "நிறுத்து", "ఆపండి", "ನಿಲ್ಲಿಸಿ"),
    ),
    "given": ("START", "unstop", "शुरू करें", "ચાલુ કરો", "सुरू करा", "চালু করুন", "தொடங்கு"),
    None: ("Don't stop believing", "cancel", "yes", "", None, "बंद खाता कब खुलेगा", "stop " * 20),
}


@pytest.mark.parametrize("wish, text", [(wish, text) for wish, texts in WISHES.items() for text in texts])
def test_stop_and_start_in_the_languages_of_india(wish: str | None, text: str | None) -> None:
    assert opt_out_words.consent_change(text) == wish


def promotional(channel: str = "sms") -> Any:
    return messages.Message(channel=channel, peer=PEER, purpose="promotional")


def test_the_ledger_decides_by_its_last_entry(db: Session) -> None:
    asha = customers.create(db, {"first_name": "Asha", "mobile": PEER}, ChangeContext(None, NOW))
    said = {"channel": "sms", "address": PEER, "how": "message"}
    for action, wants_none in (("withdrawn", True), ("given", False), ("withdrawn", True)):
        consents.record(db, said | {"action": action}, STAMP)
        assert (consents.refusal(db, promotional(), NOW) is not None) == wants_none == asha.no_sms
    assert consents.refusal(db, promotional("whatsapp"), NOW) is None
    assert consents.asked_again_on(db, "sms", PEER, 90) == NOW + 90 * DAY
    with pytest.raises(RuleBroken):
        consents.record(db, said | {"action": "maybe"}, STAMP)


@pytest.mark.parametrize("first, last", [("given", "withdrawn"), ("withdrawn", "given")])
def test_what_was_said_last_counts_in_whatever_order_it_is_learnt(db: Session, first: str, last: str) -> None:
    asha = customers.create(db, {"first_name": "Asha", "mobile": PEER}, ChangeContext(None, NOW))
    said = {"channel": "sms", "address": PEER, "how": "message"}
    consents.record(db, said | {"action": last, "happened_on": NOW - DAY}, STAMP)
    consents.record(db, said | {"action": first, "happened_on": NOW - 2 * DAY}, STAMP)
    assert (consents.refusal(db, promotional(), NOW) is not None) == (last == "withdrawn") == asha.no_sms
    assert (PEER in consents.refusals(db, "sms", {PEER: None}, NOW)) == (last == "withdrawn")
    assert (consents.asked_again_on(db, "sms", PEER, 90) is not None) == (last == "withdrawn")


def test_a_blocked_number_needs_consent_that_holds(db: Session) -> None:
    dnd_uploads.store(db, [DndLine(PEER, "none", NOW)], "scrub file", NOW)
    dnd_uploads.store(db, [DndLine(PEER, "blocked", NOW)], "provider", NOW)
    assert "do-not-disturb" in str(consents.refusal(db, promotional(), NOW))
    given = {"channel": "sms", "address": PEER, "how": "form", "action": "given", "ends_on": NOW + DAY}
    consents.record(db, given, STAMP)
    assert consents.refusal(db, promotional(), NOW) is None
    assert consents.refusal(db, promotional(), NOW + DAY) is not None
    assert consents.refusal(db, promotional(), NOW + 30 * DAY) is None  # the list is too old


# --- templates


def template(body: str, **more: Any) -> Any:
    values = {"channel": "sms", "approval": "local", "is_active": True, "account_id": None}
    return MessageTemplate(body=body, **(values | more))


def test_a_template_takes_exactly_its_variables() -> None:
    text = template("Dear {{ name }}, {{1}} of {{name}}.")
    assert message_templates.variables(text) == ("name", "1")
    assert message_templates.render(text, {"name": " Asha {{1}}", "1": "KYC"}) == "Dear Asha {{1}}, KYC of Asha {{1}}."
    for values in ({"name": "Asha"}, {"name": "Asha", "1": " "}, {"name": "A", "1": "B", "2": "C"}):
        with pytest.raises(RuleBroken):
            message_templates.render(text, values)


@pytest.mark.parametrize(
    "more", [{"channel": "email"}, {"account_id": 2}, {"approval": "pending"}, {"is_active": False}]
)
def test_a_template_that_is_not_approved_is_refused(more: dict[str, Any]) -> None:
    message_templates.refuse_unusable(template("x", account_id=1, approval="approved"), "sms", 1)
    with pytest.raises(RuleBroken):
        message_templates.refuse_unusable(template("x", **more), "sms", 1)


@pytest.mark.parametrize(
    ("text", "is_sent"), [("x" * 1530, True), ("x" * 1531, False), ("₹" * 670, True), ("₹" * 671, False)]
)
def test_a_text_becomes_at_most_ten_sms(db: Session, account: Any, text: str, is_sent: bool) -> None:
    wish = message_sending.OutgoingRequest("sms", "9820012345", text, account_id=account.id, purpose="service")
    if is_sent:
        assert message_sending.send(db, wish, Stamp(None, NOW)).body == text
    else:
        with pytest.raises(RuleBroken, match="at most"):
            message_sending.send(db, wish, Stamp(None, NOW))
