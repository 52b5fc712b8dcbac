"""A search that is taken apart once for all texts of a kind finds what a search of each text alone finds."""

from __future__ import annotations

import pytest
from sqlalchemy import String

from app.ops.statements.sqlalchemy_internals import is_same_type
from app.web.core.queries import text_search
from app.web.core.queries.first_rows import _ABOUT, _layout
from app.web.workday.search import searched_screens
from tests.app_fixtures import Crm

#: Kinds of texts, with what finds something and what doesn't, in turn.
TEXTS = {
    "names": ("Menon", "zz", "MENON", "meno", "Vora", "n", "અમિત", "o_e", "re%"),
    "numbers": ("98200 54321", "9820054321", "9820054322", "+919820054321", "54321", "054321", "99999999", "9" * 200),
    "codes": ("dx77", "DX77-9", "77-9", "xd", "DX78", "dx7", "pod-5q", "q5-dop"),
    "addresses": ("ravi.m", "RAVI.M@x", "ravi.menon@example.com", "ravi-m", "anna7"),
    "titles": ("folder", "Folders", "9820054321", "5432154321", "4321543", "the folder"),
}


def made(crm: Crm) -> None:
    make = crm.make
    about = {"first_name": "Ravi", "last_name": "Menon", "email": "ravi.menon@example.com"}
    make.lead("ana", mobile="98200 54321", client_id="DX77-9", pod_id="POD-5Q", **about)
    make.customer("ana", mobile="98200 54321", first_name="Menon", last_name="Vora")
    lead = make.lead("ana", first_name="અમિત", last_name="Renu")
    make.task(lead, title="Send the folder")
    make.task(lead, title="Call 5432154321")
    make.ticket("cleo", first_name="Menon", title="No folder")


def hits(crm: Crm, who: str, typed: str) -> dict[str, list[str]]:
    answer = crm.client(who).screen("/search/hits", query_string={"q": typed})
    assert answer.status_code == 200, answer.text[:300]
    return {group["title"]: [row["url"] for row in group["rows"]] for group in answer.json["groups"]}


def test_every_text_of_a_kind_is_found_as_by_itself(crm_on_both: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    made(crm_on_both)
    asked = [(who, text) for who in ("ana", "cleo", "root") for texts in TEXTS.values() for text in texts]
    planned = {each: hits(crm_on_both, *each) for each in asked}
    monkeypatch.setattr(text_search, "_plan", lambda *_: None)
    assert {each: hits(crm_on_both, *each) for each in asked} == planned
    for kind, texts in TEXTS.items():
        assert {bool(planned["root", text]) for text in texts} == {True, False}, kind


def test_a_mask_that_is_set_meanwhile_counts_for_the_next_search(crm: Crm) -> None:
    made(crm)
    assert hits(crm, "ana", "9820054321") and hits(crm, "ana", "ravi.m")
    crm.make.mask("Sales User", mobile="last4", alternative_mobile="last4", email="hidden")
    assert not hits(crm, "ana", "9820054321") and not hits(crm, "ana", "ravi.m")
    assert hits(crm, "ana", "menon")


def test_kinds_share_columns_of_equal_types_only(crm: Crm) -> None:
    with crm.app.app_context():
        tables = [screen.record_table for screen in searched_screens()]
        wanted = tuple((each, tuple(name for name in ("number", "mobile") if name in each.by_name)) for each in tables)
        layout = _layout(wanted)
        for (table, names), places in zip(wanted, layout.places, strict=True):
            own = [column.type for column in table.selection(names)[0].selected_columns]
            assert len({*places}) == len(own)
            assert all(
                layout.types[at - _ABOUT] is kind or is_same_type(layout.types[at - _ABOUT], kind)
                for at, kind in zip(places, own, strict=True)
            )
    assert len(layout.types) < sum(map(len, layout.places))
    assert not is_same_type(String(80), String(40)) and not is_same_type(String(80, "ascii_bin"), String(80))
