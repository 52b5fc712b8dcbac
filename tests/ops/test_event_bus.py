"""The event bus: processes get each other's events, nobody waits for Redis, and invalid messages are ignored."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.ops.redis import event_bus
from app.ops.redis.broadcast import EventBroadcaster
from app.ops.redis.event_bus import EventBus, LiveEvent
from tests.servers import Redis, eventually

EVENT = LiveEvent(frozenset([7, 8]), frozenset([("lead", 3)]), frozenset([9]))


class TwoProcesses:
    """The bus as two processes use it, a sender and a listener, and the events that the listener got."""

    def __init__(self, url: str) -> None:
        self.received: list[LiveEvent] = []
        self.sender, self.listener = EventBus(url, lambda _event: None), EventBus(url, self.received.append)

    def wait_until_up(self, is_up: bool = True) -> None:
        eventually(lambda: self.listener.is_up is is_up, f"the listener is not {'up' if is_up else 'down'}")

    def check_delivery(self, event: LiveEvent = EVENT) -> None:
        def is_received() -> bool:
            self.sender.publish(event)
            return event in self.received

        eventually(is_received, "the event was not received")


@contextmanager
def listening(redis: Redis) -> Iterator[TwoProcesses]:
    processes = TwoProcesses(redis.url)
    processes.listener.listen()
    try:
        processes.wait_until_up()
        yield processes
    finally:
        processes.listener.close()
        processes.sender.close()


def test_a_process_gets_the_events_of_another(redis_server: Redis) -> None:
    with listening(redis_server) as processes:
        assert processes.received == [LiveEvent(compare_all=True)]  # a new listener compares everything once
        processes.check_delivery()


def test_a_process_does_not_get_its_own_events(redis_server: Redis) -> None:
    with listening(redis_server) as processes:
        processes.listener.publish(LiveEvent(notified=frozenset([1])))
        processes.check_delivery()
        assert LiveEvent(notified=frozenset([1])) not in processes.received


@pytest.mark.parametrize("state", ["stopped", "hanging"])
def test_listening_resumes_when_redis_is_back(redis_server: Redis, state: str) -> None:
    with listening(redis_server) as processes:
        pid = redis_server.pid
        os.kill(pid, signal.SIGSTOP) if state == "hanging" else redis_server.stop()
        processes.wait_until_up(False)
        assert not processes.sender.publish(EVENT)
        os.kill(pid, signal.SIGCONT) if state == "hanging" else redis_server.start()
        processes.wait_until_up()
        processes.check_delivery()


def test_while_backing_off_redis_is_not_contacted(redis_server: Redis) -> None:
    bus = EventBus(redis_server.url, lambda _event: None)
    redis_server.stop()
    for _ in range(12):
        bus._backoff_until = 0.0
        assert not bus.publish(EVENT)
    redis_server.start()
    assert bus._backoff == event_bus.MAX_BACKOFF_SECONDS
    assert not bus.publish(EVENT)


@pytest.mark.parametrize(
    "message",
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
def test_an_invalid_message_is_not_parsed(message: bytes) -> None:
    assert event_bus.parse(message) is None


def test_invalid_messages_do_not_stop_the_listener(redis_server: Redis) -> None:
    with listening(redis_server) as processes:
        for message in (b"", b"\xff", b"[" * 9000, b'{"told": "x"}'):
            processes.sender._redis.publish(processes.sender.channel, message)
        processes.check_delivery()


def test_a_message_can_be_parsed() -> None:
    assert event_bus.parse(EVENT.to_json("here")) == ("here", EVENT)


def test_waiting_events_are_merged() -> None:
    got: list[tuple[LiveEvent, LiveEvent]] = []
    broadcaster = EventBroadcaster(lambda for_others, for_this: got.append((for_others, for_this)))
    for user in range(1, 200):
        broadcaster.send(LiveEvent(notified=frozenset([user])), to_others=user % 2 == 0)
    assert broadcaster.flush(60)
    assert frozenset().union(*(for_this.notified for _for_others, for_this in got)) == frozenset(range(1, 200))
    assert frozenset().union(*(for_others.notified for for_others, _for_this in got)) == frozenset(range(2, 200, 2))
    assert len(got) < 200


def test_a_failed_delivery_does_not_stop_the_next_and_an_outage_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    got: list[Any] = []

    def deliver(for_others: LiveEvent, for_this: LiveEvent) -> None:
        got.append(for_this)
        if for_this.notified != {4}:
            raise RuntimeError("the database is unreachable")

    broadcaster = EventBroadcaster(deliver)
    for user in (1, 2, 3, 4, 5):
        broadcaster.send(LiveEvent(notified=frozenset([user])), to_others=False)
        assert broadcaster.flush(60)
    assert [each.notified for each in got] == [{1}, {2}, {3}, {4}, {5}]
    assert caplog.text.count("could not be delivered") == 2


def test_a_forked_process_has_a_broadcaster_thread_of_its_own() -> None:
    broadcaster = EventBroadcaster(lambda for_others, for_this: None)
    broadcaster.send(EVENT, to_others=False)
    assert broadcaster.flush(60)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        broadcaster.send(EVENT, to_others=False)
        os.write(writer, b"1" if broadcaster.flush(60) else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"1"
    os.close(reader), os.close(writer)
