"""Linking a lead to a customer: the contact data is the customer's from then on, and differences are proposed."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.domain import timeline
from app.domain.base import Stamp
from app.domain.customers import SECRET_FIELDS, Customer

#: Contact fields whose values may appear on a timeline, where field masks apply.
TIMELINE_FIELDS = ("first_name", "last_name", "mobile", "alternative_mobile", "email", "address")
_NORMALIZED = {"mobile": "mobile_e164", "alternative_mobile": "alternative_e164"}
_SECRET_COLUMNS = tuple(name + suffix for name in SECRET_FIELDS for suffix in ("_sealed", "_blind"))
#: All columns that store contact data.
CONTACT_COLUMNS = (*TIMELINE_FIELDS, *_NORMALIZED.values(), *_SECRET_COLUMNS)


def link(session: Session, lead: Any, customer: Customer, stamp: Stamp) -> list[list[Any]]:
    """Link the lead to the customer and clear its own contact data. Returns what differs: [[field, old, new]].

    Differences are for a proposal; they change nothing. A PAN or Aadhaar number moves to a customer without one.
    Where the customer has one, the result only says that another was entered, equal or not: otherwise users could
    find out a number by trying.
    """
    differences = [change for name in TIMELINE_FIELDS if (change := _difference(lead, customer, name))]
    differences += [[name, None, None] for name in SECRET_FIELDS if _both_have(lead, customer, name)]
    moved = [name for name in SECRET_FIELDS if _move_secret(lead, customer, name)]
    if moved:
        customer.stamp(stamp)
        timeline.write(session, customer, "field_change", stamp, changes=[[name, None, None] for name in moved])
    for name in CONTACT_COLUMNS:
        setattr(lead, name, None)
    lead.customer = customer
    return differences


def write_proposal(session: Session, lead: Any, differences: list[list[Any]], stamp: Stamp) -> None:
    """Write the differences to the lead's timeline as a proposal, if there are any."""
    if differences:
        timeline.write(session, lead, "proposal", stamp, changes=differences)


def _difference(lead: Any, customer: Customer, name: str) -> list[Any] | None:
    column = _NORMALIZED.get(name, name)
    entered, stored = getattr(lead, column), getattr(customer, column)
    if not entered or entered in (stored, customer.mobile_e164, customer.alternative_e164):
        return None
    return [name, getattr(customer, name), getattr(lead, name)]


def _both_have(lead: Any, customer: Customer, name: str) -> bool:
    return bool(getattr(lead, name + "_blind") and getattr(customer, name + "_blind"))


def _move_secret(lead: Any, customer: Customer, name: str) -> bool:
    """Copy the lead's encrypted value to a customer without one; whether there was anything to copy."""
    if not getattr(lead, name + "_blind") or getattr(customer, name + "_blind"):
        return False
    for column in (name + "_sealed", name + "_blind"):
        setattr(customer, column, getattr(lead, column))
    return True
