"""Orders by telephone on pages and over REST: marked, listed without evidence, and linked to what proves them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from app.models import AuditEntry, CallLog, CallRecording, OrderEvidence
from tests.app_fixtures import Crm, Make

TAB = "/calls/?tab=orders"


def stored(crm: Crm, call: Any) -> CallLog:
    found: CallLog = crm.rows(select(CallLog).where(CallLog.id == call.id))[0]
    return found


@pytest.fixture
def lead(make: Make) -> Any:
    return make.lead("ana", mobile="9820012345", task={})


def test_a_call_is_marked_as_an_order_with_its_outcome(crm: Crm, make: Make, lead: Any) -> None:
    ana, call = crm.client("ana"), make.call("ana", lead_id=lead.id)
    page = ana.screen(f"/calls/outcome/{call.id}").text
    assert 'name="is_order"' in page
    refused = ana.form(f"/calls/outcome/{call.id}", {"outcome": "", "is_order": "1"})
    assert refused.status_code == 422 and 'name="is_order" value="1" checked' in refused.text
    assert ana.form(f"/calls/outcome/{call.id}", {"outcome": "Interested", "is_order": "1"}).status_code == 302
    assert stored(crm, call).is_order
    assert f"/calls/evidence/{call.id}" in ana.screen(f"/calls/show/{call.id}").text
    assert 'name="is_order" value="1" checked' in ana.screen(f"/calls/outcome/{call.id}").text


def test_a_call_logged_by_hand_can_be_an_order(crm: Crm, make: Make, lead: Any) -> None:
    typed = {"direction": "Incoming", "outcome": "Interested", "is_order": "1"}
    assert crm.client("ana").form(f"/calls/log/lead/{lead.id}", typed).status_code == 302
    assert crm.rows(select(CallLog))[-1].is_order


def test_orders_over_rest(crm: Crm, make: Make, lead: Any) -> None:
    ana, call = crm.client("ana"), make.call("ana", lead_id=lead.id)
    url = f"/api/v1/call_log/{call.id}"
    assert ana.rest("POST", f"{url}/outcome", {"outcome": "x", "is_order": "perhaps"}).status_code == 422
    assert ana.rest("POST", f"{url}/outcome", {"outcome": "x", "is_order": True}).status_code == 200
    found = ana.rest("GET", "/api/v1/call_log/", q={"filters": [{"col": "is_order", "opr": "eq", "value": True}]}).json
    assert [(row["id"], row["is_order"]) for row in found["result"]] == [(call.id, True)]
    assert ana.rest("PUT", url, {"is_order": False}).status_code == 200 and not stored(crm, call).is_order
    audited = [row.about for row in crm.rows(select(AuditEntry).where(AuditEntry.event == "order"))]
    assert audited == [f"call {call.id}"]


def test_orders_without_evidence_are_listed_under_the_law(crm: Crm, make: Make, lead: Any) -> None:
    call = make.call("ana", lead_id=lead.id, is_order=True)
    plain, recorded = make.call("ana", lead_id=lead.id), make.call("ana", lead_id=lead.id, is_order=True)
    row = CallRecording(call_id=recorded.id, address="x", address_hash="x", state="sent", tries=0, digest="a" * 64)
    row.created_on = row.changed_on = call.created_on
    crm.session.add(row)
    crm.session.commit()
    for who, sees in (("ana", True), ("mia", True), ("rhea", True), ("ben", False)):
        page = crm.client(who).screen(TAB).text
        assert (f"/calls/show/{call.id}" in page) is sees, who
        assert f"/calls/show/{plain.id}" not in page and f"/calls/show/{recorded.id}" not in page
    assert crm.client("ana").screen("/calls/?_flt_eq_is_order=1").text.count("/calls/show/") >= 2


def test_a_message_is_linked_as_evidence_and_removed(crm: Crm, make: Make, lead: Any) -> None:
    call, message = make.call("ana", lead_id=lead.id, is_order=True), make.message("ana", lead_id=lead.id)
    other, ana, url = make.message("ben"), crm.client("ana"), f"/calls/evidence/{call.id}"
    page = ana.screen(url).text
    assert f'value="message:{message.id}"' in page and "No evidence yet" in page and f"message:{other.id}" not in page
    odd = ("message:²", "file:" + "9" * 5000, "message:-1", f"message:0{'0' * 5000}{message.id}")
    for wrong in ("", "message:", "message:x", f"message:{other.id}", "user:1", "file:999999", *odd):
        answer = ana.form(url, {"proof": wrong})
        assert answer.status_code == 422 and "choose a file or message" in answer.text, wrong
    assert ana.form(url, {"proof": f"message:{message.id}"}).status_code == 302
    row = crm.rows(select(OrderEvidence))[0]
    assert "Namaste" in ana.screen(url).text and f"/calls/show/{call.id}" not in ana.screen(TAB).text
    ben = crm.client("ben")
    assert ben.screen(url).status_code == 404 and ben.form(f"{url}/remove/{row.id}").status_code == 404
    another = make.call("ana", lead_id=lead.id, is_order=True)
    assert ana.form(f"/calls/evidence/{another.id}/remove/{row.id}").status_code == 404
    assert ana.form(f"{url}/remove/{row.id}").status_code == 302 and not crm.rows(select(OrderEvidence))


def test_who_listens_to_all_recordings_links_evidence_of_any_order(crm: Crm, make: Make, lead: Any) -> None:
    call, message = make.call("ana", lead_id=lead.id, is_order=True), make.message("ana", lead_id=lead.id)
    rhea, url, form = crm.client("rhea"), f"/calls/evidence/{call.id}", {"proof": f"message:{message.id}"}
    assert rhea.rest("PUT", f"call_log/{call.id}", {"outcome": "x"}).status_code == 403, "they may not edit the call"
    assert f'value="message:{message.id}"' in rhea.screen(url).text
    assert rhea.form(url, form).status_code == 302
    (row,) = crm.rows(select(OrderEvidence))
    assert f"{url}/remove/{row.id}" in rhea.screen(url).text
    assert rhea.form(f"{url}/remove/{row.id}").status_code == 302 and not crm.rows(select(OrderEvidence))
    audited = crm.rows(select(AuditEntry).where(AuditEntry.event == "order").order_by(AuditEntry.id))
    assert [row.payload["what"] for row in audited] == ["evidence linked", "evidence removed"]
    assert {(row.user_id, row.about) for row in audited} == {(crm.people["rhea"].id, f"call {call.id}")}


def test_who_may_not_link_evidence(crm: Crm, make: Make, lead: Any) -> None:
    call, message = make.call("ana", lead_id=lead.id, is_order=True), make.message("ana", lead_id=lead.id)
    url, form = f"/calls/evidence/{call.id}", {"proof": f"message:{message.id}"}
    rest, body = f"call_log/{call.id}/evidence", {"message": message.id}
    for level in ("team", "none"):
        make.cell("Compliance", "Call Logs", "recordings", level)
        assert crm.client("rhea").form(url, form).status_code == 403
        assert crm.client("rhea").rest("POST", rest, body).status_code == 403
    make.cell("Sales User", "Call Logs", "recordings", "all")  # who doesn't see the call has nothing to prove
    assert crm.client("ben").form(url, form).status_code == 404
    assert crm.client("ben").rest("POST", rest, body).status_code == 404
    assert crm.rows(select(OrderEvidence)) == []


def test_evidence_over_rest(crm: Crm, make: Make, lead: Any) -> None:
    call, message = make.call("ana", lead_id=lead.id, is_order=True), make.message("ana", lead_id=lead.id)
    rest, foreign = f"call_log/{call.id}/evidence", make.message("ben")
    for who in ("ana", "rhea"):
        client = crm.client(who)
        for wrong in (
            {},
            {"message": foreign.id},
            {"file": 1, "message": 2},
            {"message": "x"},
            {"call": 1},
            {"file": -1},
        ):
            assert client.rest("POST", rest, wrong).status_code == 422, wrong
        made = client.rest("POST", rest, {"message": message.id})
        assert made.status_code == 200 and made.json["result"]["message"] == message.id
        again = client.rest("POST", rest, {"message": message.id})
        assert again.status_code == 200 and again.json["id"] == made.json["id"]
        listed = client.rest("GET", rest).json["result"]
        assert [(row["id"], row["file"], row["message"]) for row in listed] == [(made.json["id"], None, message.id)]
        assert crm.client("ben").rest("GET", rest).status_code == 404
        assert crm.client("ben").rest("DELETE", f"{rest}/{made.json['id']}").status_code == 404
        assert client.rest("DELETE", f"{rest}/{made.json['id']}").status_code == 200
        assert client.rest("DELETE", f"{rest}/{made.json['id']}").status_code == 404


def test_an_order_is_not_deleted(crm: Crm, make: Make, lead: Any) -> None:
    call = make.call("ana", lead_id=lead.id, is_order=True)
    answer = crm.client("root").rest("DELETE", f"/api/v1/call_log/{call.id}")
    assert answer.status_code == 422 and "is an order" in answer.json["message"]
    crm.session.execute(update(CallLog).where(CallLog.id == call.id).values(is_order=False))
    crm.session.commit()
    assert crm.client("root").rest("DELETE", f"/api/v1/call_log/{call.id}").status_code == 200
