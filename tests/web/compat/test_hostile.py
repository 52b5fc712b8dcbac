"""Rubbish at the predecessor's doors: a sentence in its envelope, never a bug, and nothing of our inside."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.web.compat import registry
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.list_query import FIXED_FIELDS
from app.web.compat.responses import EXC_TYPES
from tests.web.compat.sample_calls import GLADLY, Ground
from tests.web.hostile import assert_decent, heard

RUBBISH = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**31,
    2**63,
    "",
    "   ",
    "abc",
    "x" * 5000,
    "a\x00b",
    "\ud800",
    "[",
    "{",
    "[]",
    "{}",
    [],
    {},
    [[[1]]],
    [None],
    ["a", "b", "c"],
    {"id": 1},
    {"a": {}},
    "999999",
    "CRM-LEAD-2026-00001",
    "١٢٣",
    "²",
    "😀",
    "' OR 1=1 --",
    "1; DROP TABLE leads",
    "sleep(9)",
    "%",
    "name",
    "2026-13-45",
    "0001-01-01",
    "9999-12-31",
    "CRM Lead",
    "CRM Customer",
    "User",
    "__class__",
    "Sales User",
    "root",
    "@me",
    [{"subject": []}],
    "null",
)
JSON = {"Content-Type": "application/json"}
#: Where SQL could be slipped in.
SLIPS = (
    {"order_by": "name; drop table leads"},
    {"order_by": "(select 1)"},
    {"order_by": "sleep(3) desc"},
    {"order_by": "modified desc, (select password from ab_user)", "second": 1},
    {"fields": ["count(*) as n"]},
    {"fields": ["(select password from ab_user) as p"]},
    {"fields": ["name as x"]},
    {"fields": ["sum(duration)"]},
    {"filters": [["1=1) or (1", "=", "1"]]},
    {"filters": [["CRM Lead", "password", "like", "%"]]},
    {"group_by": "status"},
    {"filters": {"id": ["in", [1]]}},
)


@pytest.fixture(scope="module")
def ground(standing: Ground) -> Ground:
    return standing


#: Of RUBBISH, one of each kind: for an argument that another method of the same chapter reads by the same words.
SAMPLE = (None, True, 1.5, 2**63, "   ", "x" * 5000, "a\x00b", "\ud800", "[", [], {}, [[[1]]], {"id": 1}, "999999")


def first_of_their_kind() -> dict[str, set[str]]:
    """Method -> its arguments that no method before it, of the same module, has under the same name."""
    known: set[tuple[str, str]] = set()
    found: dict[str, set[str]] = {}
    for name, (_who, sent) in GLADLY.items():
        chapter = registry.METHODS[name].function.__module__
        fields = {field for field in sent(Anything()) if (chapter, field) not in known}
        known |= {(chapter, field) for field in fields}
        found[name] = fields
    return found


class Anything:
    """Stands in for a ground where only the names of the arguments matter."""

    id = number = notice = "1"

    def __getattr__(self, name: str) -> Any:
        return self


FIRST = first_of_their_kind()


@pytest.mark.parametrize("name", [name for name in GLADLY if name != "login"])
def test_no_argument_is_a_bug(ground: Ground, name: str) -> None:
    sent = GLADLY[name][1](ground)
    for field in sent:
        for value in RUBBISH if field in FIRST[name] else SAMPLE:
            knock(ground, name, sent | {field: value})
    knock(ground, name, {})


@pytest.mark.parametrize("name", ["client.get_list", "client.insert", "desk.form.assign_to.add"])
def test_no_body_is_a_bug(ground: Ground, name: str) -> None:
    for body in RUBBISH:
        knock(ground, f"frappe.{name}", body)


def test_no_field_of_a_person_is_a_bug(ground: Ground) -> None:
    """Neither inside an object, nor under its own name."""
    place, change = {"ticket_name": ground.ticket.number}, "crm.api.customers.update_ticket_customer_data"
    opened = {"customer_name": ground.customer.number, "client_id": "CL100"}
    for value in RUBBISH:
        for field in ("customer_name", "first_name", "mobile_no", "email", "pan_card_number", "name", "nickname"):
            knock(ground, change, place | {"customer_data": {field: value}})
        knock(ground, "crm.api.customers.create_or_update_customer", {"customer_id": value, "email": "a@example.com"})
        accounts = {"accounts_json": [{"client_id": value}]}
        knock(ground, "crm.api.lead_operations.update_customer_with_client_id", opened | accounts)


OPERATORS = ("=", "!=", ">", "<=", "like", "in", "between", "is", "not in", None, 3, [])
#: The ways to write a filter.
SHAPES: tuple[Callable[[Any, Any, Any], Any], ...] = (
    lambda field, op, value: [[field, op, value]],
    lambda field, op, value: {field: [op, value]},
    lambda field, op, value: {field: value},
    lambda field, op, value: [["X", field, op, [value, value], value]],
    lambda field, op, value: json.dumps([[field, op, value]]),
)


@pytest.mark.parametrize("doctype", DOCTYPES)
def test_no_filter_is_a_bug(ground: Ground, doctype: str) -> None:
    """Each field with each operator, in one shape and with one value after the other."""
    values, shapes = itertools.cycle(RUBBISH), itertools.cycle(SHAPES)
    for field, op in itertools.product((*DOCTYPES[doctype].fields, *FIXED_FIELDS), OPERATORS):
        sent = {"doctype": doctype, "filters": next(shapes)(field, op, next(values))}
        knock(ground, "frappe.client.get_list", sent)


def knock(ground: Ground, name: str, body: Any) -> Any:
    asked = f"{name} {str(body)[:200]!r}"
    raw = json.dumps(body)
    headers = ground.world.door("root").headers | JSON
    with heard(asked):
        answer = ground.world.app.test_client().post(f"/api/method/{name}", data=raw, headers=headers)
    assert_decent(answer, asked)
    assert_envelope(answer, asked)
    return answer


def assert_envelope(answer: Any, asked: str) -> None:
    body = answer.get_json()
    if answer.status_code < 400:
        return
    shown = json.loads(json.loads(body["_server_messages"])[0])
    assert answer.status_code in EXC_TYPES and len(shown["message"]) > 8, asked
    assert body["message"] == shown["message"] and body["exc_type"] and body["exception"], asked


def is_heard(name: str, slip: dict[str, Any]) -> bool:
    """Whether the method has this argument at all."""
    if "second" in slip or "group_by" in slip:
        return False
    return "filters" in slip or ("order_by" in slip and "count" not in name) or ("fields" in slip and "_list" in name)


@pytest.mark.parametrize("slip", SLIPS, ids=str)
def test_sql_is_refused_wherever_it_is_slipped_in(ground: Ground, slip: dict[str, Any]) -> None:
    for name in ("frappe.client.get_list", "crm.api.doc.get_data", "frappe.client.get_count"):
        answer = knock(ground, name, {"doctype": "CRM Lead", "fields": ["name"]} | slip)
        assert answer.status_code == (417 if is_heard(name, slip) else 200), (name, answer.text)
    query = {key: value if isinstance(value, str) else json.dumps(value) for key, value in slip.items()}
    headers = ground.world.door("root").headers
    answer = ground.world.app.test_client().get("/api/resource/CRM Lead", query_string=query, headers=headers)
    assert answer.status_code == (417 if is_heard("_list", slip) else 200)


@pytest.mark.parametrize("doctype", ["User", "API Key", "Role", "Has Role", "DocType", "CRM Invitation", "File"])
def test_people_keys_and_roles_are_nowhere(ground: Ground, doctype: str) -> None:
    client, headers = ground.world.app.test_client(), ground.world.door("root").headers
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/1"), ("PUT", "/1"), ("DELETE", "/1")):
        answer = client.open(f"/api/resource/{doctype}{path}", method=method, json={"a": 1}, headers=headers)
        assert answer.status_code == 403, (method, path)
    for name in (
        "frappe.desk.search.search_link",
        "frappe.desk.form.load.getdoc",
        "crm.api.doc.get_data",
        "crm.api.doc.get_filterable_fields",
        "crm.api.doc.get_assigned_users",
    ):
        assert ground.ask("root", name, {"doctype": doctype, "name": "1"}).status_code == 403


@pytest.mark.parametrize(
    ("doctype", "field"),
    [
        (name, field)
        for name, kind in DOCTYPES.items()
        for field in kind.fields
        if field
        in ("name", "status", "reference_doctype", "reference_docname", "notification_type", "assigned_to", "type")
    ],
)
def test_one_of_nothing_is_nothing(ground: Ground, doctype: str, field: str) -> None:
    assert knock(ground, "frappe.client.get_list", {"doctype": doctype}).get_json()["message"] is not None
    sent = {"doctype": doctype, "filters": [[field, "in", []]]}
    assert knock(ground, "frappe.client.get_list", sent).get_json()["message"] == []


# --- what Flask itself refuses, in the same envelope


@pytest.mark.parametrize("path", ["/api/method/ping", "/api/resource/CRM Lead", "/api/resource/CRM Lead/1"])
def test_another_verb_is_405(ground: Ground, path: str) -> None:
    answer = ground.world.app.test_client().patch(path, headers=ground.world.door("root").headers)
    assert answer.status_code == 405
    assert_envelope(answer, path)


@pytest.mark.parametrize("path", ["/api/method/frappe.client.insert", "/api/resource/CRM Lead", "/"])
def test_a_body_that_is_too_large_or_broken(ground: Ground, path: str) -> None:
    client, headers = ground.world.app.test_client(), ground.world.door("root").headers | JSON
    limit = ground.world.app.config["MAX_CONTENT_LENGTH"]
    large = client.post(path, data=b"x" * (limit + 1), headers=headers)
    broken = client.post(f"{path}?cmd=frappe.client.insert", data=b'{"doc": ', headers=headers)
    assert (large.status_code, broken.status_code) == (413, 417)
    for answer in (large, broken):
        assert_envelope(answer, path)


def test_a_bug_of_ours_speaks_the_same_language(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(asked: Any) -> Any:
        raise ZeroDivisionError("inside")

    monkeypatch.setitem(registry.METHODS, "ping", registry.Method(broken, allow_guest=True))
    monkeypatch.setitem(ground.world.app.config, "PROPAGATE_EXCEPTIONS", False)
    answer = ground.world.app.test_client().get("/api/method/ping")
    assert answer.status_code == 500
    assert_envelope(answer, "ping")
    assert "inside" not in answer.text


def test_an_absent_database_asks_to_come_again(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(asked: Any) -> Any:
        raise PoolTimeout

    monkeypatch.setitem(registry.METHODS, "ping", registry.Method(away, allow_guest=True))
    for path in ("/api/method/ping", "/?cmd=ping"):
        answer = ground.world.app.test_client().get(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
        assert_envelope(answer, path)


def test_who_guesses_keys_is_asked_to_wait(ground: Ground) -> None:
    client, address = ground.world.app.test_client(), {"REMOTE_ADDR": "10.9.8.7"}
    answers = [
        client.get(
            "/api/method/frappe.auth.get_logged_user",
            environ_base=address,
            headers={"Authorization": f"token keyana:guess{n}"},
        )
        for n in range(40)
    ]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert_envelope(answers[-1], "guess")
    assert answers[-1].headers["Retry-After"]
