"""The post: one thread a process delivers tidings in order; who posts never waits, and what piles up becomes one."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.ops.event_bus import LiveEvent

log = logging.getLogger("crm.live")

#: More is dropped: the safety net finds it.
MOST_WAITING = 2000
#: How long a process that ends waits for its last letters.
LAST_SECONDS = 1.0


@dataclass(frozen=True)
class _QueuedEvent:
    tidings: LiveEvent
    #: Whether other processes are to be told as well.
    far: bool
    #: Set when it was delivered (flush).
    done: threading.Event | None = None


class EventBroadcaster:
    """A queue and the thread that empties it, begun when the first letter comes; a fork begins its own."""

    def __init__(self, deliver: Callable[[LiveEvent, LiveEvent], None]) -> None:
        """`deliver` gets (what to tell the others, what to tell here)."""
        self._deliver = deliver
        self._lock = threading.Lock()
        self._pid = 0
        self._letters: queue.Queue[_QueuedEvent] = queue.Queue(MOST_WAITING)

    def put(self, tidings: LiveEvent, far: bool) -> None:
        """Deliver it soon; `far`: to other processes too. Never waits, never raises."""
        self._put(_QueuedEvent(tidings, far))

    def flush(self, seconds: float = LAST_SECONDS) -> bool:
        """Wait until what was put so far is delivered (ends of processes, tests); False when that takes longer."""
        if self._pid != os.getpid():
            return True
        done = threading.Event()
        self._put(_QueuedEvent(LiveEvent(), False, done))
        return done.wait(seconds)

    def _put(self, letter: _QueuedEvent) -> None:
        if self._pid != os.getpid():
            self._begin()
        try:
            self._letters.put_nowait(letter)
        except queue.Full:
            log.warning("live news pile up; the safety net will find them")

    def _begin(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                return
            self._letters = queue.Queue(MOST_WAITING)
            threading.Thread(target=self._work_on, name="crm-live-post", daemon=True).start()
            if self._pid == 0:
                atexit.register(self.flush)
            self._pid = os.getpid()

    def _work_on(self) -> None:
        while True:
            batch = [self._letters.get()]
            while not self._letters.empty():
                batch.append(self._letters.get_nowait())
            self._work(batch)

    def _work(self, batch: list[_QueuedEvent]) -> None:
        far = here = LiveEvent()
        for letter in batch:
            here = here | letter.tidings
            far = far | letter.tidings if letter.far else far
        try:
            self._deliver(far, here)
        except Exception:
            log.exception("live news could not be delivered")  # the database is away: the safety net tries again
        for letter in batch:
            if letter.done is not None:
                letter.done.set()
