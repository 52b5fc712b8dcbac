"""Bodies are parsed by content, whatever the Content-Type; an unreadable one gets 417, never success."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from app.models import Lead
from tests.app_fixtures import Crm
from tests.cases import each_case

FORM = "application/x-www-form-urlencoded"
#: What clients call JSON.
TYPES = (
    "application/json",
    "application/json; charset=utf-8",
    "text/plain",
    "text/plain;charset=UTF-8",
    None,
    "",
    FORM,
)
TYPES += (
    "text/json",
    "application/octet-stream",
    "application/vnd.api+json",
    "application/x-www-form-urlencoded; charset=UTF-8",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
)


@pytest.fixture
def lead(crm: Crm) -> Any:
    return crm.make.lead("ana", first_name="Asha", task={})


def send(crm: Crm, verb: str, path: str, body: bytes, kind: str | None) -> Any:
    headers = crm.client("ana").headers | ({"Content-Type": kind} if kind is not None else {})
    return crm.app.test_client().open(path, method=verb, data=body, headers=headers)


@pytest.mark.parametrize("kind", TYPES)
def test_json_is_read_whatever_it_is_called(crm: Crm, lead: Any, kind: str | None) -> None:
    change = {"doctype": "CRM Lead", "name": lead.number, "fieldname": "description", "value": "By method"}
    for verb, path, body in (
        ("POST", "/api/method/frappe.client.set_value", change),
        ("PUT", f"/api/resource/CRM Lead/{lead.number}", {"description": "By document"}),
        ("PUT", f"/api/v1/resource/CRM Lead/{lead.number}", {"data": {"description": "In data"}}),
        ("PATCH", f"/api/v2/document/CRM Lead/{lead.number}", {"description": "By version 2"}),
        ("POST", "/", change | {"cmd": "frappe.client.set_value", "value": "By cmd"}),
    ):
        response = send(crm, verb, path, b"\n " + json.dumps(body).encode(), kind)
        assert response.status_code == 200, (path, response.text)
        expected = body.get("value") or body.get("description") or body["data"]["description"]
        assert crm.fresh(lead).description == expected, path


@each_case("body", [b"hello", b"{", b'{"a": ', b"[1]", b'"text"', b"7", b"\xff\xfe\x00", b"\x1f\x8b\x08\x00"])
def test_what_cannot_be_read_is_417(crm: Crm, lead: Any, body: bytes) -> None:
    before = crm.stored(lead)
    for kind, (verb, path) in itertools.product(
        TYPES,
        (
            ("PUT", f"/api/resource/CRM Lead/{lead.number}"),
            ("POST", "/api/resource/CRM Lead"),
            ("POST", "/api/method/frappe.client.set_value"),
            ("POST", "/?cmd=frappe.client.set_value"),
        ),
    ):
        response = send(crm, verb, path, body, kind)
        assert response.status_code == 417 and "message" not in response.get_json(), (kind, path, response.text)
    assert crm.stored(lead) == before and crm.count(Lead) == 1


def test_forms_are_still_forms(crm: Crm, lead: Any) -> None:
    path = f"/api/resource/CRM Lead/{lead.number}"
    assert send(crm, "PUT", path, b"description=A+form", FORM).status_code == 200
    assert crm.fresh(lead).description == "A form"
    assert send(crm, "PUT", path, b"data=%7B%22description%22%3A%22In+data%22%7D", FORM).status_code == 200
    assert crm.fresh(lead).description == "In data"
    assert send(crm, "PUT", path, b"data=%5B1%5D", FORM).status_code == 417
    assert send(crm, "PUT", path, b"description=%FF%FE", FORM).status_code == 417
    headers = crm.client("ana").headers
    parts = crm.app.test_client().put(
        path, data={"description": "In parts"}, headers=headers, content_type="multipart/form-data"
    )
    assert parts.status_code == 200 and crm.fresh(lead).description == "In parts"


# --- stale documents


def test_a_stale_document_overwrites_nothing(crm: Crm, lead: Any) -> None:
    client, headers = crm.app.test_client(), crm.client("ana").headers
    path = f"/api/resource/CRM Lead/{lead.number}"
    stale = client.get(path, headers=headers).get_json()["data"]
    client.put(path, json={"description": "A colleague's"}, headers=headers)
    mine = json.dumps(stale | {"description": "Mine"})
    for sent in (
        {"data": {"data": mine}},
        {"data": mine},
        {"json": {"data": json.loads(mine)}},
        {"json": json.loads(mine)},
    ):
        response = client.put(path, headers=headers, **sent)
        assert (response.status_code, response.get_json()["exc_type"]) == (409, "TimestampMismatchError"), sent
    for method, body in (
        ("save", {"doc": mine}),
        ("set_value", {"doctype": "CRM Lead", "name": lead.number, "fieldname": json.loads(mine)}),
    ):
        assert client.post(f"/api/method/frappe.client.{method}", json=body, headers=headers).status_code == 409
    boss = crm.client("mia").headers
    docs = [json.loads(mine) | {"docname": lead.number}]
    bulk = client.post("/api/method/frappe.client.bulk_update", json={"docs": docs}, headers=boss).get_json()["message"]
    assert len(bulk["failed_docs"]) == 1
    assert crm.fresh(lead).description == "A colleague's"


def test_a_document_that_is_not_stale_is_saved_however_its_time_is_written(crm: Crm, lead: Any) -> None:
    client, headers, path = crm.app.test_client(), crm.client("ana").headers, f"/api/resource/CRM Lead/{lead.number}"
    for place, rewrite in enumerate((str, lambda text: text.replace(" ", "T"), lambda text: f"{text}+05:30")):
        doc = client.get(path, headers=headers).get_json()["data"]
        sent = {"description": f"No. {place}", "modified": rewrite(doc["modified"])}
        assert client.put(path, json=sent, headers=headers).status_code == 200
    assert client.put(path, json={"description": "x", "modified": "never"}, headers=headers).status_code == 417


def test_a_stale_note_overwrites_nothing(crm: Crm, lead: Any) -> None:
    client, headers = crm.app.test_client(), crm.client("ana").headers
    note = {"content": "One", "reference_doctype": "CRM Lead", "reference_docname": lead.number}
    stale = client.post("/api/resource/FCRM Note", json=note, headers=headers).get_json()["data"]
    assert stale["modified"]
    path = f"/api/resource/FCRM Note/{stale['name']}"
    assert client.put(path, json=stale | {"content": "Two"}, headers=headers).status_code == 200
    assert client.put(path, json=stale | {"content": "Three"}, headers=headers).status_code == 409
    assert client.get(path, headers=headers).get_json()["data"]["content"] == "Two"
