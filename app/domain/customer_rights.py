"""What the person who changes a record may do with its customer, according to the access rules."""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy.orm import Session


class CustomerRights(Protocol):
    """The rights of one person over customers."""

    def may_find(self, session: Session, customer: Any, field: str) -> bool:
        """Whether the person sees the customer and this field of it, so that they may find the customer by its
        value.
        """
        ...

    def may_write(self, session: Session, customer: Any) -> bool:
        """Whether the person may change the customer."""
        ...

    def may_create(self) -> bool:
        """Whether the person may create customers, and may thus learn which numbers are known."""
        ...


class _Always:
    """Answers every question the same way."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer

    def may_find(self, session: Session, customer: Any, field: str) -> bool:
        return self.answer

    def may_write(self, session: Session, customer: Any) -> bool:
        return self.answer

    def may_create(self) -> bool:
        return self.answer


#: The rights of the system, and those of an unknown person.
ALL_RIGHTS, NO_RIGHTS = _Always(True), _Always(False)
