"""Calls that leave a trace in a file, for workers in processes of their own: `flask --app tests.ops.calls worker`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from app.ops import queue

queue.ALLOWED_PACKAGES.add("tests")


def create_app() -> Any:
    """The product, whose workers may call what stands here."""
    from run import create_app as make

    return make()


def write_down(file: str, word: str | int) -> None:
    """Leaves a line."""
    with Path(file).open("a") as trace:
        trace.write(f"{word}\n")


def fail(file: str) -> None:
    """Leaves a line and breaks."""
    write_down(file, "tried")
    raise ValueError("the wire is cut\nin two")


def fail_once(file: str) -> None:
    """Breaks the first time."""
    write_down(file, "tried")
    if len(lines(Path(file))) == 1:
        raise ValueError("not yet")


def take_long(file: str, seconds: int) -> None:
    """Leaves a line at the beginning and one at the end."""
    write_down(file, "began")
    time.sleep(seconds)
    write_down(file, "ended")


def lines(file: Path) -> list[str]:
    """What was left so far."""
    return file.read_text().split() if file.exists() else []
