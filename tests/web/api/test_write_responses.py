"""The response to a write, made without reading the record again, equals that of a GET, its ETag included."""

from __future__ import annotations

from typing import Any

import pytest

from app.access import visible_rows
from app.models import Lead

#: Values that are stored otherwise than they are sent.
LEAD = {
    "first_name": "  Cafe\u0301 ",
    "mobile": "098200 12345",
    "referral": "ref-7",
    "next_follow_up_on": "2099-01-04T10:00:00.000001+05:30",
    "date_of_birth": "1990-02-28",
    "pan": "ABCPE1234F",
    "description": "two\r\nlines",
}


@pytest.mark.parametrize("is_masked", [False, True])
def test_a_new_and_a_changed_lead(people: Any, make: Any, client: Any, is_masked: bool) -> None:
    if is_masked:
        make.mask("Sales User", mobile="last4", email="hidden")
    ana = client("ana")
    made = ana.rest("POST", "/api/v1/lead/", json=LEAD)
    _is_what_is_read(ana, made, "lead")
    key = made.json["id"]
    changed = ana.rest("PUT", f"/api/v1/lead/{key}", json={"last_name": "Rao", "status": "Contacted"})
    assert changed.json["result"]["version"] == made.json["result"]["version"] + 1
    _is_what_is_read(ana, changed, "lead")


def test_a_lead_of_a_customer_and_a_task_of_a_lead(people: Any, make: Any, client: Any) -> None:
    ana, customer = client("ana"), make.customer()
    linked = ana.rest("POST", "/api/v1/lead/", json={"mobile": customer.mobile, "first_name": "Other"})
    assert linked.json["result"]["customer"]["id"] == customer.id
    _is_what_is_read(ana, linked, "lead")
    due = "2099-01-04T10:00:00Z"
    task = ana.rest("POST", "/api/v1/task/", json={"title": "Call", "lead": linked.json["id"], "due_on": due})
    _is_what_is_read(ana, task, "task")


def _is_what_is_read(client: Any, answer: Any, name: str) -> None:
    assert answer.status_code in (200, 201), answer.text
    read = client.rest("GET", f"/api/v1/{name}/{answer.json['id']}")
    assert answer.json["result"] == read.json["result"]
    assert answer.headers["ETag"] == read.headers["ETag"]


def test_an_object_under_the_rules_is_the_session_s_own(crm: Any, people: Any, make: Any) -> None:
    mine, foreign = make.lead("ana", email="a@b.example"), make.lead("ben")
    with crm.as_person("ana") as session:
        for _ in range(3):  # the second time the statement is finished
            assert visible_rows.get_visible(session, Lead, foreign.id) is None
            found = visible_rows.get_visible(session, Lead, mine.id)
            assert (found.email, found.status.meaning, found.customer) == ("a@b.example", "new", None)
            assert session.get(Lead, mine.id) is found
            session.expire(found)
            assert visible_rows.get_visible(session, Lead, mine.id) is found
            session.expunge_all()
