"""`job run`: a dry run shows the changes without making them; a time in the future needs confirmation."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select, update

from app import jobs
from app.domain.analytics import record_rollup_fill
from app.domain.analytics.record_rollups import RECORDS
from app.extensions import db
from app.models import Activity, Delivery, JobRun, Lead, Notification
from app.ops.queues import queue
from tests.app_fixtures import Crm
from tests.cases import each_case

DAYS = timedelta(days=1)


@pytest.fixture
def busy(crm: Crm) -> Iterator[Crm]:
    """A database in which every job finds something to do."""
    old = datetime.now(UTC) - 100 * DAYS
    for name in ("ana", "ben"):
        lead = crm.make.lead(name)
        crm.session.execute(update(Lead).where(Lead.id == lead.id).values(status_on=old, changed_on=old))
    crm.session.execute(update(Activity).values(at=old))
    crm.session.commit()
    crm.session.execute(
        insert(JobRun),
        [
            {
                "job": "x",
                "slot": f"{n}",
                "started_on": old,
                "outcome": "running",
                "items": 0,
                "failed_items": 0,
                "lag_seconds": 0,
            }
            for n in range(3)
        ],
    )
    crm.session.commit()
    yield crm


def everything(crm: Crm) -> dict[str, list[Any]]:
    """All rows of all tables."""
    with crm.session.get_bind().connect() as connection:
        names = db.metadatas[None].tables
        # Not as text(…), whose parsing takes longer than most of these tables
        return {name: sorted(map(str, connection.exec_driver_sql(f"SELECT * FROM `{name}`"))) for name in names}  # noqa: S608


def run(crm: Crm, *words: str, answer: str | None = None) -> Any:
    return crm.app.test_cli_runner().invoke(args=["job", "run", *words], input=answer)


@each_case("name", jobs.names(), ids=str)
def test_a_dry_run_of_every_job_changes_nothing(busy: Crm, name: str, instance: Any) -> None:
    before, files = everything(busy), {path: path.read_bytes() for path in instance.glob("*.log")}
    done = run(busy, name, "--dry-run", "--at", f"{datetime.now(UTC) + 400 * DAYS:%Y-%m-%dT%H:%M}")
    assert done.exit_code == 0, done.output
    assert done.output.endswith("Nothing was changed.\n")
    assert everything(busy) == before
    assert {path: path.read_bytes() for path in instance.glob("*.log")} == files
    assert [each.waiting + each.later for each in queue.depths() or ()] == [0, 0, 0]


def test_a_dry_run_tells_what_would_change(busy: Crm) -> None:
    said = run(busy, "expire leads", "--dry-run").output
    assert "expire leads (dry run): 2 records, 0 would fail." in said
    assert "leads: 2 changed" in said
    assert run(busy, "forget what is too old", "--dry-run").output.count("job_run: 3 deleted") == 1
    assert run(busy, "expire leads").output.startswith("expire leads: done, 2 records")


@pytest.mark.parametrize("typed", ["Expire Leads", "EXPIRE LEADS", " expire  leads ", "expire-leads"])
def test_the_name_of_a_job_is_taken_in_any_case(busy: Crm, typed: str) -> None:
    assert run(busy, typed, "--dry-run").output.startswith("expire leads (dry run): 2 records")


@pytest.mark.parametrize(
    "typed, hint",
    [
        ("expire lead", "Did you mean “expire leads”?"),
        ("qqq", "named “qqq”. Run"),
        ("REMIND OF DUE TASKS", "Did you mean “send due reminders”?"),
    ],
)
def test_an_unknown_job_is_refused_with_the_nearest_name(busy: Crm, typed: str, hint: str) -> None:
    refused = run(busy, typed)
    assert refused.exit_code == 1 and hint in refused.output and "job list" in refused.output


def zone_of(crm: Crm) -> ZoneInfo:
    return ZoneInfo(crm.app.config["CRM"].time_zone)


@pytest.mark.parametrize(
    ("job", "told"), [("count records that have changed", "2 records"), ("compare the counts of records", "0 records")]
)
def test_a_dry_run_counts_no_row_twice(busy: Crm, job: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that was rolled back would be followed by the same one."""
    looked_at, count_rows = list[tuple[int, int]](), record_rollup_fill.count_rows

    def noted(session: Any, kind: int, keys: Any, rules: Any) -> set[int]:
        looked_at.extend((kind, key) for key in keys)
        return count_rows(session, kind, keys, rules)

    if told == "0 records":
        for kind in RECORDS:
            while record_rollup_fill.count_marked(busy.session, kind, zone_of(busy), datetime.now(UTC)):
                busy.session.commit()
            busy.session.commit()
    monkeypatch.setattr(record_rollup_fill, "count_rows", noted)
    assert f"{job} (dry run): {told}, 0 would fail." in run(busy, job, "--dry-run").output
    assert len(looked_at) == len(set(looked_at)) == 4  # two leads, each with a task


FUTURE = f"{datetime.now(UTC) + 300 * DAYS:%Y-%m-%dT%H:%M}"


@pytest.mark.parametrize(("answer", "runs"), [("y\n", 1), ("n\n", 0), ("\n", 0), ("", 0), (None, 0)])
def test_a_time_in_the_future_asks(busy: Crm, answer: str | None, runs: int) -> None:
    said = run(busy, "expire leads", "--at", FUTURE, answer=answer)
    assert "is in the future" in said.output
    assert "--dry-run" in said.output
    assert busy.count(JobRun, JobRun.job == "expire leads") == runs
    assert (said.exit_code == 0) == bool(runs)


def test_yes_answers_for_a_script_and_the_past_asks_nothing(busy: Crm) -> None:
    for words in (("--at", FUTURE, "--yes"), ("--at", "2020-01-01T10:00"), ()):
        said = run(busy, "expire requests", *words)
        assert (said.exit_code, "in the future" in said.output) == (0, False), said.output


def test_a_dry_run_sends_and_announces_nothing(busy: Crm) -> None:
    when = datetime.now(UTC) - timedelta(hours=1)
    user = busy.people["ana"].id
    busy.session.add(Notification(event_key="n:1", kind="assigned", user_id=user, at=when, payload={}))
    busy.session.commit()
    note = busy.session.scalars(select(Notification.id)).first()
    row = {"notification_id": note, "channel": "email", "state": "queued", "tries": 0, "next_try_on": when, "at": when}
    busy.session.execute(insert(Delivery), [{name: value for name, value in row.items() if hasattr(Delivery, name)}])
    busy.session.commit()
    said = run(busy, "queue what was left", "--dry-run").output
    assert "1 records" in said
    assert [each.waiting for each in queue.depths() or ()] == [0, 0, 0]
