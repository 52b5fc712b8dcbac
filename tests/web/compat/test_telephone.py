"""The telephone applications in the field: sign in, send calls, read figures, as they always did."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from app.models import CallLog, SignIn
from app.ops.rate_counter import Rate
from app.web.security import rate_limits
from tests.app_fixtures import PASSWORD, World

METHOD = "/api/method/"
SYNC = METHOD + "crm.api.mobile_sync.sync_call_logs"
ME = METHOD + "frappe.auth.get_logged_user"


class Phone:
    """An application: cookie `sid` only, X-Requested-With, no token of any form."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.browser = world, world.app.test_client()
        self.name = name

    def sign_in(self, json: bool = False) -> Any:
        typed = {"usr": self.name, "pwd": PASSWORD}
        return self.browser.post(METHOD + "login", **({"json": typed} if json else {"data": typed}))

    def ask(self, method: str, body: Any = None, **more: Any) -> Any:
        return self.browser.post(METHOD + method, json=body or {}, **more)

    def sync(self, logs: Any) -> Any:
        return self.browser.post(SYNC, json={"call_logs_data": logs}, headers={"X-Requested-With": "XMLHttpRequest"})


@pytest.fixture
def phone(world: World) -> Phone:
    """Ana's, signed in."""
    made = Phone(world, "ana")
    made.sign_in()
    return made


def log(number: int = 1, **values: Any) -> dict[str, Any]:
    """As the Flutter application tells it."""
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
def test_signing_in_by_form_and_by_json_hands_out_the_cookie(world: World, json: bool) -> None:
    phone = Phone(world, "ana")
    answer = phone.sign_in(json)
    assert answer.status_code == 200
    assert answer.get_json() == {"message": "Logged In", "home_page": "/app", "full_name": "Ana Shah"}
    assert answer.headers["Set-Cookie"].startswith("sid=")
    assert phone.browser.get(ME).get_json() == {"message": "ana"}


def test_a_wrong_password_is_401_and_sets_no_cookie(world: World) -> None:
    answer = world.app.test_client().post(METHOD + "login", json={"usr": "ana", "pwd": "no"})
    assert (answer.status_code, answer.get_json()["exc_type"]) == (401, "AuthenticationError")
    assert "sid=" not in str(answer.headers.getlist("Set-Cookie"))


def test_an_address_may_be_wrong_twenty_times_a_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "TRIES", Rate(20, 10**9))
    browser = world.app.test_client()
    for _ in range(2):  # a right one counts for nothing
        assert browser.post(METHOD + "login", json={"usr": "ana", "pwd": PASSWORD}).status_code == 200
    for n in range(20):
        assert browser.post(METHOD + "login", json={"usr": f"name {n}", "pwd": "wrong"}).status_code == 401
    for answer in (
        browser.post(METHOD + "login", json={"usr": "ana", "pwd": PASSWORD}),
        browser.post("/", data={"cmd": "login", "usr": "ana", "pwd": PASSWORD}),
    ):
        assert (answer.status_code, answer.get_json()["exc_type"]) == (429, "TooManyRequestsError")
        assert int(answer.headers["Retry-After"]) > 0 and "sid=" not in str(answer.headers.getlist("Set-Cookie"))


def test_signing_out_ends_the_cookie(phone: Phone) -> None:
    assert phone.browser.get(METHOD + "logout").status_code == 200
    assert phone.browser.get(ME).status_code == 401
    live = select(func.count(SignIn.id)).where(SignIn.door == "compat", SignIn.ended_on.is_(None))
    assert phone.world.session.scalar(live) == 0


def test_who_is_not_signed_in_hears_401_at_every_method(world: World) -> None:
    from app.web.compat.registry import METHODS

    for name, method in METHODS.items():
        answer = world.app.test_client().post(METHOD + name, json={})
        assert method.allow_guest or answer.status_code == 401, name


def test_our_own_pages_cookie_counts_for_nothing_here(world: World) -> None:
    assert world.door("ana").browser.get(ME).status_code == 401


def test_a_foreign_page_cannot_send_a_telephones_cookie(phone: Phone) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert phone.ask("crm.api.mobile_sync.get_user_profile", headers=headers).status_code == 401


def test_a_writing_method_refuses_get(phone: Phone) -> None:
    answer = phone.browser.get(SYNC, query_string={"call_logs_data": "[]"})
    assert (answer.status_code, answer.get_json()["exc_type"]) == (403, "PermissionError")


@pytest.mark.parametrize("path", ["nothing", "os.system", "frappe.client.no", "../login", "crm.api.mobile_sync._told"])
def test_what_is_not_in_the_table_does_not_exist(phone: Phone, path: str) -> None:
    assert phone.browser.post(METHOD + path, json={}).status_code == 404


# --- calls


def test_calls_are_stored_and_counted_in_both_places(phone: Phone) -> None:
    body = phone.sync([log(1), log(2, type="Missed", duration=0), log(3, start_time="never")]).get_json()["message"]
    for told in (body, body["data"]):
        assert (told["success_count"], told["failure_count"], told["duplicate_count"]) == (2, 1, 0)
        assert len(told["processed_ids"]) == 2
    assert [each["status"] for each in body["data"]["results"]] == ["created", "created", "error"]
    assert body["data"]["results"][2]["error_code"] == "bad_time"


def test_the_same_batch_again_is_all_duplicates(phone: Phone) -> None:
    first, second = (phone.sync([log(1), log(2)]).get_json()["message"]["data"] for _ in range(2))
    assert (second["success_count"], second["duplicate_count"]) == (0, 2)
    assert first["processed_ids"] == second["processed_ids"]


@pytest.mark.parametrize("logs", [log(1), '[{"from": "1"}]', []])
def test_one_call_or_a_text_of_json_are_taken_too(phone: Phone, logs: Any) -> None:
    assert phone.sync(logs).status_code == 200


@pytest.mark.parametrize(
    ("logs", "status"), [("not a list", 417), (7, 417), (None, 417), ([{}] * 1001, 413), ('[{"a"', 417)]
)
def test_what_is_no_batch_is_refused_whole(phone: Phone, logs: Any, status: int) -> None:
    answer = phone.sync(logs)
    assert (answer.status_code, answer.get_json()["exc_type"]) == (status, "ValidationError")
    assert phone.world.session.scalar(select(func.count(CallLog.id))) == 0


def test_half_a_picture_in_a_name_loses_no_call(phone: Phone) -> None:
    body = (
        b'{"call_logs_data": [{"from": "9820011111", "to": "9820099999", "type": "Incoming", "duration": 3, '
        b'"start_time": "2026-11-20 10:00:00", "contact_name": "Ravi \\ud83d"}]}'
    )
    answer = phone.browser.post(SYNC, data=body, content_type="application/json")
    assert answer.get_json()["message"]["success_count"] == 1


def test_another_employee_cannot_be_named(phone: Phone) -> None:
    phone.sync([log(1, employee="ben", owner="ben", employee_id=3)])
    stored = phone.world.session.scalars(select(CallLog)).one()
    assert (stored.employee_id, stored.created_by_id) == (phone.world.people["ana"].id,) * 2


def test_who_may_not_log_calls_is_refused(world: World) -> None:
    phone = Phone(world, "rhea")
    phone.sign_in()
    assert phone.sync([log(1)]).status_code == 403


def test_one_reads_ones_own_calls_and_figures(phone: Phone) -> None:
    phone.sync([log(n) for n in range(3)])
    logs = phone.ask("crm.api.mobile_sync.get_user_call_logs", {"limit": 2}).get_json()["message"]
    assert (len(logs["data"]), logs["data"][0]["start_time"]) == (2, "2026-11-20 14:03:22")
    assert logs["data"][0]["from"] == "+919820000002"
    figures = phone.ask("crm.api.mobile_sync.get_sync_stats").get_json()["message"]["data"]
    assert (figures["total_call_logs"], figures["mobile_synced_logs"], figures["sync_percentage"]) == (3, 3, 100.0)
    other = Phone(phone.world, "ben")
    other.sign_in()
    assert other.ask("crm.api.mobile_sync.get_user_call_logs").get_json()["message"]["data"] == []


def test_the_profile_has_what_the_application_looks_for(phone: Phone) -> None:
    data = phone.ask("crm.api.mobile_sync.get_user_profile").get_json()["message"]["data"]
    assert set(data) == {"user", "full_name", "mobile_no", "email", "first_name", "last_name"}


def test_the_version_stands_at_the_top_for_guests_too(world: World) -> None:
    answer = world.app.test_client().get(METHOD + "crm.api.app_update.get_app_version").get_json()
    assert answer["version"] == answer["message"]["version"]


# --- the oldest ways in


def test_cmd_at_the_root(world: World) -> None:
    script = world.app.test_client()
    typed = {"cmd": "login", "usr": "ana", "pwd": PASSWORD}
    assert script.post("/", data=typed).get_json()["message"] == "Logged In"
    assert script.get("/?cmd=frappe.auth.get_logged_user").get_json() == {"message": "ana"}
    assert script.get("/?cmd=logout").status_code == 200
    assert script.get("/?cmd=frappe.auth.get_logged_user").status_code == 401


def test_a_key_opens_the_doors_by_token_and_basic(world: World) -> None:
    from base64 import b64encode

    secret = b64encode(b"keyana:secret-ana").decode()
    for header in ("token keyana:secret-ana", f"Basic {secret}"):
        answer = world.app.test_client().get(ME + "/", headers={"Authorization": header})
        assert answer.get_json() == {"message": "ana"}
