"""SQLite: copied by its own backup API, a snapshot while others write, also with a write-ahead log."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy.engine import URL

from app.backups.database_contents import (
    PASSING_TABLES,
    Beat,
    DatabaseContents,
    DatabaseFacts,
    TableContents,
    ignore,
    references_in,
)
from app.backups.errors import BackupError
from app.backups.streams import CHUNK, create
from app.domain.persistence import file_references
from app.ops.storage.file_store import is_digest

#: Seconds that a restore waits for other processes' locks.
LOCK_SECONDS = 30


class SQLiteDatabase:
    """A database in a file."""

    kind = "sqlite"
    dump_name = "database.sqlite3"

    def __init__(self, url: URL) -> None:
        self.url = url
        self.path = Path(str(url.database))

    def facts(self) -> DatabaseFacts:
        """Versions, schema and end of the audit log, read before a dump. Raises BackupError."""
        with self._open() as connection:
            schema = _column(connection, "SELECT version_num FROM alembic_version ORDER BY 1")
            head = _column(connection, "SELECT count || ':' || hash FROM audit_head WHERE id = 1 AND count > 0")
        version = f"SQLite {sqlite3.sqlite_version}"
        return DatabaseFacts(version, version, tuple(schema), head[0] if head else "")

    def dump(self, write: Callable[[bytes], None], workspace: Path) -> DatabaseContents:
        """Copy the database, check the copy, and write it. Raises BackupError."""
        with _temporary(workspace) as copy:
            with self._open() as original, closing(sqlite3.connect(copy)) as target:
                _copy(original, target, workspace)
            contents = SQLiteDatabase(self.url.set(database=str(copy))).contents(workspace)
            with copy.open("rb") as file:
                while chunk := file.read(CHUNK):
                    write(chunk)
        return contents

    def load(self, chunks: Iterable[bytes], workspace: Path, beat: Beat = ignore) -> None:
        """Replace the contents with the dump, in one transaction of SQLite. Raises BackupError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(workspace) as copy:
            with copy.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            if not self.path.exists():
                create(self.path).close()
            try:
                with closing(sqlite3.connect(copy)) as source, closing(self._connect()) as target:
                    source.backup(target)
            except sqlite3.Error as error:
                raise BackupError(_sentence(self.path, error)) from error

    def contents(self, workspace: Path, beat: Beat = ignore) -> DatabaseContents:
        """Its current contents, after an integrity check of the file."""
        with self._open() as connection:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
            if verdict != "ok":
                raise BackupError(f"The SQLite file is damaged ({str(verdict)[:200]}), and the database may be too.")
            contents = DatabaseContents(schema_sha256=_schema_hash(connection))
            for name in _tables(connection):
                contents.tables[name] = _table_contents(connection, name, contents.references)
            return contents

    def tables(self) -> list[str]:
        """The names of its tables; [] if there is no file."""
        if not self.path.exists() or not self.path.stat().st_size:
            return []
        with self._open() as connection:
            return _tables(connection)

    def prepare(self) -> None:
        """Does nothing: `load` creates the file."""

    def empty(self) -> None:
        """Does nothing: `load` replaces everything at once, so that a failed restore leaves the old contents."""

    def in_use(self) -> int:
        """Whether a server runs, as told by the leader's lock: SQLite has no connections to count."""
        return 0

    def seconds_to_watch(self) -> float:
        """0: the leader keeps its lock."""
        return 0.0

    def mark(self, is_restoring: bool) -> None:
        """Does nothing: a restore can't be cut off in the middle."""

    @contextmanager
    def scratch(self, workspace: Path) -> Iterator[SQLiteDatabase]:
        """A temporary file in the workspace."""
        with _temporary(workspace) as path:
            yield SQLiteDatabase(self.url.set(database=str(path)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Does nothing: the folder's lock is enough on one machine."""
        yield

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=LOCK_SECONDS)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection to the database, which must exist. Raises BackupError."""
        if not self.path.exists():
            raise BackupError(f"There is no SQLite database {self.path}.")
        try:
            with closing(self._connect()) as connection:
                yield connection
        except sqlite3.Error as error:
            raise BackupError(_sentence(self.path, error)) from error


def _copy(original: sqlite3.Connection, target: sqlite3.Connection, workspace: Path) -> None:
    """Copy all pages in one step: as a reader in WAL mode it neither disturbs writers nor waits for them."""
    try:
        original.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        raise OSError(errno.ENOSPC, "no room left", str(workspace)) from error


def _sentence(path: Path, error: sqlite3.Error) -> str:
    return f"SQLite can't use {path}: {error}. What was there is as it was."


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """A temporary file beside the backups, removed with everything SQLite adds to it."""
    handle, name = tempfile.mkstemp(dir=folder, prefix="drill-", suffix=".sqlite3")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                os.unlink(name + suffix)


def _column(connection: sqlite3.Connection, query: str) -> list[str]:
    """The values of a query; [] if its table doesn't exist."""
    try:
        return [str(row[0]) for row in connection.execute(query)]
    except sqlite3.OperationalError:
        return []


def _tables(connection: sqlite3.Connection) -> list[str]:
    """All tables with rows of their own, without SQLite's and virtual ones."""
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    return [name for (name,) in connection.execute(query) if name not in PASSING_TABLES]


def _table_contents(connection: sqlite3.Connection, name: str, references: set[bytes]) -> TableContents:
    hashed, count = hashlib.sha256(), 0
    table = '"' + name.replace('"', '""') + '"'
    # In the order of the table itself, which is that of its key.
    rows = connection.execute(f"SELECT * FROM {table} NOT INDEXED")  # noqa: S608  # our own names
    columns = [column[0] for column in rows.description]
    places = [columns.index(each) for each in file_references.names_by_table().get(name, ()) if each in columns]
    for row in rows:
        written = repr(row).encode("utf-8", "surrogatepass")
        hashed.update(written + b"\n")
        if b"file:" in written:
            references |= references_in(written)
        references |= {bytes.fromhex(row[place]) for place in places if is_digest(row[place] or "")}
        count += 1
    return TableContents(count, hashed.hexdigest())


def _schema_hash(connection: sqlite3.Connection) -> str:
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
    return hashlib.sha256(repr(list(rows)).encode()).hexdigest()
