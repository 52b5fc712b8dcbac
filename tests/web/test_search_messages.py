"""Search in messages: on both databases, only visible ones, newest first, however common a word is."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from app.domain.base import Stamp
from app.domain.messaging import messages
from app.models import Message
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.factories import NOW

TEXTS = (
    "Please send the ledger of March",
    "खाता खोलने के लिए दस्तावेज़",
    "Your KYC-2 form is complete",
    "Brien called about the ledger",
    "નમસ્તે, ફોર્મ મળી ગયું",
)


@pytest.fixture(params=["crm", "maria"])
def crm_on_both(request: pytest.FixtureRequest) -> Crm:
    found: Crm = request.getfixturevalue(request.param)
    return found


def said(crm: Crm, who: str, texts: Any) -> list[int]:
    """Messages about a lead of this user, oldest first."""
    lead = crm.make.lead(who)
    values = {"channel": "sms", "peer": "9820012345", "lead_id": lead.id, "direction": "in"}
    made = [
        messages.record_elsewhere(crm.session, {**values, "body": text}, Stamp(lead.owner_id, NOW)) for text in texts
    ]
    crm.session.commit()
    return [each.id for each in made]


def hits(crm: Crm, who: str, text: str) -> list[int]:
    """What the palette and REST find, which must agree."""
    client = crm.client(who)
    found = client.screen(f"/search?q={quote(text)}", headers={"Accept": "application/json"}).json["groups"]
    paths = [row["url"] for group in found for row in group["rows"] if row["url"].startswith("/messages/")]
    answer = client.rest("GET", f"message/search?text={quote(text)}&page_size=8").json
    assert [int(path.rsplit("/", 1)[1]) for path in paths] == answer["ids"]
    return list(answer["ids"])


def test_words_are_found_by_who_sees_the_message(crm_on_both: Crm) -> None:
    ledger, account, kyc, brien, form = said(crm_on_both, "ana", TEXTS)
    hers = said(crm_on_both, "ben", ["The ledger is private"])
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
    assert {text: hits(crm_on_both, "ana", text) for text in expected} == expected
    assert hits(crm_on_both, "ben", "ledger") == hers and hits(crm_on_both, "mia", "private") == []
    assert hits(crm_on_both, "root", "ledger") == [*hers, brien, ledger]


def test_a_word_of_every_message_finds_the_newest_of_ones_own(crm_on_both: Crm) -> None:
    own = said(crm_on_both, "ana", [f"Ledger {n}" for n in range(4)])
    said(crm_on_both, "ben", [f"Ledger of others {n}" for n in range(30)])
    assert hits(crm_on_both, "ana", "ledger") == own[::-1]
    assert len(hits(crm_on_both, "root", "ledger")) == 8


def test_a_masked_number_is_not_found_by_guessing(crm_on_both: Crm) -> None:
    (key,) = said(crm_on_both, "ana", ["Good morning"])
    assert hits(crm_on_both, "ana", "9820012345") == [key]
    crm_on_both.make.mask("Sales User", mobile="last4", email="full")
    assert hits(crm_on_both, "ana", "9820012345") == []
    assert "12345" not in crm_on_both.client("ana").screen("/search?q=morning").text.replace("value", "")


def test_the_words_follow_the_text(crm: Crm) -> None:
    (key,) = said(crm, "ana", ["A first text"])
    row = crm.session.get_one(Message, key)
    row.body = "A second text"
    crm.session.commit()
    assert (hits(crm, "ana", "second"), hits(crm, "ana", "first")) == ([key], [])
    crm.session.delete(row)
    crm.session.commit()
    assert hits(crm, "ana", "second") == []


@each_case("query", ["", "?text=a", "?text=ab&x=1", "?text=ab&page=-1"])
def test_a_wrong_search_is_refused_in_words(crm: Crm, query: str) -> None:
    answer = crm.client("ana").rest("GET", f"message/search{query}")
    assert answer.status_code == 400 and answer.json["message"]
