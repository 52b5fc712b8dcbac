"""A limit to how many threads do something at once; those that wait are served in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque


class FairSemaphore:
    """A context manager that lets `count` threads in at once.

    A thread that leaves and comes again at once waits behind all others, which a semaphore doesn't promise.
    """

    def __init__(self, count: int) -> None:
        self._free, self._lock = count, threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            turn.wait()
        except BaseException:  # Ctrl+C of a command
            self._give_up(turn)
            raise

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._pass_on()

    def _give_up(self, turn: threading.Event) -> None:
        with self._lock:
            if turn.is_set():
                self._pass_on()
            else:
                self._waiting.remove(turn)

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._free += 1
