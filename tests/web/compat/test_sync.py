"""Sync of call batches: few statements, concurrency, and a busy or unavailable database."""

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
from app.web.records.telephony import call_batches
from tests.app_fixtures import Crm
from tests.domain.test_call_sync import ANYTHING, NAMES
from tests.factories import NOW
from tests.web.compat.test_phone_apps import SYNC, Phone, call_record

#: Statements of a batch, with those that mark the days of its calls for their roll-ups, and the leads and tickets that
#: were called for the first time; and of authentication.
BATCH_STATEMENTS, AUTHENTICATION_STATEMENTS = 14, 1
#: Before the calls of `call_record`.
EARLIER = NOW - timedelta(days=10)


@pytest.fixture
def crm(app: Flask) -> Iterator[Crm]:
    """An application of its own: live events reach the pages of the newest application only."""
    crm = Crm(app)
    yield crm
    crm.close()


@pytest.fixture
def counting_world(crm: Crm) -> Crm:
    crm.app.config["COUNT_SQL"] = True
    return crm


def sign_in_phone(crm: Crm, name: str = "ana") -> Phone:
    phone = Phone(crm, name)
    phone.sign_in()
    return phone


def synced_phone(crm: Crm) -> Phone:
    """Ana's telephone, which has synced before; leads and tickets with some of the numbers have no reply yet."""
    phone = sign_in_phone(crm)
    phone.sync([])
    for number in range(8):
        lead = crm.make.lead("ana", at=EARLIER, mobile=f"98200{number * 5:05d}")
        customer = crm.make.customer("ana", at=EARLIER, mobile=f"98200{1000 + number * 5:05d}")
        crm.make.ticket("cleo", at=EARLIER, customer_id=customer.id)
        assert lead.replied_on is None
    return phone


def statuses(response: Any) -> list[str]:
    return [each["status"] for each in response.get_json()["message"]["data"]["results"]]


def call_ids(crm: Crm) -> list[Any]:
    return crm.rows(select(CallLog.id))


# --- few statements


@pytest.mark.parametrize("size", [10, 1000])
def test_a_batch_takes_the_same_number_of_statements_at_any_size(counting_world: Crm, size: int) -> None:
    phone = synced_phone(counting_world)
    for seconds in (7, 7, 9):  # new calls, duplicates, updates
        response = phone.sync([call_record(n * 5, duration=seconds * (n % 2)) for n in range(size)])
        assert response.status_code == 200
        assert int(response.headers["X-SQL-Count"]) <= BATCH_STATEMENTS + AUTHENTICATION_STATEMENTS


def test_a_rest_batch_takes_as_few_statements(counting_world: Crm) -> None:
    synced_phone(counting_world)
    client = counting_world.client("ana")
    client.rest("GET", "call_log/")
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
    response = client.rest("POST", "call_log/bulk", {"call_logs": calls})
    assert {each["status"] for each in response.json["results"]} == {"created"}
    assert int(response.headers["X-SQL-Count"]) <= BATCH_STATEMENTS + AUTHENTICATION_STATEMENTS


# --- concurrency


@pytest.fixture
def phones(maria: Crm) -> list[Phone]:
    """Eight authenticated telephones of Ana."""
    return [sign_in_phone(maria) for _ in range(8)]


def test_eight_concurrent_syncs_of_one_batch_store_each_call_once(phones: list[Phone]) -> None:
    lead = phones[0].crm.make.lead("ana", at=EARLIER, mobile="9820000003")
    batch = [call_record(n) for n in range(40)]
    with ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(lambda phone: phone.sync(batch), phones))
    assert {response.status_code for response in responses} == {200}
    assert Counter(chain(*map(statuses, responses))) == {"created": 40, "duplicate": 280}
    assert len(call_ids(phones[0].crm)) == 40
    assert phones[0].crm.rows(select(func.count(CallLog.id)).where(CallLog.lead_id == lead.id)) == [1]


def test_both_apps_syncing_concurrently_store_each_call_once(phones: list[Phone]) -> None:
    ids = ("device_{}", "device_{}_42_in")
    with ThreadPoolExecutor(8) as threads:
        responses = list(
            threads.map(
                lambda each: each[1].sync(
                    [call_record(n, device_call_id=ids[each[0] % 2].format(n)) for n in range(30)]
                ),
                enumerate(phones),
            )
        )
    assert {response.status_code for response in responses} == {200}
    assert len(call_ids(phones[0].crm)) == 30


def test_colleagues_syncing_calls_to_the_same_people_do_not_block_each_other(maria: Crm) -> None:
    for number in range(30):
        maria.make.lead("ana", at=EARLIER, mobile=f"982000{number:04d}")
    phones = [sign_in_phone(maria, name) for name in ("ana", "ben", "mia", "max")]
    batches = [[call_record(n) for n in range(30)], [call_record(n) for n in reversed(range(30))]]
    with ThreadPoolExecutor(4) as threads:
        responses = list(threads.map(lambda each: each[1].sync(batches[each[0] % 2]), enumerate(phones)))
    assert [response.status_code for response in responses] == [200] * 4
    assert len(call_ids(maria)) == 120
    assert len(maria.rows(select(Lead.id).where(Lead.replied_on.is_not(None)))) == 30


def test_device_call_ids_are_case_sensitive(maria: Crm) -> None:
    batch = [call_record(1, device_call_id="call_a"), call_record(2, device_call_id="call_A")]
    assert statuses(sign_in_phone(maria).sync(batch)) == ["created", "created"]


@pytest.fixture
def ana_phone(maria: Crm) -> Phone:
    return sign_in_phone(maria)


ODD_RECORDS = st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=4).map(lambda fields: call_record(1) | fields)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(ODD_RECORDS, min_size=1, max_size=5))
def test_any_record_is_stored_or_reported_as_an_error(ana_phone: Phone, records: list[Any]) -> None:
    response = ana_phone.browser.post(
        SYNC, data=json.dumps({"call_logs_data": records}), content_type="application/json"
    )
    assert response.status_code == 200
    assert len(statuses(response)) == len(records)


# --- a database that is unavailable or busy


@pytest.fixture
def connection_killer(maria: Crm) -> Iterator[list[int]]:
    """Kills the batch's connection before its calls are written, as often as the list's item says."""
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


def test_one_broken_connection_is_retried(maria: Crm, connection_killer: list[int]) -> None:
    phone, connection_killer[0] = sign_in_phone(maria), 1
    assert statuses(phone.sync([call_record(n) for n in range(5)])) == ["created"] * 5
    assert len(call_ids(maria)) == 5


def test_an_unavailable_database_fails_the_whole_batch(maria: Crm, connection_killer: list[int]) -> None:
    phone, connection_killer[0] = sign_in_phone(maria), call_batches.MAX_ATTEMPTS
    batch = [call_record(1), call_record(2, start_time="never"), call_record(3)]
    response = phone.sync(batch)
    assert (response.status_code, response.get_json()["exc_type"]) == (503, "Exception")
    assert "message" not in response.get_json()  # a phone would take it for success
    assert response.headers["Retry-After"]
    assert call_ids(maria) == maria.rows(select(PhoneSync.id)) == []
    assert statuses(phone.sync(batch)) == ["created", "error", "created"]


@pytest.fixture
def no_lock_wait(maria: Crm) -> Iterator[Crm]:
    """Connections that do not wait for locks."""

    def hurry(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 0")

    maria.engine.dispose()
    event.listen(maria.engine, "connect", hurry)
    yield maria
    event.remove(maria.engine, "connect", hurry)
    maria.engine.dispose()


def test_a_lock_timeout_is_503(no_lock_wait: Crm) -> None:
    phone = sign_in_phone(no_lock_wait)
    phone.sync([call_record(1)])
    blocked = no_lock_wait.new_session()
    blocked.execute(select(PhoneSync.id).with_for_update())
    response = phone.sync([call_record(2)])
    blocked.rollback()
    assert response.status_code == 503
    assert statuses(phone.sync([call_record(2)])) == ["created"]


# --- live events


def open_page(crm: Crm, name: str, lead: Any) -> Any:
    """A user's open page of the lead."""
    client = socketio.test_client(crm.app, flask_test_client=crm.client(name).browser)
    client.emit("watch", {"kind": "lead", "id": lead.id})
    return client


def events(crm: Crm, client: Any) -> set[str]:
    assert crm.app.extensions["crm_live"].broadcaster.flush(60)
    return {each["name"] for each in client.get_received()}


def test_a_missed_call_notifies_the_assignee_and_refreshes_open_pages(crm: Crm) -> None:
    lead = crm.make.lead("ana", mobile="9820000001", at=EARLIER)
    pages = {name: open_page(crm, name, lead) for name in ("ana", "mia", "cleo")}
    for page in pages.values():
        events(crm, page)  # their notification counts, and who else is there
    now = datetime.now(ZoneInfo("Asia/Kolkata")) - timedelta(minutes=3)
    missed = call_record(1, type="Missed", duration=0, start_time=f"{now:%Y-%m-%d %H:%M:%S}")
    assert statuses(sign_in_phone(crm, "ben").sync([missed])) == ["created"]
    assert {name: events(crm, page) for name, page in pages.items()} == {
        "ana": {"bell", "activity"},
        "mia": {"activity"},
        "cleo": set(),
    }
