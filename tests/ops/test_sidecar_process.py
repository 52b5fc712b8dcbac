"""The queue's workers beside the HTTP workers: one shared application, restarted if killed, ended with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import LiveServer, OperatorsServer, Redis, eventually

#: Megabytes of memory without files, of all processes of the server together, some seconds after the start: 215
#: to 240, by which jobs have run. Memory of files depends on what else runs.
MAX_MB = 265
#: The time without growth after which memory is at rest, in seconds; and the growth that doesn't count.
REST_SECONDS, SLACK_MB = 5, 2
#: CRM_WORKERS, and one process beside them.
CHILDREN = 3
#: Two, two and one worker, the scheduler of delayed calls, and the one of jobs.
QUEUE_PROCESSES = 7


@pytest.fixture
def server(tmp_path: Path, redis_server: Redis) -> Iterator[LiveServer]:
    settings = {"CRM_REDIS_URL": redis_server.url, "CRM_WORKERS": "2", "CRM_RUN_WORKERS": "on", "CRM_SCHEDULER": "on"}
    with OperatorsServer(tmp_path, **settings) as made:
        yield made


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def supervisor(server: LiveServer) -> int | None:
    """The process beside the workers: the one that has all its children."""
    found = [pid for pid in children(server.pid) if len(children(pid)) == QUEUE_PROCESSES]
    return found[0] if found else None


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def anonymous_mb(pid: int) -> float:
    """The process's share of memory that isn't that of files."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss_Anon:")).split()[1]) / 1024


def memory_at_rest(pids: list[int]) -> float:
    """The memory of all these processes once it has stopped growing, in megabytes."""
    seen: list[tuple[float, float]] = []

    def rests() -> bool:
        seen.append((time.monotonic(), sum(map(anonymous_mb, pids))))
        now, size = seen[-1]
        earlier = [mb for at, mb in seen if at <= now - REST_SECONDS]
        return bool(earlier) and size - earlier[-1] < SLACK_MB

    eventually(rests, "their memory grows without end")
    return seen[-1][1]


def test_the_queue_lives_and_dies_with_the_server(server: LiveServer) -> None:
    eventually(lambda: supervisor(server) is not None, "the queue's workers do not start")
    first = supervisor(server) or 0
    workers = children(first)
    everybody = [server.pid, *children(server.pid), *workers]
    assert len(everybody) == 1 + CHILDREN + QUEUE_PROCESSES
    assert memory_at_rest(everybody) <= MAX_MB

    os.kill(first, signal.SIGKILL)
    eventually(lambda: supervisor(server) not in (None, first), "the queue's workers are not started again")
    eventually(lambda: not any(map(is_running, workers)), "workers outlive the process that kept them")
    assert len(children(server.pid)) == CHILDREN

    second = supervisor(server) or 0
    everybody = [*children(server.pid), *children(second)]
    server.kill()
    eventually(lambda: not any(map(is_running, everybody)), "something outlives the killed server")
    server.start()  # on the same port: nobody still listens there

    eventually(lambda: supervisor(server) is not None, "the queue's workers do not start")
    everybody = [*children(server.pid), *children(supervisor(server) or 0)]
    server.stop()
    assert not any(map(is_running, everybody))
