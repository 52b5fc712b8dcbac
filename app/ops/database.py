"""Database setup: WAL and write locks on SQLite, and a record of the statements sent."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

#: True inside a request or job that will write. SQLite then takes its write lock at once, instead of failing with
#: "database is locked" when a reader tries to become a writer while another one writes.
WRITES: ContextVar[bool] = ContextVar("writes", default=False)
#: SQL statements sent by this context (a request, a job, a test).
STATEMENTS: ContextVar[list[str] | None] = ContextVar("statements", default=None)
#: MariaDB: nothing listens, the connection broke, it is shutting down, it has no more connections.
_UNREACHABLE = (2002, 2003, 2006, 2013, 1053, 1927, 1040)


def is_unreachable(error: BaseException) -> bool:
    """Whether the database could not be reached, or the connection to it was lost."""
    if not isinstance(error, DBAPIError):
        return False
    arguments = getattr(error.orig, "args", None) or (None,)
    return error.connection_invalidated or arguments[0] in _UNREACHABLE


def tune(engine: Engine) -> None:
    """Set up SQLite connections and the record of statements on a new engine."""
    event.listen(engine, "before_cursor_execute", _record_statement)
    if engine.dialect.name == "mysql":
        event.listen(engine, "connect", _connect_mariadb)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _connect_sqlite)
        event.listen(engine, "begin", _begin_sqlite)


def _connect_mariadb(connection: Any, _record: Any) -> None:
    """Let an EXISTS of the access rules be checked row by row; MariaDB would first collect all rows that it allows."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION optimizer_switch = 'exists_to_in=off'")


def _connect_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # _begin_sqlite sends BEGIN
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if WRITES.get() else "BEGIN")


def _record_statement(_c: Any, _cursor: Any, statement: str, _p: Any, _context: Any, _many: bool) -> None:
    statements = STATEMENTS.get()
    if statements is not None and not statement.startswith(("BEGIN", "PRAGMA")):
        statements.append(statement)
