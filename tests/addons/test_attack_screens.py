"""Screens and resources of an add-on: requests and declarations that must be refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_appbuilder.models.sqla.interface import SQLAInterface
from sqlalchemy import MetaData, false, literal, orm, true

from app import access, addons
from app.access.row_rules import RULES, OwnedRows, visible
from app.domain.people import permissions
from app.models import Lead, User
from app.web import Screen
from tests.addons import attackable_addon
from tests.addons.conftest import forgetting, with_addon
from tests.app_fixtures import Crm


@pytest.fixture(scope="module")
def app(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The CRM with the add-on of tests/addons/attackable_addon.py."""
    instance = tmp_path_factory.mktemp("attacked") / "instance"
    with with_addon(instance, settled, CRM_ADDONS="tests.addons.attackable_addon.Manager") as made:
        yield made


@pytest.fixture(scope="module")
def crm(app: Flask) -> Crm:
    return Crm(app)


def page(client: Any, path: str) -> str:
    answer = client.screen(path, follow_redirects=True)
    assert answer.status_code == 200, (path, answer.status_code)
    return str(answer.get_data(as_text=True))


def test_changes_of_an_addon_record_stay_off_the_timeline_of_its_lead(root: Any, client: Any, crm: Crm) -> None:
    lead = crm.make.lead("ana")
    key = root.rest("POST", "visit/", json={"name": "V", "lead": lead.id}).get_json()["id"]
    assert root.rest("PUT", f"visit/{key}", json={"salary": 4242}).status_code == 200
    assert "4242" not in page(client("ana"), f"/leads/show/{lead.id}")
    assert "4242" not in client("ana").rest("GET", "activity/").get_data(as_text=True)
    assert "4242" in page(root, f"/visitscreen/show/{key}")


def test_the_timeline_shows_only_columns_that_the_views_show(root: Any) -> None:
    key = root.rest("POST", "visit/", json={"name": "V"}).get_json()["id"]
    assert root.rest("PUT", f"visit/{key}", json={"pin": "PIN-OLD"}).status_code == 200
    assert root.rest("PUT", f"visit/{key}", json={"pin": "PIN-NEW", "salary": 4343}).status_code == 200
    shown = page(root, f"/visitscreen/show/{key}")
    assert "4343" in shown and "PIN-" not in shown and "pin" not in root.rest("GET", "activity/").get_data(as_text=True)


@pytest.fixture(scope="module")
def books(crm: Crm) -> dict[str, int]:
    """Books of which each screen shows some; two of them on a shelf."""
    shelf: Any = attackable_addon.Shelf(name="Shelf")
    rows: list[Any] = [attackable_addon.Book(name=name, shelf=shelf) for name in ("Pearl", "Quartz")]
    rows.append(attackable_addon.Book(name="Plain"))
    crm.session.add_all(rows)
    crm.session.commit()
    return {row.name: row.id for row in rows} | {"shelf": shelf.id}


def test_base_filters_hold_in_picklists_and_search(root: Any, books: dict[str, int]) -> None:
    assert "Quartz" in page(root, "/qbooks/lookup") and "Pearl" not in page(root, "/qbooks/lookup")
    assert "Quartz" not in page(root, "/bookscreen/lookup")
    assert "Quartz" not in page(root, "/search/?q=uart") and "Pearl" in page(root, "/search/?q=earl")


def test_a_base_filter_may_only_join(root: Any, books: dict[str, int]) -> None:
    shown = page(root, "/shelved/list/")
    assert "Pearl" in shown and "Plain" not in shown


def test_a_related_list_is_that_of_the_named_screen(root: Any, books: dict[str, int]) -> None:
    key = books["Quartz"]
    shown = page(root, f"/shelfscreen/show/{books['shelf']}")
    assert f"/qbooks/show/{key}" in shown and "/bookscreen/show/" not in shown


def refused(**attributes: Any) -> str:
    """The sentence with which a Screen of these attributes is refused."""
    with forgetting(), pytest.raises(TypeError) as error:
        type("WrongScreen", (Screen,), attributes)()
    return str(error.value)


def test_a_model_over_a_table_of_the_crm_is_refused() -> None:
    registry = orm.registry(metadata=MetaData())
    slim = type("Slim", (), {"__table__": Lead.__table__, "__module__": "addon"})
    registry.mapped(slim)
    assert "Slim maps leads" in refused(datamodel=SQLAInterface(slim))
    registry.dispose()


def test_a_masked_name_needs_a_field_that_can_be_masked(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permissions, "MASKED", (*permissions.MASKED, "source"))
    with app.app_context():
        sentence = refused(datamodel=SQLAInterface(Lead), list_columns=["number", "source"])
    assert "WrongScreen shows “source”, which roles mask" in sentence and "a PicklistField can't be masked" in sentence


def test_owned_rows_need_an_owner() -> None:
    with pytest.raises(TypeError, match="Shelf has neither"):
        OwnedRows(attackable_addon.Shelf, "Shelf")


def _by_verb(person: Any, verb: str = "read") -> Any:
    return literal(verb) == "write"


def test_a_rule_without_a_verb_holds_for_other_verbs_only_at_the_level_of_read(app: Flask, crm: Crm) -> None:
    for verb, level in (("read", "all"), ("write", "own"), ("delete", "all")):
        crm.make.cell("Sales User", "Shelf", verb, level)
    with forgetting(), crm.as_person("ana") as session:
        person = access.acting(session)
        assert person is not None
        RULES[attackable_addon.Shelf] = lambda person: true()
        assert str(visible(person, attackable_addon.Shelf, "write")) == str(false())
        assert str(visible(person, attackable_addon.Shelf, "delete")) == str(true())
        RULES[attackable_addon.Shelf] = _by_verb
        assert "write" in visible(person, attackable_addon.Shelf, "write").compile().params.values()


def test_a_declared_action_needs_bulk_and_write(client: Any, crm: Crm, books: dict[str, int]) -> None:
    for role, write in (("Sales Manager", "all"), ("Support Manager", "none")):
        for verb, level in (("read", "all"), ("bulk", "all"), ("write", write)):
            crm.make.cell(role, "Book", verb, level)
    sent = {"action": "star", "rowid": str(books["Pearl"])}
    assert client("mia").form("/bookscreen/action_post", sent).status_code == 302
    assert "Pearl*" in page(client("mia"), "/bookscreen/list/")
    assert client("sam").form("/bookscreen/action_post", sent).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/bookscreen/list/?_flt_²_name=x",
        "/bookscreen/list/?_flt_more_name=x",
        "/shelfscreen/list/?_oc=books.name&_od=asc",
    ],
)
def test_a_list_refuses_what_it_cannot_do(root: Any, path: str) -> None:
    assert root.screen(path).status_code in (400, 422)


def test_rest_refuses_to_sort_by_a_column_of_many_rows(root: Any) -> None:
    answer = root.rest("GET", "shelf/", q={"order_column": "books.name", "order_direction": "asc"})
    assert answer.status_code == 400


def test_actions_refuse_with_a_sentence(root: Any, books: dict[str, int]) -> None:
    sent = {"action": "fail", "rowid": str(books["Pearl"])}
    answer = root.form("/bookscreen/action_post", sent, follow_redirects=True)
    assert "The printer is off." in answer.get_data(as_text=True)
    assert root.form(f"/bookscreen/move/{books['Pearl']}", {"status": "1"}).status_code == 404


def test_an_addon_may_have_columns_of_our_names(root: Any, crm: Crm) -> None:
    numbers = ("list", "a b", "lower", "P-1")
    reader = crm.session.get(User, crm.people["ana"].id)
    rows = [
        attackable_addon.Paper(name="Paper", number=number, assignee="Someone", assignees=[reader])
        for number in numbers
    ]
    crm.session.add_all(rows)
    crm.session.commit()
    shown = page(root, "/paperscreen/list/")
    for row in rows:
        page(root, f"/paperscreen/show/{row.id}")
        assert (f"/paperscreen/show/{row.id}" in shown) == (row.number != "P-1")
    sent = {"name": "Other", "number": "P-1", "assignee": "Someone", "version": "99"}
    assert root.form(f"/paperscreen/edit/{rows[3].id}", sent).status_code == 409


def test_a_new_record_does_not_inherit_the_timeline_of_a_deleted_one(root: Any) -> None:
    old = root.rest("POST", "visit/", json={"name": "V"}).get_json()["id"]
    assert root.rest("PUT", f"visit/{old}", json={"salary": 4444}).status_code == 200
    assert root.rest("DELETE", f"visit/{old}").status_code == 200
    new = root.rest("POST", "visit/", json={"name": "V"}).get_json()["id"]
    assert new != old and "4444" not in page(root, f"/visitscreen/show/{new}")


@pytest.mark.parametrize(
    "attributes",
    [
        {"list_columns": "name"},
        {"show_fieldsets": [("Title", {})]},
        {"search_filters": {"name": ["text"]}},
        {"related_views": ["ShelfScreen"]},
        {"base_filters": [["nope", attackable_addon.JoinFilter, ""]]},
        {"base_order": ("nope", "asc")},
        {"quick_filters": ("nope",)},
        {"title_column": "nope"},
    ],
)
def test_a_wrong_declaration_is_refused_by_name(app: Flask, attributes: dict[str, Any]) -> None:
    with app.app_context():
        assert f"WrongScreen.{next(iter(attributes))}" in refused(
            datamodel=SQLAInterface(attackable_addon.Book), **attributes
        )


def test_an_addon_that_fails_on_import_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in (("broken_syntax", "def"), ("broken_import", "raise RuntimeError('boo')")):
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(addons.BadAddon, match=name):
            addons.load([f"{name}.Manager"])


def test_two_views_with_one_address_are_refused(app: Flask) -> None:
    class Again(Screen):
        datamodel = SQLAInterface(attackable_addon.Book)
        route_base = "/qbooks"

    with app.app_context(), forgetting(), pytest.raises(TypeError, match="QBookScreen and Again have the same address"):
        Again().create_blueprint(app.appbuilder)  # type: ignore[attr-defined]
