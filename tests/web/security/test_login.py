"""The sign-in form and its redirect."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app.models import SignIn, User
from app.web.security import passwords
from tests.cases import each_case
from tests.web.security_app import (  # noqa: F401  (fixtures)
    INVALID_TEXTS,
    PASSWORD,
    ana,
    app,
    browser,
    change,
    is_signed_in,
    migrated,
    post,
    rows,
    sign_in,
    token_of,
)


def test_the_correct_password_signs_in(browser: Callable[[], FlaskClient]) -> None:
    client = browser()
    assert not is_signed_in(client)
    assert sign_in(client, "ana").status_code == 302
    assert is_signed_in(client)


@pytest.mark.parametrize("name", ["ANA", " ana ", "ana@eshin.in"])
def test_the_name_is_matched_in_any_case_and_by_email_address(browser: Callable[[], FlaskClient], name: str) -> None:
    assert sign_in(browser(), name).status_code == 302


@pytest.mark.parametrize(
    "name, password", [("ana", "wrong"), ("nobody", PASSWORD), ("ana", "\0"), ("ána", PASSWORD), ("", ""), ("ana", "")]
)
def test_after_a_wrong_password_the_form_keeps_the_name(
    browser: Callable[[], FlaskClient], name: str, password: Any
) -> None:
    response = sign_in(browser(), name, password)
    assert response.status_code == 401
    assert f'value="{name}"' in response.text
    assert "wrong" in response.text


@pytest.mark.parametrize("name, stored", [("ana", None), ("ana", "pbkdf2:sha256:7$a$b"), ("nobody", None), ("ana", "")])
def test_a_wrong_password_takes_as_long_for_every_name(
    app: Flask, browser: Callable[[], FlaskClient], monkeypatch: pytest.MonkeyPatch, name: str, stored: str | None
) -> None:
    usual = app.config["AUTH_DB_FAKE_PASSWORD_HASH_CHECK"].partition("$")[0]
    if stored is not None:
        change(app, "ana", password=stored)
    checked = []

    def refused(hashed: str, _typed: str) -> bool:
        checked.append(hashed)
        return False

    monkeypatch.setattr(passwords, "check_password_hash", refused)
    assert sign_in(browser(), name, "wrong").status_code == 401
    assert [each.partition("$")[0] for each in checked].count(usual) == 1


@pytest.mark.parametrize("own, chosen, stored", [(None, "hi", "hi"), (None, "en", None), ("gu", "hi", "gu")])
def test_a_language_chosen_on_the_login_page_is_stored_where_the_user_has_none(
    app: Flask, browser: Callable[[], FlaskClient], own: str | None, chosen: str, stored: str | None
) -> None:
    """Messages and files are in the stored one."""
    change(app, "ana", locale=own)
    client = browser()
    client.get(f"/lang/{chosen}")
    assert sign_in(client, "ana").status_code == 302
    assert rows(app, select(User.locale).where(User.username == "ana")) == [(stored,)]


def test_an_inactive_user_cannot_sign_in(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    change(app, "ana", active=False)
    assert sign_in(browser(), "ana").status_code == 401


@pytest.mark.parametrize("text", INVALID_TEXTS)
@pytest.mark.parametrize("field", ["username", "password"])
def test_invalid_text_in_the_form_is_refused(browser: Callable[[], FlaskClient], field: str, text: Any) -> None:
    fields = {"username": "ana", "password": "wrong", field: text.encode("utf-8", "replace").decode()}
    response = sign_in(browser(), fields["username"], fields["password"])
    assert response.status_code == 401


def test_signing_in_needs_the_csrf_token(browser: Callable[[], FlaskClient]) -> None:
    client = browser()
    response = client.post("/login/", data={"username": "ana", "password": PASSWORD})
    assert response.status_code == 400
    assert not is_signed_in(client)


def test_signing_in_starts_a_new_session(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    client = browser()
    with client.session_transaction() as before:
        before["sid"], before["planted"] = "chosen by an attacker", "yes"
    sign_in(client, "ana")
    with client.session_transaction() as after:
        assert after["sid"] != "chosen by an attacker"
        assert "planted" not in after
    first = after["sid"]
    post(client, "/logout/", "/sessions/")
    sign_in(client, "ana")
    with client.session_transaction() as again:
        assert again["sid"] != first


def test_the_database_stores_no_token(app: Flask, ana: FlaskClient) -> None:
    with ana.session_transaction() as cookie:
        token = cookie["sid"]
    (row,) = rows(app, select(SignIn.token_hash))
    assert token not in row[0] and len(token) >= 43


@each_case(
    "next_url, location",
    [
        ("/users/userinfo/", "/users/userinfo/"),
        ("/keys/?x=1", "/keys/?x=1"),
        ("http://localhost/keys/", "/keys/"),
        ("//evil.test/", "/"),
        ("/\\evil.test", "/"),
        ("https://evil.test/", "/"),
        ("javascript:alert(1)", "/"),
        ("http:evil.test", "/"),
        ("/\t/evil.test", "/"),
        ("http://localhost@evil.test/", "/"),
        ("http://localhost//evil.test/", "/"),
        ("///evil.test", "/"),
        ("http://[", "/"),
        ("x" * 5000, "/"),
    ],
)
def test_the_redirect_after_sign_in_stays_on_this_site(
    browser: Callable[[], FlaskClient], next_url: Any, location: Any
) -> None:
    client = browser()
    fields = {"username": "ana", "password": PASSWORD, "csrf_token": token_of(client)}
    response = client.post("/login/", query_string={"next": next_url}, data=fields)
    assert response.location == location
