"""Every list parameter that the predecessor knows changes the result or is refused; none is ignored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.web.compat.list_options import UNSUPPORTED
from tests.app_fixtures import Crm
from tests.web.compat.test_client import Script

NAMES = ["Asha", "Bina", "Chand", "Asha"]


@pytest.fixture
def script(crm: Crm) -> Script:
    """Ana's, with four leads: two of them named Asha."""
    for place, name in enumerate(NAMES):
        more = {"last_name": "Rao" if place < 2 else "Iyer", "task": {}}
        crm.make.lead("ana", first_name=name, mobile=f"98200 0000{place}", **more)
    return Script(crm)


def names(script: Script, **asked: Any) -> list[str]:
    return [
        each["first_name"] for each in script.result("get_list", doctype="CRM Lead", fields=["first_name"], **asked)
    ]


#: What is asked -> the first names that come; newest first without an order.
APPLIED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["Asha", "Chand", "Bina", "Asha"]),
    ({"filters": {"first_name": "Asha"}}, ["Asha", "Asha"]),
    ({"or_filters": {"first_name": "Bina", "last_name": "Iyer"}}, ["Asha", "Chand", "Bina"]),
    ({"or_filters": [["first_name", "=", "Bina"], ["first_name", "=", "Chand"]]}, ["Chand", "Bina"]),
    ({"filters": {"last_name": "Rao"}, "or_filters": {"first_name": ["in", ["Bina", "Chand"]]}}, ["Bina"]),
    ({"order_by": "creation asc"}, NAMES),
    ({"order_by": "lead_name asc"}, ["Asha", "Asha", "Bina", "Chand"]),
    ({"order_by": "lead_name desc, creation asc"}, ["Chand", "Bina", "Asha", "Asha"]),
    ({"order_by": "idx desc, creation asc"}, NAMES),
    ({"order_by": "modified asc"}, NAMES),
    ({"order_by": "`tabCRM Lead`.`creation` asc"}, NAMES),
    ({"limit": 2}, ["Asha", "Chand"]),
    ({"limit_page_length": 2}, ["Asha", "Chand"]),
    ({"page_length": 2}, ["Asha", "Chand"]),
    ({"limit": 0}, ["Asha", "Chand", "Bina", "Asha"]),
    ({"limit": 2, "start": 1}, ["Chand", "Bina"]),
    ({"limit": 2, "limit_start": 1}, ["Chand", "Bina"]),
    ({"limit": 1, "limit_page_length": 1}, ["Asha"]),
    ({"distinct": 1, "order_by": "first_name asc"}, ["Asha", "Bina", "Chand"]),
    ({"group_by": "first_name", "order_by": "first_name desc"}, ["Chand", "Bina", "Asha"]),
    ({"parent": "", "expand": "[]", "ignore_permissions": 0, "as_list": "0"}, ["Asha", "Chand", "Bina", "Asha"]),
]


def test_parameters_change_the_result(script: Script) -> None:
    found = {}
    for asked, _expected in APPLIED:
        params = {name: value if isinstance(value, str) else json.dumps(value) for name, value in asked.items()}
        response = script.open("GET", "CRM Lead", query_string=params | {"fields": '["first_name"]'})
        by_document = [each["first_name"] for each in response.get_json()["data"]]
        found[str(asked)] = names(script, **asked), by_document
    assert found == {str(asked): (expected, expected) for asked, expected in APPLIED}


def test_the_second_part_of_an_order_decides_between_equal_values(script: Script) -> None:
    asked = {"doctype": "CRM Lead", "fields": ["mobile_no"], "filters": {"first_name": "Asha"}}
    first, second = (
        script.result("get_list", **asked, order_by=f"lead_name asc, creation {direction}")
        for direction in ("asc", "desc")
    )
    assert [each["mobile_no"][-1] for each in first] == ["3", "0"]  # Iyer before Rao
    assert first == second
    by_first_name = [
        [
            each["mobile_no"][-1]
            for each in script.result("get_list", **asked, order_by=f"status asc, creation {direction}")
        ]
        for direction in ("asc", "desc")
    ]
    assert by_first_name == [["0", "3"], ["3", "0"]]


def test_pluck_and_as_list_change_the_form(script: Script) -> None:
    asked = {"doctype": "CRM Lead", "order_by": "creation asc"}
    assert script.result("get_list", **asked, pluck="first_name") == NAMES
    assert script.result("get_list", **asked, fields=["first_name"], as_list=1) == [[name] for name in NAMES]
    assert script.result("get_list", **asked, fields=["first_name"], as_dict=0) == [[name] for name in NAMES]
    assert script.call("get_list", **asked, fields=["name"], pluck="status").status_code == 417
    value = {"doctype": "CRM Lead", "filters": {"first_name": "Bina"}}
    assert script.result("get_value", **value, fieldname="first_name", as_dict=0) == "Bina"
    assert script.result("get_value", **value, fieldname=["first_name", "last_name"], as_dict=0) == ["Bina", "Rao"]


def test_sums_by_group(script: Script) -> None:
    asked = {"doctype": "CRM Lead", "group_by": "first_name", "order_by": "total desc, first_name asc"}
    for field in ("count(name) as total", "count(*) as total", {"COUNT": "name", "as": "total"}):
        assert script.result("get_list", **asked, fields=["first_name", field]) == [
            {"first_name": "Asha", "total": 2},
            {"first_name": "Bina", "total": 1},
            {"first_name": "Chand", "total": 1},
        ]
    assert script.result("get_list", doctype="CRM Lead", fields=["count(distinct first_name) as n"]) == [{"n": 3}]
    assert script.result("get_list", doctype="CRM Lead", fields=["status", "count(name) as n"], group_by="status") == [
        {"status": "New", "n": 4}
    ]


def test_sums_count_only_what_the_person_sees(script: Script, crm: Crm) -> None:
    asked = {"doctype": "CRM Lead", "fields": ["count(name) as n"]}
    assert Script(crm, "ben").result("get_list", **asked) == [{"n": 0}]
    assert Script(crm, "mia").result("get_list", **asked) == [{"n": 4}]


@pytest.mark.parametrize(
    "field", ["sum(duration) as s", "avg(duration) as s", "min(start_time) as s", "max(duration) as s"]
)
def test_figures_of_numbers_and_times(crm: Crm, field: str) -> None:
    for seconds in (10, 20):
        crm.make.call("ana", duration_seconds=seconds)
    value = Script(crm).result("get_list", doctype="CRM Call Log", fields=[field])[0]["s"]
    assert value == {"s": 30, "a": 15, "m": value}[field[0]] and value is not None


REFUSED: list[dict[str, Any]] = [
    *({name: "x"} for name in UNSUPPORTED["list"]),
    *({"limit_start": text} for text in ("--5", "-5", "+-5", "5-", "1.5", "x", "²", "１", "1e3", [1], {"a": 1}, True)),
    *({"limit_page_length": text} for text in ("--5", "-1", "5001", 10**30)),
    {"limit": 1, "limit_page_length": 2},
    {"limit_start": 1, "start": 2},
    {"or_filters": [["password", "=", "x"]]},
    {"or_filters": 7},
    {"order_by": "first_name asc, password desc"},
    {"order_by": "first_name asc, sleep(9)"},
    {"order_by": "first_name; drop table leads"},
    {"order_by": "first_name asc desc"},
    {"order_by": ","},
    {"order_by": ["first_name"]},
    {"group_by": "password"},
    {"group_by": "status", "fields": ["first_name", "count(name) as n"]},
    {"fields": ["count(password) as n"]},
    {"fields": ["sum(first_name) as n"]},
    {"fields": ["sleep(9)"]},
    {"fields": ["(select password from ab_user) as p"]},
    {"fields": ["`tabUser`.`password`"]},
    {"fields": ["customer.status"]},
    {"filters": [["CRM Customer", "status", "=", "x"]]},
]


def test_what_cannot_be_done_is_refused(script: Script) -> None:
    found = {}
    for asked in REFUSED:
        response = script.call("get_list", doctype="CRM Lead", **asked)
        params = {name: value if isinstance(value, str) else json.dumps(value) for name, value in asked.items()}
        by_document = script.open("GET", "CRM Lead", query_string=params).status_code
        said = response.get_json()
        found[str(asked)] = response.status_code, said["exc_type"], "message" in said, by_document
    assert found == dict.fromkeys(map(str, REFUSED), (417, "ValidationError", False, 417))


def test_masked_fields_make_no_groups(script: Script, crm: Crm) -> None:
    rhea = Script(crm, "rhea")
    for asked in (
        {"fields": ["mobile_no"], "group_by": "mobile_no"},
        {"fields": ["count(mobile_no) as n"]},
        {"fields": ["mobile_no"], "distinct": 1},
        {"order_by": "mobile_no asc"},
        {"or_filters": {"mobile_no": ["like", "98%"]}},
    ):
        assert rhea.call("get_list", doctype="CRM Lead", **asked).status_code == 417, asked


def test_all_documents_are_all_or_refused(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.compat.list_options.MAX_PAGE_SIZE", 3)
    response = script.call("get_list", doctype="CRM Lead", limit_page_length=0)
    assert response.status_code == 417 and "page by page" in response.get_json()["exception"]
    assert len(script.result("get_list", doctype="CRM Lead", limit_page_length=0, filters={"first_name": "Asha"})) == 2
    assert script.call("get_list", doctype="CRM Lead", limit_page_length=4).status_code == 417


def test_lists_in_memory_take_the_same_parameters(crm: Crm) -> None:
    script = Script(crm)
    asked = {"doctype": "User", "order_by": "name asc"}
    assert script.result("get_list", **asked, pluck="name", limit=2) == ["ana@eshin.test", "ben@eshin.test"]
    assert script.result(
        "get_list", **asked, pluck="name", or_filters={"username": "mia", "full_name": ["like", "Ana%"]}
    ) == [
        "ana@eshin.test",
        "mia@eshin.test",
    ]
    assert script.result("get_list", doctype="Role", pluck="name", filters={"name": ["not in", ["Admin"]]}, limit=0)
    for wrong in (
        {"group_by": "name"},
        {"filters": {"password": "x"}},
        {"order_by": "password"},
        {"limit_start": "--5"},
    ):
        assert script.call("get_list", doctype="User", **wrong).status_code == 417, wrong
