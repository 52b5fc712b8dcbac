"""Assigning through the endpoints: to a person, by turn, several to one ticket; refusals change nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from app.domain import assignment
from app.domain.base import Stamp
from app.domain.bulk_undo import BulkChange
from app.models import Assignment, Notification, Role, Ticket, User
from tests.app_fixtures import Crm


def given(crm: Crm, who: str, row: Any, **body: Any) -> tuple[int, str]:
    """Status and sentence of the REST endpoint."""
    kind = "lead" if row.__tablename__ == "leads" else "ticket"
    answer = crm.client(who).rest("POST", f"{kind}/{row.id}/assign", body)
    return answer.status_code, answer.get_json().get("message", "")


def page_after(crm: Crm, who: str, path: str, data: dict[str, Any]) -> str:
    """What the page says where the form leads to."""
    return unescape(crm.client(who).form(path, data, follow_redirects=True).text)


def away(crm: Crm, name: str, **columns: Any) -> None:
    user = crm.session.get_one(User, crm.people[name].id)
    for column, value in columns.items():
        setattr(user, column, value)
    crm.session.commit()


SOON = datetime.now(UTC) + timedelta(days=3)
ABSENT = [
    ({"active": False}, "Ana Shah is deactivated and can't take new work now. Please choose someone else."),
    ({"available": False}, "Ana Shah is not available and can't take new work now."),
    ({"away_until": SOON}, "Ana Shah is away until "),
    ({"leave_from": SOON - timedelta(days=4), "leave_to": SOON}, "Ana Shah is on leave until "),
    ({"leave_from": SOON - timedelta(days=4), "leave_to": SOON, "delegate_id": "ben"}, "Ben Shah is covering."),
]


@pytest.mark.parametrize("columns, sentence", ABSENT)
def test_nothing_is_given_to_who_is_absent(crm: Crm, columns: dict[str, Any], sentence: str) -> None:
    lead = crm.make.lead("ben")
    away(crm, "ana", **{name: crm.people[v].id if v == "ben" else v for name, v in columns.items()})
    before = crm.stored(lead)
    code, said = given(crm, "root", lead, assign_to="ana")
    assert code == 422 and sentence in said
    page = page_after(crm, "root", f"/leads/assign/{lead.id}", {"how": "person", "assignee": crm.people["ana"].id})
    assert sentence in page and crm.stored(lead) == before


WRONG = [
    ({"assign_to": "nobody"}, 422, "There is no colleague"),
    ({}, 422, "choose a colleague"),
    ({"assign_to_role": "Nobody"}, 422, "no role named"),
    ({"assign_to_role": "Empty"}, 422, "No one else with the role"),
]


@pytest.mark.parametrize("body, code, sentence", WRONG)
def test_a_wrong_wish_is_a_sentence(crm: Crm, body: dict[str, Any], code: int, sentence: str) -> None:
    crm.session.add(Role(name="Empty"))
    lead = crm.make.lead("ben")
    before = crm.stored(lead)
    assert given(crm, "root", lead, **body)[0] == code and sentence in given(crm, "root", lead, **body)[1]
    how = "role" if "assign_to_role" in body else "person"
    form = {"how": how, "assignee": body.get("assign_to", ""), "role": body.get("assign_to_role", "")}
    assert sentence in page_after(crm, "root", f"/leads/assign/{lead.id}", form)
    assert crm.stored(lead) == before


@pytest.mark.parametrize("who", ["root", "ana"])
def test_a_vanished_record_is_not_there(crm: Crm, who: str) -> None:
    assert crm.client(who).rest("POST", "lead/99999/assign", {"assign_to": "ana"}).status_code in (403, 404)
    for way in ("assign", "why"):
        assert crm.client(who).screen(f"/leads/{way}/99999").status_code == 404
    assert crm.client(who).form("/leads/assign/99999", {"how": "person", "assignee": "1"}).status_code == 404


def test_who_has_it_already_keeps_it(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    before = crm.stored(lead)
    assert given(crm, "root", lead, assign_to="ana")[0] == 200
    form = {"how": "person", "assignee": crm.people["ana"].id}
    assert "Ana Shah is already assigned." in page_after(crm, "root", f"/leads/assign/{lead.id}", form)
    assert crm.stored(lead) == before and crm.count(Notification, Notification.kind == "assigned") == 0


def test_a_manager_takes_a_lead_of_the_team_himself(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    assert given(crm, "mia", lead, assign_to="mia")[0] == 200
    assert crm.stored(lead)["assignee_id"] == crm.people["mia"].id


def test_many_are_given_by_turn(crm: Crm) -> None:
    leads = [crm.make.lead("mia") for _ in range(4)]
    form = {"action": "turn", "role": "Sales User", "rowid": [lead.id for lead in leads]}
    page = page_after(crm, "root", "/leads/action_post", form)
    people = sorted(crm.stored(lead)["assignee_id"] for lead in leads)
    assert people == sorted([crm.people["ana"].id, crm.people["ben"].id] * 2)
    assert "Ana Shah 2, Ben Shah 2" in page or "Ben Shah 2, Ana Shah 2" in page


def test_why_this_person_is_told_to_everybody_who_sees_it(crm: Crm) -> None:
    away(crm, "ana", leave_from=SOON - timedelta(days=4), leave_to=SOON)
    lead = crm.make.lead("mia")
    assert given(crm, "root", lead, assign_to_role="Sales User")[0] == 200
    page = unescape(crm.client("ben").screen(f"/leads/why/{lead.id}").text)
    assert "It was Ben Shah's turn (Sales User)." in page
    last_day = SOON.astimezone(ZoneInfo("Asia/Kolkata"))
    assert f"Skipped: Ana Shah (on leave until {last_day:%-d %b}" in page
    assert f"/leads/why/{lead.id}" in crm.client("ben").screen(f"/leads/{lead.number}").text
    assert crm.client("cleo").screen(f"/leads/why/{lead.id}").status_code in (403, 404)


# --- several on one ticket


def test_a_colleague_is_added_and_released_over_rest(crm: Crm) -> None:
    row, dev = crm.make.ticket("cleo"), crm.make.user("dev", "Support User", "sam")
    sam, path = crm.client("sam"), f"ticket/{row.id}/assignees"
    assert not crm.client("dev").sees(row)
    answer = sam.rest("POST", path, {"user": "dev"})
    names = [each["username"] for each in answer.get_json()["result"]["assignees"]]
    assert (answer.status_code, names) == (201, ["cleo", "dev"]) and crm.client("dev").sees(row)
    assert sam.rest("POST", path, {"user": dev.id}).status_code == 200
    assert sam.rest("DELETE", f"{path}/{dev.id}").status_code == 200
    assert not crm.client("dev").sees(row)
    assert sam.rest("DELETE", f"{path}/{dev.id}").status_code == 404


def test_releasing_the_current_one_makes_the_other_current(crm: Crm) -> None:
    row, dev = crm.make.ticket("cleo", owner_id=crm.people["sam"].id), crm.make.user("dev", "Support User", "sam")
    crm.client("sam").rest("POST", f"ticket/{row.id}/assignees", {"user": "dev"})
    page = crm.client("sam").form(f"/tickets/release/{row.id}/{crm.people['cleo'].id}", follow_redirects=True)
    assert "Released." in page.text and crm.stored(row)["assignee_id"] == dev.id
    assert not crm.client("cleo").sees(row)
    left = crm.client("sam").form(f"/tickets/release/{row.id}/{dev.id}", follow_redirects=True)
    assert "No one else is assigned" in left.text and crm.stored(row)["assignee_id"] == dev.id


REFUSED = [
    ("sam", {"user": "nobody"}, 422),
    ("sam", {}, 422),
    ("sam", {"user": "ben"}, 403),
    ("cleo", {"user": "sam"}, 403),
    ("ana", {"user": "ana"}, 403),
    ("rhea", {"user": "cleo"}, 403),
]


@pytest.mark.parametrize("who, body, code", REFUSED)
def test_who_may_not_add_adds_nobody(crm: Crm, who: str, body: dict[str, Any], code: int) -> None:
    row = crm.make.ticket("cleo")
    before = crm.count(Assignment)
    assert crm.client(who).rest("POST", f"ticket/{row.id}/assignees", body).status_code == code
    form = {"user": crm.people[body["user"]].id if body.get("user") in crm.people else "x"}
    crm.client(who).form(f"/tickets/join/{row.id}", form)
    crm.client(who).form(f"/tickets/release/{row.id}/{crm.people['cleo'].id}")
    assert crm.count(Assignment) == before and crm.stored(row)["assignee_id"] == crm.people["cleo"].id


def test_the_absent_are_not_added(crm: Crm) -> None:
    row = crm.make.ticket("cleo")
    crm.make.user("dev", "Support User", "sam", available=False)
    answer = crm.client("sam").rest("POST", f"ticket/{row.id}/assignees", {"user": "dev"})
    assert answer.status_code == 422 and list(answer.get_json()["errors"]) == ["user"]


def test_all_who_have_a_ticket_are_shown(crm: Crm) -> None:
    row = crm.make.ticket("cleo")
    dev = crm.make.user("dev", "Support User", "sam")
    assignment.add_assignee(crm.session, crm.session.get_one(Ticket, row.id), dev.id, Stamp(None, datetime.now(UTC)))
    crm.session.commit()
    for path in ("/tickets/", f"/tickets/{row.number}", f"/tickets/assign/{row.id}"):
        page = crm.client("sam").screen(path).text
        assert "Dev Shah" in page and "Cleo Shah" in page, path
    assert f"/tickets/release/{row.id}/{dev.id}" in crm.client("sam").screen(f"/tickets/assign/{row.id}").text
    assert "release" not in crm.client("cleo").screen(f"/tickets/assign/{row.id}").text


@pytest.mark.parametrize("who, found", [("cleo", True), ("dev", False)])
def test_a_ticket_list_is_filtered_by_the_current_one(crm: Crm, who: str, found: bool) -> None:
    crm.make.user("dev", "Support User", "sam")
    row = crm.make.ticket("cleo")
    crm.client("sam").rest("POST", f"ticket/{row.id}/assignees", {"user": "dev"})
    filters = [{"col": "assignee", "opr": "eq", "value": who}]
    ids = crm.client("sam").rest("GET", "ticket/", q={"filters": filters}).get_json()["ids"]
    assert ids == ([row.id] if found else [])
    held = crm.rows(select(Assignment.open_key).where(Assignment.ticket_id == row.id))
    assert len(held) == len(set(held)) == 2


def test_an_assignment_is_undone_and_refused_when_somebody_was_faster(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    ana, ben, mia = (crm.people[each].id for each in ("ana", "ben", "mia"))
    crm.make.cell("Sales Manager", "Leads", "bulk", "none")  # the undo of one record is no bulk action
    desk = crm.client("mia")
    page = desk.screen(f"/leads/{lead.number}").text
    assert f'data-assign="{lead.number}" data-assign-from="{ana}"' in page
    wish = {"how": "person", "assignee": str(mia), "was": str(ana)}
    answer = desk.form(f"/leads/assign/{lead.id}", wish, follow_redirects=True)
    assert "Assigned to Mia" in answer.text and 'name="to" value="record"' in answer.text
    late = desk.form(f"/leads/assign/{lead.id}", wish | {"assignee": str(ben)}, headers={"Referer": "/leads/"})
    assert late.location == "/leads/"
    assert "It was assigned to Mia" in desk.screen("/leads/").text
    assert crm.fresh(lead).assignee_id == mia
    [change] = crm.rows(select(BulkChange))
    undone = desk.form("/leads/undo", {"change": str(change.id), "to": "record"})
    assert undone.location == f"/leads/{lead.number}"
    assert crm.fresh(lead).assignee_id == ana
    # Nothing is offered that would be refused: what they can't change then, colleagues out of reach.
    crm.make.cell("Sales Manager", "Leads", "write", "own")
    crm.make.cell("Sales Manager", "Leads", "read", "own")
    crm.client("root").form(f"/leads/assign/{lead.id}", {"how": "person", "assignee": str(mia)})
    undoable = select(BulkChange).where(BulkChange.user_id == mia, BulkChange.id != change.id)
    gone = desk.form(f"/leads/assign/{lead.id}", {"how": "person", "assignee": str(ana)})
    assert (gone.location, crm.fresh(lead).assignee_id, crm.rows(undoable)) == ("/leads/", ana, [])
    found = desk.screen("/people/lookup?q=shah&assigns=leads").json["results"]
    assert {each["value"] for each in found} == {ana, mia}
    # A form offers these first, and says who is away.
    away(crm, "ana", away_until=SOON)
    offered = desk.screen("/people/lookup?q=&first=leads").json["results"]
    reached = {each["value"] for each in desk.screen("/people/lookup?q=&assigns=leads").json["results"]}
    assert {each["value"] for each in offered[: len(reached)]} == reached < {each["value"] for each in offered}
    assert next(each["hint"] for each in offered if each["value"] == ana).startswith("away until")
    # The page of a record doesn't offer who has it already.
    page = unescape(desk.screen(f"/leads/assign/{crm.make.lead('mia').id}").text)
    assert f'data-lookup="/people/lookup?first=leads&without={mia}"' in page
    others = desk.screen(f"/people/lookup?q=&first=leads&without={mia}").json["results"]
    assert {each["value"] for each in others} == {each["value"] for each in offered} - {mia}
