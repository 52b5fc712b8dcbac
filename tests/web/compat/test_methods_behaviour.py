"""The predecessor's own methods do what they always promised: gates, turns, requests, calls, notices, figures."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from app.domain import tickets
from app.models import Activity, Task, Ticket
from tests.makers import NOW
from tests.web.compat.sample_calls import Ground

API = "crm.api."
OPS, GIVE, ASKS = API + "lead_operations.", API + "role_assignment.", API + "assignment_requests."


# --- leads and tickets


@pytest.mark.parametrize(
    ("target", "errors"),
    [("Sent to HO", 1), ("Account Opened", 1), ("Contacted", 0), ("Follow-up Scheduled", 0), ("New", 0)],
)
def test_the_gate_is_told_before_it_is_tried(ground: Ground, target: str, errors: int) -> None:
    told = ground.told(
        "ana", OPS + "validate_lead_for_status_change", lead_name=ground.lead.number, target_status=target
    )
    assert (len(told["errors"]), told["can_proceed"]) == (errors, not errors)
    assert ground.world.fresh(ground.lead).status_id == ground.lead.status_id


def test_pod_ids_for_many_leave_out_who_has_one(ground: Ground) -> None:
    second = ground.world.make.lead("ana", task={})
    ground.told("ana", OPS + "update_lead_status_with_pod_id", lead_name=second.number, pod_id="OLD")
    names = [ground.lead.number, second.number, "CRM-LEAD-2026-99999"]
    told = ground.told("ana", OPS + "bulk_insert_pod_id", doctype="CRM Lead", docnames=names, pod_id="POD-9")
    assert (told["updated"], told["skipped"], [each["name"] for each in told["failed"]]) == tuple(
        [name] for name in names
    )
    assert (ground.world.fresh(ground.lead).pod_id, ground.world.fresh(second).pod_id) == ("POD-9", "OLD")


def test_one_ticket_that_is_refused_stops_no_other(ground: Ground) -> None:
    second = ground.world.make.ticket("cleo", resolution="It was nothing", task={})
    names = [ground.ticket.number, second.number]
    told = ground.told("cleo", API + "ticket.bulk_close_tickets", names=names)
    assert (told["updated"], told["failed_count"]) == ([second.number], 1)
    assert "resolution" in told["failed"][0]["error"]
    closed = ground.world.ticket_status["Closed"]
    assert [ground.world.fresh(row).status_id == closed for row in (ground.ticket, second)] == [False, True]


def test_a_comment_resolves_or_becomes_a_note(ground: Ground) -> None:
    move, row = API + "ticket.update_ticket_status", ground.ticket
    ground.told("cleo", move, ticket=row.number, status="In Progress", comment="Called him")
    assert "Called him" in [line["text"] for line in notes(ground, row)]
    ground.told("cleo", move, ticket=row.number, status="Resolved", comment="Sent the form")
    assert ground.world.fresh(row).resolution == "Sent the form"


def notes(ground: Ground, row: Any) -> list[dict[str, Any]]:
    column = Activity.ticket_id if isinstance(row, Ticket) else Activity.lead_id
    found = ground.world.session.execute(select(Activity.payload).where(column == row.id, Activity.kind == "note"))
    return [payload for (payload,) in found]


def test_a_ticket_that_began_with_a_call_has_it(ground: Ground) -> None:
    doc = {"ticket_subjects": ["Re-KYC"], "call_log": str(ground.bare.id)}
    ground.world.make.cell("Sales User", "Tickets", "create", "own")
    ground.world.make.cell("Sales User", "Tickets", "read", "own")
    made = ground.told("ana", API + "ticket.create_ticket", doc=doc)
    call = ground.told("ana", "frappe.client.get", doctype="CRM Call Log", name=str(ground.bare.id))
    assert (call["reference_doctype"], call["reference_docname"]) == ("CRM Ticket", made["name"])


def test_what_a_customer_had_is_what_the_person_sees(ground: Ground) -> None:
    number = ground.customer.number
    for sent in ({"customer_id": number}, {"mobile_no": "098200 12345"}, {"email": "asha@example.com"}):
        told = ground.told("cleo", API + "ticket.get_customer_history", **sent)
        assert [each["name"] for each in told["tickets"]] == [ground.ticket.number]
        assert (told["summary"]["total_tickets"], told["summary"]["open_tickets"], told["leads"]) == (1, 1, [])
    assert ground.told("ben", API + "ticket.get_customer_history", mobile_no="9820012345")["tickets"] == []


# --- giving work


def test_a_role_serves_in_turn_and_says_when_nobody_is_left(ground: Ground) -> None:
    told = ground.told("mia", GIVE + "assign_to_role", lead_name=ground.lead.number, role_name="Sales User")
    assert (told["success"], told["assigned_user"]) == (True, "ben")
    alone = ground.told(
        "sam", API + "ticket.assign_ticket_to_role", ticket_name=ground.ticket.number, role_name="Support User"
    )
    assert (alone["success"], alone["all_assigned"]) == (False, True)
    for who in ("ana", "ben"):
        sent = {"lead_name": ground.lead.number, "role_name": "Sales User"}
        assert ground.ask(who, GIVE + "assign_to_role", sent).status_code == 403


def test_the_preview_moves_no_turn(ground: Ground) -> None:
    told = [ground.told("mia", GIVE + "preview_next_assignment", role_name="Sales User")["next_user"] for _ in range(2)]
    assert told[0] == told[1]


def test_a_rule_answers_softly_and_the_law_does_not(ground: Ground) -> None:
    asked = {"reference_doctype": "CRM Lead", "reference_name": ground.lead.number, "requested_user": "ben"}
    soft = ground.told("ana", ASKS + "create_assignment_request", **asked)
    assert (soft["success"], soft["error"]) == (False, "Please give a reason why this person should get the record.")
    assert ground.ask("ben", ASKS + "create_assignment_request", asked | {"reason": "r"}).status_code == 404
    assert ground.ask("rhea", ASKS + "create_assignment_request", asked | {"reason": "r"}).status_code == 403


def test_a_request_is_decided_once(ground: Ground) -> None:
    name = ground.request.number
    assert ground.told("mia", ASKS + "approve_assignment_request", name=name)["status"] == "Approved"
    again = ground.ask("root", ASKS + "reject_assignment_request", {"name": name, "reason": "late"})
    assert (again.status_code, again.get_json()["exc_type"]) == (409, "TimestampMismatchError")
    listed = ground.told("mia", ASKS + "get_assignment_requests", status="Approved")
    assert [each["name"] for each in listed] == [name]


# --- calls


def test_a_call_is_linked_and_set_free(ground: Ground) -> None:
    link = {"call_log": "device_1", "doctype": "CRM Customer", "docname": ground.customer.number}
    ground.told("ana", API + "call_log.link_call_log", **link)
    assert ground.world.fresh(ground.call).lead_id is None
    assert ground.world.fresh(ground.call).customer_id == ground.customer.id
    ground.told("ana", API + "call_log.delink_call_log", call_log=str(ground.call.id))
    assert ground.world.fresh(ground.call).customer_id is None


def test_notes_and_tasks_of_a_call_stand_on_its_lead(ground: Ground) -> None:
    note = {"title": "Asked", "content": "<p>for the form</p>"}
    ground.told("ana", "crm.integrations.api.add_note_to_call_log", call_sid="device_1", note=note)
    ground.told("ana", "crm.integrations.api.add_task_to_call_log", call_sid="device_1", task={"title": "Send it"})
    call = ground.told("ana", "crm.fcrm.doctype.crm_call_log.crm_call_log.get_call_log", name="device_1")
    assert [(each["title"], each["content"]) for each in call["_notes"]] == [("Asked", "for the form")]
    assert "Send it" in [each["title"] for each in call["_tasks"]]
    assert (call["_lead"], call["_ticket"]) == (ground.lead.number, None)


def test_a_lead_is_made_of_a_call(ground: Ground) -> None:
    make = "crm.fcrm.doctype.crm_call_log.crm_call_log.create_lead_from_call_log"
    number = ground.told("ana", make, call_log={"name": str(ground.bare.id)})
    lead = ground.told("ana", "frappe.client.get", doctype="CRM Lead", name=number)
    assert (lead["mobile_no"], lead["lead_owner"]) == ("+919820077777", "ana")
    assert ground.ask("ana", make, {"call_log": str(ground.bare.id)}).status_code == 417


# --- notices and the timeline


def test_the_bell_under_its_old_names(ground: Ground) -> None:
    told = ground.told("ana", API + "task_notifications.get_task_notifications")
    due = next(each for each in told if each["notification_type"] == "Due Date Reminder")
    assert (due["status"], due["task_title"], due["reference_docname"]) == ("Sent", "Call back", ground.lead.number)
    ground.told("ana", API + "task_notifications.mark_notification_read", notification_name=due["name"])
    other = ground.ask("ben", API + "task_notifications.mark_notification_read", {"notification_name": due["name"]})
    assert other.status_code == 404
    talk = ground.told("ana", API + "comment_notifications.get_comment_notifications")
    assert (talk["unread"], [each["notification_type"] for each in talk["notifications"]]) == (1, ["New Message"])
    ground.told("ana", API + "notifications.mark_as_read", user="ben")
    assert {each["read"] for each in ground.told("ana", API + "notifications.get_notifications")} == {1}


def test_a_quick_reply_is_a_note(ground: Ground) -> None:
    sent = {"reference_doctype": "CRM Lead", "reference_docname": ground.lead.number, "content": "<b>Yes</b>"}
    ground.told("ana", API + "comment_notifications.quick_reply", **sent)
    assert notes(ground, ground.lead)[-1]["text"] == "Yes"
    assert ground.ask("ben", API + "comment_notifications.quick_reply", sent).status_code == 404


def test_the_timeline_has_five_parts(ground: Ground) -> None:
    activities, calls, found, tasks, files = ground.told(
        "ana", API + "activities.get_activities", name=ground.lead.number
    )
    assert {"creation", "comment"} <= {each["activity_type"] for each in activities}
    assert [each["name"] for each in calls] == [str(ground.call.id)]
    assert [each["title"] for each in found] == ["Met"]
    assert (len(tasks), files) == (2, [])
    assert ground.ask("ben", API + "activities.get_activities", {"name": ground.lead.number}).status_code == 404


# --- lists and figures


def test_a_list_page_counts_and_names_its_columns(ground: Ground) -> None:
    told = ground.told(
        "ana",
        API + "doc.get_data",
        doctype="CRM Lead",
        filters={"assign_to": "@me"},
        default_filters={"status": "Junk", "assign_to": "ben"},
        page_length=1,
    )
    assert (told["total_count"], told["data"]) == (0, [])
    told = ground.told("ana", API + "doc.get_data", doctype="CRM Lead", filters={"creation": f"{NOW:%Y-%m-%d}"})
    assert [each["name"] for each in told["data"]] == [ground.lead.number]
    assert told["columns"][0]["key"] == "lead_name"


def test_whoever_does_not_see_numbers_cannot_filter_by_them(ground: Ground) -> None:
    names = [each["fieldname"] for each in ground.told("rhea", API + "doc.get_filterable_fields", doctype="CRM Lead")]
    assert "mobile_no" not in names and "status" in names


def test_search_finds_by_number_and_by_name(ground: Ground) -> None:
    for typed in ("98200 54321", "ravi", ground.lead.number):
        sections = ground.told("ana", API + "search.universal_search", query=typed)["sections"]
        assert ground.lead.number in [each["name"] for part in sections for each in part["results"]]
    assert ground.told("ben", API + "search.universal_search", query="98200 54321")["total"] == 0
    picked = ground.told("ana", "frappe.desk.search.search_link", doctype="CRM Lead", txt="Rav")
    assert picked == [{"value": ground.lead.number, "label": "Ravi Kumar", "description": "Ravi Kumar"}]


def test_the_figures_count_done_closed_and_activated(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.core.gate.now", lambda: NOW)
    session, cleo = ground.world.session, ground.world.people["cleo"].id
    row = session.merge(ground.ticket)
    tickets.change(session, row, {"status_id": ground.world.ticket_status["Closed"], "resolution": "x"}, cleo, NOW)
    for task in session.scalars(select(Task).where(Task.assignee_id == cleo)):
        task.status = "Done"
    session.commit()
    told = ground.told("root", API + "dashboard.get_user_dashboard_data", view="weekly", target_user_id="cleo")[
        "overview"
    ]
    assert (told["ticket_resolution_rate"], told["task_completion_rate"]) == (100.0, 100.0)
    ground.told(
        "ana",
        OPS + "update_lead_status_with_client_id",
        lead_name=ground.lead.number,
        client_id="Z1",
        status="Account Activated",
    )
    told = ground.told("mia", API + "dashboard.get_user_dashboard_data", target_user_id="ana")["overview"]
    assert (told["lead_conversion_rate"], told["account_activated"]) == (100.0, 1)


def test_a_week_has_seven_days_and_missed_calls_are_counted(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.core.gate.now", lambda: NOW)
    ground.world.make.call("ana", direction="Incoming", status="Missed Call", from_number="98200 11111", started_on=NOW)
    told = ground.told("mia", API + "dashboard.get_dashboard_data", view="weekly")
    assert (len(told["trends"]["labels"]), told["overview"]["missed_calls"], told["overview"]["total_leads"]) == (
        7,
        1,
        1,
    )
    assert sum(told["trends"]["leads"]) == 1


def test_figures_of_another_team_are_refused(ground: Ground) -> None:
    for who, whom in (("ana", "ben"), ("mia", "ben"), ("ana", "mia")):
        answer = ground.ask(who, API + "dashboard.get_user_dashboard_data", {"target_user_id": whom})
        assert answer.status_code == 403


def test_one_hears_what_one_may(ground: Ground) -> None:
    told = ground.told("rhea", API + "permissions.get_current_user_module_permissions")
    assert told == dict.fromkeys(told, "Read")
    assert ground.told("ana", API + "permissions.get_current_user_module_permissions")["Tickets"] == "None"
    assert len(ground.told("ana", API + "office_hours.get_office_hours")) == 7
