"""Who complained: their name, one number or address and their client IDs stay on the ticket of a kept complaint.

Their own record is emptied all the same, so that nobody finds, calls or writes to them except from that ticket:
look-ups and calls go by the number in E.164, and the ticket has it as if it was typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlalchemy.orm import Session

from app.domain import timeline
from app.domain.base import Stamp
from app.domain.customers import Customer, CustomerAccount
from app.domain.erasure.erasure_scope import Scope
from app.domain.erasure.erasures import is_marker
from app.domain.erasure.table_parts import RecordPart, locked_rows
from app.domain.leads import Lead
from app.domain.tickets import Ticket

#: Columns that a kept complaint doesn't need.
EXCESS = dict.fromkeys(
    (
        *("mobile_e164", "alternative_mobile", "alternative_e164", "address"),
        *("pan_sealed", "pan_blind", "aadhaar_sealed", "aadhaar_blind"),
    )
)
_KEPT = ("first_name", "last_name", "mobile", "email")


class ComplainantPart(RecordPart):
    """The contact fields of the tickets of kept complaints, as far as these don't need them."""

    def erase(self, session: Session, scope: Scope, ids: Sequence[int], stamp: Stamp) -> None:
        """Leave the name, and one number or address."""
        for ticket in locked_rows(session, Ticket, ids):
            _reduce(ticket)
            ticket.stamp(stamp)
        session.flush()

    def find(self, session: Session, scope: Scope, limit: int) -> list[int]:
        """Ids of such tickets, at most so many."""
        return super().find(session, scope, limit) if scope.kept_tickets.ids else []

    def count(self, session: Session, scope: Scope) -> int:
        """How many there are."""
        return super().count(session, scope) if scope.kept_tickets.ids else 0

    def count_kept(self, session: Session, scope: Scope) -> list[tuple[str, date | None, int]]:
        """(duty, until, tickets) that say who complained, or will."""
        kept = scope.kept_tickets
        if not kept.ids:
            return []
        names_anybody = or_(*(self.table.c[name].is_not(None) for name in _KEPT))
        rule = true() if _is_known(_person(session, scope)) else names_anybody
        chosen = and_(self.table.c.id.in_(sorted(kept.ids)), rule)
        return [("complainant", kept.until, self._counted(session, scope, chosen))]

    def _is_free(self, scope: Scope) -> Iterable[ColumnElement[bool]]:
        yield self.table.c.id.in_(sorted(scope.kept_tickets.ids))

    def _is_left(self, scope: Scope) -> ColumnElement[bool]:
        columns = self.table.c
        has_both = and_(columns.mobile.is_not(None), columns.email.is_not(None))
        return or_(has_both, *(columns[name].is_not(None) for name in EXCESS))


def keep(session: Session, scope: Scope, stamp: Stamp) -> None:
    """Before the record of the person is emptied: note on the tickets of kept complaints who they are."""
    person = _person(session, scope) if scope.kept_tickets.ids else None
    if person is None or not _is_known(person):
        return
    codes = _client_ids(session, person)
    for ticket in locked_rows(session, Ticket, sorted(scope.kept_tickets.ids)):
        if not (ticket.first_name or ticket.last_name):
            ticket.first_name, ticket.last_name = _name_of(person)
        if not (ticket.mobile or ticket.email):
            ticket.mobile, ticket.mobile_e164, ticket.email = person.mobile, person.mobile_e164, person.email
        _reduce(ticket)
        ticket.stamp(stamp)
        if codes:
            changes = [["client_id", ", ".join(codes), None]]
            timeline.write(session, ticket, "field_change", stamp, changes=changes)
    session.flush()


def _reduce(ticket: Ticket) -> None:
    """Leave one number or address: the one by which they complained, as far as the ticket says it."""
    number = ticket.mobile_e164 or ticket.mobile or ticket.alternative_e164 or ticket.alternative_mobile
    is_by_email = bool(ticket.email) and (ticket.source == "E-mail" or not number)
    for name in EXCESS:
        setattr(ticket, name, None)
    ticket.mobile, ticket.email = (None, ticket.email) if is_by_email else (number, None)


def _person(session: Session, scope: Scope) -> Any:
    return session.get(Customer if scope.table == "customer" else Lead, scope.key)


def _is_known(person: Any) -> bool:
    """Whether the record still says who they are."""
    held = (person.first_name, person.mobile, person.email) if person is not None else ()
    return any(held) or bool(person is not None and person.last_name and not is_marker(person.last_name))


def _name_of(person: Any) -> tuple[str | None, str | None]:
    """First and last name; a single one is the last, in front of what stands for the erased one of the record."""
    first, last = person.first_name, None if is_marker(person.last_name) else person.last_name
    return (first, last) if last else (None, first)


def _client_ids(session: Session, person: Any) -> list[str]:
    if isinstance(person, Lead):
        return [person.client_id] if person.client_id else []
    accounts = CustomerAccount.__table__.c
    query = select(accounts.client_id).where(accounts.customer_id == person.id).order_by(accounts.id)
    return [code for code in session.execute(query).scalars() if not code.startswith("ERASED-")]
