"""JWTs of FAB's resource: accepted ones, and the ways to end them."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.models import SignIn
from tests.cases import each_case
from tests.web.security_app import (  # noqa: F401  (fixtures)
    INVALID_TEXTS,
    PASSWORD,
    ana,
    app,
    browser,
    change,
    get_menu,
    log_in,
    migrated,
    move_clock,
    root,
    user_id,
)


def tokens(client: Any) -> dict[str, str]:
    return log_in(client, refresh=True).get_json()


def test_a_token_is_valid_until_its_sign_in_ends(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    client = browser()
    access_token = tokens(client)["access_token"]
    assert get_menu(client, f"Bearer {access_token}").status_code == 200
    move_clock(app, SignIn.ended_on, timedelta(0))
    assert get_menu(client, f"Bearer {access_token}").status_code == 401


@pytest.mark.parametrize("values", [{"active": False}, {"password": "scrypt:something new"}])
def test_deactivation_or_a_new_password_ends_all_tokens(
    app: Flask, browser: Callable[[], FlaskClient], values: Any
) -> None:
    client = browser()
    pair = tokens(client)
    change(app, "ana", **values)
    assert get_menu(client, f"Bearer {pair['access_token']}").status_code == 401
    headers = {"Authorization": f"Bearer {pair['refresh_token']}"}
    assert client.post("/api/v1/security/refresh", headers=headers).status_code == 401


def test_a_refresh_token_gives_a_new_access_token(browser: Callable[[], FlaskClient]) -> None:
    client = browser()
    headers = {"Authorization": f"Bearer {tokens(client)['refresh_token']}"}
    fresh = client.post("/api/v1/security/refresh", headers=headers).get_json()["access_token"]
    assert get_menu(client, f"Bearer {fresh}").status_code == 200


def forge(app: Flask, token: str, **changes: Any) -> str:
    claims = jwt.decode(token, options={"verify_signature": False}) | changes.pop("claims", {})
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(
        claims, changes.get("key", app.config["JWT_SECRET_KEY"]), algorithm=changes.get("algorithm", "HS256")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "", "algorithm": "none"},
        {"key": "another key of thirty-two characters"},
        {"claims": {"exp": 1_000_000_000}},
        {"claims": {"sid": None}},
        {"claims": {"sid": "made up"}},
        {"claims": {"sid": 7}},
        {"claims": {"sub": "999999"}},
        {"claims": {"sub": "ana"}},
        {"claims": {"sub": "9" * 40}},
        {"claims": {"sub": None}},
        {"claims": {"type": "refresh"}},
    ],
)
def test_a_forged_token_is_refused(app: Flask, browser: Callable[[], FlaskClient], changes: Any) -> None:
    client = browser()
    token = tokens(client)["access_token"]
    response = get_menu(client, f"Bearer {forge(app, token, **dict(changes))}")
    assert response.status_code == 401
    assert response.get_json()["message"]


def test_a_token_is_bound_to_its_user(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    client = browser()
    token = tokens(client)["access_token"]
    other = forge(app, token, claims={"sub": str(user_id(app, "root"))})
    assert get_menu(client, f"Bearer {other}").status_code == 401


def test_refresh_and_access_tokens_are_not_interchangeable(browser: Callable[[], FlaskClient]) -> None:
    client = browser()
    pair = tokens(client)
    assert get_menu(client, f"Bearer {pair['refresh_token']}").status_code == 401
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    assert client.post("/api/v1/security/refresh", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Bearer é.é.é", "Digest x", "bearer  null"]
)
def test_an_invalid_header_is_refused_as_json(browser: Callable[[], FlaskClient], header: str | None) -> None:
    response = get_menu(browser(), header)
    assert response.status_code == 401
    assert response.get_json()["message"]


@each_case(
    "body", [b"null", b"[]", b"7", b'"x"', b"{", b"", b"\xff\xfe", b"[" * 100_000, json.dumps({"username": "ana"})]
)
def test_an_invalid_body_is_a_400(browser: Callable[[], FlaskClient], body: Any) -> None:
    response = browser().post("/api/v1/security/login", data=body, content_type="application/json")
    assert response.status_code == 400
    assert response.get_json()["message"]


@pytest.mark.parametrize("value", [None, 7, [], {}, True, ""])
@each_case("field", ["username", "password", "provider", "refresh"])
def test_fields_of_the_wrong_type_are_a_400(browser: Callable[[], FlaskClient], field: Any, value: Any) -> None:
    if (field, value) == ("refresh", True):
        return
    body = {"username": "ana", "password": PASSWORD, "provider": "db", field: value}
    assert browser().post("/api/v1/security/login", json=body).status_code == 400


@pytest.mark.parametrize("text", INVALID_TEXTS)
@pytest.mark.parametrize("field", ["username", "password"])
def test_invalid_text_is_refused(browser: Callable[[], FlaskClient], field: str, text: Any) -> None:
    body = {"username": "ana", "password": PASSWORD, "provider": "db", field: text}
    response = browser().post("/api/v1/security/login", data=json.dumps(body), content_type="application/json")
    assert response.status_code == (400 if text == "\ud800" else 401)


def test_a_form_sent_to_the_api_is_a_400(browser: Callable[[], FlaskClient]) -> None:
    response = browser().post("/api/v1/security/login", data={"username": "ana", "password": PASSWORD})
    assert response.status_code == 400
