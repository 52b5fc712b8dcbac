"""A conversation of somebody else: with its number nobody can read it, change it or learn anything about it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from app.models import Conversation, Message
from tests.app_fixtures import Crm
from tests.web.messaging.test_channel_endpoints import account, fresh, hook, run_calls, said  # noqa: F401

PEER = "+919820012345"


def hers(crm: Crm, account: Any) -> Any:  # noqa: F811
    """A conversation of ana's lead, with what the peer has told her."""
    lead = crm.make.lead("ana", mobile=PEER)
    hook(crm, account, said("My PAN is private", channel="whatsapp"), channel="whatsapp")
    run_calls()
    (talk,) = fresh(crm, Conversation)
    assert talk.lead_id == lead.id and talk.claimed_by_id == crm.id_of("ana")
    return talk


def by_rest(crm: Crm, lead: Any) -> Any:
    body = {"channel": "whatsapp", "peer": PEER, "body": "Hi", "lead": lead.id}
    return crm.client("ben").rest("POST", "message/", body)


def by_rest_without_record(crm: Crm, lead: Any) -> Any:
    return crm.client("ben").rest("POST", "message/", {"channel": "whatsapp", "peer": PEER, "body": "Hi"})


def by_form(crm: Crm, lead: Any) -> Any:
    form = {"kind": "lead", "record": lead.id, "channel": "whatsapp", "body": "Hi", "key": "k"}
    return crm.client("ben").form("/inbox/start", form)


def by_predecessor(crm: Crm, lead: Any) -> Any:
    client = crm.client("ben")
    about = {"reference_doctype": "CRM Lead", "reference_name": lead.number, "message": "Hi", "to": PEER}
    path = "/api/method/crm.api.whatsapp.create_whatsapp_message"
    return client.machine.post(path, json=about, headers=client.headers)


@pytest.mark.parametrize("is_claimed", [True, False])
@pytest.mark.parametrize("send", [by_rest, by_rest_without_record, by_form, by_predecessor])
def test_a_message_to_its_number_opens_it_to_nobody(crm: Crm, account: Any, send: Any, is_claimed: bool) -> None:  # noqa: F811
    talk = hers(crm, account)
    if not is_claimed:
        crm.session.get_one(Conversation, talk.id).claimed_by_id = None
        crm.session.commit()
    before = (talk.lead_id, talk.claimed_by_id)
    own = crm.make.lead("ben", mobile=PEER)
    done = send(crm, own)
    assert done.status_code in (200, 201, 302), done.text
    (now,) = fresh(crm, Conversation)
    assert (now.lead_id, now.claimed_by_id) == before
    client = crm.client("ben")
    assert client.rest("GET", f"conversation/{talk.id}").status_code == 404
    assert "private" not in client.rest("GET", "message/").text
    sent = crm.rows(select(Message).where(Message.direction == "out"))
    assert [each.lead_id for each in sent] == [None if send is by_rest_without_record else own.id]
    assert crm.client("ana").rest("GET", f"conversation/{talk.id}/messages").json["count"] == 2


@pytest.mark.parametrize("step", ["lead", "read", "close", "link"])
def test_who_only_reads_it_changes_nothing(crm: Crm, account: Any, step: str) -> None:  # noqa: F811
    talk, own = hers(crm, account), crm.make.lead("ben")
    crm.make.cell("Sales User", "Messages", "read", "all")
    before = (talk.lead_id, talk.claimed_by_id, talk.unread, talk.state)
    client = crm.client("ben")
    assert client.rest("GET", f"conversation/{talk.id}").status_code == 200
    body = {"lead": own.id} if step == "link" else {}
    assert client.rest("POST", f"conversation/{talk.id}/{step}", body).status_code == 403
    (now,) = fresh(crm, Conversation)
    assert (now.lead_id, now.claimed_by_id, now.unread, now.state) == before


def lead_by(crm: Crm, who: str) -> None:
    body = {"first_name": "Ravi", "mobile": PEER}
    made = crm.client(who).rest("POST", "lead/", body)
    assert made.status_code == 201, made.text


def test_a_lead_with_a_customers_number_only_does_not_get_what_the_customer_says(crm: Crm, account: Any) -> None:  # noqa: F811
    customer = crm.make.customer("ana", mobile=PEER)
    hook(crm, account, said("My PAN is private", channel="whatsapp"), channel="whatsapp")
    run_calls()
    lead_by(crm, "ben")
    hook(crm, account, said("And so is this", "I2", channel="whatsapp"), channel="whatsapp")
    run_calls()
    (talk,) = fresh(crm, Conversation)
    assert (talk.customer_id, talk.lead_id, talk.unread) == (customer.id, None, 2)
    assert crm.client("ben").rest("GET", f"conversation/{talk.id}").status_code == 404
    lead_by(crm, "ana")
    hook(crm, account, said("A new wish", "I3", channel="whatsapp"), channel="whatsapp")
    run_calls()
    assert fresh(crm, Conversation)[0].lead_id is not None  # hers is the customer's


@pytest.mark.parametrize("name", ["Ravi 98200 12345", "ravi@example.in"])
def test_a_name_that_holds_a_masked_number_is_not_told(crm: Crm, account: Any, name: str) -> None:  # noqa: F811
    hook(crm, account, said("Hello") | {"peer_name": name})
    run_calls()
    (talk,) = fresh(crm, Conversation)
    client = crm.client("ana")
    assert client.rest("GET", f"conversation/{talk.id}").json["result"]["peer_name"] == name
    crm.make.mask("Sales User", mobile="last4", email="last4")
    for path in (f"conversation/{talk.id}", "conversation/"):
        assert name not in client.rest("GET", path).text
    made = client.rest("POST", f"conversation/{talk.id}/lead", {"last_name": "Rao"})
    assert name.split()[-1] not in client.rest("GET", f"lead/{made.json['id']}").text


@pytest.mark.parametrize(("purpose", "status"), [("promotional", 422), (None, 422), ("service", 201)])
def test_no_promotional_copy_goes_to_who_wants_none(crm: Crm, account: Any, purpose: Any, status: int) -> None:  # noqa: F811
    crm.make.customer("ana", email="off@example.in", no_email=True)
    body = {"channel": "email", "peer": "on@example.in", "subject": "Offer", "body": "Buy", "purpose": purpose}
    copies = {"cc": ["also@example.in", "off@example.in"]}
    answer = crm.client("ana").rest("POST", "message/", body | copies)
    assert answer.status_code == status, answer.text
    assert status == 201 or ("Cc address 2" in answer.text and not crm.rows(select(Message)))
