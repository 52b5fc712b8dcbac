"""The duration of sessions: idle and in total, at every endpoint that creates one."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app import access
from app.extensions import db
from app.models import ApiKey, SignIn
from app.web.realtime import sockets
from app.web.security.sessions import valid_sign_ins
from tests.web.security_app import (  # noqa: F401  (fixtures)
    PASSWORD,
    app,
    audit_events,
    browser,
    change,
    get_menu,
    is_signed_in,
    key_for,
    log_in,
    migrated,
    move_clock,
    post,
    rows,
    settings_for,
    sign_in,
    user_id,
)
from tests.web.two_factor_steps import demand

JUST_IN_TIME, TOO_LATE = timedelta(minutes=-1), timedelta(minutes=1)


def by_form(client: Any) -> Any:
    assert sign_in(client, "ana").status_code == 302
    return lambda: is_signed_in(client)


def by_token(client: Any) -> Any:
    token = log_in(client).json["access_token"]
    return lambda: get_menu(client, f"Bearer {token}").status_code == 200


def by_sid(client: Any) -> Any:
    assert client.post("/api/method/login", data={"usr": "ana", "pwd": PASSWORD}).status_code == 200
    return lambda: client.get("/api/method/frappe.auth.get_logged_user").status_code == 200


ENDPOINTS = {"form": by_form, "jwt": by_token, "compat": by_sid}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "column, limit", [(SignIn.started_on, timedelta(days=7)), (SignIn.seen_on, timedelta(hours=12))]
)
def test_a_session_ends(
    app: Flask, browser: Callable[[], FlaskClient], endpoint: str, column: Any, limit: timedelta
) -> None:
    is_in = ENDPOINTS[endpoint](browser())
    move_clock(app, column, limit + JUST_IN_TIME)
    assert is_in()
    move_clock(app, column, limit + TOO_LATE)
    assert not is_in()


def test_use_does_not_lengthen_the_days(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    is_in = by_form(browser())
    for days in range(1, 7):
        move_clock(app, SignIn.started_on, timedelta(days=days))
        move_clock(app, SignIn.seen_on, timedelta(hours=11))
        assert is_in()
    move_clock(app, SignIn.started_on, timedelta(days=7, minutes=1))
    assert not is_in()


def test_a_refresh_token_gives_nothing_after_the_end(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    client = browser()
    refresh = {"Authorization": f"Bearer {log_in(client, refresh=True).json['refresh_token']}"}
    assert client.post("/api/v1/security/refresh", headers=refresh).status_code == 200
    move_clock(app, SignIn.started_on, timedelta(days=7, minutes=1))
    assert client.post("/api/v1/security/refresh", headers=refresh).status_code == 401


def test_open_sockets_follow_the_same_rule(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    by_form(browser())
    hashes = {token for (token,) in rows(app, select(SignIn.token_hash))}
    for days, expected in ((6, 1), (8, 0)):
        move_clock(app, SignIn.started_on, timedelta(days=days))
        with app.app_context(), access.as_system(db.session()) as session:
            rules = valid_sign_ins(datetime.now(UTC), app.config["CRM"])
            assert len(sockets._valid_tokens(session, hashes, rules)) == expected


def test_open_sockets_of_people_who_owe_a_second_factor_are_closed(
    app: Flask, browser: Callable[[], FlaskClient]
) -> None:
    by_form(browser())
    hashes = {token for (token,) in rows(app, select(SignIn.token_hash))}
    for needed, expected in ((False, 1), (True, 0)):
        demand(app, "Sales User", needed)
        with app.app_context(), access.as_system(db.session()) as session:
            rules = valid_sign_ins(datetime.now(UTC), app.config["CRM"])
            assert len(sockets._valid_tokens(session, hashes, rules)) == expected


def test_both_limits_are_settings(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, CRM_SESSION_IDLE_HOURS="2", CRM_SESSION_DAYS="1")
    assert (settings.session_idle_hours, settings.session_days) == (2, 1)


# --- keys: what ends them


def test_a_deactivated_users_keys_stay_dead_after_reactivation(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    made = key_for(app, "ana")
    header = f"token {made.key}:{made.secret}"
    assert get_menu(browser(), header).status_code == 200
    change(app, "ana", active=False)
    change(app, "ana", active=True)
    assert get_menu(browser(), header).status_code == 401
    assert rows(app, select(ApiKey.revoked_on))[0][0] is not None


PASSWORDS = {"password": "another horse 8", "conf_password": "another horse 8"}
PAGE = "/resetmypassword/form"


@pytest.mark.parametrize("current", ["", "wrong password 1", "\0", "x" * 1000])
def test_a_session_alone_changes_no_password_and_makes_no_key(
    app: Flask, browser: Callable[[], FlaskClient], current: str
) -> None:
    client = browser()
    sign_in(client, "ana")
    assert "current password" in post(client, PAGE, PAGE, current_password=current, **PASSWORDS).text
    refused = post(client, "/keys/", "/keys/", name="mine", current_password=current)
    assert refused.status_code == 422 and 'value="mine"' in refused.text
    assert rows(app, select(ApiKey.id)) == []
    assert sign_in(browser(), "ana").status_code == 302


def test_the_current_password_cannot_be_guessed_in_a_session(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    client = browser()
    sign_in(client, "ana")
    for _attempt in range(5):
        post(client, "/keys/", "/keys/", name="mine", current_password="wrong password 1")
    assert "Too many" in post(client, "/keys/", "/keys/", name="mine", current_password=PASSWORD).text
    assert rows(app, select(ApiKey.id)) == []
    assert sign_in(browser(), "ana").status_code == 302  # and nobody is locked out


@pytest.mark.parametrize("revoke, status", [({}, 200), ({"revoke_keys": "y"}, 401)])
def test_a_password_change_offers_to_revoke_the_keys(
    app: Flask, browser: Callable[[], FlaskClient], revoke: dict[str, str], status: int
) -> None:
    made, client = key_for(app, "ana"), browser()
    sign_in(client, "ana")
    post(client, PAGE, PAGE, current_password=PASSWORD, **PASSWORDS, **revoke)
    assert get_menu(browser(), f"token {made.key}:{made.secret}").status_code == status
    assert ("api key revoked" in audit_events(app)) is bool(revoke)
    assert ("still works" in client.get("/sessions/").text) is not bool(revoke)


def test_ending_the_other_sessions_speaks_of_keys(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    key_for(app, "ana")
    client = browser()
    sign_in(client, "ana")
    post(client, "/sessions/end-others", "/sessions/")
    assert "1 API key still works" in client.get("/sessions/").text
    assert user_id(app, "ana")
