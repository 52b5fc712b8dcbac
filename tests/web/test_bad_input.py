"""Whatever is sent to a door: no bug is shown, nothing of the inside is told, nothing of what is refused is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import views
from tests.app_fixtures import World
from tests.web.hostile import KEYS, RAW_VALUES, Hostile, assert_decent, assert_json, spare_world, spoiled

RESOURCES = {each.resource_name: each for each in views.RESOURCES}
WRITTEN = [
    (name, verb)
    for name, each in RESOURCES.items()
    if hasattr(each, "desk")
    for verb in ("post", "put")
    if verb not in (each.exclude_route_methods or ())
]
READ = [name for name, each in RESOURCES.items() if hasattr(each, "desk")]
SCREENS = {each.route_base.strip("/"): each for each in views.SCREENS}
DEEP = "[" * 2000


def rudely(count: int) -> settings:
    return settings(
        max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


@pytest.fixture(scope="module")
def rude(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """All tests here share a world; what one of them leaves does not matter to the others."""
    with spare_world(settled, tmp_path_factory.mktemp("rude")) as world:
        yield Hostile(world)


# --- bodies


def fields_of(resource: str, verb: str) -> list[str]:
    which = "add" if verb == "post" else "edit"
    return [each.name for each in RESOURCES[resource].service.record_table.input_fields if getattr(each, which)]


def write(rude: Hostile, resource: str, verb: str, body: bytes) -> None:
    """Send it; a refusal must leave everything as it was."""
    before, key = rude.counts(), rude.records[resource]
    row = rude.row(resource, key)
    answer = rude.ask("POST", f"{resource}/", body) if verb == "post" else rude.ask("PUT", f"{resource}/{key}", body)
    if answer.status_code >= 400:
        assert rude.counts() == before, body
        assert rude.row(resource, key) == row, body


@pytest.mark.parametrize("resource, verb", WRITTEN)
def test_a_wrong_value_in_a_good_body(rude: Hostile, resource: str, verb: str) -> None:
    @rudely(90)
    @given(field=st.sampled_from(fields_of(resource, verb)), raw=st.sampled_from(RAW_VALUES))
    def send(field: str, raw: str) -> None:
        body = spoiled(resource, field, raw) if verb == "post" else b'{"%s":%s}' % (field.encode(), raw.encode())
        write(rude, resource, verb, body)

    send()


@pytest.mark.parametrize("resource, verb", WRITTEN)
def test_wrong_values_everywhere(rude: Hostile, resource: str, verb: str) -> None:
    names = st.sampled_from(
        [*fields_of(resource, verb), "version", "id", "number", "owner_id", "created_by_id", "", "😀"]
    )

    @rudely(25)
    @given(st.dictionaries(names, st.sampled_from(RAW_VALUES), min_size=1, max_size=8))
    def send(values: dict[str, str]) -> None:
        inside = ",".join(f"{json.dumps(name)}:{raw}" for name, raw in values.items())
        write(rude, resource, verb, ("{" + inside + "}").encode())

    send()


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
def test_a_body_that_is_no_record(rude: Hostile, resource: str, verb: str) -> None:
    key, before = rude.records[resource], rude.counts()
    paths = {"post": [f"{resource}/", f"{resource}/{key}/assign"], "put": [f"{resource}/{key}"]}[verb]
    for path in paths:
        for body in BODIES:
            assert rude.ask(verb.upper(), path, body).status_code in (404, 422), (path, body)
        for kind in ("text/plain", "", "multipart/form-data", "application/json; charset=utf-16"):
            assert rude.ask(verb.upper(), path, b'{"nope":1}', content_type=kind).status_code in (404, 422)
    assert rude.counts() == before


@pytest.mark.parametrize("resource, verb", WRITTEN)
def test_a_body_of_13_megabytes_is_too_large(rude: Hostile, resource: str, verb: str) -> None:
    path = f"{resource}/" if verb == "post" else f"{resource}/{rude.records[resource]}"
    assert rude.ask(verb.upper(), path, b'{"a":"' + b"x" * 13_000_000 + b'"}').status_code == 413


def test_a_version_that_is_no_number_is_no_conflict(rude: Hostile) -> None:
    answer = rude.ask("PUT", f"lead/{rude.records['lead']}", b'{"version":"x","pod_id":"P-1"}')
    assert answer.status_code == 422
    assert rude.ask("PUT", f"lead/{rude.records['lead']}", b'{"version":9999,"pod_id":"P-1"}').status_code == 409


# --- questions

QUESTIONS = (
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


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_question_that_makes_no_sense(rude: Hostile, resource: str) -> None:
    for question in QUESTIONS:
        for path in (f"{resource}/", f"{resource}/{rude.records[resource]}"):
            answer = rude.ask("GET", f"{path}?q={quote(question)}")
            assert answer.status_code in (200, 400), question


@pytest.mark.parametrize(
    "question",
    [q for q in QUESTIONS if q not in ("null", "!n", "(:)", "(a:%00)", '{"1":2}') and "order_direction" not in q],
)
def test_a_senseless_question_is_refused_not_guessed(rude: Hostile, question: str) -> None:
    assert rude.ask("GET", f"lead/?q={quote(question)}").status_code == 400


@pytest.mark.parametrize("resource", READ)
def test_a_filter_with_a_wrong_value(rude: Hostile, resource: str) -> None:
    fields = RESOURCES[resource].service.record_table.fields
    pairs = [(each.name, op) for each in fields for op in (*each.ops, "nope", "rel_o_m", "between")]

    @rudely(120)
    @given(pair=st.sampled_from(pairs), raw=st.sampled_from(RAW_VALUES))
    def ask(pair: tuple[str, str], raw: str) -> None:
        filters = f'{{"filters":[{{"col":"{pair[0]}","opr":"{pair[1]}","value":{raw}}}]}}'
        assert rude.ask("GET", f"{resource}/?q={quote(filters)}").status_code in (200, 400)

    ask()


@pytest.mark.parametrize("op", ["ct", "nct", "sw", "ew", "gt", "lt", "ge", "le"])
@pytest.mark.parametrize("raw", ["null", '""', '"   "'])
def test_nothing_is_compared_with_nothing(rude: Hostile, op: str, raw: str) -> None:
    name = "number" if op in ("ct", "nct", "sw", "ew") else "created_on"
    if name == "created_on" and raw == '"   "':
        raw = "null"
    filters = f'{{"filters":[{{"col":"{name}","opr":"{op}","value":{raw}}}]}}'
    assert rude.ask("GET", f"lead/?q={quote(filters)}").status_code == 400


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_key_that_is_none(rude: Hostile, resource: str) -> None:
    before = rude.counts()
    for key in KEYS:
        for method in ("GET", "PUT", "DELETE", "PATCH"):
            answer = rude.ask(method, f"{resource}/{key}", b'{"page":1}' if method == "PUT" else None)
            assert answer.status_code in (404, 405), (method, key)
        assert rude.ask("POST", f"{resource}/{key}/assign", b'{"assign_to":1}').status_code in (404, 405)
    assert rude.counts() == before


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
def test_a_list_asked_for_nonsense(rude: Hostile, screen: str) -> None:
    for arguments in ARGUMENTS:
        for path in (f"/{screen}/", f"/{screen}/lookup", f"/{screen}/add"):
            assert rude.page(f"{path}?{arguments}").status_code in (200, 400, 404), arguments


@pytest.mark.parametrize("screen", SCREENS)
def test_a_record_that_is_none(rude: Hostile, screen: str) -> None:
    before = rude.counts()
    for key in KEYS:
        for way in ("", "show/", "timeline/", "edit/", "assign/"):
            assert rude.page(f"/{screen}/{way}{key}").status_code in (400, 404), (way, key)
        for way in ("edit", "delete", "move", "note", "assign", "done", "convert", "decide", "action/delete"):
            status = rude.page(f"/{screen}/{way}/{key}", {"body": "x"}).status_code
            assert status in (302, 400, 404, 405), (way, key)
    assert rude.counts() == before


@pytest.mark.parametrize("screen", SCREENS)
def test_a_form_full_of_garbage(rude: Hostile, screen: str) -> None:
    before = rude.counts()
    for text in GARBAGE:
        names = SCREENS[screen].record_table.declared.add
        for sent in (dict.fromkeys(names, text), {"subjects": [text], "version": text}):
            answer = rude.page(f"/{screen}/add", sent)
            assert answer.status_code in (302, 403, 404, 413, 422), (text[:20], answer.status_code)
            if answer.status_code >= 400:
                assert rude.counts() == before
            before = rude.counts()


@pytest.mark.parametrize(
    "name",
    [name for name in SCREENS["leads"].record_table.declared.add if name != "first_name"],
)
def test_what_was_typed_stays_in_the_form(rude: Hostile, name: str) -> None:
    for text in ("\0bad", "x" * 30_000):
        answer = rude.page("/leads/add", {"first_name": "Typedonce", "mobile": "9825099999", name: text})
        assert answer.status_code == 422, (name, answer.status_code)
        assert 'value="Typedonce"' in answer.text


def test_what_was_typed_stays_when_another_saved_meanwhile(rude: Hostile) -> None:
    key = rude.records["lead"]
    sent = {"version": "9999", "first_name": "Typedonce", "mobile": "9825011111"}
    answer = rude.page(f"/leads/edit/{key}", sent)
    assert answer.status_code == 409
    assert 'value="Typedonce"' in answer.text


@pytest.mark.parametrize("screen", ["leads", "tickets", "tasks"])
def test_verbs_with_garbage(rude: Hostile, screen: str) -> None:
    name = {"leads": "lead", "tickets": "ticket", "tasks": "task"}[screen]
    key, junk = rude.records[name], [*GARBAGE, ""]
    before, row = rude.counts(), rude.row(name, key)
    for text in junk:
        task = {"task_title": text, "task_due_on": text, "close_tasks": [text, text]}
        rude.page(f"/{screen}/move/{key}", {"status": text or "nope", "version": text, **task})
        rude.page(f"/{screen}/assign/{key}", {"how": text, "assignee": text, "role": text, "reason": text})
        for how in ("person", "role", "request"):
            rude.page(f"/{screen}/assign/{key}", {"how": how, "assignee": text, "role": text, "reason": text})
        for action in (text, "assign", "status", "delete", "done"):
            rowids = [text, *KEYS, "999999"]
            rude.page(f"/{screen}/action_post", {"action": action, "rowid": rowids, "status": text, "assignee": text})
    assert rude.counts() == before
    assert rude.row(name, key) == row


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
def test_a_form_without_its_token_is_refused(rude: Hostile, path: str) -> None:
    before = rude.counts()
    for token in ({}, {"csrf_token": ""}, {"csrf_token": "x" * 100}):
        answer = rude.door.browser.post(path, data={"first_name": "Eve", "body": "x", **token})
        assert_decent(answer, path)
        assert answer.status_code == 400 and answer.mimetype == "text/html"
    assert rude.counts() == before


# --- every address there is


def filled(rule: Any, key: str) -> str:
    path = rule.rule
    for name, kind in rule._converters.items():
        part = (key if key.isdigit() else "0") if type(kind).__name__ == "IntegerConverter" else key
        path = path.replace(f"<{name}>", part)
        for spelled in (f"<int:{name}>", f"<string:{name}>", f"<path:{name}>", f"<default:{name}>"):
            path = path.replace(spelled, part)
    return path


def test_no_address_of_the_product_breaks(rude: Hostile) -> None:
    """Also of those screens that are FAB's own: users, roles, groups, permissions, sign-in."""
    rules = [rule for rule in rude.world.app.url_map.iter_rules() if "static" not in rule.endpoint]
    queries = ("page_X=abc&psize_X=-5&_oc_X=nope&_od_X=up&_flt_0_nope=1", "page=-1&psize=abc", "")
    for rule in rules:
        asked = ("0", "abc", "9" * 20, "%00") if rule.arguments else ("",)
        for key in asked:
            path = filled(rule, key)
            for query in queries:
                query = query.replace("_X", "_" + rule.endpoint.partition(".")[0])
                if "GET" in rule.methods and "logout" not in path:
                    rude.page(f"{path}?{query}")
            if "POST" in rule.methods and "logout" not in path:
                rude.page(
                    path, {"action": "nope", "rowid": ["0", "abc", "9" * 20], "name": "\0", "username": "x" * 999}
                )


def test_a_stranger_meets_no_bug_either(rude: Hostile) -> None:
    stranger = rude.world.door(None)
    for rule in rude.world.app.url_map.iter_rules():
        if "static" in rule.endpoint:
            continue
        for method in sorted(rule.methods - {"OPTIONS", "HEAD"}):
            answer = stranger.browser.open(filled(rule, "1"), method=method)
            assert_decent(answer, f"{method} {rule.rule}")
            if rule.rule.startswith("/api/"):
                assert answer.mimetype == "application/json", (method, rule.rule)


@pytest.mark.parametrize("path", ["", "nope", "nope/1", "lead/1/2/3", "nope%00", "../etc/passwd", "%ff", "a" * 4000])
def test_an_api_address_that_is_none_answers_json(rude: Hostile, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
        answer = rude.door.rest(method, f"/api/v1/{path}")
        assert answer.status_code in (400, 404, 405)
        assert_json(answer, path)


# --- MariaDB is strict about other things


def test_mariadb_refuses_without_a_bug(maria: World) -> None:
    rude = Hostile(maria)

    @rudely(250)
    @given(target=st.sampled_from(WRITTEN), raw=st.sampled_from(RAW_VALUES), n=st.integers(0, 40))
    def send(target: tuple[str, str], raw: str, n: int) -> None:
        resource, verb = target
        names = fields_of(resource, verb)
        field = names[n % len(names)]
        body = spoiled(resource, field, raw) if verb == "post" else b'{"%s":%s}' % (field.encode(), raw.encode())
        write(rude, resource, verb, body)

    send()


def test_mariadb_keeps_every_sign(maria: World) -> None:
    rude = Hostile(maria)
    for name in ("😀 Ünï", "नमस्ते", "\u202eevil", "a" * 80, "😀" * 80):
        answer = rude.ask("POST", "customer/", json.dumps({"first_name": name, "mobile": maria.make.mobile()}).encode())
        assert answer.status_code == 201, answer.text
        assert answer.json["result"]["first_name"] == name
