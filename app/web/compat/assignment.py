"""The predecessor's methods for giving work: by role in turn, to a person, for many, one more, one less; who has it."""

from __future__ import annotations

from typing import Any

from flask_appbuilder.security.sqla.models import assoc_group_role, assoc_user_group, assoc_user_role
from flask_babel import gettext as _
from sqlalchemy import select, union

from app import access
from app.domain import assignment
from app.domain.base import RuleBroken
from app.extensions import db
from app.models import Role
from app.web.compat import bulk_actions, client
from app.web.compat.arguments import Arguments
from app.web.compat.child_rows import local
from app.web.compat.doctypes import DOCTYPES, DocType
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer
from app.web.core.languages import said
from app.web.records import assignment_actions
from app.web.records.record_page import roles_offered

_WORK = ("CRM Lead", "CRM Ticket")
_NAMES = ("doc_name", "lead_name", "ticket_name", "docname", "name")


def name_of(key: int | None, viewer: Viewer) -> str | None:
    """The user name."""
    card = viewer.lookups.person(key)
    return card["username"] if card else None


def refuse_who_gives_nothing(viewer: Viewer) -> None:
    """Raise Denied for those who never assign anything."""
    if not (viewer.person.may("Leads", "assign") or viewer.person.may("Tickets", "assign")):
        raise access.Denied(_("Your role does not give work to others. Ask your manager if you need it."))


def held_roles() -> Any:
    """Who has which role, directly or through a group: (role_id, user_id)."""
    grouped = select(assoc_group_role.c.role_id, assoc_user_group.c.user_id).join(
        assoc_user_group, assoc_user_group.c.group_id == assoc_group_role.c.group_id
    )
    return union(select(assoc_user_role.c.role_id, assoc_user_role.c.user_id), grouped).subquery("held")


def in_line(viewer: Viewer) -> dict[str, list[int]]:
    """Role -> the ids of its active people, of the roles in which turns are given; one statement."""
    held = held_roles()
    found: dict[str, list[int]] = {role: [] for role in roles_offered(viewer)}
    for role, user in db.session.execute(select(Role.name, held.c.user_id).join(held, held.c.role_id == Role.id)):
        if role in found and user in viewer.lookups.active:
            found[role].append(user)
    return found


def roles(arguments: Arguments) -> list[dict[str, Any]]:
    """[{name, role, user_count, users}] of the roles in which turns are given."""
    viewer = current_viewer()
    return [
        {
            "name": role,
            "role": role,
            "user_count": len(users),
            "users": sorted(viewer.lookups.people[user]["full_name"] for user in users),
        }
        for role, users in in_line(viewer).items()
    ]


def users(arguments: Arguments) -> list[dict[str, Any]]:
    """[{name, full_name}] of active colleagues, for those who may give work."""
    refuse_who_gives_nothing(current_viewer())
    return colleagues(current_viewer())


def colleagues(viewer: Viewer) -> list[dict[str, Any]]:
    """The public cards of active colleagues, by name."""
    cards = [viewer.lookups.people[key] for key in viewer.lookups.active]
    made = [{"name": card["username"], "full_name": card["full_name"], "enabled": 1} for card in cards]
    return sorted(made, key=lambda each: str(each["full_name"]).casefold())


def present(arguments: Arguments) -> list[dict[str, Any]]:
    """doc_name, doctype -> [{user, full_name, role, reason, assigned_on, assigned_by}], the current one first."""
    row, viewer = row_named(arguments, "read"), current_viewer()
    stretches = [each for each in assignment.history(db.session(), row) if each.ended_on is None]
    stretches.sort(key=lambda each: (each.user_id != row.assignee_id, each.id))
    return [
        {
            "user": name_of(each.user_id, viewer),
            "full_name": viewer.lookups.people[each.user_id]["full_name"],
            "role": each.role,
            "reason": each.reason,
            "assigned_on": local(each.started_on, viewer),
            "assigned_by": name_of(each.by_id, viewer),
        }
        for each in stretches
        if each.user_id in viewer.lookups.people
    ]


def _kind(arguments: Arguments) -> DocType:
    usual = "CRM Ticket" if "ticket_name" in arguments else "CRM Lead"
    return client.record_kind(arguments.text("doctype", usual), *_WORK)


def row_named(arguments: Arguments, verb: str) -> Any:
    """The lead or ticket named."""
    return client.row_of(_kind(arguments), arguments.first(*_NAMES), verb)


# --- giving


def to_role(arguments: Arguments) -> dict[str, Any]:
    """doc_name, role_name -> who gets it, by turn."""
    role, viewer = arguments.first("role_name", "role"), current_viewer()
    row = row_named(arguments, "assign")
    try:
        chosen = assignment_actions.give_by_turn(bulk_actions.Side(_kind(arguments)), row, role, viewer)
    except RuleBroken as broken:
        if "role" not in broken.errors:
            raise
        text = said(broken.message)
        return {"success": False, "all_assigned": True, "error": text, "message": text}
    return {"success": True, "role": role} | _given(row, chosen, viewer)


def to_user(arguments: Arguments) -> dict[str, Any]:
    """doc_name, user_name."""
    row, viewer = row_named(arguments, "assign"), current_viewer()
    chosen = _person(arguments.first("user_name", "user", "assigned_to", "assign_to"), viewer)
    assignment_actions.give(bulk_actions.Side(_kind(arguments)), row, chosen, viewer, "direct")
    return {"success": True, "role": None} | _given(row, chosen, viewer)


def _given(row: Any, chosen: int, viewer: Viewer) -> dict[str, Any]:
    text = _("%(number)s is assigned to %(name)s", number=row.number, name=viewer.lookups.people[chosen]["full_name"])
    return {"assigned_user": name_of(chosen, viewer), "message": text, "name": row.number, "task_created": False}


def _person(typed: str, viewer: Viewer) -> int:
    found = viewer.lookups.find_person(typed)
    if found is None:
        raise RuleBroken(_("There is no such colleague. Please choose somebody else."), "user")
    return found


def give_leads(arguments: Arguments) -> dict[str, Any]:
    """lead_names, users: a lead has one assignee, so the first one gets them; the answer says who."""
    return _give_many(DOCTYPES["CRM Lead"], arguments.names("lead_names", "names"), arguments)


def give_tickets(arguments: Arguments) -> dict[str, Any]:
    """names, assigned_to."""
    return _give_many(DOCTYPES["CRM Ticket"], arguments.names("names", "ticket_names", "tickets"), arguments)


def _give_many(kind: DocType, names: list[str], arguments: Arguments) -> dict[str, Any]:
    viewer = current_viewer()
    chosen = _person(arguments.names("users", "assigned_to", "user", "user_name")[0], viewer)
    side = bulk_actions.Side(kind)
    return bulk_actions.for_each(
        kind,
        names,
        "assign",
        lambda row: assignment_actions.give(side, row, chosen, viewer, "bulk"),
        assigned_user=name_of(chosen, viewer),
    )


# --- as the old forms gave and took it: one more, one less


def add(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype, name, assign_to (one or more) -> [{owner, full_name}] of all who have it.

    They have a ticket beside the others; a lead has one assignee, so it goes from one to the other.
    """
    row, viewer = row_named(arguments, "assign"), current_viewer()
    _join(_kind(arguments), row, _people(arguments, viewer), viewer)
    return _holders(row, viewer)


def add_many(arguments: Arguments) -> dict[str, Any]:
    """doctype, name (a list), assign_to."""
    kind, viewer = _kind(arguments), current_viewer()
    chosen = _people(arguments, viewer)
    return bulk_actions.for_each(
        kind, arguments.names("name", "names", "docnames"), "assign", lambda row: _join(kind, row, chosen, viewer)
    )


def _people(arguments: Arguments, viewer: Viewer) -> list[int]:
    return [_person(name, viewer) for name in arguments.names("assign_to", "assignees", "users", "user")]


def _join(kind: DocType, row: Any, chosen: list[int], viewer: Viewer) -> bool:
    side = bulk_actions.Side(kind)
    if kind.name == "CRM Ticket":
        return sum(assignment_actions.add(side, row, each, viewer) for each in chosen) > 0
    if len(chosen) > 1:
        raise RuleBroken(_("A lead has one assignee. Please assign it to somebody else instead."), "assign_to")
    return assignment_actions.give(side, row, chosen[0], viewer, "direct")


def take_away(arguments: Arguments) -> dict[str, Any]:
    """doctype, name, assignees: they do not have it any more. Whoever has it alone keeps it: give it to another."""
    row, viewer = row_named(arguments, "assign"), current_viewer()
    _release(row, _people(arguments, viewer), viewer)
    names = [each["owner"] for each in _holders(row, viewer)]
    return {"success": True, "message": _("Released."), "name": row.number, "assigned_users": names}


def take_away_many(arguments: Arguments) -> dict[str, Any]:
    """doctype, names, assign_to: of each record for itself; nobody named means all, which a record refuses."""
    kind, viewer = _kind(arguments), current_viewer()
    named = any(name in arguments for name in ("assign_to", "assignees", "users", "user"))
    chosen = _people(arguments, viewer) if named else None
    return bulk_actions.for_each(
        kind,
        arguments.names("names", "name", "docnames"),
        "assign",
        lambda row: _release(
            row, assignment.current_assignees(db.session(), row) if chosen is None else chosen, viewer
        ),
    )


def _release(row: Any, users: list[int], viewer: Viewer) -> None:
    for user in users:
        assignment.remove_assignee(db.session(), row, user, viewer.person.id, viewer.now)


def _holders(row: Any, viewer: Viewer) -> list[dict[str, Any]]:
    cards = [viewer.lookups.person(key) for key in assignment.current_assignees(db.session(), row)]
    return [{"owner": card["username"], "full_name": card["full_name"]} for card in cards if card]
