"""Assignments, reassignments and assignment requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app import models
from app.demo.builder import DemoBuilder, Row, stamps
from app.demo.sample_text import REQUEST_REASONS


@dataclass(frozen=True)
class Change:
    """A record changes its assignee."""

    to: int
    #: The assignee before; None for a new record.
    old: int | None
    #: As Assignment.reason.
    reason: str
    by: int | None
    at: datetime
    #: As Assignment.decision.
    decision: Row = field(default_factory=dict)


def assign(builder: DemoBuilder, record: Row, change: Change) -> None:
    """Assign a record, named by its foreign key: an open assignment, and an entry in its timeline."""
    ((column, key),) = record.items()
    builder.add(
        models.Assignment,
        **record,
        user_id=change.to,
        started_on=change.at,
        ended_on=None,
        reason=change.reason,
        by_id=change.by,
        decision=change.decision,
        role=change.decision.get("role"),
        stead_of_id=None,
        open_key=f"{'leads' if column == 'lead_id' else 'ticket'}:{key}:{change.to}",
    )
    builder.add_activity("assignment", change.at, change.by, record, to=change.to, old=change.old, reason=change.reason)


def maybe_reassign(builder: DemoBuilder, record: Row) -> None:
    """Reassign some records after some time."""
    is_lead = "pod_id" in record
    if not builder.chance(0.15) or builder.now - record["created_on"] < timedelta(days=2):
        return
    old = record["assignee_id"]
    colleagues = builder.staff["Sales User" if is_lead else "Support User"]
    new = builder.choose(user for user in colleagues if user != old)
    at = builder.office_time(record["created_on"] + timedelta(hours=2), builder.now)
    manager = builder.manager_of[old]
    reason, by = builder.choose((("overdue", None), ("direct", manager), ("bulk", manager)))
    own = {"lead_id" if is_lead else "ticket_id": record["id"]}
    builder.rows_of(models.Assignment)[-1] |= {"ended_on": at, "open_key": None}
    assign(builder, own, Change(new, old, reason, by, at))
    record["assignee_id"] = new
    record["changed_on"] = max(record["changed_on"], at)


def make_requests(builder: DemoBuilder) -> None:
    """Make a few assignment requests: two are decided, the others are pending."""
    leads = [row for row in builder.rows_of(models.Lead) if builder.now - row["created_on"] > timedelta(days=1)]
    for n, lead in enumerate(builder.rng.sample(leads, k=min(6, len(leads)))):
        by = lead["assignee_id"]
        wanted = builder.choose(user for user in builder.staff["Sales User"] if user != by)
        at = builder.now - timedelta(minutes=90 * (6 - n))
        status = {0: "Approved", 1: "Rejected"}.get(n, "Pending")
        is_decided = status != "Pending"
        reason = builder.choose(REQUEST_REASONS)
        builder.add(
            models.AssignmentRequest,
            number=builder.number("CAR", at),
            lead_id=lead["id"],
            ticket_id=None,
            status=status,
            requested_user_id=wanted,
            reason=reason,
            decided_by_id=builder.manager_of[wanted] if is_decided else None,
            pending_key=None if is_decided else f"leads:{lead['id']}:{wanted}",
            decided_on=at + timedelta(minutes=40) if is_decided else None,
            decision_note="Please finish the documents first." if status == "Rejected" else None,
            **stamps(by, at),
        )
        builder.add_activity("assignment", at, by, {"lead_id": lead["id"]}, what="requested", to=wanted, text=reason)
        if status == "Approved":
            _approve(builder, lead, wanted, at + timedelta(minutes=40))


def _approve(builder: DemoBuilder, lead: Row, to: int, at: datetime) -> None:
    old = lead["assignee_id"]
    assignment = [row for row in builder.rows_of(models.Assignment) if row.get("lead_id") == lead["id"]][-1]
    assignment |= {"ended_on": at, "open_key": None}
    assign(builder, {"lead_id": lead["id"]}, Change(to, old, "request", builder.manager_of[to], at))
    lead |= {"assignee_id": to, "changed_on": at, "changed_by_id": builder.manager_of[to]}
