"""What tasks say of the holders of their leads and tickets is filled in, compared and put right, and races are won."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from app import access, jobs, maintenance_job_work
from app.access.paging import holder_pages
from app.domain import task_holders, tasks
from app.domain.change_context import ChangeContext
from app.job_scheduler import Scheduler
from app.models import Assignment, HolderCheck, JobRun, Lead, Task, Ticket
from app.ops.processes.leader import Election
from tests.app_fixtures import Crm
from tests.web.dashboards.test_rollups import NOW
from tests.web.records.test_tasks_by_holders import Holders, wrong

JOB = "compare the holders of tasks"


def unsettle(crm: Crm) -> None:
    """As an upgrade of a database with tasks leaves it."""
    with crm.engine.begin() as connection:  # past the session's hooks
        connection.execute(text("UPDATE task SET parent_assignee_id = NULL, parent_owner_id = NULL"))
        connection.execute(text("UPDATE assignment SET beside_id = NULL"))
        connection.execute(update(HolderCheck.__table__).values(is_settled=False, settles_on=None, began_on=None))
    holder_pages.forget()


def are_settled(crm: Crm) -> bool:
    holder_pages.forget()
    return holder_pages.are_settled(crm.new_session())


def filled(crm: Crm, seed: int = 1) -> Holders:
    office = Holders(crm, seed)
    for step in (*[Holders.add] * 8, *[Holders.join] * 4, Holders.give, Holders.own_it):
        step(office)
        office.session.commit()
    return office


def test_a_new_database_is_settled(crm_on_both: Crm) -> None:
    assert are_settled(crm_on_both)
    assert not jobs.run_now(crm_on_both.app, JOB, NOW).items or are_settled(crm_on_both)


def test_after_an_upgrade_the_job_fills_them_in_and_lists_wait_a_day(crm_on_both: Crm) -> None:
    """Servers of the former version may go on meanwhile."""
    crm, office = crm_on_both, filled(crm_on_both)
    unsettle(crm)
    assert wrong(office.session)
    office.session.rollback()
    for hours in (0, 1, 23):
        with crm.engine.begin() as connection:
            connection.execute(update(Lead.__table__).values(owner_id=office.person(), assignee_id=office.person()))
            connection.execute(update(Ticket.__table__).values(owner_id=office.person()))
        assert jobs.run_now(crm.app, JOB, NOW + timedelta(hours=hours)).items
        assert wrong(office.session) == []
        office.session.rollback()
        assert not are_settled(crm)
    jobs.run_now(crm.app, JOB, NOW + timedelta(hours=25))
    assert are_settled(crm)
    assert not jobs.run_now(crm.app, JOB, NOW + timedelta(hours=26)).items


def run_every_minute(crm: Crm, since: datetime, minutes: int) -> None:
    """What the leader of a version without the columns leaves."""
    moments = [since + timedelta(minutes=n) for n in range(minutes)]
    with crm.engine.begin() as connection:
        rows = [
            {"job": task_holders.EVERY_MINUTE, "slot": f"{at:%Y-%m-%dT%H:%MZ}", "started_on": at, "outcome": "done"}
            for at in moments
        ]
        same = {"items": 0, "failed_items": 0, "lag_seconds": 0}
        connection.execute(insert(JobRun.__table__), [row | same for row in rows])


def test_after_a_way_back_and_forth_lists_do_not_rely_on_them_and_all_are_compared_at_once(crm_on_both: Crm) -> None:
    crm, office = crm_on_both, filled(crm_on_both)
    jobs.run_now(crm.app, JOB, NOW)
    run_every_minute(crm, NOW, 2)
    assert are_settled(crm)
    run_every_minute(crm, NOW + timedelta(minutes=2), 3)  # the former version
    with crm.engine.begin() as connection:
        connection.execute(update(Lead.__table__).values(owner_id=office.person(), assignee_id=office.person()))
        connection.execute(update(Ticket.__table__).values(owner_id=office.person(), assignee_id=office.person()))
    assert wrong(office.session)
    office.session.rollback()
    assert not are_settled(crm)  # before any job of this version runs
    assert jobs.run_now(crm.app, JOB, NOW + timedelta(minutes=6)).items
    assert wrong(office.session) == []
    office.session.rollback()
    assert not are_settled(crm)  # one of its servers may still run
    jobs.run_now(crm.app, JOB, NOW + timedelta(hours=25))
    assert are_settled(crm)


def test_while_nothing_ran_nothing_has_to_be_compared(crm: Crm) -> None:
    filled(crm)
    jobs.run_now(crm.app, JOB, NOW)
    jobs.run_now(crm.app, JOB, NOW + timedelta(hours=25))
    run_every_minute(crm, NOW + timedelta(hours=25), 1)
    for days in (2, 3):
        jobs.run_now(crm.app, JOB, NOW + timedelta(days=days))
        run_every_minute(crm, NOW + timedelta(days=days), 1)
        assert are_settled(crm)


def test_after_a_night_without_a_server_the_first_minute_is_nobody_elses(crm: Crm) -> None:
    """The new leader says that it keeps them before any job of its first minute runs."""

    class Morning(Election):
        def now(self) -> datetime:
            return NOW + timedelta(hours=33)

    filled(crm)
    jobs.run_now(crm.app, JOB, NOW)
    jobs.run_now(crm.app, JOB, NOW + timedelta(hours=25))
    scheduler = Scheduler(jobs._runner_of(crm.app), Morning(), (), maintenance_job_work.note_holders_are_kept)
    scheduler._elect()
    run_every_minute(crm, NOW + timedelta(hours=33), 1)  # "send due reminders" comes before "compare the holders"
    jobs.run_now(crm.app, JOB, NOW + timedelta(hours=33, seconds=5))
    assert are_settled(crm)


def test_the_schedule_notes_at_its_election_that_holders_are_kept(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "Scheduler", lambda *given: given)
    monkeypatch.setitem(crm.app.config, "CRM", replace(crm.app.config["CRM"], scheduler=True))
    given: Any = jobs.schedule_of(crm.app)
    assert given[2:] == (jobs.SCHEDULE, maintenance_job_work.note_holders_are_kept)


def test_sql_by_hand_is_put_right_within_a_day_and_shows_nobody_anything(crm: Crm) -> None:
    make, ana = crm.make, crm.people["ana"].id
    lead = make.lead("ben")
    task = make.task(lead, "ben")
    with crm.engine.begin() as connection:
        connection.execute(update(Task.__table__).values(parent_assignee_id=ana, parent_owner_id=ana))
    crm.session.rollback()
    page = access.PageQuery([Task.status == "Todo"], 5, 0, Task.__table__.c.due_on, False)
    with crm.as_person("ana") as session:
        who = access.acting(session)
        assert who is not None
        assert task.id in (access.page_by_person(session, who, Task, page) or [])  # type: ignore[operator]
    assert task.title not in crm.client("ana").screen("/tasks/").text
    jobs.run_now(crm.app, JOB, NOW)
    jobs.run_now(crm.app, JOB, NOW + timedelta(hours=25))
    assert wrong(crm.session) == []
    assert are_settled(crm)


def test_the_operator_can_compare_them_at_once(crm: Crm) -> None:
    office = filled(crm)
    unsettle(crm)
    office.session.rollback()
    run = crm.app.test_cli_runner()
    asked = run.invoke(args=["rollup", "check"])
    assert asked.exit_code == 1
    assert "don't say who holds their lead or ticket" in asked.output
    assert run.invoke(args=["rollup", "rebuild"]).exit_code == 0
    assert run.invoke(args=["rollup", "check"]).exit_code == 0
    assert wrong(office.session) == []
    assert are_settled(crm)


def test_an_assignment_that_ends_is_beside_nobody(crm: Crm) -> None:
    office = filled(crm)
    beside = office.session.scalars(select(Assignment).where(Assignment.beside_id.is_not(None))).all()
    assert beside
    for row in beside:
        assert row.beside_id == row.user_id
        assert row.ended_on is None


def test_a_task_waits_for_who_changes_the_holder_of_its_lead(maria: Crm) -> None:
    lead, ben = maria.make.lead("ana"), maria.people["ben"].id
    giving = maria.new_session()
    giving.execute(select(Lead.id).where(Lead.id == lead.id).with_for_update())
    giving.get_one(Lead, lead.id).assignee_id = ben
    giving.flush()

    def add() -> int:
        session = maria.new_session()
        values = {"title": "Call", "lead_id": lead.id, "due_on": NOW}
        made = tasks.create(session, values, ChangeContext(maria.people["ana"].id, NOW))
        session.commit()
        return int(made.id)

    with ThreadPoolExecutor(1) as pool:
        adding = pool.submit(add)
        _until_it_waits(maria)
        giving.commit()
        key = adding.result(30)
    stored = Task.__table__.c
    assert maria.rows(select(stored.parent_assignee_id).where(stored.id == key)) == [ben]


def _until_it_waits(crm: Crm) -> None:
    until = datetime.now(UTC) + timedelta(seconds=30)
    waiting = text("SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
    with crm.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(waiting):
            assert datetime.now(UTC) < until
            time.sleep(0.25)  # what was read within the last tenth of a second is answered from a cache
