"""One application for all tests here; its database is restored before each test, which is fast."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.app_fixtures import Crm
from tests.app_pool import ReusedApp, Settled, forget_sockets
from tests.kept_database import KeptDatabase
from tests.web.compat.sample_calls import SampleRecords
from tests.web.invalid_input import spare_app


class AppSnapshots:
    """An application whose database can be restored to a snapshot: empty, or with sample records."""

    def __init__(self, app: Flask, folder: Path) -> None:
        self.app, self.folder = app, folder
        self._reused = ReusedApp(app)
        self._settled = {"empty": Settled(), "with_records": Settled()}
        self.file = Path(app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///"))
        self._database = KeptDatabase(self.file)
        self.save("empty")
        crm = Crm(app)
        self.sample = SampleRecords(crm)
        crm.close()
        self.save("with_records")

    def save(self, name: str) -> None:
        """Take a snapshot of the database."""
        self._reused.disconnect()
        shutil.copyfile(self.file, self.folder / name)

    def restore(self, name: str) -> Crm:
        """Restore a snapshot."""
        forget_sockets(self.app)
        self._database.put_back(self.folder / name, self._reused.disconnect)
        app = self._reused.renew()
        self._settled[name].recall(app)
        return Crm(app)


@pytest.fixture(scope="session")
def snapshots(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppSnapshots]:
    """The application of all tests here."""
    folder = tmp_path_factory.mktemp("compat")
    with spare_app(settled, folder) as app:
        yield AppSnapshots(app, folder)


@pytest.fixture
def crm(snapshots: AppSnapshots) -> Iterator[Crm]:
    """The usual CRM, but faster: the module's application with an empty database."""
    crm = snapshots.restore("empty")
    yield crm
    crm.close_sessions()


@pytest.fixture
def sample(snapshots: AppSnapshots) -> Iterator[SampleRecords]:
    """One record of each kind, restored for each test."""
    crm = snapshots.restore("with_records")
    yield snapshots.sample.bind_to(crm)
    crm.close_sessions()


@pytest.fixture(scope="module")
def shared_sample(snapshots: AppSnapshots) -> Iterator[SampleRecords]:
    """The same for all tests of a module that do not change it, or do not depend on its state."""
    crm = snapshots.restore("with_records")
    yield snapshots.sample.bind_to(crm)
    crm.close_sessions()
