"""The document around a record and My day is kept, and is the same as one that is made anew."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

import pytest
from flask import current_app, render_template
from markupsafe import Markup

from app import shown_brand
from app.web.pages import cached_fragments
from app.web.pages.cached_page_frame import Document
from app.web.records import record_page
from app.web.workday import my_day
from tests.app_fixtures import Crm, UserClient

BAD = '"><script>alert(1)</script>'
_EACH_TIME = re.compile(r'(csrf_token" value=|csrf-token" content=|data-clocks=|datetime=|data-clock=)"[^"]+"')


def _fresh(document: Document, template: str, context: Mapping[str, Any]) -> str:
    content = Markup(current_app.jinja_env.get_template(template).render(context))  # noqa: S704  # as the page itself
    return render_template(document.template, content=content, document={**document.shared, **document.texts})


def _fresh_page(client: UserClient, path: str) -> str:
    """The page without anything that is kept."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (record_page, my_day):
            patch.setattr(module, "render_document", _fresh)
        return str(client.screen(path).text)


def _compared(page: str) -> str:
    return _EACH_TIME.sub("", page)


def test_a_kept_document_is_the_same_as_a_new_one(crm: Crm) -> None:
    leads = [crm.make.lead("ana", first_name=name) for name in ("Asha", "Uma & Co", "")]
    ticket = crm.make.ticket("cleo")
    task = crm.make.task(leads[0], "ana")
    paths = [f"/leads/{each.number}" for each in leads] + [f"/leads/show/{each.id}" for each in leads]
    paths += [f"/tickets/{ticket.number}", f"/tasks/show/{task.id}", "/", "/?only=overdue"]
    chance, languages = random.Random(15), set()
    clients = {name: crm.client(name) for name in ("ana", "mia", "cleo", "root")}
    for _ in range(60):
        who, path = chance.choice([*clients]), chance.choice(paths)
        clients[who].screen(f"/lang/{chance.choice(('en', 'hi'))}")
        kept = clients[who].screen(path)
        assert _compared(kept.text) == _compared(_fresh_page(clients[who], path)), (who, path)
        languages |= set(re.findall(r'<html lang="(..)"', kept.text))
    assert languages == {"en", "hi"}


def test_each_page_has_its_own_title_id_number_and_token(crm: Crm) -> None:
    client, leads = crm.client("ana"), [crm.make.lead("ana", first_name=name) for name in ("Asha", BAD)]
    pages = [client.screen(f"/leads/{each.number}").text for each in leads]
    for lead, page in zip(leads, pages, strict=True):
        assert f'data-watch-id="{lead.id}"' in page and f" · {lead.number} · " in page
        assert f'<li aria-current="page">{lead.number}</li>' in page
    assert "<title>Asha" in pages[0] and "Asha" not in pages[1]
    assert "<script>alert" not in pages[1] and "<title>&#34;&gt;&lt;script&gt;" in pages[1]
    tokens = {each for page in pages for each in re.findall(r'csrf-token" content="([^"]+)"', page)}
    assert len(tokens) == 2


def test_people_with_equal_documents_share_them_but_not_what_names_them(crm: Crm) -> None:
    cached_fragments._texts.clear()
    pages = {name: crm.client(name).screen("/").text for name in ("ana", "ben")}
    assert len(cached_fragments._texts) == 1
    for name, page in pages.items():
        assert f'data-user="{crm.people[name].id}"' in page and f"<strong>{name.title()} Shah</strong>" in page


def test_a_right_that_is_taken_away_is_gone_with_the_next_page(crm: Crm) -> None:
    client, lead = crm.client("ana"), crm.make.lead("ana")
    for path in ("/", f"/leads/{lead.number}"):
        assert 'href="/tasks/quick"' in client.screen(path).text or "/tasks/add" in client.screen(path).text
    crm.make.cell("Sales User", "Tasks", "create", "none")
    for path in ("/", f"/leads/{lead.number}"):
        page = client.screen(path).text
        assert 'href="/tasks/quick"' not in page and "/tasks/add" not in page


def test_a_new_brand_and_a_message_are_seen_at_once(crm: Crm) -> None:
    client, lead = crm.client("root"), crm.make.lead("ana")
    path = f"/leads/{lead.number}"
    assert "Acme Broking" not in client.screen(path).text
    client.form("/settings/brand/", {"name": "Acme Broking"})
    shown_brand.current(crm.app, crm.session)
    assert "Acme Broking" in client.screen(path).text
    client.form("/leads/add", {"first_name": "Uma", "mobile": "9820011122"})
    once, again = (client.screen(path).text for _ in range(2))
    assert "data-notes" in once and "data-notes" not in again
