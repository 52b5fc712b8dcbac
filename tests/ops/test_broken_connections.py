"""A connection that breaks at an unusual moment neither changes a response nor loses a delivery."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.extensions import db
from app.ops.queues import queue
from app.ops.queues.redis_queue import RedisQueue
from app.outbox import engine, notice_delivery
from app.outbox.notice_delivery import NOTICES
from tests.servers import Redis


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
    assert engine.attempt(kind, Row()).state == state


@pytest.mark.parametrize("error", [ValueError("I/O operation on closed file."), AttributeError("_sock"), RedisError()])
def test_a_queue_whose_connection_was_closed_refuses_the_call(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    backend = RedisQueue(redis_server.url)

    def closed(*_arguments: Any, **_options: Any) -> Any:
        raise error

    monkeypatch.setattr(backend._redis.connection_pool, "get_connection", closed)
    assert not backend.enqueue(queue.build_call("short", notice_delivery.send, 1))
