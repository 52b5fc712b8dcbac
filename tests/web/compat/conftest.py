"""One application for the tests of a module: its database is put back before each of them, which is soon done."""

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
from tests.web.compat.sample_calls import Ground
from tests.web.hostile import spare_app


class House:
    """An application whose database becomes again what it was."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.app, self.folder = app, folder
        self.file = Path(app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///"))
        self.keep("bare")
        world = World(app)
        self.ground = Ground(world)
        world.close()
        self.keep("furnished")

    def keep(self, name: str) -> None:
        """Remember the database as it is."""
        self._let_go()
        shutil.copyfile(self.file, self.folder / name)

    def put_back(self, name: str) -> World:
        """The database as it was remembered."""
        self._let_go()
        for end in ("-wal", "-shm"):
            Path(f"{self.file}{end}").unlink(missing_ok=True)
        shutil.copyfile(self.folder / name, self.file)
        access.clear_cache()
        lookups._kept.clear()  # the version of access goes back, and what it was read of may differ
        return World(self.app)

    def _let_go(self) -> None:
        with self.app.app_context():
            db.engine.dispose()


@pytest.fixture(scope="module")
def house(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The house of a module."""
    folder = tmp_path_factory.mktemp("compat")
    with spare_app(settled, folder) as app:
        yield House(app, folder)


@pytest.fixture
def world(house: House) -> Iterator[World]:
    """As everywhere, but soon there: an application that other tests have used, with a fresh database."""
    world = house.put_back("bare")
    yield world
    world.close()


@pytest.fixture
def ground(house: House) -> Iterator[Ground]:
    """The office with one record of each kind, fresh for each test."""
    world = house.put_back("furnished")
    yield house.ground.seen_from(world)
    world.close()


@pytest.fixture(scope="module")
def standing(house: House) -> Iterator[Ground]:
    """The same for all tests of a module that leave everything as it was, or do not mind how it is."""
    world = house.put_back("furnished")
    yield house.ground.seen_from(world)
    world.close()


# --- the other database


@pytest.fixture(scope="module")
def maria_house(mariadb_server: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The product on a MariaDB database that a module shares."""
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
def maria(maria_house: Flask) -> Iterator[World]:
    """As everywhere, but soon there: what a test adds is gone before the next one."""
    access.clear_cache()
    world = World(maria_house)
    last = last_ids(world)
    yield world
    world.close()
    with world.engine.begin() as line:
        line.execute(text("SET SESSION foreign_key_checks = 0"))
        for name, key in last.items():
            line.execute(text(f"DELETE FROM {name}" + (f" WHERE id > {key}" if key else "")))  # noqa: S608
        line.execute(text("SET SESSION foreign_key_checks = 1"))


def last_ids(world: World) -> dict[str, int]:
    """Table -> the newest id; 0 for one that is empty."""
    tables = Model.metadata.tables.values()
    queries = {
        each.name: select(func.max(each.c.id) if "id" in each.c else func.count()).select_from(each) for each in tables
    }
    with world.engine.connect() as line:
        found = {name: int(line.execute(query).scalar() or 0) for name, query in queries.items()}
    return {name: key for name, key in found.items() if "id" in Model.metadata.tables[name].c or not key}
