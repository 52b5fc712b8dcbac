"""Calls on pages: the other party, the outcome, the next step, and linked records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from app import access
from app.domain.telephony.missed_calls import awaits_callback
from app.models import Activity, CallLog, Customer, Lead, Task, Ticket
from tests.app_fixtures import Crm, Make, UserClient
from tests.cases import each_case
from tests.factories import NOW

PEER = "+919820012345"


def fresh(crm: Crm, call: Any) -> Any:
    return crm.rows(select(CallLog).where(CallLog.id == call.id))[0]


@pytest.fixture
def ana(crm: Crm) -> UserClient:
    return crm.client("ana")


@pytest.fixture
def lead(make: Make) -> Any:
    return make.lead("ana", mobile="9820012345", task={})


# --- the list


def test_the_list_names_who_was_called(ana: UserClient, make: Make, lead: Any) -> None:
    make.call("ana", lead_id=lead.id)
    assert "Ravi Kumar" in ana.screen("/calls/").text


def test_a_mask_covers_the_number_of_who_has_no_name(make: Make, ana: UserClient) -> None:
    make.mask("Sales User", mobile="last4")
    call = make.call("ana")
    for path in ("/calls/", f"/calls/show/{call.id}", f"/calls/outcome/{call.id}"):
        page = ana.screen(path).text
        assert "98200" not in page and "2345" in page, path


@pytest.mark.parametrize(("who", "offered"), [("ana", True), ("mia", False)])
def test_ones_own_calls_offer_their_outcome(crm: Crm, make: Make, who: str, offered: bool) -> None:
    call = make.call("ana")
    page = crm.client(who).screen("/calls/").text
    assert (f"/calls/outcome/{call.id}" in page) is offered


def test_groups_name_a_status_as_its_rows_do(ana: UserClient, make: Make) -> None:
    make.call("ana", direction="Outgoing", status="Did Not Picked")
    page = ana.screen("/calls/?group=status").text
    assert page.count("Not picked up") > 2 and ">Did Not Picked<" not in page and "</i>Did Not Picked" not in page


def test_a_suggested_outcome_is_in_the_language_of_the_page(ana: UserClient, make: Make, lead: Any) -> None:
    call, own = make.call("ana", lead_id=lead.id, outcome="Documents promised"), make.call("ana", outcome="Came by")
    label = "दस्तावेज़ देने का वादा"
    assert "Documents promised" in ana.screen("/calls/").text
    ana.screen("/lang/hi")
    for path in ("/calls/", f"/calls/show/{call.id}", f"/leads/show/{lead.id}?tab=calls"):
        page = ana.screen(path).text
        assert label in page and "Documents promised" not in page, path
    form = ana.screen(f"/calls/outcome/{call.id}").text
    assert label in form and 'value="Documents promised" checked' in form
    assert "Came by" in ana.screen(f"/calls/show/{own.id}").text
    assert ana.rest("GET", f"call_log/{call.id}").json["result"]["outcome"] == "Documents promised"


def test_the_quick_filters(ana: UserClient, make: Make) -> None:
    done, missed = make.call("ana", outcome="Interested"), {"direction": "Incoming", "status": "Missed Call"}
    recent = datetime.now(UTC) - timedelta(hours=2)
    alone = make.call("ana", from_number="9820011111", started_on=recent, at=datetime.now(UTC), **missed)
    make.call("ana", from_number="9820022222", started_on=recent, at=datetime.now(UTC), **missed)
    make.call("ben", to_number="9820022222", started_on=recent + timedelta(minutes=1), at=datetime.now(UTC))
    open_ones, lost = (ana.screen(f"/calls/?tab={tab}").text for tab in ("open", "missed"))
    assert f"/calls/show/{done.id}" not in open_ones and f"/calls/show/{alone.id}" in open_ones
    assert f"/calls/show/{alone.id}" in lost and lost.count("<tr data-id") == 1


def test_a_call_by_hand_takes_the_leads_number_and_goes_on_to_its_outcome(crm: Crm, ana: UserClient, lead: Any) -> None:
    typed = {"direction": "Incoming", "status": "Completed", "lead": lead.number, "started_on": "2026-11-01T10:00"}
    answer = ana.form("/calls/add", typed)
    (made,) = crm.rows(select(CallLog))
    assert answer.location == f"/calls/outcome/{made.id}"
    assert (made.from_number, made.other_e164, made.medium) == (PEER, PEER, "manual")


def test_people_type_how_long_a_call_took_in_minutes_and_seconds(crm: Crm, ana: UserClient, lead: Any) -> None:
    typed = {"direction": "Outgoing", "status": "Completed", "lead": lead.number, "started_on": "2026-01-05T10:00"}
    for text, seconds in (("4:30", 270), ("1:04:30", 3870), ("45", 45)):
        ana.form("/calls/add", typed | {"duration_seconds": text})
        assert crm.rows(select(CallLog.duration_seconds).order_by(CallLog.id))[-1] == seconds
    for text in ("4:75", "4:3x", "long", "-5"):
        refused = ana.form("/calls/add", typed | {"duration_seconds": text})
        assert refused.status_code == 422 and f'value="{text}"' in refused.text
        assert "Please enter minutes and seconds, such as 4:30, or seconds." in refused.text


def test_a_form_shows_how_long_a_call_took_and_leaves_it(crm: Crm, make: Make, ana: UserClient, lead: Any) -> None:
    call = make.call("ana", lead_id=lead.id, duration_seconds=270)
    assert 'value="4:30"' in ana.screen(f"/calls/edit/{call.id}").text
    ana.form(f"/calls/edit/{call.id}", {"duration_seconds": "4:30", "outcome": "Interested"})
    assert (fresh(crm, call).duration_seconds, fresh(crm, call).outcome) == (270, "Interested")


@pytest.mark.parametrize(("kind", "who"), [("lead", "ana"), ("ticket", "cleo")])
def test_a_call_by_hand_is_the_customers_too_and_went_to_his_mobile(crm: Crm, make: Make, kind: str, who: str) -> None:
    customer = make.customer(who, mobile="9820077777")
    known = make.lead(who, mobile="9820077777") if kind == "lead" else make.ticket(who, customer_id=customer.id)
    typed = {"direction": "Outgoing", "status": "Completed", kind: known.number, "started_on": "2026-11-01T10:00"}
    assert crm.client(who).form("/calls/add", typed).status_code == 302
    (made,) = crm.rows(select(CallLog))
    assert (made.customer_id, made.other_e164) == (customer.id, "+919820077777")


@pytest.mark.parametrize(("direction", "side"), [("Incoming", "from_number"), ("Outgoing", "to_number")])
def test_by_hand_the_number_is_that_of_the_other_side(crm: Crm, ana: UserClient, direction: str, side: str) -> None:
    typed = {"direction": direction, "status": "Completed", "to_number": "98200 12345"}
    refused = ana.form("/calls/add", typed | {"started_on": "2999-01-01T10:00"})
    assert refused.status_code == 422 and 'value="98200 12345"' in refused.text
    ana.form("/calls/add", typed | {"started_on": "2026-11-01T10:00"})
    (made,) = crm.rows(select(CallLog))
    assert (getattr(made, side), made.other_e164) == ("98200 12345", PEER)


def test_missed_calls_to_return_are_asked_for_by_one_statement_in_an_hour() -> None:
    """What is known of a statement, such as that it examines too many rows, is kept by its values."""
    keys = [access.shape_of(awaits_callback(NOW.replace(minute=minute))).key for minute in (1, 59)]
    assert keys[0] is not None and keys[0] == keys[1]


def test_an_empty_part_says_that_all_is_done(ana: UserClient) -> None:
    assert "All your calls have an outcome." in ana.screen("/calls/?tab=open").text
    assert "No missed calls to return." in ana.screen("/calls/?tab=missed").text


def test_a_calls_page_shows_the_earlier_ones_with_the_number(crm: Crm, ana: UserClient, make: Make) -> None:
    at = datetime(2026, 11, 2, tzinfo=UTC)
    make.call("ana", started_on=at, outcome="Asked for a callback")
    make.call("ben", started_on=at, outcome="Told Ben")
    call = make.call("ana", started_on=at + timedelta(hours=1))
    page = ana.screen(f"/calls/show/{call.id}").text
    assert "Asked for a callback" in page and "Told Ben" not in page


# --- the outcome


def test_a_note_of_several_lines_comes_with_the_outcome_over_rest(
    crm: Crm, ana: UserClient, make: Make, lead: Any
) -> None:
    call = make.call("ana", lead_id=lead.id)
    body = {"outcome": "Interested", "note": "Wants an SIP\nCalls back"}
    assert ana.rest("POST", f"call_log/{call.id}/outcome", body).status_code == 200
    (line,) = crm.rows(select(Activity).where(Activity.kind == "note"))
    assert line.payload["text"] == "Wants an SIP\nCalls back"


def test_outcome_note_and_follow_up_in_one_post(crm: Crm, ana: UserClient, make: Make, lead: Any) -> None:
    call = make.call("ana", lead_id=lead.id)
    typed = {"outcome": "Interested", "note": "Wants an SIP", "when": "tomorrow", "cold": "1"}
    assert ana.form(f"/calls/outcome/{call.id}", typed).status_code == 302
    stored = fresh(crm, call)
    assert (stored.outcome, stored.cold) == ("Interested", True)
    task = crm.rows(select(Task).where(Task.lead_id == lead.id))[-1]
    assert (task.title, task.assignee_id) == ("Follow up: Interested", crm.people["ana"].id)
    assert "Wants an SIP" in [line.payload.get("text") for line in crm.rows(select(Activity))]


@each_case(
    "typed, sentence",
    [
        ({"other": ""}, "Please enter the outcome of the call"),
        ({"outcome": "x" * 600}, "Please enter the outcome"),
        ({"outcome": "Interested", "follow_up_on": "2001-01-01T10:00"}, "is in the past"),
        ({"outcome": "Interested", "follow_up_on": "soon"}, "follow_up_on"),
        ({"outcome": "Interested", "when": "never"}, "one of the suggested times"),
    ],
)
def test_what_was_typed_stays_on_errors(
    crm: Crm, ana: UserClient, make: Make, lead: Any, typed: Any, sentence: str
) -> None:
    call = make.call("ana", lead_id=lead.id)
    answer = ana.form(f"/calls/outcome/{call.id}", {"note": "He was in a hurry", "title": "Ring again"} | typed)
    assert answer.status_code == 422
    assert sentence in answer.text and "He was in a hurry" in answer.text and "Ring again" in answer.text
    assert fresh(crm, call).outcome is None


@pytest.mark.parametrize(("who", "status"), [("ben", 404), ("cleo", 404), (None, 302)])
def test_a_foreign_call_has_no_outcome_to_be_logged(crm: Crm, make: Make, who: str | None, status: int) -> None:
    call = make.call("ana")
    assert crm.client(who).screen(f"/calls/outcome/{call.id}").status_code == status
    crm.client(who).form(f"/calls/outcome/{call.id}", {"outcome": "Wrong number"})
    assert fresh(crm, call).outcome is None


def test_the_way_back_stays_on_this_site(ana: UserClient, make: Make) -> None:
    for back, target in (
        ("/leads/?q=a", "/leads/?q=a"),
        ("//evil.example/", "/calls/show/"),
        ("https://evil.example", "/calls/show/"),
    ):
        call = make.call("ana")
        answer = ana.form(f"/calls/outcome/{call.id}", {"outcome": "Interested", "back": back})
        assert answer.location.startswith(target)


# --- what begins with a call


@pytest.mark.parametrize(("begin", "leads", "tasks"), [("lead", 1, 1), ("", 0, 0)])
def test_the_outcome_of_an_unknown_number_makes_its_lead(
    crm: Crm, ana: UserClient, make: Make, begin: str, leads: int, tasks: int
) -> None:
    call = make.call("ana")
    typed = {"outcome": "Interested", "when": "tomorrow", "note": "Wants an SIP", "begin": begin}
    answer = ana.form(f"/calls/outcome/{call.id}", typed)
    assert answer.status_code == (302 if leads else 422) and (leads or "Wants an SIP" in answer.text)
    assert crm.rows(select(func.count(Lead.id)).where(Lead.mobile_e164 == PEER)) == [leads]
    assert [task.title for task in crm.rows(select(Task))] == ["Follow up: Interested"] * tasks


def test_a_refused_outcome_makes_no_lead(crm: Crm, ana: UserClient, make: Make) -> None:
    call = make.call("ana")
    answer = ana.form(
        f"/calls/outcome/{call.id}", {"begin": "lead", "follow_up_on": "2001-01-01T10:00", "outcome": "x"}
    )
    assert answer.status_code == 422 and 'value="lead" checked' in answer.text
    assert crm.rows(select(func.count(Lead.id))) == [0]


def test_who_may_not_make_leads_is_not_offered_one(crm: Crm, make: Make) -> None:
    make.cell("Sales User", "Leads", "create", "none")
    call = make.call("ana")
    assert 'name="begin"' not in crm.client("ana").screen(f"/calls/outcome/{call.id}").text
    crm.client("ana").form(f"/calls/outcome/{call.id}", {"outcome": "Interested", "begin": "lead"})
    assert crm.rows(select(func.count(Lead.id))) == [0] and fresh(crm, call).outcome is None


@pytest.mark.parametrize("mask", ["full", "last4", "hidden"])
def test_a_lead_takes_the_number_over_seen_or_not(crm: Crm, make: Make, ana: UserClient, mask: str) -> None:
    make.mask("Sales User", mobile=mask)
    call = make.call("ana")
    assert ana.form(f"/calls/lead/{call.id}").status_code == 302
    made = crm.rows(select(Lead).where(Lead.mobile_e164 == PEER))[0]
    assert (made.assignee_id, fresh(crm, call).lead_id) == (crm.people["ana"].id, made.id)


def test_a_ticket_takes_the_caller_over(crm: Crm, make: Make) -> None:
    call = make.call("cleo")
    assert crm.client("cleo").form(f"/calls/ticket/{call.id}").status_code == 302
    ticket = crm.rows(select(Ticket))[0]
    caller = crm.rows(select(Customer).where(Customer.id == ticket.customer_id))[0]
    assert (caller.mobile_e164, fresh(crm, call).ticket_id) == (PEER, ticket.id)


def test_who_may_not_make_leads_makes_none_of_calls(crm: Crm, make: Make) -> None:
    make.cell("Sales User", "Leads", "create", "none")
    call = make.call("ana")
    crm.client("ana").form(f"/calls/lead/{call.id}")
    assert crm.rows(select(func.count(Lead.id))) == [0]


# --- to whom it belongs


@pytest.mark.parametrize("kind", ["lead", "customer"])
def test_a_call_is_linked_to_what_one_sees(crm: Crm, make: Make, ana: UserClient, kind: str) -> None:
    call, record = make.call("ana"), getattr(make, kind)("ana")
    assert ana.form(f"/calls/link/{call.id}", {"place": record.number}).status_code == 302
    assert getattr(fresh(crm, call), f"{kind}_id") == record.id
    ana.form(f"/calls/unlink/{call.id}")
    assert getattr(fresh(crm, call), f"{kind}_id") is None


@pytest.mark.parametrize("endpoint", ["link", "outcome"])
@pytest.mark.parametrize("kind", ["lead", "ticket", "customer"])
def test_what_is_foreign_does_not_exist_and_nothing_changes(
    crm: Crm, make: Make, ana: UserClient, kind: str, endpoint: str
) -> None:
    call, record = make.call("ana"), getattr(make, kind)("ben" if kind != "ticket" else "cleo")
    for named in (record.number, "CRM-LEAD-2026-99999", record.id, "no", "CRM-LEAD-" + "é" * 50):
        answer = ana.form(f"/calls/{endpoint}/{call.id}", {"place": named, "outcome": "Interested", "note": "Keep me"})
        assert answer.status_code == 422 and "have access to it" in answer.text, named
        assert endpoint == "link" or "Keep me" in answer.text
    stored = fresh(crm, call)
    assert (stored.lead_id, stored.ticket_id, stored.customer_id, stored.linked) == (None, None, None, False)
    assert stored.outcome is None


def test_a_link_names_a_record(make: Make, ana: UserClient) -> None:
    answer = ana.form(f"/calls/link/{make.call('ana').id}", {})
    assert answer.status_code == 422 and "Please choose one lead, ticket or customer." in answer.text


def test_the_pick_list_offers_what_one_sees_of_each_kind(crm: Crm, make: Make, ana: UserClient) -> None:
    mine, customer = make.lead("ana", first_name="Zarina"), make.customer("ana", first_name="Zarina")
    make.lead("ben", first_name="Zarina")
    make.ticket("cleo")
    offered = ana.screen("/calls/places?q=zarina").json["results"]
    assert [hit["value"] for hit in offered] == [mine.number, customer.number]
    assert offered[0]["label"].startswith("Zarina") and offered[0]["hint"] == mine.number
    assert "CRM-TICKET" in crm.client("cleo").screen("/calls/places?q=").text


def test_outcome_link_note_and_next_step_are_one_step(crm: Crm, make: Make, ana: UserClient) -> None:
    call, lead = make.call("ana"), make.lead("ana", task={})
    said = {"place": lead.number.lower(), "outcome": "Interested", "note": "Wants an SIP", "when": "tomorrow"}
    assert ana.form(f"/calls/outcome/{call.id}", said).status_code == 302
    stored = fresh(crm, call)
    assert (stored.lead_id, stored.outcome, stored.linked) == (lead.id, "Interested", True)
    assert crm.rows(select(Task.lead_id)) == [lead.id]
    assert crm.rows(select(Activity.lead_id).where(Activity.kind == "note")) == [lead.id]


def test_who_is_chosen_is_not_made_anew(crm: Crm, make: Make, ana: UserClient) -> None:
    call, customer = make.call("ana"), make.customer("ana")
    ana.form(f"/calls/outcome/{call.id}", {"place": customer.number, "outcome": "Interested", "begin": "lead"})
    stored = fresh(crm, call)
    assert (stored.customer_id, stored.lead_id) == (customer.id, None) and crm.rows(select(Lead)) == []


def test_what_was_chosen_stays_when_something_else_is_wrong(crm: Crm, make: Make, ana: UserClient) -> None:
    call, customer = make.call("ana"), make.customer("ana", first_name="Zarina")
    answer = ana.form(f"/calls/outcome/{call.id}", {"place": customer.number, "outcome": "Interested", "when": "1h"})
    assert answer.status_code == 422 and "Link the call to one first" in answer.text
    assert f'<option value="{customer.number}" selected>Zarina' in answer.text
    assert fresh(crm, call).customer_id is None


def test_a_call_of_a_lead_is_not_moved_by_its_outcome(crm: Crm, make: Make, ana: UserClient, lead: Any) -> None:
    call, other = make.call("ana", lead_id=lead.id), make.lead("ana")
    ana.form(f"/calls/outcome/{call.id}", {"place": other.number, "outcome": "Interested"})
    assert fresh(crm, call).lead_id == lead.id


# --- timelines


def test_a_line_of_the_timeline_tells_the_call_as_it_is_now(crm: Crm, make: Make, ana: UserClient, lead: Any) -> None:
    call = make.call("ana", lead_id=lead.id, at=NOW, duration_seconds=5)
    crm.session.get_one(CallLog, call.id).duration_seconds = 130
    crm.session.commit()
    page = ana.screen(f"/leads/{lead.number}").text
    assert "called Ravi Kumar · 2m 10s" in page and f"/calls/outcome/{call.id}" in page


# --- many at once


def many(*calls: dict[str, Any]) -> dict[str, Any]:
    known = {
        "direction": "Incoming",
        "from_number": "9820011111",
        "to_number": "9820099999",
        "status": "Completed",
        "started_on": "2026-01-05T10:00:00Z",
        "duration_seconds": 42,
    }
    return {"call_logs": [known | {"device_call_id": f"d{n}"} | call for n, call in enumerate(calls)]}


def test_each_call_of_a_batch_has_its_answer(crm: Crm, ana: UserClient) -> None:
    body = many({}, {"duration_seconds": "long"}, {"status": "Missed Call", "from_number": "9820022222"})
    for statuses in (["created", "error", "created"], ["duplicate", "error", "duplicate"]):
        results = ana.rest("POST", "call_log/bulk", body).json["results"]
        assert [each["status"] for each in results] == statuses
        assert [each["index"] for each in results] == [0, 1, 2]
    assert results[1]["code"] == "bad_duration" and results[1]["error"]
    assert sorted(crm.rows(select(CallLog.status))) == ["Completed", "Missed Call"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"call_logs": [{}] * 1001}, 413), ({"call_logs": {}}, 422), ({}, 422), ({"call_logs": []}, 200), ([], 422)],
)
def test_what_is_no_batch_is_refused(ana: UserClient, body: Any, status: int) -> None:
    assert ana.rest("POST", "call_log/bulk", body).status_code == status


def test_who_may_not_log_calls_sends_none(crm: Crm) -> None:
    assert crm.client("rhea").rest("POST", "call_log/bulk", many({})).status_code == 403
