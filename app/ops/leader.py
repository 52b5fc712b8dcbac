"""Leader election: of several processes at most one is the leader, and it stops being so when it dies."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from app.ops.database import limit_exchanges

#: How often each process tries to be the leader; a new one is found within twice this time.
ELECTION_SECONDS = 5


class FileLeader:
    """For SQLite: a lock on a file beside the database. The kernel releases it when the process ends."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, -1

    def acquire(self) -> bool:
        """Become the leader unless another process is. Returns whether this process is the leader now."""
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
        """Let another process become the leader."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class DatabaseLeader:
    """For MariaDB: GET_LOCK on a connection of its own, which the server closes when the process ends."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True)
        limit_exchanges(self._engine, lambda: ELECTION_SECONDS - 1)
        self._lock = f"crm-scheduler:{self._engine.url.database}"[:64]
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        """Become the leader unless another process is. Returns whether this process is the leader now.

        False when the database does not answer.
        """
        try:
            return self._has_lock() or self._get_lock()
        except DBAPIError:
            self.release()
            return False

    def _has_lock(self) -> bool:
        if self._connection is None:
            return False
        query = text("SELECT IS_USED_LOCK(:lock) = CONNECTION_ID()")
        return self._connection.execute(query, {"lock": self._lock}).scalar() == 1

    def _get_lock(self) -> bool:
        if self._connection is None:
            self._connection = self._engine.connect()
            # If this machine vanishes without closing the connection, the server frees the lock after this time.
            self._connection.execute(text(f"SET SESSION wait_timeout = {2 * ELECTION_SECONDS}"))
        query = text("SELECT GET_LOCK(:lock, 0)")
        return self._connection.execute(query, {"lock": self._lock}).scalar() == 1

    def release(self) -> None:
        """Let another process become the leader."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DBAPIError):
                connection.close()


def election(url: str, folder: Path) -> FileLeader | DatabaseLeader:
    """How the leader of the processes on this database is chosen. `folder` holds the lock file for SQLite."""
    return FileLeader(folder / "scheduler.lock") if url.startswith("sqlite") else DatabaseLeader(url)
