"""An interrupted run ends as “cut”, and the leader repeats its slot: nothing is lost or done twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from app import job_runner, jobs
from app.domain.maintenance.job_runs import MANUAL_PREFIX, JobRun
from app.domain.picklists import LeadSource
from app.job_runner import Every, Job, JobWork, Runner, daily_at, every_minute, run_slot
from app.job_scheduler import Scheduler
from app.ops.processes.leader import Election
from tests import factories
from tests.factories import HOUR, MINUTE, NOW
from tests.servers import eventually

ITEMS = [1, 2, 3, 4, 5]
WHENS = [every_minute, Every(5), Every(60), daily_at("10:00"), daily_at("00:00", "12:00")]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    engine = factories.database(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")
    yield Runner(sessionmaker(engine, expire_on_commit=False))
    engine.dispose()


def another(runner: Runner) -> Runner:
    """The runner of another process on the same database."""
    return Runner(runner.sessions)


def counting(when: Any, stop: Any = None) -> Job:
    """A job that writes each of ITEMS once; `stop` is called after each."""

    def find(session: Session, at: job_runner.JobPass) -> JobWork:
        done = set(session.scalars(select(LeadSource.label)))
        return JobWork([item for item in ITEMS if str(item) not in done][: at.limit], each)

    def each(session: Session, item: Any) -> str:
        session.add(LeadSource(label=str(item)))
        if stop:
            stop(item)
        return "written"

    return Job("count", when, find)


def labels(runner: Runner) -> list[str]:
    with factories.opened(runner.sessions) as session:
        return list(session.scalars(select(LeadSource.label).order_by(LeadSource.id)))


def runs(runner: Runner, job: str = "count") -> list[tuple[str, str, int]]:
    with factories.opened(runner.sessions) as session:
        query = select(JobRun.slot, JobRun.outcome, JobRun.items).where(JobRun.job == job).order_by(JobRun.id)
        return [tuple(row) for row in session.execute(query)]  # type: ignore[misc]


@pytest.mark.parametrize("when", WHENS)
def test_a_stop_cuts_a_run_and_its_slot_is_taken_up_again(runner: Runner, when: Any) -> None:
    slot = when.slot(NOW, factories.ZONE)
    cut = counting(when, lambda item: runner.stopping.set() if item == 2 else None)
    assert (run_slot(runner, cut, slot, NOW) or JobRun()).outcome == "cut"
    next_leader = another(runner)
    rest = [run_slot(next_leader, counting(when), slot, NOW + MINUTE) for _ in range(2)]
    assert rest[1] is None
    assert runs(runner) == [(slot[0], "cut", 2), (f"{slot[0]} (2)", "done", 3)]
    assert labels(runner) == ["1", "2", "3", "4", "5"]


class StoppedClock(Election):
    """Every process leads, always at the same time: a slot doesn't pass while a busy machine gets to it."""

    def __init__(self) -> None:
        self.time = super().now()

    def now(self) -> datetime:
        return self.time


@pytest.mark.parametrize("job", jobs.SCHEDULE, ids=lambda job: job.name)
def test_a_killed_run_of_every_job_is_taken_up_again_by_the_next_leader(runner: Runner, job: Job) -> None:
    scheduler = Scheduler(runner, StoppedClock(), (job,))
    slot = job.when.slot(scheduler.election.now(), runner.zone)
    leave_running(runner, job.name, slot[0])
    scheduler.start()
    eventually(lambda: (f"{slot[0]} (2)", "done") in [run[:2] for run in runs(runner, job.name)], "not taken up again")
    scheduler.stop()
    assert runs(runner, job.name)[0][1] == "cut"


def leave_running(runner: Runner, job: str, slot: str, **columns: Any) -> None:
    """The row that a killed process leaves behind."""
    row = {"started_on": NOW, "outcome": "running", "lag_seconds": 0, "items": 0, "ran_by": "other:1"} | columns
    with factories.opened(runner.sessions) as session:
        session.add(JobRun(job=job, slot=slot, **row))
        session.commit()


def test_a_new_leader_leaves_runs_by_hand_and_its_own_alone(runner: Runner) -> None:
    leave_running(runner, "count", f"{MANUAL_PREFIX}1")
    leave_running(runner, "count", "ours")
    leave_running(runner, "count", "theirs")
    with factories.opened(runner.sessions) as session:
        runner.active.add(session.scalars(select(JobRun.id).where(JobRun.slot == "ours")).one())
    Scheduler(runner, Election(), ())._elect()
    assert [run[1] for run in runs(runner)] == ["running", "running", "cut"]


def test_a_run_by_hand_that_is_silent_is_cut_but_never_taken_up_again(runner: Runner) -> None:
    slot = f"{MANUAL_PREFIX}11-23T04:30:00"
    leave_running(runner, "count", slot, started_on=NOW - HOUR, seen_on=NOW - 6 * MINUTE)
    leave_running(runner, "count", f"{slot}.1", started_on=NOW - HOUR, seen_on=NOW - 4 * MINUTE)
    close = next(job for job in jobs.SCHEDULE if job.name == "close runs that were cut off")
    run_slot(runner, close, ("now", NOW), NOW)
    assert [run[:2] for run in runs(runner)] == [(slot, "cut"), (f"{slot}.1", "running")]


def test_a_lead_that_is_lost_ends_the_runs_of_its_term(runner: Runner) -> None:
    class Losing(Election):
        leads = True

        def acquire(self) -> bool:
            return self.leads

    began, go_on, election = threading.Event(), threading.Event(), Losing()

    def wait(item: Any) -> None:
        began.set()
        assert go_on.wait(60)

    scheduler = Scheduler(runner, election, (counting(daily_at("00:00"), wait),))
    scheduler.look()
    assert began.wait(60)
    election.leads = False
    scheduler.look()
    go_on.set()
    eventually(lambda: [run[1:] for run in runs(runner)] == [("cut", 1)], "it went on")
    election.leads = True

    def is_taken_up() -> bool:
        scheduler.look()  # one look may come while the cut run's thread is still ending
        return labels(runner) == ["1", "2", "3", "4", "5"]

    eventually(is_taken_up, "it was not taken up again")
    scheduler.stop()


def test_a_database_that_is_lost_cuts_the_run(runner: Runner) -> None:
    def lose(item: Any) -> None:
        if item == 3:
            raise OperationalError("INSERT", {}, Exception(2013, "Lost connection"))

    slot = ("2026-11-23 10:00", NOW)
    run = run_slot(runner, counting(daily_at("10:00"), lose), slot, NOW)
    assert run is not None
    assert (run.outcome, run.items, run.error) == ("cut", 2, "3: Exception 2013")
    run_slot(runner, counting(daily_at("10:00")), slot, NOW)
    assert labels(runner) == ["1", "2", "3", "4", "5"]


def test_a_run_whose_end_could_not_be_stored_is_taken_up_again(runner: Runner, monkeypatch: Any) -> None:
    def away(*args: Any) -> None:
        raise OperationalError("UPDATE", {}, Exception(2006, "gone"))

    slot = ("2026-11-23 10:00", NOW)
    with monkeypatch.context() as patched, pytest.raises(OperationalError):
        patched.setattr(job_runner, "_finish", away)
        run_slot(runner, counting(daily_at("10:00"), lambda item: runner.stopping.set()), slot, NOW)
    runner.stopping.clear()
    run_slot(runner, counting(daily_at("10:00")), slot, NOW)
    assert [run[1] for run in runs(runner)] == ["cut", "done"]
    assert labels(runner) == ["1", "2", "3", "4", "5"]


def test_ctrl_c_cuts_a_run(runner: Runner) -> None:
    def interrupt(item: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_slot(runner, counting(every_minute, interrupt), (f"{MANUAL_PREFIX}1", NOW), NOW)
    assert runs(runner) == [(f"{MANUAL_PREFIX}1", "cut", 0)]


def test_a_slot_that_is_cut_off_again_and_again_is_given_up(runner: Runner) -> None:
    slot, count = ("2026-11-23 10:00", NOW), job_runner.MAX_CONTINUATIONS
    job = Job("count", daily_at("10:00"), lambda session, at: JobWork([1], lambda s, item: "written"))
    runner.stopping.set()
    made = [run_slot(runner, job, slot, NOW) for _ in range(count + 3)]
    assert len([run for run in made if run]) == count
    assert job_runner.is_settled(runner, job, slot)
    assert runs(runner)[-1][1] == "failed"


@pytest.mark.parametrize("when", WHENS)
def test_only_a_job_of_every_minute_leaves_what_exceeds_a_pass_to_the_next_one(runner: Runner, when: Any) -> None:
    runner.limit, runner.pass_seconds = 2, 1000
    run_slot(runner, counting(when), when.slot(NOW, factories.ZONE), NOW)
    assert len(labels(runner)) == (2 if when == every_minute else len(ITEMS))


def test_a_long_run_shows_that_it_lives(runner: Runner, monkeypatch: Any) -> None:
    monkeypatch.setattr(job_runner, "SIGN_OF_LIFE_SECONDS", 0.0)
    run_slot(runner, counting(every_minute), ("now", NOW), NOW)
    with factories.opened(runner.sessions) as session:
        seen_on = session.scalars(select(JobRun.seen_on)).one()
    assert seen_on is not None
    assert NOW < seen_on < NOW + timedelta(minutes=5)
