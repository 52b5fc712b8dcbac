"""Error messages come in the requested language, and every one is translated into each."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from babel.messages.pofile import read_po
from flask_babel import force_locale, gettext
from flask_wtf import FlaskForm
from marshmallow.validate import Length as SchemaLength
from wtforms import IntegerField, StringField
from wtforms.validators import Length, NumberRange

from app import jobs
from app.domain.base import RuleBroken, TranslatableText, join_texts, translatable
from app.web.core.fields.base import TextField, validated
from app.web.core.localization.durations import days_and_hours, milliseconds, span
from app.web.core.localization.languages import translate_text
from app.web.records.timelines.timeline_folding import _sentence
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.refusal_sentences import ROOT, sentences

PLACEHOLDER = re.compile(r"%(?:\(\w+\))?s")


LANGUAGES = ("hi", "gu", "mr")


def read(code: str, name: str = "errors.po") -> Any:
    with (ROOT / "translations" / code / "LC_MESSAGES" / name).open("rb") as file:
        return read_po(file, locale=code)


# --- the messages


def test_no_message_interpolates_its_values_before_translation() -> None:
    assert sentences().interpolated == []


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_message_is_translated(code: str) -> None:
    both = [*read(code, "messages.po"), *read(code)]
    told = {message.id for message in both if message.id and message.string and not message.fuzzy}
    assert sentences().messages - told == set()


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_translation_has_the_same_placeholders(code: str) -> None:
    for message in read(code):
        if message.id:
            assert sorted(PLACEHOLDER.findall(message.id)) == sorted(PLACEHOLDER.findall(message.string)), message.id


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_translation_is_unused(code: str) -> None:
    assert {message.id for message in read(code) if message.id} - sentences().messages == set()


@pytest.mark.parametrize("code", LANGUAGES)
def test_jobs_and_durations_are_in_the_language_of_the_page(app: Any, code: str) -> None:
    with app.test_request_context(), force_locale(code):
        assert [name for name in jobs.names() if gettext(name) == name] == []
        shown = [span(3725), days_and_hours(107), milliseconds(0.24)]
    assert not re.search("[a-z]", " ".join(shown)) and [re.findall(r"\d+", text) for text in shown] == [
        ["1", "2", "5"],
        ["4", "11"],
        ["240"],
    ]


class Sent(FlaskForm):  # type: ignore[misc]
    """What WTForms has to say something about."""

    name = StringField(validators=[Length(max=3)])
    count = IntegerField(validators=[NumberRange(1, 9)])


def test_forms_speak_the_language_of_the_page(app: Any) -> None:
    def said(code: str) -> dict[str, list[str]]:
        with app.test_request_context(method="POST", data={"name": "long", "count": "12"}), force_locale(code):
            form = Sent(meta={"csrf": False})
            form.validate()
            return form.errors

    assert said("en") == {
        "name": ["Field cannot be longer than 3 characters."],
        "count": ["Number must be between 1 and 9."],
    }
    assert said("hi") == {
        "name": ["इसमें अधिक से अधिक 3 अक्षर हो सकते हैं।"],
        "count": ["संख्या 1 से 9 के बीच होनी चाहिए।"],
    }


def test_validators_of_marshmallow_do_too(app: Any) -> None:
    field = TextField("name", "Name")
    field.validators = (SchemaLength(max=3),)
    with app.test_request_context(), force_locale("mr"), pytest.raises(RuleBroken, match="यात जास्तीत जास्त 3 अक्षरे"):
        validated(field, "long")


def test_every_text_of_the_pages_is_translated_into_each_language() -> None:
    done = subprocess.run([sys.executable, "scripts/check_translations.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


# --- the response


def refused(crm: Crm, asked: str | None, **body: Any) -> Any:
    headers = {"Accept-Language": asked} if asked is not None else {}
    answer = crm.client("ana").rest("POST", "lead/", body or {"category": "Direct"}, headers=headers)
    assert answer.status_code == 422
    return answer


ENGLISH = "Please enter a name, a mobile number or an email address for the lead."
HINDI = "कृपया लीड का नाम, मोबाइल नंबर या ई-मेल पता दें।"


@each_case(
    "asked, told",
    [
        ("hi", HINDI),
        ("en", ENGLISH),
        (None, ENGLISH),
        ("hi-IN,hi;q=0.9,en;q=0.8", HINDI),
        ("en-GB,hi;q=0.5", ENGLISH),
        ("hi;q=0.2,en;q=0.7", ENGLISH),
        ("en;q=0.2,hi;q=0.7", HINDI),
        ("fr", ENGLISH),
        ("fr,hi;q=0.1", HINDI),
        ("", ENGLISH),
        ("*", ENGLISH),
        ("hi;q=0", ENGLISH),
        (";;;=,,", ENGLISH),
        ("hi" * 4000, ENGLISH),
    ],
)
def test_a_message_is_in_the_requested_language(crm: Crm, asked: str | None, told: str) -> None:
    answer = refused(crm, asked)
    assert (answer.json["message"], answer.json["errors"]) == (told, {"first_name": [told]})
    assert answer.headers["Content-Language"] == ("hi" if told == HINDI else "en")


def test_without_a_requested_language_the_users_own_is_used(crm: Crm) -> None:
    crm.make.user("hari", "Sales User", locale="hi")
    client = crm.client("hari")
    assert client.rest("POST", "lead/", {"category": "Direct"}).json["message"] == HINDI
    asked = client.rest("POST", "lead/", {"category": "Direct"}, headers={"Accept-Language": "en"})
    assert asked.json["message"] == ENGLISH


def test_states_of_calls_are_named_in_the_language_of_the_page(crm: Crm) -> None:
    crm.make.user("hari", "Sales User", locale="hi")
    client = crm.client("hari")
    client.screen("/lang/hi")
    page = client.screen("/calls/").text
    assert "जवाब नहीं" in page
    assert ">No Answer<" not in page


def test_values_are_interpolated_into_the_translation(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    body, hindi_please = {"status": "Sent to HO"}, {"Accept-Language": "hi"}
    answer = crm.client("ana").rest("PUT", f"lead/{lead.id}", body, headers=hindi_please)
    assert answer.json["errors"]["pod_id"] == ["“Sent to HO” के लिए दस्तावेज़ों की POD आईडी ज़रूरी है।"]


def test_several_errors_are_in_one_language(crm: Crm) -> None:
    answer = refused(crm, "hi", nickname="Kavi", mobile="12", email="x")
    assert answer.json["errors"]["nickname"] == ["ऐसा कोई फ़ील्ड नहीं है।"]
    assert all(re.search("[ऀ-ॿ]", each[0]) for each in answer.json["errors"].values())
    assert not re.search("[a-z] [a-z]", answer.json["message"])


@each_case("path", ["/api/v1/lead/999999", "/api/v1/no_such/", "/api/v1/lead/?q=!", "/api/method/none"])
def test_every_api_answers_in_hindi(crm: Crm, path: str) -> None:
    answer = crm.client("ana").rest("GET", path, headers={"Accept-Language": "hi"})
    told = answer.json.get("message") or answer.json["exception"]
    assert answer.status_code >= 400 and re.search("[ऀ-ॿ]", told)


def test_an_anonymous_request_is_refused_in_hindi(crm: Crm) -> None:
    answer = crm.client(None).rest("GET", "lead/", headers={"Accept-Language": "hi"})
    assert answer.status_code == 401 and re.search("[ऀ-ॿ]", answer.json["message"])


def test_pages_do_not_change_their_language_with_the_header(crm: Crm) -> None:
    page = crm.client("ana").screen("/leads/show/999999", headers={"Accept-Language": "hi"})
    assert page.status_code == 404 and "This record doesn&#39;t exist" in page.text


# --- the value


def test_a_sentence_is_its_english_text() -> None:
    told = translatable("There is no role named “%(name)s”.", name="Boss")
    assert told == "There is no role named “Boss”." and isinstance(told, TranslatableText)
    assert (
        str(RuleBroken(told)) == told and str(join_texts([told, "Please choose one."])) == f"{told} Please choose one."
    )
    assert translatable("100 % of them.") == "100 % of them."


def test_a_sentence_inside_a_sentence_is_translated_too(crm: Crm) -> None:
    with crm.app.test_request_context("/api/v1/lead/", headers={"Accept-Language": "hi"}):
        assert translate_text(
            translatable(
                "%(name)s is %(why)s and can't take new work now. %(advice)s",
                name="Ana",
                why=translatable("away"),
                advice=translatable("%(name)s is covering.", name="Ben"),
            )
        ) == ("Ana बाहर हैं और अभी काम नहीं ले रहे। उनकी जगह Ben काम देख रहे हैं।")
        assert translate_text("") == "" and translate_text("Nobody translated this.") == "Nobody translated this."


def test_a_joined_headline_has_its_particle_once(app: Any) -> None:
    with app.test_request_context(), force_locale("hi"):
        assert _sentence(["ने यह लीड बनाई", "ने टास्क जोड़ा"]) == "ने यह लीड बनाई और टास्क जोड़ा"


def test_what_is_wrong_with_the_address_of_a_webhook_is_in_the_language_of_the_page(crm: Crm) -> None:
    root = crm.client("root")
    root.screen("/lang/hi")
    typed = {"name": "Ledger", "url": "http://example.com/", "events": "lead.created", "user": crm.user_id("root")}
    page = root.form("/webhooks/add", typed)
    assert page.status_code == 422 and "पता https:// से शुरू होना चाहिए।" in page.text
