"""What an add-on's declarations must not reveal, and must not let people change."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask_appbuilder import Model
from flask_appbuilder.basemanager import BaseManager
from flask_appbuilder.models.sqla.filters import FilterStartsWith
from flask_appbuilder.models.sqla.interface import SQLAInterface
from sqlalchemy import Column, Date, Enum, ForeignKey, Integer, Numeric, String, Table
from sqlalchemy.orm import Session, backref, relationship
from wtforms import StringField

from app import access
from app.access.row_rules import RULES, OwnedRows
from app.extensions import db
from app.models import Lead, User
from app.web import Resource, Screen
from app.web.api import webhook_payloads
from app.web.core.fields import relation_fields
from tests.addons.conftest import forgetting, with_addon
from tests.app_fixtures import Crm, UserClient
from tests.factories import NOW


class Kind(enum.Enum):
    GOLD = "gold"


class Tag(Model):
    """A model without a view of its own."""

    __tablename__ = "test_vault_tag"
    id = Column(Integer, primary_key=True)
    name = Column(String(50))
    remark = Column(String(50))


tags_of_vault = Table(
    "test_vault_tags",
    Model.metadata,
    Column("vault_id", ForeignKey("test_vault.id")),
    Column("tag_id", ForeignKey("test_vault_tag.id")),
)
watchers_of_vault = Table(
    "test_vault_watchers",
    Model.metadata,
    Column("vault_id", ForeignKey("test_vault.id")),
    Column("user_id", ForeignKey("ab_user.id")),
)


class Vault(Model):
    __tablename__ = "test_vault"
    id = Column(Integer, primary_key=True)
    name = Column(String(50), nullable=False)
    pin = Column(String(40))
    hushed = Column(String(40))
    mobile = Column(String(40))
    aadhaar = Column(Integer)
    alternative_mobile = Column(Numeric(14, 0))
    email = Column(Date)
    pan: Any = Column(Enum(Kind))
    address = Column(String(90))
    owner_id = Column(Integer, ForeignKey("ab_user.id"))
    owner = relationship(User, foreign_keys=[owner_id])
    about_id = Column(Integer, ForeignKey("leads.id"))
    about = relationship(Lead, foreign_keys=[about_id])
    second_lead_id = Column(Integer, ForeignKey("leads.id"))
    second_lead = relationship(Lead, foreign_keys=[second_lead_id])
    parent_id = Column(Integer, ForeignKey("test_vault.id"))
    parent = relationship("Vault", remote_side=[id], backref=backref("children"))
    tags = relationship(Tag, secondary=tags_of_vault)
    watchers = relationship(User, secondary=watchers_of_vault)


class VaultScreen(Screen):
    datamodel = SQLAInterface(Vault)
    list_columns = show_columns = ["name", "aadhaar", "alternative_mobile", "email", "pan"]
    add_columns = edit_columns = ["name", "parent", "watchers", "second_lead", "email"]


class VaultApi(Resource):
    resource_name = "vault"
    datamodel = SQLAInterface(Vault)
    show_columns = [
        *("name", "mobile", "aadhaar", "alternative_mobile", "email", "pan", "address", "owner", "owner.active"),
        *("about_id", "second_lead", "second_lead.mobile", "second_lead.mobile_e164", "parent", "children", "tags"),
    ]
    list_columns = ["name", "about_id"]
    add_columns = ["name", "pin", "address", "owner", "about_id", "parent", "children", "tags"]
    edit_columns = add_columns
    search_columns = ["name", "hushed", "about_id", "second_lead", "second_lead.mobile", "second_lead.mobile_e164"]
    order_columns = ["name", "second_lead.mobile"]
    edit_form_extra_fields = {"address": StringField("Address")}
    edit_query_rel_fields = {"parent": [["name", FilterStartsWith, "P"]]}


class BareApi(Resource):
    resource_name = "bare"
    datamodel = SQLAInterface(Vault)
    class_permission_name = "Vault"


class Manager(BaseManager):
    def register_views(self) -> None:
        self.appbuilder.add_view(VaultScreen, "Vaults", category="Vaults")
        self.appbuilder.add_api(VaultApi)
        self.appbuilder.add_api(BareApi)


@pytest.fixture(scope="module")
def app(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The CRM with the add-on of this file."""
    with forgetting():
        RULES[Vault] = OwnedRows(Vault, "Vault")
        instance = tmp_path_factory.mktemp("vault") / "instance"
        with with_addon(instance, settled, CRM_ADDONS=f"{__name__}.Manager") as made:
            yield made


@pytest.fixture(scope="module")
def crm(app: Flask) -> Crm:
    """Everybody's accounts, with the rights and masks of the tests: ana sees her own vaults, mia all of them."""
    made = Crm(app)
    for verb in ("read", "create", "write"):
        made.make.cell("Sales User", "Vault", verb, "own")
        made.make.cell("Sales Manager", "Vault", verb, "all" if verb == "read" else "own")
    hidden = dict.fromkeys(("mobile", "alternative_mobile", "email", "pan", "aadhaar", "address"), "hidden")
    made.make.mask("Sales User", **hidden)
    return made


@pytest.fixture
def client(app: Flask, crm: Crm) -> Callable[[str], UserClient]:
    """Somebody at the application."""
    return lambda name: UserClient(app, crm.people[name])


@pytest.fixture
def vault(app: Flask, crm: Crm) -> Callable[..., int]:
    """Stores a vault of somebody and returns its id."""

    def stored(owner: str, **values: Any) -> int:
        with app.app_context(), Session(db.engine) as session, access.as_system(session):
            row = Vault(**{"name": "Pa", "owner_id": crm.people[owner].id} | values)
            session.add(row)
            session.commit()
            return int(row.id)

    return stored


@pytest.fixture
def stored(app: Flask) -> Callable[[int, str], Any]:
    """What a column of a vault holds."""

    def value(key: int, name: str) -> Any:
        with app.app_context(), Session(db.engine) as session, access.as_system(session):
            return getattr(session.get(Vault, key), name)

    return value


def found(who: UserClient, col: str, opr: str, value: Any) -> Any:
    """The ids of the vaults that a filter finds; the status of a refused one."""
    answer = who.rest("GET", "vault/", q={"filters": [{"col": col, "opr": opr, "value": value}]})
    return answer.get_json()["ids"] if answer.status_code == 200 else answer.status_code


def test_rest_answers_only_with_the_declared_columns(app: Flask, crm: Crm, client: Any, vault: Any) -> None:
    root, key = client("root"), vault("ana", pin="1234", hushed="shh")
    shown = root.rest("GET", f"vault/{key}").get_json()["result"]
    assert "mobile" in shown and not {"pin", "hushed"} & set(shown)
    assert set(root.rest("GET", "vault/").get_json()["result"][0]) == {"id", "name", "about_id"}
    made = root.rest("POST", "vault/", json={"name": "New", "pin": "9"}).get_json()["result"]
    changed = root.rest("PUT", f"vault/{key}", json={"pin": "8"}).get_json()["result"]
    assert "pin" not in made and "pin" not in changed
    for path in ("vault/", f"vault/{key}"):
        assert root.rest("GET", path, q={"columns": ["pin"]}).status_code == 400
    assert "pin" not in root.rest("GET", "vault/_info").get_json()["list_columns"]
    with app.app_context(), Session(db.engine) as session:
        access.act_as(session, access.load_person(session, crm.people["root"].id, NOW))
        payload = webhook_payloads.write(session, "vault", key, NOW)
        assert payload is not None and not {"pin", "hushed"} & set(payload)


def test_masked_columns_of_related_rows_cannot_be_searched_or_read(crm: Crm, client: Any, vault: Any) -> None:
    ana, lead = client("ana"), crm.make.lead("ana", mobile="9811111111")
    key = vault("ana", second_lead_id=lead.id)
    assert lead.number in str(ana.rest("GET", f"vault/{key}").get_json())
    assert "9811111111" not in str(ana.rest("GET", f"vault/{key}").get_json())
    for col in ("second_lead.mobile", "second_lead.mobile_e164"):
        assert found(ana, col, "sw", "98") == 400
        assert key in found(client("root"), col, "ct", "9811111111")
    by = {"order_column": "second_lead.mobile", "order_direction": "asc"}
    assert ana.rest("GET", "vault/", q=by).status_code == 400


def test_relations_are_looked_up_by_shown_labels(crm: Crm, client: Any) -> None:
    ana, lead = client("ana"), crm.make.lead("ana", mobile="9822222222")

    def offered(relation: str, typed: str) -> list[int]:
        answer = ana.screen(f"/vaultscreen/related/{relation}?q={typed}")
        return [row["value"] for row in answer.get_json()["results"]]

    assert offered("second_lead", lead.number) == [lead.id] and offered("second_lead", "98222") == []
    assert offered("watchers", "ben") == [crm.people["ben"].id] and offered("watchers", "@") == []


def test_masked_numbers_dates_and_enums_are_masked_everywhere(client: Any, vault: Any, stored: Any) -> None:
    values = {"aadhaar": 123456789, "alternative_mobile": 9855555555, "email": date(1999, 12, 31), "pan": Kind.GOLD}
    ana, key = client("ana"), vault("ana", **values)
    pages = [ana.screen(path).get_data(as_text=True) for path in ("/vaultscreen/list/", f"/vaultscreen/show/{key}")]
    answer = ana.rest("GET", f"vault/{key}").get_json()["result"]
    for name, raw in (("aadhaar", "123456789"), ("alternative_mobile", "98555"), ("email", "1999"), ("pan", "gold")):
        assert raw not in str(answer[name]).lower() and answer[name] is not None
        assert not any(raw in page for page in pages)
    full = client("root").rest("GET", f"vault/{key}").get_json()["result"]
    assert (full["aadhaar"], full["alternative_mobile"], full["email"]) == (123456789, 9855555555.0, "1999-12-31")
    form = ana.screen(f"/vaultscreen/edit/{key}").get_data(as_text=True)
    assert 'value="••' in form and "1999" not in form
    assert ana.form(f"/vaultscreen/edit/{key}", {"name": "Pa2", "email": answer["email"]}).status_code == 302
    assert (stored(key, "name"), stored(key, "email")) == ("Pa2", values["email"])


def test_a_mask_sent_back_to_a_form_field_keeps_the_value(client: Any, vault: Any, stored: Any) -> None:
    ana, key = client("ana"), vault("ana", address="1 Road")
    shown = ana.rest("GET", f"vault/{key}").get_json()["result"]["address"]
    assert shown and shown != "1 Road"
    assert ana.rest("PUT", f"vault/{key}", json={"address": shown}).status_code == 200
    assert stored(key, "address") == "1 Road"


def test_children_are_only_taken_from_and_given_to_those_who_may_write_them(
    client: Any, vault: Any, stored: Any
) -> None:
    mia, bens, mias = client("mia"), vault("ben"), [vault("mia"), vault("mia")]
    url, theirs = f"vault/{mias[0]}", vault("ben", parent_id=mias[0])
    assert mia.rest("PUT", url, json={"children": [theirs, bens]}).status_code == 403
    assert mia.rest("PUT", url, json={"children": []}).status_code == 403
    assert mia.rest("POST", "vault/", json={"name": "P", "children": [bens]}).status_code == 403
    assert mia.rest("PUT", url, json={"children": [theirs, mias[1]]}).status_code == 200
    parents = [stored(key, "parent_id") for key in (bens, theirs, mias[1])]
    assert parents == [None, mias[0], mias[0]]
    declared = BareApi.record_table.declared
    assert "children" not in (*declared.show, *declared.add, *declared.edit)  # any number: only where named


def test_a_foreign_key_column_holds_and_tells_only_rows_that_the_person_sees(crm: Crm, client: Any, vault: Any) -> None:
    ana, mine, hidden = client("ana"), crm.make.lead("ana"), crm.make.lead("ben")
    assert ana.rest("POST", "vault/", json={"name": "P", "about_id": hidden.id}).status_code == 422
    made = ana.rest("POST", "vault/", json={"name": "P", "about_id": mine.id}).get_json()
    assert made["result"]["about_id"] == mine.id
    key = vault("ana", about_id=hidden.id, second_lead_id=hidden.id)
    assert ana.rest("GET", f"vault/{key}").get_json()["result"]["about_id"] is None
    for col in ("about_id", "second_lead"):
        assert found(ana, col, "eq", hidden.id) == [] and found(client("root"), col, "eq", hidden.id) == [key]
    assert found(ana, "about_id", "eq", mine.id) == [made["id"]]
    assert found(ana, "about_id", "gt", 0) == 400


def test_a_dotted_column_leaves_the_shared_card_alone(app: Flask, crm: Crm, client: Any, vault: Any) -> None:
    root, key = client("root"), vault("ana")
    assert root.rest("GET", f"vault/{key}").get_json()["result"]["owner"]["active"] is True
    lead = crm.make.lead("ana")
    card = root.rest("GET", f"lead/{lead.id}").get_json()["result"]["owner"]
    assert set(card) == {"id", "username", "full_name"}


def test_unseen_related_rows_are_asked_for_once(app: Flask, crm: Crm) -> None:
    hidden = crm.make.lead("ben").id
    with app.test_request_context():
        access.act_as(db.session(), access.load_person(db.session(), crm.people["ana"].id, NOW))
        viewer = SimpleNamespace(objects={})
        assert relation_fields.found_object(viewer, Lead, hidden) is None  # type: ignore[arg-type]
        assert viewer.objects == {(Lead, hidden): None}


def test_a_related_row_tells_only_what_its_own_views_show(app: Flask, client: Any, vault: Any) -> None:
    root, parent = client("root"), vault("ana", pin="1234", hushed="shh")
    with app.app_context(), Session(db.engine) as session, access.as_system(session):
        session.add(Tag(name="T", remark="private"))
        session.commit()
    made = root.rest("POST", "vault/", json={"name": "P", "parent": parent, "tags": [1]}).get_json()["result"]
    assert made["parent"]["name"] == "Pa" and not {"pin", "hushed"} & set(made["parent"])
    assert made["tags"] == [{"id": 1, "label": "T"}]


def test_the_filters_of_an_edit_form_apply_to_edits_only(client: Any, vault: Any) -> None:
    root, key, other = client("root"), vault("ana"), vault("ana", name="Other")
    assert root.rest("PUT", f"vault/{key}", json={"parent": other}).status_code == 422
    assert root.rest("PUT", f"vault/{other}", json={"parent": key}).status_code == 200
    assert root.rest("POST", "vault/", json={"name": "New", "parent": other}).status_code == 201
