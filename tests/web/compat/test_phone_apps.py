"""The phone apps: sign-in, sync, own calls and statistics."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from app.models import CallLog, SignIn
from app.ops.redis.rate_counter import Rate
from app.web.security import rate_limits
from tests.app_fixtures import PASSWORD, Crm

METHOD = "/api/method/"
SYNC = METHOD + "crm.api.mobile_sync.sync_call_logs"
ME = METHOD + "frappe.auth.get_logged_user"


class Phone:
    """An app: only the cookie `sid` and X-Requested-With, no CSRF token."""

    def __init__(self, crm: Crm, name: str) -> None:
        self.crm, self.browser = crm, crm.app.test_client()
        self.name = name

    def sign_in(self, json: bool = False) -> Any:
        credentials = {"usr": self.name, "pwd": PASSWORD}
        return self.browser.post(METHOD + "login", **({"json": credentials} if json else {"data": credentials}))

    def call(self, method: str, body: Any = None, **more: Any) -> Any:
        return self.browser.post(METHOD + method, json=body or {}, **more)

    def sync(self, logs: Any) -> Any:
        return self.browser.post(SYNC, json={"call_logs_data": logs}, headers={"X-Requested-With": "XMLHttpRequest"})


@pytest.fixture
def phone(crm: Crm) -> Phone:
    """Ana's telephone, authenticated."""
    phone = Phone(crm, "ana")
    phone.sign_in()
    return phone


def call_record(number: int = 1, **values: Any) -> dict[str, Any]:
    """A call as the Flutter app sends it."""
    return {
        "from": f"+91982000{number:04d}",
        "to": "9820099999",
        "type": "Incoming",
        "status": "Completed",
        "duration": 42,
        "start_time": "2026-11-20 14:03:22",
        "device_call_id": f"device_{number}",
        "native_duration": 42,
        "method": "Mobile",
        "source": "Mobile App",
    } | values


@pytest.mark.parametrize("json", [True, False])
def test_login_by_form_and_by_json_sets_the_session_cookie(crm: Crm, json: bool) -> None:
    phone = Phone(crm, "ana")
    response = phone.sign_in(json)
    assert response.status_code == 200
    assert response.get_json() == {"message": "Logged In", "home_page": "/app", "full_name": "Ana Shah"}
    assert response.headers["Set-Cookie"].startswith("sid=")
    assert phone.browser.get(ME).get_json() == {"message": "ana@eshin.test"}


def test_a_wrong_password_is_401_and_sets_no_cookie(crm: Crm) -> None:
    response = crm.app.test_client().post(METHOD + "login", json={"usr": "ana", "pwd": "no"})
    assert (response.status_code, response.get_json()["exc_type"]) == (401, "AuthenticationError")
    assert "sid=" not in str(response.headers.getlist("Set-Cookie"))


def test_an_address_may_fail_twenty_logins_a_minute(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "SIGN_IN_ATTEMPTS", Rate(20, 10**9))
    browser = crm.app.test_client()
    for _ in range(2):  # successful logins do not count
        assert browser.post(METHOD + "login", json={"usr": "ana", "pwd": PASSWORD}).status_code == 200
    for n in range(20):
        assert browser.post(METHOD + "login", json={"usr": f"name {n}", "pwd": "wrong"}).status_code == 401
    for response in (
        browser.post(METHOD + "login", json={"usr": "ana", "pwd": PASSWORD}),
        browser.post("/", data={"cmd": "login", "usr": "ana", "pwd": PASSWORD}),
    ):
        assert (response.status_code, response.get_json()["exc_type"]) == (429, "TooManyRequestsError")
        assert int(response.headers["Retry-After"]) > 0 and "sid=" not in str(response.headers.getlist("Set-Cookie"))


def test_logout_ends_the_session(phone: Phone) -> None:
    assert phone.browser.get(METHOD + "logout").status_code == 200
    assert phone.browser.get(ME).status_code == 401
    live = select(func.count(SignIn.id)).where(SignIn.method == "compat", SignIn.ended_on.is_(None))
    assert phone.crm.session.scalar(live) == 0


def test_every_method_is_401_without_authentication(crm: Crm) -> None:
    from app.web.compat.method_registry import METHODS

    for name, method in METHODS.items():
        response = crm.app.test_client().post(METHOD + name, json={})
        assert method.allow_guest or response.status_code == 401, name


def test_the_cookie_of_our_own_pages_is_not_accepted(crm: Crm) -> None:
    assert crm.client("ana").browser.get(ME).status_code == 401


def test_another_site_cannot_use_the_session_cookie(phone: Phone) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert phone.call("crm.api.mobile_sync.get_user_profile", headers=headers).status_code == 401


def test_a_writing_method_refuses_get(phone: Phone) -> None:
    response = phone.browser.get(SYNC, query_string={"call_logs_data": "[]"})
    assert (response.status_code, response.get_json()["exc_type"]) == (403, "PermissionError")


@pytest.mark.parametrize("path", ["nothing", "os.system", "frappe.client.no", "../login", "crm.api.mobile_sync._told"])
def test_a_method_that_is_not_whitelisted_is_404(phone: Phone, path: str) -> None:
    assert phone.browser.post(METHOD + path, json={}).status_code == 404


# --- calls


def test_calls_are_stored_and_counted_in_message_and_data(phone: Phone) -> None:
    body = phone.sync(
        [call_record(1), call_record(2, type="Missed", duration=0), call_record(3, start_time="never")]
    ).get_json()["message"]
    for result in (body, body["data"]):
        assert (result["success_count"], result["failure_count"], result["duplicate_count"]) == (2, 1, 0)
        assert len(result["processed_ids"]) == 2
    assert [each["status"] for each in body["data"]["results"]] == ["created", "created", "error"]
    assert body["data"]["results"][2]["error_code"] == "bad_time"


def test_the_same_batch_again_is_only_duplicates(phone: Phone) -> None:
    first, second = (phone.sync([call_record(1), call_record(2)]).get_json()["message"]["data"] for _ in range(2))
    assert (second["success_count"], second["duplicate_count"]) == (0, 2)
    assert first["processed_ids"] == second["processed_ids"]


@pytest.mark.parametrize("logs", [call_record(1), '[{"from": "1"}]', []])
def test_a_single_call_and_json_text_are_accepted(phone: Phone, logs: Any) -> None:
    assert phone.sync(logs).status_code == 200


@pytest.mark.parametrize(
    ("logs", "status"), [("not a list", 417), (7, 417), (None, 417), ([{}] * 1001, 413), ('[{"a"', 417)]
)
def test_an_invalid_batch_is_refused(phone: Phone, logs: Any, status: int) -> None:
    response = phone.sync(logs)
    assert (response.status_code, response.get_json()["exc_type"]) == (status, "ValidationError")
    assert phone.crm.session.scalar(select(func.count(CallLog.id))) == 0


def test_half_an_emoji_in_a_name_loses_no_call(phone: Phone) -> None:
    body = (
        b'{"call_logs_data": [{"from": "9820011111", "to": "9820099999", "type": "Incoming", "duration": 3, '
        b'"start_time": "2026-11-20 10:00:00", "contact_name": "Ravi \\ud83d"}]}'
    )
    response = phone.browser.post(SYNC, data=body, content_type="application/json")
    assert response.get_json()["message"]["success_count"] == 1


def test_the_employee_of_a_call_cannot_be_forged(phone: Phone) -> None:
    phone.sync([call_record(1, employee="ben", owner="ben", employee_id=3)])
    stored = phone.crm.session.scalars(select(CallLog)).one()
    assert (stored.employee_id, stored.created_by_id) == (phone.crm.people["ana"].id,) * 2


def test_sync_needs_the_permission_to_create_calls(crm: Crm) -> None:
    phone = Phone(crm, "rhea")
    phone.sign_in()
    assert phone.sync([call_record(1)]).status_code == 403


def test_own_calls_and_sync_statistics(phone: Phone) -> None:
    phone.sync([call_record(n) for n in range(3)])
    logs = phone.call("crm.api.mobile_sync.get_user_call_logs", {"limit": 2}).get_json()["message"]
    assert (len(logs["data"]), logs["data"][0]["start_time"]) == (2, "2026-11-20 14:03:22")
    assert logs["data"][0]["from"] == "+919820000002"
    figures = phone.call("crm.api.mobile_sync.get_sync_stats").get_json()["message"]["data"]
    assert (figures["total_call_logs"], figures["mobile_synced_logs"], figures["sync_percentage"]) == (3, 3, 100.0)
    other = Phone(phone.crm, "ben")
    other.sign_in()
    assert other.call("crm.api.mobile_sync.get_user_call_logs").get_json()["message"]["data"] == []


def test_the_profile_has_the_fields_that_the_app_reads(phone: Phone) -> None:
    data = phone.call("crm.api.mobile_sync.get_user_profile").get_json()["message"]["data"]
    assert set(data) == {"user", "full_name", "mobile_no", "email", "first_name", "last_name"}


def test_guests_get_the_app_version_at_the_top_level(crm: Crm) -> None:
    response = crm.app.test_client().get(METHOD + "crm.api.app_update.get_app_version").get_json()
    assert response["version"] == response["message"]["version"]


# --- other ways to authenticate and call


def test_methods_can_be_called_by_cmd_at_the_root(crm: Crm) -> None:
    script = crm.app.test_client()
    credentials = {"cmd": "login", "usr": "ana", "pwd": PASSWORD}
    assert script.post("/", data=credentials).get_json()["message"] == "Logged In"
    assert script.get("/?cmd=frappe.auth.get_logged_user").get_json() == {"message": "ana@eshin.test"}
    assert script.get("/?cmd=logout").status_code == 200
    assert script.get("/?cmd=frappe.auth.get_logged_user").status_code == 401


def test_an_api_key_is_accepted_as_token_and_as_basic_authentication(crm: Crm) -> None:
    from base64 import b64encode

    secret = b64encode(b"keyana:secret-ana").decode()
    for header in ("token keyana:secret-ana", f"Basic {secret}"):
        response = crm.app.test_client().get(ME + "/", headers={"Authorization": header})
        assert response.get_json() == {"message": "ana@eshin.test"}
