"""Boards: visibility, moves through the form's endpoint, statuses with required fields; cells; the quick form."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select, update

from app import access
from app.models import Lead, LeadStatus, Task
from app.web.core.queries import capped_counts
from app.web.records.lists import grouped_rows
from app.web.records.lists.board_page import CARDS
from tests.app_fixtures import Crm
from tests.cases import each_case

HX = {"HX-Request": "true"}


def move(crm: Crm, who: str, row: Any, status: Any, kind: str = "leads", **form: Any) -> Any:
    return crm.client(who).form(f"/{kind}/board/move/{row.id}", {"status": status, **form}, headers=HX)


@pytest.mark.parametrize("who, seen", [("ana", 22), ("ben", 1), ("mia", 22), ("root", 23), ("cleo", None)])
def test_a_board_shows_what_the_person_sees(crm: Crm, who: str, seen: int | None) -> None:
    for _ in range(22):
        crm.make.lead("ana")
    crm.make.lead("ben")
    answer = crm.client(who).screen("/leads/?layout=board")
    if seen is None:
        assert answer.status_code in (302, 403)
        return
    shown = unescape(answer.text)
    assert re.findall(r"data-column-count>(\d+)<", shown)[0] == str(seen)
    assert shown.count("data-card=") == min(seen, CARDS) and ("data-more-url" in shown) == (seen > CARDS)
    column = f"/leads/board/{crm.lead_status['New']}?layout=board&page="
    for page in range(1, -(-seen // CARDS)):
        rest, left = crm.client(who).screen(f"{column}{page}", headers=HX).text, seen - page * CARDS
        assert rest.count("data-card=") == min(left, CARDS) and ("data-more-url" in rest) == (left > CARDS)


def test_a_column_with_more_cards_than_are_counted_is_not_counted_again(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def number() -> str:
        shown = crm.client("ana").screen("/leads/?layout=board").text
        return re.findall(r"data-column-count>([^<]+)<", shown)[0]

    monkeypatch.setattr(grouped_rows, "COUNT_CAP", 2)
    made = [crm.make.lead("ana") for _ in range(3)]
    assert number() == "2+"
    other = update(Lead).where(Lead.id == made[0].id).values(status_id=crm.lead_status["Junk"])
    crm.session.execute(other)
    crm.session.commit()
    assert number() == "2+"
    monkeypatch.setattr(capped_counts, "is_capped", lambda _person, _key: False)
    assert number() == "2"


def test_filters_and_masks_hold_on_the_board(crm: Crm) -> None:
    crm.make.lead("ana", first_name="Zubin", mobile="9820012345")
    crm.make.lead("ana", first_name="Other")
    crm.make.mask("Sales User", mobile="last4")
    shown = crm.client("ana").screen("/leads/?layout=board&_flt_eq_first_name=Zubin").text
    assert shown.count("data-card=") == 1 and "Zubin" in shown and "20012345" not in shown


@each_case("path", ["/calls/?layout=board", "/leads/?layout=x", "/leads/?group=mobile", "/leads/board/99"])
def test_layouts_that_there_are_not(crm: Crm, path: str) -> None:
    assert crm.client("ana").screen(path).status_code in (400, 404)


def test_a_move_goes_through_the_endpoint_of_the_form(crm: Crm) -> None:
    lead, new = crm.make.lead("ana"), crm.lead_status["New"]
    contacted = crm.lead_status["Contacted"]
    answer = move(crm, "ana", lead, contacted, **{"from": str(new)})
    assert answer.status_code == 200 and f'data-card="{lead.id}"' in answer.text
    assert crm.fresh(lead).status_id == contacted
    stale = move(crm, "ana", lead, crm.lead_status["Junk"], **{"from": str(new)})
    assert stale.status_code == 409 and "Contacted" in stale.headers["X-Sentence"]
    assert move(crm, "ben", lead, new).status_code == 404
    assert crm.fresh(lead).status_id == contacted
    move(crm, "ana", lead, crm.lead_status["Junk"])
    closed = move(crm, "ana", lead, new)
    assert closed.status_code == 422 and "Only a manager can reopen it" in closed.headers["X-Sentence"]


def test_a_board_that_was_opened_before_moves_no_card_to_a_status_that_is_no_longer_offered(crm: Crm) -> None:
    lead, other, new = crm.make.lead("ana"), crm.make.lead("ana"), crm.lead_status["New"]
    junk = crm.lead_status["Junk"]
    assert move(crm, "ana", other, junk).status_code == 200
    crm.session.execute(update(LeadStatus).where(LeadStatus.id == junk).values(is_active=False))
    access.bump_version(crm.session)
    crm.session.commit()
    assert move(crm, "ana", lead, junk, **{"from": str(new)}).status_code == 404
    assert crm.fresh(lead).status_id == new
    stale = move(crm, "ana", other, new, **{"from": str(new)})
    assert stale.status_code == 409 and "Junk" in stale.headers["X-Sentence"]


@pytest.mark.parametrize(
    "label, field, value",
    [
        ("Sent to HO", "pod_id", "POD 1"),
        ("Account Opened", "client_id", "ESH77"),
        ("Rejected - Follow-up Required", "rejection_reason", "No PAN"),
    ],
)
def test_a_gate_asks_first_and_keeps_what_was_typed(crm: Crm, label: str, field: str, value: str) -> None:
    lead, status = crm.make.lead("ana"), crm.lead_status[label]
    asked = move(crm, "ana", lead, status)
    assert asked.status_code == 200 and asked.headers["X-Needs"] == "1" and f'name="{field}"' in asked.text
    assert crm.fresh(lead).status_id == crm.lead_status["New"]
    empty = move(crm, "ana", lead, status, asked="1", **{field: ""})
    assert empty.status_code == 422 and "needs" in empty.text
    assert move(crm, "ana", lead, status, asked="1", **{field: value}).status_code == 200
    assert crm.fresh(lead).status_id == status and getattr(crm.fresh(lead), field) == value


def test_scheduling_asks_for_the_task(crm: Crm) -> None:
    lead, status = crm.make.lead("ana"), crm.lead_status["Follow-up Scheduled"]
    asked = move(crm, "ana", lead, status).text
    # The next morning in the office is proposed, as where a task is done and followed up.
    assert re.search(r'name="task_due_on"[^>]* value="20\d\d-\d\d-\d\dT\d\d:\d\d"', asked)
    form = {"asked": "1", "task_title": "Ring", "task_due_on": "2027-01-05T10:00"}
    assert move(crm, "ana", lead, status, **form).status_code == 200
    assert crm.count(Task, Task.lead_id == lead.id, Task.title == "Ring") == 1


def test_without_javascript_a_page_offers_the_statuses(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    page = crm.client("ana").screen(f"/leads/board/move/{lead.id}").text
    assert "<html" in page and f'name="status" value="{crm.lead_status["Contacted"]}"' in page
    asked = crm.client("ana").form(f"/leads/board/move/{lead.id}", {"status": crm.lead_status["Sent to HO"]})
    assert "<html" in asked.text and 'name="pod_id"' in asked.text


def test_tickets_and_tasks_have_boards(crm: Crm) -> None:
    ticket = crm.make.ticket("cleo")
    task = crm.make.task(crm.make.lead("ana"))
    assert f'data-card="{ticket.id}"' in crm.client("cleo").screen("/tickets/?layout=board").text
    assert f'data-card="{task.id}"' in crm.client("ana").screen("/tasks/?layout=board").text
    assert move(crm, "ana", task, "In Progress", "tasks").status_code == 200
    assert crm.fresh(task).status == "In Progress"


# --- cells


def cell(crm: Crm, who: str, lead: Any, name: str, **form: Any) -> Any:
    return crm.client(who).form(f"/leads/cell/{lead.id}/{name}", form, headers=HX)


def test_a_cell_is_saved_refused_and_in_conflict(crm: Crm) -> None:
    lead = crm.make.lead("ana", email="old@a.example")
    assert 'name="before" value="old@a.example"' in crm.client("ana").screen(f"/leads/cell/{lead.id}/email").text
    saved = cell(crm, "ana", lead, "email", before="old@a.example", email="new@a.example")
    assert saved.status_code == 200 and "new@a.example" in saved.text
    refused = cell(crm, "ana", lead, "email", before="new@a.example", email="no address")
    assert refused.status_code == 422 and "no address" in refused.text and 'role="alert"' in refused.text
    stale = cell(crm, "ana", lead, "email", before="old@a.example", email="mine@a.example")
    assert stale.status_code == 409 and "mine@a.example" in stale.text and "new@a.example" in stale.text
    assert crm.fresh(lead).email == "new@a.example"
    won = cell(crm, "ana", lead, "email", before="new@a.example", email="mine@a.example")
    assert won.status_code == 200 and crm.fresh(lead).email == "mine@a.example"


@pytest.mark.parametrize("who, name, status", [("ana", "number", 422), ("ana", "nope", 404), ("ben", "email", 404)])
def test_cells_that_cannot_be_edited(crm: Crm, who: str, name: str, status: int) -> None:
    lead = crm.make.lead("ana")
    assert cell(crm, who, lead, name, before="", **{name: "x"}).status_code == status
    crm.make.mask("Sales User", mobile="last4")
    assert cell(crm, "ana", lead, "mobile", before="", mobile="9820012345").status_code == 422


def test_a_record_is_previewed_by_those_who_see_it(crm: Crm) -> None:
    lead = crm.make.lead("ana", first_name="Zubin")
    assert "Zubin" in crm.client("ana").screen(f"/leads/preview/{lead.id}").text
    assert crm.client("ben").screen(f"/leads/preview/{lead.id}").status_code == 404


# --- the quick form


def test_the_quick_form_saves_and_keeps_what_was_typed(crm: Crm) -> None:
    client = crm.client("ana")
    bad = client.form("/leads/quick", {"first_name": "Nandini", "mobile": "12"}, headers=HX)
    assert bad.status_code == 422 and 'value="Nandini"' in bad.text and crm.count(Lead) == 0
    again = client.form("/leads/quick", {"first_name": "Nandini", "mobile": "9820012345", "again": "1"}, headers=HX)
    assert again.status_code == 200 and "Lead saved. CRM-LEAD-" in again.text and 'value="Nandini"' not in again.text
    done = client.form("/leads/quick", {"first_name": "Omi", "mobile": "9820012346"}, headers=HX)
    assert done.headers["HX-Redirect"].startswith("/leads/CRM-LEAD-") and crm.count(Lead) == 2
    task = {"task_title": "Visit", "task_due_on": "2027-02-30T10:00"}
    typed = {"first_name": "Page", "mobile": "9820012347"}
    bad = client.form("/leads/quick", typed | task)
    assert bad.status_code == 422 and 'value="Visit"' in bad.text and crm.count(Lead) == 2
    assert client.form("/leads/quick", typed | task | {"task_due_on": "2027-02-20T10:00"}).status_code == 302
    made = crm.rows(select(Task).where(Task.title == "Visit"))
    assert [each.due_on.isoformat() for each in made] == ["2027-02-20T04:30:00+00:00"]


@pytest.mark.parametrize("who, told", [("ana", True), ("mia", True), ("ben", False)])
def test_the_quick_form_tells_of_known_people_whom_one_sees(crm: Crm, who: str, told: bool) -> None:
    crm.make.lead("ana", first_name="Zubin", mobile="9820012345", email="z@a.example")
    for typed in ({"mobile": "+91 98200-12345"}, {"email": "z@a.example"}):
        assert ("Zubin" in crm.client(who).form("/leads/known", typed, headers=HX).text) == told
    crm.make.mask("Sales User", mobile="last4", email="hidden")
    assert "Zubin" not in crm.client("ana").form("/leads/known", {"mobile": "9820012345"}, headers=HX).text


@pytest.mark.parametrize("path", ["leads", "tickets", "customers"])
def test_the_full_form_tells_of_known_people_too(crm: Crm, path: str) -> None:
    crm.make.lead("ana", first_name="Zubin", mobile="9820012345", pan="ABCDE1234F")
    page = crm.client("root").screen(f"/{path}/add").text
    assert f'data-known-url="/{path}/known"' in page and "data-known " in page
    assert "Zubin" in crm.client("root").form(f"/{path}/known", {"pan": "ABCDE1234F"}, headers=HX).text
    assert "data-known" not in crm.client("root").screen("/tasks/add").text


def test_the_open_tickets_of_who_is_known_are_shown_to_those_who_see_them(crm: Crm) -> None:
    asha = crm.make.customer("ana", first_name="Asha", mobile="9820012345")
    crm.make.cell("Sales User", "Tickets", "read", "own")
    made = [crm.make.ticket("cleo", customer_id=asha.id) for _ in range(2)]
    move = {"status": "Resolved", "resolution": "Done."}
    assert crm.client("cleo").rest("PUT", f"ticket/{made[0].id}", move).status_code == 200
    for who, seen in (("root", True), ("cleo", True), ("ana", False)):
        said = crm.client(who).form(
            "/tickets/known" if who != "ana" else "/leads/known", {"mobile": "9820012345"}, headers=HX
        )
        assert "Asha" in said.text and made[0].number not in said.text
        assert (made[1].number in said.text) is seen
        assert f'"value": {asha.id}' in unescape(said.text)


def test_an_admin_chooses_quick_filters_and_the_quick_form(crm: Crm) -> None:
    root = crm.client("root")
    mark = re.search(r'name="version" value="(\w+)"', root.screen("/settings/lists/?list=leads").text)
    assert mark is not None
    form = {"list": "leads", "version": mark[1], "quick_order": ["source"], "quick": ["source"]}
    form |= {"create_order": ["mobile", "first_name"], "create": ["mobile", "first_name"]}
    assert root.form("/settings/lists/", form).status_code == 302
    page = crm.client("ana").screen("/leads/").text
    assert 'name="_flt_eq_source"' in page and 'name="_flt_eq_status"' not in page
    quick = crm.client("ana").screen("/leads/quick", headers=HX).text
    assert quick.index('name="mobile"') < quick.index('name="first_name"') and 'name="email"' not in quick
    assert crm.client("ana").screen("/settings/lists/").status_code in (302, 403)


def test_quick_and_full_forms_offer_first_those_who_may_get_the_record(crm: Crm) -> None:
    for who, path, kind in (("ana", "/leads/", "leads"), ("cleo", "/tickets/", "ticket")):
        for form in ("quick", "add"):
            assert f"/people/lookup?first={kind}" in crm.client(who).screen(path + form, headers=HX).text, path + form


def test_a_column_adds_a_record_with_its_status_unless_that_asks_for_something(crm: Crm) -> None:
    crm.make.lead("ana")
    shown, status = unescape(crm.client("ana").screen("/leads/?layout=board").text), crm.lead_status
    assert f'href="/leads/quick?status={status["Contacted"]}"' in shown
    for label in ("Sent to HO", "Junk", "Follow-up Scheduled"):
        assert f'href="/leads/quick?status={status[label]}"' not in shown
    form = crm.client("ana").screen(f"/leads/quick?status={status['Contacted']}").text
    assert f'name="status" value="{status["Contacted"]}"' in form
    typed = {"first_name": "Zubin", "mobile": "12", "status": str(status["Contacted"])}
    refused = crm.client("ana").form("/leads/quick", typed)
    assert refused.status_code == 422 and f'name="status" value="{status["Contacted"]}"' in refused.text
    assert crm.client("ana").form("/leads/quick", typed | {"mobile": "9820012345"}).status_code == 302
    assert crm.count(Lead, Lead.status_id == status["Contacted"]) == 1


def test_an_empty_board_says_what_to_do(crm: Crm) -> None:
    assert "No leads yet." in crm.client("ana").screen("/leads/?layout=board").text
    assert "No records match your filters." in crm.client("ana").screen("/leads/?layout=board&q=zzzz").text
    crm.make.lead("ana")
    assert "No leads yet." not in crm.client("ana").screen("/leads/?layout=board").text
