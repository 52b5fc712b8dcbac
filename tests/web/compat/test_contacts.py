"""Methods for the customer of a lead or ticket: find or create, read, update, change history."""

from __future__ import annotations

from typing import Any

import pytest

from app.models import Customer
from tests.cases import each_case
from tests.web.compat.sample_calls import SampleRecords

API, LEAD_OPERATIONS = "crm.api.customers.", "crm.api.lead_operations."
HISTORY = "crm.fcrm.doctype.crm_customer.crm_customer.get_customer_update_history"


# --- fields that a status requires


@pytest.mark.parametrize(
    ("method", "field", "value", "expected"),
    [
        ("save_client_id", "client_id", "ab2", "AB2"),
        ("save_pod_id", "pod_id", "POD-2", "POD-2"),
        ("save_rejection_reason", "rejection_reason", "No papers", "No papers"),
    ],
)
def test_a_field_that_a_status_requires_is_saved_without_changing_the_status(
    sample: SampleRecords, method: str, field: str, value: str, expected: str
) -> None:
    lead = sample.crm.stored(sample.lead)
    result = sample.result(
        "ana", f"{LEAD_OPERATIONS}{method}_without_validation", lead_name=sample.lead.number, **{field: value}
    )
    now = sample.crm.stored(sample.lead)
    assert lead is not None and now is not None
    assert (result["success"], result[field], now[field], now["status_id"]) == (
        True,
        expected,
        expected,
        lead["status_id"],
    )
    assert (now["version"], now["changed_by_id"]) == (lead["version"] + 1, sample.crm.people["ana"].id)
    log = sample.result("ana", "crm.api.activities.get_activities", name=sample.lead.number)[0]
    assert log[0]["activity_type"] == "changed"


def test_a_saved_client_id_opens_the_account_later(sample: SampleRecords) -> None:
    sample.result(
        "ana", LEAD_OPERATIONS + "save_client_id_without_validation", lead_name=sample.lead.number, client_id="zz9"
    )
    doc = sample.result(
        "ana",
        "frappe.client.set_value",
        doctype="CRM Lead",
        name=sample.lead.number,
        fieldname="status",
        value="Account Opened",
    )
    assert (doc["status"], doc["client_id"]) == ("Account Opened", "ZZ9")
    corrected = {"lead_name": sample.lead.number, "client_id": "zz8"}
    assert (
        sample.result("ana", LEAD_OPERATIONS + "save_client_id_without_validation", **corrected)["client_id"] == "ZZ8"
    )
    assert [
        each["client_id"]
        for each in sample.result("ana", "crm.fcrm.doctype.crm_lead.api.get_lead", name=sample.lead.number)["accounts"]
    ] == ["ZZ8"]


def test_a_client_id_in_use_is_refused(sample: SampleRecords) -> None:
    method, other = LEAD_OPERATIONS + "save_client_id_without_validation", sample.crm.make.lead("ben", task={})
    body = {"lead_name": sample.lead.number, "client_id": "cl100"}
    assert sample.call("ana", method, body).get_json()["exc_type"] == "DuplicateEntryError"  # an account has it
    sample.result("ben", method, lead_name=other.number, client_id="B77")
    assert sample.call("ana", method, body | {"client_id": "b77"}).status_code == 409  # an invisible lead has it
    assert sample.call("ana", method, body | {"client_id": "  "}).get_json()["exc_type"] == "MandatoryError"
    assert sample.crm.fresh(sample.lead).client_id is None


def test_only_a_leads_status_opens_an_account(sample: SampleRecords) -> None:
    method, body = LEAD_OPERATIONS + "update_customer_with_client_id", {"customer_name": sample.customer.number}
    result = sample.result("ana", method, **body, client_id="cl100")
    assert [each["client_id"] for each in result["accounts"]] == ["CL100"]
    for wrong in ({"client_id": "NEW1"}, {"client_id": "CL100", "accounts_json": [{"client_id": "NEW1"}]}):
        response = sample.call("ana", method, body | wrong)
        assert response.status_code == 417 and "NEW1" in response.get_json()["exception"]


# --- find or create


def test_a_customer_is_found_by_a_mobile_number_in_any_format(sample: SampleRecords) -> None:
    before = sample.crm.count(Customer)
    result = sample.result(
        "ana", API + "create_or_update_customer", mobile_no="+91 98200-12345", email="new@example.com"
    )
    assert (result["customer_id"], result["is_new"], result["email"]) == (
        sample.customer.number,
        False,
        "new@example.com",
    )
    named = sample.result(
        "ana", API + "create_or_update_customer", customer_id=sample.customer.number, customer_name="Asha Rao Patel"
    )
    assert (named["first_name"], named["last_name"]) == ("Asha", "Rao Patel")
    assert sample.crm.count(Customer) == before


def test_a_single_word_changes_the_first_name_only(sample: SampleRecords) -> None:
    result = sample.result("ana", API + "create_or_update_customer", mobile_no="9820012345", customer_name="Usha")
    assert result["customer_name"] == "Usha Patel"


def test_creating_a_customer_needs_the_permission(sample: SampleRecords) -> None:
    body = {"mobile_no": "9820088888", "customer_name": "Uma Rao", "email": "uma@example.com"}
    assert sample.call("ana", API + "create_or_update_customer", body).status_code == 403
    created = sample.result("root", API + "create_or_update_customer", **body)
    assert (created["is_new"], created["customer_name"], created["mobile_no"]) == (True, "Uma Rao", "+919820088888")
    found = sample.result("root", API + "create_or_find_customer", **body)
    assert (found["is_new"], found["customer_id"]) == (False, created["name"])


def test_the_mobile_number_of_an_invisible_customer_is_a_duplicate(sample: SampleRecords) -> None:
    sample.crm.make.cell("Sales User", "Customers", "create", "own")
    for method in ("create_or_update_customer", "create_or_find_customer"):
        response = sample.call("ben", API + method, {"mobile_no": "9820012345", "customer_name": "Ben"})
        assert (response.status_code, response.get_json()["exc_type"]) == (409, "DuplicateEntryError")
        assert "Asha" not in response.text


def test_a_lead_with_a_customer_returns_that_customer(sample: SampleRecords) -> None:
    lead = sample.crm.make.lead("ana", mobile="9820012345", task={})
    result = sample.result("ana", API + "create_or_find_customer", lead_name=lead.number, mobile_no="9820099998")
    assert (result["customer_id"], result["customer_name"], result["is_new"]) == (
        sample.customer.number,
        "Asha Patel",
        False,
    )


@pytest.mark.parametrize(("mobile", "found"), [("098200-12345", True), ("9820000000", False)])
def test_autofill_by_mobile_number(sample: SampleRecords, mobile: str, found: bool) -> None:
    result = sample.result("ana", API + "auto_fill_customer_data", mobile_no=mobile)
    assert (result["found"], result["first_name"]) == (found, "Asha" if found else None)


# --- read and update through the record


def test_customer_data_of_a_lead_and_of_a_ticket(sample: SampleRecords) -> None:
    lead = sample.result("ana", API + "get_customer_data_for_lead", lead_name=sample.lead.number)
    assert (lead["customer_id"], lead["customer_name"], lead["mobile_no"]) == (None, "Ravi Kumar", "+919820054321")
    ticket = sample.result("cleo", API + "get_customer_data_for_ticket", ticket_name=sample.ticket.number)
    assert (ticket["customer_id"], ticket["customer_name"]) == (sample.customer.number, "Asha Patel")
    assert [each["client_id"] for each in ticket["accounts"]] == ["CL100"]
    whole = sample.result("cleo", API + "get_ticket_with_customer_data", ticket_name=sample.ticket.number)
    assert (whole["name"], whole["status"], whole["customer_name"]) == (sample.ticket.number, "New", "Asha Patel")
    assert (
        sample.result("ana", API + "get_lead_with_customer_data", lead_name=sample.lead.number)["first_name"] == "Ravi"
    )


def test_customer_data_is_updated_through_the_lead_or_ticket(sample: SampleRecords) -> None:
    result = sample.result(
        "ana",
        API + "update_lead_customer_data",
        lead_name=sample.lead.number,
        customer_data={"email": "Ravi@Example.com", "last_name": "Shah"},
    )
    assert (result["email"], result["customer_name"]) == ("ravi@example.com", "Ravi Shah")
    result = sample.result(
        "cleo", API + "update_ticket_customer_data", ticket_name=sample.ticket.number, last_name="Rao"
    )
    assert (result["customer_name"], sample.crm.fresh(sample.customer).last_name) == ("Asha Rao", "Rao")


@each_case(
    "body, status",
    [
        ({}, 417),
        ({"customer_data": {}}, 417),
        ({"nickname": "x"}, 417),
        ({"pan_card_number": "wrong"}, 417),
        ({"mobile_no": "12"}, 417),
    ],
)
def test_invalid_customer_data_is_refused(sample: SampleRecords, body: dict[str, Any], status: int) -> None:
    response = sample.call("cleo", API + "update_ticket_customer_data", {"ticket_name": sample.ticket.number} | body)
    assert response.status_code == status, response.text


def test_a_ticket_without_a_customer_is_refused(sample: SampleRecords) -> None:
    body = {"ticket_name": sample.shared_ticket.number, "last_name": "Rao"}
    response = sample.call("sam", API + "update_ticket_customer_data", body)
    assert response.status_code == 417 and "no customer" in response.get_json()["exception"]


# --- change history


def test_the_change_history_of_a_customer_is_masked(sample: SampleRecords) -> None:
    sample.result(
        "ana",
        API + "create_or_update_customer",
        customer_id=sample.customer.number,
        mobile_no="9820011111",
        pan_card_number="ABCDE1234F",
    )
    newest = sample.result("ana", HISTORY, customer_name=sample.customer.number)[0]
    assert newest["user"] == "ana@eshin.test" and len(newest["timestamp"]) == 26
    assert {each["field"]: each["new"] for each in newest["changes"]} == {
        "mobile_no": "9820011111",
        "pan_card_number": None,
    }
    masked = sample.result("rhea", HISTORY, customer_name=sample.customer.number)[0]["changes"]
    assert "9820011111" not in str(masked) and "98200 12345" not in str(masked)
    assert sample.call("ben", HISTORY, {"customer_name": sample.customer.number}).status_code == 404
