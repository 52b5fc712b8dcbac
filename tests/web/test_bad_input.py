"""Invalid input to any endpoint: no server error, no leaked internals, and nothing of a refused request is stored."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from app import views
from tests.app_fixtures import Crm
from tests.web.invalid_input import (
    INVALID_KEYS,
    RAW_VALUES,
    Hostile,
    assert_json,
    assert_no_leak,
    body_with_invalid_field,
    spare_world,
)

RESOURCES = {each.resource_name: each for each in views.RESOURCES}
WRITTEN = [
    (name, verb)
    for name, each in RESOURCES.items()
    if hasattr(each, "service")
    for verb in ("post", "put")
    if verb not in (each.exclude_route_methods or ())
]
READ = [name for name, each in RESOURCES.items() if hasattr(each, "service")]
SCREENS = {each.route_base.strip("/"): each for each in views.SCREENS}
DEEP = "[" * 2000


def spread(firsts: Sequence[Any], count: int) -> list[tuple[Any, str]]:
    """So many different pairs with RAW_VALUES, always the same ones, each of the first as often as the others.

    Drawing them from Hypothesis, with nothing to shrink, takes as long as the requests.
    """
    dice = Random(7)
    shuffled = dice.sample(firsts, len(firsts))
    values = [dice.sample(RAW_VALUES, len(RAW_VALUES)) for _ in shuffled]
    pairs = ((first, own[n]) for n in range(len(RAW_VALUES)) for first, own in zip(shuffled, values, strict=True))
    return list(itertools.islice(pairs, count))


def tries(resource: str, count: int) -> int:
    """So many for leads, a third of them for each other resource: values are read by the kind of their field."""
    return count if resource == "lead" else count // 3


@pytest.fixture(scope="module")
def hostile(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """One CRM shared by all tests here; none depends on what another leaves."""
    with spare_world(settled, tmp_path_factory.mktemp("rude")) as crm:
        yield Hostile(crm)


# --- bodies


def fields_of(resource: str, verb: str) -> list[str]:
    which = "add" if verb == "post" else "edit"
    return [each.name for each in RESOURCES[resource].service.record_table.input_fields if getattr(each, which)]


def write(hostile: Hostile, resource: str, verb: str, body: bytes) -> None:
    """Send the body; asserts that a refusal changes nothing."""
    before, key = hostile.counts(), hostile.records[resource]
    row = hostile.row(resource, key)
    answer = (
        hostile.ask("POST", f"{resource}/", body) if verb == "post" else hostile.ask("PUT", f"{resource}/{key}", body)
    )
    if answer.status_code >= 400:
        assert hostile.counts() == before, body
        assert hostile.row(resource, key) == row, body


@pytest.mark.parametrize("resource, verb", WRITTEN)
def test_a_wrong_value_in_a_good_body(hostile: Hostile, resource: str, verb: str) -> None:
    for field, raw in spread(fields_of(resource, verb), tries(resource, 60)):
        write(hostile, resource, verb, body_with(resource, verb, field, raw))


def body_with(resource: str, verb: str, field: str, raw: str) -> bytes:
    """A good body but for this field; of an edit, nothing else."""
    if verb == "post":
        return body_with_invalid_field(resource, field, raw)
    return b'{"%s":%s}' % (field.encode(), raw.encode())


def mixed(names: Sequence[str], count: int) -> Iterator[dict[str, str]]:
    """So many bodies with up to eight names and RAW_VALUES, always the same; each name comes as often as another."""
    dice = Random(11)
    pairs = itertools.cycle(spread(names, len(names) * len(RAW_VALUES)))
    for _ in range(count):
        yield dict(itertools.islice(pairs, dice.randint(1, 8)))


@pytest.mark.parametrize("resource, verb", WRITTEN)
def test_wrong_values_everywhere(hostile: Hostile, resource: str, verb: str) -> None:
    names = [*fields_of(resource, verb), "version", "id", "number", "owner_id", "created_by_id", "", "😀"]
    for values in mixed(names, tries(resource, 24)):
        inside = ",".join(f"{json.dumps(name)}:{raw}" for name, raw in values.items())
        write(hostile, resource, verb, ("{" + inside + "}").encode())


BODIES = (
    b"",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"{",
    b"\xff\xfe",
    b"{}{}",
    b'{"a":' * 3000,
    DEEP.encode(),
    b'{"nope":1}',
    b'{"\\ud800":1}',
    b'{"a":NaN}',
    b'{"":1}',
    b'{"version":"x"}',
    b'{"version":[]}',
    b'{"version":1e400}',
    b'{"id":7,"number":"CRM-LEAD-2020-00001"}',
    b"\x00",
    b"\xef\xbb\xbf{}x",
)


@pytest.mark.parametrize("resource, verb", WRITTEN)
def test_a_body_that_is_not_a_record(hostile: Hostile, resource: str, verb: str) -> None:
    key, before = hostile.records[resource], hostile.counts()
    paths = {"post": [f"{resource}/", f"{resource}/{key}/assign"], "put": [f"{resource}/{key}"]}[verb]
    for n, path in enumerate(paths):
        for body in part(BODIES, resource, n):
            assert hostile.ask(verb.upper(), path, body).status_code in (404, 422), (path, body)
        for kind in ("text/plain", "", "multipart/form-data", "application/json; charset=utf-16"):
            assert hostile.ask(verb.upper(), path, b'{"nope":1}', content_type=kind).status_code in (404, 422)
    assert hostile.counts() == before


@pytest.mark.parametrize("resource, verb", WRITTEN)
def test_a_body_of_13_megabytes_is_too_large(hostile: Hostile, resource: str, verb: str) -> None:
    path = f"{resource}/" if verb == "post" else f"{resource}/{hostile.records[resource]}"
    # A body with a file has another limit, by its path: that of 25 MB in base64. Below it, JSON is refused unread.
    size = 13_000_000 if resource != "file" else 35_000_000
    assert hostile.ask(verb.upper(), path, b'{"a":"' + b"x" * size + b'"}').status_code == 413


def test_a_version_that_is_not_a_number_is_not_a_conflict(hostile: Hostile) -> None:
    answer = hostile.ask("PUT", f"lead/{hostile.records['lead']}", b'{"version":"x","pod_id":"P-1"}')
    assert answer.status_code == 422
    assert hostile.ask("PUT", f"lead/{hostile.records['lead']}", b'{"version":9999,"pod_id":"P-1"}').status_code == 409


# --- list queries

LIST_QUERIES = (
    "null",
    "[]",
    "1",
    '"x"',
    "{",
    "[",
    "nan",
    "\x00",
    '{"a":NaN}',
    DEEP,
    '{"filters":' + DEEP + "]" * 2000 + "}",
    "(" * 2000,
    "!(" * 2000,
    "a" * 9000,
    "(page:-1)",
    "(page:1000000000)",
    "(page:1e5)",
    "(page:!t)",
    "(page:(a:1))",
    "(page_size:0)",
    "(page_size:1000000000)",
    "(page_size:!(1))",
    "(order_column:nope)",
    "(order_column:!(id))",
    "(order_column:(a:b))",
    "(order_column:'id;DROP TABLE leads')",
    "(order_column:created_by.password)",
    "(order_direction:sideways,order_column:id)",
    "(order_direction:!(),order_column:number)",
    "(filters:1)",
    "(filters:!(1))",
    "(filters:!((col:a)))",
    "(filters:!((col:nope,opr:eq,value:1)))",
    "(filters:!((col:!(1),opr:!(2),value:!(3))))",
    "(columns:1)",
    "(columns:!(1))",
    "(columns:!(nope))",
    "(columns:!(!()))",
    "(cursor:0)",
    "(cursor:!())",
    "(cursor:99999999999999)",
    "(unknown:1)",
    '{"page":1e400}',
    '{"page":' + "9" * 30 + "}",
    '{"1":2}',
    '{"filters":{"a":1}}',
    "%",
    "%zz",
    "(a:%00)",
    "!n",
    "'",
    "(a:",
    "1e400",
    "(:)",
    "(filters:!(" + ",".join(["(col:id,opr:eq,value:1)"] * 40) + "))",
)


def part(values: Sequence[Any], whole: str, turn: int = 0, step: int = 3) -> Sequence[Any]:
    """A third of the values (or another step), others for the next of the same kind and in the next turn; of the lead,
    all."""
    names = [*RESOURCES] if whole in RESOURCES else [*SCREENS]
    return values if whole in ("lead", "leads") else values[(names.index(whole) + turn) % step :: step]


@pytest.mark.parametrize("resource", RESOURCES)
def test_an_invalid_list_query(hostile: Hostile, resource: str) -> None:
    for question in part(LIST_QUERIES, resource, step=6):
        for path in (f"{resource}/", f"{resource}/{hostile.records[resource]}"):
            answer = hostile.ask("GET", f"{path}?q={quote(question)}")
            assert answer.status_code in (200, 400), question


def test_an_invalid_list_query_is_refused_not_guessed(hostile: Hostile) -> None:
    unusual = ("null", "!n", "(:)", "(a:%00)", '{"1":2}')
    invalid = [query for query in LIST_QUERIES if query not in unusual and "order_direction" not in query]
    assert [query for query in invalid if hostile.ask("GET", f"lead/?q={quote(query)}").status_code != 400] == []


@pytest.mark.parametrize("resource", READ)
def test_a_filter_with_a_wrong_value(hostile: Hostile, resource: str) -> None:
    fields = RESOURCES[resource].service.record_table.fields
    pairs = [(each.name, op) for each in fields for op in (*each.operators, "nope", "rel_o_m", "between")]

    for (name, op), raw in spread(pairs, tries(resource, 70)):
        filters = f'{{"filters":[{{"col":"{name}","opr":"{op}","value":{raw}}}]}}'
        assert hostile.ask("GET", f"{resource}/?q={quote(filters)}").status_code in (200, 400)


@pytest.mark.parametrize(("name", "ops"), [("number", "ct nct sw ew"), ("created_on", "gt lt ge le")])
@pytest.mark.parametrize("raw", ["null", '""', '"   "'])
def test_nothing_is_compared_with_nothing(hostile: Hostile, name: str, ops: str, raw: str) -> None:
    for op in ops.split():
        filters = f'{{"filters":[{{"col":"{name}","opr":"{op}","value":{raw}}}]}}'
        assert hostile.ask("GET", f"lead/?q={quote(filters)}").status_code == 400, op


@pytest.mark.parametrize("resource", RESOURCES)
def test_an_invalid_key(hostile: Hostile, resource: str) -> None:
    before = hostile.counts()
    for n, method in enumerate(("GET", "PUT", "DELETE", "PATCH")):
        for key in part(INVALID_KEYS, resource, n):
            answer = hostile.ask(method, f"{resource}/{key}", b'{"page":1}' if method == "PUT" else None)
            assert answer.status_code in (404, 405), (method, key)
    for key in part(INVALID_KEYS, resource):
        assert hostile.ask("POST", f"{resource}/{key}/assign", b'{"assign_to":1}').status_code in (404, 405)
    assert hostile.counts() == before


# --- screens

ARGUMENTS = (
    "page=abc",
    "page=-1",
    "page=1000000000",
    "page=",
    "psize=abc",
    "psize=-5",
    "psize=0",
    "psize=1000000000",
    "_oc=nope",
    "_oc=id;DROP",
    "_oc=number&_od=sideways",
    "_oc=customer&_od=asc",
    "_flt_eq_nope=1",
    "_flt_nope_number=1",
    "_flt_=1",
    "_flt_eq_=1",
    "_flt_ct_number=%00",
    "_flt_gt_created_on=x",
    "_flt_eq_status=%5B%5D",
    "_flt_eq_assignee=0",
    "q=%00",
    "q=%ED%A0%80",
    "q=" + "x" * 3000,
    "q=%27%20OR%201=1",
    "q=%C2%B2",
    "page=1e400",
    "page=%D9%A3",
    "tab=nope",
    "before=x",
    "&".join(["_flt_ct_number=1"] * 60),
)
GARBAGE = (
    "\0",
    "x" * 10_000,
    "😀" * 50,
    "²",
    "-1",
    "9" * 30,
    "1e400",
    "nan",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "0001-01-01T00:00",
    "9999-99-99",
    "[]",
    "\u202eevil",
    "null",
)


@pytest.mark.parametrize("screen", SCREENS)
def test_a_list_with_invalid_arguments(hostile: Hostile, screen: str) -> None:
    for n, path in enumerate((f"/{screen}/", f"/{screen}/lookup", f"/{screen}/add")):
        for arguments in part(ARGUMENTS, screen, n):
            assert hostile.page(f"{path}?{arguments}").status_code in (200, 400, 404), arguments


@pytest.mark.parametrize("screen", SCREENS)
def test_a_page_of_a_missing_record(hostile: Hostile, screen: str) -> None:
    before = hostile.counts()
    for n, way in enumerate(("", "show/", "timeline/", "edit/", "assign/")):
        for key in part(INVALID_KEYS, screen, n):
            assert hostile.page(f"/{screen}/{way}{key}").status_code in (400, 404), (way, key)
    for n, way in enumerate(("edit", "delete", "move", "note", "assign", "done", "convert", "decide", "action/delete")):
        for key in part(INVALID_KEYS, screen, n):
            status = hostile.page(f"/{screen}/{way}/{key}", {"body": "x"}).status_code
            assert status in (302, 400, 404, 405), (way, key)
    assert hostile.counts() == before


@pytest.mark.parametrize("screen", SCREENS)
def test_a_form_full_of_garbage(hostile: Hostile, screen: str) -> None:
    before = hostile.counts()
    for text in part(GARBAGE, screen):
        names = SCREENS[screen].record_table.declared.add
        for sent in (dict.fromkeys(names, text), {"subjects": [text], "version": text}):
            answer = hostile.page(f"/{screen}/add", sent)
            assert answer.status_code in (302, 403, 404, 413, 422), (text[:20], answer.status_code)
            if answer.status_code >= 400:
                assert hostile.counts() == before
            before = hostile.counts()


@pytest.mark.parametrize(
    "name",
    [name for name in SCREENS["leads"].record_table.declared.add if name != "first_name"],
)
def test_what_was_typed_stays_in_the_form(hostile: Hostile, name: str) -> None:
    for text in ("\0bad", "x" * 30_000):
        answer = hostile.page("/leads/add", {"first_name": "Typedonce", "mobile": "9825099999", name: text})
        assert answer.status_code == 422, (name, answer.status_code)
        assert 'value="Typedonce"' in answer.text


def test_what_was_typed_stays_when_another_saved_meanwhile(hostile: Hostile) -> None:
    key = hostile.records["lead"]
    sent = {"version": "9999", "first_name": "Typedonce", "mobile": "9825011111"}
    answer = hostile.page(f"/leads/edit/{key}", sent)
    assert answer.status_code == 409
    assert 'value="Typedonce"' in answer.text


@pytest.mark.parametrize("screen", ["leads", "tickets", "tasks"])
def test_verbs_with_garbage(hostile: Hostile, screen: str) -> None:
    name = {"leads": "lead", "tickets": "ticket", "tasks": "task"}[screen]
    key, junk = hostile.records[name], [*part(GARBAGE, screen), ""]
    before, row = hostile.counts(), hostile.row(name, key)
    for text in junk:
        task = {"task_title": text, "task_due_on": text, "close_tasks": [text, text]}
        hostile.page(f"/{screen}/move/{key}", {"status": text or "nope", "version": text, **task})
        hostile.page(f"/{screen}/assign/{key}", {"how": text, "assignee": text, "role": text, "reason": text})
        for how in ("person", "role", "request"):
            hostile.page(f"/{screen}/assign/{key}", {"how": how, "assignee": text, "role": text, "reason": text})
        for action in (text, "assign", "status", "delete", "done"):
            rowids = [text, *INVALID_KEYS, "999999"]
            hostile.page(
                f"/{screen}/action_post", {"action": action, "rowid": rowids, "status": text, "assignee": text}
            )
    assert hostile.counts() == before
    assert hostile.row(name, key) == row


@pytest.mark.parametrize(
    "path",
    [
        "/leads/add",
        "/leads/note/1",
        "/leads/move/1",
        "/leads/delete/1",
        "/leads/action_post",
        "/tickets/assign/1",
        "/tasks/done/1",
        "/requests/decide/1",
    ],
)
def test_a_form_without_its_token_is_refused(hostile: Hostile, path: str) -> None:
    before = hostile.counts()
    for token in ({}, {"csrf_token": ""}, {"csrf_token": "x" * 100}):
        answer = hostile.client.browser.post(path, data={"first_name": "Eve", "body": "x", **token})
        assert_no_leak(answer, path)
        assert answer.status_code == 400 and answer.mimetype == "text/html"
    assert hostile.counts() == before


# --- every URL


def filled(rule: Any, key: str) -> str:
    path = rule.rule
    for name, kind in rule._converters.items():
        part = (key if key.isdigit() else "0") if type(kind).__name__ == "IntegerConverter" else key
        path = path.replace(f"<{name}>", part)
        for spelled in (f"<int:{name}>", f"<string:{name}>", f"<path:{name}>", f"<default:{name}>"):
            path = path.replace(spelled, part)
    return path


#: What addresses hold instead of a key.
WRONG_KEYS = ("0", "abc", "9" * 20, "%00")


def wrong_paths(rules: Sequence[Any]) -> Iterator[tuple[Any, list[str]]]:
    """Each rule with its paths: the views with a method of the same name, which most inherit, share WRONG_KEYS."""
    names = [rule.endpoint.rpartition(".")[2] for rule in rules]
    sharing, turns = Counter(names), defaultdict(itertools.count)
    for rule, name in zip(rules, names, strict=True):
        step, turn = min(sharing[name], len(WRONG_KEYS)), next(turns[name])
        keys = WRONG_KEYS[turn % step :: step]
        # Where an address takes numbers only, several keys are the same one
        yield rule, [*dict.fromkeys(filled(rule, key) for key in keys)]


def test_no_url_causes_a_server_error(hostile: Hostile) -> None:
    """Includes FAB's own pages: users, roles, groups, permissions, sign-in."""
    rules = [rule for rule in hostile.crm.app.url_map.iter_rules() if "static" not in rule.endpoint]
    queries = ("page_X=abc&psize_X=-5&_oc_X=nope&_od_X=up&_flt_0_nope=1", "page=-1&psize=abc")
    in_turn = itertools.cycle(queries)
    form = {"action": "nope", "rowid": ["0", "abc", "9" * 20], "name": "\0", "username": "x" * 999}
    for rule, paths in wrong_paths([rule for rule in rules if "logout" not in rule.rule]):
        # What exists is read, not changed
        read = [filled(rule, "1"), *paths] if rule.arguments else paths * len(queries)
        view = rule.endpoint.partition(".")[0]
        urls = [f"{path}?{query.replace('_X', '_' + view)}" for path, query in zip(read, in_turn, strict=False)]
        for url in urls if "GET" in rule.methods else ():
            hostile.page(url)
        for path in paths if "POST" in rule.methods else ():
            hostile.page(path, form)


@pytest.mark.parametrize("path", ["", "nope", "nope/1", "lead/1/2/3", "nope%00", "../etc/passwd", "%ff", "a" * 4000])
def test_an_unknown_api_url_answers_json(hostile: Hostile, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        answer = hostile.client.rest(method, f"/api/v1/{path}")
        assert answer.status_code in (400, 404, 405)
        assert_json(answer, path)


# --- MariaDB, which is stricter in other places


def test_mariadb_refuses_without_a_server_error(maria: Crm) -> None:
    hostile = Hostile(maria)

    written = [(resource, verb, field) for resource, verb in WRITTEN for field in fields_of(resource, verb)]
    for (resource, verb, field), raw in spread(written, 80):
        write(hostile, resource, verb, body_with(resource, verb, field, raw))


def test_mariadb_stores_every_character(maria: Crm) -> None:
    hostile = Hostile(maria)
    for name in ("😀 Ünï", "नमस्ते", "\u202eevil", "a" * 80, "😀" * 80):
        answer = hostile.ask(
            "POST", "customer/", json.dumps({"first_name": name, "mobile": maria.make.mobile()}).encode()
        )
        assert answer.status_code == 201, answer.text
        # But for marks of direction, which are left out of texts of one line.
        assert answer.json["result"]["first_name"] == name.removeprefix("\u202e")
