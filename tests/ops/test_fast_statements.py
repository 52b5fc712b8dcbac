"""Statements sent to the driver have the same results as through SQLAlchemy: rows, counts, listeners, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, PendingRollbackError, ProgrammingError
from sqlalchemy.orm import Session

from app.ops.database import connections
from app.ops.statements import fast_statements
from app.ops.statements.fast_statements import StatementResult
from tests.servers import Databases


@pytest.fixture(params=["mariadb", "sqlite"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database with a table of two columns."""
    if request.param == "sqlite":
        made, name, server = create_engine("sqlite://"), "", None
    else:
        server = request.getfixturevalue("mariadb_server")
        name = server.create_database()
        made = create_engine(server.url(name), connect_args={"client_flag": 2})  # counts rows that were found
    connections.tune(made, lambda: 30.0)
    with made.begin() as connection:
        key = "INTEGER PRIMARY KEY" + (" AUTO_INCREMENT" if server else "")
        connection.execute(text(f"CREATE TABLE pair (id {key}, name VARCHAR(20) UNIQUE)"))
    yield made
    made.dispose()
    if isinstance(server, Databases):
        server.drop_database(name)


def by_sqlalchemy(session: Session, statement: str, values: Any) -> StatementResult:
    result = session.connection().exec_driver_sql(statement, values)
    rows = [tuple(row) for row in result] if result.returns_rows else []
    return StatementResult(rows, result.rowcount, 0 if rows else result.lastrowid)


Send = Callable[[Session, str, Any], StatementResult]
WAYS = pytest.mark.parametrize("send", [fast_statements.send, by_sqlalchemy])


def named(engine: Engine, statement: str) -> str:
    return statement if engine.dialect.name != "sqlite" else statement.replace("%(name)s", ":name")


@WAYS
def test_the_same_comes_of_a_statement(engine: Engine, send: Send) -> None:
    insert = named(engine, "INSERT INTO pair (name) VALUES (%(name)s)")
    with Session(engine) as session:
        for n, name in enumerate(("a'b", "100 %", "é😀"), 1):
            sent = send(session, insert, {"name": name})
            assert (sent.total, sent.last_id, list(sent.rows)) == (1, n, [])
        found = send(session, "SELECT id, name FROM pair ORDER BY id", {})
        assert [tuple(row) for row in found.rows] == [(1, "a'b"), (2, "100 %"), (3, "é😀")]
        change = named(engine, "UPDATE pair SET name = name WHERE name <> %(name)s")
        assert send(session, change, {"name": "a'b"}).total == 2
        session.rollback()
        assert list(send(session, "SELECT id FROM pair", {}).rows) == []


@WAYS
def test_errors_are_those_of_sqlalchemy(engine: Engine, send: Send) -> None:
    insert = named(engine, "INSERT INTO pair (name) VALUES (%(name)s)")
    with Session(engine) as session:
        send(session, insert, {"name": "one"})
        with pytest.raises(IntegrityError) as taken:
            send(session, insert, {"name": "one"})
        assert taken.value.statement == insert
        with pytest.raises((ProgrammingError, OperationalError)):
            send(session, "SELECT nothing FROM nowhere", {})
        if engine.dialect.name != "sqlite":  # whose driver tells of the error before
            with pytest.raises(UnicodeEncodeError):
                send(session, insert, {"name": "\ud800"})
        session.rollback()
        assert send(session, insert, {"name": "one"}).total == 1


@WAYS
def test_listeners_hear_of_it(engine: Engine, send: Send) -> None:
    heard: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *said: heard.append(f"before {said[2]}"))
    event.listen(engine, "after_cursor_execute", lambda *said: heard.append(f"after {said[2]}"))
    token = connections.STATEMENTS.set([])
    with Session(engine) as session:
        session.connection()
        heard.clear()
        send(session, "SELECT 1", {})
    assert (heard, connections.STATEMENTS.get()) == (["before SELECT 1", "after SELECT 1"], ["SELECT 1"])
    connections.STATEMENTS.reset(token)


@WAYS
@pytest.mark.parametrize("engine", ["mariadb"], indirect=True)
def test_a_connection_that_was_cut_is_not_used_again(engine: Engine, send: Send) -> None:
    with Session(engine) as session:
        own = session.execute(text("SELECT CONNECTION_ID()")).scalar_one()
        with engine.connect() as other:
            other.exec_driver_sql(f"KILL {own}")
        with pytest.raises(DBAPIError) as cut:
            send(session, "SELECT 1", {})
        assert cut.value.connection_invalidated
        with pytest.raises(PendingRollbackError):
            send(session, "SELECT 1", {})
        session.rollback()
        assert [tuple(row) for row in send(session, "SELECT 1", {}).rows] == [(1,)]


def test_a_transaction_that_has_failed_takes_no_more(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        transaction = session.begin_nested()
        assert [tuple(row) for row in fast_statements.send(session, "SELECT 1", {}).rows] == [(1,)]
        transaction.rollback()
        assert [tuple(row) for row in fast_statements.send(session, "SELECT 2", {}).rows] == [(2,)]
