"""To whom a call belongs: by its normalised number, among those who were there when it was made."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import String, literal, select, union
from sqlalchemy.orm import Session

from app.domain import leads, tickets
from app.domain.call_parsing import ParsedCall
from app.domain.customers import Customer
from app.domain.leads import Lead
from app.domain.settings import LeadStatus, TicketStatus
from app.domain.tickets import Ticket


@dataclass(frozen=True)
class CallTarget:
    """On which pages a call stands, and who answers for it."""

    customer_id: int | None = None
    lead_id: int | None = None
    ticket_id: int | None = None
    #: The number of the nearest record, for a sentence.
    number: str | None = None
    #: Assignee or owner of the nearest record.
    answers: tuple[int, ...] = ()
    #: The lead and the ticket, as far as they wait for a first answer.
    waiting: frozenset[tuple[str, int]] = frozenset()

    @property
    def is_somewhere(self) -> bool:
        """Whether it is anybody's."""
        return bool(self.customer_id or self.lead_id or self.ticket_id)

    def as_columns(self) -> dict[str, int | None]:
        """For a row that hangs on lead, ticket and customer."""
        return {"lead_id": self.lead_id, "ticket_id": self.ticket_id, "customer_id": self.customer_id}


@dataclass(frozen=True)
class _Found:
    """A lead or ticket that a number leads to, and when it was open."""

    id: int
    number: str
    created_on: datetime
    #: Since when it has ended; None = it is open.
    ended_on: datetime | None
    assignee_id: int | None
    owner_id: int | None
    #: Nobody has answered yet.
    waits: bool

    def was_open(self, at: datetime) -> bool:
        """At the moment of the call, not of the sync: telephones are late."""
        return self.created_on <= at and (self.ended_on is None or self.ended_on > at)


#: By kind and by customer, or by number where a lead has no customer yet.
_Index = dict[tuple[str, Any], list[_Found]]


def match(session: Session, employee_id: int, heard: list[ParsedCall]) -> dict[int, CallTarget]:
    """Index of the record -> its place; two statements whatever the number of calls."""
    numbers = {each.other_e164 for each in heard if each.other_e164}
    if not numbers:
        return {each.index: CallTarget() for each in heard}
    people = _customers(session, numbers)
    found = _records(session, numbers, {row.id for row in people.values()})
    return {each.index: _place(each, employee_id, people, found) for each in heard}


def _place(heard: ParsedCall, employee_id: int, people: dict[str, Any], found: _Index) -> CallTarget:
    person = people.get(heard.other_e164 or "")
    key = person.id if person is not None else heard.other_e164
    lead, ticket = (_nearest(found.get((kind, key), []), heard.started_on, employee_id) for kind in ("lead", "ticket"))
    near = ticket or lead
    answers = (near.assignee_id or near.owner_id) if near else (person.owner_id if person is not None else None)
    return CallTarget(
        person.id if person is not None else None,
        lead.id if lead else None,
        ticket.id if ticket else None,
        near.number if near else (person.number if person is not None else None),
        (answers,) if answers else (),
        frozenset((kind, each.id) for kind, each in (("lead", lead), ("ticket", ticket)) if each and each.waits),
    )


def _nearest(found: list[_Found], at: datetime, employee_id: int) -> _Found | None:
    """The employee's own open one before others, the newest first."""
    fits = [each for each in found if each.was_open(at)]
    return max(fits, key=lambda each: (each.assignee_id == employee_id, each.id), default=None)


def _customers(session: Session, numbers: set[str]) -> dict[str, Any]:
    """E.164 -> the customer; his first number counts before another one's second."""
    columns = (Customer.id, Customer.number, Customer.owner_id, Customer.mobile_e164, Customer.alternative_e164)
    ways = (Customer.mobile_e164, Customer.alternative_e164)
    rows = session.execute(union(*(_by_index(select(*columns), way, numbers) for way in ways))).all()
    second = {row.alternative_e164: row for row in rows if row.alternative_e164 in numbers}
    return second | {row.mobile_e164: row for row in rows if row.mobile_e164 in numbers}


def _records(session: Session, numbers: set[str], customers: set[int]) -> _Index:
    """The leads of the numbers and customers, and the customers' tickets; one statement, one index a branch."""
    parts = [_by_index(_leads(), way, numbers) for way in (Lead.mobile_e164, Lead.alternative_e164)]
    if customers:
        parts += [
            _by_index(_leads(), Lead.customer_id, customers),
            _by_index(_tickets(), Ticket.customer_id, customers),
        ]
    found: _Index = defaultdict(list)
    for row in session.execute(union(*parts)):
        ended = row.status_on if row.meaning in _ENDED[row.kind] else None
        record = _Found(row.id, row.number, row.created_on, ended, row.assignee_id, row.owner_id, not row.replied_on)
        keys = [row.customer_id] if row.customer_id else [row.mobile_e164, row.alternative_e164]
        for key in {key for key in keys if key}:
            found[row.kind, key].append(record)
    return found


_ENDED = {"lead": leads.TERMINAL, "ticket": tickets.ENDED}
_NAMES = ("id", "number", "created_on", "status_on", "replied_on", "assignee_id", "owner_id", "customer_id")


def _leads() -> Any:
    columns = [getattr(Lead, name) for name in (*_NAMES, "mobile_e164", "alternative_e164")]
    query = select(literal("lead").label("kind"), LeadStatus.meaning.label("meaning"), *columns)
    return query.join(LeadStatus, LeadStatus.id == Lead.status_id)


def _tickets() -> Any:
    columns = [getattr(Ticket, name) for name in _NAMES]
    none = [literal(None, String(20)).label(name) for name in ("mobile_e164", "alternative_e164")]
    query = select(literal("ticket").label("kind"), TicketStatus.meaning.label("meaning"), *columns, *none)
    return query.join(TicketStatus, TicketStatus.id == Ticket.status_id)


def _by_index(query: Any, way: Any, values: set[Any]) -> Any:
    """The rows with one of these values, by the column's own index.

    Of a column that is mostly empty MariaDB expects so many rows a value that it would rather read the whole table.
    """
    record = way.class_
    hint = f"FORCE INDEX (ix_{record.__tablename__}_{way.key})"
    return query.where(way.in_(values)).with_hint(record, hint, "mysql").with_hint(record, hint, "mariadb")
