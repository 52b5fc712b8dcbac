"""A trial: tasks are created, a process group works on them while processes are killed, and the result is checked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import func, select

from app.models import Assignment, JobRun, Notification
from tests.resilience import invariants
from tests.resilience.process_group import GroupSettings, ProcessGroup
from tests.resilience.process_killer import KillCounts, ProcessKiller
from tests.resilience.scenario import HOUR, Scenario
from tests.servers import Databases, ServerFailed, eventually

#: What is overdue, and what is due soon enough to be reminded of.
OVERDUE, SOON = -2 * HOUR, timedelta(minutes=30)


@dataclass(frozen=True)
class Trial:
    """How much work, how many kills, who works."""

    tasks: int = 1000
    kills: int = 10
    terms: GroupSettings = field(default_factory=GroupSettings)
    #: So long it may last at most.
    seconds: float = 120.0


@dataclass(frozen=True)
class Outcome:
    """What a trial showed."""

    kill_counts: KillCounts
    faults: list[str]
    #: From the first to the last of the work.
    seconds: float


def of_reassignment(server: Databases, scenario: Scenario, trial: Trial) -> Outcome:
    """Ana's overdue tasks move to the sellers."""
    tasks = scenario.add_leads(trial.tasks, OVERDUE)
    moved = select(func.count(Assignment.id)).where(Assignment.reason == "overdue")
    kill_counts, seconds = _killed_during(
        server, scenario, trial, "reassign overdue tasks", lambda: _count(scenario, moved)
    )
    faults = invariants.of_reassignment(scenario, tasks, scenario.ana, scenario.sellers)
    return Outcome(kill_counts, faults + invariants.of_slots(scenario), seconds)


def of_reminders(server: Databases, scenario: Scenario, trial: Trial) -> Outcome:
    """Ana and the sellers are reminded of what is due soon."""
    people = [scenario.ana, *scenario.sellers]
    tasks = scenario.add_leads(trial.tasks, SOON, people)
    told = select(func.count(Notification.id)).where(Notification.kind == "task_due")
    kill_counts, seconds = _killed_during(server, scenario, trial, "send due reminders", lambda: _count(scenario, told))
    whose = {task: people[n % len(people)] for n, task in enumerate(tasks)}
    return Outcome(kill_counts, invariants.of_reminders(scenario, whose) + invariants.of_slots(scenario), seconds)


def _killed_during(
    server: Databases, scenario: Scenario, trial: Trial, job: str, finished: Callable[[], int]
) -> tuple[KillCounts, float]:
    with ProcessGroup(scenario.folder / "pack", trial.terms, scenario.settings) as pack:
        began, killer = time.monotonic(), ProcessKiller(server, scenario.name, pack)
        killer.kill_several(trial.kills, finished, trial.tasks)
        eventually(lambda: finished() >= trial.tasks, f"not all is done by “{job}”\n{pack.last_words()}", trial.seconds)
        seconds = time.monotonic() - began
        try:
            _idle(scenario, job)
        except ServerFailed as failed:
            raise ServerFailed(f"{failed}\n{pack.stacks()}") from None
    return killer.kill_counts, seconds


def _idle(scenario: Scenario, job: str) -> None:
    """A few passes more: who would work twice, would do it now."""
    last = scenario.rows(select(func.max(JobRun.id)))[0]
    idle = select(func.count(JobRun.id)).where(JobRun.job == job, JobRun.outcome == "done", JobRun.id > last)
    eventually(lambda: _count(scenario, idle) >= 3, "no further pass")


def _count(scenario: Scenario, query: object) -> int:
    return int(scenario.rows(query)[0])
