"""Complaints of the last 14 months: older ones disposed of, recent ones pending with their clocks running.

Older ones have customers and tickets of their own, from before the history; recent ones are tickets of the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import NamedTuple

from sqlalchemy import select

from app import models
from app.demo import sla
from app.demo.assignments import Change, assign
from app.demo.builder import SEED, ZONE, DemoBuilder, Row, id_of, labels, stamps
from app.demo.people import new_customer
from app.domain.base import Stamp
from app.domain.complaints.clocks import ComplaintTerms
from app.domain.tickets import ENDED, ticket_subjects

#: Customers who have complained before the history began, and since when they are customers.
_OLD_CUSTOMERS, _SINCE = 6, timedelta(days=500)
#: The age of open tickets of which complaints are made, besides the oldest.
_NEW = timedelta(days=18)
#: (days ago, source, category, what it is about, days until its outcome).
OLD: tuple[tuple[int, str, str, str, int], ...] = (
    (420, "Investor", "Contract note not received", "Contract notes of three days missing", 4),
    (401, "SEBI SCORES", "Securities not credited", "Bonus shares not credited after the record date", 17),
    (377, "Investor", "Brokerage and charges", "Brokerage higher than agreed", 6),
    (352, "Stock exchange", "Trade without consent", "Trades in options without consent", 19),
    (330, "Investor", "Pay-out not received", "Pay-out pending for four days", 3),
    (301, "Depository", "Pledge and unpledge", "Unpledged shares still marked as pledged", 11),
    (278, "SEBI SCORES", "Margin penalty", "Penalty for a shortfall that was paid in time", 14),
    (255, "Investor", "Login failed", "Could not sign in on the day of an expiry", 2),
    (233, "Other", "Assured returns promised", "Assured returns promised on a messenger group", 9),
    (214, "Stock exchange", "Wrong execution or price", "Stop-loss order executed at another price", 20),
    (190, "Investor", "Quarterly settlement not done", "Quarterly settlement not received", 5),
    (171, "SEBI SCORES", "Conduct of an authorized person", "Authorized person took a cheque in his own name", 18),
    (149, "Investor", "Account closure delayed", "Account not closed after three weeks", 7),
    (128, "Investor", "Order not executed", "Order rejected although margin was there", 4),
    (110, "Depository", "Corporate action not credited", "Split of shares not shown in the holdings", 12),
    (92, "SEBI SCORES", "Algo trading fault", "Repeated orders by an algo after it was stopped", 24),
    (71, "Investor", "Nominee not recorded", "Nominee missing after the form was sent twice", 8),
)
#: (source, category, what it is about, whether it has an outcome), from the oldest ticket of the history on.
RECENT: tuple[tuple[str, str, str, bool], ...] = (
    ("Stock exchange", "Auction or short delivery", "Auction debit for shares that were held", True),
    ("Investor", "Impersonation of the broker", "Caller pretended to be from the broker", True),
    ("Investor", "Ledger statement wrong", "Delayed payment charges on a credit balance", True),
    ("SEBI SCORES", "Pay-out not received", "Pay-out of sale proceeds not received", False),
    ("Investor", "Trading platform unavailable", "App did not open at 9:15 on two days", False),
    ("Stock exchange", "Square-off by risk management", "Position squared off without a call", False),
    ("SEBI SCORES", "Securities not credited", "Shares bought two weeks ago not credited", False),
    ("Investor", "Trade without consent", "Trade in the account on a holiday abroad", False),
)
#: Category -> the subject of its ticket.
SUBJECTS = {
    "Contract note not received": "Contract note",
    "Securities not credited": "DP holding mismatch",
    "Brokerage and charges": "Brokerage and charges",
    "Trade without consent": "Trade dispute",
    "Pay-out not received": "Pay-out delay",
    "Pledge and unpledge": "Pledge and unpledge",
    "Margin penalty": "Margin shortfall",
    "Login failed": "Login problem",
    "Wrong execution or price": "Trade dispute",
    "Quarterly settlement not done": "Pay-out delay",
    "Account closure delayed": "Account closure",
    "Order not executed": "Order rejection",
    "Corporate action not credited": "Corporate action",
    "Algo trading fault": "Trading terminal problem",
    "Nominee not recorded": "Nominee update",
    "Auction or short delivery": "Trade dispute",
    "Ledger statement wrong": "Ledger statement",
    "Trading platform unavailable": "Trading terminal problem",
    "Square-off by risk management": "Margin query",
}
#: The subject of any other category.
OTHER_SUBJECT = "General query"
#: What the investor complains of happened so long before the complaint.
_CAUSE = timedelta(days=3)
_PREFIXES = {"SEBI SCORES": "SEBIE/MH26", "Stock exchange": "NSE/IG", "Depository": "CDSL/GR"}


@dataclass(frozen=True)
class _Case:
    """One complaint, about its ticket."""

    place: int
    source: str
    category: str
    about: str
    ticket: Row
    #: When it has got its outcome, UTC; None = it is pending.
    done: datetime | None


def make_old_customers(builder: DemoBuilder) -> None:
    """Make customers from before the history, with random numbers of their own: all others stay as they were."""
    kept, builder.rng = builder.rng, Random(SEED + 1)  # noqa: S311  # invented data
    at = _morning(builder, int(_SINCE.days))
    for place in range(_OLD_CUSTOMERS):
        owner = builder.staff["Support User"][place % len(builder.staff["Support User"])]
        created = at + timedelta(days=place)
        new_customer(builder, {"source": "Direct"} | builder.contact(), Stamp(owner, created))
    builder.rng = kept


def make_old_complaints(builder: DemoBuilder) -> None:
    """Make the complaints from before the history with their tickets, in order of time."""
    since = builder.now - _SINCE + timedelta(days=_OLD_CUSTOMERS + 1)
    customers = [row for row in builder.rows_of(models.Customer) if row["created_on"] < since]
    people = builder.staff["Support User"]
    for place, (days, source, category, about, taken) in enumerate(OLD):
        at = _morning(builder, days)
        customer = customers[place % len(customers)]
        assignee = people[place % len(people)]
        old = _OldTicket(customer, assignee, about, category, at, at + timedelta(days=taken))
        ticket = _old_ticket(builder, old)
        _add(builder, _Case(place, source, category, about, ticket, ticket["resolved_on"]))
    builder.set_aside += builder.rows.pop(models.Ticket.__tablename__, [])


def put_back_old_tickets(builder: DemoBuilder) -> None:
    """Put the tickets from before the history beside the others, after all steps that choose among tickets."""
    builder.rows_of(models.Ticket).extend(builder.set_aside)


def make_recent_complaints(builder: DemoBuilder) -> None:
    """Register tickets of the history, each with what it is about as its summary and the subject that fits.

    Their customers were there before what they complain of.
    """
    query = select(models.TicketStatus.id, models.TicketStatus.meaning)
    meanings = {row.id: row.meaning for row in builder.session.execute(query)}
    since = {row["id"]: row["created_on"] for row in builder.rows_of(models.Customer)}
    fit = [row for row in builder.rows_of(models.Ticket) if since[row["customer_id"]] + _CAUSE <= row["created_on"]]
    tickets = sorted((row for row in fit if not row.get("complaint_state")), key=lambda row: row["created_on"])
    waiting: dict[bool, list[Row]] = {True: [], False: []}
    for row in tickets:
        waiting[meanings[row["status_id"]] in ENDED].append(row)
    waiting[False] = waiting[False][:1] + [row for row in waiting[False][1:] if builder.now - row["created_on"] < _NEW]
    for place, (source, category, about, has_ended) in enumerate(RECENT, len(OLD)):
        if waiting[has_ended]:
            ticket = waiting[has_ended].pop(0)
            ticket |= {"summary": about, "title": about, "description": _description(about)}
            _set_subject(builder, ticket, category)
            _add(builder, _Case(place, source, category, about, ticket, ticket["resolved_on"]))


def _morning(builder: DemoBuilder, days: int) -> datetime:
    """Eleven in the office so many days ago, UTC."""
    day = builder.now.astimezone(ZONE).date() - timedelta(days=days)
    return datetime.combine(day, time(11), tzinfo=ZONE).astimezone(UTC)


def _description(about: str) -> str:
    return f"{about}. The investor asks for an answer in writing."


def _subject(builder: DemoBuilder, category: str) -> int:
    return id_of(labels(builder, models.TicketSubject), SUBJECTS.get(category, OTHER_SUBJECT))


def _set_subject(builder: DemoBuilder, ticket: Row, category: str) -> None:
    """Give a ticket of the history the one subject of its complaint's category."""
    rows = builder.rows_of(ticket_subjects)
    rows[:] = [row for row in rows if row["ticket_id"] != ticket["id"]]
    builder.add(ticket_subjects, ticket_id=ticket["id"], subject_id=_subject(builder, category))


class _OldTicket(NamedTuple):
    """A ticket from before the history."""

    customer: Row
    assignee: int
    about: str
    category: str
    #: When it was opened and resolved, UTC.
    at: datetime
    done: datetime


def _old_ticket(builder: DemoBuilder, old: _OldTicket) -> Row:
    customer, assignee, about, category, at, done = old
    statuses = labels(builder, models.TicketStatus)
    status = id_of(statuses, "Resolved")
    first = id_of(statuses, "New")
    ticket = builder.add(
        models.Ticket,
        number=builder.number("TICKET", at),
        title=about,
        summary=about,
        version=1,
        status_on=done,
        priority="High",
        status_id=status,
        source="E-mail",
        customer_id=customer["id"],
        lead_id=None,
        description=_description(about),
        assignee_id=assignee,
        owner_id=assignee,
        assigned_role=None,
        resolution="Answered with the action taken report.",
        resolved_on=done,
        **(sla.NO_CLOCK | {"replied_on": at}),
        **stamps(assignee, at, done, assignee),
    )
    builder.add(ticket_subjects, ticket_id=ticket["id"], subject_id=_subject(builder, category))
    record_ids = {"ticket_id": ticket["id"], "customer_id": customer["id"]}
    builder.add_activity("system", at, assignee, record_ids, text="Ticket created")
    moved = {"ticket_id": ticket["id"], "by_id": assignee}
    builder.add(models.StatusChange, **moved, from_id=None, to_id=first, at=at, seconds=None)
    seconds = int((done - at).total_seconds())
    builder.add(models.StatusChange, **moved, from_id=first, to_id=status, at=done, seconds=seconds)
    assign(builder, {"ticket_id": ticket["id"]}, Change(assignee, None, "created", assignee, at))
    return ticket


def _add(builder: DemoBuilder, case: _Case) -> None:
    """Register the ticket of a case, with its entry and its lines on the timeline."""
    ticket, at = case.ticket, case.ticket["created_on"]
    officer = (builder.staff.get("Compliance") or builder.staff["Support Manager"])[0]
    row = builder.add(models.Complaint, **_complaint(builder, case, officer), **stamps(officer, at))
    ticket["complaint_state"] = "disposed" if case.done else "pending"
    same = {name: row[name] for name in ("source", "reference", "received_on")}
    way = "Portal" if row["reference"] else "E-mail"
    same |= {"complaint_id": row["id"], "origin_id": row["id"], "way": way, "remark": None}
    builder.add(models.ComplaintEntry, **same, **stamps(officer, at))
    of_ticket, about = {"ticket_id": ticket["id"]}, {"number": row["number"], "outcome": row["outcome"], "changes": []}
    builder.add_activity("complaint", at, officer, of_ticket, what="registered", **about)
    if case.done:
        builder.add_activity("complaint", case.done, officer, of_ticket, what="disposed", **about)


def _complaint(builder: DemoBuilder, case: _Case, officer: int) -> Row:
    terms = ComplaintTerms(builder.now.astimezone(ZONE).date(), builder.terms.office)
    received = case.ticket["created_on"].astimezone(ZONE).date()
    ended = case.done.astimezone(ZONE).date() if case.done else None
    prefix = _PREFIXES.get(case.source)
    waits = (terms.today - received).days
    acknowledged = received if ended or waits > 2 else None
    return {
        "number": builder.number("COMPLAINT", case.ticket["created_on"]),
        "version": 1,
        "ticket_id": case.ticket["id"],
        "title": case.about,
        "source": case.source,
        "reference": f"{prefix}/{4100 + 37 * case.place:07d}" if prefix else None,
        "received_on": received,
        "cause_on": received - _CAUSE,
        "category_id": id_of(labels(builder, models.ComplaintCategory), case.category),
        "amount_in_dispute": 2500 * (case.place % 9) or None,
        "exchange": {"Stock exchange": "NSE", "Depository": "CDSL"}.get(case.source),
        "officer_id": officer,
        "is_impersonation": "pretended" in case.about,
        "acknowledge_due_on": terms.acknowledge_by(received),
        "acknowledged_on": acknowledged,
        "report_due_on": terms.after(received, "report"),
        "review_stage": "None",
        **_report(case, officer, ended),
    }


def _report(case: _Case, officer: int, ended: date | None) -> Row:
    """The action taken report and the outcome, of a case that has ended."""
    outcomes = ("Resolved", "Partly resolved", "Resolved", "Not resolved")
    return {
        "report_facts": f"{case.about}." if ended else None,
        "report_findings": "The records were compared with those of the investor." if ended else None,
        "report_actions": "The investor was answered in writing, and what was due was paid." if ended else None,
        "report_officer_id": officer if ended else None,
        "report_filed_on": ended,
        "outcome": outcomes[case.place % len(outcomes)] if ended else None,
        "disposed_on": ended,
    }
