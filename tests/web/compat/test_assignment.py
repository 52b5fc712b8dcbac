"""Work given and taken in the old ways: one more, one less, whose turn it is; fields, talk and figures beside it."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain import assignment
from tests.web.compat.sample_calls import Ground

TO, GIVE, DOC = "frappe.desk.form.assign_to.", "crm.api.role_assignment.", "crm.api.doc."


def holders(ground: Ground, row: Any) -> list[str]:
    names = {colleague.id: name for name, colleague in ground.world.people.items()}
    found = assignment.current_assignees(ground.world.new_session(), ground.world.fresh(row))
    return [names[key] for key in found]


# --- one more, one less


def test_a_ticket_gets_one_more_and_a_lead_another_one(ground: Ground) -> None:
    told = ground.told("sam", TO + "add", doctype="CRM Ticket", name=ground.ticket.number, assign_to=["sam"])
    assert [each["owner"] for each in told] == ["cleo", "sam"]
    told = ground.told("mia", TO + "add", doctype="CRM Lead", name=ground.lead.number, assign_to='["mia"]')
    assert [each["owner"] for each in told] == ["mia"]
    sent = {"doctype": "CRM Lead", "name": ground.lead.number, "assign_to": ["ana", "mia"]}
    answer = ground.ask("mia", TO + "add", sent)
    assert answer.status_code == 417 and "one assignee" in answer.get_json()["message"]


def test_only_those_who_assign_give_to_others(ground: Ground) -> None:
    sent = {"doctype": "CRM Lead", "name": ground.lead.number, "assign_to": ["mia"]}
    for who, status in (("ana", 403), ("ben", 404), ("rhea", 403)):
        assert ground.ask(who, TO + "add", sent).status_code == status
    foreign = ground.ask("mia", TO + "add", sent | {"assign_to": ["ben"]})
    assert foreign.status_code == 403  # of another team
    assert ground.ask("mia", TO + "add", sent | {"assign_to": ["nobody"]}).status_code == 417


def test_many_get_one_more_each_for_itself(ground: Ground) -> None:
    names = [ground.ticket.number, ground.shared.number, "CRM-TICKET-2026-99999"]
    told = ground.told("sam", TO + "add_multiple", doctype="CRM Ticket", name=names, assign_to=["sam"])
    assert (told["updated"], told["skipped"], [each["name"] for each in told["failed"]]) == tuple(
        [name] for name in names
    )
    assert holders(ground, ground.ticket) == ["cleo", "sam"]


def test_who_helps_is_let_go_and_the_last_one_is_not(ground: Ground) -> None:
    remove, place = DOC + "remove_assignments", {"doctype": "CRM Ticket", "name": ground.shared.number}
    told = ground.told("sam", remove, **place, assignees='["cleo"]')
    assert (told["assigned_users"], holders(ground, ground.shared)) == (["sam"], ["sam"])
    assert ground.ask("sam", remove, place | {"assignees": ["cleo"]}).status_code == 404
    last = ground.ask("sam", remove, place | {"assignees": ["sam"]})
    assert last.status_code == 417 and "ssign it to someone else" in last.get_json()["message"]
    lead = {"doctype": "CRM Lead", "name": ground.lead.number, "assignees": ["ana"]}
    assert ground.ask("mia", remove, lead).status_code == 417


def test_nobody_can_be_taken_from_a_record_altogether(ground: Ground) -> None:
    names = [ground.ticket.number, ground.shared.number]
    told = ground.told("sam", TO + "remove_multiple", doctype="CRM Ticket", names=names)
    assert (told["success"], told["failed_count"]) == (False, 2)
    assert holders(ground, ground.shared) == ["sam", "cleo"]
    told = ground.told("sam", TO + "remove_multiple", doctype="CRM Ticket", names=names, assign_to="cleo")
    assert told["updated"] == [ground.shared.number]


@pytest.mark.parametrize(("how", "more"), [("assign_to_user", {"user_name": "mia"}), ("assign_to_role", {})])
def test_a_record_that_is_given_is_written_once(ground: Ground, how: str, more: dict[str, Any]) -> None:
    before = ground.world.fresh(ground.lead).version
    answer, counted = ground.cost("mia", GIVE + how, {"lead_name": ground.lead.number, "role": "Sales User"} | more)
    assert answer.status_code == 200 and answer.get_json()["message"]["success"]
    assert len([each for each in counted if each.startswith("UPDATE leads")]) == 1
    assert ground.world.fresh(ground.lead).version == before + 1


# --- turns


def test_the_line_of_a_role_says_who_comes_next(ground: Ground) -> None:
    told = ground.told("mia", GIVE + "get_role_assignment_status", role_name="Sales User")
    assert (told["users"], told["last_user"]) == (["ana", "ben"], None)
    assert told["next_user"] == "ana"
    ground.told("mia", GIVE + "assign_to_role", lead_name=ground.lead.number, role_name="Sales User")
    told = ground.told("mia", GIVE + "get_role_assignment_status", role_name="Sales User")
    assert (told["last_user"], told["next_user"]) == ("ben", "ana")
    assert ground.ask("ana", GIVE + "get_role_assignment_status", {"role_name": "Sales User"}).status_code == 403


def test_whether_all_of_a_role_have_it(ground: Ground) -> None:
    place = {"doc_name": ground.ticket.number, "doctype": "CRM Ticket"}
    one = ground.told("cleo", GIVE + "check_all_role_users_assigned", **place, role_name="Support User")
    assert (one["all_assigned"], one["assigned_users"], one["eligible_users"]) == (True, ["cleo"], [])
    roles = ["Support User", "Support Manager"]
    told = ground.told("cleo", GIVE + "get_roles_all_assigned_status", **place, roles=roles)
    assert {role: each["all_assigned"] for role, each in told.items()} == {"Support User": True, roles[1]: False}
    wrong = ground.ask("cleo", GIVE + "get_roles_all_assigned_status", place | {"roles": ["Boss"]})
    assert wrong.status_code == 417 and "Boss" in wrong.get_json()["message"]
    assert ground.ask("ana", GIVE + "check_all_role_users_assigned", place | {"role_name": "x"}).status_code == 403


# --- fields


def test_a_list_is_sorted_by_what_is_offered(ground: Ground) -> None:
    for doctype, who in (("CRM Lead", "ana"), ("CRM Ticket", "cleo"), ("CRM Task", "ana"), ("FCRM Note", "ana")):
        offered = [each["value"] for each in ground.told(who, DOC + "sort_options", doctype=doctype)]
        assert {"name", "creation"} <= set(offered)
        for name in offered:
            ground.told(who, DOC + "get_data", doctype=doctype, order_by=f"{name} desc")
    masked = [each["value"] for each in ground.told("rhea", DOC + "sort_options", doctype="CRM Lead")]
    assert "mobile_no" not in masked


def test_fields_are_offered_by_what_they_are_good_for(ground: Ground) -> None:
    groups = [each["fieldname"] for each in ground.told("ana", DOC + "get_group_by_fields", doctype="CRM Lead")]
    assert {"status", "assign_to"} <= set(groups) and not {"first_name", "creation", "mobile_no"} & set(groups)
    quick = ground.told("ana", DOC + "get_quick_filters", doctype="CRM Lead")
    assert [each["fieldname"] for each in quick] == ["status", "assign_to", "source"]
    assert "Account Opened" in quick[0]["options"]
    assert ground.told("ana", DOC + "get_quick_filters", doctype="FCRM Note") == []


def test_all_fields_as_a_list_and_by_name(ground: Ground) -> None:
    fields = ground.told("ana", DOC + "get_fields", doctype="CRM Lead")
    by_name = ground.told("ana", DOC + "get_fields_meta", doctype="CRM Lead")
    assert (
        list(by_name.values()) == fields == ground.told("ana", DOC + "get_fields_meta", doctype="CRM Lead", as_array=1)
    )
    assert by_name["status"]["fieldtype"] == "Link"
    assert ground.ask("ana", DOC + "get_fields", {"doctype": "CRM Ticket"}).status_code == 403


# --- talk and figures


def test_a_comment_is_a_note(ground: Ground) -> None:
    sent = {"reference_doctype": "CRM Lead", "reference_name": ground.lead.number, "content": "<p>Call <b>him</b></p>"}
    told = ground.told("ana", "frappe.desk.form.utils.add_comment", **sent, comment_by="Ben", comment_email="ben")
    assert (told["content"], told["owner"], told["comment_type"]) == ("Call him", "ana", "Comment")
    assert told["reference_docname"] == ground.lead.number
    assert ground.ask("ben", "frappe.desk.form.utils.add_comment", sent).status_code == 404


def test_all_talk_is_read_and_reminders_are_not(ground: Ground) -> None:
    talk = "crm.api.comment_notifications."
    assert ground.told("ana", talk + "mark_all_comment_notifications_read")["count"] == 1
    assert ground.told("ana", talk + "mark_all_comment_notifications_read")["count"] == 0
    left = ground.told("ana", "crm.api.notifications.get_notifications")
    assert {each["type"]: each["read"] for each in left}["Due Date Reminder"] == 0


def test_figures_are_offered_of_those_whose_one_may_see(ground: Ground) -> None:
    names = {
        who: [each["name"] for each in ground.told(who, "crm.api.dashboard.get_available_users")]
        for who in ("ana", "mia", "root")
    }
    assert (names["ana"], names["mia"]) == (["ana"], ["ana", "mia"]) and "cleo" in names["root"]
    assert ground.told("mia", "crm.api.dashboard.get_user_roles", target_user_id="ana") == ["Sales User"]
    assert ground.told("ana", "crm.api.dashboard.get_user_roles") == ["Sales User"]
    assert ground.ask("ana", "crm.api.dashboard.get_user_roles", {"target_user_id": "ben"}).status_code == 403
