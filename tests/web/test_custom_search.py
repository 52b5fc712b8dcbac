"""Searches in the values of custom fields: by the search page, the palette and lists, under masks and access rules."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from app import access
from app.domain.custom_fields import CustomField, FieldInput
from tests.app_fixtures import Crm
from tests.factories import NOW
from tests.web.records.test_custom_fields import made


@pytest.fixture(params=["crm", "maria"])
def crm_on_both(request: pytest.FixtureRequest) -> Crm:
    """On SQLite and on MariaDB."""
    found: Crm = request.getfixturevalue(request.param)
    inputs = (
        FieldInput("Branch", "text", "x_branch"),
        FieldInput("Web page", "link", "x_web"),
        FieldInput("Income", "number", "x_income"),
        FieldInput("Code word", "text", "x_secret", is_restricted=True),
    )
    made(found, "leads", *inputs)
    made(found, "task", FieldInput("Room", "text", "x_room"))
    return found


def given(crm: Crm, who: str, **values: Any) -> Any:
    """A lead with these custom values."""
    lead = crm.make.lead(who)
    assert crm.client("root").rest("PUT", f"lead/{lead.id}", json=values).status_code == 200
    return lead


def hits(crm: Crm, who: str, text: str, path: str = "/search/hits") -> set[str]:
    """The addresses that are found."""
    groups = crm.client(who).screen(path, query_string={"q": text}).json["groups"]
    return {row["url"] for group in groups for row in group["rows"] if group["title"] in ("Leads", "Tasks")}


def listed(crm: Crm, who: str, text: str) -> str:
    return str(crm.client(who).screen("/leads/", query_string={"q": text}).text)


def test_records_are_found_by_what_is_in_their_custom_fields(crm_on_both: Crm) -> None:
    lead = given(crm_on_both, "ana", x_branch="Vile Parle East", x_web="https://example.com/kyc", x_income=1234567.5)
    given(crm_on_both, "ana", x_branch="Andheri")
    task = crm_on_both.make.task(lead)
    assert crm_on_both.client("ana").rest("PUT", f"task/{task.id}", json={"x_room": "Vile 12"}).status_code == 200
    url = f"/leads/{lead.number}"
    for text in ("vile parle", "Vile Parle East", "example.com/k", "https://example.com", "12,34,567.50", "1234567.5"):
        assert url in hits(crm_on_both, "ana", text), text
        assert url in hits(crm_on_both, "ana", text, "/search/hits")
        assert lead.number in listed(crm_on_both, "ana", text), text
    assert len(hits(crm_on_both, "ana", "vile")) == 2
    for text in ("parle", "Vile Parle West", "1234567", "com/kyc", "'; DROP TABLE leads; --", "%", "__", "/%"):
        assert not hits(crm_on_both, "ana", text), text


def test_who_does_not_see_the_record_or_the_field_finds_nothing(crm_on_both: Crm) -> None:
    lead = given(crm_on_both, "ana", x_branch="Vile Parle", x_secret="Mongoose")
    assert hits(crm_on_both, "ana", "vile parle") == hits(crm_on_both, "mia", "vile parle") == {f"/leads/{lead.number}"}
    for who in ("ben", "max", "cleo", "sam"):
        assert not hits(crm_on_both, who, "vile parle")
    assert hits(crm_on_both, "root", "mongoose") == {f"/leads/{lead.number}"}
    for who in ("ana", "mia", "rhea"):  # limited: no role sees it yet
        assert not hits(crm_on_both, who, "mongoose")
        assert lead.number not in listed(crm_on_both, who, "mongoose")


def test_a_value_that_many_records_have_is_common(crm_on_both: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    leads = [given(crm_on_both, who, x_branch="Thane") for who in ("ana", "ben", "ana", "mia")]
    given(crm_on_both, "ana", x_branch="Bandra")
    monkeypatch.setattr("app.web.workday.search.MAX_LOOKED_UP", 2)
    monkeypatch.setattr("app.web.core.queries.text_search.COUNT_CAP", 2)
    urls = [f"/leads/{each.number}" for each in leads]
    assert hits(crm_on_both, "ana", "thane") == {urls[0], urls[2]}
    assert hits(crm_on_both, "mia", "thane") == {urls[0], urls[2], urls[3]}
    assert hits(crm_on_both, "root", "thane") == {*urls}
    page = listed(crm_on_both, "root", "thane")
    assert all(each.number in page for each in leads)


def test_a_removed_field_is_not_searched(crm_on_both: Crm) -> None:
    given(crm_on_both, "ana", x_branch="Thane")
    key = crm_on_both.rows(select(CustomField.id).where(CustomField.name == "x_branch"))[0]
    crm_on_both.session.execute(update(CustomField).where(CustomField.id == key).values(removed_on=NOW))
    access.bump_version(crm_on_both.session)
    crm_on_both.session.commit()
    assert not hits(crm_on_both, "ana", "thane")
