"""The parent of the workers survives a lack of room for processes, starts nobody twice, and replaces what hangs."""

from __future__ import annotations

import errno
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.ops.processes.heartbeat import MAX_SILENT_LOOKS, Heartbeat
from app.ops.processes.sidecar_process import SidecarProcess
from app.ops.queues import worker_group
from app.ops.queues.idle_children import EndedIdle, IdleChildren
from app.ops.queues.worker_group import WorkerGroup

#: What a fork returns in the parent here; there is no such process.
PID = 2**30


def work() -> None:
    """The function of a child, which never runs in these tests."""


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> list[OSError | int]:
    """What the next forks do: raise, or return the pid of a child."""
    results: list[OSError | int] = []

    def fork() -> int:
        result = results.pop(0)
        if isinstance(result, OSError):
            raise result
        return result

    monkeypatch.setattr(os, "fork", fork)
    return results


@pytest.fixture
def group() -> WorkerGroup:
    """One child, which has ended because it was idle."""
    idle = IdleChildren([work])
    idle.note_end(work)
    return WorkerGroup([work], idle=idle)


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """None stays blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    after = signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert after == before


def no_room() -> OSError:
    return BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")


def test_an_idle_child_for_which_there_is_no_room_is_asked_for_again(
    group: WorkerGroup, forks: list[OSError | int], caplog: pytest.LogCaptureFixture
) -> None:
    idle = group._idle
    forks[:] = [no_room(), no_room(), PID]
    with caplog.at_level(logging.ERROR, "crm.queue"):
        for _ in range(2):
            idle.want(0)
            group._start_wanted()
            assert not idle.is_running(0)
    assert caplog.text.count("no process can be started for a worker (Resource temporarily unavailable)") == 1
    idle.want(0)
    group._start_wanted()
    assert idle.is_running(0) and list(group._children) == [PID]


def test_a_child_that_always_runs_is_started_as_soon_as_there_is_room(
    group: WorkerGroup, forks: list[OSError | int], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    group._children[PID] = (work, time.monotonic() - 60)
    forks[:] = [no_room(), no_room(), PID + 1]
    group._on_exit(PID, signal.SIGKILL)
    assert list(group._children) == [PID + 1]
    assert waits == [worker_group.RESTART_SECONDS] * 2


def test_a_child_that_is_asked_for_twice_is_started_once(group: WorkerGroup, forks: list[OSError | int]) -> None:
    """Who asks may have looked before it was started, and set the mark afterwards."""
    forks[:] = [PID]
    for _ in range(2):
        group._idle.want(0)
        group._start_wanted()
    assert group._idle.is_running(0) and list(group._children) == [PID]


@pytest.mark.parametrize("start", [lambda group: group._start(work), lambda group: group._on_exit(PID, 0)])
def test_no_child_is_started_after_the_signal_to_stop(
    group: WorkerGroup, forks: list[OSError | int], start: Callable[[WorkerGroup], None]
) -> None:
    """The signal can come while a child is about to be started."""
    group._stopping = True
    start(group)
    assert group._children == {} and forks == []


def test_the_server_goes_on_if_there_is_no_room_for_the_parent_of_the_workers(
    forks: list[OSError | int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = SidecarProcess(work)
    forks[:] = [no_room(), PID]
    monkeypatch.setattr(os, "pidfd_open", lambda _pid: os.open(os.devnull, os.O_RDONLY))
    with caplog.at_level(logging.ERROR, "crm.server"):
        sidecar.keep([])
    assert "no process can be started for the queue's workers" in caplog.text
    sidecar._started_at -= 60
    sidecar.keep([])
    assert forks == []
    os.close(sidecar._handle)


def test_a_child_hangs_after_many_looks_without_a_sign_of_life() -> None:
    heartbeat, looks = Heartbeat(), MAX_SILENT_LOOKS - 1
    assert not any(heartbeat.has_stopped() for _ in range(looks))
    heartbeat.beat()
    assert not any(heartbeat.has_stopped() for _ in range(1 + looks))
    assert heartbeat.has_stopped()
    heartbeat.begin()  # the next one begins as its end is noticed
    assert not heartbeat.has_stopped()


def _run_in_child(live: Callable[[], None], heartbeat: Heartbeat) -> None:
    """Run the children of a function with a heartbeat, below a process of its own, until one of them stops that."""
    parent = os.fork()
    if parent == 0:
        try:
            WorkerGroup([live], heartbeats={live: heartbeat}).run()
        finally:
            os._exit(0)
    assert os.waitpid(parent, 0) == (parent, 0)


def test_a_child_that_hangs_is_killed_and_another_takes_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first child stops itself; the second one says that it is there."""
    monkeypatch.setattr(worker_group, "HEARTBEAT_SECONDS", 0.01)
    heartbeat, pids = Heartbeat(), tmp_path / "pids"

    def live() -> None:
        with pids.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if len(pids.read_text().split()) == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        os.kill(os.getppid(), signal.SIGTERM)

    _run_in_child(live, heartbeat)
    assert len({*pids.read_text().split()}) == 2


def test_an_idle_child_is_started_while_the_parent_looks_at_the_heartbeats(forks: list[OSError | int]) -> None:
    """The signal that asks for it comes in between."""

    class Asked(Heartbeat):
        def has_stopped(self) -> bool:
            group._idle.want(0)
            group._start_wanted()
            return False

    def live() -> None:
        """Has a heartbeat."""

    idle = IdleChildren([work])
    idle.note_end(work)
    group = WorkerGroup([work], idle=idle, heartbeats={live: Asked()})
    group._children, forks[:] = {PID: (live, time.monotonic())}, [PID + 1]
    group._kill_what_hangs()
    assert list(group._children) == [PID, PID + 1]


def test_a_child_that_rests_is_started_again_when_its_rest_is_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first child rests, with no other beside it; the second one sees that it follows a rest."""
    monkeypatch.setattr(worker_group, "HEARTBEAT_SECONDS", 0.01)
    heartbeat, seen = Heartbeat(), tmp_path / "seen"

    def live() -> None:
        with seen.open("a") as file:
            file.write(f"{heartbeat.has_rested} {heartbeat.rests}\n")
        if not heartbeat.has_rested:
            heartbeat.rest(0.2)
            raise EndedIdle
        os.kill(os.getppid(), signal.SIGTERM)

    _run_in_child(live, heartbeat)
    assert seen.read_text().splitlines() == ["False False", "True False"]


def test_one_that_rests_waits_for_room_and_is_not_started_when_all_are_to_stop(forks: list[OSError | int]) -> None:
    heartbeat = Heartbeat()
    group = WorkerGroup([work], heartbeats={work: heartbeat})
    group._children[PID] = (work, time.monotonic())
    heartbeat.rest(3600)
    group._on_exit(PID, worker_group.IDLE_STATUS << 8)
    group._start_rested()
    assert group._resting == [work] and not group._children

    heartbeat.rest(0)
    forks[:] = [no_room(), PID + 1]
    group._start_rested()
    assert group._resting == [work]
    group._start_rested()
    assert group._resting == [] and list(group._children) == [PID + 1]

    group._on_exit(PID + 1, worker_group.IDLE_STATUS << 8)
    group._stopping = True
    group._start_rested()
    assert not group._children and forks == []
