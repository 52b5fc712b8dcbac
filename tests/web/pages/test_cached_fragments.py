"""Cached parts of pages: keyed by everything they show, with each request's token, and dropped with a lost right."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote_plus

from flask_babel import force_locale
from jinja2 import DictLoader
from markupsafe import escape

from app.web.pages.cached_fragments import placeholder, render_cached
from app.web.records.timelines import composer
from tests.app_fixtures import Crm

BAD = '"><script>alert(1)</script>'


def test_a_part_is_drawn_once_for_what_it_shows_and_language(crm: Crm, monkeypatch: Any) -> None:
    source = "{{ n }} {{ here }} {{ _('Save') }} {{ csrf() }}"
    monkeypatch.setattr(crm.app.jinja_env, "loader", DictLoader({"drawn_once.html": source}))
    asked = []

    def part(key: Any, here: str, n: int = 1) -> str:
        def values() -> dict[str, Any]:
            asked.append(key)
            return {"n": n, "here": placeholder("here")}

        return render_cached("drawn_once.html", key, values, here=here)

    with crm.app.test_request_context("/"):
        first, same, other = part(1, BAD), part(1, "there"), part(2, "there", 2)
        with force_locale("hi"):
            hindi = part(1, "there")
        token = re.search(r'name="csrf_token" value="([^"]+)"', first)
    with crm.app.test_request_context("/"):
        later = part(1, "there")
    assert asked == [1, 2, 1]
    assert "<script" not in first and "&lt;script&gt;" in first and same.startswith("1 there Save <input")
    assert other.startswith("2 there Save") and "Save" not in hindi
    assert token is not None and token[1] in same and token[1] not in later


def test_each_person_gets_their_own_menu_and_name(crm: Crm) -> None:
    pages = {name: [crm.client(name).screen("/tasks/").text for _ in range(2)] for name in ("ana", "ben", "root")}
    for name, (once, again) in pages.items():
        full_name = crm.client(name).screen("/me/").text
        shown = re.search(r'<p class="menu-head"><strong>([^<]+)</strong>', once)
        assert shown is not None and shown[1] in full_name
        assert _without_tokens(once) == _without_tokens(again)
    assert '"/settings/"' in pages["root"][0] and '"/settings/"' not in pages["ana"][0]


def _without_tokens(page: str) -> str:
    return re.sub(r'(csrf_token" value=|csrf-token" content=|data-clocks=)"[^"]+"', "", page)


def test_what_a_role_loses_is_gone_from_the_menus_with_the_next_request(crm: Crm) -> None:
    client = crm.client("ana")
    lead = crm.make.lead("ana")
    for _ in range(2):
        assert 'href="/calls/"' in client.screen("/tasks/").text
        assert f"/leads/note/{lead.id}" in client.screen(f"/leads/{lead.number}").text
    crm.make.cell("Sales User", "Call Logs", "read", "none")
    crm.make.cell("Sales User", "Notes", "create", "none")
    assert 'href="/calls/"' not in client.screen("/tasks/").text
    record = client.screen(f"/leads/{lead.number}").text
    assert "/leads/note/" not in record and f"/tasks/add?lead={lead.id}" in record


def test_the_page_around_a_list_is_kept_with_the_rights_and_shows_what_was_typed(crm: Crm) -> None:
    client, other = crm.client("ana"), crm.client("ben")
    lead = crm.make.lead("ana", mobile="+919876500001")
    for typed in ("500001", "00001", "500001", "Zz", "a&b=<i>"):
        page = client.screen("/leads/", query_string={"q": typed}).text
        assert f'name="q" value="{escape(typed)}"' in page and f"{quote_plus(typed)}&amp;_oc=" in page
        assert (lead.number in page) is typed.isdigit() and "_typed_" not in page
    once, again = client.screen("/leads/").text, client.screen("/leads/").text
    assert _without_tokens(once) == _without_tokens(again) and lead.number in again
    assert "/leads/quick" in again and lead.number not in other.screen("/leads/").text
    fragment = client.screen("/leads/", headers={"HX-Request": "true"}).text
    assert fragment.lstrip().startswith("<section") and lead.number in fragment
    assert client.screen("/leads/count").status_code == 302  # its answer is a note on the list
    assert 'class="notes"' in client.screen("/leads/").text and 'class="notes"' not in client.screen("/leads/").text
    crm.make.cell("Sales User", "Leads", "create", "none")
    assert "/leads/quick" not in client.screen("/leads/").text


def test_the_box_of_two_records_differs_only_in_their_addresses(crm: Crm) -> None:
    leads = [crm.make.lead("ana") for _ in range(2)]
    boxes = []
    for lead in leads:
        page = crm.client("ana").screen(f"/leads/{lead.number}").text
        box = page[page.index('<div class="composer"') : page.index('<div class="feed"')]
        boxes.append(_without_tokens(box).replace(f"/{lead.id}", "/N").replace(f"lead={lead.id}", "lead=N"))
        assert f"lead:{lead.id}" in box and "Note" in box
    assert boxes[0].replace(f"lead:{leads[0].id}", "") == boxes[1].replace(f"lead:{leads[1].id}", "")


def test_the_box_escapes_the_name_of_the_person(crm: Crm) -> None:
    offer = composer._Offer("lead", "/leads", True, True, True, True, True)
    record = {"composer": offer.context(7, (3, BAD)), "composes": "note"}
    with crm.app.test_request_context("/"):
        text = composer.composer_box(record)
    assert "<script" not in text and "&lt;script&gt;" in text and "/leads/note/7" in text
