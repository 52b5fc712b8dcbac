"""Users by email address or username in requests, by address in responses; calls by the sender's id; conversions."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from app import access
from app.models import CallLog, Lead, Notification, User
from tests.app_fixtures import PASSWORD, Crm
from tests.factories import NOW
from tests.web.compat.sample_calls import SampleRecords
from tests.web.compat.test_client import Script

USERS = "crm.api.session.get_users"
CALL = {"doctype": "CRM Call Log", "type": "Outgoing", "status": "Completed", "to": "9820011111"}
CALL |= {"start_time": "2026-01-05 10:00:00"}


@pytest.fixture
def script(crm: Crm) -> Script:
    return Script(crm)


# --- users


@pytest.mark.parametrize("name", ["ben", "ben@eshin.test", "BEN@Eshin.Test", "Ben"])
def test_a_colleague_is_named_by_address_or_username(crm: Crm, name: str) -> None:
    boss = Script(crm, "root")
    lead = crm.make.lead("ana", task={})
    changed = boss.result("set_value", doctype="CRM Lead", name=lead.number, fieldname="lead_owner", value=name)
    assert changed["lead_owner"] == "ben@eshin.test"
    new = {"doctype": "CRM Lead", "first_name": "Uma", "mobile_no": "9820047001", "assign_to": name}
    assert boss.result("insert", doc=new)["assign_to"] == "ben@eshin.test"
    assert boss.result("get_count", doctype="CRM Lead", filters={"assign_to": name}) == 1
    method = "/api/method/crm.api.role_assignment.assign_to_user"
    body = {"lead_name": lead.number, "user_name": name}
    assigned = boss.browser.post(method, json=body, headers=boss.headers).get_json()["message"]
    assert assigned["assigned_user"] == "ben@eshin.test"


def test_every_name_of_a_user_that_goes_out_comes_back_as_the_same_user(sample: SampleRecords) -> None:
    everyone, _crm = sample.result("root", USERS)
    assert {"name", "email", "role", "full_name", "enabled", "username"} <= set(everyone[0])
    for each in everyone:
        for sent in (each["name"], each["email"], each["username"]):
            body = {"doctype": "CRM Lead", "filters": {"lead_owner": sent}}
            assert sample.call("root", "frappe.client.get_count", body).status_code == 200, sent
    roles = {each["username"]: each["role"] for each in everyone}
    assert (roles["ana"], roles["root"]) == ("Sales User", "Admin")


def test_only_active_colleagues_are_listed_with_their_public_fields(crm: Crm) -> None:
    gone = crm.session.get_one(User, crm.make.user("gone", "Sales User").id)
    gone.active = False
    access.bump_version(crm.session)
    crm.session.commit()
    script = Script(crm)
    for found in (
        script.result("get_list", doctype="User", fields="*", limit=0),
        script.browser.post(f"/api/method/{USERS}", json={}, headers=script.headers).get_json()["message"][0],
        script.open("GET", "User", query_string={"limit": 0, "fields": '["*"]'}).get_json()["data"],
    ):
        assert "gone@eshin.test" not in [each["name"] for each in found]
        assert not {"password", "roles", "api_key", "mobile_no"} & {name for each in found for name in each}
    link = {"doctype": "User", "txt": "an"}
    found = script.browser.post("/api/method/frappe.desk.search.search_link", json=link, headers=script.headers)
    assert {"value": "ana@eshin.test", "label": "Ana Shah", "description": "Ana Shah"} in found.get_json()["message"]
    assert script.result("get_value", doctype="User", filters="ana@eshin.test", fieldname="full_name") == {
        "full_name": "Ana Shah"
    }
    for verb in ("POST", "PUT", "DELETE"):
        path = "User" if verb == "POST" else "User/ana@eshin.test"
        assert script.open(verb, path, json={"full_name": "X"}).status_code == 403


@pytest.mark.parametrize("doctype", ["User", "Role", "Account Type", "CRM Account Type", "Ticket Subject"])
def test_what_a_client_must_send_can_be_read(script: Script, doctype: str) -> None:
    assert script.result("get_list", doctype=doctype, order_by="modified desc")
    assert script.open("GET", doctype).status_code == 200


def test_login_sets_the_cookies_that_clients_read(crm: Crm) -> None:
    response = crm.app.test_client().post("/api/method/login", data={"usr": "ana", "pwd": PASSWORD})
    cookies = dict(each.partition(";")[0].split("=", 1) for each in response.headers.getlist("Set-Cookie"))
    assert (cookies["full_name"], cookies["user_id"]) == ("Ana%20Shah", "ana%40eshin.test")
    assert cookies["system_user"] == "yes"


# --- calls


@pytest.mark.parametrize("key", ["CALL-1", "9f8e-77", "770012345678901", "555001"])
def test_a_call_keeps_the_id_of_its_sender(script: Script, key: str) -> None:
    stored = script.result("insert", doc=CALL | {"id": key})
    assert (stored["id"], stored["device_call_id"]) == (key, key)
    for again in (
        script.call("insert", doc=CALL | {"id": key}),
        script.open("POST", "CRM Call Log", json=CALL | {"id": key}),
    ):
        assert (again.status_code, again.get_json()["exc_type"]) == (409, "DuplicateEntryError")
    assert script.open("GET", f"CRM Call Log/{key}").get_json()["data"]["name"] == stored["name"]
    assert script.result("get_list", doctype="CRM Call Log", filters={"id": key}) == [{"name": stored["name"]}]
    changed = script.open("PUT", f"CRM Call Log/{key}", json={"is_cold_call": 1})
    assert changed.get_json()["data"]["is_cold_call"] == 1


def test_an_id_that_is_the_number_of_another_call_reads_its_own(script: Script, crm: Crm) -> None:
    first = crm.make.call("ana")
    stored = script.result("insert", doc=CALL | {"id": str(first.id)})
    assert script.open("GET", f"CRM Call Log/{first.id}").get_json()["data"]["name"] == stored["name"]
    assert script.open("PUT", f"CRM Call Log/{first.id}", json={"is_cold_call": 1}).status_code == 417


def test_the_same_call_in_parallel_is_stored_once(maria: Crm) -> None:
    statuses: list[int] = []

    def send() -> None:
        statuses.append(Script(maria).call("insert", doc=CALL | {"id": "PARALLEL-1"}).status_code)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 409, 409, 409, 409, 409]
    assert maria.count(CallLog, CallLog.device_call_id == "PARALLEL-1") == 1


@pytest.mark.parametrize("sent", ["", None, "Private", "-2"])
def test_a_call_with_a_withheld_number_is_stored(script: Script, sent: Any) -> None:
    doc = CALL | {"type": "Incoming", "status": "Missed Call", "from": sent}
    assert script.result("insert", doc=doc)["from"] == "withheld"


@pytest.mark.parametrize("sent", [1767587400000, "1767587400000", 1767587400, "2026-01-05 10:00:00"])
def test_a_start_time_is_read_however_it_is_written(script: Script, sent: Any) -> None:
    assert script.result("insert", doc=CALL | {"start_time": sent})["start_time"] == "2026-01-05 10:00:00.000000"


# --- conversions


@pytest.mark.parametrize(
    ("sent", "day"),
    [
        ("1990-05-14T18:30:00.000Z", "1990-05-15"),
        ("1990-05-14T18:29:59Z", "1990-05-14"),
        ("1990-05-15T00:00:00+05:30", "1990-05-15"),
        ("1990-05-15 00:00:00", "1990-05-15"),
        ("1990-05-15", "1990-05-15"),
    ],
)
def test_a_date_of_birth_is_the_day_that_was_meant(script: Script, sent: str, day: str) -> None:
    doc = {"doctype": "CRM Lead", "first_name": "Ila", "mobile_no": "9820048001", "date_of_birth": sent}
    assert script.result("insert", doc=doc)["date_of_birth"] == day


@pytest.mark.parametrize("sent", ["9820012345;9820054321", "9820012345, 9820054321", "9820012345/9820054321"])
def test_two_numbers_in_one_field_are_refused(script: Script, crm: Crm, sent: str) -> None:
    response = script.call("insert", doc={"doctype": "CRM Lead", "first_name": "Ila", "mobile_no": sent})
    assert response.status_code == 417 and "mobile_no" in response.get_json()["exception"]
    assert crm.count(Lead) == 0


# --- notifications


def test_a_snoozed_comment_is_away_until_it_comes_back(sample: SampleRecords) -> None:
    asked = "crm.api.comment_notifications.get_comment_notifications"
    (first,) = sample.result("ana", asked)
    assert (first["notification_type"], first["read"]) == ("New Message", 0)
    row = sample.crm.session.get_one(Notification, int(first["name"]))
    row.snoozed_until = NOW.replace(year=2099)
    sample.crm.session.commit()
    assert sample.result("ana", asked) == sample.result("ana", asked, filter_type="unread") == []
    shown = sample.crm.client("ana").screen("/bell/?show=unread").text
    assert f'data-id="{row.id}"' not in shown
    assert sample.call("ana", asked, {"filter_type": "whatever"}).status_code == 417
