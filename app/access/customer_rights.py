"""What a person may do with customers, by the access rules, whoever the session acts for: for use by the domain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.access.person import Person
from app.access.row_rules import visible
from app.access.system_session import as_system
from app.models import Customer


@dataclass(frozen=True)
class PersonsCustomers:
    """The rights of this person over customers."""

    person: Person
    #: (customer id, verb) -> whether the verb reaches it: asked once per change.
    _reached: dict[tuple[int, str], bool] = field(default_factory=dict, compare=False)

    def may_find(self, session: Session, customer: Any, field: str) -> bool:
        """Whether the person sees the customer and this field of it unmasked."""
        return self.person.mask(field) == "full" and self._reaches(session, customer, "read")

    def may_write(self, session: Session, customer: Any) -> bool:
        """Whether the person may change the customer."""
        return self._reaches(session, customer, "read") and self._reaches(session, customer, "write")

    def may_create(self) -> bool:
        """Whether the person may create customers, and reads the numbers by which duplicates are refused."""
        return self.person.may("Customers", "create") and self.person.mask("mobile") == "full"

    def _reaches(self, session: Session, customer: Any, verb: str) -> bool:
        if self.person.reach("Customers", verb) is None:
            return True
        if not self.person.may("Customers", verb):
            return False
        key = customer.id, verb
        if key not in self._reached:
            query = select(Customer.id).where(Customer.id == customer.id, visible(self.person, Customer, verb))
            with as_system(session), session.no_autoflush:
                self._reached[key] = session.execute(query).first() is not None
        return self._reached[key]
