"""One application for all tests here: its database is put back before each of them, which is soon done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.app_fixtures import World
from tests.reuse import ReusedApp
from tests.web.compat.sample_calls import Ground
from tests.web.hostile import spare_app


class House:
    """An application whose database becomes again what it was."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.app, self.folder = app, folder
        self._reused = ReusedApp(app)
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
        return World(self._reused.renew())

    def _let_go(self) -> None:
        self._reused.disconnect()


@pytest.fixture(scope="session")
def house(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The house of all tests here."""
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
