"""Limits how long the statements of a session may run: the database aborts slower ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.ops.database.database_errors import number_of

#: MariaDB: max_statement_time exceeded. SQLite: interrupted.
_STOPPED = (1969, 9)
#: Virtual machine steps of SQLite between two checks of the clock: some milliseconds.
_STEPS = 20_000
#: The session may have a limit already (STATEMENT_SECONDS in database_engine.py).
_LIMIT = text("SET @limit_before = @@SESSION.max_statement_time, SESSION max_statement_time = :seconds")
_RESTORE = text("SET SESSION max_statement_time = COALESCE(@limit_before, 0)")


class StatementTooSlow(Exception):
    """A statement was aborted because it took too long; the transaction continues."""


@contextmanager
def limited(session: Session, seconds: float) -> Iterator[None]:
    """Inside, statements of this session are aborted after `seconds`. Raises StatementTooSlow."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    try:
        _begin(session, seconds, is_sqlite)
        yield
    except DBAPIError as error:
        if (number_of(error) or 0) in _STOPPED:
            raise StatementTooSlow from error
        raise
    finally:
        with suppress(DBAPIError):  # a lost connection has no limit either
            _end(session, is_sqlite)


def _begin(session: Session, seconds: float, is_sqlite: bool) -> None:
    if not is_sqlite:
        session.connection().execute(_LIMIT, {"seconds": seconds})
        return
    end = time.monotonic() + seconds
    _driver(session).set_progress_handler(lambda: time.monotonic() > end, _STEPS)


def _end(session: Session, is_sqlite: bool) -> None:
    if not is_sqlite:
        session.connection().execute(_RESTORE)
        return
    _driver(session).set_progress_handler(None, 0)


def _driver(session: Session) -> Any:
    return session.connection().connection.dbapi_connection
