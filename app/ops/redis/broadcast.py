"""The broadcaster: one thread per process that delivers live events, so that senders never wait."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.ops.redis.event_bus import LiveEvent

log = logging.getLogger("crm.live")

#: Further waiting events are dropped: the regular comparison with the database makes up for them.
MAX_WAITING = 2000
#: How long a stopping process waits for its last events to be delivered.
FLUSH_SECONDS = 1.0


@dataclass(frozen=True)
class _QueuedEvent:
    event: LiveEvent
    #: Whether it goes to the other processes too.
    to_others: bool
    #: Set when the event was delivered (flush).
    delivered: threading.Event | None = None


class EventBroadcaster:
    """A queue of events and the thread that empties it. The thread starts with the first event, separately in each
    fork.

    Waiting events are merged into one.
    """

    def __init__(self, deliver: Callable[[LiveEvent, LiveEvent], None]) -> None:
        """`deliver` gets the event for the other processes and the event for this one; either may be empty."""
        self._deliver = deliver
        self._lock = threading.Lock()
        self._pid = 0
        self._has_failed = False
        self._queue: queue.Queue[_QueuedEvent] = queue.Queue(MAX_WAITING)

    def send(self, event: LiveEvent, to_others: bool) -> None:
        """Deliver the event soon, with `to_others` also to the other processes. Never waits, never raises."""
        self._put(_QueuedEvent(event, to_others))

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until all events sent so far are delivered. Returns False after `seconds`."""
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
        """Deliver. Only the first of consecutive failures is logged; meanwhile pages are compared every second."""
        try:
            self._deliver(for_others, for_this)
            self._has_failed = False
        except Exception:
            if not self._has_failed:
                log.exception("live events could not be delivered")  # the database is unreachable
            self._has_failed = True
