"""Inline edits on a record's page: editable fields, merges, conflicts, and the updates of an open page."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from tests.app_fixtures import Crm

HX = {"HX-Request": "true"}


def save(crm: Crm, who: str, lead: Any, name: str, **form: Any) -> Any:
    return crm.client(who).form(f"/leads/cell/{lead.id}/{name}", form, headers=HX)


def offered(crm: Crm, who: str, path: str) -> set[str]:
    return set(re.findall(r'data-pair="(\w+)" data-inline', crm.client(who).screen(path).text))


def test_a_page_offers_what_the_form_offers_and_the_person_may_change(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    path = f"/leads/show/{lead.id}"
    ana, root = offered(crm, "ana", path), offered(crm, "root", path)
    assert {"first_name", "mobile", "status", "source", "next_follow_up_on", "address", "description"} <= ana
    assert not ana & {"number", "created_on", "assignee", "pan", "aadhaar"}  # the PAN is masked for her role
    assert root - ana == {"pan", "aadhaar", "owner"}  # only who assigns changes the owner


def test_who_sees_a_record_out_of_their_reach_is_offered_nothing(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    crm.make.cell("Sales User", "Leads", "read", "all")
    assert offered(crm, "ben", f"/leads/show/{lead.id}") == set()
    refused = save(crm, "ben", lead, "description", before="", description="x")
    assert refused.status_code == 403 and "X-Sentence" in refused.headers


@pytest.mark.parametrize("kind", ["tickets", "customers", "tasks"])
def test_other_records_are_edited_in_place_too(crm: Crm, kind: str) -> None:
    make = crm.make
    row = {"tickets": make.ticket, "customers": make.customer, "tasks": lambda who: make.task(make.lead(who), who)}
    record = row[kind]("root")
    name = "address" if kind == "customers" else "description"
    assert name in offered(crm, "root", f"/{kind}/show/{record.id}")
    saved = crm.client("root").form(f"/{kind}/cell/{record.id}/{name}", {"before": "", name: "One\r\ntwo"}, headers=HX)
    assert saved.status_code == 200 and "One" in saved.text
    assert getattr(crm.fresh(record), name).split() == ["One", "two"]


def test_what_others_change_elsewhere_merges_and_lines_are_compared_as_lines(crm: Crm) -> None:
    lead = crm.make.lead("ana", description="One\ntwo", email="old@a.example")
    assert save(crm, "root", lead, "email", before="old@a.example", email="new@a.example").status_code == 200
    saved = save(crm, "ana", lead, "description", before="One\r\ntwo", description="Three")
    stored = crm.fresh(lead)
    # The page's own forms go on from this version; those that were drawn before root's edit don't, and are refused.
    assert (saved.status_code, saved.headers["X-Version-Before"], saved.headers["X-Version"]) == (200, "2", "3")
    assert stored.version == 3
    assert (stored.email, stored.description) == ("new@a.example", "Three")


def test_a_conflict_shows_both_until_somebody_decides(crm: Crm) -> None:
    lead = crm.make.lead("ana", email="old@a.example")
    save(crm, "root", lead, "email", before="old@a.example", email="theirs@a.example")
    stale = save(crm, "ana", lead, "email", before="old@a.example", email="mine@a.example")
    assert stale.status_code == 409 and "Root Shah changed this meanwhile" in stale.text
    assert 'value="mine@a.example"' in stale.text and 'name="before" value="theirs@a.example"' in stale.text
    save(crm, "root", lead, "email", before="theirs@a.example", email="third@a.example")
    again = save(crm, "ana", lead, "email", before="theirs@a.example", email="mine@a.example")
    assert again.status_code == 409 and 'name="before" value="third@a.example"' in again.text
    assert save(crm, "ana", lead, "email", before="third@a.example", email="mine@a.example").status_code == 200
    same = save(crm, "ana", lead, "email", before="other@a.example", email="mine@a.example")
    assert same.status_code == 200  # both meant the same
    assert "X-Version" not in same.headers, "a version that follows itself would be followed without end"


def test_a_gate_refuses_beside_what_was_chosen(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    sent = crm.lead_status["Sent to HO"]
    refused = save(crm, "ana", lead, "status", before=str(lead.status_id), status=str(sent))
    assert refused.status_code == 422 and 'role="alert"' in refused.text
    assert re.search(rf'value="{sent}" selected', refused.text) and crm.fresh(lead).status_id == lead.status_id


def test_an_open_page_asks_for_its_head_and_its_side_under_the_rules(crm: Crm) -> None:
    lead = crm.make.lead("ana", email="old@a.example")
    panel = crm.client("ana").screen(f"/leads/panel/{lead.id}", headers=HX)
    assert panel.status_code == 200 and "old@a.example" in panel.text and "data-timeline" not in panel.text
    assert f'name="version" value="{lead.version}"' in panel.text
    assert crm.client("ben").screen(f"/leads/panel/{lead.id}", headers=HX).status_code == 404


def test_two_who_save_other_values_at_the_same_moment_both_succeed(maria: Crm) -> None:
    lead = maria.make.lead("ana", email="0@a.example", description="0")

    def saves(who: str, name: str, text: str) -> list[int]:
        values = [text.replace("0", str(n)) for n in range(9)]
        pairs = pairwise(values)
        return [save(maria, who, lead, name, before=old, **{name: new}).status_code for old, new in pairs]

    with ThreadPoolExecutor(2) as both:
        codes = both.map(saves, ("ana", "root"), ("email", "description"), ("0@a.example", "0"))
    assert [*codes] == [[200] * 8] * 2
    stored = maria.fresh(lead)
    assert (stored.email, stored.description) == ("8@a.example", "8")
