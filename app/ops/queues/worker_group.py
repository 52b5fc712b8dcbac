"""The child processes of a queue: a parent keeps them running, replaces one that hangs, and stops all in seconds."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from redis.exceptions import RedisError

from app.ops.processes import prefork
from app.ops.processes.heartbeat import HEARTBEAT_SECONDS, Heartbeat
from app.ops.queues.idle_children import WAKE_SIGNAL, EndedIdle, IdleChildren
from app.ops.redis import redis_client

log = logging.getLogger("crm.queue")

#: After SIGTERM, running calls may finish within the first time; within the second they are interrupted and requeued.
WARM_SECONDS, COLD_SECONDS = 6, 3
#: A child that ended sooner is restarted only after this time: Redis or the database is probably unreachable.
RESTART_SECONDS = 1.0
#: How long a worker without Redis waits before it ends; RQ itself waits for a Redis that refuses connections.
AWAY_SECONDS = 5.0
#: The exit status of a child that has ended because it was idle.
IDLE_STATUS = 3

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
_SIGNALS = (*_STOP_SIGNALS, WAKE_SIGNAL)
#: Sent to the parent when a child has ended. It stays blocked there: the parent waits for it.
_CHILD_SIGNAL = signal.SIGCHLD
ChildFunction = Callable[[], None]


class WorkerGroup:
    """The child processes of this process, each running one function.

    A child that dies is restarted; one that has ended because it was idle, when it is wanted. One that has a heartbeat
    and shows none is killed, and restarted; one that rests, when its rest is over.
    """

    def __init__(
        self,
        functions: list[ChildFunction],
        before_exit: Callable[[], None] = lambda: None,
        idle: IdleChildren | None = None,
        heartbeats: Mapping[ChildFunction, Heartbeat] | None = None,
    ) -> None:
        """Each child calls `before_exit` last. This process must have no threads and no open connections."""
        self.functions, self.before_exit, self._idle = functions, before_exit, idle or IdleChildren([])
        self._heartbeats = heartbeats or {}
        self._looked_at = time.monotonic()
        #: The functions with a heartbeat whose children rest.
        self._resting: list[ChildFunction] = []
        #: pid -> (its function, when it started)
        self._children: dict[int, tuple[ChildFunction, float]] = {}
        self._stopping = self._lacks_room = False

    def run(self) -> None:
        """Start all children, and keep them running until SIGTERM or Ctrl+C."""
        for number in _STOP_SIGNALS[:2]:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, self._force_stop)
        signal.signal(WAKE_SIGNAL, self._start_wanted)
        self._idle.parent = os.getpid()
        prefork.settle_memory()
        for function in self.functions:
            self._keep_starting(function)
        signal.pthread_sigmask(signal.SIG_BLOCK, (_CHILD_SIGNAL,))
        while self._children or (self._resting and not self._stopping):
            self._wait()

    def _wait(self) -> None:
        """Wait until a child ends, but no longer than until the next look at the heartbeats."""
        pid, status = os.waitpid(-1, os.WNOHANG) if self._children else (0, 0)
        if pid:
            self._on_exit(pid, status)
        else:
            signal.sigtimedwait((_CHILD_SIGNAL,), HEARTBEAT_SECONDS)
        if time.monotonic() - self._looked_at >= HEARTBEAT_SECONDS:
            self._looked_at = time.monotonic()
            self._kill_what_hangs()
            self._start_rested()

    def _start_rested(self) -> None:
        """Start the children whose rest is over; those for which there is no room are tried again at the next look."""
        for function in [each for each in self._resting if not self._heartbeats[each].rests]:
            if self._start(function):
                self._resting.remove(function)

    def _kill_what_hangs(self) -> None:
        """Kill each child whose heartbeat has stopped; at its end it is restarted."""
        for pid, (function, _started) in list(self._children.items()):  # a signal may start another one meanwhile
            heartbeat = self._heartbeats.get(function)
            if heartbeat is not None and heartbeat.has_stopped() and not self._stopping:
                log.error("worker %s shows no sign of life and is killed", pid)
                os.kill(pid, signal.SIGKILL)

    def _start(self, function: ChildFunction) -> bool:
        """Start a child, unless all are to stop. False if the machine has no room for another process."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # a new child must not run the parent's handlers
        try:
            if self._stopping:  # the signal to stop didn't reach a child that begins after it
                return True
            parent, pid = os.getpid(), os.fork()
            if pid == 0:
                _run_child(function, parent, self.before_exit)
            self._children[pid] = (function, time.monotonic())
            if function in self._heartbeats:
                self._heartbeats[function].begin()
        except OSError as error:
            self._note_lack_of_room(error)
            return False
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        self._lacks_room = False
        return True

    def _note_lack_of_room(self, error: OSError) -> None:
        """Log once that no process can be started; it is tried again each second."""
        if not self._lacks_room:
            log.error("no process can be started for a worker (%s); it is tried again", error.strerror)
        self._lacks_room = True

    def _keep_starting(self, function: ChildFunction) -> None:
        """Start a child that always runs, as soon as there is room for it. The others work on meanwhile."""
        while not self._start(function):
            time.sleep(RESTART_SECONDS)

    def _start_wanted(self, *_signal: Any) -> None:
        """Start the idle children that somebody wants; those for which there is no room are asked for again."""
        if self._stopping:
            return
        for function in self._idle.take_wanted():
            is_there = function in [each for each, _started in self._children.values()]  # it was asked for twice
            if not is_there and not self._start(function):
                self._idle.note_end(function)

    def _on_exit(self, pid: int, status: int) -> None:
        function, started = self._children.pop(pid, (None, 0.0))
        if self._stopping or function is None:
            return
        code = os.waitstatus_to_exitcode(status)
        if code == IDLE_STATUS and function in self._heartbeats:
            self._resting.append(function)
            return
        if code == IDLE_STATUS:
            self._idle.note_end(function)
            return
        if code:
            log.warning("worker %s ended with %s; another takes its place", pid, code)
        if time.monotonic() - started < RESTART_SECONDS:
            time.sleep(RESTART_SECONDS)
        self._keep_starting(function)

    def _stop(self, *_signal: Any) -> None:
        """Let running calls finish."""
        if not self._stopping:
            self._stopping = True
            self._signal_children(signal.SIGTERM)
            signal.alarm(WARM_SECONDS)

    def _force_stop(self, *_signal: Any) -> None:
        """After the time limit: first interrupt them, so that RQ queues the calls again; then kill."""
        self._signal_children(signal.SIGTERM)
        signal.signal(signal.SIGALRM, lambda *_signal: self._signal_children(signal.SIGKILL))
        signal.alarm(COLD_SECONDS)

    def _signal_children(self, number: signal.Signals) -> None:
        for pid in list(self._children):
            os.kill(pid, number)  # safe: the kernel keeps the pid of a dead child until we wait for it


def _run_child(function: ChildFunction, parent: int, before_exit: Callable[[], None]) -> None:
    """Everything that a child process does; does not return."""
    status = 1
    try:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*_SIGNALS, _CHILD_SIGNAL))
        random.seed()
        prefork.end_with_parent(parent)
        function()
        status = 0
    except EndedIdle:
        status = IDLE_STATUS
    except (RedisError, OSError) as error:
        is_full = redis_client.stores_nothing(error)
        log.warning(
            "Redis %s a worker (%s)", "stores nothing for" if is_full else "does not answer", type(error).__name__
        )
        time.sleep(AWAY_SECONDS)  # the next one would end as fast, and each writes to the log
    except Exception:
        log.exception("a worker broke down")
    finally:
        try:
            before_exit()
        finally:
            logging.shutdown()
            os._exit(status)
