"""Write access to Redis lets nobody run code, gain rights or crash a process: data read from it is validated."""

# ruff: noqa: F811

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis as Client
from rq.job import Job

from app import jobs
from app.extensions import socketio
from app.ops.queues import queue, signed_job
from app.ops.queues.queue import Call
from app.ops.redis import event_bus
from app.ops.redis.event_bus import EventBus, LiveEvent
from app.ops.redis.rate_counter import PREFIX, LocalRateCounter, Rate, RedisRateCounter
from tests.ops import queue_functions
from tests.ops.test_queue import failed, on_redis, start, trace  # noqa: F401  # fixtures
from tests.servers import Redis, eventually

PATH = signed_job.CALL_PATH


@pytest.fixture
def redis(redis_server: Redis) -> Iterator[Any]:
    with closing(Client.from_url(redis_server.url)) as client:
        yield client


# --- the wall: names that arrive from a queue or a socket


#: Names that must call nothing: code of Python, of libraries and of ours that is not registered.
HOSTILE = [
    "os:system",
    "os.system",
    "builtins:eval",
    "subprocess:run",
    "app.cli:load_demo",
    "app.ops.queues.queue:run_call",
    "app.ops.queues.redis_queue:call_by_name",
    "app.outbox.delivery_engine:deliver",
    "app.outbox.notice_delivery:send.__globals__",
    "app.outbox.notice_delivery:install",
    "app.outbox.notice_delivery.send",
    "tests.ops.test_forged_redis_data:HOSTILE",
    "this:d",
    "",
    ":",
    "\x00",
    "app.outbox.notice_delivery:send ",
    "APP.OUTBOX.NOTICE_DELIVERY:SEND",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_only_registered_names_are_called_and_nothing_is_imported(app: Any, name: str) -> None:
    before = set(sys.modules)
    with pytest.raises(LookupError):
        queue.run_call(Call("short", name, ()))
    assert set(sys.modules) == before


def test_every_registered_function_is_one_of_the_contents_page(app: Any) -> None:
    ours = {name for name in queue._functions if name.startswith("app.")}
    assert ours == {queue.name_of(function) for function in jobs.QUEUED}
    assert set(queue.MOVED.values()) <= ours


def test_sockets_know_these_events_only(app: Any) -> None:
    handled = {name for handlers in socketio.server.handlers.values() for name in handlers}
    assert handled - {"connect", "disconnect"} == {"watch", "editing", "shown", "typing", "board"}


# --- jobs


def put(redis: Any, data: Any, name: str = "short", **fields: Any) -> str:
    """Write a job into Redis as anybody could, and queue it. Returns its id."""
    job_id = f"forged-{time.monotonic_ns()}"
    raw = data if isinstance(data, bytes) else zlib.compress(json.dumps(data).encode())
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    hash_ = {"data": raw, "created_at": now, "origin": f"crm-{name}", "status": "queued", "timeout": 60} | fields
    redis.hset(f"{{crm}}rq:job:{job_id}", mapping=hash_)
    redis.rpush(f"{{crm}}rq:queue:crm-{name}", job_id)
    return job_id


def signed(job_id: str, *call: Any) -> list[Any]:
    return [*call, signed_job.sign(job_id, Call(call[0], call[1], call[2:]))]


def test_a_worker_runs_signed_calls_only_and_survives_all_others(
    start: Any,
    on_redis: Any,
    redis: Any,
    trace: Any,
    tmp_path: Any,
) -> None:
    evil = tmp_path / "evil"
    touch = ["touch " + str(evil)]
    write = ["short", "tests.ops.queue_functions:write_line", str(trace), "forged"]
    other = signed("another-job", *write)
    callbacks = {f"{kind}_callback_name": "os.system" for kind in ("success", "failure", "stopped")}
    put(redis, ["os.system", None, touch, {}])
    put(redis, [PATH, None, [*write, "0" * 64], {}])
    put(redis, [PATH, None, write, {}])
    put(redis, [PATH, None, other, {}])
    put(redis, [PATH, "tests.ops.queue_functions", other, {}])
    put(redis, [PATH, None, ["short", "os:system", *touch, "0" * 64], {}], **callbacks)
    put(redis, [PATH, None, "short", {"x": 1}])
    put(redis, {"a": 1})
    put(redis, b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.")
    put(redis, zlib.compress(b" " * 50_000_000))
    put(redis, zlib.compress(b"[" * 100_000))
    put(redis, [PATH, None, other, {}], status="nonsense")
    put(redis, [PATH, None, other, {}], created_at="yesterday", timeout="x", retry_intervals="{", dependency_ids="{")
    redis.hset("{crm}rq:job:bare", mapping={"x": "y"})
    redis.set("{crm}rq:job:text", "x")
    for wrong in ("bare", "text", "missing", b"\xff\xfe", "a" * 100_000):
        redis.rpush("{crm}rq:queue:crm-short", wrong)
    redis.zadd("{crm}rq:scheduled:crm-short", {b"\xff": 1, "bare": 1, "text": 1, "missing": 1})
    redis.set("{crm}rq:suspended", 1)
    start("short")
    assert queue.enqueue("short", queue_functions.write_line, str(trace), "done")
    assert queue.enqueue_in(1, "short", queue_functions.write_line, str(trace), "late")
    eventually(lambda: queue_functions.lines(trace) == ["done", "late"], "the worker did not get over the forged jobs")
    assert not evil.exists()
    assert failed(on_redis) == []


def test_whatever_else_a_signed_job_says_is_not_believed(on_redis: Any, redis: Any) -> None:
    queue.enqueue("short", queue_functions.write_line, "x", 1)
    (job_id,) = [key.decode().removeprefix("{crm}rq:job:") for key in redis.scan_iter("{crm}rq:job:*")]
    hostile = {"success_callback_name": "os.system", "failure_callback_name": "os.system", "repeats_left": 9}
    hostile |= {"webhooks": json.dumps([{"url": "http://127.0.0.1/"}]), "retries_left": 99_999, "timeout": 99_999}
    hostile |= {"rate_limit_key": "k", "result_ttl": -1, "meta": b"\x80\x04N.", "dependency_ids": '["x"]'}
    redis.hset(f"{{crm}}rq:job:{job_id}", mapping=hostile)
    job: Job = signed_job.SignedJob.fetch(job_id, redis, serializer=None)
    assert (job.success_callback, job.failure_callback, job.webhooks, job.repeats_left) == (None, None, [], None)
    assert (job.retries_left, job.timeout, job.result_ttl, job.has_rate_limit) == (2, 60, 0, False)
    assert job._dependency_ids == []


def test_a_job_of_an_older_version_is_accepted(on_redis: Any, redis: Any) -> None:
    queue.enqueue("short", queue_functions.write_line, "x", 1)
    (key,) = redis.scan_iter("{crm}rq:job:*")
    _path, *rest = json.loads(zlib.decompress(redis.hget(key, "data")))
    redis.hset(key, "data", zlib.compress(json.dumps([signed_job.FORMER_CALL_PATH, *rest]).encode()))
    job = signed_job.SignedJob.fetch(key.decode().removeprefix("{crm}rq:job:"), redis, serializer=None)
    assert job.func_name == signed_job.CALL_PATH


def test_a_changed_call_is_dropped(on_redis: Any, redis: Any) -> None:
    queue.enqueue("short", queue_functions.write_line, "x", 1)
    (key,) = redis.scan_iter("{crm}rq:job:*")
    job_id = key.decode().removeprefix("{crm}rq:job:")
    path, instance, arguments, named = json.loads(zlib.decompress(redis.hget(key, "data")))
    for changed in ([arguments[0], arguments[1], "/etc/passwd", *arguments[3:]], ["long", *arguments[1:]]):
        redis.hset(key, "data", zlib.compress(json.dumps([path, instance, changed, named]).encode()))
        with pytest.raises(LookupError):
            raise_lookup(job_id, redis)


def raise_lookup(job_id: str, redis: Any) -> None:
    from rq.exceptions import NoSuchJobError

    try:
        signed_job.SignedJob.fetch(job_id, redis, serializer=None)
    except NoSuchJobError as error:
        raise LookupError from error


# --- live events


NONSENSE = [
    b"",
    b"null",
    b"[]",
    b'"told"',
    b"{}",
    b"\x80\x04N.",
    b"\xff" * 100,
    b"[" * 100_000,
    b'{"stirred": [], "told": [1e999], "cut": []}',
    b'{"stirred": [["lead"]], "told": [], "cut": []}',
    b'{"stirred": [[["lead"], 1]], "told": [], "cut": []}',
    b'{"stirred": [["lead", {}]], "told": [], "cut": []}',
    b'{"stirred": {"a": 1}, "told": {"1": 1}, "cut": "1"}',
    b'{"stirred": [], "told": [true], "cut": []}',
    b'{"stirred": [], "told": [-1], "cut": []}',
    b'{"stirred": [], "told": [99999999999999999999], "cut": []}',
    b'{"stirred": [], "told": [' + b",".join(b"%d" % n for n in range(1, 20_000)) + b'], "cut": []}',
    b" " * (event_bus.MAX_BYTES + 1),
]


@pytest.mark.parametrize("message", NONSENSE, ids=range(len(NONSENSE)))
def test_a_message_that_is_no_event_is_nothing(message: bytes) -> None:
    assert event_bus.parse(message) is None


def test_the_bus_survives_forged_messages(redis_server: Redis, redis: Any) -> None:
    received: list[LiveEvent] = []

    def receive(event: LiveEvent) -> None:
        received.append(event)
        if 666 in event.notified:
            raise RuntimeError("a forged event may do this to a receiver")

    bus = EventBus(redis_server.url, receive)
    bus.listen()
    eventually(lambda: bus.is_up, "the bus does not listen")
    for message in NONSENSE:
        redis.publish(bus.channel, message)
    redis.publish(bus.channel, b'{"from": "x", "stirred": [], "told": [666], "cut": []}')
    redis.publish(bus.channel, b'{"from": "x", "stirred": [], "told": [7], "cut": []}')
    eventually(lambda: any(event.notified == {7} for event in received), "the bus broke down")
    bus.close()


# --- rate counters


RATE, NOW = Rate(3, 60), 1_790_000_000.0


@pytest.mark.parametrize("value", ["-1000000", "0", "x", "9" * 30, "1.5", None])
def test_a_forged_counter_allows_no_more_than_this_process_has_counted(
    redis_server: Redis, redis: Any, value: Any
) -> None:
    counter, local = RedisRateCounter(redis_server.url), LocalRateCounter()
    key = f"{PREFIX}somebody:{counter.add('somebody', RATE, NOW).ends}"
    local.add("somebody", RATE, NOW)
    for _ in range(3):
        redis.delete(key)
        redis.set(key, value) if value is not None else redis.rpush(key, "a list")
        expected = local.add("somebody", RATE, NOW)
        assert counter.add("somebody", RATE, NOW).used >= expected.used
    assert counter.add("somebody", RATE, NOW).is_exceeded
