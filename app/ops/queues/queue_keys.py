"""The Redis keys that RQ needs for all calls, and what each holds: anything else under one of them is dropped.

It would end each process that reads it, again and again; one wrong key would keep all idle workers from being started.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from redis import Redis
from rq import Queue
from rq.scheduler import RQScheduler
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from app.ops.queues import queue
from app.ops.queues.redis_queue import open_queue

log = logging.getLogger("crm.queue")


def drop_foreign(redis: Redis, scheduler_key: str = "") -> None:
    """Delete what is of another type than RQ's. `scheduler_key`: of the data of the process that calls this, if any."""
    kinds = {REDIS_WORKER_KEYS: "set", Queue.redis_queues_keys: "set"}
    for name in queue.TIMEOUT_SECONDS:
        kinds |= dict(_of_queue(open_queue(name, redis)))
    if scheduler_key:
        kinds[scheduler_key] = "hash"
    with redis.pipeline(transaction=False) as pipeline:
        for key in kinds:
            pipeline.type(key)
        found = pipeline.execute()
    wrong = [key for key, kind in zip(kinds, found, strict=True) if kind.decode() not in (kinds[key], "none")]
    if wrong:
        redis.delete(*wrong)
        log.error("Redis held something that is not ours under %s; it was dropped", ", ".join(wrong))


def _of_queue(each: Queue) -> Iterator[tuple[str, str]]:
    """The keys of a queue, and their types."""
    yield each.key, "list"
    yield each.intermediate_queue_key, "list"
    yield WORKERS_BY_QUEUE_KEY % each.name, "set"
    yield RQScheduler.get_locking_key(each.name), "string"
    yield each.scheduled_job_registry.key, "zset"
    yield each.started_job_registry.key, "zset"
    yield each.finished_job_registry.key, "zset"
    yield each.failed_job_registry.key, "zset"
    yield each.deferred_job_registry.key, "zset"
