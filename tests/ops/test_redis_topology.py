"""Redis behind Sentinels, and as a Cluster: everything that uses Redis works, also after the master is killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from app.ops import TAG
from app.ops.database.replica_positions import SavedPositions
from app.ops.queues import queue
from app.ops.queues.redis_queue import RedisQueue
from app.ops.redis import redis_client
from app.ops.redis.event_bus import EventBus, LiveEvent
from app.ops.redis.rate_counter import Rate, RedisRateCounter
from server_urls import BadUrl, redis_topology, replica_urls
from tests.app_fixtures import SECRET_KEY
from tests.ops import queue_functions
from tests.ops.test_queue import Workers
from tests.server_clusters import ROUNDS, SeveralRedis, behind_sentinels, cluster, figures
from tests.servers import eventually

HOUSES = {"sentinel": behind_sentinels, "cluster": cluster}
#: Service must be back within this time (issue: 10 s), on a busy machine, too.
BACK_SECONDS = 10.0


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[None]:
    """The queue signs as the workers of the test expect."""
    from app import _signing_key

    before = queue.settings()
    queue._settings = queue.QueueSettings(waits=(1, 1), signing_key=_signing_key(SECRET_KEY))
    queue.register(queue_functions.write_line)
    yield
    queue._settings = before


@pytest.mark.parametrize("_round", ROUNDS)
@pytest.mark.parametrize("kind", HOUSES)
def test_another_master_takes_over(_round: int, kind: str, settings: None, tmp_path: Path) -> None:
    make: Callable[[Path], AbstractContextManager[SeveralRedis]] = HOUSES[kind]
    trace = tmp_path / "trace"
    with make(tmp_path / "redis") as topology:
        workers = Workers(tmp_path / "workers", tmp_path / "instance", topology, "short")  # type: ignore[arg-type]
        with workers, _Users(topology.url) as users:
            users.check(1)
            assert users.queue.enqueue(_call(trace, 1))
            eventually(lambda: "1" in queue_functions.lines(trace), "the call is not run")
            topology.master().kill()
            began, sent = time.monotonic(), []
            while time.monotonic() - began < BACK_SECONDS and not (sent and users.works()):
                if users.queue.enqueue(_call(trace, 2 + len(sent))):
                    sent.append(2 + len(sent))
                time.sleep(0.1)
            back = time.monotonic() - began
            figures.info("%s: back after %.1f s", kind, back)
            assert sent and users.works(), "nobody took over in time"
            users.check(2)
            assert users.queue.enqueue(_call(trace, "last"))
            eventually(lambda: "last" in queue_functions.lines(trace), "no worker has found the new master")
            assert {key for key in _keys(topology) if not key.startswith(TAG.encode())} == set()


class _Users:
    """All that uses Redis, in this process."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.queue, self.counter, self.saved = RedisQueue(url), RedisRateCounter(url), SavedPositions(url)
        self.heard: list[LiveEvent] = []
        self.listening, self.sending = EventBus(url, self.heard.append), EventBus(url, lambda _event: None)

    def __enter__(self) -> _Users:
        self.listening.listen()
        eventually(lambda: self.listening.is_up, "nobody listens")
        return self

    def __exit__(self, *_: object) -> None:
        self.listening.close()
        self.queue.stop(0)
        for each in (self.counter, self.saved, self.listening, self.sending):
            each._redis.close()  # type: ignore[attr-defined]

    def works(self) -> bool:
        with closing(redis_client.connect(self.url, 0.5)) as redis:
            try:
                return bool(redis.ping()) and self.listening.is_up
            except redis_client.TROUBLE:
                return False

    def counts(self, name: str) -> bool:
        self.counter._backoff_until = 0.0
        self.counter.add(name, Rate(5, 60), time.time())
        return self.counter._backoff_until == 0.0

    def remembers(self, serial: int) -> bool:
        self.saved._backoff_until = 0.0
        self.saved.remember(serial, {0: 7})
        with closing(redis_client.connect(self.url, 0.5)) as redis:
            return bool(redis.zrange(f"{TAG}saved:{serial}", 0, -1, withscores=True))

    def check(self, serial: int) -> None:
        """Rate limits, live events and positions. Both of the first do without Redis where it is slower than 50 ms."""
        eventually(lambda: self.counts(f"name {serial}"), "Redis does not count")
        eventually(lambda: self.remembers(serial), "nobody remembers what was saved")
        said = LiveEvent(notified=frozenset({serial}))
        eventually(lambda: self.sending.publish(said), "nobody takes the event")
        eventually(lambda: said in self.heard, "the event does not arrive")


def _call(trace: Path, text: int | str) -> Any:
    return queue.build_call("short", queue_functions.write_line, str(trace), text)


def _keys(topology: SeveralRedis) -> list[bytes]:
    with topology.master().client() as client:
        return list(client.scan_iter("*"))


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("redis+sentinel://h:26379,h2", "by which name"),
        ("redis+sentinel:///crm", "must be redis://"),
        ("redis+sentinel://h/crm/x", "no number"),
        ("redis+sentinel://h/crm?sentinel_pasword=x", "option that is not known"),
        ("redis+cluster://h:1/3", "only number 0"),
        ("redis+cluster://h:99999", "must be redis://"),
        ("memcached://h", "must be redis://"),
    ],
)
def test_what_cannot_be_is_refused_in_words(url: str, word: str) -> None:
    with pytest.raises(BadUrl, match=word):
        redis_topology(url)


def test_the_parts_of_a_url() -> None:
    url = "rediss+sentinel://u:p%40ss@[::1]:1,host/crm/2?sentinel_password=s&ssl_ca_certs=/etc/ca.pem"
    topology = redis_topology(url)
    assert topology is not None
    assert (topology.addresses, topology.name, topology.db, topology.is_tls) == (
        (("::1", 1), ("host", 26379)),
        "crm",
        2,
        True,
    )
    assert (topology.username, topology.password, topology.sentinel_password) == ("u", "p@ss", "s")
    assert topology.tls == (("ssl_ca_certs", "/etc/ca.pem"),)
    assert redis_topology("redis://h:1/0") is None


@pytest.mark.parametrize(
    ("text", "primary", "redis", "word"),
    [
        ("mysql://a/crm", "sqlite:///x", "redis://h", "SQLite"),
        ("mysql://a/crm", "mysql+pymysql://p/crm", None, "needs CRM_REDIS_URL"),
        ("mysql://a/other", "mysql+pymysql://p/crm", "redis://h", "same database"),
        ("mysql://p/crm", "mysql+pymysql://p:3306/crm", "redis://h", "itself"),
        ("mysql://a/crm,mysql://a:3306/crm", "mysql+pymysql://p/crm", "redis://h", "twice"),
        ("a", "mysql+pymysql://p/crm", "redis://h", "must list URLs"),
    ],
)
def test_replicas_that_cannot_be(text: str, primary: str, redis: str | None, word: str) -> None:
    with pytest.raises(BadUrl, match=word):
        replica_urls(text, primary, redis)
