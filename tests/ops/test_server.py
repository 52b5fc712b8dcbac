"""Serving: connections are shared among the workers, also after one of them was killed."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.servers import LiveServer, eventually


def workers_of(server: LiveServer) -> list[int]:
    """The processes that the server forked."""
    assert server.process is not None
    pid = server.process.pid
    return [int(key) for key in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sockets_of(pid: int) -> int:
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed at this very moment
            found += os.readlink(each).startswith("socket:")
    return found


@contextlib.contextmanager
def lines(server: LiveServer, count: int) -> Iterator[None]:
    """So many connections at once, each answered once and kept."""
    held = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(count)]
    try:
        for line in held:
            line.connect()
        for line in held:
            line.request("GET", "/healthz")
            assert line.getresponse().read() == b"ok"
        yield
    finally:
        for line in held:
            line.close()


def spread(server: LiveServer, count: int) -> list[int]:
    """How many of so many connections each worker takes; ends when all of them are closed."""
    held: dict[int, int] = {}
    with lines(server, count):
        held = {pid: sockets_of(pid) for pid in workers_of(server)}
    eventually(lambda: sum(map(sockets_of, held)) == sum(held.values()) - count, "all are closed")
    return sorted(had - sockets_of(pid) for pid, had in held.items())


def is_even(server: LiveServer) -> bool:
    """Not by chance: eight times in a row."""
    return all(spread(server, 8)[0] >= 3 for _ in range(8))


def test_connections_are_shared_also_after_a_worker_was_killed(tmp_path: Path) -> None:
    with LiveServer(tmp_path, CRM_WORKERS="2") as server:
        eventually(lambda: is_even(server), "both take their share")
        first = workers_of(server)
        os.kill(first[0], signal.SIGKILL)
        eventually(lambda: len(now := workers_of(server)) == 2 and now != first, "a new worker")
        eventually(lambda: is_even(server), "the new one takes its share")
