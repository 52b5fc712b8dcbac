"""The application on a SQLite file of its own, and helpers to sign in, send forms and read rows."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import delete, select, update
from werkzeug.security import generate_password_hash

import config
from app import access, create_app
from app.access.role_matrix import Matrix, load_matrix, save_matrix
from app.extensions import db
from app.models import AuditEntry, Role, SignIn, User
from app.web.core.request_transaction import request_transaction
from app.web.security import api_keys, login_throttle
from tests.app_fixtures import FIELD_KEY, SECRET_KEY
from tests.app_pool import AppPool, copy_folder, dispose
from tests.kept_database import KeptFolder

PASSWORD = "correct horse 9"
NEW_PASSWORD = "another horse 8"
#: Inputs that must never cause a server error.
INVALID_TEXTS = ["\0", "a\0b", "\ud800", "x" * 1_000_000, "' OR 1=1 --", "%00", "🙂" * 400, " "]
#: One round only: hashing and checking are slow by design.
_HASH = generate_password_hash(PASSWORD, "pbkdf2:sha256:1")
PEOPLE = {"ana": "Sales User", "mia": "Sales Manager", "root": "Admin"}


def settings_for(folder: Path, **environ: str) -> config.Settings:
    """The product's own settings on the database of this folder."""
    fixed = {
        "CRM_INSTANCE_DIR": str(folder),
        "CRM_SECRET_KEY": SECRET_KEY,
        "CRM_FIELD_KEY": FIELD_KEY,  # that of the migrated database: the audit log is sealed with it
        "CRM_SCHEDULER": "off",
    }
    return config.load(fixed | environ)


def make_app(folder: Path, **environ: str) -> Flask:
    """An application on the database of this folder."""
    return create_app(settings_for(folder, **environ), TESTING=True)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory, migrated_folder: Path) -> AppPool:
    """Applications on a copy of a database with tables, roles and our people."""
    return _pool(tmp_path_factory.getbasetemp(), migrated_folder)


@cache
def _pool(base: Path, source: Path) -> AppPool:
    """The pool, shared by all modules that import the fixtures."""
    folder, instance = base / "security-migrated", base / "security-reused"
    copy_folder(source, folder)
    app = make_app(folder)
    add_people(app)
    dispose(app)
    return AppPool(KeptFolder(folder, instance), partial(settings_for, instance))


def add_people(app: Flask) -> None:
    """Add our people to a migrated database."""
    with app.app_context(), request_transaction() as session:
        for name, role in PEOPLE.items():
            role_row = session.scalars(select(Role).where(Role.name == role)).one()
            session.add(
                User(
                    username=name,
                    first_name=name.title(),
                    last_name="Rao",
                    email=f"{name}@eshin.in",
                    active=True,
                    password=_HASH,
                    roles=[role_row],
                )
            )


@pytest.fixture
def app(migrated: AppPool) -> Iterator[Flask]:
    """An application, reset to its initial state."""
    with migrated.fresh() as app_with:
        yield app_with()


@pytest.fixture
def browser(app: Flask) -> Callable[[], FlaskClient]:
    """A new browser at every call."""
    return app.test_client


@pytest.fixture
def ana(browser: Callable[[], FlaskClient]) -> FlaskClient:
    """Ana's browser, signed in."""
    client = browser()
    assert sign_in(client, "ana").status_code == 302
    return client


@pytest.fixture
def root(browser: Callable[[], FlaskClient]) -> FlaskClient:
    """The admin's browser, signed in."""
    client = browser()
    assert sign_in(client, "root").status_code == 302
    return client


def token_of(client: FlaskClient, path: str = "/login/") -> str:
    """A CSRF token of the browser's session; of the page, if the session has none yet."""
    app, cookie = client.application, client.get_cookie(client.application.config["SESSION_COOKIE_NAME"])
    signed = cast(SecureCookieSessionInterface, app.session_interface).get_signing_serializer(app)
    held = signed.loads(cookie.value) if cookie and signed else {}
    if "csrf_token" in held:
        return str(URLSafeTimedSerializer(SECRET_KEY, salt="wtf-csrf-token").dumps(held["csrf_token"]))
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get(path).text)
    assert found, f"{path} has no CSRF token"
    return found[1]


def sign_in(client: FlaskClient, name: str, password: str = PASSWORD, query: str = "", **more: Any) -> Any:
    """Fill in the form and send it."""
    fields = {"username": name, "password": password, "csrf_token": token_of(client)}
    return client.post(f"/login/{query}", data=fields, **more)


def post(client: FlaskClient, path: str, page: str, **fields: Any) -> Any:
    """Send a form of the page, with its CSRF token."""
    return client.post(path, data={"csrf_token": token_of(client, page), **fields})


def is_signed_in(client: FlaskClient, **more: Any) -> bool:
    """Whether the browser may open its sessions page."""
    return bool(client.get("/sessions/", **more).status_code == 200)


def get_menu(client: FlaskClient, authorization: str | None) -> Any:
    """Request FAB's menu, which every role may read, with this header."""
    return client.get("/api/v1/menu/", headers={"Authorization": authorization} if authorization else {})


def basic_header(key: str, secret: str) -> str:
    """The header of HTTP's basic scheme."""
    return "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()


def key_for(app: Flask, name: str, *scope: str) -> api_keys.NewApiKey:
    """A new API key of the person."""
    with app.app_context():
        return api_keys.create_key(user_id(app, name), api_keys.ApiKeyRequest("test", list(scope)), datetime.now(UTC))


def user_id(app: Flask, name: str) -> int:
    """The id of the person."""
    with app.app_context():
        return int(db.session.execute(select(User.id).where(User.username == name)).scalar_one())


def change(app: Flask, name: str, **values: Any) -> None:
    """Change the person's row as a page does."""
    with app.app_context():
        user = db.session.scalars(select(User).where(User.username == name)).one()
        for field, value in values.items():
            setattr(user, field, value)
        db.session.commit()


def rows(app: Flask, query: Any) -> list[Any]:
    """The rows of a query, without access rules."""
    with app.app_context(), access.as_system(db.session()) as session:
        return list(session.execute(query).all())


def count_sign_ins(app: Flask, name: str) -> int:
    """How many sign-ins of the person have not ended."""
    return len(rows(app, select(SignIn.id).where(SignIn.user_id == user_id(app, name), SignIn.ended_on.is_(None))))


def move_clock(app: Flask, column: Any, back: timedelta) -> None:
    """Move all moments of the column this far into the past."""
    with app.app_context(), request_transaction() as session:
        step = update(column.class_).values({column.key: datetime.now(UTC) - back})
        session.execute(step, execution_options={"synchronize_session": False})


def log_in(client: Any, name: Any = "ana", password: Any = PASSWORD, **more: Any) -> Any:
    """Sign in over FAB's JWT resource."""
    return client.post("/api/v1/security/login", json={"username": name, "password": password, "provider": "db"} | more)


def audit_events(app: Flask) -> list[str]:
    """The events of the audit, oldest first."""
    return [event for (event,) in rows(app, select(AuditEntry.event).order_by(AuditEntry.id))]


def let_write_settings(app: Flask, role: str) -> None:
    """Give the people of the role the settings, as an admin does on its page."""
    with app.app_context(), request_transaction() as session:
        row = session.scalars(select(Role).where(Role.name == role)).one()
        matrix = load_matrix(session, row)
        cells = {("Settings", verb): "all" for verb in ("read", "create", "write")}
        save_matrix(session, row, Matrix(matrix.cells | cells, matrix.masks))


def roles_of(app: Flask, name: str) -> set[str]:
    """The names of the person's roles."""
    return {role for (role,) in rows(app, select(Role.name).join(Role.user).where(User.username == name))}


def delete_all_users(app: Flask) -> None:
    """Leave no user in the database."""
    with app.app_context(), request_transaction() as session:
        session.execute(delete(User.roles.property.secondary))
        session.execute(delete(User))


def run_at_once(app: Flask, count: int, step: Callable[[], Any]) -> list[Any]:
    """The results of `step` in this many threads that start together."""
    barrier = threading.Barrier(count)

    def run(_number: int) -> Any:
        barrier.wait()
        with app.test_request_context():
            return step()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def is_attempt_allowed() -> bool:
    """Count a sign-in attempt of Ana; whether it may be checked."""
    try:
        login_throttle.count_attempt("ana", datetime.now(UTC))
    except login_throttle.Locked:
        return False
    return True
