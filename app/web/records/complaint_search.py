"""How complaints are found: by what their tickets are found by, by references of the ways they came, by client IDs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Select, String, bindparam, select
from sqlalchemy.orm import Session

from app import access
from app.access.search.index_ranges import pattern
from app.domain.complaints.complaint import SOURCES, Complaint, ComplaintEntry
from app.domain.customers import Customer, CustomerAccount
from app.domain.tickets import Ticket
from app.web.core.queries.linked_hits import LinkedHits
from app.web.core.queries.search_input import TypedText

# Bare tables: no rules apply to ids that are shown to nobody. `Customer` has its rule: a complaint isn't found by what
# only the record of its customer says, unless the person sees that record.
_COMPLAINT: Any = Complaint.__table__
_ENTRY: Any = ComplaintEntry.__table__
_TICKET: Any = Ticket.__table__
_ACCOUNT: Any = CustomerAccount.__table__
#: Minimum characters of a reference's beginning.
_LEAST_OF_REFERENCE = 3
#: The parameter of the pattern of what was typed, in capitals.
_PATTERN = "linked_code"
_Build = Callable[[], Select[Any]]


def _rows(text: TypedText) -> access.LinkedRows:
    is_reference, is_code = _is_reference(text.text), text.is_part_of_code

    def branches(tickets: Sequence[Any], customers: Sequence[Any]) -> list[_Build]:
        found: list[_Build] = [lambda: _ids().where(_COMPLAINT.c.ticket_id.in_(tickets))] * bool(tickets)
        found += [lambda: _with_customer().where(_TICKET.c.customer_id.in_(customers))] * bool(customers)
        found += [lambda: _by_reference("complaint_id"), lambda: _by_reference("origin_id")] * is_reference
        return found + [_by_client_id] * is_code

    values = {_PATTERN: pattern(" ".join(text.text.upper().split()))} if is_reference or is_code else {}
    return access.LinkedRows(Complaint, Ticket, (is_reference, is_code), values, branches)


def _is_reference(text: str) -> bool:
    """Whether it can be the beginning of a reference: words are none."""
    return len(text) >= _LEAST_OF_REFERENCE and not text.replace(" ", "").isalpha()


def _begins(column: Any) -> Any:
    return column.like(bindparam(_PATTERN, type_=String), escape="/")


def _ids() -> Select[Any]:
    return select(_COMPLAINT.c.id.label("id"))


def _with_customer() -> Select[Any]:
    query = _ids().join(_TICKET, _TICKET.c.id == _COMPLAINT.c.ticket_id)
    return query.join(Customer, Customer.id == _TICKET.c.customer_id)


def _by_reference(name: str) -> Select[Any]:
    """By the beginning of a reference: `name` is the column of the entry that has the complaint.

    All sources are named so that the unique key of source and reference is read.
    """
    column = _ENTRY.c[name]
    return select(column.label("id")).where(
        _ENTRY.c.source.in_(SOURCES), _begins(_ENTRY.c.reference), column.is_not(None)
    )


def _by_client_id() -> Select[Any]:
    """By the beginning of a client ID of the ticket's customer."""
    query = _with_customer().join(_ACCOUNT, _ACCOUNT.c.customer_id == Customer.id)
    return query.where(_begins(_ACCOUNT.c.client_id))


def _newest(session: Session, rule: Any, most: int) -> set[int]:
    """Read from the complaints, which are few, and not from all the tickets with a common name."""
    query = select(Complaint.id).prefix_with("STRAIGHT_JOIN", dialect="mysql")
    joined = query.join(Ticket, Ticket.id == Complaint.ticket_id).where(rule)
    return {*session.scalars(joined.order_by(Complaint.id.desc()).limit(most))}


#: Of the screen of complaints.
BY_TICKET = LinkedHits(Ticket, _rows, _newest)
