"""Fixtures of the resilience tests: databases, process groups and simultaneous clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.resilience import scenario as scenarios
from tests.resilience.scenario import Scenario
from tests.servers import Databases, LiveServer, Redis


@pytest.fixture
def scenario(mariadb_server: Databases, settled_mariadb: str, tmp_path: Path) -> Iterator[Scenario]:
    """A settled database with its sellers."""
    with _copied(mariadb_server, settled_mariadb, tmp_path) as made:
        yield made


@contextmanager
def _copied(server: Databases, settled: str, folder: Path) -> Iterator[Scenario]:
    name = server.create_database()
    server.copy_database(settled, name)
    with scenarios.settled(server.url(name), folder, empty=False) as made:
        yield made
    server.drop_database(name)


@dataclass
class RunningProduct:
    """The product on MariaDB and Redis, served by two processes with threads."""

    scenario: Scenario
    web: LiveServer
    redis: Redis

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.web.port


@pytest.fixture(scope="package")
def hall(
    mariadb_server: Databases, settled_mariadb: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProduct]:
    """One for all tests here that leave it as they found it, but for more records."""
    folder = tmp_path_factory.mktemp("hall")
    with _copied(mariadb_server, settled_mariadb, folder) as made, Redis(folder / "redis") as redis:
        settings = made.settings | {"CRM_REDIS_URL": redis.url, "CRM_WORKERS": "2"}
        with LiveServer(folder / "web", **settings) as web:
            yield RunningProduct(made, web, redis)
