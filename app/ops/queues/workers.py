"""Queue workers on Redis: a parent process keeps its child processes running, and stops them all within seconds."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError
from rq import Queue, SimpleWorker
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.registry import ScheduledJobRegistry
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

import server_urls
from app.ops.processes import prefork
from app.ops.queues import queue
from app.ops.queues.queue import is_known
from app.ops.queues.redis_queue import handle_exception, open_queue, worker_name
from app.ops.queues.signed_job import PREFIX, SignedJob
from app.ops.redis import redis_client

log = logging.getLogger("crm.queue")

#: After SIGTERM, running calls may finish within the first time; within the second they are interrupted and requeued.
WARM_SECONDS, COLD_SECONDS = 6, 3
#: A child that ended sooner is restarted only after this time: Redis or the database is probably unreachable.
RESTART_SECONDS = 1.0
#: How long a worker without Redis waits before it ends; RQ itself waits for a Redis that refuses connections.
AWAY_SECONDS = 5.0
#: How often a worker looks for calls whose worker died, and the number of calls after which it is replaced.
MAINTENANCE_SECONDS, MAX_CALLS = 30, 5000
#: A worker without a heartbeat for this long (plus a minute) counts as dead.
HEARTBEAT_SECONDS = 60
#: A call that this version doesn't know is offered again after so many seconds; after so long it fails like any other.
LEAVE_SECONDS, LEFT_FOR = 10, timedelta(days=1)
#: How long a worker waits for a call at a time if Redis runs on several servers.
WATCH_SECONDS = 4

#: Errors after which RQ waits and retries.
_LOST = (ConnectionError, TimeoutError)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
ChildFunction = Callable[[], None]


class QueueWorker(SimpleWorker):
    """Runs calls in its own process, one after the other.

    RQ's other worker forks for each call. Forking this application takes longer than sending a notice (see decision
    0018), and what it protects from is covered: an alarm interrupts a call that takes too long, and a worker that dies
    is restarted.
    """

    #: RQ's default is a minute.
    max_connection_wait_time = 5.0
    #: Called when Redis is reachable again; False = it had no effect yet.
    on_return: Callable[[], bool] = staticmethod(lambda: True)
    _was_away = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue_class = _noticing_loss(self)

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        """Tell Redis that this worker is alive, and notice when Redis is."""
        try:
            super().heartbeat(*args, **kwargs)
        except _LOST:
            self._was_away = True
            raise
        if self._was_away and self.get_state() == WorkerStatus.IDLE:
            self._was_away = not self.on_return()

    def subscribe(self) -> None:
        """Don't accept commands from Redis (shutdown, kill, stop): the parent process sends them."""

    def unsubscribe(self) -> None:
        """Do nothing, see `subscribe`."""

    def check_for_suspension(self, burst: bool) -> None:
        """Do nothing: Redis can't suspend this worker."""

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run one call; an invalid job in Redis ends neither this process nor the next call.

        A call that only a newer version knows is left for its workers, while not all servers are upgraded.
        """
        if isinstance(job, SignedJob) and not is_known(job.function) and job.age < LEFT_FOR:
            _leave(job, queue)
            return
        try:
            super().execute_job(job, queue)
        except (ValueError, TypeError, LookupError, InvalidJobOperation):
            log.exception("the job of a call was changed in Redis while it ran")

    def dequeue_job_and_maintain_ttl(self, *args: Any, **kwargs: Any) -> Any:
        """The next job; skips invalid job ids."""
        while True:
            try:
                return super().dequeue_job_and_maintain_ttl(*args, **kwargs)
            except _LOST:
                self._was_away = True
                raise
            except (ValueError, TypeError):
                log.error("the queue held something that is not the id of a job; it was dropped")

    def run_maintenance_tasks(self) -> None:
        """RQ's maintenance; unreadable data is left alone."""
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, LookupError, ResponseError):
            log.exception("Redis holds something of ours that RQ cannot read")


def _leave(job: SignedJob, target: Queue) -> None:
    """Queue a call again, for another worker, without counting an attempt."""
    log.warning("call %s is unknown to this version, and is left for the workers of another one", job.function)
    with target.connection.pipeline() as pipeline:
        target.schedule_job(job, datetime.now(UTC) + timedelta(seconds=LEAVE_SECONDS), pipeline=pipeline)
        pipeline.lrem(target.intermediate_queue_key, 1, job.id)
        pipeline.execute()


def _noticing_loss(worker: QueueWorker) -> type[Queue]:
    """A class of queues that tells the worker when Redis is lost while it waits for a call.

    RQ waits for its return by itself: if that takes less than its pause, nothing else notices that Redis was away.
    """

    class NoticingQueue(Queue):
        @classmethod
        def dequeue_any(cls, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().dequeue_any(*args, **kwargs)
            except _LOST:
                worker._was_away = True
                raise

    return NoticingQueue


class WatchfulWorker(QueueWorker):
    """A worker that soon notices a silent Redis, for when another server can take over."""

    @property
    def dequeue_timeout(self) -> int:
        """Seconds that it waits for a call at a time; with RQ's 45 it would stay as long without a master."""
        return WATCH_SECONDS

    @property
    def connection_timeout(self) -> int:
        """The seconds of silence after which Redis counts as lost."""
        return WATCH_SECONDS + 2


class DelayedCalls(RQScheduler):
    """Moves delayed calls that are due into their queues, and drops anything that isn't one of our calls."""

    def enqueue_scheduled_jobs(self) -> None:
        """Check all queues once."""
        for name in self._acquired_locks:
            registry = ScheduledJobRegistry(name, connection=self.connection)  # type: ignore[no-untyped-call]
            for raw_id in self.connection.zrangebyscore(registry.key, 0, time.time()):
                self._move(open_queue(name.removeprefix(PREFIX), self.connection), registry.key, raw_id)

    def _move(self, target: Queue, key: str, raw_id: bytes) -> None:
        try:
            job = target.job_class.fetch(raw_id.decode(), self.connection, JSONSerializer)
        except (NoSuchJobError, ValueError, TypeError):
            self.connection.zrem(key, raw_id)
            return
        with self.connection.pipeline() as pipeline:
            target._enqueue_job(job, pipeline=pipeline)
            pipeline.zrem(key, raw_id)
            pipeline.execute()


@dataclass(frozen=True)
class WorkerHooks:
    """What workers call with the name of their queue."""

    #: When Redis is reachable again; False = it had no effect yet.
    on_return: Callable[[str], bool]
    #: Before the first call.
    on_start: Callable[[str], None] = lambda _name: None


def run_worker(name: str, number: int, url: str, hooks: WorkerHooks) -> None:
    """Run calls of one queue until stopped, or until MAX_CALLS were run."""
    worker = build_worker(name, url, number)

    def on_answer() -> bool:
        queue.try_again()
        return hooks.on_return(name)

    worker.on_return = on_answer
    hooks.on_start(name)
    # `handle_exception` logs failures, without values.
    worker.work(logging_level="CRITICAL", max_jobs=MAX_CALLS)


def build_worker(name: str, url: str, number: int = 1) -> QueueWorker:
    """A worker of one queue; `number` distinguishes those of this server."""
    redis = redis_client.connect_worker(url)
    return (QueueWorker if server_urls.redis_topology(url) is None else WatchfulWorker)(
        [open_queue(name, redis)],
        name=worker_name(queue.settings().server, name, number),
        connection=redis,
        job_class=SignedJob,
        serializer=JSONSerializer,
        exception_handlers=[handle_exception],
        log_job_description=False,
        maintenance_interval=MAINTENANCE_SECONDS,
        worker_ttl=HEARTBEAT_SECONDS,
    )


def run_scheduler(names: Iterable[str], url: str, identity: str) -> None:
    """Move delayed calls that are due into their queues, once a second. One process of all machines holds its lock.

    It ends with its connection; the next one has the same `identity`, and therefore the lock, which Redis has kept.
    """
    queues = [PREFIX + name for name in names]
    redis = redis_client.connect_worker(url)
    scheduler: Any = DelayedCalls(queues, redis, logging_level="CRITICAL", serializer=JSONSerializer, name=identity)
    scheduler.work()


def child_functions(counts: Mapping[str, int], url: str, hooks: WorkerHooks) -> list[ChildFunction]:
    """The functions of the child processes: the workers of each queue (`counts`), the scheduler of delayed calls."""
    workers = [
        partial(run_worker, name, number, url, hooks)
        for name, count in counts.items()
        for number in range(1, count + 1)
    ]
    return [*workers, partial(run_scheduler, list(queue.TIMEOUT_SECONDS), url, uuid.uuid4().hex)]


class WorkerGroup:
    """The child processes of this process, each running one function. A child that dies is restarted."""

    def __init__(
        self,
        functions: list[ChildFunction],
        before_exit: Callable[[], None] = lambda: None,
    ) -> None:
        """Each child calls `before_exit` last. This process must have no threads and no open connections."""
        self.functions, self.before_exit = functions, before_exit
        #: pid -> (its function, when it started)
        self._children: dict[int, tuple[ChildFunction, float]] = {}
        self._stopping = False

    def run(self) -> None:
        """Start all children, and keep them running until SIGTERM or Ctrl+C."""
        for number in _STOP_SIGNALS[:2]:
            signal.signal(number, self._stop)
        signal.signal(signal.SIGALRM, self._force_stop)
        prefork.settle_memory()
        for function in self.functions:
            self._start(function)
        while self._children:
            pid, status = os.waitpid(-1, 0)
            self._on_exit(pid, status)

    def _start(self, function: ChildFunction) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)  # a new child must not run the parent's handlers
        parent, pid = os.getpid(), os.fork()
        if pid == 0:
            _run_child(function, parent, self.before_exit)
        self._children[pid] = (function, time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)

    def _on_exit(self, pid: int, status: int) -> None:
        function, started = self._children.pop(pid, (None, 0.0))
        if self._stopping or function is None:
            return
        code = os.waitstatus_to_exitcode(status)
        if code:
            log.warning("worker %s ended with %s; another takes its place", pid, code)
        if time.monotonic() - started < RESTART_SECONDS:
            time.sleep(RESTART_SECONDS)
        if not self._stopping:
            self._start(function)

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
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        random.seed()
        prefork.end_with_parent(parent)
        function()
        status = 0
    except (RedisError, OSError) as error:
        is_full = redis_client.stores_nothing(error)
        log.warning(
            "Redis %s a worker (%s)", "stores nothing for" if is_full else "does not answer", type(error).__name__
        )
        time.sleep(AWAY_SECONDS)  # the next one would end as fast, and each writes to the log
    except Exception:
        log.exception("a worker broke down")
    finally:
        before_exit()
        logging.shutdown()
        os._exit(status)
