"""Leader election: at most one of several processes is the leader, and it stops being so when it dies or freezes.

The leader works by the database's time; a process whose own clock is wrong can't be the leader.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.ops.database import primary_address
from app.ops.database.connections import limit_exchanges

#: How often each process checks whether there is a leader.
ELECTION_SECONDS = 2
#: A leader without a check for this long is frozen or cut off: another one takes over, within 10 seconds in all.
FROZEN_SECONDS = 6
#: How long a command may hold the lead: a week, as its other locks.
HELD_SECONDS = 604800
#: How long the database may take to answer an election.
ANSWER_SECONDS = 4.0
#: A process whose clock differs more from the database's can't be the leader.
MAX_SKEW = timedelta(minutes=1)


class Election:
    """How a process becomes the leader, and what time it is then.

    This one lets every process lead, by its own clock.
    """

    #: How far the clock of this process is ahead of the database's, as of the last `acquire`; negative if it is behind.
    skew = timedelta(0)
    #: Whether nobody needs to lead while no job is due.
    may_rest = True

    def acquire(self) -> bool:
        """Become the leader unless another process is. Returns whether this process is the leader now."""
        return True

    def hold(self) -> None:
        """Stay the leader until `release`, without asking again: nobody else leads, even if this process freezes."""

    def release(self) -> None:
        """Let another process become the leader."""

    def now(self) -> datetime:
        """The time of the database, UTC."""
        return datetime.now(UTC)

    @property
    def is_clock_wrong(self) -> bool:
        """Whether the clock of this process keeps it from leading."""
        return abs(self.skew) > MAX_SKEW


class FileLeader(Election):
    """Election on SQLite: a lock on a file beside the database, which the kernel releases with the process.

    The leader regularly writes to the file that it is alive; if it stops, another process replaces the file. The
    database has no clock of its own here: it is the machine's.
    """

    #: A restore sees by the lock that a server runs.
    may_rest = False

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, -1

    def acquire(self) -> bool:
        """Become the leader unless another process is. Returns whether this process is the leader now."""
        if self._file >= 0 and not self._is_in_place(self._file):
            self.release()  # this process was frozen, and another one has taken over
        if self._file < 0:
            self._file = self._lock(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        if self._file < 0 and self._is_frozen():
            self._file = self._replace()
        if self._file < 0:
            return False
        os.pwrite(self._file, f"{_boot_time():020.3f}".encode(), 0)
        return True

    def release(self) -> None:
        """Let another process become the leader."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _lock(self, file: int) -> int:
        """The file if it was locked and has not been replaced, else -1."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return -1
        if self._is_in_place(file):
            return file
        os.close(file)
        return -1

    def _is_in_place(self, file: int) -> bool:
        with suppress(FileNotFoundError):
            ours, there = os.fstat(file), os.stat(self._path)
            return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
        return False

    def _is_frozen(self) -> bool:
        """Whether the leader has shown no heartbeat; by the clock since boot, which can't be set."""
        try:
            seen = float(self._path.read_text() or "nan")
        except (OSError, ValueError):
            return False
        return _boot_time() - seen > FROZEN_SECONDS

    def _replace(self) -> int:
        """Replace the frozen leader's file by a locked one of ours; -1 if another process does so."""
        with self._path.with_suffix(".takeover").open("w") as guard:
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return -1
            if not self._is_frozen():
                return -1
            part = self._path.with_suffix(".part")
            file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(file, f"{_boot_time():020.3f}".encode(), 0)
            part.replace(self._path)
        return file


def _boot_time() -> float:
    """Seconds since the machine started, the same in all its processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class DatabaseLeader(Election):
    """Election on MariaDB: GET_LOCK on a connection of its own, closed when the process ends or freezes."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True)
        limit_exchanges(self._engine, lambda: ANSWER_SECONDS)
        self._lock = _lock_of(self._engine.url.database)
        self._connection: Connection | None = None
        #: A time of the database, and `time.monotonic` at that moment.
        self._read_on, self._read_at = datetime.now(UTC), time.monotonic()

    def acquire(self) -> bool:
        """Become the leader unless another process is. Returns whether this process is the leader now.

        False if the database does not respond, or if the clock of this process is wrong.
        """
        try:
            connection = self._connected()
            self._read_clock(connection)
            if self.is_clock_wrong:
                self.release()
                return False
            return self._has_lock(connection) or self._get_lock(connection)
        except DBAPIError:
            self.release()
            return False

    def hold(self) -> None:
        """Stay the leader until `release` or the end of this process."""
        if self._connection is not None:
            self._connection.execute(text(f"SET SESSION wait_timeout = {HELD_SECONDS}"))

    def now(self) -> datetime:
        """The database's time, UTC, continued from the last check, whatever is done to the clock of this machine."""
        return self._read_on + timedelta(seconds=time.monotonic() - self._read_at)

    @staticmethod
    def place(session: Session) -> str | None:
        """The address of the current leader, as the database sees it; None if there is none."""
        query = text("SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = IS_USED_LOCK(:lock)")
        host = session.execute(query, {"lock": _lock_of(session.get_bind().engine.url.database)}).scalar()
        return None if host is None else str(host).rpartition(":")[0] or str(host)

    def _connected(self) -> Connection:
        if self._connection is not None and primary_address.is_stale(self._connection):
            self.release()
        if self._connection is None:
            self._connection = self._engine.connect()
            # If this process freezes or its machine vanishes, the server frees the lock after this time.
            self._connection.execute(text(f"SET SESSION wait_timeout = {FROZEN_SECONDS}"))
        return self._connection

    def _read_clock(self, connection: Connection) -> None:
        moment = connection.execute(text("SELECT UTC_TIMESTAMP(6)")).scalar_one()
        self._read_on, self._read_at = moment.replace(tzinfo=UTC), time.monotonic()
        self.skew = datetime.now(UTC) - self._read_on

    def _has_lock(self, connection: Connection) -> bool:
        query = text("SELECT IS_USED_LOCK(:lock) = CONNECTION_ID()")
        return connection.execute(query, {"lock": self._lock}).scalar() == 1

    def _get_lock(self, connection: Connection) -> bool:
        return connection.execute(text("SELECT GET_LOCK(:lock, 0)"), {"lock": self._lock}).scalar() == 1

    def release(self) -> None:
        """Let another process become the leader."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DBAPIError):
                connection.close()


def _lock_of(database: str | None) -> str:
    return f"crm-scheduler:{database}"[:64]


def election(url: str, folder: Path) -> Election:
    """The election for processes on this database. `folder` holds the lock file for SQLite."""
    return FileLeader(folder / "scheduler.lock") if url.startswith("sqlite") else DatabaseLeader(url)
