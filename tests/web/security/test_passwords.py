"""Which passwords are refused."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_appbuilder.exceptions import PasswordComplexityValidationError
from flask_appbuilder.security.sqla.models import PermissionView, ViewMenu
from sqlalchemy import select

from app.models import Role, User
from app.web.core.request_transaction import request_transaction
from app.web.security import passwords
from tests.cases import each_case
from tests.web.security_app import (  # noqa: F401  (fixtures)
    NEW_PASSWORD,
    ana,
    app,
    browser,
    migrated,
    post,
    root,
    rows,
    sign_in,
    user_id,
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


def set_password(client: FlaskClient, key: int, **more: str) -> Any:
    """Send the form with which an admin sets the password of a user."""
    fields = {"password": NEW_PASSWORD, "conf_password": NEW_PASSWORD} | more
    return post(client, f"/resetpassword/form?pk={key}", "/sessions/", **fields)


def test_ones_own_password_always_needs_the_current_one(
    app: Flask, browser: Callable[[], FlaskClient], root: FlaskClient
) -> None:
    key = user_id(app, "root")
    assert root.get(f"/resetpassword/form?pk={key}").location == "/resetmypassword/form"
    assert set_password(root, key).location == "/resetmypassword/form"
    assert sign_in(browser(), "root", NEW_PASSWORD).status_code == 401


def test_only_an_admin_sets_the_password_of_an_admin(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    with app.app_context(), request_transaction() as session:
        role = session.scalars(select(Role).where(Role.name == "Sales Manager")).one()
        pages = select(PermissionView).join(PermissionView.view_menu).where(ViewMenu.name == "ResetPasswordView")
        role.permissions.extend(session.scalars(pages))
    mia = browser()
    sign_in(mia, "mia")
    key = user_id(app, "root")
    assert set_password(mia, key).status_code == 403
    assert set_password(mia, key, revoke_keys="y").status_code == 403
    assert sign_in(browser(), "root", NEW_PASSWORD).status_code == 401
