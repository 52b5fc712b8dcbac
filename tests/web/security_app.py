"""The application with nothing but FAB's screens and ours for signing in, on a SQLite file of its own."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.security import generate_password_hash

import config
from app import access, create_app
from app.extensions import db
from app.models import Role, SignIn, User
from app.web.security import api_keys, security_manager
from app.web.security.sessions import own_transaction
from tests.reuse import AppPool, copy_folder, dispose

PASSWORD = "correct horse 9"
#: One cheap round: hashing and checking take a while by design.
_HASH = generate_password_hash(PASSWORD, "pbkdf2:sha256:1")
PEOPLE = {"ana": "Sales User", "mia": "Sales Manager", "root": "Admin"}


def settings_for(folder: Path, **environ: str) -> config.Settings:
    """The product's own settings on the database of this folder."""
    fixed = {"CRM_INSTANCE_DIR": str(folder), "CRM_SECRET_KEY": "s" * 40, "CRM_SCHEDULER": "off"}
    return config.load(fixed | environ)


def made(folder: Path, **environ: str) -> Flask:
    """An application on the database of this folder."""
    return create_app(settings_for(folder, **environ), TESTING=True)


@pytest.fixture(scope="session")
def app_pool(tmp_path_factory: pytest.TempPathFactory) -> AppPool:
    """In place of the settled database: tables, roles and our people. `app` is made of it."""
    folder = tmp_path_factory.mktemp("migrated")
    app = made(folder)
    fill(app)
    dispose(app)
    instance = tmp_path_factory.mktemp("reused") / "instance"
    return AppPool(partial(copy_folder, folder, instance), partial(settings_for, instance))


def fill(app: Flask) -> None:
    """Tables, roles, pairs and our people for an empty database."""
    with app.app_context():
        flask_migrate.upgrade()
    security_manager.sync_permissions(app)
    with app.app_context(), own_transaction() as session:
        for name, role in PEOPLE.items():
            held = session.scalars(select(Role).where(Role.name == role)).one()
            session.add(
                User(
                    username=name,
                    first_name=name.title(),
                    last_name="Rao",
                    email=f"{name}@eshin.in",
                    active=True,
                    password=_HASH,
                    roles=[held],
                )
            )


@pytest.fixture
def browser(app: Flask) -> Callable[[], FlaskClient]:
    """Another browser at every call."""
    return app.test_client


@pytest.fixture
def ana(browser: Callable[[], FlaskClient]) -> FlaskClient:
    """Ana's browser, signed in."""
    client = browser()
    assert sign_in(client, "ana").status_code == 302
    return client


@pytest.fixture
def root(browser: Callable[[], FlaskClient]) -> FlaskClient:
    """The administrator's browser, signed in."""
    client = browser()
    assert sign_in(client, "root").status_code == 302
    return client


def token_of(client: FlaskClient, path: str = "/login/") -> str:
    """The CSRF token in the page."""
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
    """Whether the browser is let in to its own page."""
    return bool(client.get("/sessions/", **more).status_code == 200)


def ask(client: FlaskClient, authorization: str | None) -> Any:
    """Ask FAB's menu, which every role may read, with this header."""
    return client.get("/api/v1/menu/", headers={"Authorization": authorization} if authorization else {})


def basic(key: str, secret: str) -> str:
    """The header of HTTP's basic scheme."""
    return "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()


def key_for(app: Flask, name: str, *scope: str) -> api_keys.NewApiKey:
    """A new API key of the person."""
    with app.app_context():
        return api_keys.make(user_id(app, name), api_keys.ApiKeyRequest("test", list(scope)), datetime.now(UTC))


def user_id(app: Flask, name: str) -> int:
    """The id of the person."""
    with app.app_context():
        return int(db.session.execute(select(User.id).where(User.username == name)).scalar_one())


def change(app: Flask, name: str, **values: Any) -> None:
    """Change the person's row as a screen does."""
    with app.app_context():
        user = db.session.scalars(select(User).where(User.username == name)).one()
        for field, value in values.items():
            setattr(user, field, value)
        db.session.commit()


def rows(app: Flask, query: Any) -> list[Any]:
    """The rows of a query, seen by the system."""
    with app.app_context(), access.as_system(db.session()) as session:
        return list(session.execute(query).all())


def live(app: Flask, name: str) -> int:
    """How many sign-ins of the person are not ended."""
    return len(rows(app, select(SignIn.id).where(SignIn.user_id == user_id(app, name), SignIn.ended_on.is_(None))))


def move_clock(app: Flask, column: Any, back: timedelta) -> None:
    """Make it as if the moments of the column lay further back."""
    with app.app_context(), own_transaction() as session:
        step = update(column.class_).values({column.key: datetime.now(UTC) - back})
        session.execute(step, execution_options={"synchronize_session": False})
