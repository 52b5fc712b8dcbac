"""Giving a lead or ticket to somebody: to a colleague, to the next in turn; one record or many."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask_babel import gettext as _

from app.domain import assignment, team
from app.domain.base import RuleBroken
from app.extensions import db
from app.web.desk import refuse_foreign_assignee
from app.web.fields import Glass


def give(screen: Any, row: Any, chosen: int | None, glass: Glass, reason: str) -> bool:
    """Direct assignment, by those who may; answers False when the person has it already. Raises RuleBroken."""
    if chosen is None:
        raise RuleBroken(_("Please choose a colleague."), "assignee")
    screen.refuse_unless_reached(row, "assign")
    if row.assignee_id == chosen:
        return False
    refuse_foreign_assignee({"assignee_id": chosen}, screen.module, glass)
    assignment.refuse_absent(db.session(), chosen, glass.now)
    assignment.give(db.session(), row, chosen, reason, glass.who.id, glass.now)
    row.stamp(glass.who.id, glass.now)
    return True


def give_by_turn(screen: Any, row: Any, role: str, glass: Glass) -> int:
    """Assign by round robin, never to who has it now; answers the id of who gets it. Raises RuleBroken.

    Whose turn it is, is the office's to say: the person may be of another team than who assigns.
    """
    screen.refuse_unless_reached(row, "assign")
    if not role:
        raise RuleBroken(_("Please choose a role."), "role")
    had = frozenset({row.assignee_id}) if row.assignee_id else frozenset()
    decision = team.next_in_turn(db.session(), role, glass.now, had)
    if decision.user_id is None:
        raise RuleBroken(_("Nobody else with the role %(role)s is available now.", role=role), "role")
    row.assigned_role = role
    assignment.give(db.session(), row, decision.user_id, "round robin", glass.who.id, glass.now, decision)
    row.stamp(glass.who.id, glass.now)
    return decision.user_id


def add(screen: Any, row: Any, chosen: int | None, glass: Glass) -> bool:
    """One more assignee beside the others; answers False when the person has it already. Raises RuleBroken."""
    if chosen is None:
        raise RuleBroken(_("Please choose a colleague."), "user")
    screen.refuse_unless_reached(row, "assign")
    if chosen in assignment.present(db.session(), row):
        return False
    refuse_foreign_assignee({"assignee_id": chosen}, screen.module, glass)
    assignment.refuse_absent(db.session(), chosen, glass.now, "user")
    return assignment.join(db.session(), row, chosen, glass.who.id, glass.now)


def has_already(chosen: int | None, glass: Glass) -> str:
    """The friendly sentence where nothing had to be done."""
    return _("%(name)s has it already.", name=(glass.cards.person(chosen) or {}).get("full_name", "?"))


def who_got_how_many(takers: Counter[int], glass: Glass) -> str:
    """“Ana Shah 3, Ben Shah 2”: user ids counted, as words."""
    named = [((glass.cards.person(user) or {}).get("full_name", "?"), count) for user, count in takers.most_common()]
    return ", ".join(f"{name} {count}" for name, count in named)
