"""The engine of the schedule: each slot once, each item for itself, and one leader."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from app import engine, jobs
from app.domain import notices
from app.domain.runs import JobRun
from app.domain.settings import LeadSource
from app.engine import SKIPPED, Every, Job, Runner, Scheduler, Work, daily_at, every_minute, run_slot
from app.ops.database import STATEMENTS
from app.ops.lead import DatabaseLead, FileLead
from tests import makers
from tests.makers import HOUR, MINUTE, NOW
from tests.servers import MariaDB, eventually

SLOT = ("2026-11-23T04:30Z", NOW)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    engine = makers.database(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")
    yield Runner(sessionmaker(engine, expire_on_commit=False))
    engine.dispose()


def job(items: list[Any], each: Any, name: str = "count") -> Job:
    return Job(name, every_minute, lambda session, at: Work(items, each))


def write_down(session: Session, item: Any) -> str:
    """Leaves a row; item 13 breaks after it wrote one."""
    session.add(LeadSource(label=str(item)))
    session.flush()
    if item == 13:
        raise ValueError("the thirteenth is broken")
    return "written" if item else SKIPPED


def written(runner: Runner) -> list[str]:
    with makers.opened(runner.sessions) as session:
        return list(session.scalars(select(LeadSource.label).order_by(LeadSource.id)))


# --- A slot


def test_a_slot_runs_once_whoever_asks(runner):
    count = job([1, 2], write_down)
    runs = [run_slot(runner, count, SLOT, NOW) for _ in range(2)]
    assert [run and (run.outcome, run.items) for run in runs] == [("done", 2), None]
    assert written(runner) == ["1", "2"]


def test_of_eight_who_ask_at_once_one_runs_it(runner):
    runs: list[JobRun | None] = []
    threads = [
        threading.Thread(target=lambda: runs.append(run_slot(runner, job([1], write_down), SLOT, NOW)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([run for run in runs if run]) == 1
    assert written(runner) == ["1"]


def test_the_run_is_written_down(runner):
    run_slot(runner, job([0, 1, 2], write_down), SLOT, NOW + timedelta(seconds=7))
    with makers.opened(runner.sessions) as session:
        run = session.scalars(select(JobRun)).one()
    assert (run.job, run.slot, run.outcome, run.items, run.lag_seconds) == ("count", SLOT[0], "done", 2, 7)
    assert run.ended_on is not None
    assert run.ended_on >= run.started_on


# --- Items


def test_one_broken_item_stops_nobody_and_is_heard(runner, caplog):
    run = run_slot(runner, job([1, 13, 2], write_down), SLOT, NOW)
    assert (run.outcome, run.items, run.failed_items) == ("done", 2, 1)
    assert written(runner) == ["1", "2"]
    assert "failed for item 13" in caplog.text
    assert run.error == "13: ValueError: the thirteenth is broken"


def test_a_job_that_cannot_even_look_is_failed(runner, caplog):
    def blind(session: Session, at: engine.Pass) -> Work:
        raise LookupError("no glasses")

    run = run_slot(runner, Job("blind", every_minute, blind), SLOT, NOW)
    assert (run.outcome, run.error) == ("failed", "LookupError: no glasses")
    assert "could not look" in caplog.text


@pytest.mark.parametrize(("code", "tries"), [(1213, 3), (1205, 3), (1064, 1)])
def test_after_a_deadlock_an_item_is_tried_again(runner, monkeypatch, code, tries):
    monkeypatch.setattr(engine.stopwatch, "sleep", lambda seconds: None)
    asked: list[Any] = []

    def each(session: Session, item: Any) -> str:
        asked.append(item)
        raise OperationalError("UPDATE", {}, Exception(code, "no luck"))

    run = run_slot(runner, job(["it"], each), SLOT, NOW)
    assert (len(asked), run.failed_items, run.outcome) == (tries, 1, "failed")


def test_after_a_deadlock_the_second_try_counts(runner, monkeypatch):
    monkeypatch.setattr(engine.stopwatch, "sleep", lambda seconds: None)
    luck = iter([OperationalError("UPDATE", {}, Exception(1213, "Deadlock")), None])

    def each(session: Session, item: Any) -> str:
        write_down(session, item)
        if trouble := next(luck):
            raise trouble
        return "written"

    run = run_slot(runner, job([1], each), SLOT, NOW)
    assert (run.items, run.failed_items, written(runner)) == (1, 0, ["1"])


def test_who_was_notified_is_announced_after_the_commit_only(runner):
    heard: list[Any] = []
    with makers.opened(runner.sessions) as session:
        ana = makers.user(session, "ana").id
        session.commit()

    def announce(told: list[tuple[int, str]]) -> None:
        with makers.opened(runner.sessions) as session:
            heard.append((told, session.scalar(select(func.count(notices.Notification.id)))))

    def each(session: Session, item: Any) -> str:
        notices.tell(session, [ana], "job_lag", f"lag:{item}", None, None, NOW)
        return write_down(session, item)

    runner.announce = announce
    run_slot(runner, job([13, 1], each), SLOT, NOW)
    assert heard == [([(ana, "job_lag")], 1)]


def test_an_idle_minute_costs_six_statements(runner):
    for each in (one for one in jobs.SCHEDULE if one.when == every_minute):
        said: list[str] = []
        token = STATEMENTS.set(said)
        run_slot(runner, each, SLOT, NOW)
        STATEMENTS.reset(token)
        assert 0 < len(said) <= 6, said


# --- Slots


def test_missed_minutes_coalesce_into_the_newest():
    assert every_minute.slot(NOW + timedelta(seconds=59), makers.ZONE) == SLOT
    assert every_minute.slot(NOW + HOUR, makers.ZONE)[0] == "2026-11-23T05:30Z"
    assert Every(5).slot(NOW + 4 * MINUTE, makers.ZONE)[0] == "2026-11-23T04:30Z"


@pytest.mark.parametrize(
    ("now", "slot"),
    [
        (NOW - timedelta(seconds=1), "2026-11-22 10:00"),
        (NOW, "2026-11-23 10:00"),
        (NOW + 23 * HOUR, "2026-11-23 10:00"),
    ],
)
def test_a_daily_job_belongs_to_a_local_date(now, slot):
    assert daily_at("10:00").slot(now, makers.ZONE)[0] == slot


def test_a_job_with_two_times_has_two_slots_a_day():
    backup = daily_at("02:00", "17:25")
    slots = [backup.slot(NOW + hours * HOUR, makers.ZONE)[0] for hours in range(24)]
    assert sorted(set(slots)) == ["2026-11-23 02:00", "2026-11-23 17:25", "2026-11-24 02:00"]


@pytest.mark.parametrize(("day", "at"), [(datetime(2026, 3, 8), "02:30"), (datetime(2026, 11, 1), "01:30")])
def test_a_daily_job_runs_once_on_the_days_when_the_clock_changes(day, at):
    """New York skips 02:30 in spring and has 01:30 twice in autumn."""
    start = day.replace(tzinfo=UTC) + 4 * HOUR
    slots = {daily_at(at).slot(start + n * 10 * MINUTE, "America/New_York")[0] for n in range(6 * 26)}
    assert len([slot for slot in slots if slot.startswith(f"{day:%Y-%m-%d}")]) == 1


def test_the_schedule_has_no_name_twice():
    assert len(set(jobs.names())) == len(jobs.SCHEDULE)
    assert all(len(name) <= 60 for name in jobs.names())


# --- What the schedule does to its own rows


def old_run(runner: Runner, started_on: datetime, outcome: str) -> None:
    with makers.opened(runner.sessions) as session:
        slot = started_on.isoformat()[:30]
        session.add(JobRun(job="old", slot=slot, started_on=started_on, outcome=outcome, lag_seconds=0))
        session.commit()


def by_name(name: str) -> Job:
    return next(each for each in jobs.SCHEDULE if each.name == name)


def test_a_run_of_a_killed_process_counts_as_failed(runner):
    old_run(runner, NOW - 6 * MINUTE, "running")
    old_run(runner, NOW - 4 * MINUTE, "running")
    run_slot(runner, by_name("close runs that were cut off"), SLOT, NOW)
    with makers.opened(runner.sessions) as session:
        query = select(JobRun.outcome).where(JobRun.job == "old").order_by(JobRun.started_on)
        assert session.scalars(query).all() == ["failed", "running"]


def test_old_runs_are_forgotten(runner):
    old_run(runner, NOW - timedelta(days=31), "done")
    old_run(runner, NOW - timedelta(days=29), "done")
    run_slot(runner, by_name("forget old job runs"), SLOT, NOW)
    with makers.opened(runner.sessions) as session:
        assert session.scalar(select(func.count()).where(JobRun.job == "old")) == 1


def test_a_job_can_be_run_by_hand(runner):
    app = type("App", (), {"extensions": {"crm_jobs": runner}})()
    runs = [jobs.run_now(app, "reassign overdue tasks", NOW) for _ in range(2)]
    assert [run.outcome for run in runs] == ["done", "done"]
    with pytest.raises(KeyError):
        jobs.run_now(app, "make coffee")


# --- Who leads


def test_one_process_leads_on_sqlite_and_another_follows(tmp_path):
    first, second = (FileLead(tmp_path / "scheduler.lock") for _ in range(2))
    assert [first.holds(), second.holds(), first.holds()] == [True, False, True]
    first.release()
    assert [second.holds(), first.holds()] == [True, False]
    second.release()


def test_one_process_leads_on_mariadb_and_another_follows(mariadb_url):
    first, second = (DatabaseLead(mariadb_url) for _ in range(2))
    assert [first.holds(), second.holds(), first.holds()] == [True, False, True]
    first.release()
    assert [second.holds(), first.holds()] == [True, False]
    second.release()
    first.release()


def test_the_lead_is_lost_with_the_connection_and_found_again(lone_mariadb: MariaDB):
    lead = DatabaseLead(lone_mariadb.url(lone_mariadb.create_database()))
    assert lead.holds()
    lone_mariadb.kill()
    assert not lead.holds()
    lone_mariadb.start()
    assert lead.holds()
    lead.release()


def test_the_scheduler_runs_what_was_missed_and_stops_cleanly(runner, tmp_path):
    done = threading.Event()
    missed = Job("missed", daily_at("00:00"), lambda session, at: Work([1], lambda one, item: done.set() or "done"))
    scheduler = Scheduler(runner, FileLead(tmp_path / "scheduler.lock"), (missed,))
    scheduler.start()
    assert done.wait(10)
    scheduler.stop()
    assert FileLead(tmp_path / "scheduler.lock").holds()


def test_a_job_that_hangs_stops_no_other(runner, tmp_path):
    release, done = threading.Event(), threading.Event()
    hung = Job("hung", daily_at("00:00"), lambda session, at: (release.wait(20) and Work()) or Work())
    quick = Job("quick", daily_at("00:00"), lambda session, at: Work([1], lambda one, item: done.set() or "done"))
    scheduler = Scheduler(runner, FileLead(tmp_path / "scheduler.lock"), (hung, quick))
    scheduler.start()
    assert done.wait(10)
    release.set()
    scheduler.stop()


def test_who_does_not_lead_runs_nothing(runner, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    leader = FileLead(tmp_path / "scheduler.lock")
    assert leader.holds()
    scheduler = Scheduler(runner, FileLead(tmp_path / "scheduler.lock"), (job([1], write_down),))
    scheduler.start()
    scheduler._tick(scheduler.schedule[0])
    assert written(runner) == []
    leader.release()
    scheduler._keep_leading()
    eventually(lambda: written(runner) == ["1"], "the follower does not lead", 10)
    scheduler.stop()


@pytest.mark.parametrize(
    "when, comes",
    [(every_minute, "2026-11-23T04:31Z"), (Every(5), "2026-11-23T04:35Z"),
     (jobs.daily_at("10:00"), "2026-11-24T04:30Z"), (jobs.daily_at("10:00", "17:25"), "2026-11-23T11:55Z")],
)  # fmt: skip
def test_the_next_run_is_told(when: Any, comes: str) -> None:
    now = datetime(2026, 11, 23, 4, 30, 20, tzinfo=UTC)
    assert f"{when.after(now, 'Asia/Kolkata'):%Y-%m-%dT%H:%MZ}" == comes
