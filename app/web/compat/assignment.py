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
from app.web.compat.child_rows import local_timestamp
from app.web.compat.doctypes import DOCTYPES, DocType
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer
from app.web.core.languages import said
from app.web.records import assignment_actions
from app.web.records.record_page import roles_offered

ASSIGNABLE = ("CRM Lead", "CRM Ticket")
_NAME_ARGUMENTS = ("doc_name", "lead_name", "ticket_name", "docname", "name")


def username_of(key: int | None, viewer: Viewer) -> str | None:
    """The user name."""
    card = viewer.lookups.person(key)
    return card["username"] if card else None


def refuse_unless_assigner(viewer: Viewer) -> None:
    """Raise Denied for those who never assign anything."""
    if not (viewer.person.may("Leads", "assign") or viewer.person.may("Tickets", "assign")):
        raise access.Denied(_("Your role doesn't allow you to assign work to others. Ask your manager if you need it."))


def role_members() -> Any:
    """Who has which role, directly or through a group: (role_id, user_id)."""
    grouped = select(assoc_group_role.c.role_id, assoc_user_group.c.user_id).join(
        assoc_user_group, assoc_user_group.c.group_id == assoc_group_role.c.group_id
    )
    return union(select(assoc_user_role.c.role_id, assoc_user_role.c.user_id), grouped).subquery("held")


def active_users_by_role(viewer: Viewer) -> dict[str, list[int]]:
    """Role -> the ids of its active people, of the roles in which turns are given; one statement."""
    members = role_members()
    found: dict[str, list[int]] = {role: [] for role in roles_offered(viewer)}
    for role, user in db.session.execute(
        select(Role.name, members.c.user_id).join(members, members.c.role_id == Role.id)
    ):
        if role in found and user in viewer.lookups.active:
            found[role].append(user)
    return found


def assignable_roles(arguments: Arguments) -> list[dict[str, Any]]:
    """[{name, role, user_count, users}] of the roles in which turns are given."""
    viewer = current_viewer()
    return [
        {
            "name": role,
            "role": role,
            "user_count": len(users),
            "users": sorted(viewer.lookups.people[user]["full_name"] for user in users),
        }
        for role, users in active_users_by_role(viewer).items()
    ]


def assignable_users(arguments: Arguments) -> list[dict[str, Any]]:
    """[{name, full_name}] of active colleagues, for those who may give work."""
    refuse_unless_assigner(current_viewer())
    return active_colleagues(current_viewer())


def active_colleagues(viewer: Viewer) -> list[dict[str, Any]]:
    """The public cards of active colleagues, by name."""
    cards = [viewer.lookups.people[key] for key in viewer.lookups.active]
    made = [{"name": card["username"], "full_name": card["full_name"], "enabled": 1} for card in cards]
    return sorted(made, key=lambda each: str(each["full_name"]).casefold())


def current_assignments(arguments: Arguments) -> list[dict[str, Any]]:
    """doc_name, doctype -> [{user, full_name, role, reason, assigned_on, assigned_by}], the current one first."""
    row, viewer = requested_record(arguments, "read"), current_viewer()
    stretches = [each for each in assignment.history(db.session(), row) if each.ended_on is None]
    stretches.sort(key=lambda each: (each.user_id != row.assignee_id, each.id))
    return [
        {
            "user": username_of(each.user_id, viewer),
            "full_name": viewer.lookups.people[each.user_id]["full_name"],
            "role": each.role,
            "reason": each.reason,
            "assigned_on": local_timestamp(each.started_on, viewer),
            "assigned_by": username_of(each.by_id, viewer),
        }
        for each in stretches
        if each.user_id in viewer.lookups.people
    ]


def _requested_doctype(arguments: Arguments) -> DocType:
    usual = "CRM Ticket" if "ticket_name" in arguments else "CRM Lead"
    return client.record_doctype(arguments.text("doctype", usual), *ASSIGNABLE)


def requested_record(arguments: Arguments, verb: str) -> Any:
    """The lead or ticket named."""
    return client.get_record(_requested_doctype(arguments), arguments.first_text(*_NAME_ARGUMENTS), verb)


# --- giving


def assign_to_role(arguments: Arguments) -> dict[str, Any]:
    """doc_name, role_name -> who gets it, by turn."""
    role, viewer = arguments.first_text("role_name", "role"), current_viewer()
    row = requested_record(arguments, "assign")
    try:
        user_id = assignment_actions.give_by_turn(
            bulk_actions.ModuleAccess(_requested_doctype(arguments)), row, role, viewer
        )
    except RuleBroken as broken:
        if "role" not in broken.errors:
            raise
        text = said(broken.message)
        return {"success": False, "all_assigned": True, "error": text, "message": text}
    return {"success": True, "role": role} | _assigned_result(row, user_id, viewer)


def assign_to_user(arguments: Arguments) -> dict[str, Any]:
    """doc_name, user_name."""
    row, viewer = requested_record(arguments, "assign"), current_viewer()
    user_id = _find_user(arguments.first_text("user_name", "user", "assigned_to", "assign_to"), viewer)
    assignment_actions.give(bulk_actions.ModuleAccess(_requested_doctype(arguments)), row, user_id, viewer, "direct")
    return {"success": True, "role": None} | _assigned_result(row, user_id, viewer)


def _assigned_result(row: Any, user_id: int, viewer: Viewer) -> dict[str, Any]:
    text = _("%(number)s is assigned to %(name)s", number=row.number, name=viewer.lookups.people[user_id]["full_name"])
    return {"assigned_user": username_of(user_id, viewer), "message": text, "name": row.number, "task_created": False}


def _find_user(typed: str, viewer: Viewer) -> int:
    found = viewer.lookups.find_person(typed)
    if found is None:
        raise RuleBroken(_("There is no such colleague. Please choose someone else."), "user")
    return found


def bulk_assign_leads(arguments: Arguments) -> dict[str, Any]:
    """lead_names, users: a lead has one assignee, so the first one gets them; the answer says who."""
    return _bulk_assign(DOCTYPES["CRM Lead"], arguments.record_names("lead_names", "names"), arguments)


def bulk_assign_tickets(arguments: Arguments) -> dict[str, Any]:
    """names, assigned_to."""
    return _bulk_assign(DOCTYPES["CRM Ticket"], arguments.record_names("names", "ticket_names", "tickets"), arguments)


def _bulk_assign(doctype: DocType, names: list[str], arguments: Arguments) -> dict[str, Any]:
    viewer = current_viewer()
    user_id = _find_user(arguments.record_names("users", "assigned_to", "user", "user_name")[0], viewer)
    module_access = bulk_actions.ModuleAccess(doctype)
    return bulk_actions.apply_to_each(
        doctype,
        names,
        "assign",
        lambda row: assignment_actions.give(module_access, row, user_id, viewer, "bulk"),
        assigned_user=username_of(user_id, viewer),
    )


# --- as the old forms gave and took it: one more, one less


def add_assignees(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype, name, assign_to (one or more) -> [{owner, full_name}] of all who have it.

    They have a ticket beside the others; a lead has one assignee, so it goes from one to the other.
    """
    row, viewer = requested_record(arguments, "assign"), current_viewer()
    _add_assignees(_requested_doctype(arguments), row, _requested_users(arguments, viewer), viewer)
    return _assignees(row, viewer)


def bulk_add_assignees(arguments: Arguments) -> dict[str, Any]:
    """doctype, name (a list), assign_to."""
    doctype, viewer = _requested_doctype(arguments), current_viewer()
    user_id = _requested_users(arguments, viewer)
    return bulk_actions.apply_to_each(
        doctype,
        arguments.record_names("name", "names", "docnames"),
        "assign",
        lambda row: _add_assignees(doctype, row, user_id, viewer),
    )


def _requested_users(arguments: Arguments, viewer: Viewer) -> list[int]:
    return [_find_user(name, viewer) for name in arguments.record_names("assign_to", "assignees", "users", "user")]


def _add_assignees(doctype: DocType, row: Any, user_id: list[int], viewer: Viewer) -> bool:
    module_access = bulk_actions.ModuleAccess(doctype)
    if doctype.name == "CRM Ticket":
        return sum(assignment_actions.add(module_access, row, each, viewer) for each in user_id) > 0
    if len(user_id) > 1:
        raise RuleBroken(_("A lead has only one assignee. Assign it to someone else instead."), "assign_to")
    return assignment_actions.give(module_access, row, user_id[0], viewer, "direct")


def remove_assignees(arguments: Arguments) -> dict[str, Any]:
    """doctype, name, assignees: they do not have it any more. Whoever has it alone keeps it: give it to another."""
    row, viewer = requested_record(arguments, "assign"), current_viewer()
    _remove_assignees(row, _requested_users(arguments, viewer), viewer)
    names = [each["owner"] for each in _assignees(row, viewer)]
    return {"success": True, "message": _("Released."), "name": row.number, "assigned_users": names}


def bulk_remove_assignees(arguments: Arguments) -> dict[str, Any]:
    """doctype, names, assign_to: of each record for itself; nobody named means all, which a record refuses."""
    doctype, viewer = _requested_doctype(arguments), current_viewer()
    named = any(name in arguments for name in ("assign_to", "assignees", "users", "user"))
    user_id = _requested_users(arguments, viewer) if named else None
    return bulk_actions.apply_to_each(
        doctype,
        arguments.record_names("names", "name", "docnames"),
        "assign",
        lambda row: _remove_assignees(
            row, assignment.current_assignees(db.session(), row) if user_id is None else user_id, viewer
        ),
    )


def _remove_assignees(row: Any, users: list[int], viewer: Viewer) -> None:
    for user in users:
        assignment.remove_assignee(db.session(), row, user, viewer.person.id, viewer.now)


def _assignees(row: Any, viewer: Viewer) -> list[dict[str, Any]]:
    cards = [viewer.lookups.person(key) for key in assignment.current_assignees(db.session(), row)]
    return [{"owner": card["username"], "full_name": card["full_name"]} for card in cards if card]
