"""The last admin, one's own profile, and the first start."""

# ruff: noqa: F811  (pytest's fixtures are imported, and then named by the tests)

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from app import access, models
from app.domain.audit_log import audit_chain
from app.domain.base import RuleBroken
from app.extensions import db
from app.models import AuditEntry, Role, User
from app.web.security import fab_permissions, first_admin
from tests.web.security_app import (  # noqa: F401  (fixtures)
    PASSWORD,
    ana,
    app,
    audit_events,
    browser,
    change,
    delete_all_users,
    migrated,
    post,
    roles_of,
    root,
    rows,
    sign_in,
    user_id,
)

# --- the last admin


def test_the_last_admin_cannot_be_deactivated(app: Flask) -> None:
    with pytest.raises(RuleBroken, match="last active admin"):
        change(app, "root", active=False)
    assert rows(app, select(User.active).where(User.username == "root")) == [(True,)]


def test_the_last_admin_cannot_be_demoted(app: Flask) -> None:
    with pytest.raises(RuleBroken):
        change(app, "root", roles=[])
    assert "Admin" in roles_of(app, "root")


def test_the_last_admin_cannot_be_deleted(app: Flask) -> None:
    with app.app_context(), pytest.raises(RuleBroken):
        db.session.delete(db.session.get(User, user_id(app, "root")))
        db.session.commit()
    assert rows(app, select(User.id).where(User.username == "root"))


def test_the_role_cannot_lose_its_last_member(app: Flask) -> None:
    with app.app_context(), pytest.raises(RuleBroken):
        db.session.scalars(select(Role).where(Role.name == "Admin")).one().user = []
        db.session.commit()


def test_one_of_two_admins_can_be_deactivated(app: Flask) -> None:
    with app.app_context():
        admin = db.session.scalars(select(Role).where(Role.name == "Admin")).one()
        mia = db.session.scalars(select(User).where(User.username == "mia")).one()
        mia.roles.append(admin)
        db.session.commit()
    change(app, "root", active=False)
    assert rows(app, select(User.active).where(User.username == "root")) == [(False,)]


def test_the_page_explains_why_the_last_admin_stays(app: Flask, root: FlaskClient) -> None:
    key = user_id(app, "root")
    fields = {"first_name": "Root", "last_name": "Rao", "username": "root", "email": "root@eshin.in", "roles": "1"}
    response = post(root, f"/users/edit/{key}", f"/users/edit/{key}", **fields)  # "active" is not ticked
    assert "last active admin" in response.text + root.get("/sessions/").text
    assert rows(app, select(User.active).where(User.username == "root")) == [(True,)]


def test_an_admin_cannot_delete_their_own_account(app: Flask, root: FlaskClient) -> None:
    key = user_id(app, "root")
    post(root, f"/users/delete/{key}", f"/users/edit/{key}")
    assert rows(app, select(User.id).where(User.username == "root"))


# --- the own profile


def test_the_own_profile_changes_five_fields_only(app: Flask, ana: FlaskClient) -> None:
    path = "/userinfoeditview/form"
    fields = {
        "first_name": "Anna",
        "last_name": "Rao",
        "mobile": "98200 12345",
        "time_zone": "Asia/Dubai",
        "locale": "en",
        "username": "root2",
        "roles": "1",
        "active": "",
        "email": "x@y.test",
        "manager_id": "1",
    }
    before = rows(app, select(User.username, User.email, User.active, User.manager_id).where(User.username == "ana"))
    assert post(ana, path, path, **fields).status_code == 302
    after = select(User.username, User.email, User.active, User.manager_id).where(User.username == "ana")
    assert rows(app, after) == before
    changed = select(User.first_name, User.mobile_e164, User.time_zone, User.locale).where(User.username == "ana")
    assert rows(app, changed) == [("Anna", "+919820012345", "Asia/Dubai", "en")]
    assert roles_of(app, "ana") == {"Sales User"}


@pytest.mark.parametrize("field, value", [("mobile", "call me"), ("time_zone", "Mars/Base"), ("locale", "xx")])
def test_the_own_profile_refuses_invalid_values(app: Flask, ana: FlaskClient, field: str, value: str) -> None:
    path = "/userinfoeditview/form"
    post(ana, path, path, **({"first_name": "Anna", "last_name": "Rao"} | {field: value}))
    assert rows(app, select(User.first_name).where(User.username == "ana")) == [("Ana",)]


def test_a_sales_user_cannot_open_security_pages(ana: FlaskClient) -> None:
    for path in ("/users/list/", "/roles/list/", "/users/add", "/groups/list/", "/permissions/list/"):
        assert ana.get(path).status_code == 403, path


def test_everybody_can_open_their_own_profile(ana: FlaskClient, root: FlaskClient) -> None:
    for client in (ana, root):
        assert client.get("/users/userinfo/").status_code == 200
        assert client.get("/userinfoeditview/form").status_code == 200


# --- audit, first start, permissions


def test_sign_ins_are_audited_without_secrets(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    client = browser()
    sign_in(client, "ana", "wrong guess 1")
    sign_in(client, "ana")
    post(client, "/logout/", "/sessions/")
    assert audit_events(app) == ["sign-in refused", "sign-in", "sign-out"]
    with app.app_context(), access.as_system(db.session()) as session:
        assert audit_chain.verify(session).faults == []
        texts = str([(row.about, row.payload) for row in session.scalars(select(AuditEntry))])
    assert "guess" not in texts and PASSWORD not in texts


def test_sign_in_statistics_do_not_invalidate_cached_people(app: Flask, browser: Callable[[], FlaskClient]) -> None:
    version = rows(app, select(models.AccessVersion.n))
    sign_in(browser(), "ana")
    assert rows(app, select(models.AccessVersion.n)) == version
    ((count, last),) = rows(app, select(User.login_count, User.last_login).where(User.username == "ana"))
    assert count == 1 and last is not None


def test_the_first_admin_is_created_once(app: Flask) -> None:
    assert first_admin.ensure_admin(app, None) is None
    delete_all_users(app)
    password = first_admin.ensure_admin(app, None)
    assert password and len(password) >= 12
    assert first_admin.ensure_admin(app, None) is None
    assert sign_in(app.test_client(), "admin", password).status_code == 302


def test_permissions_are_synced_once(app: Flask) -> None:
    assert fab_permissions.sync_permissions(app) == 0


def test_a_new_role_applies_from_the_next_request(app: Flask, ana: FlaskClient) -> None:
    assert ana.get("/users/list/").status_code == 403
    with app.app_context():
        admin = db.session.scalars(select(Role).where(Role.name == "Admin")).one()
        user = db.session.scalars(select(User).where(User.username == "ana")).one()
        user.roles.append(admin)
        db.session.commit()
    assert ana.get("/users/list/").status_code == 200
