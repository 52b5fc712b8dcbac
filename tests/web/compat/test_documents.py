"""Documents of the predecessor: children, what they are about, what is not kept, pick-lists and notes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from app.models import Activity, CallLog
from tests.web.compat.sample_calls import Ground

GET, INSERT, SET = "frappe.client.get", "frappe.client.insert", "frappe.client.set_value"


def unkept(answer: Any) -> str:
    return str(json.loads(json.loads(answer.get_json()["_server_messages"])[0])["message"])


# --- children


def test_a_ticket_has_its_subjects_and_the_log_of_its_status(ground: Ground) -> None:
    doc = {
        "ticket_subjects": [{"subject": "Re-KYC"}, {"subject": "Nominee update"}],
        "priority": "High",
        "mobile_no": "9820012345",
    }
    made = ground.told("cleo", "crm.api.ticket.create_ticket", doc=doc)
    assert [each["subject"] for each in made["ticket_subjects"]] == ["Re-KYC", "Nominee update"]
    assert (made["subject"], made["customer_id"]) == ("Re-KYC, Nominee update", ground.customer.number)
    ground.told("cleo", "crm.api.ticket.update_ticket_status", ticket=made["name"], status="Open")
    log = ground.told("cleo", GET, doctype="CRM Ticket", name=made["name"])["status_change_log"]
    assert [(each["from"], each["to"], each["log_owner"]) for each in log] == [
        ("New", "Open", "cleo"),
        ("Open", "", None),
    ]


def test_the_subjects_of_a_ticket_are_changed_as_a_table(ground: Ground) -> None:
    doc = ground.told("cleo", GET, doctype="CRM Ticket", name=ground.ticket.number)
    saved = ground.told("cleo", "frappe.client.save", doc=doc | {"ticket_subjects": [{"subject": "Pay-out delay"}]})
    assert (saved["ticket_subjects"], saved["subject"]) == ([{"subject": "Pay-out delay"}], "Pay-out delay")


def test_a_customer_has_his_accounts(ground: Ground) -> None:
    ground.told(
        "ana",
        "crm.api.lead_operations.update_lead_status_with_client_id",
        lead_name=ground.lead.number,
        client_id="ab77",
    )
    lead = ground.told("ana", "crm.fcrm.doctype.crm_lead.api.get_lead", name=ground.lead.number)
    assert (lead["status"], lead["client_id"], lead["modified_by"]) == ("Account Opened", "AB77", "ana")
    customer = ground.told("ana", GET, doctype="CRM Customer", name=lead["customer_id"])
    assert [(each["client_id"], each["lead_id"]) for each in customer["accounts"]] == [("AB77", ground.lead.number)]
    assert lead["accounts"] == customer["accounts"]


# --- what a row is about


def test_a_task_names_its_record_in_the_old_way(ground: Ground) -> None:
    about = {"reference_doctype": "CRM Ticket", "reference_docname": ground.ticket.number}
    made = ground.told("cleo", INSERT, doc={"doctype": "CRM Task", "title": "Ring"} | about)
    assert {name: made[name] for name in about} == about
    for filters in (
        about,
        [["reference_docname", "=", ground.ticket.number]],
        {"reference_docname": ["in", [ground.ticket.number]]},
    ):
        listed = ground.told("cleo", "frappe.client.get_list", doctype="CRM Task", filters=filters)
        assert made["name"] in [each["name"] for each in listed]
    others = ground.told(
        "cleo", "frappe.client.get_count", doctype="CRM Task", filters={"reference_doctype": "CRM Lead"}
    )
    assert others == 0


def test_a_record_out_of_sight_can_be_neither_named_nor_found(ground: Ground) -> None:
    about = {"reference_doctype": "CRM Lead", "reference_docname": ground.lead.number}
    assert ground.ask("ben", INSERT, {"doc": {"doctype": "CRM Task", "title": "Ring"} | about}).status_code == 417
    assert ground.told("ben", "frappe.client.get_list", doctype="CRM Task", filters=about) == []


def test_a_call_is_named_by_its_id_or_by_its_telephones_own(ground: Ground) -> None:
    for name in (str(ground.call.id), "device_1"):
        call = ground.told("ana", GET, doctype="CRM Call Log", name=name)
        assert (call["name"], call["reference_docname"]) == (str(ground.call.id), ground.lead.number)
    assert ground.ask("root", GET, {"doctype": "CRM Call Log", "name": "device_1"}).status_code == 404


# --- what is not kept


def test_whoever_sends_a_field_that_is_not_kept_is_told_so(ground: Ground) -> None:
    doc = {"doctype": "CRM Lead", "first_name": "Ila", "salutation": "Mrs", "website": "", "lead_name": "Ila X"}
    answer = ground.ask("ana", INSERT, {"doc": doc})
    assert unkept(answer) == "These fields were not saved: lead_name, salutation."
    name = answer.get_json()["message"]["name"]
    sent = {"doctype": "CRM Lead", "name": name, "fieldname": "gender", "value": "Female"}
    assert unkept(ground.ask("ana", SET, sent)) == "These fields were not saved: gender."
    put = ground.world.app.test_client().put(
        f"/api/resource/CRM Lead/{name}", json={"salutation": "Ms"}, headers=ground.world.door("ana").headers
    )
    assert "salutation" in unkept(put)


def test_a_document_sent_back_as_it_was_read_changes_nothing(ground: Ground) -> None:
    for who, doctype, row in (
        ("ana", "CRM Lead", ground.lead),
        ("cleo", "CRM Ticket", ground.ticket),
        ("ana", "CRM Customer", ground.customer),
        ("ana", "CRM Task", ground.task),
    ):
        doc = ground.told(who, GET, doctype=doctype, name=getattr(row, "number", str(row.id)))
        before = ground.everything()
        answer = ground.ask(who, "frappe.client.save", {"doc": doc})
        assert answer.status_code == 200 and "_server_messages" not in answer.get_json(), answer.text
        assert ground.everything() == before


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        (INSERT, {"doc": {"doctype": "CRM Customer", "first_name": "X", "mobile_no": "9820012345"}}),
        ("crm.api.lead_operations.update_lead_status_with_client_id", {"lead_name": "{lead}", "client_id": "taken1"}),
    ],
)
def test_what_must_be_unique_is_409_in_the_old_words(ground: Ground, method: str, sent: dict[str, Any]) -> None:
    other = ground.world.make.lead("ana", first_name="Uma")
    ground.told(
        "ana", "crm.api.lead_operations.update_lead_status_with_client_id", lead_name=other.number, client_id="TAKEN1"
    )
    before = ground.everything()
    sent = {name: ground.lead.number if value == "{lead}" else value for name, value in sent.items()}
    answer = ground.ask("root", method, sent)
    assert (answer.status_code, answer.get_json()["exc_type"]) == (409, "DuplicateEntryError"), answer.text
    assert ground.everything() == before


def test_a_stale_document_and_a_second_request_are_409(ground: Ground) -> None:
    doc = ground.told("ana", GET, doctype="CRM Lead", name=ground.lead.number)
    ground.told("ana", "frappe.client.save", doc=doc | {"description": "First"})
    stale = ground.ask("ana", "frappe.client.save", {"doc": doc | {"description": "Second"}})
    asked = {
        "reference_doctype": "CRM Lead",
        "reference_name": ground.lead.number,
        "requested_user": "ben",
        "reason": "r",
    }
    first, second = (
        ground.ask("ana", "crm.api.assignment_requests.create_assignment_request", asked) for _ in range(2)
    )
    assert (stale.status_code, stale.get_json()["exc_type"]) == (409, "TimestampMismatchError")
    assert first.get_json()["message"]["success"] is True
    assert (second.status_code, second.get_json()["exc_type"]) == (409, "DuplicateEntryError")


# --- notes, notices, pick-lists


def test_a_note_keeps_its_title_and_loses_its_tags(ground: Ground) -> None:
    about = {"reference_doctype": "CRM Lead", "reference_docname": ground.lead.number}
    doc = {
        "doctype": "FCRM Note",
        "title": "Met",
        "content": "<p>At the <b>fair</b> &amp; later</p><p>Twice</p>",
    } | about
    made = ground.told("ana", INSERT, doc=doc)
    assert (made["title"], made["content"], made["owner"]) == ("Met", "At the fair & later\nTwice", "ana")
    changed = ground.told("ana", SET, doctype="FCRM Note", name=made["name"], fieldname="content", value="Thrice")
    assert (changed["title"], changed["content"]) == ("Met", "Thrice")
    listed = ground.told("ana", "frappe.client.get_list", doctype="FCRM Note", fields=["title"], filters=about)
    assert {"title": "Met"} in listed


def test_only_its_author_changes_a_note(ground: Ground) -> None:
    key = str(ground.note.get_json()["id"])
    sent = {"doctype": "FCRM Note", "name": key, "fieldname": "content", "value": "x"}
    assert ground.ask("mia", SET, sent).status_code == 403
    assert ground.ask("ben", SET, sent).status_code == 404
    assert ground.ask("ana", "frappe.client.delete", {"doctype": "FCRM Note", "name": key}).status_code == 403


def test_a_status_change_is_no_note(ground: Ground) -> None:
    line = ground.world.rows(select(Activity.id).where(Activity.kind == "system"))[0]
    assert ground.ask("root", GET, {"doctype": "FCRM Note", "name": str(line)}).status_code == 404


@pytest.mark.parametrize("doctype", ["CRM Task Notification", "CRM Notification"])
def test_notices_are_ones_own_and_only_read(ground: Ground, doctype: str) -> None:
    listed = ground.told("ana", "frappe.client.get_list", doctype=doctype, fields=["*"], limit_page_length=0)
    assert {each["reference_doctype"] for each in listed} >= {"CRM Lead"}
    assert (
        ground.told("ben", "frappe.client.get_list", doctype=doctype, filters={"name": ["in", [listed[0]["name"]]]})
        == []
    )
    name, doc = listed[0]["name"], {"doctype": doctype}
    for method, sent in (
        (SET, {"name": name, "fieldname": "read", "value": 1}),
        (INSERT, {"doc": doc}),
        ("frappe.client.delete", {"name": name}),
    ):
        assert ground.ask("ana", method, {"doctype": doctype} | sent).status_code == 403


@pytest.mark.parametrize(
    ("doctype", "name", "field"),
    [
        ("CRM Lead Status", "Account Opened", "lead_status"),
        ("CRM Ticket Status", "Resolved", "ticket_status"),
        ("CRM Lead Source", "Campaign", "source_name"),
        ("Account Type", "NRI", "account_type"),
        ("Ticket Subject", "Re-KYC", "subject_name"),
    ],
)
def test_pick_lists_are_read_and_never_written(ground: Ground, doctype: str, name: str, field: str) -> None:
    assert ground.told("ana", GET, doctype=doctype, name=name)[field] == name
    listed = ground.told("ana", "frappe.client.get_list", doctype=doctype, filters={field: ["like", f"%{name[2:]}"]})
    assert listed == [{"name": name}]
    assert ground.told("ana", "frappe.client.get_count", doctype=doctype) > 4
    before, doc = ground.everything(), {"doctype": doctype, field: "New"}
    for method, sent in (
        (INSERT, {"doc": doc}),
        ("frappe.client.delete", {"name": name}),
        (SET, {"name": name, "fieldname": field, "value": "x"}),
    ):
        assert ground.ask("root", method, {"doctype": doctype} | sent).status_code == 403
    assert ground.everything() == before


def test_the_oldest_clients_read_docs(ground: Ground) -> None:
    answer = ground.ask("ana", "frappe.desk.form.load.getdoc", {"doctype": "CRM Lead", "name": ground.lead.number})
    assert answer.get_json()["docs"][0]["name"] == ground.lead.number


def test_ids_of_telephones_are_unique_to_their_owner_only(ground: Ground) -> None:
    again = {
        "doctype": "CRM Call Log",
        "type": "Outgoing",
        "status": "Completed",
        "to": "9820011111",
        "start_time": "2026-01-05 10:00:00",
        "device_call_id": "device_1",
    }
    answer = ground.ask("ana", INSERT, {"doc": again})
    assert (answer.status_code, answer.get_json()["exc_type"]) == (409, "DuplicateEntryError")
    assert ground.ask("ben", INSERT, {"doc": again}).status_code == 200
    assert ground.world.count(CallLog, CallLog.device_call_id == "device_1") == 2
