"""What the predecessor's clients ask about the house: colleagues, one's rights, office hours and holidays."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.domain import office_hours
from app.extensions import db
from app.models import Holiday
from app.web.compat.arguments import Arguments
from app.web.compat.child_rows import local_timestamp
from app.web.core.gate import current_viewer

#: The predecessor's modules; its matrix knew no others.
MODULES = ("Dashboard", "Tickets", "Leads", "Customers", "Support Pages", "Notes", "Tasks", "Call Logs")


def list_users(arguments: Arguments) -> list[list[dict[str, Any]]]:
    """[all, those who work here]: public cards."""
    cards = current_viewer().lookups
    all_users = [
        {
            "name": card["username"],
            "full_name": card["full_name"],
            "first_name": card["full_name"].partition(" ")[0],
            "user_image": None,
            "enabled": int(key in cards.active),
        }
        for key, card in cards.people.items()
    ]
    all_users.sort(key=lambda each: str(each["full_name"]).casefold())
    return [all_users, [each for each in all_users if each["enabled"]]]


def module_permissions(arguments: Arguments) -> dict[str, str]:
    """Module -> None, Read, or Read & Write."""
    person = current_viewer().person
    writes = {name: any(person.may(name, verb) for verb in ("create", "write")) for name in MODULES}
    return {
        name: ("Read & Write" if writes[name] else "Read") if person.may(name, "read") else "None" for name in MODULES
    }


def list_office_hours(arguments: Arguments) -> list[dict[str, Any]]:
    """A row a weekday: {workday, start_time, end_time, office_open, ranges}; a day may have several ranges."""
    office = current_viewer().lookups.office
    return [
        {
            "workday": name,
            "start_time": str(ranges[0][0]) if ranges else None,
            "end_time": str(ranges[-1][1]) if ranges else None,
            "office_open": int(bool(ranges)),
            "ranges": [[str(starts), str(ends)] for starts, ends in ranges],
        }
        for name, ranges in zip(office_hours.WEEKDAYS, office.week, strict=True)
    ]


def list_holidays(arguments: Arguments) -> list[dict[str, Any]]:
    """[{date, description, weekly_off}]; a half day has its hours."""
    query = select(Holiday.day, Holiday.label, Holiday.starts, Holiday.ends).order_by(Holiday.day)
    return [
        {
            "date": day.isoformat(),
            "description": label,
            "weekly_off": 0,
            "half_day": [str(starts), str(ends)] if starts and ends else None,
        }
        for day, label, starts, ends in db.session.execute(query)
    ]


def office_status(arguments: Arguments) -> dict[str, Any]:
    """Whether the office is open at this moment."""
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
