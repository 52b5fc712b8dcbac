"""MariaDB or Redis stops responding without closing connections: no request hangs, and everybody gets a message."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import requests

from app.ops.redis.rate_counter import LocalRateCounter, Rate, RedisRateCounter
from tests.resilience.scenario import Scenario, settled
from tests.servers import LiveServer, MariaDB, Redis, Server

#: A request that waits for the database is answered within this time: 15 s for the statement, 5 s to connect again,
#: and patience with a busy machine.
ANSWERED_SECONDS = 60.0
WHO = {"username": "ana", "password": "wrong", "provider": "db"}


@contextmanager
def silent(server: Server) -> Iterator[None]:
    """The server accepts connections and says nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def timed(call: Any) -> tuple[int, float, requests.Response]:
    began = time.monotonic()
    answer = call()
    return answer.status_code, time.monotonic() - began, answer


def knocks(url: str) -> list[Any]:
    """Every endpoint of sign-in, and a key at both APIs."""
    key, client = {"Authorization": "token keyana:secret-ana"}, partial(requests.request, timeout=100)
    return [
        partial(client, "POST", f"{url}/api/v1/security/login", json=WHO),
        partial(client, "POST", f"{url}/api/method/login", data={"usr": "ana", "pwd": "wrong"}),
        partial(client, "GET", f"{url}/api/v1/lead/", headers=key),
        partial(client, "GET", f"{url}/api/resource/CRM Lead", headers=key),
    ]


def test_a_silent_database_hangs_nobody(lone_mariadb: MariaDB, tmp_path: Path) -> None:
    url = lone_mariadb.url(lone_mariadb.create_database())
    with (
        settled(url, tmp_path) as scenario,
        LiveServer(tmp_path / "web", **scenario.settings) as web,
        ThreadPoolExecutor(60) as crowd,
    ):
        assert {timed(knock)[0] for knock in knocks(web.url)[:3]} == {401, 200}
        with silent(lone_mariadb):
            waiting = [crowd.submit(timed, knock) for knock in knocks(web.url) * 15]
            checks = [timed(partial(requests.get, f"{web.url}/healthz", timeout=120)) for _ in range(20)]
            assert not all(each.done() for each in waiting), "no check waits for the database, as the crowd does"
            assert {status for status, _seconds, _answer in checks} == {200}
            answers = [each.result() for each in waiting]
        assert {status for status, _seconds, _answer in answers} == {503}
        assert max(seconds for _status, seconds, _answer in answers) < ANSWERED_SECONDS
        for _status, _seconds, answer in answers:
            assert answer.headers["Retry-After"] and "Traceback" not in answer.text and "Fatal" not in answer.text
        assert timed(knocks(web.url)[2])[0] == 200, "it does not recover by itself"
        assert "Traceback" not in web.last_words(2000)


def test_sign_in_goes_on_while_redis_is_silent(redis_server: Redis, scenario: Scenario) -> None:
    settings = scenario.settings | {"CRM_REDIS_URL": redis_server.url}
    with LiveServer(scenario.folder / "web", **settings) as web:
        for knock in knocks(web.url)[:4]:
            knock()
        with silent(redis_server):
            answers = [timed(knock) for knock in knocks(web.url)[:4] * 3]
        assert {status for status, _seconds, _answer in answers} <= {200, 401, 429}, answers
        assert max(seconds for _status, seconds, _answer in answers) < 30


def test_the_counter_counts_locally_when_redis_is_silent_or_full(redis_server: Redis) -> None:
    rate = Rate(100, 60)
    with silent(redis_server):
        counter = RedisRateCounter(redis_server.url)
        began = time.monotonic()
        assert counter.add("x", rate, 0.0).used == 1
        assert time.monotonic() - began < 30
        assert [counter.add("x", rate, 0.0).used for _ in range(5)] == [2, 3, 4, 5, 6]
    redis_server._say("CONFIG SET maxmemory 1")
    try:
        full = RedisRateCounter(redis_server.url)
        assert [full.add("y", rate, 0.0).used for _ in range(3)] == [1, 2, 3]
        assert isinstance(full._local, LocalRateCounter)
    finally:
        redis_server._say("CONFIG SET maxmemory 0")
    assert threading.active_count() < 100
