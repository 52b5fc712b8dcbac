"""The database's own ways: WAL and write locks on SQLite, counting of statements."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

#: True inside a request or job that will write; SQLite then takes its write lock at once, instead of
#: failing with "database is locked" when a reader tries to become a writer behind somebody else.
WRITES: ContextVar[bool] = ContextVar("writes", default=False)
#: SQL statements sent by this context (a request, a job, a test).
STATEMENTS: ContextVar[list[str] | None] = ContextVar("statements", default=None)
#: MariaDB: nobody listens, the line broke, it shuts down, it has no more lines.
_AWAY = (2002, 2003, 2006, 2013, 1053, 1927, 1040)


def is_away(error: BaseException) -> bool:
    """Whether the database could not be reached, or was lost on the way."""
    if not isinstance(error, DBAPIError):
        return False
    said = getattr(error.orig, "args", None) or (None,)
    return error.connection_invalidated or said[0] in _AWAY


def tune(engine: Engine) -> None:
    """Set up SQLite connections and statement counting on a new engine."""
    event.listen(engine, "before_cursor_execute", _count)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _connect_sqlite)
        event.listen(engine, "begin", _begin_sqlite)


def _connect_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if WRITES.get() else "BEGIN")


def _count(_c: Any, _cursor: Any, statement: str, _p: Any, _context: Any, _many: bool) -> None:
    seen = STATEMENTS.get()
    if seen is not None and not statement.startswith(("BEGIN", "PRAGMA")):
        seen.append(statement)
