"""My phone: what its person sees of it, and who else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, select, update

from app import access
from app.models import CallLog, OfficeRange, PhoneSync, QuarantinedCall, User
from tests.app_fixtures import Make, World
from tests.web.compat.test_telephone import Phone, call_record

#: Never right, however often it is sent.
WRONG = {"duration": "long"}


@pytest.fixture
def phone(world: World) -> Phone:
    made = Phone(world, "ana")
    made.sign_in()
    return made


def kept(world: World) -> list[Any]:
    return world.rows(select(QuarantinedCall))


def test_before_the_first_sync_the_page_explains_what_to_do(world: World) -> None:
    assert "Sign in to the app" in world.door("ana").screen("/phone/").text


def test_the_page_shows_synced_and_rejected_calls(world: World, phone: Phone) -> None:
    for _ in range(2):
        phone.sync([call_record(1), call_record(2, **WRONG)])
    page = world.door("ana").screen("/phone/").text
    assert "must be a number of seconds" in page and "sent 2 times" in page


def test_numbers_of_rejected_calls_are_masked(world: World, phone: Phone, make: Make) -> None:
    make.mask("Sales User", mobile="last4")
    phone.sync([call_record(2, **WRONG)])
    page = world.door("ana").screen("/phone/").text
    assert "9820000002" not in page and "0002" in page


def lives_in(world: World, zone: str) -> None:
    world.session.execute(update(User).where(User.username == "ana").values(time_zone=zone))
    world.session.commit()
    access.clear_cache()


def test_retrying_adds_a_call_that_can_be_parsed_now(world: World, phone: Phone) -> None:
    lives_in(world, "America/Los_Angeles")
    here = datetime.now(ZoneInfo("Asia/Kolkata"))
    phone.sync([call_record(1, start_time=f"{here:%Y-%m-%d %H:%M:%S}")])
    (row,) = kept(world)
    door = world.door("ana")
    for zone, left in (("America/Los_Angeles", 1), ("Asia/Kolkata", 0)):
        lives_in(world, zone)
        door.form(f"/phone/again/{row.id}")
        assert (row.code, len(kept(world)), len(world.rows(select(CallLog.id)))) == ("in_the_future", left, 1 - left)


@pytest.mark.parametrize("wrong", [{}, WRONG])
def test_retrying_does_not_count_as_a_sync(world: World, phone: Phone, wrong: dict[str, Any]) -> None:
    phone.sync([call_record(1, **WRONG)])
    world.session.execute(update(QuarantinedCall).values(raw=call_record(1, **wrong)))
    world.session.commit()
    columns = [each for each in PhoneSync.__table__.columns if each.name != "batches"]
    mine, (row,) = select(*columns), kept(world)
    before = world.rows(mine)
    world.door("ana").form(f"/phone/again/{row.id}")
    assert world.rows(mine) == before
    assert [each.times for each in kept(world)] == ([1] if wrong else [])


@pytest.mark.parametrize(("who", "left"), [("ana", 0), ("ben", 1), ("mia", 1), ("root", 1)])
def test_only_the_own_rejected_calls_can_be_removed(world: World, phone: Phone, who: str, left: int) -> None:
    phone.sync([call_record(2, **WRONG)])
    key = kept(world)[0].id
    for step in ("again", "drop"):
        assert world.door(who).form(f"/phone/{step}/{key}").status_code in (302, 404)
    assert len(kept(world)) == left


@pytest.mark.parametrize(
    ("who", "sees"), [("mia", True), ("root", True), ("max", False), ("sam", False), ("ben", False)]
)
def test_managers_see_the_phones_of_their_team(world: World, phone: Phone, who: str, sees: bool) -> None:
    phone.sync([call_record(1)])
    assert ("Ana Shah" in world.door(who).screen("/phone/").text) is sees


@pytest.mark.parametrize(("minutes", "tone"), [(5, "green"), (45, "amber"), (26 * 60, "red")])
def test_a_missing_sync_is_coloured_by_office_time(world: World, minutes: int, tone: str) -> None:
    world.session.execute(delete(OfficeRange))  # always open
    access.people.bump_version(world.session)
    since = datetime.now(UTC) - timedelta(minutes=minutes)
    world.session.add(PhoneSync(employee_id=world.people["ana"].id, synced_on=since))
    world.session.commit()
    assert f"phone-sign tone-{tone}" in world.door("ana").screen("/phone/").text


def test_a_gap_is_shown_until_it_is_dismissed(world: World, phone: Phone) -> None:
    for hour in (8, 12):
        phone.sync([call_record(100 * hour + n, start_time=f"2026-11-20 {hour:02d}:{n:02d}:00") for n in range(50)])
    door, gap = world.door("ana"), world.rows(select(PhoneSync.gap_to))[0]
    assert "may be missing" in door.screen("/phone/").text
    door.form("/phone/noted", {"to": "another"})
    assert "may be missing" in door.screen("/phone/").text
    door.form("/phone/noted", {"to": gap.isoformat()})
    assert "may be missing" not in door.screen("/phone/").text
