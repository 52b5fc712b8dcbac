"""Logs without personal data: database errors quote user input, so their texts are not logged.

MariaDB writes "Duplicate entry 'asha@example.in' for key …"; SQLAlchemy adds the statement and its parameters. Through
the log record factory, every logged exception, of our code or a library, is reduced to its kind, number and statement.
In other messages, email addresses and long numbers are masked.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pymysql
from sqlalchemy.exc import DBAPIError, StatementError

from app.ops.database.database_errors import summary_of

log = logging.getLogger("crm.errors")

#: Longer statements are cut in the log.
MAX_STATEMENT = 500
_PERSONAL = re.compile(r"[^\s@'\"<>,;]{1,64}@[\w.-]{1,255}|\b[A-Z]{5}\d{4}[A-Z]\b|\d[\d -]{5,20}\d", re.IGNORECASE)
_DATABASE_ERRORS = (StatementError, pymysql.err.Error, sqlite3.Error)
_make_record = logging.getLogRecordFactory()


def install() -> None:
    """Make every log record of this process safe. Idempotent."""
    logging.setLogRecordFactory(_safe_record)
    threading.excepthook = _log_dead_thread


def _safe_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = _make_record(*args, **kwargs)
    if isinstance(record.args, tuple):
        record.args = tuple(safe_text(each) if isinstance(each, BaseException) else each for each in record.args)
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        record.exc_text = safe_traceback(error)  # which formatters use unchanged
    return record


def _log_dead_thread(dead: threading.ExceptHookArgs) -> None:
    """Log the exception that ended a thread like any other."""
    if dead.exc_value is not None and not isinstance(dead.exc_value, SystemExit):
        name = dead.thread.name if dead.thread else "unknown"
        log.error("the thread %s has ended", name, exc_info=dead.exc_value)


def safe_text(error: BaseException) -> str:
    """The error in one line, without user input, as far as that can be recognized."""
    if isinstance(error, DBAPIError):
        return summary_of(error)
    if isinstance(error, StatementError):
        return f"{type(error).__name__} of {type(error.orig).__name__}"
    if isinstance(error, _DATABASE_ERRORS):
        number = next(iter(error.args), "")
        name = getattr(error, "sqlite_errorname", None) or (number if isinstance(number, int) else "")
        return f"{type(error).__name__} {name}".strip()
    return _PERSONAL.sub("…", f"{type(error).__name__}: {error}")


def safe_traceback(error: BaseException) -> str:
    """Like traceback.format_exception, with safe texts."""
    return "".join(_lines(error, set())).rstrip("\n")


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _lines(before, seen)
        yield "\nThis led to another exception:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield safe_text(error) + "\n"
    statement = getattr(error, "statement", None)
    if isinstance(error, StatementError) and statement:
        yield f"[SQL: {' '.join(str(statement).split())[:MAX_STATEMENT]}]\n"
