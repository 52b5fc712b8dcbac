"""MariaDB: dumped in one transaction by mariadb-dump while others write, and loaded by the client mariadb.

Passwords are passed to these programs in a file that exists only in memory, never on a command line.
"""

from __future__ import annotations

import os
import re
import secrets
import select
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from app.backups.database_contents import PASSING_TABLES, Beat, DatabaseContents, DatabaseFacts, ignore
from app.backups.dump_reader import DumpReader
from app.backups.dump_rewriter import DumpRewriter
from app.backups.encryption import ProgramFailed, find_program, running, stream_of
from app.backups.errors import BackupBusy, BackupError
from app.backups.index_builds import IndexBuilds
from app.ops.database.database_errors import Cause, cause_of, cause_of_number, summary_of

#: A replica that is further behind is refused as a source.
MAX_SECONDS_BEHIND = 300
#: Suffix of the name of a drill's temporary database.
SCRATCH = "_drill_"
DUMP_OPTIONS = (
    *("--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob", "--order-by-primary"),
    *("--no-autocommit", "--skip-add-locks", "--skip-dump-date", "--default-character-set=utf8mb4"),
)
#: Rows that statements return are printed at once, one a line.
LOAD_OPTIONS = ("--batch", "--skip-column-names", "--unbuffered", "--default-character-set=utf8mb4")
#: MariaDB's codes for a missing privilege: on the database, the table, or the operation.
_NO_RIGHT = (1044, 1142, 1227)
_SSL = {"ssl_ca": "ssl-ca", "ssl_cert": "ssl-cert", "ssl_key": "ssl-key"}
#: So long after its last jobs have begun, a schedule that rests has a connection again, even on a busy machine.
REST_SECONDS = 75
_READ = 1024 * 1024
#: The random end of the name of a temporary database.
_RANDOM = re.compile(r"[0-9a-f]{8}")
#: The comment of the table that marks a database as half restored; app/ops/database/migration_guard.py reads it.
_MARK = "restore||"
_CLIENT_ERROR = re.compile(r"ERROR (\d{1,5}) \(\w{5}\) at line \d{1,12}")


class MariaDBDatabase:
    """A database on a MariaDB server."""

    kind = "mariadb"
    dump_name = "database.sql"

    def __init__(self, url: URL) -> None:
        self.url = url
        self.name = str(url.database)

    # --- before a dump

    def facts(self) -> DatabaseFacts:
        """The server, schema and size of the database before a dump. Raises BackupError."""
        with self._connected() as connection:
            server = str(connection.execute(text("SELECT VERSION()")).scalar())
            program = _program_version("mariadb-dump")
            _refuse_other_program(program, server)
            return DatabaseFacts(
                server=f"MariaDB {server}",
                program=program,
                schema=schema_of(connection),
                audit_head=audit_head_of(connection),
                source=_source(connection),
                remarks=tuple(self._remarks(connection)),
            )

    def _remarks(self, connection: Connection) -> Iterator[str]:
        query = text(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() "
            "AND table_type = 'BASE TABLE' AND engine <> 'InnoDB'"
        )
        for name in connection.execute(query).scalars():
            yield f"The table {name} isn't InnoDB, so its rows may be of another moment than the others'."

    # --- dump and load

    def dump(self, write: Callable[[bytes], None], workspace: Path) -> DatabaseContents:
        """Write everything in it as of one moment. Raises BackupError."""
        reader = DumpReader()
        with self._program("mariadb-dump", *DUMP_OPTIONS, self.name, stdin=subprocess.DEVNULL) as process:
            while chunk := process.stdout.read(_READ):
                reader.feed(chunk)
                write(chunk)
        if not reader.is_complete:
            raise BackupError("mariadb-dump ended before the end of the database. Its server may have stopped.")
        return reader.contents()

    def load(self, chunks: Iterable[bytes], workspace: Path, beat: Beat = ignore) -> None:
        """Load a dump: rows first, then the indexes of large tables. Raises BackupError."""
        rewriter = DumpRewriter()
        with IndexBuilds(self._connected_for_long, beat) as builds:
            try:
                with self._program("mariadb", *LOAD_OPTIONS, self.name, stdin=subprocess.PIPE) as process:
                    for chunk in chunks:
                        process.stdin.write(rewriter.feed(chunk))
                        builds.start(rewriter.loaded(_printed(process.stdout)))
                    process.stdin.write(rewriter.finish())
                    process.stdin.close()
                    process.stdout.read()  # else it could not print, and would fail
            except ProgramFailed as failed:
                raise _readable(failed, self.name) from failed
            builds.start(rewriter.loaded_in_the_end())
            builds.finish(rewriter.unbound)

    def contents(self, workspace: Path, beat: Beat = ignore) -> DatabaseContents:
        """Its current contents."""
        return self.dump(lambda _chunk: beat(), workspace)

    def _connected_for_long(self) -> AbstractContextManager[Connection]:
        """A connection that waits for as long as a statement takes."""
        return MariaDBDatabase(self.url.difference_update_query(("read_timeout", "write_timeout")))._connected()

    @contextmanager
    def _program(self, name: str, *options: str, stdin: int) -> Iterator[Any]:
        """One of MariaDB's programs, connected to this server."""
        handle = os.memfd_create("crm-client")
        try:
            os.fchmod(handle, 0o600)
            os.write(handle, client_settings(self.url).encode())
            # This option must come first.
            command = [find_program(name), f"--defaults-extra-file=/proc/self/fd/{handle}", *options]
            with running(command, stdin, subprocess.PIPE, passed=(handle,)) as process:
                yield process
        finally:
            os.close(handle)

    # --- the database as a whole

    def tables(self) -> list[str]:
        """The names of its tables and views; [] when there is no such database."""
        query = text("SELECT table_name FROM information_schema.tables WHERE table_schema = :name")
        with self._connected(database=None) as connection:
            return sorted(connection.execute(query, {"name": self.name}).scalars())

    def prepare(self) -> None:
        """Create the database unless it exists. Raises BackupError."""
        with self._connected(database=None) as connection:
            _create(connection, self.name, "IF NOT EXISTS")

    def empty(self) -> None:
        """Drop all tables, views, routines and events, except the mark of a restore."""
        with self._connected() as connection:
            connection.execute(text("SET SESSION foreign_key_checks = 0"))
            for kind, name in self._things(connection):
                connection.execute(text(f"DROP {kind} IF EXISTS {quoted(name)}"))

    def _things(self, connection: Connection) -> list[tuple[str, str]]:
        queries = (
            "SELECT IF(table_type = 'VIEW', 'VIEW', 'TABLE'), table_name FROM information_schema.tables "
            "WHERE table_schema = DATABASE() AND table_type IN ('VIEW', 'BASE TABLE')",
            "SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()",
            "SELECT 'EVENT', event_name FROM information_schema.events WHERE event_schema = DATABASE()",
        )
        found = [(str(kind), str(name)) for query in queries for kind, name in connection.execute(text(query))]
        return [(kind, name) for kind, name in found if name not in PASSING_TABLES]

    def in_use(self) -> int:
        """Other connections to it; without the privilege PROCESS, only those of the same user are seen.

        What a killed restore has left running is ended and not counted.
        """
        marked = text(
            "SELECT 1 FROM information_schema.tables WHERE table_schema = :name AND table_name = 'crm_schema_change' "
            "AND table_comment = :mark"
        )
        with self._connected(database=None) as connection:
            if connection.execute(marked, {"name": self.name, "mark": _MARK}).first():
                _end_connections(connection, self.name, "AND info LIKE 'ALTER TABLE%'")
            return len(_connections(connection, self.name))

    def seconds_to_watch(self) -> float:
        """Until when jobs run again, if any have run in the last minute; 0 = no schedule rests."""
        if "job_run" not in self.tables():
            return 0.0
        newest = "SELECT started_on FROM job_run ORDER BY id DESC LIMIT 1"
        with self._connected() as connection:
            age = connection.execute(text(f"SELECT TIMESTAMPDIFF(SECOND, ({newest}), UTC_TIMESTAMP())")).scalar()
        return 0.0 if age is None else float(min(max(REST_SECONDS - age, 0), REST_SECONDS))

    def mark(self, is_restoring: bool) -> None:
        """Create a table that tells a starting server that a restore was cut off; or drop it."""
        step = f"CREATE TABLE IF NOT EXISTS crm_schema_change (id INTEGER PRIMARY KEY) COMMENT = '{_MARK}'"
        with self._connected() as connection:
            connection.execute(text(step if is_restoring else "DROP TABLE IF EXISTS crm_schema_change"))

    @contextmanager
    def scratch(self, workspace: Path) -> Iterator[MariaDBDatabase]:
        """An empty temporary database on the same server; its name is never that of a live one."""
        name = f"{self.name[:40]}{SCRATCH}{secrets.token_hex(4)}"
        with self._connected(database=None) as connection:
            self._drop_old_scratch(connection)
            _create(connection, name, "")  # fails if there is one with this name
        try:
            yield MariaDBDatabase(self.url.set(database=name))
        finally:
            with self._connected(database=None) as connection:
                connection.execute(text(f"DROP DATABASE IF EXISTS {quoted(name)}"))

    def _drop_old_scratch(self, connection: Connection) -> None:
        """Drop what killed drills of this database have left behind."""
        begin = self.name[:40] + SCRATCH
        for name in connection.execute(text("SHOW DATABASES")).scalars().all():
            if name.startswith(begin) and _RANDOM.fullmatch(name.removeprefix(begin)) and name != self.name:
                _end_connections(connection, name)  # an index that is being built would let the DROP wait
                connection.execute(text(f"DROP DATABASE IF EXISTS {quoted(name)}"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold GET_LOCK on a connection of its own: the server frees it when this process ends. Raises BackupBusy."""
        with self._connected(database=None) as connection:
            connection.execute(text("SET SESSION wait_timeout = 604800"))
            name = f"crm-backup:{self.name}"[:64]
            if connection.execute(text("SELECT GET_LOCK(:name, 0)"), {"name": name}).scalar() != 1:
                raise BackupBusy(
                    "Another backup, restore or drill of this database is going on, perhaps on another server."
                )
            yield

    # --- connections

    @contextmanager
    def _connected(self, database: str | None = "") -> Iterator[Connection]:
        """A connection of its own in autocommit mode. Raises BackupError."""
        url = self.url if database == "" else self.url._replace(database=database)
        engine: Engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True)
        try:
            with engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise BackupError(_database_sentence(cause_of(error), summary_of(error), self.name)) from error


def _database_sentence(cause: Cause | None, summary: str, name: str) -> str:
    if cause is Cause.AWAY:
        return f"The MariaDB server of {name} can't be reached ({summary}). Is it running?"
    if cause is Cause.FULL:
        return f"The disk of the MariaDB server is full ({summary}). Make room there."
    return f"MariaDB refused a step on {name} ({summary})."


def _readable(failed: ProgramFailed, name: str) -> BackupError:
    """What the client's error means, without its text, which may quote a row."""
    found = _CLIENT_ERROR.match(failed.last_words)
    if found is None:
        return failed
    return BackupError(_database_sentence(cause_of_number(int(found[1])), found[0], name))


def _printed(stream: Any) -> bytes:
    """What a program has printed since the last call."""
    return os.read(stream.fileno(), _READ) if select.select([stream], [], [], 0)[0] else b""


def _connections(connection: Connection, name: str, condition: str = "") -> list[int]:
    """The server's numbers of the other connections to a database."""
    query = "SELECT id FROM information_schema.processlist WHERE db = :name AND id <> CONNECTION_ID() "
    return list(connection.execute(text(query + condition), {"name": name}).scalars())


def _end_connections(connection: Connection, name: str, condition: str = "") -> None:
    for number in _connections(connection, name, condition):
        with suppress(DBAPIError):  # it has just ended, or is somebody else's
            connection.execute(text(f"KILL {number}"))


def quoted(name: str) -> str:
    """The name, quoted for use in a statement."""
    return "`" + name.replace("`", "``") + "`"


def client_settings(url: URL) -> str:
    """The client's option file. Values are quoted, so that a password may contain any character."""
    settings = {
        "user": url.username,
        "password": url.password,
        "host": url.host,
        "port": url.port and str(url.port),
        "socket": url.query.get("unix_socket"),
        **{option: url.query.get(name) for name, option in _SSL.items()},
    }
    # As PyMySQL does: whoever sets a CA wants the server's name checked, too.
    if url.query.get("ssl_ca") and str(url.query.get("ssl_check_hostname")).lower() != "false":
        settings["ssl-verify-server-cert"] = "1"
    lines = [f'{name}="{_escaped(str(value))}"' for name, value in settings.items() if value]
    return "\n".join(["[client]", *lines, ""])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _create(connection: Connection, name: str, condition: str) -> None:
    step = f"CREATE DATABASE {condition} {quoted(name)} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
    try:
        connection.execute(text(step))
    except DBAPIError as error:
        if _code(error) not in _NO_RIGHT:
            raise
        pattern = re.sub(r"[0-9a-f]{8}$", "%", name) if SCRATCH in name else name
        grant = f"GRANT ALL PRIVILEGES ON `{pattern.replace('_', chr(92) + '_')}`.* TO …"
        raise BackupError(
            f"The database user may not create the database {name}, so nothing was restored. "
            f"Let an administrator of MariaDB run: {grant}"
        ) from error


def _code(error: DBAPIError) -> int:
    arguments = getattr(error.orig, "args", ())
    return int(arguments[0]) if arguments and isinstance(arguments[0], int) else 0


# --- versions


def _program_version(name: str) -> str:
    with running([find_program(name), "--version"], subprocess.DEVNULL, subprocess.PIPE) as process:
        return stream_of(process.stdout).read().decode(errors="replace").strip()[:190]


def _refuse_other_program(program: str, server: str) -> None:
    """Raise BackupError unless it is MariaDB's own program, and not older than the server's generation."""
    found, wanted = re.search(r"Distrib (\d{1,4})\.|from (\d{1,4})\.", program), re.match(r"(\d{1,4})\.", server)
    if "MariaDB" not in program or found is None:
        raise BackupError(
            f"mariadb-dump here is “{program}”, which isn't MariaDB's. Install the package mariadb-client."
        )
    if wanted and int(found[1] or found[2]) < int(wanted[1]):
        raise BackupError(
            f"mariadb-dump here is older ({program}) than the server ({server}) and may leave something out. "
            "Install mariadb-client of the server's version."
        )


def schema_of(connection: Connection) -> tuple[str, ...]:
    """The revisions of the schema; () if there is none."""
    try:
        return tuple(sorted(connection.execute(text("SELECT version_num FROM alembic_version")).scalars()))
    except DBAPIError:
        return ()


def audit_head_of(connection: Connection) -> str:
    """COUNT:HASH of the audit log's head; "" in a schema without one."""
    try:
        row = connection.execute(text("SELECT count, hash FROM audit_head WHERE id = 1")).first()
    except DBAPIError:
        return ""
    return f"{row[0]}:{row[1]}" if row and row[0] else ""


# --- a replica as source


def _source(connection: Connection) -> str:
    """primary, or how far the replica is behind. Raises BackupError if the replica can't be used."""
    try:
        row = connection.execute(text("SHOW REPLICA STATUS")).mappings().first()
    except DBAPIError as error:
        if _code(error) not in _NO_RIGHT:
            raise
        if not connection.execute(text("SELECT @@GLOBAL.read_only")).scalar():
            return "primary"
        raise BackupError(
            "The database is read-only, so it is probably a replica, and the user may not ask how far behind it is. "
            "No backup was made of it. Let an administrator run: GRANT REPLICA MONITOR ON *.* TO …"
        ) from error
    if row is None:
        return "primary"
    behind = row["Seconds_Behind_PicklistEntry"]
    if row["Slave_IO_Running"] != "Yes" or row["Slave_SQL_Running"] != "Yes" or behind is None:
        raise BackupError(
            "The database is a replica that has stopped following its primary, so a backup of it would be old. None "
            "was made. Start the replication again, or back up the primary."
        )
    if behind > MAX_SECONDS_BEHIND:
        raise BackupError(
            f"The database is a replica that is {behind} seconds behind its primary; more than {MAX_SECONDS_BEHIND} "
            "is too much for a backup. None was made. Wait until it has caught up, or back up the primary."
        )
    return f"replica, {behind} s behind"
