"""Names in place of user ids: in tasks, requests, notices and on timelines; one entry per action."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from types import SimpleNamespace as Namespace
from typing import Any, cast

import pytest

from app.notice_links import RecordCard, record_cards
from app.web.core.fields import date_fields
from tests.app_fixtures import Crm

NOW = datetime.now(UTC)


def page_of(crm: Crm, who: str, path: str) -> str:
    return unescape(crm.client(who).screen(path).text)


def rows_of(page: str) -> list[str]:
    return page.partition("<tbody>")[2].partition("</tbody>")[0].split("</tr>")[:-1]


# --- tasks


def test_tasks_name_the_person(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={})
    crm.make.task(lead, title="Visit")
    (row,) = rows_of(page_of(crm, "ana", "/tasks/"))
    assert ">Ravi Kumar</a>" in row and f'href="/leads/{lead.number}"' in row


def test_a_task_of_a_ticket_names_its_customer(crm: Crm) -> None:
    ticket = crm.make.ticket("cleo", customer_id=crm.make.customer("cleo").id)
    (row,) = rows_of(page_of(crm, "root", "/tasks/"))
    assert ">Asha Patel</a>" in row and f'href="/tickets/{ticket.number}"' in row


def test_messages_name_the_person_they_are_for(crm: Crm) -> None:
    """Also of a lead without a customer; a record that one doesn't see isn't named."""
    customer, lead = crm.make.customer("ana"), crm.make.lead("ana", task={})
    lead_of_customer = crm.make.lead("ana", task={}, mobile="9811100011")
    for names in ({"lead_id": lead.id}, {"customer_id": customer.id}, {"lead_id": lead_of_customer.id}):
        crm.make.message("ana", **names)
    nameless = crm.make.lead("ana", task={}, first_name=None, last_name=None, mobile="9811100012")
    crm.make.message("ana", lead_id=nameless.id)
    page = page_of(crm, "ana", "/messages/")
    assert f'href="/leads/{lead.number}" title="{lead.number}">Ravi Kumar</a>' in page.replace("=/", '="/') or page
    rows = {key: row for row in rows_of(page) for key in (lead, customer, nameless) if key.number in row}
    assert ">Ravi Kumar</a>" in rows[lead] and ">Asha Patel</a>" in rows[customer]
    assert f">{nameless.number}</a>" in rows[nameless] and len(rows_of(page)) == 4


def test_the_list_opens_with_the_open_tasks_by_due_time(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={})
    for title, days in (("Later", 3), ("First", -1), ("Second", 1)):
        crm.make.task(lead, title=title, due_on=NOW + timedelta(days=days))
    crm.make.task(lead, title="Some day", due_on=None)
    crm.make.task(lead, title="Over", status="Done")
    order = ("First", "Second", "Later", "Some day")
    rows = rows_of(page_of(crm, "ana", "/tasks/"))
    assert [title for row in rows for title in order if f">{title}<" in row] == list(order) and len(rows) == 4
    assert len(rows_of(page_of(crm, "ana", "/tasks/?tab=all"))) == 5
    assert len(rows_of(page_of(crm, "ana", "/tasks/?_flt_eq_status=Done"))) == 1


@pytest.mark.parametrize("status, is_red", [("Todo", True), ("Backlog", True), ("Done", False), ("Canceled", False)])
def test_only_open_tasks_are_late(crm: Crm, status: str, is_red: bool) -> None:
    task = crm.make.task(crm.make.lead("ana", task={}), due_on=NOW - timedelta(days=1), status=status)
    page = page_of(crm, "ana", "/tasks/?tab=all")
    assert ("is-late" in rows_of(page)[0]) is is_red
    assert ("is-late" in page_of(crm, "ana", f"/tasks/show/{task.id}").partition("<dl")[2]) is is_red


@pytest.mark.parametrize("status, is_red", [("Contacted", True), ("Junk", False), ("Unqualified", False)])
def test_only_open_leads_have_a_late_follow_up(crm: Crm, status: str, is_red: bool) -> None:
    lead = crm.make.lead("ana", task={}, next_follow_up_on=NOW - timedelta(days=1))
    crm.client("ana").rest("PUT", f"lead/{lead.id}", {"status": status})
    assert ("is-late" in rows_of(page_of(crm, "ana", "/leads/"))[0]) is is_red


def test_a_hidden_lead_gives_no_name_away(crm: Crm) -> None:
    lead = crm.make.lead("ben", task={})
    crm.make.task(lead, title="Help", assignee_id=crm.people["ana"].id)
    page = page_of(crm, "ana", "/tasks/")
    assert ("Ravi" in page) is crm.client("ana").sees(lead)


# --- requests


def test_requests_are_decided_in_their_list(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    pending = crm.make.request(lead, "ben", "ana")
    row = rows_of(page_of(crm, "root", "/requests/?tab=waiting"))[0]
    assert f'action="/requests/decide/{pending.id}?approve=1"' in row and ">Ravi Kumar</a>" in row
    assert f'href="/requests/reject/{pending.id}"' in row
    own = rows_of(page_of(crm, "ana", "/requests/?tab=mine"))[0]
    assert "/requests/decide/" not in own and f"/requests/withdraw/{pending.id}" in own


# --- notices and the timeline


def test_notices_name_the_person(crm: Crm) -> None:
    lead = crm.make.lead("mia", task={})
    crm.make.give(lead, "ana", "mia")
    text = page_of(crm, "ana", "/bell/")
    assert "assigned Ravi Kumar (" in text and f'<span class="whole">{lead.number}</span>) to you.' in text


def entries(crm: Crm, who: str, row: Any) -> list[str]:
    page = page_of(crm, who, f"/leads/show/{row.id}" if row.__tablename__ == "leads" else f"/tickets/show/{row.id}")
    lines = page.partition("data-timeline")[2].split('class="entry-head"')[1:]
    return [" ".join(_plain(line.partition("<time")[0]).split()) for line in lines]


def _plain(html: str) -> str:
    text, inside = "", False
    for sign in html.partition(">")[2]:
        inside = sign == "<" or (inside and sign != ">")
        text += "" if inside or sign == ">" else sign
    return text


def test_a_creation_is_one_line(crm: Crm) -> None:
    (line,) = entries(crm, "ana", crm.make.lead("ana"))
    assert line.startswith("Ana Shah created this lead and added a task: ")
    (line,) = entries(crm, "cleo", crm.make.ticket("cleo"))
    assert line.startswith("Cleo Shah created this ticket and added a task: Handle ticket: ")


def test_a_new_status_is_one_line_with_what_it_asked_for(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={})
    body = {"status": "Sent to HO", "pod_id": "POD-77", "description": "Sent by courier"}
    assert crm.client("ana").rest("PUT", f"lead/{lead.id}", body).status_code == 200
    lines = entries(crm, "ana", lead)
    assert lines[0] == "Ana Shah changed the status from New to Sent to HO" and len(lines) == 2
    page = page_of(crm, "ana", f"/leads/{lead.number}").partition("data-timeline")[2].partition("</ol>")[0]
    assert "Sent by courier" in page and page.count("POD-77") == 1


def test_reasons_are_sentences(crm: Crm) -> None:
    lead = crm.make.lead("mia", task={})
    crm.make.give(lead, "ana", "mia", at=NOW)
    assert entries(crm, "mia", lead)[0] == "Mia Shah assigned this to Ana Shah"


def test_a_lead_without_a_name_is_called_by_its_number_everywhere(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={}, first_name="", last_name="", mobile="9820012345")
    for path in ("/leads/", "/leads/?layout=board", f"/leads/show/{lead.id}", "/"):
        page = page_of(crm, "ana", path)
        assert re.search(r"<(h1|a|span)[^>]*>(<span[^>]*>)?\+91 98200 12345", page), path
    crm.make.mask("Sales User", mobile="last4")
    assert f'class=row-link href="/leads/{lead.number}">{lead.number}<' in page_of(crm, "ana", "/leads/")


@pytest.mark.parametrize(
    "ahead, text",
    [
        (timedelta(seconds=50), "now"),
        (timedelta(minutes=59, seconds=30), "in 60 min"),
        (timedelta(minutes=115), "in 115 min"),
        (timedelta(minutes=121), "in 2 h"),
        (timedelta(hours=47), "in 47 h"),
        (timedelta(hours=49), "in 2 d"),
        (-timedelta(minutes=115), "1 h ago"),
    ],
)
def test_what_is_ahead_is_not_told_shorter_than_it_is(crm: Crm, ahead: timedelta, text: str) -> None:
    with crm.app.test_request_context():
        assert date_fields.relative(NOW + ahead, cast(Any, Namespace(now=NOW, zone=UTC))) == text


def test_tickets_by_email_are_told_apart_by_subject_and_sender(crm: Crm) -> None:
    """In the list, on the board, in the palette and in notices; the address as far as the role shows it."""
    contact: dict[str, Any] = {"source": "E-mail", "email": "neha@example.in", "owner_id": crm.people["cleo"].id}
    named = crm.make.ticket("cleo", summary="Cannot sign in", first_name="Neha", **contact)
    crm.make.ticket("cleo", summary="Contract note missing", **contact)
    crm.make.mask("Support User", email="last4")
    rows = "".join(rows_of(page_of(crm, "cleo", "/tickets/")))
    assert all(text in rows for text in ("Cannot sign in", "Neha", "Contract note missing"))
    assert "neha@example.in" not in rows and "e.in" in rows
    board = crm.client("cleo").screen("/tickets/?layout=board").text
    assert "Cannot sign in" in board and "Neha" in board
    found = crm.client("cleo").screen("/search/hits?q=cannot+sign").text
    assert "Cannot sign in" in found and "Neha" in found
    card = record_cards(crm.session, [Namespace(lead_id=None, ticket_id=named.id, customer_id=None)])
    assert list(card.values()) == [RecordCard(named.number, "Neha", "Cannot sign in")]
    typed = {"version": named.version, "subjects": [2], "summary": " Locked  out "}
    assert crm.client("cleo").form(f"/tickets/edit/{named.id}", typed).status_code == 302
    assert crm.fresh(named).title == "Locked out"
    shown = unescape(crm.client("cleo").screen(f"/tickets/{named.number}").text)
    assert "KYC update" in shown and "Re-KYC" in shown and "Locked out" in shown
