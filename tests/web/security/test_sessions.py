"""The ways to end a browser's session, and the page of sessions."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app.models import SignIn, User
from app.ops.database import connections
from tests.web.security_app import (  # noqa: F401  (fixtures)
    NEW_PASSWORD,
    PASSWORD,
    ana,
    app,
    audit_events,
    browser,
    change,
    count_sign_ins,
    is_signed_in,
    migrated,
    move_clock,
    post,
    root,
    rows,
    sign_in,
    user_id,
)

# --- what ends a session


def test_signing_out_ends_the_session_of_a_copied_cookie_too(app: Flask, ana: FlaskClient) -> None:
    with ana.session_transaction() as cookie:
        kept = dict(cookie)
    assert post(ana, "/logout/", "/sessions/").status_code == 302
    with ana.session_transaction() as cookie:
        cookie.update(kept)
    assert not is_signed_in(ana)
    assert "sign-out" in audit_events(app)


def test_a_get_does_not_sign_out(ana: FlaskClient) -> None:
    assert "form" in ana.get("/logout/").text
    assert is_signed_in(ana)


def test_signing_out_needs_the_csrf_token(ana: FlaskClient) -> None:
    assert ana.post("/logout/").status_code == 400
    assert is_signed_in(ana)


@pytest.mark.parametrize("values", [{"active": False}, {"password": "scrypt:something new"}])
def test_deactivation_or_a_new_password_ends_all_sessions(app: Flask, ana: FlaskClient, values: Any) -> None:
    change(app, "ana", **values)
    assert not is_signed_in(ana)
    assert count_sign_ins(app, "ana") == 0


def test_other_changes_of_an_account_end_no_session(app: Flask, ana: FlaskClient) -> None:
    change(app, "ana", first_name="Anna")
    assert is_signed_in(ana)


def test_changing_the_own_password_ends_all_other_sessions(
    app: Flask, ana: FlaskClient, browser: Callable[[], FlaskClient]
) -> None:
    other = browser()
    sign_in(other, "ana")
    path = "/resetmypassword/form"
    assert (
        post(ana, path, path, current_password=PASSWORD, password=NEW_PASSWORD, conf_password=NEW_PASSWORD).status_code
        == 302
    )
    assert is_signed_in(ana)
    assert not is_signed_in(other)
    assert sign_in(browser(), "ana").status_code == 401
    assert sign_in(browser(), "ana", NEW_PASSWORD).status_code == 302
    assert "password change" in audit_events(app)


def test_a_password_set_by_an_admin_signs_the_user_out(
    app: Flask, root: FlaskClient, ana: FlaskClient, browser: Callable[[], FlaskClient]
) -> None:
    path = f"/resetpassword/form?pk={user_id(app, 'ana')}"
    assert post(root, path, path, password=NEW_PASSWORD, conf_password=NEW_PASSWORD).status_code == 302
    assert not is_signed_in(ana)
    assert sign_in(browser(), "ana", NEW_PASSWORD).status_code == 302


@pytest.mark.parametrize("pk", ["", "0", "99999", "abc", "-1", "1" * 30])
def test_resetting_the_password_of_an_unknown_user_is_404(root: FlaskClient, pk: str) -> None:
    path = f"/resetpassword/form?pk={pk}"
    assert post(root, path, "/resetpassword/form", password=NEW_PASSWORD, conf_password=NEW_PASSWORD).status_code == 404


def test_only_an_admin_resets_passwords_of_others(app: Flask, ana: FlaskClient) -> None:
    before = rows(app, select(User.password).where(User.username == "mia"))
    path = f"/resetpassword/form?pk={user_id(app, 'mia')}"
    assert post(ana, path, "/sessions/", password=NEW_PASSWORD, conf_password=NEW_PASSWORD).status_code == 403
    assert rows(app, select(User.password).where(User.username == "mia")) == before


def test_an_idle_browser_must_sign_in_again(app: Flask, ana: FlaskClient) -> None:
    move_clock(app, SignIn.seen_on, timedelta(hours=11))
    assert is_signed_in(ana)
    move_clock(app, SignIn.seen_on, timedelta(hours=12, minutes=1))
    assert not is_signed_in(ana)


def test_activity_is_recorded_once_a_minute(app: Flask, ana: FlaskClient) -> None:
    before = rows(app, select(SignIn.seen_on))
    is_signed_in(ana)
    assert rows(app, select(SignIn.seen_on)) == before
    move_clock(app, SignIn.seen_on, timedelta(seconds=61))
    is_signed_in(ana)
    assert rows(app, select(SignIn.seen_on))[0][0] > before[0][0]


def test_a_request_costs_one_statement(app: Flask, ana: FlaskClient) -> None:
    ana.get("/lang/en")
    statements: list[str] = []
    token = connections.STATEMENTS.set(statements)
    ana.get("/lang/en")
    connections.STATEMENTS.reset(token)
    assert len(statements) == 1


def test_the_cookie_is_ignored_beside_an_authorization_header(ana: FlaskClient) -> None:
    assert is_signed_in(ana)
    assert not is_signed_in(ana, headers={"Authorization": "Bearer x"})


# --- the page


def test_the_page_lists_own_sessions_and_marks_the_current_one(
    ana: FlaskClient, browser: Callable[[], FlaskClient]
) -> None:
    sign_in(browser(), "ana")
    sign_in(browser(), "mia")
    text = ana.get("/sessions/").text
    assert text.count('/end"') == 2
    assert text.count(">current<") == 1


def test_ending_the_others_keeps_the_current_session(
    app: Flask, ana: FlaskClient, browser: Callable[[], FlaskClient]
) -> None:
    other, mia = browser(), browser()
    sign_in(other, "ana")
    sign_in(mia, "mia")
    post(ana, "/sessions/end-others", "/sessions/")
    assert is_signed_in(ana) and is_signed_in(mia)
    assert not is_signed_in(other)


def test_a_user_cannot_end_sessions_of_others(app: Flask, ana: FlaskClient, browser: Callable[[], FlaskClient]) -> None:
    mia = browser()
    sign_in(mia, "mia")
    ((key,),) = rows(app, select(SignIn.id).where(SignIn.user_id == user_id(app, "mia")))
    assert post(ana, f"/sessions/{key}/end", "/sessions/").status_code == 404
    assert post(ana, f"/sessions/end-others?user={user_id(app, 'mia')}", "/sessions/").status_code == 404
    assert ana.get(f"/sessions/?user={user_id(app, 'mia')}").status_code == 404
    assert is_signed_in(mia)


def test_an_admin_ends_any_session(app: Flask, root: FlaskClient, ana: FlaskClient) -> None:
    page = f"/sessions/?user={user_id(app, 'ana')}"
    ((key,),) = rows(app, select(SignIn.id).where(SignIn.user_id == user_id(app, "ana")))
    assert post(root, f"/sessions/{key}/end", page).status_code == 302
    assert not is_signed_in(ana)


@pytest.mark.parametrize("path", ["/sessions/0/end", "/sessions/9999999999999999/end", "/sessions/end-others?user=x"])
def test_invalid_ids_cause_no_error(ana: FlaskClient, path: str) -> None:
    assert post(ana, path, "/sessions/").status_code in (302, 404)


def test_ending_sessions_needs_the_csrf_token(ana: FlaskClient) -> None:
    assert ana.post("/sessions/end-others").status_code == 400
