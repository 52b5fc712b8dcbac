"""Late jobs: what counts as late, as one incident, and who is notified."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.maintenance import job_health
from app.domain.maintenance.job_runs import JobRun, newest_runs
from app.domain.notifications.notices import Notification
from tests import factories
from tests.factories import MINUTE, NOW, ZONE

JOBS = ["one", "other"]


def run(session: Session, job: str, ago: float, outcome: str = "done") -> None:
    at = NOW - timedelta(minutes=ago)
    session.add(JobRun(job=job, slot=f"{at:%H:%M}", started_on=at, outcome=outcome, lag_seconds=0))
    session.flush()


def delays(session: Session) -> list[tuple[Any, ...]]:
    return [(each.job, each.slot, each.is_stuck) for each in job_health.current_delays(session, JOBS, NOW)]


#: (minutes ago, outcome) of the runs of each job -> incidents (job, last slot, is stuck).
CASES: dict[str, tuple[list[Any], list[Any], list[Any]]] = {
    "both run": ([(1, "done")], [(0.5, "running")], []),
    "at exactly three minutes": ([(3, "done")], [(3, "done")], []),
    "nothing ever ran": ([], [], []),
    "one does not start": ([(4, "done"), (5, "done")], [(1, "done")], [("one", "04:26", False)]),
    "one hangs": ([(4, "running")], [(1, "done")], [("one", "04:26", True)]),
    "one hangs here and runs elsewhere": ([(4, "running"), (1, "done")], [(1, "done")], [("one", "04:26", True)]),
    "one hung long ago": ([(60, "running"), (1, "done")], [(1, "done")], []),
    "the clock was set back": ([(-60, "done")], [(-61, "done")], [("", "05:31", False)]),
    "both stopped": ([(9, "done")], [(8, "done")], [("", "04:22", False)]),
}


@pytest.mark.parametrize(("one", "other", "incidents"), CASES.values(), ids=CASES)
def test_which_jobs_are_late(session: Session, one: Any, other: Any, incidents: Any) -> None:
    for job, found in (("one", one), ("other", other)):
        for ago, outcome in found:
            run(session, job, ago, outcome)
    assert delays(session) == incidents


def test_the_only_job_is_named(session: Session) -> None:
    run(session, "one", 9)
    assert [each.job for each in job_health.current_delays(session, ["one"], NOW)] == ["one"]


@pytest.mark.parametrize(("ago", "found"), [(2, 0), (34, 1)])
def test_a_process_that_takes_over_knows_of_the_gap(session: Session, ago: int, found: int) -> None:
    run(session, "one", ago)
    gaps = job_health.delay_before_takeover(session, JOBS, NOW)
    assert [(gap.since, gap.until) for gap in gaps] == [(NOW - ago * MINUTE, NOW)] * found


def test_active_admins_are_notified_of_an_incident_once(session: Session) -> None:
    ada, _ = factories.user(session, "ada", "Admin"), factories.user(session, "otto", "Admin", active=False)
    factories.user(session, "ana", "Sales User")
    run(session, "one", 34)
    for minutes in (0, 1, 2):
        now = NOW + minutes * MINUTE
        job_health.notify_admins(session, job_health.current_delays(session, JOBS, now), now, ZONE)
    job_health.notify_admins(session, job_health.delay_before_takeover(session, JOBS, NOW), NOW, ZONE)
    notice = session.scalars(select(Notification)).one()
    assert (notice.user_id, notice.payload["from"], notice.payload["minutes"]) == (ada.id, "23 Nov, 09:26", 34)


def test_the_newest_run_of_each_job(session: Session) -> None:
    for ago in (3, 1, 2):
        run(session, "one", ago)
        run(session, "other", ago + 5)
    assert {job: each.started_on for job, each in newest_runs(session, [*JOBS, "never"]).items()} == {
        "one": NOW - MINUTE,
        "other": NOW - 6 * MINUTE,
    }


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([(4, "running")], [(1, "done")], job_health.JobDelay("one", "04:26", NOW - 4 * MINUTE, is_stuck=True)),
        ([(-60, "done")], [(1, "done")], job_health.JobDelay("", "05:30", NOW + 60 * MINUTE, is_ahead=True)),
        ([(9, "running")], [(8, "done")], job_health.JobDelay("", "04:22", NOW - 8 * MINUTE)),
    ],
)
def test_an_incident_says_what_happened(session: Session, one: Any, other: Any, expected: Any) -> None:
    for job, found in (("one", one), ("other", other)):
        for ago, outcome in found:
            run(session, job, ago, outcome)
    assert job_health.current_delays(session, JOBS, NOW) == [expected]


@pytest.mark.parametrize(
    ("ago", "outcome", "is_late"),
    [
        (3, "running", False),
        (3.1, "running", True),
        (14.9, "running", True),
        (15, "running", False),
        (5, "done", False),
    ],
)
def test_a_run_hangs_between_three_and_fifteen_minutes(
    session: Session, ago: float, outcome: str, is_late: bool
) -> None:
    run(session, "one", ago, outcome)
    run(session, "one", 1)
    run(session, "other", 1)
    run(session, "third", ago, "running")
    assert [each.job for each in job_health.current_delays(session, JOBS, NOW)] == ["one"] * is_late


@pytest.mark.parametrize(("minutes", "is_ahead"), [(3, False), (3.1, True)])
def test_a_clock_is_set_back_when_a_run_lies_more_than_three_minutes_ahead(
    session: Session, minutes: float, is_ahead: bool
) -> None:
    run(session, "one", -minutes)
    assert [each.is_ahead for each in job_health.current_delays(session, JOBS, NOW)] == [True] * is_ahead


def test_several_hanging_runs_of_a_job_are_one_incident_of_the_newest(session: Session) -> None:
    for ago in (4, 6, 5):
        run(session, "one", ago, "running")
    run(session, "one", 1)
    run(session, "other", 1)
    assert [each.slot for each in job_health.current_delays(session, JOBS, NOW)] == ["04:26"]


@pytest.mark.parametrize(
    ("delay", "key", "payload"),
    [
        (
            job_health.JobDelay("one", "slot", NOW - 5 * MINUTE, is_stuck=True),
            "job_lag:one:slot",
            {"job": "one", "from": "23 Nov, 09:55", "minutes": 5, "hangs": True, "ahead": False},
        ),
        (
            job_health.JobDelay("", "slot", NOW + 7 * MINUTE, is_ahead=True),
            "job_lag:all:slot:ahead",
            {"job": "", "from": "23 Nov, 10:07", "minutes": 7, "hangs": False, "ahead": True},
        ),
        (
            job_health.JobDelay("", "slot", NOW - 9 * MINUTE, NOW - 4 * MINUTE),
            "job_lag:all:slot",
            {"job": "", "from": "23 Nov, 09:51", "minutes": 5, "hangs": False, "ahead": False, "to": "23 Nov, 09:56"},
        ),
    ],
)
def test_the_notice_tells_how_long_and_why(session: Session, delay: Any, key: str, payload: Any) -> None:
    ada = factories.user(session, "ada", "Admin")
    assert job_health.notify_admins(session, [], NOW, ZONE) == 0
    assert [job_health.notify_admins(session, iter([delay]), NOW, ZONE) for _ in range(2)] == [1, 0]
    notice = session.scalars(select(Notification)).one()
    assert (notice.kind, notice.event_key, notice.at) == ("job_lag", f"{key}:{ada.id}", NOW)
    until = {"until": delay.until.isoformat()} if delay.until else {}
    assert notice.payload == payload | {"since": delay.since.isoformat()} | until
