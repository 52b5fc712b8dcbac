"""Careful clients: a repeated POST makes one record, reads know their ETag, writes say what they saw."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from app.models import Lead
from tests.app_fixtures import World

NEW = {"first_name": "Ravi", "mobile": "9820012345"}


def post(world: World, key: str, body: Any = None, who: str = "ana") -> Any:
    return world.door(who).rest("POST", "lead/", body or NEW, headers={"Idempotency-Key": key})


def count(world: World) -> int:
    return int(world.session.scalar(select(func.count(Lead.id))) or 0)


def test_the_same_key_makes_one_record_and_answers_it_again(world: World) -> None:
    first, again = post(world, "k1"), post(world, "k1")
    assert (first.status_code, again.status_code, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
    assert first.get_json()["id"] == again.get_json()["id"]
    assert count(world) == 1


def test_the_same_key_for_something_else_is_a_mistake(world: World) -> None:
    post(world, "k1")
    answer = post(world, "k1", NEW | {"first_name": "Asha"})
    assert (answer.status_code, count(world)) == (422, 1)


def test_anothers_key_is_another_key(world: World) -> None:
    post(world, "k1")
    assert post(world, "k1", NEW | {"mobile": "9820099999"}, "ben").status_code == 201


def test_a_refused_request_frees_its_key(world: World) -> None:
    assert post(world, "k1", {"category": "Nonsense"}).status_code == 422
    assert post(world, "k1").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 101, "naïve"])
def test_a_key_has_plain_signs(world: World, key: str) -> None:
    assert (post(world, key.encode().decode("latin-1")).status_code, count(world)) == (422, 0)


def test_who_has_seen_it_gets_304(world: World) -> None:
    lead, door = world.make.lead("ana"), world.door("ana")
    tag = door.rest("GET", f"lead/{lead.id}").headers["ETag"]
    assert door.rest("GET", f"lead/{lead.id}", headers={"If-None-Match": tag}).status_code == 304
    door.rest("PUT", f"lead/{lead.id}", {"description": "x"})
    assert door.rest("GET", f"lead/{lead.id}", headers={"If-None-Match": tag}).status_code == 200


def test_a_write_says_what_it_saw(world: World) -> None:
    lead, door = world.make.lead("ana"), world.door("ana")
    tag = door.rest("GET", f"lead/{lead.id}").headers["ETag"]
    for status, text in ((200, "first"), (412, "second")):
        answer = door.rest("PUT", f"lead/{lead.id}", {"description": text}, headers={"If-Match": tag})
        assert answer.status_code == status
    assert world.stored(lead)["description"] == "first"
    assert door.rest("PUT", f"lead/{lead.id}", {"description": "any"}, headers={"If-Match": "*"}).status_code == 200
