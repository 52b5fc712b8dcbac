"""Revealing masked values: who may, with which reason, how often, and who can see it afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from app.models import AuditEntry
from app.web.records import reveals
from tests.app_fixtures import Crm
from tests.cases import each_case

HX = {"HX-Request": "true"}
PAN, MOBILE = "ABCDE1234F", "98200 54321"
WHY = "The customer asks which PAN we have"


@pytest.fixture
def lead(crm: Crm) -> Any:
    """Ana's lead; her manager Mia sees PANs masked and may reveal them."""
    return crm.make.lead("ana", pan=PAN, mobile=MOBILE)


def reveal(crm: Crm, who: str, lead: Any, name: str = "pan", reason: str = WHY) -> Any:
    return crm.client(who).form(f"/leads/reveal/{lead.id}/{name}", {"reason": reason}, headers=HX)


def entries(crm: Crm) -> list[Any]:
    return crm.rows(select(AuditEntry).where(AuditEntry.event == "reveal"))


def test_a_manager_reveals_with_a_reason_and_it_is_in_the_audit(crm: Crm, lead: Any) -> None:
    mia = crm.client("mia")
    page = mia.screen(f"/leads/show/{lead.id}").text
    assert f'href="/leads/reveal/{lead.id}/pan" data-reveal' in page and PAN not in page
    form = mia.screen(f"/leads/reveal/{lead.id}/pan")
    assert 'name="reason"' in form.text and PAN not in form.text and entries(crm) == []
    shown = reveal(crm, "mia", lead)
    assert shown.status_code == 200 and PAN in shown.text and 'data-revealed="30"' in shown.text
    assert shown.headers["Cache-Control"] == "private, no-store"
    (entry,) = entries(crm)
    assert (entry.about, entry.user_id) == (f"lead {lead.number}", crm.id_of("mia"))
    assert entry.payload == {"field": "pan", "reason": WHY} and PAN not in json.dumps(entry.payload)
    assert PAN not in mia.screen(f"/leads/show/{lead.id}").text


def test_without_scripts_the_page_with_the_value_goes_back_by_itself(crm: Crm, lead: Any) -> None:
    shown = crm.client("mia").form(f"/leads/reveal/{lead.id}/pan", {"reason": WHY})
    assert PAN in shown.text and shown.headers["Refresh"] == f"30; url=/leads/{lead.number}"
    assert shown.headers["Cache-Control"] == "private, no-store"


def test_a_masked_phone_is_revealed_as_people_read_it(crm: Crm, lead: Any) -> None:
    crm.make.mask("Sales Manager", mobile="last4")
    assert "98200 54321" in reveal(crm, "mia", lead, "mobile").text


@each_case(
    "who, name, reason, status, said",
    [
        ("ana", "pan", WHY, 403, "role doesn"),
        ("max", "pan", WHY, 404, "doesn"),
        ("mia", "pan", " no ", 422, "Please say in a few words why"),
        ("mia", "mobile", WHY, 422, "can&#39;t be revealed for your role"),  # they see it in full
        ("mia", "aadhaar", WHY, 422, "is empty"),
        ("mia", "first_name", WHY, 404, "no such page"),
        ("root", "pan", WHY, 422, "can&#39;t be revealed for your role"),
    ],
)
def test_what_is_refused(crm: Crm, lead: Any, who: str, name: str, reason: str, status: int, said: str) -> None:
    answer = reveal(crm, who, lead, name, reason)
    assert answer.status_code == status and said in answer.text.replace("’", "'"), answer.text
    assert PAN not in answer.text and entries(crm) == []


def test_hidden_stays_hidden_and_own_is_not_all(crm: Crm, lead: Any) -> None:
    crm.make.mask("Sales Manager", pan="hidden")
    assert reveal(crm, "mia", lead).status_code == 422
    crm.make.mask("Sales Manager", pan="last4")
    crm.make.cell("Sales Manager", "Leads", "reveal", "own")
    refused = reveal(crm, "mia", lead)
    assert refused.status_code == 403 and "not reveal its values" in refused.text


def test_a_person_reveals_so_many_and_no_more(crm: Crm, lead: Any) -> None:
    codes = [reveal(crm, "mia", lead).status_code for _ in range(reveals.RATES[0].limit + 1)]
    assert codes[:-1] == [200] * (len(codes) - 1) and codes[-1] == 429
    assert len(entries(crm)) == len(codes) - 1


def test_the_customer_says_who_has_seen_their_data(crm: Crm) -> None:
    customer = crm.make.customer("ana", pan=PAN, mobile=MOBILE)
    lead, other = crm.make.lead("ana", mobile=MOBILE), crm.make.customer("ana", pan="ABCDE9999F")
    for path in (f"/customers/reveal/{customer.id}/pan", f"/leads/reveal/{lead.id}/pan"):
        assert PAN in crm.client("mia").form(path, {"reason": WHY}, headers=HX).text
    page = crm.client("mia").screen(f"/customers/seen/{customer.id}").text
    assert page.count(WHY) == 2 and f"PAN revealed ({lead.number})" in page and PAN not in page
    assert f"/customers/seen/{customer.id}" in crm.client("mia").screen(f"/customers/show/{customer.id}").text
    assert WHY not in crm.client("mia").screen(f"/customers/seen/{other.id}").text
    assert crm.client("ana").screen(f"/customers/seen/{customer.id}").status_code == 403
    assert "seen" not in crm.client("ana").screen(f"/customers/show/{customer.id}").text
    assert WHY in crm.client("root").screen("/audit/?event=reveal").text


def test_the_same_over_rest(crm: Crm, lead: Any) -> None:
    asked = {"field": "pan", "reason": WHY}
    shown = crm.client("mia").rest("POST", f"lead/{lead.id}/reveal", asked)
    assert (shown.status_code, shown.get_json()["result"]) == (200, {"field": "pan", "value": PAN})
    assert shown.headers["Cache-Control"] == "private, no-store"
    refused = [crm.client(who).rest("POST", f"lead/{lead.id}/reveal", asked).status_code for who in ("ana", "ben")]
    assert refused == [403, 403]
    assert crm.client("mia").rest("POST", f"lead/{lead.id}/reveal", {"field": "pan"}).status_code == 422
    assert len(entries(crm)) == 1
