"""A schedule that can't start is noticed by the processes that serve pages: one notification for each admin."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from app import jobs, late_jobs
from app.domain.maintenance.job_runs import MANUAL_PREFIX, JobRun
from app.models import Delivery, Notification, User
from app.ops.monitoring import process_metrics
from tests.app_fixtures import Crm

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def ran(crm: Crm, ago: timedelta, slot: str = "") -> None:
    """All jobs of every minute ran so long ago, and none since."""
    at = datetime.now(UTC) - ago
    crm.session.execute(delete(JobRun))
    crm.session.add_all(
        JobRun(job=name, slot=slot or f"{at:%H:%M}", started_on=at, outcome="done", lag_seconds=0)
        for name in jobs.minutely()
    )
    crm.session.commit()


def looks(app: Flask, age: timedelta = HOUR) -> None:
    """A process of this age that serves pages looks for late jobs, once a minute."""
    late_jobs.watch(app, time.monotonic() - age.total_seconds())()


def alerts(crm: Crm) -> list[Any]:
    return crm.rows(select(Notification).where(Notification.kind == "job_lag"))


def test_admins_are_told_once_by_any_number_of_processes_with_the_mail_of_an_alert(crm: Crm) -> None:
    root = crm.user_id("root")
    crm.session.execute(update(User).where(User.id == root).values(notice_choices={"job_lag": {"email": True}}))
    ran(crm, 10 * MINUTE)
    for _ in range(3):
        looks(crm.app)
    [alert] = alerts(crm)
    assert alert.user_id == root and alert.payload["job"] == "" and alert.payload["minutes"] == 10
    assert [each.channel for each in crm.rows(select(Delivery).where(Delivery.notification_id == alert.id))] == [
        "email"
    ]
    page = crm.client("root").screen("/bell/").text
    assert "No job has run since" in page


@pytest.mark.parametrize(("ago", "age"), [(2 * MINUTE, HOUR), (10 * MINUTE, 2 * MINUTE)])
def test_nothing_is_told_while_jobs_run_or_the_process_has_just_begun(crm: Crm, ago: timedelta, age: timedelta) -> None:
    ran(crm, ago)
    looks(crm.app, age)
    assert alerts(crm) == []


def test_a_job_that_an_admin_has_started_does_not_look_like_a_schedule_that_runs(crm: Crm) -> None:
    ran(crm, 10 * MINUTE)
    with crm.app.app_context():
        jobs.run_now(crm.app, "watch the health")
    looks(crm.app)
    assert [each.payload["job"] for each in alerts(crm)] == [""], "one incident, not one for each of the other jobs"
    assert crm.rows(select(JobRun).where(JobRun.slot.startswith(MANUAL_PREFIX)))


def test_a_job_that_an_admin_has_started_stays_late_until_the_schedule_starts_it(crm: Crm) -> None:
    ran(crm, MINUTE)
    late = JobRun.job == "watch the health"
    crm.session.execute(update(JobRun).where(late).values(started_on=datetime.now(UTC) - 10 * MINUTE))
    crm.session.commit()
    with crm.app.app_context():
        jobs.run_now(crm.app, "watch the health")
    looks(crm.app)
    assert [each.payload["job"] for each in alerts(crm)] == ["watch the health"]


def test_the_minute_of_a_process_that_serves_pages_looks_for_late_jobs(crm: Crm) -> None:
    looked: list[bool] = []
    process_metrics.ticker(crm.app, lambda: looked.append(True))()
    end = time.monotonic() + 10
    while not looked and time.monotonic() < end:
        time.sleep(0.01)
    assert looked
