"""Methods for assignees and round robin; field lists, comments and dashboard users."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain import assignment
from tests.web.compat.sample_calls import SampleRecords

ASSIGN_TO, ROLE_ASSIGNMENT, DOC = "frappe.desk.form.assign_to.", "crm.api.role_assignment.", "crm.api.doc."


def assignees(sample: SampleRecords, row: Any) -> list[str]:
    names = {colleague.id: name for name, colleague in sample.crm.people.items()}
    found = assignment.current_assignees(sample.crm.new_session(), sample.crm.fresh(row))
    return [names[key] for key in found]


# --- assignees


def test_adding_an_assignee_extends_a_ticket_and_replaces_the_one_of_a_lead(sample: SampleRecords) -> None:
    result = sample.result("sam", ASSIGN_TO + "add", doctype="CRM Ticket", name=sample.ticket.number, assign_to=["sam"])
    assert [each["owner"] for each in result] == ["cleo@eshin.test", "sam@eshin.test"]
    result = sample.result("mia", ASSIGN_TO + "add", doctype="CRM Lead", name=sample.lead.number, assign_to='["mia"]')
    assert [each["owner"] for each in result] == ["mia@eshin.test"]
    body = {"doctype": "CRM Lead", "name": sample.lead.number, "assign_to": ["ana", "mia"]}
    response = sample.call("mia", ASSIGN_TO + "add", body)
    assert response.status_code == 417 and "one assignee" in response.get_json()["exception"]


def test_only_people_with_the_assign_permission_add_assignees(sample: SampleRecords) -> None:
    body = {"doctype": "CRM Lead", "name": sample.lead.number, "assign_to": ["mia"]}
    for who, status in (("ana", 403), ("ben", 404), ("rhea", 403)):
        assert sample.call(who, ASSIGN_TO + "add", body).status_code == status
    foreign = sample.call("mia", ASSIGN_TO + "add", body | {"assign_to": ["ben"]})
    assert foreign.status_code == 403  # a user of another team
    assert sample.call("mia", ASSIGN_TO + "add", body | {"assign_to": ["nobody"]}).status_code == 417


def test_bulk_adding_reports_updated_skipped_and_failed_records(sample: SampleRecords) -> None:
    names = [sample.ticket.number, sample.shared_ticket.number, "CRM-TICKET-2026-99999"]
    result = sample.result("sam", ASSIGN_TO + "add_multiple", doctype="CRM Ticket", name=names, assign_to=["sam"])
    assert (result["updated"], result["skipped"], [each["name"] for each in result["failed"]]) == tuple(
        [name] for name in names
    )
    assert assignees(sample, sample.ticket) == ["cleo", "sam"]


def test_an_assignee_can_be_removed_but_not_the_last_one(sample: SampleRecords) -> None:
    remove, record = DOC + "remove_assignments", {"doctype": "CRM Ticket", "name": sample.shared_ticket.number}
    result = sample.result("sam", remove, **record, assignees='["cleo"]')
    assert (result["assigned_users"], assignees(sample, sample.shared_ticket)) == (["sam@eshin.test"], ["sam"])
    assert sample.call("sam", remove, record | {"assignees": ["cleo"]}).status_code == 404
    last = sample.call("sam", remove, record | {"assignees": ["sam"]})
    assert last.status_code == 417 and "ssign it to someone else" in last.get_json()["exception"]
    lead = {"doctype": "CRM Lead", "name": sample.lead.number, "assignees": ["ana"]}
    assert sample.call("mia", remove, lead).status_code == 417


def test_removing_all_assignees_fails_for_each_record(sample: SampleRecords) -> None:
    names = [sample.ticket.number, sample.shared_ticket.number]
    result = sample.result("sam", ASSIGN_TO + "remove_multiple", doctype="CRM Ticket", names=names)
    assert (result["success"], result["failed_count"]) == (False, 2), (result["updated"], result["failed"])
    assert assignees(sample, sample.shared_ticket) == ["sam", "cleo"]
    result = sample.result("sam", ASSIGN_TO + "remove_multiple", doctype="CRM Ticket", names=names, assign_to="cleo")
    assert result["updated"] == [sample.shared_ticket.number]


@pytest.mark.parametrize(("how", "more"), [("assign_to_user", {"user_name": "mia"}), ("assign_to_role", {})])
def test_an_assignment_updates_the_record_in_one_statement(
    sample: SampleRecords, how: str, more: dict[str, Any]
) -> None:
    before = sample.crm.fresh(sample.lead).version
    response, statements = sample.call_counting_statements(
        "mia", ROLE_ASSIGNMENT + how, {"lead_name": sample.lead.number, "role": "Sales User"} | more
    )
    assert response.status_code == 200 and response.get_json()["message"]["success"]
    assert len([each for each in statements if each.startswith("UPDATE leads")]) == 1
    assert sample.crm.fresh(sample.lead).version == before + 1


# --- round robin


def test_the_status_of_a_role_names_its_users_and_the_next_one(sample: SampleRecords) -> None:
    result = sample.result("mia", ROLE_ASSIGNMENT + "get_role_assignment_status", role_name="Sales User")
    assert (result["users"], result["last_user"]) == (["ana@eshin.test", "ben@eshin.test"], None)
    assert result["next_user"] == "ana@eshin.test"
    sample.result("mia", ROLE_ASSIGNMENT + "assign_to_role", lead_name=sample.lead.number, role_name="Sales User")
    result = sample.result("mia", ROLE_ASSIGNMENT + "get_role_assignment_status", role_name="Sales User")
    assert (result["last_user"], result["next_user"]) == ("ben@eshin.test", "ana@eshin.test")
    assert (
        sample.call("ana", ROLE_ASSIGNMENT + "get_role_assignment_status", {"role_name": "Sales User"}).status_code
        == 403
    )


def test_whether_all_users_of_a_role_are_assigned(sample: SampleRecords) -> None:
    record = {"doc_name": sample.ticket.number, "doctype": "CRM Ticket"}
    one = sample.result("cleo", ROLE_ASSIGNMENT + "check_all_role_users_assigned", **record, role_name="Support User")
    assert (one["all_assigned"], one["assigned_users"], one["eligible_users"]) == (True, ["cleo@eshin.test"], [])
    roles = ["Support User", "Support Manager"]
    result = sample.result("cleo", ROLE_ASSIGNMENT + "get_roles_all_assigned_status", **record, roles=roles)
    assert {role: each["all_assigned"] for role, each in result.items()} == {"Support User": True, roles[1]: False}
    wrong = sample.call("cleo", ROLE_ASSIGNMENT + "get_roles_all_assigned_status", record | {"roles": ["Boss"]})
    assert wrong.status_code == 417 and "Boss" in wrong.get_json()["exception"]
    assert (
        sample.call("ana", ROLE_ASSIGNMENT + "check_all_role_users_assigned", record | {"role_name": "x"}).status_code
        == 403
    )


# --- fields


def test_a_list_can_be_sorted_by_every_sort_option(sample: SampleRecords) -> None:
    for doctype, who in (("CRM Lead", "ana"), ("CRM Ticket", "cleo"), ("CRM Task", "ana"), ("FCRM Note", "ana")):
        offered = [each["value"] for each in sample.result(who, DOC + "sort_options", doctype=doctype)]
        assert {"name", "creation"} <= set(offered)
        for name in offered:
            sample.result(who, DOC + "get_data", doctype=doctype, order_by=f"{name} desc")
    masked = [each["value"] for each in sample.result("rhea", DOC + "sort_options", doctype="CRM Lead")]
    assert "mobile_no" not in masked


def test_group_by_fields_and_quick_filters(sample: SampleRecords) -> None:
    groups = [each["fieldname"] for each in sample.result("ana", DOC + "get_group_by_fields", doctype="CRM Lead")]
    assert {"status", "assign_to"} <= set(groups) and not {"first_name", "creation", "mobile_no"} & set(groups)
    quick = sample.result("ana", DOC + "get_quick_filters", doctype="CRM Lead")
    assert [each["fieldname"] for each in quick] == ["status", "assign_to", "source"]
    assert "Account Opened" in quick[0]["options"]
    assert sample.result("ana", DOC + "get_quick_filters", doctype="FCRM Note") == []


def test_all_fields_as_a_list_and_by_name(sample: SampleRecords) -> None:
    fields = sample.result("ana", DOC + "get_fields", doctype="CRM Lead")
    by_name = sample.result("ana", DOC + "get_fields_meta", doctype="CRM Lead")
    assert (
        list(by_name.values())
        == fields
        == sample.result("ana", DOC + "get_fields_meta", doctype="CRM Lead", as_array=1)
    )
    assert by_name["status"]["fieldtype"] == "Link"
    assert sample.call("ana", DOC + "get_fields", {"doctype": "CRM Ticket"}).status_code == 403


# --- comments and dashboards


def test_a_comment_is_a_note(sample: SampleRecords) -> None:
    body = {"reference_doctype": "CRM Lead", "reference_name": sample.lead.number, "content": "<p>Call <b>him</b></p>"}
    result = sample.result("ana", "frappe.desk.form.utils.add_comment", **body, comment_by="Ben", comment_email="ben")
    assert (result["content"], result["owner"], result["comment_type"]) == ("Call him", "ana@eshin.test", "Comment")
    assert result["reference_docname"] == sample.lead.number
    assert sample.call("ben", "frappe.desk.form.utils.add_comment", body).status_code == 404


def test_marking_comments_read_leaves_reminders_unread(sample: SampleRecords) -> None:
    talk = "crm.api.comment_notifications."
    assert sample.result("ana", talk + "mark_all_comment_notifications_read")["count"] == 1
    assert sample.result("ana", talk + "mark_all_comment_notifications_read")["count"] == 0
    left = sample.result("ana", "crm.api.notifications.get_notifications")
    assert {each["type"]: each["read"] for each in left}["Due Date Reminder"] == 0


def test_available_users_are_those_within_the_persons_reach(sample: SampleRecords) -> None:
    names = {
        who: [each["name"] for each in sample.result(who, "crm.api.dashboard.get_available_users")]
        for who in ("ana", "mia", "root")
    }
    assert (names["ana"], names["mia"]) == (["ana@eshin.test"], ["ana@eshin.test", "mia@eshin.test"])
    assert "cleo@eshin.test" in names["root"]
    assert sample.result("mia", "crm.api.dashboard.get_user_roles", target_user_id="ana") == ["Sales User"]
    assert sample.result("ana", "crm.api.dashboard.get_user_roles") == ["Sales User"]
    assert sample.call("ana", "crm.api.dashboard.get_user_roles", {"target_user_id": "ben"}).status_code == 403
