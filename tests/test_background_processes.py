"""The process of the schedule is replaced after it has grown, between two jobs, and when it hangs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from app import background_processes
from app.job_scheduler import Scheduler
from app.ops.monitoring import machine_resources
from app.ops.processes.heartbeat import Heartbeat
from app.ops.queues.idle_children import EndedIdle


class Schedule:
    """A schedule that runs no jobs, and is busy for the first looks."""

    #: What it answers when it is asked whether there is time to rest.
    pauses: tuple[float | None, ...] = ()

    def __init__(self, busy: int, hangs: bool = False) -> None:
        self.busy, self.hangs, self.calls = busy, hangs, cast("list[str]", [])

    def pause(self) -> float | None:
        first, self.pauses = next(iter(self.pauses), None), self.pauses[1:]
        return first

    def retire(self) -> bool:
        self.busy -= 1
        self.calls.append("looked")
        return self.busy < 0

    def start(self, goes_on: bool = False) -> None:
        self.calls.append("went on" if goes_on else "started")

    def stop(self) -> None:
        self.calls.append("stopped")


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Handlers are as before, and its heart beats fast."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(background_processes, "HEARTBEAT_SECONDS", 0.001)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(monkeypatch: pytest.MonkeyPatch, sizes: list[int], schedule: Schedule, after: float = 0.0) -> int:
    """Run the schedule with these sizes of memory, in bytes; after the last one it is told to stop.

    Returns how often it showed that it lives.
    """
    heartbeat = Heartbeat()

    def own_memory() -> int:
        if len(sizes) == 1:
            signal.raise_signal(signal.SIGTERM)
        return sizes.pop(0) if len(sizes) > 1 else sizes[0]

    monkeypatch.setattr(machine_resources, "own_memory", own_memory)
    monkeypatch.setattr(background_processes, "REPLACED_AFTER_SECONDS", after)
    background_processes._run_schedule(cast(Scheduler, schedule), heartbeat)
    return int(heartbeat._count.value)


GROWN = background_processes.GROWTH_BYTES + 1


def test_one_whose_jobs_are_done_rests_until_the_next_ones_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its successor, which goes on, rests likewise."""
    heartbeat = Heartbeat()
    monkeypatch.setattr(background_processes, "Heartbeat", lambda: heartbeat)
    for begins in ("started", "went on"):
        schedule = Schedule(busy=0)
        schedule.pauses = (None, 3600.0)
        (function,) = background_processes._schedule_with_heartbeat(cast(Scheduler, schedule))
        with pytest.raises(EndedIdle):
            function()
        assert schedule.calls == [begins, "stopped"] and heartbeat._count.value % 2 == 0
        assert heartbeat.rests
    heartbeat.rest(0)
    assert heartbeat.has_rested and not heartbeat.rests


def test_its_rest_is_no_longer_for_a_slow_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that answers late lets it end late; the next jobs are due at the same time nevertheless."""
    heartbeat, schedule, rests = Heartbeat(), Schedule(busy=0), cast("list[bool]", [])
    schedule.pauses = (3600.0,)
    monkeypatch.setattr(schedule, "stop", lambda: rests.append(heartbeat.rests))
    with pytest.raises(EndedIdle):
        background_processes._run_schedule(cast(Scheduler, schedule), heartbeat)
    assert rests == [True]


def test_it_ends_when_it_has_grown_and_no_job_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule, sizes = Schedule(busy=2), [0, 0, GROWN, GROWN, GROWN, GROWN, 7]
    assert run(monkeypatch, sizes, schedule) == 4
    assert schedule.calls == ["started", "looked", "looked", "looked", "stopped"] and sizes == [GROWN, 7]


def test_one_that_no_longer_looks_for_due_jobs_shows_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, [0, 0, 0, 0], Schedule(busy=0, hangs=True)) == 0


@pytest.mark.parametrize(("size", "after"), [(GROWN - 1, 0.0), (GROWN, 3600.0)])
def test_it_runs_on_while_it_is_small_or_young(monkeypatch: pytest.MonkeyPatch, size: int, after: float) -> None:
    schedule, sizes = Schedule(busy=0), [0, size, size, size]
    run(monkeypatch, sizes, schedule, after)
    assert schedule.calls == ["started", "stopped"] and len(sizes) == 1


def test_the_memory_of_this_process_is_read_and_0_where_linux_does_not_tell(tmp_path: Path) -> None:
    status: Any = tmp_path / "status"
    assert machine_resources.own_memory(status) == 0
    status.write_text("Name:\tpython\nRssAnon:\t     120 kB\nRssFile:\t 7 kB\n")
    assert machine_resources.own_memory(status) == 122_880
    assert machine_resources.own_memory() > 10_000_000
