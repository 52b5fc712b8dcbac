"""The table of what can be wrong with the database itself, by cause: neither a bug, nor a mistake of the person."""

from __future__ import annotations

import errno
import sqlite3
from enum import Enum
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class Cause(Enum):
    """What is wrong. The texts for people are in app/web/core/fab_access.py."""

    #: It can't be reached, does not respond in time, or somebody has ended the statement (KILL QUERY, a shutdown).
    AWAY = "away"
    #: A statement took longer than it may.
    SLOW = "slow"
    #: It accepts no more connections, or this process has none left.
    CROWDED = "crowded"
    #: Somebody else has held a lock for too long.
    LOCKED = "locked"
    #: Two transactions deadlocked, and this one was rolled back, with its savepoints.
    COLLIDED = "collided"
    #: Its disk is full.
    FULL = "full"
    #: It accepts no changes.
    READ_ONLY = "read-only"
    #: Its files are damaged or can't be read.
    DAMAGED = "damaged"
    #: It refuses the CRM's sign-in, or lacks a privilege for this.
    CLOSED = "closed"


#: Causes with which reading still works; only the change was not stored.
ONLY_WRITES = frozenset({Cause.LOCKED, Cause.COLLIDED, Cause.FULL, Cause.READ_ONLY})

#: MariaDB's error numbers, and those of its client.
_MARIADB = {
    Cause.AWAY: (2002, 2003, 2005, 2006, 2012, 2013, 2055, 1053, 1152, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 4031),
    Cause.SLOW: (1969,),
    Cause.CROWDED: (1040, 1129, 1135, 1203, 1226, 1037, 1038, 1041),
    Cause.LOCKED: (1205, 3058, 3572),
    # 1305: the savepoint to go back to is no longer there.
    Cause.COLLIDED: (1213, 1020, 1305, 1479, 1180),
    Cause.FULL: (3, 28, 1021, 1026, 1114, 1878, 135, 136, 188),
    Cause.READ_ONLY: (30, 1036, 1290, 1792, 1836, 1874),
    Cause.DAMAGED: (
        *(1016, 1017, 1030, 1033, 1034, 1035, 1194, 1195, 1459, 1712, 1877, 1932, 1943),
        *(126, 127, 134, 144, 145),
    ),
    Cause.CLOSED: (1044, 1045, 1049, 1130, 1142, 1143, 1227, 1251, 1275, 1370, 1698, 1820, 1862, 4151, 2059, 2061),
}
_BY_NUMBER = {number: cause for cause, numbers in _MARIADB.items() for number in numbers}
#: SQLite's primary result codes; the extended ones end with the same byte.
_SQLITE = {
    sqlite3.SQLITE_BUSY: Cause.LOCKED,
    sqlite3.SQLITE_LOCKED: Cause.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Cause.LOCKED,
    sqlite3.SQLITE_NOMEM: Cause.CROWDED,
    sqlite3.SQLITE_FULL: Cause.FULL,
    sqlite3.SQLITE_READONLY: Cause.READ_ONLY,
    sqlite3.SQLITE_IOERR: Cause.DAMAGED,
    sqlite3.SQLITE_CORRUPT: Cause.DAMAGED,
    sqlite3.SQLITE_NOTADB: Cause.DAMAGED,
    sqlite3.SQLITE_CANTOPEN: Cause.AWAY,
    sqlite3.SQLITE_PERM: Cause.CLOSED,
    sqlite3.SQLITE_AUTH: Cause.CLOSED,
}
#: For files outside the database: uploads and large requests.
_SYSTEM = {errno.ENOSPC: Cause.FULL, errno.EDQUOT: Cause.FULL, errno.EROFS: Cause.READ_ONLY}


def cause_of(error: BaseException) -> Cause | None:
    """What is wrong with the database; None if the error has another reason."""
    if isinstance(error, PoolTimeout):
        return Cause.CROWDED
    if isinstance(error, OSError):
        return _SYSTEM.get(error.errno or 0)
    if not isinstance(error, DBAPIError):
        return None
    code = number_of(error)
    if isinstance(error.orig, sqlite3.Error):
        return _SQLITE.get((code or 0) & 0xFF)
    if code == 1030:
        return _of_storage(error.orig)
    return _BY_NUMBER.get(code or 0, Cause.AWAY if error.connection_invalidated else None)


def cause_of_number(number: int) -> Cause | None:
    """What an error number of MariaDB means; None if it isn't about the database itself."""
    return _BY_NUMBER.get(number)


def _of_storage(error: Any) -> Cause:
    """The cause in MariaDB's "Got error %d from storage engine", whose text contains the system's error number."""
    text = str(error)
    return Cause.FULL if "error 28 " in text or "error 122 " in text else Cause.DAMAGED


def number_of(error: DBAPIError) -> int | None:
    """The database's error number: MariaDB's, or SQLite's extended result code."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is None:
        code = next(iter(getattr(error.orig, "args", ())), None)
    return code if isinstance(code, int) else None


def summary_of(error: BaseException) -> str:
    """Kind and number, for a log. Never the text, which may contain user input."""
    if not isinstance(error, DBAPIError):
        return type(error).__name__
    name = getattr(error.orig, "sqlite_errorname", None) or number_of(error) or ""
    return f"{type(error.orig).__name__} {name}".strip()
