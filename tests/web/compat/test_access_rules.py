"""Access rules of the predecessor's API: permissions, the scope of an API key, HEAD requests, forged fields."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from sqlalchemy import select

from app import access
from app.models import ApiKey, Lead
from app.web.compat.method_registry import METHODS
from tests.web.compat.sample_calls import SAMPLE_CALLS, SampleRecords

#: Methods that every authenticated person may call: public fields of users, office hours, the own profile and
#: permissions; and those that leave out modules that the person cannot read.
OPEN_METHODS = """
    login logout ping get_logged_user get_user_profile get_app_version get_update_settings get_assignable_roles
    log_update_check
    get_assignable_users_public get_users get_current_user_module_permissions get_office_hours get_holidays
    get_office_status is_call_integration_enabled get_customer_history get_customer_interactions universal_search
    get_contact_by_phone_number has_permission get_single_value rename_doc submit cancel
    set_default_calling_medium is_enabled generate_access_token is_integration_enabled
    is_whatsapp_enabled is_whatsapp_installed get_local_whatsapp_status get_status is_whatsapp_support_enabled"""
#: (role of the caller, module, verb) -> the methods that need this permission.
METHODS_BY_CELL = {
    ("Sales User", "Leads", "read"): """
        get_list get_count get get_value save set_value bulk_update getdoc search_link add_comment get_lead insert
        update_lead_status_with_client_id update_lead_status_with_rejection_reason update_lead_status_with_pod_id
        save_client_id_without_validation save_rejection_reason_without_validation save_pod_id_without_validation
        validate_lead_for_status_change bulk_insert_pod_id get_current_assignments get_roles_all_assigned_status
        check_all_role_users_assigned create_assignment_request get_reference_summary get_customer_data_for_lead
        get_lead_with_customer_data update_lead_customer_data link_call_log get_activities get_data quick_reply
        get_filterable_fields sort_options get_group_by_fields get_quick_filters get_fields get_fields_meta
        get_assigned_users get_eligible_followup_tasks add_note_to_call_log add_task_to_call_log validate_link""",
    ("Sales User", "Leads", "create"): "insert_many create_lead_from_call_log",
    ("Sales User", "Leads", "write"): """
        save set_value bulk_update update_lead_status_with_client_id update_lead_status_with_rejection_reason
        update_lead_status_with_pod_id save_client_id_without_validation save_rejection_reason_without_validation
        save_pod_id_without_validation validate_lead_for_status_change bulk_insert_pod_id update_lead_customer_data""",
    ("Sales User", "Leads", "bulk"): "bulk_update bulk_insert_pod_id",
    ("Sales Manager", "Leads", "delete"): "delete",
    ("Sales Manager", "Leads", "assign"): """
        assign_to_role assign_to_user bulk_assign_leads get_assignable_users preview_next_assignment
        get_role_assignment_status get_assignment_history""",
    ("Sales Manager", "Leads", "bulk"): "bulk_assign_leads",
    ("Sales User", "Call Logs", "read"): """
        get_user_call_logs get_sync_stats get_call_log link_call_log delink_call_log create_lead_from_call_log
        set_cold_call add_note_to_call_log add_task_to_call_log""",
    ("Sales Manager", "Call Logs", "export"): "export_call_log_monthly_summary",
    ("Sales User", "Call Logs", "create"): "sync_call_logs make_a_call",
    ("Sales User", "Call Logs", "write"): """
        link_call_log delink_call_log create_lead_from_call_log set_cold_call add_note_to_call_log
        add_task_to_call_log""",
    ("Sales User", "Customers", "read"): """
        update_customer_with_client_id get_customer_by_mobile get_customer_by_id get_customer_list get_customer_stats
        create_or_update_customer auto_fill_customer_data get_customer_update_history search_customer_by_mobile""",
    ("Sales User", "Customers", "write"): "update_customer_with_client_id create_or_update_customer",
    ("Support User", "Customers", "write"): "update_ticket_customer_data",
    ("Sales User", "Notes", "create"): "insert add_comment add_note_to_call_log quick_reply",
    ("Support User", "Notes", "create"): "log_support_activity",
    ("Sales User", "Messages", "read"): "get_whatsapp_messages",
    ("Sales User", "Messages", "create"): """
        create_whatsapp_message react_on_whatsapp_message upload_file send_whatsapp_template
        send_local_whatsapp_message send_support_pages_without_ticket""",
    ("Support User", "Messages", "create"): "send_support_page_whatsapp send_support_pages",
    ("Sales User", "Tasks", "read"): "get_eligible_followup_tasks",
    ("Sales User", "Tasks", "create"): "add_task_to_call_log",
    ("Sales User", "Requests", "create"): "create_assignment_request",
    ("Sales Manager", "Requests", "read"): """
        approve_assignment_request reject_assignment_request get_assignment_requests""",
    ("Sales Manager", "Requests", "write"): "approve_assignment_request reject_assignment_request",
    ("Sales User", "Dashboard", "read"): """
        get_task_notifications mark_notification_read mark_all_notifications_read get_notifications mark_as_read
        get_comment_notifications mark_comment_notification_read mark_all_comment_notifications_read""",
    ("Sales Manager", "Dashboard", "read"): """
        get_dashboard_data get_user_dashboard_data get_available_users get_user_roles""",
    ("Support User", "Tickets", "read"): """
        get_ticket update_ticket_status escalate_ticket bulk_update_tickets bulk_set_priority bulk_close_tickets
        get_customer_data_for_ticket get_ticket_with_customer_data update_ticket_customer_data""",
    ("Support User", "Tickets", "create"): "create_ticket",
    ("Support User", "Tickets", "write"): """
        update_ticket_status escalate_ticket bulk_update_tickets bulk_set_priority bulk_close_tickets""",
    ("Support User", "Tickets", "bulk"): "bulk_update_tickets bulk_set_priority bulk_close_tickets",
    ("Support Manager", "Tickets", "assign"): """
        add add_multiple remove_multiple bulk_assign_tickets assign_ticket_to_role assign_ticket_to_user
        remove_assignments""",
    ("Support Manager", "Tickets", "bulk"): "add_multiple remove_multiple bulk_assign_tickets",
}
#: Methods that only the admin may call.
ADMIN_METHODS = frozenset({"reset_role_assignment", "create_or_find_customer"})
USERS = {"Sales User": "ana", "Sales Manager": "mia", "Support User": "cleo", "Support Manager": "sam"}


def short_name(name: str) -> str:
    """The method name without its module."""
    return name.rpartition(".")[2]


def methods_named(names: Any, who: str | None = None) -> list[str]:
    """The methods with these short names, of those whose sample call is by this user."""
    return [name for name in SAMPLE_CALLS if short_name(name) in names and who in (None, SAMPLE_CALLS[name][0])]


def is_refused(response: Any) -> bool:
    """Whether the whole call is refused, or each of its records."""
    if response.status_code in (403, 404, 417):
        return True
    result = response.get_json().get("message") if response.status_code == 200 else None
    return isinstance(result, dict) and bool(
        result.get("failed_docs") or (result.get("failed") and not result["updated"])
    )


# --- permission matrix


def test_every_method_depends_on_a_permission_or_is_open() -> None:
    closed = {each for names in METHODS_BY_CELL.values() for each in names.split()}
    assert {short_name(name) for name in METHODS} == {*closed, *OPEN_METHODS.split(), *ADMIN_METHODS}


@pytest.mark.parametrize("cell", METHODS_BY_CELL, ids=lambda cell: "-".join(cell))
def test_a_method_is_refused_without_its_permission(sample: SampleRecords, cell: tuple[str, str, str]) -> None:
    role, who = cell[0], USERS[cell[0]]
    names = methods_named(METHODS_BY_CELL[cell].split(), who)
    body = {name: SAMPLE_CALLS[name][1](sample) for name in names}
    sample.crm.make.cell(*cell, "none")
    before = sample.all_rows()
    for name in names:
        response = sample.call(who, name, body[name])
        assert is_refused(response), (role, name, response.status_code, response.text)
    assert names and sample.all_rows() == before


def test_open_methods_leave_out_modules_that_the_person_cannot_read(sample: SampleRecords) -> None:
    for module in ("Leads", "Customers", "Call Logs", "Tickets"):
        for role in ("Sales User", "Support User"):
            sample.crm.make.cell(role, module, "read", "none")
    for name in methods_named(
        set(OPEN_METHODS.split()) - {*("login", "logout", "rename_doc", "submit", "cancel", "generate_access_token")}
    ):
        who, build_body = SAMPLE_CALLS[name]
        response = sample.call(who, name, build_body(sample))
        assert response.status_code == 200, (name, response.text)
        for number in (sample.lead.number, sample.customer.number, sample.ticket.number, "Asha", "Ravi"):
            assert number not in response.text, (name, response.text)


@pytest.mark.parametrize("verb", ["write", "assign"])
def test_a_record_that_is_only_visible_cannot_be_changed(sample: SampleRecords, verb: str) -> None:
    for cell in (("read", "all"), ("bulk", "own"), (verb, "own")):
        sample.crm.make.cell("Sales User", "Leads", *cell)
    cell = ("Sales Manager" if verb == "assign" else "Sales User", "Leads", verb)
    names = [name for name in methods_named(METHODS_BY_CELL[cell].split()) if METHODS[name].writes]
    before = sample.all_rows()
    for name in names:
        body = SAMPLE_CALLS[name][1](sample)
        response = sample.call("ben", name, body)
        assert is_refused(response), (name, response.text)
    assert len(names) > 2 and sample.all_rows() == before


def test_bulk_changes_need_the_bulk_permission(sample: SampleRecords) -> None:
    docs = [{"doctype": "CRM Customer", "docname": sample.customer.number, "referral_through": "C9"}]
    failed = sample.result("ana", "frappe.client.bulk_update", docs=docs)["failed_docs"]
    assert "bulk" in failed[0]["exc"] and sample.crm.fresh(sample.customer).referred_by is None


@pytest.mark.parametrize(
    ("module", "part", "kind"), [("Notes", 2, "note"), ("Tasks", 3, "task"), ("Call Logs", 1, "call")]
)
def test_a_timeline_leaves_out_modules_that_the_person_cannot_read(
    sample: SampleRecords, module: str, part: int, kind: str
) -> None:
    method, name = "crm.api.activities.get_activities", sample.lead.number
    before = sample.result("ana", method, name=name)
    assert before[part] and kind in {line["kind"] for line in before[0]}
    sample.crm.make.cell("Sales User", module, "read", "none")
    after = sample.result("ana", method, name=name)
    assert not after[part] and {line["kind"] for line in after[0]} == {line["kind"] for line in before[0]} - {kind}


# --- API keys, read-only people, HEAD requests


def limit_keys(sample: SampleRecords, *scope: str) -> None:
    session = sample.crm.session
    for key in session.scalars(select(ApiKey)):
        key.scope = list(scope)
    session.commit()


def test_an_api_key_reaches_only_the_modules_of_its_scope(sample: SampleRecords) -> None:
    limit_keys(sample, "Support Pages")
    before = sample.all_rows()
    for name, (who, build_body) in SAMPLE_CALLS.items():
        if short_name(name) not in OPEN_METHODS.split():
            response = sample.call(who, name, build_body(sample))
            assert is_refused(response), (name, response.text)
    assert sample.all_rows() == before


def test_a_read_only_person_changes_nothing(sample: SampleRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    real_person = access.person
    monkeypatch.setattr(
        access, "person", lambda *arguments: dataclasses.replace(real_person(*arguments), read_only=True)
    )
    before = sample.all_rows()
    for name, (who, build_body) in SAMPLE_CALLS.items():
        if METHODS[name].writes and name != "login":
            assert sample.call(who, name, build_body(sample)).status_code == 403, name
    assert sample.all_rows() == before


def test_head_requests_change_nothing(sample: SampleRecords) -> None:
    client, headers = sample.crm.app.test_client(), sample.crm.client("root").headers
    before = sample.all_rows()
    for name, (_who, build_body) in SAMPLE_CALLS.items():
        if METHODS[name].writes:
            query = {
                key: value if isinstance(value, str) else json.dumps(value) for key, value in build_body(sample).items()
            }
            assert client.head(f"/api/method/{name}", query_string=query, headers=headers).status_code == 403, name
    for path in ("", f"/{sample.lead.number}"):
        change = {"first_name": "Headed", "mobile_no": "9820077711"}
        response = client.head(f"/api/resource/CRM Lead{path}", query_string=change, headers=headers)
        assert response.status_code == 200, path
    assert sample.all_rows() == before


# --- rows and forged fields


def test_an_own_call_does_not_name_an_invisible_record(sample: SampleRecords) -> None:
    """Sync linked the call to a lead that Ana cannot see."""
    invisible = sample.crm.make.lead("max", task={})
    sample.crm.make.call("ana", lead_id=invisible.id)
    sample.crm.make.call("ana", ticket_id=sample.ticket.id)
    result = sample.result("ana", "crm.api.mobile_sync.get_user_call_logs")["data"]
    references = [(each["reference_doctype"], each["reference_docname"]) for each in result]
    assert sorted(references, key=str) == [("CRM Lead", sample.lead.number), *[(None, None)] * 3]


#: Fields that a client may send with any document, and that must be ignored.
FORGED_FIELDS = {
    "owner": "mia",
    "creation": "2020-01-01 00:00:00",
    "modified_by": "mia",
    "id": 1,
    "docstatus": 1,
    "account_opened_on": "2020-01-01 00:00:00",
    "account_activated_on": "2020-01-01 00:00:00",
    "response_by": None,
    "customer_id": "1",
}


def test_owner_and_stamps_cannot_be_forged(sample: SampleRecords) -> None:
    new = FORGED_FIELDS | {"doctype": "CRM Lead", "first_name": "Greta", "mobile_no": "9820055511", "name": "X-1"}
    created = sample.result("ana", "frappe.client.insert", doc=new)
    row, ana = sample.crm.rows(select(Lead).where(Lead.number == created["name"]))[0], sample.crm.people["ana"].id
    assert (row.owner_id, row.assignee_id, row.created_by_id, row.changed_by_id) == (ana, ana, ana, ana)
    assert row.created_on.year > 2020 and row.customer_id is None and row.opened_on is None and row.id > 1
    before = sample.crm.stored(row)
    sample.call("ana", "frappe.client.save", {"doc": FORGED_FIELDS | {"doctype": "CRM Lead", "name": created["name"]}})
    assert sample.crm.stored(row) == before


@pytest.mark.parametrize(
    "change",
    [
        {"doctype": "CRM Lead", "lead_owner": "mia"},
        {"doctype": "CRM Task", "assigned_to": "ben"},
        {"doctype": "CRM Assignment Request", "status": "Approved"},
    ],
    ids=str,
)
def test_a_change_beyond_the_persons_rights_is_refused(sample: SampleRecords, change: dict[str, Any]) -> None:
    names = {
        "CRM Lead": sample.lead.number,
        "CRM Task": sample.task.id,
        "CRM Assignment Request": sample.request.number,
    }
    before = sample.all_rows()
    name = names[change["doctype"]]
    assert sample.call("ana", "frappe.client.save", {"doc": change | {"name": name}}).status_code in (403, 404)
    headers, client = sample.crm.client("ana").headers, sample.crm.app.test_client()
    assert client.put(f"/api/resource/{change['doctype']}/{name}", json=change, headers=headers).status_code in (
        403,
        404,
    )
    assert sample.all_rows() == before
