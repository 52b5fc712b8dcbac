"""Every method: it succeeds within its statement limit, and only with access."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.web.compat.method_registry import METHODS
from tests.app_fixtures import Crm
from tests.web.compat.sample_calls import REFUSING, SAMPLE_CALLS, SampleRecords

#: SQL statements of a method, including authentication.
READS, WRITES, DASHBOARDS = 6, 12, 15
#: Methods whose business rules need more: a new lead or ticket, an account, round robin, a decision.
#: Savepoints of bulk methods are counted too.
EXPENSIVE = {
    "frappe.client.insert_many": 14,
    "crm.api.ticket.bulk_close_tickets": 14,  # with the task of the ticket
    "crm.api.ticket.create_ticket": 16,
    "crm.fcrm.doctype.crm_call_log.crm_call_log.create_lead_from_call_log": 15,
    # With a new customer: a savepoint, the row that makes them the only holder of the number, and whether a lead of
    # somebody else, not yet opened, has the client ID already.
    "crm.api.lead_operations.update_lead_status_with_client_id": 21,
    "crm.api.role_assignment.assign_to_role": 19,
    # One of them marks the records and tasks that are counted anew, one repeats in the tasks who holds the record now.
    "crm.api.role_assignment.assign_to_user": 14,
    # Several records are locked at once, in the order of their ids, before the first one is written.
    "crm.api.role_assignment.bulk_assign_leads": 18,
    **{f"frappe.desk.form.assign_to.{name}": 15 for name in ("add_multiple", "remove_multiple")},
    # Another one says which assignments of a ticket are those of people beside the main assignee.
    "crm.api.ticket.assign_ticket_to_role": 18,
    "crm.api.ticket.assign_ticket_to_user": 14,
    "crm.api.ticket.bulk_assign_tickets": 18,
    "crm.api.assignment_requests.create_assignment_request": 13,
    "crm.api.assignment_requests.approve_assignment_request": 18,
    # What is sought is looked up by index first, and then read under the access rules.
    "crm.fcrm.doctype.crm_call_log.crm_call_log.get_call_log": 7,
    "crm.integrations.api.get_contact_by_phone_number": 7,
    "crm.api.search.universal_search": 13,
    # A first message makes the conversation, within a savepoint; the rules of consent are read, the audit is sealed.
    **{f"crm.api.whatsapp.{name}": 21 for name in ("create_whatsapp_message", "send_whatsapp_template")},
    **{f"crm.api.whatsapp_support.{name}": 18 for name in ("send_support_page_whatsapp", "send_support_pages")},
    "crm.api.whatsapp_support.send_support_pages_without_ticket": 15,
    "crm.api.whatsapp_setup.send_local_whatsapp_message": 19,
    # Whose number it is, the rules of consent, the person's line, the call with its card, the mark for the roll-up of
    # its day and audit; then it is read.
    "crm.integrations.exotel.handler.make_a_call": 28,
}


def statement_limit(name: str) -> int:
    if ".dashboard." in name:
        return DASHBOARDS
    return EXPENSIVE.get(name, WRITES if METHODS[name].writes else READS)


def test_every_method_has_a_sample_call() -> None:
    assert set(SAMPLE_CALLS) == set(METHODS)


def fill_caches(sample: SampleRecords) -> None:
    """Make a change by which everything is read that is kept until picklists change, the webhooks among it."""
    another = {"first_name": "Asha", "last_name": "Rao", "mobile": sample.crm.make.mobile()}
    assert sample.crm.client("root").rest("POST", "customer/", another).status_code == 201


def fault_of(sample: SampleRecords, name: str) -> str:
    """What is wrong with the method's answer, or with the number of its statements; "" if nothing is."""
    who, build_body = SAMPLE_CALLS[name]
    sample.result(who, "crm.api.office_hours.get_office_status")  # the person is read, and again after half a minute
    response, statements = sample.call_counting_statements(who, name, build_body(sample))
    body = response.get_json(silent=True) or {"message": response.headers.get("Content-Disposition")}  # or a file
    is_good = response.status_code == 200 and {"message", "docs"} & set(body) and "_server_messages" not in body
    if not is_good or (isinstance(body.get("message"), dict) and body["message"].get("success") is False):
        return f"{name}: {response.status_code} {response.text}"
    if len(statements) > statement_limit(name):
        return "\n".join((f"{name}: {len(statements)} statements, at most {statement_limit(name)}", *statements))
    return ""


SUCCEEDING = [name for name in SAMPLE_CALLS if name not in REFUSING]


def test_reading_methods_succeed_within_their_statement_limits(sample: SampleRecords) -> None:
    reading = [name for name in SUCCEEDING if not METHODS[name].writes]
    fill_caches(sample)
    assert len(reading) > 40
    assert "\n".join(filter(None, (fault_of(sample, name) for name in reading))) == ""


@pytest.mark.parametrize("name", [name for name in SUCCEEDING if METHODS[name].writes])
def test_a_writing_method_succeeds_within_its_statement_limit(sample: SampleRecords, name: str) -> None:
    fill_caches(sample)
    assert fault_of(sample, name) == ""


def test_an_unauthenticated_request_reaches_nothing(sample: SampleRecords) -> None:
    before = sample.all_rows()
    for name, (_who, build_body) in SAMPLE_CALLS.items():
        if name == "login":  # it authenticates by itself
            continue
        response = sample.call(None, name, build_body(sample))
        assert response.status_code == (200 if METHODS[name].allow_guest else 401), name
    assert sample.all_rows() == before


@pytest.mark.parametrize("who", ["rhea", "max", "ben"])
def test_people_without_access_change_nothing(sample: SampleRecords, who: str) -> None:
    """Compliance may only read; Max and Ben see none of the records, only that a number is in use."""
    sample.result(who, "crm.api.office_hours.get_office_status")
    own = ("login", "logout", "mark_as_read", "mark_all", "insert_many", "sync_call_logs")
    own += ("send_local_whatsapp_message", "without_ticket", "upload_file")  # about no record
    before = sample.all_rows()
    for name, (_who, build_body) in SAMPLE_CALLS.items():
        if METHODS[name].writes and not any(part in name for part in own):
            response = sample.call(who, name, build_body(sample))
            assert response.status_code in (403, 404, 409, 417) or all_failed(response), (name, response.text)
    assert sample.all_rows() == before


def all_failed(response: Any) -> bool:
    result = response.get_json()["message"]
    return response.status_code == 200 and bool(
        result.get("failed_docs") or (result.get("failed") and not result["updated"])
    )


@pytest.mark.parametrize("who", ["max", "ben"])
def test_people_without_access_read_nothing(sample: SampleRecords, who: str) -> None:
    secrets = (sample.lead.number, sample.ticket.number, sample.customer.number, "54321", "12345", "Asha", "Ravi")
    sample.crm.make.task(sample.crm.make.lead(who, first_name="Own"), who=who)
    for name, (_who, build_body) in SAMPLE_CALLS.items():
        if not METHODS[name].writes:
            response = sample.call(who, name, build_body(sample))
            body = json.dumps(build_body(sample)) + "".join(str(each) for each in build_body(sample).values())
            found = [each for each in secrets if each in response.text and each not in body]
            assert not found, (name, found, response.text)


def test_compliance_sees_masked_values_everywhere(sample: SampleRecords) -> None:
    for name, (_who, build_body) in SAMPLE_CALLS.items():
        if not METHODS[name].writes:
            response = sample.call("rhea", name, {k: v for k, v in build_body(sample).items() if "98200" not in str(v)})
            assert response.status_code < 500
            for number in ("9820054321", "9820012345", "asha@example.com"):
                assert number not in response.text.replace(" ", ""), (name, response.text)


def test_a_writing_method_refuses_get(sample: SampleRecords) -> None:
    headers, client = sample.crm.client("root").headers, sample.crm.app.test_client()
    before = sample.all_rows()
    for name in (name for name, method in METHODS.items() if method.writes):
        response = client.get(f"/api/method/{name}", headers=headers)
        assert (response.status_code, response.get_json()["exc_type"]) == (403, "PermissionError"), name
    assert sample.all_rows() == before


def test_every_method_works_on_mariadb(maria: Crm) -> None:
    sample = SampleRecords(maria)
    working = [name for name in SAMPLE_CALLS if name not in REFUSING]
    for name in sorted(working, key=lambda name: METHODS[name].writes):
        who, build_body = SAMPLE_CALLS[name]
        response = sample.call(who, name, build_body(sample))
        stale: set[int] = {409, 404, 417} if METHODS[name].writes else set()  # an earlier method has changed the record
        assert response.status_code in {200, *stale}, (name, response.text)
    lead = sample.crm.make.lead("ana", task={})
    body = {"lead_name": lead.number, "client_id": "MARIA1"}
    sample.result("ana", "crm.api.lead_operations.update_lead_status_with_client_id", **body)
    second = sample.crm.make.lead("ana", task={})
    duplicate = sample.call(
        "ana", "crm.api.lead_operations.update_lead_status_with_client_id", body | {"lead_name": second.number}
    )
    assert (duplicate.status_code, duplicate.get_json()["exc_type"]) == (409, "DuplicateEntryError")
