"""Which one of several processes leads: at most one holds the lock, and loses it when it dies."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

#: How often the lead is looked after; a new leader is found within twice this time.
LEAD_SECONDS = 5


class FileLeader:
    """SQLite: the lock on a file beside it; the kernel lets go when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, -1

    def holds(self) -> bool:
        """Whether this process leads now; takes the lead if it is free."""
        if self._file < 0:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            self._file = file
        return True

    def release(self) -> None:
        """Let another process lead."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class DatabaseLeader:
    """MariaDB: GET_LOCK on a connection of its own, which the server ends with the process."""

    def __init__(self, url: str) -> None:
        patience = {"connect_timeout": 4, "read_timeout": 4, "write_timeout": 4}
        self._engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=patience)
        self._lock = f"crm-scheduler:{self._engine.url.database}"[:64]
        self._connection: Connection | None = None

    def holds(self) -> bool:
        """Whether this process leads now; takes the lead if it is free. False when the database does not answer."""
        try:
            return self._still_holds() or self._take()
        except DBAPIError:
            self.release()
            return False

    def _still_holds(self) -> bool:
        if self._connection is None:
            return False
        mine = self._connection.execute(text("SELECT IS_USED_LOCK(:lock) = CONNECTION_ID()"), {"lock": self._lock})
        return mine.scalar() == 1

    def _take(self) -> bool:
        if self._connection is None:
            self._connection = self._engine.connect()
            # Should our machine vanish without a word, the server frees the lock so many seconds later.
            self._connection.execute(text(f"SET SESSION wait_timeout = {2 * LEAD_SECONDS}"))
        got = self._connection.execute(text("SELECT GET_LOCK(:lock, 0)"), {"lock": self._lock}).scalar()
        return got == 1

    def release(self) -> None:
        """Let another process lead."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DBAPIError):
                connection.close()


def leadership(url: str, folder: Path) -> FileLeader | DatabaseLeader:
    """What decides who leads on this database."""
    return FileLeader(folder / "scheduler.lock") if url.startswith("sqlite") else DatabaseLeader(url)
