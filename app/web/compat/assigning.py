"""The predecessor's methods for giving work: by role in turn, to a person, for many; who has what, whose turn it is."""

from __future__ import annotations

from typing import Any

from flask_appbuilder.security.sqla.models import assoc_group_role, assoc_user_group, assoc_user_role
from flask_babel import gettext as _
from sqlalchemy import select, union

from app import access
from app.domain import assignment, audit, team
from app.domain.base import RuleBroken
from app.extensions import db
from app.models import Assignment, Lead, Role, RoundRobin, Ticket
from app.web import giving
from app.web.compat import client, steps
from app.web.compat.arguments import Arguments
from app.web.compat.children import local
from app.web.compat.doctypes import DOCTYPES, DocType
from app.web.fields import Glass
from app.web.gate import glass
from app.web.languages import said
from app.web.record import roles_offered

_WORK = ("CRM Lead", "CRM Ticket")
_NAMES = ("doc_name", "lead_name", "ticket_name", "docname", "name")


def name_of(key: int | None, seen: Glass) -> str | None:
    """The user name."""
    card = seen.cards.person(key)
    return card["username"] if card else None


def _refuse_who_gives_nothing(seen: Glass) -> None:
    if not (seen.who.may("Leads", "assign") or seen.who.may("Tickets", "assign")):
        raise access.Denied(_("Your role does not give work to others. Ask your manager if you need it."))


def roles(asked: Arguments) -> list[dict[str, Any]]:
    """[{name, role, user_count, users}] of the roles in which turns are given."""
    seen = glass()
    grouped = select(assoc_group_role.c.role_id, assoc_user_group.c.user_id).join(
        assoc_user_group, assoc_user_group.c.group_id == assoc_group_role.c.group_id
    )
    held = union(select(assoc_user_role.c.role_id, assoc_user_role.c.user_id), grouped).subquery("held")
    found: dict[str, list[str]] = {role: [] for role in roles_offered(seen)}
    for role, user in db.session.execute(select(Role.name, held.c.user_id).join(held, held.c.role_id == Role.id)):
        if role in found and user in seen.cards.active:
            found[role].append(seen.cards.people[user]["full_name"])
    return [{"name": role, "role": role, "user_count": len(users), "users": sorted(users)}
            for role, users in found.items()]  # fmt: skip


def users(asked: Arguments) -> list[dict[str, Any]]:
    """[{name, full_name}] of active colleagues, for those who may give work."""
    _refuse_who_gives_nothing(glass())
    return colleagues(glass())


def colleagues(seen: Glass) -> list[dict[str, Any]]:
    """The public cards of active colleagues, by name."""
    cards = [seen.cards.people[key] for key in seen.cards.active]
    made = [{"name": card["username"], "full_name": card["full_name"], "enabled": 1} for card in cards]
    return sorted(made, key=lambda each: str(each["full_name"]).casefold())


def present(asked: Arguments) -> list[dict[str, Any]]:
    """doc_name, doctype -> [{user, full_name, role, reason, assigned_on, assigned_by}], the current one first."""
    row, seen = _row(asked, "read"), glass()
    stretches = [each for each in assignment.history(db.session(), row) if each.ended_on is None]
    stretches.sort(key=lambda each: (each.user_id != row.assignee_id, each.id))
    return [
        {"user": name_of(each.user_id, seen), "full_name": seen.cards.people[each.user_id]["full_name"],
         "role": each.role, "reason": each.reason, "assigned_on": local(each.started_on, seen),
         "assigned_by": name_of(each.by_id, seen)}
        for each in stretches if each.user_id in seen.cards.people
    ]  # fmt: skip


def _kind(asked: Arguments) -> DocType:
    usual = "CRM Ticket" if "ticket_name" in asked else "CRM Lead"
    return client.record_kind(asked.text("doctype", usual), *_WORK)


def _row(asked: Arguments, verb: str) -> Any:
    return client.row_of(_kind(asked), asked.first(*_NAMES), verb)


# --- giving


def to_role(asked: Arguments) -> dict[str, Any]:
    """doc_name, role_name -> who gets it, by turn."""
    role, seen = asked.first("role_name", "role"), glass()
    row = _row(asked, "assign")
    try:
        chosen = giving.give_by_turn(steps.Side(_kind(asked)), row, role, seen)
    except RuleBroken as broken:
        if "role" not in broken.errors:
            raise
        text = said(broken.message)
        return {"success": False, "all_assigned": True, "error": text, "message": text}
    return {"success": True, "role": role} | _given(row, chosen, seen)


def to_user(asked: Arguments) -> dict[str, Any]:
    """doc_name, user_name."""
    row, seen = _row(asked, "assign"), glass()
    chosen = _person(asked.first("user_name", "user", "assigned_to", "assign_to"), seen)
    giving.give(steps.Side(_kind(asked)), row, chosen, seen, "direct")
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
    side = steps.Side(kind)
    return steps.for_each(kind, names, "assign", lambda row: giving.give(side, row, chosen, seen, "bulk"),
                          assigned_user=name_of(chosen, seen))  # fmt: skip


# --- turns


def preview(asked: Arguments) -> dict[str, Any]:
    """role_name -> whose turn it is; moves nothing."""
    _refuse_who_gives_nothing(glass())
    seen, role = glass(), team.role_named(db.session(), asked.first("role_name", "role"))
    last = db.session.execute(select(RoundRobin.last_user_id).where(RoundRobin.role_id == role.id)).scalar()
    coming = team.preview(team.line(db.session(), role, last), seen.now, 1)
    chosen = coming[0].user_id if coming else None
    card = seen.cards.person(chosen)
    return {"success": card is not None, "role": role.name, "next_user": name_of(chosen, seen),
            "full_name": card["full_name"] if card else None}  # fmt: skip


def history(asked: Arguments) -> list[dict[str, Any]]:
    """role_name, limit (5) -> the newest turns of it, of records that the person sees."""
    seen, role = glass(), asked.first("role_name", "role")
    _refuse_who_gives_nothing(seen)
    query = select(Assignment, Lead.number, Ticket.number).outerjoin(Lead, Lead.id == Assignment.lead_id)
    query = query.outerjoin(Ticket, Ticket.id == Assignment.ticket_id).where(Assignment.role == role)
    rows = db.session.execute(query.order_by(Assignment.id.desc()).limit(asked.whole("limit", 5, 1, 100)))
    return [
        {"user": name_of(each.user_id, seen), "document_type": "CRM Lead" if each.lead_id else "CRM Ticket",
         "document_name": lead or ticket, "assigned_on": local(each.started_on, seen),
         "assigned_by": name_of(each.by_id, seen)}
        for each, lead, ticket in rows
    ]  # fmt: skip


def begin_anew(asked: Arguments) -> dict[str, Any]:
    """role_name: the next turn is the first in line's; stands in the audit."""
    seen, role, session = glass(), asked.first("role_name", "role"), db.session()
    seen.who.refuse_unless("Settings", "write")
    team.begin_with(session, role, None, seen.now)
    with access.as_system(session):  # the chain hangs on the row before, whoever wrote that
        audit.write(session, "turn change", seen.who.id, seen.now, about=f"role {role}"[:190], begins_with=None)
    return {"success": True, "message": _("The turns of %(role)s begin anew.", role=role), "role": role}
