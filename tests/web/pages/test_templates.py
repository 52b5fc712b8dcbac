"""Templates are compiled per language; widgets and rows escape every text; the filter panel is loaded separately."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask_babel import force_locale
from jinja2 import DictLoader

from app.models import LeadStatus
from app.web.pages.field_values_html import value_pairs
from app.web.pages.html_parts import avatar, avatar_stack, cell
from app.web.pages.timeline_html import timeline_lines
from app.web.records.lists.board_card_html import cards_html
from app.web.records.lists.list_rows_html import rows_html
from tests.app_fixtures import Crm
from tests.cases import each_case

BAD = '"><script>alert(1)</script>'
#: Cells that hold a text of somebody else in each of their places.
CELLS: list[dict[str, Any]] = [
    {"kind": "text", "text": BAD},
    {"kind": "unknown", "text": BAD},
    {"kind": "name", "text": BAD, "initials": BAD},
    {"kind": "name", "text": BAD, "initials": BAD, "url": BAD},
    {"kind": "person", "full_name": BAD, "initials": BAD},
    {"kind": "people", "people": [{"full_name": BAD, "initials": BAD}] * 5},
    {"kind": "status", "label": BAD, "color": BAD},
    {"kind": "choice", "label": BAD, "color": ""},
    {"kind": "choice", "label": BAD, "color": BAD},
    {"kind": "phone", "text": BAD},
    {"kind": "phone", "text": BAD, "tel": BAD},
    {"kind": "email", "text": BAD},
    {"kind": "moment", "text": BAD, "title": BAD, "iso": "2026-01-05T10:00:00+00:00", "tone": "late"},
    {"kind": "clock", "text": BAD, "title": BAD, "tone": "red", "due": BAD, "now": BAD, "late": BAD, "icon": "x"},
    {"kind": "number", "text": BAD, "title": BAD},
    {"kind": "record", "url": BAD, "number": BAD, "label": BAD, "title": BAD},
    {"kind": "record", "url": None, "number": None, "label": BAD},
    {"kind": "tags", "tags": [BAD] * 5},
    {"kind": "html", "html": BAD},
    {"kind": "link", "url": BAD, "text": BAD},
    {"kind": "call", "text": BAD, "hint": BAD, "title": BAD, "icon": "phone", "tone": "red"},
]


@each_case("value", CELLS, ids=[str(each["kind"]) for each in CELLS])
def test_a_cell_escapes_every_text(crm: Crm, value: dict[str, Any]) -> None:
    with crm.app.test_request_context("/"):
        drawn = cell(value)
    assert "&lt;script&gt;" in drawn and "<script" not in drawn and '">&lt;' not in drawn.replace(">&lt;", '>"&lt;')


@pytest.mark.parametrize(
    "value", [None, {}, {"kind": "missing"}, {"kind": "text", "text": ""}, {"kind": "tags"}, {"kind": "flag"}]
)
def test_what_is_missing_is_a_dash(crm: Crm, value: Any) -> None:
    with crm.app.test_request_context("/"):
        assert cell(value) == '<span class="missing" aria-label="empty">–</span>'


def test_a_stack_names_all_and_shows_some(crm: Crm) -> None:
    people = [{"full_name": f"Ana {n}", "initials": f"A{n}"} for n in range(5)]
    drawn = avatar_stack(people)
    assert drawn.count("avatar-round") == 4 and "+2" in drawn and drawn.count("Ana 4") == 2
    assert 'class="avatar-round tone-blue"' in avatar("AB") and "tone-slate" in avatar(None)


def test_a_row_escapes_what_it_is_called(crm: Crm) -> None:
    column = {"name": "name", "kind": "text", "label": BAD, "align": None}
    button = {"label": BAD, "url": BAD, "method": "get"}
    row = {"id": 1, "url": BAD, "title": BAD, "may_edit": True, "edit_url": BAD, "buttons": [button]}
    page = {"columns": [column] * 2, "actions": [1], "rows": [row | {"cells": [CELLS[0] | {"dial": BAD}, CELLS[2]]}]}
    with crm.app.test_request_context("/"):
        drawn = rows_html(page)
    assert "<script" not in drawn and drawn.count("<tr") == 1


MOMENT = next(each for each in CELLS if each["kind"] == "moment")
ACTOR = {"full_name": BAD, "initials": BAD, "picture": BAD}
ENTRIES: list[dict[str, Any]] = [
    {"kind": "note", "headline": BAD, "parts": [{"text": BAD}, {"text": BAD, "person": BAD}], "edit_url": BAD},
    {"kind": "note", "headline": BAD, "edited": MOMENT, "former": [{"text": BAD * 30, "at": BAD}], "owner": None},
    {"kind": "message", "headline": BAD, "subject": BAD, "body": BAD, "rest": BAD, "reason": BAD, "open_url": BAD},
    {"kind": "call", "headline": BAD, "audio": [BAD], "audio_note": BAD, "audio_failed": [BAD]},
    {"kind": "status_change", "headline": BAD, "changes": [{"label": BAD, "old": BAD, "new": None}]},
    {"kind": "field_change", "headline": BAD, "folded": [{"at": MOMENT, "changes": []}] * 2},
    {"kind": "note", "headline": BAD, "files": [{"label": BAD, "kind": "file", "icon": "file", "url": BAD}]},
    {"kind": "call", "headline": BAD, "actions": [{"label": BAD, "url": BAD, "method": "post", "icon": "check"}]},
]


@each_case("entry", ENTRIES, ids=[str(number) for number in range(len(ENTRIES))])
def test_a_line_of_a_timeline_escapes_every_text(crm: Crm, entry: dict[str, Any]) -> None:
    more = {"id": BAD, "tone": BAD, "actor": ACTOR, "at": MOMENT, "owner": {"url": BAD, "number": BAD}}
    with crm.app.test_request_context("/"):
        drawn = str(timeline_lines([more | entry]))
    assert "&lt;script&gt;" in drawn and "<script" not in drawn and drawn.count('<li class="entry') == 1


def test_a_line_without_moment_and_actor_is_of_the_system(crm: Crm) -> None:
    with crm.app.test_request_context("/"):
        drawn = str(timeline_lines([{"kind": "system", "headline": "Lead created", "at": {"kind": "missing"}}]))
    assert "The system" in drawn and "<time" not in drawn


def test_values_beside_a_record_escape_every_text(crm: Crm) -> None:
    field = {"name": BAD, "label": BAD, "help": BAD, "is_editable": True, "cell": CELLS[0] | {"reveal_url": BAD}}
    with crm.app.test_request_context("/"):
        drawn = value_pairs([field, field | {"cell": {"kind": "missing"}}], BAD)
        still = value_pairs([field | {"help": None}], None)
    assert "<script" not in drawn + still and drawn.count("inline-edit") == 2 and drawn.count("data-reveal ") == 1
    assert "inline-edit" not in still and "data-inline" not in still


def test_a_card_escapes_every_text(crm: Crm) -> None:
    people = [CELLS[4] | {"picture": BAD}, CELLS[5]]
    card = {"id": 1, "title": BAD, "number": BAD, "url": BAD, "people": people}
    card["lines"] = [CELLS[0] | {"titled": True, "caption": BAD}]
    with crm.app.test_request_context("/"):
        moved, still = cards_html([card] * 2, BAD, True), cards_html([card], BAD, False)
    assert "<script" not in moved + still and moved.count("data-card-move") == 2 and "data-card-move" not in still


def test_words_are_filled_in_per_language_and_only_where_they_are_known(crm: Crm) -> None:
    sentence = repr("This page or record doesn't exist.")
    source = f"{{% set word = {sentence} %}}{{{{ _(word) }}}}|{{{{ _({sentence}) }}}}"
    made: Any = crm.app.jinja_env.overlay(loader=DictLoader({"a.html": f"{source}\n   <b>{{{{ page.items }}}}</b>"}))
    texts = {}
    for language in ("en", "hi", "en"):
        with crm.app.test_request_context("/"), force_locale(language):
            texts[language] = made.get_template("a.html").render(page={"x": 1})
            dynamic, _sep, constant = texts[language].partition("\n")[0].partition("|")
            assert dynamic == constant
    assert texts["en"] != texts["hi"] and "\n<b>" in texts["en"] and "built-in method items" in texts["en"]


PARTS = {
    "line.html": "{% set n = n + 1 %}{% from 'mark.html' import mark %}"
    "[{{ mark(n) }} {{ who }}{% include 'last.html' %}]",
    "last.html": "{% for each in who %}{{ loop.index }}{{ each }}{% endfor %}{{ missing }}{{ n }}",
    "mark.html": "{% macro mark(n) %}<i>{{ n }}</i>{% endmacro %}",
    "self.html": "{{ depth }}{% if depth < 3 %}{% set depth = depth + 1 %}{% include 'self.html' %}{% endif %}",
    "blocks.html": "{% block inner %}old {{ who }}{% endblock %}",
    "base.html": "{% for who in people %}{% include 'line.html' %}{% endfor %}{{ n }}{% block inner %}{% endblock %}",
    "page.html": "{% extends 'base.html' %}"
    "{% block inner %}{% include 'line.html' %}{% include 'blocks.html' %}{% endblock %}",
}


@pytest.mark.parametrize("auto_reload", [False, True])
def test_an_included_template_sees_the_variables_around_it_and_changes_none(crm: Crm, auto_reload: bool) -> None:
    made: Any = crm.app.jinja_env.overlay(loader=DictLoader(PARTS), auto_reload=auto_reload)
    with crm.app.test_request_context("/"):
        drawn = made.get_template("page.html").render(people=["a", "<b"], who="c", n=1)
        nested = made.get_template("self.html").render(depth=0)
    line = "[<i>2</i> {0}{1}2]"
    lines = [line.format("a", "1a"), line.format("&lt;b", "1&lt;2b"), "1", line.format("c", "1c")]
    assert drawn == "".join(lines) + "old c" and nested == "0123"


def test_an_imported_template_gets_the_globals_of_the_one_that_imports_it(crm: Crm) -> None:
    parts = {"page.html": "{% from 'm.html' import m %}{{ m() }}", "m.html": "{% macro m() %}{{ own }}{% endmacro %}"}
    made: Any = crm.app.jinja_env.overlay(loader=DictLoader(parts))
    with crm.app.test_request_context("/"):
        assert made.get_template("page.html", globals={"own": "x"}).render() == "x"


def test_the_filter_panel_is_fetched_alone_or_as_a_page_and_keeps_the_filters(crm: Crm) -> None:
    client = crm.client("ana")
    status = crm.session.scalars(LeadStatus.__table__.select().with_only_columns(LeadStatus.id)).first()
    chosen = f"_flt_eq_status={status}&q=shah"
    page = client.screen(f"/leads/?{chosen}").text
    assert "data-filter-row" not in page and f'href="/leads/filters?_flt_eq_status={status}&amp;q=shah"' in page
    alone = client.screen(f"/leads/filters?{chosen}", headers={"HX-Request": "true"}).text
    whole = client.screen(f"/leads/filters?{chosen}").text
    for text in (alone, whole):
        assert 'data-filter-row="status"' in text and f'name="_flt_eq_status" value="{status}"' in text
    assert "<html" not in alone and "<h1>" in whole
    # Sent without JavaScript: every field is there, empty but for what was chosen.
    fields = re.findall(r'name="(_flt_[a-z_]+)"', whole)
    sent = "&".join(f"{name}=" for name in dict.fromkeys(fields))
    assert client.screen(f"/leads/?{sent}&{chosen}").status_code == 200
    assert client.screen("/leads/filters?_flt_eq_nothing=1").status_code == 400
