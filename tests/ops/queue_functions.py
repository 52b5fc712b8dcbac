"""Functions that write files, for workers in their own processes: `flask --app tests.ops.queue_functions worker`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

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


def lines(file: Path) -> list[str]:
    """The lines written so far."""
    return file.read_text().split() if file.exists() else []


queue.register(write_line, fail, fail_once, take_long)
