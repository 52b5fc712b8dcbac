"""Standard output and error as files: opened anew after logrotate has renamed them and put empty ones in their place.

Where systemd appends to a file, nobody else can do that: the processes only have the descriptors. Pipes, as those of
supervisor and of containers, are read by a program that writes the file itself.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import suppress
from typing import TextIO

#: How often a process looks whether its file is still there, at most; it does so when it logs.
LOOK_SECONDS = 1.0
_OUT, _ERR = 1, 2


class RenamedFile:
    """The file behind a descriptor, found again by the name that it had at the beginning."""

    def __init__(self, descriptor: int = _ERR, others: tuple[int, ...] = (_OUT,)) -> None:
        self._descriptor, self._others = descriptor, others
        self._path = _path_of(descriptor)
        self._next_look = 0.0

    def follow(self) -> None:
        """Let the descriptors write to the file that has the name now.

        While it can't be opened, they go on with the former one, whose lines logrotate keeps.
        """
        if self._path is None or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        with suppress(OSError):
            former = os.fstat(self._descriptor)
            if not os.path.samestat(os.stat(self._path), former):
                self._open_anew(self._path, former)

    def _open_anew(self, path: str, former: os.stat_result) -> None:
        opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            for each in (self._descriptor, *self._others):
                if os.path.samestat(os.fstat(each), former):
                    os.dup2(opened, each)
        finally:
            os.close(opened)


def _path_of(descriptor: int) -> str | None:
    """The path of the file behind a descriptor; None for a pipe or terminal, and for a file without a name."""
    with suppress(OSError):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.isfile(path) and os.path.samestat(os.stat(path), os.fstat(descriptor)):
            return path
    return None


class StderrHandler(logging.StreamHandler[TextIO]):
    """Logs to stderr, also after its file was renamed."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._file = RenamedFile()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self._file.follow()
        super().emit(record)
