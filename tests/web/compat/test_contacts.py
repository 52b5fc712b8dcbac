"""The person behind a lead or ticket under the old names: found, made, read with it, changed through it."""

from __future__ import annotations

from typing import Any

import pytest

from app.models import Customer
from tests.web.compat.sample_calls import Ground

API, OPS = "crm.api.customers.", "crm.api.lead_operations."
HISTORY = "crm.fcrm.doctype.crm_customer.crm_customer.get_customer_update_history"


# --- what a gate will ask for


@pytest.mark.parametrize(
    ("method", "field", "given", "kept"),
    [
        ("save_client_id", "client_id", "ab 2", "AB 2"),
        ("save_pod_id", "pod_id", "POD-2", "POD-2"),
        ("save_rejection_reason", "rejection_reason", "No papers", "No papers"),
    ],
)
def test_what_a_gate_asks_for_is_kept_and_the_status_stays(
    ground: Ground, method: str, field: str, given: str, kept: str
) -> None:
    lead = ground.world.stored(ground.lead)
    told = ground.told("ana", f"{OPS}{method}_without_validation", lead_name=ground.lead.number, **{field: given})
    now = ground.world.stored(ground.lead)
    assert lead is not None and now is not None
    assert (told["success"], told[field], now[field], now["status_id"]) == (True, kept, kept, lead["status_id"])
    assert (now["version"], now["changed_by_id"]) == (lead["version"] + 1, ground.world.people["ana"].id)
    log = ground.told("ana", "crm.api.activities.get_activities", name=ground.lead.number)[0]
    assert log[0]["activity_type"] == "changed"


def test_a_client_id_kept_before_opens_the_account_later(ground: Ground) -> None:
    ground.told("ana", OPS + "save_client_id_without_validation", lead_name=ground.lead.number, client_id="zz9")
    doc = ground.told(
        "ana",
        "frappe.client.set_value",
        doctype="CRM Lead",
        name=ground.lead.number,
        fieldname="status",
        value="Account Opened",
    )
    assert (doc["status"], doc["client_id"]) == ("Account Opened", "ZZ9")
    corrected = {"lead_name": ground.lead.number, "client_id": "zz8"}
    assert ground.told("ana", OPS + "save_client_id_without_validation", **corrected)["client_id"] == "ZZ8"
    assert [
        each["client_id"]
        for each in ground.told("ana", "crm.fcrm.doctype.crm_lead.api.get_lead", name=ground.lead.number)["accounts"]
    ] == ["ZZ8"]


def test_a_client_id_of_somebody_else_is_refused(ground: Ground) -> None:
    method, other = OPS + "save_client_id_without_validation", ground.world.make.lead("ben", task={})
    sent = {"lead_name": ground.lead.number, "client_id": "cl100"}
    assert ground.ask("ana", method, sent).get_json()["exc_type"] == "DuplicateEntryError"  # an account's
    ground.told("ben", method, lead_name=other.number, client_id="B77")
    assert ground.ask("ana", method, sent | {"client_id": "b77"}).status_code == 409  # a lead's, out of sight
    assert ground.ask("ana", method, sent | {"client_id": "  "}).get_json()["exc_type"] == "MandatoryError"
    assert ground.world.fresh(ground.lead).client_id is None


def test_an_account_is_opened_by_its_lead_alone(ground: Ground) -> None:
    method, sent = OPS + "update_customer_with_client_id", {"customer_name": ground.customer.number}
    told = ground.told("ana", method, **sent, client_id="cl100")
    assert [each["client_id"] for each in told["accounts"]] == ["CL100"]
    for wrong in ({"client_id": "NEW1"}, {"client_id": "CL100", "accounts_json": [{"client_id": "NEW1"}]}):
        answer = ground.ask("ana", method, sent | wrong)
        assert answer.status_code == 417 and "NEW1" in answer.get_json()["message"]


# --- found or made


def test_a_customer_is_known_by_any_spelling_of_his_number(ground: Ground) -> None:
    before = ground.world.count(Customer)
    told = ground.told("ana", API + "create_or_update_customer", mobile_no="+91 98200-12345", email="new@example.com")
    assert (told["customer_id"], told["is_new"], told["email"]) == (ground.customer.number, False, "new@example.com")
    named = ground.told(
        "ana", API + "create_or_update_customer", customer_id=ground.customer.number, customer_name="Asha Rao Patel"
    )
    assert (named["first_name"], named["last_name"]) == ("Asha", "Rao Patel")
    assert ground.world.count(Customer) == before


def test_one_word_leaves_the_last_name_as_it_is(ground: Ground) -> None:
    told = ground.told("ana", API + "create_or_update_customer", mobile_no="9820012345", customer_name="Usha")
    assert told["customer_name"] == "Usha Patel"


def test_a_new_customer_is_made_by_those_who_may(ground: Ground) -> None:
    sent = {"mobile_no": "9820088888", "customer_name": "Uma Rao", "email": "uma@example.com"}
    assert ground.ask("ana", API + "create_or_update_customer", sent).status_code == 403
    made = ground.told("root", API + "create_or_update_customer", **sent)
    assert (made["is_new"], made["customer_name"], made["mobile_no"]) == (True, "Uma Rao", "+919820088888")
    found = ground.told("root", API + "create_or_find_customer", **sent)
    assert (found["is_new"], found["customer_id"]) == (False, made["name"])


def test_a_number_out_of_sight_is_taken_all_the_same(ground: Ground) -> None:
    ground.world.make.cell("Sales User", "Customers", "create", "own")
    for method in ("create_or_update_customer", "create_or_find_customer"):
        answer = ground.ask("ben", API + method, {"mobile_no": "9820012345", "customer_name": "Ben"})
        assert (answer.status_code, answer.get_json()["exc_type"]) == (409, "DuplicateEntryError")
        assert "Asha" not in answer.text


def test_a_lead_with_a_customer_answers_with_him(ground: Ground) -> None:
    lead = ground.world.make.lead("ana", mobile="9820012345", task={})
    told = ground.told("ana", API + "create_or_find_customer", lead_name=lead.number, mobile_no="9820099998")
    assert (told["customer_id"], told["customer_name"], told["is_new"]) == (
        ground.customer.number,
        "Asha Patel",
        False,
    )


@pytest.mark.parametrize(("mobile", "found"), [("098200-12345", True), ("9820000000", False)])
def test_a_form_is_filled_in_by_number(ground: Ground, mobile: str, found: bool) -> None:
    told = ground.told("ana", API + "auto_fill_customer_data", mobile_no=mobile)
    assert (told["found"], told["first_name"]) == (found, "Asha" if found else None)


# --- read and changed with the record


def test_a_lead_and_a_ticket_bring_their_person(ground: Ground) -> None:
    lead = ground.told("ana", API + "get_customer_data_for_lead", lead_name=ground.lead.number)
    assert (lead["customer_id"], lead["customer_name"], lead["mobile_no"]) == (None, "Ravi Kumar", "+919820054321")
    ticket = ground.told("cleo", API + "get_customer_data_for_ticket", ticket_name=ground.ticket.number)
    assert (ticket["customer_id"], ticket["customer_name"]) == (ground.customer.number, "Asha Patel")
    assert [each["client_id"] for each in ticket["accounts"]] == ["CL100"]
    whole = ground.told("cleo", API + "get_ticket_with_customer_data", ticket_name=ground.ticket.number)
    assert (whole["name"], whole["status"], whole["customer_name"]) == (ground.ticket.number, "New", "Asha Patel")
    assert ground.told("ana", API + "get_lead_with_customer_data", lead_name=ground.lead.number)["first_name"] == "Ravi"


def test_a_person_is_changed_through_the_record(ground: Ground) -> None:
    told = ground.told(
        "ana",
        API + "update_lead_customer_data",
        lead_name=ground.lead.number,
        customer_data={"email": "Ravi@Example.com", "last_name": "Shah"},
    )
    assert (told["email"], told["customer_name"]) == ("ravi@example.com", "Ravi Shah")
    told = ground.told("cleo", API + "update_ticket_customer_data", ticket_name=ground.ticket.number, last_name="Rao")
    assert (told["customer_name"], ground.world.fresh(ground.customer).last_name) == ("Asha Rao", "Rao")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 417),
        ({"customer_data": {}}, 417),
        ({"nickname": "x"}, 417),
        ({"pan_card_number": "wrong"}, 417),
        ({"mobile_no": "12"}, 417),
    ],
)
def test_what_cannot_be_right_is_refused(ground: Ground, sent: dict[str, Any], status: int) -> None:
    answer = ground.ask("cleo", API + "update_ticket_customer_data", {"ticket_name": ground.ticket.number} | sent)
    assert answer.status_code == status, answer.text


def test_a_ticket_of_nobody_says_so(ground: Ground) -> None:
    sent = {"ticket_name": ground.shared.number, "last_name": "Rao"}
    answer = ground.ask("sam", API + "update_ticket_customer_data", sent)
    assert answer.status_code == 417 and "no customer" in answer.get_json()["message"]


# --- what changed


def test_the_changes_of_a_customer_are_told_through_ones_mask(ground: Ground) -> None:
    ground.told(
        "ana",
        API + "create_or_update_customer",
        customer_id=ground.customer.number,
        mobile_no="9820011111",
        pan_card_number="ABCDE1234F",
    )
    newest = ground.told("ana", HISTORY, customer_name=ground.customer.number)[0]
    assert newest["user"] == "ana" and len(newest["timestamp"]) == 26
    assert {each["field"]: each["new"] for each in newest["changes"]} == {
        "mobile_no": "9820011111",
        "pan_card_number": None,
    }
    masked = ground.told("rhea", HISTORY, customer_name=ground.customer.number)[0]["changes"]
    assert "9820011111" not in str(masked) and "98200 12345" not in str(masked)
    assert ground.ask("ben", HISTORY, {"customer_name": ground.customer.number}).status_code == 404
