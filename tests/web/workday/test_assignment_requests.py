"""Requests through the endpoints: who requests, who decides, who is notified.

One pending request per record and person.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from app.models import Activity, AssignmentRequest, Notification, User
from tests.app_fixtures import Crm
from tests.cases import each_case


@pytest.fixture
def asked(crm: Crm) -> AssignmentRequest:
    """Ben asks that Ana gets a lead that Dev has; Mia is above Ana."""
    crm.make.user("dev", "Sales User", "max")
    return crm.make.request(crm.make.lead("dev", owner_id=crm.people["ben"].id), "ana", who="ben")


def told(crm: Crm, kind: str) -> set[str]:
    names = {person.id: name for name, person in crm.people.items()}
    return {names[key] for key in crm.rows(select(Notification.user_id).where(Notification.kind == kind))}


def decided(crm: Crm, who: str, row: Any, status: str, **more: Any) -> int:
    return int(crm.client(who).rest("PUT", f"assignment_request/{row.id}", {"status": status, **more}).status_code)


def test_an_approval_notifies_everybody_concerned(crm: Crm, asked: Any) -> None:
    assert told(crm, "request") == {"mia"}
    assert decided(crm, "root", asked, "Approved") == 200
    assert told(crm, "request_approved") == {"ben", "ana"}
    assert (told(crm, "assigned") >= {"ana"}, told(crm, "unassigned")) == (True, {"dev"})
    waiting = crm.rows(select(Notification.read_on).where(Notification.kind == "request"))
    assert None not in waiting  # somebody else decided: Mia need not look


def test_a_request_is_decided_once(crm: Crm, asked: Any) -> None:
    assert decided(crm, "mia", asked, "Rejected", decision_note="She has enough") == 200
    assert decided(crm, "root", asked, "Approved") == 409
    assert crm.client("ben").rest("POST", f"assignment_request/{asked.id}/withdraw").status_code == 409
    assert crm.fresh(asked).status == "Rejected"


@pytest.mark.parametrize("status", ["Withdrawn", "Expired", "Pending", "Perhaps"])
def test_a_request_is_approved_or_rejected_only(crm: Crm, asked: Any, status: str) -> None:
    assert decided(crm, "mia", asked, status) == 422 and crm.fresh(asked).status == "Pending"


def test_nobody_decides_their_own_request(crm: Crm) -> None:
    asked = crm.make.request(crm.make.lead("ben"), "ana", who="root")
    assert decided(crm, "root", asked, "Approved") == 403
    page = crm.client("root").screen(f"/requests/{asked.number}").text
    assert "/requests/decide/" not in page and f"/requests/withdraw/{asked.id}" in page
    assert told(crm, "request") == {"mia"} and decided(crm, "mia", asked, "Approved") == 200


def test_an_approval_for_an_absent_person_is_refused(crm: Crm, asked: Any) -> None:
    lead_id, ana = asked.lead_id, crm.session.get_one(User, crm.people["ana"].id)
    ana.leave_from, ana.leave_to = datetime(2020, 1, 1, tzinfo=UTC), datetime(2090, 1, 1, tzinfo=UTC)
    crm.session.commit()
    answer = crm.client("mia").rest("PUT", f"assignment_request/{asked.id}", {"status": "Approved"})
    assert answer.status_code == 422 and "Ana Shah is on leave until 1 Jan 2090" in answer.get_json()["message"]
    assert (crm.fresh(asked).status, crm.fresh(asked).pending_key) == ("Pending", f"leads:{lead_id}:{ana.id}")
    page = crm.client("mia").form(f"/requests/decide/{asked.id}?approve=1", follow_redirects=True)
    assert "Ana Shah is on leave until" in page.text and told(crm, "unassigned") == set()


def test_the_requester_withdraws(crm: Crm, asked: Any) -> None:
    path = f"/requests/withdraw/{asked.id}"
    assert path in crm.client("ben").screen(f"/requests/{asked.number}").text
    assert path not in crm.client("mia").screen(f"/requests/{asked.number}").text
    assert crm.client("mia").form(path).status_code == 403
    assert "Withdrawn." in crm.client("ben").form(path, follow_redirects=True).text
    assert (crm.fresh(asked).status, told(crm, "request_withdrawn")) == ("Withdrawn", {"mia"})
    assert decided(crm, "mia", asked, "Approved") == 409


def test_withdrawing_over_rest(crm: Crm, asked: Any) -> None:
    assert crm.client("mia").rest("POST", f"assignment_request/{asked.id}/withdraw").status_code == 403
    answer = crm.client("ben").rest("POST", f"assignment_request/{asked.id}/withdraw")
    assert (answer.status_code, answer.get_json()["result"]["status"]) == (200, "Withdrawn")


def test_one_pending_request_per_record_and_person(crm: Crm, asked: Any) -> None:
    body = {"lead": asked.lead_id, "requested_user": "ana", "reason": "Again"}
    assert crm.client("ben").rest("POST", "assignment_request/", body).status_code == 409
    assert crm.client("ben").rest("POST", "assignment_request/", body | {"requested_user": "mia"}).status_code == 201
    crm.client("ben").rest("POST", f"assignment_request/{asked.id}/withdraw")
    assert crm.client("ben").rest("POST", "assignment_request/", body).status_code == 201


BAD = [
    ({"reason": " "}, "a reason why"),
    ({"requested_user": "nobody"}, "no colleague"),
    ({"requested_user": None}, "colleague"),
    ({"requested_user": "dev"}, "already has the record"),
    ({"lead": 99999}, "There is no such record"),
    ({"lead": None}, "exactly one lead or ticket"),
    ({"requested_user": "gone"}, "Gone Shah is deactivated"),
]


@pytest.mark.parametrize("change, sentence", BAD)
def test_an_invalid_request_is_refused(crm: Crm, asked: Any, change: dict[str, Any], sentence: str) -> None:
    gone = crm.make.user("gone", "Sales User")
    crm.session.get_one(User, gone.id).active = False
    crm.session.commit()
    before = crm.count(AssignmentRequest), crm.count(Activity)
    body = {"lead": asked.lead_id, "requested_user": "max", "reason": "He knows her"} | change
    answer = crm.client("ben").rest("POST", "assignment_request/", body)
    assert answer.status_code == 422 and sentence in answer.get_json()["message"]
    if "lead" not in change:
        form = {"how": "request", "assignee": body["requested_user"] or "", "reason": body["reason"]}
        page = crm.client("ben").form(f"/leads/assign/{asked.lead_id}", form, follow_redirects=True).text
        assert sentence in page or "choose a colleague" in page
    assert (crm.count(AssignmentRequest), crm.count(Activity)) == before


def test_requests_for_oneself_are_decided_by_others(crm: Crm) -> None:
    lead = crm.make.lead("mia", owner_id=crm.people["ana"].id)
    body = {"lead": lead.id, "requested_user": "ana", "reason": "I know him"}
    asked = crm.client("ana").rest("POST", "assignment_request/", body)
    assert asked.status_code == 201
    assert crm.client("ana").rest("POST", "assignment_request/", body | {"requested_user": "mia"}).status_code == 422


def test_a_request_for_an_invisible_record_is_404(crm: Crm) -> None:
    ben, said = crm.client("ben"), set()
    for key in (crm.make.lead("ana").id, 99999):
        answer = ben.rest("POST", "assignment_request/", {"lead": key, "requested_user": "ben", "reason": "Mine"})
        said.add((answer.status_code, answer.get_json()["message"].replace(str(key), "…")))
        form = {"how": "request", "assignee": crm.people["ben"].id, "reason": "Mine"}
        assert ben.form(f"/leads/assign/{key}", form).status_code == 404
    assert said == {(422, "There is no such record: ….")} and crm.count(AssignmentRequest) == 0


# --- the page, its parts and its badge


TABS = [
    ("mia", "waiting", True),
    ("mia", "mine", False),
    ("mia", "", True),
    ("ben", "mine", True),
    ("max", "waiting", False),
    ("root", "waiting", True),
]


@each_case("who, tab, shown", TABS)
def test_the_tabs_of_the_list(crm: Crm, asked: Any, who: str, tab: str, shown: bool) -> None:
    page = crm.client(who).screen(f"/requests/?tab={tab}").text
    assert (asked.number in page) is shown


def badge(crm: Crm, who: str, path: str = "/leads/", **more: Any) -> bool:
    return 'data-badge="requests"' in crm.client(who).screen(path, **more).text


def test_the_badge_counts_requests_to_decide(crm: Crm, asked: Any) -> None:
    assert {who: badge(crm, who) for who in ("mia", "root", "max", "ben", "ana")} == {
        "mia": True,
        "root": True,
        "max": False,
        "ben": False,
        "ana": False,
    }
    decided(crm, "mia", asked, "Rejected", decision_note="No")
    assert not badge(crm, "mia") and not badge(crm, "root")


def test_of_two_simultaneous_decisions_one_gets_409(maria: Crm) -> None:
    asked = maria.make.request(maria.make.lead("ben"), "ana", who="ben")
    start, codes = threading.Barrier(2), []

    def decide(who: str) -> None:
        client = maria.client(who)
        start.wait(30)
        codes.append(client.rest("PUT", f"assignment_request/{asked.id}", {"status": "Approved"}).status_code)

    threads = [threading.Thread(target=decide, args=(who,)) for who in ("mia", "root")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(codes) == [200, 409] and maria.fresh(asked).status == "Approved"
