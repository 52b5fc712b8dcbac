"""Methods about the office: colleagues, the person's own permissions, office hours and holidays."""

from __future__ import annotations

from datetime import time
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain.working_time import office_hours
from app.extensions import db
from app.models import Holiday, Role
from app.web.compat.arguments import Arguments
from app.web.compat.assignment import role_members
from app.web.compat.timestamps import local_timestamp
from app.web.compat.users import active_users, name_of, refuse_limited_key
from app.web.core.fab_access import current_viewer
from app.web.core.viewer import Viewer

#: The modules of the predecessor's permission matrix.
MODULES = ("Dashboard", "Tickets", "Leads", "Customers", "Support Pages", "Notes", "Tasks", "Call Logs")


def list_users(arguments: Arguments) -> list[list[dict[str, Any]]]:
    """[users, users of the CRM]: the public fields and the role of active colleagues, who are the same in both.

    Raises Denied for a key that is limited to modules other than Dashboard, as REST's list of colleagues does.
    """
    viewer = current_viewer()
    refuse_limited_key(viewer.person)
    roles = _role_by_name(viewer)
    found = [
        each | {"role": roles.get(each["name"]), "session_user": each["name"] == name_of(viewer.person.id, viewer)}
        for each in active_users(viewer)
    ]
    return [found, found]


def _role_by_name(viewer: Viewer) -> dict[str | None, str]:
    """The name of each active user -> one of their roles, the most powerful first; one statement."""
    members = role_members()
    query = select(members.c.user_id, Role.name).join(Role, Role.id == members.c.role_id)
    rows = [(user_id, role) for user_id, role in db.session.execute(query) if user_id in viewer.lookups.active]
    rows.sort(key=lambda row: (row[1] == access.ADMIN, "Manager" in row[1], row[1]))
    return {name_of(user_id, viewer): role for user_id, role in rows}


def module_permissions(arguments: Arguments) -> dict[str, str]:
    """Module -> None, Read or Read & Write."""
    person = current_viewer().person
    return {module: _permission(person, module) for module in MODULES}


def _permission(person: access.Person, module: str) -> str:
    if not person.may(module, "read"):
        return "None"
    return "Read & Write" if person.may(module, "create") or person.may(module, "write") else "Read"


def list_office_hours(arguments: Arguments) -> list[dict[str, Any]]:
    """One row per weekday: {workday, start_time, end_time, office_open, ranges}; a day can have several ranges."""
    office = current_viewer().lookups.office
    return [
        {
            "workday": name,
            "start_time": office_hours.span_text(ranges[0][0]) if ranges else None,
            "end_time": office_hours.span_text(ranges[-1][1]) if ranges else None,
            "office_open": int(bool(ranges)),
            "ranges": [list(map(office_hours.span_text, window)) for window in ranges],
        }
        for name, ranges in zip(office_hours.WEEKDAYS, office.week, strict=True)
    ]


def list_holidays(arguments: Arguments) -> list[dict[str, Any]]:
    """[{date, description, weekly_off, half_day}]; half_day holds the hours of a half day, else null."""
    query = select(Holiday.day, Holiday.label, Holiday.starts, Holiday.ends).order_by(Holiday.day)
    return [
        {
            "date": day.isoformat(),
            "description": label,
            "weekly_off": 0,
            "half_day": _half_day(starts, ends) if starts is not None and ends is not None else None,
        }
        for day, label, starts, ends in db.session.execute(query)
    ]


def _half_day(starts: time, ends: time) -> list[str]:
    return [str(starts), "24:00:00" if office_hours.end_text(ends) == "24:00" else str(ends)]


def office_status(arguments: Arguments) -> dict[str, Any]:
    """Whether the office is open now."""
    viewer = current_viewer()
    is_open = office_hours.is_open(viewer.lookups.office, viewer.now)
    text = _("The office is open.") if is_open else _("The office is closed.")
    return {
        "success": True,
        "is_open": is_open,
        "office_open": is_open,
        "message": text,
        "current_time": local_timestamp(viewer.now, viewer),
    }
