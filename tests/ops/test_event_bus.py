"""The bus: everybody hears of everything, nobody waits for Redis, and rubbish on the channel is no news."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.ops import event_bus
from app.ops.broadcast import EventBroadcaster
from app.ops.event_bus import EventBus, LiveEvent
from tests.servers import Redis, eventually

NEWS = LiveEvent(frozenset([7, 8]), frozenset([("lead", 3)]), frozenset([9]))


class Ends:
    """Two processes' ends of one bus: what the listening one has heard."""

    def __init__(self, url: str) -> None:
        self.heard: list[LiveEvent] = []
        self.far, self.near = EventBus(url, lambda _said: None), EventBus(url, self.heard.append)

    def wait_until_up(self, is_up: bool = True) -> None:
        eventually(lambda: self.near.is_up is is_up, f"the listener is not {'up' if is_up else 'down'}")

    def arrives(self, tidings: LiveEvent = NEWS) -> None:
        def came() -> bool:
            self.far.publish(tidings)
            return tidings in self.heard

        eventually(came, "nothing comes through")


@contextmanager
def listening(redis: Redis) -> Iterator[Ends]:
    ends = Ends(redis.url)
    ends.near.listen()
    try:
        ends.wait_until_up()
        yield ends
    finally:
        ends.near.close()
        ends.far.close()


def test_what_one_process_says_another_hears(redis_server: Redis) -> None:
    with listening(redis_server) as ends:
        assert ends.heard == [LiveEvent(compare_all=True)]  # who begins to listen looks for himself once
        ends.arrives()


def test_nobody_hears_himself(redis_server: Redis) -> None:
    with listening(redis_server) as ends:
        ends.near.publish(LiveEvent(notified=frozenset([1])))
        ends.arrives()
        assert LiveEvent(notified=frozenset([1])) not in ends.heard


@pytest.mark.parametrize("away", ["gone", "dumb"])
def test_redis_goes_and_comes_again(redis_server: Redis, away: str) -> None:
    with listening(redis_server) as ends:
        pid = redis_server.pid
        os.kill(pid, signal.SIGSTOP) if away == "dumb" else redis_server.stop()
        ends.wait_until_up(False)
        assert not ends.far.publish(NEWS)
        os.kill(pid, signal.SIGCONT) if away == "dumb" else redis_server.start()
        ends.wait_until_up()
        ends.arrives()


def test_while_redis_is_away_it_is_not_even_asked(redis_server: Redis) -> None:
    far = EventBus(redis_server.url, lambda _said: None)
    redis_server.stop()
    for _ in range(12):
        far._backoff_until = 0.0
        assert not far.publish(NEWS)
    redis_server.start()
    assert far._backoff == event_bus.MAX_BACKOFF_SECONDS
    assert not far.publish(NEWS)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'"told"',
        b'{"told": 1, "stirred": [], "cut": []}',
        b"[" * 9000,
        b'{"told": ["7"], "stirred": [], "cut": []}',
        b'{"told": [true], "stirred": [], "cut": []}',
        b'{"told": [-1], "stirred": [], "cut": []}',
        b'{"told": [], "stirred": [["lead"]], "cut": []}',
        b'{"told": [], "stirred": [[[], 1]], "cut": []}',
        b'{"told": [], "stirred": [[1, 1]], "cut": []}',
        b'{"told": [], "stirred": [], "cut": [99999999999]}',
        b'{"told": [1.5], "stirred": [], "cut": []}',
    ],
)
def test_rubbish_is_no_news(said: bytes) -> None:
    assert event_bus.parse(said) is None


def test_rubbish_on_the_channel_stops_nobody(redis_server: Redis) -> None:
    with listening(redis_server) as ends:
        for said in (b"", b"\xff", b"[" * 9000, b'{"told": "x"}'):
            ends.far._redis.publish(ends.far.channel, said)
        ends.arrives()


def test_what_is_written_can_be_read() -> None:
    assert event_bus.parse(NEWS.to_json("here")) == ("here", NEWS)


def test_many_commits_make_one_message() -> None:
    got: list[tuple[LiveEvent, LiveEvent]] = []
    broadcaster = EventBroadcaster(lambda far, here: got.append((far, here)))
    for user in range(1, 200):
        broadcaster.send(LiveEvent(notified=frozenset([user])), to_others=user % 2 == 0)
    assert broadcaster.flush(60)
    assert frozenset().union(*(here.notified for _far, here in got)) == frozenset(range(1, 200))
    assert frozenset().union(*(far.notified for far, _here in got)) == frozenset(range(2, 200, 2))
    assert len(got) < 200


def test_a_delivery_that_fails_does_not_stop_the_next(caplog: pytest.LogCaptureFixture) -> None:
    got: list[Any] = []

    def deliver(far: LiveEvent, here: LiveEvent) -> None:
        got.append(here)
        if len(got) == 1:
            raise RuntimeError("the database is away")

    broadcaster = EventBroadcaster(deliver)
    for user in (1, 2):
        broadcaster.send(LiveEvent(notified=frozenset([user])), to_others=False)
        assert broadcaster.flush(60)
    assert got[-1].notified == {2}
    assert "could not be delivered" in caplog.text


def test_a_forked_process_has_a_post_of_its_own() -> None:
    broadcaster = EventBroadcaster(lambda far, here: None)
    broadcaster.send(NEWS, to_others=False)
    assert broadcaster.flush(60)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        broadcaster.send(NEWS, to_others=False)
        os.write(writer, b"1" if broadcaster.flush(60) else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"1"
    os.close(reader), os.close(writer)
