"""The ground on which the proofs stand, and a hall with people at its doors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.proofs import setting
from tests.proofs.setting import Ground
from tests.servers import Databases, LiveServer, Redis


@pytest.fixture
def field(mariadb_url: str, tmp_path: Path) -> Iterator[Ground]:
    """A settled database with its sellers."""
    with setting.settled(mariadb_url, tmp_path) as made:
        yield made


@dataclass
class Hall:
    """The product on MariaDB and Redis, served by two processes with threads."""

    field: Ground
    web: LiveServer
    redis: Redis

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.web.port


@pytest.fixture(scope="package")
def hall(mariadb_server: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """One for all tests here that leave it as they found it, but for more records."""
    name, folder = mariadb_server.create_database(), tmp_path_factory.mktemp("hall")
    with setting.settled(mariadb_server.url(name), folder) as made, Redis(folder / "redis") as redis:
        settings = made.settings | {"CRM_REDIS_URL": redis.url, "CRM_WORKERS": "2"}
        with LiveServer(folder / "web", **settings) as web:
            yield Hall(made, web, redis)
    mariadb_server.drop_database(name)
