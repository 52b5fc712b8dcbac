"""Messages and conversations over REST, webhooks of providers, and the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from app.domain.messaging import channel_accounts
from app.models import AuditEntry, ChannelAccount, Conversation, InboundEvent, Message, SupportPage
from app.ops.queues import queue
from tests.app_fixtures import Crm
from tests.cases import each_case

PEER = "+919820012345"
KEY = "k3y-of-the-console"


@pytest.fixture
def account(crm: Crm) -> Any:
    runner = crm.app.test_cli_runner()
    done = runner.invoke(args=["channel", "add", "console", "Desk", "--set", f"key={KEY}"])
    assert done.exit_code == 0, done.output
    return crm.rows(select(ChannelAccount))[0]


def run_calls() -> int:
    return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def post(crm: Crm, who: str, path: str, body: Any = None, **more: Any) -> Any:
    return crm.client(who).rest("POST", path, body or {}, **more)


def hook(crm: Crm, account: ChannelAccount, *events: dict[str, Any], channel: str = "sms", key: str = KEY) -> Any:
    token = channel_accounts.token_of(account, crm.vault)
    body = json.dumps({"events": events})
    headers = {"X-Console-Key": key, "Content-Type": "application/json"}
    return crm.app.test_client().post(f"/hooks/{channel}/{token}", data=body, headers=headers)


def said(text: str, provider_id: str = "I1", channel: str = "sms", peer: str = PEER) -> dict[str, Any]:
    return {"type": "message", "provider_id": provider_id, "channel": channel, "peer": peer, "text": text}


def fresh(crm: Crm, model: Any) -> list[Any]:
    crm.session.rollback()
    crm.session.expire_all()
    return list(crm.session.scalars(select(model).order_by(model.id)))


# --- messages


def test_a_message_is_sent_and_shows_its_state(crm: Crm, make: Any, account: Any) -> None:
    lead = make.lead("ana")
    sent = post(crm, "ana", "message/", {"channel": "sms", "peer": PEER, "body": "Namaste", "lead": lead.id})
    assert (sent.status_code, sent.json["result"]["state"]) == (201, "queued")
    run_calls()
    shown = crm.client("ana").rest("GET", f"message/{sent.json['id']}").json["result"]
    assert (shown["state"], shown["direction"], shown["lead"]["id"]) == ("sent", "out", lead.id)
    assert crm.rows(select(AuditEntry).where(AuditEntry.event == "message"))[0].user_id == crm.people["ana"].id
    hook(crm, account, {"type": "status", "provider_id": f"console-m{sent.json['id']}", "state": "read"})
    run_calls()
    assert crm.client("ana").rest("GET", f"message/{sent.json['id']}").json["result"]["state"] == "read"


@pytest.mark.parametrize(
    "more",
    [
        {"noted": True},
        {"happened_on": "2026-01-05T10:00:00"},
        {"direction": "in"},
        {"channel": "email", "peer": "a@x.in", "noted": 1},
    ],
)
def test_a_message_that_is_only_noted(crm: Crm, more: dict[str, Any]) -> None:
    made = post(crm, "ana", "message/", {"channel": "sms", "peer": PEER, "body": "Hi"} | more)
    assert (made.status_code, made.json["result"]["state"]) == (201, "noted")


def test_a_noted_message_without_a_number_has_that_of_its_record(crm: Crm, make: Any) -> None:
    lead = make.lead("ana", mobile=PEER, email="a@x.in")
    make.mask("Sales User", mobile="last4")
    for channel, peer in (("whatsapp", PEER), ("email", "a@x.in")):
        body = {"channel": channel, "lead": lead.id, "body": "Hi", "noted": True}
        made = post(crm, "ana", "message/", body)
        assert made.status_code == 201 and PEER not in made.text, made.text
        assert fresh(crm, Message)[-1].peer == peer
    page = crm.client("ana").form("/messages/add", {"channel": "sms", "lead": lead.id, "body": "By the page"})
    assert page.status_code == 302 and fresh(crm, Message)[-1].peer == PEER


def test_a_reason_is_shown_in_the_language_of_the_page(crm: Crm, account: Any) -> None:
    made = post(crm, "ana", "message/", {"channel": "sms", "peer": PEER, "body": "Hi", "purpose": "service"})
    session = crm.new_session()
    reason = "Unknown whether it arrived; a user decided not to send it again."
    session.get_one(Message, made.json["id"]).reason = reason
    session.commit()
    ana = crm.client("ana")
    assert reason in ana.screen(f"/messages/show/{made.json['id']}").text
    ana.screen("/lang/hi")
    assert reason not in ana.screen(f"/messages/show/{made.json['id']}").text
    assert ana.rest("GET", f"message/{made.json['id']}").json["result"]["reason"] == reason


@each_case(
    "body, field",
    [
        ({"channel": "fax"}, "channel"),
        ({"peer": "12"}, "peer"),
        ({"peer": None}, "peer"),
        ({"body": ""}, "body"),
        ({"account": "Nowhere"}, None),
        ({"template": "Nothing"}, "template"),
        ({"variables": [1]}, "variables"),
        ({"reply_to": 99}, "reply_to"),
        ({"account": "Desk", "noted": True}, "account"),
    ],
)
def test_what_cannot_be_sent_is_refused(crm: Crm, account: Any, body: dict[str, Any], field: str | None) -> None:
    answer = post(crm, "ana", "message/", {"channel": "sms", "peer": PEER, "body": "Hi"} | body)
    assert answer.status_code in (404, 422) and answer.json["message"]
    assert field is None or list(answer.json["errors"]) == [field]


def test_without_an_account_nothing_is_sent_and_the_sentence_says_so(crm: Crm) -> None:
    answer = post(crm, "ana", "message/", {"channel": "sms", "peer": PEER, "body": "Hi"})
    assert answer.status_code == 422 and "Channels" in answer.json["message"]


def test_who_sees_a_number_masked_sends_to_the_record(crm: Crm, make: Any, account: Any) -> None:
    lead = make.lead("ana", mobile=PEER)
    make.mask("Sales User", mobile="last4")
    sent = post(crm, "ana", "message/", {"channel": "sms", "body": "Namaste", "lead": lead.id})
    assert sent.status_code == 201 and PEER not in sent.text
    (talk,) = fresh(crm, Conversation)
    assert talk.peer == PEER
    for guess in ({"peer": PEER}, {"peer": "+919820099999"}, {"channel": "email", "cc": ["a@x.in"], "lead": lead.id}):
        said = {"channel": "sms", "body": "Hi"} | guess
        answer = post(crm, "ana", "message/", said)
        # An email address isn't masked here
        assert answer.status_code == 422 and ("masked" in answer.text) == ("peer" in guess), answer.text
    client = crm.client("ana")
    for path in (f"conversation/{talk.id}", "conversation/", f"conversation/{talk.id}/messages"):
        assert PEER[3:] not in client.rest("GET", path).text
    found = client.rest("GET", "conversation/", q={"filters": [{"col": "peer", "opr": "eq", "value": PEER}]})
    assert found.status_code == 400


def test_a_message_is_canceled_and_a_failed_one_sent_again(crm: Crm, account: Any) -> None:
    keys = [
        post(crm, "ana", "message/", {"channel": "sms", "peer": peer, "body": "Hi"}).json["id"]
        for peer in (PEER, "+919820010000")
    ]
    assert post(crm, "ben", f"message/{keys[0]}/cancel").status_code == 404
    assert post(crm, "ana", f"message/{keys[0]}/cancel").json["result"]["state"] == "canceled"
    assert post(crm, "ana", f"message/{keys[0]}/cancel").status_code == 409
    run_calls()
    failed = crm.client("ana").rest("GET", f"message/{keys[1]}").json["result"]
    assert (failed["state"], failed["reason"], failed["code"]) == ("failed", "The number doesn't exist.", "21211")
    assert post(crm, "ana", f"message/{keys[1]}/send_again").json["result"]["state"] == "queued"
    assert post(crm, "ana", f"message/{keys[1]}/give_up").status_code == 409


# --- conversations


def test_a_conversation_of_nobody_is_claimed_answered_and_closed(crm: Crm, account: Any) -> None:
    hook(crm, account, said("When do you open?"))
    run_calls()
    (talk,) = fresh(crm, Conversation)
    (listed,) = crm.client("cleo").rest("GET", "conversation/").json["result"]
    assert (listed["id"], listed["unread"], listed["state"]) == (talk.id, 1, "open")
    claimed = post(crm, "cleo", f"conversation/{talk.id}/claim").json["result"]
    assert claimed["claimed_by"]["id"] == crm.id_of("cleo")
    assert crm.client("ana").rest("GET", f"conversation/{talk.id}").status_code == 404
    assert post(crm, "cleo", f"conversation/{talk.id}/read").json["result"]["unread"] == 0
    sent = post(crm, "cleo", f"conversation/{talk.id}/send", {"body": "At nine."})
    assert (sent.status_code, sent.json["result"]["purpose"]) == (201, "service")
    thread = crm.client("cleo").rest("GET", f"conversation/{talk.id}/messages").json["result"]
    assert [(each["direction"], each["body"]) for each in thread] == [("in", "When do you open?"), ("out", "At nine.")]
    assert post(crm, "cleo", f"conversation/{talk.id}/close").json["result"]["state"] == "closed"
    assert post(crm, "cleo", f"conversation/{talk.id}/close").status_code == 409
    handed = post(crm, "cleo", f"conversation/{talk.id}/hand_over", {"user": "sam"})
    assert handed.status_code == 200
    assert post(crm, "sam", f"conversation/{talk.id}/hand_over", {"user": "nobody at all"}).status_code == 422


def test_a_lead_and_a_ticket_are_made_from_a_conversation(crm: Crm, account: Any) -> None:
    hook(crm, account, said("Hello") | {"peer_name": "Asha Patel"})
    run_calls()
    (talk,) = fresh(crm, Conversation)
    made = post(crm, "ana", f"conversation/{talk.id}/lead")
    assert made.status_code == 201, made.text
    lead = crm.client("ana").rest("GET", f"lead/{made.json['id']}").json["result"]
    assert (lead["first_name"], lead["mobile"]) == ("Asha", PEER)
    (talk,) = fresh(crm, Conversation)
    assert (talk.lead_id, talk.claimed_by_id) == (made.json["id"], crm.id_of("ana"))
    assert post(crm, "cleo", f"conversation/{talk.id}/link", {"lead": 1}).status_code == 404
    assert post(crm, "ana", f"conversation/{talk.id}/link", {"lead": 999}).status_code == 422


# --- hooks


def test_the_hook_keeps_what_is_signed_and_says_nothing_else(crm: Crm, account: Any) -> None:
    client = crm.app.test_client()
    token = channel_accounts.token_of(account, crm.vault)
    for path, status in (
        (f"sms/{token}x", 404),
        (f"fax/{token}", 404),
        ("sms/" + "x" * 300, 404),
        (f"sms/{token}", 403),
    ):
        answer = client.post(f"/hooks/{path}", data="{}")
        assert (answer.status_code, answer.data) == (status, b"")
    assert hook(crm, account, said("x"), key="wrong").status_code == 403
    assert fresh(crm, InboundEvent) == []
    assert [hook(crm, account, said("x")).status_code for _each in range(2)] == [204, 204]
    (event,) = fresh(crm, InboundEvent)
    assert event.state == "new" and PEER not in event.request_sealed
    run_calls()
    assert len(fresh(crm, Message)) == 1 and fresh(crm, InboundEvent)[0].state == "done"


def test_a_hook_takes_no_endless_body(crm: Crm, account: Any) -> None:
    token = channel_accounts.token_of(account, crm.vault)
    answer = crm.app.test_client().post(f"/hooks/sms/{token}", data=b"x" * (3 * 1024 * 1024 + 1))
    assert answer.status_code == 413


# --- the command line


def test_accounts_from_the_command_line(crm: Crm, account: Any) -> None:
    runner = crm.app.test_cli_runner()
    assert "Desk\tconsole\twhatsapp,sms,email,voice\ton" in runner.invoke(args=["channel", "list"]).output
    assert "reaches anybody" in runner.invoke(args=["channel", "test", "Desk"]).output
    for args, words in (
        (["test", "Nowhere"], "no channel account"),
        (["add", "console", "Desk"], "has this name"),
        (["add", "console", "B", "--set", "sid=1"], "no setting"),
        (["add", "console", "B", "--set", "s3cret"], "key=value"),
    ):
        done = runner.invoke(args=["channel", *args])
        assert done.exit_code == 1 and words in done.output and KEY not in done.output


# --- pages


def test_a_mail_account_asks_for_nothing_that_it_lacks(crm: Crm) -> None:
    root = crm.client("root")
    form = root.screen("/settings/channels/add/imap").text
    assert "no emails are fetched" in form and "Messages per second" not in form and "Public" not in form
    settings = {"name": "Out", "is_active": "1", "set.host": "mail.example.in", "set.from": "Desk <desk@example.in>"}
    made = root.form("/settings/channels/add/smtp", settings | {"channel.email": "1"}, follow_redirects=True)
    assert "Account added. Check the connection, then send a test." in made.text and "/hooks/" not in made.text
    switch = root.screen("/settings/channels/add/console").text.partition('name="set.record_outgoing"')
    assert switch[0].rpartition("<")[2].startswith("select") and '<option value="yes"' in switch[2]


def test_an_account_is_added_changed_and_tested_on_pages(crm: Crm) -> None:
    root = crm.client("root")
    assert root.form("/settings/channels/add/console", {"name": "", "is_active": "1"}).status_code == 422
    made = root.form("/settings/channels/add/console", {"name": "Desk", "is_active": "1", "set.key": KEY})
    assert made.status_code == 302
    page = made.headers["Location"]
    for path in ("/settings/channels/", page, f"{page}edit", "/settings/channels/console/1/", "/undelivered/"):
        answer = root.screen(path)
        assert answer.status_code == 200 and KEY not in answer.text
    assert crm.client("mia").screen(page).status_code in (302, 403)
    assert (
        root.form(f"{page}edit", {"name": "Counter", "set.key": "", "version": "1", "is_active": "1"}).status_code
        == 302
    )
    (account,) = fresh(crm, ChannelAccount)
    assert (account.name, channel_accounts.values_of(account, crm.vault)) == ("Counter", {"key": KEY})
    for what in ("check", "off", "on", "token", "templates"):
        assert root.form(f"{page}{what}").status_code == 302
    assert root.form(f"{page}test", {"channel": "sms", "to": PEER}).headers["Location"] == "/messages/show/1"
    assert root.form(f"{page}test", {"channel": "sms", "to": "12"}).headers["Location"] == page


def test_a_person_plays_the_customer(crm: Crm, account: Any) -> None:
    root, console = crm.client("root"), "/settings/channels/console/1/"
    root.form(f"{console}write", {"channel": "whatsapp", "peer": PEER, "text": "Hello", "name": "Asha"})
    run_calls()
    (talk,) = fresh(crm, Conversation)
    key = post(crm, "root", f"conversation/{talk.id}/send", {"body": "Namaste"}).json["id"]
    run_calls()
    for state in ("delivered", "read"):
        root.form(f"{console}{key}/{state}")
        run_calls()
        assert crm.client("root").rest("GET", f"message/{key}").json["result"]["state"] == state
    assert root.form(f"{console}99/read").status_code == 404


def test_what_failed_is_sent_again_or_dismissed_on_its_page(crm: Crm, account: Any) -> None:
    post(crm, "ana", "message/", {"channel": "sms", "peer": "+919820010000", "body": "Hi"})
    hook(crm, account)
    token = channel_accounts.token_of(account, crm.vault)
    crm.app.test_client().post(f"/hooks/sms/{token}", data="{", headers={"X-Console-Key": KEY})
    run_calls()
    shown = crm.client("root").screen("/undelivered/").text
    assert "The number doesn&#39;t exist." in shown and "list of events" in shown
    assert "list of events" not in crm.client("ana").screen("/undelivered/").text
    assert crm.client("ben").form("/undelivered/1/again").status_code == 404
    assert crm.client("ana").form("/undelivered/1/again").status_code == 302
    assert [each.state for each in fresh(crm, Message)] == ["queued"]
    (event,) = [each for each in fresh(crm, InboundEvent) if each.state == "failed"]
    assert crm.client("ana").form(f"/undelivered/event/{event.id}/dismiss").status_code in (403, 404)
    assert crm.client("root").form(f"/undelivered/event/{event.id}/dismiss").status_code == 302
    assert {each.state for each in fresh(crm, InboundEvent)} == {"done", "dismissed"}


# --- the predecessor's endpoint


def test_the_predecessors_methods_send_and_list(crm: Crm, make: Any, account: Any) -> None:
    ticket = make.ticket("cleo", mobile=PEER)
    about = {"reference_doctype": "CRM Ticket", "reference_name": ticket.number}
    client = crm.client("cleo")

    def call(name: str, **body: Any) -> Any:
        return client.machine.post(f"/api/method/crm.api.{name}", json=body, headers=client.headers)

    assert call("whatsapp.is_whatsapp_enabled").json["message"] is True
    assert call("whatsapp_setup.get_local_whatsapp_status").json["message"]["status"] == "connected"
    name = call("whatsapp.create_whatsapp_message", **about, message="Namaste", to="").json["message"]
    crm.session.add(SupportPage(label="Reset a PIN", url="https://x.in/pin", position=1, is_active=True))
    crm.session.commit()
    sent = call("whatsapp_support.send_support_pages", ticket_name=ticket.number, support_pages=["Reset a PIN"])
    assert sent.json["message"]["success"], sent.text
    local = call("whatsapp_setup.send_local_whatsapp_message", phone="9820012399", message="Hi").json["message"]
    assert local["success"] and local["messageId"]
    listed = call("whatsapp.get_whatsapp_messages", **about).json["message"]
    assert listed[0]["name"] == name and "https://x.in/pin" in listed[1]["message"]
    assert {each["status"] for each in listed} == {"Pending"} and listed[0]["to"] == PEER
    bad = call("whatsapp_support.send_support_pages", ticket_name=ticket.number, support_pages=["Nothing"]).json
    assert bad["message"]["success"] is False
    assert call("whatsapp.get_whatsapp_messages", reference_doctype="CRM Lead", reference_name="9").status_code == 403
