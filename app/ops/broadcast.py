"""The broadcaster: one thread per process that delivers live events, so that who sends one never waits."""

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

#: More waiting events are dropped: the regular comparison with the database makes up for them.
MAX_WAITING = 2000
#: How long a process that ends waits for its last events to be delivered.
FLUSH_SECONDS = 1.0


@dataclass(frozen=True)
class _QueuedEvent:
    event: LiveEvent
    #: Whether it goes to the other processes too.
    to_others: bool
    #: Set when it was delivered (flush).
    delivered: threading.Event | None = None


class EventBroadcaster:
    """A queue of events and the thread that empties it. The thread starts with the first event, in each fork anew.

    Events that wait together are merged into one.
    """

    def __init__(self, deliver: Callable[[LiveEvent, LiveEvent], None]) -> None:
        """`deliver` gets the event for the other processes and the event for this one; either may be empty."""
        self._deliver = deliver
        self._lock = threading.Lock()
        self._pid = 0
        self._has_failed = False
        self._queue: queue.Queue[_QueuedEvent] = queue.Queue(MAX_WAITING)

    def send(self, event: LiveEvent, to_others: bool) -> None:
        """Deliver the event soon, with `to_others` to the other processes too. Never waits, never raises."""
        self._put(_QueuedEvent(event, to_others))

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until all events sent so far are delivered. False when that takes longer than this."""
        if self._pid != os.getpid():
            return True
        delivered = threading.Event()
        self._put(_QueuedEvent(LiveEvent(), False, delivered))
        return delivered.wait(seconds)

    def _put(self, queued: _QueuedEvent) -> None:
        if self._pid != os.getpid():
            self._start()
        try:
            self._queue.put_nowait(queued)
        except queue.Full:
            log.warning("too many live events wait; some are dropped")

    def _start(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                return
            self._queue = queue.Queue(MAX_WAITING)
            threading.Thread(target=self._run, name="crm-broadcast", daemon=True).start()
            if self._pid == 0:
                atexit.register(self.flush)
            self._pid = os.getpid()

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            self._deliver_batch(batch)

    def _deliver_batch(self, batch: list[_QueuedEvent]) -> None:
        for_others = for_this = LiveEvent()
        for queued in batch:
            for_this = for_this | queued.event
            for_others = for_others | queued.event if queued.to_others else for_others
        if for_this:
            self._try(for_others, for_this)
        for queued in batch:
            if queued.delivered is not None:
                queued.delivered.set()

    def _try(self, for_others: LiveEvent, for_this: LiveEvent) -> None:
        """Deliver. Of failures one after the other, the first is logged; pages are compared each second meanwhile."""
        try:
            self._deliver(for_others, for_this)
            self._has_failed = False
        except Exception:
            if not self._has_failed:
                log.exception("live events could not be delivered")  # the database is away
            self._has_failed = True
