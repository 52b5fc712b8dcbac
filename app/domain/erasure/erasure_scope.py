"""What belongs to a person who is erased, and which of it a duty keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, func, or_, select
from sqlalchemy.orm import Session

from app.domain import legal_holds
from app.domain.complaints.complaint import Complaint
from app.domain.customers import Customer, CustomerAccount
from app.domain.data_requests import DataRequest
from app.domain.erasure import duties
from app.domain.erasure.erasures import DataErasure, marker
from app.domain.leads import Lead
from app.domain.merging import merged_records
from app.domain.tasks import Task
from app.domain.telephony.calls import CallLog
from app.domain.telephony.order_evidence import OrderEvidence
from app.domain.tickets import Ticket
from app.lib import phone

_CALLS, _EVIDENCE, _COMPLAINTS = CallLog.__table__, OrderEvidence.__table__, Complaint.__table__
_REQUESTS = DataRequest.__table__


@dataclass
class Kept:
    """Ids that one duty keeps, and until when the last of them (None = nobody knows yet)."""

    ids: set[int] = field(default_factory=set)
    until: date | None = None
    #: Until when the first of those whose end is known.
    first: date | None = None
    #: Whether the end of one of them isn't known yet.
    is_open: bool = False

    def add(self, key: int, until: date | None) -> None:
        """Keep one more."""
        self.ids.add(key)
        self.is_open = self.is_open or until is None
        self.first = min(filter(None, (self.first, until)), default=None)
        self.until = None if self.is_open else max(filter(None, (self.until, until)))


@dataclass
class Scope:
    """The records of one person. Ids of tickets and tasks: all, also those that are kept."""

    table: str
    key: int
    #: What stands in place of erased texts.
    marker: str
    request_number: str
    leads: list[int] = field(default_factory=list)
    tickets: list[int] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    #: Table -> ids of its records, and of those that were merged into these.
    merged: dict[str, list[int]] = field(default_factory=dict)
    #: The person's requests about their data.
    requests: list[int] = field(default_factory=list)
    #: Numbers in E.164 and email addresses, for rows that belong to no record.
    addresses: list[str] = field(default_factory=list)
    #: Rows that are newer stay: they have come after the erasure; not those of complaints, which go as a whole.
    #: None = there is no such time.
    cutoff: datetime | None = None
    #: When all of it was erased that no duty kept, if the customer's own data is among it: what was entered into the
    #: records since is of somebody who is known anew. None = it wasn't yet.
    settled_on: datetime | None = None
    #: Whether the customer's own data is kept, and until when.
    is_kept: bool = False
    kept_until: date | None = None
    #: Tickets that are complaints; those of them that are kept; and what belongs to these.
    complaints: set[int] = field(default_factory=set)
    kept_tickets: Kept = field(default_factory=Kept)
    kept_tasks: set[int] = field(default_factory=set)
    kept_calls: Kept = field(default_factory=Kept)
    #: Files and messages that prove orders which are kept.
    kept_files: set[int] = field(default_factory=set)
    kept_messages: set[int] = field(default_factory=set)
    #: Whether the requests are kept as proof, and until when.
    is_proof_kept: bool = False
    proof_until: date | None = None
    #: Whether somebody has put a part of it under a legal hold.
    is_held: bool = False

    @property
    def customer(self) -> list[int]:
        """The customer's id, if it is one."""
        return [self.key] if self.table == "customer" else []

    @property
    def contacts(self) -> dict[type[Any], list[int]]:
        """The person's leads, and the customer, by kind."""
        return {Lead: self.leads, Customer: self.customer}

    def branches(self, table: Table) -> list[ColumnElement[bool]]:
        """The rows of this person in a table that refers to records: one condition per column, since no index serves
        an OR of them.

        A row belongs to the customer that it names, else to its ticket, its lead, its task: what is another person's
        stays, though it names a lead or ticket of this one.
        """
        ids = {"customer_id": self.customer, "ticket_id": self.tickets, "lead_id": self.leads, "task_id": self.tasks}
        names = [name for name in ids if name in table.c]
        rules = []
        for place, name in enumerate(names):
            if ids[name]:
                before = (table.c[each].is_(None) for each in names[:place])
                rules.append(and_(table.c[name].in_(ids[name]), *before))
        return rules


def of(session: Session, erasure: DataErasure, now: datetime, addresses: Iterable[str] | None = None) -> Scope:
    """The scope of an erasure, as of now. The session acts for the system. `addresses`: None = those in its records."""
    scope = Scope(erasure.record_table, erasure.record_id, marker(erasure.request_number), erasure.request_number)
    _find_records(session, scope)
    scope.addresses = _addresses_in(session, scope) if addresses is None else sorted(set(addresses))
    _find_merged(session, scope)
    scope.requests = [key for rule in scope.branches(_REQUESTS) for key in _ids(session, _REQUESTS, rule)]
    days = duties.days_of(session)
    scope.settled_on = None if erasure.keeps_contact else erasure.settled_on
    if scope.settled_on is None:
        _keep_customer(session, scope, erasure, days["customer"], now)
    _keep_complaints(session, scope, days["complaint"], now)
    _keep_orders(session, scope, days["order"], now)
    scope.proof_until = duties.end_of(erasure.confirmed_on.date(), days["proof"])
    scope.is_proof_kept = not duties.is_over(scope.proof_until, now)
    scope.cutoff = erasure.confirmed_on if scope.is_kept else scope.settled_on
    held = legal_holds.ids_on_hold(session, now).ids
    mine = {"customer_id": scope.customer, "lead_id": scope.leads, "ticket_id": scope.tickets}
    scope.is_held = any(held.get(column, frozenset()) & set(ids) for column, ids in mine.items())
    return scope


def addresses_of(session: Session, table: str, key: int) -> list[str]:
    """The numbers (E.164) and email addresses of a customer or lead, and of what belongs to it."""
    return _addresses_in(session, records_of(session, table, key))


def records_of(session: Session, table: str, key: int) -> Scope:
    """The leads, tickets and tasks of a customer or lead, without what is kept of them."""
    scope = Scope(table, key, "", "")
    _find_records(session, scope)
    return scope


def _addresses_in(session: Session, scope: Scope) -> list[str]:
    found: set[str] = set()
    for record, ids in ((Customer, scope.customer), (Lead, scope.leads), (Ticket, scope.tickets)):
        columns: Any = record.__table__.c
        query = select(columns.mobile_e164, columns.alternative_e164, columns.email, columns.mobile)
        for *values, typed in session.execute(query.where(columns.id.in_(ids))):
            # Of a ticket that only says who complained, the number is as if it was typed.
            found |= {str(value).lower() for value in (*values, phone.normalize(typed)) if value}
    return sorted(found)


def _find_records(session: Session, scope: Scope) -> None:
    leads, tickets, tasks = Lead.__table__, Ticket.__table__, Task.__table__
    scope.leads = [scope.key] if scope.table == "leads" else _ids(session, leads, leads.c.customer_id == scope.key)
    scope.tickets = _ids(session, tickets, _of_person(tickets, scope.customer, scope.leads))
    rules = [tasks.c[name].in_(ids) for name, ids in (("lead_id", scope.leads), ("ticket_id", scope.tickets)) if ids]
    scope.tasks = _ids(session, tasks, or_(*rules)) if rules else []


def _find_merged(session: Session, scope: Scope) -> None:
    kinds = {"customer": scope.customer, "leads": scope.leads, "ticket": scope.tickets}
    for kind, ids in kinds.items():
        if ids:
            scope.merged[kind] = [*ids, *(key for key, _number in merged_records.merged_from(session, kind, ids))]


def _of_person(tickets: Any, customer: list[int], leads: list[int]) -> Any:
    """The customer's tickets, and those of the leads that are no customer's: one may name the lead of another."""
    of_leads = tickets.c.lead_id.in_(leads) & tickets.c.customer_id.is_(None)
    return or_(tickets.c.customer_id == customer[0], of_leads) if customer else of_leads


def _ids(session: Session, table: Any, rule: Any) -> list[int]:
    return list(session.execute(select(table.c.id).where(rule).order_by(table.c.id)).scalars())


def _keep_customer(session: Session, scope: Scope, erasure: DataErasure, days: int, now: datetime) -> None:
    """A person with accounts is kept for so many days after the end of them; one without any isn't."""
    if not scope.customer:
        return
    accounts = CustomerAccount.__table__
    has_any = session.execute(select(accounts.c.id).where(accounts.c.customer_id == scope.key).limit(1)).first()
    until = duties.end_of(erasure.accounts_ended_on, days)
    if has_any is not None and not duties.is_over(until, now):
        scope.is_kept, scope.kept_until = True, until


def _keep_complaints(session: Session, scope: Scope, days: int, now: datetime) -> None:
    """A ticket that is a complaint is kept, with what belongs to it, for so many days after its last step.

    One that was joined to another has the steps of that one.
    """
    if not scope.tickets:
        return
    own, counted = _COMPLAINTS.c, _COMPLAINTS.alias()
    steps = (counted.c[name] for name in ("disposed_on", "first_review_on", "second_review_on", "dispute_on"))
    query = select(own.ticket_id, *steps).where(own.ticket_id.in_(scope.tickets))
    query = query.join(counted, counted.c.id == func.coalesce(own.joined_to_id, own.id))
    for ticket, disposed, *reviews in session.execute(query):
        last = None if disposed is None else max([disposed, *filter(None, reviews)])
        until = duties.end_of(last, days)
        scope.complaints.add(ticket)
        if not duties.is_over(until, now):
            scope.kept_tickets.add(ticket, until)
    if kept := scope.kept_tickets.ids:
        tasks = Task.__table__
        scope.kept_tasks = set(_ids(session, tasks, tasks.c.ticket_id.in_(sorted(kept))))


def _keep_orders(session: Session, scope: Scope, days: int, now: datetime) -> None:
    """A call that is an order is kept for so many days, and while a ticket of it isn't resolved, with its proof."""
    tickets = Ticket.__table__
    query = select(tickets.c.id).where(tickets.c.id.in_(scope.tickets), tickets.c.resolved_on.is_(None))
    disputed = set(session.execute(query).scalars()) if scope.tickets else set()
    for rule in scope.branches(_CALLS):
        query = select(_CALLS.c.id, _CALLS.c.started_on, _CALLS.c.ticket_id)
        for key, started, ticket in session.execute(query.where(rule, _CALLS.c.is_order.is_(True))):
            until = None if ticket in disputed else duties.end_of(started.date(), days)
            if not duties.is_over(until, now):
                scope.kept_calls.add(key, until)
    if kept := sorted(scope.kept_calls.ids):
        proofs = select(_EVIDENCE.c.attachment_id, _EVIDENCE.c.message_id).where(_EVIDENCE.c.call_id.in_(kept))
        rows = session.execute(proofs).all()
        scope.kept_files = {row[0] for row in rows if row[0] is not None}
        scope.kept_messages = {row[1] for row in rows if row[1] is not None}
