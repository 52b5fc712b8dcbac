"""A status with its task, while MariaDB and processes of the web are killed: it is whole, or not there."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import select

from app.domain import task_holders
from app.models import Activity, Lead, LeadStatus, Notification, StatusChange, Task
from tests.resilience.concurrent_requests import ask
from tests.resilience.scenario import Scenario, settled
from tests.resilience.tcp_connections import children
from tests.servers import LiveServer, MariaDB, eventually

WRITERS = 4
#: Whole saves between two kills, kills of web processes, and then of the database.
BETWEEN, OF_WEB, OF_DATABASE = 6, 4, 2


@dataclass
class Desk:
    """People who plan follow-ups and then go back to the status before, all the time."""

    scenario: Scenario
    port: int
    leads: list[int]
    #: Titles of the tasks that were said to be saved.
    told: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def work(self, writer: int) -> None:
        """At a lead of their own and, every third time, at one that all of them have."""
        was_back = True
        for n in count():
            if self.is_over.is_set():
                return
            is_own = n % 3 != 2
            key, title = self.leads[writer if is_own else -1], f"Call {writer} {n}"
            is_saved = self.plan(key, title, n)
            if is_own and is_saved and was_back:  # else it may have had the status already, and needs no task
                self.told.append(title)
            is_back = ask(self.port, "root", "PUT", f"/api/v1/lead/{key}", {"status": "Contacted"}).status == 200
            was_back = is_back if is_own else was_back

    def plan(self, key: int, title: str, n: int) -> bool:
        """Give the lead the status, with the task; whether that was said to be saved."""
        due = (datetime.now(UTC) + timedelta(minutes=60 + n)).isoformat()
        body = {"status": "Follow-up Scheduled", "task": {"title": title, "due_on": due}}
        return ask(self.port, "root", "PUT", f"/api/v1/lead/{key}", body).status == 200

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.work, args=(n,), daemon=True) for n in range(WRITERS)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            self.is_over.set()
            for each in threads:
                each.join()

    def await_more(self) -> None:
        before = len(self.told)
        eventually(lambda: len(self.told) >= before + BETWEEN, "nobody saves any more")


def faults(scenario: Scenario, leads: list[int]) -> list[str]:
    """What is half, as sentences."""
    scheduled = scenario.rows(select(LeadStatus.id).where(LeadStatus.meaning == "scheduled"))[0]
    found = []
    for key in leads:
        changes = scenario.rows(
            select(StatusChange.from_id, StatusChange.to_id, StatusChange.at)
            .where(StatusChange.lead_id == key)
            .order_by(StatusChange.id)
        )
        lead = scenario.rows(select(Lead.status_id, Lead.status_on, Lead.next_follow_up_on).where(Lead.id == key))[0]
        found += [f"lead {key}: {a} is followed by {b}" for a, b in pairwise(changes) if a[1] != b[0]]
        if (changes[-1][1], changes[-1][2]) != lead[:2]:
            found.append(f"lead {key} has {lead}, its history ends with {changes[-1]}")
        found += _of_consequences(scenario, key, changes[1:], scheduled)
        dues = scenario.rows(select(Task.due_on).where(Task.lead_id == key))
        if any(to == scheduled for _, to, _ in changes) and lead[2] not in dues:  # an earlier one that is ahead stays
            found.append(f"lead {key}: the next follow-up is {lead[2]}, its tasks are due {dues}")
    return found


def _of_consequences(scenario: Scenario, key: int, changes: list[Any], scheduled: int) -> list[str]:
    """One line of the timeline and one notice of each change; one task of each that requires one; a line of each task.

    A task also comes without a change of the status: somebody else had set it already.
    """
    at = Counter(moment for _, _, moment in changes)
    planned = Counter(moment for _, to, moment in changes if to == scheduled)
    lines = scenario.rows(select(Activity.kind, Activity.at, Activity.payload).where(Activity.lead_id == key))
    tasks = _moments(scenario, Task.created_on, Task.lead_id == key, Task.title.like("Call %"))
    stored = {
        "status lines": (at, Counter(when for kind, when, _ in lines if kind == "status_change")),
        "task lines": (
            tasks,
            Counter(when for kind, when, told in lines if kind == "task" and told["text"].startswith("Call ")),
        ),
        "planned tasks": (planned, planned & tasks),
        "notices": (
            at,
            _moments(scenario, Notification.at, Notification.lead_id == key, Notification.kind == "status"),
        ),
    }
    return [f"lead {key}: {what} {have - due} {due - have}" for what, (due, have) in stored.items() if due != have]


def _moments(scenario: Scenario, column: Any, *rules: Any) -> Counter[datetime]:
    return Counter(scenario.rows(select(column).where(*rules)))


def test_a_status_and_its_task_are_whole_whoever_is_killed(lone_mariadb: MariaDB, tmp_path: Path) -> None:
    chance = random.Random(5)
    with settled(lone_mariadb.url(lone_mariadb.create_database()), tmp_path) as scenario:
        leads = [scenario.crm.make.lead("ana", status="Contacted", task={}).id for _ in range(WRITERS + 1)]
        with LiveServer(tmp_path / "web", CRM_WORKERS="2", **scenario.settings) as web:
            desk = Desk(scenario, web.port, leads)
            with desk.at_work():
                for _ in range(OF_WEB):
                    desk.await_more()
                    os.kill(chance.choice(children(web.pid)), signal.SIGKILL)
                for _ in range(OF_DATABASE):
                    desk.await_more()
                    lone_mariadb.kill()
                    lone_mariadb.start()
                    scenario.crm.engine.dispose()
                desk.await_more()
        assert faults(scenario, leads) == []
        titles = scenario.rows(select(Task.title).where(Task.title.like("Call %")))
        assert len(set(titles)) == len(titles) and set(desk.told) <= set(titles)
        with scenario.crm.new_session() as session:
            assert [task_holders.differing(session, name) for name in task_holders.KINDS] == [0, 0]
