"""Methods for the round robin of a role: next and last user, who is assigned already, history, reset."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain import assignment, round_robin
from app.domain.audit_log import audit
from app.domain.base import RuleBroken, translatable
from app.domain.people.users import get_role
from app.extensions import db
from app.models import Assignment, Lead, RoundRobin, Ticket
from app.web.compat.arguments import Arguments
from app.web.compat.assignment import active_users_by_role, refuse_unless_assigner, requested_record
from app.web.compat.doctypes import LEAD, TICKET
from app.web.compat.timestamps import local_timestamp
from app.web.compat.users import name_of
from app.web.core.fab_access import current_viewer
from app.web.core.viewer import Viewer


def preview_next_assignment(arguments: Arguments) -> dict[str, Any]:
    """role_name -> the next user; changes nothing."""
    refuse_unless_assigner(current_viewer())
    viewer, role = current_viewer(), get_role(db.session(), arguments.first_text("role_name", "role"))
    return _next_user(_load_line(role), viewer) | {"role": role.name}


def role_status(arguments: Arguments) -> dict[str, Any]:
    """role_name -> its users, the last one assigned and the next one."""
    refuse_unless_assigner(current_viewer())
    viewer, role = current_viewer(), get_role(db.session(), arguments.first_text("role_name", "role"))
    line = _load_line(role)
    users = [name_of(place.user.id, viewer) for place in line.places if place.user.id in viewer.lookups.active]
    return _next_user(line, viewer) | {
        "role": role.name,
        "users": users,
        "total_users": len(users),
        "last_user": name_of(line.last_user_id, viewer),
    }


def _load_line(role: Any) -> round_robin.RoundRobinLine:
    last = db.session.execute(select(RoundRobin.last_user_id).where(RoundRobin.role_id == role.id)).scalar()
    return round_robin.load_line(db.session(), role, last)


def _next_user(line: round_robin.RoundRobinLine, viewer: Viewer) -> dict[str, Any]:
    next_turns = round_robin.preview_turns(line, viewer.now, 1)
    card = viewer.lookups.person(next_turns[0].user_id if next_turns else None)
    return {
        "success": card is not None,
        "next_user": name_of(card["id"], viewer) if card else None,
        "full_name": card["full_name"] if card else None,
    }


def all_assigned(arguments: Arguments) -> dict[str, Any]:
    """role_name, doc_name, doctype -> {all_assigned, total_users, assigned_users, eligible_users}."""
    row, role = requested_record(arguments, "read"), arguments.first_text("role_name", "role")
    return _assignees_by_role(row, [role], current_viewer())[role]


def all_assigned_by_role(arguments: Arguments) -> dict[str, Any]:
    """roles, doc_name, doctype -> role -> the result of `all_assigned`."""
    row, viewer = requested_record(arguments, "read"), current_viewer()
    return _assignees_by_role(row, arguments.record_names("roles", "role_name"), viewer)


def _assignees_by_role(row: Any, roles: list[str], viewer: Viewer) -> dict[str, Any]:
    """For each role, its assigned and unassigned users. Raises RuleBroken for a role without a round robin."""
    users_by_role, assignees = active_users_by_role(viewer), set(assignment.current_assignees(db.session(), row))
    result = {}
    for role in roles:
        if role not in users_by_role:
            raise RuleBroken(translatable("There is no role named “%(name)s”.", name=role[:64]), "role")
        users = users_by_role[role]
        assigned = [str(name_of(user_id, viewer)) for user_id in users if user_id in assignees]
        eligible = [str(name_of(user_id, viewer)) for user_id in users if user_id not in assignees]
        result[role] = {
            "role": role,
            "all_assigned": not eligible,
            "total_users": len(users),
            "assigned_users": sorted(assigned),
            "eligible_users": sorted(eligible),
        }
    return result


def assignment_history(arguments: Arguments) -> list[dict[str, Any]]:
    """role_name, limit (5) -> its newest assignments, of records visible to the person."""
    viewer, role = current_viewer(), arguments.first_text("role_name", "role")
    refuse_unless_assigner(viewer)
    query = select(Assignment, Lead.number, Ticket.number).outerjoin(Lead, Lead.id == Assignment.lead_id)
    query = query.outerjoin(Ticket, Ticket.id == Assignment.ticket_id).where(Assignment.role == role)
    rows = db.session.execute(query.order_by(Assignment.id.desc()).limit(arguments.integer("limit", 5, 1, 100)))
    return [
        {
            "user": name_of(each.user_id, viewer),
            "document_type": LEAD.name if each.lead_id else TICKET.name,
            "document_name": lead or ticket,
            "assigned_on": local_timestamp(each.started_on, viewer),
            "assigned_by": name_of(each.by_id, viewer),
        }
        for each, lead, ticket in rows
    ]


def reset_role(arguments: Arguments) -> dict[str, Any]:
    """role_name: the first user is next; writes an audit entry."""
    viewer, role, session = current_viewer(), arguments.first_text("role_name", "role"), db.session()
    viewer.person.refuse_unless("Settings", "write")
    round_robin.set_next(session, role, None, viewer.now)
    with access.as_system(session):  # the audit chain needs the previous entry, whoever wrote it
        audit.write(session, "turn change", viewer.person.id, viewer.now, about=f"role {role}"[:190], begins_with=None)
    return {"success": True, "message": _("The round robin of %(role)s starts over.", role=role), "role": role}
