"""A resolved ticket closes its "Handle ticket" task everywhere unless the person declines; so does a follow-up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import select

from app.models import LeadStatus, Task, TicketStatus
from tests.app_fixtures import Crm
from tests.cases import each_case


def resolved(crm: Crm) -> int:
    return crm.session.scalars(select(TicketStatus.id).where(TicketStatus.meaning == "resolved")).one()


def by_button(crm: Crm, ticket: Any, chosen: Any) -> None:
    form = {"status": resolved(crm), "resolution": "Done"}
    form |= {} if chosen is None else {"offered_tasks": "1", "close_tasks": chosen}
    assert crm.client("cleo").form(f"/tickets/move/{ticket.id}", form).status_code == 302


def by_edit_form(crm: Crm, ticket: Any, chosen: Any) -> None:
    subjects = [subject.id for subject in ticket.subjects]
    form = {"status": resolved(crm), "resolution": "Done", "version": ticket.version, "subjects": subjects}
    assert crm.client("cleo").form(f"/tickets/edit/{ticket.id}", form).status_code == 302


def by_bulk(crm: Crm, ticket: Any, chosen: Any) -> None:
    crm.session.get_one(type(ticket), ticket.id).resolution = "Done"
    crm.session.commit()
    form = {"action": "status", "status": resolved(crm), "rowid": [ticket.id]}
    assert crm.client("root").form("/tickets/action_post", form).status_code == 302


def by_rest(crm: Crm, ticket: Any, chosen: Any) -> None:
    body = {"status": "Resolved", "resolution": "Done"} | ({} if chosen is None else {"close_tasks": chosen})
    assert crm.client("cleo").rest("PUT", f"ticket/{ticket.id}", body).status_code == 200


def by_old_method(crm: Crm, ticket: Any, chosen: Any) -> None:
    body = {"ticket": ticket.number, "status": "Resolved", "comment": "Done"}
    body |= {} if chosen is None else {"close_tasks": chosen}
    answer = crm.client("cleo").rest("POST", "/api/method/crm.api.ticket.update_ticket_status", body)
    assert answer.status_code == 200, answer.text


def by_old_document(crm: Crm, ticket: Any, chosen: Any) -> None:
    fields = {"status": "Resolved", "resolution": "Done"}
    body = {"doctype": "CRM Ticket", "name": ticket.number, "fieldname": fields}
    answer = crm.client("cleo").rest("POST", "/api/method/frappe.client.set_value", body)
    assert answer.status_code == 200, answer.text


ENDPOINTS = [by_button, by_edit_form, by_bulk, by_rest, by_old_method, by_old_document]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_resolved_ticket_has_nothing_to_handle(crm: Crm, endpoint: Any) -> None:
    ticket = crm.make.ticket("cleo")
    (task,) = crm.rows(select(Task).where(Task.ticket_id == ticket.id))
    assert task.title.startswith("Handle ticket: ")
    endpoint(crm, ticket, None)
    assert crm.stored(task)["status"] == "Done"


@pytest.mark.parametrize("endpoint", [by_button, by_rest, by_old_method])
def test_one_can_choose_otherwise(crm: Crm, endpoint: Any) -> None:
    ticket = crm.make.ticket("cleo")
    (task,) = crm.rows(select(Task).where(Task.ticket_id == ticket.id))
    endpoint(crm, ticket, [])
    assert crm.stored(task)["status"] == "Todo"


def test_the_page_offers_it_chosen(crm: Crm) -> None:
    ticket = crm.make.ticket("cleo")
    (task,) = crm.rows(select(Task).where(Task.ticket_id == ticket.id))
    address = f"/tickets/move/{ticket.id}?status={crm.ticket_status['Resolved']}&version={ticket.version}"
    page = unescape(crm.client("cleo").screen(f"/tickets/{ticket.number}").text)
    assert page.count(f'data-dialog-url="{address}"') == 2  # of the menu and of the button “Resolve”
    dialog = unescape(crm.client("cleo").screen(address, headers={"HX-Request": "true"}).text)
    assert f'name="close_tasks" value="{task.id}" checked' in dialog and dialog.lstrip().startswith("<dialog")
    assert f'name="close_tasks" value="{task.id}" checked' in crm.client("cleo").screen(address).text


def test_a_status_that_asks_for_nothing_has_no_form(crm: Crm) -> None:
    lead, statuses = crm.make.lead("ana"), crm.lead_status
    for status in (statuses["Contacted"], 0, 10**12, "x", ""):
        assert crm.client("ana").screen(f"/leads/move/{lead.id}?status={status}").status_code == 404, status
    address = f"/leads/move/{lead.id}?status={statuses['Sent to HO']}"
    assert 'name="pod_id"' in crm.client("ana").screen(address).text
    assert crm.client("ben").screen(address).status_code == 404
    assert crm.client("ana").screen(f"{address}&version=x").status_code == 400


# --- a follow-up


def called(crm: Crm) -> tuple[Any, Any]:
    """(call with a lead, the lead's task of today)."""
    lead = crm.make.lead("ana", task={})
    call = crm.make.call("ana", lead_id=lead.id)
    task = crm.make.task(lead, due_on=datetime.now(UTC) - timedelta(minutes=5))
    return call, task


def follow_up() -> str:
    return (datetime.now(UTC) + timedelta(days=3)).isoformat()


def log_by_form(crm: Crm, call: Any, chosen: Any) -> int:
    form = {"outcome": "Interested", "when": "1h"}
    form |= {} if chosen is None else {"offered_tasks": "1", "close_tasks": chosen}
    return crm.client("ana").form(f"/calls/outcome/{call.id}", form).status_code


def log_by_rest(crm: Crm, call: Any, chosen: Any) -> int:
    body = {"outcome": "Interested", "follow_up_on": follow_up()} | ({} if chosen is None else {"close_tasks": chosen})
    return crm.client("ana").rest("POST", f"call_log/{call.id}/outcome", body).status_code


@pytest.mark.parametrize("log, good", [(log_by_form, 302), (log_by_rest, 200)])
@pytest.mark.parametrize("chosen, state", [(None, "Done"), ([], "Todo")])
def test_the_next_follow_up_replaces_that_of_today(crm: Crm, log: Any, good: int, chosen: Any, state: str) -> None:
    call, task = called(crm)
    assert log(crm, call, chosen) == good
    assert crm.stored(task)["status"] == state
    assert crm.count(Task) == 2


@pytest.mark.parametrize("log, good", [(log_by_form, 302), (log_by_rest, 200)])
@pytest.mark.parametrize("is_replaced", [True, False])
def test_the_next_follow_up_of_a_lead_moves_with_the_task_that_it_was(
    crm: Crm, log: Any, good: int, is_replaced: bool
) -> None:
    due = datetime.now(UTC) + timedelta(minutes=5)
    lead = crm.make.lead("ana", task={}, next_follow_up_on=due)
    call = crm.make.call("ana", lead_id=lead.id)
    task = crm.make.task(lead, due_on=due)
    assert log(crm, call, [task.id] if is_replaced else []) == good
    newest = crm.rows(select(Task.due_on).order_by(Task.id.desc()))[0]
    assert crm.stored(lead)["next_follow_up_on"] == (newest if is_replaced else due)


def test_the_dialog_offers_what_it_replaces(crm: Crm) -> None:
    call, task = called(crm)
    page = unescape(crm.client("ana").screen(f"/calls/outcome/{call.id}").text)
    assert f'name="close_tasks" value="{task.id}" checked' in page


WRONG = [
    ({}, "outcome"),
    ({"outcome": "x", "follow_up_on": "yesterday"}, "follow_up_on"),
    ({"outcome": "x", "follow_up_on": "2001-01-01T10:00Z"}, "follow_up_on"),
    ({"outcome": "x", "cold": "perhaps"}, "cold"),
    ({"outcome": "x", "close_tasks": "all"}, "close_tasks"),
    ({"outcome": "x", "follow_up_on": "2099-01-01T10:00Z", "close_tasks": [987654]}, "close_tasks"),
    ({"outcome": "x", "followup": "2099-01-01"}, "followup"),
    ({"outcome": ["x"]}, "outcome"),
]


@each_case("body, field", WRONG)
def test_a_wrong_outcome_over_rest_changes_nothing(crm: Crm, body: Any, field: str) -> None:
    call, task = called(crm)
    before = crm.stored(call)
    answer = crm.client("ana").rest("POST", f"call_log/{call.id}/outcome", body)
    assert answer.status_code == 422 and field in answer.get_json()["errors"], answer.text
    assert crm.stored(call) == before and crm.stored(task)["status"] == "Todo"


def test_another_person_logs_no_outcome_over_rest(crm: Crm) -> None:
    call, _task = called(crm)
    assert crm.client("cleo").rest("POST", f"call_log/{call.id}/outcome", {"outcome": "x"}).status_code in (403, 404)


# --- a lead that gets the status of a scheduled follow-up


def test_a_scheduled_follow_up_offers_what_it_replaces(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={})
    today = crm.make.task(lead, due_on=datetime.now(UTC) - timedelta(minutes=5))
    later = crm.make.task(lead, due_on=datetime.now(UTC) + timedelta(days=5))
    address = f"/leads/move/{lead.id}?status={crm.lead_status['Follow-up Scheduled']}"
    page = unescape(crm.client("ana").screen(address).text)
    assert f'name="close_tasks" value="{today.id}" checked' in page
    # What a colleague has to do is offered, but not chosen
    of_mia = crm.make.task(lead, due_on=datetime.now(UTC) - timedelta(minutes=5), assignee_id=crm.id_of("mia"))
    page = unescape(crm.client("ana").screen(address).text)
    assert f'name="close_tasks" value="{of_mia.id}" checked' not in page
    assert f'name="close_tasks" value="{later.id}"' in page
    assert f'name="close_tasks" value="{later.id}" checked' not in page


def test_the_new_follow_up_is_the_open_one(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={})
    old = crm.make.task(lead, due_on=datetime.now(UTC) - timedelta(minutes=5))
    scheduled = crm.session.scalars(select(LeadStatus.id).where(LeadStatus.meaning == "scheduled")).one()
    form = {"status": scheduled, "task_title": "Visit", "task_due_on": "2099-01-01T10:00"}
    form |= {"offered_tasks": "1", "close_tasks": [old.id]}
    assert crm.client("ana").form(f"/leads/move/{lead.id}", form).status_code == 302
    assert crm.stored(old)["status"] == "Done"
    open_titles = [task.title for task in crm.rows(select(Task).where(Task.status == "Todo", Task.title == "Visit"))]
    assert open_titles == ["Visit"]
