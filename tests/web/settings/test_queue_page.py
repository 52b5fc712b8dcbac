"""The queue's page: visible to readers of the settings; admins decide about each failed call once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app import create_app
from app.models import AuditEntry, FailedCall
from app.ops.queues import queue
from app.ops.queues.queue import Call, QueueFailure
from app.web.settings import queue_page
from tests.app_fixtures import Crm, settings_for


@pytest.fixture
def broken(crm: Crm) -> list[int]:
    """Three calls that failed for good."""
    for number in (1, 2, 3):
        call = Call("short", "app.outbox.notice_delivery:send", (number,))
        with crm.app.app_context():
            queue_page.store(QueueFailure(call, 5, "OperationalError 2006"))
    return [1, 2, 3]


def outcomes(crm: Crm) -> list[str | None]:
    return [row.outcome for row in crm.rows(select(FailedCall).order_by(FailedCall.id))]


def waiting() -> int:
    return sum(each.waiting for each in queue.depths() or ())


def entries(crm: Crm) -> list[Any]:
    return [row.payload for row in crm.rows(select(AuditEntry).where(AuditEntry.event == "failed call"))]


def test_an_idle_queue(crm: Crm) -> None:
    page = crm.client("root").screen("/queue/").text
    assert "No failed items" in page
    assert "In this process" in page


def test_the_page_shows_what_failed_and_why(crm: Crm, broken: list[int]) -> None:
    page = crm.client("root").screen("/queue/").text
    assert "delivery.send(3)" in page
    assert "OperationalError 2006" in page
    assert page.count("<span>Retry</span>") == 3


def test_an_admin_retries_a_call_once(crm: Crm, broken: list[int]) -> None:
    client = crm.client("root")
    answers = [client.form("/queue/again/2") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert (outcomes(crm), waiting()) == ([None, "again", None], 1)
    assert entries(crm) == [{"outcome": "again", "calls": [2]}]


def test_an_admin_dismisses_a_call(crm: Crm, broken: list[int]) -> None:
    crm.client("root").form("/queue/rest/1")
    assert (outcomes(crm), waiting()) == (["dropped", None, None], 0)
    assert entries(crm) == [{"outcome": "dropped", "calls": [1]}]


@pytest.mark.parametrize(("path", "outcome", "runs"), [("/queue/again", "again", 3), ("/queue/rest", "dropped", 0)])
def test_an_admin_handles_all_calls_at_once(crm: Crm, broken: list[int], path: str, outcome: str, runs: int) -> None:
    crm.client("root").form(path)
    assert (outcomes(crm), waiting(), len(entries(crm))) == ([outcome] * 3, runs, 1)


@pytest.mark.parametrize("path", ["/queue/again", "/queue/rest"])
def test_without_failed_calls_nothing_is_changed(crm: Crm, path: str) -> None:
    crm.client("root").form(path)
    assert entries(crm) == []


def test_while_the_queue_is_down_the_call_stays_on_the_list(crm: Crm, broken: list[int], instance: Path) -> None:
    away = settings_for(instance, CRM_REDIS_URL="redis://127.0.0.1:9/0")
    crm = Crm(create_app(away, TESTING=True, RATELIMIT_ENABLED=False))
    crm.client("root").form("/queue/again/1")
    assert (outcomes(crm), entries(crm)) == ([None] * 3, [])


@pytest.mark.parametrize("name", ["ana", "mia", "sam", "rhea"])
def test_without_access_to_settings_the_queue_is_hidden(crm: Crm, broken: list[int], name: str) -> None:
    client = crm.client(name)
    assert client.screen("/queue/").status_code in (302, 403)
    client.form("/queue/again/1")
    assert (outcomes(crm), waiting()) == ([None] * 3, 0)


def test_reading_settings_does_not_allow_retries(crm: Crm, broken: list[int]) -> None:
    crm.make.cell("Sales Manager", "Settings", "read", "all")
    crm.make.cell("Sales Manager", "Settings", "write", "all")
    client = crm.client("mia")
    page = client.screen("/queue/")
    assert (page.status_code, "delivery.send(3)" in page.text, "Retry" in page.text) == (200, True, False)
    assert client.form("/queue/again/1").status_code == 403
    assert outcomes(crm) == [None] * 3


def test_the_page_needs_few_statements(crm: Crm) -> None:
    crm.app.config["COUNT_SQL"] = True
    now = datetime.now(UTC)
    row = {"queue": "long", "function": "app.x:y", "arguments": [1], "tries": 5, "error": "x", "failed_on": now}
    crm.session.execute(FailedCall.__table__.insert(), [row] * 300)
    crm.session.commit()
    client = crm.client("root")
    client.screen("/queue/")
    page = client.screen("/queue/")
    assert int(page.headers["X-SQL-Count"]) <= 10
    assert ">300<" in page.text
