"""The server: its memory; connections are spread over the workers, also after one of them was killed."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import LiveServer, OperatorsServer, eventually
from tests.test_start_budget import MAX_RESIDENT_MB, resident_mb


def workers_of(server: LiveServer) -> list[int]:
    """The pids of the server's worker processes."""
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
def open_connections(server: LiveServer, count: int) -> Iterator[None]:
    """Open this many connections at once, get one response on each, and keep them open."""
    connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(count)]
    try:
        for each in connections:
            each.connect()
        for each in connections:
            each.request("GET", "/healthz")
            assert each.getresponse().read() == b"ok"
        yield
    finally:
        for each in connections:
            each.close()


def spread(server: LiveServer, count: int) -> list[int]:
    """How many of this many connections each worker accepts. Returns when all of them are closed."""
    sockets: dict[int, int] = {}
    with open_connections(server, count):
        sockets = {pid: sockets_of(pid) for pid in workers_of(server)}
    eventually(
        lambda: sum(map(sockets_of, sockets)) == sum(sockets.values()) - count, "not all connections are closed", 10
    )
    return sorted(before - sockets_of(pid) for pid, before in sockets.items())


def is_even(server: LiveServer) -> bool:
    """Whether the connections are spread evenly, eight times in a row."""
    return all(spread(server, 8)[0] >= 3 for _ in range(8))


def test_memory_stays_within_its_budget_and_connections_are_spread_also_after_a_worker_was_killed(
    tmp_path: Path,
) -> None:
    with OperatorsServer(tmp_path, CRM_WORKERS="2") as server:
        eventually(lambda: len(workers_of(server)) == 2, "one worker answers, the other doesn't start")
        everybody = [server.pid, *workers_of(server)]
        assert len(everybody) == 3 and max(map(resident_mb, everybody)) <= MAX_RESIDENT_MB
        eventually(lambda: is_even(server), "the workers do not share the connections")
        first = workers_of(server)
        os.kill(first[0], signal.SIGKILL)
        eventually(lambda: len(now := workers_of(server)) == 2 and now != first, "there is no new worker")
        eventually(lambda: is_even(server), "the new worker gets no connections")


@pytest.mark.parametrize("workers", [1, 2])
def test_new_connections_are_served_after_workers_were_stopped_one_by_one_or_all_replaced(
    tmp_path: Path, workers: int
) -> None:
    """They share one listening socket: who stops must not make it deaf for the others, and for those that come."""
    with LiveServer(tmp_path, CRM_WORKERS=str(workers)) as server:
        for _ in range(2):
            eventually(lambda: len(workers_of(server)) == workers, "not all workers run")
            for each in workers_of(server):
                os.kill(each, signal.SIGTERM)
                eventually(lambda gone=each: gone not in workers_of(server), "the worker does not end")
                with open_connections(server, 3):
                    pass
            first = workers_of(server)
            os.kill(server.pid, signal.SIGHUP)
            eventually(lambda old=first: not {*old} & {*workers_of(server)}, "the workers are not replaced")
            with open_connections(server, 3):
                pass
