"""Custom fields in the predecessor's DocTypes: custom_risk is the field x_risk, in documents, filters and groups."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.custom_fields import FieldInput
from tests.app_fixtures import Crm
from tests.web.records.test_custom_fields import five, made

DOC = {
    "custom_risk": "High",
    "custom_income": 1200000.5,
    "custom_review": "2026-12-24",
    "custom_hobby": "Cricket",
    "custom_web": "https://example.com/a",
}


def ask(crm: Crm, method: str, path: str, json: Any = None, **query: str) -> Any:
    """Of /api/resource, as ana."""
    return crm.client("ana").rest(method, f"/api/resource/{path}", json=json, query_string=query)


def names(crm: Crm, filters: Any, **more: str) -> list[str]:
    """The leads of a list, oldest first unless it says otherwise."""
    given = {"filters": json.dumps(filters), "order_by": "creation asc"} | more
    answer = ask(crm, "GET", "CRM Lead", **given)
    assert answer.status_code == 200, answer.text
    return [each["name"] for each in answer.json["data"]]


def test_documents_have_custom_fields_of_each_kind(crm_on_both: Crm) -> None:
    lead = crm_on_both.make.lead()
    before = ask(crm_on_both, "GET", f"CRM Lead/{lead.number}").json["data"]
    assert not any(name.startswith("custom_") for name in before)
    five(crm_on_both)
    assert ask(crm_on_both, "GET", f"CRM Lead/{lead.number}").json["data"]["custom_risk"] is None
    answer = ask(crm_on_both, "PUT", f"CRM Lead/{lead.number}", DOC)
    assert answer.status_code == 200, answer.text
    assert "_server_messages" not in answer.json
    stored = ask(crm_on_both, "GET", f"CRM Lead/{lead.number}").json["data"]
    assert {name: stored[name] for name in DOC} == DOC
    assert crm_on_both.client("ana").rest("GET", f"lead/{lead.id}").json["result"]["x_hobby"] == "Cricket"
    again = ask(crm_on_both, "PUT", f"CRM Lead/{lead.number}", stored | {"custom_hobby": None, "custom_risk": "low"})
    assert (again.json["data"]["custom_hobby"], again.json["data"]["custom_risk"]) == (None, "Low")
    new = {"first_name": "Om", "mobile_no": "9820099911", "custom_hobby": "Bridge"}
    assert ask(crm_on_both, "POST", "CRM Lead", new).json["data"]["custom_hobby"] == "Bridge"


@pytest.mark.parametrize(
    "doc, part",
    [
        ({"custom_risk": "Extreme"}, "must be one of"),
        ({"custom_income": "much"}, "must be a number"),
        ({"custom_review": "32.13.2026"}, "date"),
        ({"custom_web": "javascript:alert(1)"}, "web address"),
        ({"custom_hobby": "x" * 300}, "characters"),
        ({"custom_nothing": "x"}, "has no field"),
        ({"x_hobby": "x"}, "has no field"),
    ],
)
def test_what_can_not_be_a_value_is_a_sentence(crm: Crm, doc: Any, part: str) -> None:
    five(crm)
    lead = crm.make.lead()
    answer = ask(crm, "PUT", f"CRM Lead/{lead.number}", doc)
    assert 400 <= answer.status_code < 500 and part in answer.text, answer.text


def test_lists_filter_sort_and_group_by_custom_fields(crm_on_both: Crm) -> None:
    five(crm_on_both)
    one, two, three = (crm_on_both.make.lead() for _n in range(3))
    ask(crm_on_both, "PUT", f"CRM Lead/{one.number}", DOC)
    ask(
        crm_on_both,
        "PUT",
        f"CRM Lead/{two.number}",
        {"custom_risk": "Low", "custom_income": 5, "custom_hobby": "Bridge"},
    )
    found: list[tuple[Any, list[Any]]] = [
        ({"custom_risk": "High"}, [one]),
        ([["custom_risk", "!=", "High"]], [two, three]),
        ([["custom_risk", "in", ["High", "Low"]]], [one, two]),
        ([["custom_risk", "like", "hi%"]], [one]),
        ([["custom_risk", "is", "not set"]], [three]),
        ([["custom_hobby", "is", "set"]], [one, two]),
        ([["custom_hobby", "like", "%rick%"]], [one]),
        ([["custom_hobby", "not like", "%rick%"]], [two, three]),
        ([["custom_income", ">=", 5]], [one, two]),
        ([["custom_income", "between", [1, 10]]], [two]),
        ([["custom_review", "<=", "2026-12-24"]], [one]),
        ([["custom_review", "between", ["2026-12-01", "2026-12-31"]]], [one]),
        ([["custom_review", "timespan", "last month"]], []),
        ({"custom_hobby": "Cricket"}, [one]),
    ]
    for filters, expected in found:
        assert names(crm_on_both, filters) == [each.number for each in expected], filters
    assert names(crm_on_both, [], order_by="custom_income desc")[:2] == [one.number, two.number]
    assert names(crm_on_both, [], order_by="custom_hobby asc") != names(crm_on_both, [], order_by="custom_hobby desc")
    listed = ask(crm_on_both, "GET", "CRM Lead", fields='["name","custom_hobby"]', filters='{"custom_risk":"High"}')
    assert listed.json["data"] == [{"name": one.number, "custom_hobby": "Cricket"}]
    fields = '["custom_risk","count(name) as n","sum(custom_income) as money","max(custom_review) as last"]'
    groups = ask(crm_on_both, "GET", "CRM Lead", fields=fields, group_by="custom_risk", order_by="n desc")
    assert groups.status_code == 200, groups.text
    by_risk = {each["custom_risk"]: each for each in groups.json["data"]}
    assert by_risk["High"] == {"custom_risk": "High", "n": 1, "money": 1200000.5, "last": "2026-12-24"}
    assert by_risk[None]["n"] == 1
    meta = crm_on_both.client("ana").rest(
        "GET", "/api/method/crm.api.doc.get_fields_meta", query_string={"doctype": "CRM Lead"}
    )
    assert meta.json["message"]["custom_risk"]["label"] == "Risk profile"


def test_a_limited_field_is_masked_and_no_way_to_guess(crm_on_both: Crm) -> None:
    made(crm_on_both, "leads", FieldInput("Bank", "text", "x_bank", is_restricted=True))
    lead = crm_on_both.make.lead()
    answer = crm_on_both.client("root").rest(
        "PUT", f"/api/resource/CRM Lead/{lead.number}", json={"custom_bank": "HDFC 12345"}
    )
    assert answer.json["data"]["custom_bank"] == "HDFC 12345"
    shown = ask(crm_on_both, "GET", f"CRM Lead/{lead.number}").json["data"]
    assert "HDFC" not in str(shown)
    assert ask(crm_on_both, "PUT", f"CRM Lead/{lead.number}", shown).status_code == 200  # sent back as it was read
    assert crm_on_both.client("root").rest("GET", f"lead/{lead.id}").json["result"]["x_bank"] == "HDFC 12345"
    for query in (
        {"filters": '{"custom_bank": "HDFC 12345"}'},
        {"filters": '[["custom_bank","like","HDFC%"]]'},
        {"or_filters": '[["custom_bank","is","set"]]'},
        {"order_by": "custom_bank asc"},
        {"fields": '["custom_bank","count(name)"]', "group_by": "custom_bank"},
        {"fields": '["max(custom_bank)"]'},
    ):
        answer = ask(crm_on_both, "GET", "CRM Lead", **query)
        assert answer.status_code == 417 and "HDFC 12345" not in answer.text.replace(str(query), ""), query


def test_a_required_field_is_not_asked_of_programs_that_do_not_know_it(crm: Crm) -> None:
    made(crm, "leads", FieldInput("Branch", "text", "x_branch", is_required=True))
    new = {"first_name": "Om", "mobile_no": "9820099911"}
    stored = ask(crm, "POST", "CRM Lead", new)
    assert (stored.status_code, stored.json["data"]["custom_branch"]) == (200, None)
    name = stored.json["data"]["name"]
    assert ask(crm, "PUT", f"CRM Lead/{name}", {"custom_branch": "Thane"}).status_code == 200
    emptied = ask(crm, "PUT", f"CRM Lead/{name}", {"custom_branch": ""})
    assert emptied.status_code == 417 and "can't be emptied" in emptied.text
