"""API keys: what opens, what a key may, and how it ends."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app import access
from app.domain.base import RuleBroken
from app.extensions import db
from app.models import ApiKey, AuditEntry, Role, User
from app.ops import database
from app.web.security import api_keys, fab_permissions
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


def test_a_key_opens_the_api_by_both_schemes(app, browser) -> None:
    made = key_for(app, "ana")
    assert get_menu(browser(), f"token {made.key}:{made.secret}").status_code == 200
    assert get_menu(browser(), f"Token  {made.key}:{made.secret}").status_code == 200
    assert get_menu(browser(), basic_header(made.key, made.secret)).status_code == 200


def test_a_key_opens_no_pages(app, browser) -> None:
    made = key_for(app, "ana")
    assert not is_signed_in(browser(), headers={"Authorization": f"token {made.key}:{made.secret}"})


def test_a_cookie_does_not_stand_in_for_a_wrong_key(ana) -> None:
    assert get_menu(ana, "token wrong:wrong").status_code == 401
    assert get_menu(ana, None).status_code == 200


def test_the_right_key_with_a_wrong_secret_is_refused(app, browser) -> None:
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
def test_rubbish_is_refused_as_json(browser, header) -> None:
    answer = get_menu(browser(), header)
    assert answer.status_code == 401
    assert answer.get_json()["message"]


def test_the_secret_is_in_no_row(app) -> None:
    made = key_for(app, "ana")
    with app.app_context(), access.as_system(db.session()) as session:
        row = session.scalars(select(ApiKey)).one()
        told = str([(entry.about, entry.payload) for entry in session.scalars(select(AuditEntry))])
    assert made.secret not in str(vars(row)) and made.secret not in told


@pytest.mark.parametrize("values", [{"active": False}])
def test_the_key_of_a_deactivated_user_is_dead(app, browser, values) -> None:
    made = key_for(app, "ana")
    change(app, "ana", **values)
    assert get_menu(browser(), f"token {made.key}:{made.secret}").status_code == 401


def test_a_revoked_key_is_dead(app, ana) -> None:
    made = key_for(app, "ana")
    assert post(ana, f"/keys/{made.id}/revoke", "/keys/").status_code == 302
    assert get_menu(app.test_client(), f"token {made.key}:{made.secret}").status_code == 401
    events = [event for (event,) in rows(app, select(AuditEntry.event))]
    assert {"api key made", "api key revoked"} <= set(events)


def test_a_call_costs_one_statement(app, browser) -> None:
    made = key_for(app, "ana")
    client, counted = browser(), []
    get_menu(client, f"token {made.key}:{made.secret}")
    with app.test_request_context(headers={"Authorization": f"token {made.key}:{made.secret}"}):
        token = database.STATEMENTS.set(counted)
        assert app.appbuilder.sm.authenticate_by_header().username == "ana"
        database.STATEMENTS.reset(token)
    assert len(counted) == 1


def test_the_use_is_written_once_a_minute_and_audited_once_a_day(app, browser) -> None:
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


# --- what a key may


def person_of(app, made: api_keys.NewApiKey) -> access.Person:
    with app.test_request_context(headers={"Authorization": f"token {made.key}:{made.secret}"}):
        app.appbuilder.sm.authenticate_by_header()
        return access.acting(db.session())


def test_a_key_may_what_its_user_may_and_no_more(app) -> None:
    who = person_of(app, key_for(app, "ana"))
    assert who.may("Leads", "read") and not who.may("Tickets", "read")


def test_a_limited_key_may_only_both(app) -> None:
    who = person_of(app, key_for(app, "ana", "Leads.read", "Tickets", "Settings"))
    assert who.may("Leads", "read")
    assert not who.may("Leads", "write")
    assert not who.may("Tickets", "read")
    assert not who.may("Settings", "read")


def test_a_limited_key_of_an_admin_is_no_admin_outside_its_limit(app) -> None:
    who = person_of(app, key_for(app, "root", "Leads.read"))
    assert fab_permissions.is_allowed(who, "can_read", "Leads")
    assert not fab_permissions.is_allowed(who, "can_write", "Leads")
    assert not fab_permissions.is_allowed(who, "can_list", "UserDBModelView")
    assert not who.may("Settings", "write")


def test_the_limit_does_not_stick_to_the_user(app) -> None:
    person_of(app, key_for(app, "ana", "Leads.read"))
    assert person_of(app, key_for(app, "ana")).may("Tasks", "write")


def test_someone_who_only_looks_on_changes_nothing(app) -> None:
    import dataclasses

    who = dataclasses.replace(person_of(app, key_for(app, "root")), read_only=True)
    assert fab_permissions.is_allowed(who, "can_list", "UserDBModelView")
    assert not fab_permissions.is_allowed(who, "can_edit", "UserDBModelView")
    assert not fab_permissions.is_allowed(who, "can_write", "Leads")


# --- too many tries


def test_twenty_wrong_keys_end_in_429_but_the_right_one_still_works(app, browser) -> None:
    made, client = key_for(app, "ana"), browser()
    codes = [get_menu(client, f"token {made.key}:wrong{n}") for n in range(20)]
    assert [each.status_code for each in codes] == [401] * 5 + [429] * 15
    assert 0 < int(codes[-1].headers["Retry-After"]) <= 60
    assert "Please try again at" in codes[-1].get_json()["message"]
    assert get_menu(client, f"token {made.key}:{made.secret}").status_code == 200


# --- the screen


def test_the_secret_is_shown_once(app, ana) -> None:
    answer = post(ana, "/keys/", "/keys/", name="dialler", scope=["Leads.read"])
    key, secret = re.search(r"token ([0-9a-f]+):([\w-]+)", answer.text).groups()
    assert answer.headers["Cache-Control"] == "no-store"
    assert get_menu(app.test_client(), f"token {key}:{secret}").status_code == 403  # limited to leads
    assert secret not in ana.get("/keys/").text
    assert rows(app, select(ApiKey.scope, ApiKey.user_id)) == [(["Leads.read"], user_id(app, "ana"))]


@pytest.mark.parametrize(
    "fields", [{}, {"name": ""}, {"name": "x" * 121}, {"name": "a\0b"}, {"name": "x", "scope": "All"}]
)
def test_a_bad_name_or_limit_is_refused(app, ana, fields) -> None:
    assert post(ana, "/keys/", "/keys/", **fields).status_code == 422
    assert rows(app, select(ApiKey.id)) == []


def test_the_name_is_escaped(app, ana) -> None:
    answer = post(ana, "/keys/", "/keys/", name="<script>alert(1)</script>")
    assert "<script>alert(1)" not in answer.text + ana.get("/keys/").text


def test_making_and_revoking_need_the_token_of_the_form(app, ana) -> None:
    made = key_for(app, "ana")
    assert ana.post("/keys/", data={"name": "x"}).status_code == 400
    assert ana.post(f"/keys/{made.id}/revoke").status_code == 400
    assert len(rows(app, select(ApiKey.id).where(ApiKey.revoked_on.is_(None)))) == 1


def test_nobody_sees_or_revokes_anothers_key_but_an_admin(app, ana, root) -> None:
    made = key_for(app, "mia")
    assert made.key not in ana.get("/keys/").text
    assert post(ana, f"/keys/{made.id}/revoke", "/keys/").status_code == 404
    assert get_menu(app.test_client(), f"token {made.key}:{made.secret}").status_code == 200
    assert made.key in root.get("/keys/").text
    assert post(root, f"/keys/{made.id}/revoke", "/keys/").status_code == 302
    assert get_menu(app.test_client(), f"token {made.key}:{made.secret}").status_code == 401


def test_there_is_an_end_to_the_number_of_keys(app) -> None:
    with app.app_context():
        who, now = user_id(app, "ana"), datetime.now(UTC)
        for n in range(api_keys.MOST_KEYS):
            api_keys.create_key(who, api_keys.ApiKeyRequest(f"key {n}"), now)
        with pytest.raises(RuleBroken, match="too many"):
            api_keys.create_key(who, api_keys.ApiKeyRequest("one more"), now)


def in_days(days: int) -> str:
    """A day as the form's date field sends it."""
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def test_a_key_ends_by_itself(app, ana) -> None:
    made = key_for(app, "ana")
    for ahead, code in ((timedelta(minutes=1), 200), (timedelta(0), 401)):
        move_clock(app, ApiKey.expires_on, -ahead)
        assert get_menu(app.test_client(), f"token {made.key}:{made.secret}").status_code == code
    assert "Expired" in ana.get("/keys/").text


def test_the_last_day_is_chosen_on_the_screen(app, ana) -> None:
    assert post(ana, "/keys/", "/keys/", name="dialler", ends=in_days(3)).status_code == 200
    ((ends,),) = rows(app, select(ApiKey.expires_on))
    assert timedelta(days=2) < ends - datetime.now(UTC) <= timedelta(days=4)


@pytest.mark.parametrize("ends", [in_days(-2), "0001-01-01", "tomorrow", "9999-12-31", "2026-13-45", "\x00"])
def test_a_day_that_is_none_is_refused(app, ana, ends: str) -> None:
    answer = post(ana, "/keys/", "/keys/", name="dialler", ends=ends, scope=["Leads.read"])
    assert answer.status_code == 422 and "Please choose an expiry date" in answer.text
    assert 'value="Leads.read" checked' in answer.text and 'value="dialler"' in answer.text
    assert rows(app, select(ApiKey.id)) == []


def test_an_ended_key_leaves_room_for_another(app) -> None:
    with app.app_context():
        who, now = user_id(app, "ana"), datetime.now(UTC)
        for _n in range(api_keys.MOST_KEYS):
            api_keys.create_key(who, api_keys.ApiKeyRequest("short", [], now + timedelta(hours=1)), now)
        assert api_keys.create_key(who, api_keys.ApiKeyRequest("next"), now + timedelta(hours=2)).id


def test_what_a_key_may_is_told_in_words(app, ana) -> None:
    answer = post(ana, "/keys/", "/keys/", name="dialler", scope=["Leads.read", "Leads.create", "Tasks"])
    for page in (answer.text, ana.get("/keys/").text):
        assert re.search(r"Leads: <span[^>]*>See, Create</span>", page)
        assert re.search(r"Tasks: <span[^>]*>Everything</span>", page)


def test_a_key_is_offered_only_what_its_user_may(ana, root) -> None:
    assert 'value="Leads.create"' in ana.get("/keys/").text
    assert 'value="Settings.write"' not in ana.get("/keys/").text
    assert 'value="Settings.write"' in root.get("/keys/").text


def test_a_scope_wider_than_its_user_gives_nothing_more(app, ana) -> None:
    assert post(ana, "/keys/", "/keys/", name="greedy", scope=["Settings", "Leads.read"]).status_code == 200
    who = person_of(app, key_for(app, "ana", "Settings", "Leads.read"))
    assert who.may("Leads", "read") and not who.may("Settings", "read") and not who.is_admin


def test_the_last_use_is_told_with_its_address(app, ana) -> None:
    made = key_for(app, "ana")
    get_menu(app.test_client(), f"token {made.key}:{made.secret}")
    assert rows(app, select(ApiKey.last_used_from)) == [("127.0.0.1",)]
    assert "from 127.0.0.1" in ana.get("/keys/").text


def test_revoking_asks_first(app, ana) -> None:
    key_for(app, "ana")
    assert "data-confirm=" in ana.get("/keys/").text


def test_making_using_and_revoking_stand_in_the_audit(app, ana) -> None:
    made = key_for(app, "ana", "Leads.read")
    get_menu(app.test_client(), f"token {made.key}:{made.secret}")
    post(ana, f"/keys/{made.id}/revoke", "/keys/")
    told = rows(app, select(AuditEntry.event, AuditEntry.payload).where(AuditEntry.about == f"api key {made.id}"))
    assert [event for event, _payload in told] == ["api key made", "api key used", "api key revoked"]
    assert told[0][1]["scope"] == ["Leads.read"]


# --- the command line


def run(app, *words: str):
    return app.test_cli_runner().invoke(args=list(words))


def test_a_user_is_made_and_signs_in(app, browser) -> None:
    answer = run(
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
    assert answer.exit_code == 0, answer.output
    assert sign_in(browser(), "dev", "another horse 8").status_code == 302
    told = select(User.first_name, User.last_name, User.email, User.manager_id).where(User.username == "dev")
    assert rows(app, told) == [("Dev", "Kumar Rao", "dev@eshin.in", user_id(app, "mia"))]
    assert "dev\tactive\tSales User" in run(app, "user", "list").output


@pytest.mark.parametrize(
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
def test_what_is_refused_is_a_sentence(app, words) -> None:
    answer = run(app, *words)
    assert answer.exit_code == 1
    assert answer.output.startswith("Error: ") and answer.output.strip().endswith((".", "?"))
    assert "Traceback" not in answer.output


def test_a_key_is_made_and_printed(app, browser) -> None:
    answer = run(app, "api-key", "create", "--user", "ana", "--name", "dialler")
    header = re.search(r"Authorization: (token .+)", answer.output)[1]
    assert get_menu(browser(), header).status_code == 200


def test_jobs_are_listed_and_run(app) -> None:
    names = run(app, "job", "list").output.splitlines()
    assert "expire leads" in names
    answer = run(app, "job", "run", "expire leads", "--at", "2026-11-23T10:00")
    assert answer.exit_code == 0, answer.output


def test_demo_data_is_loaded(app, browser) -> None:
    answer = run(app, "demo", "load", "--leads", "20", "--password", "another horse 8")
    assert answer.exit_code == 0, answer.output
    assert rows(app, select(Role.id))
    assert len(rows(app, select(User.id))) > 3
