"""Full-text search on SQLite: an FTS5 table beside `message` and one beside `note_text`, kept up to date by triggers.

MariaDB has full-text indexes of its own. The text is stored only in the table itself; the other one has its words. A
migration that rebuilds the table silently drops its triggers, so they are restored after each step, see
migrations/env.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

#: Table with texts in its column `body` -> the table of their words.
TABLES = {"message": "message_words", "note_text": "note_words"}
#: MariaDB's indexes for the same.
_INDEXES = {f"ix_{source}_words" for source in TABLES}


def create(connection: Connection, source: str) -> None:
    """Create the table with the words of all rows of `source`, and its triggers. Does nothing on MariaDB."""
    if connection.dialect.name == "sqlite" and not _exists(connection, TABLES[source]):
        words = TABLES[source]
        # Letters, digits and combining marks, as in Hindi and Gujarati; e finds é.
        connection.exec_driver_sql(
            f"""CREATE VIRTUAL TABLE {words} USING fts5(body, content='{source}', content_rowid='id',
            tokenize="unicode61 remove_diacritics 2 categories 'L* N* Co M*'")"""
        )
        connection.exec_driver_sql(f"INSERT INTO {words}({words}) VALUES ('rebuild')")  # noqa: S608  # no value
        _restore_triggers(connection, source)


def remove(connection: Connection, source: str) -> None:
    """Remove the table of the words and its triggers."""
    if connection.dialect.name == "sqlite":
        for name, _what in _triggers(source):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {TABLES[source]}")


def ensure(connection: Connection) -> None:
    """Restore missing triggers of the tables that there are."""
    if connection.dialect.name != "sqlite":
        return
    for source, words in TABLES.items():
        if _exists(connection, words):
            _restore_triggers(connection, source)


def _restore_triggers(connection: Connection, source: str) -> None:
    query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
    there = set(connection.exec_driver_sql(query, (source,)).scalars())
    for name, what in _triggers(source):
        if name not in there:
            connection.exec_driver_sql(f"CREATE TRIGGER {name} {what}")


def _triggers(source: str) -> Iterator[tuple[str, str]]:
    """(name, definition) of the triggers of a table."""
    words = TABLES[source]
    add = f"INSERT INTO {words}(rowid, body) VALUES (new.id, new.body);"  # noqa: S608  # no value
    drop = f"INSERT INTO {words}({words}, rowid, body) VALUES ('delete', old.id, old.body);"  # noqa: S608  # no value
    yield f"{words}_insert", f"AFTER INSERT ON {source} BEGIN {add} END"
    yield f"{words}_delete", f"AFTER DELETE ON {source} BEGIN {drop} END"
    yield f"{words}_update", f"AFTER UPDATE OF body ON {source} BEGIN {drop} {add} END"


def _exists(connection: Connection, name: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.exec_driver_sql(query, (name,)).scalar() is not None


def is_ours(name: str | None) -> bool:
    """Whether a table is one of words, or one that FTS5 maintains for it."""
    return name is not None and any(name == words or name.startswith(f"{words}_") for words in TABLES.values())


def include_object(_object: Any, name: str | None, kind: str, is_reflected: bool, other: Any) -> bool:
    """Filter for Alembic: the full-text indexes exist only on MariaDB."""
    return not (kind == "index" and name in _INDEXES and not is_reflected and other is None)


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Filter for Alembic: leave out the tables that FTS5 maintains."""
    return not (kind == "table" and is_ours(name))
