"""The workers: one process keeps as many children as the queues need, and ends with all of them within seconds."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer

from app.ops import queue
from app.ops.redis_queue import PREFIX, heard, queue_named

log = logging.getLogger("crm.queue")

#: After SIGTERM: calls at work may end until the first moment, are broken off and queued again until the second.
WARM_SECONDS, COLD_SECONDS = 6, 3
#: A child that lived shorter is started again only after this time: Redis or the database is away.
PAUSE_SECONDS = 1.0
#: How often a worker looks for calls whose worker died, and after how many calls it makes room for a fresh one.
LOOK_SECONDS, MOST_CALLS = 30, 5000
#: A worker that has not been heard of for so long (and a minute) is taken for dead.
SILENT_SECONDS = 60

_ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
Main = Callable[[], None]


class Worker(SimpleWorker):
    """Makes calls in its own process, one after the other.

    RQ's other worker forks for each call. A fork of this application costs more than a notice takes to send (bench:
    decision 0018), and what it protects from is covered: a call that takes too long is broken off by an alarm, and a
    worker that dies is started again.
    """

    #: RQ waits up to a minute for a Redis that is away.
    max_connection_wait_time = 5.0


def work(name: str, url: str) -> None:
    """Make calls of one queue until told to end, or until enough were made."""
    redis = Redis.from_url(url)
    worker = Worker(
        [queue_named(name, redis)],
        connection=redis,
        serializer=JSONSerializer,
        exception_handlers=[heard],
        log_job_description=False,
        maintenance_interval=LOOK_SECONDS,
        worker_ttl=SILENT_SECONDS,
    )
    worker.work(logging_level="CRITICAL", max_jobs=MOST_CALLS)  # what fails is logged by `heard`, without values


def wake(names: Iterable[str], url: str) -> None:
    """Move the calls whose time has come into their queues, once a second; one process on all machines has the lock."""
    queues = [PREFIX + name for name in names]
    scheduler: Any = RQScheduler(queues, Redis.from_url(url), logging_level="CRITICAL", serializer=JSONSerializer)
    scheduler.work()


def mains(counts: Mapping[str, int], url: str) -> list[Main]:
    """What the children do: workers by queue, and one that wakes what waits for its time."""
    workers = [lambda name=name: work(name, url) for name, count in counts.items() for _ in range(count)]
    return [*workers, lambda: wake(list(queue.SECONDS), url)]


class WorkerGroup:
    """The children of this process, each with its main; who dies is started again."""

    def __init__(
        self, mains: list[Main], forked: Callable[[], None], ending: Callable[[], None] = lambda: None
    ) -> None:
        """`forked` is called first in each child: it lets go of what stays the parent's; `ending` last."""
        self.mains, self.forked, self.ending = mains, forked, ending
        #: pid -> (its main, when it began)
        self._living: dict[int, tuple[Main, float]] = {}
        self._ending = False

    def keep(self) -> None:
        """Start all, and keep them until SIGTERM or Ctrl+C."""
        for number in _ENDINGS[:2]:
            signal.signal(number, self._end)
        signal.signal(signal.SIGALRM, self._hurry)
        for main in self.mains:
            self._start(main)
        while self._living:
            pid, status = os.waitpid(-1, 0)
            self._died(pid, status)

    def _start(self, main: Main) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)  # a child must not answer for the family
        pid = os.fork()
        if pid == 0:
            _live(main, self.forked, self.ending)
        self._living[pid] = (main, time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)

    def _died(self, pid: int, status: int) -> None:
        main, began = self._living.pop(pid, (None, 0.0))
        if self._ending or main is None:
            return
        code = os.waitstatus_to_exitcode(status)
        if code:
            log.warning("worker %s ended with %s; another takes its place", pid, code)
        if time.monotonic() - began < PAUSE_SECONDS:
            time.sleep(PAUSE_SECONDS)
        if not self._ending:
            self._start(main)

    def _end(self, *_signal: Any) -> None:
        """Calls at work may end."""
        if not self._ending:
            self._ending = True
            self._tell(signal.SIGTERM)
            signal.alarm(WARM_SECONDS)

    def _hurry(self, *_signal: Any) -> None:
        """They took too long: first break them off, so that RQ queues them again; then kill."""
        self._tell(signal.SIGTERM)
        signal.signal(signal.SIGALRM, lambda *_signal: self._tell(signal.SIGKILL))
        signal.alarm(COLD_SECONDS)

    def _tell(self, number: signal.Signals) -> None:
        for pid in list(self._living):
            os.kill(pid, number)  # a child that has died is kept for us by the kernel until we wait for it


def _live(main: Main, forked: Callable[[], None], ending: Callable[[], None]) -> None:
    """A child's whole life; does not return."""
    status = 1
    try:
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDINGS)
        random.seed()
        threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
        forked()
        main()
        status = 0
    except (RedisError, OSError) as error:
        log.warning("Redis does not answer a worker (%s)", type(error).__name__)
    except Exception:
        log.exception("a worker broke down")
    finally:
        ending()
        logging.shutdown()
        os._exit(status)


def _end_with(parent: int) -> None:
    """End in good order when the parent is gone, however it ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
