"""The queue on Redis, through RQ: JSON only, and requests stay fast while Redis is unreachable."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis
from rq import Queue, Retry, get_current_job
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker_registration import get_keys

from app.ops.queues import queue
from app.ops.queues.queue import Call, QueueDepth
from app.ops.queues.signed_job import FAILED_TTL_SECONDS, PREFIX, SignedJob, sign, verified_call
from app.ops.redis import redis_client

log = logging.getLogger("crm.queue")

#: How long a request waits for Redis before it continues without it.
TIMEOUT_SECONDS = 0.25
#: After a failure this process does not try Redis again for this long.
BACKOFF_SECONDS = 5.0
#: An unreachable Redis is logged once per this time.
LOG_INTERVAL_SECONDS = 60.0
#: RQ's key of a worker ends with this and its name.
_WORKER_KEY = "rq:worker:"


class RedisQueue:
    """Queues calls in Redis; `flask worker` runs them."""

    kind = "redis"

    def __init__(self, url: str) -> None:
        self._redis = redis_client.connect(url, TIMEOUT_SECONDS)
        self._queues = {name: open_queue(name, self._redis) for name in queue.TIMEOUT_SECONDS}
        self._backoff_until = self._log_again_at = 0.0
        self._lock = threading.Lock()

    # --- Backend

    def enqueue(self, call: Call, after: float = 0.0, is_urgent: bool = False) -> bool:
        """Queue the call; False at once while Redis is known to be unreachable."""
        if time.monotonic() < self._backoff_until:
            return False
        try:
            self._enqueue(call, after, is_urgent)
        except redis_client.TROUBLE as error:
            self._back_off(error)
            return False
        return True

    def depths(self) -> list[QueueDepth] | None:
        """The state of each queue; None if Redis does not respond."""
        if time.monotonic() < self._backoff_until:
            return None
        try:
            return [self._depth(name, rq_queue) for name, rq_queue in self._queues.items()]
        except redis_client.TROUBLE as error:
            self._back_off(error)
            return None

    def workers(self) -> dict[str, list[str]]:
        """Server -> its workers by queue and number; empty if Redis does not respond."""
        found: dict[str, list[str]] = {}
        if time.monotonic() < self._backoff_until:
            return found
        try:
            for key in sorted(get_keys(connection=self._redis)):
                if self._redis.exists(key):  # otherwise the worker is gone
                    server, name = worker_of_name(key.partition(_WORKER_KEY)[2])
                    found.setdefault(server, []).append(name)
        except redis_client.TROUBLE as error:
            self._back_off(error)
            return {}
        return found

    def try_again(self) -> None:
        """Try Redis again without waiting."""
        self._backoff_until = 0.0

    def stop(self, seconds: float) -> None:
        """Close the connections of this process; the workers are other processes."""
        with suppress(*redis_client.TROUBLE):
            self._redis.close()

    # --- internals

    def _enqueue(self, call: Call, after: float, is_urgent: bool) -> None:
        rq_queue, waits, job_id = self._queues[call.queue], queue.settings().waits, uuid.uuid4().hex
        job = rq_queue.create_job(
            call_by_name,
            args=[call.queue, call.function, *call.arguments, sign(job_id, call)],
            job_id=job_id,
            timeout=queue.TIMEOUT_SECONDS[call.queue],
            result_ttl=0,
            failure_ttl=FAILED_TTL_SECONDS,
            description=call.function,
            retry=Retry(len(waits), [max(1, round(queue.add_jitter(wait))) for wait in waits]) if waits else None,
        )
        if after > 0:
            rq_queue.schedule_job(job, datetime.now(UTC) + timedelta(seconds=after))
        else:
            rq_queue.enqueue_job(job, at_front=is_urgent)

    def _depth(self, name: str, rq_queue: Queue) -> QueueDepth:
        alive = [key for key in get_keys(queue=rq_queue) if self._redis.exists(key)]
        scheduled = rq_queue.scheduled_job_registry.get_job_count(cleanup=False)
        return QueueDepth(name, rq_queue.count, scheduled, len(alive))

    def _back_off(self, error: Exception) -> None:
        with self._lock:
            now = time.monotonic()
            self._backoff_until, is_logged = now + BACKOFF_SECONDS, now >= self._log_again_at
            if is_logged:
                self._log_again_at = now + LOG_INTERVAL_SECONDS
        if is_logged:
            log.error("Redis isn't responding (%s); calls wait in the database", type(error).__name__)


def open_queue(name: str, redis: Redis) -> Queue:
    """RQ's queue for one of ours. Nothing is ever pickled, and jobs not signed by us are ignored."""
    return Queue(PREFIX + name, connection=redis, serializer=JSONSerializer, job_class=SignedJob)


# --- in a worker


def call_by_name(*arguments: int | str) -> None:
    """The only function that RQ calls; a job's last argument is its signature."""
    job = get_current_job()
    queue.run_call(verified_call(job.id if job else "", arguments))


def handle_exception(job: Job, _kind: Any, error: BaseException, traceback: Any) -> None:
    """RQ's exception handler: called after each failed attempt, and for calls whose worker died."""
    try:
        call = verified_call(job.id, job.args)
    except (LookupError, TypeError, ValueError):
        log.error("the queue held a job that is not one of our calls: it failed and is dropped")
        return
    queue.record_failure(call, queue.settings().tries - (job.retries_left or 0), error, traceback)


def worker_name(server: str, queue_name: str, number: int) -> str:
    """The name of a worker in Redis; that of one that was killed is taken until Redis forgets it, so each is new."""
    return f"{server[:64]}/{queue_name}/{number}/{uuid.uuid4().hex}"


def worker_of_name(name: str) -> tuple[str, str]:
    """The server of a worker of this name, and its queue and number; workers of former versions have other names."""
    server, _slash, rest = name.partition("/")
    parts = rest.split("/")
    return (server, " ".join(parts[:2])) if len(parts) == 3 else ("–", "?")
