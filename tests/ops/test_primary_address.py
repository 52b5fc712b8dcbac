"""Following a promoted primary: with a complete, missing or partial file, and while a connection is being made."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url

from app.ops.database import connections, primary_address
from app.ops.database.primary_address import PrimaryAddress

URL = "mysql+pymysql://crm:p@db1.test/crm"


def write(file: Path, url: str) -> Path:
    file.write_text(f"# settings\nCRM_DATABASE_URL='{url}'\nCRM_PORT=8000\n")
    return file


def host(place: PrimaryAddress) -> Any:
    return place.options({"host": "db1.test"})[0]["host"]


def test_a_file_that_cannot_be_read_changes_nothing_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(tmp_path / "env", URL)
    place = PrimaryAddress(URL, file)
    whole = file.read_text().replace("db1", "db2")
    with caplog.at_level(logging.WARNING, "crm.database"):
        file.unlink()
        assert [place.look() for _ in range(3)] == [0, 0, 0]
        assert len(caplog.messages) == 1
    for length in range(len(whole) - len("'\nCRM_PORT=8000\n")):  # written bit by bit, as no editor should
        file.write_text(whole[:length])
        assert (place.look(), host(place)) == (0, "db1.test"), whole[:length]
    file.write_text(whole)
    assert (place.look(), host(place)) == (1, "db2.test")
    write(file, URL + "2")
    assert (place.look(), host(place)) == (1, "db2.test")  # another database is none of its replicas
    write(file, URL)
    assert (place.look(), host(place)) == (2, "db1.test")  # the former one is the primary again
    caplog.clear()
    with caplog.at_level(logging.WARNING, "crm.database"):
        file.unlink()
        place.look()
        assert len(caplog.messages) == 1


@pytest.fixture
def two_names(mariadb_url: str, tmp_path: Path) -> Iterator[tuple[str, str, Path]]:
    """A server under two names, the first one in a file of settings that is followed."""
    first = mariadb_url
    second = make_url(first).set(host="localhost").render_as_string(hide_password=False)
    file = write(tmp_path / "env", first)
    primary_address.follow(first, file)
    yield first, second, file
    primary_address._places.clear()


def test_a_connection_that_was_begun_before_the_promotion_is_not_used(
    two_names: tuple[str, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, file = two_names
    engine = create_engine(first)
    connections.limit_exchanges(engine, lambda: 5.0)
    connects: Any = connections._connect_mariadb
    hosts: list[str] = []

    def slowly(dialect: Any, given: Any, *more: Any) -> Any:
        made = connects(dialect, given, *more)
        hosts.append(made.host)
        if len(hosts) == 1:  # another server is promoted meanwhile, and another thread sees it
            write(file, second)
            place = primary_address.place_of(engine)
            assert place is not None and place.look() == 1
        return made

    monkeypatch.setattr(connections, "_connect_mariadb", slowly)
    with engine.connect() as connection:
        assert hosts == ["127.0.0.1", "localhost"]
        assert not primary_address.is_stale(connection)
    engine.dispose()
