"""The erasure for a data request, on its page and over REST: who may, what is told, and what every door shows after."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pymysql
import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from app import access, jobs
from app.domain.base import Stamp
from app.domain.erasure import erasing
from app.lib.field_encryption import Vault
from app.models import (
    Activity,
    AuditEntry,
    ChannelAccount,
    ComplaintCategory,
    Conversation,
    Customer,
    CustomerAccount,
    DataErasure,
    DataRequest,
    Lead,
)
from app.web.compliance import erasure_texts
from tests.app_fixtures import Crm, Make

URL, REST = "/data-requests/erasure", "/api/v1/data_request/"
DAY = "accounts_ended_on"
TODAY = datetime.now(UTC).date()


def noted(crm: Crm, **more: Any) -> DataRequest:
    """A request for erasure, of which the identity is checked."""
    typed = {"kind": "erasure", "received_on": f"{TODAY - timedelta(days=3)}", "identity_how": "PAN card seen"}
    answer = crm.client("rhea").form("/data-requests/add", typed | more)
    assert answer.status_code == 302, answer.text
    found: DataRequest = crm.rows(select(DataRequest).order_by(DataRequest.id))[-1]
    return found


def seen(crm: Crm, row: DataRequest, who: str = "rhea") -> dict[str, Any]:
    """What a confirmation sends after its page was looked at."""
    shown = crm.client(who).rest("GET", f"{REST}{row.id}/erasure").json["result"]
    return {"confirm": f"DR-{row.id}", "record": shown["record"], "version": shown["version"]}


def main_button(page: str) -> str:
    """The words of the main button of a record's page."""
    found = re.search(r'<a href="[^"]+" class="btn btn-primary">.*?<span>([^<]+)</span>', page, re.DOTALL)
    assert found is not None
    return found[1].strip()


def turned(crm: Crm, row: DataRequest, **values: Any) -> Any:
    """The answer to another customer, lead or kind for the request."""
    return crm.client("rhea").rest("PUT", f"{REST}{row.id}", values)


def audited(crm: Crm, row: DataRequest) -> list[Any]:
    entries = crm.rows(select(AuditEntry).where(AuditEntry.about == f"data request {row.id}"))
    return [entry.payload.get("what") for entry in entries]


def conversation_of(crm: Crm, lead: Any) -> Conversation:
    """A conversation about a lead, with +91 98200 12345."""
    account = ChannelAccount(name="Desk", kind="console", channels=["whatsapp"], settings={}, caller_ids=[])
    account.token_hash = account.token_sealed = "x"
    talk = Conversation(channel="whatsapp", peer="+919820012345", peer_name="Ravi", lead_id=lead.id, state="open")
    for row in (account, talk):
        row.stamp(Stamp(None, datetime.now(UTC)))
        crm.session.add(row)
        crm.session.flush()
        talk.account_id = account.id
    crm.session.commit()
    return talk


def work(crm: Crm) -> DataErasure:
    """Run the job, as if some minutes had gone by."""
    crm.session.execute(update(DataErasure).values(confirmed_on=datetime.now(UTC) - timedelta(minutes=11)))
    crm.session.commit()
    with crm.app.app_context():
        jobs.run_now(crm.app, "go on with erasures")
    made: DataErasure = crm.rows(select(DataErasure))[-1]
    return made


def test_a_customer_is_erased_at_every_door(crm: Crm, make: Make) -> None:
    customer = make.customer("ana", first_name="Ravi", last_name="Kumar", mobile="9820012345", email="ravi@kumar.in")
    lead = make.lead("ana", customer_id=customer.id, first_name="Ravi", mobile="9820012345", description="Zinc")
    talk = conversation_of(crm, lead)
    make.message("ana", lead_id=lead.id, body="Namaste Ravi", conversation_id=talk.id)
    for kind, payload in (("call", {"text": "called Ravi"}), ("message", {"channel": "whatsapp", "direction": "in"})):
        crm.session.add(Activity(kind=kind, at=datetime.now(UTC), lead_id=lead.id, payload=payload))
    crm.session.commit()
    row = noted(crm, customer=customer.id)
    rhea, number = crm.client("rhea"), f"DR-{row.id}"
    page = rhea.screen(f"/data-requests/show/{row.id}").text
    assert f'data-copy="{number}"' in page and main_button(page) == "Erase the data"
    assert number in rhea.screen("/data-requests/?tab=due").text
    assert rhea.rest("GET", f"{REST}{row.id}").json["result"]["number"] == number
    page = rhea.screen(f"{URL}/{row.id}").text
    assert "Nothing is erased yet" in page and "Messages and emails" in page and "kept for 3 years as proof" in page
    planned = rhea.rest("GET", f"{REST}{row.id}/erasure").json["result"]
    assert planned["state"] == "planned" and planned["number"] == number and len(planned["sentences"]) == 5
    assert {each["kind"]: each["goes"] for each in planned["lines"]}["contact"] == 1
    for who in ("ana", "mia"):
        assert crm.client(who).screen(f"{URL}/{row.id}").status_code in (302, 403, 404)
        assert crm.client(who).form(f"{URL}/{row.id}", {"confirm": number}).status_code in (302, 403, 404)
        assert crm.client(who).rest("GET", f"{REST}{row.id}/erasure").status_code in (403, 404)
        assert crm.client(who).rest("POST", f"{REST}{row.id}/erasure", {"confirm": number}).status_code in (403, 404)
    for typed, said in (({"confirm": "yes"}, f"the number of the request, {number}"), ({DAY: "x"}, "2027-03-31")):
        refused = rhea.form(f"{URL}/{row.id}", {"confirm": number} | typed)
        assert refused.status_code == 422 and said in refused.text
        assert all(f'value="{value}"' in refused.text for value in typed.values()), "what was typed stays"
        assert rhea.rest("POST", f"{REST}{row.id}/erasure", {"confirm": number} | typed).status_code == 422
    assert not crm.rows(select(DataErasure)) and crm.fresh(customer).first_name == "Ravi"
    stale, shown = crm.fresh(customer).version, seen(crm, row)
    assert f'name="record" value="{customer.number}"' in page and f'name="version" value="{shown["version"]}"' in page
    assert "Erase the data of Ravi Kumar" in page
    assert rhea.form(f"{URL}/{row.id}", shown | {"confirm": number.lower()}).status_code == 302
    assert rhea.rest("POST", f"{REST}{row.id}/erasure", {"confirm": number}).status_code == 409
    assert "being erased" in rhea.screen(f"{URL}/{row.id}").text
    made = work(crm)
    assert made.state == "waiting" and made.counts["contact"] == 1, made.counts
    assert "The rest goes by itself" in rhea.screen(f"{URL}/{row.id}").text
    ana = crm.client("ana")
    pages = [ana.screen(f"/customers/show/{customer.id}"), ana.screen(f"/leads/show/{lead.id}")]
    pages += [ana.screen("/customers/list/"), ana.rest("GET", f"customer/{customer.id}")]
    talks = ana.screen(f"/inbox/{talk.id}")
    assert "WhatsApp · Erased" in talks.text and "erased:" not in talks.text
    pages += [talks, ana.rest("GET", f"lead/{lead.id}"), ana.rest("GET", "message/"), ana.rest("GET", "call_log/")]
    assert {each.status_code for each in pages} == {200}
    texts = "".join(each.text for each in pages)
    assert all(customer.number not in ana.screen(f"/search?q={words}").text for words in ("Kumar", "9820012345"))
    assert [each for each in ("Ravi", "Zinc", "Kumar", "9820012345", "ravi@") if each in texts] == []
    assert f"Erased by request {number}" in texts and "had a call" in texts and "a message by WhatsApp" in texts
    late = ana.rest("PUT", f"customer/{customer.id}", {"first_name": "Ravi", "version": stale})
    assert late.status_code == 409
    again = make.lead("ana", first_name="Ravi", mobile="9820012345")
    assert again.customer_id is None and len(crm.rows(select(Customer))) == 1
    history = rhea.screen(f"/data-requests/show/{row.id}").text
    assert main_button(history) == "Enter the answer"
    assert "confirmed the erasure" in history and "What no duty keeps was erased" in history


def test_a_hold_is_told_in_words_and_a_lead_can_be_chosen(crm: Crm, make: Make) -> None:
    lead = make.lead("ana", first_name="Meera", mobile="9820012346")
    row, rhea = noted(crm, lead=lead.id), crm.client("rhea")
    assert crm.fresh(row).person.startswith("Meera")
    unchecked = noted(crm, lead=lead.id, identity_how="")
    page = rhea.screen(f"{URL}/{unchecked.id}").text
    assert f'href="/data-requests/edit/{unchecked.id}#f-identity_how"' in page and "Nothing is erased yet" not in page
    twin = make.lead("ana", first_name="Meera", alternative_mobile="98200 12346")
    page = rhea.screen(f"{URL}/{row.id}").text
    assert "same number or address" in page and f'href="/leads/{twin.number}"' in page and "Leads" in page
    assert f'href="/leads/{lead.number}"' not in page
    held = {"record": lead.number, "reason": "Police", "until": ""}
    assert rhea.form("/settings/legal-holds/new", held).status_code == 302
    page = rhea.screen(f"{URL}/{row.id}").text
    assert "is under a legal hold" in page and "Erase for good" not in page and DAY not in page
    refused = rhea.form(f"{URL}/{row.id}", {"confirm": f"DR-{row.id}"})
    assert refused.status_code == 422 and "is under a legal hold" in refused.text
    assert "is under a legal hold" in rhea.rest("GET", f"{REST}{row.id}/erasure").json["result"]["hinders"]
    assert not crm.rows(select(DataErasure))


def test_a_page_that_was_open_confirms_nothing_for_somebody_else(crm: Crm, make: Make) -> None:
    ravi, meera = make.customer("ana", first_name="Ravi"), make.customer("ana", first_name="Meera", last_name="Joshi")
    row, rhea = noted(crm, customer=ravi.id), crm.client("rhea")
    shown = seen(crm, row)
    answer = turned(crm, row, customer=meera.id)
    assert "identity has to be checked again" in answer.json["remarks"][0]
    now = crm.fresh(row)
    assert (now.identity_how, now.identity_checked_on, now.identity_checked_by_id) == (None, None, None)
    assert now.person == "Meera Joshi" and "identity check cleared" in audited(crm, row)
    history = rhea.screen(f"/data-requests/show/{row.id}").text
    assert "The check of the identity was cleared" in history and "Check the identity" in history
    assert rhea.form(f"{URL}/{row.id}", shown).status_code == 422, "the identity isn't checked"
    turned(crm, row, identity_how="Passport")
    stale = seen(crm, row)
    turned(crm, row, details="Please hurry")
    for without in (shown, stale, {"confirm": f"DR-{row.id}"}, stale | {"record": ravi.number}):
        page = rhea.form(f"{URL}/{row.id}", without)
        assert page.status_code == 409 and meera.number in page.text and f'value="DR-{row.id}"' not in page.text
        assert rhea.rest("POST", f"{REST}{row.id}/erasure", without).status_code == 409
    assert not crm.rows(select(DataErasure))
    assert rhea.rest("POST", f"{REST}{row.id}/erasure", seen(crm, row)).status_code == 200
    assert [each.number for each in crm.rows(select(DataErasure))] == [meera.number]


def test_what_has_begun_is_not_turned_to_somebody_else(crm: Crm, make: Make) -> None:
    ravi, meera = make.customer("ana", first_name="Ravi"), make.customer("ana", first_name="Meera")
    row, rhea = noted(crm, customer=ravi.id), crm.client("rhea")
    before = crm.fresh(row).version
    assert rhea.form(f"{URL}/{row.id}", seen(crm, row)).status_code == 302
    lead = make.lead("ana", first_name="Neha")
    for values in ({"customer": meera.id}, {"customer": None}, {"lead": lead.id}, {"kind": "access"}):
        answer = turned(crm, row, **values)
        assert answer.status_code == 422 and "can't be changed any more" in answer.text, answer.text
        assert set(answer.json["errors"]) == set(values)
    assert rhea.rest("PUT", f"{REST}{row.id}", {"details": "x", "version": before}).status_code == 409, "a stale form"
    assert turned(crm, row, answer="Done.", state="answered").status_code == 200
    assert crm.fresh(row).customer_id == ravi.id


def test_an_answer_for_somebody_else_is_open_again(crm: Crm, make: Make) -> None:
    ravi, meera = make.customer("ana", first_name="Ravi"), make.customer("ana", first_name="Meera")
    row = noted(crm, customer=ravi.id, state="answered", answer="Sent.", proof="Letter")
    assert turned(crm, row, kind="correction").status_code == 200
    now = crm.fresh(row)
    assert (now.state, now.answer, now.answered_on, now.proof, now.identity_how) == ("open", None, None, None, None)
    assert turned(crm, row, identity_how="PAN").status_code == 200
    assert turned(crm, row, customer=meera.id, identity_how="Passport").status_code == 200
    now = crm.fresh(row)
    assert (now.identity_how, now.identity_checked_on is None) == ("Passport", False), "checked anew"
    assert audited(crm, row).count("identity check cleared") == 1


def test_the_accounts_end_on_a_plausible_day(crm: Crm, make: Make) -> None:
    ravi = make.customer("ana", first_name="Ravi")
    account = CustomerAccount(customer_id=ravi.id, client_id="AB1234", opened_on=datetime(2024, 4, 1, tzinfo=UTC))
    account.stamp(Stamp(None, datetime.now(UTC)))
    crm.session.add(account)
    crm.session.commit()
    row, rhea = noted(crm, customer=ravi.id), crm.client("rhea")
    wrong = ("9999-12-31", "0001-01-01", "1900-01-01", "2024-03-31", f"{TODAY + timedelta(days=2)}")
    for day in wrong:
        typed = seen(crm, row) | {DAY: day}
        for answer in (rhea.screen(f"{URL}/{row.id}?{DAY}={day}"), rhea.form(f"{URL}/{row.id}", typed)):
            assert answer.status_code == 422 and "has to be between 2024-04-01" in answer.text, day
            assert f'value="{day}"' in answer.text and "field-error" in answer.text and "Contact data" in answer.text
        asked = rhea.rest("GET", f"{REST}{row.id}/erasure?{DAY}={day}")
        sent = rhea.rest("POST", f"{REST}{row.id}/erasure", typed)
        assert (asked.status_code, sent.status_code) == (400, 422), day  # 400: what a query gets at every resource
        assert DAY in asked.json["errors"] and DAY in sent.json["errors"]
    assert rhea.screen(f"{URL}/{row.id}?{DAY}=2024-04-01").status_code == 200
    preview = rhea.form(f"{URL}/{row.id}", seen(crm, row) | {DAY: "2024-04-01", "preview": "1"})
    assert preview.status_code == 200 and "Nothing is erased yet" in preview.text and "1 Apr 2029" in preview.text
    assert 'value="2024-04-01"' in preview.text and 'formmethod="get"' not in preview.text, "no token in the URL"
    assert rhea.form(f"{URL}/{row.id}", {DAY: wrong[0], "preview": "1"}).status_code == 422
    assert not crm.rows(select(DataErasure))
    assert rhea.form(f"{URL}/{row.id}", seen(crm, row)).status_code == 302
    assert work(crm).state == "waiting"
    for day in wrong:
        assert rhea.form(f"{URL}/{row.id}", seen(crm, row) | {DAY: day}).status_code == 422
    for typed, status in (({"confirm": ""}, 422), ({"record": "CUST-0"}, 409), ({"version": 1}, 409)):
        answer = rhea.form(f"{URL}/{row.id}", seen(crm, row) | typed | {DAY: "2024-04-01"})
        assert answer.status_code == status and 'value="2024-04-01"' in answer.text, typed
    assert crm.rows(select(DataErasure))[-1].accounts_ended_on is None
    typed = seen(crm, row) | {DAY: "2024-04-01"}
    assert "last day of the accounts was noted" in rhea.form(f"{URL}/{row.id}", typed, follow_redirects=True).text
    assert f"{crm.rows(select(DataErasure))[-1].accounts_ended_on}" == "2024-04-01"


def test_the_record_has_to_be_seen_when_the_lock_is_held(crm: Crm, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    row = noted(crm, customer=make.customer("ana", first_name="Ravi").id)
    rhea, typed, asked = crm.client("rhea"), seen(crm, row), []
    real = access.sees_id

    def sees(session: Any, model: Any, key: int) -> bool:
        """As if the customer became another one's after the first look."""
        asked.append(access.acting(session))
        return real(session, model, key) and len(asked) == 1

    monkeypatch.setattr(access, "sees_id", sees)
    assert rhea.rest("POST", f"{REST}{row.id}/erasure", typed).status_code == 422
    assert len(asked) == 2 and None not in asked and not crm.rows(select(DataErasure))


def test_a_confirmation_that_deadlocks_with_a_merge_is_done_again(
    crm: Crm, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = noted(crm, customer=make.customer("ana", first_name="Ravi").id)
    typed, real, tried = seen(crm, row), erasing.prepare, []

    def prepare(*arguments: Any) -> None:
        real(*arguments)
        tried.append(1)
        if len(tried) == 1:
            raise OperationalError("UPDATE", {}, pymysql.err.OperationalError(1213, "Deadlock found"))

    monkeypatch.setattr(erasing, "prepare", prepare)
    assert crm.client("rhea").form(f"{URL}/{row.id}", typed).status_code == 302
    assert len(tried) == 2 and len(crm.rows(select(DataErasure))) == 1
    assert audited(crm, row).count("erasure confirmed") == 1


def test_a_customer_is_erased_again_for_another_request(crm: Crm, make: Make) -> None:
    ravi = make.customer("ana", first_name="Ravi", mobile="9820012345")
    rhea, first = crm.client("rhea"), noted(crm, customer=ravi.id)
    assert rhea.rest("POST", f"{REST}{first.id}/erasure", seen(crm, first)).status_code == 200
    second = noted(crm, customer=ravi.id)
    answer = rhea.rest("POST", f"{REST}{second.id}/erasure", seen(crm, second))
    assert answer.status_code == 409 and "is being erased already" in answer.text
    assert work(crm).state == "waiting"
    assert crm.client("ana").rest("PUT", f"customer/{ravi.id}", {"first_name": "Ravi"}).status_code == 200
    assert rhea.rest("POST", f"{REST}{second.id}/erasure", seen(crm, second)).status_code == 200
    assert work(crm).state == "waiting" and crm.fresh(ravi).first_name is None
    states = [(each.number, each.active_number, each.state) for each in crm.rows(select(DataErasure))]
    assert states == [(ravi.number, None, "done"), (ravi.number, ravi.number, "waiting")]
    assert "goes on with what was left" in rhea.screen(f"{URL}/{first.id}").text


def test_who_complained_is_shown_on_the_ticket_and_the_complaint_and_found_nowhere_else(crm: Crm, make: Make) -> None:
    ravi = make.customer("ana", first_name="Ravi", last_name="Kumar", mobile="9820012345", email="ravi@kumar.in")
    ticket = make.ticket("cleo", customer_id=ravi.id)
    cleo, rhea = crm.client("cleo"), crm.client("rhea")
    category = crm.rows(select(ComplaintCategory.id).where(ComplaintCategory.parent_id.is_not(None)))[0]
    typed = {"ticket": ticket.number, "title": "Shares", "received_on": f"{TODAY}", "category": category}
    made = rhea.rest("POST", "complaint/", typed)
    assert made.status_code == 201, made.text
    row = noted(crm, customer=ravi.id)
    page = rhea.screen(f"{URL}/{row.id}").text
    assert "of whoever complained stay on the ticket" in page and "It has no outcome yet." in page
    assert rhea.form(f"{URL}/{row.id}", seen(crm, row)).status_code == 302
    assert work(crm).state == "waiting" and crm.fresh(ravi).first_name is None
    shown = cleo.rest("GET", f"ticket/{ticket.id}").json["result"]
    assert (shown["caller"], shown["mobile"]) == ("Ravi Kumar", "+919820012345")
    for address in (f"/tickets/{ticket.number}", f"/complaints/{made.json['result']['number']}"):
        page = rhea.screen(address).text
        assert "Ravi Kumar" in page and "••••2345" in page and "ravi@" not in page, address
    for words in ("9820012345", "+91 98200 12345"):
        found = cleo.screen(f"/search?q={words}").text + rhea.screen(f"/search?q={words}").text
        assert ravi.number not in found and ticket.number not in found
    day = " ".join(re.sub("<[^>]*>", " ", cleo.screen("/").text).split())
    assert f"{ticket.number} · Ravi Kumar" in day and "Ravi Erased" not in day
    sent = {"channel": "sms", "purpose": "service", "body": "We look into it", "noted": True}
    doors = [(cleo, {"ticket": ticket.id}), (crm.client("ana"), {"customer": ravi.id})]
    written = [client.rest("POST", "message/", sent | about) for client, about in doors]
    assert [each.status_code for each in written] == [201, 422], [each.text for each in written]
    called = [client.rest("POST", "call_log/dial", about).text for client, about in doors]
    assert ["no phone number to call" in each for each in called] == [False, True], called


@pytest.mark.parametrize(
    ("days", "said"),
    [(1826, "5 years"), (1825, "5 years"), (1096, "3 years"), (366, "1 year"), (400, "400 days"), (30, "30 days")],
)
def test_spans_are_said_in_years_where_they_are_whole_ones(crm: Crm, days: int, said: str) -> None:
    with crm.app.test_request_context("/"):
        assert erasure_texts.span_of(days) == said


def test_records_of_the_same_person_that_came_in_since_are_named(crm: Crm, make: Make) -> None:
    ravi = make.customer("ana", first_name="Ravi", mobile="9820012345", email="ravi@kumar.in")
    twin = make.lead("ana", first_name="Ravi", email="ravi@kumar.in")
    row, rhea = noted(crm, customer=ravi.id), crm.client("rhea")
    assert rhea.rest("POST", f"{REST}{row.id}/erasure", seen(crm, row)).status_code == 200
    with crm.app.app_context():
        jobs.run_now(crm.app, "go on with erasures")  # the customer is emptied, and the erasure not settled yet
    entered = {"first_name": "Ravi", "mobile": "98200 12345"}
    assert crm.client("ana").rest("POST", "lead/", entered).status_code == 201
    late = crm.rows(select(Lead).order_by(Lead.id))[-1]
    others = [{"number": twin.number, "is_newer": False}, {"number": late.number, "is_newer": True}]
    for is_settled in (False, True):
        if is_settled:
            crm.session.execute(update(DataErasure).values(next_on=None))
            assert work(crm).addresses_sealed is None and crm.fresh(late).first_name == "Ravi"
        told = rhea.rest("GET", f"{REST}{row.id}/erasure").json["result"]
        assert (told["others"], told["unseen"]) == (others, 0)
        page = rhea.screen(f"{URL}/{row.id}").text
        assert "were not erased" in page and "merge them first" not in page
        assert f'since the confirmation: <a href="/leads/{late.number}"' in page and f"/leads/{twin.number}" in page
    make.cell("Compliance", "Leads", "read", "own")
    told = crm.client("rhea").rest("GET", f"{REST}{row.id}/erasure").json["result"]
    page = crm.client("rhea").screen(f"{URL}/{row.id}").text
    assert (told["others"], told["unseen"]) == ([], 2)
    assert late.number not in page and "There are 2 more that you don" in page
    make.cell("Compliance", "Leads", "read", "all")
    own = noted(crm, lead=late.id)
    assert rhea.rest("POST", f"{REST}{own.id}/erasure", seen(crm, own)).status_code == 200
    assert late.number not in rhea.screen(f"{URL}/{row.id}").text, "erased for a request of its own"


def test_the_page_opens_where_the_numbers_of_the_person_cannot_be_decrypted(crm: Crm, make: Make) -> None:
    row, rhea = noted(crm, customer=make.customer("ana", first_name="Ravi", mobile="9820012345").id), crm.client("rhea")
    assert rhea.rest("POST", f"{REST}{row.id}/erasure", seen(crm, row)).status_code == 200
    other = Vault(bytes(32)).seal('["+919820012345"]')
    crm.session.execute(update(DataErasure).values(addresses_sealed=other))
    crm.session.commit()
    assert rhea.screen(f"{URL}/{row.id}").status_code == 200
    assert rhea.rest("GET", f"{REST}{row.id}/erasure").json["result"]["others"] == []


def test_what_stays_is_unknown_over_rest_until_it_is_settled(crm: Crm, make: Make) -> None:
    row, rhea = noted(crm, customer=make.customer("ana", first_name="Ravi").id), crm.client("rhea")
    assert rhea.rest("POST", f"{REST}{row.id}/erasure", seen(crm, row)).status_code == 200
    with crm.app.app_context():
        jobs.run_now(crm.app, "go on with erasures")
    running = rhea.rest("GET", f"{REST}{row.id}/erasure").json["result"]
    assert running["state"] == "running" and {each["stays"] for each in running["lines"]} == {None}
    crm.session.execute(update(DataErasure).values(next_on=None))
    assert work(crm).state == "waiting"
    settled = rhea.rest("GET", f"{REST}{row.id}/erasure").json["result"]
    assert {each["kind"]: each["stays"] for each in settled["lines"]} == {"contact": 0, "timeline": 0, "requests": 1}
