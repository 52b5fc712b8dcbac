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
from app.web.core.fields import Glass
from app.web.core.gate import glass
from app.web.core.languages import said
from app.web.pages.record_page import roles_offered
from app.web.records import assignment_actions

_WORK = ("CRM Lead", "CRM Ticket")
_NAMES = ("doc_name", "lead_name", "ticket_name", "docname", "name")


def name_of(key: int | None, seen: Glass) -> str | None:
    """The user name."""
    card = seen.cards.person(key)
    return card["username"] if card else None


def refuse_who_gives_nothing(seen: Glass) -> None:
    """Raise Denied for those who never assign anything."""
    if not (seen.who.may("Leads", "assign") or seen.who.may("Tickets", "assign")):
        raise access.Denied(_("Your role does not give work to others. Ask your manager if you need it."))


def held_roles() -> Any:
    """Who has which role, directly or through a group: (role_id, user_id)."""
    grouped = select(assoc_group_role.c.role_id, assoc_user_group.c.user_id).join(
        assoc_user_group, assoc_user_group.c.group_id == assoc_group_role.c.group_id
    )
    return union(select(assoc_user_role.c.role_id, assoc_user_role.c.user_id), grouped).subquery("held")


def in_line(seen: Glass) -> dict[str, list[int]]:
    """Role -> the ids of its active people, of the roles in which turns are given; one statement."""
    held = held_roles()
    found: dict[str, list[int]] = {role: [] for role in roles_offered(seen)}
    for role, user in db.session.execute(select(Role.name, held.c.user_id).join(held, held.c.role_id == Role.id)):
        if role in found and user in seen.cards.active:
            found[role].append(user)
    return found


def roles(asked: Arguments) -> list[dict[str, Any]]:
    """[{name, role, user_count, users}] of the roles in which turns are given."""
    seen = glass()
    return [
        {
            "name": role,
            "role": role,
            "user_count": len(users),
            "users": sorted(seen.cards.people[user]["full_name"] for user in users),
        }
        for role, users in in_line(seen).items()
    ]


def users(asked: Arguments) -> list[dict[str, Any]]:
    """[{name, full_name}] of active colleagues, for those who may give work."""
    refuse_who_gives_nothing(glass())
    return colleagues(glass())


def colleagues(seen: Glass) -> list[dict[str, Any]]:
    """The public cards of active colleagues, by name."""
    cards = [seen.cards.people[key] for key in seen.cards.active]
    made = [{"name": card["username"], "full_name": card["full_name"], "enabled": 1} for card in cards]
    return sorted(made, key=lambda each: str(each["full_name"]).casefold())


def present(asked: Arguments) -> list[dict[str, Any]]:
    """doc_name, doctype -> [{user, full_name, role, reason, assigned_on, assigned_by}], the current one first."""
    row, seen = row_named(asked, "read"), glass()
    stretches = [each for each in assignment.history(db.session(), row) if each.ended_on is None]
    stretches.sort(key=lambda each: (each.user_id != row.assignee_id, each.id))
    return [
        {
            "user": name_of(each.user_id, seen),
            "full_name": seen.cards.people[each.user_id]["full_name"],
            "role": each.role,
            "reason": each.reason,
            "assigned_on": local(each.started_on, seen),
            "assigned_by": name_of(each.by_id, seen),
        }
        for each in stretches
        if each.user_id in seen.cards.people
    ]


def _kind(asked: Arguments) -> DocType:
    usual = "CRM Ticket" if "ticket_name" in asked else "CRM Lead"
    return client.record_kind(asked.text("doctype", usual), *_WORK)


def row_named(asked: Arguments, verb: str) -> Any:
    """The lead or ticket named."""
    return client.row_of(_kind(asked), asked.first(*_NAMES), verb)


# --- giving


def to_role(asked: Arguments) -> dict[str, Any]:
    """doc_name, role_name -> who gets it, by turn."""
    role, seen = asked.first("role_name", "role"), glass()
    row = row_named(asked, "assign")
    try:
        chosen = assignment_actions.give_by_turn(bulk_actions.Side(_kind(asked)), row, role, seen)
    except RuleBroken as broken:
        if "role" not in broken.errors:
            raise
        text = said(broken.message)
        return {"success": False, "all_assigned": True, "error": text, "message": text}
    return {"success": True, "role": role} | _given(row, chosen, seen)


def to_user(asked: Arguments) -> dict[str, Any]:
    """doc_name, user_name."""
    row, seen = row_named(asked, "assign"), glass()
    chosen = _person(asked.first("user_name", "user", "assigned_to", "assign_to"), seen)
    assignment_actions.give(bulk_actions.Side(_kind(asked)), row, chosen, seen, "direct")
    return {"success": True, "role": None} | _given(row, chosen, seen)


def _given(row: Any, chosen: int, seen: Glass) -> dict[str, Any]:
    text = _("%(number)s is assigned to %(name)s", number=row.number, name=seen.cards.people[chosen]["full_name"])
    return {"assigned_user": name_of(chosen, seen), "message": text, "name": row.number, "task_created": False}


def _person(typed: str, seen: Glass) -> int:
    found = seen.cards.find_person(typed)
    if found is None:
        raise RuleBroken(_("There is no such colleague. Please choose somebody else."), "user")
    return found


def give_leads(asked: Arguments) -> dict[str, Any]:
    """lead_names, users: a lead has one assignee, so the first one gets them; the answer says who."""
    return _give_many(DOCTYPES["CRM Lead"], asked.names("lead_names", "names"), asked)


def give_tickets(asked: Arguments) -> dict[str, Any]:
    """names, assigned_to."""
    return _give_many(DOCTYPES["CRM Ticket"], asked.names("names", "ticket_names", "tickets"), asked)


def _give_many(kind: DocType, names: list[str], asked: Arguments) -> dict[str, Any]:
    seen = glass()
    chosen = _person(asked.names("users", "assigned_to", "user", "user_name")[0], seen)
    side = bulk_actions.Side(kind)
    return bulk_actions.for_each(
        kind,
        names,
        "assign",
        lambda row: assignment_actions.give(side, row, chosen, seen, "bulk"),
        assigned_user=name_of(chosen, seen),
    )


# --- as the old forms gave and took it: one more, one less


def add(asked: Arguments) -> list[dict[str, Any]]:
    """doctype, name, assign_to (one or more) -> [{owner, full_name}] of all who have it.

    They have a ticket beside the others; a lead has one assignee, so it goes from one to the other.
    """
    row, seen = row_named(asked, "assign"), glass()
    _join(_kind(asked), row, _people(asked, seen), seen)
    return _holders(row, seen)


def add_many(asked: Arguments) -> dict[str, Any]:
    """doctype, name (a list), assign_to."""
    kind, seen = _kind(asked), glass()
    chosen = _people(asked, seen)
    return bulk_actions.for_each(
        kind, asked.names("name", "names", "docnames"), "assign", lambda row: _join(kind, row, chosen, seen)
    )


def _people(asked: Arguments, seen: Glass) -> list[int]:
    return [_person(name, seen) for name in asked.names("assign_to", "assignees", "users", "user")]


def _join(kind: DocType, row: Any, chosen: list[int], seen: Glass) -> bool:
    side = bulk_actions.Side(kind)
    if kind.name == "CRM Ticket":
        return sum(assignment_actions.add(side, row, each, seen) for each in chosen) > 0
    if len(chosen) > 1:
        raise RuleBroken(_("A lead has one assignee. Please assign it to somebody else instead."), "assign_to")
    return assignment_actions.give(side, row, chosen[0], seen, "direct")


def take_away(asked: Arguments) -> dict[str, Any]:
    """doctype, name, assignees: they do not have it any more. Whoever has it alone keeps it: give it to another."""
    row, seen = row_named(asked, "assign"), glass()
    _release(row, _people(asked, seen), seen)
    names = [each["owner"] for each in _holders(row, seen)]
    return {"success": True, "message": _("Released."), "name": row.number, "assigned_users": names}


def take_away_many(asked: Arguments) -> dict[str, Any]:
    """doctype, names, assign_to: of each record for itself; nobody named means all, which a record refuses."""
    kind, seen = _kind(asked), glass()
    named = any(name in asked for name in ("assign_to", "assignees", "users", "user"))
    chosen = _people(asked, seen) if named else None
    return bulk_actions.for_each(
        kind,
        asked.names("names", "name", "docnames"),
        "assign",
        lambda row: _release(row, assignment.present(db.session(), row) if chosen is None else chosen, seen),
    )


def _release(row: Any, users: list[int], seen: Glass) -> None:
    for user in users:
        assignment.release(db.session(), row, user, seen.who.id, seen.now)


def _holders(row: Any, seen: Glass) -> list[dict[str, Any]]:
    cards = [seen.cards.person(key) for key in assignment.present(db.session(), row)]
    return [{"owner": card["username"], "full_name": card["full_name"]} for card in cards if card]
