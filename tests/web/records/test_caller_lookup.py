"""The limited look-up: who may find which customer by what, the result, and the ticket made from it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from app.models import AuditEntry, Customer, CustomerAccount, CustomerLink, Ticket
from app.ops.redis.rate_counter import Rate
from app.web.records import caller_lookup
from tests.cases import each_case
from tests.factories import NOW

MOBILE, OTHER = "9820012345", "9820054321"


@pytest.fixture
def asha(crm: Any, make: Any) -> Any:
    """Ana's customer with an account, whom Cleo doesn't see."""
    row = make.customer(
        "ana", first_name="Asha Rani", last_name="Patel", mobile=MOBILE, alternative_mobile=OTHER, email="asha@x.in"
    )
    account = {"client_id": "C100", "customer_id": row.id, "created_on": NOW, "changed_on": NOW, "activated_on": NOW}
    crm.session.execute(CustomerAccount.__table__.insert().values(**account))
    crm.session.commit()
    return row


def look_up(crm: Any, who: str, text: Any) -> Any:
    return crm.client(who).rest("POST", "ticket/callers", {"text": text})


@pytest.mark.parametrize(
    "text",
    [MOBILE, "+91 98200-12345", OTHER, "c100", "Asha", "Asha Rani", "asha rani patel", "Patel", "Asha Rani Pa"],
)
def test_a_support_person_finds_any_customer_and_sees_little(crm: Any, asha: Any, text: str) -> None:
    answer = look_up(crm, "cleo", text)
    assert answer.get_json()["result"] == [
        {
            "id": asha.id,
            "number": asha.number,
            "name": "Asha Rani Patel",
            "accounts": [{"client_id": "C100", "state": "Activated"}],
            "last4": "2345",
            "status": "Active",
        }
    ]
    (entry,) = crm.rows(select(AuditEntry).where(AuditEntry.event == "look-up"))
    assert (entry.about, entry.user_id) == (asha.number, crm.people["cleo"].id)
    (hit,) = crm.client("cleo").screen("/tickets/callers", query_string={"q": text}).get_json()["results"]
    assert hit["label"] == "Asha Rani Patel" and "2345" in hit["hint"] and MOBILE not in hit["hint"]
    assert crm.client("cleo").rest("GET", f"customer/{asha.id}").status_code == 404


@pytest.mark.parametrize("text", ["9811111111", "C999", "Nobody", "98200", "atel"])
def test_nobody_is_found_by_what_is_not_theirs(crm: Any, asha: Any, text: str) -> None:
    assert look_up(crm, "cleo", text).get_json()["result"] == []
    assert crm.rows(select(AuditEntry.about).where(AuditEntry.event == "look-up")) == ["nobody"]


def test_too_little_or_no_text_is_refused(crm: Any, asha: Any) -> None:
    texts: list[Any] = ["", "  ", "As", None, "%%", {"a": 1}, ["x"], "\x00", "x" * 101]
    assert [text for text in texts if look_up(crm, "cleo", text).status_code != 422] == []


def test_only_who_raises_tickets_looks_up(crm: Any, asha: Any) -> None:
    assert look_up(crm, "ben", MOBILE).status_code == 403
    assert look_up(crm, "rhea", MOBILE).status_code == 403
    assert crm.client("ben").screen("/tickets/callers?q=Asha").status_code == 403
    assert look_up(crm, "root", MOBILE).status_code == 200


@pytest.mark.parametrize("level, last4", [("last4", "2345"), ("hidden", "")])
def test_a_masked_number_finds_nobody(crm: Any, make: Any, asha: Any, level: str, last4: str) -> None:
    make.mask("Support User", mobile=level, alternative_mobile=level)
    assert look_up(crm, "cleo", MOBILE).get_json()["result"] == []
    assert look_up(crm, "cleo", OTHER).get_json()["result"] == []
    assert look_up(crm, "cleo", "C100").get_json()["result"][0]["last4"] == last4


def test_look_ups_are_limited(crm: Any, asha: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_lookup, "RATES", (Rate(3, 86_400),))
    assert [look_up(crm, "cleo", "C100").status_code for _ in range(4)] == [200, 200, 200, 429]
    values = {"subjects": ["KYC update"], "customer": "C100"}
    refused = crm.client("cleo").rest("POST", "ticket/", values)
    assert refused.status_code == 429 and "Too many look-ups" in refused.text
    ticket = crm.make.ticket("cleo")
    assert crm.client("cleo").rest("PUT", f"ticket/{ticket.id}", {"customer": "C100"}).status_code == 429
    assert crm.client("cleo").form("/tickets/add", values | {"subjects": "1"}).status_code == 429
    assert crm.client("cleo").screen("/tickets/callers?q=Asha").status_code == 429
    assert look_up(crm, "root", "C100").status_code == 200


def by_rest(crm: Any, asha: Any, how: str) -> Any:
    answer = crm.client("cleo").rest("POST", "ticket/", {"subjects": ["KYC update"], "customer": how})
    assert answer.status_code == 201, answer.text
    return answer.text


def by_form(crm: Any, asha: Any, how: str) -> Any:
    answer = crm.client("cleo").form("/tickets/add", {"subjects": "1", "customer": how}, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return answer.text


def by_typing(crm: Any, asha: Any, how: str) -> Any:
    answer = crm.client("cleo").form("/tickets/add", {"subjects": "1", "customer--typed": how}, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return answer.text


def by_old_api(crm: Any, asha: Any, how: str) -> Any:
    doc = {"doctype": "CRM Ticket", "ticket_subjects": [{"subject": "KYC update"}], "customer_id": how}
    answer = crm.client("cleo").rest("POST", "/api/method/frappe.client.insert", {"doc": doc})
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize(
    "endpoint, how",
    [
        *((by_rest, how) for how in ("number", "C100", MOBILE, OTHER)),
        *((by_form, "C100"), (by_form, OTHER), (by_typing, "number"), (by_typing, MOBILE)),
        *((by_old_api, "C100"), (by_old_api, OTHER)),
    ],
)
def test_a_ticket_is_raised_for_the_customer_without_opening_them(crm: Any, asha: Any, endpoint: Any, how: str) -> None:
    shown = endpoint(crm, asha, asha.number if how == "number" else how)
    (ticket,) = crm.rows(select(Ticket))
    assert (ticket.customer_id, ticket.opens_customer, ticket.first_name) == (asha.id, False, "Asha Rani")
    assert MOBILE not in shown and "asha@x.in" not in shown
    assert not crm.client("cleo").sees(asha)
    assert crm.client("cleo").rest("PUT", f"customer/{asha.id}", {"email": "evil@x.in"}).status_code in (403, 404)
    assert "Asha Rani Patel" in crm.client("cleo").screen(f"/tickets/show/{ticket.id}").text
    (link,) = crm.client("ana").rest("GET", "customer/links").get_json()["result"]
    body = {"link": link["id"], "confirm": True}
    assert crm.client("ana").rest("POST", f"customer/{asha.id}/links", body).status_code == 200
    assert crm.client("cleo").sees(asha) and crm.rows(select(CustomerLink.status)) == ["Confirmed"]


def test_another_customer_can_be_looked_up_for_a_ticket_that_is_there(crm: Any, make: Any, asha: Any) -> None:
    own = make.customer("cleo")
    ticket = make.ticket("cleo", customer_id=own.id)
    assert crm.client("cleo").rest("PUT", f"ticket/{ticket.id}", {"customer": "C100"}).status_code == 200
    row = crm.fresh(ticket)
    assert (row.customer_id, row.opens_customer) == (asha.id, False) and not crm.client("cleo").sees(asha)
    assert crm.client("cleo").rest("PUT", f"ticket/{ticket.id}", {"customer": own.number}).status_code == 200
    assert crm.fresh(ticket).opens_customer and crm.rows(select(CustomerLink.status)) == ["Dropped"]


@pytest.mark.parametrize("name", ["customer", "customer--typed"])
@pytest.mark.parametrize(
    "typed, sentence",
    [("9811111111", "There is no such record"), ("Patel", "Several customers match"), ("77", "no such")],
)
def test_what_finds_nobody_or_several_comes_back(
    crm: Any, make: Any, asha: Any, name: str, typed: str, sentence: str
) -> None:
    make.customer("ana", first_name="Usha", last_name="Patel")
    answer = crm.client("cleo").form("/tickets/add", {"subjects": "1", name: typed, "description": "Said so"})
    assert answer.status_code == 422 and sentence in answer.text
    assert f'<option value="{typed}" selected>{typed}</option>' in answer.text and "Said so" in answer.text
    assert crm.count(Ticket) == 0


@each_case(
    "path, name, more",
    [
        ("/tickets/add", "lead", {"subjects": "1"}),
        ("/tickets/add", "assign_to", {"subjects": "1"}),
        ("/messages/add", "customer", {"channel": "sms", "peer": MOBILE, "body": "Hi"}),
        ("/messages/add", "ticket", {"channel": "sms", "peer": MOBILE, "body": "Hi"}),
        ("/tasks/add", "assignee", {"title": "Call"}),
        ("/tasks/add", "ticket", {"title": "Call"}),
        ("/calls/add", "customer", {"direction": "Outgoing", "status": "Completed"}),
    ],
)
def test_every_reference_field_gives_back_what_was_typed(crm: Any, path: str, name: str, more: Any) -> None:
    answer = crm.client("root").form(path, {f"{name}--typed": "Zed Nobody", **more})
    assert answer.status_code == 422 and '<option value="Zed Nobody" selected>' in answer.text


def test_a_chosen_reference_survives_an_error_elsewhere(crm: Any, make: Any) -> None:
    own = make.customer("cleo", first_name="Own", last_name="Customer")
    answer = crm.client("cleo").form("/tickets/add", {"customer": str(own.id)})
    assert answer.status_code == 422 and f'<option value="{own.id}" selected>Own Customer</option>' in answer.text


@pytest.mark.parametrize("who, found", [("cleo", True), ("ana", True), ("ben", False)])
def test_the_old_api_finds_a_caller_by_any_number(crm: Any, asha: Any, who: str, found: bool) -> None:
    for mobile in (MOBILE, OTHER):
        path = "/api/method/crm.api.customer_search.search_customer_by_mobile"
        answer = crm.client(who).rest("POST", path, {"mobile_no": mobile}).get_json()["message"]
        assert answer["found"] is found and answer["customer_id"] == (asha.number if found else None)


def test_lists_and_searches_know_the_alternative_number(crm: Any, make: Any, asha: Any) -> None:
    client, query = crm.client("ana"), {"filters": [{"col": "mobile", "opr": "eq", "value": "098200-54321"}]}
    assert client.rest("GET", "customer/", q=query).get_json()["ids"] == [asha.id]
    lead = make.lead("ana", mobile=MOBILE)
    assert client.rest("GET", "lead/", q=query).get_json()["ids"] == [lead.id]
    assert asha.number in client.screen("/customers/?q=98200+54321").text
    path = "/api/method/crm.api.customers.get_customer_by_mobile"
    assert client.rest("POST", path, {"mobile_no": OTHER}).get_json()["message"]["name"] == asha.number
    make.mask("Sales User", alternative_mobile="last4")
    assert client.rest("GET", "customer/", q=query).get_json()["ids"] == []


def test_the_ticket_says_on_whose_word_its_customer_waits_and_they_see_what_they_decide(crm: Any, asha: Any) -> None:
    by_rest(crm, asha, "C100")
    (ticket,) = crm.rows(select(Ticket))
    assert "Waits for Ana" in crm.client("cleo").screen(f"/tickets/{ticket.number}", follow_redirects=True).text
    (link,) = crm.client("ana").rest("GET", "customer/links").get_json()["result"]
    shown = {"customer_number": asha.number, "record": ticket.number, "name": "Asha Rani Patel"}
    assert {name: link[name] for name in shown} == shown
    page = crm.client("ana").screen(f"/customers/{asha.number}", follow_redirects=True).text
    assert f"asks to link {ticket.number} (entered: Asha Rani Patel" in page and f"with {asha.number}" in page
    assert (
        crm.client("ana").rest("POST", f"customer/{asha.id}/links", {"link": link["id"], "confirm": True}).status_code
        == 200
    )
    assert "Waits for" not in crm.client("cleo").screen(f"/tickets/{ticket.number}", follow_redirects=True).text


def test_the_facts_of_a_customer_stand_at_the_top_of_their_records_once_they_are_open(crm: Any, asha: Any) -> None:
    session = crm.new_session()
    session.execute(update(Customer).where(Customer.id == asha.id).values(kyc_status="Re-KYC due", no_calls=True))
    session.commit()
    by_rest(crm, asha, "C100")
    (ticket,) = crm.rows(select(Ticket))
    page, facts = f"/tickets/show/{ticket.id}", ("Re-KYC due", "No calls")
    assert not any(each in crm.client("cleo").screen(page).text for each in facts)
    (link,) = crm.client("ana").rest("GET", "customer/links").get_json()["result"]
    crm.client("ana").rest("POST", f"customer/{asha.id}/links", {"link": link["id"], "confirm": True})
    assert all(each in crm.client("cleo").screen(page).text for each in facts)
    lead = crm.make.lead("ana", mobile=MOBILE)
    assert crm.fresh(lead).customer_id == asha.id
    for path in (f"/leads/show/{lead.id}", f"/customers/show/{asha.id}"):
        assert all(each in crm.client("ana").screen(path).text for each in facts), path
    assert "refused_channels" not in crm.client("ana").rest("GET", f"lead/{lead.id}").text
