"""A dump is loaded rows first, and large tables get their indexes afterwards: the result is the same database."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from app.backups import index_builds, mariadb
from app.backups.dump_rewriter import DumpRewriter, TableDefinition, parse
from app.backups.encryption import ProgramFailed
from app.backups.errors import BackupError
from app.backups.mariadb import MariaDBDatabase
from tests.backups.installations import AWKWARD, connected
from tests.servers import Databases, eventually

#: Each with something that an index added later could get wrong.
TABLES = (
    # refers to an index of a table that comes later, and to itself
    "CREATE TABLE a_before (id INTEGER PRIMARY KEY AUTO_INCREMENT, code INTEGER, up INTEGER, body TEXT, KEY (code), "
    "KEY (up), FOREIGN KEY (code) REFERENCES codes (code), "
    "FOREIGN KEY (up) REFERENCES a_before (id) ON DELETE CASCADE)",
    "CREATE TABLE codes (id INTEGER PRIMARY KEY AUTO_INCREMENT, code INTEGER NOT NULL, body TEXT, "
    "title VARCHAR(200) COMMENT 'it''s; a\nKEY `x`, (50 %) :name', twice INTEGER AS (code * 2) STORED, "
    "backwards VARCHAR(200) AS (REVERSE(title)) VIRTUAL, shut DATETIME(6) DEFAULT '2020-01-01', "
    "KEY `50 %% :of ``it` (title, code DESC), KEY (backwards), KEY (twice), UNIQUE KEY (code), KEY part (body(20)), "
    "FULLTEXT KEY words (body), FULLTEXT KEY titles (title), CONSTRAINT above CHECK (code > -5))",
    "CREATE TABLE d_after (id INTEGER PRIMARY KEY, code INTEGER, KEY (code), "
    "FOREIGN KEY (code) REFERENCES codes (code))",
    "CREATE TABLE pairs (b INTEGER, a INTEGER, body TEXT, PRIMARY KEY (a, b), KEY (b)) COMMENT 'of two'",
    "CREATE TABLE no_key (a INTEGER, body TEXT, KEY (a))",
    "CREATE TABLE counted (a INTEGER PRIMARY KEY, n BIGINT NOT NULL AUTO_INCREMENT, body TEXT, KEY (n))",
    "CREATE TABLE parts (a INTEGER PRIMARY KEY, body TEXT, KEY (body(9))) PARTITION BY HASH (a) PARTITIONS 2",
    "CREATE TABLE plain (a INTEGER PRIMARY KEY, body TEXT)",
    "CREATE TRIGGER noted BEFORE INSERT ON pairs FOR EACH ROW SET NEW.body = CONCAT(NEW.body, '!')",
    "CREATE VIEW seen AS SELECT a, b FROM pairs",
    "CREATE PROCEDURE nothing() BEGIN\n(SELECT 1);\nSET @a = 1;\nEND",
)
ROWS = 40


@pytest.fixture
def source(mariadb_url: str) -> MariaDBDatabase:
    with connected(mariadb_url) as connection:
        connection.execute(text("SET foreign_key_checks = 0"))
        for table in TABLES:
            connection.exec_driver_sql(table, execution_options={"no_parameters": True})
        for n in range(ROWS):
            values = {"n": n, "m": (n * 7) % ROWS, "body": f"{AWKWARD} COMMIT;\n {n}", "title": f"title {n % 5}"}
            for insert in (
                "a_before (code, up, body) VALUES (:n, NULL, :body)",
                "codes (code, body, title) VALUES (:m, :body, :title)",
                "d_after VALUES (:n, :m)",
                "pairs VALUES (:n, :m, :body)",
                "no_key VALUES (:m, :body)",
                "counted (a, body) VALUES (:m, :body)",
                "parts VALUES (:m, :body)",
                "plain VALUES (:m, :body)",
            ):
                connection.execute(text(f"INSERT INTO {insert}"), values)
        connection.execute(text("ALTER TABLE codes AUTO_INCREMENT = 999"))
        connection.commit()
    return MariaDBDatabase(make_url(mariadb_url))


@pytest.fixture
def target(mariadb_server: Databases) -> Iterator[MariaDBDatabase]:
    name = mariadb_server.create_database()
    yield MariaDBDatabase(make_url(mariadb_server.url(name)))
    mariadb_server.drop_database(name)


def pieces(whole: bytes, size: int) -> Iterator[bytes]:
    """The bytes in chunks of this size."""
    return (whole[at : at + size] for at in range(0, len(whole), size))


def dump_of(database: MariaDBDatabase) -> bytes:
    """What mariadb-dump writes of it."""
    found: list[bytes] = []
    database.dump(found.append, Path())
    return b"".join(found)


def loaded_bare(monkeypatch: pytest.MonkeyPatch, small: int) -> list[str]:
    """From now on, tables with more bytes than this are large; their names are added to the list."""
    names: list[str] = []

    class Listing(DumpRewriter):
        def finish(self) -> bytes:
            rest = super().finish()
            names.extend(table.name for table in self.bare)
            return rest

    monkeypatch.setattr(mariadb, "DumpRewriter", functools.partial(Listing, small))
    return names


@pytest.mark.parametrize(
    ("small", "large"),
    [(1_000_000, []), (1200, ["`a_before`", "`codes`", "`pairs`", "`plain`"]), (0, None)],
    ids=["none is large", "some are large", "all are large"],
)
def test_indexes_that_are_added_later_give_the_same_database(
    source: MariaDBDatabase,
    target: MariaDBDatabase,
    small: int,
    large: list[str] | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    names = loaded_bare(monkeypatch, small)
    target.load(pieces(dump_of(source), 50), tmp_path)
    assert large is None or names == large
    assert large is not None or {"`a_before`", "`codes`", "`d_after`", "`pairs`", "`plain`"} <= {*names}
    assert not {"`no_key`", "`counted`", "`parts`"} & {*names}  # they need their indexes
    before, after = source.contents(tmp_path), target.contents(tmp_path)
    assert after.differences(before.as_json()) == [] and len(before.tables) >= 8
    with connected(target.url.render_as_string(hide_password=False)) as connection:
        found = connection.execute(text("SELECT COUNT(*) FROM codes WHERE MATCH (body) AGAINST ('नमस्ते')")).scalar()
        assert found == ROWS
        backwards = connection.execute(text("SELECT COUNT(*) FROM codes FORCE INDEX (backwards) WHERE backwards < 'b'"))
        assert backwards.scalar() == ROWS
        for table in ("a_before", "codes", "d_after", "pairs"):
            state = connection.execute(text(f"CHECK TABLE {table} EXTENDED")).mappings().all()
            assert [row["Msg_text"] for row in state] == ["OK"]


@pytest.mark.parametrize("size", [1, 7, 1000, 10_000_000])
def test_no_byte_of_a_dump_is_lost_however_it_is_cut(source: MariaDBDatabase, size: int) -> None:
    dump, rewriter = dump_of(source), DumpRewriter()
    found = b"".join(map(rewriter.feed, pieces(dump, size))) + rewriter.finish()
    assert found.replace(b"SET unique_checks = 1;\n", b"") == dump
    assert found.count(b"SET unique_checks = 1;\nCREATE TABLE `") == len(TABLES) - 3


@pytest.mark.parametrize("fault", ["an index", "a row"])
def test_a_load_that_fails_stops_all_that_runs(
    source: MariaDBDatabase, target: MariaDBDatabase, fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names, dump = loaded_bare(monkeypatch, 0), dump_of(source)
    statements = ["SELECT SLEEP(600)"]
    if fault == "an index":
        statements = ["ALTER TABLE nowhere ADD KEY (a)"]
    else:
        dump = dump.replace(b"CREATE TABLE `plain`", b"CREATE TABLE `pairs`")
    monkeypatch.setattr(TableDefinition, "index_statements", lambda _table: iter(statements))
    said = (
        r"MariaDB refused a step on .*\(ProgrammingError 1146\)"
        if fault == "an index"
        else r"\(ERROR 1050 \(42S01\) at line \d+\)\.$"
    )
    with pytest.raises(BackupError, match=said):
        target.load(pieces(dump, 50), tmp_path)
    assert target.in_use() == 0
    assert fault == "a row" or names != []


def test_others_see_that_indexes_are_being_built(
    source: MariaDBDatabase, target: MariaDBDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded_bare(monkeypatch, 0)
    monkeypatch.setattr(index_builds, "_WAIT", 0.01)
    beats: list[int] = []
    target.load(pieces(dump_of(source), 50), tmp_path, lambda: beats.append(1))
    assert beats
    beats.clear()
    target.contents(tmp_path, lambda: beats.append(1))
    assert beats


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ERROR 1114 (HY000) at line 3: The table 'leads' is full", "The disk of the MariaDB server is full"),
        ("ERROR 1878 (HY000) at line 3: Temporary file write failure", "The disk of the MariaDB server is full"),
        ("ERROR 2013 (HY000) at line 3: Lost connection", "can't be reached"),
        (
            "ERROR 1062 (23000) at line 3: Duplicate entry 'Asha'",
            r"refused a step on .* \(ERROR 1062 \(23000\) at line 3\)\.$",
        ),
        ("ERROR 1045 (28000): Access denied", "mariadb ended with status 1: ERROR 1045"),
        ("killed", "mariadb ended with status 1: killed"),
    ],
)
def test_what_the_client_says_is_put_into_a_sentence(
    source: MariaDBDatabase, words: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ProgramFailed(["mariadb"], 1, words)

    monkeypatch.setattr(MariaDBDatabase, "_program", fail)
    with pytest.raises(BackupError, match="^" + said if "ended" in said else said):
        source.load(iter([b""]), tmp_path)


def test_a_definition_is_taken_apart() -> None:
    table = parse(
        b"CREATE TABLE `a``b` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `p` int(11) DEFAULT NULL,\n"
        b"  PRIMARY KEY (`id`),\n  KEY `p` (`p`),\n  CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `q` (`id`)\n"
        b") ENGINE=InnoDB AUTO_INCREMENT=5;\n"
    )
    assert table.bare == (
        b"CREATE TABLE `a``b` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `p` int(11) DEFAULT NULL,\n"
        b"  PRIMARY KEY (`id`)\n) ENGINE=InnoDB AUTO_INCREMENT=5;\n"
    )
    assert list(table.index_statements()) == ["ALTER TABLE `a``b` ADD KEY `p` (`p`)"]
    assert table.foreign_key_statement() == (
        "ALTER TABLE `a``b` ADD CONSTRAINT `f` FOREIGN KEY (`p`) REFERENCES `q` (`id`)"
    )
    assert table.is_fit and table.parents == {"`q`"}


def test_what_a_killed_restore_left_running_is_ended(target: MariaDBDatabase) -> None:
    """The server goes on building an index although nobody waits for it anymore."""
    with connected(target.url.render_as_string(hide_password=False)) as connection:
        connection.execute(text("CREATE TABLE seats (id INTEGER PRIMARY KEY)"))
        locked = threading.Thread(target=alter_seats, args=(target,))
        connection.execute(text("LOCK TABLES seats WRITE"))
        locked.start()
        eventually(lambda: target.in_use() == 2, "the ALTER TABLE waits")
        target.mark(is_restoring=True)
        eventually(lambda: target.in_use() == 1, "it has ended")
        locked.join()


def alter_seats(target: MariaDBDatabase) -> None:
    """Add an index; it is ended meanwhile."""
    with suppress(DBAPIError), connected(target.url.render_as_string(hide_password=False)) as connection:
        connection.execute(text("ALTER TABLE seats ADD KEY other (id)"))


def test_an_error_never_quotes_the_rows_of_the_statement(target: MariaDBDatabase, tmp_path: Path) -> None:
    """The client repeats the whole statement before its error."""
    rows = b",\n".join(b"(%d,'Asha Rao')" % n for n in range(5000))
    dump = (
        b"CREATE TABLE one (id INTEGER PRIMARY KEY, name TEXT);\nINSERT INTO one VALUES\n" + rows + b",\n(1,'Asha');\n"
    )
    with pytest.raises(BackupError, match=r"^MariaDB refused a step on \w+ \(ERROR 1062 \(23000\) at line 2\)\.$"):
        target.load(iter([dump]), tmp_path)
