"""Batches of calls at the door: few statements, many at once, and a database that is busy or dies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select, text

from app.extensions import socketio
from app.models import CallLog, Lead, PhoneSync
from app.web.records import call_batches
from tests.app_fixtures import World
from tests.domain.test_call_sync import ANYTHING, NAMES
from tests.makers import NOW
from tests.web.compat.test_telephone import SYNC, Phone, log

#: The telephone's own SELECTs included; who it is, is asked before.
BATCH, WHO = 12, 1
#: Before the calls of `log`.
EARLIER = NOW - timedelta(days=10)


@pytest.fixture
def world(app: Flask) -> Iterator[World]:
    """An application of its own: the pages hear of what happens in the newest one."""
    world = World(app)
    yield world
    world.close()


@pytest.fixture
def counted(world: World) -> World:
    world.app.config["COUNT_SQL"] = True
    return world


def signed_in(world: World, name: str = "ana") -> Phone:
    made = Phone(world, name)
    made.sign_in()
    return made


def at_work(world: World) -> Phone:
    """Ana's telephone, which has synced before; leads and tickets of some of the numbers wait for an answer."""
    phone = signed_in(world)
    phone.sync([])
    for number in range(8):
        lead = world.make.lead("ana", at=EARLIER, mobile=f"98200{number * 5:05d}")
        customer = world.make.customer("ana", at=EARLIER, mobile=f"98200{1000 + number * 5:05d}")
        world.make.ticket("cleo", at=EARLIER, customer_id=customer.id)
        assert lead.replied_on is None
    return phone


def told(answer: Any) -> list[str]:
    return [each["status"] for each in answer.get_json()["message"]["data"]["results"]]


def rows(world: World) -> list[Any]:
    return world.rows(select(CallLog.id))


# --- few statements


@pytest.mark.parametrize("size", [10, 1000])
def test_a_batch_costs_the_same_at_any_size(counted: World, size: int) -> None:
    phone = at_work(counted)
    for seconds in (7, 7, 9):  # new, known, grown
        answer = phone.sync([log(n * 5, duration=seconds * (n % 2)) for n in range(size)])
        assert answer.status_code == 200
        assert int(answer.headers["X-SQL-Count"]) <= BATCH + WHO


def test_many_calls_over_rest_cost_as_little(counted: World) -> None:
    at_work(counted)
    door = counted.door("ana")
    door.rest("GET", "call_log/")
    calls = [
        {
            "direction": "Incoming",
            "from_number": f"982000{n:04d}",
            "to_number": "98200",
            "status": "Completed",
            "started_on": "2026-11-20T14:03:22Z",
            "duration_seconds": 5,
            "device_call_id": f"d{n}",
        }
        for n in range(1000)
    ]
    answer = door.rest("POST", "call_log/bulk", {"call_logs": calls})
    assert {each["status"] for each in answer.json["results"]} == {"created"}
    assert int(answer.headers["X-SQL-Count"]) <= BATCH + WHO


# --- many at once


@pytest.fixture
def phones(maria: World) -> list[Phone]:
    """Eight telephones of Ana's, signed in."""
    return [signed_in(maria) for _ in range(8)]


def test_eight_at_once_with_the_same_batch_store_each_call_once(phones: list[Phone]) -> None:
    lead = phones[0].world.make.lead("ana", at=EARLIER, mobile="9820000003")
    batch = [log(n) for n in range(40)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda phone: phone.sync(batch), phones))
    assert {answer.status_code for answer in answers} == {200}
    assert Counter(chain(*map(told, answers))) == {"created": 40, "duplicate": 280}
    assert len(rows(phones[0].world)) == 40
    assert phones[0].world.rows(select(func.count(CallLog.id)).where(CallLog.lead_id == lead.id)) == [1]


def test_both_applications_at_once_store_each_call_once(phones: list[Phone]) -> None:
    ids = ("device_{}", "device_{}_42_in")
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda each: each[1].sync([log(n, device_call_id=ids[each[0] % 2].format(n)) for n in range(30)]),
                enumerate(phones),
            )
        )
    assert {answer.status_code for answer in answers} == {200}
    assert len(rows(phones[0].world)) == 30


def test_colleagues_who_call_the_same_people_do_not_block_each_other(maria: World) -> None:
    for number in range(30):
        maria.make.lead("ana", at=EARLIER, mobile=f"982000{number:04d}")
    teams = [signed_in(maria, name) for name in ("ana", "ben", "mia", "max")]
    batches = [[log(n) for n in range(30)], [log(n) for n in reversed(range(30))]]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda each: each[1].sync(batches[each[0] % 2]), enumerate(teams)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len(rows(maria)) == 120
    assert len(maria.rows(select(Lead.id).where(Lead.replied_on.is_not(None)))) == 30


def test_ids_that_differ_in_case_only_are_two_calls(maria: World) -> None:
    batch = [log(1, device_call_id="call_a"), log(2, device_call_id="call_A")]
    assert told(signed_in(maria).sync(batch)) == ["created", "created"]


@pytest.fixture
def hers(maria: World) -> Phone:
    return signed_in(maria)


ODD = st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=4).map(lambda odd: log(1) | odd)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ODD, min_size=1, max_size=5))
def test_whatever_is_sent_the_database_takes_it_or_we_say_why(hers: Phone, records: list[Any]) -> None:
    answer = hers.browser.post(SYNC, data=json.dumps({"call_logs_data": records}), content_type="application/json")
    assert answer.status_code == 200
    assert len(told(answer)) == len(records)


# --- a database that dies, or waits


@pytest.fixture
def killer(maria: World) -> Iterator[list[int]]:
    """Kills the connection of the batch before its calls are written, as often as the list says."""
    left = [0]

    def kill(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO call_log") and left[0]:
            left[0] -= 1
            number = connection.connection.driver_connection.thread_id()
            with maria.engine.connect() as other:
                other.execute(text(f"KILL CONNECTION {number}"))

    event.listen(maria.engine, "before_cursor_execute", kill)
    yield left
    event.remove(maria.engine, "before_cursor_execute", kill)


def test_a_connection_that_breaks_once_is_nobodys_concern(maria: World, killer: list[int]) -> None:
    phone, killer[0] = signed_in(maria), 1
    assert told(phone.sync([log(n) for n in range(5)])) == ["created"] * 5
    assert len(rows(maria)) == 5


def test_a_database_that_stays_away_fails_the_whole_batch(maria: World, killer: list[int]) -> None:
    phone, killer[0] = signed_in(maria), call_batches.TRIES
    batch = [log(1), log(2, start_time="never"), log(3)]
    answer = phone.sync(batch)
    assert (answer.status_code, answer.get_json()["message"]["success"]) == (503, False)
    assert answer.headers["Retry-After"]
    assert rows(maria) == maria.rows(select(PhoneSync.id)) == []
    assert told(phone.sync(batch)) == ["created", "error", "created"]


@pytest.fixture
def impatient(maria: World) -> Iterator[World]:
    """Connections that do not wait for a lock at all."""

    def hurry(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 0")

    maria.engine.dispose()
    event.listen(maria.engine, "connect", hurry)
    yield maria
    event.remove(maria.engine, "connect", hurry)
    maria.engine.dispose()


def test_who_waits_in_vain_is_told_to_come_again(impatient: World) -> None:
    phone = signed_in(impatient)
    phone.sync([log(1)])
    blocked = impatient.new_session()
    blocked.execute(select(PhoneSync.id).with_for_update())
    answer = phone.sync([log(2)])
    blocked.rollback()
    assert answer.status_code == 503
    assert told(phone.sync([log(2)])) == ["created"]


# --- who hears of it


def page_of(world: World, name: str, lead: Any) -> Any:
    """Somebody's open page of the lead, which has heard the count of its bell."""
    line = socketio.test_client(world.app, flask_test_client=world.door(name).browser)
    line.emit("watch", {"kind": "lead", "id": lead.id})
    news(world, line)
    return line


def news(world: World, line: Any) -> set[str]:
    assert world.app.extensions["crm_live"].post.flush(60)
    return {each["name"] for each in line.get_received()}


def test_a_missed_call_rings_the_bell_and_stirs_the_page_of_who_answers(world: World) -> None:
    lead = world.make.lead("ana", mobile="9820000001", at=EARLIER)
    pages = {name: page_of(world, name, lead) for name in ("ana", "mia", "cleo")}
    now = datetime.now(ZoneInfo("Asia/Kolkata")) - timedelta(minutes=3)
    missed = log(1, type="Missed", duration=0, start_time=f"{now:%Y-%m-%d %H:%M:%S}")
    assert told(signed_in(world, "ben").sync([missed])) == ["created"]
    assert {name: news(world, page) for name, page in pages.items()} == {
        "ana": {"bell", "activity"},
        "mia": {"activity"},
        "cleo": set(),
    }
