"""The page of legal holds: compliance officers place and release them; the record then can't be deleted in any way."""

from __future__ import annotations

import re

from sqlalchemy import select

from app import access
from app.models import LegalHold, Ticket
from tests.app_fixtures import Crm

URL = "/settings/legal-holds/"
MARK = "Under a legal hold"


def test_a_hold_from_the_record_to_its_release(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    officer, manager, admin = crm.client("rhea"), crm.client("mia"), crm.client("root")
    assert f"{URL}new?record={lead.number}" in officer.screen(f"/leads/show/{lead.id}").text
    assert "legal hold" not in manager.screen(f"/leads/show/{lead.id}").text
    assert f'href="{URL}"' in officer.screen("/leads/").text and f'href="{URL}"' in admin.screen("/settings/").text
    assert manager.screen(URL).status_code in (302, 403)
    assert f'value="{lead.number}"' in officer.screen(f"{URL}new?record={lead.number}").text
    sent = {"record": lead.number.lower(), "reason": "SCORES 2026/77", "until": ""}
    for wrong, said in (
        ({"record": "CRM-LEAD-2000-99999"}, "There is no such customer, lead or ticket"),
        ({"record": "x" * 24}, "There is no such customer, lead or ticket"),
        ({"reason": " "}, "Please say why"),
        ({"until": "2001-01-01"}, "not over"),
        ({"until": "soon"}, "Please enter a day"),
    ):
        answer = officer.form(f"{URL}new", sent | wrong)
        assert answer.status_code == 422 and said in answer.text, answer.text[:2000]
        assert "SCORES 2026/77" in answer.text or "reason" in wrong
    assert manager.form(f"{URL}new", sent).status_code in (302, 403) and not _holds(crm)
    assert officer.form(f"{URL}new", sent).status_code == 302
    page = officer.screen(URL).text
    assert lead.number in page and "SCORES 2026/77" in page and "In force" in page
    pages = {who: crm.client(who).screen(f"/leads/show/{lead.id}").text for who in ("rhea", "root", "mia", "ana")}
    marked = [who for who, text in pages.items() if MARK in text]
    assert marked == ["rhea", "root"], "who may not read the holds learns of none"
    for answer in (
        crm.client("root").rest("DELETE", f"lead/{lead.id}"),
        admin.form(f"/leads/delete/{lead.id}", {"confirm": "1"}),
        admin.form("/leads/action_post", {"action": "delete", "rowid": lead.id}),
    ):
        assert answer.status_code < 500
    refused = crm.client("root").rest("DELETE", f"lead/{lead.id}")
    assert refused.status_code == 422 and "under a legal hold" in refused.json["message"], refused.text
    assert admin.screen(f"/leads/show/{lead.id}").status_code == 200
    (hold,) = _holds(crm)
    assert officer.screen(f"{URL}{hold.id}/release").status_code == 200
    assert officer.form(f"{URL}{hold.id}/release", {"reason": ""}).status_code == 422
    assert officer.form(f"{URL}{hold.id}/release", {"reason": "settled"}).status_code == 302
    assert officer.form(f"{URL}{hold.id}/release", {"reason": "settled"}).status_code == 409
    assert officer.form(f"{URL}{hold.id + 99}/release", {"reason": "settled"}).status_code == 404
    assert re.search(r"Released.*settled", officer.screen(URL).text, re.DOTALL)
    assert MARK not in officer.screen(f"/leads/show/{lead.id}").text
    assert crm.client("root").rest("DELETE", f"lead/{lead.id}").status_code in (200, 204)


def test_what_is_held_cannot_be_taken_out_of_it_first(crm: Crm) -> None:
    """A ticket of another customer, or of none, could be deleted."""
    customer, ticket, root = crm.make.customer(), crm.make.ticket("cleo"), crm.client("root")
    assert root.rest("PUT", f"ticket/{ticket.id}", json={"customer": customer.id}).status_code == 200
    assert crm.client("rhea").form(f"{URL}new", {"record": customer.number, "reason": "x"}).status_code == 302
    refused = root.rest("PUT", f"ticket/{ticket.id}", json={"customer": None})
    assert refused.status_code == 422 and "can't be taken away" in refused.json["message"], refused.text
    assert crm.rows(select(Ticket.customer_id).where(Ticket.id == ticket.id)) == [customer.id]
    assert root.rest("DELETE", f"ticket/{ticket.id}").status_code == 422
    assert root.rest("PUT", f"ticket/{ticket.id}", json={"title": "KYC again"}).status_code == 200


def test_what_would_go_is_counted_beside_what_is_held(crm: Crm) -> None:
    page = crm.client("root").screen("/settings/retention/")
    assert "/settings/retention/?count=1" in page.text
    counted = crm.client("root").screen("/settings/retention/?count=1").text
    assert "Nothing would be deleted now." in counted or "Kept by legal holds" in counted


def _holds(crm: Crm) -> list[LegalHold]:
    crm.session.rollback()
    with access.as_system(crm.session) as session:
        return list(session.scalars(select(LegalHold).execution_options(populate_existing=True)))
