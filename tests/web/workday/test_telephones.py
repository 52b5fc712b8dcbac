"""My phone: what its owner and others see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, select, update

from app import access
from app.models import CallLog, OfficeRange, PhoneSync, QuarantinedCall, User
from tests.app_fixtures import Crm, Make
from tests.web.compat.test_phone_apps import Phone, call_record

#: Never right, however often it is sent.
WRONG = {"duration": "long"}


@pytest.fixture
def phone(crm: Crm) -> Phone:
    made = Phone(crm, "ana")
    made.sign_in()
    return made


def kept(crm: Crm) -> list[Any]:
    return crm.rows(select(QuarantinedCall))


def test_before_the_first_sync_the_page_explains_what_to_do(crm: Crm) -> None:
    assert "Sign in to the app" in crm.client("ana").screen("/phone/").text


def test_the_page_shows_synced_and_rejected_calls(crm: Crm, phone: Phone) -> None:
    for _ in range(2):
        phone.sync([call_record(1), call_record(2, **WRONG)])
    page = crm.client("ana").screen("/phone/").text
    assert "must be a number of seconds" in page and "sent 2 times" in page


def test_numbers_of_rejected_calls_are_masked(crm: Crm, phone: Phone, make: Make) -> None:
    make.mask("Sales User", mobile="last4")
    phone.sync([call_record(2, **WRONG)])
    page = crm.client("ana").screen("/phone/").text
    assert "9820000002" not in page and "0002" in page


def lives_in(crm: Crm, zone: str) -> None:
    crm.session.execute(update(User).where(User.username == "ana").values(time_zone=zone))
    crm.session.commit()
    access.clear_cache()


def test_retrying_adds_a_call_that_can_be_parsed_now(crm: Crm, phone: Phone) -> None:
    lives_in(crm, "America/Los_Angeles")
    here = datetime.now(ZoneInfo("Asia/Kolkata"))
    phone.sync([call_record(1, start_time=f"{here:%Y-%m-%d %H:%M:%S}")])
    (row,) = kept(crm)
    client = crm.client("ana")
    for zone, left in (("America/Los_Angeles", 1), ("Asia/Kolkata", 0)):
        lives_in(crm, zone)
        client.form(f"/phone/again/{row.id}")
        assert (row.code, len(kept(crm)), len(crm.rows(select(CallLog.id)))) == ("in_the_future", left, 1 - left)


@pytest.mark.parametrize("wrong", [{}, WRONG])
def test_retrying_does_not_count_as_a_sync(crm: Crm, phone: Phone, wrong: dict[str, Any]) -> None:
    phone.sync([call_record(1, **WRONG)])
    crm.session.execute(update(QuarantinedCall).values(raw=call_record(1, **wrong)))
    crm.session.commit()
    columns = [each for each in PhoneSync.__table__.columns if each.name != "batches"]
    mine, (row,) = select(*columns), kept(crm)
    before = crm.rows(mine)
    crm.client("ana").form(f"/phone/again/{row.id}")
    assert crm.rows(mine) == before
    assert [each.times for each in kept(crm)] == ([1] if wrong else [])


@pytest.mark.parametrize(("who", "left"), [("ana", 0), ("ben", 1), ("mia", 1), ("root", 1)])
def test_only_the_own_rejected_calls_can_be_removed(crm: Crm, phone: Phone, who: str, left: int) -> None:
    phone.sync([call_record(2, **WRONG)])
    key = kept(crm)[0].id
    for step in ("again", "drop"):
        assert crm.client(who).form(f"/phone/{step}/{key}").status_code in (302, 404)
    assert len(kept(crm)) == left


@pytest.mark.parametrize(
    ("who", "sees"), [("mia", True), ("root", True), ("max", False), ("sam", False), ("ben", False)]
)
def test_managers_see_the_phones_of_their_team(crm: Crm, phone: Phone, who: str, sees: bool) -> None:
    phone.sync([call_record(1)])
    assert ("Ana Shah" in crm.client(who).screen("/phone/").text) is sees


@pytest.mark.parametrize(("minutes", "tone"), [(5, "green"), (45, "amber"), (26 * 60, "red")])
def test_a_missing_sync_is_colored_by_office_time(crm: Crm, minutes: int, tone: str) -> None:
    crm.session.execute(delete(OfficeRange))  # always open
    access.rights_cache.bump_version(crm.session)
    since = datetime.now(UTC) - timedelta(minutes=minutes)
    crm.session.add(PhoneSync(employee_id=crm.people["ana"].id, synced_on=since))
    crm.session.commit()
    assert f"phone-sign tone-{tone}" in crm.client("ana").screen("/phone/").text


def test_a_gap_is_shown_until_it_is_dismissed(crm: Crm, phone: Phone) -> None:
    for hour in (8, 12):
        phone.sync([call_record(100 * hour + n, start_time=f"2026-11-20 {hour:02d}:{n:02d}:00") for n in range(50)])
    client, gap = crm.client("ana"), crm.rows(select(PhoneSync.gap_to))[0]
    assert "may be missing" in client.screen("/phone/").text
    client.form("/phone/noted", {"to": "another"})
    assert "may be missing" in client.screen("/phone/").text
    client.form("/phone/noted", {"to": gap.isoformat()})
    assert "may be missing" not in client.screen("/phone/").text
