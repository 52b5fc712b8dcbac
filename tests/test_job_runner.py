"""The job runner: each slot runs once, an item fails alone, and only the leader runs jobs."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from apscheduler.schedulers.base import STATE_RUNNING, STATE_STOPPED
from sqlalchemy import QueuePool, create_engine, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from app import job_runner, jobs
from app.domain.maintenance.job_runs import JobRun
from app.domain.notifications import notices
from app.domain.picklists import LeadSource
from app.job_runner import SKIPPED, Every, Job, JobWork, Runner, daily_at, every_minute, run_slot
from app.job_scheduler import LONGEST_LOOK_SECONDS, REST_AFTER_SECONDS, Scheduler
from app.lib.fair_semaphore import FairSemaphore
from app.ops.database.connections import STATEMENTS
from app.ops.processes.leader import DatabaseLeader, Election, FileLeader
from app.ops.processes.monotonic_scheduler import MonotonicScheduler
from tests import factories
from tests.factories import HOUR, MINUTE, NOW
from tests.servers import MariaDB, eventually

SLOT = ("2026-11-23T04:30Z", NOW)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    engine = factories.database(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")
    yield Runner(sessionmaker(engine, expire_on_commit=False))
    engine.dispose()


def job(items: list[Any], each: Any, name: str = "count") -> Job:
    return Job(name, every_minute, lambda session, at: JobWork(items, each))


def write_row(session: Session, item: Any) -> str:
    """Write a row; item 13 raises after it has written one."""
    session.add(LeadSource(label=str(item)))
    session.flush()
    if item == 13:
        raise ValueError("the thirteenth is broken")
    return "written" if item else SKIPPED


def rows_of(runner: Runner) -> list[str]:
    with factories.opened(runner.sessions) as session:
        return list(session.scalars(select(LeadSource.label).order_by(LeadSource.id)))


# --- a slot


def test_of_work_that_comes_in_turns_nothing_is_done_once_nothing_was_left(runner):
    left, asked = {"leads": 2, "tickets": 0}, []

    def go_on(session: Session, kind: str) -> str:
        asked.append(kind)
        left[kind] -= 1
        return "rows" if left[kind] >= 0 else SKIPPED

    work = JobWork(["leads", "tickets"] * 5, go_on, in_turns=True)
    run = run_slot(runner, Job("turns", every_minute, lambda session, at: work), SLOT, NOW)
    assert (run.outcome, run.items) == ("done", 2)
    assert asked == ["leads", "tickets", "leads", "leads"]


def test_a_turn_that_failed_is_not_the_last_one(runner):
    asked = []

    def go_on(session: Session, kind: str) -> str:
        asked.append(kind)
        if len(asked) == 1:
            raise ValueError("the first turn is broken")
        return SKIPPED

    turns = Job("turns", every_minute, lambda session, at: JobWork(["leads"] * 5, go_on, in_turns=True))
    assert run_slot(runner, turns, SLOT, NOW).failed_items == 1
    assert asked == ["leads"] * 2


def test_a_slot_runs_once(runner):
    count = job([1, 2], write_row)
    runs = [run_slot(runner, count, SLOT, NOW) for _ in range(2)]
    assert [run and (run.outcome, run.items) for run in runs] == [("done", 2), None]
    assert rows_of(runner) == ["1", "2"]


def test_of_eight_threads_at_once_one_runs_the_slot(runner):
    runs: list[JobRun | None] = []
    threads = [
        threading.Thread(target=lambda: runs.append(run_slot(runner, job([1], write_row), SLOT, NOW))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([run for run in runs if run]) == 1
    assert rows_of(runner) == ["1"]


def test_a_run_is_recorded(runner):
    run_slot(runner, job([0, 1, 2], write_row), SLOT, NOW + timedelta(seconds=7))
    with factories.opened(runner.sessions) as session:
        run = session.scalars(select(JobRun)).one()
    assert (run.job, run.slot, run.outcome, run.items, run.lag_seconds) == ("count", SLOT[0], "done", 2, 7)
    assert run.ended_on is not None
    assert run.ended_on >= run.started_on


# --- items


def test_a_broken_item_fails_alone_and_is_logged(runner, caplog):
    run = run_slot(runner, job([1, 13, 2], write_row), SLOT, NOW)
    assert (run.outcome, run.items, run.failed_items) == ("done", 2, 1)
    assert rows_of(runner) == ["1", "2"]
    assert "failed for item 13" in caplog.text
    assert re.fullmatch(r"13: ValueError \(test_job_runner.py:\d+\)", run.error)  # the text may hold what was typed


def test_a_job_that_cannot_find_its_items_fails(runner, caplog):
    def broken(session: Session, at: job_runner.JobPass) -> JobWork:
        raise LookupError("no items")

    run = run_slot(runner, Job("broken", every_minute, broken), SLOT, NOW)
    assert run.outcome == "failed"
    assert re.fullmatch(r"LookupError \(test_job_runner.py:\d+\)", run.error)
    assert "could not look" in caplog.text


def test_a_job_that_gets_no_connection_is_taken_up_again(runner):
    tries: list[int] = []

    def crowded(session: Session, at: job_runner.JobPass) -> JobWork:
        tries.append(1)
        if len(tries) == 1:
            raise PoolTimeout("no connection")
        return JobWork([1], write_row)

    runs = [run_slot(runner, Job("crowded", every_minute, crowded), SLOT, NOW) for _ in range(3)]
    assert [run and (run.slot, run.outcome) for run in runs] == [(SLOT[0], "cut"), (f"{SLOT[0]} (2)", "done"), None]


def test_jobs_that_are_due_at_once_wait_for_the_few_connections_of_the_process(runner):
    """Each needs a connection longer than the pool lets anybody wait."""
    with runner.sessions() as session:
        url = session.get_bind().engine.url
    engine = create_engine(url, poolclass=QueuePool, pool_size=2, max_overflow=0, pool_timeout=0.3)
    few = Runner(sessionmaker(engine, expire_on_commit=False))

    def slow(session: Session, at: job_runner.JobPass) -> JobWork:
        session.execute(select(1))
        time.sleep(0.2)
        return JobWork()

    schedule = [Job(f"slow {n}", every_minute, slow) for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        runs = list(threads.map(lambda each: run_slot(few, each, SLOT, NOW), schedule))
    assert [run and run.outcome for run in runs] == ["done"] * 8
    engine.dispose()


def test_who_comes_again_waits_behind_all_others():
    turns, order = FairSemaphore(1), list[str]()

    def other() -> None:
        with turns:
            order.append("other")

    waiting = threading.Thread(target=other)
    with turns:
        waiting.start()
        eventually(lambda: turns._waiting, "it does not wait")
    with turns:
        order.append("again")
    waiting.join()
    assert order == ["other", "again"]


@pytest.mark.parametrize(("code", "tries"), [(1213, 3), (1205, 3), (1064, 1)])
def test_after_a_conflict_an_item_is_tried_again(runner, monkeypatch, code, tries):
    monkeypatch.setattr(job_runner.stopwatch, "sleep", lambda seconds: None)
    tried: list[Any] = []

    def each(session: Session, item: Any) -> str:
        tried.append(item)
        raise OperationalError("UPDATE", {}, Exception(code, "conflict"))

    run = run_slot(runner, job(["it"], each), SLOT, NOW)
    assert (len(tried), run.failed_items, run.outcome) == (tries, 1, "failed")


def test_after_a_deadlock_the_second_try_counts(runner, monkeypatch):
    monkeypatch.setattr(job_runner.stopwatch, "sleep", lambda seconds: None)
    errors = iter([OperationalError("UPDATE", {}, Exception(1213, "Deadlock")), None])

    def each(session: Session, item: Any) -> str:
        write_row(session, item)
        if error := next(errors):
            raise error
        return "written"

    run = run_slot(runner, job([1], each), SLOT, NOW)
    assert (run.items, run.failed_items, rows_of(runner)) == (1, 0, ["1"])


def test_who_was_notified_is_announced_after_the_commit_only(runner):
    announced: list[Any] = []
    with factories.opened(runner.sessions) as session:
        ana = factories.user(session, "ana").id
        session.commit()

    def announce(notified: list[tuple[int, str]]) -> None:
        with factories.opened(runner.sessions) as session:
            announced.append((notified, session.scalar(select(func.count(notices.Notification.id)))))

    def each(session: Session, item: Any) -> str:
        notices.notify(session, notices.NoticeEvent("job_lag", f"lag:{item}", (ana,)), NOW)
        return write_row(session, item)

    runner.announce = announce
    run_slot(runner, job([13, 1], each), SLOT, NOW)
    assert announced == [([(ana, "job_lag")], 1)]


#: These are never idle: the former stores a sample and compares it with the thresholds, the latter notes who leads.
MORE_STATEMENTS = {"watch the health": 10, "compare the holders of tasks": 8}


def test_an_idle_minute_costs_at_most_six_statements(runner):
    # The first pass of all notes that no day until yesterday has calls, and no record is left to be counted.
    for name in ("count the calls of each day", "count records that have changed"):
        counting = next(one for one in jobs.SCHEDULE if one.name == name)
        run_slot(runner, counting, ("the minute before", NOW), NOW)
    for each in (one for one in jobs.SCHEDULE if one.when == every_minute):
        statements: list[str] = []
        token = STATEMENTS.set(statements)
        run_slot(runner, each, SLOT, NOW)
        STATEMENTS.reset(token)
        assert 0 < len(statements) <= MORE_STATEMENTS.get(each.name, 6), (each.name, statements)


# --- chunks


def in_chunks(items: list[Any], many: Any, size: int = 4) -> Job:
    return Job("count", every_minute, lambda session, at: JobWork(items, many=many, size=size))


def write_rows(session: Session, chunk: list[Any]) -> list[str]:
    return [write_row(session, item) for item in chunk]


def test_a_chunk_is_one_transaction_with_a_result_per_item(runner):
    chunks: list[list[Any]] = []

    def many(session: Session, chunk: list[Any]) -> list[str]:
        chunks.append(chunk)
        return write_rows(session, chunk)

    run = run_slot(runner, in_chunks([1, 0, 2, 3, 4], many), SLOT, NOW)
    assert chunks == [[1, 0, 2, 3], [4]]
    assert (run.outcome, run.items, rows_of(runner)) == ("done", 4, ["1", "0", "2", "3", "4"])


def test_the_items_of_a_broken_chunk_are_done_one_by_one(runner, caplog):
    run = run_slot(runner, in_chunks([1, 13, 2, 3, 4], write_rows), SLOT, NOW)
    assert (run.outcome, run.items, run.failed_items) == ("done", 4, 1)
    assert rows_of(runner) == ["1", "2", "3", "4"]
    assert "failed for item 13" in caplog.text
    assert re.fullmatch(r"13: ValueError \(test_job_runner.py:\d+\)", run.error)  # the text may hold what was typed


def test_a_chunk_that_meets_a_deadlock_is_tried_again_as_a_whole(runner, monkeypatch):
    monkeypatch.setattr(job_runner.stopwatch, "sleep", lambda seconds: None)
    errors = iter([OperationalError("UPDATE", {}, Exception(1213, "Deadlock")), None])

    def many(session: Session, chunk: list[Any]) -> list[str]:
        results = write_rows(session, chunk)
        if error := next(errors):
            raise error
        return results

    run = run_slot(runner, in_chunks([1, 2], many), SLOT, NOW)
    assert (run.items, run.failed_items, rows_of(runner)) == (2, 0, ["1", "2"])


def test_a_pass_that_takes_too_long_leaves_the_rest_to_the_next_minute(runner):
    def many(session: Session, chunk: list[Any]) -> list[str]:
        runner.pass_seconds = 0
        return write_rows(session, chunk)

    run = run_slot(runner, in_chunks([1, 2, 3], many, size=2), SLOT, NOW)
    assert (run.outcome, run.items, rows_of(runner)) == ("done", 2, ["1", "2"])


def test_a_daily_job_goes_on_until_it_is_done(runner):
    runner.pass_seconds = 0
    daily = Job("daily", daily_at("10:00"), lambda session, at: JobWork([1, 2, 3], write_row))
    assert run_slot(runner, daily, SLOT, NOW).items == 3


def test_stopping_waits_for_the_current_chunk_only(runner):
    def many(session: Session, chunk: list[Any]) -> list[str]:
        runner.stopping.set()
        return write_rows(session, chunk)

    assert run_slot(runner, in_chunks([1, 2, 3], many, size=2), SLOT, NOW).items == 2
    assert rows_of(runner) == ["1", "2"]


def test_notice_preferences_are_read_once_per_pass_and_only_if_there_are_items(runner):
    statements: list[str] = []
    token = STATEMENTS.set(statements)
    for number, items in enumerate(([1, 2, 3, 4, 5], [])):
        run_slot(runner, in_chunks(items, _notify_all, size=2), (f"slot {number}", NOW), NOW)
    STATEMENTS.reset(token)
    assert len([each for each in statements if "notice_choices" in each]) == 1


def _notify_all(session: Session, chunk: list[Any]) -> list[str]:
    notices.notify_many(session, [notices.NoticeEvent("job_lag", f"n:{item}", (), {}, {}) for item in chunk], NOW)
    return ["notified"] * len(chunk)


def test_a_run_names_the_process_that_ran_it(runner):
    assert run_slot(runner, in_chunks([], write_rows), SLOT, NOW).ran_by == f"{socket.gethostname()}:{os.getpid()}"


# --- slots


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
def test_a_daily_job_runs_once_per_local_date_across_clock_changes(runner, zone, day, at, runs_at):
    runner.zone, now = zone, datetime.fromisoformat(runs_at) - 6 * HOUR
    daily, runs = Job("daily", daily_at(at), lambda session, at: JobWork()), []
    for _ in range(12 * 6):  # every ten minutes, from six hours before to six hours after
        if run := run_slot(runner, daily, daily.when.slot(now, zone), now):
            runs.append((run.slot, f"{now:%Y-%m-%dT%H:%MZ}"))
        now += 10 * MINUTE
    assert [each for each in runs if each[0].startswith(day)] == [(f"{day} {at}", runs_at)]


@pytest.mark.parametrize(
    ("when", "minutes", "runs"),
    [
        (every_minute, [0, 1, 2, 180, 181], 5),  # three hours late: the missed slots coalesce into one
        (every_minute, [0, 30, 60, 0, 30, 60, 61], 4),  # the clock goes back by an hour: nothing runs twice
        (daily_at("10:00"), [-1, 0, 1, 180], 2),  # yesterday's, missed, and today's
        (daily_at("10:00"), [0, 60, 0, 60], 1),
        (daily_at("07:00"), [0], 1),  # three hours late
        (Every(5), [0, 4, 5, 9, 10, 4], 3),
    ],
)
def test_a_slot_runs_once_whatever_the_clock_does(runner, when, minutes, runs):
    each = Job("each", when, lambda session, at: JobWork())
    moments = [NOW + minute * MINUTE for minute in minutes]
    started = [run_slot(runner, each, when.slot(now, factories.ZONE), now) for now in moments]
    assert len([run for run in started if run]) == runs


def test_missed_minutes_coalesce_into_the_newest():
    assert every_minute.slot(NOW + timedelta(seconds=59), factories.ZONE) == SLOT
    assert every_minute.slot(NOW + HOUR, factories.ZONE)[0] == "2026-11-23T05:30Z"
    assert Every(5).slot(NOW + 4 * MINUTE, factories.ZONE)[0] == "2026-11-23T04:30Z"


@pytest.mark.parametrize(
    ("now", "slot"),
    [
        (NOW - timedelta(seconds=1), "2026-11-22 10:00"),
        (NOW, "2026-11-23 10:00"),
        (NOW + 23 * HOUR, "2026-11-23 10:00"),
    ],
)
def test_a_daily_job_belongs_to_a_local_date(now, slot):
    assert daily_at("10:00").slot(now, factories.ZONE)[0] == slot


def test_a_job_with_two_times_has_two_slots_a_day():
    backup = daily_at("02:00", "17:25")
    slots = [backup.slot(NOW + hours * HOUR, factories.ZONE)[0] for hours in range(24)]
    assert sorted(set(slots)) == ["2026-11-23 02:00", "2026-11-23 17:25", "2026-11-24 02:00"]


def test_the_schedule_has_no_name_twice():
    assert len(set(jobs.names())) == len(jobs.SCHEDULE)
    assert all(len(name) <= 60 for name in jobs.names())


# --- the rows of job runs


def old_run(runner: Runner, started_on: datetime, outcome: str) -> None:
    with factories.opened(runner.sessions) as session:
        slot = started_on.isoformat()[:30]
        session.add(JobRun(job="old", slot=slot, started_on=started_on, outcome=outcome, lag_seconds=0))
        session.commit()


def by_name(name: str) -> Job:
    return next(each for each in jobs.SCHEDULE if each.name == name)


def test_a_run_of_a_killed_process_counts_as_cut(runner):
    old_run(runner, NOW - 6 * MINUTE, "running")
    old_run(runner, NOW - 4 * MINUTE, "running")
    run_slot(runner, by_name("close runs that were cut off"), SLOT, NOW)
    with factories.opened(runner.sessions) as session:
        query = select(JobRun.outcome).where(JobRun.job == "old").order_by(JobRun.started_on)
        assert session.scalars(query).all() == ["cut", "running"]


def test_old_runs_are_deleted(runner):
    old_run(runner, NOW - timedelta(days=31), "done")
    old_run(runner, NOW - timedelta(days=29), "done")
    run_slot(runner, by_name("forget what is too old"), SLOT, NOW)
    with factories.opened(runner.sessions) as session:
        assert session.scalar(select(func.count()).where(JobRun.job == "old")) == 1


def test_a_job_can_be_run_by_hand(runner):
    app = type("App", (), {"extensions": {"crm_jobs": runner}})()
    runs = [jobs.run_now(app, "reassign overdue tasks", NOW) for _ in range(2)]
    assert [run.outcome for run in runs] == ["done", "done"]
    with pytest.raises(KeyError):
        jobs.run_now(app, "make coffee")


# --- leader election


def test_two_leaders_at_once_run_each_slot_once(runner):
    daily = Job("daily", daily_at("00:00"), lambda session, at: JobWork([1], write_row))
    two = [Scheduler(runner, Election(), (daily,)) for _ in range(2)]
    for scheduler in two:
        scheduler.start()
    eventually(lambda: rows_of(runner) == ["1"], "nobody ran it")
    for scheduler in two:
        scheduler._tick(daily)
        scheduler.stop()
    assert rows_of(runner) == ["1"]


# --- delayed jobs


@pytest.fixture
def admins(runner):
    with factories.opened(runner.sessions) as session:
        session.add_all(
            [factories.user(session, "ada", "Admin"), factories.user(session, "otto", "Admin", active=False)]
        )
        session.commit()


def scheduler_of(runner: Runner, tmp_path: Path, age: timedelta = HOUR) -> Scheduler:
    """A scheduler of this age that was never started, with two jobs that run every minute."""
    pair = [Job(name, every_minute, lambda session, at: JobWork()) for name in ("one", "other")]
    scheduler = Scheduler(runner, FileLeader(tmp_path / "scheduler.lock"), pair)
    scheduler._began_at -= age.total_seconds()
    return scheduler


def ran(runner: Runner, ago: dict[str, timedelta], outcome: str = "done") -> None:
    with factories.opened(runner.sessions) as session:
        now = datetime.now(UTC)
        session.add_all(
            JobRun(job=name, slot=f"{now - span}", started_on=now - span, outcome=outcome, lag_seconds=0)
            for name, span in ago.items()
        )
        session.commit()


def alerts(runner: Runner) -> list[dict[str, Any]]:
    with factories.opened(runner.sessions) as session:
        return list(session.scalars(select(notices.Notification.payload)))


def test_a_standstill_is_reported_once_by_any_number_of_processes(runner, tmp_path, admins):
    ran(runner, {"one": 6 * MINUTE, "other": 5 * MINUTE})
    announced: list[Any] = []
    runner.announce = announced.append
    for _ in range(3):
        scheduler_of(runner, tmp_path)._check_delays()
    [alert] = alerts(runner)
    assert (alert["job"], alert["minutes"], len(announced)) == ("", 5, 1)


def test_a_process_checks_for_delays_from_its_fourth_minute_only(runner, tmp_path, admins):
    ran(runner, {"one": HOUR, "other": HOUR})
    scheduler_of(runner, tmp_path, age=2 * MINUTE)._check_delays()
    assert alerts(runner) == []


def test_a_new_leader_reports_the_gap_before_it(runner, tmp_path, admins):
    ran(runner, {"one": 34 * MINUTE, "other": 34 * MINUTE})
    scheduler = scheduler_of(runner, tmp_path, age=0 * MINUTE)
    scheduler.start()
    eventually(lambda: len(alerts(runner)) == 1, "the gap was not reported")
    scheduler.stop()
    [alert] = alerts(runner)
    assert (alert["minutes"], alert["until"] > alert["since"]) == (34, True)


def test_an_unreachable_database_does_not_end_the_check_for_delays(runner, tmp_path, caplog):
    def unreachable() -> Session:
        raise OperationalError("SELECT", {}, Exception(2006, "gone"))

    runner.sessions = unreachable
    scheduler_of(runner, tmp_path)._check_delays()
    assert "could not report" in caplog.text


def test_on_sqlite_one_process_is_the_leader_until_it_releases(tmp_path):
    first, second = (FileLeader(tmp_path / "scheduler.lock") for _ in range(2))
    assert [first.acquire(), second.acquire(), first.acquire()] == [True, False, True]
    first.release()
    assert [second.acquire(), first.acquire()] == [True, False]
    second.release()


def test_on_mariadb_one_process_is_the_leader_until_it_releases(mariadb_url):
    first, second = (DatabaseLeader(mariadb_url) for _ in range(2))
    assert [first.acquire(), second.acquire(), first.acquire()] == [True, False, True]
    first.release()
    assert [second.acquire(), first.acquire()] == [True, False]
    second.release()
    first.release()


def test_leadership_ends_with_the_connection_and_can_be_regained(lone_mariadb: MariaDB):
    leader = DatabaseLeader(lone_mariadb.url(lone_mariadb.create_database()))
    assert leader.acquire()
    lone_mariadb.kill()
    assert not leader.acquire()
    lone_mariadb.start()
    assert leader.acquire()
    leader.release()


def test_the_scheduler_runs_what_was_missed_and_stops_cleanly(runner, tmp_path):
    done = threading.Event()
    missed = Job("missed", daily_at("00:00"), lambda session, at: JobWork([1], lambda one, item: done.set() or "done"))
    scheduler = Scheduler(runner, FileLeader(tmp_path / "scheduler.lock"), (missed,))
    scheduler.start()
    assert done.wait(60)
    scheduler.stop()
    assert FileLeader(tmp_path / "scheduler.lock").acquire()


def test_a_job_that_hangs_blocks_no_other(runner, tmp_path):
    release, done = threading.Event(), threading.Event()
    hung = Job("hung", daily_at("00:00"), lambda session, at: (release.wait(120) and JobWork()) or JobWork())
    quick = Job("quick", daily_at("00:00"), lambda session, at: JobWork([1], lambda one, item: done.set() or "done"))
    scheduler = Scheduler(runner, FileLeader(tmp_path / "scheduler.lock"), (hung, quick))
    scheduler.start()
    assert done.wait(60)
    assert not scheduler.retire()
    release.set()
    scheduler.stop()


def test_no_job_begins_between_the_decision_to_replace_the_process_and_its_end(runner, tmp_path):
    begun = []
    scheduler = Scheduler(runner, FileLeader(tmp_path / "scheduler.lock"), ())
    assert scheduler.retire()
    scheduler._in_background("due", lambda: begun.append(1))
    scheduler.stop()
    assert begun == [] and not scheduler._busy and scheduler._timers is None


# --- a schedule that rests


class HalfPast(Election):
    """Its time is 30 seconds after a minute, so that the next jobs are due in 30 seconds."""

    def now(self) -> datetime:
        return NOW + timedelta(seconds=30)


def leading(runner: Runner, *schedule: Job) -> Scheduler:
    """A schedule that follows another process, and leads."""
    scheduler = Scheduler(runner, HalfPast(), schedule)
    scheduler._goes_on = True
    scheduler._elect()
    return scheduler


def test_a_schedule_whose_jobs_are_done_rests_until_the_next_jobs_are_due(runner):
    idle, daily = job([], write_row), Job("daily", daily_at("00:00"), lambda session, at: JobWork())
    scheduler = leading(runner, idle, daily)
    assert scheduler.pause() is None  # neither has run
    scheduler._tick(idle)
    assert scheduler.pause() is None
    scheduler._tick(daily)
    assert scheduler.pause() == 30 and scheduler._stopping.is_set()


def test_the_first_process_after_a_start_rests_only_after_two_minutes(runner):
    scheduler = leading(runner, job([], write_row))
    scheduler._tick(scheduler.schedule[0])
    scheduler._goes_on = False
    assert scheduler.pause() is None
    scheduler._began_at -= REST_AFTER_SECONDS
    assert scheduler.pause() == 30


def test_a_slot_of_which_something_is_left_keeps_it_awake(runner):
    counting = job([1, 2], write_row)
    scheduler = leading(runner, counting)
    scheduler._term.stopping.set()
    scheduler._tick(counting)
    assert rows_of(runner) == [] and scheduler.pause() is None


def test_it_does_not_rest_while_a_job_runs_or_another_process_leads(runner):
    scheduler = leading(runner)
    scheduler._busy.add("(due)")
    assert scheduler.pause() is None
    scheduler._busy.clear()
    scheduler.is_leader = False
    assert scheduler.pause() is None and not scheduler._stopping.is_set()


def test_it_does_not_rest_on_sqlite_where_a_restore_sees_by_its_lock_that_a_server_runs(runner, tmp_path):
    scheduler = leading(runner, job([], write_row))
    scheduler._tick(scheduler.schedule[0])
    scheduler.election = FileLeader(tmp_path / "scheduler.lock")
    assert scheduler.pause() is None and not scheduler._stopping.is_set()


def test_it_does_not_rest_for_a_moment(runner, monkeypatch):
    scheduler = leading(runner, job([], write_row))
    scheduler._tick(scheduler.schedule[0])
    monkeypatch.setattr(HalfPast, "now", lambda _self: NOW + timedelta(seconds=51))
    assert scheduler.pause() is None


def test_the_lead_is_given_up_only_when_a_look_has_had_its_answer_and_none_asks_afterwards(runner, caplog):
    """Both use the same connection to the database."""
    asked, answer, calls = threading.Event(), threading.Event(), []

    class Slow(Election):
        def acquire(self) -> bool:
            asked.set()
            calls.append(answer.wait(60))
            return True

        def release(self) -> None:
            calls.append("released")

    scheduler = Scheduler(runner, Slow(), ())
    scheduler.start()
    assert asked.wait(60)
    stopping = threading.Thread(target=scheduler.stop, args=(60.0,))
    stopping.start()
    assert calls == []
    answer.set()
    stopping.join()
    assert calls == [True, "released"]
    scheduler._elect()
    assert calls == [True, "released"] and not scheduler.is_leader and "no longer" not in caplog.text


def test_its_successor_knows_what_is_done_already_and_looks_at_nothing_of_it_again(runner):
    done, begun = job([], write_row), job([], write_row, "begun")
    ended = leading(runner, done, begun)
    ended._tick(done)
    scheduler = leading(runner, done, begun)
    assert scheduler._settled_slots == {"count": SLOT[0]}
    assert [scheduler._is_due(each) for each in (done, begun)] == [False, True]


def test_only_the_first_process_says_that_it_runs_the_schedule(runner, caplog):
    with caplog.at_level(logging.INFO, "crm.jobs"):
        leading(runner)
        assert "this process runs the schedule now" not in caplog.text
        Scheduler(runner, HalfPast(), ())._elect()
        assert "this process runs the schedule now" in caplog.text


def test_a_schedule_hangs_that_has_not_looked_for_a_minute(runner, monkeypatch):
    scheduler = Scheduler(runner, Election(), ())
    monkeypatch.setattr(scheduler, "look", lambda: None)
    scheduler._looked_at -= LONGEST_LOOK_SECONDS + 1
    assert scheduler.hangs
    scheduler._look_safely()
    assert not scheduler.hangs


class AtTheEnd(logging.Handler):
    """Calls a function when APScheduler has run something, but still counts it."""

    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__()
        self.function = function

    def emit(self, record: logging.LogRecord) -> None:
        if "executed successfully" in record.getMessage():
            log.removeHandler(self)
            self.function()


log = logging.getLogger("apscheduler.executors.default")


def test_what_starts_the_moment_it_has_ended_runs_again(runner, tmp_path, caplog):
    caplog.set_level(logging.INFO, log.name)
    again = threading.Event()
    scheduler = Scheduler(runner, FileLeader(tmp_path / "scheduler.lock"), ())

    def start_again() -> None:
        scheduler._in_background("due", again.set)
        again.wait(60)

    log.addHandler(AtTheEnd(start_again))
    scheduler._in_background("due", lambda: None)
    eventually(again.is_set, "it was skipped")
    scheduler.stop()


def test_a_process_that_is_not_the_leader_runs_nothing(runner, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    leader = FileLeader(tmp_path / "scheduler.lock")
    assert leader.acquire()
    scheduler = Scheduler(runner, FileLeader(tmp_path / "scheduler.lock"), (job([1], write_row),))
    scheduler.start()
    scheduler._tick(scheduler.schedule[0])
    assert rows_of(runner) == []
    leader.release()
    scheduler.look()
    eventually(lambda: rows_of(runner) == ["1"], "the other process did not become the leader")
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
def test_when_a_job_runs_next(when: Any, comes: str) -> None:
    now = datetime(2026, 11, 23, 4, 30, 20, tzinfo=UTC)
    assert f"{when.after(now, 'Asia/Kolkata'):%Y-%m-%dT%H:%MZ}" == comes


def test_a_call_that_follows_its_own_end_at_once_is_never_dropped(runner) -> None:
    scheduler, followed = Scheduler(runner, Election(), ()), []

    def end_and_begin_again() -> None:
        scheduler._busy.discard("due")  # as at the end of a call, while APScheduler still counts it as running
        followed.append(scheduler._in_background("due", lambda: None).wait(60))

    try:
        assert scheduler._in_background("due", end_and_begin_again).wait(120)
        # A call that is dropped leaves its name busy for ever: that job never runs again
        assert followed == [True] and scheduler._busy == set()
    finally:
        scheduler.stop(0)


def test_a_schedule_that_is_stopped_while_a_call_begins_ends_without_an_error(monkeypatch) -> None:
    timers = MonotonicScheduler(2.0)
    timers.start(paused=True)
    timers.add_job(lambda: None, next_run_time=datetime.now(UTC))

    class Stopping:
        def submit_job(self, *args: Any) -> None:
            timers.state = STATE_STOPPED  # before the call is removed from the list of those to come

    monkeypatch.setattr(timers, "_lookup_executor", lambda alias: Stopping())
    timers.state = STATE_RUNNING
    assert timers._process_jobs() == 2.0


def test_no_thread_stays_for_the_next_call_and_a_machine_without_room_for_one_still_runs_them(monkeypatch) -> None:
    timers, ran = MonotonicScheduler(2.0), []
    timers.start()
    try:
        for number in range(5):
            timers.add_job(lambda number=number: ran.append(number), name=f"n{number}")
        eventually(lambda: len(ran) == 5, "not all calls run")
        eventually(lambda: not [one for one in threading.enumerate() if one.name.startswith("job n")], "a thread stays")

        def start(_thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", start)
        timers.add_job(lambda: ran.append("here"), name="n5")
        eventually(lambda: ran[-1] == "here", "the call was dropped")
    finally:
        monkeypatch.undo()
        timers.shutdown(wait=False)
