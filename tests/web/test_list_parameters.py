"""Every parameter of every list - pages and REST - changes the result or is refused with its name.

The tests walk what is registered, so a new record is covered by declaring it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

import pytest
from markupsafe import escape

from app import views
from app.web.core.fab_access import MAX_HEADER_SENTENCE, sentence_header
from tests.app_fixtures import Crm
from tests.factories import NOW
from tests.web.invalid_input import Hostile, spare_world

RESOURCES = {each.resource_name: each for each in views.RESOURCES if hasattr(each, "service")}
SCREENS = {each.route_base: each for each in views.SCREENS}


@pytest.fixture(scope="module")
def hostile(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    with spare_world(settled, tmp_path_factory.mktemp("lists")) as crm:
        made = Hostile(crm)
        for n in range(3):
            lead = crm.make.lead("ana", last_name=None if n else "Zed", next_follow_up_on=NOW if n == 1 else None)
            crm.make.ticket("cleo", description="x" if n else None)
            crm.make.task(lead, "ana")
        yield made


def shown(page: Any) -> list[int]:
    """The ids of a list page's rows, for somebody who may do something to several of them."""
    assert page.status_code == 200, page.text
    return [int(key) for key in re.findall(r"name=rowid value=(\d+) ", page.text)]


# --- unknown, twice, both ways


#: What no list over REST takes -> a part of the answer that names it.
UNKNOWN = (
    ("nope=1", "nope"),
    ("page_sise=5", "page_sise"),
    ("filter.nope=1", "nope"),
    ("filter.number.zz=1", "zz"),
    ("filters=x", "filters"),
    ("page=1&page=2", "page"),
    ("page=1&q=(page:1)", "page"),
    ("q=(page:1)&q=(page:2)", "q"),
    ("q=(nope:1)", "nope"),
    ("keys=nope", "keys"),
    ("columns=nope", "nope"),
    ("order_column=nope", "nope"),
    ("order_direction=up", "order"),
    ("count=many", "count"),
    ("page=-1", "-1"),
    ("page_size=0", "0"),
    ("page_size=101", "101"),
    ("page=x", "x"),
)


@pytest.mark.parametrize("name", sorted(RESOURCES))
def test_rest_refuses_what_it_does_not_know(hostile: Hostile, name: str) -> None:
    """All of it for leads, a third for each of the others, which are read by the same code."""
    for query, told in UNKNOWN if name == "lead" else UNKNOWN[sorted(RESOURCES).index(name) % 3 :: 3]:
        answer = hostile.client.rest("GET", f"{name}/?{query}")
        assert answer.status_code == 400 and told in answer.text, (query, answer.text)
    key = hostile.records[name]
    for query in ("nope=1", "page=1", "columns=nope", "q=(page:1)"):
        assert hostile.client.rest("GET", f"{name}/{key}?{query}").status_code == 400, query


@pytest.mark.parametrize("base", sorted(SCREENS))
def test_a_page_refuses_what_it_does_not_know(hostile: Hostile, base: str) -> None:
    many = "&".join("_flt_eq_created_on=2026-11-30" for _ in range(31))
    for query, told in (
        ("nope=1", "nope"),
        ("_flt_eq_nope=1", "nope"),
        ("_flt_zz_created_on=1", "zz"),
        ("page=1&page=2", "page"),
        ("q=a&q=b", "q"),
        ("tab=nope", "tab"),
        ("_oc=nope", "nope"),
        ("_od=up", "asc"),
        ("page=x", "x"),
        ("page_NopeScreen=1", "page_NopeScreen"),
        (many, "30"),
    ):
        answer = hostile.client.screen(f"{base}/?{query}")
        assert answer.status_code == 400 and told in answer.text, (query, answer.status_code)
    for query in ("", "q=", "_oc=&_od=", "_flt_eq_created_on=", "page=0&psize=50"):
        opens_a_tab = not query and base in ("/complaints", "/data-requests", "/requests")
        opened = 302 if opens_a_tab else 200
        assert hostile.client.screen(f"{base}/?{query}").status_code == opened, query


@pytest.mark.parametrize("query", ["status=a%0Ab", "_flt_eq_status=a%0Ab", "_flt_eq_source=%0d%0aX", "q=a%00b"])
def test_a_refusal_for_htmx_has_no_line_break_in_its_header(hostile: Hostile, query: str) -> None:
    answer = hostile.client.screen(f"/leads/?{query}", headers={"HX-Request": "true"})
    assert answer.status_code == 400 and "\n" not in answer.headers["X-Sentence"]


@pytest.mark.parametrize("sentence", ["Bitte: 50 % für Zoë", "यह फ़ाइल बहुत बड़ी है।", "यह" * 500])
def test_a_sentence_in_a_header_survives_in_any_script(sentence: str) -> None:
    sent = sentence_header(sentence)["X-Sentence"]
    assert sent.isascii() and len(sent) < 4000 and unquote(sent) == sentence[:MAX_HEADER_SENTENCE]


# --- filters: every column, every operator, both ways of asking


def sample(table: Any, each: Any, op: str) -> Any:
    value = each.schema.get("enum", [None])[0] or {"integer": 1, "number": 1, "boolean": True}.get(
        each.schema.get("type"), "1"
    )
    formats = {"date": "2026-11-30", "date-time": "2026-11-30T17:30", "time": "17:30"}
    value = formats.get(each.schema.get("format"), value)
    if getattr(each, "options", None):
        value = each.options[0]
    if each.kind == "person":
        value = "@me"
    if each.kind == "place":
        value = "lead:1"
    if op in ("null", "not_null"):
        return True
    return [value] if op in ("in", "not_in") else value


#: (kind of field, operator) that were asked in both ways.
asked_both_ways: set[tuple[type, str]] = set()
#: Operators of which one finds what the other leaves.
OPPOSITES = (("eq", "neq"), ("null", "not_null"))
_turns = itertools.count()


def tried_operators(each: Any) -> list[str]:
    """All operators of the first field of a kind; of another, which is compared in the same way, in turn two opposite
    ones or one that has no opposite."""
    if any((type(each), op) not in asked_both_ways for op in each.operators):
        return [*each.operators]
    turn = next(_turns)
    opposites = [op for op in OPPOSITES[turn // 2 % 2] if op in each.operators]
    others = [op for op in each.operators if not any(op in pair for pair in OPPOSITES)]
    return [others[turn // 2 % len(others)]] if others and (turn % 2 or not opposites) else opposites


@pytest.mark.parametrize("name", sorted(RESOURCES))
def test_every_filter_answers_alike_in_q_and_as_a_parameter(hostile: Hostile, name: str) -> None:
    """Every filter of every list as a parameter, of leads with all operators; each operator of each kind of field in
    both ways."""
    table = RESOURCES[name].record_table
    total = hostile.client.rest("GET", f"{name}/").json["count"]
    for each in (each for each in table.fields if each.filter):
        counts = {}
        for op in each.operators if name == "lead" else tried_operators(each):
            value = sample(table, each, op)
            flat = value[0] if isinstance(value, list) else str(value).lower() if value is True else value
            plain = hostile.client.rest("GET", f"{name}/?{urlencode({f'filter.{each.name}.{op}': flat})}")
            assert plain.status_code == 200, (each.name, op, plain.text)
            counts[op] = plain.json["count"]
            if (type(each), op) not in asked_both_ways:
                asked_both_ways.add((type(each), op))
                rule = {"col": each.name, "opr": op, "value": value}
                asked = hostile.client.rest("GET", f"{name}/", q={"filters": [rule]})
                assert asked.status_code == 200, (each.name, op, asked.text)
                assert asked.json["ids"] == plain.json["ids"], (each.name, op)
        if {"null", "not_null"} <= counts.keys():
            assert counts["null"] + counts["not_null"] == total, each.name
        if {"eq", "neq"} <= counts.keys():
            assert counts["eq"] + counts["neq"] == total, each.name


@pytest.mark.parametrize("base", sorted(SCREENS))
def test_every_filter_of_a_page_is_shown_and_applied(hostile: Hostile, base: str) -> None:
    """A dozen of them at once: a page takes long, and all are shown above its rows."""
    table = SCREENS[base].record_table
    filters = [(each, op) for each in table.fields if each.filter for op in each.operators]
    for batch in (filters[n : n + 12] for n in range(0, len(filters), 12)):
        query = {}
        for each, op in batch:
            value = sample(table, each, op)
            query[f"_flt_{op}_{each.name}"] = value[0] if isinstance(value, list) else "1" if value is True else value
        answer = hostile.client.screen(f"{base}/?{urlencode(query)}")
        assert answer.status_code == 200, (query, answer.text[:500])
        chips = re.findall(r'<li class="filter-chip"><span>(.*?)</span>', answer.text)
        quick = [(each, op) for each, op in batch if op == "eq" and each.name in SCREENS[base].quick_filters]
        others = [pair for pair in batch if pair not in quick]
        assert answer.text.count('class="quick-field is-set"') == len(quick), query
        assert len(chips) == len(others), (query, chips)
        for (each, op), chip in zip(others, chips, strict=True):
            assert str(escape(each.operator_label(op))) in chip, (each.name, op)


@pytest.mark.parametrize(
    "query, ids",
    [
        ({"filter.last_name.null": "true"}, "1"),
        ({"filter.last_name.not_null": "true"}, "0"),
        ({"filter.last_name.null": "false"}, "0"),
        ({"filter.last_name.not_null": ""}, "0"),
        ({"filter.last_name": "Zed"}, "0"),
    ],
)
def test_empty_and_not_empty(crm: Crm, query: dict[str, str], ids: str) -> None:
    made = {"0": crm.make.lead("ana", last_name="Zed").id, "1": crm.make.lead("ana", last_name=None).id}
    answer = crm.client("ana").rest("GET", f"lead/?{urlencode(query)}")
    assert answer.json["ids"] == [made[each] for each in ids]
    for name, value in query.items():
        column, op = (*name.split(".")[1:], "eq")[:2]
        if value or op == "not_null":
            page = crm.client("root").screen(f"/leads/?_flt_{op}_{column}={value}")
            assert shown(page) == [made[each] for each in ids]


def test_what_is_neither_yes_nor_no_is_refused(crm: Crm) -> None:
    assert crm.client("ana").rest("GET", "lead/?filter.last_name.null=maybe").status_code == 400


# --- moments


#: What is typed -> how many leads of the test are meant.
MOMENTS = {
    "2026-11-30": 3,  # the whole day of the office, which begins at 18:30 UTC
    "2026-11-30T17:30": 2,
    "2026-11-30T17:30:15": 1,
    "2026-11-30T12:00Z": 2,
    "2026-11-30T12:00:15.250000+00:00": 1,
    "2026-11-30T17:29": 0,
    "2026-12-01": 0,
}


@pytest.mark.parametrize("which", ["crm", "maria"])
def test_a_moment_means_all_that_was_typed(request: Any, which: str) -> None:
    crm = request.getfixturevalue(which)
    moment = datetime(2026, 11, 30, 12, 0, 15, 250_000, UTC)
    for at in (moment, moment + timedelta(seconds=30), moment + timedelta(hours=6)):
        lead = crm.session.merge(crm.make.lead("ana"))
        lead.created_on = at
        crm.session.commit()
    client, total = crm.client("ana"), crm.client("ana").rest("GET", "lead/").json["count"]
    for typed, count in MOMENTS.items():
        assert client.rest("GET", f"lead/?{urlencode({'filter.created_on': typed})}").json["count"] == count, typed
        others = client.rest("GET", f"lead/?{urlencode({'filter.created_on.neq': typed})}").json["count"]
        assert others == total - count, typed
        page = crm.client("root").screen(f"/leads/?{urlencode({'_flt_eq_created_on': typed})}")
        assert len(shown(page)) == count, typed


# --- order: empty values last, both ways, on both databases


@pytest.mark.parametrize("which", ["crm", "maria"])
def test_empty_values_come_last(request: Any, which: str) -> None:
    crm = request.getfixturevalue(which)
    early, late, none = (crm.make.lead("ana", task={}, next_follow_up_on=at) for at in (NOW, NOW + timedelta(1), None))
    for direction, wanted in (("asc", [early.id, late.id]), ("desc", [late.id, early.id])):
        answer = crm.client("ana").rest("GET", f"lead/?order_column=next_follow_up_on&order_direction={direction}")
        assert answer.json["ids"] == [*wanted, none.id], direction
        page = crm.client("root").screen(f"/leads/?_oc=next_follow_up_on&_od={direction}")
        assert shown(page) == [*wanted, none.id], direction


@pytest.mark.parametrize("which", ["crm", "maria"])
def test_closed_tickets_come_last_by_sla(request: Any, which: str) -> None:
    crm = request.getfixturevalue(which)
    open_, closed = crm.make.ticket("cleo"), crm.make.ticket("cleo")
    cleo = crm.client("cleo")
    changed = cleo.rest("PUT", f"ticket/{closed.id}", {"status": "Resolved", "resolution": "Done."})
    assert changed.status_code == 200, changed.text
    for ticket in (open_, closed):
        row = crm.session.merge(ticket)
        crm.session.refresh(row)
        row.reply_due_on = None if ticket is closed else NOW
    crm.session.commit()
    for direction in ("asc", "desc"):
        answer = cleo.rest("GET", f"ticket/?order_column=sla&order_direction={direction}")
        assert answer.json["ids"] == [open_.id, closed.id], answer.text


def test_a_direction_alone_turns_the_list(crm: Crm) -> None:
    ids = [crm.make.lead("ana").id for _ in range(3)]
    assert crm.client("ana").rest("GET", "lead/?order_direction=asc").json["ids"] == ids
    assert shown(crm.client("root").screen("/leads/?_od=asc&psize=2")) == ids[:2]
    first = crm.client("ana").rest("GET", "lead_source/?order_direction=asc").json["ids"]
    assert crm.client("ana").rest("GET", "lead_source/?order_direction=desc").json["ids"] == first[::-1]


def test_a_list_says_which_of_its_rows_it_shows(crm: Crm) -> None:
    for _each in range(4):
        crm.make.lead("ana")
    ana = crm.client("ana")
    pages = [ana.screen(f"/leads/?psize=2&page={page}").text for page in (0, 1, 2)]
    assert "1–2 of 4" in pages[0] and "3–4 of 4" in pages[1] and "page-number" not in pages[2]
    assert ['rel="next"' in page for page in pages] == [True, False, False], "no way to a page without rows"
    assert 'rel="prev"' in pages[2]


@pytest.mark.parametrize("name", sorted(RESOURCES))
def test_every_order_works_both_ways(hostile: Hostile, name: str) -> None:
    """Each column of leads both ways, those of the others in turn one way."""
    directions = ("asc", "desc")
    for n, each in enumerate(each for each in RESOURCES[name].record_table.fields if each.sort):
        for direction in directions if name == "lead" else directions[n % 2 :][:1]:
            answer = hostile.client.rest("GET", f"{name}/?order_column={each.name}&order_direction={direction}")
            assert answer.status_code == 200, answer.text


# --- what else a list takes


def test_keys_choose_what_a_list_tells_besides_its_rows(hostile: Hostile) -> None:
    client = hostile.client
    assert client.rest("GET", "lead/").json.keys() >= {"count", "ids", "result"}
    assert "label_columns" in client.rest("GET", "lead/?keys=label_columns").json
    assert "label_columns" not in client.rest("GET", "lead_source/?keys=none").json
    assert "label_columns" in client.rest("GET", "lead_source/").json


def test_a_cursor_and_a_page_contradict_each_other(hostile: Hostile) -> None:
    assert hostile.client.rest("GET", "lead/?cursor=5&page=1").status_code == 400
    assert hostile.client.rest("GET", "lead_source/?cursor=5").status_code == 400
    assert hostile.client.rest("GET", "lead/?cursor=5&page_size=2&columns=number,name").status_code == 200


def test_several_values_of_in(crm: Crm) -> None:
    ids = [crm.make.lead("ana", first_name=name).id for name in ("Ada", "Bea", "Cyd")]
    client = crm.client("ana")
    for query in ("filter.first_name.in=Ada&filter.first_name.in=Cyd", "filter.first_name.in=Ada,Cyd"):
        assert client.rest("GET", f"lead/?{query}").json["ids"] == [ids[2], ids[0]]


# --- letters in another form


@pytest.mark.parametrize("which", ["crm", "maria"])
@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("José", "Jose\u0301"),
        ("Jose\u0301", "José"),
        ("\u0915\u093c\u0938", "\u0958\u0938"),
        ("D'Souza", "D’Souza"),
        ("D’Souza", "D'Souza"),
        ("DʼSouza", "D`Sou"),
    ],
)
def test_the_same_letters_are_found_in_any_form(request: Any, which: str, stored: str, asked: str) -> None:
    crm = request.getfixturevalue(which)
    lead, other = (
        crm.make.lead("ana", first_name="Ana", last_name=stored),
        crm.make.lead("ana", last_name="DXSouza"),
    )
    client = crm.client("ana")
    assert shown(crm.client("root").screen(f"/leads/?{urlencode({'q': asked})}")) == [lead.id] != other.id
    answer = client.rest("GET", f"lead/?{urlencode({'filter.last_name.sw': asked})}")
    assert answer.json["ids"] == [lead.id]
