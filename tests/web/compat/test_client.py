"""frappe.client.* and /api/resource, as scripts with an API key use them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.app_fixtures import Crm
from tests.cases import each_case


class Script:
    """A script with an API key."""

    def __init__(self, crm: Crm, name: str = "ana") -> None:
        self.browser = crm.app.test_client()
        self.headers = {"Authorization": f"token key{name}:secret-{name}"}

    def call(self, method: str, **body: Any) -> Any:
        return self.browser.post(f"/api/method/frappe.client.{method}", json=body, headers=self.headers)

    def result(self, method: str, **body: Any) -> Any:
        response = self.call(method, **body)
        assert response.status_code == 200, response.text
        return response.get_json()["message"]

    def open(self, method: str, path: str, **more: Any) -> Any:
        return self.browser.open(f"/api/resource/{path}", method=method, headers=self.headers, **more)


@pytest.fixture
def script(crm: Crm) -> Script:
    return Script(crm)


@pytest.fixture
def lead(crm: Crm) -> Any:
    return crm.make.lead("ana", first_name="Asha", mobile="98200 12345", task={})


def test_a_list_has_the_predecessors_field_names(script, lead):
    fields = ["name", "first_name", "mobile_no", "status", "lead_owner", "creation", "salutation"]
    result = script.result("get_list", doctype="CRM Lead", fields=fields)
    assert list(result[0]) == fields
    assert result[0] | {"creation": ""} == {
        "name": lead.number,
        "first_name": "Asha",
        "mobile_no": "+919820012345",
        "status": "New",
        "lead_owner": "ana@eshin.test",
        "creation": "",
        "salutation": None,
    }
    assert result[0]["creation"] == "2026-11-23 10:00:00.000000"


#: (filters, whether they find Ana's lead).
FORMS = [
    ([["status", "=", "New"]], True),
    ([["CRM Lead", "status", "=", "New"]], True),
    ({"status": "New"}, True),
    ({"status": ["!=", "New"]}, False),
    ({"status": ["in", ["New", "Junk"]]}, True),
    ({"status": ["New"]}, True),
    ([["first_name", "like", "%sh%"]], True),
    ([["first_name", "like", "Ash%"]], True),
    ([["first_name", "like", "%x"]], False),
    ([["creation", ">", "2026-11-23 09:00:00"]], True),
    ([["creation", "between", ["2026-11-22", "2026-11-23"]]], True),
    ([["creation", "<", "2026-11-23"]], False),
    ([["client_id", "is", "not set"]], True),
    ([["client_id", "is", "set"]], False),
    ({"mobile_no": "09820012345"}, True),
    ({"name": ["like", "CRM-LEAD%"]}, True),
    ({"lead_owner": "ana"}, True),
    ("", True),
    ([], True),
    ('[["status","=","New"]]', True),
]


def test_every_form_of_filter(script, lead):
    found = {}
    for filters, _fits in FORMS:
        rows = script.result("get_list", doctype="CRM Lead", filters=filters)
        found[str(filters)] = rows, script.result("get_count", doctype="CRM Lead", filters=filters)
    assert found == {str(filters): ([{"name": lead.number}] * fits, int(fits)) for filters, fits in FORMS}


@each_case(
    "wrong",
    [
        {"filters": [["status", "sounds like", "x"]]},
        {"filters": [["password", "=", "x"]]},
        {"filters": 7},
        {"filters": [["status"]]},
        {"filters": '[["a'},
        {"fields": ["password"]},
        {"fields": ["count(password)"]},
        {"fields": ["name; drop table leads"]},
        {"order_by": "name; drop table leads"},
        {"order_by": "sleep(9)"},
        {"limit_start": "x"},
        {"filters": [["first_name", "like", ["a"]]]},
        {"filters": [["creation", ">", "never"]]},
        {"filters": [["name", "=", "x"]] * 31},
        {"filters": [["creation", "between", ["2026-01-01"]]]},
    ],
)
def test_an_invalid_list_request_is_417_with_a_message(script, lead, wrong):
    response = script.call("get_list", doctype="CRM Lead", **wrong)
    assert (response.status_code, response.get_json()["exc_type"]) == (417, "ValidationError")
    assert json.loads(json.loads(response.get_json()["_server_messages"])[0])["message"]


def test_paging_and_sorting(script, crm):
    numbers = [crm.make.lead("ana", task={}).number for _ in range(5)]
    page = script.result("get_list", doctype="CRM Lead", limit_start=1, limit_page_length=3)
    assert [each["name"] for each in page] == numbers[::-1][1:4]
    ordered = script.result(
        "get_list", doctype="CRM Lead", order_by="`tabCRM Lead`.`creation` asc", limit_page_length=0
    )
    assert [each["name"] for each in ordered] == numbers


@each_case("doctype", ["API Key", "Has Role", "DocType", "CRM Nothing", "", "__class__"])
def test_api_keys_and_other_doctypes_are_not_available(script, doctype):
    for method in ("get_list", "get", "get_count", "get_value", "delete", "set_value"):
        assert script.call(method, doctype=doctype, name="1", fieldname="x").status_code in (403, 417)


def test_access_rules_and_masks_apply_to_documents(crm, lead):
    foreign, compliance = Script(crm, "ben"), Script(crm, "rhea")
    assert foreign.result("get_list", doctype="CRM Lead") == []
    assert foreign.call("get", doctype="CRM Lead", name=lead.number).status_code == 404
    assert compliance.result("get", doctype="CRM Lead", name=lead.number)["mobile_no"].endswith("2345")
    assert compliance.result("get", doctype="CRM Lead", name=lead.number)["mobile_no"] != "+919820012345"
    assert compliance.call("get_list", doctype="CRM Lead", filters={"mobile_no": "9820012345"}).status_code == 417


def test_a_document_is_created_read_changed_and_deleted(script, crm):
    doc = {"doctype": "CRM Lead", "first_name": "Ravi", "mobile_no": "9820054321", "status": "New", "salutation": "Mr"}
    created = script.result("insert", doc=doc)
    assert created["first_name"] == "Ravi"
    changed = script.result(
        "set_value", doctype="CRM Lead", name=created["name"], fieldname="description", value="Calls back"
    )
    assert changed["description"] == "Calls back"
    assert script.result("get_value", doctype="CRM Lead", filters=created["name"], fieldname="first_name") == {
        "first_name": "Ravi"
    }
    assert Script(crm, "root").result("delete", doctype="CRM Lead", name=created["name"]) is None
    assert script.call("get", doctype="CRM Lead", name=created["name"]).status_code == 404


def test_saving_a_stale_document_is_refused(script, lead, crm):
    doc = script.result("get", doctype="CRM Lead", name=lead.number)
    assert script.call("save", doc=doc | {"description": "First"}).status_code == 200
    stale = script.call("save", doc=doc | {"description": "Second"})
    assert (stale.status_code, stale.get_json()["exc_type"]) == (409, "TimestampMismatchError")
    assert crm.stored(lead)["description"] == "First"


def test_a_status_with_a_missing_field_is_417_and_changes_nothing(script, lead, crm):
    before = crm.stored(lead)
    response = script.call(
        "set_value", doctype="CRM Lead", name=lead.number, fieldname="status", value="Account Opened"
    )
    assert response.status_code == 417
    assert "client ID" in response.get_json()["exception"]
    assert crm.stored(lead) == before


def test_bulk_update_names_the_failed_documents(script, lead):
    docs = [
        {"doctype": "CRM Lead", "docname": lead.number, "description": "x"},
        {"doctype": "CRM Lead", "docname": "CRM-LEAD-2026-99999", "description": "x"},
    ]
    failed = script.result("bulk_update", docs=json.dumps(docs))["failed_docs"]
    assert [each["doc"]["docname"] for each in failed] == ["CRM-LEAD-2026-99999"]


def test_the_resource_endpoints(script, lead):
    listed = script.open("GET", "CRM Lead", query_string={"fields": '["name","status"]', "limit_page_length": 5})
    assert listed.get_json() == {"data": [{"name": lead.number, "status": "New"}]}
    assert script.open("GET", f"CRM%20Lead/{lead.number}/").get_json()["data"]["name"] == lead.number
    created = script.open("POST", "CRM Task", data={"data": json.dumps({"title": "Call", "lead": lead.number})})
    name = created.get_json()["data"]["name"]
    put = script.open("PUT", f"CRM Task/{name}", json={"status": "Done"})
    assert put.get_json()["data"]["status"] == "Done"
    assert script.open("DELETE", f"CRM Task/{name}").get_json() == {"message": "ok"}
    assert script.open("GET", f"CRM Task/{name}").status_code == 404


def test_a_list_of_calls_takes_few_statements(crm, script):
    from app.ops.database.connections import STATEMENTS

    lead = crm.make.lead("ana", task={})
    for _ in range(25):
        crm.make.call(lead) if hasattr(crm.make, "call") else crm.make.task(lead)
    script.result("get_list", doctype="CRM Call Log", fields=["*"])
    statements: list[str] = []
    token = STATEMENTS.set(statements)
    script.result("get_list", doctype="CRM Call Log", fields=["*"])
    STATEMENTS.reset(token)
    assert len(statements) <= 4, statements
