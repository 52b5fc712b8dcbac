"""The processes of this machine and their TCP connections, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def children(pid: int) -> list[int]:
    """The pids of its children that live."""
    try:
        born = (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()
    except OSError:
        return []
    return [int(each) for each in born if _state(int(each)) not in "ZX"]


def _state(pid: int) -> str:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def ports_of(pid: int) -> set[int]:
    """The ports of 127.0.0.1 at its own end of its connections."""
    inodes = set()
    with suppress(OSError):
        for each in (PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                inodes.add(os.readlink(each).removeprefix("socket:[").removesuffix("]"))
    return {port for port, inode in _connections() if inode in inodes}


def _connections() -> Iterator[tuple[int, str]]:
    """Own port and inode."""
    for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        yield int(fields[1].rpartition(":")[2], 16), fields[9]
