"""Sends compiled statements directly to MariaDB's driver. SQLAlchemy's own way for a given text costs twice as much.

Listeners (deadlines, the count of statements, metrics) and errors are the same as with `Connection.exec_driver_sql`; a
test compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import PendingRollbackError, ResourceClosedError
from sqlalchemy.orm import Session, scoped_session

from app.ops.statements import sqlalchemy_internals as internals


class StatementResult(NamedTuple):
    """The result of a statement."""

    #: As read by the driver; empty if the statement has no result.
    rows: Sequence[tuple[Any, ...]]
    #: The number of rows that the database reports as found or written.
    total: int
    #: The id of the row inserted by an INSERT of one row.
    last_id: int
    #: The number of database warnings.
    warnings: int = 0


class _Moment:
    """The context passed to listeners, on which they can set attributes, instead of SQLAlchemy's."""

    compiled = None
    executemany = False

    def handle_dbapi_exception(self, error: BaseException) -> None:
        """Called by SQLAlchemy after an error; there is nothing to close."""


def send(session: Session, text: str, values: Any) -> StatementResult:
    """Execute a compiled statement in the session's transaction. Raises SQLAlchemy's errors.

    `values`: by name, or in order if the driver uses positions. The session's own changes are not flushed first.
    """
    connection = connection_of(session)
    if connection.dialect.name == "sqlite":
        return _by_sqlalchemy(connection, text, values)
    moment = _Moment()
    try:
        cursor = connection.connection.cursor()
    except (PendingRollbackError, ResourceClosedError):
        raise
    except BaseException as error:  # noqa: BLE001  # raised again as SQLAlchemy's
        internals.raise_driver_error(connection, error, text, values)
    for listen in internals.listeners(connection, "before_cursor_execute"):
        text, values = listen(connection, cursor, text, values, moment, False)
    try:
        cursor.execute(text, values)
    except BaseException as error:  # noqa: BLE001
        internals.raise_driver_error(connection, error, text, values, cursor, moment)
    for listen in internals.listeners(connection, "after_cursor_execute"):
        listen(connection, cursor, text, values, moment, False)
    rows = cursor.fetchall() if cursor.description is not None else ()
    sent = StatementResult(rows, cursor.rowcount, cursor.lastrowid, getattr(cursor, "warning_count", 0))
    cursor.close()
    return sent


def _by_sqlalchemy(connection: Connection, text: str, values: Any) -> StatementResult:
    """For SQLite, which reads rows when they are fetched; its errors then have to be SQLAlchemy's."""
    result = connection.exec_driver_sql(text, values)
    rows = [tuple(row) for row in result] if result.returns_rows else []
    sent = StatementResult(rows, result.rowcount, result.lastrowid if not rows else 0)
    result.close()
    return sent


def convert(
    rows: list[tuple[Any, ...]], converters: Sequence[tuple[int, Callable[[Any], Any]]]
) -> list[tuple[Any, ...]]:
    """The rows with Python values. `converters`: (column, converter) for columns that need one."""
    if not converters:
        return rows
    made = []
    for row in rows:
        values = list(row)
        for place, make in converters:
            if values[place] is not None:  # NULL is None to every type of ours
                values[place] = make(values[place])
        made.append(tuple(values))
    return made


def connection_of(session: Session | scoped_session[Session]) -> Connection:
    """`session.connection()`, with less work if the transaction has it already."""
    return internals.connection_of(session() if isinstance(session, scoped_session) else session)
