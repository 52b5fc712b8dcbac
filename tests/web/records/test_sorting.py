"""The head of lists: the Sort menu with what it offers and marks, and the exact number of rows."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from app.web.core.queries import record_table
from tests.app_fixtures import Crm

HX = {"HX-Request": "true"}


def menu(page: str) -> str:
    found = re.search(r'id="list-sort".*?</details>', page, re.DOTALL)
    assert found is not None
    return unescape(found[0])


def links(page: str) -> dict[str, str]:
    """Label -> address of each entry."""
    found = re.findall(r'<a class="menu-item" href="([^"]+)"[^>]*>(.*?)</a>', menu(page), re.DOTALL)
    return {re.sub(r"<[^>]+>", "", label).strip(): href for href, label in found}


def asked(address: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(address).query)


def test_a_column_is_chosen_then_turned_then_left(crm: Crm) -> None:
    for status in ("New", "Contacted"):
        crm.make.lead("ana", first_name=f"Is{status}", status_id=crm.lead_status[status])
    client = crm.client("ana")
    first = client.screen("/leads/?_flt_sw_first_name=Is").text
    assert "Default order" not in links(first) and "Latest first" in links(first)
    by_status = links(first)["Status"]
    assert asked(by_status) == {"_flt_sw_first_name": ["Is"], "_oc": ["status"], "_od": ["asc"]}
    page = client.screen(by_status).text
    assert page.index("IsNew") < page.index("IsContacted") and "data-sorted" in menu(page)
    assert re.findall(r"aria-current=true>(?:<svg.*?</svg>)?(\w+)", menu(page)) == ["Status", "Ascending"]
    page = client.screen(links(page)["Descending"]).text
    assert page.index("IsContacted") < page.index("IsNew")
    assert asked(links(page)["Default order"]) == {"_flt_sw_first_name": ["Is"]}


def test_times_begin_with_the_latest(crm: Crm) -> None:
    found = links(crm.client("root").screen("/tasks/?tab=all").text)
    assert asked(found["Due"])["_od"] == ["desc"] and asked(found["Status"])["_od"] == ["asc"]


@pytest.mark.parametrize("path", ["/leads/?layout=board", "/leads/?group=status", "/tickets/", "/calls/"])
def test_every_layout_with_an_order_has_it(crm: Crm, path: str) -> None:
    assert links(crm.client("root").screen(path).text)


def test_a_calendar_has_none(crm: Crm) -> None:
    page = crm.client("root").screen("/tasks/?layout=calendar&span=week", follow_redirects=True)
    assert page.status_code == 200 and 'id="list-sort"' not in page.text


def test_the_answer_to_htmx_brings_the_menu_anew(crm: Crm) -> None:
    page = crm.client("root").screen("/leads/?_oc=status&_od=asc", headers=HX).text
    assert 'id="list-sort" hx-swap-oob="true"' in page and "data-sorted" in menu(page)


def test_a_number_where_counting_stopped_is_counted_on_demand(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    for who in ("ana", "ana", "ana", "ben"):
        crm.make.lead(who)
    monkeypatch.setattr(record_table, "COUNT_CAP", 2)
    client = crm.client("ana")
    page = unescape(client.screen("/leads/?psize=1&_oc=status").text)
    link = re.search(r'id="list-count" href="([^"]+)"[^>]*>2\+<', page)
    assert link is not None and link[1] == "/leads/count?psize=1&_oc=status"
    assert re.search(r'<span class="list-count"[^>]*>3</span>', client.screen(link[1], headers=HX).text)
    plain = client.screen(link[1], follow_redirects=True)
    assert plain.request.query_string == b"psize=1&_oc=status" and "Exact number: 3" in plain.text
    assert client.screen("/leads/count?nothing=1").status_code == 400
