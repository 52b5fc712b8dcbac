"""The timeout of a connection stays set from call to call, and never lets an exchange take much longer than it may."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from app.lib import deadline

#: Our end, the other end, and the timeouts that were set on ours.
Line = tuple[deadline.DeadlineSocket, socket.socket, list[float | None]]


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A connection, and a record of its timeouts."""
    one, other = socket.socketpair()
    ours = deadline.DeadlineSocket(fileno=one.detach())
    applied: list[float | None] = []
    apply = deadline.DeadlineSocket._apply

    def recorded(each: deadline.DeadlineSocket, seconds: float | None) -> None:
        applied.append(seconds)
        apply(each, seconds)

    monkeypatch.setattr(deadline.DeadlineSocket, "_apply", recorded)
    yield ours, other, applied
    ours.close()
    other.close()


def _exchange(line: Line) -> None:
    ours, other, _applied = line
    ours.sendall(b"ask")
    assert other.recv(3) == b"ask"
    other.sendall(b"answer")
    assert ours.recv(6) == b"answer"


def test_exchanges_with_the_same_limit_set_their_timeout_once(line: Line) -> None:
    line[0].limit = lambda: 600.0
    for _ in range(20):
        _exchange(line)
    assert len(line[2]) <= 2 and line[0].gettimeout() is None


def test_another_limit_or_none_is_set(line: Line) -> None:
    for seconds in (600.0, 300.0, None, 600.0):
        line[0].limit = lambda seconds=seconds: seconds
        _exchange(line)
    assert [each and round(each) for each in line[2]] == [600, 300, None, 600]


def test_the_own_timeout_counts_where_it_is_shorter(line: Line) -> None:
    ours, other, applied = line
    ours.limit = lambda: 600.0
    ours.settimeout(0.05)
    ours.sendall(b"ask")
    with pytest.raises(TimeoutError):
        ours.recv(1)
    ours.settimeout(None)
    other.sendall(b"a")
    assert ours.recv(1) == b"a" and applied[0] == 0.05 and round(applied[-1] or 0) == 600


def test_an_exchange_ends_in_time_however_slowly_its_parts_come(line: Line) -> None:
    ours, other, _applied = line
    ours.limit = lambda: 0.3
    is_over = threading.Event()

    def drip() -> None:
        while not is_over.wait(0.02):
            other.send(b"x")

    thread = threading.Thread(target=drip)
    ours.sendall(b"ask")
    begin, read = time.monotonic(), 0
    thread.start()
    try:
        with pytest.raises(TimeoutError):
            while time.monotonic() - begin < 60:
                read += len(ours.recv(1))
    finally:
        is_over.set()
        thread.join()
    assert read
