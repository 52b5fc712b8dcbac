"""Field masks: a masked value never leaves the server in any form, and can't be found by guessing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text

from app.models import CallLog, Message
from tests.app_fixtures import Crm
from tests.cases import each_case

DOTS = "••••••"
MOBILE, E164, PAN, EMAIL, OTHER = "98200 54321", "+919820054321", "ABCDE1234F", "ravi.kumar@example.in", "98200 77777"
AADHAAR = "234123412346"
#: Texts that must not appear when everything is masked, in every format that pages use.
SECRETS = ("9820054321", "98200 54321", "200 54321", "ravi.kumar", PAN, "77777", AADHAAR, "Dalal Street")
EVERYTHING = ("mobile", "alternative_mobile", "email", "pan", "aadhaar", "address")


@pytest.fixture
def lead(crm: Crm) -> Any:
    """A lead of Ana with every contact field, changed once, with a call and a message."""
    made = crm.make.lead(
        "ana", mobile=MOBILE, pan=PAN, email=EMAIL, alternative_mobile=OTHER, aadhaar=AADHAAR, address="1 Dalal Street"
    )
    change = {"mobile": "98200 54321", "email": "ravi.kumar@example.in", "address": "2 Dalal Street", "pan": PAN}
    assert crm.client("root").rest("PUT", f"lead/{made.id}", change | {"email": "ravi.kumar@x.in"}).status_code == 200
    crm.make.call("ana", to_number=MOBILE, lead_id=made.id)
    crm.make.message("ana", peer=MOBILE, lead_id=made.id)
    crm.make.message("ana", channel="email", peer=EMAIL, lead_id=made.id)
    return made


def mask_all(crm: Crm, level: str) -> None:
    crm.make.mask("Sales User", **dict.fromkeys(EVERYTHING, level))


@pytest.mark.parametrize("level", ["last4", "hidden"])
def test_nothing_masked_leaves_the_server(crm: Crm, lead: Any, level: str) -> None:
    mask_all(crm, level)
    ana = crm.client("ana")
    pages = [
        "/",
        "/leads/",
        f"/leads/show/{lead.id}",
        f"/leads/edit/{lead.id}",
        f"/leads/timeline/{lead.id}",
        "/calls/",
        "/leads/lookup",
        "/calls/lookup",
        "/messages/",
        "/messages/lookup",
        "/tasks/",
        "/tasks/lookup",
        f"/leads/assign/{lead.id}",
        "/bell/panel",
    ]
    answers = {path: ana.screen(path) for path in pages}
    kinds = ("lead", "call_log", "message", "task", "activity", "notification", "customer")
    answers |= {kind: ana.rest("GET", f"{kind}/") for kind in kinds}
    answers["one"] = ana.rest("GET", f"lead/{lead.id}")
    answers["put"] = ana.rest("PUT", f"lead/{lead.id}", {"description": "x"})
    answers["conflict"] = ana.form(f"/leads/edit/{lead.id}", {"first_name": "Rita", "version": "1"})
    for name, answer in answers.items():
        assert answer.status_code in (200, 409), name
        body = (
            answer.text
            if name.startswith("/") or name == "conflict"
            else json.dumps(answer.get_json(), ensure_ascii=False)
        )
        assert not [secret for secret in SECRETS if secret in body], name


def test_the_answer_to_a_new_lead_is_masked(crm: Crm) -> None:
    mask_all(crm, "last4")
    values = {"first_name": "Asha", "mobile": "9820011111", "email": "asha@example.in", "pan": "ABCDE9999K"}
    shown = crm.client("ana").rest("POST", "lead/", values).get_json()["result"]
    assert (shown["mobile"], shown["email"], shown["pan"]) == (DOTS + "1111", f"a{DOTS}@example.in", DOTS + "999K")


@pytest.mark.parametrize(
    "field, level, shown",
    [
        ("mobile", "full", E164),
        ("mobile", "last4", DOTS + "4321"),
        ("mobile", "hidden", DOTS),
        ("pan", "full", PAN),
        ("pan", "last4", DOTS + "234F"),
        ("pan", "hidden", DOTS),
        ("email", "last4", f"r{DOTS}@x.in"),
        ("email", "hidden", DOTS),
        ("address", "hidden", DOTS),
    ],
)
def test_how_much_of_a_field_a_role_sees(crm: Crm, lead: Any, field: str, level: str, shown: str) -> None:
    crm.make.mask("Sales User", **{field: level})
    ana = crm.client("ana")
    assert ana.rest("GET", f"lead/{lead.id}").get_json()["result"][field] == shown
    assert ana.rest("GET", "lead/", q={"columns": [field]}).get_json()["result"][0][field] == shown


@each_case(
    "col, value",
    [
        ("mobile", MOBILE),
        ("alternative_mobile", OTHER),
        ("email", "ravi.kumar@x.in"),
        ("pan", PAN),
        ("aadhaar", AADHAAR),
    ],
)
def test_a_masked_field_is_no_oracle(crm: Crm, lead: Any, col: str, value: str) -> None:
    mask_all(crm, "last4")
    ana = crm.client("ana")
    for op in ("eq", "sw", "null"):
        asked = {"filters": [{"col": col, "opr": op, "value": value}]}
        assert ana.rest("GET", "lead/", q=asked).status_code == 400, op
        assert ana.screen("/leads/", query_string={f"_flt_{op}_{col}": value}).status_code == 400, op
    assert ana.rest("GET", "lead/", q={"order_column": col}).status_code == 400
    assert ana.screen(f"/leads/?_oc={col}").status_code == 400
    assert col not in ana.rest("GET", "lead/_info").get_json()["filters"]


@each_case("path", ["/leads/", "/leads/lookup", "/calls/", "/calls/lookup", "/messages/", "/messages/lookup"])
def test_a_search_for_a_masked_value_finds_nothing(crm: Crm, lead: Any, path: str) -> None:
    mask_all(crm, "last4")
    for typed in (MOBILE, E164, "ravi.kumar@x.in", EMAIL, PAN):
        answer = crm.client("ana").screen(path, query_string={"q": typed})
        links = (f"/leads/{lead.number}", "/calls/show/", "/messages/show/", '"value"')
        assert answer.status_code == 200 and not [link for link in links if link in answer.text], typed


@pytest.mark.parametrize("kind, col", [("call_log", "other_number"), ("message", "peer")])
def test_the_number_of_a_call_or_message_is_no_oracle(crm: Crm, lead: Any, kind: str, col: str) -> None:
    asked = {"filters": [{"col": col, "opr": "eq", "value": MOBILE}]}
    assert crm.client("ana").rest("GET", f"{kind}/", q=asked).get_json()["count"] == 1
    crm.make.mask("Sales User", mobile="last4")
    assert crm.client("ana").rest("GET", f"{kind}/", q=asked).status_code == 400


def test_an_open_value_is_found_in_any_spelling(crm: Crm, lead: Any) -> None:
    for typed in ("9820054321", "+91 98200-54321", "09820054321", "ravi.kumar@x.in", "Ravi", "1"):
        found = crm.client("ana").screen("/leads/lookup", query_string={"q": typed}).get_json()["results"]
        assert [hit["value"] for hit in found] == [lead.id], typed


# --- what comes back from a form


@pytest.mark.parametrize("level", ["last4", "hidden"])
def test_a_mask_sent_back_leaves_the_value_as_it_is(crm: Crm, lead: Any, level: str) -> None:
    mask_all(crm, level)
    ana, before = crm.client("ana"), crm.stored(lead)
    shown = ana.rest("GET", f"lead/{lead.id}").get_json()["result"]
    sent = {name: shown[name] for name in EVERYTHING} | {"first_name": "Rita"}
    assert ana.rest("PUT", f"lead/{lead.id}", sent).status_code == 200
    version = crm.stored(lead)["version"]
    assert ana.form(f"/leads/edit/{lead.id}", sent | {"last_name": "Rao", "version": version}).status_code == 302
    after = crm.stored(lead)
    assert (after["first_name"], after["last_name"]) == ("Rita", "Rao")
    same = (
        "mobile",
        "mobile_e164",
        "alternative_e164",
        "email",
        "pan_sealed",
        "pan_blind",
        "aadhaar_sealed",
        "address",
    )
    assert [after[name] for name in same] == [before[name] for name in same]


def test_a_masked_number_sent_back_leaves_the_call_as_it_is(crm: Crm, lead: Any) -> None:
    (call,) = crm.rows(CallLog.__table__.select().with_only_columns(CallLog.id))
    crm.make.mask("Sales User", mobile="last4")
    ana = crm.client("ana")
    shown = ana.rest("GET", f"call_log/{call}").get_json()["result"]["to_number"]
    assert shown == DOTS + "4321"
    assert ana.rest("PUT", f"call_log/{call}", {"to_number": shown, "outcome": "Will pay"}).status_code == 200
    (row,) = crm.rows(CallLog.__table__.select().with_only_columns(CallLog.to_number, CallLog.outcome))
    assert row == (MOBILE, "Will pay")


def test_who_sees_only_a_mask_may_still_write_a_new_value(crm: Crm, lead: Any) -> None:
    mask_all(crm, "hidden")
    assert crm.client("ana").rest("PUT", f"lead/{lead.id}", {"mobile": "98111 22222"}).status_code == 200
    assert crm.stored(lead)["mobile_e164"] == "+919811122222"


def test_a_message_to_an_address_is_masked_like_an_address(crm: Crm, lead: Any) -> None:
    crm.make.mask("Sales User", email="hidden", mobile="full")
    peers = [row["peer"] for row in crm.client("ana").rest("GET", "message/").get_json()["result"]]
    assert sorted(peers) == [E164, DOTS]
    assert crm.count(Message) == 2


def test_a_lead_known_by_its_number_alone_names_no_task_after_it(crm: Crm) -> None:
    crm.make.lead("ana", first_name=None, last_name=None, mobile="9820088888")
    crm.make.mask("Sales User", mobile="hidden")
    for path in ("/", "/leads/", "/tasks/", "/bell/panel"):
        assert "88888" not in crm.client("ana").screen(path).text, path
    assert "88888" not in crm.client("ana").rest("GET", "task/").text


# --- PAN


@pytest.mark.parametrize("typed", ["ABCDE1234F", "abcde1234f", "abcde 1234-f"])
def test_a_pan_is_found_whole_by_those_who_see_it(crm: Crm, lead: Any, typed: str) -> None:
    crm.make.lead("ana", pan="ABCDE1234G")
    crm.make.mask("Sales User", pan="full")
    asked = {"filters": [{"col": "pan", "opr": "eq", "value": typed}]}
    assert crm.client("ana").rest("GET", "lead/", q=asked).get_json()["ids"] == [lead.id]
    asked["filters"][0]["opr"] = "sw"
    assert crm.client("ana").rest("GET", "lead/", q=asked).status_code == 400


def test_no_pan_or_aadhaar_lies_readable_in_the_database(crm: Crm, lead: Any) -> None:
    crm.make.customer("ana", pan="ZZZZZ9876Q", aadhaar=AADHAAR)
    with crm.engine.connect() as raw:
        tables = raw.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        whole = repr([raw.execute(text(f"SELECT * FROM {name}")).all() for name in tables])  # noqa: S608
    assert not [secret for secret in (PAN, "ZZZZZ9876Q", AADHAAR) if secret in whole]
