"""One process leads; when it is killed another one takes over without help."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import func, select

from app.models import JobRun
from tests.resilience.process_group import GroupSettings, ProcessGroup
from tests.resilience.process_killer import ProcessKiller
from tests.resilience.scenario import Scenario
from tests.servers import Databases, eventually


def _has_new_leader(killer: ProcessKiller, dead: int) -> bool:
    return killer.leader() not in (None, dead)


def _has_rows(scenario: Scenario, query: Any) -> bool:
    return bool(scenario.rows(query)[0] > 0)


def test_when_the_leader_is_killed_another_one_takes_over(mariadb_server: Databases, scenario: Scenario) -> None:
    with ProcessGroup(scenario.folder / "pack", GroupSettings(count=3), scenario.settings) as pack:
        killer = ProcessKiller(mariadb_server, scenario.name, pack)
        for _ in range(3):
            eventually(lambda: killer.leader() is not None, "nobody leads")
            leader = killer.leader() or 0
            killer.kill(leader)
            eventually(partial(_has_new_leader, killer, leader), "nobody takes over")
            last = scenario.rows(select(func.max(JobRun.id)))[0] or 0
            later = select(func.count(JobRun.id)).where(JobRun.id > last, JobRun.outcome == "done")
            eventually(partial(_has_rows, scenario, later), "the new leader does not work")
