"""A person's rights: levels, reach, masks, and the restrictions by an API key's scope or by viewing as another user."""

from __future__ import annotations

from typing import Any

import pytest

from app.access import ADMIN, Denied
from tests.access.factories import person
from tests.cases import each_case

ADMINISTRATOR: dict[str, Any] = {"roles": frozenset({ADMIN})}


@each_case(
    "more, module, verb, level",
    [
        ({}, "Leads", "read", "team"),
        ({}, "Leads", "delete", "none"),
        ({}, "Tickets", "read", "none"),
        (ADMINISTRATOR, "Tickets", "delete", "all"),
        ({"read_only": True}, "Leads", "read", "team"),
        ({"read_only": True}, "Leads", "write", "none"),
        ({"read_only": True, **ADMINISTRATOR}, "Leads", "write", "none"),
        ({"scope": frozenset({"Leads.read"})}, "Leads", "read", "team"),
        ({"scope": frozenset({"Leads.read"})}, "Leads", "write", "none"),
        ({"scope": frozenset({"Leads"})}, "Leads", "write", "own"),
        ({"scope": frozenset(), **ADMINISTRATOR}, "Leads", "read", "none"),
    ],
)
def test_the_level_follows_roles_scope_and_read_only_views(more: Any, module: str, verb: str, level: str) -> None:
    who = person(levels={"Leads.read": "team", "Leads.write": "own"}, **more)
    assert (who.level(module, verb), who.may(module, verb)) == (level, level != "none")


@pytest.mark.parametrize("level, ids", [("none", set()), ("own", {1}), ("team", {1, 2}), ("all", None)])
def test_the_reach_is_whose_rows_the_level_means(level: str, ids: Any) -> None:
    who = person(1, {"Leads.read": level, "Leads.write": "own"}, team=(2,))
    assert who.reach("Leads") == who.reach("Leads", "read") == ids
    assert who.reach("Leads", "write") == frozenset({1})


@pytest.mark.parametrize(
    "levels, more, expected",
    [
        ({}, {}, False),
        ({"Leads.write": "all", "Tickets.read": "all"}, {}, False),
        ({"Leads.assign": "own"}, {}, True),
        ({"Tickets.assign": "team"}, {}, True),
        ({}, ADMINISTRATOR, True),
        ({}, ADMINISTRATOR | {"read_only": True}, True),
    ],
)
def test_managers_are_admins_and_those_who_may_assign(levels: Any, more: Any, expected: bool) -> None:
    assert person(levels=levels, **more).is_manager is expected


@pytest.mark.parametrize(
    "more, field, value, expected",
    [
        ({}, "description", "text", "text"),
        ({"masks": {"pan": "full"}}, "pan", "ABCDE1234F", "ABCDE1234F"),
        ({"masks": {"pan": "last4"}}, "pan", None, None),
        (ADMINISTRATOR, "pan", "ABCDE1234F", "ABCDE1234F"),
        (ADMINISTRATOR, "aadhaar", 12, 12),
    ],
)
def test_values_without_a_mask_are_seen_as_they_are(more: Any, field: str, value: Any, expected: Any) -> None:
    assert person(**more).mask_value(field, value) == expected


def test_masked_fields_are_hidden_unless_a_role_opens_them() -> None:
    who = person(masks={"pan": "last4"})
    assert (who.mask("pan"), who.mask("aadhaar"), who.mask("title")) == ("last4", "hidden", "full")
    assert who.mask_value("pan", "ABCDE1234F").endswith("234F")
    assert "A" not in who.mask_value("pan", "ABCDE1234F")
    assert "9" not in who.mask_value("aadhaar", 999988887777)


def test_what_a_role_does_not_allow_is_denied_by_name() -> None:
    who = person(levels={"Leads.read": "own"})
    who.refuse_unless("Leads", "read")
    with pytest.raises(Denied, match=r"^Your role doesn't allow this \(Leads: write\)"):
        who.refuse_unless("Leads", "write")
