"""Teams: who reports to whom."""

from __future__ import annotations

from typing import Any

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, hold_name


def reporting_tree(session: Session, user_id: int) -> frozenset[int]:
    """The user and everyone who reports to them, directly or through others."""
    return frozenset(session.scalars(reports_query(user_id)))


def reports_query(user_id: Any) -> Select[tuple[int]]:
    """SELECT the ids of the `reporting_tree` of a user, whose id may be a parameter."""
    tree = select(User.id).where(User.id == user_id).cte("tree", recursive=True)
    tree = tree.union(select(User.id).join(tree, User.manager_id == tree.c.id))
    return select(tree.c.id)


def managers_above(session: Session, user_id: int) -> list[int]:
    """The managers above a user, nearest first; stops at a cycle."""
    chain: list[int] = []
    current = session.execute(select(User.manager_id).where(User.id == user_id)).scalar()
    while current is not None and current not in chain and current != user_id:
        chain.append(current)
        current = session.execute(select(User.manager_id).where(User.id == current)).scalar()
    return chain


def refuse_cycle(session: Session, user_id: int, manager_id: int | None) -> None:
    """Raise RuleBroken if the manager reports to this user, directly or through others.

    Until the transaction ends, others who name a manager wait: two changes together could make a circle.
    """
    if manager_id is not None:
        hold_name(session, "managers")
    if manager_id is not None and manager_id in reporting_tree(session, user_id):
        raise RuleBroken(
            "A person can't report to themselves, directly or through others. Choose another manager.", "manager"
        )
