"""Whose turn: the page of a role's line, who may look, who may begin anew; and what it keeps to itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.models import AuditEntry, RoundRobin, User
from tests.app_fixtures import World


def give(world: World, count: int) -> list[Any]:
    rows = [world.make.lead("mia") for _ in range(count)]
    for row in rows:
        answer = world.door("root").rest("POST", f"lead/{row.id}/assign", {"assign_to_role": "Sales User"})
        assert answer.status_code == 200
    return rows


def page(world: World, who: str = "root", role: str = "Sales User") -> str:
    return str(world.door(who).screen(f"/turns/?role={role.replace(' ', '+')}").text)


def test_the_page_shows_who_is_next_and_past_turns(world: World) -> None:
    rows = give(world, 3)
    shown = page(world)
    assert "3 turns so far" in shown and shown.count("/leads/CRM-LEAD-") >= 3
    assert all(f"/leads/{row.number}" in shown for row in rows)
    head = shown[shown.index("queue-row is-next") :]
    assert "Ben Shah" in head[:400]


def test_absent_people_are_listed_with_the_reason(world: World) -> None:
    now = datetime.now(UTC)
    ana = world.session.get_one(User, world.people["ana"].id)
    ana.leave_from, ana.leave_to = now - timedelta(days=1), now + timedelta(days=3)
    ana.delegate_id = world.people["max"].id
    world.session.commit()
    give(world, 2)
    shown = page(world)
    assert "on leave until" in shown and "Max Shah is covering" in shown and "covering for Ana Shah" in shown


@pytest.mark.parametrize("who, code", [("root", 200), ("mia", 403), ("ana", 403), ("cleo", 403)])
def test_who_may_open_the_page(world: World, who: str, code: int) -> None:
    assert world.door(who).screen("/turns/").status_code == code
    if code != 200:
        assert world.door(who).form("/turns/begin", {"role": "Sales User"}).status_code == 403


def test_the_page_links_visible_records_only(world: World) -> None:
    (row,) = give(world, 1)
    world.make.cell("Support User", "Settings", "read", "all")
    shown = page(world, "cleo")
    assert row.number not in shown and "no access" in shown and "Restart" not in shown
    assert world.door("cleo").form("/turns/begin", {"role": "Sales User"}).status_code == 403


def test_setting_who_is_next_is_audited(world: World) -> None:
    give(world, 1)
    ana = world.people["ana"].id
    said = world.door("root").form("/turns/begin", {"role": "Sales User", "user": ana}, follow_redirects=True).text
    assert "Ana Shah is next." in said
    assert give(world, 1) and world.rows(select(RoundRobin.last_user_id)) == [ana]
    (entry,) = world.rows(select(AuditEntry).where(AuditEntry.event == "turn change"))
    assert (entry.about, entry.payload, entry.user_id) == (
        "role Sales User",
        {"begins_with": ana},
        world.people["root"].id,
    )


def test_the_order_starts_over(world: World) -> None:
    give(world, 1)
    assert (
        "Ana Shah is next."
        in world.door("root").form("/turns/begin", {"role": "Sales User"}, follow_redirects=True).text
    )


@pytest.mark.parametrize(
    "role, user, sentence",
    [
        ("Nobody", "", "no role named"),
        ("Sales User", "99999", "have the role"),
        ("Sales User", "x", "have the role"),
        ("", "", "no role named"),
    ],
)
def test_an_invalid_next_person_is_refused(world: World, role: str, user: str, sentence: str) -> None:
    give(world, 1)
    before = world.rows(select(RoundRobin.last_user_id, RoundRobin.changed_on))
    said = world.door("root").form("/turns/begin", {"role": role, "user": user}, follow_redirects=True).text
    assert sentence in said and world.rows(select(RoundRobin.last_user_id, RoundRobin.changed_on)) == before
    assert world.count(AuditEntry, AuditEntry.event == "turn change") == 0


def test_a_role_without_round_robin_is_404(world: World) -> None:
    assert world.door("root").screen("/turns/?role=Nobody").status_code == 404
    assert world.door("root").screen("/turns/?role=Support+User").status_code == 200
