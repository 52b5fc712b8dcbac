"""Invalid input to the predecessor's API: always an error envelope, never a server error or internals."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.web.compat import method_registry
from app.web.compat.doctypes import DOCTYPES
from app.web.compat.filters import FIXED_FIELDS
from app.web.compat.responses import EXC_TYPES
from tests.cases import each_case
from tests.web.compat.sample_calls import SAMPLE_CALLS, SampleRecords
from tests.web.invalid_input import assert_no_leak, raising_server_errors

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
SOURCES = Path(method_registry.__file__).parent
#: The headers of the admin, whose requests are thousands.
ROOT = {"Authorization": "token keyroot:secret-root"} | JSON
#: Arguments with SQL in them.
SQL_INJECTIONS = (
    {"order_by": "name; drop table leads"},
    {"order_by": "(select 1)"},
    {"order_by": "sleep(3) desc"},
    {"order_by": "modified desc, (select password from ab_user)"},
    {"fields": ["count(password) as n"]},
    {"fields": ["(select password from ab_user) as p"]},
    {"fields": ["name as x"]},
    {"fields": ["sum(duration)"]},
    {"filters": [["1=1) or (1", "=", "1"]]},
    {"filters": [["CRM Lead", "password", "like", "%"]]},
    {"group_by": "password"},
    {"filters": {"id": ["in", [1]]}},
)


@pytest.fixture(scope="module")
def sample(shared_sample: SampleRecords) -> SampleRecords:
    return shared_sample


#: One of each kind of RUBBISH.
REDUCED_RUBBISH = (
    None,
    True,
    1.5,
    2**63,
    "   ",
    "x" * 5000,
    "a\x00b",
    "\ud800",
    "[",
    [],
    {},
    [[[1]]],
    {"id": 1},
    "999999",
    "²",
    "2026-13-45",
    "0001-01-01",
)
#: The others.
FURTHER_RUBBISH = tuple(value for value in RUBBISH if repr(value) not in set(map(repr, REDUCED_RUBBISH)))


def read_as(*readers: str) -> set[str]:
    """The names of the arguments that these methods of Arguments read anywhere."""
    pattern = re.compile(rf'\.(?:{"|".join(readers)})\("(\w+)"')
    return {name for path in SOURCES.rglob("*.py") for name in pattern.findall(path.read_text())}


#: Everything but a text, a number or a flag is refused by the reader itself, in the same way for all of these names.
PLAIN = read_as("text", "first_text", "integer", "flag") - read_as("raw", "json_value", "json_object", "record_names")


def values_by_argument() -> dict[tuple[str, str], tuple[Any, ...]]:
    """(method, argument) -> what it gets where the name is first met: REDUCED_RUBBISH and a sixth of the rest, or of
    a plain argument half of it and a tenth.

    Methods of the same module read it in the same way, those of others mostly: then some of REDUCED_RUBBISH, each time
    others, a sixth of it in another module, one in the same.
    """
    modules: dict[str, set[str]] = {}
    found, turns = {}, itertools.count()
    for name, (_who, build_body) in SAMPLE_CALLS.items():
        module = method_registry.METHODS[name].function.__module__
        for field in build_body(AnyRecord()):
            read_in, turn = modules.setdefault(field, set()), next(turns)
            if read_in:
                step = len(REDUCED_RUBBISH) if module in read_in else 6
                found[name, field] = REDUCED_RUBBISH[turn % step :: step]
            else:
                step, further = (2, 10) if field in PLAIN else (1, 6)
                found[name, field] = (
                    *REDUCED_RUBBISH[turn % step :: step],
                    *FURTHER_RUBBISH[turn % further :: further],
                )
        for field in build_body(AnyRecord()):
            modules[field].add(module)
    return found


class AnyRecord:
    """Stands in for the sample records where only the names of the arguments matter."""

    id = number = notice = "1"

    def __getattr__(self, name: str) -> Any:
        return self


VALUES = values_by_argument()


@each_case("name", [name for name in SAMPLE_CALLS if name != "login"])
def test_no_argument_causes_a_server_error(sample: SampleRecords, name: str) -> None:
    body = SAMPLE_CALLS[name][1](sample)
    for field in body:
        for value in VALUES[name, field]:
            call_and_check(sample, name, body | {field: value})
    call_and_check(sample, name, {})


@pytest.mark.parametrize("name", ["client.get_list", "client.insert", "desk.form.assign_to.add"])
def test_no_body_causes_a_server_error(sample: SampleRecords, name: str) -> None:
    for body in RUBBISH:
        call_and_check(sample, f"frappe.{name}", body)


def test_no_customer_data_causes_a_server_error(sample: SampleRecords) -> None:
    """Neither in an object, nor as an argument of its own."""
    record, change = {"ticket_name": sample.ticket.number}, "crm.api.customers.update_ticket_customer_data"
    opened = {"customer_name": sample.customer.number, "client_id": "CL100"}
    fields = ("customer_name", "first_name", "mobile_no", "email", "pan_card_number", "name", "nickname")
    for n, value in enumerate(RUBBISH):
        for field in fields[n % 3 :: 3]:
            call_and_check(sample, change, record | {"customer_data": {field: value}})
        call_and_check(
            sample, "crm.api.customers.create_or_update_customer", {"customer_id": value, "email": "a@example.com"}
        )
        accounts = {"accounts_json": [{"client_id": value}]}
        call_and_check(sample, "crm.api.lead_operations.update_customer_with_client_id", opened | accounts)


OPERATORS = ("=", "!=", ">", "<=", "like", "in", "between", "is", "not in", None, 3, [])
#: Forms of a filter.
SHAPES: tuple[Callable[[Any, Any, Any], Any], ...] = (
    lambda field, op, value: [[field, op, value]],
    lambda field, op, value: {field: [op, value]},
    lambda field, op, value: {field: value},
    lambda field, op, value: [["X", field, op, [value, value], value]],
    lambda field, op, value: json.dumps([[field, op, value]]),
)


def operators_by_field() -> dict[str, list[tuple[str, Any]]]:
    """Doctype -> its fields, each with operators: all of them with the first field of a kind.

    A filter is made by the kind of the field, whatever its doctype: each further one gets a sixth, in turn another.
    """
    known: set[Any] = set()
    found: dict[str, list[tuple[str, Any]]] = {}
    turns = itertools.count()
    for name, doctype in DOCTYPES.items():
        found[name] = []
        for field in (*doctype.fields, *FIXED_FIELDS):
            ours = doctype.record_table.by_name.get(doctype.fields.get(field, ""))
            kind = type(ours) if ours is not None and field not in FIXED_FIELDS else field
            found[name] += [(field, op) for op in (OPERATORS[next(turns) % 6 :: 6] if kind in known else OPERATORS)]
            known.add(kind)
    return found


@pytest.mark.parametrize("doctype", DOCTYPES)
def test_no_filter_causes_a_server_error(sample: SampleRecords, doctype: str) -> None:
    """Fields with operators, cycling through forms and values."""
    values, shapes = itertools.cycle(RUBBISH), itertools.cycle(SHAPES)
    for field, op in operators_by_field()[doctype]:
        body = {"doctype": doctype, "filters": next(shapes)(field, op, next(values))}
        call_and_check(sample, "frappe.client.get_list", body)


def call_and_check(sample: SampleRecords, name: str, body: Any) -> Any:
    request = f"{name} {str(body)[:200]!r}"
    raw = json.dumps(body)
    with raising_server_errors(request):
        response = sample.crm.app.test_client().post(f"/api/method/{name}", data=raw, headers=ROOT)
    assert_no_leak(response, request)
    assert_envelope(response, request)
    return response


def assert_envelope(response: Any, request: str) -> None:
    body = response.get_json()
    if response.status_code < 400:
        return
    shown = json.loads(json.loads(body["_server_messages"])[0])
    assert response.status_code in EXC_TYPES and len(shown["message"]) > 8, request
    assert "message" not in body and shown["message"] in body["exception"] and body["exc_type"], request


def reads_argument(name: str, injection: dict[str, Any]) -> bool:
    """Whether the method reads this argument."""
    if "filters" in injection or ("order_by" in injection and "count" not in name):
        return True
    return "group_by" in injection or ("fields" in injection and "_list" in name)


@each_case("injection", SQL_INJECTIONS, ids=str)
def test_sql_injection_is_refused(sample: SampleRecords, injection: dict[str, Any]) -> None:
    for name in ("frappe.client.get_list", "crm.api.doc.get_data", "frappe.client.get_count"):
        response = call_and_check(sample, name, {"doctype": "CRM Lead", "fields": ["name"]} | injection)
        assert response.status_code == (417 if reads_argument(name, injection) else 200), (name, response.text)
    query = {key: value if isinstance(value, str) else json.dumps(value) for key, value in injection.items()}
    headers = sample.crm.client("root").headers
    response = sample.crm.app.test_client().get("/api/resource/CRM Lead", query_string=query, headers=headers)
    assert response.status_code == (417 if reads_argument("_list", injection) else 200)


@pytest.mark.parametrize("doctype", ["API Key", "Has Role", "DocType", "CRM Invitation", "File"])
def test_api_keys_and_other_doctypes_are_forbidden_everywhere(sample: SampleRecords, doctype: str) -> None:
    client, headers = sample.crm.app.test_client(), sample.crm.client("root").headers
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/1"), ("PUT", "/1"), ("DELETE", "/1")):
        response = client.open(f"/api/resource/{doctype}{path}", method=method, json={"a": 1}, headers=headers)
        assert response.status_code == 403, (method, path)
    for name in (
        "frappe.desk.search.search_link",
        "frappe.desk.form.load.getdoc",
        "crm.api.doc.get_data",
        "crm.api.doc.get_filterable_fields",
        "crm.api.doc.get_assigned_users",
    ):
        assert sample.call("root", name, {"doctype": doctype, "name": "1"}).status_code == 403


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
def test_an_empty_in_filter_matches_nothing(sample: SampleRecords, doctype: str, field: str) -> None:
    assert call_and_check(sample, "frappe.client.get_list", {"doctype": doctype}).get_json()["message"] is not None
    body = {"doctype": doctype, "filters": [[field, "in", []]]}
    assert call_and_check(sample, "frappe.client.get_list", body).get_json()["message"] == []


# --- errors that Flask raises


@pytest.mark.parametrize("path", ["/api/method/ping", "/api/resource/CRM Lead", "/api/resource/CRM Lead/1"])
def test_another_http_method_is_405(sample: SampleRecords, path: str) -> None:
    response = sample.crm.app.test_client().patch(path, headers=sample.crm.client("root").headers)
    assert response.status_code == 405
    assert_envelope(response, path)


@pytest.mark.parametrize("path", ["/api/method/frappe.client.insert", "/api/resource/CRM Lead", "/"])
def test_a_body_that_is_too_large_or_invalid_json(sample: SampleRecords, path: str) -> None:
    client, headers = sample.crm.app.test_client(), sample.crm.client("root").headers | JSON
    limit = sample.crm.app.config["MAX_CONTENT_LENGTH"]
    large = client.post(path, data=b"x" * (limit + 1), headers=headers)
    broken = client.post(f"{path}?cmd=frappe.client.insert", data=b'{"doc": ', headers=headers)
    assert (large.status_code, broken.status_code) == (413, 417)
    for response in (large, broken):
        assert_envelope(response, path)


def test_a_server_error_has_the_error_envelope(sample: SampleRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: Any) -> Any:
        raise ZeroDivisionError("inside")

    monkeypatch.setitem(method_registry.METHODS, "ping", method_registry.Method(broken, allow_guest=True))
    monkeypatch.setitem(sample.crm.app.config, "PROPAGATE_EXCEPTIONS", False)
    response = sample.crm.app.test_client().get("/api/method/ping")
    assert response.status_code == 500
    assert_envelope(response, "ping")
    assert "inside" not in response.text


def test_an_unavailable_database_is_503_with_retry_after(
    sample: SampleRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(request: Any) -> Any:
        raise PoolTimeout

    monkeypatch.setitem(method_registry.METHODS, "ping", method_registry.Method(away, allow_guest=True))
    for path in ("/api/method/ping", "/?cmd=ping"):
        response = sample.crm.app.test_client().get(path)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
        assert_envelope(response, path)


def test_guessing_api_keys_is_rate_limited(sample: SampleRecords) -> None:
    client, address = sample.crm.app.test_client(), {"REMOTE_ADDR": "10.9.8.7"}
    responses = [
        client.get(
            "/api/method/frappe.auth.get_logged_user",
            environ_base=address,
            headers={"Authorization": f"token keyana:guess{n}"},
        )
        for n in range(40)
    ]
    assert {response.status_code for response in responses} == {401, 429}
    assert_envelope(responses[-1], "guess")
    assert responses[-1].headers["Retry-After"]
