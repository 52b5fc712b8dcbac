"""Lifecycles through the endpoints: each status has its conditions, the same for REST and pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select

from app.domain.change_context import ChangeContext
from app.domain.customer_rights import ALL_RIGHTS
from app.domain.merging import record_merge
from app.domain.merging.record_merge import MergeRequest
from app.models import Activity, Assignment, Customer, CustomerAccount, Lead, Notification, StatusChange, Task, Ticket
from tests.app_fixtures import Crm, UserClient


def over_rest(client: UserClient, kind: str, row: Any, **values: Any) -> tuple[int, list[str]]:
    answer = client.rest("PUT", f"{kind}/{row.id}", values)
    return answer.status_code, list(answer.get_json().get("errors", {}))


def move(crm: Crm, who: str, row: Any, label: str, **values: Any) -> Any:
    """By the button of the record's page."""
    kind, statuses = ("leads", crm.lead_status) if isinstance(row, Lead) else ("tickets", crm.ticket_status)
    return crm.client(who).form(f"/{kind}/move/{row.id}", {"status": statuses[label], **values})


GATES = [
    ("Account Opened", "client_id", "c1001"),
    ("Account Activated", "client_id", "C1001"),
    ("Sent to HO", "pod_id", "POD1"),
    ("Rejected - Follow-up Required", "rejection_reason", "No documents"),
    ("Follow-up Scheduled", "task", {"title": "Call", "due_on": "2030-01-01T10:00+05:30"}),
]


@pytest.mark.parametrize("label, field, value", GATES)
def test_a_gate_asks_for_its_field(crm: Crm, label: str, field: str, value: Any) -> None:
    lead, ana = crm.make.lead("ana", task={}), crm.client("ana")
    before = crm.stored(lead)
    assert over_rest(ana, "lead", lead, status=label) == (422, [field])
    move(crm, "ana", lead, label)
    assert crm.stored(lead) == before and crm.count(CustomerAccount) == 0
    assert over_rest(ana, "lead", lead, status=label, **{field: value}) == (200, [])
    assert crm.stored(lead)["status_id"] == crm.lead_status[label]


@pytest.mark.parametrize("label, field, value", [gate for gate in GATES if gate[1] != "task"])
def test_the_button_goes_through_the_same_gate(crm: Crm, label: str, field: str, value: str) -> None:
    lead = crm.make.lead("ana", task={})
    assert move(crm, "ana", lead, label, **{field: value}).status_code == 302
    after = crm.stored(lead)
    assert (after["status_id"], after[field].upper()) == (crm.lead_status[label], value.upper())


def test_a_follow_up_is_scheduled_with_a_task_and_completed_with_it(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={})
    move(crm, "ana", lead, "Follow-up Scheduled", task_title="Visit", task_due_on="2030-01-01T10:00")
    (task,) = crm.rows(select(Task).where(Task.lead_id == lead.id))
    assert (task.title, task.due_on) == ("Visit", datetime(2030, 1, 1, 4, 30, tzinfo=UTC))
    assert over_rest(crm.client("ana"), "lead", lead, status="Follow-up Complete", close_tasks=[task.id])[0] == 200
    assert crm.stored(task)["status"] == "Done"


def test_a_follow_up_closes_no_task_of_another_lead(crm: Crm) -> None:
    lead, other = crm.make.lead("ana"), crm.make.task(crm.make.lead("ana", task={}))
    over_rest(crm.client("ana"), "lead", lead, status="Follow-up Complete", close_tasks=[other.id])
    assert crm.stored(other)["status"] == "Todo"


def test_a_client_id_belongs_to_one_customer_whoever_sees_it(crm: Crm) -> None:
    first, second = crm.make.lead("ana"), crm.make.lead("ben")
    assert over_rest(crm.client("ana"), "lead", first, status="Account Opened", client_id="C1")[0] == 200
    before = crm.stored(second)
    answer = crm.client("ben").rest("PUT", f"lead/{second.id}", {"status": "Account Opened", "client_id": " c1 "})
    assert answer.status_code == 422 and "already belongs to another customer" in answer.get_json()["message"]
    assert crm.stored(second) == before and crm.count(CustomerAccount) == 1


def test_an_account_keeps_its_two_moments(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    over_rest(ana, "lead", lead, status="Account Opened", client_id="C1")
    over_rest(ana, "lead", lead, status="Account Activated")
    (account,) = crm.rows(select(CustomerAccount))
    assert (account.client_id, account.lead_id) == ("C1", lead.id)
    assert account.opened_on <= account.activated_on
    assert crm.stored(lead)["customer_id"] == account.customer_id


@pytest.mark.parametrize(
    "label", ["Account Activated", "Unqualified", "Junk", "Lead Expired", "Lead Expired (Account Opened)"]
)
@pytest.mark.parametrize("who, code", [("ana", 422), ("mia", 200), ("root", 200)])
def test_only_managers_reopen_what_has_ended(crm: Crm, label: str, who: str, code: int) -> None:
    lead = crm.make.lead("ana", status=label, client_id="C1") if label != "Account Activated" else _activated(crm)
    assert over_rest(crm.client(who), "lead", lead, status="Contacted")[0] == code
    assert crm.stored(lead)["status_id"] == crm.lead_status[label if code == 422 else "Contacted"]


def test_only_managers_are_offered_to_reopen_what_has_ended(crm: Crm) -> None:
    lead = crm.make.lead("ana", status="Junk")
    for who, is_offered in (("ana", False), ("mia", True), ("root", True)):
        page = crm.client(who).screen(f"/leads/{lead.number}").text
        assert ("status-button" in page, f"/leads/edit/{lead.id}#f-status" in page) == (is_offered, is_offered), who
        assert "Junk" in page and "#f-source" in page


def _activated(crm: Crm) -> Any:
    lead = crm.make.lead("ana")
    assert over_rest(crm.client("ana"), "lead", lead, status="Account Activated", client_id="C1")[0] == 200
    return lead


def test_a_lead_is_converted_once_however_often_one_asks(crm: Crm) -> None:
    lead = _activated(crm)
    call = crm.make.call("ana", lead_id=lead.id)
    for _ in range(2):
        answer = crm.client("ana").form(f"/leads/convert/{lead.id}")
        assert answer.status_code == 302 and "/customers/CRM-CUST-" in answer.location
    (customer,) = crm.rows(select(Customer))
    assert crm.stored(call)["customer_id"] == customer.id
    told = [line.payload.get("what") for line in crm.rows(select(Activity).where(Activity.kind == "system"))]
    assert told.count("converted") == 1


def test_an_unfinished_lead_is_not_converted(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    before = crm.stored(lead)
    crm.client("ana").form(f"/leads/convert/{lead.id}")
    assert crm.stored(lead) == before and crm.count(Customer) == 0


def test_a_converted_leads_lines_are_in_the_customers_view(crm: Crm) -> None:
    lead = _activated(crm)
    ana = crm.client("ana")
    ana.form(f"/leads/note/{lead.id}", {"body": "Likes futures"})
    ana.form(f"/leads/convert/{lead.id}")
    (customer,) = crm.rows(select(Customer))
    crm.make.ticket("cleo", customer_id=customer.id)
    assert "Likes futures" in crm.client("cleo").screen(f"/customers/show/{customer.id}").text


@pytest.mark.parametrize("who, undone", [("ana", False), ("max", False), ("mia", True), ("root", True)])
def test_a_conversion_is_undone_by_managers_of_the_lead(crm: Crm, who: str, undone: bool) -> None:
    lead = _activated(crm)
    crm.client("ana").form(f"/leads/convert/{lead.id}")
    link = f"/leads/unconvert/{lead.id}"
    assert (link in crm.client(who).screen(f"/leads/show/{lead.id}").text) is undone
    assert (crm.client(who).form(link).status_code == 302) is undone
    assert (crm.stored(lead)["converted_on"] is None) is undone


def test_an_undone_conversion_takes_back_what_it_gave_to_the_customer(crm: Crm) -> None:
    """What was written before the lead had a customer is the lead's alone again; the rest stays."""
    lead = crm.make.lead("ana")
    ana = crm.client("ana")
    ana.form(f"/leads/note/{lead.id}", {"body": "Likes futures"})
    call = crm.make.call("ana", lead_id=lead.id)
    over_rest(ana, "lead", lead, status="Account Activated", client_id="C1")
    (customer,) = crm.rows(select(Customer))
    theirs = select(Activity.id).where(Activity.customer_id == customer.id).order_by(Activity.id)
    before, called = crm.rows(theirs), crm.stored(call)["customer_id"]
    crm.make.ticket("cleo", customer_id=customer.id)
    page, tickets = f"/customers/show/{customer.id}", len(crm.rows(theirs)) - len(before)
    for _ in range(2):  # converted again after the undo
        ana.form(f"/leads/convert/{lead.id}")
        assert "Likes futures" in crm.client("cleo").screen(page).text
        assert crm.stored(call)["customer_id"] == customer.id
        assert crm.client("mia").form(f"/leads/unconvert/{lead.id}").status_code == 302
        assert "Likes futures" not in crm.client("cleo").screen(page).text
        assert crm.stored(call)["customer_id"] == called
    assert set(before) <= set(crm.rows(theirs)) and tickets
    assert crm.stored(lead)["customer_id"] == customer.id


@pytest.mark.parametrize("is_merged", [True, False])
def test_a_conversion_is_undone_although_a_former_customer_is_gone(crm: Crm, is_merged: bool) -> None:
    """What they had goes to the customer into whom they were merged, or to nobody."""
    former, kept = crm.make.customer("ana"), crm.make.customer("ana")
    lead = crm.make.lead("ana")
    call = crm.make.call("ana", lead_id=lead.id, customer_id=former.id)
    over_rest(crm.client("ana"), "lead", lead, status="Account Activated", client_id="C1")
    crm.client("ana").form(f"/leads/convert/{lead.id}")
    assert crm.stored(call)["customer_id"] == crm.stored(lead)["customer_id"] != former.id
    if is_merged:
        context = ChangeContext(crm.id_of("root"), datetime.now(UTC), vault=crm.vault, customer_rights=ALL_RIGHTS)
        record_merge.merge(crm.session, MergeRequest(Customer, (kept.id, former.id), {}), context)
    else:
        crm.session.execute(delete(Customer).where(Customer.id == former.id))
    crm.session.commit()
    crm.client("mia").form(f"/leads/unconvert/{lead.id}")
    assert crm.stored(lead)["converted_on"] is None
    assert crm.stored(call)["customer_id"] == (kept.id if is_merged else None)


def test_every_move_is_logged_with_the_seconds_spent(crm: Crm) -> None:
    lead = crm.make.lead("ana", at=datetime.now(UTC) - timedelta(hours=2))
    over_rest(crm.client("ana"), "lead", lead, status="Contacted")
    move(crm, "ana", lead, "Qualified")
    rows = crm.rows(select(StatusChange).where(StatusChange.lead_id == lead.id).order_by(StatusChange.id))
    labels = {key: label for label, key in crm.lead_status.items()}
    assert [(labels.get(row.from_id), labels[row.to_id]) for row in rows] == [
        (None, "New"),
        ("New", "Contacted"),
        ("Contacted", "Qualified"),
    ]
    assert 7190 < rows[1].seconds < 7300 and rows[2].seconds < 60 and rows[0].seconds is None
    assert crm.count(Activity, Activity.kind == "status_change") == 2
    assert {row.by_id for row in rows[1:]} == {crm.people["ana"].id}


# --- a new lead


@pytest.mark.parametrize(
    "typed", ["9820012345", "+91 98200-12345", "09820012345", "98200 12345", "00919820012345", "919820012345"]
)
@pytest.mark.parametrize("owner, is_linked", [("ana", True), ("ben", False)])
def test_a_known_number_finds_a_customer_whom_the_person_sees(
    crm: Crm, typed: str, owner: str, is_linked: bool
) -> None:
    customer = crm.make.customer(owner, mobile="98200 12345")
    before = crm.stored(customer)
    answer = crm.client("ana").rest("POST", "lead/", {"first_name": "Asha", "mobile": typed})
    card = answer.get_json()["result"]["customer"]
    assert answer.status_code == 201 and (card["id"] == customer.id if is_linked else card is None)
    assert crm.stored(customer) == before and crm.count(Customer) == 1


def test_what_differs_from_the_known_customer_is_proposed_not_written(crm: Crm) -> None:
    customer = crm.make.customer("ana", mobile="98200 12345", email="old@example.in", first_name="Asha")
    values = {"first_name": "Usha", "mobile": "9820012345", "email": "new@example.in"}
    lead = crm.client("ana").rest("POST", "lead/", values).get_json()
    (line,) = crm.rows(select(Activity).where(Activity.kind == "proposal"))
    assert line.lead_id == lead["id"]
    assert line.payload["changes"] == [["first_name", "Asha", "Usha"], ["email", "old@example.in", "new@example.in"]]
    assert crm.stored(customer)["email"] == lead["result"]["email"] == "old@example.in"
    page = crm.client("ana").screen(f"/leads/{lead['result']['number']}").text
    assert "<span>old@example.in</span>" in page and "<del>" not in page, "the customer's values still count"


def test_a_new_lead_comes_with_all_that_belongs_to_it(crm: Crm) -> None:
    values = {
        "first_name": "Ravi",
        "mobile": "9820099999",
        "assign_to": "ana",
        "task": {"title": "Visit him", "priority": "High", "due_on": "2030-01-01T10:00+05:30"},
    }
    made = crm.client("mia").rest("POST", "lead/", values)
    (lead,), (task,), (first,) = (crm.rows(select(record)) for record in (Lead, Task, Assignment))
    ana, mia = crm.people["ana"].id, crm.people["mia"].id
    assert made.status_code == 201 and lead.number == f"CRM-LEAD-{lead.created_on.year}-00001"
    assert (lead.assignee_id, lead.owner_id, lead.created_by_id) == (ana, mia, mia)
    assert (task.title, task.priority, task.assignee_id, task.lead_id) == ("Visit him", "High", ana, lead.id)
    assert (first.user_id, first.reason, first.by_id, first.ended_on) == (ana, "direct", mia, None)
    assert lead.reply_due_on > lead.created_on and lead.next_follow_up_on == task.due_on
    assert [(n.user_id, n.kind) for n in crm.rows(select(Notification))] == [(ana, "assigned")]


def test_who_takes_a_lead_for_himself_is_not_told_of_it(crm: Crm) -> None:
    crm.client("ana").rest("POST", "lead/", {"first_name": "Ravi"})
    assert crm.count(Notification) == 0 and crm.count(Task) == 1


def test_a_role_gets_its_leads_in_turn(crm: Crm) -> None:
    given = [
        crm.client("root").rest("POST", "lead/", {"first_name": f"L{n}", "assign_to_role": "Sales User"})
        for n in range(4)
    ]
    people = [answer.get_json()["result"]["assignee"]["username"] for answer in given]
    assert people == ["ana", "ben", "ana", "ben"]


def test_a_form_and_rest_make_the_same_lead(crm: Crm) -> None:
    values = {"first_name": "Ravi", "mobile": "9820011122", "category": "Indirect", "description": "Met at the fair"}
    crm.client("ana").form("/leads/add", values)
    crm.client("ana").rest("POST", "lead/", values)
    one, two = (crm.stored(lead) for lead in crm.rows(select(Lead)))
    moments = {
        "id",
        "number",
        "created_on",
        "changed_on",
        "status_on",
        "reply_due_on",
        "next_follow_up_on",
        "sla_on",
        "sla_started_on",
    }
    assert {k: v for k, v in one.items() if k not in moments} == {k: v for k, v in two.items() if k not in moments}


def test_a_customer_cannot_refer_himself(crm: Crm) -> None:
    lead = _activated(crm)
    values = {
        "first_name": "Again",
        "mobile": crm.stored(crm.rows(select(Customer))[0])["mobile"],
        "referral": "C1",
    }
    answer = crm.client("ana").rest("POST", "lead/", values)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["referral"])
    # Whoever doesn't see the customer can't find out by a refusal whose number it is.
    assert crm.client("ben").rest("POST", "lead/", values | {"first_name": "Ben"}).status_code == 201
    crm.session.execute(delete(Lead).where(Lead.first_name == "Ben"))
    crm.session.commit()
    assert crm.count(Lead) == 1 and lead


def test_a_second_customer_with_the_same_number_is_refused_whoever_sees_the_first(crm: Crm) -> None:
    crm.make.customer("ana", mobile="9820012345")
    answer = crm.client("cleo").rest("POST", "customer/", {"first_name": "Asha", "mobile": "+91 98200 12345"})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["mobile"])
    assert crm.count(Customer) == 1


# --- tickets


@pytest.mark.parametrize("label", ["Resolved", "Closed"])
def test_a_ticket_is_resolved_with_a_text_only(crm: Crm, label: str) -> None:
    ticket, cleo = crm.make.ticket("cleo"), crm.client("cleo")
    before = crm.stored(ticket)
    assert over_rest(cleo, "ticket", ticket, status=label) == (422, ["resolution"])
    move(crm, "cleo", ticket, label)
    assert crm.stored(ticket) == before
    move(crm, "cleo", ticket, label, resolution="Sent the form")
    after = crm.stored(ticket)
    assert (after["resolution"], after["resolve_due_on"]) == ("Sent the form", None) and after["resolved_on"]


def test_a_reopened_ticket_keeps_its_history_and_owes_again(crm: Crm) -> None:
    ticket, cleo = crm.make.ticket("cleo"), crm.client("cleo")
    over_rest(cleo, "ticket", ticket, status="Resolved", resolution="Done so")
    assert over_rest(cleo, "ticket", ticket, status="Open")[0] == 200
    after = crm.stored(ticket)
    assert (after["resolution"], after["resolved_on"]) == ("Done so", None) and after["resolve_due_on"]
    assert crm.count(StatusChange, StatusChange.ticket_id == ticket.id) == 3


def test_a_ticket_of_a_known_number_finds_a_customer_whom_the_person_sees(crm: Crm) -> None:
    customer = crm.make.customer("cleo", mobile="9820012345")
    values = {"subjects": ["Re-KYC"], "mobile": "+91 98200-12345", "first_name": "Somebody"}
    answer = crm.client("cleo").rest("POST", "ticket/", values)
    assert answer.status_code == 201 and answer.get_json()["result"]["customer"]["id"] == customer.id
    assert crm.count(Customer) == 1


def test_a_ticket_of_a_new_number_makes_the_customer(crm: Crm) -> None:
    values = {"subjects": ["Re-KYC", "DP charges"], "mobile": "9820012345", "first_name": "Asha", "priority": "Urgent"}
    assert crm.client("cleo").rest("POST", "ticket/", values).status_code == 201
    (ticket,), (customer,), (task,) = (crm.rows(select(record)) for record in (Ticket, Customer, Task))
    assert (ticket.title, ticket.customer_id, customer.source) == ("Re-KYC, DP charges", customer.id, "Ticket")
    assert task.priority == "High" and ticket.reply_due_on < ticket.resolve_due_on


# --- assigning


def test_a_lead_handed_on_tells_both_and_keeps_the_stretch(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    answer = crm.client("root").rest("POST", f"lead/{lead.id}/assign", {"assign_to": "ben"})
    assert answer.get_json()["result"]["assignee"]["username"] == "ben"
    rows = crm.rows(select(Assignment).order_by(Assignment.id))
    assert [(row.user_id, row.ended_on is None) for row in rows] == [
        (crm.people["ana"].id, False),
        (crm.people["ben"].id, True),
    ]
    told = {(n.user_id, n.kind) for n in crm.rows(select(Notification))}
    assert told == {(crm.people["ben"].id, "assigned"), (crm.people["ana"].id, "unassigned")}


def test_nothing_is_given_to_somebody_on_leave(crm: Crm, stored: Any) -> None:
    lead = crm.make.lead("ana")
    crm.make.user("lea", "Sales User", "mia", leave_from=datetime.now(UTC) - timedelta(days=1))
    before = stored(lead)
    answer = crm.client("root").rest("POST", f"lead/{lead.id}/assign", {"assign_to": "lea"})
    assert answer.status_code == 422 and "on leave" in answer.get_json()["message"]
    assert stored(lead) == before


def test_one_pending_request_a_record_and_person(crm: Crm) -> None:
    lead, asked = crm.make.lead("ana"), {"requested_user": "ben", "reason": "He knows him"}
    ana = crm.client("ana")
    codes = [ana.rest("POST", "assignment_request/", asked | {"lead": lead.number}).status_code for _ in range(2)]
    assert codes == [201, 409]
    codes = [
        crm.client("root").rest("PUT", "assignment_request/1", {"status": "Approved"}).status_code for _ in range(2)
    ]
    assert codes == [200, 409] and crm.stored(lead)["assignee_id"] == crm.people["ben"].id
    assert (
        crm.client("root")
        .rest("POST", "assignment_request/", asked | {"lead": lead.id, "requested_user": "ana"})
        .status_code
        == 201
    )
