"""Search results: names as shown in rows, ends of numbers, parts of client ids, beginnings of addresses, PANs."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.app_fixtures import Crm


def found(crm: Crm, who: str, typed: str) -> list[str]:
    """The first names of the leads that the search page lists for this person."""
    answer = crm.client(who).screen(f"/search?{urlencode({'q': typed})}", headers={"Accept": "application/json"})
    groups = {group["url"].split("/")[1]: group["rows"] for group in answer.json["groups"]}
    return [row["title"] for row in groups.get("leads", [])]


KNOWN = {
    "first_name": "Anna Maria",
    "last_name": "de Souza Rao",
    "mobile": "98200 54321",
    "alternative_mobile": "022 4000 1234",
    "email": "anna.rao@example.in",
    "pan": "ABCDE1234F",
    "client_id": "E10234",
}


#: What is typed -> whether it finds the lead.
TYPED = {
    "Anna Maria de Souza Rao": True,
    "anna maria  de souza": True,
    "de Souza Rao Anna Maria": True,
    "Anna Maria de": True,
    "Anna de": True,
    "Maria Anna": True,
    "Mar": True,
    "maria de souza": True,
    "Souza Rao": True,
    "souza anna": True,
    "Rao": False,
    "Maria Souza": False,
    "54321": True,
    "00 54321": True,
    "01234": True,
    "4321": False,
    "0234": True,
    "10234": True,
    "e1023": True,
    "E10234": True,
    "anna.rao": True,
    "anna.rao@ex": True,
    "rao@example": False,
    "ABCDE1234F": True,
    "abcde1234f": True,
    "ABCDE1234": False,
    "%": False,
    "_____": False,
}


@pytest.mark.parametrize("which", ["crm", "maria"])
def test_a_lead_is_found(request: Any, which: str) -> None:
    crm = request.getfixturevalue(which)
    crm.make.mask("Sales User", pan="full", mobile="full", alternative_mobile="full", email="full")
    crm.make.lead("ana", first_name="Bela", last_name="Shah", mobile="9811111111")
    lead = crm.make.lead("ana", **{name: value for name, value in KNOWN.items() if name != "client_id"})
    assert crm.client("ana").rest("PUT", f"lead/{lead.id}", {"client_id": KNOWN["client_id"]}).status_code == 200
    wanted = {typed: ["Anna Maria de Souza Rao"] * is_found for typed, is_found in TYPED.items()}
    assert {typed: found(crm, "ana", typed) for typed in TYPED} == wanted
    assert [typed for typed in TYPED if found(crm, "ben", typed)] == []


@pytest.mark.parametrize("level", ["last4", "hidden"])
def test_a_search_is_no_way_to_guess_what_a_mask_hides(crm: Crm, level: str) -> None:
    crm.make.mask("Sales User", pan=level, mobile=level, email=level, alternative_mobile=level)
    crm.make.lead("ana", **{name: value for name, value in KNOWN.items() if name != "client_id"})
    for typed in ("54321", "9820054321", "anna.rao", "ABCDE1234F", "01234"):
        assert found(crm, "ana", typed) == [], typed
        page = crm.client("ana").screen(f"/leads/?{urlencode({'q': typed})}").text
        assert re.search(r"list-count[^>]*>0<", page), typed


@pytest.mark.parametrize("typed", ["A+B", "A&B", "A#B", "A%B", "आशा", "a b"])
def test_the_link_of_a_group_searches_the_same_text(crm: Crm, typed: str) -> None:
    crm.make.lead("ana", last_name=f"{typed} Rao")
    answer = crm.client("ana").screen(f"/search?q={quote(typed)}", headers={"Accept": "application/json"})
    (group,) = [each for each in answer.json["groups"] if each["url"].startswith("/leads")]
    page = crm.client("ana").screen(group["url"])
    assert re.search(r"list-count[^>]*>1<", page.text)


@pytest.mark.parametrize("typed", ["a\x00b", "a\x01b", "\ud800"])
def test_a_search_for_what_cannot_be_stored(crm: Crm, typed: str) -> None:
    path = f"/search?q={quote(typed, errors='surrogatepass')}"
    assert crm.client("ana").screen(path).status_code in (200, 400)


@pytest.mark.parametrize("many", [10, 40])
def test_exact_names_come_first_and_then_the_newest(crm: Crm, many: int) -> None:
    exact = [crm.make.lead("ana", first_name="Zita", last_name=f"Old{n}") for n in range(2)]
    others = [crm.make.lead("ana", first_name=f"Zitara{n}", last_name="New") for n in range(many)]
    last_name = crm.make.lead("ana", first_name="Mira", last_name="Zita")
    expected = [f"{each.first_name} {each.last_name}" for each in (last_name, *exact[::-1], *others[::-1])]
    assert found(crm, "ana", "Zita") == expected[:8]
