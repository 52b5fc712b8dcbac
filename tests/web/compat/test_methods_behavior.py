"""Behavior of the predecessor's own methods: statuses, assignment, requests, calls, notices, figures."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from app.domain import tickets
from app.domain.change_context import ChangeContext
from app.models import Activity, Task, Ticket
from tests.factories import NOW
from tests.web.compat.sample_calls import SampleRecords

API = "crm.api."
LEAD_OPERATIONS, ROLE_ASSIGNMENT, ASSIGNMENT_REQUESTS = (
    API + "lead_operations.",
    API + "role_assignment.",
    API + "assignment_requests.",
)


# --- leads and tickets


def test_an_escalated_ticket_gets_the_next_priority_and_the_named_colleague(sample: SampleRecords) -> None:
    escalate, name = API + "ticket.escalate_ticket", sample.ticket.number
    found = sample.result("cleo", escalate, ticket_name=name, reason="<b>Asked twice</b>")
    assert (found["priority"], found["assigned_to"]) == ("High", "cleo@eshin.test")
    notes = sample.result("cleo", API + "activities.get_activities", name=name)[2]
    assert "Asked twice" in str(notes)
    assert sample.call("cleo", escalate, {"ticket_name": name, "escalate_to": "sam"}).status_code == 403
    assert sample.crm.fresh(sample.ticket).priority == "High"  # refused as a whole
    found = sample.result("sam", escalate, ticket=name, assigned_to="sam@eshin.test")
    assert (found["priority"], found["assigned_to"]) == ("Urgent", "sam@eshin.test")
    refused = sample.call("sam", escalate, {"ticket_name": name})
    assert refused.status_code == 417 and "urgent already" in refused.text


@pytest.mark.parametrize(("format_", "begin"), [("CSV", b"\xef\xbb\xbf"), ("Excel", b"PK")])
def test_the_monthly_summary_of_calls_is_a_file_of_the_filtered_calls(
    sample: SampleRecords, format_: str, begin: bytes
) -> None:
    export = API + "call_log.export_call_log_monthly_summary"
    answer = sample.call("mia", export, {"file_format_type": format_, "filters": {"type": "Outgoing"}})
    assert answer.status_code == 200 and answer.get_data().startswith(begin), answer.text
    assert "Call_Log_Monthly_Summary" in answer.headers["Content-Disposition"]
    if format_ == "CSV":
        lines = answer.get_data().decode("utf-8-sig").splitlines()
        assert (
            lines[1]
            == "Caller Name,Incoming Calls,Call Duration,Outgoing Calls,Call Duration,Total Calls,Call Duration"
        )
        assert lines[2].startswith("Ana Shah,0,0s,") and lines[3].startswith("Total,0,0s,")
    sample.crm.make.cell("Sales Manager", "Call Logs", "export", "own")  # of the calls that she sees
    assert sample.call("mia", export, {"file_format_type": format_}).status_code == 417
    for body in ({"filters": {"type": "Incoming"}}, {"file_format_type": "PDF"}, {"filters": [["nothing", "=", 1]]}):
        assert sample.call("mia", export, body).status_code == 417


def test_an_app_may_tell_that_it_has_looked_for_a_version(sample: SampleRecords) -> None:
    guest = sample.crm.app.test_client()
    path = "/api/method/crm.api.app_update.log_update_check"
    assert guest.post(path, json={"current_version": "1.3.0"}).get_json()["message"] == {"success": True}


@pytest.mark.parametrize(
    ("target", "errors"),
    [("Sent to HO", 1), ("Account Opened", 1), ("Contacted", 0), ("Follow-up Scheduled", 0), ("New", 0)],
)
def test_a_status_change_is_validated_without_making_it(sample: SampleRecords, target: str, errors: int) -> None:
    result = sample.result(
        "ana", LEAD_OPERATIONS + "validate_lead_for_status_change", lead_name=sample.lead.number, target_status=target
    )
    assert (len(result["errors"]), result["can_proceed"]) == (errors, not errors)
    assert sample.crm.fresh(sample.lead).status_id == sample.lead.status_id


def test_bulk_pod_ids_skip_leads_that_have_one(sample: SampleRecords) -> None:
    second = sample.crm.make.lead("ana", task={})
    sample.result("ana", LEAD_OPERATIONS + "update_lead_status_with_pod_id", lead_name=second.number, pod_id="OLD")
    names = [sample.lead.number, second.number, "CRM-LEAD-2026-99999"]
    result = sample.result(
        "ana", LEAD_OPERATIONS + "bulk_insert_pod_id", doctype="CRM Lead", docnames=names, pod_id="POD-9"
    )
    assert (result["updated"], result["skipped"], [each["name"] for each in result["failed"]]) == tuple(
        [name] for name in names
    )
    assert (sample.crm.fresh(sample.lead).pod_id, sample.crm.fresh(second).pod_id) == ("POD-9", "OLD")


def test_a_ticket_that_fails_does_not_stop_the_others(sample: SampleRecords) -> None:
    second = sample.crm.make.ticket("cleo", resolution="It was nothing", task={})
    names = [sample.ticket.number, second.number]
    result = sample.result("cleo", API + "ticket.bulk_close_tickets", names=names)
    assert (result["updated"], result["failed_count"]) == ([second.number], 1)
    assert "resolution" in result["failed"][0]["error"]
    closed = sample.crm.ticket_status["Closed"]
    assert [sample.crm.fresh(row).status_id == closed for row in (sample.ticket, second)] == [False, True]


def test_a_comment_becomes_the_resolution_or_a_note(sample: SampleRecords) -> None:
    method, row = API + "ticket.update_ticket_status", sample.ticket
    sample.result("cleo", method, ticket=row.number, status="In Progress", comment="Called him")
    assert "Called him" in [line["text"] for line in notes(sample, row)]
    sample.result("cleo", method, ticket=row.number, status="Resolved", comment="Sent the form")
    assert sample.crm.fresh(row).resolution == "Sent the form"


def notes(sample: SampleRecords, row: Any) -> list[dict[str, Any]]:
    column = Activity.ticket_id if isinstance(row, Ticket) else Activity.lead_id
    found = sample.crm.session.execute(select(Activity.payload).where(column == row.id, Activity.kind == "note"))
    return [payload for (payload,) in found]


def test_a_ticket_created_from_a_call_is_linked_to_it(sample: SampleRecords) -> None:
    doc = {"ticket_subjects": ["Re-KYC"], "call_log": str(sample.unlinked_call.id)}
    sample.crm.make.cell("Sales User", "Tickets", "create", "own")
    sample.crm.make.cell("Sales User", "Tickets", "read", "own")
    created = sample.result("ana", API + "ticket.create_ticket", doc=doc)
    call = sample.result("ana", "frappe.client.get", doctype="CRM Call Log", name=str(sample.unlinked_call.id))
    assert (call["reference_doctype"], call["reference_docname"]) == ("CRM Ticket", created["name"])


def test_a_customers_history_has_visible_records_only(sample: SampleRecords) -> None:
    number = sample.customer.number
    for body in ({"customer_id": number}, {"mobile_no": "098200 12345"}, {"email": "asha@example.com"}):
        result = sample.result("cleo", API + "ticket.get_customer_history", **body)
        assert [each["name"] for each in result["tickets"]] == [sample.ticket.number]
        assert (result["summary"]["total_tickets"], result["summary"]["open_tickets"], result["leads"]) == (1, 1, [])
    assert sample.result("ben", API + "ticket.get_customer_history", mobile_no="9820012345")["tickets"] == []


# --- assignment


def test_assigning_to_a_role_uses_round_robin_and_reports_when_all_are_assigned(sample: SampleRecords) -> None:
    result = sample.result(
        "mia", ROLE_ASSIGNMENT + "assign_to_role", lead_name=sample.lead.number, role_name="Sales User"
    )
    assert (result["success"], result["assigned_user"]) == (True, "ben@eshin.test")
    all_assigned = sample.result(
        "sam", API + "ticket.assign_ticket_to_role", ticket_name=sample.ticket.number, role_name="Support User"
    )
    assert (all_assigned["success"], all_assigned["all_assigned"]) == (False, True)
    for who in ("ana", "ben"):
        body = {"lead_name": sample.lead.number, "role_name": "Sales User"}
        assert sample.call(who, ROLE_ASSIGNMENT + "assign_to_role", body).status_code == 403


def test_the_preview_does_not_advance_the_round_robin(sample: SampleRecords) -> None:
    result = [
        sample.result("mia", ROLE_ASSIGNMENT + "preview_next_assignment", role_name="Sales User")["next_user"]
        for _ in range(2)
    ]
    assert result[0] == result[1]


def test_a_broken_rule_is_success_false_and_a_denial_is_403(sample: SampleRecords) -> None:
    body = {"reference_doctype": "CRM Lead", "reference_name": sample.lead.number, "requested_user": "ben"}
    failure = sample.result("ana", ASSIGNMENT_REQUESTS + "create_assignment_request", **body)
    assert (failure["success"], failure["error"]) == (
        False,
        "Please give a reason why this person should get the record.",
    )
    assert (
        sample.call("ben", ASSIGNMENT_REQUESTS + "create_assignment_request", body | {"reason": "r"}).status_code == 404
    )
    assert (
        sample.call("rhea", ASSIGNMENT_REQUESTS + "create_assignment_request", body | {"reason": "r"}).status_code
        == 403
    )


def test_a_request_is_decided_once(sample: SampleRecords) -> None:
    name = sample.request.number
    assert sample.result("mia", ASSIGNMENT_REQUESTS + "approve_assignment_request", name=name)["status"] == "Approved"
    again = sample.call("root", ASSIGNMENT_REQUESTS + "reject_assignment_request", {"name": name, "reason": "late"})
    assert (again.status_code, again.get_json()["exc_type"]) == (409, "TimestampMismatchError")
    listed = sample.result("mia", ASSIGNMENT_REQUESTS + "get_assignment_requests", status="Approved")
    assert [each["name"] for each in listed] == [name]


# --- calls


def test_a_call_is_linked_and_unlinked(sample: SampleRecords) -> None:
    link = {"call_log": "device_1", "doctype": "CRM Customer", "docname": sample.customer.number}
    sample.result("ana", API + "call_log.link_call_log", **link)
    assert sample.crm.fresh(sample.linked_call).lead_id is None
    assert sample.crm.fresh(sample.linked_call).customer_id == sample.customer.id
    sample.result("ana", API + "call_log.delink_call_log", call_log=str(sample.linked_call.id))
    assert sample.crm.fresh(sample.linked_call).customer_id is None


def test_notes_and_tasks_of_a_call_belong_to_its_lead(sample: SampleRecords) -> None:
    note = {"title": "Asked", "content": "<p>for the form</p>"}
    sample.result("ana", "crm.integrations.api.add_note_to_call_log", call_sid="device_1", note=note)
    sample.result("ana", "crm.integrations.api.add_task_to_call_log", call_sid="device_1", task={"title": "Send it"})
    call = sample.result("ana", "crm.fcrm.doctype.crm_call_log.crm_call_log.get_call_log", name="device_1")
    assert [(each["title"], each["content"]) for each in call["_notes"]] == [("Asked", "for the form")]
    assert "Send it" in [each["title"] for each in call["_tasks"]]
    assert (call["_lead"], call["_ticket"]) == (sample.lead.number, None)


def test_a_lead_is_created_from_a_call(sample: SampleRecords) -> None:
    make = "crm.fcrm.doctype.crm_call_log.crm_call_log.create_lead_from_call_log"
    number = sample.result("ana", make, call_log={"name": str(sample.unlinked_call.id)})
    lead = sample.result("ana", "frappe.client.get", doctype="CRM Lead", name=number)
    assert (lead["mobile_no"], lead["lead_owner"]) == ("+919820077777", "ana@eshin.test")
    assert sample.call("ana", make, {"call_log": str(sample.unlinked_call.id)}).status_code == 417


# --- notices and the timeline


def test_notifications_have_the_predecessors_types_and_statuses(sample: SampleRecords) -> None:
    result = sample.result("ana", API + "task_notifications.get_task_notifications")
    due = next(each for each in result if each["notification_type"] == "Due Date Reminder")
    assert (due["status"], due["task_title"], due["reference_docname"]) == ("Sent", "Call back", sample.lead.number)
    sample.result("ana", API + "task_notifications.mark_notification_read", notification_name=due["name"])
    other = sample.call("ben", API + "task_notifications.mark_notification_read", {"notification_name": due["name"]})
    assert other.status_code == 404
    comments = sample.result("ana", API + "comment_notifications.get_comment_notifications")
    assert [(each["notification_type"], each["status"]) for each in comments] == [("New Message", "Sent")]
    sample.result("ana", API + "notifications.mark_as_read", user="ben")
    assert {each["read"] for each in sample.result("ana", API + "notifications.get_notifications")} == {1}


def test_a_quick_reply_is_a_note(sample: SampleRecords) -> None:
    body = {"reference_doctype": "CRM Lead", "reference_docname": sample.lead.number, "content": "<b>Yes</b>"}
    sample.result("ana", API + "comment_notifications.quick_reply", **body)
    assert notes(sample, sample.lead)[-1]["text"] == "Yes"
    assert sample.call("ben", API + "comment_notifications.quick_reply", body).status_code == 404


def test_the_timeline_has_five_parts(sample: SampleRecords) -> None:
    activities, calls, found, tasks, files = sample.result(
        "ana", API + "activities.get_activities", name=sample.lead.number
    )
    assert {"creation", "comment"} <= {each["activity_type"] for each in activities}
    assert [each["name"] for each in calls] == [str(sample.linked_call.id)]
    assert [each["title"] for each in found] == ["Met"]
    assert (len(tasks), files) == (2, [])
    assert sample.call("ben", API + "activities.get_activities", {"name": sample.lead.number}).status_code == 404


# --- lists and figures


def test_a_list_page_counts_and_names_its_columns(sample: SampleRecords) -> None:
    result = sample.result(
        "ana",
        API + "doc.get_data",
        doctype="CRM Lead",
        filters={"assign_to": "@me"},
        default_filters={"status": "Junk", "assign_to": "ben"},
        page_length=1,
    )
    assert (result["total_count"], result["data"]) == (0, [])
    result = sample.result("ana", API + "doc.get_data", doctype="CRM Lead", filters={"creation": f"{NOW:%Y-%m-%d}"})
    assert [each["name"] for each in result["data"]] == [sample.lead.number]
    assert result["columns"][0]["key"] == "lead_name"


def test_masked_numbers_are_not_filterable(sample: SampleRecords) -> None:
    names = [each["fieldname"] for each in sample.result("rhea", API + "doc.get_filterable_fields", doctype="CRM Lead")]
    assert "mobile_no" not in names and "status" in names


def test_search_finds_by_number_and_by_name(sample: SampleRecords) -> None:
    for text in ("98200 54321", "ravi", sample.lead.number):
        sections = sample.result("ana", API + "search.universal_search", query=text)["sections"]
        assert sample.lead.number in [each["name"] for part in sections for each in part["results"]]
    assert sample.result("ben", API + "search.universal_search", query="98200 54321")["total"] == 0
    picked = sample.result("ana", "frappe.desk.search.search_link", doctype="CRM Lead", txt="Rav")
    assert picked == [{"value": sample.lead.number, "label": "Ravi Kumar", "description": "Ravi Kumar"}]


def test_rates_count_done_closed_and_activated(sample: SampleRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.core.fab_access.request_time", lambda: NOW)
    session, cleo = sample.crm.session, sample.crm.people["cleo"].id
    row = session.merge(sample.ticket)
    tickets.change(
        session, row, {"status_id": sample.crm.ticket_status["Closed"], "resolution": "x"}, ChangeContext(cleo, NOW)
    )
    for task in session.scalars(select(Task).where(Task.assignee_id == cleo)):
        task.status = "Done"
    session.commit()
    result = sample.result("root", API + "dashboard.get_user_dashboard_data", view="weekly", target_user_id="cleo")[
        "overview"
    ]
    assert (result["ticket_resolution_rate"], result["task_completion_rate"]) == (100.0, 100.0)
    sample.result(
        "ana",
        LEAD_OPERATIONS + "update_lead_status_with_client_id",
        lead_name=sample.lead.number,
        client_id="Z1",
        status="Account Activated",
    )
    result = sample.result("mia", API + "dashboard.get_user_dashboard_data", target_user_id="ana")["overview"]
    assert (result["lead_conversion_rate"], result["account_activated"]) == (100.0, 1)


def test_a_week_has_seven_days_and_missed_calls_are_counted(
    sample: SampleRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.web.core.fab_access.request_time", lambda: NOW)
    sample.crm.make.call("ana", direction="Incoming", status="Missed Call", from_number="98200 11111", started_on=NOW)
    result = sample.result("mia", API + "dashboard.get_dashboard_data", view="weekly")
    assert (len(result["trends"]["labels"]), result["overview"]["missed_calls"], result["overview"]["total_leads"]) == (
        7,
        1,
        1,
    )
    assert sum(result["trends"]["leads"]) == 1


def test_figures_of_another_team_are_refused(sample: SampleRecords) -> None:
    for who, whom in (("ana", "ben"), ("mia", "ben"), ("ana", "mia")):
        response = sample.call(who, API + "dashboard.get_user_dashboard_data", {"target_user_id": whom})
        assert response.status_code == 403


def test_module_permissions_and_office_hours(sample: SampleRecords) -> None:
    result = sample.result("rhea", API + "permissions.get_current_user_module_permissions")
    assert result == dict.fromkeys(result, "Read")
    assert sample.result("ana", API + "permissions.get_current_user_module_permissions")["Tickets"] == "None"
    assert len(sample.result("ana", API + "office_hours.get_office_hours")) == 7
