"""Names are found by their second word, in the palette, on the search page, in lists and over REST."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.app_fixtures import Crm
from tests.cases import each_case

#: Title of a hit -> texts that find it.
TYPED = {
    "Anil Kumar Shah": ("kumar", "Kum", "kumar shah", "shah kumar", "KUMAR SHA", "kumar anil", "anil kumar shah"),
    "रमेश कुमार पटेल": ("कुमार", "कुमार पटेल", "पटेल कुमार", "कुमार रमेश"),
    "હેતલ બેન શાહ": ("બેન", "બેન શાહ", "શાહ બેન"),
    "Maria de Souza": ("souza", "maria souza", "souza maria"),
    "Sean O’Neil Roy": ("o'ne", "O’Neil", "roy o'neil"),
}
NAMES = (("Anil Kumar", "Shah"), ("रमेश कुमार", "पटेल"), ("હેતલ બેન", "શાહ"), ("Maria", "de Souza"), ("Sean O’Neil", "Roy"))
CASES = [(typed, title) for title, texts in TYPED.items() for typed in texts]


@pytest.fixture
def named(crm_on_both: Crm) -> Crm:
    """A lead, a customer and a ticket of each name, and others that no text here finds."""
    for first, last in (*NAMES, ("Ravi", "Menon"), ("Kiran Akumar", None)):
        crm_on_both.make.lead("ana", first_name=first, last_name=last)
        crm_on_both.make.customer("ana", first_name=first, last_name=last)
        crm_on_both.make.ticket("cleo", first_name=first, last_name=last)
    return crm_on_both


def test_a_name_is_found_by_its_second_word(named: Crm) -> None:
    for typed, title in CASES:
        asked = {"query_string": {"q": typed}}
        for who, kinds in (("ana", ("Leads", "Customers")), ("cleo", ("Tickets",)), ("root", ("Leads", "Tickets"))):
            groups = named.client(who).screen("/search/hits", **asked).json["groups"]
            found = {group["title"]: [row["title"] for row in group["rows"]] for group in groups}
            assert all(kind in found for kind in kinds), (who, typed, found)
            assert {*found["Leads"], *found["Customers"]} == {title} if who == "ana" else True, (typed, found)
        assert named.client("ben").screen("/search/hits", **asked).json["groups"] == []
        assert title in named.client("ana").screen("/search", **asked).text
        for path in ("/leads/", "/customers/"):
            page = named.client("ana").screen(path, **asked).text
            assert title in page and "Menon" not in page and "Akumar" not in page, (path, typed)


@each_case("typed, title", [("kumar", "Anil Kumar Shah"), ("souza", "Maria de Souza"), ("કુમાર", ""), ("uma", "")])
def test_it_is_found_over_rest_and_while_a_record_is_chosen(named: Crm, typed: str, title: str) -> None:
    asked, wanted = {"q": typed}, [title] if title else []
    json = named.client("ana").screen("/search", query_string=asked, headers={"Accept": "application/json"}).json
    assert [row["title"] for group in json["groups"] for row in group["rows"] if group["title"] == "Leads"] == wanted
    assert (title or "nobody") in named.client("ana").screen("/leads/lookup", query_string=asked).text or not title


def test_a_mistyped_second_word_is_found(named: Crm) -> None:
    for typed, title in (("kumra", "Anil Kumar Shah"), ("shah kumra", "Anil Kumar Shah"), ("spuza", "Maria de Souza")):
        assert title in named.client("ana").screen("/search", query_string={"q": typed}).text, typed


def test_a_changed_name_is_found_by_its_new_words_only(named: Crm) -> None:
    lead = named.make.lead("ana", first_name="Anil Dev", last_name="Bose")
    client = named.client("ana")
    answer = client.rest("PUT", f"/api/v1/lead/{lead.id}", json={"first_name": "Anil  Raj "})
    assert answer.status_code == 200, answer.text
    found = {typed: "Bose" in client.screen("/leads/", query_string={"q": typed}).text for typed in ("dev bose", "raj")}
    assert found == {"dev bose": False, "raj": True}


def test_the_columns_are_nobodys_to_read_or_write(named: Crm) -> None:
    lead = named.make.lead("ana", first_name="Anil Dev", last_name="Bose")
    client = named.client("ana")
    assert "_rest" not in client.rest("GET", f"/api/v1/lead/{lead.id}").text
    assert "_rest" not in client.rest("GET", "/api/v1/lead/_info").text
    assert client.rest("PUT", f"/api/v1/lead/{lead.id}", json={"first_name_rest": "X"}).status_code == 422
    stored = text("SELECT first_name_rest, last_name_rest FROM leads WHERE id = :id")
    assert tuple(named.session.execute(stored, {"id": lead.id}).one()) == ("Dev", None)
