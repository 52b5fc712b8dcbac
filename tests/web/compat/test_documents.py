"""Documents: child rows, references, fields that aren't stored, notes, notifications and picklists."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from app.models import Activity, CallLog
from tests.cases import each_case
from tests.web.compat.sample_calls import SampleRecords

GET, INSERT, SET = "frappe.client.get", "frappe.client.insert", "frappe.client.set_value"


def warning(response: Any) -> str:
    return str(json.loads(json.loads(response.get_json()["_server_messages"])[0])["message"])


# --- child rows


def test_a_ticket_has_subjects_and_a_status_change_log(sample: SampleRecords) -> None:
    doc = {
        "ticket_subjects": [{"subject": "Re-KYC"}, {"subject": "Nominee update"}],
        "priority": "High",
        "mobile_no": "9820012345",
    }
    created = sample.result("cleo", "crm.api.ticket.create_ticket", doc=doc)
    assert [each["subject"] for each in created["ticket_subjects"]] == ["Re-KYC", "Nominee update"]
    assert (created["subject"], created["customer_id"]) == ("Re-KYC, Nominee update", sample.customer.number)
    sample.result("cleo", "crm.api.ticket.update_ticket_status", ticket=created["name"], status="Open")
    log = sample.result("cleo", GET, doctype="CRM Ticket", name=created["name"])["status_change_log"]
    assert [(each["from"], each["to"], each["log_owner"]) for each in log] == [
        ("New", "Open", "cleo@eshin.test"),
        ("Open", "", None),
    ]


def test_the_subjects_of_a_ticket_are_saved_as_child_rows(sample: SampleRecords) -> None:
    doc = sample.result("cleo", GET, doctype="CRM Ticket", name=sample.ticket.number)
    saved = sample.result("cleo", "frappe.client.save", doc=doc | {"ticket_subjects": [{"subject": "Pay-out delay"}]})
    assert (saved["ticket_subjects"], saved["subject"]) == ([{"subject": "Pay-out delay"}], "Pay-out delay")


def test_a_customer_has_accounts(sample: SampleRecords) -> None:
    sample.result(
        "ana",
        "crm.api.lead_operations.update_lead_status_with_client_id",
        lead_name=sample.lead.number,
        client_id="ab77",
    )
    lead = sample.result("ana", "crm.fcrm.doctype.crm_lead.api.get_lead", name=sample.lead.number)
    assert (lead["status"], lead["client_id"], lead["modified_by"]) == ("Account Opened", "AB77", "ana@eshin.test")
    customer = sample.result("ana", GET, doctype="CRM Customer", name=lead["customer_id"])
    assert [(each["client_id"], each["lead_id"]) for each in customer["accounts"]] == [("AB77", sample.lead.number)]
    assert lead["accounts"] == customer["accounts"]


# --- references


def test_a_task_has_reference_doctype_and_reference_docname(sample: SampleRecords) -> None:
    about = {"reference_doctype": "CRM Ticket", "reference_docname": sample.ticket.number}
    created = sample.result("cleo", INSERT, doc={"doctype": "CRM Task", "title": "Ring"} | about)
    assert {name: created[name] for name in about} == about
    for filters in (
        about,
        [["reference_docname", "=", sample.ticket.number]],
        {"reference_docname": ["in", [sample.ticket.number]]},
    ):
        listed = sample.result("cleo", "frappe.client.get_list", doctype="CRM Task", filters=filters)
        assert created["name"] in [each["name"] for each in listed]
    others = sample.result(
        "cleo", "frappe.client.get_count", doctype="CRM Task", filters={"reference_doctype": "CRM Lead"}
    )
    assert others == 0


def test_an_invisible_record_can_be_neither_referenced_nor_found(sample: SampleRecords) -> None:
    about = {"reference_doctype": "CRM Lead", "reference_docname": sample.lead.number}
    assert sample.call("ben", INSERT, {"doc": {"doctype": "CRM Task", "title": "Ring"} | about}).status_code == 417
    assert sample.result("ben", "frappe.client.get_list", doctype="CRM Task", filters=about) == []


def test_a_call_is_named_by_its_id_or_its_device_call_id(sample: SampleRecords) -> None:
    for name in (str(sample.linked_call.id), "device_1"):
        call = sample.result("ana", GET, doctype="CRM Call Log", name=name)
        assert (call["name"], call["reference_docname"]) == (str(sample.linked_call.id), sample.lead.number)
    seen = sample.result("root", GET, doctype="CRM Call Log", name="device_1")
    assert seen["name"] == str(sample.linked_call.id)
    assert sample.call("ben", GET, {"doctype": "CRM Call Log", "name": "device_1"}).status_code == 404


# --- fields that are not kept


def test_a_warning_names_fields_that_are_not_kept(sample: SampleRecords) -> None:
    doc = {"doctype": "CRM Lead", "first_name": "Ila", "salutation": "Mrs", "website": "", "lead_name": "Ila X"}
    response = sample.call("ana", INSERT, {"doc": doc})
    assert warning(response) == "These fields were not saved: lead_name, salutation."
    name = response.get_json()["message"]["name"]
    body = {"doctype": "CRM Lead", "name": name, "fieldname": "gender", "value": "Female"}
    assert warning(sample.call("ana", SET, body)) == "These fields were not saved: gender."
    put = sample.crm.app.test_client().put(
        f"/api/resource/CRM Lead/{name}", json={"salutation": "Ms"}, headers=sample.crm.client("ana").headers
    )
    assert "salutation" in warning(put)


def test_saving_an_unchanged_document_changes_nothing(sample: SampleRecords) -> None:
    for who, doctype, row in (
        ("ana", "CRM Lead", sample.lead),
        ("cleo", "CRM Ticket", sample.ticket),
        ("ana", "CRM Customer", sample.customer),
        ("ana", "CRM Task", sample.task),
    ):
        doc = sample.result(who, GET, doctype=doctype, name=getattr(row, "number", str(row.id)))
        before = sample.all_rows()
        response = sample.call(who, "frappe.client.save", {"doc": doc})
        assert response.status_code == 200 and "_server_messages" not in response.get_json(), response.text
        assert sample.all_rows() == before


@pytest.mark.parametrize(
    ("method", "body"),
    [
        (INSERT, {"doc": {"doctype": "CRM Customer", "first_name": "X", "mobile_no": "9820012345"}}),
        ("crm.api.lead_operations.update_lead_status_with_client_id", {"lead_name": "{lead}", "client_id": "taken1"}),
    ],
)
def test_a_duplicate_is_409_with_duplicate_entry_error(
    sample: SampleRecords, method: str, body: dict[str, Any]
) -> None:
    other = sample.crm.make.lead("ana", first_name="Uma")
    sample.result(
        "ana", "crm.api.lead_operations.update_lead_status_with_client_id", lead_name=other.number, client_id="TAKEN1"
    )
    before = sample.all_rows()
    body = {name: sample.lead.number if value == "{lead}" else value for name, value in body.items()}
    response = sample.call("root", method, body)
    assert (response.status_code, response.get_json()["exc_type"]) == (409, "DuplicateEntryError"), response.text
    assert sample.all_rows() == before


def test_a_stale_document_and_a_duplicate_request_are_409(sample: SampleRecords) -> None:
    doc = sample.result("ana", GET, doctype="CRM Lead", name=sample.lead.number)
    sample.result("ana", "frappe.client.save", doc=doc | {"description": "First"})
    stale = sample.call("ana", "frappe.client.save", {"doc": doc | {"description": "Second"}})
    body = {
        "reference_doctype": "CRM Lead",
        "reference_name": sample.lead.number,
        "requested_user": "ben",
        "reason": "r",
    }
    first, second = (
        sample.call("ana", "crm.api.assignment_requests.create_assignment_request", body) for _ in range(2)
    )
    assert (stale.status_code, stale.get_json()["exc_type"]) == (409, "TimestampMismatchError")
    assert first.get_json()["message"]["success"] is True
    assert (second.status_code, second.get_json()["exc_type"]) == (409, "DuplicateEntryError")


# --- notes, notifications, picklists


def test_a_note_keeps_its_title_and_loses_html_tags(sample: SampleRecords) -> None:
    about = {"reference_doctype": "CRM Lead", "reference_docname": sample.lead.number}
    doc = {
        "doctype": "FCRM Note",
        "title": "Met",
        "content": "<p>At the <b>fair</b> &amp; later</p><p>Twice</p>",
    } | about
    created = sample.result("ana", INSERT, doc=doc)
    assert (created["title"], created["content"], created["owner"]) == (
        "Met",
        "At the fair & later\nTwice",
        "ana@eshin.test",
    )
    changed = sample.result("ana", SET, doctype="FCRM Note", name=created["name"], fieldname="content", value="Thrice")
    assert (changed["title"], changed["content"]) == ("Met", "Thrice")
    listed = sample.result("ana", "frappe.client.get_list", doctype="FCRM Note", fields=["title"], filters=about)
    assert {"title": "Met"} in listed


def test_only_its_author_changes_a_note(sample: SampleRecords) -> None:
    key = str(sample.note.get_json()["id"])
    body = {"doctype": "FCRM Note", "name": key, "fieldname": "content", "value": "x"}
    assert sample.call("mia", SET, body).status_code == 403
    assert sample.call("ben", SET, body).status_code == 404


def test_a_note_is_deleted_by_those_whose_level_reaches_its_author(sample: SampleRecords) -> None:
    for deleter, others in (("ana", ("ben", "rhea")), ("mia", ()), ("root", ())):
        about = {"reference_doctype": "CRM Lead", "reference_docname": sample.lead.number}
        note = sample.result("ana", INSERT, doc={"doctype": "FCRM Note", "content": "Wrong"} | about)
        body = {"doctype": "FCRM Note", "name": note["name"]}
        for who in others:
            assert sample.call(who, "frappe.client.delete", body).status_code in (403, 404), who
        assert sample.call(deleter, "frappe.client.delete", body).status_code == 200, deleter
        assert sample.call("ana", GET, body).status_code == 404


def test_a_status_change_is_not_a_note(sample: SampleRecords) -> None:
    line = sample.crm.rows(select(Activity.id).where(Activity.kind == "system"))[0]
    assert sample.call("root", GET, {"doctype": "FCRM Note", "name": str(line)}).status_code == 404


@pytest.mark.parametrize("doctype", ["CRM Task Notification", "CRM Notification"])
def test_notifications_are_private_and_read_only(sample: SampleRecords, doctype: str) -> None:
    listed = sample.result("ana", "frappe.client.get_list", doctype=doctype, fields=["*"], limit_page_length=0)
    assert {each["reference_doctype"] for each in listed} >= {"CRM Lead"}
    assert (
        sample.result("ben", "frappe.client.get_list", doctype=doctype, filters={"name": ["in", [listed[0]["name"]]]})
        == []
    )
    name, doc = listed[0]["name"], {"doctype": doctype}
    for method, body in (
        (SET, {"name": name, "fieldname": "read", "value": 1}),
        (INSERT, {"doc": doc}),
        ("frappe.client.delete", {"name": name}),
    ):
        assert sample.call("ana", method, {"doctype": doctype} | body).status_code == 403


@each_case(
    "doctype, name, field",
    [
        ("CRM Lead Status", "Account Opened", "lead_status"),
        ("CRM Ticket Status", "Resolved", "ticket_status"),
        ("CRM Lead Source", "Campaign", "source_name"),
        ("Account Type", "NRI", "account_type"),
        ("Ticket Subject", "Re-KYC", "subject_name"),
    ],
)
def test_picklists_are_read_only(sample: SampleRecords, doctype: str, name: str, field: str) -> None:
    assert sample.result("ana", GET, doctype=doctype, name=name)[field] == name
    listed = sample.result("ana", "frappe.client.get_list", doctype=doctype, filters={field: ["like", f"%{name[2:]}"]})
    assert listed == [{"name": name}]
    assert sample.result("ana", "frappe.client.get_count", doctype=doctype) > 4
    before, doc = sample.all_rows(), {"doctype": doctype, field: "New"}
    for method, body in (
        (INSERT, {"doc": doc}),
        ("frappe.client.delete", {"name": name}),
        (SET, {"name": name, "fieldname": field, "value": "x"}),
    ):
        assert sample.call("root", method, {"doctype": doctype} | body).status_code == 403
    assert sample.all_rows() == before


def test_getdoc_returns_docs(sample: SampleRecords) -> None:
    response = sample.call("ana", "frappe.desk.form.load.getdoc", {"doctype": "CRM Lead", "name": sample.lead.number})
    assert response.get_json()["docs"][0]["name"] == sample.lead.number


def test_device_call_ids_are_unique_per_employee(sample: SampleRecords) -> None:
    again = {
        "doctype": "CRM Call Log",
        "type": "Outgoing",
        "status": "Completed",
        "to": "9820011111",
        "start_time": "2026-01-05 10:00:00",
        "device_call_id": "device_1",
    }
    response = sample.call("ana", INSERT, {"doc": again})
    assert (response.status_code, response.get_json()["exc_type"]) == (409, "DuplicateEntryError")
    assert sample.call("ben", INSERT, {"doc": again}).status_code == 200
    assert sample.crm.count(CallLog, CallLog.device_call_id == "device_1") == 2
