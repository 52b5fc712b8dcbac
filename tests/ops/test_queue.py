"""The queue: only names and keys are queued, failures are recorded, and Redis may be unreachable."""

from __future__ import annotations

import inspect
import json
import logging
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymysql
import pytest
from flask import Flask
from redis import Redis as Client
from redis.exceptions import ConnectionError as RedisAway
from rq.serializers import JSONSerializer
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, OperationalError

from app import jobs
from app.models import FailedCall
from app.ops.queues import queue, redis_queue
from app.ops.queues.redis_queue import RedisQueue
from app.ops.queues.thread_queue import ThreadQueue
from app.ops.queues.workers import HOLD_SECONDS, DelayedCalls, build_worker
from app.outbox import backlog, notice_delivery
from tests.app_fixtures import FIELD_KEY, SECRET_KEY, Crm
from tests.app_pool import AppMaker
from tests.ops import queue_functions
from tests.servers import PATIENCE_SECONDS, ROOT, Redis, Server, eventually


class Workers(Server):
    """`flask worker` on the database and the Redis of a test."""

    is_preloaded = True

    def __init__(self, folder: Path, instance: Path, redis: Redis, *queues: str, **settings: str) -> None:
        super().__init__(folder)
        self.queues, self.redis = queues, redis
        self.settings = {
            "CRM_INSTANCE_DIR": str(instance),
            "CRM_REDIS_URL": redis.url,
            "CRM_SECRET_KEY": SECRET_KEY,
            "CRM_FIELD_KEY": FIELD_KEY,
            "CRM_RETRY_SECONDS": "1,1",
            **settings,
        }

    def command(self) -> Sequence[str]:
        return (sys.executable, "-m", "flask", "--app", "tests.ops.queue_functions", "worker", *self.queues)

    def environment(self) -> Mapping[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("CRM_")} | self.settings

    def answers(self) -> bool:
        """Whether each of its queues has a worker."""
        backend = RedisQueue(self.redis.url)
        try:
            depths = {each.name: each.workers for each in backend.depths() or ()}
        finally:
            backend.stop(0)  # the garbage collector would warn of a connection that is still open
        return all(depths.get(name) for name in self.queues)

    def children(self) -> list[int]:
        """The pids of its worker processes."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The file to which the calls of a test write."""
    return tmp_path / "trace"


#: What a dead letter says of `calls.fail`: the kind of the error and the line that raised it, not its text.
WHERE_IT_FAILED = f"ValueError (queue_functions.py:{inspect.getsourcelines(queue_functions.fail)[1] + 3})"

#: Queued by workers that reach Redis again, and once more some seconds later.
GO_ON = queue.name_of(backlog.go_on)
#: The product's own timeout; all tests but one use a longer one, because the machine may be busy.
TIMEOUT_SECONDS = redis_queue.TIMEOUT_SECONDS


@pytest.fixture
def on_redis(app_with: AppMaker, redis_server: Redis, monkeypatch: pytest.MonkeyPatch) -> Crm:
    """The product with its queue on Redis."""
    monkeypatch.setattr(redis_queue, "TIMEOUT_SECONDS", 30.0)
    return Crm(app_with(CRM_REDIS_URL=redis_server.url, CRM_RETRY_SECONDS="1,1"))


@pytest.fixture
def start(on_redis: Crm, redis_server: Redis, instance: Path, tmp_path: Path) -> Iterator[Any]:
    """start("short", …) starts workers in processes of their own, which are stopped after the test."""
    begun: list[Workers] = []

    def begin(*queues: str, **settings: str) -> Workers:
        folder = tmp_path / f"workers-{len(begun)}"
        begun.append(Workers(folder, instance, redis_server, *queues, **settings).start())
        return begun[-1]

    yield begin
    for workers in begun:
        workers.stop()


def waiting(redis: Redis, name: str) -> tuple[list[str], list[str]]:
    """The functions of the calls in a queue, and of those scheduled for later, but for the look at the backlog."""
    with closing(Client.from_url(redis.url)) as client:
        rq_queue = redis_queue.open_queue(name, client)
        later = map(rq_queue.fetch_job, rq_queue.scheduled_job_registry.get_job_ids())
        lists = [[job.description for job in jobs if job is not None] for jobs in (rq_queue.jobs, later)]
    return tuple([each for each in names if each != GO_ON] for names in lists)  # type: ignore[return-value]


def failed(crm: Crm) -> list[tuple[Any, ...]]:
    rows = crm.rows(select(FailedCall))
    return [(row.queue, row.function, row.arguments, row.tries, row.error) for row in rows]


# --- what can be queued


@pytest.mark.parametrize("argument", [None, 1.5, b"x", {"a": 1}, [1], object()])
def test_only_ints_and_strings_are_queued(app: Flask, argument: Any) -> None:
    with pytest.raises(TypeError):
        queue.enqueue("short", notice_delivery.send, argument)


@pytest.mark.parametrize(
    "function", [lambda: None, len, os.getpid, ThreadQueue.stop, "app.outbox.notice_delivery:send"]
)
def test_only_functions_of_our_modules_are_queued(app: Flask, function: Any) -> None:
    with pytest.raises(TypeError):
        queue.enqueue("short", function)


def test_there_are_three_queues(app: Flask) -> None:
    with pytest.raises(KeyError):
        queue.enqueue("express", notice_delivery.send, 1)


@pytest.mark.parametrize(
    "name", ["os:system", "app.outbox.notice_delivery:nothing", "app.outbox.notice_delivery:datetime", "nonsense"]
)
def test_an_unknown_name_calls_nothing(app: Flask, name: str) -> None:
    with pytest.raises(LookupError):
        queue.run_call(queue.Call("short", name, ()))


def test_former_names_of_moved_functions_still_call_them() -> None:
    known = {queue.name_of(each) for each in jobs.QUEUED}
    assert {former: name for former, name in queue.MOVED.items() if name not in known or former in known} == {}


def test_nothing_in_redis_is_pickled(on_redis: Crm, redis_server: Redis, trace: Path) -> None:
    queue.enqueue("short", queue_functions.write_line, str(trace), 7)
    with closing(Client.from_url(redis_server.url)) as client:
        data: list[Any] = [client.hget(key, "data") for key in client.scan_iter("{crm}rq:job:*")]
        jobs = [zlib.decompress(each) for each in data]
    [(path, instance, (*call, signature), named)] = [json.loads(each) for each in jobs]
    assert (path, instance, named) == ("app.ops.queues.redis_queue.call_by_name", None, {})
    assert (call, len(signature)) == (["short", "tests.ops.queue_functions:write_line", str(trace), 7], 64)


@pytest.mark.parametrize(
    ("error", "summary"),
    [
        (ValueError("one\ntwo"), "ValueError"),
        (IntegrityError("INSERT", {"pan": "ABCDE1234F"}, Exception(1062, "Duplicate ABCDE1234F")), "Exception 1062"),
    ],
)
def test_a_dead_letter_contains_no_values_of_a_statement(error: Any, summary: str) -> None:
    assert queue.error_summary(error) == summary


# --- without Redis


@pytest.fixture
def thread_queue(crm: Crm) -> Iterator[ThreadQueue]:
    """Threads of this process; a call is tried three times without a wait."""
    threads = ThreadQueue({"short": 2, "default": 1, "long": 1})
    settings = queue.settings()
    queue.install(queue.QueueSettings(settings.context, (0, 0), settings.on_failure), threads)
    yield threads
    threads.stop(5)


def test_a_thread_runs_the_call(thread_queue: ThreadQueue, trace: Path) -> None:
    for number in range(50):
        assert queue.enqueue("short", queue_functions.write_line, str(trace), number)
    eventually(lambda: len(queue_functions.lines(trace)) == 50, "not all calls were run")
    assert sorted(queue_functions.lines(trace), key=int) == [str(number) for number in range(50)]


def test_a_thread_retries_a_failed_call(thread_queue: ThreadQueue, crm: Crm, trace: Path) -> None:
    queue.enqueue("default", queue_functions.fail_once, str(trace))
    eventually(lambda: len(queue_functions.lines(trace)) == 2, "it was not tried again")
    assert failed(crm) == []


def test_a_call_that_failed_for_good_is_a_dead_letter(thread_queue: ThreadQueue, crm: Crm, trace: Path) -> None:
    queue.enqueue("long", queue_functions.fail, str(trace))
    eventually(lambda: bool(failed(crm)), "no failure was recorded")
    assert failed(crm) == [("long", "tests.ops.queue_functions:fail", [str(trace)], 3, WHERE_IT_FAILED)]
    assert len(queue_functions.lines(trace)) == 3


@pytest.mark.parametrize(
    ("error", "has_traceback"),
    [(ValueError(), True), (OperationalError("SELECT 1", {}, pymysql.err.OperationalError(2003, "")), False)],
)
def test_trouble_of_the_database_is_one_line_of_the_log(
    error: Any, has_traceback: bool, thread_queue: ThreadQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue.record_failure(queue.Call("short", "tests.ops.queue_functions:fail", ()), 1, error, None)
    assert [bool(each.exc_info) for each in caplog.records if each.name == "crm.queue"] == [has_traceback]


def test_a_stopped_queue_takes_no_more_calls(thread_queue: ThreadQueue, trace: Path) -> None:
    queue.enqueue("short", queue_functions.take_long, str(trace), 1)
    eventually(lambda: queue_functions.lines(trace) == ["began"], "the call did not start")
    thread_queue.stop(5)
    assert queue_functions.lines(trace) == ["began", "ended"]
    assert not queue.enqueue("short", queue_functions.write_line, str(trace), 1)


def test_the_length_of_a_queue_is_limited(crm: Crm, monkeypatch: pytest.MonkeyPatch, trace: Path) -> None:
    monkeypatch.setattr("app.ops.queues.thread_queue.MAX_WAITING", 2)
    taken = [queue.enqueue("short", queue_functions.write_line, str(trace), number) for number in range(3)]
    assert taken == [True, True, False]
    assert [(each.name, each.waiting) for each in queue.depths() or ()] == [("short", 2), ("default", 0), ("long", 0)]


# --- on Redis


def test_a_worker_runs_the_call(start: Any, trace: Path) -> None:
    workers = start("short")
    assert queue.enqueue("short", queue_functions.write_line, str(trace), "done")
    eventually(lambda: queue_functions.lines(trace) == ["done"], "the call was not run")
    workers.stop()
    assert workers.process is None


def test_a_worker_retries_a_failed_call(start: Any, on_redis: Crm, trace: Path) -> None:
    start("default")
    queue.enqueue("default", queue_functions.fail_once, str(trace))
    eventually(lambda: len(queue_functions.lines(trace)) == 2, "it was not tried again")
    assert failed(on_redis) == []


def test_a_worker_records_a_call_that_failed_for_good(start: Any, on_redis: Crm, trace: Path) -> None:
    start("default")
    queue.enqueue("default", queue_functions.fail, str(trace))
    eventually(lambda: bool(failed(on_redis)), "no failure was recorded")
    assert failed(on_redis) == [("default", "tests.ops.queue_functions:fail", [str(trace)], 3, WHERE_IT_FAILED)]
    assert len(queue_functions.lines(trace)) == 3


def test_workers_are_named_by_server_queue_and_number(on_redis: Crm, start: Any) -> None:
    running = start("short", "long", CRM_SERVER_NAME="crm-2", CRM_QUEUE_SHORT="2")
    known = ["long 1", "short 1", "short 2"]
    eventually(lambda: queue.workers() == {"crm-2": known}, "other workers are known")
    os.kill(running.children()[0], signal.SIGKILL)  # its name is taken until Redis forgets it
    eventually(lambda: sorted(set(queue.workers()["crm-2"])) == known and len(running.children()) == 4, "none came")


def work_off(redis: Redis, name: str) -> None:
    """Be a worker of the queue until it is empty."""
    worker = build_worker(name, redis.url)
    worker.work(burst=True, logging_level="CRITICAL")
    worker.connection.close()


def test_a_call_whose_worker_was_killed_runs_once_more_only(on_redis: Crm, redis_server: Redis, trace: Path) -> None:
    queue.enqueue("short", queue_functions.write_line, str(trace), "ran")
    with closing(Client.from_url(redis_server.url)) as client:
        (job,) = redis_queue.open_queue("short", client).jobs
        client.zadd(job.execution_registry.key, {"0" * 32: time.time() + 60})  # its data has expired
    work_off(redis_server, "short")
    assert queue_functions.lines(trace) == ["ran"] and failed(on_redis) == []
    assert waiting(redis_server, "short") == ([], [])


def test_a_call_of_an_hour_is_held_for_minutes_by_signs_of_life(
    on_redis: Crm, redis_server: Redis, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be run again only after its hour if its worker was killed."""
    monkeypatch.setattr("app.ops.queues.workers.SIGN_SECONDS", 0.2)
    queue.enqueue("long", queue_functions.await_sign, str(trace))
    work_off(redis_server, "long")
    seconds, is_longer = queue_functions.lines(trace)
    assert 0 < int(seconds) <= HOLD_SECONDS and is_longer == "longer"
    assert failed(on_redis) == [] and waiting(redis_server, "long") == ([], [])


def test_a_call_that_outlasts_an_outage_of_redis_is_not_run_again(
    on_redis: Crm, redis_server: Redis, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After HOLD_SECONDS without a sign of life, Redis has forgotten the attempt, which is whole again at the next."""
    monkeypatch.setattr("app.ops.queues.workers.SIGN_SECONDS", 0.2)
    queue.enqueue("long", queue_functions.outlast_hold, str(trace))
    work_off(redis_server, "long")
    assert queue_functions.lines(trace) == ["began"]
    assert failed(on_redis) == [] and waiting(redis_server, "long") == ([], [])


def test_after_an_outage_the_workers_of_running_calls_give_a_sign_before_others_look_for_dead_ones(
    on_redis: Crm, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise RedisAway

    worker = build_worker("long", redis_server.url)
    assert worker.should_run_maintenance_tasks
    monkeypatch.setattr("rq.Queue.dequeue_any", lost)
    with pytest.raises(RedisAway):
        worker.queue_class.dequeue_any([], None, worker.connection)
    assert not worker.should_run_maintenance_tasks
    worker.connection.close()


def test_a_call_of_a_newer_version_is_left_for_its_workers(
    on_redis: Crm, redis_server: Redis, trace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process is a worker of the former version first, then one of the new version."""
    name = queue.name_of(queue_functions.write_line)
    queue.enqueue("short", queue_functions.write_line, str(trace), "ran")

    def let_time_pass(days: int) -> None:
        with closing(Client.from_url(redis_server.url)) as client:
            made = datetime.now(UTC) - timedelta(days=days)
            for key in client.scan_iter("{crm}rq:job:*"):
                client.hset(key, "created_at", made.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
            scheduler = DelayedCalls(["crm-short"], client, serializer=JSONSerializer, name="mover")
            scheduler.acquire_locks()
            key = redis_queue.open_queue("short", client).scheduled_job_registry.key
            job: Any
            for job in client.zrange(key, 0, -1):
                client.zadd(key, {job: 1})
            scheduler.enqueue_scheduled_jobs()
            scheduler.release_locks()

    with monkeypatch.context() as former:
        former.delitem(queue._functions, name)
        for _ in range(5):  # more often than a failed call is tried
            work_off(redis_server, "short")
            assert waiting(redis_server, "short") == ([], [name])
            let_time_pass(0)
    work_off(redis_server, "short")
    assert queue_functions.lines(trace) == ["ran"] and failed(on_redis) == []
    assert waiting(redis_server, "short") == ([], [])

    queue.enqueue("short", queue_functions.write_line, str(trace), "gone")
    let_time_pass(2)
    with monkeypatch.context() as former:
        former.delitem(queue._functions, name)
        for _ in range(3):
            work_off(redis_server, "short")
            let_time_pass(2)
    [(_queue, function, _arguments, tries, error)] = failed(on_redis)
    assert (function, tries) == (name, 3) and error.startswith("LookupError")


def test_a_delayed_call_runs_at_its_time(start: Any, redis_server: Redis, trace: Path) -> None:
    queue.enqueue_in(3600, "short", queue_functions.write_line, str(trace), "late")
    queue.enqueue_in(1, "short", queue_functions.write_line, str(trace), "soon")
    start("short")
    eventually(lambda: queue_functions.lines(trace) == ["soon"], "the delayed call was not run")
    assert waiting(redis_server, "short") == ([], [queue.name_of(queue_functions.write_line)])


def test_a_worker_that_was_killed_is_replaced(start: Any, trace: Path) -> None:
    workers = start("short", CRM_QUEUE_SHORT="1")
    before = workers.children()
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: len(set(workers.children()) - set(before)) == 1, "it was not replaced")
    queue.enqueue("short", queue_functions.write_line, str(trace), "done")
    eventually(lambda: queue_functions.lines(trace) == ["done"], "the call was not run")


def test_stopping_workers_finish_the_running_call(start: Any, trace: Path) -> None:
    workers = start("short")
    queue.enqueue("short", queue_functions.take_long, str(trace), 2)
    eventually(lambda: queue_functions.lines(trace) == ["began"], "the call did not start")
    workers.stop()
    assert queue_functions.lines(trace) == ["began", "ended"]


def test_a_call_that_outlasts_the_stop_is_interrupted_and_queued_again(
    start: Any, redis_server: Redis, trace: Path
) -> None:
    workers = start("long")
    queue.enqueue("long", queue_functions.take_long, str(trace), 600)
    eventually(lambda: queue_functions.lines(trace) == ["began"], "the call did not start")
    workers.stop()
    assert waiting(redis_server, "long")[1] == [queue.name_of(queue_functions.take_long)]


def test_workers_stop_when_their_parent_is_killed(start: Any) -> None:
    workers = start("short")
    children = workers.children()
    workers.kill()
    eventually(lambda: not any(map(is_running, children)), "orphans are still running")


#: A parent that is killed when its child has not done anything yet; the child holds the other end of our pipe.
ORPHAN_FROM_BIRTH = """
import os, signal, time
from app.ops.queues.worker_group import WorkerGroup

parent = os.getpid()

def wait_for_its_end():
    while os.getppid() == parent:
        time.sleep(0.01)

os.register_at_fork(after_in_parent=lambda: os.kill(parent, signal.SIGKILL), after_in_child=wait_for_its_end)
WorkerGroup([lambda: time.sleep(600)], lambda: None).run()
"""


def test_a_worker_stops_whose_parent_was_killed_at_its_birth() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN_FROM_BIRTH], cwd=ROOT, capture_output=True, timeout=PATIENCE_SECONDS
    )
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, b"")


def is_running(pid: int) -> bool:
    """Whether the process still works: one that has ended stays in /proc until it is reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- Redis is unreachable


def test_while_redis_is_unreachable_calls_are_refused_and_logged_once(
    on_redis: Crm, redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.stop()
    with caplog.at_level(logging.ERROR, "crm.queue"):
        assert [queue.enqueue("short", notice_delivery.send, 1) for _ in range(3)] == [False] * 3
    assert caplog.text.count("Redis isn't responding") == 1
    assert queue.depths() is None


def test_a_hanging_redis_blocks_nobody(on_redis: Crm, redis_server: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_queue, "TIMEOUT_SECONDS", TIMEOUT_SECONDS)
    queue.install(queue.settings(), RedisQueue(redis_server.url))
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        assert not queue.enqueue("short", notice_delivery.send, 1)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)


def test_redis_is_used_again_after_the_backoff(
    on_redis: Crm, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ops.queues.redis_queue.BACKOFF_SECONDS", 0.1)
    redis_server.stop()
    assert not queue.enqueue("short", notice_delivery.send, 1)
    redis_server.start()
    eventually(lambda: queue.enqueue("short", notice_delivery.send, 1), "Redis was not used again")


def test_pages_work_without_redis(on_redis: Crm, redis_server: Redis) -> None:
    redis_server.stop()
    answer = on_redis.client("root").screen("/queue/")
    assert answer.status_code == 200
    assert "Redis isn&#39;t responding" in answer.text


def test_workers_need_redis(app: Flask) -> None:
    answer = app.test_cli_runner().invoke(args=["worker"])
    assert answer.exit_code == 1
    assert "CRM_REDIS_URL is not set" in answer.output
