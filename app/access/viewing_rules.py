"""Who may view the CRM as whom: never to see what they don't see themselves."""

from __future__ import annotations

from app.access.person import Person
from app.domain.people import permissions
from app.domain.people.permissions import MASK_RANK


def may_view_as(own: Person, other: Person) -> bool:
    """Whether this person may view the CRM as the other one, who must not be an admin.

    Admins may; others only as people of their team who see nothing that they don't see: a report may cover for somebody
    of another team, or have a role that sees more.
    """
    if other.is_admin or other.id == own.id:
        return False
    return own.is_admin or (other.id in own.team_ids and _sees_no_more(other, own))


def _sees_no_more(other: Person, own: Person) -> bool:
    reaches = all(_is_within(other.reach(name), own.reach(name)) for name in permissions.all_modules())
    masks = {*permissions.MASKED, *other.masks}
    is_masked = all(MASK_RANK[other.mask(name)] <= MASK_RANK[own.mask(name)] for name in masks)
    return reaches and is_masked and other.fab_permissions <= own.fab_permissions


def _is_within(theirs: frozenset[int] | None, mine: frozenset[int] | None) -> bool:
    """Whether one reach is part of another; None = everybody's."""
    return mine is None or (theirs is not None and theirs <= mine)
