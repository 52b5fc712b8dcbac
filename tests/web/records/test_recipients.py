"""One rule for giving a record to somebody: within the reach of the right to assign, never to who is inactive."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from app.models import Assignment, Customer, Lead, Task, Ticket, User

#: Record -> (who makes it, a manager of them).
RECORDS = {"lead": ("ana", "mia"), "ticket": ("cleo", "sam"), "customer": ("ana", "mia")}


def made(world: Any, kind: str) -> Any:
    make = world.make
    return {"lead": make.lead, "ticket": make.ticket, "customer": make.customer}[kind](RECORDS[kind][0])


@pytest.fixture
def gone(world: Any, make: Any) -> str:
    """A colleague in Mia's team who has left; his name."""
    make.user("gone", "Sales User", "mia")
    world.session.execute(update(User).where(User.username == "gone").values(active=False))
    world.session.commit()
    make.cell("Sales User", "Notes", "read", "own")  # another version of access
    return "gone"


def owner_by_rest(world: Any, who: str, kind: str, row: Any, to: str) -> Any:
    return world.door(who).rest("PUT", f"{kind}/{row.id}", {"owner": to})


def owner_by_form(world: Any, who: str, kind: str, row: Any, to: str) -> Any:
    return world.door(who).form(f"/{kind}s/edit/{row.id}", {"owner": to, "subjects": "1"})


def owner_by_old_door(world: Any, who: str, kind: str, row: Any, to: str) -> Any:
    field = {"lead": "lead_owner", "ticket": "ticket_owner", "customer": "owner"}[kind]
    body = {"doctype": f"CRM {kind.title()}", "name": row.number, "fieldname": field, "value": to}
    return world.door(who).rest("POST", "/api/method/frappe.client.set_value", body)


def assignee_by_rest(world: Any, who: str, kind: str, row: Any, to: str) -> Any:
    return world.door(who).rest("POST", f"{kind}/{row.id}/assign", {"assign_to": to})


def assignee_by_form(world: Any, who: str, kind: str, row: Any, to: str) -> Any:
    return world.door(who).form(f"/{kind}s/assign/{row.id}", {"how": "person", "assignee": to})


def assignee_in_bulk(world: Any, who: str, kind: str, row: Any, to: str) -> Any:
    return world.door(who).form(f"/{kind}s/action_post", {"action": "assign", "rowid": row.id, "assignee": to})


def assignee_by_old_door(world: Any, who: str, kind: str, row: Any, to: str) -> Any:
    body = {"doctype": f"CRM {kind.title()}", "name": row.number, "assign_to": [to]}
    return world.door(who).rest("POST", "/api/method/frappe.desk.form.assign_to.add", body)


OWNER = (owner_by_rest, owner_by_form, owner_by_old_door)
ASSIGNEE = (assignee_by_rest, assignee_by_form, assignee_in_bulk, assignee_by_old_door)
#: The old door takes no new owner of a customer, and says so.
DOORS = [(door, kind) for door in OWNER for kind in RECORDS if (door, kind) != (owner_by_old_door, "customer")]
DOORS += [(door, kind) for door in ASSIGNEE for kind in ("lead", "ticket")]


@pytest.mark.parametrize("to", ["ben", "gone"])
def test_nobody_beyond_reach_and_nobody_inactive_gets_a_record(world: Any, gone: str, to: str) -> None:
    rows, wrong = {kind: made(world, kind) for kind in RECORDS}, []
    for door, kind in DOORS:
        row, manager = rows[kind], RECORDS[kind][1]
        before = world.stored(row)
        for who in {manager, "root"} if to == gone else {manager}:
            answer = door(world, who, kind, row, to)
            if answer.status_code not in (302, 403, 404, 417, 422) or world.stored(row) != before:
                wrong.append((door.__name__, kind, who, answer.status_code, answer.text[:300]))
    assert wrong == []
    assert world.count(Assignment, Assignment.user_id == world.people[to].id) == 0


@pytest.mark.parametrize("kind", list(RECORDS))
def test_a_manager_gives_a_record_to_their_own_team(world: Any, make: Any, kind: str) -> None:
    maker, manager = RECORDS[kind]
    make.user("dora", "Sales User" if maker == "ana" else "Support User", manager)
    make.cell("Sales User", "Notes", "read", "own")
    dora, wrong = world.people["dora"].id, []
    for door in (door for door, for_kind in DOORS if for_kind == kind):
        row = made(world, kind)
        given = world.count(Assignment, Assignment.user_id == dora, Assignment.ended_on.is_(None))
        answer = door(world, manager, kind, row, "dora")
        assigned = world.count(Assignment, Assignment.user_id == dora, Assignment.ended_on.is_(None)) - given
        is_given = world.stored(row)["owner_id"] == dora if door in OWNER else assigned == 1
        if answer.status_code not in (200, 302) or not is_given:
            wrong.append((door.__name__, answer.status_code, answer.text[:500]))
    assert wrong == []


@pytest.mark.parametrize("kind", list(RECORDS))
def test_nobody_makes_themselves_the_owner_without_the_right_to_assign(world: Any, kind: str) -> None:
    row, (maker, _manager) = made(world, kind), RECORDS[kind]
    root = world.people["root"].id
    world.session.execute(update(type(row)).where(type(row).id == row.id).values(owner_id=root))
    world.session.commit()
    wrong = []
    for door in OWNER:
        answer = door(world, maker, kind, row, maker)
        if answer.status_code not in (200, 403, 404) or world.stored(row)["owner_id"] != root:
            wrong.append((door.__name__, answer.status_code, answer.text[:300]))
    assert wrong == []


@pytest.mark.parametrize("to", ["ben", "gone"])
def test_new_records_and_tasks_follow_the_same_rule(world: Any, gone: str, to: str) -> None:
    mia, lead = world.door("mia"), world.make.lead("ana")
    for path, body in (
        ("lead/", {"first_name": "R", "assign_to": to}),
        ("task/", {"title": "Call", "lead": lead.id, "assignee": to}),
    ):
        assert mia.rest("POST", path, body).status_code in (403, 422), path
    assert world.door("sam").rest("POST", "ticket/", {"subjects": [1], "assign_to": to}).status_code in (403, 422)
    task = world.make.task(lead)
    assert mia.rest("PUT", f"task/{task.id}", {"assignee": to}).status_code in (403, 422)
    assert mia.form("/tasks/add", {"title": "Call", "lead": lead.id, "assignee": to}).status_code in (403, 422)
    ticket = world.make.ticket("cleo")
    for answer in (
        world.door("sam").rest("POST", f"ticket/{ticket.id}/assignees", {"user": to}),
        world.door("sam").form(f"/tickets/join/{ticket.id}", {"user": to}),
    ):
        assert answer.status_code in (302, 403, 422)
    key = world.people[to].id
    assert world.count(Task, Task.assignee_id == key) == world.count(Lead, Lead.assignee_id == key) == 0
    assert world.count(Assignment, Assignment.user_id == key) == 0
    assert world.count(Ticket, Ticket.assignee_id == key) == world.count(Customer, Customer.owner_id == key) == 0


def test_a_record_keeps_its_inactive_owner_when_something_else_changes(world: Any, make: Any, gone: str) -> None:
    row = make.lead("gone")
    answer = world.door("mia").rest("PUT", f"lead/{row.id}", {"owner": gone, "description": "Kept"})
    assert answer.status_code == 200 and world.fresh(row).description == "Kept"
    assert world.rows(select(Lead.owner_id)) == [world.people[gone].id]


@pytest.mark.parametrize(
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
def test_what_was_not_saved_is_named_over_rest(world: Any, verb: str, body: Any, named: str) -> None:
    path = f"lead/{world.make.lead('ana').id}" if verb == "PUT" else "lead/"
    answer = world.door("ana").rest(verb, path, {"first_name": "Asha"} | body)
    assert answer.status_code in (200, 201), answer.text
    assert answer.get_json().get("remarks") == ([f"These fields were not saved: {named}."] if named else None)


def test_a_record_sent_back_as_it_was_read_is_saved_without_remarks(world: Any) -> None:
    key = world.make.lead("ana", first_name="Asha").id
    read = world.door("ana").rest("GET", f"lead/{key}").get_json()["result"]
    read.pop("id")
    answer = world.door("ana").rest("PUT", f"lead/{key}", read | {"description": "Met."})
    assert answer.status_code == 200 and "not saved" not in answer.text
