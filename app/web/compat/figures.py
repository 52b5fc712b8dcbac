"""Figures of the dashboards in the predecessor's format; each function is one grouped statement.

`app/domain/analytics/figures.py` defines what counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from app.domain.analytics.figure_counts import change, group_count, mean, rate, series_of, sum_each, when
from app.domain.analytics.figures import CONVERTED, MISSED, NOT_PICKED, TICKET_REPLY
from app.domain.periods import Period
from app.domain.tasks import OPEN, PRIORITIES
from app.domain.tickets import ENDED
from app.extensions import db
from app.models import CallLog, Lead, Task, Ticket
from app.web.compat.users import name_of
from app.web.core.viewer import Viewer

TOP_PERFORMERS = 5


@dataclass(frozen=True)
class FigureScope:
    """The rows that a figure counts: those of a record that match the conditions, in a period."""

    record: Any
    period: Period
    conditions: tuple[ColumnElement[bool], ...] = ()

    @property
    def created(self) -> tuple[ColumnElement[bool], ...]:
        """The conditions for rows created in the period."""
        return (*self.conditions, self.period.contains(self.record.created_on))


def _sum_each(record: Any, parts: dict[str, ColumnElement[bool]], *conditions: ColumnElement[bool]) -> dict[str, int]:
    """The number of rows that match each part."""
    return sum_each(db.session(), record, {name: when(part) for name, part in parts.items()}, *conditions)


def _count_by(column: Any, conditions: tuple[ColumnElement[bool], ...]) -> list[tuple[Any, int]]:
    """[(value, count)], the most frequent first."""
    return group_count(db.session(), column, *conditions)


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


def compare_periods(scope: FigureScope, user_id: int, viewer: Viewer) -> dict[str, Any]:
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
    changed = change(counts["total"], counts["previous"])
    if changed is None:  # the predecessor's result if there was nothing before
        changed = 100.0 if counts["total"] else 0.0
    return {**counts, "assigned": counts["total"] - counts["created"], "change": changed}


def _is_successful(record: Any, viewer: Viewer) -> ColumnElement[bool]:
    """Whether it is converted, resolved or completed."""
    if record is Task:
        return Task.status == "Done"
    picklist, successful = ("lead_status", CONVERTED) if record is Lead else ("ticket_status", ENDED)
    ids = [key for key, meaning in viewer.lookups.meanings[picklist].items() if meaning in successful]
    condition: ColumnElement[bool] = record.status_id.in_(ids)
    return condition


def success_rate(comparison: dict[str, Any]) -> float:
    """Percent of the total in a result of `compare_periods`."""
    return rate(comparison["successful"], comparison["total"]) or 0.0


def count_by_status(scope: FigureScope, viewer: Viewer) -> list[dict[str, Any]]:
    """[{status, color, count}] of leads or tickets created in the period."""
    cards = viewer.lookups.cards["lead_status" if scope.record is Lead else "ticket_status"]
    return [
        {"status": cards[key]["label"], "color": cards[key]["color"], "count": count}
        for key, count in _count_by(scope.record.status_id, scope.created)
        if key in cards
    ]


def count_by_source(scope: FigureScope, viewer: Viewer) -> list[dict[str, Any]]:
    """[{source, count}] of leads created in the period; source is null for leads without one."""
    cards = viewer.lookups.cards["lead_source"]
    return [
        {"source": cards[key]["label"] if key in cards else None, "count": count}
        for key, count in _count_by(Lead.source_id, scope.created)
    ]


def count_by_priority(scope: FigureScope) -> list[dict[str, Any]]:
    """[{priority, count}] of tasks created in the period, for every priority."""
    counts = dict(_count_by(Task.priority, scope.created))
    return [{"priority": name, "count": counts.get(name, 0)} for name in PRIORITIES]


def account_counts(scope: FigureScope) -> dict[str, int]:
    """{account_opened, account_activated}: leads that reached the status in the period."""
    is_opened, is_activated = scope.period.contains(Lead.opened_on), scope.period.contains(Lead.activated_on)
    parts = {"account_opened": is_opened, "account_activated": is_activated}
    return _sum_each(Lead, parts, *scope.conditions, or_(is_opened, is_activated))


def mean_reply_seconds(scope: FigureScope) -> float | None:
    """Mean seconds to the first reply of tickets created in the period; None when none has a reply."""
    is_replied = Ticket.replied_on.is_not(None)
    parts = {"seconds": when(is_replied, TICKET_REPLY), "count": when(is_replied)}
    sums = sum_each(db.session(), Ticket, parts, *scope.created)
    return mean(sums["seconds"], sums["count"])


def created_series(scope: FigureScope) -> list[int]:
    """How many rows were created at each point of the period."""
    return series_of(db.session(), scope.record.created_on, scope.period, *scope.conditions)


# --- calls and people


def call_counts(scope: FigureScope) -> dict[str, int]:
    """Counts and total seconds of the calls that started in the period."""
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
            "missed": direction == "Incoming" and status in MISSED,
            "did_not_pick": direction == "Outgoing" and status in NOT_PICKED,
        }
        for name in (name for name, is_match in matches.items() if is_match):
            counts[name] += number
    return counts


def top_performers(period: Period, viewer: Viewer) -> list[dict[str, Any]]:
    """[{user, full_name, leads, tickets, total}]: most leads owned and tickets assigned, created in the period."""
    leads = dict(_count_by(Lead.owner_id, FigureScope(Lead, period).created))
    tickets = dict(_count_by(Ticket.assignee_id, FigureScope(Ticket, period).created))
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
