"""Fixtures for tests with several servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import cache_folder


@pytest.fixture(scope="session")
def mariadb_cache(pytestconfig: pytest.Config) -> Path:
    """Where freshly installed data folders of MariaDB are kept."""
    return cache_folder(pytestconfig)
