"""Whoever is killed, at any moment: each overdue task is reassigned once, and each person is notified once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from app.models import Assignment, Task
from tests.factories import NOW
from tests.resilience import invariants, kill_run
from tests.resilience.kill_run import Trial
from tests.resilience.process_group import GroupSettings
from tests.resilience.scenario import Scenario
from tests.servers import Databases


def test_ten_kills_lose_and_double_no_reassignment(mariadb_server: Databases, scenario: Scenario) -> None:
    outcome = kill_run.of_reassignment(mariadb_server, scenario, Trial(1000, 10, GroupSettings(count=4, limit=50)))
    assert outcome.faults == []
    assert outcome.kill_counts.leaders and outcome.kill_counts.having_written, outcome.kill_counts


def test_ten_kills_lose_and_double_no_reminder(mariadb_server: Databases, scenario: Scenario) -> None:
    outcome = kill_run.of_reminders(mariadb_server, scenario, Trial(1000, 10, GroupSettings(count=4, limit=50)))
    assert outcome.faults == []
    assert outcome.kill_counts.leaders and outcome.kill_counts.having_written, outcome.kill_counts


@pytest.mark.parametrize("prove", [kill_run.of_reassignment, kill_run.of_reminders])
def test_also_where_all_lead_at_once_nothing_happens_twice(
    mariadb_server: Databases, scenario: Scenario, prove: Any
) -> None:
    assert prove(mariadb_server, scenario, Trial(200, 2, GroupSettings(count=4, limit=100, crowded=True))).faults == []


def test_the_verdict_finds_what_is_missing_doubled_or_uneven(scenario: Scenario) -> None:
    tasks, crm = scenario.add_leads(2, kill_run.OVERDUE), scenario.crm
    lead = scenario.rows(select(Task.lead_id).where(Task.id == tasks[0]))[0]
    twin = {"lead_id": lead, "started_on": NOW, "reason": "overdue", "decision": {}, "user_id": scenario.sellers[0]}
    crm.session.execute(insert(Assignment.__table__), [twin, twin])
    crm.session.execute(update(Task).where(Task.id == tasks[0]).values(tried=[7, 7]))
    crm.session.commit()
    said = " ".join(invariants.of_reassignment(scenario, tasks, scenario.ana, scenario.sellers))
    faults = (f"lead {lead} is there 2 times", "tried by [7, 7]", "task_taken", "is missing", "the shares", "turns")
    assert [fault for fault in faults if fault not in said] == []
