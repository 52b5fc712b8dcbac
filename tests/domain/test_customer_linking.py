"""Linking leads to customers loses no entered data; client ids are set, corrected and unique."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import customers, leads
from app.domain.base import AlreadyExists, RuleBroken
from app.domain.change_context import ChangeContext
from app.lib.field_encryption import Vault
from app.models import Activity, CustomerAccount, Lead
from tests.domain.test_leads import change_status, create_lead, status_id
from tests.factories import NOW


def make_customer(session: Session, vault: Vault, **more: Any) -> Any:
    return customers.create(
        session, {"first_name": "Asha", "mobile": "9820012345", **more}, ChangeContext(None, NOW, vault=vault)
    )


def logged_changes(session: Session, about: Any, kind: str) -> list[Any]:
    column = Activity.lead_id if isinstance(about, Lead) else Activity.customer_id
    found = session.scalars(select(Activity.payload).where(column == about.id, Activity.kind == kind))
    return [each["changes"] for each in found]


def change(session: Session, lead: Lead, **values: Any) -> None:
    leads.change(session, lead, values, ChangeContext(None, NOW))


def test_a_customer_without_a_pan_gets_the_one_of_the_lead(db: Session, vault: Vault) -> None:
    asha = make_customer(db, vault)
    create_lead(db, vault=vault, pan="ABCDE1234F", aadhaar="2341 2341 2346")
    assert vault.open(asha.pan_sealed) == "ABCDE1234F" and asha.aadhaar_blind == vault.blind("234123412346", "aadhaar")
    assert logged_changes(db, asha, "field_change") == [[["pan", None, None], ["aadhaar", None, None]]]


@pytest.mark.parametrize("entered", ["ABCDE1234F", "XYZDE1234F"])
def test_a_customers_pan_stays_and_cannot_be_guessed(db: Session, vault: Vault, entered: str) -> None:
    asha = make_customer(db, vault, pan="ABCDE1234F")
    lead = create_lead(db, vault=vault, first_name="Asha", last_name=None, pan=entered)
    assert vault.open(asha.pan_sealed) == "ABCDE1234F"
    assert logged_changes(db, lead, "proposal") == [[["pan", None, None]]]


def test_differences_are_proposed_when_the_customer_is_found_late(db: Session, vault: Vault) -> None:
    lead = create_lead(db, vault=vault, email="new@x.in")
    make_customer(db, vault, email="old@x.in")
    change_status(db, lead, "opened", client_id="C1")
    assert ["email", "old@x.in", "new@x.in"] in logged_changes(db, lead, "proposal")[0]


# --- Client ids


def test_a_client_id_can_be_set_before_its_status(db: Session) -> None:
    lead = create_lead(db)
    change(db, lead, client_id=" ab1 ")
    assert lead.client_id == "AB1" and logged_changes(db, lead, "field_change") == [[["client_id", None, "AB1"]]]
    change(db, lead, client_id="")
    assert lead.client_id is None


def test_a_status_change_logs_its_client_id_once(db: Session) -> None:
    lead = create_lead(db)
    change(db, lead, client_id="c1", status_id=status_id(db, "opened"))
    assert lead.client_id == "C1" and logged_changes(db, lead, "field_change") == []


def test_a_corrected_client_id_is_copied_to_the_account(db: Session) -> None:
    lead = create_lead(db)
    change_status(db, lead, "opened", client_id="C1")
    change(db, lead, client_id="C2")
    assert [account.client_id for account in db.scalars(select(CustomerAccount))] == ["C2"]
    assert lead.customer is not None and lead.customer.referral_code == "C2"
    with pytest.raises(RuleBroken, match="needs a client ID"):
        change(db, lead, client_id=" ")


def test_a_client_id_of_another_customer_is_refused(db: Session) -> None:
    first, second = create_lead(db), create_lead(db, mobile="9820099999")
    change_status(db, first, "opened", client_id="C1")
    with pytest.raises(AlreadyExists):
        change(db, second, client_id="c1")
    change(db, second, client_id="c2")
    db.flush()
    with pytest.raises(AlreadyExists):
        change(db, first, client_id="C2")
