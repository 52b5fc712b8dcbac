"""Functions that write files, for workers in their own processes: `flask --app tests.ops.queue_functions worker`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from rq import get_current_job
from rq.executions import Execution

from app.ops.queues import queue, workers


def create_app() -> Any:
    """The product; its workers may call the functions of this module."""
    from run import create_app as make

    workers.IDLE_SECONDS = int(os.environ.get("TEST_IDLE_SECONDS", workers.IDLE_SECONDS))
    return make()


def write_line(file: str, text: str | int) -> None:
    """Write a line."""
    with Path(file).open("a") as trace:
        trace.write(f"{text}\n")


def fail(file: str) -> None:
    """Write a line and raise."""
    write_line(file, "tried")
    raise ValueError("the wire is cut\nin two")


def fail_once(file: str) -> None:
    """Raise the first time."""
    write_line(file, "tried")
    if len(lines(Path(file))) == 1:
        raise ValueError("not yet")


def take_long(file: str, seconds: int) -> None:
    """Write a line at the start and one at the end."""
    write_line(file, "began")
    time.sleep(seconds)
    write_line(file, "ended")


def await_sign(file: str) -> None:
    """Write for how many seconds the call is held, and whether it is held for longer after a sign of life."""
    job = get_current_job()
    assert job is not None
    registry = job.started_job_registry
    held_until = first = _held_until(registry)
    ends = time.monotonic() + 20
    while held_until == first and time.monotonic() < ends:
        time.sleep(0.01)
        held_until = _held_until(registry)
    write_line(file, round(first - time.time()))
    write_line(file, "longer" if held_until > first else "no longer")


def outlast_hold(file: str) -> None:
    """Go on after Redis has forgotten this attempt, as after minutes without a sign of life, until there is a sign."""
    write_line(file, "began")
    job = get_current_job()
    assert job is not None
    registry = job.started_job_registry
    [(attempt, _moment)] = registry.connection.zrange(registry.key, 0, -1, withscores=True)
    key = Execution.from_composite_key(attempt.decode(), registry.connection).key
    registry.connection.delete(key)
    ends = time.monotonic() + 20
    while not registry.connection.exists(key) and time.monotonic() < ends:
        time.sleep(0.01)


def _held_until(registry: Any) -> float:
    [(_execution, moment)] = registry.connection.zrange(registry.key, 0, -1, withscores=True)
    return float(moment)


def lines(file: Path) -> list[str]:
    """The lines written so far."""
    return file.read_text().split() if file.exists() else []


queue.register(write_line, fail, fail_once, take_long, await_sign, outlast_hold)
