"""API keys: authentication, scopes, expiry, their page and the command line."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app import access
from app.domain.base import RuleBroken
from app.extensions import db
from app.models import ApiKey, AuditEntry, Role, User
from app.ops.database import connections
from app.web.security import api_keys, fab_permissions
from tests.cases import each_case
from tests.web.security_app import (  # noqa: F401  (fixtures)
    PASSWORD,
    ana,
    app,
    basic_header,
    browser,
    change,
    get_menu,
    is_signed_in,
    key_for,
    migrated,
    move_clock,
    post,
    root,
    rows,
    sign_in,
    user_id,
)


def test_a_key_is_accepted_in_both_schemes(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    made = key_for(app, "ana")
    assert get_menu(browser(), f"token {made.key}:{made.secret}").status_code == 200
    assert get_menu(browser(), f"Token  {made.key}:{made.secret}").status_code == 200
    assert get_menu(browser(), basic_header(made.key, made.secret)).status_code == 200


def test_a_key_opens_no_pages(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    made = key_for(app, "ana")
    assert not is_signed_in(browser(), headers={"Authorization": f"token {made.key}:{made.secret}"})


def test_a_cookie_does_not_replace_an_invalid_key(ana: FlaskClient) -> None:
    assert get_menu(ana, "token wrong:wrong").status_code == 401
    assert get_menu(ana, None).status_code == 200


def test_a_wrong_secret_is_refused(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    made, other = key_for(app, "ana"), key_for(app, "mia")
    for secret in ("", "wrong", other.secret, made.secret[:-1], made.secret + "x"):
        access.clear_cache()
        assert get_menu(app.test_client(), f"token {made.key}:{secret}").status_code in (401, 429)


@pytest.mark.parametrize(
    "header",
    [
        "token",
        "token ",
        "token :",
        "token x",
        "token x:",
        "token :x",
        "token " + "x" * 50_000,
        "token é:é",
        "token ' OR 1=1 --:x",
        "token a\0b:x",
        "Basic",
        "Basic !!",
        "Basic AAAA",
        "Basic " + base64.b64encode(b"\xff\xfe:\x00").decode(),
        "Basic " + base64.b64encode(b"ana:" + PASSWORD.encode()).decode(),
    ],
)
def test_an_invalid_header_is_refused_as_json(browser: Callable[[], FlaskClient], header: str) -> None:
    response = get_menu(browser(), header)
    assert response.status_code == 401
    assert response.get_json()["message"]


def test_the_secret_is_stored_nowhere(app: Flask) -> None:
    made = key_for(app, "ana")
    with app.app_context(), access.as_system(db.session()) as session:
        row = session.scalars(select(ApiKey)).one()
        texts = str([(entry.about, entry.payload) for entry in session.scalars(select(AuditEntry))])
    assert made.secret not in str(vars(row)) and made.secret not in texts


@pytest.mark.parametrize("values", [{"active": False}])
def test_the_key_of_a_deactivated_user_is_refused(app: Flask, browser: Callable[[], FlaskClient], values: Any) -> None:
    made = key_for(app, "ana")
    change(app, "ana", **values)
    assert get_menu(browser(), f"token {made.key}:{made.secret}").status_code == 401


def test_a_revoked_key_is_refused(app: Flask, ana: FlaskClient) -> None:
    made = key_for(app, "ana")
    assert post(ana, f"/keys/{made.id}/revoke", "/keys/").status_code == 302
    assert get_menu(app.test_client(), f"token {made.key}:{made.secret}").status_code == 401
    events = [event for (event,) in rows(app, select(AuditEntry.event))]
    assert {"api key made", "api key revoked"} <= set(events)


def test_a_call_costs_one_statement(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    made = key_for(app, "ana")
    client = browser()
    statements: list[str] = []
    get_menu(client, f"token {made.key}:{made.secret}")
    with app.test_request_context(headers={"Authorization": f"token {made.key}:{made.secret}"}):
        token = connections.STATEMENTS.set(statements)
        security: Any = app.appbuilder.sm  # type: ignore[attr-defined]
        assert security.authenticate_by_header().username == "ana"
        connections.STATEMENTS.reset(token)
    assert len(statements) == 1


def test_use_is_recorded_once_a_minute_and_audited_once_a_day(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    made = key_for(app, "ana")
    header = f"token {made.key}:{made.secret}"
    used = select(ApiKey.last_used_on)
    get_menu(browser(), header)
    ((first,),) = rows(app, used)
    get_menu(browser(), header)
    assert rows(app, used) == [(first,)]
    move_clock(app, ApiKey.last_used_on, timedelta(seconds=61))
    get_menu(browser(), header)
    assert rows(app, used)[0][0] > first
    assert [event for (event,) in rows(app, select(AuditEntry.event))].count("api key used") in (1, 2)  # midnight


# --- scopes


def person_of(app: Any, made: api_keys.NewApiKey) -> access.Person:
    with app.test_request_context(headers={"Authorization": f"token {made.key}:{made.secret}"}):
        app.appbuilder.sm.authenticate_by_header()
        person = access.acting(db.session())
        assert person is not None
        return person


def test_a_key_has_the_permissions_of_its_user(app: Flask) -> None:
    who = person_of(app, key_for(app, "ana"))
    assert who.may("Leads", "read") and not who.may("Tickets", "read")


def test_a_limited_key_needs_scope_and_permission(app: Flask) -> None:
    who = person_of(app, key_for(app, "ana", "Leads.read", "Tickets", "Settings"))
    assert who.may("Leads", "read")
    assert not who.may("Leads", "write")
    assert not who.may("Tickets", "read")
    assert not who.may("Settings", "read")


def test_a_limited_key_of_an_admin_is_limited_too(app: Flask) -> None:
    who = person_of(app, key_for(app, "root", "Leads.read"))
    assert fab_permissions.is_allowed(who, "can_read", "Leads")
    assert not fab_permissions.is_allowed(who, "can_write", "Leads")
    assert not fab_permissions.is_allowed(who, "can_list", "UserDBModelView")
    assert not who.may("Settings", "write")


def test_the_scope_of_a_key_does_not_affect_its_user(app: Flask) -> None:
    person_of(app, key_for(app, "ana", "Leads.read"))
    assert person_of(app, key_for(app, "ana")).may("Tasks", "write")


def test_a_read_only_person_cannot_change_anything(app: Flask) -> None:
    import dataclasses

    who = dataclasses.replace(person_of(app, key_for(app, "root")), read_only=True)
    assert fab_permissions.is_allowed(who, "can_list", "UserDBModelView")
    assert not fab_permissions.is_allowed(who, "can_edit", "UserDBModelView")
    assert not fab_permissions.is_allowed(who, "can_write", "Leads")


# --- failed attempts


def test_after_five_invalid_keys_only_valid_ones_are_accepted(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    made, client = key_for(app, "ana"), browser()
    codes = [get_menu(client, f"token {made.key}:wrong{n}") for n in range(20)]
    assert [each.status_code for each in codes] == [401] * 5 + [429] * 15
    assert 0 < int(codes[-1].headers["Retry-After"]) <= 60
    assert "Please try again at" in codes[-1].get_json()["message"]
    assert get_menu(client, f"token {made.key}:{made.secret}").status_code == 200


# --- the page


def test_the_secret_is_shown_once(app: Flask, ana: FlaskClient) -> None:
    response = post(ana, "/keys/", "/keys/", current_password=PASSWORD, name="dialler", scope=["Leads.read"])
    found = re.search(r"token ([0-9a-f]+):([\w-]+)", response.text)
    assert found is not None
    key, secret = found.groups()
    assert response.headers["Cache-Control"] == "no-store"
    assert get_menu(app.test_client(), f"token {key}:{secret}").status_code == 403  # limited to leads
    assert secret not in ana.get("/keys/").text
    assert rows(app, select(ApiKey.scope, ApiKey.user_id)) == [(["Leads.read"], user_id(app, "ana"))]


@each_case("fields", [{}, {"name": ""}, {"name": "x" * 121}, {"name": "a\0b"}, {"name": "x", "scope": "All"}])
def test_a_bad_name_or_limit_is_refused(app: Flask, ana: FlaskClient, fields: Any) -> None:
    assert post(ana, "/keys/", "/keys/", current_password=PASSWORD, **fields).status_code == 422
    assert rows(app, select(ApiKey.id)) == []


def test_the_name_is_escaped(app: Flask, ana: FlaskClient) -> None:
    response = post(ana, "/keys/", "/keys/", current_password=PASSWORD, name="<script>alert(1)</script>")
    assert "<script>alert(1)" not in response.text + ana.get("/keys/").text


def test_creating_and_revoking_need_the_csrf_token(app: Flask, ana: FlaskClient) -> None:
    made = key_for(app, "ana")
    assert ana.post("/keys/", data={"name": "x"}).status_code == 400
    assert ana.post(f"/keys/{made.id}/revoke").status_code == 400
    assert len(rows(app, select(ApiKey.id).where(ApiKey.revoked_on.is_(None)))) == 1


def test_only_an_admin_sees_and_revokes_keys_of_others(app: Flask, ana: FlaskClient, root: FlaskClient) -> None:
    made = key_for(app, "mia")
    assert made.key not in ana.get("/keys/").text
    assert post(ana, f"/keys/{made.id}/revoke", "/keys/").status_code == 404
    assert get_menu(app.test_client(), f"token {made.key}:{made.secret}").status_code == 200
    assert made.key in root.get("/keys/").text
    assert post(root, f"/keys/{made.id}/revoke", "/keys/").status_code == 302
    assert get_menu(app.test_client(), f"token {made.key}:{made.secret}").status_code == 401


def test_the_number_of_keys_is_limited(app: Flask) -> None:
    with app.app_context():
        who, now = user_id(app, "ana"), datetime.now(UTC)
        for n in range(api_keys.MAX_KEYS):
            api_keys.create_key(who, api_keys.ApiKeyRequest(f"key {n}"), now)
        with pytest.raises(RuleBroken, match="maximum number of keys"):
            api_keys.create_key(who, api_keys.ApiKeyRequest("one more"), now)


def in_days(days: int) -> str:
    """The date in this many days, as the form sends it."""
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def test_a_key_expires(app: Flask, ana: FlaskClient) -> None:
    made = key_for(app, "ana")
    for ahead, code in ((timedelta(minutes=1), 200), (timedelta(0), 401)):
        move_clock(app, ApiKey.expires_on, -ahead)
        assert get_menu(app.test_client(), f"token {made.key}:{made.secret}").status_code == code
    assert "Expired" in ana.get("/keys/").text


def test_the_expiry_date_is_chosen_on_the_page(app: Flask, ana: FlaskClient) -> None:
    assert post(ana, "/keys/", "/keys/", current_password=PASSWORD, name="dialler", ends=in_days(3)).status_code == 200
    ((ends,),) = rows(app, select(ApiKey.expires_on))
    assert timedelta(days=2) < ends - datetime.now(UTC) <= timedelta(days=4)


@each_case("ends", [in_days(-2), "0001-01-01", "tomorrow", "9999-12-31", "2026-13-45", "\x00"])
def test_an_invalid_expiry_date_is_refused(app: Flask, ana: FlaskClient, ends: str) -> None:
    response = post(ana, "/keys/", "/keys/", current_password=PASSWORD, name="dialler", ends=ends, scope=["Leads.read"])
    assert response.status_code == 422 and "Please choose an expiry date" in response.text
    assert 'value="Leads.read" checked' in response.text and 'value="dialler"' in response.text
    assert rows(app, select(ApiKey.id)) == []


def test_expired_keys_do_not_count_towards_the_limit(app: Flask) -> None:
    with app.app_context():
        who, now = user_id(app, "ana"), datetime.now(UTC)
        for _n in range(api_keys.MAX_KEYS):
            api_keys.create_key(who, api_keys.ApiKeyRequest("short", [], now + timedelta(hours=1)), now)
        assert api_keys.create_key(who, api_keys.ApiKeyRequest("next"), now + timedelta(hours=2)).id


def test_the_scope_is_shown_with_labels(app: Flask, ana: FlaskClient) -> None:
    response = post(
        ana,
        "/keys/",
        "/keys/",
        current_password=PASSWORD,
        name="dialler",
        scope=["Leads.read", "Leads.create", "Tasks"],
    )
    for page in (response.text, ana.get("/keys/").text):
        assert re.search(r"Leads: <span[^>]*>View, Create</span>", page)
        assert re.search(r"Tasks: <span[^>]*>Everything</span>", page)


def test_only_scopes_that_the_user_has_are_offered(ana: FlaskClient, root: FlaskClient) -> None:
    assert 'value="Leads.create"' in ana.get("/keys/").text
    assert 'value="Settings.write"' not in ana.get("/keys/").text
    assert 'value="Settings.write"' in root.get("/keys/").text


def test_a_scope_beyond_the_users_permissions_adds_none(app: Flask, ana: FlaskClient) -> None:
    assert (
        post(
            ana, "/keys/", "/keys/", current_password=PASSWORD, name="greedy", scope=["Settings", "Leads.read"]
        ).status_code
        == 200
    )
    who = person_of(app, key_for(app, "ana", "Settings", "Leads.read"))
    assert who.may("Leads", "read") and not who.may("Settings", "read") and not who.is_admin


def test_the_last_use_is_shown_with_its_address(app: Flask, ana: FlaskClient) -> None:
    made = key_for(app, "ana")
    get_menu(app.test_client(), f"token {made.key}:{made.secret}")
    assert rows(app, select(ApiKey.last_used_from)) == [("127.0.0.1",)]
    assert "from 127.0.0.1" in ana.get("/keys/").text


def test_revoking_asks_for_confirmation(app: Flask, ana: FlaskClient) -> None:
    key_for(app, "ana")
    assert "data-confirm=" in ana.get("/keys/").text


def test_creating_using_and_revoking_are_audited(app: Flask, ana: FlaskClient) -> None:
    made = key_for(app, "ana", "Leads.read")
    get_menu(app.test_client(), f"token {made.key}:{made.secret}")
    post(ana, f"/keys/{made.id}/revoke", "/keys/")
    texts = rows(app, select(AuditEntry.event, AuditEntry.payload).where(AuditEntry.about == f"api key {made.id}"))
    assert [event for event, _payload in texts] == ["api key made", "api key used", "api key revoked"]
    assert texts[0][1]["scope"] == ["Leads.read"]


# --- the command line


def run(app: Any, *words: str) -> Any:
    return app.test_cli_runner().invoke(args=list(words))


def test_a_lost_password_is_replaced_by_the_command_line(app: Flask, ana: FlaskClient) -> None:
    key_for(app, "ana", "Leads.read")
    weak = run(app, "user", "password", "ana", "--password", "short")
    assert weak.exit_code == 1 and "at least 10 characters" in weak.output
    assert run(app, "user", "password", "nobody", "--password", "Banyan-Tree-2291").exit_code == 1
    assert is_signed_in(ana)
    done = run(app, "user", "password", " ANA ", "--password", "Banyan-Tree-2291", "--with-keys")
    assert done.exit_code == 0 and "ana can sign in with the new password" in done.output
    assert not is_signed_in(ana)
    assert sign_in(app.test_client(), "ana", "Banyan-Tree-2291").headers["Location"] == "/"
    assert rows(app, select(ApiKey.id).where(ApiKey.revoked_on.is_(None))) == []
    change = select(AuditEntry.payload).where(AuditEntry.event == "password change").order_by(AuditEntry.id.desc())
    assert rows(app, change)[0][0]["by"] == "command line"


def test_a_user_added_by_the_command_line_can_sign_in(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    response = run(
        app,
        "user",
        "add",
        "dev",
        "--role",
        "Sales User",
        "--password",
        "another horse 8",
        "--manager",
        "mia",
        "--email",
        "dev@eshin.in",
        "--full-name",
        "Dev Kumar Rao",
    )
    assert response.exit_code == 0, response.output
    assert sign_in(browser(), "dev", "another horse 8").status_code == 302
    texts = select(User.first_name, User.last_name, User.email, User.manager_id).where(User.username == "dev")
    assert rows(app, texts) == [("Dev", "Kumar Rao", "dev@eshin.in", user_id(app, "mia"))]
    assert "dev\tactive\tSales User" in run(app, "user", "list").output


@each_case(
    "words",
    [
        ["user", "add", "dev", "--role", "Nobody", "--password", "another horse 8"],
        ["user", "add", "dev", "--role", "Sales User", "--password", "short"],
        ["user", "add", "dev", "--role", "Sales User", "--password", "another horse 8", "--manager", "nobody"],
        ["user", "add", "ana", "--role", "Sales User", "--password", "another horse 8"],
        ["user", "add", "a b", "--role", "Sales User", "--password", "another horse 8"],
        ["api-key", "create", "--user", "nobody"],
        ["api-key", "create", "--user", "ana", "--scope", "Everything"],
        ["job", "run", "no such job"],
        ["job", "run", "expire leads", "--at", "tomorrow"],
    ],
)
def test_the_command_line_refuses_with_a_sentence(app: Flask, words: Any) -> None:
    response = run(app, *words)
    assert response.exit_code == 1
    assert response.output.startswith("Error: ") and response.output.strip().endswith((".", "?"))
    assert "Traceback" not in response.output


def test_a_key_created_by_the_command_line_is_printed(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    response = run(app, "api-key", "create", "--user", "ana", "--name", "dialler")
    found = re.search(r"Authorization: (token .+)", response.output)
    assert found is not None
    header = found[1]
    assert get_menu(browser(), header).status_code == 200


def test_jobs_are_listed_and_run(app: Flask) -> None:
    names = run(app, "job", "list").output.splitlines()
    assert "expire leads" in names
    response = run(app, "job", "run", "expire leads", "--at", "2026-11-23T10:00")
    assert response.exit_code == 0, response.output


def test_demo_data_is_loaded(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    response = run(app, "demo", "load", "--leads", "20", "--password", "another horse 8")
    assert response.exit_code == 0, response.output
    assert "asha.deshmukh (Sales Manager)" in response.output and "another horse 8" not in response.output
    assert rows(app, select(Role.id))
    assert len(rows(app, select(User.id))) > 3


# --- colleagues

LISTS = (
    "/api/method/crm.api.session.get_users",
    "/api/method/crm.api.assignment_requests.get_assignable_users_public",
    "/api/method/crm.api.role_assignment.get_assignable_roles",
    "/api/method/crm.api.role_assignment.get_assignable_users",
    "/api/v1/user/",
    "/people/lookup?q=a",
    "/api/resource/User",
    "/api/v2/document/User",
    "/api/v2/doctype/User/count",
    "/api/resource/User/mia",
    "/api/method/frappe.client.get_list?doctype=User",
    "/api/method/frappe.client.get_count?doctype=User",
    "/api/method/frappe.client.validate_link?doctype=User&docname=mia",
    "/api/method/frappe.desk.search.search_link?doctype=User&txt=a",
)


@each_case("path", LISTS)
def test_a_key_limited_to_leads_lists_no_colleagues(app: Flask, browser: Callable[[], FlaskClient], path: str) -> None:
    made = key_for(app, "mia", "Leads.read")
    response = browser().get(path, headers={"Authorization": f"token {made.key}:{made.secret}"})
    assert response.status_code in (302, 401, 403) and "Rao" not in response.text


def test_who_has_left_is_listed_for_nobody(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    change(app, "mia", active=False)
    for name in ("ana", "root"):
        made = key_for(app, name)
        response = browser().get(LISTS[0], headers={"Authorization": f"token {made.key}:{made.secret}"})
        assert {each["username"] for each in response.get_json()["message"][0]} == {"ana", "root"}
