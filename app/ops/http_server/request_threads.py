"""The threads that answer requests. Passing one on takes a call of a queue, where an executor makes a future for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

log = logging.getLogger("crm.http")


class RequestThreads:
    """Threads that `answer` connections, then do the rest `after` that, when they count as free again.

    Each begins when all others are busy.
    """

    def __init__(
        self, number: int, name: str, answer: Callable[[Any], bool], after: Callable[[Any, bool], None]
    ) -> None:
        self._number, self._name = number, name
        self._answer, self._after = answer, after
        self._given: SimpleQueue[Any] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        #: How many were given, and how many each thread has answered: each number has one writer.
        self._taken = 0
        self._answered: list[int] = []

    def give(self, connection: Any) -> None:
        """Let the next free thread answer it. Call this from one thread only."""
        self._taken += 1
        self._given.put(connection)
        if len(self._threads) < self._number and self._taken - sum(self._answered) > len(self._threads):
            self._begin_thread()

    def shutdown(self, wait: bool = True) -> None:
        """End each thread after what it is doing; `wait` for that."""
        for _ in self._threads:
            self._given.put(None)
        if wait:
            for each in self._threads:
                each.join()

    def _begin_thread(self) -> None:
        place = len(self._threads)
        self._answered.append(0)
        self._threads.append(
            threading.Thread(target=self._run, args=(place,), name=f"{self._name}_{place}", daemon=True)
        )
        self._threads[-1].start()

    def _run(self, place: int) -> None:
        while (connection := self._given.get()) is not None:
            keeps = self._answer(connection)
            self._answered[place] += 1
            try:
                self._after(connection, keeps)
            except Exception:  # it is closed when its time is over; the thread answers others
                log.exception("a connection can't be waited for")
            del connection  # else it would be kept until the next one
