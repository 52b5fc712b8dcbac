"""The inbox: visibility of conversations, claiming and handing over, replying once, and masks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app.channels import failure_reasons
from app.channels.provider_registry import KINDS
from app.domain.base import Stamp
from app.domain.messaging import channel_accounts, conversations, messages
from app.domain.messaging.channel_accounts import AccountSettings
from app.models import AuditEntry, Conversation, Customer, Lead, Message, MessageTemplate, Ticket, TicketSubject
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.factories import NOW


@pytest.fixture
def account(crm: Crm) -> Any:
    """An account of the console provider."""
    row = channel_accounts.create(
        crm.session, KINDS["console"], AccountSettings("Front desk"), Stamp(None, NOW), crm.vault
    )
    crm.session.commit()
    return row


def heard(crm: Crm, account: Any, **values: Any) -> Any:
    """A conversation in which somebody wrote `text` just now. `values`: peer, channel, records, claimed (a name)."""
    session, now = crm.session, world_now()
    channel, peer = values.get("channel", "whatsapp"), values.get("peer", f"+91{crm.make.mobile()}")
    key = conversations.ConversationKey(account.id, channel, peer)
    row = conversations.find_or_create(session, key, Stamp(None, now))
    claimed = values.get("claimed")
    conversations.attach(row, values.get("records", {}), crm.id_of(claimed) if claimed else None, Stamp(None, now))
    row.peer_name = values.get("peer_name")
    columns = {"channel": channel, "peer": peer, "body": values.get("text", "Namaste"), "account_id": account.id}
    columns |= {"conversation_id": row.id, "happened_on": values.get("at", now)}
    message = messages.receive(session, columns | values.get("records", {}), Stamp(None, now))
    conversations.note_message(session, row, message, now)
    session.commit()
    return row


def world_now() -> datetime:
    return datetime.now(UTC)


def answer(client: Any, row: Any, text: str = "On its way", **more: Any) -> Any:
    return client.form(f"/inbox/{row.id}/send", {"body": text, "key": "k1", **more})


def out(crm: Crm) -> list[Any]:
    return crm.rows(select(Message).where(Message.direction == "out").order_by(Message.id))


# --- who sees what


def test_what_is_nobodys_is_seen_by_all_and_a_claimed_one_by_its_team(crm: Crm, account: Any) -> None:
    free, hers = heard(crm, account), heard(crm, account, claimed="ana")
    for name, sees_hers in (("ana", True), ("mia", True), ("ben", False), ("root", True)):
        client = crm.client(name)
        assert client.screen(f"/inbox/{free.id}").status_code == 200, name
        assert client.screen(f"/inbox/{hers.id}").status_code == (200 if sees_hers else 404), name
    assert f"/inbox/{hers.id}" not in crm.client("ben").screen("/inbox/?folder=team").text
    assert f"/inbox/{hers.id}" in crm.client("mia").screen("/inbox/?folder=team").text


@each_case("path", ["?folder=x", "?channel=fax", "?before=yesterday", "?before=2026-01-01T00:00:00,1", "9999", "x"])
def test_a_wrong_address_is_told_in_words(crm: Crm, account: Any, path: str) -> None:
    page = crm.client("ana").screen(f"/inbox/{path}")
    assert page.status_code in (400, 404)
    assert "Traceback" not in page.text


@each_case("before", ["abc", "-1", "99999999999999999999", "%00"])
def test_a_wrong_place_in_a_conversation_is_told_in_words(crm: Crm, account: Any, before: str) -> None:
    row = heard(crm, account)
    page = crm.client("ana").screen(f"/inbox/{row.id}?before={before}")
    assert page.status_code == 400 and "not complete" in page.text


def test_masked_numbers_are_neither_shown_nor_in_the_page(crm: Crm, account: Any) -> None:
    lead = crm.make.lead("ana", mobile="9820054321")
    row = heard(crm, account, peer="+919820054321", claimed="ana", records={"lead_id": lead.id})
    bare = heard(crm, account, peer="+919820054322", claimed="ana", peer_name="Ravi 98200 54322")
    crm.make.mask("Sales User", mobile="last4")
    ana = crm.client("ana")
    pages = [ana.screen(f"/inbox/{each.id}").text for each in (row, bare)] + [ana.screen("/inbox/").text]
    pages += [ana.screen(f"/leads/show/{lead.id}").text, ana.screen(f"/inbox/to/lead/{lead.id}?channel=sms").text]
    for page in pages:
        assert not re.search(r"98200?\s?0?5432", page.replace(" ", "")), "a masked number is on the page"


def test_a_mail_whose_sender_was_not_verified_says_so(crm: Crm, account: Any) -> None:
    row = heard(crm, account, channel="email", peer="asha@example.in", text="Change my bank account")
    ana = crm.client("ana")
    assert "not verified" not in ana.screen(f"/inbox/{row.id}").text
    crm.session.scalars(select(Message)).one().native = {"unverified": True}
    crm.session.commit()
    assert "not verified" in ana.screen(f"/inbox/{row.id}").text


def test_a_guessed_number_is_not_confirmed_where_numbers_are_masked(crm: Crm, account: Any) -> None:
    lead, guess = crm.make.lead("ana", mobile="9820054321"), crm.make.lead("ana", mobile="9820054322")
    row = heard(crm, account, peer="+919820054321", claimed="ana", records={"lead_id": lead.id})
    other = heard(crm, account, peer="+919820054322", claimed="ana")
    paths = [f"/inbox/to/lead/{each.id}?channel=whatsapp" for each in (lead, guess)]
    ana = crm.client("ana")
    assert [ana.screen(path).location for path in paths] == [f"/inbox/{row.id}", f"/inbox/{other.id}"]
    crm.make.mask("Sales User", mobile="last4")
    ana = crm.client("ana")
    assert [ana.screen(path).location for path in paths] == [f"/inbox/{row.id}", None]


# --- answering


def test_an_answer_waits_to_be_sent_and_takes_the_conversation(crm: Crm, account: Any) -> None:
    row, ana = heard(crm, account), crm.client("ana")
    assert answer(ana, row).headers["Location"] == f"/inbox/{row.id}?sent=1"
    sent = out(crm)
    assert [(each.body, each.state, each.peer, each.account_id) for each in sent] == [
        ("On its way", "queued", row.peer, account.id)
    ]
    crm.session.expire_all()
    assert crm.session.get_one(Conversation, row.id).claimed_by_id == crm.people["ana"].id
    assert "On its way" in ana.screen(f"/inbox/{row.id}").text


def test_the_same_form_sent_twice_sends_one_message(crm: Crm, account: Any) -> None:
    row, ana = heard(crm, account, claimed="ana"), crm.client("ana")
    for _ in range(2):
        assert answer(ana, row).status_code == 302
    assert len(out(crm)) == 1
    answer(ana, row, key="k2")
    assert len(out(crm)) == 2


@each_case(
    "form, sentence",
    [
        ({"body": "  "}, "Please enter a text."),
        ({"body": "x" * 4097}, "4096"),
        ({"template": "777"}, "Please choose one of the templates."),
        ({"template": "x"}, "Please choose one of the templates."),
    ],
)
def test_a_refused_answer_keeps_what_was_typed(crm: Crm, account: Any, form: dict[str, str], sentence: str) -> None:
    row, ana = heard(crm, account, claimed="ana"), crm.client("ana")
    page = ana.form(f"/inbox/{row.id}/send", {"key": "k", **form})
    assert page.status_code == 422
    assert sentence in page.text
    assert form.get("body", "").strip()[:50] in page.text
    assert out(crm) == []


def test_after_a_day_only_a_template_is_sent(crm: Crm, account: Any) -> None:
    row, ana = heard(crm, account, claimed="ana", at=world_now() - timedelta(hours=25)), crm.client("ana")
    template = MessageTemplate(channel="whatsapp", label="Hello", body="Dear {{name}}, we called.", approval="approved")
    template.name, template.language, template.account_id = "hello", "en", account.id
    crm.session.add(template)
    crm.session.commit()
    assert "WhatsApp only allows a template now" in ana.screen(f"/inbox/{row.id}").text
    assert "24 hours" in answer(ana, row).text
    missing = ana.form(f"/inbox/{row.id}/send", {"template": template.id, "var.name": " ", "key": "k"})
    assert missing.status_code == 422
    assert "Please fill in “name”." in missing.text
    assert (
        ana.form(f"/inbox/{row.id}/send", {"template": template.id, "var.name": "Ravi", "key": "k"}).status_code == 302
    )
    assert [each.body for each in out(crm)] == ["Dear Ravi, we called."]


def test_the_form_says_that_a_customer_wants_no_messages_on_the_channel(crm: Crm, account: Any) -> None:
    customer = crm.make.customer("ana", mobile="9820054321", no_sms=True)
    lead = crm.make.lead("ana", mobile="9820054321", customer_id=customer.id)
    row = heard(crm, account, channel="sms", peer="+919820054399", claimed="ana", records={"lead_id": lead.id})
    ana, warning = crm.client("ana"), "wants no messages on this channel"
    for path in (f"/inbox/to/customer/{customer.id}?channel=sms", f"/inbox/{row.id}"):
        assert warning in ana.screen(path).text, path
    assert warning not in ana.screen(f"/inbox/to/customer/{customer.id}?channel=whatsapp").text


def test_a_first_message_goes_to_the_number_of_the_record(crm: Crm, account: Any) -> None:
    lead, ana = crm.make.lead("ana", mobile="9820054321"), crm.client("ana")
    assert ana.screen(f"/inbox/to/lead/{lead.id}?channel=sms").status_code == 200
    form = {"kind": "lead", "record": lead.id, "channel": "sms", "body": "Hello", "key": "k"}
    assert ana.form("/inbox/start", form).status_code == 302
    (sent,) = out(crm)
    assert (sent.peer, sent.lead_id, sent.channel) == ("+919820054321", lead.id, "sms")
    assert ana.screen(f"/inbox/to/lead/{lead.id}?channel=sms").headers["Location"] == f"/inbox/{sent.conversation_id}"
    assert "Hello" in ana.screen(f"/leads/show/{lead.id}").text
    ben = crm.client("ben")
    assert ben.screen(f"/inbox/to/lead/{lead.id}?channel=sms").status_code == 404
    assert ben.form("/inbox/start", form).status_code == 404


def test_a_caller_without_a_record_is_written_to(crm: Crm, account: Any) -> None:
    call = crm.make.call("ana", to_number="98200 77777")
    ana = crm.client("ana")
    assert f"/inbox/to/call/{call.id}?channel=whatsapp" in ana.screen(f"/calls/show/{call.id}").text
    assert "Nothing has been said yet" in ana.screen(f"/inbox/to/call/{call.id}?channel=whatsapp").text
    form = {"kind": "call", "record": call.id, "channel": "whatsapp", "body": "You called us?", "key": "k9"}
    assert ana.form("/inbox/start", form).status_code == 302
    (message,) = out(crm)
    assert (message.peer, message.lead_id) == ("+919820077777", None)
    assert crm.client("ben").screen(f"/inbox/to/call/{call.id}?channel=whatsapp").status_code == 404
    assert ana.screen(f"/inbox/to/call/{call.id}?channel=email").status_code in (302, 404, 422)


def test_without_an_account_or_number_the_page_says_what_to_do(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana", email=None), crm.client("ana")
    said = ana.form("/inbox/start", {"kind": "lead", "record": lead.id, "channel": "sms", "body": "Hi", "key": "k"})
    assert said.status_code == 422
    assert "An admin has to add an account" in said.text
    nobody = crm.make.lead("ana", email="no@number.example", mobile=None)
    assert "no mobile number to write to" in ana.screen(f"/inbox/to/lead/{nobody.id}?channel=sms").text


# --- whose it is


def test_taking_handing_over_and_closing(crm: Crm, account: Any) -> None:
    row = heard(crm, account)
    ana, ben = crm.client("ana"), crm.client("ben")
    assert ana.form(f"/inbox/{row.id}/claim").status_code == 302
    assert ben.form(f"/inbox/{row.id}/claim").status_code == 404
    ana.form(f"/inbox/{row.id}/hand", {"user": crm.people["ben"].id})
    assert ana.screen(f"/inbox/{row.id}").status_code == 404
    assert ben.form(f"/inbox/{row.id}/hand", {"user": 999}).status_code == 302  # flashed
    assert ben.form(f"/inbox/{row.id}/close").status_code == 302
    assert f"/inbox/{row.id}?" in ben.screen("/inbox/?folder=closed").text
    assert f"/inbox/{row.id}?" not in ben.screen("/inbox/?folder=mine").text
    assert ben.form(f"/inbox/{row.id}/release").status_code == 302
    assert len(crm.rows(select(AuditEntry).where(AuditEntry.event == "conversation change"))) == 3


def test_it_is_read_by_who_answers_it_and_by_nobody_else(crm: Crm, account: Any) -> None:
    row = heard(crm, account, claimed="ana")
    crm.client("mia").screen(f"/inbox/{row.id}")
    assert crm.rows(select(Conversation.unread)) == [1]
    crm.client("ana").screen(f"/inbox/{row.id}")
    assert crm.rows(select(Conversation.unread)) == [0]


# --- a record from it


@pytest.mark.parametrize("kind", ["lead", "ticket"])
def test_a_lead_or_ticket_is_made_in_one_step(crm: Crm, account: Any, kind: str) -> None:
    client = crm.client("root")
    row = heard(crm, account, claimed="root", peer="+919820054329", peer_name="Meera Rana")
    subject = crm.session.scalars(select(TicketSubject.id)).first()
    assert "Meera" in client.screen(f"/inbox/{row.id}?make={kind}").text
    refused = client.form(f"/inbox/{row.id}/make", {"make": kind, "first_name": "x" * 81, "subject": subject})
    assert refused.status_code == 422
    assert "x" * 81 in refused.text
    made = client.form(f"/inbox/{row.id}/make", {"make": kind, "first_name": "Meera", "subject": subject})
    assert made.status_code == 302, made.text

    model, column = (Lead, Conversation.lead_id) if kind == "lead" else (Ticket, Conversation.ticket_id)
    assert crm.rows(select(column)) == crm.rows(select(model.id)) == [1]
    numbers = [crm.rows(select(each)) for each in (Lead.mobile_e164, Customer.mobile_e164)]
    assert ["+919820054329"] in numbers  # a ticket's number is its customer's


def test_why_a_message_failed_is_said_in_the_language_of_the_page(crm: Crm, account: Any) -> None:
    lead = crm.make.lead("ana")
    row = heard(crm, account, claimed="ana", records={"lead_id": lead.id})
    client = crm.client("ana")
    answer(client, row)
    failed = {"state": "failed", "reason": failure_reasons.SENTENCES["unreachable"]}
    crm.session.execute(update(Message).where(Message.direction == "out").values(failed))
    crm.session.commit()
    client.screen("/lang/hi")
    for path in (f"/inbox/{row.id}", f"/leads/{lead.number}"):
        page = client.screen(path).text
        assert "फ़ोन तक नहीं पहुँचा जा सका" in page and "could not be reached" not in page, path


def lost(crm: Crm, account: Any) -> tuple[Any, Any]:
    """A lead, and Ana's message to it of which nobody knows whether it arrived."""
    lead = crm.make.lead("ana")
    answer(crm.client("ana"), heard(crm, account, claimed="ana", records={"lead_id": lead.id}))
    values = {"state": "unknown", "began_on": NOW + timedelta(minutes=1), "reason": "No answer"}
    crm.session.execute(update(Message).where(Message.direction == "out").values(values))
    crm.session.commit()
    return lead, out(crm)[0]


@pytest.mark.parametrize("pages", ["/inbox/message", "/undelivered", "/api/v1/message"])
@pytest.mark.parametrize("decision, state", [("arrived", "sent"), ("give_up", "failed")])
def test_a_person_says_what_became_of_a_message(crm: Crm, account: Any, pages: str, decision: str, state: str) -> None:
    lead, message = lost(crm, account)
    client, path = crm.client("ana"), f"{pages}/{message.id}/{decision}"
    if pages == "/api/v1/message":
        assert client.rest("POST", path.removeprefix("/api/v1/")).json["result"]["state"] == state
        assert client.rest("POST", path.removeprefix("/api/v1/")).status_code == 409
    else:
        assert client.form(path).status_code == 302
    row, stored = out(crm)[0], crm.stored(lead)
    assert (row.state, row.changed_by_id, row.ask_on) == (state, crm.id_of("ana"), None)
    assert row.happened_on == (row.began_on if state == "sent" else None)
    assert (stored["replied_on"] is not None) == (state == "sent")


def test_the_timeline_and_the_conversation_offer_to_say_what_became_of_it(crm: Crm, account: Any) -> None:
    lead, message = lost(crm, account)
    for path in (f"/leads/{lead.number}", f"/inbox/{message.conversation_id}"):
        page = crm.client("ana").screen(path).text
        for what, label in (("arrived", "It arrived"), ("give_up", "It did not arrive"), ("again", "Send again")):
            assert f"/inbox/message/{message.id}/{what}" in page and label in page, (path, what)


@pytest.mark.parametrize("decision", ["arrived", "give_up"])
def test_only_who_may_change_a_message_says_what_became_of_it(crm: Crm, account: Any, decision: str) -> None:
    _lead, message = lost(crm, account)
    for pages in ("/inbox/message", "/undelivered"):
        assert crm.client("ben").form(f"{pages}/{message.id}/{decision}").status_code in (403, 404)
    assert crm.client("ben").rest("POST", f"message/{message.id}/{decision}").status_code == 404
    assert out(crm)[0].state == "unknown"
