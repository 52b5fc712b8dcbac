"""A request ends with one ROLLBACK, and no connection goes back to the pool with a transaction or a lock."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.lib import deadline
from app.ops.database.connections import MariaDBConnection, tune
from tests.servers import Databases, eventually


@pytest.fixture(scope="module")
def pool(mariadb_server: Databases) -> Iterator[Engine]:
    """An engine as the product's, with one connection."""
    name = mariadb_server.create_database()
    url = mariadb_server.url(name)
    engine = create_engine(url, pool_size=1, max_overflow=0, isolation_level="READ COMMITTED")
    tune(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB")
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 0), (2, 0)")
    yield engine
    engine.dispose()
    mariadb_server.drop_database(name)


@pytest.fixture
def other(pool: Engine) -> Iterator[Any]:
    """A second client that waits for no lock."""
    engine = create_engine(pool.url)
    with engine.connect() as connection:
        connection.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 0")
        yield connection
    engine.dispose()


def _read(pool: Engine) -> None:
    with Session(pool) as session:
        session.connection().exec_driver_sql("SELECT * FROM t").all()


def _read_a_union(pool: Engine) -> None:
    """What searches read: parts in brackets, as they have limits of their own."""
    with Session(pool) as session:
        session.connection().exec_driver_sql("(SELECT id FROM t LIMIT 1) UNION ALL (SELECT n FROM t LIMIT 1)").all()


def _write_and_leave(pool: Engine) -> None:
    with Session(pool) as session:
        session.connection().exec_driver_sql("UPDATE t SET n = n + 1 WHERE id = 1")


def _lock_and_fail(pool: Engine) -> None:
    with suppress(DBAPIError), pool.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM t WHERE id = 1 FOR UPDATE").all()
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 5)")


def _fail_at_once(pool: Engine) -> None:
    """The first statement of the transaction fails; InnoDB keeps a lock on the row that was in its way."""
    with suppress(DBAPIError), pool.connect() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 5)")


def _fail_below_sqlalchemy(pool: Engine) -> None:
    raw = pool.raw_connection()
    with suppress(Exception), raw.cursor() as cursor:
        cursor.execute("INSERT INTO t VALUES (1, 5)")
    raw.close()


def _write_below_sqlalchemy(pool: Engine) -> None:
    raw = pool.raw_connection()
    raw.cursor().execute("UPDATE t SET n = n + 1 WHERE id = 1")
    raw.close()


def _begin_in_sql(pool: Engine) -> None:
    with pool.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("START TRANSACTION")
        connection.exec_driver_sql("UPDATE t SET n = n + 1 WHERE id = 1")


def _chain(pool: Engine) -> None:
    """A setting of the session by which every COMMIT begins a transaction that nobody has asked for."""
    with pool.connect() as connection:
        connection.exec_driver_sql("SET SESSION completion_type = 'CHAIN'")
        connection.exec_driver_sql("UPDATE t SET n = n + 1 WHERE id = 2")
        connection.commit()
        connection.exec_driver_sql("UPDATE t SET n = n + 1 WHERE id = 1")
    with pool.connect() as connection:
        connection.exec_driver_sql("SET SESSION completion_type = DEFAULT")


def _in_a_savepoint(pool: Engine) -> None:
    with suppress(RuntimeError), Session(pool) as session, session.begin_nested():
        session.connection().exec_driver_sql("UPDATE t SET n = n + 1 WHERE id = 1")
        raise RuntimeError


USES = (
    _read,
    _read_a_union,
    _write_and_leave,
    _lock_and_fail,
    _fail_at_once,
    _fail_below_sqlalchemy,
    _write_below_sqlalchemy,
    _begin_in_sql,
    _chain,
    _in_a_savepoint,
)


@pytest.mark.parametrize("use", USES)
def test_no_transaction_and_no_lock_outlives_its_use(pool: Engine, other: Any, use: Any) -> None:
    use(pool)
    assert pool.pool.checkedin() == 1  # type: ignore[attr-defined]
    locks = (
        "SELECT COUNT(*) FROM information_schema.innodb_trx JOIN information_schema.processlist p"
        " ON p.id = trx_mysql_thread_id WHERE p.db = DATABASE() AND p.id <> CONNECTION_ID()"
    )
    other.exec_driver_sql("UPDATE t SET n = 7 WHERE id = 1")  # refused if the row were locked
    other.commit()
    with pool.connect() as connection:  # it sees what was committed since, so it is in a transaction of its own
        assert connection.exec_driver_sql("SELECT n FROM t WHERE id = 1").scalar() == 7
    # Nobody waits for the end of what was only read.
    eventually(lambda: other.exec_driver_sql(locks).scalar() == 0, "a transaction stays open")


def test_a_use_ends_with_one_rollback_or_with_its_commit(pool: Engine) -> None:
    def sent(use: Any) -> int:
        before = _rollbacks(pool)
        use(pool)
        return _rollbacks(pool) - before - 1  # the second question ends with one itself

    def commit(pool: Engine) -> None:
        with Session(pool) as session:
            session.connection().exec_driver_sql("UPDATE t SET n = n + 1 WHERE id = 1")
            session.commit()

    assert sent(_read) == 1
    assert sent(commit) == 0


@pytest.mark.parametrize("use", USES)
def test_only_the_end_of_what_was_read_is_not_waited_for(pool: Engine, use: Any) -> None:
    use(pool)
    assert _kept(pool)._owes_reply is (use in (_read, _read_a_union))


def test_a_lock_or_an_error_among_reads_is_waited_for(pool: Engine) -> None:
    for statement in ("SELECT * FROM t FOR UPDATE", "SELECT * FROM t LOCK IN SHARE MODE", "SELECT * FROM missing"):
        with suppress(DBAPIError), pool.connect() as connection:
            connection.exec_driver_sql("SELECT * FROM t").all()
            connection.exec_driver_sql(statement)
        assert not _kept(pool)._owes_reply, statement


def test_a_connection_lost_while_a_reply_is_left_is_replaced(pool: Engine, other: Any) -> None:
    with pool.connect() as connection:
        before = connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
    other.exec_driver_sql(f"KILL {before}")
    for _ in range(2):
        with pool.connect() as connection:
            assert connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one() != before


def test_the_reply_that_was_left_is_read_in_the_time_of_its_next_use() -> None:
    """Not in that of the ROLLBACK, which may be long ago."""
    ours, theirs = socket.socketpair()
    connection = MariaDBConnection(defer_connect=True)
    with deadline.DeadlineSocket(fileno=ours.detach()) as line, theirs:
        line.limit = lambda: 0.2
        connection._sock, connection._rfile, connection._is_answered = line, line.makefile("rb"), True
        connection._current_timeout, connection.server_status = None, 1
        connection.rollback()
        time.sleep(0.3)  # longer than the limit of an exchange
        theirs.sendall(b"\x07\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00")
        assert connection.has_settled() and connection.server_status == 1
        assert connection.has_settled(), "there is nothing left to be read"


def _kept(pool: Engine) -> Any:
    """The driver's connection that waits in the pool."""
    return pool.pool._pool.queue[0].dbapi_connection  # type: ignore[attr-defined]


def _rollbacks(pool: Engine) -> int:
    with pool.connect() as connection:
        row = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Com_rollback'").one()
    return int(row[1])


def test_what_tls_needs_is_prepared_once_unless_a_setting_of_it_says_otherwise() -> None:
    usual, same, other = (MariaDBConnection(defer_connect=True, **more) for more in ({}, {}, {"ssl_verify_cert": True}))
    assert usual.ctx is same.ctx is not other.ctx
    assert (usual._ssl_required, other._ssl_required) == (False, True)
    modes = [each.ctx._context.verify_mode for each in (usual, other)]
    assert modes == [ssl.CERT_NONE, ssl.CERT_REQUIRED]
    assert usual.ctx._context.cert_store_stats()["x509_ca"] == 0  # none is checked, and they take 5 MB
