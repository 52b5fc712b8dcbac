"""Searches in the values of custom fields: by the search page, the palette and lists, under masks and access rules."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from app import access
from app.domain.custom_fields import CustomField, FieldInput
from app.web.core import text_search
from tests.app_fixtures import World
from tests.factories import NOW
from tests.web.records.test_custom_fields import made


@pytest.fixture(params=["world", "maria"])
def house(request: pytest.FixtureRequest) -> World:
    """On SQLite and on MariaDB."""
    found: World = request.getfixturevalue(request.param)
    inputs = (
        FieldInput("Branch", "text", "x_branch"),
        FieldInput("Web page", "link", "x_web"),
        FieldInput("Income", "number", "x_income"),
        FieldInput("Code word", "text", "x_secret", is_restricted=True),
    )
    made(found, "leads", *inputs)
    made(found, "task", FieldInput("Room", "text", "x_room"))
    return found


def given(world: World, who: str, **values: Any) -> Any:
    """A lead with these custom values."""
    lead = world.make.lead(who)
    assert world.door("root").rest("PUT", f"lead/{lead.id}", json=values).status_code == 200
    return lead


def hits(world: World, who: str, text: str, path: str = "/search/hits") -> set[str]:
    """The addresses that are found."""
    groups = world.door(who).screen(path, query_string={"q": text}).json["groups"]
    return {row["url"] for group in groups for row in group["rows"] if group["title"] in ("Leads", "Tasks")}


def listed(world: World, who: str, text: str) -> str:
    return str(world.door(who).screen("/leads/", query_string={"q": text}).text)


def test_records_are_found_by_what_is_in_their_custom_fields(house: World) -> None:
    lead = given(house, "ana", x_branch="Vile Parle East", x_web="https://example.com/kyc", x_income=1234567.5)
    given(house, "ana", x_branch="Andheri")
    task = house.make.task(lead)
    assert house.door("ana").rest("PUT", f"task/{task.id}", json={"x_room": "Vile 12"}).status_code == 200
    url = f"/leads/{lead.number}"
    for text in ("vile parle", "Vile Parle East", "example.com/k", "https://example.com", "12,34,567.50", "1234567.5"):
        assert url in hits(house, "ana", text), text
        assert url in hits(house, "ana", text, "/search/hits")
        assert lead.number in listed(house, "ana", text), text
    assert len(hits(house, "ana", "vile")) == 2
    for text in ("parle", "Vile Parle West", "1234567", "com/kyc", "'; DROP TABLE leads; --", "%", "__", "/%"):
        assert not hits(house, "ana", text), text


def test_who_does_not_see_the_record_or_the_field_finds_nothing(house: World) -> None:
    lead = given(house, "ana", x_branch="Vile Parle", x_secret="Mongoose")
    assert hits(house, "ana", "vile parle") == hits(house, "mia", "vile parle") == {f"/leads/{lead.number}"}
    for who in ("ben", "max", "cleo", "sam"):
        assert not hits(house, who, "vile parle")
    assert hits(house, "root", "mongoose") == {f"/leads/{lead.number}"}
    for who in ("ana", "mia", "rhea"):  # limited: no role sees it yet
        assert not hits(house, who, "mongoose")
        assert lead.number not in listed(house, who, "mongoose")


def test_a_value_that_many_records_have_is_common(house: World, monkeypatch: pytest.MonkeyPatch) -> None:
    leads = [given(house, who, x_branch="Thane") for who in ("ana", "ben", "ana", "mia")]
    given(house, "ana", x_branch="Bandra")
    monkeypatch.setattr("app.web.workday.search.MAX_LOOKED_UP", 2)
    monkeypatch.setattr(text_search.parts, "__defaults__", (2,))
    monkeypatch.setattr("app.web.core.text_search.COUNT_CAP", 2)
    urls = [f"/leads/{each.number}" for each in leads]
    assert hits(house, "ana", "thane") == {urls[0], urls[2]}
    assert hits(house, "mia", "thane") == {urls[0], urls[2], urls[3]}
    assert hits(house, "root", "thane") == {*urls}
    page = listed(house, "root", "thane")
    assert all(each.number in page for each in leads)


def test_a_removed_field_is_not_searched(house: World) -> None:
    given(house, "ana", x_branch="Thane")
    key = house.rows(select(CustomField.id).where(CustomField.name == "x_branch"))[0]
    house.session.execute(update(CustomField).where(CustomField.id == key).values(removed_on=NOW))
    access.bump_version(house.session)
    house.session.commit()
    assert not hits(house, "ana", "thane")
