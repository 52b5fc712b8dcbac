"""Leads that join a customer lose nothing that was typed; client ids are noted, corrected, and never two people's."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import customers, leads
from app.domain.base import AlreadyExists, RuleBroken
from app.domain.change_context import ChangeContext
from app.lib.vault import Vault
from app.models import Activity, CustomerAccount, Lead
from tests.domain.test_leads import move, status, take
from tests.makers import NOW


def known(session: Session, vault: Vault, **more: Any) -> Any:
    return customers.create(
        session, {"first_name": "Asha", "mobile": "9820012345", **more}, ChangeContext(None, NOW, vault=vault)
    )


def lines(session: Session, about: Any, kind: str) -> list[Any]:
    column = Activity.lead_id if isinstance(about, Lead) else Activity.customer_id
    found = session.scalars(select(Activity.payload).where(column == about.id, Activity.kind == kind))
    return [each["changes"] for each in found]


def change(session: Session, lead: Lead, **values: Any) -> None:
    leads.change(session, lead, values, ChangeContext(None, NOW))


def test_a_customer_without_a_pan_gets_the_leads(office: Session, vault: Vault) -> None:
    asha = known(office, vault)
    take(office, vault=vault, pan="ABCDE1234F", aadhaar="2341 2341 2346")
    assert vault.open(asha.pan_sealed) == "ABCDE1234F" and asha.aadhaar_blind == vault.blind("234123412346", "aadhaar")
    assert lines(office, asha, "field_change") == [[["pan", None, None], ["aadhaar", None, None]]]


@pytest.mark.parametrize("typed", ["ABCDE1234F", "XYZDE1234F"])
def test_a_customers_pan_stays_and_nobody_finds_out_by_trying(office: Session, vault: Vault, typed: str) -> None:
    asha = known(office, vault, pan="ABCDE1234F")
    lead = take(office, vault=vault, first_name="Asha", last_name=None, pan=typed)
    assert vault.open(asha.pan_sealed) == "ABCDE1234F"
    assert lines(office, lead, "proposal") == [[["pan", None, None]]]


def test_what_differs_is_told_when_the_customer_is_found_late(office: Session, vault: Vault) -> None:
    lead = take(office, vault=vault, email="new@x.in")
    known(office, vault, email="old@x.in")
    move(office, lead, "opened", client_id="C1")
    assert ["email", "old@x.in", "new@x.in"] in lines(office, lead, "proposal")[0]


# --- client ids


def test_a_client_id_is_noted_before_its_status(office: Session) -> None:
    lead = take(office)
    change(office, lead, client_id=" ab1 ")
    assert lead.client_id == "AB1" and lines(office, lead, "field_change") == [[["client_id", None, "AB1"]]]
    change(office, lead, client_id="")
    assert lead.client_id is None


def test_a_move_tells_of_its_client_id_once(office: Session) -> None:
    lead = take(office)
    change(office, lead, client_id="c1", status_id=status(office, "opened"))
    assert lead.client_id == "C1" and lines(office, lead, "field_change") == []


def test_a_correction_follows_to_the_account(office: Session) -> None:
    lead = take(office)
    move(office, lead, "opened", client_id="C1")
    change(office, lead, client_id="C2")
    assert [account.client_id for account in office.scalars(select(CustomerAccount))] == ["C2"]
    assert lead.customer is not None and lead.customer.referral_code == "C2"
    with pytest.raises(RuleBroken, match="needs a client ID"):
        change(office, lead, client_id=" ")


def test_a_client_id_of_another_customer_is_refused(office: Session) -> None:
    first, second = take(office), take(office, mobile="9820099999")
    move(office, first, "opened", client_id="C1")
    with pytest.raises(AlreadyExists):
        change(office, second, client_id="c1")
    change(office, second, client_id="c2")
    office.flush()
    with pytest.raises(AlreadyExists):
        change(office, first, client_id="C2")
