"""A process beside the HTTP workers, forked from their parent so that all share one loaded application.

The parent restarts it when it ends, and stops it with the workers.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from app.ops.processes import prefork

log = logging.getLogger("crm.server")

#: Minimum time between two starts.
RESTART_SECONDS = 1.0
#: How long it may take to stop; queue workers take at most 9 seconds.
STOP_SECONDS = 10.0


class SidecarProcess:
    """One child process that runs a function."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        #: A handle of the process (pidfd), valid beyond its end, when its pid may be reused. -1 = none.
        self._handle = -1
        self._started_at = -RESTART_SECONDS

    def keep(self, open_here: Iterable[Any]) -> None:
        """Start it unless it is running; the child closes these sockets of the parent."""
        if self._is_running() or time.monotonic() - self._started_at < RESTART_SECONDS:
            return
        if self._handle >= 0:
            log.warning("the queue's workers ended; others take their place")
            os.close(self._handle)
            self._handle = -1
        self._started_at = time.monotonic()
        signal.pthread_sigmask(signal.SIG_BLOCK, Arbiter.SIGNALS)  # the parent's handlers must not run in the child
        try:
            parent, pid = os.getpid(), os.fork()
            if pid == 0:
                self._run(parent, open_here)
            self._handle = os.pidfd_open(pid)
        except OSError as error:  # gunicorn would end the server
            log.error("no process can be started for the queue's workers (%s); it is tried again", error.strerror)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, Arbiter.SIGNALS)

    def stop(self) -> None:
        """Tell it to stop, without waiting."""
        self._signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait until it has stopped; kill it if that takes too long. Its own children end with it."""
        if self._handle >= 0 and not _ended(self._handle, STOP_SECONDS):
            self._signal(signal.SIGKILL)

    def _is_running(self) -> bool:
        return self._handle >= 0 and not _ended(self._handle, 0)

    def _signal(self, number: signal.Signals) -> None:
        if self._is_running():
            signal.pidfd_send_signal(self._handle, number)

    def _run(self, parent: int, open_here: Iterable[Any]) -> None:
        """Everything that the child does; does not return."""
        status = 1
        try:
            for each in open_here:
                each.close()
            for number in (*Arbiter.SIGNALS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, Arbiter.SIGNALS)
            prefork.end_with_parent(parent)
            self._function()
            status = 0
        except Exception:
            log.exception("the queue's workers broke down")
        finally:
            logging.shutdown()
            os._exit(status)


def _ended(handle: int, seconds: float) -> bool:
    """Whether the process has ended, or does so within this time."""
    return bool(select.select([handle], [], [], seconds)[0])


class GunicornParent(Arbiter):  # type: ignore[misc]
    """gunicorn's parent process, which also keeps a sidecar process running."""

    def __init__(self, app: Any, sidecar: SidecarProcess) -> None:
        self._sidecar = sidecar
        super().__init__(app)

    def manage_workers(self) -> None:
        """Called every second, and when a child has ended."""
        super().manage_workers()
        self._sidecar.keep(self.LISTENERS)

    def stop(self, graceful: bool = True) -> None:
        """Stop everything, within STOP_SECONDS."""
        self._sidecar.stop()
        super().stop(graceful)
        self._sidecar.wait()
