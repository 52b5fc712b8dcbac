"""Tickets of the customers, each in a status that is plausible for its age."""

from __future__ import annotations

from datetime import datetime, timedelta

from app import models
from app.demo import sla
from app.demo.assignments import Change, assign, maybe_reassign
from app.demo.builder import DAYS, DemoBuilder, Row, id_of, labels, stamps
from app.demo.sample_text import RESOLUTIONS
from app.demo.ticket_text import DESCRIPTIONS, OTHER_DESCRIPTION
from app.domain import tickets as domain_tickets
from app.domain.base import RuleBroken
from app.domain.tickets import ticket_subjects


def make_tickets(builder: DemoBuilder) -> None:
    """Make tickets in order of time. Raises RuleBroken if statuses or subjects are missing."""
    statuses = labels(builder, models.TicketStatus)
    subjects = list(labels(builder, models.TicketSubject).items())
    if not statuses or not subjects:
        raise RuleBroken("The lists of ticket statuses and subjects are empty. Bring the database up to date first.")
    moments = sorted(
        builder.office_time(builder.now - timedelta(days=DAYS), builder.now - timedelta(minutes=15))
        for _ in range(builder.count("tickets"))
    )
    for n, at in enumerate(moments):
        chosen = builder.rng.sample(subjects, k=min(len(subjects), builder.rng.choices((1, 2, 3), (70, 22, 8))[0]))
        ticket = _ticket(builder, at, [label for label, _ in chosen], id_of(statuses, "New"))
        for _, subject in chosen:
            builder.add(ticket_subjects, ticket_id=ticket["id"], subject_id=subject)
        _set_status(builder, ticket, statuses, n)
        maybe_reassign(builder, ticket)


def _ticket(builder: DemoBuilder, at: datetime, subjects: list[str], new: int) -> Row:
    """A ticket of any customer with the status `new`."""
    customer = builder.choose(builder.rows_of(models.Customer))
    assignee, decision = builder.next_in_turn("Support User")
    by = builder.rng.choices((assignee, builder.manager_of[assignee]), (60, 40))[0]
    reason = "created" if by == assignee else "round robin"
    ticket = builder.add(
        models.Ticket,
        number=builder.number("TICKET", at),
        title=", ".join(subjects)[:500],
        version=1,
        status_on=at,
        priority=builder.rng.choices(domain_tickets.PRIORITIES, (20, 50, 22, 8))[0],
        status_id=new,
        source=builder.rng.choices(domain_tickets.SOURCES, (40, 15, 20, 20, 5))[0],
        customer_id=customer["id"],
        lead_id=None,
        description=DESCRIPTIONS.get(subjects[0], OTHER_DESCRIPTION),
        assignee_id=assignee,
        owner_id=by,
        assigned_role="Support User" if reason == "round robin" else None,
        resolution=None,
        resolved_on=None,
        **sla.NO_CLOCK,
        **stamps(by, at),
    )
    record_ids = {"ticket_id": ticket["id"], "customer_id": customer["id"]}
    builder.add_activity("system", at, by, record_ids, text="Ticket created")
    builder.add(
        models.StatusChange,
        ticket_id=ticket["id"],
        from_id=None,
        to_id=ticket["status_id"],
        at=at,
        by_id=by,
        seconds=None,
    )
    change = Change(assignee, None, reason, by, at, decision if reason == "round robin" else {})
    assign(builder, {"ticket_id": ticket["id"]}, change)
    return ticket


def _set_status(builder: DemoBuilder, ticket: Row, statuses: dict[str, int], n: int) -> None:
    """Move the ticket to a status. The older it is, the likelier it is closed."""
    age = (builder.now - ticket["created_on"]).days
    open_labels = ("New", "Open", "In Progress", "Follow-up Scheduled", "Waiting for Customer")
    ended_labels = ("Resolved", "Closed", "Closed")
    has_ended = n >= len(statuses) and builder.chance(0.2 + age / 40)
    label = builder.choose(ended_labels if has_ended else open_labels)
    if n < len(statuses):
        label = list(statuses)[n]
    path = [step for step in ("Open", label) if step in statuses] if label != "New" else []
    steps = list(dict.fromkeys(path))
    for step, at in zip(steps, builder.step_times(ticket["created_on"], len(steps)), strict=True):
        _move_ticket(builder, ticket, (step, statuses[step]), at)
    ticket["label"] = label
    if label in ended_labels:
        sla.finish_clock(builder, ticket, models.Ticket)
    else:
        sla.start_clock(builder, ticket, models.Ticket)


def _move_ticket(builder: DemoBuilder, ticket: Row, to: tuple[str, int], at: datetime) -> None:
    """Move it `to` the status with this label and id."""
    by, (label, status) = ticket["assignee_id"], to
    if label in ("Resolved", "Closed"):
        ticket |= {"resolution": builder.choose(RESOLUTIONS), "resolved_on": at}
    if label == "Waiting for Customer":
        ticket["paused_on"] = at
    builder.add(
        models.StatusChange,
        ticket_id=ticket["id"],
        from_id=ticket["status_id"],
        to_id=status,
        at=at,
        by_id=by,
        seconds=int((at - ticket["status_on"]).total_seconds()),
    )
    record_ids = {"ticket_id": ticket["id"], "customer_id": ticket["customer_id"]}
    builder.add_activity(
        "status_change", at, by, record_ids, **{"from": ticket["status_id"], "to": status}, note=ticket["resolution"]
    )
    ticket |= {"status_id": status, "status_on": at, "changed_on": at, "changed_by_id": by}
    ticket["replied_on"] = ticket["replied_on"] or at
