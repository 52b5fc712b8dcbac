"""The SLA clocks of the demo's records: nearly all within their time, a few near their end, late or standing still."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from app.demo.builder import OfficeBuilder, Row
from app.domain import office_hours, sla

#: The clock of a record that has not begun, as a row.
UNTOUCHED: Row = {
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
#: How much of a promise's time is over: of most, of every eighth, of every twenty-fifth.
SPENT, NEARLY, LATE = (0.05, 0.7), (0.8, 0.95), (1.02, 1.15)


def owe(house: OfficeBuilder, row: Row, record: Any) -> None:
    """Start the clock of a record that is open: for what is not over of its life it awaited its customer."""
    terms = house.terms
    targets = dict(zip(sla.DEADLINES, terms.target(record.applies_to, row.get("priority", "")), strict=True))
    if row["replied_on"] is not None:
        targets["reply"] = None
    nearest = next((minutes for minutes in targets.values() if minutes is not None), None)
    if nearest is None:
        return
    spent = timedelta(minutes=nearest * house.rng.uniform(*_spent(house, row, record)))
    lived = office_hours.open_time_between(terms.office, row["created_on"], row["paused_on"] or house.now)
    stood = timedelta(seconds=int(max(lived - spent, sla.ZERO).total_seconds()))
    row |= {"sla_started_on": row["created_on"], "paused_seconds": int(stood.total_seconds())}
    for name, minutes in targets.items():
        span = None if minutes is None else timedelta(minutes=minutes) + stood
        row[f"{name}_due_on"] = span and terms.after(row["created_on"], span)
    face = SimpleNamespace(**{name: row[name] for name in UNTOUCHED})
    sla.schedule_check(face, terms)
    row["sla_on"] = face.sla_on


def _spent(house: OfficeBuilder, row: Row, record: Any) -> tuple[float, float]:
    if row["paused_on"] is not None:
        return SPENT
    before = sum(each["sla_started_on"] is not None for each in house.of(record))
    return LATE if before % 25 == 5 else NEARLY if before % 8 == 2 else SPENT


def settle(row: Row) -> None:
    """Of those that ended, some were answered or resolved late."""
    done = row["resolved_on"]
    if row["id"] % 9 == 0 and done - row["created_on"] > timedelta(hours=6):
        row["resolve_late_on"] = done - timedelta(hours=2)
    if row["id"] % 11 == 0 and row["replied_on"] - row["created_on"] > timedelta(hours=3):
        row["reply_late_on"] = row["replied_on"] - timedelta(minutes=40)
