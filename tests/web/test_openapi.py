"""The description of the API tells the truth: about addresses, statuses and shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app import create_app
from tests.app_fixtures import settings_for
from tests.web.hostile import Hostile, spare_world

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
#: Tries an operation; by hand, more: python -m tests.web.test_openapi 300
TRIES = 12
SPEC = "/api/v1/_openapi"
VERBS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def worn(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """A world that a fuzzer may wear out."""
    with spare_world(settled, tmp_path_factory.mktemp("worn")) as world:
        yield Hostile(world)


@pytest.fixture(scope="module")
def spec(worn: Hostile) -> Any:
    return worn.world.door("ana").rest("GET", SPEC).json


def operations(spec: Any) -> list[tuple[str, str, Any]]:
    return [(verb, path, told) for path, each in spec["paths"].items() for verb, told in each.items() if verb in VERBS]


def test_the_description_is_valid(spec: Any) -> None:
    validate(spec)


def test_everybody_who_signed_in_reads_it(worn: Hostile) -> None:
    assert worn.world.door("ana").rest("GET", SPEC).status_code == 200
    assert worn.world.door("ana").screen("/swagger/v1").status_code == 200
    assert worn.world.door(None).rest("GET", SPEC).status_code == 401
    assert worn.world.door("ana").rest("GET", "/api/v9/_openapi").status_code == 404


def test_every_operation_has_its_own_name_and_a_way_to_sign_in(spec: Any) -> None:
    told = operations(spec)
    names = [each.get("operationId") for _verb, _path, each in told]
    assert None not in names and len(set(names)) == len(names)
    assert all(each["security"] or "security/login" in path for _verb, path, each in told)


def test_what_is_told_is_what_is_there(worn: Hostile, spec: Any) -> None:
    left_out = {"/api/v1/menu/", "/api/<version>/_openapi"}  # FAB's, for our own pages
    there = {
        (verb.lower(), re.sub(r"<(?:int:)?(\w+)>", r"{\1}", rule.rule))
        for rule in worn.world.app.url_map.iter_rules() for verb in rule.methods
        if rule.rule.startswith("/api/v1/") and rule.rule not in left_out and verb.lower() in VERBS
    }  # fmt: skip
    assert {(verb, path) for verb, path, _told in operations(spec)} == there


def test_every_key_of_a_record_is_told(worn: Hostile, spec: Any) -> None:
    for name, key in worn.records.items():
        answer = worn.world.door("root").rest("GET", f"{name}/{key}")
        told = spec["paths"][f"/api/v1/{name}/{{pk}}"]["get"]["responses"]["200"]
        ref = told["content"]["application/json"]["schema"]["properties"]["result"]["allOf"][0]["$ref"]
        known = spec["components"]["schemas"][ref.rpartition("/")[2]]["properties"]
        assert set(answer.json["result"]) <= set(known), name


@pytest.mark.filterwarnings("ignore")
def test_a_fuzzer_finds_no_lie(worn: Hostile) -> None:
    """As Ana, who sells: a fuzzer with an admin's rights destroys its own premises."""
    assert fuzz(worn, TRIES) == []


def prober(operation: Any, headers: dict[str, str], tries: int) -> Any:
    """A function that tries the operation; the doors of signing in only thrice, and without a key."""
    sent, count = ({"Accept-Encoding": "identity"}, 3) if "/security/" in operation.path else (headers, tries)

    @settings(max_examples=count, derandomize=True, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=operation.as_strategy())
    def probe(case: Any) -> None:
        case.validate_response(case.call(headers=sent), checks=CHECKS)

    return probe


def fuzz(worn: Hostile, tries: int) -> list[str]:
    """The lies and bugs that schemathesis finds with so many tries an operation."""
    headers = worn.world.door("ana").headers | {"Accept-Encoding": "identity"}
    schema = schemathesis.openapi.from_wsgi(SPEC, worn.world.app, headers=headers)
    found = []
    for result in schema.get_all_operations():
        try:
            prober(result.ok(), headers, tries)()
        except FailureGroup as wrong:
            found.append(f"{result.ok().label}: {wrong}")
    return found


if __name__ == "__main__":
    import sys
    import tempfile

    from tests.app_fixtures import settle

    with tempfile.TemporaryDirectory() as home:
        settle(create_app(settings_for(Path(home) / "settled"), TESTING=True))
        with spare_world(Path(home) / "settled", Path(home)) as world:
            for lie in fuzz(Hostile(world), int(sys.argv[1])):
                sys.stdout.write(lie + "\n\n")
