"""Links a lead or ticket to a customer. From then on the customer has the contact data; differences are proposed.

Knowing a number gives no access. A record is linked by number only for a person who sees that customer and the field
with the number; for anybody else the link waits (`pending_customer_links`), and the record keeps what was entered.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.domain import customer_keys, customers, timeline
from app.domain.audit_log import audit
from app.domain.base import Conflict, Stamp
from app.domain.change_context import ChangeContext
from app.domain.customers import CONTACT_FIELDS, SECRET_FIELDS, Customer

#: Contact fields whose values may appear on a timeline, where field masks apply.
TIMELINE_FIELDS = ("first_name", "last_name", "mobile", "alternative_mobile", "email", "address")
_NORMALIZED = {"mobile": "mobile_e164", "alternative_mobile": "alternative_e164"}
_SECRET_COLUMNS = tuple(name + suffix for name in SECRET_FIELDS for suffix in ("_sealed", "_blind"))
#: All columns that store contact data.
CONTACT_COLUMNS = (*TIMELINE_FIELDS, *_NORMALIZED.values(), *_SECRET_COLUMNS)


@dataclass(frozen=True)
class CustomerMatch:
    """The customer to whom a record belongs."""

    customer: Customer
    #: Whether the person sees this customer, so that the record may be linked at once.
    is_open: bool
    #: For the audit: number, choice, new, conversion or confirmed.
    how: str


def match_by_number(session: Session, e164: str | None, context: ChangeContext) -> CustomerMatch | None:
    """The customer with this number; preferably one that the person may find by it, else the main holder."""
    found = customers.with_mobile(session, e164) if e164 not in context.free_numbers else []
    for customer in found:
        field = "mobile" if customer.mobile_e164 == e164 else "alternative_mobile"
        if context.rights.may_find(session, customer, field):
            return CustomerMatch(customer, True, "number")
    return CustomerMatch(found[0], False, "number") if found else None


def match_chosen(session: Session, customer_id: int, context: ChangeContext) -> CustomerMatch | None:
    """The customer with this id, chosen by the person from those they see or by the limited look-up."""
    customer = session.get(Customer, customer_id)
    return CustomerMatch(customer, can_see(session, customer, context), "choice") if customer is not None else None


def find_or_create(session: Session, record: Any, values: dict[str, Any], context: ChangeContext) -> CustomerMatch:
    """The customer with the record's mobile number, else a new one, see `_create`."""
    for _attempt in range(2):
        match = match_by_number(session, record.mobile_e164, context) or _create(session, record, values, context)
        if match is not None:
            return match
    raise Conflict("Someone else was saving this record at the same moment. Please try again.")


def _create(session: Session, record: Any, values: dict[str, Any], context: ChangeContext) -> CustomerMatch | None:
    """A new customer with the record's contact data and these values: source, owner_id, and text for the timeline.

    None if somebody has just created one with its mobile number. Raises AlreadyExists for a value of another customer.
    """
    customer = Customer(version=1, status="Active", kyc_status="Pending")
    customer.source, customer.owner_id = values["source"], values["owner_id"]
    for name in CONTACT_COLUMNS:
        setattr(customer, name, getattr(record, name))
    try:
        with session.begin_nested():
            customers.insert(session, customer, context)
    except customer_keys.KeyTaken as taken:
        if taken.field == "mobile":
            return None
        raise customers.duplicate_refusal(session, taken, context) from taken
    timeline.write(session, customer, "system", context, text=values["text"])
    return CustomerMatch(customer, True, "new")


def can_see(session: Session, customer: Customer, context: ChangeContext) -> bool:
    """Whether the person sees the customer at all."""
    return context.rights.may_find(session, customer, "first_name")


def link(session: Session, record: Any, customer: Customer, context: ChangeContext) -> list[list[Any]]:
    """Link the record to the customer and clear its own contact data. Returns the differences: [[field, old, new]].

    Differences are for a proposal; they change nothing. A PAN or Aadhaar number moves to a customer without one, if the
    person may change the customer; else it stays on the record. If the customer has one, the result says only that
    another was entered, whether equal or not: otherwise users could find out a number by trying.
    """
    differences = differences_of(session, record, customer, context)
    gaps = _gaps(record, customer)
    if gaps and context.rights.may_write(session, customer):
        _move_secrets(session, record, customer, context)
        gaps = []
    link_to(record, customer, {name + suffix for name in gaps for suffix in ("_sealed", "_blind")})
    return differences


def link_to(record: Any, customer: Customer, kept: Collection[str] = ()) -> None:
    """Set the record's customer and clear its own contact data except these columns."""
    for name in CONTACT_COLUMNS:
        if name not in kept:
            setattr(record, name, None)
    record.customer = customer


def differences_of(session: Session, entered: Any, customer: Customer, context: ChangeContext) -> list[list[Any]]:
    """What the entered contact data would change: [[field, old, new]], PAN and Aadhaar without their values.

    For a field that the person doesn't see, any input counts as different, so that values can't be guessed by trying.
    """
    found = []
    for name in TIMELINE_FIELDS:
        is_seen = context.rights.may_find(session, customer, name) if getattr(entered, name) else False
        change = _difference(entered, customer, name, is_seen)
        found += [change] if change else []
    return found + [
        [name, None, None]
        for name in SECRET_FIELDS
        if getattr(entered, name + "_blind")
        and not (_fills_gap(entered, customer, name) and context.rights.may_write(session, customer))
    ]


def _difference(entered: Any, customer: Customer, name: str, is_seen: bool) -> list[Any] | None:
    column = _NORMALIZED.get(name, name)
    new, stored = getattr(entered, column), getattr(customer, column)
    if not new:
        return None
    if not is_seen:
        return [name, None, getattr(entered, name)]
    if new in (stored, customer.mobile_e164, customer.alternative_e164):
        return None
    return [name, getattr(customer, name), getattr(entered, name)]


def write_proposal(session: Session, record: Any, differences: list[list[Any]], stamp: Stamp) -> None:
    """Add the differences to the record's timeline as a proposal, if there are any, and set its `was_proposed`."""
    if differences:
        record.was_proposed = True
        timeline.write(session, record, "proposal", stamp, changes=differences)


def write_audit(session: Session, record: Any, match: CustomerMatch, stamp: Stamp, state: str = "linked") -> None:
    """Record in the audit that the stored record was linked, or that its link is pending."""
    about = f"{record.number} → {match.customer.number}"
    audit.write(session, "customer link", stamp.by, stamp.now, about=about, how=match.how, state=state)


def change_contact(session: Session, record: Any, contact: dict[str, Any], context: ChangeContext) -> bool:
    """Change the contact data of a linked record's customer. Returns whether that was allowed.

    Without the right to change the customer, the values become a proposal on the record's timeline.
    """
    customer = record.customer
    if context.rights.may_write(session, customer):
        customers.change(session, customer, contact, context)
        return True
    entered = Customer()
    entered.set_contact({name: contact[name] for name in CONTACT_FIELDS if name in contact}, context.vault)
    write_proposal(session, record, differences_of(session, entered, customer, context), context)
    return False


def _fills_gap(entered: Any, customer: Customer, name: str) -> bool:
    """Whether the record has a value that the customer lacks."""
    return bool(getattr(entered, name + "_blind") and not getattr(customer, name + "_blind"))


def _gaps(record: Any, customer: Customer) -> list[str]:
    """The encrypted fields of the record that the customer has no value of."""
    return [name for name in SECRET_FIELDS if _fills_gap(record, customer, name)]


def _move_secrets(session: Session, record: Any, customer: Customer, context: ChangeContext) -> None:
    """Copy encrypted values to a customer without them. Raises AlreadyExists for another customer's."""
    names, before = _gaps(record, customer), customer_keys.values_of(customer)
    for name in names:
        for column in (name + "_sealed", name + "_blind"):
            setattr(customer, column, getattr(record, column))
        if context.vault is not None and context.vault.has_older:
            customer.set_contact({name: context.vault.open(getattr(record, name + "_sealed"))}, context.vault)
    customer.stamp(context)
    with customers.refusing_duplicates(session, context):
        customer_keys.assign_keys(session, customer, before)
    timeline.write(session, customer, "field_change", context, changes=[[name, None, None] for name in names])
