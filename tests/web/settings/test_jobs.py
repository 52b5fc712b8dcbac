"""The jobs page: which server runs the jobs, the last run of each, and errors."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from app.models import JobRun, OfficeRange
from app.notice_texts import text_of
from app.ops.monitoring import process_health
from app.ops.processes.leader import DatabaseLeader
from app.web.settings import health_databases
from tests.app_fixtures import Crm
from tests.cases import each_case

JOB = "send due reminders"


def ran(crm: Crm, ago: timedelta, job: str = JOB, **columns: Any) -> None:
    at = datetime.now(UTC) - ago
    row = {
        "job": job,
        "slot": f"{at:%Y-%m-%dT%H:%MZ}",
        "started_on": at,
        "ended_on": at + timedelta(milliseconds=42),
        "outcome": "done",
        "items": 0,
        "failed_items": 0,
        "lag_seconds": 1,
        "ran_by": "crm1:4711",
    }
    crm.session.execute(insert(JobRun), [row | columns])
    crm.session.commit()


def page(crm: Crm, path: str = "/jobs/") -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", crm.client("root").screen(path).text.partition("<main")[2]).split())


MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("ago", "scheduler", "said"),
    [
        (None, True, "No job has run yet"),
        (None, False, "Jobs are not running: CRM_SCHEDULER is off everywhere"),
        (MINUTE, True, "crm1:4711 is the leader"),
        (MINUTE, False, "crm1:4711 is the leader"),
        (HOUR, True, "Jobs have been delayed since"),
        (HOUR, False, "Jobs are not running: CRM_SCHEDULER is off everywhere"),
    ],
)
def test_the_page_shows_who_runs_the_jobs(crm: Crm, ago: Any, scheduler: bool, said: str) -> None:
    object.__setattr__(crm.app.config["CRM"], "scheduler", scheduler)
    if ago:
        ran(crm, ago)
    assert said in page(crm)


def test_late_jobs_are_on_the_health_page_and_no_page_promises_that_a_web_process_takes_over(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = crm.app.config["CRM"]
    object.__setattr__(settings, "scheduler", True)
    ran(crm, MINUTE)
    assert "No job has started" not in page(crm, "/health/")
    crm.session.execute(update(JobRun).values(started_on=datetime.now(UTC) - HOUR))
    crm.session.commit()
    assert "Scheduler Failed No job has started for 60 minutes." in page(crm, "/health/")
    assert "takes over within seconds" in page(crm)
    monkeypatch.setattr(type(settings), "runs_schedule_beside", True)
    assert "is replaced when it ends or hangs" in page(crm)


def test_a_manual_run_does_not_count_as_the_leader(crm: Crm) -> None:
    crm.client("root").form(f"/jobs/run/{JOB}")
    assert "Jobs are not running" in page(crm)


def test_without_office_hours_the_page_warns(crm: Crm) -> None:
    assert "The office is always open" not in page(crm)
    for row in crm.session.scalars(select(OfficeRange)):
        crm.session.delete(row)
    crm.session.commit()
    assert "The office is always open" in page(crm)


def test_each_job_shows_its_last_run(crm: Crm) -> None:
    ran(crm, 2 * HOUR, items=9)
    ran(crm, HOUR, items=7, failed_items=2, error="13: ValueError: broken", lag_seconds=65)
    said = page(crm)
    for words in ("42 ms", "7 2 failed", "13: ValueError: broken", "1m 5s", "crm1:4711", "1 h ago"):
        assert words in said, words


def test_a_run_that_does_not_end_is_not_responding(crm: Crm) -> None:
    ran(crm, 5 * MINUTE, outcome="running", ended_on=None)
    assert "not responding" in page(crm)


def test_the_last_hundred_runs_of_a_job(crm: Crm) -> None:
    for number in range(103):
        ran(crm, number * MINUTE, items=number == 1, outcome="failed" if number == 2 else "done")
    client = crm.client("root")
    assert [client.screen(f"/jobs/{JOB}/?show={show}").text.count("<tr>") - 1 for show in ("", "busy", "failed")] == [
        100,
        2,
        1,
    ]
    assert "This job has not run yet" in page(crm, "/jobs/expire leads/")


@each_case("who, status", [("root", 200), ("mia", 403), ("ana", 403), ("rhea", 403)])
def test_runs_need_access_to_settings(crm: Crm, who: str, status: int) -> None:
    for path in ("/jobs/", f"/jobs/{JOB}/"):
        answer = crm.client(who).screen(path)
        assert (200 if answer.status_code == 200 else 403) == status
    assert crm.client("root").screen("/jobs/nonsense/").status_code == 404


def test_reading_settings_shows_runs_without_buttons(crm: Crm) -> None:
    crm.make.cell("Sales Manager", "Settings", "read", "all")
    ran(crm, MINUTE)
    said = crm.client("mia").screen("/jobs/").text
    assert "crm1:4711 is the leader" in said
    assert "/jobs/run/" not in said


LAG = {"since": "x", "from": "23 Nov, 10:31", "minutes": 34}


@pytest.mark.parametrize(
    ("says", "text"),
    [
        (LAG | {"job": ""}, "No job has run since 23 Nov, 10:31. Please check the jobs page."),
        (
            LAG | {"job": "x", "hangs": True},
            ("The job “x” started at 23 Nov, 10:31 and hasn't finished. Please check it."),
        ),
        (LAG | {"job": "x"}, "The job “x” hasn't run since 23 Nov, 10:31. Please check it."),
        (
            LAG | {"job": "", "to": "23 Nov, 11:05"},
            "No jobs ran from 23 Nov, 10:31 to 23 Nov, 11:05 (34 minutes). They are running again.",
        ),
    ],
)
def test_the_notice_of_delayed_jobs_names_the_time(app: Any, says: dict[str, Any], text: str) -> None:
    with app.test_request_context():
        assert text_of(type("Row", (), {"kind": "job_lag", "payload": says, "actor_id": None})()) == text


def test_a_wrong_clock_is_said_on_the_page_and_in_healthz(crm: Crm) -> None:
    process_health.report("clock", "the clock of this process is 61 min 0 s ahead of the database's")
    try:
        assert "This server's clock is wrong" in page(crm).replace("&#39;", "'")
        assert "61 min 0 s ahead" in page(crm)
        assert crm.app.test_client().get("/healthz").text.splitlines()[0] == "ok"
        assert "61 min 0 s ahead" in crm.app.test_client().get("/healthz").text
    finally:
        process_health.take_note("clock")
    assert crm.app.test_client().get("/healthz").text == "ok"


def test_a_cut_run_and_its_continuation_are_shown(crm: Crm) -> None:
    ran(crm, HOUR, "expire leads", slot="2026-11-23 10:00", outcome="cut", items=307)
    ran(crm, HOUR - MINUTE, "expire leads", slot="2026-11-23 10:00 (2)", items=2693)
    said = page(crm, "/jobs/expire leads/")
    for words in ("cut off", "307", "2693", "2026-11-23 10:00 (2)"):
        assert words in said, words


@pytest.mark.parametrize(
    ("leader", "note"),
    [("127.0.0.1", "This process runs the jobs; another"), (None, "one starts when the next job is due.")],
)
def test_that_nobody_leads_between_two_minutes_is_nothing_wrong(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, leader: str | None, note: str
) -> None:
    monkeypatch.setattr(DatabaseLeader, "place", lambda _session: leader)
    with crm.app.test_request_context():
        shown = health_databases._leader({"word": "In use", "tone": "green"})
    assert shown["server"] == (leader or "–") and shown["tone"] == "green" and note in shown["note"]
