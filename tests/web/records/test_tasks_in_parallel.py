"""Several people plan tasks of the same lead at the same moment: every one is saved."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, text, update

from app.extensions import db
from app.models import Lead, Task
from tests.app_fixtures import Crm
from tests.servers import eventually

DUE = datetime(2031, 1, 6, 5, tzinfo=UTC)
#: Longer than a statement takes, and shorter than MariaDB waits for a lock.
PATIENCE = 1.0


WAITING = text("SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")


@contextmanager
def meeting_after(crm: Crm, words: str, people: int) -> Iterator[None]:
    """Let transactions that have sent this statement wait for each other, unless they can't all come so far."""
    barrier = threading.Barrier(people)

    def wait(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith(words):
            try:
                barrier.wait(PATIENCE)
            except threading.BrokenBarrierError:  # another one waits for this one: that is fine, too
                barrier.reset() if barrier.n_waiting else None

    with crm.app.app_context():
        engine = db.engine
    event.listen(engine, "after_cursor_execute", wait)
    try:
        yield
    finally:
        event.remove(engine, "after_cursor_execute", wait)


def test_everybody_who_plans_a_task_of_the_same_lead_saves_it(maria: Crm) -> None:
    lead = maria.make.lead("ana")
    maria.session.execute(update(Lead).values(next_follow_up_on=None))
    maria.session.commit()
    clients = [maria.client("ana"), maria.client("ana")]

    def plan(number: int) -> int:
        due = (DUE - timedelta(hours=number)).isoformat()
        body = {"title": f"Call {number}", "lead": lead.id, "due_on": due}
        return int(clients[number].rest("POST", "task/", body).status_code)

    with meeting_after(maria, "INSERT INTO task", 2), ThreadPoolExecutor(2) as threads:
        assert list(threads.map(plan, range(2))) == [201, 201]
    assert len(maria.rows(select(Task.id).where(Task.title.like("Call%")))) == 2
    assert maria.rows(select(Lead.next_follow_up_on).where(Lead.id == lead.id)) == [DUE - timedelta(hours=1)]


@pytest.mark.parametrize("change", [{"status": "Done"}, {"due_on": (DUE + timedelta(hours=1)).isoformat()}])
def test_who_changes_a_task_waits_for_who_assigns_its_lead_without_holding_the_task(
    maria: Crm, change: dict[str, str]
) -> None:
    lead = maria.make.lead("ana")
    task, ana = maria.make.task(lead, "ana", due_on=DUE), maria.client("ana")
    with closing(maria.engine.raw_connection()) as other, ThreadPoolExecutor(1) as threads:
        cursor = other.cursor()
        cursor.execute("SELECT 1 FROM leads WHERE id = %s FOR UPDATE", [lead.id])
        saved = threads.submit(ana.rest, "PUT", f"task/{task.id}", change | {"version": task.version})
        eventually(lambda: bool(maria.rows(WAITING)), "the change does not wait for the lead", 5)
        cursor.execute("UPDATE task SET parent_owner_id = NULL WHERE lead_id = %s", [lead.id])
        other.rollback()
    assert saved.result().status_code == 200, saved.result().text


def test_tasks_of_the_same_lead_are_moved_at_the_same_moment(maria: Crm) -> None:
    lead = maria.make.lead("ana")
    rows = [maria.make.task(lead, "ana", due_on=DUE) for _number in range(2)]
    maria.session.execute(update(Lead).values(next_follow_up_on=DUE))
    maria.session.commit()
    clients = [maria.client("ana"), maria.client("ana")]

    def move(number: int) -> int:
        due = (DUE + timedelta(hours=1 + number)).isoformat()
        body = {"due_on": due, "version": rows[number].version}
        return int(clients[number].rest("PUT", f"task/{rows[number].id}", body).status_code)

    with meeting_after(maria, "INSERT INTO activity", 2), ThreadPoolExecutor(2) as threads:
        assert list(threads.map(move, range(2))) == [200, 200]
    [due_on] = maria.rows(select(Lead.next_follow_up_on).where(Lead.id == lead.id))
    assert due_on in (DUE + timedelta(hours=1), DUE + timedelta(hours=2))
