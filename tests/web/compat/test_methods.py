"""Every method of the predecessor: it answers, within its statements; and nobody gets further than the law lets him."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.web.compat.registry import METHODS
from tests.app_fixtures import World
from tests.web.compat.sample_calls import GLADLY, Ground

#: SQL statements of a method, who asks included.
READS, WRITES, FIGURES = 6, 12, 15
#: What a rule of the trade costs by itself, at whichever door: a new lead or ticket, an account, a turn of a role,
#: a decision. Savepoints of the bulk steps are counted, too.
DEAR = {
    "frappe.client.insert_many": 14,
    "crm.api.ticket.create_ticket": 16,
    "crm.fcrm.doctype.crm_call_log.crm_call_log.create_lead_from_call_log": 15,
    "crm.api.lead_operations.update_lead_status_with_client_id": 17,
    "crm.api.role_assignment.assign_to_role": 15,
    "crm.api.ticket.assign_ticket_to_role": 14,
    "crm.api.assignment_requests.create_assignment_request": 13,
    "crm.api.assignment_requests.approve_assignment_request": 16,
}


def most(name: str) -> int:
    if ".dashboard." in name:
        return FIGURES
    return DEAR.get(name, WRITES if METHODS[name].writes else READS)


def test_every_method_is_tried() -> None:
    assert set(GLADLY) == set(METHODS)


@pytest.mark.parametrize("name", list(GLADLY))
def test_a_method_answers_within_its_statements(ground: Ground, name: str) -> None:
    who, sent = GLADLY[name]
    given = sent(ground)
    ground.told(who, "crm.api.office_hours.get_office_status")  # whatever is kept in the process is there
    answer, counted = ground.cost(who, name, given)
    assert answer.status_code == 200, answer.text
    body = answer.get_json()
    assert {"message", "docs"} & set(body) and "_server_messages" not in body
    assert not (isinstance(body.get("message"), dict) and body["message"].get("success") is False), body
    assert len(counted) <= most(name), "\n".join(counted)


def test_a_stranger_reaches_nothing(ground: Ground) -> None:
    before = ground.everything()
    for name, (_who, sent) in GLADLY.items():
        if name == "login":  # with a right password nobody is a stranger
            continue
        answer = ground.ask(None, name, sent(ground))
        assert answer.status_code == (200 if METHODS[name].allow_guest else 401), name
    assert ground.everything() == before


@pytest.mark.parametrize("who", ["rhea", "max", "ben"])
def test_others_change_nothing_of_it(ground: Ground, who: str) -> None:
    """Compliance reads all; Max and Ben see none of these records, and hear only that a number is taken."""
    ground.told(who, "crm.api.office_hours.get_office_status")
    before, own = ground.everything(), ("login", "logout", "mark_as_read", "mark_all", "insert_many", "sync_call_logs")
    for name, (_who, sent) in GLADLY.items():
        if METHODS[name].writes and not any(part in name for part in own):
            answer = ground.ask(who, name, sent(ground))
            assert answer.status_code in (403, 404, 409, 417) or all_failed(answer), (name, answer.text)
    assert ground.everything() == before


def all_failed(answer: Any) -> bool:
    told = answer.get_json()["message"]
    return answer.status_code == 200 and bool(told.get("failed_docs") or (told.get("failed") and not told["updated"]))


@pytest.mark.parametrize("who", ["max", "ben"])
def test_others_read_nothing_of_it(ground: Ground, who: str) -> None:
    secrets = (ground.lead.number, ground.ticket.number, ground.customer.number, "54321", "12345", "Asha", "Ravi")
    ground.world.make.task(ground.world.make.lead(who, first_name="Own"), who=who)
    for name, (_who, sent) in GLADLY.items():
        if not METHODS[name].writes:
            answer = ground.ask(who, name, sent(ground))
            given = json.dumps(sent(ground)) + "".join(str(each) for each in sent(ground).values())
            found = [each for each in secrets if each in answer.text and each not in given]
            assert not found, (name, found, answer.text)


def test_whoever_only_reads_sees_masks_everywhere(ground: Ground) -> None:
    for name, (_who, sent) in GLADLY.items():
        if not METHODS[name].writes:
            answer = ground.ask("rhea", name, {k: v for k, v in sent(ground).items() if "98200" not in str(v)})
            assert answer.status_code < 500
            for number in ("9820054321", "9820012345", "asha@example.com"):
                assert number not in answer.text.replace(" ", ""), (name, answer.text)


def test_a_writing_method_refuses_get(ground: Ground) -> None:
    headers, client = ground.world.door("root").headers, ground.world.app.test_client()
    before = ground.everything()
    for name in (name for name, method in METHODS.items() if method.writes):
        answer = client.get(f"/api/method/{name}", headers=headers)
        assert (answer.status_code, answer.get_json()["exc_type"]) == (403, "PermissionError"), name
    assert ground.everything() == before


def test_the_other_database_answers_alike(maria: World) -> None:
    ground = Ground(maria)
    for name in sorted(GLADLY, key=lambda name: METHODS[name].writes):
        who, sent = GLADLY[name]
        answer = ground.ask(who, name, sent(ground))
        gone = {409, 404, 417} if METHODS[name].writes else set()  # what an earlier method has changed already
        assert answer.status_code in {200, *gone}, (name, answer.text)
    lead = ground.world.make.lead("ana", task={})
    given = {"lead_name": lead.number, "client_id": "MARIA1"}
    ground.told("ana", "crm.api.lead_operations.update_lead_status_with_client_id", **given)
    second = ground.world.make.lead("ana", task={})
    taken = ground.ask(
        "ana", "crm.api.lead_operations.update_lead_status_with_client_id", given | {"lead_name": second.number}
    )
    assert (taken.status_code, taken.get_json()["exc_type"]) == (409, "DuplicateEntryError")
