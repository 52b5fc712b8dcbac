"""The queue without Redis: a few threads of this process; what waits is gone when the process ends."""

from __future__ import annotations

import atexit
import heapq
import itertools
import logging
import os
import threading
import time
from dataclasses import dataclass, field

from app.ops import queue
from app.ops.queue import Call, Depth

log = logging.getLogger("crm.queue")

#: So many calls may wait in one queue; a call beyond is refused, and comes again from the database.
MOST = 10_000


@dataclass(order=True)
class _Waiting:
    due: float
    serial: int
    call: Call = field(compare=False)
    #: The number of the try that comes next.
    number: int = field(compare=False, default=1)


class ThreadQueue:
    """Threads by queue; they begin with the first call, never before a fork."""

    kind = "process"

    def __init__(self, threads: dict[str, int]) -> None:
        """`threads`: queue -> how many; with none, calls wait until somebody asks for them (tests)."""
        self.threads = threads
        self._serial = itertools.count()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pid = 0
        self._waiting: dict[str, list[_Waiting]] = {name: [] for name in queue.SECONDS}
        self._news = threading.Condition()
        self._stopping = False
        self._running: list[threading.Thread] = []

    # --- Backend

    def put(self, call: Call, after: float = 0.0) -> bool:
        """Take the call, unless too many wait or the process ends."""
        return self._push(_Waiting(time.monotonic() + after, next(self._serial), call))

    def depths(self) -> list[Depth]:
        """How the queues of this process stand."""
        now = time.monotonic()
        with self._news:
            due = {name: sum(each.due <= now for each in held) for name, held in self._waiting.items()}
            return [
                Depth(name, due[name], len(held) - due[name], self.threads.get(name, 0))
                for name, held in self._waiting.items()
            ]

    def stop(self, seconds: float) -> None:
        """No further calls; those at work may end, so many seconds long."""
        end = time.monotonic() + seconds
        with self._news:
            self._stopping = True
            self._news.notify_all()
        for thread in self._running:
            thread.join(max(0.0, end - time.monotonic()))

    # --- within

    def _push(self, waiting: _Waiting) -> bool:
        if self._pid not in (0, os.getpid()):
            self._begin_anew()  # a fork: the threads stayed with the parent
        with self._news:
            held = self._waiting[waiting.call.queue]
            if self._stopping or len(held) >= MOST:
                log.warning("the queue %s takes no more calls", waiting.call.queue)
                return False
            heapq.heappush(held, waiting)
            self._start()
            self._news.notify_all()
        return True

    def _start(self) -> None:
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        for name, count in self.threads.items():
            for number in range(count):
                thread = threading.Thread(target=self._work, args=[name], name=f"crm-{name}-{number}", daemon=True)
                thread.start()
                self._running.append(thread)
        atexit.register(self.stop, 4.0)

    def _work(self, name: str) -> None:
        while (waiting := self._next(name)) is not None:
            self._make(waiting)

    def _next(self, name: str) -> _Waiting | None:
        """The next call whose time has come; None = end."""
        held = self._waiting[name]
        with self._news:
            while not self._stopping:
                left = held[0].due - time.monotonic() if held else None
                if left is not None and left <= 0:
                    return heapq.heappop(held)
                self._news.wait(left)
        return None

    def _make(self, waiting: _Waiting) -> None:
        try:
            queue.make(waiting.call)
        except Exception as error:  # noqa: BLE001  # it is logged there
            self._failed(waiting, error)

    def _failed(self, waiting: _Waiting, error: Exception) -> None:
        waits, number = queue.place().waits, waiting.number
        try:
            queue.heard(waiting.call, number, error, error.__traceback__)
        except Exception:
            log.exception("no row for the failure of %s%r", waiting.call.function, waiting.call.arguments)
        if number <= len(waits):
            due = time.monotonic() + queue.jittered(waits[number - 1])
            self._push(_Waiting(due, next(self._serial), waiting.call, number + 1))

    def run_waiting(self) -> int:
        """Make all calls that wait, whatever their time, one after the other; how many (tests)."""
        calls = [each for held in self._waiting.values() for each in sorted(held)]
        for held in self._waiting.values():
            held.clear()
        for each in calls:
            self._make(each)
        return len(calls)
