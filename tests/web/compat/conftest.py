"""One application per test module; its database is restored before each test, which is fast."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask_appbuilder import Model
from sqlalchemy import func, select, text

from app import access, create_app
from app.extensions import db
from app.web.core import lookups
from tests.app_fixtures import World, settings_for, settle
from tests.servers import Databases
from tests.web.compat.sample_calls import SampleRecords
from tests.web.hostile import spare_app


class AppSnapshots:
    """An application whose database can be restored to a snapshot: empty, or with sample records."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.app, self.folder = app, folder
        self.file = Path(app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///"))
        self.save("empty")
        world = World(app)
        self.sample = SampleRecords(world)
        world.close()
        self.save("with_records")

    def save(self, name: str) -> None:
        """Take a snapshot of the database."""
        self._close_connections()
        shutil.copyfile(self.file, self.folder / name)

    def restore(self, name: str) -> World:
        """Restore a snapshot."""
        self._close_connections()
        for end in ("-wal", "-shm"):
            Path(f"{self.file}{end}").unlink(missing_ok=True)
        shutil.copyfile(self.folder / name, self.file)
        access.clear_cache()
        lookups._kept.clear()  # the version of the access rules goes back, and so do the rows that were cached
        return World(self.app)

    def _close_connections(self) -> None:
        with self.app.app_context():
            db.engine.dispose()


@pytest.fixture(scope="module")
def snapshots(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppSnapshots]:
    """The application of a test module."""
    folder = tmp_path_factory.mktemp("compat")
    with spare_app(settled, folder) as app:
        yield AppSnapshots(app, folder)


@pytest.fixture
def world(snapshots: AppSnapshots) -> Iterator[World]:
    """The usual world, but faster: the module's application with an empty database."""
    world = snapshots.restore("empty")
    yield world
    world.close()


@pytest.fixture
def sample(snapshots: AppSnapshots) -> Iterator[SampleRecords]:
    """One record of each kind, restored for each test."""
    world = snapshots.restore("with_records")
    yield snapshots.sample.bind_to(world)
    world.close()


@pytest.fixture(scope="module")
def shared_sample(snapshots: AppSnapshots) -> Iterator[SampleRecords]:
    """The same for all tests of a module that do not change it, or do not depend on its state."""
    world = snapshots.restore("with_records")
    yield snapshots.sample.bind_to(world)
    world.close()


# --- MariaDB


@pytest.fixture(scope="module")
def maria_app(mariadb_server: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The application on a MariaDB database that a test module shares."""
    name = mariadb_server.create_database()
    folder = tmp_path_factory.mktemp("maria") / "instance"
    access.clear_cache()
    app = create_app(settings_for(folder, CRM_DATABASE_URL=mariadb_server.url(name)), TESTING=True)
    settle(app)
    yield app
    with app.app_context():
        db.engine.dispose()
    mariadb_server.drop_database(name)


@pytest.fixture
def maria(maria_app: Flask) -> Iterator[World]:
    """The usual world on MariaDB; rows that a test adds are deleted after it."""
    access.clear_cache()
    world = World(maria_app)
    newest = newest_ids(world)
    yield world
    world.close()
    with world.engine.begin() as connection:
        connection.execute(text("SET SESSION foreign_key_checks = 0"))
        for name, key in newest.items():
            connection.execute(text(f"DELETE FROM {name}" + (f" WHERE id > {key}" if key else "")))  # noqa: S608
        connection.execute(text("SET SESSION foreign_key_checks = 1"))


def newest_ids(world: World) -> dict[str, int]:
    """Table -> its largest id; 0 for an empty one."""
    tables = Model.metadata.tables.values()
    queries = {
        each.name: select(func.max(each.c.id) if "id" in each.c else func.count()).select_from(each) for each in tables
    }
    with world.engine.connect() as connection:
        ids = {name: int(connection.execute(query).scalar() or 0) for name, query in queries.items()}
    return {name: key for name, key in ids.items() if "id" in Model.metadata.tables[name].c or not key}
