"""Methods of the dashboards: one of all visible records, one per user."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import or_, select

from app import access
from app.domain.periods import Period
from app.extensions import db
from app.models import CallLog, Lead, Role, Task, Ticket
from app.web.compat.arguments import Arguments
from app.web.compat.assignment import active_colleagues, role_members
from app.web.compat.doctypes import LEAD, TASK, TICKET
from app.web.compat.figures import (
    FigureScope,
    account_counts,
    call_counts,
    compare_periods,
    count_by_priority,
    count_by_source,
    count_by_status,
    created_series,
    mean_reply_seconds,
    success_rate,
    task_counts,
    top_performers,
)
from app.web.compat.lists import search_documents
from app.web.compat.periods import parse_period, point_labels
from app.web.compat.users import name_of
from app.web.core.fab_access import current_viewer
from app.web.core.viewer import Viewer


def get_dashboard(arguments: Arguments) -> dict[str, Any]:
    """view, custom_start_date, custom_end_date -> figures of all records visible to the person."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Dashboard", "read")
    period = parse_period(arguments, viewer)
    leads, tickets = FigureScope(Lead, period), FigureScope(Ticket, period)
    lead_statuses, ticket_statuses = count_by_status(leads, viewer), count_by_status(tickets, viewer)
    calls, tasks = call_counts(FigureScope(CallLog, period)), task_counts(period, viewer)
    overview = {
        "total_leads": _total(lead_statuses),
        "total_tickets": _total(ticket_statuses),
        "total_tasks": tasks["created"],
        "open_tasks": tasks["open"],
        "overdue_tasks": tasks["overdue"],
        "completed_tasks": tasks["done"],
        "total_call_logs": calls["total"],
        "missed_calls": calls["missed"],
        "avg_response_time": mean_reply_seconds(tickets),
    } | account_counts(leads)
    return {
        "overview": overview,
        "call_analytics": calls,
        "lead_analytics": {
            "status_distribution": lead_statuses,
            "source_distribution": count_by_source(leads, viewer),
        },
        "ticket_analytics": {"status_distribution": ticket_statuses},
        "trends": {
            "labels": point_labels(period),
            "leads": created_series(leads),
            "tickets": created_series(tickets),
        },
        "performance": {"top_performers": top_performers(period, viewer)},
        "recent_activities": _recent_documents(viewer),
        "period": _period_dates(period),
    }


def get_user_dashboard(arguments: Arguments) -> dict[str, Any]:
    """view …, target_user_id -> figures of one user: the person, or somebody within their reach."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Dashboard", "read")
    user_id, period = _target_user(arguments, viewer), parse_period(arguments, viewer)
    scopes = {
        name: FigureScope(record, period, (or_(record.owner_id == user_id, record.assignee_id == user_id),))
        for name, record in _RECORDS.items()
    }
    leads, tickets, tasks = scopes.values()
    calls = call_counts(FigureScope(CallLog, period, (CallLog.employee_id == user_id,)))
    comparisons = {name: compare_periods(scope, user_id, viewer) for name, scope in scopes.items()}
    overview = {
        **comparisons,
        "calls_made": calls["total"],
        "total_call_duration": calls["duration"],
        "avg_response_time": mean_reply_seconds(tickets),
        "lead_conversion_rate": success_rate(comparisons["leads"]),
        "ticket_resolution_rate": success_rate(comparisons["tickets"]),
        "task_completion_rate": success_rate(comparisons["tasks"]),
    } | account_counts(leads)
    series = {name: created_series(scope) for name, scope in scopes.items()}
    return {
        "user": name_of(user_id, viewer),
        "overview": overview,
        "call_analytics": calls,
        "lead_analytics": {
            "status_distribution": count_by_status(leads, viewer),
            "source_distribution": count_by_source(leads, viewer),
        },
        "ticket_analytics": {"status_distribution": count_by_status(tickets, viewer)},
        "task_analytics": {"priority_distribution": count_by_priority(tasks)},
        "trends": {"labels": point_labels(period), **series},
        "period": _period_dates(period),
    }


#: Key in the response -> record.
_RECORDS: dict[str, Any] = {"leads": Lead, "tickets": Ticket, "tasks": Task}


def available_users(arguments: Arguments) -> list[dict[str, Any]]:
    """[{name, full_name, enabled}] of the users whose figures the person may see, including their own."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Dashboard", "read")
    reach, users = viewer.person.reach("Dashboard"), active_colleagues(viewer)
    return [user for user in users if reach is None or viewer.lookups.find_person(user["name"]) in reach]


def user_roles(arguments: Arguments) -> list[str]:
    """target_user_id -> the names of the roles of the person, or of somebody within their reach."""
    viewer = current_viewer()
    user_id = _target_user(arguments, viewer)
    if user_id == viewer.person.id:
        return sorted(viewer.person.roles)
    members = role_members()
    query = select(Role.name).join(members, members.c.role_id == Role.id).where(members.c.user_id == user_id)
    return sorted(set(db.session.scalars(query)))


def _target_user(arguments: Arguments, viewer: Viewer) -> int:
    """The id of target_user_id, by default the person's. Raises Denied for a user out of reach."""
    if "target_user_id" not in arguments:
        return viewer.person.id
    user_id, reach = viewer.lookups.find_person(arguments.text("target_user_id")), viewer.person.reach("Dashboard")
    if user_id is None or (reach is not None and user_id not in reach):
        raise access.Denied(_("You can only see figures for yourself and your own team."))
    return user_id


def _recent_documents(viewer: Viewer) -> list[dict[str, Any]]:
    """The three newest leads, tickets and tasks, last changed first."""
    doctypes = [doctype for doctype in (LEAD, TICKET, TASK) if viewer.person.may(doctype.module, "read")]
    documents = [doc | {"doctype": doctype.name} for doctype in doctypes for doc in search_documents(doctype, "", 3)]
    return sorted(documents, key=lambda doc: str(doc["modified"]), reverse=True)[:10]


def _total(parts: list[dict[str, Any]]) -> int:
    return sum(each["count"] for each in parts)


def _period_dates(period: Period) -> dict[str, str]:
    return {"from_date": period.first_day.isoformat(), "to_date": period.last_day.isoformat()}
