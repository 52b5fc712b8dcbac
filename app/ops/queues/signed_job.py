"""The RQ jobs that we accept: one function of ours, JSON, signed. Everything else in Redis about a job is ignored.

Anybody who can write to Redis can write jobs. RQ would import any function that a job names, including callbacks, call
its webhook URLs, and repeat it at will. Here a job is a signed call of a registered function, or it is dropped.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.exceptions import ResponseError
from rq.exceptions import NoSuchJobError
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus

from app.ops.queues import queue
from app.ops.queues.queue import Call

log = logging.getLogger("crm.queue")

#: The one function that RQ may call.
CALL_PATH = "app.ops.queues.redis_queue.call_by_name"
#: Its former path, which jobs queued by an older version still name.
FORMER_CALL_PATH = "app.ops.redis_queue.call_by_name"
#: Prefix of our queue names: other programs may use the same Redis, and the names are common.
PREFIX = "crm-"
#: How long RQ keeps failed jobs; the dead letters are in the database.
FAILED_TTL_SECONDS = 3600
#: A call is a name and a few keys.
MAX_BYTES = 16 * 1024
#: The states in which RQ may find a job of ours.
_STATES = {state.value: state for state in JobStatus}


def sign(job_id: str, call: Call, key: bytes | None = None) -> str:
    """The signature of a call in this job, by the secret key shared by all our processes."""
    text = json.dumps([job_id, call.queue, call.function, list(call.arguments)])
    return hmac.new(key or queue.settings().signing_key, text.encode(), hashlib.sha256).hexdigest()


def _is_signed(job_id: str, call: Call, signature: str) -> bool:
    """Whether we have signed the call, with the current key or one being replaced."""
    keys = (queue.settings().signing_key, *queue.settings().older_keys)
    return any(hmac.compare_digest(signature.encode(), sign(job_id, call, key).encode()) for key in keys)


class Executions(ExecutionRegistry):
    """The attempts of a job. RQ keeps an attempt whose worker was killed listed for a minute after its data is gone.

    It would count the next attempts as failed meanwhile, although they succeed. Of an attempt that goes on after its
    data was gone, as when Redis was away for long, a sign of life stores a part again, which RQ can't read.
    """

    def get_executions(self, start: int = 0, end: int = -1) -> list[Execution]:
        """Those that still have their data."""
        found = []
        for execution_id in self.get_execution_ids(start, end):
            with suppress(ValueError, KeyError):
                found.append(Execution.fetch(execution_id, self.job_id, self.connection))
        return found


class SignedJob(Job):
    """A job that can only be one of our calls."""

    @property
    def execution_registry(self) -> Executions:
        """Its attempts."""
        return Executions(self.id, self.connection)

    @property
    def function(self) -> str:
        """The name of the function that is called."""
        return str(self.args[1])

    @property
    def age(self) -> timedelta:
        """How long ago it was queued first."""
        return datetime.now(UTC) - self.created_at

    def refresh(self) -> None:
        """Load the job from Redis. Raises NoSuchJobError for anything that isn't one of our calls."""
        try:
            super().refresh()  # type: ignore[no-untyped-call]
        except ResponseError:
            log.error("the queue held a job that is not one of our calls; it was dropped")
            raise NoSuchJobError("Not one of our calls.") from None

    def restore(self, raw_data: Any) -> None:
        """Load the job from its Redis data. Raises NoSuchJobError for anything that isn't one of our calls."""
        fields = {bytes(name): bytes(value) for name, value in raw_data.items()}
        try:
            call = self._call_in(fields)
            state, retries_left = _STATES[fields.get(b"status", b"created").decode()], self._retries_left(fields)
        except (ValueError, KeyError, TypeError, RecursionError, zlib.error, LookupError):
            log.error("the queue held a job that is not one of our calls; it was dropped")  # no values
            raise NoSuchJobError("Not one of our calls.") from None
        waits = queue.settings().waits
        self.args = [call.queue, call.function, *call.arguments, sign(self.id, call)]
        self._func_name, self._instance, self._kwargs = CALL_PATH, None, {}
        self.origin, self.description = PREFIX + call.queue, call.function
        self.timeout, self.result_ttl, self.failure_ttl = queue.TIMEOUT_SECONDS[call.queue], 0, FAILED_TTL_SECONDS
        self._status, self.retries_left = state, retries_left
        self.retry_intervals = [max(1, round(queue.add_jitter(wait))) for wait in waits]
        self.enqueue_at_front, self.enqueue_at_front_on_retry = None, False
        self.enqueued_at = datetime.now(UTC)
        self.created_at = _moment(fields.get(b"created_at", b""), self.enqueued_at)
        self.started_at = self.ended_at = self.last_heartbeat = None

    def _call_in(self, fields: dict[bytes, bytes]) -> Call:
        """The signed call. Raises ValueError, TypeError, LookupError or zlib.error for anything else."""
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(fields[b"data"], MAX_BYTES)
        if unpacker.unconsumed_tail:
            raise ValueError("too long")
        function, instance, arguments, named = json.loads(text)
        if function not in (CALL_PATH, FORMER_CALL_PATH) or (instance, named) != (None, {}):
            raise ValueError("another function")
        return verified_call(self.id, arguments)

    def _retries_left(self, fields: dict[bytes, bytes]) -> int | None:
        """The remaining attempts; never more than for a new call."""
        text = fields.get(b"retries_left", b"")
        return min(max(0, int(text[:6])), len(queue.settings().waits)) if text else None


def _moment(text: bytes, now: datetime) -> datetime:
    """When a job was made; `now` for anything that is not a moment of the past."""
    try:
        return min(datetime.strptime(text.decode(), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC), now)
    except ValueError:
        return now


def verified_call(job_id: str, arguments: Any) -> Call:
    """The call in the arguments of a job. Raises ValueError or TypeError unless we have signed it.

    This process may not know its function, see `QueueWorker.execute_job`.
    """
    name, function, *keys, signature = arguments
    if not all(isinstance(each, str) for each in (name, function, signature)):
        raise TypeError("not names")
    if not all(isinstance(each, int | str) for each in keys) or name not in queue.TIMEOUT_SECONDS:
        raise TypeError("not keys")
    call = Call(name, function, tuple(keys))
    if not _is_signed(job_id, call, signature):
        raise ValueError("not signed by us")
    return call
