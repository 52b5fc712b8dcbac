"""A lead joins its customer: the contact is the customer's from then on, and nothing that was typed goes unsaid."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.domain import timeline
from app.domain.customers import Customer

#: Contact fields whose values may stand on a timeline, where masks cover them.
TIMELINE_FIELDS = ("first_name", "last_name", "mobile", "alternative_mobile", "email", "address")
SECRETS = ("pan", "aadhaar")
_NORMAL = {"mobile": "mobile_e164", "alternative_mobile": "alternative_e164"}
#: Every column of a contact.
CONTACT_COLUMNS = (
    *TIMELINE_FIELDS,
    *_NORMAL.values(),
    *(secret + part for secret in SECRETS for part in ("_sealed", "_blind")),
)


def link(session: Session, lead: Any, customer: Customer, by: int | None, now: datetime) -> list[list[Any]]:
    """Link to the customer; the lead's own contact is cleared. Answers what differs: [field, old, new].

    What differs is proposed on the timeline, not written. A PAN or Aadhaar goes to a customer who has none; where
    he has one, it is only said that another was typed, be it the same or not: nobody shall find out by trying.
    """
    proposed = [change for name in TIMELINE_FIELDS if (change := _difference(lead, customer, name))]
    proposed += [[secret, None, None] for secret in SECRETS if _is_second(lead, customer, secret)]
    given = [secret for secret in SECRETS if _hand_over(lead, customer, secret)]
    if given:
        customer.stamp(by, now)
        changes = [[secret, None, None] for secret in given]
        timeline.write(session, customer, "field_change", by, now, changes=changes)
    _clear_contact(lead)
    lead.customer = customer
    return proposed


def write_proposal(session: Session, lead: Any, proposed: list[list[Any]], by: int | None, now: datetime) -> None:
    """Write what differs, if anything does, on the lead's timeline."""
    if proposed:
        timeline.write(session, lead, "proposal", by, now, changes=proposed)


def _difference(lead: Any, customer: Customer, name: str) -> list[Any] | None:
    typed, kept = getattr(lead, _NORMAL.get(name, name)), getattr(customer, _NORMAL.get(name, name))
    if not typed or typed in (kept, customer.mobile_e164, customer.alternative_e164):
        return None
    return [name, getattr(customer, name), getattr(lead, name)]


def _is_second(lead: Any, customer: Customer, secret: str) -> bool:
    return bool(getattr(lead, secret + "_blind") and getattr(customer, secret + "_blind"))


def _hand_over(lead: Any, customer: Customer, secret: str) -> bool:
    """Give the lead's sealed value to a customer who has none."""
    if not getattr(lead, secret + "_blind") or getattr(customer, secret + "_blind"):
        return False
    for part in (secret + "_sealed", secret + "_blind"):
        setattr(customer, part, getattr(lead, part))
    return True


def _clear_contact(lead: Any) -> None:
    for name in CONTACT_COLUMNS:
        setattr(lead, name, None)
