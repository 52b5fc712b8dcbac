"""Health: one notification per threshold, pages with measurements, probes, and no personal data."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import prometheus_client.values
import pytest
from redis import ConnectionError, Redis, ResponseError
from sqlalchemy import delete, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import access, jobs, self_test
from app.domain import custom_fields, custom_values
from app.domain.audit_log import audit, audit_chain
from app.domain.base import Stamp
from app.domain.custom_fields import ExistingNames, FieldInput
from app.domain.custom_values import CustomValue
from app.domain.maintenance import backup_runs, health_samples, health_watch
from app.domain.maintenance.backup_runs import BackupRun
from app.domain.maintenance.health_samples import HealthCrossing, HealthSample, SampleSource, minute_of, percentile_ms
from app.domain.maintenance.health_watch import Readings
from app.job_runner import run_slot
from app.models import ErrorReport, Notification, SlowStatement
from app.notice_texts import text_of
from app.ops.database.connections import database_now
from app.ops.monitoring import machine_resources, process_health, process_metrics, prometheus_metrics, request_log
from app.ops.monitoring.process_metrics import MetricsBatch
from app.ops.queues import queue
from app.web.pages.process_roles import ProcessRoutesOnly
from app.web.settings.health_chart import chart_of
from tests.app_fixtures import Crm
from tests.cases import each_case

NOW = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
QUIET = Readings(0, 5)
MOBILE = "9825011223"
COMPARE = next(job for job in jobs.SCHEDULE if job.name == custom_values.COMPARING_JOB)


def sampled(crm: Crm, at: datetime = NOW, **columns: Any) -> None:
    row = {"minute": minute_of(at), "server": "crm1", "role": "web", "requests": 0, "errors": 0, "total_ms": 0}
    row |= {f"bucket_{place}": 0 for place in range(6)}
    crm.session.execute(insert(HealthSample), [row | columns])
    crm.session.commit()


def watched(crm: Crm, now: datetime, readings: Readings = QUIET) -> str:
    with access.as_system(crm.session):
        word = health_watch.watch(crm.session, readings, now)
        crm.session.commit()
    return word


def told(crm: Crm) -> list[str]:
    """What the admin was told, the oldest first."""
    rows = crm.rows(select(Notification).where(Notification.kind == "health").order_by(Notification.id))
    with crm.app.test_request_context():
        return [text_of(row).replace("\u00a0", " ") for row in rows]


def page(crm: Crm, path: str, who: str = "root") -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", crm.client(who).screen(path).text.partition("<main")[2]).split())


# --- measuring


@pytest.mark.parametrize(
    ("buckets", "requests", "expected"),
    [
        ((100, 0, 0, 0, 0, 0), 100, 48),  # 95 % of the way to 50 ms
        ((50, 50, 0, 0, 0, 0), 100, 95),
        ((90, 0, 0, 10, 0, 0), 100, 350),
        ((0, 0, 0, 0, 0, 0), 10, 5000),  # all slower than the last bound
    ],
)
def test_the_time_within_which_95_of_100_were_answered(buckets: Any, requests: int, expected: int) -> None:
    assert percentile_ms(buckets, requests) == pytest.approx(expected, abs=1)


def test_requests_are_counted_by_time_and_errors(crm: Crm) -> None:
    process_metrics.collect()
    for status, milliseconds in ((200, 10), (200, 50), (404, 51), (500, 900), (200, 9000)):
        process_metrics.count_request(status, milliseconds)
    taken = process_metrics.collect()
    assert (taken.requests, taken.errors, taken.buckets) == (5, 1, [2, 1, 0, 0, 1, 0])
    crm.client("root").screen("/jobs/")
    crm.client(None).screen("/healthz")
    assert process_metrics.collect().requests == 1  # probes and static files are not measured


def test_what_processes_count_in_a_minute_is_added_up(maria: Crm) -> None:
    """Four processes at once: no count is lost, whoever makes the row."""
    batch = MetricsBatch(requests=10, errors=1, total_ms=500, buckets=[9, 1, 0, 0, 0, 0])

    def store() -> None:
        with maria.new_session() as session, access.as_system(session):
            health_samples.store(session, batch, SampleSource("crm1", "web", 42), NOW)
            session.commit()

    threads = [threading.Thread(target=store) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with access.as_system(maria.session):
        (point,) = health_samples.history(maria.session, NOW, 1)
    assert (point.requests, point.errors, point.buckets[:2], point.memory_percent) == (40, 4, (36, 4), 42)


def test_a_slow_statement_is_noted_without_its_values(crm: Crm) -> None:
    process_metrics.collect()
    for _ in range(2):
        process_metrics.note_slow(f"SELECT * FROM  leads WHERE mobile = '{MOBILE}' AND pan = 'AB1' LIMIT 25", 300)  # noqa: S608
    process_metrics.flush(crm.app)
    (row,) = crm.rows(select(SlowStatement))
    assert row.text == "SELECT * FROM leads WHERE mobile = … AND pan = … LIMIT 25"
    assert (row.times, row.total_ms, row.max_ms) == (2, 600, 300)
    assert "LIMIT 25" in page(crm, "/health/slow/") and MOBILE not in page(crm, "/health/slow/")


def test_a_statement_that_takes_long_is_noticed(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_metrics, "SLOW_MS", 0)
    process_metrics.collect()
    crm.client("root").screen("/jobs/")
    assert any(
        "job_run" in each.text and each.place == "GET /jobs/" for each in process_metrics.collect().slow.values()
    )


def test_an_error_is_reported_by_kind_and_place(crm: Crm) -> None:
    process_metrics.collect()
    said = f"bad number {MOBILE} of Asha"
    try:
        raise ValueError(said)
    except ValueError:
        logging.getLogger("crm.errors").exception("unexpected error at %s", f"/leads/{MOBILE}")
    logging.getLogger("crm.queue").error("call %s failed", MOBILE)
    process_metrics.flush(crm.app)
    texts = {row.text: row for row in crm.rows(select(ErrorReport))}
    assert "call %s failed" in texts
    (found,) = [row for name, row in texts.items() if name.startswith("ValueError at tests/web/settings/test_hea")]
    shown = page(crm, "/health/errors/")
    assert "ValueError at" in shown and "raise ValueError(said)" in shown and found.times == 1
    assert not re.search(rf"{MOBILE}|Asha", shown + found.trace)
    assert crm.client("root").form("/health/clear/errors").status_code == 302
    assert crm.rows(select(ErrorReport)) == []


def test_what_is_noted_is_bounded(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    process_metrics.collect()
    for n in range(process_metrics.MAX_NOTED + 30):
        process_metrics.note_slow(f"SELECT a{n}", 200)
    taken = process_metrics.collect()
    assert len(taken.slow) == process_metrics.MAX_NOTED
    monkeypatch.setattr(health_samples, "MAX_KEPT", 10)
    with access.as_system(crm.session) as session:
        for n, (digest, noted) in enumerate(taken.slow.items()):
            one = MetricsBatch(slow={digest: noted})
            health_samples.store(session, one, SampleSource("crm1", "web"), NOW + timedelta(seconds=n))
        for statement in health_samples.surplus(session):
            session.execute(statement, execution_options={"synchronize_session": False})
        session.commit()
    assert len(crm.rows(select(SlowStatement))) == 10


def test_measures_that_cannot_be_stored_are_kept(crm: Crm) -> None:
    process_metrics.collect()
    process_metrics.count_request(200, 10)

    def refuse(batch: MetricsBatch) -> None:
        raise OSError("the database is away")

    stored, crm.app.extensions["crm_store_measures"] = crm.app.extensions["crm_store_measures"], refuse
    process_metrics.flush(crm.app)
    crm.app.extensions["crm_store_measures"] = stored
    assert process_metrics.collect().requests == 1


# --- thresholds


SLOW: dict[str, Any] = {"requests": 100, "bucket_0": 80, "bucket_3": 20}
FAST = {"requests": 100, "bucket_0": 100}


@pytest.mark.parametrize(
    ("columns", "readings", "sentence"),
    [
        (SLOW, QUIET, "The response time is above its limit: 425 ms instead of at most 200 ms."),
        (FAST | {"errors": 2}, QUIET, "The share of errors is above its limit: 2 % instead of at most 1 %."),
        (FAST, Readings(1200, 5), "The queue is above its limit: 1,200 instead of at most 1,000."),
        (FAST, Readings(0, 101), "The number of database connections is above its limit: 101 instead of at most 100."),
        ({"memory_percent": 93}, QUIET, "The memory of crm1 is above its limit: 93 % instead of at most 80 %."),
        ({"disk_percent": 97}, QUIET, "The disk of crm1 is above its limit: 97 % instead of at most 90 %."),
    ],
)
def test_admins_are_told_once_of_a_crossing_and_once_of_its_end(
    crm: Crm, columns: dict[str, Any], readings: Readings, sentence: str
) -> None:
    sampled(crm, **columns)
    assert watched(crm, NOW, readings) == "crossed"
    assert watched(crm, NOW + timedelta(seconds=30), readings) == ""
    assert told(crm) == [sentence]
    later = NOW + timedelta(minutes=10)
    sampled(crm, later, **FAST, memory_percent=40, disk_percent=40)
    assert watched(crm, later) == "kept again"
    assert watched(crm, later + timedelta(seconds=30)) == ""
    assert len(told(crm)) == 2 and told(crm)[1].endswith("again.")
    shown = page(crm, "/health/?span=month")
    assert "No limit was crossed" not in shown and "not yet" not in shown


def test_few_requests_alarm_nobody_and_a_value_near_the_limit_ends_nothing(crm: Crm) -> None:
    sampled(crm, requests=3, errors=3, bucket_4=3)
    assert watched(crm, NOW) == ""
    assert watched(crm, NOW, Readings(1001, 5)) == "crossed"
    assert watched(crm, NOW + timedelta(minutes=1), Readings(990, 5)) == ""  # 99 % of the limit
    assert watched(crm, NOW + timedelta(minutes=2), Readings(None, None)) == ""  # Redis is away: no recovery
    assert watched(crm, NOW + timedelta(minutes=30), Readings(10, 5)) == "kept again"
    (row,) = crm.rows(select(HealthCrossing))
    assert row.worst == 1001


def test_of_several_servers_that_look_at_once_one_tells(maria: Crm) -> None:
    sampled(maria, **SLOW)
    barrier, outcomes = threading.Barrier(4), list[str]()

    def look() -> None:
        with maria.new_session() as session, access.as_system(session):
            barrier.wait(30)
            try:
                outcomes.append(health_watch.watch(session, QUIET, NOW))
                session.commit()
            except IntegrityError:
                session.rollback()
                outcomes.append("beaten")

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("crossed") == 1 and len(told(maria)) == 1


# --- pages


def test_the_charts_have_gaps_where_nothing_was_measured() -> None:
    chart = chart_of([(0, 10.0), (1, 20.0), (9, 5.0), (10, None)], (0, 10), 1, 100)
    assert chart.line.count("M") == 2 and chart.highest == 20
    assert chart_of([], (0, 10), 1, 100).line == "" and chart_of([(5, 0.0)], (0, 10), 1, 1).line


def test_the_page_shows_values_history_and_servers(crm: Crm) -> None:
    sampled(crm, datetime.now(UTC), **SLOW, memory_percent=40)
    shown = page(crm, "/health/")
    assert (
        "425\u00a0ms" in crm.client("root").screen("/health/").text and "Above the limit" in shown and "crm1" in shown
    )
    for span in ("day", "week", "month", "nonsense"):
        assert crm.client("root").screen(f"/health/?span={span}").status_code == 200


@each_case("path", ["/health/", "/health/slow/", "/health/errors/", "/self-test/"])
def test_only_those_who_may_see_settings_see_health(crm: Crm, path: str) -> None:
    assert crm.client("root").screen(path).status_code == 200
    assert crm.client("ana").screen(path).status_code in (302, 403)
    assert crm.client(None).screen(path).status_code == 302


# --- the self-test


def test_the_self_test_says_what_is_missing_and_what_to_do(crm: Crm) -> None:
    crm.session.execute(text("DELETE FROM job_run"))
    crm.session.commit()
    shown = page(crm, "/self-test/")
    for said in ("Everything" not in shown, "No job has run yet" in shown, "There is no backup yet" in shown):
        assert said, shown
    with crm.app.app_context():
        found = self_test.run()
    assert {name: each.state for name, each in found.items() if each.state == process_health.FAILED} == {
        "queue": "failed"
    }
    result = crm.app.test_cli_runner().invoke(args=["self-test"])
    assert result.exit_code == 1 and "No worker runs for: short, default, long." in result.output


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), "its disk is full"),
        (ResponseError("Command # 1 (PING) of pipeline caused error: MISCONF Errors"), "its disk is full"),
        (ConnectionError(), "doesn't answer"),
    ],
)
def test_the_self_test_tells_a_full_disk_of_redis_from_one_that_is_away(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, refusal: Exception, said: str
) -> None:
    def refuse(*_given: Any, **_more: Any) -> Any:
        raise refusal

    settings = replace(crm.app.config["CRM"], redis_url="redis://127.0.0.1:1/0")
    monkeypatch.setitem(crm.app.config, "CRM", settings)
    monkeypatch.setattr(Redis, "ping", refuse)
    with crm.app.app_context():
        found = self_test._redis()
    assert found.state == process_health.FAILED and said in found.sentence


def test_the_self_test_notices_a_foreign_key_a_former_one_and_a_folder_without_backups(
    crm: Crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = crm.app.config["CRM"]

    def found(**changes: Any) -> dict[str, process_health.CheckResult]:
        monkeypatch.setitem(crm.app.config, "CRM", replace(settings, **changes))
        with crm.app.app_context():
            return self_test.run()

    assert found()["keys"].state == process_health.OK
    assert found(field_keys_old=("x" * 44,))["keys"].state == process_health.DEGRADED
    (tmp_path / "file").write_text("in the way")
    checked = found(backup=replace(settings.backup, folder=tmp_path / "file" / "backups"))["backup"]
    assert checked.state == process_health.DEGRADED and "No backup can be written to" in checked.sentence
    monkeypatch.setattr(audit_chain, "is_our_key", lambda _session: False)
    assert found()["keys"].state == process_health.FAILED
    refused = crm.app.test_cli_runner().invoke(args=["backup", "create"])
    assert refused.exit_code == 1 and "Nothing was backed up" in refused.output


def test_another_part_can_replace_a_check_and_a_broken_one_has_failed(crm: Crm) -> None:
    before = process_health.checks()["backup"]
    try:
        process_health.add_check(
            "backup", lambda: process_health.CheckResult(process_health.OK, "The last backup is 3 hours old.")
        )
        assert "The last backup is 3 hours old." in page(crm, "/self-test/")
        process_health.add_check("backup", lambda: 1 / 0)  # type: ignore[arg-type,return-value]
        assert "The check broke down (ZeroDivisionError)." in page(crm, "/self-test/")
    finally:
        process_health.add_check("backup", before)


def test_the_self_test_says_which_values_of_custom_fields_lists_can_not_trust(crm: Crm, make: Any) -> None:
    def checked() -> tuple[str, str]:
        run_slot(crm.app.extensions["crm_jobs"], COMPARE, (datetime.now(UTC).isoformat()[:30], NOW), NOW)
        with crm.app.app_context():
            finding = self_test.run()["custom fields"]
        return finding.state, finding.sentence

    assert checked() == ("off", "There are no custom fields.")
    custom_fields.create(crm.session, FieldInput("Tier", "text"), ExistingNames("leads", frozenset()), Stamp(None, NOW))
    crm.session.commit()
    lead = make.lead("ana")
    lead.custom = {"x_tier": "Gold"}
    crm.session.commit()
    assert checked() == ("ok", "The index of custom fields agrees with the records.")
    crm.session.execute(delete(CustomValue))
    crm.session.commit()
    state, sentence = checked()
    assert state == "degraded" and sentence.startswith("The index of custom fields differs from 1 record.")
    with crm.app.app_context():
        custom_values.compare(crm.session, "leads", lead.id - 1, mends=True)
        crm.session.commit()
    assert checked()[0] == "ok"


# --- probes


def test_readyz_tells_trouble_of_the_database_from_what_only_degrades(crm: Crm) -> None:
    ask = crm.app.test_client().get
    answer = ask("/readyz")
    assert answer.status_code == 200 and answer.get_json()["checks"]["redis"] == "off"
    assert answer.get_json()["status"] == "degraded" and ask("/readyz?strict=1").status_code == 503  # no job has run
    crm.session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    crm.session.commit()
    answer = ask("/readyz")
    assert answer.status_code == 503 and answer.get_json()["checks"]["schema"] == "outdated"
    assert "Retry-After" in answer.headers


def test_metrics_are_for_those_whom_the_settings_allow(
    crm: Crm, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library looks at its import whether there are many processes, and an earlier test may have imported it
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr(prometheus_client.values, "ValueClass", prometheus_client.values.MultiProcessValue())
    monkeypatch.setattr(prometheus_metrics._state, "seconds", None)
    prometheus_metrics.prepare(tmp_path, "crm1")
    (tmp_path / "metrics" / "crm1" / "histogram_999999999.db").write_bytes(b"")
    prometheus_metrics.prepare(tmp_path, "crm1")  # forgets processes that have ended
    crm.client("root").screen("/jobs/")
    client = crm.app.test_client()
    shown = client.get("/metrics")
    assert shown.status_code == 200 and 'crm_request_seconds_count{kind="page",status="2xx"} 1.0' in shown.text
    assert 'crm_queue_waiting{queue="short"} 0.0' in shown.text
    stranger = {"environ_overrides": {"REMOTE_ADDR": "203.0.113.7"}}
    assert client.get("/metrics", **stranger).status_code == 404
    # Through a proxy on this server that the settings do not name
    for header in ("X-Forwarded-For", "Forwarded"):
        assert client.get("/metrics", headers={header: "203.0.113.7"}).status_code == 404
    object.__setattr__(crm.app.config["CRM"], "metrics_token", "t" * 32)
    for token, status in (("t" * 32, 200), ("t" * 31, 404), ("ü", 404)):
        assert client.get("/metrics", **stranger, headers={"Authorization": f"Bearer {token}"}).status_code == status
    prometheus_metrics._state.folder = None


def test_counting_needs_room_on_the_disk_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To write to a mapped file with holes ends the process where the disk is full: every request would."""
    counted = list[tuple[str, ...]]()

    class Seconds:
        def labels(self, *words: str) -> Any:
            counted.append(words)
            return type("Count", (), {"observe": lambda _self, _seconds: None})()

    def full(*_given: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prometheus_metrics, "_state", prometheus_metrics._State(tmp_path, Seconds()))
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        prometheus_metrics.observe("page", 200, 0.1)
    prometheus_metrics.observe("page", 200, 0.1)  # a minute later it is tried again
    assert counted == [] and list(tmp_path.iterdir()) == []
    prometheus_metrics._state.next_try = 1e-9
    prometheus_metrics.observe("page", 200, 0.1)
    (file,) = tmp_path.iterdir()
    assert counted == [("page", "2xx")] and file.stat().st_blocks * 512 >= prometheus_metrics.FILE_BYTES


@pytest.mark.parametrize(
    ("roles", "path", "reaches"),
    [
        (("web",), "/socket.io/", False),
        (("web",), "/leads/", True),
        (("sockets",), "/leads/", False),
        (("sockets",), "/socket.io/", True),
        (("sockets",), "/healthz", True),
        (("web", "sockets"), "/socket.io/", True),
    ],
)
def test_a_process_answers_what_its_role_says(roles: Any, path: str, reaches: bool) -> None:
    client, started = ProcessRoutesOnly(lambda environ, start: [b"reached"], roles), list[Any]()
    answer = b"".join(client({"PATH_INFO": path}, lambda *given: started.append(given)))
    assert (answer == b"reached") is reaches and (reaches or started[0][0].startswith("404"))


# --- logs


@each_case(
    "given, is_kept",
    [
        ("trial-0123456789abcdef", True),
        (MOBILE, False),
        ("a" * 65, False),
        ("asha@example.in.......", False),
        ("", False),
    ],
)
def test_a_request_has_an_id(crm: Crm, given: str, is_kept: bool) -> None:
    answer = crm.app.test_client().get("/login/", headers={"X-Request-ID": given})
    assert (answer.headers["X-Request-ID"] == given) is is_kept and len(answer.headers["X-Request-ID"]) >= 16


def test_a_line_of_the_log_is_json_and_names_the_route_only(crm: Crm) -> None:
    lines = list[str]()
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(request_log.JsonLines().format(record))  # type: ignore[method-assign]
    logger = logging.getLogger("crm.access")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        given = crm.client("root").screen(f"/search/?q={MOBILE}").headers["X-Request-ID"]
        crm.client("root").screen(f"/leads/{MOBILE}")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    line = json.loads(lines[0])
    assert line["request_id"] == given and line["request"]["route"] == "/search/" and line["request"]["status"] == 200
    assert MOBILE not in "".join(lines)


def test_memory_is_that_of_the_container_where_it_has_a_limit(tmp_path: Any) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 250 kB\n")
    assert machine_resources.memory_percent(meminfo, tmp_path) == 75
    for name, content in (("max", "1000"), ("current", "900"), ("stat", "anon 1\ninactive_file 500\n")):
        (tmp_path / f"memory.{name}").write_text(content)
    assert machine_resources.memory_percent(meminfo, tmp_path) == 40
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_resources.memory_percent(meminfo, tmp_path) == 75
    (tmp_path / "memory.max").unlink()
    (tmp_path / "memory").mkdir()  # version 1
    for name, content in (("usage_in_bytes", "900"), ("stat", "inactive_file 1\ntotal_inactive_file 200\n")):
        (tmp_path / "memory" / f"memory.{name}").write_text(content)
    for limit, percent in (("1000", 70), ("9223372036854771712", 75)):
        (tmp_path / "memory" / "memory.limit_in_bytes").write_text(f"{limit}\n")
        assert machine_resources.memory_percent(meminfo, tmp_path) == percent
    assert machine_resources.memory_percent(tmp_path / "none", tmp_path / "none") is None


def test_the_fullest_disk_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = {tmp_path: 30, tmp_path / "files": 4}

    def usage(folder: Path) -> Any:
        if folder not in full:
            raise FileNotFoundError(folder)
        return SimpleNamespace(total=2000, used=1000 - 10 * full[folder], free=10 * full[folder])  # a half is reserved

    monkeypatch.setattr("shutil.disk_usage", usage)
    assert machine_resources.disk_percent([tmp_path, tmp_path / "files", tmp_path / "none"]) == 96
    assert machine_resources.disk_percent([tmp_path / "none"]) is None


def test_samples_are_kept_apart_by_role(session: Session) -> None:
    with access.as_system(session):
        for role in ("web", "sockets"):
            health_samples.store(session, MetricsBatch(), SampleSource("crm1", role, 40), NOW)
        found = health_samples.servers(session, NOW)
    assert [(each.role, each.last_on) for each in found] == [("sockets", NOW), ("web", NOW)]


def test_the_first_trial_restore_of_a_new_installation_is_announced(crm: Crm) -> None:
    """It is a fault only once its time has passed, or when it has failed."""
    now = database_now(crm.session)
    run = BackupRun(kind="backup", outcome="done", tries=1, ended_on=now)
    run.stamp(Stamp(None, now))
    crm.session.add(run)
    crm.session.commit()

    def found() -> process_health.CheckResult:
        with crm.app.app_context():
            return self_test._backup()

    assert found().state == process_health.OK and "for the first time on" in found().sentence
    run.ended_on = now - timedelta(hours=23, minutes=59)
    first = backup_runs.DRILL_TIMES.after(run.ended_on, crm.app.config["CRM"].time_zone)
    crm.session.commit()
    is_missed = now >= first + self_test.FIRST_DRILL
    assert found().state == (process_health.DEGRADED if is_missed else process_health.OK)
    run.ended_on = now
    drill = BackupRun(kind="drill", outcome="failed", tries=1, ended_on=now)
    drill.stamp(Stamp(None, now))
    crm.session.add(drill)
    crm.session.commit()
    assert found().state == process_health.DEGRADED and "not restored for a trial" in found().sentence


@pytest.mark.parametrize("entries, level", [(0, "INFO"), (1, "WARNING")])
def test_the_check_of_an_empty_audit_log_warns_of_nothing(
    crm: Crm, caplog: pytest.LogCaptureFixture, entries: int, level: str
) -> None:
    crm.session.execute(delete(audit.AuditEntry))
    crm.session.execute(text("UPDATE audit_head SET count = 0, hash = ''"))
    crm.session.commit()
    for _ in range(entries):
        audit.write(crm.session, "reveal", None, database_now(crm.session), "lead 1", "10.0.0.1")
    crm.session.commit()
    with caplog.at_level(logging.INFO, logger="crm.jobs"):
        jobs.run_now(crm.app, "check the audit log", None)
    said = [(each.levelname, each.message) for each in caplog.records if "intact" in each.message]
    assert [name for name, _message in said] == [level] and f": {entries} entries" in said[0][1]


def test_without_redis_the_self_test_names_no_workers(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be those of its own process, also while no server runs."""
    monkeypatch.setattr(queue, "backend_kind", lambda: "process")
    monkeypatch.setattr(queue, "depths", lambda: [queue.QueueDepth("short", 0, 0, 5)])
    with crm.app.test_request_context():
        found = self_test._queue()
    assert found.sentence == "Without Redis, the server runs the calls of the queue itself."
