"""Escalating a ticket: one priority higher, and to somebody else if they are named."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.domain.tickets import PRIORITIES
from app.web.compat import bulk_actions, client
from app.web.compat.arguments import Arguments
from app.web.compat.assignment import find_user
from app.web.compat.doctypes import TICKET
from app.web.compat.html_text import html_to_text
from app.web.compat.notes import write_note
from app.web.compat.users import name_of
from app.web.core.fab_access import current_viewer
from app.web.records import assignment_actions

_USER_ARGUMENTS = ("escalate_to", "escalated_to", "assigned_to", "assign_to", "user")


def escalate(arguments: Arguments) -> dict[str, Any]:
    """ticket, escalate_to, reason -> its new priority and assignee; the reason becomes a note.

    An urgent ticket can only be given to somebody else. Raises RuleBroken if nothing would change.
    """
    viewer, name = current_viewer(), arguments.first_text("ticket_name", "ticket", "name")
    row, reason = client.get_record(TICKET, name, "write"), html_to_text(arguments.text("reason", ""))
    given = next((arguments.text(each) for each in _USER_ARGUMENTS if each in arguments), "")
    taker = find_user(given, viewer) if given else None
    higher = PRIORITIES[PRIORITIES.index(row.priority) + 1 :]
    if not higher and taker is None:
        raise RuleBroken(_("The ticket is urgent already. Name somebody to whom it is given."), "escalate_to")
    if higher:
        bulk_actions.update_record(TICKET, row, {"priority": higher[0]}, viewer)
    if reason:
        write_note(row, reason, viewer)
    if taker is not None:
        access = bulk_actions.ModuleAccess(TICKET)
        access.refuse_unless_reached(row, "assign")
        assignment_actions.assign_directly(access, row, taker, viewer, "direct")
    assignee = name_of(row.assignee_id, viewer)
    return {"success": True, "name": row.number, "priority": row.priority, "assigned_to": assignee}
