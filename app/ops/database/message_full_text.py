"""Full-text search of messages on SQLite: an FTS5 table beside `message`, kept up to date by triggers.

MariaDB has a full-text index of its own. The text is stored only in `message`; the table has its words. A migration
that rebuilds `message` silently drops its triggers, so they are restored after each step, see migrations/env.py.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

TABLE = "message_words"
#: Letters, digits and combining marks, as in Hindi and Gujarati; e finds é.
_CREATE = f"""CREATE VIRTUAL TABLE {TABLE} USING fts5(body, content='message', content_rowid='id',
  tokenize="unicode61 remove_diacritics 2 categories 'L* N* Co M*'")"""
_ADD = f"INSERT INTO {TABLE}(rowid, body) VALUES (new.id, new.body);"  # noqa: S608  # no value
_DROP = f"INSERT INTO {TABLE}({TABLE}, rowid, body) VALUES ('delete', old.id, old.body);"  # noqa: S608  # no value
TRIGGERS = {
    f"{TABLE}_insert": f"AFTER INSERT ON message BEGIN {_ADD} END",
    f"{TABLE}_delete": f"AFTER DELETE ON message BEGIN {_DROP} END",
    f"{TABLE}_update": f"AFTER UPDATE OF body ON message BEGIN {_DROP} {_ADD} END",
}


def create(connection: Connection) -> None:
    """Create the table with the words of all messages, and its triggers. Does nothing on MariaDB."""
    if connection.dialect.name == "sqlite" and not exists(connection):
        connection.exec_driver_sql(_CREATE)
        connection.exec_driver_sql(f"INSERT INTO {TABLE}({TABLE}) VALUES ('rebuild')")  # noqa: S608  # no value
        ensure(connection)


def remove(connection: Connection) -> None:
    """Remove table and triggers."""
    if connection.dialect.name == "sqlite":
        for name in TRIGGERS:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {TABLE}")


def ensure(connection: Connection) -> None:
    """Restore missing triggers; after a rebuild of `message`, the words are indexed again."""
    if connection.dialect.name != "sqlite" or not exists(connection):
        return
    query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'message'"
    there = set(connection.exec_driver_sql(query).scalars())
    for name, what in TRIGGERS.items():
        if name not in there:
            connection.exec_driver_sql(f"CREATE TRIGGER {name} {what}")


def exists(connection: Connection) -> bool:
    """Whether the table exists."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.exec_driver_sql(query, (TABLE,)).scalar() is not None


def is_ours(name: str | None) -> bool:
    """Whether a table is this one, or one that FTS5 maintains for it."""
    return name is not None and (name == TABLE or name.startswith(f"{TABLE}_"))


def include_object(_object: Any, name: str | None, kind: str, is_reflected: bool, other: Any) -> bool:
    """Filter for Alembic: the full-text index exists only on MariaDB."""
    return not (kind == "index" and name == "ix_message_words" and not is_reflected and other is None)


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Filter for Alembic: leave out the tables that FTS5 maintains."""
    return not (kind == "table" and is_ours(name))
