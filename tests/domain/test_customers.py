"""Customers: contact data, numbers, encrypted fields and stale saves."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import customers
from app.domain.base import Conflict, RuleBroken, refuse_stale
from app.domain.change_context import ChangeContext
from app.lib.vault import Vault
from app.models import Activity, Customer
from tests.makers import HOUR, NOW, user


def make_customer(session: Session, vault: Any = None, **values: Any) -> Customer:
    return customers.create(
        session, {"first_name": "Asha", "mobile": "98200 12345"} | values, ChangeContext(None, NOW, vault=vault)
    )


def test_a_number_is_stored_as_entered_and_normalized(office: Session) -> None:
    customer = make_customer(office, alternative_mobile="022-2345 6789")
    assert (customer.mobile, customer.mobile_e164) == ("98200 12345", "+919820012345")
    assert customer.alternative_e164 == "+912223456789"


def test_a_second_customer_with_the_number_is_refused(office: Session) -> None:
    make_customer(office)
    with pytest.raises(RuleBroken, match="already has this mobile") as refused:
        make_customer(office, mobile="+919820012345")
    assert list(refused.value.errors) == ["mobile"]


def test_a_customers_own_number_may_be_entered_again(office: Session) -> None:
    customer = make_customer(office)
    customers.change(office, customer, {"mobile": "09820012345"}, ChangeContext(None, NOW))
    assert customer.mobile_e164 == "+919820012345"


def test_a_pan_is_sealed_and_found_by_its_blind_index(office: Session, vault: Vault) -> None:
    customer = make_customer(office, vault, pan="abcde 1234-f")
    assert customer.pan_sealed and "ABCDE1234F" not in customer.pan_sealed
    assert vault.open(customer.pan_sealed) == "ABCDE1234F"
    assert customer.pan_blind == vault.blind("ABCDE1234F", "pan") != vault.blind("ABCDE1234F", "aadhaar")


def test_changes_are_logged_without_the_pan(office: Session, vault: Vault) -> None:
    customer = make_customer(office)
    customers.change(
        office,
        customer,
        {"kyc_status": "Verified", "pan": "ABCDE1234F", "last_name": None},
        ChangeContext(None, NOW, vault=vault),
    )
    (line,) = office.scalars(select(Activity).where(Activity.kind == "field_change")).all()
    assert line.payload["changes"] == [["kyc_status", "Pending", "Verified"], ["pan", None, None]]


def test_a_customer_keeps_an_owner(office: Session) -> None:
    ana = user(office, "ana")
    customer = make_customer(office, owner_id=ana.id)
    customers.change(office, customer, {"owner_id": None}, ChangeContext(None, NOW))
    assert customer.owner_id == ana.id


def test_a_customer_cannot_lose_name_and_number(office: Session) -> None:
    with pytest.raises(RuleBroken, match="a name or a mobile"):
        customers.change(office, make_customer(office), {"first_name": "", "mobile": ""}, ChangeContext(None, NOW))


def test_a_stale_save_is_a_conflict(office: Session) -> None:
    customer = make_customer(office)
    customers.change(office, customer, {"first_name": "Usha"}, ChangeContext(None, NOW + HOUR))
    office.flush()
    refuse_stale(customer, 2)
    refuse_stale(customer, None)
    with pytest.raises(Conflict):
        refuse_stale(customer, 1)
