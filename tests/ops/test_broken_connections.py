"""A connection that breaks at an unusual moment neither changes a response nor loses a delivery."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from redis.exceptions import RedisError
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from app.extensions import db
from app.ops.database import connections
from app.ops.queues import queue
from app.ops.queues.redis_queue import RedisQueue
from app.outbox import delivery_engine, notice_delivery
from app.outbox.notice_delivery import NOTICES
from tests.servers import MariaDB, Redis, eventually


def test_a_connection_that_breaks_when_the_request_ends_does_not_replace_its_answer(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(**_parts: object) -> str:
        connection = db.session.connection().connection.dbapi_connection
        assert connection is not None
        connection.close()
        return "stored"

    shown = next(rule.endpoint for rule in app.url_map.iter_rules() if rule.rule == "/healthz")
    monkeypatch.setitem(app.view_functions, shown, breaks)
    answer = app.test_client().get("/healthz")
    assert (answer.status_code, answer.text) == (200, "stored")
    with app.app_context():
        assert db.session.execute(text("SELECT 1")).scalar() == 1


def test_connections_that_mariadb_has_closed_are_replaced_before_anybody_gets_them(lone_mariadb: MariaDB) -> None:
    """By a restart, or for having been idle: neither fails a statement that comes later."""
    engine = create_engine(lone_mariadb.url("mysql"), pool_size=3)
    connections.limit_exchanges(engine, lambda: 10.0)

    def answers() -> set[int]:
        with ExitStack() as held:
            taken = [held.enter_context(engine.connect()) for _ in range(3)]
            return {each.execute(text("SELECT CONNECTION_ID()")).scalar_one() for each in taken}

    before = answers()
    assert answers() == before
    lone_mariadb.restart()
    after = answers()
    assert len(after) == 3
    with engine.connect() as connection:
        connection.execute(text("SET SESSION wait_timeout = 1"))
        idle = connection.execute(text("SELECT CONNECTION_ID()")).scalar_one()
    with lone_mariadb.connect(autocommit=True) as keeper, keeper.cursor() as cursor:
        seen = "SELECT 1 FROM information_schema.processlist WHERE id = %s"
        eventually(lambda: cursor.execute(seen, (idle,)) == 0, "the idle connection is not closed")
    assert answers() & after == after - {idle}
    engine.dispose()


class Row:
    """A row of deliveries as the engine sees it."""

    id, tries, channel = 1, 1, "email"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (OperationalError("SELECT", {}, Exception(2013, "lost"), connection_invalidated=True), "queued"),
        (OperationalError("SELECT", {}, Exception(2006, "gone")), "queued"),
        (KeyError("a bug"), "failed"),
    ],
)
def test_a_database_that_is_away_fails_no_delivery(error: Exception, state: str) -> None:
    def broken(_row: Any) -> Any:
        raise error

    kind = replace(NOTICES, prepare=broken)
    assert delivery_engine.attempt(kind, Row()).state == state


@pytest.mark.parametrize("error", [ValueError("I/O operation on closed file."), AttributeError("_sock"), RedisError()])
def test_a_queue_whose_connection_was_closed_refuses_the_call(
    app: Flask, redis_server: Redis, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    backend = RedisQueue(redis_server.url)

    def closed(*_arguments: Any, **_options: Any) -> Any:
        raise error

    monkeypatch.setattr(backend._redis.connection_pool, "get_connection", closed)
    assert not backend.enqueue(queue.build_call("short", notice_delivery.send, 1))
