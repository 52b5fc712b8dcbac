"""The law at the predecessor's doors: a closed cell, a mask, a key's scope and a HEAD hold there as at our own."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from sqlalchemy import select

from app import access
from app.domain.permissions import MASKED
from app.models import ApiKey, Lead
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.registry import METHODS
from tests.web.compat.sample_calls import GLADLY, Ground

#: Methods that everybody may call who is signed in: public cards, office hours, one's own profile and rights; and
#: those that answer of each kind only what is open.
OPEN = """
    login logout ping get_logged_user get_user_profile get_app_version get_update_settings get_assignable_roles
    get_assignable_users_public get_users get_current_user_module_permissions get_office_hours get_holidays
    get_office_status is_call_integration_enabled get_customer_history get_customer_interactions universal_search
    get_contact_by_phone_number"""
#: (role of who calls it gladly, module, verb) -> the methods that the closed cell closes.
CLOSED = {
    ("Sales User", "Leads", "read"): """
        get_list get_count get get_value save set_value bulk_update getdoc search_link add_comment get_lead insert
        update_lead_status_with_client_id update_lead_status_with_rejection_reason update_lead_status_with_pod_id
        save_client_id_without_validation save_rejection_reason_without_validation save_pod_id_without_validation
        validate_lead_for_status_change bulk_insert_pod_id get_current_assignments get_roles_all_assigned_status
        check_all_role_users_assigned create_assignment_request get_reference_summary get_customer_data_for_lead
        get_lead_with_customer_data update_lead_customer_data link_call_log get_activities get_data quick_reply
        get_filterable_fields sort_options get_group_by_fields get_quick_filters get_fields get_fields_meta
        get_assigned_users get_eligible_followup_tasks add_note_to_call_log add_task_to_call_log""",
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
    ("Sales User", "Call Logs", "create"): "sync_call_logs",
    ("Sales User", "Call Logs", "write"): """
        link_call_log delink_call_log create_lead_from_call_log set_cold_call add_note_to_call_log
        add_task_to_call_log""",
    ("Sales User", "Customers", "read"): """
        update_customer_with_client_id get_customer_by_mobile get_customer_by_id get_customer_list get_customer_stats
        create_or_update_customer auto_fill_customer_data get_customer_update_history search_customer_by_mobile""",
    ("Sales User", "Customers", "write"): "update_customer_with_client_id create_or_update_customer",
    ("Support User", "Customers", "write"): "update_ticket_customer_data",
    ("Sales User", "Notes", "create"): "insert add_comment add_note_to_call_log quick_reply",
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
        get_ticket update_ticket_status bulk_update_tickets bulk_set_priority bulk_close_tickets
        get_customer_data_for_ticket get_ticket_with_customer_data update_ticket_customer_data""",
    ("Support User", "Tickets", "create"): "create_ticket",
    ("Support User", "Tickets", "write"): """
        update_ticket_status bulk_update_tickets bulk_set_priority bulk_close_tickets""",
    ("Support User", "Tickets", "bulk"): "bulk_update_tickets bulk_set_priority bulk_close_tickets",
    ("Support Manager", "Tickets", "assign"): """
        add add_multiple remove_multiple bulk_assign_tickets assign_ticket_to_role assign_ticket_to_user
        remove_assignments""",
    ("Support Manager", "Tickets", "bulk"): "add_multiple remove_multiple bulk_assign_tickets",
}
#: Nobody's but the admin's.
ADMINS = frozenset({"reset_role_assignment", "create_or_find_customer"})
PEOPLE = {"Sales User": "ana", "Sales Manager": "mia", "Support User": "cleo", "Support Manager": "sam"}


def tail(name: str) -> str:
    """The method without its module."""
    return name.rpartition(".")[2]


def of_tails(tails: Any, who: str | None = None) -> list[str]:
    """The methods with these names, of those that the person calls gladly."""
    return [name for name in GLADLY if tail(name) in tails and who in (None, GLADLY[name][0])]


def is_refused(answer: Any) -> bool:
    """Altogether, or of each record."""
    if answer.status_code in (403, 404, 417):
        return True
    told = answer.get_json().get("message") if answer.status_code == 200 else None
    return isinstance(told, dict) and bool(told.get("failed_docs") or (told.get("failed") and not told["updated"]))


# --- the matrix


def test_every_method_hangs_on_a_cell_or_is_everybodys() -> None:
    closed = {each for tails in CLOSED.values() for each in tails.split()}
    assert {tail(name) for name in METHODS} == {*closed, *OPEN.split(), *ADMINS}


@pytest.mark.parametrize("cell", CLOSED, ids=lambda cell: "-".join(cell))
def test_a_closed_cell_closes_its_methods(ground: Ground, cell: tuple[str, str, str]) -> None:
    role, who = cell[0], PEOPLE[cell[0]]
    names = of_tails(CLOSED[cell].split(), who)
    sent = {name: GLADLY[name][1](ground) for name in names}
    ground.world.make.cell(*cell, "none")
    before = ground.everything()
    for name in names:
        answer = ground.ask(who, name, sent[name])
        assert is_refused(answer), (role, name, answer.status_code, answer.text)
    assert names and ground.everything() == before


def test_what_answers_of_each_kind_leaves_out_what_is_closed(ground: Ground) -> None:
    for module in ("Leads", "Customers", "Call Logs", "Tickets"):
        for role in ("Sales User", "Support User"):
            ground.world.make.cell(role, module, "read", "none")
    for name in of_tails(set(OPEN.split()) - {"login", "logout"}):
        who, sent = GLADLY[name]
        answer = ground.ask(who, name, sent(ground))
        assert answer.status_code == 200, (name, answer.text)
        for number in (ground.lead.number, ground.customer.number, ground.ticket.number, "Asha", "Ravi"):
            assert number not in answer.text, (name, answer.text)


@pytest.mark.parametrize("verb", ["write", "assign"])
def test_whoever_sees_more_than_he_may_change_changes_nothing(ground: Ground, verb: str) -> None:
    for cell in (("read", "all"), ("bulk", "own"), (verb, "own")):
        ground.world.make.cell("Sales User", "Leads", *cell)
    cell = ("Sales Manager" if verb == "assign" else "Sales User", "Leads", verb)
    names = [name for name in of_tails(CLOSED[cell].split()) if METHODS[name].writes]
    before = ground.everything()
    for name in names:
        sent = GLADLY[name][1](ground)
        answer = ground.ask("ben", name, sent)
        assert is_refused(answer), (name, answer.text)
    assert len(names) > 2 and ground.everything() == before


def test_many_at_once_are_changed_by_who_may_change_many(ground: Ground) -> None:
    docs = [{"doctype": "CRM Customer", "docname": ground.customer.number, "referral_through": "C9"}]
    failed = ground.told("ana", "frappe.client.bulk_update", docs=docs)["failed_docs"]
    assert "bulk" in failed[0]["exc"] and ground.world.fresh(ground.customer).referred_by is None


@pytest.mark.parametrize(
    ("module", "part", "kind"), [("Notes", 2, "note"), ("Tasks", 3, "task"), ("Call Logs", 1, "call")]
)
def test_a_timeline_leaves_out_what_is_closed(ground: Ground, module: str, part: int, kind: str) -> None:
    method, name = "crm.api.activities.get_activities", ground.lead.number
    before = ground.told("ana", method, name=name)
    assert before[part] and kind in {line["kind"] for line in before[0]}
    ground.world.make.cell("Sales User", module, "read", "none")
    after = ground.told("ana", method, name=name)
    assert not after[part] and {line["kind"] for line in after[0]} == {line["kind"] for line in before[0]} - {kind}


# --- who only looks, whose key is limited, and who only asks


def limit_keys(ground: Ground, *scope: str) -> None:
    session = ground.world.session
    for key in session.scalars(select(ApiKey)):
        key.scope = list(scope)
    session.commit()


def test_a_key_opens_no_more_than_its_scope(ground: Ground) -> None:
    limit_keys(ground, "Support Pages")
    before = ground.everything()
    for name, (who, sent) in GLADLY.items():
        if tail(name) not in OPEN.split():
            answer = ground.ask(who, name, sent(ground))
            assert is_refused(answer), (name, answer.text)
    assert ground.everything() == before


def test_other_eyes_change_nothing(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    own = access.person
    monkeypatch.setattr(access, "person", lambda *asked: dataclasses.replace(own(*asked), read_only=True))
    before = ground.everything()
    for name, (who, sent) in GLADLY.items():
        if METHODS[name].writes and name != "login":
            assert ground.ask(who, name, sent(ground)).status_code == 403, name
    assert ground.everything() == before


def test_head_changes_as_little_as_get(ground: Ground) -> None:
    client, headers = ground.world.app.test_client(), ground.world.door("root").headers
    before = ground.everything()
    for name, (_who, sent) in GLADLY.items():
        if METHODS[name].writes:
            query = {key: value if isinstance(value, str) else json.dumps(value) for key, value in sent(ground).items()}
            assert client.head(f"/api/method/{name}", query_string=query, headers=headers).status_code == 403, name
    for path in ("", f"/{ground.lead.number}"):
        change = {"first_name": "Headed", "mobile_no": "9820077711"}
        answer = client.head(f"/api/resource/CRM Lead{path}", query_string=change, headers=headers)
        assert answer.status_code == 200, path
    assert ground.everything() == before


# --- masks

#: Of the lead, the customer and a call; in no form may they leave the server masked.
HERS = {
    "mobile": "9820054399",
    "alternative_mobile": "9820066688",
    "email": "ravi.secret@example.in",
    "pan": "ABCDE1234F",
    "aadhaar": "234123412346",
    "address": "17 Secret Street",
}
HIS = {"mobile": "9820012346", "email": "asha.secret@example.in", "pan": "ABCDE1234G", "address": "18 Secret Street"}
CALLER = "caller.secret@example.com"


@pytest.fixture
def known(ground: Ground) -> Ground:
    """Everything is known of Ravi and Asha; one call came from an address instead of a number."""
    root = ground.world.door("root")
    for path, values in ((f"lead/{ground.lead.id}", HERS), (f"customer/{ground.customer.id}", HIS)):
        assert root.rest("PUT", path, values).status_code == 200
    ground.world.make.call("ana", to_number=CALLER, lead_id=ground.lead.id)
    return ground


def spilled(answer: Any, sent: Any, secrets: Any) -> list[str]:
    text, given = (json.dumps(each, ensure_ascii=False).replace(" ", "") for each in (answer.get_json(), sent))
    return [each for each in secrets if each.replace(" ", "") in text and each.replace(" ", "") not in given]


@pytest.mark.parametrize("level", ["last4", "hidden"])
def test_nothing_masked_leaves_these_doors(known: Ground, level: str) -> None:
    """Neither when it is read, nor in the answer to a change, nor in an error."""
    for role in PEOPLE:
        known.world.make.mask(role, **dict.fromkeys(MASKED, level))
    secrets = (*HERS.values(), *HIS.values(), CALLER, "9820054321", "9820012345", "9820077777")
    for name in sorted(GLADLY, key=lambda name: METHODS[name].writes):
        who, given = GLADLY[name][0], GLADLY[name][1](known)
        if who in PEOPLE.values() and tail(name) not in ("login", "logout"):
            answer = known.ask(who, name, given)
            assert not spilled(answer, given, secrets), (name, answer.text)


def test_an_address_of_a_call_has_the_mask_of_addresses(known: Ground) -> None:
    known.world.make.mask("Sales User", mobile="full", email="hidden")
    for name, (who, sent) in GLADLY.items():
        if who == "ana" and not METHODS[name].writes and name != "logout":
            answer = known.ask(who, name, sent(known))
            assert not spilled(answer, {}, (CALLER, HERS["email"], HIS["email"])), (name, answer.text)


#: Ours, of what a mask covers.
COVERED = {*MASKED, "from_number", "to_number", "other_number"}
FILTERS = {
    "=": "{}",
    "!=": "{}",
    ">": "{}",
    "<": "{}",
    ">=": "{}",
    "<=": "{}",
    "like": "{:.4}%",
    "in": ["{}"],
    "is": "set",
    "between": ["{}", "{}9"],
    "not in": ["{}"],
    "not like": "%{}",
}
LISTING = (
    "frappe.client.get_list",
    "frappe.client.get_count",
    "frappe.client.get",
    "frappe.client.get_value",
    "crm.api.doc.get_data",
    "frappe.desk.search.search_link",
)


@pytest.mark.parametrize("doctype", [name for name, kind in DOCTYPES.items() if COVERED & set(kind.fields.values())])
def test_what_is_masked_is_neither_filtered_nor_sorted_nor_offered(known: Ground, doctype: str) -> None:
    world, value = known.world, "9820054399"
    world.make.mask("Sales User", **dict.fromkeys(MASKED, "last4"))
    world.make.cell("Sales User", "Tickets", "read", "own")
    covered = {theirs for theirs, ours in DOCTYPES[doctype].fields.items() if ours in COVERED}
    for field in covered:
        asked = [
            {"filters": [[field, op, json.loads(json.dumps(shape).replace("{}", value).replace("{:.4}", "9820"))]]}
            for op, shape in FILTERS.items()
        ]
        for sent in [*asked, {"order_by": f"{field} asc"}, {"order_by": f"`tabX`.`{field}` desc"}]:
            assert known.ask("ana", LISTING[0], {"doctype": doctype} | sent).status_code == 417, (field, sent)
        for method in LISTING:
            sent = {"doctype": doctype, "filters": {field: value}}
            assert known.ask("ana", method, sent).status_code == 417, (method, field)
    for method in ("sort_options", "get_group_by_fields", "get_quick_filters", "get_filterable_fields"):
        told = known.told("ana", f"crm.api.doc.{method}", doctype=doctype)
        assert not covered & {each["fieldname"] for each in told}, method


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("customers.get_customer_by_mobile", "mobile_no"),
        ("customer_search.search_customer_by_mobile", "mobile_no"),
        ("customers.auto_fill_customer_data", "mobile_no"),
        ("customers.get_customer_interactions", "customer_mobile"),
        ("customers.get_customer_interactions", "email"),
        ("ticket.get_customer_history", "mobile_no"),
        ("ticket.get_customer_history", "email"),
        ("customers.create_or_find_customer", "mobile_no"),
        ("customers.create_or_update_customer", "mobile_no"),
    ],
)
def test_nobody_is_found_by_what_is_masked(known: Ground, method: str, name: str) -> None:
    """A right guess is answered like a wrong one."""
    known.world.make.mask("Sales User", mobile="last4", email="last4")
    guesses = (HIS[name.removeprefix("customer_").removesuffix("_no")], "9820000000", "nobody@example.in")
    answers = [known.ask("ana", f"crm.api.{method}", {name: guess, "customer_name": "A B"}) for guess in guesses]
    assert {answer.status_code for answer in answers} == {417} and len({answer.text for answer in answers}) == 1


def test_search_finds_nothing_by_what_is_masked(known: Ground) -> None:
    known.world.make.mask("Sales User", **dict.fromkeys(MASKED, "last4"))
    for typed in (*HERS.values(), *HIS.values(), CALLER, "9820077777"):
        assert known.told("ana", "crm.api.search.universal_search", query=typed)["total"] == 0, typed
        assert known.told("ana", "crm.api.customers.get_customer_list", search_term=typed) == [], typed
        for doctype in ("CRM Lead", "CRM Customer", "CRM Call Log", "CRM Task"):
            assert known.told("ana", "frappe.desk.search.search_link", doctype=doctype, txt=typed) == [], typed


def test_a_mask_sent_back_leaves_the_value(known: Ground) -> None:
    known.world.make.mask("Sales User", **dict.fromkeys(MASKED, "last4"))
    before = known.world.stored(known.lead)
    doc = known.told("ana", "frappe.client.get", doctype="CRM Lead", name=known.lead.number)
    known.told("ana", "frappe.client.save", doc=doc)
    known.told(
        "ana",
        "crm.api.customers.update_lead_customer_data",
        lead_name=known.lead.number,
        customer_data={"mobile_no": doc["mobile_no"], "pan_card_number": doc["pan_card_number"]},
    )
    assert known.world.stored(known.lead) == before


# --- rows, and what nobody gives himself


def test_ones_own_call_names_no_record_of_others(ground: Ground) -> None:
    """The telephone linked it; whose lead it is, is not Ana's to see."""
    foreign = ground.world.make.lead("max", task={})
    ground.world.make.call("ana", lead_id=foreign.id)
    ground.world.make.call("ana", ticket_id=ground.ticket.id)
    told = ground.told("ana", "crm.api.mobile_sync.get_user_call_logs")["data"]
    places = [(each["reference_doctype"], each["reference_docname"]) for each in told]
    assert sorted(places, key=str) == [("CRM Lead", ground.lead.number), *[(None, None)] * 3]


#: What is sent with a new or stored document, and must not be believed.
GREEDY = {
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


def test_nobody_writes_down_who_made_it_and_when(ground: Ground) -> None:
    new = GREEDY | {"doctype": "CRM Lead", "first_name": "Greta", "mobile_no": "9820055511", "name": "X-1"}
    made = ground.told("ana", "frappe.client.insert", doc=new)
    row, ana = ground.world.rows(select(Lead).where(Lead.number == made["name"]))[0], ground.world.people["ana"].id
    assert (row.owner_id, row.assignee_id, row.created_by_id, row.changed_by_id) == (ana, ana, ana, ana)
    assert row.created_on.year > 2020 and row.customer_id is None and row.opened_on is None and row.id > 1
    before = ground.world.stored(row)
    ground.ask("ana", "frappe.client.save", {"doc": GREEDY | {"doctype": "CRM Lead", "name": made["name"]}})
    assert ground.world.stored(row) == before


@pytest.mark.parametrize(
    "change",
    [
        {"doctype": "CRM Lead", "lead_owner": "mia"},
        {"doctype": "CRM Task", "assigned_to": "ben"},
        {"doctype": "CRM Assignment Request", "status": "Approved"},
    ],
    ids=str,
)
def test_nobody_gives_away_what_is_not_his_to_give(ground: Ground, change: dict[str, Any]) -> None:
    names = {
        "CRM Lead": ground.lead.number,
        "CRM Task": ground.task.id,
        "CRM Assignment Request": ground.request.number,
    }
    before = ground.everything()
    name = names[change["doctype"]]
    assert ground.ask("ana", "frappe.client.save", {"doc": change | {"name": name}}).status_code in (403, 404)
    headers, client = ground.world.door("ana").headers, ground.world.app.test_client()
    assert client.put(f"/api/resource/{change['doctype']}/{name}", json=change, headers=headers).status_code in (
        403,
        404,
    )
    assert ground.everything() == before
