"""Saved views: whose they are, who sees them; the address is the state; columns, nested conditions, groups."""

from __future__ import annotations

import json
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select

from app.models import BulkChange, ListChoice, Role, SavedView, ViewPin
from tests.app_fixtures import World

HX = {"HX-Request": "true"}


def save(world: World, who: str, label: str = "Hot", query: str = "_flt_eq_status=1", **form: Any) -> Any:
    return world.door(who).form("/views/new", {"list": "leads", "label": label, "query": query, **form})


def view_of(world: World, label: str = "Hot") -> SavedView:
    world.session.rollback()
    return world.session.scalars(select(SavedView).where(SavedView.label == label)).one()


def page(world: World, who: str, path: str, **more: Any) -> str:
    answer = world.door(who).screen(path, **more)
    assert answer.status_code == 200, answer.text[:300]
    return unescape(answer.text)


def ids(world: World, who: str, path: str) -> list[int]:
    import re

    return [int(key) for key in re.findall(r'<tr data-id="(\d+)"', page(world, who, path))]


def test_a_view_is_an_address_that_is_offered_pinned_and_opened_first(world: World) -> None:
    assert "data-save-view" not in page(world, "ana", "/leads/")
    assert "data-save-view" in page(world, "ana", "/leads/?_flt_eq_status=1")
    answer = save(world, "ana", query="_flt_eq_status=1&page=4&psize=50", pinned="1", default="1")
    view = view_of(world)
    assert (answer.status_code, view.query) == (302, "_flt_eq_status=1&psize=50")
    address = f"/leads/?_flt_eq_status=1&psize=50&view={view.id}"
    assert answer.headers["Location"] == address
    shown = page(world, "ana", address)
    assert "data-save-view" not in shown and f'href="{address}"' in shown  # unchanged; in the sidebar
    assert "data-save-view" in page(world, "ana", f"{address}&_oc=number")
    assert world.door("ana").screen("/leads/").headers["Location"] == address
    assert 'id="quick-clear" href="/leads/?view=all"' in shown  # not to the default view again
    assert address not in page(world, "ben", "/tasks/")


@pytest.mark.parametrize(
    "audience, seen_by",
    [("me", {"mia"}), ("all", {"mia", "ana", "cleo", "root"}), ("Sales User", {"mia", "ana"})],
)
def test_who_sees_a_view(world: World, audience: str, seen_by: set[str]) -> None:
    role = world.session.scalars(select(Role.id).where(Role.name == audience)).first()
    assert save(world, "mia", audience=str(role) if role else audience).status_code == 302
    found = set()
    for name in ("mia", "ana", "cleo", "root"):
        with world.as_person(name) as session:
            found |= {name} if session.scalars(select(SavedView)).all() else set()
    assert found == seen_by
    if "ana" in seen_by:
        assert "Hot" in page(world, "ana", "/leads/?view=all")


def test_only_managers_share_and_only_owners_change(world: World) -> None:
    assert save(world, "ana", audience="all").status_code == 403
    save(world, "mia", audience="all")
    view = view_of(world)
    for what in ("update", "delete"):
        world.door("ana").form(f"/views/{view.id}/{what}", {"list": "leads", "query": "q=x"})
    assert view_of(world).query == "_flt_eq_status=1"
    for what, rows in (("pin", 1), ("pin", 1), ("unpin", 0), ("default", 0)):
        world.door("ana").form(f"/views/{view.id}/{what}", {"list": "leads"})
        assert world.count(ViewPin) - 0 == rows
    world.door("mia").form(f"/views/{view.id}/delete", {"list": "leads"})
    assert world.count(SavedView) == 0
    world.session.rollback()
    assert [choice.view_id for choice in world.session.scalars(select(ListChoice))] == [None]
    assert world.door("ana").screen("/leads/").status_code == 200


@pytest.mark.parametrize(
    "form, told",
    [
        ({"label": " "}, "Please give the view a name."),
        ({"label": "x" * 81}, "The name has at most 80 characters."),
        ({"label": "Hot"}, "You have a view called “Hot” here already."),
        ({"label": "Odd", "query": "_flt_zz_status=1"}, "can't be filtered with"),
        ({"label": "Odd", "query": "cols=nope"}, "This list has no column “nope”."),
        ({"label": "Odd", "list": "nope"}, "There is no such list."),
        ({"label": "Odd", "audience": "9999"}, "Please choose who sees this view."),
    ],
)
def test_a_refused_view_keeps_what_was_typed(world: World, form: dict[str, str], told: str) -> None:
    save(world, "mia")
    data = {"list": "leads", "query": "_flt_eq_status=1", **form}
    answer = world.door("mia").form("/views/new", data)
    assert answer.status_code in (404, 422) and told in unescape(answer.text)
    assert world.count(SavedView) == 1


def test_columns_by_address_by_person_and_by_default(world: World) -> None:
    world.make.lead("ana", email="x@y.example")
    world.make.lead("ben")
    assert "col-email" not in page(world, "ana", "/leads/")
    shown = page(world, "ana", "/leads/?cols=email:200,name,status")
    assert shown.index("col-name kind") < shown.index("col-email") and 'data-width="200"' in shown
    form = {"list": "leads", "order": ["name", "status", "email"], "column": ["name", "email"], "remember": "1"}
    assert world.door("ana").form("/views/columns", form).headers["Location"] == "/leads/?view=all"
    assert "col-email" in page(world, "ana", "/leads/") and "col-status" not in page(world, "ana", "/leads/")
    assert "col-status" in page(world, "ben", "/leads/")
    world.door("ana").form("/views/columns", {"list": "leads", "reset": "1"})
    assert "col-status" in page(world, "ana", "/leads/")


@pytest.mark.parametrize("cols", ["nope", "name,name", "name:5", "name:x", "description", "pan_sealed"])
def test_columns_that_are_refused(world: World, cols: str) -> None:
    assert world.door("ana").screen(f"/leads/?cols={cols}").status_code == 400


def test_a_masked_column_stays_masked(world: World) -> None:
    world.make.lead("ana", mobile="9820012345", pan="ABCDE1234F")
    world.make.mask("Sales User", mobile="last4", pan="last4")
    shown = page(world, "ana", "/leads/?cols=name,mobile,pan")
    assert "20012345" not in shown and "ABCDE" not in shown


def test_nested_conditions(world: World) -> None:
    one, two, three = (world.make.lead("ana", first_name=name) for name in ("Anil", "Bina", "Chand"))
    either = ["any", ["first_name", "eq", "Anil"], ["all", ["first_name", "sw", "B"], ["assignee", "eq", "@me"]]]
    path = "/leads/?" + urlencode({"where": json.dumps(either)})
    assert set(ids(world, "ana", path)) == {one.id, two.id}
    assert "First name is Anil or (First name starts with B and Assignee is Ana Shah)" in page(world, "ana", path)
    neither = ["all", ["first_name", "neq", "Anil"], ["any", ["first_name", "eq", "Chand"]]]
    assert ids(world, "ana", "/leads/?" + urlencode({"where": json.dumps(neither)})) == [three.id]


@pytest.mark.parametrize(
    "where",
    [
        *("x", "{}", '["nor"]', '["any",["first_name","eq"]]', '["any",["nope","eq","x"]]'),
        '["any",["first_name","zz","x"]]',
        *('[["a"]]', "[{}]", '["all",[["x"],"eq","3"]]', '[["all"],["first_name","eq","x"]]', "[null]"),
        json.dumps(["all", *[["first_name", "eq", "x"]] * 31]),
        '["all",' * 5 + '["first_name","eq","x"]' + "]" * 5,
    ],
)
def test_conditions_that_are_refused(world: World, where: str) -> None:
    assert world.door("ana").screen("/leads/?" + urlencode({"where": where})).status_code == 400


def test_hidden_fields_are_no_way_round_the_mask(world: World) -> None:
    world.make.mask("Sales User", mobile="last4")
    where = json.dumps(["any", ["mobile", "eq", "9820012345"]])
    assert world.door("ana").screen("/leads/?" + urlencode({"where": where})).status_code == 400


@pytest.mark.parametrize("who, counts", [("ana", [2, 1]), ("ben", [1]), ("mia", [2, 1]), ("root", [3, 1])])
def test_groups_count_and_show_only_what_the_person_sees(world: World, who: str, counts: list[int]) -> None:
    import re

    for owner, status in (("ana", "New"), ("ana", "New"), ("ana", "Contacted"), ("ben", "New")):
        world.make.lead(owner, status_id=world.lead_status[status])
    shown = page(world, who, "/leads/?group=status")
    assert [int(each) for each in re.findall(r'class="count">(\d+)</span>(?:<a|</th>)', shown)] == counts
    assert shown.count("<tr data-id=") == sum(counts)
    people = page(world, who, "/leads/?group=assignee")
    assert ("Ben Shah" in people.split("<table")[1]) == (who in ("ben", "root"))


def test_what_bulk_actions_ask_for_is_no_part_of_the_list(world: World) -> None:
    world.make.lead("ana")
    shown, forms = page(world, "mia", "/leads/"), page(world, "mia", "/leads/bulk/forms")
    assert 'data-dialog="bulk-status"' in shown and 'data-bulk-forms="/leads/bulk/forms"' in shown
    assert 'id="bulk-status"' in forms and 'id="bulk-status"' not in shown


def test_a_bulk_action_is_previewed_and_undone(world: World) -> None:
    leads = [world.make.lead("ana") for _ in range(3)]
    other = world.make.lead("ben")
    rows = [lead.id for lead in (*leads, other)]
    form = {"rowid": rows, "action": "status", "status": world.lead_status["Junk"]}
    shown = unescape(world.door("mia").form("/leads/bulk/preview", form, headers=HX).text)
    assert "3 records will change." in shown and "1 record stays as it is" in shown
    assert {world.fresh(lead).status_id for lead in leads} == {world.lead_status["New"]}
    world.door("mia").form("/leads/action_post", form)
    change = world.session.scalars(select(BulkChange)).one()
    world.make.give(leads[2], "ana")  # changed meanwhile
    world.door("mia").form(f"/leads/edit/{leads[2].id}", {"version": world.fresh(leads[2]).version, "description": "x"})
    assert world.door("ana").form("/leads/undo", {"change": change.id}).status_code in (302, 404)
    assert world.fresh(leads[0]).status_id == world.lead_status["Junk"]
    page_after = unescape(world.door("mia").form("/leads/undo", {"change": change.id}, follow_redirects=True).text)
    assert "Undone for 2 records" in page_after and "It was changed since." in page_after
    labels = [world.fresh(lead).status_id for lead in leads]
    assert labels == [world.lead_status["New"]] * 2 + [world.lead_status["Junk"]]
    again = unescape(world.door("mia").form("/leads/undo", {"change": change.id}, follow_redirects=True).text)
    assert "This was undone already." in again
