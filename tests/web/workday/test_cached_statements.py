"""Pages with statements that are finished once: rights taken away are gone with the next request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.app_fixtures import World


def give_away(world: World, lead: Any) -> None:
    world.make.give(lead, "ben")


def forbid(world: World, _lead: Any) -> None:
    world.make.cell("Sales User", "Leads", "read", "none")


@pytest.mark.parametrize("take", [give_away, forbid])
def test_a_lead_that_is_taken_away_leaves_my_day_and_its_pages(world: World, take: Callable[..., None]) -> None:
    lead = world.make.lead("root", assignee_id=world.people["ana"].id, first_name="Zubin", task={})
    door = world.door("ana")
    for _ in range(3):  # the third time, every statement is a finished one
        assert lead.number in door.screen("/").text
        assert "Zubin" in door.screen(f"/leads/{lead.number}").text
    take(world, lead)
    assert f"/leads/{lead.number}" not in door.screen("/").text
    assert door.screen(f"/leads/{lead.number}").status_code in (403, 404)


def test_the_bell_counts_what_has_come_since(world: World) -> None:
    door = world.door("ana")
    for _ in range(3):
        before = door.screen("/").text.count("data-unread hidden")
    world.make.lead("root", assignee_id=world.people["ana"].id)
    assert before == 1 and "data-unread >" in door.screen("/").text
