"""Queue workers on Redis: what the child processes of a `WorkerGroup` do."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError, ResponseError, TimeoutError
from rq import Queue, SimpleWorker, worker_registration
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.executions import Execution
from rq.job import Job
from rq.registry import ScheduledJobRegistry
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus

import server_urls
from app.ops.queues import queue, queue_keys
from app.ops.queues.idle_children import EndedIdle, IdleChildren
from app.ops.queues.queue import is_known
from app.ops.queues.redis_queue import handle_exception, open_queue, worker_name
from app.ops.queues.signed_job import PREFIX, SignedJob
from app.ops.queues.worker_group import ChildFunction
from app.ops.redis import redis_client

log = logging.getLogger("crm.queue")

#: How often a worker looks for calls whose worker died, and the number of calls after which it is replaced.
MAINTENANCE_SECONDS, MAX_CALLS = 30, 5000
#: A worker without a heartbeat for this long (plus a minute) counts as dead.
HEARTBEAT_SECONDS = 60
#: A running call is its worker's for so long after each sign of life, which comes so often: one of an hour, too, is run
#: again after minutes if its worker was killed.
HOLD_SECONDS, SIGN_SECONDS = 180, 30.0
#: How soon a sign of life is tried again if Redis is away: as soon as it is back, others look for calls without one.
SIGN_AGAIN_SECONDS = 1.0
#: A call that this version doesn't know is offered again after so many seconds; after so long it fails like any other.
LEAVE_SECONDS, LEFT_FOR = 10, timedelta(days=1)
#: How long a worker waits for a call at a time if Redis runs on several servers.
WATCH_SECONDS = 4
#: A worker that has had no call for so long ends, to free its memory, and is started when calls wait; but for the first
#: one of the queue for whose calls people wait.
IDLE_SECONDS, ALWAYS_RUNNING = 120, "short"
#: How long one that has ended idle is registered, until `IdleWorkers` registers it.
HANDOVER_SECONDS = 5

#: Errors after which RQ waits and retries.
_LOST = (ConnectionError, TimeoutError)


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
    #: Whether it has ended because it was idle.
    is_idle = False
    _was_away = False
    #: When maintenance is due, on a clock that nobody sets; else none is done for as long as the clock was set back.
    _maintenance_at = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue_class = _noticing_loss(self)

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        """Tell Redis that this worker is alive, and notice when Redis is."""
        try:
            super().heartbeat(*args, **kwargs)
        except _LOST:
            self.note_loss()
            raise
        if self._was_away and self.get_state() == WorkerStatus.IDLE:
            self._was_away = not self.on_return()

    def note_loss(self) -> None:
        """Note that Redis is away. The workers of running calls give a sign of life first when it is back."""
        self._was_away = True
        self.put_off_maintenance()

    def put_off_maintenance(self) -> None:
        """Look for calls whose worker died only after MAINTENANCE_SECONDS."""
        self._maintenance_at = time.monotonic() + MAINTENANCE_SECONDS

    def subscribe(self) -> None:
        """Don't accept commands from Redis (shutdown, kill, stop): the parent process sends them."""

    def unsubscribe(self) -> None:
        """Do nothing, see `subscribe`."""

    def register_death(self) -> None:
        """Register that this worker has ended, unless it is started again when it is wanted."""
        if self.is_idle:
            self.connection.expire(self.key, HANDOVER_SECONDS)
        else:
            super().register_death()  # type: ignore[no-untyped-call]

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

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """For how many seconds the call and its worker count as running without a further sign of life."""
        return min(super().get_heartbeat_ttl(job, working_time), HOLD_SECONDS)

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Run a call; a thread gives signs of life, which RQ's workers that fork give from their parent."""
        is_over = threading.Event()
        if super().get_heartbeat_ttl(job) > HOLD_SECONDS:
            threading.Thread(target=self._hold, args=(job, execution, is_over), daemon=True).start()
        try:
            return super().perform_job(job, queue, execution)
        finally:
            is_over.set()

    def _hold(self, job: Job, execution: Execution, is_over: threading.Event) -> None:
        seconds = SIGN_SECONDS
        while not is_over.wait(seconds):
            try:
                self.maintain_heartbeats(job, execution)
                seconds = SIGN_SECONDS
            except redis_client.TROUBLE:
                seconds = SIGN_AGAIN_SECONDS

    def dequeue_job_and_maintain_ttl(self, *args: Any, **kwargs: Any) -> Any:
        """The next job; skips invalid job ids."""
        while True:
            try:
                found = super().dequeue_job_and_maintain_ttl(*args, **kwargs)
                self.is_idle = found is None
                return found
            except _LOST:
                self.note_loss()
                raise
            except (ValueError, TypeError):
                log.error("the queue held something that is not the id of a job; it was dropped")

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Whether MAINTENANCE_SECONDS have passed since the last time."""
        return time.monotonic() >= self._maintenance_at

    def run_maintenance_tasks(self) -> None:
        """RQ's maintenance; unreadable data is left alone.

        A Redis that has lost its data gets to know this worker again.
        """
        self.put_off_maintenance()
        worker_registration.register(self)
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
                worker.note_loss()
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

    #: Called each second.
    every_second: Callable[[], None] = staticmethod(lambda: None)

    def heartbeat(self) -> None:
        """Keep its locks, once a second; whether it has any or not, it does what is to be done in each process."""
        super().heartbeat()  # type: ignore[no-untyped-call]
        self.every_second()

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
    """Run calls of one queue until stopped, or until MAX_CALLS were run. Raises EndedIdle if it had none for long."""
    worker = build_worker(name, url, number)

    def on_answer() -> bool:
        queue.try_again()
        return hooks.on_return(name)

    worker.on_return = on_answer
    worker.put_off_maintenance()  # Redis may just be back: it is for its absence that others have ended
    hooks.on_start(name)
    longest = None if is_always_running(name, number) else IDLE_SECONDS
    queue_keys.drop_foreign(worker.connection)
    # `handle_exception` logs failures, without values.
    worker.work(logging_level="CRITICAL", max_jobs=MAX_CALLS, max_idle_time=longest)
    if worker.is_idle:
        raise EndedIdle


def is_always_running(name: str, number: int) -> bool:
    """Whether a worker runs even if it has nothing to do."""
    return number == 1 and name == ALWAYS_RUNNING


def build_worker(name: str, url: str, number: int = 1) -> QueueWorker:
    """A worker of one queue; `number` distinguishes those of this server."""
    kind = QueueWorker if server_urls.redis_topology(url) is None else WatchfulWorker
    return _build(kind, name, number, redis_client.connect_worker(url))


def _build(kind: type[QueueWorker], name: str, number: int, redis: Redis) -> QueueWorker:
    return kind(
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


class IdleWorkers:
    """Has workers that have ended idle started when calls of their queue wait.

    Until then it registers them as running, because their calls will be run, and looks after calls of killed workers.
    """

    def __init__(self, places: Sequence[tuple[str, int]], idle: IdleChildren, redis: Redis) -> None:
        """`places` are queue and number of each worker in `idle`."""
        logging.getLogger("rq.worker").setLevel(logging.CRITICAL)  # as `work` does
        self._places, self._idle, self._redis = places, idle, redis
        #: Place -> the worker that is registered.
        self._registered: dict[int, QueueWorker] = {}

    def look(self) -> None:
        """Once a second."""
        for place, (name, number) in enumerate(self._places):
            if self._idle.is_running(place):
                self._unregister(place)
                continue
            if place not in self._registered:
                self._registered[place] = _build(QueueWorker, name, number, self._redis)
                self._registered[place].register_birth()  # type: ignore[no-untyped-call]
            self._look_after(place, self._registered[place])

    def unregister_all(self) -> None:
        """Register none of them any more."""
        for place in list(self._registered):
            self._unregister(place)

    def queues(self) -> set[str]:
        """The queues that have a worker that is idle."""
        return {name for place, (name, _number) in enumerate(self._places) if not self._idle.is_running(place)}

    def _look_after(self, place: int, worker: QueueWorker) -> None:
        if worker.should_run_maintenance_tasks:
            worker.heartbeat()
            worker.run_maintenance_tasks()
        if worker.queues[0].count:
            self._idle.want(place)

    def _unregister(self, place: int) -> None:
        if (worker := self._registered.pop(place, None)) is not None:
            worker.register_death()


def run_scheduler(identity: str, url: str, on_demand: OnDemand, hooks: WorkerHooks) -> None:
    """Move delayed calls that are due into their queues, once a second. One process of all machines holds its lock.

    On each machine it has idle workers started. It ends with its connection; the next one has the same `identity`, and
    therefore the lock, which Redis has kept.
    """
    queues = [PREFIX + name for name in queue.TIMEOUT_SECONDS]
    redis = redis_client.connect_worker(url)
    scheduler: Any = DelayedCalls(queues, redis, logging_level="CRITICAL", serializer=JSONSerializer, name=identity)
    queue_keys.drop_foreign(redis, scheduler.key)
    workers = IdleWorkers(on_demand.places, on_demand.children, redis)
    for name in workers.queues():
        hooks.on_return(name)  # Redis was away, or the process before it was killed; nobody else notices
    scheduler.every_second = workers.look
    scheduler.work()
    workers.unregister_all()


@dataclass(frozen=True)
class OnDemand:
    """The workers that end when they are idle."""

    #: Queue and number of each.
    places: list[tuple[str, int]]
    children: IdleChildren


def child_functions(
    counts: Mapping[str, int], url: str, hooks: WorkerHooks
) -> tuple[list[ChildFunction], IdleChildren]:
    """The functions of the workers and of the scheduler of delayed calls, and those that may end idle.

    `counts` is how many workers each queue has, idle ones included.
    """
    workers: dict[tuple[str, int], ChildFunction] = {
        (name, number): partial(run_worker, name, number, url, hooks)
        for name, count in counts.items()
        for number in range(1, count + 1)
    }
    places = [place for place in workers if not is_always_running(*place)]
    idle = IdleChildren([workers[place] for place in places])
    scheduler = partial(run_scheduler, uuid.uuid4().hex, url, OnDemand(places, idle), hooks)
    return [*workers.values(), scheduler], idle
