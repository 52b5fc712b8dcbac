"""Some requests are answered before the fork: they leave nothing behind but what Python notes in memory."""

from __future__ import annotations

import logging
import threading

import pytest
from sqlalchemy import Engine, event

from app import warm_up
from app.extensions import db
from app.ops.monitoring import process_metrics
from tests.app_fixtures import Crm


@pytest.fixture
def engine(crm: Crm) -> Engine:
    with crm.app.app_context():
        return db.engine


def test_it_counts_and_logs_no_request_and_leaves_no_thread(
    crm: Crm, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "crm.access")
    threads, sent = threading.active_count(), []

    def note(*given: object) -> None:
        sent.append(str(given[2]).split()[0])

    event.listen(engine, "before_cursor_execute", note)
    warm_up.warm_up(crm.app)
    event.remove(engine, "before_cursor_execute", note)
    assert threading.active_count() == threads
    assert [record for record in caplog.records if record.name == "crm.access"] == []
    assert process_metrics.collect() == process_metrics.MetricsBatch()
    assert {*sent} - {"BEGIN", "SELECT"} == {"INSERT"}  # of the measures, as once a minute


def test_requests_are_logged_again_afterwards(crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "crm.access")
    warm_up.warm_up(crm.app)
    crm.app.test_client().get("/healthz")
    assert [record.name for record in caplog.records].count("crm.access") == 1


def test_a_database_that_is_away_keeps_no_server_from_starting(
    crm: Crm, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_given: object) -> None:
        raise OSError("away")

    monkeypatch.setitem(crm.app.extensions, "crm_store_measures", away)
    event.listen(engine, "before_cursor_execute", away)
    try:
        warm_up.warm_up(crm.app)
    finally:
        event.remove(engine, "before_cursor_execute", away)
    assert process_metrics.collect() == process_metrics.MetricsBatch()  # kept for the next minute, and empty
