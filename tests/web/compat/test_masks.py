"""Masks in the predecessor's API: masked values are neither returned nor searchable, filterable or sortable."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.people.permissions import MASKED
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.method_registry import METHODS
from tests.web.compat.sample_calls import SAMPLE_CALLS, SampleRecords

USERS = ("ana", "mia", "cleo", "sam")
ROLES = ("Sales User", "Sales Manager", "Support User", "Support Manager")
#: Values of the lead, the customer and a call, which no response may contain when they are masked.
LEAD_SECRETS = {
    "mobile": "9820054399",
    "alternative_mobile": "9820066688",
    "email": "ravi.secret@example.in",
    "pan": "ABCDE1234F",
    "aadhaar": "234123412346",
    "address": "17 Secret Street",
}
CUSTOMER_SECRETS = {
    "mobile": "9820012346",
    "email": "asha.secret@example.in",
    "pan": "ABCDE1234G",
    "address": "18 Secret Street",
}
CALLER_EMAIL = "caller.secret@example.com"


@pytest.fixture
def with_secrets(sample: SampleRecords) -> SampleRecords:
    """The lead and the customer have all personal fields; one call has an email address instead of a number."""
    root = sample.crm.client("root")
    for path, values in (
        (f"lead/{sample.lead.id}", LEAD_SECRETS),
        (f"customer/{sample.customer.id}", CUSTOMER_SECRETS),
    ):
        assert root.rest("PUT", path, values).status_code == 200
    sample.crm.make.call("ana", to_number=CALLER_EMAIL, lead_id=sample.lead.id)
    return sample


def leaked(response: Any, body: Any, secrets: Any) -> list[str]:
    text, sent = (json.dumps(each, ensure_ascii=False).replace(" ", "") for each in (response.get_json(), body))
    return [each for each in secrets if each.replace(" ", "") in text and each.replace(" ", "") not in sent]


@pytest.mark.parametrize("level", ["last4", "hidden"])
def test_no_response_contains_a_masked_value(with_secrets: SampleRecords, level: str) -> None:
    """Neither when reading, nor in the response to a change, nor in an error."""
    for role in ROLES:
        with_secrets.crm.make.mask(role, **dict.fromkeys(MASKED, level))
    secrets = (
        *LEAD_SECRETS.values(),
        *CUSTOMER_SECRETS.values(),
        CALLER_EMAIL,
        "9820054321",
        "9820012345",
        "9820077777",
    )
    for name in sorted(SAMPLE_CALLS, key=lambda name: METHODS[name].writes):
        who, body = SAMPLE_CALLS[name][0], SAMPLE_CALLS[name][1](with_secrets)
        if who in USERS and name not in ("login", "logout"):
            response = with_secrets.call(who, name, body)
            assert not leaked(response, body, secrets), (name, response.text)


def test_the_email_address_of_a_caller_has_the_mask_of_email(with_secrets: SampleRecords) -> None:
    with_secrets.crm.make.mask("Sales User", mobile="full", email="hidden")
    for name, (who, build_body) in SAMPLE_CALLS.items():
        if who == "ana" and not METHODS[name].writes and name != "logout":
            response = with_secrets.call(who, name, build_body(with_secrets))
            assert not leaked(response, {}, (CALLER_EMAIL, LEAD_SECRETS["email"], CUSTOMER_SECRETS["email"])), (
                name,
                response.text,
            )


#: Our fields that a mask covers.
MASKED_FIELDS = {*MASKED, "from_number", "to_number", "other_number"}
FILTERS = {
    "=": "{}",
    "!=": "{}",
    ">": "{}",
    "<": "{}",
    ">=": "{}",
    "<=": "{}",
    "like": "{:.4}%",
    "in": ["{}"],
    "is": "set",
    "between": ["{}", "{}9"],
    "not in": ["{}"],
    "not like": "%{}",
}
LISTING = (
    "frappe.client.get_list",
    "frappe.client.get_count",
    "frappe.client.get",
    "frappe.client.get_value",
    "crm.api.doc.get_data",
    "frappe.desk.search.search_link",
)


@pytest.mark.parametrize(
    "doctype", [name for name, each in DOCTYPES.items() if MASKED_FIELDS & set(each.fields.values())]
)
def test_masked_fields_are_neither_filterable_nor_sortable_nor_listed(
    with_secrets: SampleRecords, doctype: str
) -> None:
    crm, value = with_secrets.crm, "9820054399"
    crm.make.mask("Sales User", **dict.fromkeys(MASKED, "last4"))
    crm.make.cell("Sales User", "Tickets", "read", "own")
    masked_fields = {name for name, field in DOCTYPES[doctype].fields.items() if field in MASKED_FIELDS}
    for field in masked_fields:
        filters = [
            {"filters": [[field, op, json.loads(json.dumps(shape).replace("{}", value).replace("{:.4}", "9820"))]]}
            for op, shape in FILTERS.items()
        ]
        for body in [*filters, {"order_by": f"{field} asc"}, {"order_by": f"`tabX`.`{field}` desc"}]:
            assert with_secrets.call("ana", LISTING[0], {"doctype": doctype} | body).status_code == 417, (field, body)
        for method in LISTING:
            body = {"doctype": doctype, "filters": {field: value}}
            assert with_secrets.call("ana", method, body).status_code == 417, (method, field)
    for method in ("sort_options", "get_group_by_fields", "get_quick_filters", "get_filterable_fields"):
        result = with_secrets.result("ana", f"crm.api.doc.{method}", doctype=doctype)
        assert not masked_fields & {each["fieldname"] for each in result}, method


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("customers.get_customer_by_mobile", "mobile_no"),
        ("customer_search.search_customer_by_mobile", "mobile_no"),
        ("customers.auto_fill_customer_data", "mobile_no"),
        ("customers.get_customer_interactions", "customer_mobile"),
        ("customers.get_customer_interactions", "email"),
        ("ticket.get_customer_history", "mobile_no"),
        ("ticket.get_customer_history", "email"),
        ("customers.create_or_find_customer", "mobile_no"),
        ("customers.create_or_update_customer", "mobile_no"),
    ],
)
def test_nobody_is_found_by_a_masked_value(with_secrets: SampleRecords, method: str, name: str) -> None:
    """A correct guess has the same response as a wrong one."""
    with_secrets.crm.make.mask("Sales User", mobile="last4", email="last4")
    values = (CUSTOMER_SECRETS[name.removeprefix("customer_").removesuffix("_no")], "9820000000", "nobody@example.in")
    responses = [
        with_secrets.call("ana", f"crm.api.{method}", {name: guess, "customer_name": "A B"}) for guess in values
    ]
    assert {response.status_code for response in responses} == {417} and len(
        {response.text for response in responses}
    ) == 1


def test_search_finds_nothing_by_a_masked_value(with_secrets: SampleRecords) -> None:
    with_secrets.crm.make.mask("Sales User", **dict.fromkeys(MASKED, "last4"))
    for text in (*LEAD_SECRETS.values(), *CUSTOMER_SECRETS.values(), CALLER_EMAIL, "9820077777"):
        assert with_secrets.result("ana", "crm.api.search.universal_search", query=text)["total"] == 0, text
        assert with_secrets.result("ana", "crm.api.customers.get_customer_list", search_term=text) == [], text
        for doctype in ("CRM Lead", "CRM Customer", "CRM Call Log", "CRM Task"):
            assert with_secrets.result("ana", "frappe.desk.search.search_link", doctype=doctype, txt=text) == [], text


def test_saving_a_masked_document_keeps_the_values(with_secrets: SampleRecords) -> None:
    with_secrets.crm.make.mask("Sales User", **dict.fromkeys(MASKED, "last4"))
    before = with_secrets.crm.stored(with_secrets.lead)
    doc = with_secrets.result("ana", "frappe.client.get", doctype="CRM Lead", name=with_secrets.lead.number)
    with_secrets.result("ana", "frappe.client.save", doc=doc)
    with_secrets.result(
        "ana",
        "crm.api.customers.update_lead_customer_data",
        lead_name=with_secrets.lead.number,
        customer_data={"mobile_no": doc["mobile_no"], "pan_card_number": doc["pan_card_number"]},
    )
    assert with_secrets.crm.stored(with_secrets.lead) == before
