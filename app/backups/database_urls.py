"""The database that a URL names, and whether two URLs name the same one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.backups.database_contents import Database
from app.backups.errors import BackupError
from app.backups.mariadb import MariaDBDatabase
from app.backups.sqlite import SQLiteDatabase


def open_database(url: str) -> Database:
    """The database of this URL."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BackupError("That isn't the URL of a database, such as mysql+pymysql://user@host/crm.") from None
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise BackupError("A SQLite database in memory can't be backed up.")
        return SQLiteDatabase(parsed)
    if not parsed.database:
        raise BackupError("The URL names no database. It must end with its name, such as mysql+pymysql://…/crm.")
    return MariaDBDatabase(parsed)


def same_database(one: URL, other: URL) -> bool:
    """Whether two URLs name the same database, whoever connects."""
    if one.get_backend_name() != other.get_backend_name():
        return False
    if one.get_backend_name() == "sqlite":
        return Path(one.database or "").resolve() == Path(other.database or "").resolve()
    return _place(one) == _place(other)


def _place(url: URL) -> tuple[Any, ...]:
    host = "127.0.0.1" if url.host in ("localhost", "::1", None) else url.host
    return host, url.port or 3306, url.database
