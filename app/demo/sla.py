"""The SLA clocks of the demo records: most have time left, a few are nearly due, overdue or paused."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from app import models
from app.demo.builder import DemoBuilder, Row
from app.domain.working_time import office_hours, sla

#: The columns of a clock that has not started.
NO_CLOCK: Row = {
    "reply_due_on": None,
    "replied_on": None,
    "resolve_due_on": None,
    "sla_started_on": None,
    "paused_on": None,
    "paused_seconds": 0,
    "sla_on": None,
    "reply_late_on": None,
    "resolve_late_on": None,
}
#: The share of a target's time that has passed: for most records, for every eighth, for every twenty-fifth.
SPENT, NEARLY, LATE = (0.05, 0.7), (0.8, 0.95), (1.02, 1.15)


def start_clock(builder: DemoBuilder, row: Row, record: Any) -> None:
    """Start the clock of an open record. For the part of its age that doesn't count, it was paused."""
    terms = builder.terms
    targets = dict(zip(sla.DEADLINES, terms.target(record.applies_to, row.get("priority", "")), strict=True))
    if row["replied_on"] is not None:
        targets["reply"] = None
    nearest = next((minutes for minutes in targets.values() if minutes is not None), None)
    if nearest is None:
        return
    spent = timedelta(minutes=nearest * builder.rng.uniform(*_share_spent(builder, row, record)))
    age = office_hours.open_time_between(terms.office, row["created_on"], row["paused_on"] or builder.now)
    paused = timedelta(seconds=int(max(age - spent, sla.ZERO).total_seconds()))
    row |= {"sla_started_on": row["created_on"], "paused_seconds": int(paused.total_seconds())}
    for name, minutes in targets.items():
        span = None if minutes is None else timedelta(minutes=minutes) + paused
        row[f"{name}_due_on"] = span and terms.after(row["created_on"], span)
    _schedule_check(builder, row)


def _share_spent(builder: DemoBuilder, row: Row, record: Any) -> tuple[float, float]:
    if row["paused_on"] is not None:
        return SPENT
    before = sum(each["sla_started_on"] is not None for each in builder.rows_of(record))
    return LATE if before % 25 == 5 else NEARLY if before % 8 == 2 else SPENT


def finish_clock(builder: DemoBuilder, row: Row, record: Any) -> None:
    """Give an answered lead or an ended ticket the clock that it had: started with it, late where it took too long."""
    row["sla_started_on"] = row["created_on"]
    minutes = builder.terms.target(record.applies_to, row.get("priority", ""))
    for name, target, done in zip(sla.DEADLINES, minutes, (row["replied_on"], row.get("resolved_on")), strict=True):
        due = None if target is None else builder.terms.after(row["created_on"], timedelta(minutes=target))
        if due and done and due < done:
            row[f"{name}_late_on"] = due


def count_first_replies(builder: DemoBuilder) -> None:
    """Count the earliest answered call or sent message as the first reply to its lead or ticket."""
    talks = [(row["ended_on"], row) for row in builder.rows_of(models.CallLog) if row["status"] == "Completed"]
    talks += [(row["happened_on"], row) for row in builder.rows_of(models.Message) if row["direction"] == "out"]
    for record, column in ((models.Lead, "lead_id"), (models.Ticket, "ticket_id")):
        first: dict[int, datetime] = {}
        for at, row in talks:
            if key := row.get(column):
                first[key] = min(at, first.get(key, at))
        for row in builder.rows_of(record):
            if at := first.get(row["id"]):
                _count_reply(builder, row, at)


def _count_reply(builder: DemoBuilder, row: Row, at: datetime) -> None:
    """Stop the clock of the first reply at `at` (UTC), unless it stopped earlier."""
    row["replied_on"] = min(at, row["replied_on"] or at)
    if row["reply_late_on"] and row["replied_on"] <= row["reply_late_on"]:
        row["reply_late_on"] = None
    if due := row["reply_due_on"]:
        row |= {"reply_late_on": due if due < at else None, "reply_due_on": None}
        _schedule_check(builder, row)


def _schedule_check(builder: DemoBuilder, row: Row) -> None:
    clock = SimpleNamespace(**{name: row[name] for name in NO_CLOCK})
    sla.schedule_check(clock, builder.terms)
    row["sla_on"] = clock.sla_on
