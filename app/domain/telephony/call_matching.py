"""Matching calls by number to customers, leads and tickets that were open at the time of the call."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, literal, select, union_all
from sqlalchemy.orm import Session

from app.domain import leads, tickets
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.persistence import system_statements
from app.domain.picklists import LeadStatus, TicketStatus
from app.domain.telephony.call_parsing import ParsedCall
from app.domain.tickets import Ticket


@dataclass(frozen=True)
class CallTarget:
    """The records a call belongs to, and who is responsible for them."""

    customer_id: int | None = None
    lead_id: int | None = None
    ticket_id: int | None = None
    #: The number of the most specific record, for a notice.
    number: str | None = None
    #: Assignee or owner of the most specific record.
    responsible: tuple[int, ...] = ()
    #: The lead and the ticket that still await their first reply: (kind, id).
    awaiting_reply: frozenset[tuple[str, int]] = frozenset()

    @property
    def is_matched(self) -> bool:
        """Whether it belongs to any record."""
        return bool(self.customer_id or self.lead_id or self.ticket_id)

    def as_columns(self) -> dict[str, int | None]:
        """The columns of a row that refers to lead, ticket and customer."""
        return {"lead_id": self.lead_id, "ticket_id": self.ticket_id, "customer_id": self.customer_id}


#: For a number that no record has.
NO_TARGET = CallTarget()


class _Customer(NamedTuple):
    """A customer who has the number of a call."""

    id: int
    number: str
    owner_id: int | None
    mobile_e164: str | None
    alternative_e164: str | None


class _Candidate(NamedTuple):
    """A lead or ticket with a number, and when it was open."""

    id: int
    number: str
    created_on: datetime
    #: When it ended; None = it is open.
    ended_on: datetime | None
    assignee_id: int | None
    owner_id: int | None
    awaits_reply: bool

    def was_open(self, at: datetime) -> bool:
        """Whether it was open at the time of the call, which may be long before the sync."""
        return self.created_on <= at and (self.ended_on is None or self.ended_on > at)


#: (kind, customer id) -> records; (kind, number) for a lead or ticket without a customer.
_Candidates = dict[tuple[str, Any], list[_Candidate]]


def match(session: Session, employee_id: int, calls: list[ParsedCall]) -> dict[int, CallTarget]:
    """Index of the call in its batch -> its target; two statements for any number of calls."""
    numbers = {call.other_e164 for call in calls if call.other_e164}
    if not numbers:
        return {call.index: CallTarget() for call in calls}
    customers = _customers(session, numbers)
    candidates = _candidates(session, numbers, {row.id for row in customers.values()})
    return {
        call.index: _target((call.other_e164, call.started_on), employee_id, customers, candidates) for call in calls
    }


def match_number(session: Session, number: str, at: datetime, employee_id: int | None = None) -> CallTarget:
    """The target of one number in E.164 at a moment, preferably a record assigned to the employee; two statements."""
    customers = _customers(session, {number})
    candidates = _candidates(session, {number}, {row.id for row in customers.values()})
    return _target((number, at), employee_id, customers, candidates)


def _target(
    call: tuple[str | None, datetime], employee_id: int | None, customers: dict[str, _Customer], candidates: _Candidates
) -> CallTarget:
    number_of_call, at = call
    customer = customers.get(number_of_call or "")
    if customer is None and ("lead", number_of_call) not in candidates and ("ticket", number_of_call) not in candidates:
        return NO_TARGET
    # A record whose link to the customer is pending has only the number.
    keys = [number_of_call] if customer is None else [customer.id, number_of_call]
    found = {kind: [each for key in keys for each in candidates.get((kind, key), [])] for kind in ("lead", "ticket")}
    lead, ticket = (_best(found[kind], at, employee_id) for kind in ("lead", "ticket"))
    record = ticket or lead
    number = record.number if record else customer.number if customer is not None else None
    owner_id = customer.owner_id if customer is not None else None
    responsible = (record.assignee_id or record.owner_id) if record else owner_id
    return CallTarget(
        customer.id if customer is not None else None,
        lead.id if lead else None,
        ticket.id if ticket else None,
        number,
        (responsible,) if responsible else (),
        frozenset((kind, each.id) for kind, each in (("lead", lead), ("ticket", ticket)) if each and each.awaits_reply),
    )


def _best(candidates: list[_Candidate], at: datetime, employee_id: int | None) -> _Candidate | None:
    """The newest record that was open at that moment, preferably one assigned to the employee."""
    was_open = [each for each in candidates if each.was_open(at)]
    return max(was_open, key=lambda each: (each.assignee_id == employee_id, each.id), default=None)


def _customers(session: Session, numbers: set[str]) -> dict[str, _Customer]:
    """E.164 -> the customer; a main number takes precedence over another customer's alternative one."""
    rows = system_statements.rows(session, _customers_query(), {"numbers": sorted(numbers)}, names_indexes=True)
    found = [_Customer(*row) for row in rows]
    by_alternative = {each.alternative_e164: each for each in found if each.alternative_e164 in numbers}
    by_main = {each.mobile_e164: each for each in found if each.mobile_e164 in numbers}
    return by_alternative | by_main


@lru_cache
def _customers_query() -> Any:
    """SELECT of the customers with one of the `numbers`. Cached: building it costs more than sending it."""
    columns = (Customer.id, Customer.number, Customer.owner_id, Customer.mobile_e164, Customer.alternative_e164)
    indexed = (Customer.mobile_e164, Customer.alternative_e164)
    return union_all(*(_by_index(select(*columns), column, "numbers") for column in indexed))


def _candidates(session: Session, numbers: set[str], customer_ids: set[int]) -> _Candidates:
    """The leads and tickets of the numbers and customers; one statement, one index per branch."""
    values: dict[str, Any] = {"numbers": sorted(numbers)}
    values |= {"customers": sorted(customer_ids)} if customer_ids else {}
    found: _Candidates = defaultdict(list)
    # A record found by several branches is the same row in each.
    query = _candidates_query(bool(customer_ids))
    for row in set(system_statements.rows(session, query, values, names_indexes=True)):
        kind, meaning, key, number, created_on, status_on, replied_on, assignee_id, owner_id, customer_id, *own = row
        ended_on = status_on if meaning in _ENDED[kind] else None
        candidate = _Candidate(key, number, created_on, ended_on, assignee_id, owner_id, not replied_on)
        for name in {each for each in ([customer_id] if customer_id else own) if each}:
            found[kind, name].append(candidate)
    return found


@lru_cache
def _candidates_query(has_customers: bool) -> Any:
    """SELECT of the leads and tickets with one of the `numbers`, and of those of the `customers`."""
    parts = [_by_index(_leads(), column, "numbers") for column in (Lead.mobile_e164, Lead.alternative_e164)]
    parts += [_by_index(_tickets(), column, "numbers") for column in (Ticket.mobile_e164, Ticket.alternative_e164)]
    if has_customers:
        parts.append(_by_index(_leads(), Lead.customer_id, "customers"))
        parts.append(_by_index(_tickets(), Ticket.customer_id, "customers"))
    return union_all(*parts)


_ENDED = {"lead": leads.TERMINAL, "ticket": tickets.ENDED}
_NAMES = ("id", "number", "created_on", "status_on", "replied_on", "assignee_id", "owner_id", "customer_id")


def _leads() -> Any:
    columns = [getattr(Lead, name) for name in (*_NAMES, "mobile_e164", "alternative_e164")]
    query = select(literal("lead").label("kind"), LeadStatus.meaning.label("meaning"), *columns)
    return query.join(LeadStatus, LeadStatus.id == Lead.status_id)


def _tickets() -> Any:
    columns = [getattr(Ticket, name) for name in (*_NAMES, "mobile_e164", "alternative_e164")]
    query = select(literal("ticket").label("kind"), TicketStatus.meaning.label("meaning"), *columns)
    return query.join(TicketStatus, TicketStatus.id == Ticket.status_id)


def _by_index(query: Any, column: Any, values: str) -> Any:
    """The rows with one of the values of this parameter, by the index on this column.

    For a column that is mostly empty, MariaDB expects so many rows per value that it would read the whole table.
    """
    record = column.class_
    hint = f"FORCE INDEX (ix_{record.__tablename__}_{column.key})"
    found = query.where(column.in_(bindparam(values, expanding=True)))
    return found.with_hint(record, hint, "mysql").with_hint(record, hint, "mariadb")
