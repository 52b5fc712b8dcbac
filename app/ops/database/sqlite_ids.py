"""SQLite: ids are never reused after a deletion (AUTOINCREMENT), as on MariaDB.

Without it, a new row gets the id of the newest deleted one, and anything that still refers to that id - an open form,
an Idempotency-Key, a bookmark - reaches somebody else's record.

AUTOINCREMENT does not change how rows are stored, so the table's definition is edited in place
(https://www.sqlite.org/lang_altertable.html, "making other kinds of table schema changes"): no row is copied, and
indexes, foreign keys and triggers stay as they are.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, text

from app.ops.database.sqlite_full_text import is_ours

_COLUMN = re.compile(r'(?P<name>[(,]\s*"?id"?)\s+INTEGER(?:\s+NOT\s+NULL)?(?P<key>\s+PRIMARY\s+KEY)?(?=\s*[,)])', re.I)
_KEY = re.compile(r',\s*(?:CONSTRAINT\s+"?\w+"?\s+)?PRIMARY\s+KEY\s*\(\s*"?id"?\s*\)', re.I)
#: Alembic's copy of a table while it is rebuilt.
_TEMPORARY = "_alembic_tmp_"


class KeepAutoincrement:
    """Callback for Alembic's `on_version_apply`: restores AUTOINCREMENT and the highest id after a table was
    rebuilt.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._given: dict[str, int] = {}
        if connection.dialect.name != "sqlite":
            return
        if connection.in_transaction():
            self._given = highest_ids(connection)
        else:
            with connection.begin():  # ended here, so that Alembic begins and commits its own
                self._given = highest_ids(connection)

    def __call__(self, **_step: Any) -> None:
        """Make all tables AUTOINCREMENT again."""
        if self._connection.dialect.name == "sqlite":
            never_reuse(self._connection, self._given)
            self._given |= highest_ids(self._connection)


def highest_ids(connection: Connection) -> dict[str, int]:
    """Table -> the highest id ever given."""
    if not _exists(connection, "sqlite_sequence"):
        return {}
    return {name: int(last or 0) for name, last in connection.execute(text("SELECT name, seq FROM sqlite_sequence"))}


def never_reuse(connection: Connection, given: dict[str, int]) -> list[str]:
    """Make every table with one integer key `id` AUTOINCREMENT, in the connection's transaction; returns their names.

    `given`: ids up to these also count as used.
    """
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    wanted = {name: with_autoincrement(sql) for name, sql in connection.execute(query).all()}
    foreign = {name for name in wanted if name.startswith(_TEMPORARY) or is_ours(name)}
    changed = {name: sql for name, sql in wanted.items() if sql is not None and name not in foreign}
    if not changed:
        return []
    _create_sequence_table(connection)
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    for name, sql in changed.items():
        connection.execute(
            text("UPDATE sqlite_master SET sql = :sql WHERE type = 'table' AND name = :name"),
            {"sql": sql, "name": name},
        )
    # Other connections reload the schema when its version changes; this one reloads it now.
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar() or 0
    connection.exec_driver_sql(f"PRAGMA schema_version = {int(version) + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")
    for name in changed:
        _seed(connection, name, given.get(name, 0))
    return sorted(changed)


def with_autoincrement(sql: str) -> str | None:
    """A CREATE TABLE with AUTOINCREMENT; None if it has it already or has no integer key `id`."""
    if "AUTOINCREMENT" in sql.upper() or re.search(r"\)\s*WITHOUT\s+ROWID\s*$", sql, re.I):
        return None
    column, key = _COLUMN.search(sql), _KEY.search(sql)
    if column is None or not (column["key"] or key):
        return None
    without = sql if column["key"] else _KEY.sub("", sql, count=1)
    return _COLUMN.sub(r"\g<name> INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", without, count=1)


def _create_sequence_table(connection: Connection) -> None:
    """SQLite creates `sqlite_sequence` with the first table that needs it."""
    if not _exists(connection, "sqlite_sequence"):
        connection.exec_driver_sql("CREATE TABLE crm_first_sequence (id INTEGER PRIMARY KEY AUTOINCREMENT)")
        connection.exec_driver_sql("DROP TABLE crm_first_sequence")


def _seed(connection: Connection, name: str, given: int) -> None:
    top = connection.exec_driver_sql(f'SELECT max(id) FROM "{name}"').scalar()  # noqa: S608  (a name of the schema)
    connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
    if top or given:
        values = {"name": name, "seq": max(int(top or 0), given)}
        connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"), values)


def _exists(connection: Connection, name: str) -> bool:
    query = text("SELECT 1 FROM sqlite_master WHERE name = :name")
    return connection.execute(query, {"name": name}).scalar() is not None
