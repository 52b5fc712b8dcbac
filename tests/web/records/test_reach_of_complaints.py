"""What people can't do to complaints beyond their reach, and can't learn of them, whatever tickets they see."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from app.models import Complaint, Ticket
from tests.app_fixtures import Make

DATA = {"source": "SEBI SCORES", "category": "Demat", "title": "Shares not credited"}


@pytest.fixture
def crm(crm_on_both: Any) -> Any:
    return crm_on_both


@pytest.fixture
def make(crm: Any) -> Make:
    return Make(crm)


def register(crm: Any, who: str, ticket: Any, **values: Any) -> Any:
    return crm.client(who).rest("POST", "complaint/", {"ticket": ticket.number, **DATA, **values})


def test_a_joined_complaint_is_parted_only_by_those_who_may_change_both(crm: Any, make: Make) -> None:
    other = register(crm, "cleo", make.ticket("cleo")).get_json()["id"]
    kept = register(crm, "sam", make.ticket("sam")).get_json()
    number = crm.rows(select(Complaint.number).where(Complaint.id == other))[0]
    assert crm.client("sam").form(f"/complaints/join/{kept['id']}", {"other": number}).status_code == 302
    refused = crm.client("cleo").form(f"/complaints/part/{other}")
    assert refused.status_code == 403 and "joined to one that you can&#39;t change" in refused.text
    page = crm.client("cleo").screen(f"/complaints/{number}").text
    offers = ("/complaints/acknowledge/", "/complaints/join/", "/complaints/part/", "/complaints/entry/")
    assert [each for each in offers if each in page] == [], "nothing is offered that would be refused"
    assert crm.rows(select(Complaint.joined_to_id).where(Complaint.id == other)) == [kept["id"]]
    make.cell("Support User", "Complaints", "read", "all")
    make.cell("Support User", "Tickets", "read", "all")
    assert crm.client("cleo").rest("GET", f"complaint/{kept['id']}").status_code == 200
    assert crm.client("cleo").form(f"/complaints/part/{other}").status_code == 403, "seen, but not theirs to change"
    assert crm.client("sam").form(f"/complaints/part/{other}").status_code == 302


def test_tickets_of_colleagues_are_registered_by_those_whose_role_reaches_them(crm: Any, make: Make) -> None:
    make.cell("Support User", "Tickets", "read", "all")
    ticket = make.ticket("sam")
    offered = [f"/complaints/add?ticket={each.number}" in page_of(crm, each) for each in (ticket, make.ticket("cleo"))]
    assert offered == [False, True]
    refused = register(crm, "cleo", ticket)
    assert refused.status_code == 403 and "not register it as a complaint" in refused.get_json()["message"]
    assert crm.rows(select(Complaint)) == [] and crm.rows(select(Ticket.complaint_state)) == [None]
    make.cell("Support User", "Complaints", "read", "all")
    assert register(crm, "cleo", ticket).status_code == 403
    form = DATA | {"ticket": str(ticket.id), "category": "1", "received_on": "2026-11-01", "title": "Kept when refused"}
    assert crm.client("cleo").form("/complaints/add", form).status_code == 403
    make.cell("Support User", "Complaints", "create", "all")
    assert f"/complaints/add?ticket={ticket.number}" in page_of(crm, ticket)
    assert register(crm, "cleo", ticket).status_code == 201


def page_of(crm: Any, ticket: Any) -> str:
    return str(crm.client("cleo").screen(f"/tickets/{ticket.number}").text)


def test_the_timeline_of_a_ticket_is_silent_about_a_complaint_beyond_reach(crm: Any, make: Make) -> None:
    ticket = make.ticket("sam")
    key = register(crm, "sam", ticket).get_json()["id"]
    assert crm.client("sam").rest("PUT", f"complaint/{key}", {"title": "Forged signature"}).status_code == 200
    url = f"/tickets/{ticket.number}"
    assert "Forged signature" in crm.client("sam").screen(url).text
    make.cell("Support User", "Tickets", "read", "all")
    cleo = crm.client("cleo")
    assert cleo.rest("GET", f"complaint/{key}").status_code == 404
    entries = cleo.rest("GET", "activity/", q={"filters": [{"col": "ticket", "opr": "eq", "value": ticket.id}]})
    assert entries.status_code == 200
    for shown in (cleo.screen(url).text, cleo.screen(f"/tickets/timeline/{ticket.id}").text, entries.text):
        assert "Forged signature" not in shown and "CRM-COMPLAINT" not in shown
    make.cell("Support User", "Complaints", "read", "all")
    assert "Forged signature" in cleo.screen(url).text


def test_a_reference_stays_within_its_length_in_capitals(crm: Any, make: Make) -> None:
    refused = register(crm, "cleo", make.ticket("cleo"), reference="ß" * 40)
    assert refused.status_code == 422 and "at most 60" in refused.get_json()["errors"]["reference"][0]
    key = register(crm, "cleo", make.ticket("cleo")).get_json()["id"]
    entry = {"source": "Investor", "reference": "ß" * 40, "received_on": "2026-11-01", "way": "Letter"}
    again = crm.client("cleo").form(f"/complaints/entry/{key}", entry)
    assert again.status_code == 422 and "at most 60" in again.text and "ß" * 40 in again.text


def test_an_amount_is_checked_as_it_is_stored(crm: Any, make: Make) -> None:
    refused = register(crm, "cleo", make.ticket("cleo"), amount_in_dispute=999999999999.999)
    assert refused.status_code == 422 and "from 0 to" in refused.get_json()["errors"]["amount_in_dispute"][0]
    made = register(crm, "cleo", make.ticket("cleo"), amount_in_dispute=999999999999.99)
    assert made.status_code == 201 and made.get_json()["result"]["amount_in_dispute"] == 999999999999.99


def test_the_days_that_a_complaint_took_are_a_number_to_filter_by(crm: Any, make: Make) -> None:
    cleo = crm.client("cleo")
    key = register(crm, "cleo", make.ticket("cleo"), received_on="2026-11-01").get_json()["id"]
    done = {"outcome": "Resolved", "report_actions": "Credited.", "disposed_on": "2026-11-08"}
    assert cleo.rest("GET", f"complaint/{key}").get_json()["result"]["days_taken"] is None
    assert cleo.rest("PUT", f"complaint/{key}", done).status_code == 200
    assert repr(cleo.rest("GET", f"complaint/{key}").get_json()["result"]["days_taken"]) == "7"
    found = [
        cleo.rest("GET", "complaint/", q={"filters": [{"col": "days_taken", "opr": opr, "value": 7}]}).get_json()["ids"]
        for opr in ("le", "gt")
    ]
    assert found == [[key], []]


def test_what_is_not_seen_is_no_report(crm: Any, make: Make) -> None:
    key = register(crm, "cleo", make.ticket("cleo")).get_json()["id"]
    change = {"outcome": "Resolved", "report_actions": "\u202e\u200b \ufeff"}
    refused = crm.client("cleo").rest("PUT", f"complaint/{key}", change)
    assert refused.status_code == 422 and "report_actions" in refused.get_json()["errors"]
