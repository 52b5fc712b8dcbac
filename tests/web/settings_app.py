"""The application with people for the tests of settings, and helpers to open pages, send forms and read rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from flask import Flask, current_app
from flask_wtf.csrf import generate_csrf
from sqlalchemy import select

import config
from app import access, create_app
from app.domain.people import permissions
from app.extensions import db
from app.models import AuditEntry, ModulePermission, Role, User
from tests.app_fixtures import FIELD_KEY
from tests.app_pool import Settled, copy_folder, dispose, forget
from tests.kept_database import DATABASE, KeptDatabase

PASSWORD = "Correct-Horse-42"

#: A valid row of a picklist.
PICKLIST_ENTRY = {"label": "Walk-in", "position": "3", "is_active": "y"}
#: Invalid queries of a list; {v} is the name of its view.
INVALID_QUERIES = [
    "page_{v}=abc",
    "page_{v}=-1",
    "page_{v}=99999999999999999999",
    "psize_{v}=-5",
    "psize_{v}=1000000000",
    "_oc_{v}=nothing&_od_{v}=asc",
    "_oc_{v}=roles&_od_{v}=asc",
    "_oc_{v}=password&_od_{v}=asc",
    "_oc_page_x=abc",
    "xpage_{v}=abc",
    "_flt_9_name=x",
    "_flt_0_nothing=x",
    "_flt_0_active=maybe",
    "_flt_0_roles=abc",
    "_flt_0_roles=999999",
    "_flt_0_username=%00",
    "_flt_0_password=a",
    "_flt_2_username=%25",
    "_flt_0_permission=x",
]
#: name -> roles. Sid may change the settings, but is no admin.
PEOPLE = {
    "root": ["Admin"],
    "ana": ["Sales User"],
    "ben": ["Sales User"],
    "mia": ["Sales Manager"],
    "sid": ["Settings desk"],
    "cora": ["Compliance"],
    "cleo": ["Support User"],
}


@dataclass
class Site:
    """The application, with one browser per person."""

    app: Flask
    clients: dict[str, Any]

    def get(self, name: str, url: str, /) -> Any:
        return self._client(name).get(url)

    def post(self, name: str, url: str, /, **sent: Any) -> Any:
        client = self._client(name)
        return client.post(url, data={"csrf_token": client.get("/token").text, **sent})

    def _client(self, name: str) -> Any:
        if name not in self.clients:
            self.clients[name] = self.app.test_client()
            self.clients[name].get(f"/as/{name}")
        return self.clients[name]

    def rows(self, query: Any) -> list[Any]:
        with self.app.app_context(), access.as_system(db.session()) as session:
            return list(session.scalars(query))

    def ids(self, model: Any, column: Any) -> dict[str, int]:
        with self.app.app_context():
            return {key: pk for pk, key in db.session.execute(select(model.id, column))}

    def user(self, name: str) -> int:
        return self.ids(User, User.username)[name]

    def role(self, name: str) -> int:
        return self.ids(Role, Role.name)[name]

    def cells(self, role: str) -> dict[tuple[str, str], str]:
        rows = self.rows(select(ModulePermission).where(ModulePermission.role_id == self.role(role)))
        return {(row.module, row.verb): row.level for row in rows}

    def permissions(self, role: str) -> set[str]:
        with self.app.app_context():
            found = db.session.get(Role, self.role(role))
            return {str(pair) for pair in found.permissions if pair.view_menu.name in permissions.VERBS_OF}

    def audited(self, event: str) -> list[Any]:
        return self.rows(select(AuditEntry).where(AuditEntry.event == event).order_by(AuditEntry.id))


def make_app(folder: Path) -> Flask:
    """The application on the migrated SQLite file of this folder."""
    settings = {"CRM_INSTANCE_DIR": str(folder), "CRM_FIELD_KEY": FIELD_KEY, "CRM_SCHEDULER": "off"}
    app = create_app(config.load(settings), TESTING=True)
    app.add_url_rule("/as/<name>", view_func=_sign_in)
    app.add_url_rule("/token", "token", generate_csrf)
    return app


def _sign_in(name: str) -> str:
    user = db.session.scalars(select(User).where(User.username == name)).one()
    cast(Any, current_app).appbuilder.sm.sign_in_browser(user)
    return "ok"


def fill() -> None:
    """The people; Sid's role may change the settings and see own leads."""
    levels = {("Settings", verb): "all" for verb in ("read", "create", "write", "delete")} | {("Leads", "read"): "own"}
    desk_role = Role(name="Settings desk")
    db.session.add(desk_role)
    db.session.flush()
    for (module, verb), level in levels.items():
        db.session.add(ModulePermission(role_id=desk_role.id, module=module, verb=verb, level=level))
    roles = {role.name: role for role in db.session.scalars(select(Role))}
    for name, held in PEOPLE.items():
        db.session.add(
            User(
                first_name=name.title(),
                last_name="Shah",
                username=name,
                email=f"{name}@example.in",
                active=True,
                password="-",
                available=True,
                roles=[roles[each] for each in held],
            )
        )
    db.session.flush()
    mia = db.session.scalars(select(User).where(User.username == "mia")).one()
    db.session.scalars(select(User).where(User.username == "ana")).one().manager_id = mia.id
    db.session.commit()
    db.session.remove()


@dataclass
class FilledApp:
    """The application, a copy of its filled database, that database, and what is cached of it."""

    app: Flask
    filled: Path
    database: KeptDatabase
    settled: Settled = field(default_factory=Settled)


@pytest.fixture(scope="session")
def filled_app(tmp_path_factory: pytest.TempPathFactory, migrated_folder: Path) -> FilledApp:
    """The application, and its filled database."""
    folder = tmp_path_factory.mktemp("team") / "instance"
    copy_folder(migrated_folder, folder)
    app = make_app(folder)
    with app.app_context():
        fill()
        db.engine.dispose()
    shutil.copy(folder / DATABASE, folder / "filled.sqlite3")
    return FilledApp(app, folder / "filled.sqlite3", KeptDatabase(folder / DATABASE))


@pytest.fixture
def site(filled_app: FilledApp) -> Iterator[Site]:
    """The application on a fresh copy of the database."""
    app = filled_app.app
    with app.app_context():
        db.session.remove()
    filled_app.database.put_back(filled_app.filled, partial(dispose, app))
    forget()
    filled_app.settled.recall(app)
    yield Site(app, {})


def save_matrix(site: Site, who: str, role: str, **chosen: str) -> Any:
    """Open the role's matrix and save it with these cells."""
    page = site.get(who, f"/roles/matrix/{site.role(role)}").text
    action = page.split('action="/roles/matrix/', 1)[1].split('"', 1)[0]
    return site.post(who, f"/roles/matrix/{action}", **{key.replace("__", " "): value for key, value in chosen.items()})


def edit_user(site: Site, who: str, name: str, **more: Any) -> Any:
    """Save the user's form with its current values and these changes."""
    user = site.rows(select(User).where(User.username == name))[0]
    sent = {
        "first_name": user.first_name,
        "last_name": user.last_name,
        "username": name,
        "email": user.email,
        "active": "y",
        "available": "y",
        "roles": site.role(PEOPLE[name][0]) if name in PEOPLE else "",
    }
    return site.post(who, f"/users/edit/{user.id}", **{**sent, **more})


def roles_of(site: Site, name: str) -> list[str]:
    with site.app.app_context():
        return [role.name for role in db.session.get(User, site.user(name)).roles]


def labels(site: Site, model: Any) -> list[str]:
    return sorted(site.rows(select(model.label)))


def first_id(site: Site, model: Any) -> int:
    return int(site.rows(select(model.id).order_by(model.id))[0])
