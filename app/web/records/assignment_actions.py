"""Assigning a lead or ticket to a person or by round robin; one record or many."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import inspect

from app.domain import assignment, round_robin
from app.domain.assignment import NewAssignee
from app.domain.base import RuleBroken
from app.extensions import db
from app.models import User
from app.web.core.viewer import Viewer
from app.web.core.views.record_service import refuse_foreign_assignee


def assign_directly(screen: Any, row: Any, chosen: int | None, viewer: Viewer, reason: str) -> bool:
    """Assign directly. Returns False if the person is assigned already. Raises Denied or RuleBroken."""
    if chosen is None:
        raise RuleBroken(_("Please choose a colleague."), "assignee")
    screen.refuse_unless_reached(row, "assign")
    if row.assignee_id == chosen:
        return False
    refuse_foreign_assignee({"assignee_id": chosen}, screen.module, viewer)
    _refuse_absent(chosen, viewer)
    _assign(row, NewAssignee(chosen, reason), viewer)
    return True


def _assign(row: Any, wanted: NewAssignee, viewer: Viewer) -> None:
    """Assign without autoflush, so that the record is written in one UPDATE at the end."""
    session = db.session()
    with session.no_autoflush:
        row.stamp(viewer.stamp)
        assignment.assign(session, row, wanted, viewer.stamp)
    session.flush()


#: Columns of User that decide whether a person is available.
_PRESENCE = ("available", "away_until", "leave_from", "leave_to", "delegate_id")


def _refuse_absent(chosen: int, viewer: Viewer, field: str = "assignee") -> None:
    """Raise RuleBroken for a person who is absent.

    The viewer's own row is partly loaded: load the rest in one query.
    """
    user = db.session.get(User, chosen)
    missing = inspect(user).unloaded.intersection(_PRESENCE) if user is not None else ()
    if missing:
        db.session.refresh(user, list(missing))
    assignment.refuse_absent(db.session(), chosen, viewer.now, field)


def assign_by_round_robin(screen: Any, row: Any, role: str, viewer: Viewer) -> int:
    """Assign by round robin, never to the current assignee. Returns the new assignee's id. Raises RuleBroken.

    The round robin covers the whole office: the person may be of another team than who assigns.
    """
    screen.refuse_unless_reached(row, "assign")
    if not role:
        raise RuleBroken(_("Please choose a role."), "role")
    had = frozenset({row.assignee_id}) if row.assignee_id else frozenset()
    decision = round_robin.take_turn(db.session(), role, viewer.now, had)
    if decision.user_id is None:
        raise RuleBroken(_("No one else with the role %(role)s is available now.", role=role), "role")
    row.assigned_role = role
    _assign(row, NewAssignee(decision.user_id, "round robin", decision), viewer)
    return decision.user_id


def add(screen: Any, row: Any, chosen: int | None, viewer: Viewer) -> bool:
    """Add an assignee beside the current ones. Returns False if they are assigned already. Raises RuleBroken."""
    if chosen is None:
        raise RuleBroken(_("Please choose a colleague."), "user")
    screen.refuse_unless_reached(row, "assign")
    if chosen in assignment.current_assignees(db.session(), row):
        return False
    refuse_foreign_assignee({"assignee_id": chosen}, screen.module, viewer)
    _refuse_absent(chosen, viewer, "user")
    return assignment.add_assignee(db.session(), row, chosen, viewer.stamp)


def already_assigned_text(chosen: int | None, viewer: Viewer) -> str:
    """The message when the person was assigned already."""
    return _("%(name)s is already assigned.", name=(viewer.lookups.person(chosen) or {}).get("full_name", "?"))


def summary_by_person(takers: Counter[int], viewer: Viewer) -> str:
    """“Ana Shah 3, Ben Shah 2”: text for a count by user id."""
    named = [((viewer.lookups.person(user) or {}).get("full_name", "?"), count) for user, count in takers.most_common()]
    return ", ".join(f"{name} {count}" for name, count in named)
