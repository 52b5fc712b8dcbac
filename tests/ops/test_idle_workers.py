"""Workers that have nothing to do end, and are started again when calls wait; meanwhile they count as running."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis as Client
from rq.worker_registration import get_keys
from sqlalchemy import event, text

from app import cli
from app.extensions import db
from app.ops.queues import queue, redis_queue
from app.ops.queues.idle_children import IdleChildren
from app.ops.queues.workers import MAINTENANCE_SECONDS, IdleWorkers
from app.ops.redis.redis_client import connect_worker
from tests.app_fixtures import Crm
from tests.app_pool import AppMaker
from tests.ops import queue_functions
from tests.ops.test_queue import Workers, is_running
from tests.servers import Redis, eventually

NAMES = ["default 1", "long 1", "short 1", "short 2"]


@pytest.fixture
def workers(
    app_with: AppMaker, redis_server: Redis, instance: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workers]:
    """Workers of all queues, of which some have ended because they were idle for a second."""
    monkeypatch.setattr(redis_queue, "TIMEOUT_SECONDS", 30.0)
    Crm(app_with(CRM_REDIS_URL=redis_server.url))
    names = ("short", "default", "long")
    settings = {"CRM_SERVER_NAME": "crm-1", "CRM_QUEUE_DEFAULT": "1", "TEST_IDLE_SECONDS": "1"}
    with Workers(tmp_path / "workers", instance, redis_server, *names, **settings) as found:
        eventually(lambda: len(found.children()) == 2, "the idle workers don't end")
        yield found


def named() -> list[str]:
    """The names under which the workers of the server are registered."""
    return sorted(queue.workers().get("crm-1", []))


def test_idle_workers_count_as_running(workers: Workers) -> None:
    eventually(lambda: named() == NAMES, "the workers that have ended aren't known")
    assert [(each.name, each.workers) for each in queue.depths() or ()] == [("short", 2), ("default", 1), ("long", 1)]
    running = workers.children()
    workers.stop()
    assert not any(map(is_running, running))
    eventually(lambda: named() == [], "those that have just ended stay registered")


def test_an_idle_worker_is_started_for_a_call_and_ends_again(workers: Workers, tmp_path: Path) -> None:
    trace, before = tmp_path / "trace", set(workers.children())
    for number in range(2):
        queue.enqueue("long", queue_functions.write_line, str(trace), f"ran{number}")
        eventually(lambda n=number: len(queue_functions.lines(trace)) == n + 1, "the call was not run")
        eventually(lambda: set(workers.children()) == before, "the worker doesn't end again")
    assert queue_functions.lines(trace) == ["ran0", "ran1"]
    eventually(lambda: named() == NAMES, "it is known more or less than once")


def test_a_second_worker_is_started_while_the_first_one_is_busy(workers: Workers, tmp_path: Path) -> None:
    long, short = tmp_path / "busy", tmp_path / "trace"
    queue.enqueue("short", queue_functions.take_long, str(long), 50)
    eventually(lambda: queue_functions.lines(long) == ["began"], "the first call was not run")
    queue.enqueue("short", queue_functions.write_line, str(short), "ran")
    eventually(lambda: queue_functions.lines(short) == ["ran"], "the second call was not run", 40)
    assert queue_functions.lines(long) == ["began"]


def test_idle_workers_are_started_although_everybody_was_killed(workers: Workers, tmp_path: Path) -> None:
    """All children, among them the one that has idle workers started."""
    trace, before = tmp_path / "trace", workers.children()
    for each in before:
        os.kill(each, signal.SIGKILL)
    queue.enqueue("long", queue_functions.write_line, str(trace), "ran")
    eventually(lambda: queue_functions.lines(trace) == ["ran"], "the call was not run")
    eventually(lambda: len(workers.children()) == 2 and not {*before} & {*workers.children()}, "nobody replaced them")
    assert queue_functions.lines(trace) == ["ran"]


def test_idle_workers_are_started_after_redis_was_away(workers: Workers, redis_server: Redis, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    redis_server.restart()
    queue.try_again()
    eventually(lambda: {*NAMES} <= {*named()}, "the workers aren't known any more")
    assert queue.enqueue("long", queue_functions.write_line, str(trace), "ran")
    eventually(lambda: queue_functions.lines(trace) == ["ran"], "the call was not run")


def test_a_worker_that_ends_signs_off_from_the_database(maria: Crm) -> None:
    signed_off: list[bool] = []

    def note(*_args: object) -> None:
        signed_off.append(True)

    maria.session.execute(text("SELECT 1"))
    maria.session.rollback()
    with maria.app.app_context():
        engine = db.engine
    event.listen(engine, "close", note)
    try:
        cli.end_child(maria.app)
    finally:
        event.remove(engine, "close", note)
    assert signed_off


def test_idle_workers_stay_registered_when_the_clock_is_set_back(
    app_with: AppMaker, redis_server: Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Crm(app_with(CRM_REDIS_URL=redis_server.url))
    ended = IdleChildren([lambda: None])
    ended.note_end(ended._functions[0])
    with connect_worker(redis_server.url) as redis, caplog.at_level(logging.INFO):
        found = IdleWorkers([("long", 1)], ended, redis)
        found.look()
        (key,) = get_keys(connection=redis)
        redis.expire(key, 20)
        later, earlier = time.monotonic() + MAINTENANCE_SECONDS, datetime.now(UTC) - timedelta(hours=1)
        monkeypatch.setattr(time, "monotonic", lambda: later)
        monkeypatch.setattr("rq.worker.base.now", lambda: earlier)
        found.look()
        assert redis.ttl(key) > 2 * MAINTENANCE_SECONDS
        found.unregister_all()
    assert "cleaning registries" not in caplog.text


#: Keys of RQ, of which each process reads some.
KEYS = ("queue:crm-short", "queue:crm-long", "workers", "workers:crm-default", "scheduled:crm-short", "wip:crm-long")


def test_what_a_stranger_writes_under_rqs_names_stops_no_queue(
    workers: Workers, redis_server: Redis, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    eventually(lambda: named() == NAMES, "the workers that have ended aren't known")
    with closing(Client.from_url(redis_server.url)) as redis:
        (scheduler,) = redis.scan_iter("{crm}rq:scheduler:*")
        for key in (scheduler, *(f"{{crm}}rq:{each}" for each in KEYS)):
            redis.set(key, "x")

    def ran() -> set[str]:
        for name in ("short", "default", "long"):
            queue.try_again()
            queue.enqueue(name, queue_functions.write_line, str(trace), name)
        return {*queue_functions.lines(trace)}

    eventually(lambda: ran() == {"short", "default", "long"}, "a queue stands still", 40)
