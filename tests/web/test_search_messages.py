"""Messages by their text: on both databases, only those that the person sees, newest first, however common a word."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from app.domain import messages
from app.domain.base import Stamp
from app.models import Message
from tests.app_fixtures import World
from tests.factories import NOW

TEXTS = (
    "Please send the ledger of March",
    "खाता खोलने के लिए दस्तावेज़",
    "Your KYC-2 form is complete",
    "Brien called about the ledger",
    "નમસ્તે, ફોર્મ મળી ગયું",
)


@pytest.fixture(params=["world", "maria"])
def house(request: pytest.FixtureRequest) -> World:
    found: World = request.getfixturevalue(request.param)
    return found


def said(world: World, who: str, texts: Any) -> list[int]:
    """Messages about a lead of this user, oldest first."""
    lead = world.make.lead(who)
    values = {"channel": "sms", "peer": "9820012345", "lead_id": lead.id, "direction": "in"}
    made = [
        messages.record_elsewhere(world.session, {**values, "body": text}, Stamp(lead.owner_id, NOW)) for text in texts
    ]
    world.session.commit()
    return [each.id for each in made]


def hits(world: World, who: str, text: str) -> list[int]:
    """What the palette and REST find, which must agree."""
    door = world.door(who)
    found = door.screen(f"/search?q={quote(text)}", headers={"Accept": "application/json"}).json["groups"]
    paths = [row["url"] for group in found for row in group["rows"] if row["url"].startswith("/messages/")]
    answer = door.rest("GET", f"message/search?text={quote(text)}&page_size=8").json
    assert [int(path.rsplit("/", 1)[1]) for path in paths] == answer["ids"]
    return list(answer["ids"])


def test_words_are_found_by_who_sees_the_message(house: World) -> None:
    ledger, account, kyc, brien, form = said(house, "ana", TEXTS)
    hers = said(house, "ben", ["The ledger is private"])
    expected = {
        "ledger": [brien, ledger],
        "LEDG": [brien, ledger],
        "खाता": [account],
        "દસ": [],
        "ફોર્મ": [form],
        "KYC-2": [kyc],
        "ledger of": [ledger],
        "brien": [brien],
        "nowhere": [],
    }
    assert {text: hits(house, "ana", text) for text in expected} == expected
    assert hits(house, "ben", "ledger") == hers and hits(house, "mia", "private") == []
    assert hits(house, "root", "ledger") == [*hers, brien, ledger]


def test_a_word_of_every_message_finds_the_newest_of_ones_own(house: World) -> None:
    own = said(house, "ana", [f"Ledger {n}" for n in range(4)])
    said(house, "ben", [f"Ledger of others {n}" for n in range(30)])
    assert hits(house, "ana", "ledger") == own[::-1]
    assert len(hits(house, "root", "ledger")) == 8


def test_a_masked_number_is_not_found_by_guessing(house: World) -> None:
    (key,) = said(house, "ana", ["Good morning"])
    assert hits(house, "ana", "9820012345") == [key]
    house.make.mask("Sales User", mobile="last4", email="full")
    assert hits(house, "ana", "9820012345") == []
    assert "12345" not in house.door("ana").screen("/search?q=morning").text.replace("value", "")


def test_the_words_follow_the_text(world: World) -> None:
    (key,) = said(world, "ana", ["A first text"])
    row = world.session.get_one(Message, key)
    row.body = "A second text"
    world.session.commit()
    assert (hits(world, "ana", "second"), hits(world, "ana", "first")) == ([key], [])
    world.session.delete(row)
    world.session.commit()
    assert hits(world, "ana", "second") == []


@pytest.mark.parametrize("query", ["", "?text=a", "?text=ab&x=1", "?text=ab&page=-1"])
def test_a_wrong_search_is_refused_in_words(world: World, query: str) -> None:
    answer = world.door("ana").rest("GET", f"message/search{query}")
    assert answer.status_code == 400 and answer.json["message"]
