"""The self-test says when the database reads too much from the disk, judged by the minutes of a day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from app import access, jobs
from app.domain.maintenance import database_memory
from app.domain.maintenance.backup_runs import BackupRun
from app.domain.maintenance.health_samples import HealthSample, minute_of
from app.ops.monitoring import process_health
from app.ops.monitoring.process_health import DEGRADED, OFF, OK, CheckResult
from tests.app_fixtures import Crm

NOW = datetime.now(UTC)
BUSY = database_memory.BUSY_PAGES
_COUNTS = ("requests", "errors", "total_ms", *(f"bucket_{place}" for place in range(6)))
EMPTY = {"server": "", "role": "", **dict.fromkeys(_COUNTS, 0)}


def counted(crm: Crm, minutes: Sequence[tuple[int, int]], step: int = 1, asked: int = 10**9) -> None:
    """Samples up to now: (pages asked for, pages read) of each minute, on counters that began long ago."""
    first, read = minute_of(NOW) - step * len(minutes), 10**6
    rows = [EMPTY | {"minute": first, "db_pages_asked": asked, "db_pages_read": read}]
    for place, (more, from_disk) in enumerate(minutes, 1):
        asked, read = asked + more, read + from_disk
        rows.append(EMPTY | {"minute": first + step * place, "db_pages_asked": asked, "db_pages_read": read})
    crm.session.execute(insert(HealthSample), rows)
    crm.session.commit()


def used(crm: Crm) -> database_memory.MemoryUse:
    with access.as_system(crm.session) as session:
        return database_memory.memory_use(session, NOW)


def said(crm: Crm) -> CheckResult:
    with crm.app.test_request_context():
        return process_health.run("memory")


@pytest.mark.parametrize(
    ("minutes", "known", "short"),
    [
        ([(BUSY, 400)] * 59, False, False),  # too few busy minutes
        ([(BUSY, 400)] * 60, True, True),
        ([(BUSY, 200)] * 60, True, False),  # ten of 1,000, which is allowed
        ([(BUSY, 400)] * 40 + [(BUSY, 0)] * 40, True, False),  # such as after a start
        ([(BUSY - 1, 9000)] * 300, False, False),  # hardly anybody works
    ],
)
def test_a_day_is_short_of_memory_if_most_of_its_busy_minutes_are(
    crm: Crm, minutes: list[tuple[int, int]], known: bool, short: bool
) -> None:
    counted(crm, minutes)
    found = used(crm)
    assert (found.is_known, found.is_short) == (known, short)


def test_minutes_of_restarts_gaps_and_backups_do_not_count(crm: Crm) -> None:
    counted(crm, [(BUSY, 400)] * 70 + [(-(10**9), -(10**6))] + [(BUSY, 400)] * 20)
    assert used(crm).minutes == 90
    at = NOW - timedelta(minutes=50)
    row = {"kind": "drill", "outcome": "done", "started_on": at, "ended_on": at + timedelta(minutes=20), "version": 1}
    crm.session.execute(insert(BackupRun), [row | {"created_on": at, "changed_on": at}])
    crm.session.commit()
    assert used(crm).minutes == 68  # the minutes of its beginning and its end, too


def test_samples_far_apart_are_no_minutes(crm: Crm) -> None:
    counted(crm, [(BUSY * 9, 9000)] * 70, step=database_memory.MAX_GAP + 1)
    assert used(crm).minutes == 0


def test_sqlite_has_no_such_memory(crm: Crm) -> None:
    assert said(crm).state == OFF


def test_the_self_test_says_how_much_comes_from_the_disk_and_what_to_do(maria: Crm) -> None:
    found = said(maria)
    assert found.state == OK and "64\u00a0MB" in found.sentence and "busy day" in found.sentence
    counted(maria, [(BUSY, 500)] * 70)
    found = said(maria)
    assert found.state == DEGRADED and "it reads 25 from the disk" in found.sentence and "install.sh" in found.advice
    with access.as_system(maria.session) as session:
        session.query(HealthSample).delete()
        session.commit()
    counted(maria, [(BUSY, 5)] * 70)
    assert said(maria) == CheckResult(OK, "The database finds what it needs in its memory (64\u00a0MB).")


def test_each_minute_notes_what_the_server_counts(maria: Crm) -> None:
    jobs.run_now(maria.app, "watch the health")
    with access.as_system(maria.session) as session:
        row = session.scalars(select(HealthSample).where(HealthSample.server == "")).one()
        assert row.db_pages_asked is not None and row.db_pages_read is not None
        assert row.db_pages_asked > row.db_pages_read > 0 and row.db_connections
