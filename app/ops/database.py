"""Database setup: WAL and write locks on SQLite, deadlines on MariaDB, and a record of the statements sent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from flask import Flask, has_request_context
from pymysql.connections import Connection
from pymysql.constants import SERVER_STATUS
from pymysql.converters import escape_string
from pymysql.err import MySQLError
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session

from app.lib import deadline
from app.ops import primary_address
from app.ops.database_errors import summary_of
from app.ops.fast_results import FastResult
from app.ops.gtids import COMMITTED, UNKNOWN

log = logging.getLogger("crm.database")

#: True inside a request or job that will write. SQLite then takes its write lock at once, instead of failing with
#: "database is locked" when a reader tries to become a writer while another one writes.
WRITES: ContextVar[bool] = ContextVar("writes", default=False)
#: SQL statements sent by this context (a request, a job, a test).
STATEMENTS: ContextVar[list[str] | None] = ContextVar("statements", default=None)
#: How long an exchange with MariaDB may take: of a request, and of a job or a queued call in a process that serves.
#: Commands and migrations have as long as they need.
REQUEST_SECONDS, BACKGROUND_SECONDS = 15.0, 120.0
#: How long a connection to MariaDB may take.
CONNECT_SECONDS = 5.0
#: The largest result of one statement.
MAX_RESULT_BYTES = 256 * 1024 * 1024
#: How long SQLite waits for a lock. (MariaDB: innodb_lock_wait_timeout, in config.py.)
SQLITE_LOCK_SECONDS = 10

_background_seconds: float | None = None
_addresses: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()


def limit_background_waits() -> None:
    """Give statements outside of requests a deadline, too: this process serves, and must not hang."""
    global _background_seconds
    _background_seconds = BACKGROUND_SECONDS


def seconds_of_exchange() -> float | None:
    """How long an exchange with the database that begins now may take; None = as long as it needs."""
    return REQUEST_SECONDS if has_request_context() else _background_seconds


def tune(engine: Engine, limit: Callable[[], float | None] = seconds_of_exchange) -> None:
    """Set up SQLite connections, deadlines on MariaDB and the record of statements on a new engine."""
    event.listen(engine, "before_cursor_execute", _record_statement)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _connect_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        limit_exchanges(engine, limit)


def tune_once(engine: Engine) -> None:
    """`tune`, unless it was done; drops connections that were made before."""
    if not event.contains(engine, "before_cursor_execute", _record_statement):
        tune(engine)
        engine.dispose()


def address_of(session: Session) -> str:
    """The URL of the session's database without its password, by which caches of the process are told apart."""
    engine = session.get_bind().engine
    found = _addresses.get(engine)
    if found is None:
        found = _addresses[engine] = str(engine.url)
    return found


def _connect_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # _begin_sqlite sends BEGIN
    lock_wait = f"busy_timeout={SQLITE_LOCK_SECONDS * 1000}"
    for pragma in (lock_wait, "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def limit_exchanges(engine: Engine, limit: Callable[[], float | None], connect_seconds: float | None = None) -> None:
    """Connect to MariaDB over sockets on which an exchange takes no longer than `limit` says at its beginning."""

    def connect(dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> Any:
        place, serial = primary_address.place_of(engine), None
        if place is not None:
            place.look()
            options, serial = place.options(options)
        made = _connect_mariadb(dialect, (arguments, options), limit, connect_seconds or CONNECT_SECONDS)
        made.primary = serial
        return made

    event.listen(engine, "do_connect", connect)
    primary_address.drop_stale_connections(engine)


def _connect_mariadb(
    dialect: Any, given: tuple[list[Any], dict[str, Any]], limit: Callable[[], float | None], seconds: float
) -> Any:
    """A time-out for each read would let a slow server go on without end."""
    connection = MariaDBConnection(*given[0], **given[1], defer_connect=True)
    try:
        if connection.unix_socket:
            made, connection._secure = deadline.connect_unix(connection.unix_socket, seconds), True
        else:
            made = deadline.connect(connection.host, connection.port, seconds)
    except OSError as error:
        raise dialect.loaded_dbapi.OperationalError(2003, f"Can't connect ({type(error).__name__})") from None
    made.limit = lambda: seconds
    made.begin_exchange()  # the server speaks first
    connection.connect(made)
    line: Any = connection._sock  # another one, if it is over TLS
    line.limit, line.max_bytes = limit, MAX_RESULT_BYTES
    return connection


class _Tls:
    """What PyMySQL asks of a context of TLS; the deadlines of the connection stay."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def wrap_socket(self, made: deadline.DeadlineSocket, server_hostname: str) -> deadline.DeadlineTlsSocket:
        """The connection over TLS."""
        return deadline.over_tls(self._context, made, server_hostname)


@cache
def _usual_tls() -> _Tls:
    return _Tls(Connection._create_ssl_ctx(None, {}))


class MariaDBConnection(Connection):  # type: ignore[misc]
    """A connection that sends no ROLLBACK where there is nothing to roll back.

    A session rolls back when a request ends, and the pool once more when it takes the connection back, as it must:
    not everybody uses a session. The server's own word that no transaction is open is not enough, because it says
    nothing with an error, after which locks may remain. So a ROLLBACK is left out only if nothing was sent since the
    last ROLLBACK or COMMIT that the server has confirmed.
    """

    _is_used = True
    #: Which of the primaries it was made to, if one is followed; see primary_place.
    primary: int | None = None

    def _create_ssl_ctx(self, sslp: Any) -> Any:
        """What TLS needs. Without settings of it, the same for all: it reads the certificates of the machine, which
        takes most of the CPU time of a connection (20 ms), and checks none."""
        return _Tls(super()._create_ssl_ctx(sslp)) if sslp else _usual_tls()

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        self._is_used = True
        super()._execute_command(command, sql)

    def escape(self, obj: Any, mapping: Any = None) -> str:
        """The value as it stands in a statement; texts and moments, of which there are most, without further calls."""
        kind = type(obj)
        if kind is str and not self.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES:
            return f"'{escape_string(obj)}'"
        if kind is datetime and obj.tzinfo is None:
            return f"'{obj.isoformat(' ')}'"
        return str(super().escape(obj, mapping))

    def _read_query_result(self, unbuffered: bool = False) -> int:
        """Read a result, as PyMySQL does."""
        self._result = None
        result = FastResult(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        return int(result.affected_rows)

    def rollback(self) -> None:
        """End the transaction and release its locks, if there can be one."""
        # completion_type=CHAIN begins the next transaction at once
        if self._is_used or self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            super().rollback()
            self._is_used = False

    def commit(self) -> None:
        """Commit the transaction; where somebody asks, note where in the database's changes it is."""
        super().commit()
        committed = COMMITTED.get()
        if committed is not None:
            committed.append(self._last_gtid())
        self._is_used = False

    def _last_gtid(self) -> str:
        """Of the last transaction of this connection that changed something; what fails here undoes no commit."""
        try:
            self.query("SELECT @@last_gtid")
            return str(self._result.rows[0][0] or "")  # type: ignore[union-attr]  # a query has a result
        except (MySQLError, OSError, IndexError, TypeError):
            return UNKNOWN


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if WRITES.get() else "BEGIN")


def database_now(session: Session) -> datetime:
    """The time of the database, UTC. SQLite has none of its own: it is the machine's."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = session.execute(text("SELECT UTC_TIMESTAMP(6)")).scalar_one()
    return moment.replace(tzinfo=UTC)


def ping(session: Session) -> None:
    """Ask the database for the least. Raises what asking for more would."""
    session.execute(text("SELECT 1"))


def stored_revisions(session: Session) -> set[str]:
    """The revisions of the schema that the database has. Raises SQLAlchemyError where it has none."""
    return {row[0] for row in session.execute(text("SELECT version_num FROM alembic_version"))}


def open_connections(session: Session) -> int | None:
    """How many connections the database has, of all programs; None on SQLite, which has none to run out of."""
    if session.get_bind().dialect.name == "sqlite":
        return None
    row = session.execute(text("SHOW GLOBAL STATUS LIKE 'Threads_connected'")).first()
    return int(row[1]) if row else None


def _record_statement(_c: Any, _cursor: Any, statement: str, _p: Any, _context: Any, _many: bool) -> None:
    statements = STATEMENTS.get()
    if statements is not None and not statement.startswith(("BEGIN", "PRAGMA")):
        statements.append(statement)


def end_sessions_quietly(app: Flask, sessions: scoped_session[Any]) -> None:
    """Let no connection that breaks when its session ends replace the answer of a request.

    What the request did is committed or refused by then, and its answer is made: it would be lost, and the client told
    that nothing was stored.
    """

    @app.teardown_appcontext
    def end(_error: BaseException | None) -> None:
        try:
            sessions.remove()
        except DBAPIError as error:
            log.warning("a connection broke at the end of a request (%s)", summary_of(error))
            with suppress(DBAPIError):
                sessions().invalidate()
            sessions.registry.clear()
