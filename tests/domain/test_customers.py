"""Customers: contact data, numbers, encrypted fields and stale saves."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import customers
from app.domain.base import Conflict, RuleBroken, Stamp, refuse_stale
from app.domain.change_context import ChangeContext
from app.lib.field_encryption import Vault
from app.models import Activity, Customer
from tests.factories import HOUR, NOW, double, lead, user


def make_customer(session: Session, vault: Any = None, **values: Any) -> Customer:
    return customers.create(
        session, {"first_name": "Asha", "mobile": "98200 12345"} | values, ChangeContext(None, NOW, vault=vault)
    )


def test_a_number_is_stored_as_entered_and_normalized(db: Session) -> None:
    customer = make_customer(db, alternative_mobile="022-2345 6789")
    assert (customer.mobile, customer.mobile_e164) == ("98200 12345", "+919820012345")
    assert customer.alternative_e164 == "+912223456789"


def test_a_second_customer_with_the_number_is_refused(db: Session) -> None:
    make_customer(db)
    with pytest.raises(RuleBroken, match="already has this mobile") as refused:
        make_customer(db, mobile="+919820012345")
    assert list(refused.value.errors) == ["mobile"]


def test_a_customers_own_number_may_be_entered_again(db: Session) -> None:
    customer = make_customer(db)
    customers.change(db, customer, {"mobile": "09820012345"}, ChangeContext(None, NOW))
    assert customer.mobile_e164 == "+919820012345"


def test_a_pan_is_sealed_and_found_by_its_blind_index(db: Session, vault: Vault) -> None:
    customer = make_customer(db, vault, pan="abcde 1234-f")
    assert customer.pan_sealed and "ABCDE1234F" not in customer.pan_sealed
    assert vault.open(customer.pan_sealed) == "ABCDE1234F"
    assert customer.pan_blind == vault.blind("ABCDE1234F", "pan") != vault.blind("ABCDE1234F", "aadhaar")


def test_changes_are_logged_without_the_pan(db: Session, vault: Vault) -> None:
    customer = make_customer(db)
    customers.change(
        db,
        customer,
        {"kyc_status": "Verified", "pan": "ABCDE1234F", "last_name": None},
        ChangeContext(None, NOW, vault=vault),
    )
    (line,) = db.scalars(select(Activity).where(Activity.kind == "field_change")).all()
    assert line.payload["changes"] == [["kyc_status", "Pending", "Verified"], ["pan", None, None]]


def test_a_customer_keeps_an_owner(db: Session) -> None:
    ana = user(db, "ana")
    customer = make_customer(db, owner_id=ana.id)
    customers.change(db, customer, {"owner_id": None}, ChangeContext(None, NOW))
    assert customer.owner_id == ana.id


def test_a_customer_cannot_lose_name_and_number(db: Session) -> None:
    with pytest.raises(RuleBroken, match="a name or a mobile"):
        customers.change(db, make_customer(db), {"first_name": "", "mobile": ""}, ChangeContext(None, NOW))


def test_a_stale_save_is_a_conflict(db: Session) -> None:
    customer = make_customer(db)
    customers.change(db, customer, {"first_name": "Usha"}, ChangeContext(None, NOW + HOUR))
    db.flush()
    refuse_stale(customer, 2)
    refuse_stale(customer, None)
    with pytest.raises(Conflict):
        refuse_stale(customer, 1)


@pytest.mark.parametrize(
    "field, values",
    [
        ("first_name", {"first_name": "", "mobile": ""}),
        ("mobile", {"mobile": "12345"}),
        ("alternative_mobile", {"alternative_mobile": "12345"}),
        ("email", {"email": "a@b"}),
        ("pan", {"pan": "ABCDE12345"}),
        ("aadhaar", {"aadhaar": "0123"}),
    ],
)
def test_each_refusal_names_its_field(db: Session, vault: Vault, field: str, values: Any) -> None:
    with pytest.raises(RuleBroken) as refused:
        make_customer(db, vault, **values)
    assert list(refused.value.errors) == [field] and len(str(refused.value)) > len("None")


@pytest.mark.parametrize(
    "entered, expected",
    [
        (" Ravi@X.in ", "ravi@x.in"),
        ("", None),
        ("@x.in", False),
        ("a@xin", False),
        ("a b@x.in", False),
        ("a@b@x.in", False),
        ("a@.x.in", False),
        ("a@x.in.", False),
        ("a\t@x.in", False),
    ],
)
def test_an_email_address_is_checked(db: Session, entered: str, expected: Any) -> None:
    if expected is False:
        with pytest.raises(RuleBroken):
            make_customer(db, email=entered)
    else:
        assert make_customer(db, email=entered).email == expected


def test_texts_are_cleaned_and_empty_values_are_null(db: Session, vault: Vault) -> None:
    customer = make_customer(db, vault, first_name="  Asha  K ", last_name=" ", address=" 1  Road\n2 ", pan="")
    assert (customer.first_name, customer.last_name, customer.address) == ("Asha K", None, "1 Road 2")
    assert (customer.pan_sealed, customer.pan_blind, customer.alternative_mobile) == (None, None, None)
    customers.change(db, customer, {"mobile": " "}, ChangeContext(None, NOW))
    assert (customer.mobile, customer.mobile_e164) == (None, None)


def test_a_new_customer_is_owned_by_its_author_and_logged(db: Session) -> None:
    ana = user(db, "ana")
    values = {"first_name": "Asha", "referred_by": "C9", "no_sms": True}
    customer = customers.create(db, values, ChangeContext(ana.id, NOW))
    assert (customer.owner_id, customer.number, customer.version) == (ana.id, "CRM-CUST-2026-00001", 1)
    assert (customer.referred_by, customer.no_sms, customer.created_on) == ("C9", True, NOW)
    line = db.scalars(select(Activity)).one()
    assert (line.kind, line.customer_id, line.payload) == ("system", customer.id, {"text": "Customer created"})


def test_a_change_is_stamped_and_one_without_a_difference_not_logged(db: Session) -> None:
    ana, customer = user(db, "ana"), make_customer(db)
    customers.change(db, customer, {"first_name": "Asha"}, ChangeContext(ana.id, NOW + HOUR))
    assert db.scalars(select(Activity).where(Activity.kind == "field_change")).all() == []
    assert (customer.changed_on, customer.changed_by_id) == (NOW + HOUR, ana.id)


@pytest.mark.parametrize("names", [("main", "alternative"), ("alternative", "main")])
def test_a_number_finds_its_main_owner_then_the_oldest(db: Session, names: Any) -> None:
    made = {}
    for index, name in enumerate(names):
        values = {"mobile": f"981111111{index}", "alternative_mobile": "9820012345"}
        made[name] = double(db, **(values if name == "alternative" else {"mobile": "9820012345"}))
    other = double(db, mobile="9822222222", alternative_mobile="9820012345")
    assert customers.find_by_mobile(db, "+919820012345") is made["main"]
    customers.change(db, made["main"], {"mobile": "9833333333"}, ChangeContext(None, NOW))
    db.flush()
    assert customers.find_by_mobile(db, "+919820012345") is made["alternative"] is not other
    assert customers.find_by_mobile(db, None) is customers.find_by_mobile(db, "+919844444444") is None


def test_an_account_is_opened_once_and_gives_the_referral_code(db: Session) -> None:
    customer, about = make_customer(db), lead(db, client_id=" c1 ")
    account = customers.open_account(db, customer, about, Stamp(None, NOW))
    assert (account.client_id, account.customer_id, account.lead_id, account.opened_on) == (
        "C1",
        customer.id,
        about.id,
        NOW,
    )
    db.flush()
    assert customers.open_account(db, customer, about, Stamp(None, NOW + HOUR)) is account
    customers.open_account(db, customer, lead(db, client_id="C2"), Stamp(None, NOW))
    assert customer.referral_code == "C1"
    with pytest.raises(RuleBroken, match="client ID C1 already") as refused:
        customers.open_account(db, make_customer(db, mobile="9811111111"), about, Stamp(None, NOW))
    assert list(refused.value.errors) == ["client_id"]
