"""A trial: tasks are created, a process group works on them while processes are killed, and the result is checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import func, select

from app.models import Assignment, JobRun, Notification
from tests.resilience import invariants
from tests.resilience.process_group import Pack, PackSettings
from tests.resilience.process_killer import Hunter, Toll
from tests.resilience.scenario import HOUR, Ground
from tests.servers import Databases, ServerFailed, eventually

#: What is overdue, and what is due soon enough to be reminded of.
OVERDUE, SOON = -2 * HOUR, timedelta(minutes=30)


@dataclass(frozen=True)
class Trial:
    """How much work, how many kills, who works."""

    tasks: int = 1000
    kills: int = 10
    terms: PackSettings = field(default_factory=PackSettings)
    #: So long it may last at most.
    seconds: float = 120.0


@dataclass(frozen=True)
class Outcome:
    """What a trial showed."""

    toll: Toll
    faults: list[str]
    #: From the first to the last of the work.
    seconds: float


def of_reassignment(server: Databases, ground: Ground, trial: Trial) -> Outcome:
    """Ana's overdue tasks move to the sellers."""
    tasks = ground.lay(trial.tasks, OVERDUE)
    moved = select(func.count(Assignment.id)).where(Assignment.reason == "overdue")
    toll, seconds = _hunted(server, ground, trial, "reassign overdue tasks", lambda: _count(ground, moved))
    faults = invariants.of_reassignment(ground, tasks, ground.ana, ground.sellers)
    return Outcome(toll, faults + invariants.of_slots(ground), seconds)


def of_reminders(server: Databases, ground: Ground, trial: Trial) -> Outcome:
    """Ana and the sellers are reminded of what is due soon."""
    people = [ground.ana, *ground.sellers]
    tasks = ground.lay(trial.tasks, SOON, people)
    told = select(func.count(Notification.id)).where(Notification.kind == "task_due")
    toll, seconds = _hunted(server, ground, trial, "send due reminders", lambda: _count(ground, told))
    whose = {task: people[n % len(people)] for n, task in enumerate(tasks)}
    return Outcome(toll, invariants.of_reminders(ground, whose) + invariants.of_slots(ground), seconds)


def _hunted(
    server: Databases, ground: Ground, trial: Trial, job: str, finished: Callable[[], int]
) -> tuple[Toll, float]:
    with Pack(ground.folder / "pack", trial.terms, ground.settings) as pack:
        began, hunter = time.monotonic(), Hunter(server, ground.name, pack)
        hunter.hunt(trial.kills, finished, trial.tasks)
        eventually(lambda: finished() >= trial.tasks, f"not all is done by “{job}”\n{pack.last_words()}", trial.seconds)
        seconds = time.monotonic() - began
        try:
            _idle(ground, job)
        except ServerFailed as failed:
            raise ServerFailed(f"{failed}\n{pack.stacks()}") from None
    return hunter.toll, seconds


def _idle(ground: Ground, job: str) -> None:
    """A few passes more: who would work twice, would do it now."""
    last = ground.rows(select(func.max(JobRun.id)))[0]
    idle = select(func.count(JobRun.id)).where(JobRun.job == job, JobRun.outcome == "done", JobRun.id > last)
    eventually(lambda: _count(ground, idle) >= 3, "no further pass")


def _count(ground: Ground, query: object) -> int:
    return int(ground.rows(query)[0])
