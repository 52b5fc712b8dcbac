"""The queue on Redis, by RQ: JSON only, and pages stay fast while Redis is away."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry as Reconnect
from rq import Queue, Retry
from rq.exceptions import DeserializationError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker_registration import get_keys

from app.ops import queue
from app.ops.queue import Call, Depth

log = logging.getLogger("crm.queue")

#: How long one answer of Redis may take before a page goes on without it.
PATIENCE_SECONDS = 0.25
#: After a failure nobody asks Redis for so long.
REST_SECONDS = 5.0
#: A Redis that is away is news once in so long.
NEWS_SECONDS = 60.0
#: How long RQ keeps what has failed; the list of failures is in the database.
KEPT_SECONDS = 3600
#: Before the names of our queues: others may use the same Redis, and these are common names.
PREFIX = "crm-"


class RedisQueue:
    """Puts calls into Redis; `flask worker` makes them."""

    kind = "redis"

    def __init__(self, url: str) -> None:
        once = Reconnect(NoBackoff(), 0)
        self._redis = Redis.from_url(
            url, socket_connect_timeout=PATIENCE_SECONDS, socket_timeout=PATIENCE_SECONDS, retry=once
        )
        self._queues = {name: queue_named(name, self._redis) for name in queue.SECONDS}
        self._rests_until = self._silent_until = 0.0
        self._lock = threading.Lock()

    # --- Backend

    def put(self, call: Call, after: float = 0.0) -> bool:
        """Take the call; False at once while Redis is known to be away."""
        if time.monotonic() < self._rests_until:
            return False
        try:
            self._put(call, after)
        except (RedisError, OSError) as error:
            self._is_away(error)
            return False
        return True

    def depths(self) -> list[Depth] | None:
        """How the queues stand; None = Redis does not answer."""
        if time.monotonic() < self._rests_until:
            return None
        try:
            return [self._depth(name, held) for name, held in self._queues.items()]
        except (RedisError, OSError) as error:
            self._is_away(error)
            return None

    def stop(self, seconds: float) -> None:
        """The workers are other processes; only the connections of this one end."""
        with suppress(RedisError, OSError):
            self._redis.close()

    # --- within

    def _put(self, call: Call, after: float) -> None:
        held, waits = self._queues[call.queue], queue.place().waits
        job = held.create_job(
            call_by_name,
            args=[call.queue, call.function, *call.arguments],
            timeout=queue.SECONDS[call.queue],
            result_ttl=0,
            failure_ttl=KEPT_SECONDS,
            description=call.function,
            retry=Retry(len(waits), [max(1, round(queue.jittered(wait))) for wait in waits]) if waits else None,
        )
        if after > 0:
            held.schedule_job(job, datetime.now(UTC) + timedelta(seconds=after))
        else:
            held.enqueue_job(job)

    def _depth(self, name: str, held: Queue) -> Depth:
        alive = [key for key in get_keys(queue=held) if self._redis.exists(key)]
        return Depth(name, held.count, held.scheduled_job_registry.get_job_count(cleanup=False), len(alive))

    def _is_away(self, error: Exception) -> None:
        with self._lock:
            now = time.monotonic()
            self._rests_until, is_news = now + REST_SECONDS, now >= self._silent_until
            if is_news:
                self._silent_until = now + NEWS_SECONDS
        if is_news:
            log.error("Redis does not answer (%s); calls wait in the database", type(error).__name__)


def queue_named(name: str, redis: Redis) -> Queue:
    """RQ's queue for one of ours; nothing is ever pickled."""
    return Queue(PREFIX + name, connection=redis, serializer=JSONSerializer)


# --- in a worker


def call_by_name(name: str, function: str, *arguments: int | str) -> None:
    """What RQ calls: the one function it knows of us."""
    queue.make(Call(name, function, arguments))


def heard(job: Job, _kind: Any, error: BaseException, frames: Any) -> None:
    """RQ's exception handler: it comes after each try, and for calls whose worker died."""
    call = _call_in(job)
    if call is None:
        log.error("the queue %s held what is no call of ours: %s", job.origin, job.id)
        return
    queue.heard(call, queue.place().tries - (job.retries_left or 0), error, frames)


def _call_in(job: Job) -> Call | None:
    try:
        name, function, *arguments = job.args
    except (DeserializationError, TypeError, ValueError):
        return None
    return Call(name, function, tuple(arguments))
