"""The engine of the schedule: each slot once, each item for itself, and one leader."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from app import job_runner, jobs
from app.domain import notices
from app.domain.job_runs import JobRun
from app.domain.settings import LeadSource
from app.job_runner import SKIPPED, Every, Job, Runner, Scheduler, Work, daily_at, every_minute, run_slot
from app.ops.database import STATEMENTS
from app.ops.leader import DatabaseLeader, FileLeader
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
    def blind(session: Session, at: job_runner.JobPass) -> Work:
        raise LookupError("no glasses")

    run = run_slot(runner, Job("blind", every_minute, blind), SLOT, NOW)
    assert (run.outcome, run.error) == ("failed", "LookupError: no glasses")
    assert "could not look" in caplog.text


@pytest.mark.parametrize(("code", "tries"), [(1213, 3), (1205, 3), (1064, 1)])
def test_after_a_deadlock_an_item_is_tried_again(runner, monkeypatch, code, tries):
    monkeypatch.setattr(job_runner.stopwatch, "sleep", lambda seconds: None)
    asked: list[Any] = []

    def each(session: Session, item: Any) -> str:
        asked.append(item)
        raise OperationalError("UPDATE", {}, Exception(code, "no luck"))

    run = run_slot(runner, job(["it"], each), SLOT, NOW)
    assert (len(asked), run.failed_items, run.outcome) == (tries, 1, "failed")


def test_after_a_deadlock_the_second_try_counts(runner, monkeypatch):
    monkeypatch.setattr(job_runner.stopwatch, "sleep", lambda seconds: None)
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


# --- Chunks


def in_chunks(items: list[Any], many: Any, size: int = 4) -> Job:
    return Job("count", every_minute, lambda session, at: Work(items, many=many, size=size))


def write_all_down(session: Session, chunk: list[Any]) -> list[str]:
    return [write_down(session, item) for item in chunk]


def test_a_chunk_is_one_transaction_and_answers_for_each(runner):
    chunks: list[list[Any]] = []

    def many(session: Session, chunk: list[Any]) -> list[str]:
        chunks.append(chunk)
        return write_all_down(session, chunk)

    run = run_slot(runner, in_chunks([1, 0, 2, 3, 4], many), SLOT, NOW)
    assert chunks == [[1, 0, 2, 3], [4]]
    assert (run.outcome, run.items, written(runner)) == ("done", 4, ["1", "0", "2", "3", "4"])


def test_the_items_of_a_broken_chunk_are_done_one_by_one(runner, caplog):
    run = run_slot(runner, in_chunks([1, 13, 2, 3, 4], write_all_down), SLOT, NOW)
    assert (run.outcome, run.items, run.failed_items) == ("done", 4, 1)
    assert written(runner) == ["1", "2", "3", "4"]
    assert "failed for item 13" in caplog.text
    assert run.error == "13: ValueError: the thirteenth is broken"


def test_a_chunk_that_meets_a_deadlock_is_tried_again_as_a_whole(runner, monkeypatch):
    monkeypatch.setattr(job_runner.stopwatch, "sleep", lambda seconds: None)
    luck = iter([OperationalError("UPDATE", {}, Exception(1213, "Deadlock")), None])

    def many(session: Session, chunk: list[Any]) -> list[str]:
        answers = write_all_down(session, chunk)
        if trouble := next(luck):
            raise trouble
        return answers

    run = run_slot(runner, in_chunks([1, 2], many), SLOT, NOW)
    assert (run.items, run.failed_items, written(runner)) == (2, 0, ["1", "2"])


def test_a_pass_that_lasts_too_long_leaves_the_rest_to_the_next_minute(runner):
    def many(session: Session, chunk: list[Any]) -> list[str]:
        runner.pass_seconds = 0
        return write_all_down(session, chunk)

    run = run_slot(runner, in_chunks([1, 2, 3], many, size=2), SLOT, NOW)
    assert (run.outcome, run.items, written(runner)) == ("done", 2, ["1", "2"])


def test_a_daily_pass_goes_on_until_it_is_done(runner):
    runner.pass_seconds = 0
    daily = Job("daily", daily_at("10:00"), lambda session, at: Work([1, 2, 3], write_down))
    assert run_slot(runner, daily, SLOT, NOW).items == 3


def test_who_stops_the_process_waits_for_the_chunk_at_hand_only(runner):
    def many(session: Session, chunk: list[Any]) -> list[str]:
        runner.stopping.set()
        return write_all_down(session, chunk)

    assert run_slot(runner, in_chunks([1, 2, 3], many, size=2), SLOT, NOW).items == 2
    assert written(runner) == ["1", "2"]


def test_how_people_want_to_be_told_is_read_once_a_pass_and_only_if_there_is_something_to_do(runner):
    asked: list[str] = []
    token = STATEMENTS.set(asked)
    for number, items in enumerate(([1, 2, 3, 4, 5], [])):
        run_slot(runner, in_chunks(items, _tell_all, size=2), (f"slot {number}", NOW), NOW)
    STATEMENTS.reset(token)
    assert len([said for said in asked if "notice_choices" in said]) == 1


def _tell_all(session: Session, chunk: list[Any]) -> list[str]:
    notices.tell_many(session, [notices.News("job_lag", f"n:{item}", (), {}, {}) for item in chunk], NOW)
    return ["told"] * len(chunk)


def test_a_run_names_the_process_that_ran_it(runner):
    assert run_slot(runner, in_chunks([], write_all_down), SLOT, NOW).ran_by == f"{socket.gethostname()}:{os.getpid()}"


# --- Slots


@pytest.mark.parametrize(
    ("zone", "day", "at", "runs_at"),
    [
        ("America/New_York", "2026-03-08", "02:30", "2026-03-08T07:30Z"),  # 02:30 does not exist: 03:30 summer time
        ("America/New_York", "2026-11-01", "01:30", "2026-11-01T05:30Z"),  # 01:30 comes twice: the first
        ("America/New_York", "2026-07-01", "10:00", "2026-07-01T14:00Z"),
        ("America/New_York", "2026-12-01", "10:00", "2026-12-01T15:00Z"),
        ("Asia/Kolkata", "2026-03-08", "02:30", "2026-03-07T21:00Z"),
        ("Asia/Kolkata", "2026-11-01", "10:00", "2026-11-01T04:30Z"),
    ],
)
def test_a_daily_job_runs_once_a_local_date_minute_by_minute(runner, zone, day, at, runs_at):
    runner.zone, now = zone, datetime.fromisoformat(runs_at) - 6 * HOUR
    daily, began = Job("daily", daily_at(at), lambda session, at: Work()), []
    for _ in range(12 * 6):  # every ten minutes, from six hours before to six hours after
        if run := run_slot(runner, daily, daily.when.slot(now, zone), now):
            began.append((run.slot, f"{now:%Y-%m-%dT%H:%MZ}"))
        now += 10 * MINUTE
    assert [each for each in began if each[0].startswith(day)] == [(f"{day} {at}", runs_at)]


@pytest.mark.parametrize(
    ("when", "minutes", "runs"),
    [
        (every_minute, [0, 1, 2, 180, 181], 5),  # three hours late: the missed ones coalesce into one
        (every_minute, [0, 30, 60, 0, 30, 60, 61], 4),  # the clock goes back by an hour: nothing runs twice
        (daily_at("10:00"), [-1, 0, 1, 180], 2),  # yesterday's, missed, and today's
        (daily_at("10:00"), [0, 60, 0, 60], 1),
        (daily_at("07:00"), [0], 1),  # three hours late
        (Every(5), [0, 4, 5, 9, 10, 4], 3),
    ],
)
def test_a_slot_runs_once_whatever_the_clock_does(runner, when, minutes, runs):
    each = Job("each", when, lambda session, at: Work())
    moments = [NOW + minute * MINUTE for minute in minutes]
    began = [run_slot(runner, each, when.slot(now, makers.ZONE), now) for now in moments]
    assert len([run for run in began if run]) == runs


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


def test_two_who_lead_for_a_moment_run_each_slot_once(runner):
    class Everybody:
        def holds(self) -> bool:
            return True

        def release(self) -> None:
            pass

    daily = Job("daily", daily_at("00:00"), lambda session, at: Work([1], write_down))
    two = [Scheduler(runner, Everybody(), (daily,)) for _ in range(2)]
    for scheduler in two:
        scheduler.start()
    eventually(lambda: written(runner) == ["1"], "nobody ran it")
    for scheduler in two:
        scheduler._tick(daily)
        scheduler.stop()
    assert written(runner) == ["1"]


# --- Late jobs


@pytest.fixture
def admins(runner):
    with makers.opened(runner.sessions) as session:
        session.add_all([makers.user(session, "ada", "Admin"), makers.user(session, "otto", "Admin", active=False)])
        session.commit()


def scheduler_of(runner: Runner, tmp_path: Path, age: timedelta = HOUR) -> Scheduler:
    """A scheduler that is so old and was never started, of two jobs of every minute."""
    pair = [Job(name, every_minute, lambda session, at: Work()) for name in ("one", "other")]
    scheduler = Scheduler(runner, FileLeader(tmp_path / "scheduler.lock"), pair)
    scheduler._born -= age
    return scheduler


def ran(runner: Runner, ago: dict[str, timedelta], outcome: str = "done") -> None:
    with makers.opened(runner.sessions) as session:
        now = datetime.now(UTC)
        session.add_all(
            JobRun(job=name, slot=f"{now - span}", started_on=now - span, outcome=outcome, lag_seconds=0)
            for name, span in ago.items()
        )
        session.commit()


def alerts(runner: Runner) -> list[dict[str, Any]]:
    with makers.opened(runner.sessions) as session:
        return list(session.scalars(select(notices.Notification.payload)))


def test_that_the_jobs_stand_still_is_told_once_by_however_many_processes(runner, tmp_path, admins):
    ran(runner, {"one": 6 * MINUTE, "other": 5 * MINUTE})
    heard: list[Any] = []
    runner.announce = heard.append
    for _ in range(3):
        scheduler_of(runner, tmp_path)._watch()
    [alert] = alerts(runner)
    assert (alert["job"], alert["minutes"], len(heard)) == ("", 5, 1)


def test_a_process_looks_from_the_fourth_minute_of_its_life_only(runner, tmp_path, admins):
    ran(runner, {"one": HOUR, "other": HOUR})
    scheduler_of(runner, tmp_path, age=2 * MINUTE)._watch()
    assert alerts(runner) == []


def test_who_takes_the_lead_after_a_gap_says_from_when_until_when(runner, tmp_path, admins):
    ran(runner, {"one": 34 * MINUTE, "other": 34 * MINUTE})
    scheduler = scheduler_of(runner, tmp_path, age=0 * MINUTE)
    scheduler.start()
    eventually(lambda: len(alerts(runner)) == 1, "nobody told of the gap")
    scheduler.stop()
    [alert] = alerts(runner)
    assert (alert["minutes"], alert["until"] > alert["since"]) == (34, True)


def test_a_database_that_is_away_ends_no_watch(runner, tmp_path, caplog):
    def away() -> Session:
        raise OperationalError("SELECT", {}, Exception(2006, "gone"))

    runner.sessions = away
    scheduler_of(runner, tmp_path)._watch()
    assert "nobody could be told" in caplog.text


def test_one_process_leads_on_sqlite_and_another_follows(tmp_path):
    first, second = (FileLeader(tmp_path / "scheduler.lock") for _ in range(2))
    assert [first.holds(), second.holds(), first.holds()] == [True, False, True]
    first.release()
    assert [second.holds(), first.holds()] == [True, False]
    second.release()


def test_one_process_leads_on_mariadb_and_another_follows(mariadb_url):
    first, second = (DatabaseLeader(mariadb_url) for _ in range(2))
    assert [first.holds(), second.holds(), first.holds()] == [True, False, True]
    first.release()
    assert [second.holds(), first.holds()] == [True, False]
    second.release()
    first.release()


def test_the_lead_is_lost_with_the_connection_and_found_again(lone_mariadb: MariaDB):
    lead = DatabaseLeader(lone_mariadb.url(lone_mariadb.create_database()))
    assert lead.holds()
    lone_mariadb.kill()
    assert not lead.holds()
    lone_mariadb.start()
    assert lead.holds()
    lead.release()


def test_the_scheduler_runs_what_was_missed_and_stops_cleanly(runner, tmp_path):
    done = threading.Event()
    missed = Job("missed", daily_at("00:00"), lambda session, at: Work([1], lambda one, item: done.set() or "done"))
    scheduler = Scheduler(runner, FileLeader(tmp_path / "scheduler.lock"), (missed,))
    scheduler.start()
    assert done.wait(60)
    scheduler.stop()
    assert FileLeader(tmp_path / "scheduler.lock").holds()


def test_a_job_that_hangs_stops_no_other(runner, tmp_path):
    release, done = threading.Event(), threading.Event()
    hung = Job("hung", daily_at("00:00"), lambda session, at: (release.wait(120) and Work()) or Work())
    quick = Job("quick", daily_at("00:00"), lambda session, at: Work([1], lambda one, item: done.set() or "done"))
    scheduler = Scheduler(runner, FileLeader(tmp_path / "scheduler.lock"), (hung, quick))
    scheduler.start()
    assert done.wait(60)
    release.set()
    scheduler.stop()


def test_who_does_not_lead_runs_nothing(runner, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    leader = FileLeader(tmp_path / "scheduler.lock")
    assert leader.holds()
    scheduler = Scheduler(runner, FileLeader(tmp_path / "scheduler.lock"), (job([1], write_down),))
    scheduler.start()
    scheduler._tick(scheduler.schedule[0])
    assert written(runner) == []
    leader.release()
    scheduler._keep_leading()
    eventually(lambda: written(runner) == ["1"], "the follower does not lead")
    scheduler.stop()


@pytest.mark.parametrize(
    "when, comes",
    [
        (every_minute, "2026-11-23T04:31Z"),
        (Every(5), "2026-11-23T04:35Z"),
        (jobs.daily_at("10:00"), "2026-11-24T04:30Z"),
        (jobs.daily_at("10:00", "17:25"), "2026-11-23T11:55Z"),
    ],
)
def test_the_next_run_is_told(when: Any, comes: str) -> None:
    now = datetime(2026, 11, 23, 4, 30, 20, tzinfo=UTC)
    assert f"{when.after(now, 'Asia/Kolkata'):%Y-%m-%dT%H:%MZ}" == comes
