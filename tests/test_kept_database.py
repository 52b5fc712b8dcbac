"""A database is put back under its open connections; where that can't be, they are closed and it is replaced."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kept_database import DATABASE, KeptFolder


@dataclass
class House:
    """A folder that is put back, and the connections to its database."""

    kept: KeptFolder
    open: list[sqlite3.Connection] = field(default_factory=list)
    #: How often connections had to be closed.
    closings: int = 0

    def put_back(self) -> None:
        self.kept.put_back(self._close)

    def _close(self) -> None:
        self.closings += 1
        while self.open:
            self.open.pop().close()

    def connect(self) -> sqlite3.Connection:
        made = sqlite3.connect(self.kept.folder / DATABASE, isolation_level=None)
        self.open.append(made)
        return made


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    source = tmp_path / "source"
    source.mkdir()
    with closing(sqlite3.connect(source / DATABASE)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, label TEXT)")
        made.execute("CREATE TABLE filler (words TEXT)")
        made.execute("INSERT INTO filler VALUES (?)", ("w" * 100_000,))
        made.execute("INSERT INTO t (label) VALUES ('first')")
        made.commit()
    house = House(KeptFolder(source, tmp_path / "instance"))
    house.put_back()
    yield house
    house._close()
    house.kept.close()


def labels(connection: sqlite3.Connection) -> list[str]:
    return [label for (label,) in connection.execute("SELECT label FROM t ORDER BY id")]


def test_every_connection_sees_the_database_as_it_was(house: House) -> None:
    one, other = house.connect(), house.connect()
    assert labels(other) == ["first"]
    before = house.closings
    for n in range(3):
        one.execute("UPDATE t SET label = ?", ("x" * 9000,))
        one.executemany("INSERT INTO t (label) VALUES (?)", [("y" * 5000,)] * (20 * n + 1))
        if n == 1:
            assert len(labels(other)) == 22
        house.put_back()
        assert labels(one) == labels(other) == labels(house.connect()) == ["first"]
        assert one.execute("INSERT INTO t (label) VALUES ('second')").lastrowid == 2
        house.put_back()
        assert one.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert house.closings == before


def change_schema(connection: sqlite3.Connection, _path: Path) -> None:
    connection.execute("CREATE TABLE u (id INTEGER)")


def leave_open(connection: sqlite3.Connection, _path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM t")


def read_on(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN")
    assert labels(connection) == ["first"]
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("DELETE FROM t")


def fill(connection: sqlite3.Connection, _path: Path) -> None:
    connection.execute("INSERT INTO t (label) VALUES (?)", ("y" * 1_000_000,))


def vacuum(connection: sqlite3.Connection, _path: Path) -> None:
    connection.execute("DELETE FROM filler")
    connection.execute("VACUUM")


def replace(_connection: sqlite3.Connection, path: Path) -> None:
    path.unlink()
    path.write_bytes(b"no database")


def lock_up(_connection: sqlite3.Connection, path: Path) -> None:
    path.chmod(0o400)


def remove(_connection: sqlite3.Connection, path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("leave", [change_schema, leave_open, read_on, fill, vacuum, replace, lock_up, remove])
def test_what_a_test_leaves_is_replaced(house: House, leave: Callable[[sqlite3.Connection, Path], None]) -> None:
    path, before = house.kept.folder / DATABASE, house.closings
    mode = path.stat().st_mode
    leave(house.connect(), path)
    house.put_back()
    assert house.closings == before + 1
    assert labels(house.connect()) == ["first"]
    assert path.stat().st_mode == mode
    house.put_back()
    assert house.closings == before + 1


def test_what_was_left_beside_the_database_is_removed(house: House) -> None:
    folder = house.kept.folder
    (folder / "files").mkdir()
    (folder / "files" / "a.pdf").write_text("a")
    (folder / "key").write_text("k")
    (folder / "gone").symlink_to(folder / "nowhere")
    house.put_back()
    assert {each.name for each in folder.iterdir()} <= {DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"}
