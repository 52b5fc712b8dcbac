"""Figures of the dashboards: each function is one grouped statement under the access rules.

Done counts as completed, Closed as resolved and Activated as converted; missed calls are counted in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select

from app.domain.tasks import OPEN, PRIORITIES
from app.domain.tickets import ENDED
from app.extensions import db
from app.models import CallLog, Lead, Task, Ticket
from app.web.compat.periods import Period
from app.web.compat.users import name_of
from app.web.core.fields import Viewer

#: Meanings of lead statuses that count as converted.
CONVERTED = ("opened", "activated")
TOP_PERFORMERS = 5


@dataclass(frozen=True)
class Scope:
    """The rows that a figure counts: those of a record that match the conditions, in a period."""

    record: Any
    period: Period
    conditions: tuple[ColumnElement[bool], ...] = ()

    @property
    def created(self) -> tuple[ColumnElement[bool], ...]:
        """The conditions for rows created in the period."""
        return (*self.conditions, self.period.contains(self.record.created_on))


def _sum_each(record: Any, parts: dict[str, ColumnElement[bool]], *conditions: ColumnElement[bool]) -> dict[str, int]:
    """How many of the rows match each part."""
    query = select(*[func.sum(case((part, 1), else_=0)) for part in parts.values()]).select_from(record)
    sums = db.session.execute(query.where(*conditions)).one()
    return {name: int(count or 0) for name, count in zip(parts, sums, strict=True)}


def _count_by(column: Any, conditions: tuple[ColumnElement[bool], ...]) -> list[tuple[Any, int]]:
    """[(value, count)], the most frequent first."""
    count = func.count()
    query = select(column, count).where(*conditions).group_by(column).order_by(count.desc(), column)
    return [(value, number) for value, number in db.session.execute(query)]


# --- leads, tickets and tasks


def task_counts(period: Period, viewer: Viewer) -> dict[str, int]:
    """{created, open, overdue, done} of all tasks; created in the period."""
    is_open = Task.status.in_(OPEN)
    parts = {
        "created": period.contains(Task.created_on),
        "open": is_open,
        "overdue": and_(is_open, Task.due_on < viewer.now),
        "done": Task.status == "Done",
    }
    return _sum_each(Task, parts)


def compare_periods(scope: Scope, user_id: int, viewer: Viewer) -> dict[str, Any]:
    """{total, created, assigned, successful, previous, change}; change is in percent of the previous period."""
    record, period = scope.record, scope.period
    is_current, is_previous = period.contains(record.created_on), period.previous().contains(record.created_on)
    parts = {
        "total": is_current,
        "created": and_(is_current, record.owner_id == user_id),
        "successful": and_(is_current, _is_successful(record, viewer)),
        "previous": is_previous,
    }
    counts = _sum_each(record, parts, *scope.conditions, or_(is_current, is_previous))
    change = 100.0 if counts["total"] else 0.0
    if counts["previous"]:
        change = round(100 * (counts["total"] - counts["previous"]) / counts["previous"], 1)
    return {**counts, "assigned": counts["total"] - counts["created"], "change": change}


def _is_successful(record: Any, viewer: Viewer) -> ColumnElement[bool]:
    """Converted, resolved or completed."""
    if record is Task:
        return Task.status == "Done"
    master, successful = ("lead_status", CONVERTED) if record is Lead else ("ticket_status", ENDED)
    ids = [key for key, meaning in viewer.lookups.meanings[master].items() if meaning in successful]
    condition: ColumnElement[bool] = record.status_id.in_(ids)
    return condition


def success_rate(comparison: dict[str, Any]) -> float:
    """Percent of the total in a result of `compare_periods`."""
    return round(100 * comparison["successful"] / comparison["total"], 1) if comparison["total"] else 0.0


def count_by_status(scope: Scope, viewer: Viewer) -> list[dict[str, Any]]:
    """[{status, color, count}] of leads or tickets created in the period."""
    cards = viewer.lookups.cards["lead_status" if scope.record is Lead else "ticket_status"]
    return [
        {"status": cards[key]["label"], "color": cards[key]["color"], "count": count}
        for key, count in _count_by(scope.record.status_id, scope.created)
        if key in cards
    ]


def count_by_source(scope: Scope, viewer: Viewer) -> list[dict[str, Any]]:
    """[{source, count}] of leads created in the period; source is null for leads without one."""
    cards = viewer.lookups.cards["lead_source"]
    return [
        {"source": cards[key]["label"] if key in cards else None, "count": count}
        for key, count in _count_by(Lead.source_id, scope.created)
    ]


def count_by_priority(scope: Scope) -> list[dict[str, Any]]:
    """[{priority, count}] of tasks created in the period, for every priority."""
    counts = dict(_count_by(Task.priority, scope.created))
    return [{"priority": name, "count": counts.get(name, 0)} for name in PRIORITIES]


def account_counts(scope: Scope) -> dict[str, int]:
    """{account_opened, account_activated}: leads that reached the status in the period."""
    is_opened, is_activated = scope.period.contains(Lead.opened_on), scope.period.contains(Lead.activated_on)
    parts = {"account_opened": is_opened, "account_activated": is_activated}
    return _sum_each(Lead, parts, *scope.conditions, or_(is_opened, is_activated))


def mean_reply_seconds(scope: Scope) -> float | None:
    """Mean seconds to the first reply of tickets created in the period; None when none has a reply."""
    is_sqlite = db.session.get_bind().dialect.name == "sqlite"
    replied, created = (
        func.julianday(column) * 86_400 if is_sqlite else func.unix_timestamp(column)
        for column in (Ticket.replied_on, Ticket.created_on)
    )
    query = select(func.avg(replied - created)).where(*scope.created, Ticket.replied_on.is_not(None))
    mean = db.session.execute(query).scalar()
    return round(float(mean), 2) if mean is not None else None


def created_series(scope: Scope) -> list[int]:
    """How many rows were created at each point of the period."""
    created_on = scope.record.created_on
    parts = {label: and_(created_on >= start, created_on < end) for label, start, end in scope.period.points()}
    return list(_sum_each(scope.record, parts, *scope.created).values())


# --- calls and people


def call_counts(scope: Scope) -> dict[str, int]:
    """Counts and total seconds of the calls that started in the period; not picked up counts as missed."""
    count, seconds = func.count(), func.sum(CallLog.duration_seconds)
    query = select(CallLog.direction, CallLog.status, CallLog.cold, count, seconds)
    query = query.where(*scope.conditions, scope.period.contains(CallLog.started_on))
    names = ("total", "incoming", "outgoing", "completed", "missed", "did_not_pick", "cold_calls", "duration")
    counts = dict.fromkeys(names, 0)
    for direction, status, is_cold, number, length in db.session.execute(query.group_by(*query.selected_columns[:3])):
        counts["total"] += number
        counts["duration"] += int(length or 0)
        matches = {
            "incoming": direction == "Incoming",
            "outgoing": direction == "Outgoing",
            "cold_calls": is_cold,
            "completed": status == "Completed",
            "missed": status in ("Missed Call", "No Answer"),
            "did_not_pick": status == "Did Not Picked",
        }
        for name in (name for name, is_match in matches.items() if is_match):
            counts[name] += number
    return counts


def top_performers(period: Period, viewer: Viewer) -> list[dict[str, Any]]:
    """[{user, full_name, leads, tickets, total}]: most leads owned and tickets assigned, created in the period."""
    leads = dict(_count_by(Lead.owner_id, Scope(Lead, period).created))
    tickets = dict(_count_by(Ticket.assignee_id, Scope(Ticket, period).created))
    people = [
        {
            "user": name_of(key, viewer),
            "full_name": viewer.lookups.people[key]["full_name"],
            "leads": leads.get(key, 0),
            "tickets": tickets.get(key, 0),
            "total": leads.get(key, 0) + tickets.get(key, 0),
        }
        for key in {*leads, *tickets}
        if key in viewer.lookups.people
    ]
    return sorted(people, key=lambda each: (-each["total"], each["full_name"]))[:TOP_PERFORMERS]
