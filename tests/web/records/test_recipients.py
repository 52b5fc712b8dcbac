"""One rule for assigning records: within the reach of the right to assign, never to inactive users."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from app.models import Assignment, Customer, Lead, Task, Ticket, User
from tests.cases import each_case

#: Record -> (who makes it, a manager of them).
RECORDS = {"lead": ("ana", "mia"), "ticket": ("cleo", "sam"), "customer": ("ana", "mia")}


def made(crm: Any, kind: str) -> Any:
    make = crm.make
    return {"lead": make.lead, "ticket": make.ticket, "customer": make.customer}[kind](RECORDS[kind][0])


@pytest.fixture
def gone(crm: Any, make: Any) -> str:
    """A colleague in Mia's team who has left; his name."""
    make.user("gone", "Sales User", "mia")
    crm.session.execute(update(User).where(User.username == "gone").values(active=False))
    crm.session.commit()
    make.cell("Sales User", "Notes", "read", "own")  # another version of access
    return "gone"


def owner_by_rest(crm: Any, who: str, kind: str, row: Any, to: str) -> Any:
    return crm.client(who).rest("PUT", f"{kind}/{row.id}", {"owner": to})


def owner_by_form(crm: Any, who: str, kind: str, row: Any, to: str) -> Any:
    return crm.client(who).form(f"/{kind}s/edit/{row.id}", {"owner": to, "subjects": "1"})


def owner_by_old_api(crm: Any, who: str, kind: str, row: Any, to: str) -> Any:
    field = {"lead": "lead_owner", "ticket": "ticket_owner", "customer": "owner"}[kind]
    body = {"doctype": f"CRM {kind.title()}", "name": row.number, "fieldname": field, "value": to}
    return crm.client(who).rest("POST", "/api/method/frappe.client.set_value", body)


def assignee_by_rest(crm: Any, who: str, kind: str, row: Any, to: str) -> Any:
    return crm.client(who).rest("POST", f"{kind}/{row.id}/assign", {"assign_to": to})


def assignee_by_form(crm: Any, who: str, kind: str, row: Any, to: str) -> Any:
    return crm.client(who).form(f"/{kind}s/assign/{row.id}", {"how": "person", "assignee": to})


def assignee_in_bulk(crm: Any, who: str, kind: str, row: Any, to: str) -> Any:
    return crm.client(who).form(f"/{kind}s/action_post", {"action": "assign", "rowid": row.id, "assignee": to})


def assignee_by_old_api(crm: Any, who: str, kind: str, row: Any, to: str) -> Any:
    body = {"doctype": f"CRM {kind.title()}", "name": row.number, "assign_to": [to]}
    return crm.client(who).rest("POST", "/api/method/frappe.desk.form.assign_to.add", body)


OWNER = (owner_by_rest, owner_by_form, owner_by_old_api)
ASSIGNEE = (assignee_by_rest, assignee_by_form, assignee_in_bulk, assignee_by_old_api)
#: The old endpoint takes no new owner of a customer, and says so.
ENDPOINTS = [
    (endpoint, kind) for endpoint in OWNER for kind in RECORDS if (endpoint, kind) != (owner_by_old_api, "customer")
]
ENDPOINTS += [(endpoint, kind) for endpoint in ASSIGNEE for kind in ("lead", "ticket")]


@pytest.mark.parametrize("to", ["ben", "gone"])
def test_nobody_beyond_reach_and_nobody_inactive_gets_a_record(crm: Any, gone: str, to: str) -> None:
    rows, wrong = {kind: made(crm, kind) for kind in RECORDS}, []
    for endpoint, kind in ENDPOINTS:
        row, manager = rows[kind], RECORDS[kind][1]
        before = crm.stored(row)
        for who in {manager, "root"} if to == gone else {manager}:
            answer = endpoint(crm, who, kind, row, to)
            if answer.status_code not in (302, 403, 404, 417, 422) or crm.stored(row) != before:
                wrong.append((endpoint.__name__, kind, who, answer.status_code, answer.text[:300]))
    assert wrong == []
    assert crm.count(Assignment, Assignment.user_id == crm.people[to].id) == 0
    page = crm.client("mia").form(
        f"/leads/assign/{rows['lead'].id}",
        {"how": "person", "assignee": "ben"},
        headers={"Referer": f"http://localhost/leads/assign/{rows['lead'].id}"},
        follow_redirects=True,
    )
    assert "your own team" in page.text and "Send request" in page.text  # the page with the form of a request


@pytest.mark.parametrize("kind", list(RECORDS))
def test_a_manager_gives_a_record_to_their_own_team(crm: Any, make: Any, kind: str) -> None:
    maker, manager = RECORDS[kind]
    make.user("dora", "Sales User" if maker == "ana" else "Support User", manager)
    make.cell("Sales User", "Notes", "read", "own")
    dora, wrong = crm.people["dora"].id, []
    for endpoint in (endpoint for endpoint, for_kind in ENDPOINTS if for_kind == kind):
        row = made(crm, kind)
        given = crm.count(Assignment, Assignment.user_id == dora, Assignment.ended_on.is_(None))
        answer = endpoint(crm, manager, kind, row, "dora")
        assigned = crm.count(Assignment, Assignment.user_id == dora, Assignment.ended_on.is_(None)) - given
        is_given = crm.stored(row)["owner_id"] == dora if endpoint in OWNER else assigned == 1
        if answer.status_code not in (200, 302) or not is_given:
            wrong.append((endpoint.__name__, answer.status_code, answer.text[:500]))
    assert wrong == []


@pytest.mark.parametrize("kind", list(RECORDS))
def test_nobody_makes_themselves_the_owner_without_the_right_to_assign(crm: Any, kind: str) -> None:
    row, (maker, _manager) = made(crm, kind), RECORDS[kind]
    root = crm.people["root"].id
    crm.session.execute(update(type(row)).where(type(row).id == row.id).values(owner_id=root))
    crm.session.commit()
    wrong = []
    for endpoint in OWNER:
        answer = endpoint(crm, maker, kind, row, maker)
        if answer.status_code not in (200, 403, 404) or crm.stored(row)["owner_id"] != root:
            wrong.append((endpoint.__name__, answer.status_code, answer.text[:300]))
    assert wrong == []


@pytest.mark.parametrize("to", ["ben", "gone"])
def test_new_records_and_tasks_follow_the_same_rule(crm: Any, gone: str, to: str) -> None:
    mia, lead = crm.client("mia"), crm.make.lead("ana")
    for path, body in (
        ("lead/", {"first_name": "R", "assign_to": to}),
        ("task/", {"title": "Call", "lead": lead.id, "assignee": to}),
    ):
        assert mia.rest("POST", path, body).status_code in (403, 422), path
    assert crm.client("sam").rest("POST", "ticket/", {"subjects": [1], "assign_to": to}).status_code in (403, 422)
    task = crm.make.task(lead)
    assert mia.rest("PUT", f"task/{task.id}", {"assignee": to}).status_code in (403, 422)
    assert mia.form("/tasks/add", {"title": "Call", "lead": lead.id, "assignee": to}).status_code in (403, 422)
    ticket = crm.make.ticket("cleo")
    for answer in (
        crm.client("sam").rest("POST", f"ticket/{ticket.id}/assignees", {"user": to}),
        crm.client("sam").form(f"/tickets/join/{ticket.id}", {"user": to}),
    ):
        assert answer.status_code in (302, 403, 422)
    key = crm.people[to].id
    assert crm.count(Task, Task.assignee_id == key) == crm.count(Lead, Lead.assignee_id == key) == 0
    assert crm.count(Assignment, Assignment.user_id == key) == 0
    assert crm.count(Ticket, Ticket.assignee_id == key) == crm.count(Customer, Customer.owner_id == key) == 0


def test_a_record_keeps_its_inactive_owner_when_something_else_changes(crm: Any, make: Any, gone: str) -> None:
    row = make.lead("gone")
    answer = crm.client("mia").rest("PUT", f"lead/{row.id}", {"owner": gone, "description": "Kept"})
    assert answer.status_code == 200 and crm.fresh(row).description == "Kept"
    assert crm.rows(select(Lead.owner_id)) == [crm.people[gone].id]


@each_case(
    "verb, body, named",
    [
        ("POST", {"client_id": "E1", "pod_id": "P1"}, "client_id, pod_id"),
        ("POST", {"owner": "mia"}, "owner"),
        ("POST", {"owner": "ana", "assignee": "ana", "number": "X", "client_id": ""}, ""),
        ("PUT", {"assign_to": "ben"}, "assign_to"),
        ("PUT", {"assign_to_role": "Sales User"}, "assign_to_role"),
        ("PUT", {"assignee": {"username": "ben", "id": 99}}, "assignee"),
    ],
)
def test_what_was_not_saved_is_named_over_rest(crm: Any, verb: str, body: Any, named: str) -> None:
    path = f"lead/{crm.make.lead('ana').id}" if verb == "PUT" else "lead/"
    answer = crm.client("ana").rest(verb, path, {"first_name": "Asha"} | body)
    assert answer.status_code in (200, 201), answer.text
    assert answer.get_json().get("remarks") == ([f"These fields were not saved: {named}."] if named else None)


def test_a_record_sent_back_as_it_was_read_is_saved_without_remarks(crm: Any) -> None:
    key = crm.make.lead("ana", first_name="Asha").id
    read = crm.client("ana").rest("GET", f"lead/{key}").get_json()["result"]
    read.pop("id")
    answer = crm.client("ana").rest("PUT", f"lead/{key}", read | {"description": "Met."})
    assert answer.status_code == 200 and "not saved" not in answer.text
