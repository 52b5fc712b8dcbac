"""The predecessor's dashboards: a fixed number of grouped statements under the law, its old formulas mended.

Done counts as completed, Closed as resolved, Activated as converted; a week has seven days; missed calls are counted.
"""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, and_, case, func, or_, select

from app import access
from app.domain.tasks import OPEN, PRIORITIES
from app.domain.tickets import ENDED
from app.extensions import db
from app.models import CallLog, Lead, Role, Task, Ticket
from app.web.compat.arguments import Arguments
from app.web.compat.assignment import active_colleagues, role_members, username_of
from app.web.compat.calls import TASK
from app.web.compat.leads import LEAD
from app.web.compat.lists import search_documents
from app.web.compat.periods import Period, parse_period
from app.web.compat.tickets import TICKET
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer

CONVERTED = ("opened", "activated")
TOP = 5
Rules = tuple[ColumnElement[bool], ...]


def get_dashboard(arguments: Arguments) -> dict[str, Any]:
    """view, custom_start_date, custom_end_date -> figures of all that the person sees."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Dashboard", "read")
    period = parse_period(arguments, viewer)
    leads, tickets = _by_status(Lead, (), period, viewer), _by_status(Ticket, (), period, viewer)
    calls, opened = _calls((), period), _opened((), period)
    tasks = _sums(Task, {"created": period.contains(Task.created_on), **_task_sums(viewer)})
    overview = {
        "total_leads": _total(leads),
        "total_tickets": _total(tickets),
        "total_tasks": tasks["created"],
        "open_tasks": tasks["open"],
        "overdue_tasks": tasks["overdue"],
        "completed_tasks": tasks["done"],
        "total_call_logs": calls["total"],
        "missed_calls": calls["missed"],
        "avg_response_time": _answered_in((), period),
    } | opened
    return {
        "overview": overview,
        "call_analytics": calls,
        "lead_analytics": {"status_distribution": leads, "source_distribution": _by_source((), period, viewer)},
        "ticket_analytics": {"status_distribution": tickets},
        "trends": {
            "labels": [label for label, _from, _to in period.points()],
            "leads": _line(Lead, (), period),
            "tickets": _line(Ticket, (), period),
        },
        "performance": {"top_performers": _top(period, viewer)},
        "recent_activities": _recent(viewer),
        "period": _told(period),
    }


def get_user_dashboard(arguments: Arguments) -> dict[str, Any]:
    """view …, target_user_id -> figures of one person: oneself, or somebody within one's reach."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Dashboard", "read")
    user, period = _target(arguments, viewer), parse_period(arguments, viewer)
    mine = {record: (or_(record.owner_id == user, record.assignee_id == user),) for record in (Lead, Ticket, Task)}
    calls = _calls((CallLog.employee_id == user,), period)
    figures = {
        name: _compared(record, user, mine[record], period, _success(record, viewer))
        for name, record in (("leads", Lead), ("tickets", Ticket), ("tasks", Task))
    }
    overview = {
        **figures,
        "calls_made": calls["total"],
        "total_call_duration": calls["duration"],
        "avg_response_time": _answered_in(mine[Ticket], period),
        "lead_conversion_rate": _share(figures["leads"]),
        "ticket_resolution_rate": _share(figures["tickets"]),
        "task_completion_rate": _share(figures["tasks"]),
    } | _opened(mine[Lead], period)
    lines = {
        name: _line(record, mine[record], period)
        for name, record in (("leads", Lead), ("tickets", Ticket), ("tasks", Task))
    }
    return {
        "user": username_of(user, viewer),
        "overview": overview,
        "call_analytics": calls,
        "lead_analytics": {
            "status_distribution": _by_status(Lead, mine[Lead], period, viewer),
            "source_distribution": _by_source(mine[Lead], period, viewer),
        },
        "ticket_analytics": {"status_distribution": _by_status(Ticket, mine[Ticket], period, viewer)},
        "task_analytics": {"priority_distribution": _by_priority(mine[Task], period)},
        "trends": {"labels": [label for label, _from, _to in period.points()], **lines},
        "period": _told(period),
    }


def _target(arguments: Arguments, viewer: Viewer) -> int:
    if "target_user_id" not in arguments:
        return viewer.person.id
    found, reach = viewer.lookups.find_person(arguments.text("target_user_id")), viewer.person.reach("Dashboard")
    if found is None or (reach is not None and found not in reach):
        raise access.Denied(_("You can only see figures for yourself and your own team."))
    return found


def available_users(arguments: Arguments) -> list[dict[str, Any]]:
    """[{name, full_name, enabled}]: whose figures the person may ask for, himself among them."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Dashboard", "read")
    reach = viewer.person.reach("Dashboard")
    return [
        each for each in active_colleagues(viewer) if reach is None or viewer.lookups.find_person(each["name"]) in reach
    ]


def user_roles(arguments: Arguments) -> list[str]:
    """target_user_id -> the names of the roles: one's own, or of somebody within one's reach."""
    viewer = current_viewer()
    user = _target(arguments, viewer)
    if user == viewer.person.id:
        return sorted(viewer.person.roles)
    members = role_members()
    query = select(Role.name).join(members, members.c.role_id == Role.id).where(members.c.user_id == user)
    return sorted(set(db.session.scalars(query)))


def _told(period: Period) -> dict[str, str]:
    return {"from_date": period.first_day.isoformat(), "to_date": period.last_day.isoformat()}


# --- one statement each


def _sums(record: Any, parts: dict[str, ColumnElement[bool]], *rules: ColumnElement[bool]) -> dict[str, int]:
    """How many rows fit each part; one statement."""
    query = select(*[func.sum(case((part, 1), else_=0)) for part in parts.values()]).select_from(record)
    found = db.session.execute(query.where(*rules)).one()
    return {name: int(count or 0) for name, count in zip(parts, found, strict=True)}


def _task_sums(viewer: Viewer) -> dict[str, ColumnElement[bool]]:
    still = Task.status.in_(OPEN)
    return {"open": still, "overdue": and_(still, Task.due_on < viewer.now), "done": Task.status == "Done"}


def _success(record: Any, viewer: Viewer) -> ColumnElement[bool]:
    """What counts as converted, resolved, completed."""
    if record is Task:
        return Task.status == "Done"
    master, success_response = ("lead_status", CONVERTED) if record is Lead else ("ticket_status", ENDED)
    fit = [key for key, meaning in viewer.lookups.meanings[master].items() if meaning in success_response]
    rule: ColumnElement[bool] = record.status_id.in_(fit)
    return rule


def _compared(
    record: Any, user: int, mine: Rules, period: Period, success_response: ColumnElement[bool]
) -> dict[str, Any]:
    """{total, created, assigned, successful, previous, change}: this period against the one before, in percent."""
    now, was = period.contains(record.created_on), period.previous().contains(record.created_on)
    owned = and_(now, record.owner_id == user)
    parts = {"total": now, "created": owned, "successful": and_(now, success_response), "previous": was}
    found = _sums(record, parts, *mine, or_(now, was))
    change = 100.0 if found["total"] else 0.0
    if found["previous"]:
        change = round(100 * (found["total"] - found["previous"]) / found["previous"], 1)
    return {**found, "assigned": found["total"] - found["created"], "change": change}


def _share(figures: dict[str, Any]) -> float:
    return round(100 * figures["successful"] / figures["total"], 1) if figures["total"] else 0.0


def _grouped(column: Any, rules: Rules) -> list[tuple[Any, int]]:
    """[(value, count)], most first; one statement."""
    count = func.count()
    query = select(column, count).where(*rules).group_by(column).order_by(count.desc(), column)
    return [(value, number) for value, number in db.session.execute(query)]


def _by_status(record: Any, rules: Rules, period: Period, viewer: Viewer) -> list[dict[str, Any]]:
    cards = viewer.lookups.cards["lead_status" if record is Lead else "ticket_status"]
    found = _grouped(record.status_id, (*rules, period.contains(record.created_on)))
    return [
        {"status": cards[key]["label"], "color": cards[key]["color"], "count": count}
        for key, count in found
        if key in cards
    ]


def _by_source(rules: Rules, period: Period, viewer: Viewer) -> list[dict[str, Any]]:
    found = _grouped(Lead.source_id, (*rules, period.contains(Lead.created_on)))
    cards = viewer.lookups.cards["lead_source"]
    return [{"source": cards[key]["label"] if key in cards else None, "count": count} for key, count in found]


def _by_priority(rules: Rules, period: Period) -> list[dict[str, Any]]:
    found = dict(_grouped(Task.priority, (*rules, period.contains(Task.created_on))))
    return [{"priority": name, "count": found.get(name, 0)} for name in PRIORITIES]


def _total(parts: list[dict[str, Any]]) -> int:
    return sum(each["count"] for each in parts)


def _opened(rules: Rules, period: Period) -> dict[str, int]:
    opened, activated = period.contains(Lead.opened_on), period.contains(Lead.activated_on)
    parts = {"account_opened": opened, "account_activated": activated}
    return _sums(Lead, parts, *rules, or_(opened, activated))


def _calls(rules: Rules, period: Period) -> dict[str, int]:
    """Of the calls that began in the period; a call missed or not picked up is missed, whichever way it went."""
    count, seconds = func.count(), func.sum(CallLog.duration_seconds)
    query = select(CallLog.direction, CallLog.status, CallLog.cold, count, seconds)
    query = query.where(*rules, period.contains(CallLog.started_on))
    names = ("total", "incoming", "outgoing", "completed", "missed", "did_not_pick", "cold_calls", "duration")
    found = dict.fromkeys(names, 0)
    for direction, status, cold, number, length in db.session.execute(query.group_by(*query.selected_columns[:3])):
        found["total"] += number
        found["duration"] += int(length or 0)
        hit = {
            "incoming": direction == "Incoming",
            "outgoing": direction == "Outgoing",
            "cold_calls": cold,
            "completed": status == "Completed",
            "missed": status in ("Missed Call", "No Answer"),
            "did_not_pick": status == "Did Not Picked",
        }
        for name in (name for name, is_hit in hit.items() if is_hit):
            found[name] += number
    return found


def _answered_in(rules: Rules, period: Period) -> float | None:
    """Mean seconds until the first answer of the period's tickets; None when none was answered."""
    is_lite = db.session.get_bind().dialect.name == "sqlite"
    ends = (Ticket.replied_on, Ticket.created_on)
    late, early = (func.julianday(end) * 86_400 if is_lite else func.unix_timestamp(end) for end in ends)
    query = select(func.avg(late - early)).where(
        *rules, period.contains(Ticket.created_on), Ticket.replied_on.is_not(None)
    )
    found = db.session.execute(query).scalar()
    return round(float(found), 2) if found is not None else None


def _line(record: Any, rules: Rules, period: Period) -> list[int]:
    """How many were made at each point."""
    made = record.created_on
    parts = {label: and_(made >= start, made < end) for label, start, end in period.points()}
    return list(_sums(record, parts, *rules, period.contains(made)).values())


def _top(period: Period, viewer: Viewer) -> list[dict[str, Any]]:
    """The busiest by leads they own and tickets they have."""
    leads = dict(_grouped(Lead.owner_id, (period.contains(Lead.created_on),)))
    tickets = dict(_grouped(Ticket.assignee_id, (period.contains(Ticket.created_on),)))
    made = [
        {
            "user": username_of(key, viewer),
            "full_name": viewer.lookups.people[key]["full_name"],
            "leads": leads.get(key, 0),
            "tickets": tickets.get(key, 0),
            "total": leads.get(key, 0) + tickets.get(key, 0),
        }
        for key in {*leads, *tickets}
        if key in viewer.lookups.people
    ]
    return sorted(made, key=lambda each: (-each["total"], each["full_name"]))[:TOP]


def _recent(viewer: Viewer) -> list[dict[str, Any]]:
    """The three newest of each kind, newest change first."""
    kinds = [doctype for doctype in (LEAD, TICKET, TASK) if viewer.person.may(doctype.module, "read")]
    found = [doc | {"doctype": doctype.name} for doctype in kinds for doc in search_documents(doctype, "", 3, viewer)]
    return sorted(found, key=lambda doc: str(doc["modified"]), reverse=True)[:10]
