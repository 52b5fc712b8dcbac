"""Every refusal of every method and document: the predecessor's envelope and status, and nothing that reads as success.

A phone app treats any response below 500 with a `message` as success, so no refusal has that key.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.web.compat.doctypes import DOCTYPES
from app.web.compat.method_registry import METHODS
from app.web.compat.picklists import PICKLISTS
from app.web.compat.responses import EXC_TYPES
from tests.app_fixtures import PASSWORD
from tests.cases import each_case
from tests.web.compat.sample_calls import SAMPLE_CALLS, SampleRecords
from tests.web.invalid_input import leak_in, raising_server_errors

WHO_IS_SIGNED_IN = "frappe.auth.get_logged_user"
#: A body that is no good for any method.
BAD_BODIES: tuple[Any, ...] = ([1], "text", 7, {"doctype": [], "doc": 3, "docs": "x", "name": {}, "filters": 9})
STATUSES = {401, 403, 404, 405, 409, 413, 417, 429}


@pytest.fixture(scope="module")
def sample(shared_sample: SampleRecords) -> SampleRecords:
    return shared_sample


def assert_refusal(response: Any, asked: str, *statuses: int) -> None:
    """Assert the predecessor's error envelope (§12b)."""
    body = response.get_json()
    assert response.status_code in (statuses or STATUSES), (asked, response.status_code, response.text)
    assert "message" not in body and "data" not in body, (asked, body)
    assert body["exc_type"] in {*EXC_TYPES.values(), "DuplicateEntryError", "MandatoryError"}, (asked, body)
    shown = json.loads(json.loads(body["_server_messages"])[0])["message"]
    assert len(shown) > 8 and shown in body["exception"], (asked, body)
    assert not leak_in(response.text), (asked, response.text)
    assert body.get("session_expired") in (None, 1)


def refused_or_reported(response: Any, asked: str) -> bool:
    """Whether it was refused, in the envelope or as 200 with success false; asserts the envelope."""
    assert response.status_code < 500, (asked, response.text)
    if response.status_code >= 400:
        assert_refusal(response, asked)
        return True
    message = response.get_json().get("message")
    return isinstance(message, dict) and (message.get("success") is False or bool(message.get("failed_docs")))


def protected() -> list[str]:
    return [name for name, method in METHODS.items() if not method.allow_guest]


# --- who asks


def test_without_signing_in(sample: SampleRecords) -> None:
    for name in protected():
        response = sample.crm.app.test_client().post(f"/api/method/{name}", json={})
        assert_refusal(response, name, 401)
        assert response.get_json()["exc_type"] == "AuthenticationError" and "session_expired" not in response.get_json()


def test_with_a_dead_session(sample: SampleRecords) -> None:
    """403 with session_expired: what clients of the predecessor wait for."""
    for name in protected():
        client = sample.crm.app.test_client()
        client.set_cookie("sid", "x" * 40)
        response = client.post(f"/api/method/{name}", json={})
        assert_refusal(response, name, 403)
        assert response.get_json()["session_expired"] == 1, name


@pytest.mark.parametrize("sid", ["", "Guest"])
def test_the_cookie_of_a_guest_is_no_dead_session(sample: SampleRecords, sid: str) -> None:
    client = sample.crm.app.test_client()
    client.set_cookie("sid", sid)
    assert_refusal(client.get(f"/api/method/{WHO_IS_SIGNED_IN}"), "guest", 401)


def test_with_a_wrong_key(sample: SampleRecords) -> None:
    for place, name in enumerate(protected()):
        response = sample.crm.app.test_client().post(
            f"/api/method/{name}",
            json={},
            headers={"Authorization": "token keyana:wrong"},
            environ_base={"REMOTE_ADDR": f"10.1.{place // 200}.{place % 200 + 1}"},
        )
        assert_refusal(response, name, 401, 429)
        assert "session_expired" not in response.get_json()


@pytest.mark.parametrize("token", ["x.y.z", "x", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", ""])
def test_with_a_wrong_token(sample: SampleRecords, token: str) -> None:
    paths = [f"/api/method/{name}" for name in protected()]
    for path in (*paths, "/api/method/ping", "/api/resource/CRM Lead", "/api/v2/document/CRM Lead"):
        client = sample.crm.app.test_client()
        response = client.open(path, method="POST", json={}, headers={"Authorization": f"Bearer {token}"})
        assert_refusal(response, path, 401)


def test_with_a_wrong_password_nobody_is_signed_in(sample: SampleRecords) -> None:
    """The sequence of the Flutter app: login, then the question who is signed in."""
    for send in ({"data": {"usr": "ana", "pwd": "no"}}, {"json": {"usr": "ana", "pwd": "no"}}):
        client = sample.crm.app.test_client()
        response = client.post("/api/method/login", **send)
        assert_refusal(response, "login", 401)
        assert not any(each.startswith("sid=") for each in response.headers.getlist("Set-Cookie"))
        assert_refusal(client.get(f"/api/method/{WHO_IS_SIGNED_IN}"), WHO_IS_SIGNED_IN, 401)


def test_an_ended_session_is_noticed(sample: SampleRecords) -> None:
    client, other = sample.crm.app.test_client(), sample.crm.app.test_client()
    sid = client.post("/api/method/login", data={"usr": "ana", "pwd": PASSWORD}).headers["Set-Cookie"].split("sid=")[1]
    other.set_cookie("sid", sid.split(";")[0])
    assert other.get(f"/api/method/{WHO_IS_SIGNED_IN}").get_json() == {"message": "ana@eshin.test"}
    client.post("/api/method/logout")
    response = other.get(f"/api/method/{WHO_IS_SIGNED_IN}")
    assert_refusal(response, WHO_IS_SIGNED_IN, 403)
    assert response.get_json()["session_expired"] == 1


def test_without_the_right(sample: SampleRecords) -> None:
    """Compliance may only read."""
    for name, (_who, build_body) in SAMPLE_CALLS.items():
        if METHODS[name].writes and name not in ("login",) and "mark_" not in name:
            asked = f"rhea: {name}"
            response = sample.call("rhea", name, build_body(sample))
            assert refused_or_reported(response, asked) or not response.get_json()["message"].get("updated"), asked


# --- what is asked


@pytest.mark.parametrize("body", BAD_BODIES, ids=str)
def test_with_bad_arguments(sample: SampleRecords, body: Any) -> None:
    for name, method in METHODS.items():
        if name == "login":
            continue
        with raising_server_errors(name):
            response = sample.call("root", name, body)
        if response.status_code >= 400 or not isinstance(body, dict):
            assert_refusal(response, f"{name} {body}", 417, 403, 404)
        assert not (method.writes and response.status_code < 400 and not isinstance(body, dict)), name


@each_case("doctype", [*DOCTYPES, *PICKLISTS, "Nothing", "API Key"])
def test_a_document_that_does_not_exist(sample: SampleRecords, doctype: str) -> None:
    client, headers = sample.crm.app.test_client(), sample.crm.client("root").headers
    for root in ("/api/resource", "/api/v1/resource", "/api/v2/document"):
        for verb in ("GET", "PUT", "DELETE"):
            response = client.open(f"{root}/{doctype}/NOTHING-9", method=verb, json={"status": "x"}, headers=headers)
            assert_refusal(response, f"{verb} {root} {doctype}", 404, 403)
            assert ("errors" in response.get_json()) is (root == "/api/v2/document")


def test_conflicts_and_failed_validation(sample: SampleRecords) -> None:
    lead = sample.result("ana", "frappe.client.get", doctype="CRM Lead", name=sample.lead.number)
    stale = lead | {"modified": "2020-01-01 00:00:00.000000", "description": "New"}
    unsuitable = {"doctype": "CRM Lead", "name": lead["name"], "fieldname": "status", "value": "No such"}
    twice = {"doctype": "CRM Call Log", "type": "Outgoing", "status": "Completed", "to": "9820011111"}
    twice |= {"start_time": "2026-01-05 10:00:00", "id": "device_1"}
    for name, body, status, kind in (
        ("save", {"doc": stale}, 409, "TimestampMismatchError"),
        ("set_value", unsuitable, 417, "ValidationError"),
        ("insert", {"doc": twice}, 409, "DuplicateEntryError"),
        ("rename_doc", {"doctype": "CRM Lead", "old_name": lead["name"], "new_name": "X"}, 417, "ValidationError"),
        ("submit", {"doc": lead}, 417, "ValidationError"),
        ("get_single_value", {"doctype": "FCRM Settings", "field": "brand_name"}, 403, "PermissionError"),
    ):
        response = sample.call("ana", f"frappe.client.{name}", body)
        assert_refusal(response, name, status)
        assert response.get_json()["exc_type"] == kind


@pytest.mark.parametrize(
    "path", ["/api/method/nothing", "/api/v1/method/nothing", "/api/v2/method/nothing", "/api/v2/x"]
)
def test_an_address_that_does_not_exist(sample: SampleRecords, path: str) -> None:
    assert_refusal(sample.crm.app.test_client().get(path, headers=sample.crm.client("root").headers), path, 404)


def test_guesses_and_large_batches(sample: SampleRecords) -> None:
    large = sample.call("ana", "crm.api.mobile_sync.sync_call_logs", {"call_logs_data": [{}] * 1001})
    assert_refusal(large, "sync", 413)
    long = {"reference_doctype": "CRM Lead", "reference_docname": sample.lead.number, "content": "<" + "a" * 200_000}
    assert_refusal(sample.call("ana", "crm.api.comment_notifications.quick_reply", long), "comment", 413)
