"""A SQLite database that is put back between two tests under the connections that are open to it.

A new connection reads the definitions of all tables before its first query: two milliseconds of CPU, as much as many a
test takes. Connections that stay have read them.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

#: In an instance folder.
DATABASE = "crm.sqlite3"
#: Where SQLite's file holds the number of its schema, which every change of a table raises.
SCHEMA_NUMBER = slice(40, 44)
#: A file that grew larger, by so many times, is replaced.
MOST_TIMES = 8


class KeptDatabase:
    """A SQLite file whose connections may stay open while it is put back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: What was read of the files that it was put back to, which have no write-ahead log.
        self._contents: dict[Path, bytes] = {}
        #: SQLite's locks are those of the process, which loses them when it closes a file of its own: it stays open.
        self._file = -1
        self._known: os.stat_result
        self._checkpoint: sqlite3.Connection | None = None

    def put_back(self, source: Path, disconnect: Callable[[], None]) -> None:
        """Give it the content of the source; `disconnect`, which closes all connections, is called if none can stay."""
        if source not in self._contents:
            self._contents[source] = source.read_bytes()
        if not self._is_overwritten(self._contents[source]):
            disconnect()
            self._replace(source)

    def close(self) -> None:
        """Close its own connection."""
        if self._checkpoint is not None:
            self._checkpoint.close()
            os.close(self._file)
            self._checkpoint = None

    def _replace(self, source: Path) -> None:
        self.close()
        for end in ("", "-wal", "-shm"):  # not overwritten: what still reads the former file goes on with that
            Path(f"{self.path}{end}").unlink(missing_ok=True)
        shutil.copy(source, self.path)
        self._file = os.open(self.path, os.O_RDWR)
        self._known = os.fstat(self._file)
        self._checkpoint = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)

    def _is_overwritten(self, content: bytes) -> bool:
        """Whether the file could be put back under its connections.

        Emptying the write-ahead log writes all of it to the file, fails while a transaction is open, and lets each
        connection forget the pages that it holds. Connections keep what they know of the tables, so none may differ;
        and of how many pages the file has, so it doesn't shrink: what it had more is again free space.
        """
        if self._checkpoint is None or not self._is_same_file():
            return False
        with suppress(sqlite3.Error):
            is_busy = self._checkpoint.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if not is_busy and os.pread(self._file, 4, SCHEMA_NUMBER.start) == content[SCHEMA_NUMBER]:
                os.pwrite(self._file, content, 0)
                return os.fstat(self._file).st_size < MOST_TIMES * len(content)
        return False

    def _is_same_file(self) -> bool:
        """Whether no test has replaced the file, or changed who may write it."""
        with suppress(OSError):
            now = os.stat(self.path)
            return (now.st_ino, now.st_mode) == (self._known.st_ino, self._known.st_mode)
        return False


class KeptFolder:
    """The instance folder of applications whose connections may stay open between two tests."""

    def __init__(self, source: Path, folder: Path) -> None:
        """`source`: a folder that holds a database and nothing else."""
        self._source, self.folder = source / DATABASE, folder
        self._database = KeptDatabase(folder / DATABASE)

    def put_back(self, disconnect: Callable[[], None]) -> None:
        """Put the database back, and remove what a test left beside it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for each in os.scandir(self.folder):
            if each.is_dir(follow_symlinks=False):
                shutil.rmtree(each.path)
            elif not each.name.startswith(DATABASE):
                os.unlink(each.path)
        self._database.put_back(self._source, disconnect)

    def close(self) -> None:
        """Close its own connection to the database."""
        self._database.close()
