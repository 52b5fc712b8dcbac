"""Whoever is killed, at any moment: each overdue task is reassigned once, and each person is notified once."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select, update

from app.models import Assignment, Task
from tests.factories import NOW
from tests.resilience import invariants, kill_run
from tests.resilience.kill_run import Trial
from tests.resilience.process_group import PackSettings
from tests.resilience.scenario import Ground
from tests.servers import Databases


def test_ten_kills_lose_and_double_no_reassignment(mariadb_server: Databases, field: Ground) -> None:
    outcome = kill_run.of_reassignment(mariadb_server, field, Trial(1000, 10, PackSettings(count=4, limit=50)))
    assert outcome.faults == []
    assert outcome.toll.leaders and outcome.toll.having_written, outcome.toll


def test_ten_kills_lose_and_double_no_reminder(mariadb_server: Databases, field: Ground) -> None:
    outcome = kill_run.of_reminders(mariadb_server, field, Trial(1000, 10, PackSettings(count=4, limit=50)))
    assert outcome.faults == []
    assert outcome.toll.leaders and outcome.toll.having_written, outcome.toll


@pytest.mark.parametrize("prove", [kill_run.of_reassignment, kill_run.of_reminders])
def test_also_where_all_lead_at_once_nothing_happens_twice(mariadb_server: Databases, field: Ground, prove) -> None:
    assert prove(mariadb_server, field, Trial(200, 2, PackSettings(count=4, limit=100, crowded=True))).faults == []


def test_the_verdict_finds_what_is_missing_doubled_or_uneven(field: Ground) -> None:
    tasks, crm = field.lay(2, kill_run.OVERDUE), field.crm
    lead = field.rows(select(Task.lead_id).where(Task.id == tasks[0]))[0]
    twin = {"lead_id": lead, "started_on": NOW, "reason": "overdue", "decision": {}, "user_id": field.sellers[0]}
    crm.session.execute(insert(Assignment.__table__), [twin, twin])
    crm.session.execute(update(Task).where(Task.id == tasks[0]).values(tried=[7, 7]))
    crm.session.commit()
    said = " ".join(invariants.of_reassignment(field, tasks, field.ana, field.sellers))
    faults = (f"lead {lead} is there 2 times", "tried by [7, 7]", "task_taken", "is missing", "the shares", "turns")
    assert [fault for fault in faults if fault not in said] == []
