"""The queue without Redis: a few threads of this process. Queued calls are lost when the process ends."""

from __future__ import annotations

import atexit
import heapq
import itertools
import logging
import os
import threading
import time
from dataclasses import dataclass, field

from app.ops.queues import queue
from app.ops.queues.queue import Call, QueueDepth

log = logging.getLogger("crm.queue")

#: The most calls in one queue; further ones are refused, and queued from the database later.
MAX_WAITING = 10_000


@dataclass(order=True)
class _Waiting:
    #: When to run it, by time.monotonic().
    due: float
    serial: int
    call: Call = field(compare=False)
    #: The number of the next attempt.
    number: int = field(compare=False, default=1)


class ThreadQueue:
    """Threads for each queue; they start with the first call, never before a fork."""

    kind = "process"

    def __init__(self, threads: dict[str, int]) -> None:
        """`threads`: queue -> number. Without any, calls wait for `run_waiting` (tests)."""
        self.threads = threads
        self._serial = itertools.count()
        self._reset()

    def _reset(self) -> None:
        self._pid = 0
        self._waiting: dict[str, list[_Waiting]] = {name: [] for name in queue.TIMEOUT_SECONDS}
        self._condition = threading.Condition()
        self._stopping = False
        self._running: list[threading.Thread] = []

    # --- Backend

    def enqueue(self, call: Call, after: float = 0.0, is_urgent: bool = False) -> bool:
        """Queue the call, unless too many wait or the process is stopping."""
        due = 0.0 if is_urgent and not after else time.monotonic() + after  # 0 = long ago: before all others
        return self._push(_Waiting(due, next(self._serial), call))

    def depths(self) -> list[QueueDepth]:
        """The state of this process's queues."""
        now = time.monotonic()
        with self._condition:
            due = {name: sum(each.due <= now for each in calls) for name, calls in self._waiting.items()}
            return [
                QueueDepth(name, due[name], len(calls) - due[name], self.threads.get(name, 0))
                for name, calls in self._waiting.items()
            ]

    def workers(self) -> dict[str, list[str]]:
        """No other process runs its calls."""
        return {}

    def try_again(self) -> None:
        """Do nothing: this backend is always reachable."""

    def stop(self, seconds: float) -> None:
        """Start no further calls, and wait at most `seconds` for running ones."""
        end = time.monotonic() + seconds
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        for thread in self._running:
            thread.join(max(0.0, end - time.monotonic()))

    # --- internals

    def _push(self, waiting: _Waiting) -> bool:
        if self._pid not in (0, os.getpid()):
            self._reset()  # after a fork: the threads stayed with the parent
        with self._condition:
            calls = self._waiting[waiting.call.queue]
            if self._stopping or len(calls) >= MAX_WAITING:
                log.warning("the queue %s takes no more calls", waiting.call.queue)
                return False
            heapq.heappush(calls, waiting)
            self._start()
            self._condition.notify_all()
        return True

    def _start(self) -> None:
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        for name, count in self.threads.items():
            for number in range(count):
                thread = threading.Thread(target=self._run_calls, args=[name], name=f"crm-{name}-{number}", daemon=True)
                thread.start()
                self._running.append(thread)
        atexit.register(self.stop, 4.0)

    def _run_calls(self, name: str) -> None:
        while (waiting := self._next(name)) is not None:
            self._run(waiting)

    def _next(self, name: str) -> _Waiting | None:
        """Wait for the next call that is due; None when stopping."""
        calls = self._waiting[name]
        with self._condition:
            while not self._stopping:
                remaining = calls[0].due - time.monotonic() if calls else None
                if remaining is not None and remaining <= 0:
                    return heapq.heappop(calls)
                self._condition.wait(remaining)
        return None

    def _run(self, waiting: _Waiting) -> None:
        try:
            queue.run_call(waiting.call)
        except Exception as error:  # noqa: BLE001  # record_failure logs it
            self._retry(waiting, error)

    def _retry(self, waiting: _Waiting, error: Exception) -> None:
        waits, number = queue.settings().waits, waiting.number
        try:
            queue.record_failure(waiting.call, number, error, error.__traceback__)
        except Exception:
            log.exception("could not store the failure of %s%r", waiting.call.function, waiting.call.arguments)
        if number <= len(waits):
            due = time.monotonic() + queue.add_jitter(waits[number - 1])
            self._push(_Waiting(due, next(self._serial), waiting.call, number + 1))

    def run_waiting(self) -> int:
        """Run all waiting calls one after the other, whatever their due time. Returns how many (for tests)."""
        calls = [each for waiting in self._waiting.values() for each in sorted(waiting)]
        for waiting in self._waiting.values():
            waiting.clear()
        for each in calls:
            self._run(each)
        return len(calls)
