"""An application with an add-on, on SQLite and on MariaDB; the add-on's registrations are removed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access, addons, create_app, models
from app.access import row_rules
from app.domain.people import permissions
from app.extensions import db
from app.web.security import fab_permissions
from tests.app_fixtures import Colleague, UserClient, settings_for
from tests.app_pool import copy_folder


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def app(request: pytest.FixtureRequest, settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The CRM with the add-on of tests/addons/contacts.py."""
    environ = {"CRM_ADDONS": "tests.addons.contacts.Manager", "CRM_COUNT_SQL": "on"}
    folder: Path | None = settled
    if request.param == "mariadb":
        server, folder = request.getfixturevalue("mariadb_server"), None
        name = server.create_database()
        server.copy_database(request.getfixturevalue("settled_mariadb"), name)
        environ["CRM_DATABASE_URL"] = server.url(name)
    with with_addon(tmp_path_factory.mktemp("addon") / "instance", folder, **environ) as made:
        yield made


@contextmanager
def with_addon(instance: Path, settled: Path | None, **environ: str) -> Iterator[Flask]:
    """The CRM with these settings, and the tables and permissions of its add-on, on a copy of the settled database.

    Without `settled`, CRM_DATABASE_URL names the copy.
    """
    if settled is not None:
        copy_folder(settled, instance)
    with forgetting():
        made = create_app(settings_for(instance, **environ), TESTING=True)
        fab_permissions.sync_permissions(made)
        addons.create_tables(made)
        yield made
        with made.app_context():
            db.engine.dispose()


@contextmanager
def forgetting() -> Iterator[None]:
    """Put the registers of the process back to what they were."""
    kept = [
        (register, dict(register))
        for register in (
            permissions._ADDED,
            permissions.VERBS_OF,
            row_rules.RULES,
            row_rules.MODULE_OF,
            row_rules._TIMELINES,
        )
    ]
    try:
        yield
    finally:
        for register, before in kept:
            register.clear()
            register.update(before)


@pytest.fixture(scope="module")
def client(app: Flask) -> Callable[[str], UserClient]:
    """Somebody of tests.app_fixtures.PEOPLE at the application."""
    with app.app_context(), Session(db.engine) as session, access.as_system(session):
        ids: dict[str, int] = dict(session.execute(select(models.User.username, models.User.id)).all())
    return lambda name: UserClient(app, Colleague(ids[name], name))


@pytest.fixture(scope="module")
def root(client: Callable[[str], UserClient]) -> Any:
    """The admin."""
    return client("root")
