"""The description of the API is correct: URLs, statuses and schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from openapi_spec_validator import validate

from app.web.settings.picklist_rest import PICKLIST_RESOURCES
from tests.app_fixtures import PASSWORD, Crm
from tests.web.invalid_input import VALID_BODIES, Hostile, spare_world

#: Picklists whose operations the test leaves out: they are declared as those of the others, without code of their own.
ALIKE = {each.resource_name for each in PICKLIST_RESOURCES} - {"lead_status", "message_template"}
SPEC = "/api/v1/_openapi"
#: Addresses that take no body although something is changed by them.
BARE = (
    "/withdraw",
    "/refresh",
    "/cancel",
    "/send_again",
    "/pause",
    "/resume",
    "/stop",
    "/give_up",
    "/arrived",
    "/claim",
    "/close",
    "/reopen",
    "/read",
    "/fetch",
    "/restore",
)
ERROR = {"$ref": "#/components/schemas/Error"}
VERBS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def worn(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """A CRM that a fuzzer may wear out."""
    with spare_world(settled, tmp_path_factory.mktemp("worn")) as crm:
        yield Hostile(crm)


@pytest.fixture(scope="module")
def busy(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crm]:
    """A CRM with the demo's records, in all their states."""
    with spare_world(settled, tmp_path_factory.mktemp("busy")) as crm:
        loaded = crm.app.test_cli_runner().invoke(args=["demo", "load", "--leads", "60", "--password", PASSWORD])
        assert loaded.exit_code == 0, loaded.output
        yield crm


@pytest.fixture(scope="module")
def spec(worn: Hostile) -> Any:
    return worn.crm.client("ana").rest("GET", SPEC).json


def operations(spec: Any) -> list[tuple[str, str, Any]]:
    return [(verb, path, told) for path, each in spec["paths"].items() for verb, told in each.items() if verb in VERBS]


def test_the_description_is_valid(spec: Any) -> None:
    validate(spec)


def test_everybody_who_signed_in_reads_it(worn: Hostile) -> None:
    assert worn.crm.client("ana").rest("GET", SPEC).status_code == 200
    assert worn.crm.client("ana").screen("/swagger/v1").status_code == 200
    assert worn.crm.client(None).rest("GET", SPEC).status_code == 401
    assert worn.crm.client("ana").rest("GET", "/api/v9/_openapi").status_code == 404


def test_every_operation_has_its_own_name_and_a_way_to_sign_in(spec: Any) -> None:
    told = operations(spec)
    names = [each.get("operationId") for _verb, _path, each in told]
    assert None not in names and len(set(names)) == len(names)
    assert all(each["security"] or "security/login" in path for _verb, path, each in told)


def test_what_is_told_is_what_is_there(worn: Hostile, spec: Any) -> None:
    left_out = {"/api/v1/menu/", "/api/<version>/_openapi"}  # FAB's, for our own pages
    there = {
        (verb.lower(), re.sub(r"<(?:int:)?(\w+)>", r"{\1}", rule.rule))
        for rule in worn.crm.app.url_map.iter_rules()
        for verb in rule.methods or ()
        if rule.rule.startswith("/api/v1/")
        and rule.rule not in left_out
        and verb.lower() in VERBS
        # The predecessor's addresses of version 1, which docs/api.md describes.
        and not rule.rule.startswith(("/api/v1/method/", "/api/v1/resource/"))
    }
    assert {(verb, path) for verb, path, _told in operations(spec)} == there


def test_every_key_of_a_record_is_told(worn: Hostile, spec: Any) -> None:
    for name, key in worn.records.items():
        if name == "export":  # a run, whose answer stands in no "result"
            continue
        answer = worn.crm.client("root").rest("GET", f"{name}/{key}")
        told = spec["paths"][f"/api/v1/{name}/{{pk}}"]["get"]["responses"]["200"]
        ref = told["content"]["application/json"]["schema"]["properties"]["result"]["allOf"][0]["$ref"]
        known = spec["components"]["schemas"][ref.rpartition("/")[2]]["properties"]
        assert set(answer.json["result"]) <= set(known), name


def bodies(spec: Any) -> Iterator[tuple[str, Any, Any]]:
    """(where, shape, example) of every body and answer that has an example."""
    for verb, path, told in operations(spec):
        if "requestBody" in told:
            content = told["requestBody"]["content"].get("application/json")
            if content is None:  # a file
                continue
            shape = followed(spec, content["schema"])
            yield f"{verb} {path}", shape, content.get("example", shape.get("example"))


def followed(spec: Any, told: Any) -> Any:
    """What a reference points at."""
    if "$ref" not in told:
        return told
    found = spec
    for part in told["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def refs(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        yield from [told["$ref"]] if "$ref" in told else []
        yield from (ref for each in told.values() for ref in refs(each))
    elif isinstance(told, list):
        yield from (ref for each in told for ref in refs(each))


def is_of(spec: Any, shape: Any, value: Any) -> list[str]:
    """What is wrong with the value; [] when it has the shape."""
    whole = {**shape, "components": spec["components"]}
    checks = OAS30Validator(whole, format_checker=oas30_format_checker)
    return [f"{list(error.absolute_path)}: {error.message}" for error in checks.iter_errors(value)]


def test_every_reference_leads_somewhere(spec: Any) -> None:
    for ref in set(refs(spec)):
        assert followed(spec, {"$ref": ref}), ref


def test_every_operation_says_what_a_generator_needs(spec: Any) -> None:
    for verb, path, told in operations(spec):
        assert told["summary"] and told["tags"], path
        good = [each for status, each in told["responses"].items() if status in ("200", "201")]
        assert good and all(kind["schema"] for each in good for kind in each["content"].values()), path
        assert {"400", "401", "429", "500", "503"} <= set(told["responses"]), path
        assert ("requestBody" in told) == (verb in ("post", "put") and not path.endswith(BARE)), path


def test_every_refusal_has_one_shape_and_its_headers(spec: Any) -> None:
    for name, told in spec["components"]["responses"].items():
        assert told["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}, name
        assert "X-RateLimit-Remaining" in told["headers"], name
        assert ("Retry-After" in told["headers"]) == (name in ("E429", "E503")), name


def test_careful_clients_are_told_of(spec: Any) -> None:
    lead, one = spec["paths"]["/api/v1/lead/"], spec["paths"]["/api/v1/lead/{pk}"]
    named = {each["$ref"].rpartition("/")[2] for each in (*lead["post"]["parameters"], *one["put"]["parameters"])}
    assert {"Idempotency-Key", "If-Match", "Accept-Language", "pk"} <= named
    assert "ETag" in one["get"]["responses"]["200"]["headers"] and "304" in one["get"]["responses"]
    assert "Idempotent-Replayed" in lead["post"]["responses"]["201"]["headers"]
    assert "412" in one["put"]["responses"]


def test_a_field_tells_what_it_is(spec: Any) -> None:
    lead, new = (spec["components"]["schemas"][name]["properties"] for name in ("Lead", "LeadCreate"))
    assert lead["number"]["readOnly"] and "readOnly" not in lead["first_name"]
    assert lead["category"]["enum"] == ["Direct", "Indirect", None]
    assert new["first_name"]["maxLength"] == 80 and new["first_name"]["description"] == "First name"
    assert "number" not in new


def test_a_person_is_told_to_need_no_more_than_he_does(worn: Hostile, spec: Any) -> None:
    assert "required" not in spec["components"]["schemas"]["CustomerCreate"]
    answer = worn.crm.client("root").rest("POST", "customer/", {"last_name": "Rane"})
    assert answer.status_code == 201, answer.json


def test_every_body_has_an_example_that_it_would_take(spec: Any) -> None:
    for where, shape, example in bodies(spec):
        assert example is not None, where
        assert is_of(spec, shape, example) == [], where


def test_every_list_answers_the_question_that_is_its_example(worn: Hostile, spec: Any) -> None:
    for name in (path.split("/")[3] for verb, path, _told in operations(spec) if (verb, path[-1]) == ("get", "/")):
        base = "".join(part.title() for part in name.split("_"))
        listed = worn.crm.client("root").rest("GET", f"{name}/").get_json()["ids"]
        one = worn.records.get(name) or (listed[0] if listed else None)
        for which, key in (("List", ""), *([("Columns", one)] if one else [])):
            asked = spec["components"]["schemas"].get(base + which, {}).get("example")
            answer = worn.crm.client("root").rest("GET", f"{name}/{key}", q=asked or {})
            assert answer.status_code == 200, (name, answer.json)


def test_a_question_names_the_fields_of_its_own_record(spec: Any) -> None:
    told = spec["components"]["schemas"]["LeadList"]["properties"]
    assert {"number", "status"} <= set(told["columns"]["items"]["enum"]) and "body" not in str(told)
    assert "pan" in told["filters"]["items"]["properties"]["col"]["enum"]
    assert "pan" not in told["order_column"]["enum"]


def test_examples_of_fields_have_their_shapes(spec: Any) -> None:
    for name, shape in spec["components"]["schemas"].items():
        told = {field: each["example"] for field, each in shape.get("properties", {}).items() if "example" in each}
        assert is_of(spec, {**shape, "required": []}, told) == [], name


def test_answers_of_everybody_have_the_shape_that_is_told(worn: Hostile, spec: Any) -> None:
    """All of them those of the admin and of a seller, each of the others a third."""
    reading = [(path, told) for verb, path, told in operations(spec) if verb == "get"]
    parts = {"root": reading, "ana": reading, "mia": reading[::3], "cleo": reading[1::3], "rhea": reading[2::3]}
    for who, part in parts.items():
        client = worn.crm.client(who)
        for path, told in part:
            known = str(worn.records.get(path.split("/")[3], 1))
            for asked in {path.replace("{pk}", each).replace("{number}", "0") for each in (known, "999999")}:
                answer = client.rest("GET", asked)
                if answer.is_json:  # not a file
                    assert is_of(spec, shape_of(spec, told, answer), answer.json) == [], (who, asked)


def shape_of(spec: Any, told: Any, answer: Any) -> Any:
    """The shape that the operation tells of an answer of this status."""
    return followed(spec, told["responses"][str(answer.status_code)])["content"]["application/json"]["schema"]


def test_hundreds_of_real_records_have_the_shape_that_is_told(busy: Crm, spec: Any) -> None:
    client, looked_at = busy.client("root"), 0
    for path, told in (
        (path, told) for verb, path, told in operations(spec) if verb == "get" and path.endswith("{pk}")
    ):
        base = path.removesuffix("{pk}")
        # Lists of reports and exports are short, and have no pages.
        has_pages = "page_size" in str(spec["paths"][base]["get"]["parameters"])
        rows = client.rest("GET", base, q={"page_size": 60} if has_pages else None).json["ids"]
        for asked in (path.replace("{pk}", str(key)) for key in rows):
            answer = client.rest("GET", asked)
            assert is_of(spec, shape_of(spec, told, answer), answer.json) == [], asked
            looked_at += 1
    assert looked_at >= 200


def test_what_is_written_is_answered_in_the_shape_that_is_told(worn: Hostile, spec: Any) -> None:
    client = worn.crm.client("root")
    for name, body in VALID_BODIES.items():
        told = spec["paths"][f"/api/v1/{name}/"]["post"]["responses"]
        answer = client.rest("POST", f"{name}/", body | {"mobile": "9833000001"} if "mobile" in body else body)
        assert is_of(spec, shape_of(spec, {"responses": told}, answer), answer.json) == [], name


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer a.b.c"}, {"Authorization": "Bearer"}])
def test_no_operation_is_open_to_a_stranger(worn: Hostile, spec: Any, header: dict[str, str]) -> None:
    for verb, path, _told in operations(spec):
        if not path.endswith("/security/login"):
            asked = path.replace("{pk}", "1").replace("{user}", "1").replace("{number}", "0")
            asked = asked.replace("{evidence}", "1")
            answer = worn.crm.app.test_client().open(asked, method=verb.upper(), json={}, headers=header)
            assert (answer.status_code, is_of(spec, ERROR, answer.json)) == (401, []), (verb, path)


@pytest.mark.filterwarnings("ignore")
def test_a_fuzzer_finds_no_lie(worn: Hostile) -> None:
    """As Ana, who sells: a fuzzer with an admin's rights destroys its own premises."""
    from tests.web.api import api_fuzzer  # takes 0.5 s of CPU, which workers that run other files save

    assert api_fuzzer.fuzz(worn, "ana", api_fuzzer.TRIES, ALIKE) == []
