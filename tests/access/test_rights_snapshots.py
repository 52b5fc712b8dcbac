"""The rights stored with a file, and the detection that its owner sees less by now."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.access import ADMIN, rights_snapshot, sees_less_now
from tests.access.factories import person

LEVELS = {"Leads.read": "team", "Leads.export": "team"}
MASKS = {"mobile": "full", "email": "full", "pan": "last4", "x_3": "last4"}
ADMINISTRATOR: dict[str, Any] = {"roles": frozenset({ADMIN})}


@pytest.mark.parametrize(
    "levels, team, masks, expected",
    [
        (LEVELS, (2, 3), MASKS, False),
        (LEVELS, (2, 3, 4), MASKS | {"pan": "full"}, False),
        (LEVELS | {"Tickets.read": "all"}, (2, 3), MASKS, False),
        ({"Leads.read": "all", "Leads.export": "all"}, (), MASKS, False),
        (LEVELS | {"Leads.write": "none"}, (2, 3), MASKS, False),
        (LEVELS | {"Leads.read": "own"}, (2, 3), MASKS, True),
        (LEVELS | {"Leads.export": "own"}, (2, 3), MASKS, True),
        ({"Leads.read": "team"}, (2, 3), MASKS, True),
        (LEVELS, (2,), MASKS, True),
        (LEVELS, (2, 3), MASKS | {"mobile": "last4"}, True),
        (LEVELS, (2, 3), MASKS | {"pan": "hidden"}, True),
        (LEVELS, (2, 3), MASKS | {"x_3": "hidden"}, True),
    ],
)
def test_who_sees_less_than_a_file_may_hold(levels: Any, team: Any, masks: Any, expected: bool) -> None:
    then = person(1, LEVELS, team=(2, 3), masks=MASKS)
    kept = json.loads(json.dumps(rights_snapshot(then, ["x_3"])))
    assert sees_less_now(kept, person(1, levels, team=team, masks=masks), ["x_3"]) is expected


def test_own_rows_are_those_of_whom_one_stands_in_for() -> None:
    kept = rights_snapshot(person(1, {"Leads.read": "own"}, own_ids=frozenset({1, 5})))
    assert not sees_less_now(kept, person(1, {"Leads.read": "own"}, own_ids=frozenset({1, 5, 6})))
    assert sees_less_now(kept, person(1, {"Leads.read": "own"}))
    assert not sees_less_now(kept, person(1, {"Leads.read": "team"}, team=(5,)))


def test_a_field_that_is_limited_later_and_an_admin_that_was() -> None:
    kept = rights_snapshot(person(1, LEVELS, masks=MASKS))
    assert sees_less_now(kept, person(1, LEVELS, masks=MASKS | {"x_9": "hidden"}), ["x_9"])
    assert not sees_less_now(kept, person(1, LEVELS, masks=MASKS | {"x_9": "full"}), ["x_9"])
    assert not sees_less_now(kept, person(1, **ADMINISTRATOR), ["x_9"])
    assert sees_less_now(rights_snapshot(person(1, **ADMINISTRATOR)), person(1, LEVELS, masks=MASKS))
    assert sees_less_now(kept, person(1, scope=frozenset({"Tickets"}), **ADMINISTRATOR))


def test_a_file_of_an_older_version_remembers_nothing() -> None:
    assert not sees_less_now(None, person(1))
