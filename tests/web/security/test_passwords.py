"""Which passwords are refused."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_appbuilder.exceptions import PasswordComplexityValidationError
from sqlalchemy import select

from app.models import User
from app.web.security import passwords
from tests.cases import each_case
from tests.web.security_app import (  # noqa: F401  (fixtures)
    ana,
    app,
    browser,
    migrated,
    post,
    root,
    rows,
    sign_in,
)


@each_case(
    "password",
    [
        "",
        "short",
        "123456789",
        "1234567890",
        "Password123",
        "aaaaaaaaaaaa",
        "abababababab",
        "\0" * 12,
        "x" * 600,
        "ana@eshin.in",
        "\ud800" * 12,
    ],
)
def test_a_weak_password_is_refused(app: Flask, password: Any) -> None:
    with app.test_request_context(), pytest.raises(PasswordComplexityValidationError, match=r"Please|too"):
        passwords.refuse_weak_password(password, "ana@eshin.in")


def test_a_weak_password_is_refused_on_the_page(app: Flask, ana: FlaskClient) -> None:
    path = "/resetmypassword/form"
    response = post(ana, path, path, password="password123", conf_password="password123")
    assert "too common" in response.text
    assert sign_in(app.test_client(), "ana").status_code == 302


def test_a_weak_password_is_refused_for_a_new_user(app: Flask, root: FlaskClient) -> None:
    fields = {
        "first_name": "Dev",
        "last_name": "Rao",
        "username": "devrao1234",
        "email": "dev@eshin.in",
        "active": "y",
        "roles": "1",
        "password": "devrao1234",
        "conf_password": "devrao1234",
    }
    response = post(root, "/users/add", "/users/add", **fields)
    assert "must not be the username" in response.text
    assert rows(app, select(User.id).where(User.username == "devrao1234")) == []
