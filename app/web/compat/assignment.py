"""Methods for assignment: by round robin, to a user, in bulk; adding and removing assignees; who is assigned."""

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
from app.web.compat.doctypes import LEAD, TICKET, DocType
from app.web.compat.timestamps import local_timestamp
from app.web.compat.users import active_users, name_of, refuse_limited_key
from app.web.core.fab_access import current_viewer
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.records import assignment_actions
from app.web.records.record_form import roles_offered

#: DocTypes that have assignees.
ASSIGNABLE = (LEAD.name, TICKET.name)
_USER_ARGUMENTS = ("assign_to", "assignees", "users", "user")
_NAME_ARGUMENTS = ("doc_name", "lead_name", "ticket_name", "docname", "name")


def refuse_unless_assigner(viewer: Viewer) -> None:
    """Raise Denied for a person who may assign neither leads nor tickets."""
    if not (viewer.person.may("Leads", "assign") or viewer.person.may("Tickets", "assign")):
        raise access.Denied(_("Your role doesn't allow you to assign work to others. Ask your manager if you need it."))


def role_members() -> Any:
    """SELECT of (role_id, user_id): all users with a role, directly or through a group."""
    grouped = select(assoc_group_role.c.role_id, assoc_user_group.c.user_id).join(
        assoc_user_group, assoc_user_group.c.group_id == assoc_group_role.c.group_id
    )
    return union(select(assoc_user_role.c.role_id, assoc_user_role.c.user_id), grouped).subquery("role_members")


def active_users_by_role(viewer: Viewer) -> dict[str, list[int]]:
    """Role -> ids of its active users, for each role with a round robin; one statement."""
    members = role_members()
    found: dict[str, list[int]] = {role: [] for role in roles_offered(viewer)}
    query = select(Role.name, members.c.user_id).join(members, members.c.role_id == Role.id)
    for role, user_id in db.session.execute(query):
        if role in found and user_id in viewer.lookups.active:
            found[role].append(user_id)
    return found


def assignable_roles(arguments: Arguments) -> list[dict[str, Any]]:
    """[{name, role, user_count, users}] of the roles with a round robin."""
    viewer = current_viewer()
    refuse_limited_key(viewer.person)
    return [
        {
            "name": role,
            "role": role,
            "user_count": len(user_ids),
            "users": sorted(viewer.lookups.people[user_id]["full_name"] for user_id in user_ids),
        }
        for role, user_ids in active_users_by_role(viewer).items()
    ]


def assignable_users(arguments: Arguments) -> list[dict[str, Any]]:
    """[{name, full_name, enabled}] of active colleagues, for a person who may assign."""
    refuse_unless_assigner(current_viewer())
    refuse_limited_key(current_viewer().person)
    return active_colleagues(current_viewer())


def active_colleagues(viewer: Viewer) -> list[dict[str, Any]]:
    """[{name, email, full_name, enabled}] of active colleagues, sorted by full name."""
    names = ("name", "email", "full_name", "enabled")
    return [{name: each[name] for name in names} for each in active_users(viewer)]


def current_assignments(arguments: Arguments) -> list[dict[str, Any]]:
    """doc_name, doctype -> [{user, full_name, role, reason, assigned_on, assigned_by}], the current one first."""
    row, viewer = requested_record(arguments, "read"), current_viewer()
    current = [each for each in assignment.history(db.session(), row) if each.ended_on is None]
    current.sort(key=lambda each: (each.user_id != row.assignee_id, each.id))
    return [
        {
            "user": name_of(each.user_id, viewer),
            "full_name": viewer.lookups.people[each.user_id]["full_name"],
            "role": each.role,
            "reason": each.reason,
            "assigned_on": local_timestamp(each.started_on, viewer),
            "assigned_by": name_of(each.by_id, viewer),
        }
        for each in current
        if each.user_id in viewer.lookups.people
    ]


def _requested_doctype(arguments: Arguments) -> DocType:
    default = TICKET.name if "ticket_name" in arguments else LEAD.name
    return client.record_doctype(arguments.text("doctype", default), *ASSIGNABLE)


def requested_record(arguments: Arguments, verb: str) -> Any:
    """The lead or ticket that the arguments name. Raises NotFound, Denied."""
    return client.get_record(_requested_doctype(arguments), arguments.first_text(*_NAME_ARGUMENTS), verb)


# --- assigning


def assign_to_role(arguments: Arguments) -> dict[str, Any]:
    """doc_name, role_name -> the assigned user, chosen by round robin."""
    role, viewer = arguments.first_text("role_name", "role"), current_viewer()
    row = requested_record(arguments, "assign")
    try:
        user_id = assignment_actions.assign_by_round_robin(
            bulk_actions.ModuleAccess(_requested_doctype(arguments)), row, role, viewer
        )
    except RuleBroken as broken:
        if "role" not in broken.errors:
            raise
        text = translate_text(broken.message)
        return {"success": False, "all_assigned": True, "error": text, "message": text}
    return {"success": True, "role": role} | _assigned_result(row, user_id, viewer)


def assign_to_user(arguments: Arguments) -> dict[str, Any]:
    """doc_name, user_name -> the assigned user."""
    row, viewer = requested_record(arguments, "assign"), current_viewer()
    user_id = find_user(arguments.first_text("user_name", "user", "assigned_to", "assign_to"), viewer)
    assignment_actions.assign_directly(
        bulk_actions.ModuleAccess(_requested_doctype(arguments)), row, user_id, viewer, "direct"
    )
    return {"success": True, "role": None} | _assigned_result(row, user_id, viewer)


def _assigned_result(row: Any, user_id: int, viewer: Viewer) -> dict[str, Any]:
    text = _("%(number)s is assigned to %(name)s", number=row.number, name=viewer.lookups.people[user_id]["full_name"])
    return {"assigned_user": name_of(user_id, viewer), "message": text, "name": row.number, "task_created": False}


def find_user(username: str, viewer: Viewer) -> int:
    """The id of a colleague by username or email address. Raises RuleBroken."""
    user_id = viewer.lookups.find_person(username)
    if user_id is None:
        raise RuleBroken(_("There is no such colleague. Please choose someone else."), "user")
    return user_id


def bulk_assign_leads(arguments: Arguments) -> dict[str, Any]:
    """lead_names, users -> the result of each; a lead has one assignee, so the first user is assigned."""
    return _bulk_assign(LEAD, arguments.record_names("lead_names", "names"), arguments)


def bulk_assign_tickets(arguments: Arguments) -> dict[str, Any]:
    """names, assigned_to -> the result of each."""
    return _bulk_assign(TICKET, arguments.record_names("names", "ticket_names", "tickets"), arguments)


def _bulk_assign(doctype: DocType, names: list[str], arguments: Arguments) -> dict[str, Any]:
    viewer = current_viewer()
    user_id = find_user(arguments.record_names("users", "assigned_to", "user", "user_name")[0], viewer)
    module_access = bulk_actions.ModuleAccess(doctype)
    result = bulk_actions.apply_to_each(
        doctype,
        names,
        "assign",
        lambda row: assignment_actions.assign_directly(module_access, row, user_id, viewer, "bulk"),
    )
    return result | {"assigned_user": name_of(user_id, viewer)}


# --- adding and removing assignees


def add_assignees(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype, name, assign_to (one or more users) -> [{owner, full_name}] of all assignees.

    A ticket keeps its other assignees; a lead has only one, who is replaced.
    """
    row, viewer = requested_record(arguments, "assign"), current_viewer()
    _add_assignees(_requested_doctype(arguments), row, _requested_users(arguments, viewer), viewer)
    return _assignees(row, viewer)


def bulk_add_assignees(arguments: Arguments) -> dict[str, Any]:
    """doctype, name (a list), assign_to -> the result of each."""
    doctype, viewer = _requested_doctype(arguments), current_viewer()
    user_ids = _requested_users(arguments, viewer)
    return bulk_actions.apply_to_each(
        doctype,
        arguments.record_names("name", "names", "docnames"),
        "assign",
        lambda row: _add_assignees(doctype, row, user_ids, viewer),
    )


def _requested_users(arguments: Arguments, viewer: Viewer) -> list[int]:
    return [find_user(name, viewer) for name in arguments.record_names(*_USER_ARGUMENTS)]


def _add_assignees(doctype: DocType, row: Any, user_ids: list[int], viewer: Viewer) -> bool:
    module_access = bulk_actions.ModuleAccess(doctype)
    if doctype is TICKET:
        return sum(assignment_actions.add(module_access, row, user_id, viewer) for user_id in user_ids) > 0
    if len(user_ids) > 1:
        raise RuleBroken(_("A lead has only one assignee. Assign it to someone else instead."), "assign_to")
    return assignment_actions.assign_directly(module_access, row, user_ids[0], viewer, "direct")


def remove_assignees(arguments: Arguments) -> dict[str, Any]:
    """doctype, name, assignees -> the remaining assignees. The last assignee cannot be removed."""
    row, viewer = requested_record(arguments, "assign"), current_viewer()
    _remove_assignees(row, _requested_users(arguments, viewer), viewer)
    names = [each["owner"] for each in _assignees(row, viewer)]
    return {"success": True, "message": _("Released."), "name": row.number, "assigned_users": names}


def bulk_remove_assignees(arguments: Arguments) -> dict[str, Any]:
    """doctype, names, assign_to -> the result of each; without users all are removed, which each record refuses."""
    doctype, viewer = _requested_doctype(arguments), current_viewer()
    has_users = any(name in arguments for name in _USER_ARGUMENTS)
    user_ids = _requested_users(arguments, viewer) if has_users else None
    return bulk_actions.apply_to_each(
        doctype,
        arguments.record_names("names", "name", "docnames"),
        "assign",
        lambda row: _remove_assignees(
            row, assignment.current_assignees(db.session(), row) if user_ids is None else user_ids, viewer
        ),
    )


def _remove_assignees(row: Any, user_ids: list[int], viewer: Viewer) -> None:
    for user_id in user_ids:
        assignment.remove_assignee(db.session(), row, user_id, viewer.stamp)


def _assignees(row: Any, viewer: Viewer) -> list[dict[str, Any]]:
    cards = [viewer.lookups.person(user_id) for user_id in assignment.current_assignees(db.session(), row)]
    return [{"owner": name_of(card["id"], viewer), "full_name": card["full_name"]} for card in cards if card]
