"""The palette's results: hits of each kind by role, nothing that a mask hides, few statements, no errors."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from app.access import compiled_statements
from app.models import SupportPage
from app.web.workday import mistyped_names
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.factories import NOW

MOBILE = "98200 54321"
#: What has the number, or belongs to who has it.
RECORDS = {"Leads", "Tickets", "Customers", "Calls", "Messages"}
SALES = {"Leads", "Customers", "Calls", "Messages"}


def groups(crm: Crm, who: str, typed: Any) -> dict[str, list[dict[str, str]]]:
    answer = crm.client(who).screen("/search/hits", query_string={"q": typed})
    assert answer.status_code == 200 and "text/html" not in answer.content_type, answer.text[:300]
    return {group["title"]: group["rows"] for group in answer.json["groups"]}


@pytest.fixture
def known(crm: Crm) -> Crm:
    """A customer of Ana with a lead, a call and a message; Cleo has a ticket of theirs; a task; a support page."""
    make = crm.make
    customer = make.customer("ana", first_name="Ravi", last_name="Kumar", mobile=MOBILE)
    lead = make.lead("ana", first_name="Ravi", last_name="Kumar", mobile=MOBILE)
    make.ticket("cleo", customer_id=customer.id)
    make.call("ana", to_number=MOBILE, lead_id=lead.id, started_on=NOW)
    make.message("ana", peer=MOBILE, lead_id=lead.id)
    make.task(lead, title="Send the folder")
    session = crm.session
    session.add(SupportPage(label="Reset a Password", url="https://help.example/reset", position=1, is_active=True))
    session.commit()
    return crm


#: Who -> what they find by the number, and by words of other names.
FOUND = {
    "ana": (SALES, {"Tasks"}, set()),
    "ben": (set(), set(), set()),
    "mia": (SALES, {"Tasks"}, set()),
    "cleo": ({"Tickets", "Customers", "Calls"}, set(), set()),  # her ticket is the customer's
    "root": (RECORDS, {"Tasks"}, {"Settings"}),
}


@each_case("who", FOUND)
def test_each_role_finds_what_it_sees(known: Crm, who: str) -> None:
    by_number, by_title, by_setting = FOUND[who]
    assert set(groups(known, who, MOBILE)) == by_number
    assert set(groups(known, who, "folder")) == by_title
    assert set(groups(known, who, "office h")) == by_setting
    pages = groups(known, who, "PASS res").get("Support pages", [])
    assert [row["url"] for row in pages] == ["https://help.example/reset"]


@pytest.fixture
def named(crm: Crm) -> Crm:
    """Leads of Ana with names in three scripts, and one of Ben's."""
    for first, last in (("Asha", "Venkataraghavan"), ("रमेश", "कुलकर्णी"), ("હેતલ", "પટેલ")):
        crm.make.lead("ana", first_name=first, last_name=last)
    crm.make.lead("ben", first_name="Zubin", last_name="Daruwala")
    return crm


@each_case(
    "typed, title",
    [
        *((typed, "Asha Venkataraghavan") for typed in ("venkatarghavan", "vemkataraghavan", "Evnkatara", "venkkat")),
        *((typed, "Asha Venkataraghavan") for typed in ("asha venkatsr", "ashs venkata", "vankata")),
        *((typed, "Asha Venkataraghavan") for typed in ("penkatarag", "asha benkata", "usha venkata")),
        *(("गुलकर्णी", "रमेश कुलकर्णी"), ("બટેલ", "હેતલ પટેલ")),
        *(("रमैश", "रमेश कुलकर्णी"), ("कुलकरणी", "रमेश कुलकर्णी"), ("हेतल", ""), ("પટેબ", "હેતલ પટેલ")),
        *((typed, "") for typed in ("vnkatarghavan", "ven1ata", "vsn", "daruwela", "a b c venkatsr")),
    ],
)
def test_a_name_is_found_with_one_letter_mistyped(named: Crm, typed: str, title: str) -> None:
    found = groups(named, "ana", typed)
    assert [row["title"] for row in found.get("Leads", [])] == ([title] if title else [])
    assert title in named.client("ana").screen("/search", query_string={"q": typed}).text


def test_only_letters_that_are_taken_for_the_first_one_are_tried(named: Crm) -> None:
    with named.app.app_context():
        found = [mistyped_names.corrected(named.session, typed) for typed in ("benkataragh", "kenkataragh", "xyzzyx")]
    assert found == ["venkataraghavan", "", ""]


def test_a_mistyped_name_costs_few_statements(named: Crm) -> None:
    named.app.config["COUNT_SQL"] = True
    client = named.client("ana")
    for typed in ("venkatarghavan", "asha venkatsr", "xyzzyx"):
        cost = [int(client.screen("/search/hits", query_string={"q": typed}).headers["X-SQL-Count"]) for _ in range(2)]
        # The sign-in, two that look up, the names, one that looks up among one's own, and one for all hits.
        assert cost[-1] <= 6, (typed, cost)


def test_calls_and_messages_are_found_by_the_last_digits(known: Crm) -> None:
    assert set(groups(known, "ana", "54321")) == SALES and groups(known, "ana", "4321") == {}
    assert groups(known, "ben", "54321") == {}
    for digits, is_found in (("54321", True), ("20054321", True), ("54320", False)):
        assert ("98200 54321" in known.client("ana").screen(f"/calls/?q={digits}").text) is is_found


def test_a_hit_says_what_its_list_says_and_leads_to_its_page(known: Crm) -> None:
    (row,) = groups(known, "ana", "54321")["Leads"]
    assert row["title"] == "Ravi Kumar" and row["hint"].startswith("CRM-LEAD-") and MOBILE in row["hint"]
    assert known.client("ana").screen(row["url"]).status_code == 200


@pytest.mark.parametrize("level", ["last4", "hidden"])
def test_what_is_masked_is_neither_found_nor_shown(known: Crm, level: str) -> None:
    known.make.mask("Sales User", mobile=level, alternative_mobile=level, email=level)
    assert groups(known, "ana", MOBILE) == groups(known, "ana", "54321") == {}
    by_name = groups(known, "ana", "ravi")
    assert "Leads" in by_name and "98200" not in str(by_name) and "9820054" not in str(by_name)


@each_case("typed", ["", "a", "%", "__", "'\"--", "<b>", "(((", "%%%%", "अ", "9" * 500, "x " * 300])
def test_rubbish_finds_nothing_and_breaks_nothing(known: Crm, typed: str) -> None:
    assert groups(known, "root", typed) == {}


def test_a_null_character_is_refused(known: Crm) -> None:
    assert known.client("root").screen("/search/hits", query_string={"q": "ra\0"}).status_code == 400


def test_a_stranger_is_told_nothing(known: Crm) -> None:
    answer = known.client(None).screen("/search/hits?q=ravi", headers={"Accept": "application/json"})
    assert answer.status_code in (302, 401) and "Ravi" not in answer.text


def test_it_costs_no_more_than_the_search_page(known: Crm) -> None:
    known.app.config["COUNT_SQL"] = True
    client = known.client("root")
    for typed in (MOBILE, "ravi", "folder"):
        cost = {}
        for path in ("/search", "/search/hits") * 2:
            cost[path] = int(client.screen(path, query_string={"q": typed}).headers["X-SQL-Count"])
        assert cost["/search/hits"] <= cost["/search"], (typed, cost)
        # The sign-in, two that look up, and one for all hits.
        assert cost["/search/hits"] <= 4, (typed, cost)


def test_a_page_that_is_switched_off_is_not_found(known: Crm) -> None:
    page = known.session.scalars(select(SupportPage).where(SupportPage.label == "Reset a Password")).one()
    page.is_active = False
    known.session.commit()
    assert groups(known, "root", "reset") == {}


@pytest.mark.parametrize("who", ["ana", "root"])
def test_another_text_of_the_same_kind_compiles_no_statement(
    known: Crm, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    compiled = []
    whole = compiled_statements.compile_statement

    def counted(*given: Any, **options: Any) -> Any:
        compiled.append(given)
        return whole(*given, **options)

    texts = ((MOBILE, "98200 54399"), ("54321", "54322"), ("Ravi", "Mira"), ("Ravi Kum", "Mira Sha"))
    for first, other in texts:
        groups(known, who, first)
        monkeypatch.setattr(compiled_statements, "compile_statement", counted)
        groups(known, who, other)
        monkeypatch.undo()
        assert len(compiled) <= 1, other  # the nearest names, where nothing is found
        compiled.clear()
        assert "Leads" in groups(known, who, first)
