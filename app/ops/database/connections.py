"""Database setup: WAL and write locks on SQLite, deadlines on MariaDB, and a record of executed statements."""

from __future__ import annotations

import logging
import re
import ssl
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
from app.ops.database import closed_connections, primary_address
from app.ops.database.database_errors import summary_of
from app.ops.database.gtids import COMMITTED, UNKNOWN
from app.ops.statements.fast_results import FastCursor, FastResult, peek

log = logging.getLogger("crm.database")

#: Whether the current request or job will write. SQLite then takes its write lock at once, instead of failing with
#: "database is locked" when a reader tries to become a writer while another one writes.
WRITES: ContextVar[bool] = ContextVar("writes", default=False)
#: SQL statements executed in this context (a request, a job, a test).
STATEMENTS: ContextVar[list[str] | None] = ContextVar("statements", default=None)
#: Limits of one exchange with MariaDB: for requests, and for jobs and queued calls in a process that serves. Commands
#: and migrations have no limit.
REQUEST_SECONDS, BACKGROUND_SECONDS = 15.0, 120.0
#: Limit of connecting to MariaDB.
CONNECT_SECONDS = 5.0
#: The largest result of one statement.
MAX_RESULT_BYTES = 256 * 1024 * 1024
#: How long SQLite waits for a lock. (MariaDB: innodb_lock_wait_timeout, in database_engine.py.)
SQLITE_LOCK_SECONDS = 10

_background_seconds: float | None = None
_addresses: WeakKeyDictionary[Engine, str] = WeakKeyDictionary()


def limit_background_waits() -> None:
    """Give statements outside of requests a deadline, too, because this process serves and must not hang."""
    global _background_seconds
    _background_seconds = BACKGROUND_SECONDS


def seconds_of_exchange() -> float | None:
    """The limit of an exchange with the database that begins now; None = no limit."""
    return REQUEST_SECONDS if has_request_context() else _background_seconds


def tune(engine: Engine, limit: Callable[[], float | None] = seconds_of_exchange) -> None:
    """Set up SQLite connections, MariaDB deadlines and the record of statements on a new engine."""
    event.listen(engine, "before_cursor_execute", _record_statement)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _connect_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        limit_exchanges(engine, limit)


def tune_once(engine: Engine) -> None:
    """Call `tune` unless that was done; drops existing connections."""
    if not event.contains(engine, "before_cursor_execute", _record_statement):
        tune(engine)
        engine.dispose()


def address_of(session: Session) -> str:
    """The URL of the session's database without its password, used as a key in caches of the process."""
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
    """Connect to MariaDB over sockets whose exchanges take no longer than `limit` returns at their beginning."""

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
    closed_connections.replace_closed(engine)


def _connect_mariadb(
    dialect: Any, given: tuple[list[Any], dict[str, Any]], limit: Callable[[], float | None], seconds: float
) -> Any:
    """Connect with a deadline: a timeout for each read would let a slow server go on without end."""
    connection = MariaDBConnection(*given[0], **({"cursorclass": FastCursor} | given[1]), defer_connect=True)
    try:
        if connection.unix_socket:
            made, connection._secure = deadline.connect_unix(connection.unix_socket, seconds), True
        else:
            made = deadline.connect(connection.host, connection.port, seconds)
    except OSError as error:
        raise dialect.loaded_dbapi.OperationalError(2003, f"Can't connect ({type(error).__name__})") from None
    made.limit = lambda: seconds
    made.begin_exchange()  # the server sends first
    connection.connect(made)
    line: Any = connection._sock  # another socket if it uses TLS
    line.limit, line.max_bytes = limit, MAX_RESULT_BYTES
    return connection


class _Tls:
    """The part of an SSLContext that PyMySQL uses; keeps the deadlines of the connection."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def wrap_socket(self, made: deadline.DeadlineSocket, server_hostname: str) -> deadline.DeadlineTlsSocket:
        """The connection over TLS."""
        return deadline.over_tls(self._context, made, server_hostname)


@cache
def _usual_tls() -> _Tls:
    """For a server whose certificate isn't checked: without the machine's certificates, which take 5 MB."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return _Tls(context)


#: What PyMySQL writes for a character of a text, of those that it changes.
_ESCAPES = {sign: escape_string(sign) for sign in map(chr, range(256)) if escape_string(sign) != sign}
#: The same, the backslash first: those of the others must not be escaped again.
_IN_TURN = tuple(sorted(_ESCAPES.items(), key=lambda each: each[0] != "\\"))
_has_escapes = re.compile(f"[{re.escape(''.join(_ESCAPES))}]").search


def escaped(text: str) -> str:
    """What PyMySQL's `escape_string` returns, in a third of its time for JSON and long texts."""
    if _has_escapes(text) is None:
        return text
    for sign, written in _IN_TURN:
        text = text.replace(sign, written)
    return text


#: ROLLBACK, as it is sent.
_ROLLBACK = b"\t\x00\x00\x00\x03ROLLBACK"
#: How a statement that reads begins, a UNION of parts with limits included; and what it contains if it locks rows.
_READS, _LOCKS = (b"SELECT", b"(SELECT"), (b"FOR UPDATE", b"LOCK IN SHARE MODE")

#: How the usual reply to it begins; four bytes follow, the server's status and the number of warnings.
_OK = b"\x07\x00\x00\x01\x00\x00\x00"


class MariaDBConnection(Connection):  # type: ignore[misc]
    """A connection that sends no ROLLBACK if there is nothing to roll back.

    A session rolls back when a request ends, and the pool again when the connection is returned, as it must: not
    everybody uses a session. The server's status that no transaction is open is not enough, because errors carry no
    status, and locks may remain after them. So a ROLLBACK is left out only if nothing was sent since the last ROLLBACK
    or COMMIT that the server has confirmed.

    Nobody waits for the reply to a ROLLBACK that only ends what was read: it is read before the next use. After a
    write, a lock or an error it is waited for, so that the locks are gone.
    """

    _is_used = True
    #: Whether a statement since then may have locked something; whether the last one was answered, without an error.
    _may_lock = _is_answered = False
    #: Whether the reply to a ROLLBACK has not been read yet.
    _owes_reply = False
    #: The serial number of the primary that it is connected to, if one is followed; see primary_address.
    primary: int | None = None

    def _create_ssl_ctx(self, sslp: Any) -> Any:
        """The TLS context.

        Without TLS settings it is shared, because making one takes most of the CPU time of a connection.
        """
        return _Tls(super()._create_ssl_ctx(sslp)) if sslp else _usual_tls()

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        self.settle()
        self._is_used, self._is_answered = True, False
        if not self._may_lock:
            self._may_lock = not _only_reads(sql)
        super()._execute_command(command, sql)

    def settle(self) -> None:
        """Read the reply that is left, if any is. Raises MySQLError if the connection was lost meanwhile."""
        if not self._owes_reply:
            return
        self._owes_reply = False
        if self._sock is not None:
            self._sock.begin_exchange()
            self._next_seq_id = 1
            seen = peek(self)
            if seen.startswith(_OK) and len(seen) == len(_OK) + 4:
                self._read_bytes(len(seen))
                self.server_status = int.from_bytes(seen[7:9], "little")
            else:
                self._read_ok_packet()

    def has_settled(self) -> bool:
        """Read the reply that is left, if any is; False if the connection was lost meanwhile."""
        try:
            self.settle()
        except MySQLError:
            return False
        return True

    def escape(self, obj: Any, mapping: Any = None) -> str:
        """The value as an SQL literal; the most frequent types need no further calls."""
        kind = type(obj)
        if kind is int:
            return str(obj)
        if kind is str and not self.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES:
            return f"'{escaped(obj)}'"
        if kind is datetime and obj.tzinfo is None:
            return f"'{obj.isoformat(' ')}'"
        return str(super().escape(obj, mapping))

    def literals_of(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values as SQL literals; the digits of a whole number need no escaping."""
        literals, escape = {}, self.escape
        is_usual = not self.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES
        for name, value in values.items():
            kind = type(value)
            if kind is int:
                literals[name] = value
            elif kind is str and is_usual:
                literals[name] = f"'{escaped(value)}'"
            elif kind is datetime and value.tzinfo is None:
                literals[name] = f"'{value.isoformat(' ')}'"
            else:
                literals[name] = escape(value)
        return literals

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
        self._is_answered = not unbuffered and not result.has_next
        return int(result.affected_rows)

    def rollback(self) -> None:
        """End the transaction and release its locks, if there may be one."""
        # with completion_type=CHAIN the next transaction begins at once
        if not self._is_used and not self.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS:
            return
        if self._may_lock or not self._is_answered or self._sock is None:
            super().rollback()
        else:
            self._write_bytes(_ROLLBACK)
            self._result, self._owes_reply = None, True
            self.server_status &= ~SERVER_STATUS.SERVER_STATUS_IN_TRANS
        self._is_used = self._may_lock = False

    def commit(self) -> None:
        """Commit the transaction; if requested, record its position in the database's changes."""
        super().commit()
        committed = COMMITTED.get()
        if committed is not None:
            committed.append(self._last_gtid())
        self._is_used = self._may_lock = False

    def _last_gtid(self) -> str:
        """The GTID of this connection's last change; an error here does not affect the commit."""
        try:
            self.query("SELECT @@last_gtid")
            return str(self._result.rows[0][0] or "")  # type: ignore[union-attr]  # a query has a result
        except (MySQLError, OSError, IndexError, TypeError):
            return UNKNOWN


def _only_reads(sql: str | bytes) -> bool:
    """Whether it is a SELECT that locks nothing."""
    updating, sharing = _LOCKS
    return isinstance(sql, bytes) and sql.startswith(_READS) and updating not in sql and sharing not in sql


def _begin_sqlite(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if WRITES.get() else "BEGIN")


def database_now(session: Session) -> datetime:
    """The database's time, UTC. SQLite has no clock of its own: it is the machine's."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = session.execute(text("SELECT UTC_TIMESTAMP(6)")).scalar_one()
    return moment.replace(tzinfo=UTC)


def ping(session: Session) -> None:
    """Execute the cheapest query. Raises the errors of a query."""
    session.execute(text("SELECT 1"))


def stored_revisions(session: Session) -> set[str]:
    """The revisions of the schema in the database. Raises SQLAlchemyError if it has none."""
    return {row[0] for row in session.execute(text("SELECT version_num FROM alembic_version"))}


def _record_statement(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
    statements = STATEMENTS.get()
    if statements is not None and not statement.startswith(("BEGIN", "PRAGMA")):
        statements.append(statement)


def end_sessions_quietly(app: Flask, sessions: scoped_session[Any]) -> None:
    """Keep a connection that breaks at the end of its session from replacing the response of a request.

    By then the request was committed or refused, and its response exists; it would be lost, and the client told that
    nothing was stored.
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
