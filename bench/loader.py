"""The fastest way to insert many rows: LOAD DATA on MariaDB, executemany on SQLite."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import pymysql
from sqlalchemy import Engine

Cell = str | int | None
Row = tuple[Cell, ...]


class SqliteLoader:
    """executemany; for tests."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.raw_connection()
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        marks = ", ".join("?" * len(columns))
        cursor = self._connection.cursor()
        cursor.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", list(rows))  # noqa: S608
        self.counts[name] = self.counts.get(name, 0) + cursor.rowcount

    def finish(self) -> dict[str, int]:
        self._connection.commit()
        return self.counts


#: With both checks off, an empty table is loaded in bulk (MariaDB 10.6+), and indexes of foreign keys may go. Who
#: adds indexes waits until tables that refer to this one are loaded.
_SESSION = (
    "SET SESSION unique_checks = 0, foreign_key_checks = 0, time_zone = '+00:00', innodb_lock_wait_timeout = 86400"
)
#: The definition and name of each secondary index, as SHOW CREATE TABLE lists them.
_INDEX = re.compile(r"^  ((?:UNIQUE |FULLTEXT )?KEY `(\w+)` .*?),?$", re.MULTILINE)
#: Tables that are loaded at the same time: while the indexes of one are built, the next ones are written.
LOADS_AT_ONCE = 3


def _alter(cursor: pymysql.cursors.Cursor, table: str, changes: list[str]) -> None:
    if changes:
        cursor.execute(f"ALTER TABLE {table} {', '.join(changes)}")


class MariaLoader:
    """One LOAD DATA per table, each through a pipe, in a thread and a connection of its own.

    Nothing is written to disk in between. The indexes of one table are built while the caller makes the next rows.
    """

    def __init__(self, engine: Engine) -> None:
        self._url = engine.url
        self._threads = ThreadPoolExecutor(LOADS_AT_ONCE)
        self._waiting: list[Future[None]] = []
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        for earlier in self._waiting:
            if earlier.done():
                earlier.result()  # raises what went wrong, now and not after all tables
        reading, writing = os.pipe()
        loading = self._threads.submit(self._load, name, columns, reading)
        self._waiting.append(loading)
        count = 0
        try:
            with os.fdopen(writing, "w", encoding="utf-8", buffering=1 << 20) as lines:
                for row in rows:
                    count += 1
                    lines.write("\t".join(["\\N" if cell is None else str(cell) for cell in row]) + "\n")
        except BrokenPipeError:
            loading.result()  # the reason why nobody reads on
            raise
        self.counts[name] = self.counts.get(name, 0) + count

    def _load(self, name: str, columns: Sequence[str], reading: int) -> None:
        """Load a table without its indexes, then build them all in one pass: each by sorting.

        Row by row, as MariaDB fills indexes of computed columns and of words, a million leads take an hour.
        """
        listed, source = ", ".join(columns), f"/proc/self/fd/{reading}"
        try:
            with self._connect() as connection, connection.cursor() as cursor:
                cursor.execute(f"SHOW CREATE TABLE {name}")
                indexes = _INDEX.findall(cursor.fetchall()[0][1])
                _alter(cursor, name, [f"DROP INDEX `{index}`" for _definition, index in indexes])
                cursor.execute(f"LOAD DATA LOCAL INFILE '{source}' INTO TABLE {name} CHARACTER SET utf8mb4 ({listed})")
                definitions = [definition for definition, _index in indexes]
                _alter(cursor, name, [f"ADD {each}" for each in definitions if not each.startswith("FULLTEXT")])
                _alter(cursor, name, [f"ADD {each}" for each in definitions if each.startswith("FULLTEXT")])
        finally:
            os.close(reading)

    def _connect(self) -> pymysql.connections.Connection:
        return pymysql.connect(
            host=self._url.host or "127.0.0.1",
            port=self._url.port or 3306,
            user=self._url.username or "root",
            password=self._url.password or "",
            database=self._url.database,
            charset="utf8mb4",
            local_infile=True,
            autocommit=True,
            init_command=_SESSION,
        )

    def finish(self) -> dict[str, int]:
        for waiting in self._waiting:
            waiting.result()
        names = ", ".join(self.counts)
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"ANALYZE TABLE {names}")
        return self.counts


def loader(engine: Engine) -> SqliteLoader | MariaLoader:
    """The fastest loader for this database."""
    return SqliteLoader(engine) if engine.dialect.name == "sqlite" else MariaLoader(engine)
