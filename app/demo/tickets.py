"""Tickets of the customers, each settled as its age makes likely."""

from __future__ import annotations

from datetime import datetime, timedelta

from app import models
from app.demo import sla
from app.demo.assignments import give, hand_on
from app.demo.builder import DAYS, OfficeBuilder, Row, first_of, labels, stamps
from app.demo.sample_text import RESOLUTIONS
from app.domain import tickets as desk
from app.domain.base import RuleBroken
from app.domain.tickets import ticket_subjects


def make_tickets(house: OfficeBuilder) -> None:
    """Tickets in order of time. Raises RuleBroken when statuses or subjects are missing."""
    statuses = labels(house, models.TicketStatus)
    subjects = list(labels(house, models.TicketSubject).items())
    if not statuses or not subjects:
        raise RuleBroken("The lists of ticket statuses and subjects are empty. Bring the database up to date first.")
    customers = house.of(models.Customer)
    moments = sorted(
        house.moment(house.now - timedelta(days=DAYS), house.now - timedelta(minutes=15))
        for _ in range(house.count("tickets"))
    )
    for n, at in enumerate(moments):
        chosen = house.rng.sample(subjects, k=min(len(subjects), house.rng.choices((1, 2, 3), (70, 22, 8))[0]))
        ticket = _ticket(house, at, house.some(customers), [label for label, _ in chosen], statuses)
        for _, subject in chosen:
            house.add(ticket_subjects, ticket_id=ticket["id"], subject_id=subject)
        _settle(house, ticket, statuses, n)
        hand_on(house, ticket)


def _ticket(house: OfficeBuilder, at: datetime, customer: Row, subjects: list[str], statuses: dict[str, int]) -> Row:
    assignee, decision = house.in_turn("Support User")
    by = house.rng.choices((assignee, house.boss[assignee]), (60, 40))[0]
    reason = "created" if by == assignee else "round robin"
    ticket = house.add(
        models.Ticket,
        number=house.number("TICKET", at),
        title=", ".join(subjects)[:500],
        version=1,
        status_on=at,
        priority=house.rng.choices(desk.PRIORITIES, (20, 50, 22, 8))[0],
        status_id=first_of(statuses, "New"),
        source=house.rng.choices(desk.SOURCES, (40, 15, 20, 20, 5))[0],
        customer_id=customer["id"],
        lead_id=None,
        description=f"Customer asks about: {subjects[0].lower()}.",
        assignee_id=assignee,
        owner_id=by,
        assigned_role="Support User" if reason == "round robin" else None,
        resolution=None,
        resolved_on=None,
        **sla.UNTOUCHED,
        **stamps(by, at),
    )
    place = {"ticket_id": ticket["id"], "customer_id": customer["id"]}
    house.happened("system", at, by, place, text="Ticket created")
    house.add(
        models.StatusChange,
        ticket_id=ticket["id"],
        from_id=None,
        to_id=ticket["status_id"],
        at=at,
        by_id=by,
        seconds=None,
    )
    give(
        house, {"ticket_id": ticket["id"]}, assignee, None, reason, by, at, decision if reason == "round robin" else {}
    )
    return ticket


def _settle(house: OfficeBuilder, ticket: Row, statuses: dict[str, int], n: int) -> None:
    """Bring the ticket to a status; the older it is, the likelier it has ended."""
    age = (house.now - ticket["created_on"]).days
    going = ("New", "Open", "In Progress", "Follow-up Scheduled", "Waiting for Customer")
    ended = ("Resolved", "Closed", "Closed")
    label = house.some(ended) if n >= len(statuses) and house.often(0.2 + age / 40) else house.some(going)
    if n < len(statuses):
        label = list(statuses)[n]
    path = [step for step in ("Open", label) if step in statuses] if label != "New" else []
    marks = sorted(house.moment(ticket["created_on"] + timedelta(minutes=5), house.now) for _ in dict.fromkeys(path))
    for step, at in zip(dict.fromkeys(path), marks, strict=True):
        _move_ticket(house, ticket, step, statuses[step], at)
    ticket["label"] = label
    if label in ended:
        sla.settle(ticket)
    else:
        sla.owe(house, ticket, models.Ticket)


def _move_ticket(house: OfficeBuilder, ticket: Row, label: str, status: int, at: datetime) -> None:
    by = ticket["assignee_id"]
    if label in ("Resolved", "Closed"):
        ticket |= {"resolution": house.some(RESOLUTIONS), "resolved_on": at}
    if label == "Waiting for Customer":
        ticket["paused_on"] = at
    house.add(
        models.StatusChange,
        ticket_id=ticket["id"],
        from_id=ticket["status_id"],
        to_id=status,
        at=at,
        by_id=by,
        seconds=int((at - ticket["status_on"]).total_seconds()),
    )
    place = {"ticket_id": ticket["id"], "customer_id": ticket["customer_id"]}
    house.happened(
        "status_change", at, by, place, **{"from": ticket["status_id"], "to": status}, note=ticket["resolution"]
    )
    ticket |= {"status_id": status, "status_on": at, "changed_on": at, "changed_by_id": by}
    ticket["replied_on"] = ticket["replied_on"] or at
