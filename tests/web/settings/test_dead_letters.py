"""The queue's page: what failed for good is shown to who reads the settings, and decided by an admin, once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from app import create_app
from app.models import AuditEntry, FailedCall
from app.ops import queue
from app.ops.queue import Call, Failure
from app.web.settings import dead_letters
from tests.app_fixtures import World, settings_for


@pytest.fixture
def broken(world: World) -> list[int]:
    """Three calls that failed for good."""
    for number in (1, 2, 3):
        call = Call("short", "app.outbox.notice_delivery:send", (number,))
        with world.app.app_context():
            dead_letters.store(Failure(call, 5, "OperationalError 2006"))
    return [1, 2, 3]


def outcomes(world: World) -> list[str | None]:
    return [row.outcome for row in world.rows(select(FailedCall).order_by(FailedCall.id))]


def waiting() -> int:
    return sum(each.waiting for each in queue.depths() or ())


def entries(world: World) -> list[Any]:
    return [row.payload for row in world.rows(select(AuditEntry).where(AuditEntry.event == "failed call"))]


def test_an_idle_queue(world):
    page = world.door("root").screen("/queue/").text
    assert "No failed items" in page
    assert "In this process" in page


def test_the_page_shows_what_failed_and_why(world, broken):
    page = world.door("root").screen("/queue/").text
    assert "delivery.send(3)" in page
    assert "OperationalError 2006" in page
    assert page.count("<span>Retry</span>") == 3


def test_an_admin_retries_a_call_once(world, broken):
    door = world.door("root")
    answers = [door.form("/queue/again/2") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert (outcomes(world), waiting()) == ([None, "again", None], 1)
    assert entries(world) == [{"outcome": "again", "calls": [2]}]


def test_an_admin_dismisses_a_call(world, broken):
    world.door("root").form("/queue/rest/1")
    assert (outcomes(world), waiting()) == (["dropped", None, None], 0)
    assert entries(world) == [{"outcome": "dropped", "calls": [1]}]


@pytest.mark.parametrize(("path", "outcome", "runs"), [("/queue/again", "again", 3), ("/queue/rest", "dropped", 0)])
def test_an_admin_handles_all_calls_at_once(world, broken, path, outcome, runs):
    world.door("root").form(path)
    assert (outcomes(world), waiting(), len(entries(world))) == ([outcome] * 3, runs, 1)


@pytest.mark.parametrize("path", ["/queue/again", "/queue/rest"])
def test_without_failed_calls_nothing_is_changed(world, path):
    world.door("root").form(path)
    assert entries(world) == []


def test_while_the_queue_is_down_the_call_stays_on_the_list(world, broken, instance):
    away = settings_for(instance, CRM_REDIS_URL="redis://127.0.0.1:9/0")
    world = World(create_app(away, TESTING=True, RATELIMIT_ENABLED=False))
    world.door("root").form("/queue/again/1")
    assert (outcomes(world), entries(world)) == ([None] * 3, [])


@pytest.mark.parametrize("name", ["ana", "mia", "sam", "rhea"])
def test_without_access_to_settings_the_queue_is_hidden(world, broken, name):
    door = world.door(name)
    assert door.screen("/queue/").status_code in (302, 403)
    door.form("/queue/again/1")
    assert (outcomes(world), waiting()) == ([None] * 3, 0)


def test_reading_settings_does_not_allow_retries(world, broken):
    world.make.cell("Sales Manager", "Settings", "read", "all")
    world.make.cell("Sales Manager", "Settings", "write", "all")
    door = world.door("mia")
    page = door.screen("/queue/")
    assert (page.status_code, "delivery.send(3)" in page.text, "Retry" in page.text) == (200, True, False)
    assert door.form("/queue/again/1").status_code == 403
    assert outcomes(world) == [None] * 3


def test_the_page_needs_few_statements(world):
    world.app.config["COUNT_SQL"] = True
    now = datetime.now(UTC)
    row = {"queue": "long", "function": "app.x:y", "arguments": [1], "tries": 5, "error": "x", "failed_on": now}
    world.session.execute(FailedCall.__table__.insert(), [row] * 300)
    world.session.commit()
    door = world.door("root")
    door.screen("/queue/")
    page = door.screen("/queue/")
    assert int(page.headers["X-SQL-Count"]) <= 10
    assert ">300<" in page.text
