"""How complaints are found: by what their tickets are found by, by references of the ways they came, by client IDs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Select, String, bindparam, select

from app.access.search.index_ranges import pattern
from app.access.search.linked_rows import LinkedRows
from app.domain.complaints.complaint import SOURCES, Complaint, ComplaintEntry
from app.domain.customers import Customer, CustomerAccount
from app.domain.tickets import Ticket

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


def complaints_by(text: str, is_code: bool) -> LinkedRows:
    """How the complaints of a typed text are found; `is_code`: whether it can be a part of a client ID."""
    is_reference = _is_reference(text)

    def branches(tickets: Sequence[Any], customers: Sequence[Any]) -> list[_Build]:
        found: list[_Build] = [lambda: _ids().where(_COMPLAINT.c.ticket_id.in_(tickets))] * bool(tickets)
        found += [lambda: _with_customer().where(_TICKET.c.customer_id.in_(customers))] * bool(customers)
        found += [lambda: _by_reference("complaint_id"), lambda: _by_reference("origin_id")] * is_reference
        return found + [_by_client_id] * is_code

    values = {_PATTERN: pattern(" ".join(text.upper().split()))} if is_reference or is_code else {}
    return LinkedRows(Complaint, Ticket, (is_reference, is_code), values, branches)


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
