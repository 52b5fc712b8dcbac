"""Every text field of every record: control characters refused, length refused first, one Unicode form (NFC).

The tests walk what is registered, so a new record is covered by declaring it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import String, Text, inspect, select

from app import models, views
from app.domain.base import RuleBroken
from app.lib import text_normalization
from app.web.core.fields.base import ChoiceField, Field, LongTextField, TextField, clean_text
from app.web.core.fields.contact_field_types import EmailField, PhoneField, SecretField
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.web.invalid_input import Hostile, spare_world

RESOURCES = {each.resource_name: each for each in views.RESOURCES if hasattr(each, "service")}
VIEWS = [*RESOURCES.values(), *views.SCREENS]
#: Never in one line, never in several.
CONTROLS = ("\x00", "\x07", "\x0b", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800")
BREAKS = ("\r", "\n", "\r\n", "\t")
TYPED = (TextField, EmailField, PhoneField, SecretField)


def text_fields(view: Any) -> list[Field]:
    fields = view.record_table.input_fields
    return [each for each in fields if (each.add or each.edit) and (isinstance(each, TYPED) or type(each) is Field)]


def typed_fields(view: Any) -> list[Field]:
    return [each for each in text_fields(view) if not isinstance(each, ChoiceField)]


@each_case("view", VIEWS)
def test_a_field_refuses_characters_that_are_never_stored(view: Any) -> None:
    for each in typed_fields(view):
        for char in (*CONTROLS, *(() if each.has_lines else BREAKS)):
            with pytest.raises(RuleBroken) as refused:
                each.parse(f"98200{char}12345", None)  # type: ignore[arg-type]
            assert each.name in refused.value.errors, (each.name, repr(char))


@each_case("view", VIEWS)
def test_a_field_refuses_its_length_first_and_fits_its_column(view: Any) -> None:
    for each in typed_fields(view):
        with pytest.raises(RuleBroken, match="too long"):
            each.parse("\x00" * (2 * each.max_length + 1), None)  # type: ignore[arg-type]
        length = getattr(each.columns[0].type, "length", None) if each.columns else None
        if length and not isinstance(each, SecretField) and not isinstance(each.columns[0].type, Text):
            assert each.max_length <= length, f"{each.name} takes {each.max_length}, its column {length}"


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        (" Ravi\t", "Ravi"),
        ("Jose\u0301", "Jos\u00e9"),
        ("\u0928\u093c", "\u0929"),
        ("\u0958", "\u0915\u093c"),  # Unicode never composes the nukta of ka
        ("न‍ी", "न‍ी"),  # a joiner belongs to the spelling
        ("\u202a+91 98200 12345\u202c", "+91 98200 12345"),  # as phones copy numbers
        ("fdp.\u202eexe.pdf", "fdp.exe.pdf"),
        ("\u200bRavi\u2066 \u200fK\ufeff", "Ravi K"),
        ("क्\u200dष \U0001f468\u200d\U0001f469", "क्\u200dष \U0001f468\u200d\U0001f469"),
        ("", None),
        (" \t ", None),
        (5, "5"),
    ],
)
def test_one_line(typed: Any, stored: str | None) -> None:
    assert clean_text(typed, "name", 80) == stored


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        *[("a\r\nb", "a\nb"), ("a\rb", "a\nb"), ("a\n\nb\n", "a\n\nb"), ("a\tb", "a    b"), ("e\u0301\r\n", "\u00e9")],
        *[("\u202e\u200b \r\n\ufeff", None), ("a\u202e\nb", "a\u202e\nb")],
    ],
)
def test_lines(typed: str, stored: str | None) -> None:
    assert clean_text(typed, "note", 80, has_lines=True) == stored


def test_a_letter_under_a_thousand_marks_is_refused() -> None:
    with pytest.raises(text_normalization.UnstorableText):
        text_normalization.one_line("a" + "\u0301\u0323" * 1000)


@pytest.fixture(scope="module")
def hostile(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    with spare_world(settled, tmp_path_factory.mktemp("text")) as crm:
        yield Hostile(crm)


@pytest.mark.parametrize("resource", sorted(RESOURCES))
def test_rest_names_the_field(hostile: Hostile, resource: str) -> None:
    view = RESOURCES[resource]
    for verb, which in (("POST", "add"), ("PUT", "edit")):
        if verb.lower() in view.exclude_route_methods:
            continue
        for each in text_fields(view):
            if getattr(each, which):
                path = f"{resource}/" if verb == "POST" else f"{resource}/{hostile.records[resource]}"
                answer = hostile.client.rest(verb, path, json={each.name: "a\x01b"})
                assert (answer.status_code, each.name in answer.json["errors"]) == (422, True), (each.name, answer.text)


def test_a_header_cannot_be_smuggled_into_a_message(hostile: Hostile) -> None:
    for name in ("peer", "subject"):
        body = {"channel": "email", "peer": "a@x.in", "subject": "Hi", "body": "Text"}
        answer = hostile.client.rest("POST", "message/", json=body | {name: "a@x.in\r\nBcc: b@x.in"})
        assert answer.status_code == 422 and name in answer.json["errors"], answer.text


# --- the wall behind the endpoints


@pytest.mark.parametrize("model", [models.Task, models.Lead, models.LeadSource, models.ApiKey, models.User])
def test_the_session_refuses_what_a_endpoint_let_through(crm: Crm, model: Any) -> None:
    row = crm.rows(select(model).limit(1))
    name = next(key for key, column in inspect(model).columns.items() if type(column.type) is String and key != "key")
    if not row:
        crm.make.lead()
        row = crm.rows(select(model).limit(1))
    found = crm.session.merge(row[0])
    setattr(found, name, "a\r\nb")
    with pytest.raises(RuleBroken) as refused:
        crm.session.flush()
    assert name in refused.value.errors
    crm.session.rollback()


def test_the_session_composes_what_a_job_wrote(crm: Crm) -> None:
    lead = crm.session.merge(crm.make.lead())
    lead.last_name = unicodedata.normalize("NFD", "Josée")
    crm.session.commit()
    assert crm.fresh(lead).last_name == "Josée"


def test_long_text_fields_are_the_ones_with_lines() -> None:
    assert {each.has_lines for view in VIEWS for each in text_fields(view) if isinstance(each, LongTextField)} == {True}
