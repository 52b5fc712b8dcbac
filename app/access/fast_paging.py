"""Paging of the newest visible rows, in a shape for which the database reads only the rows that are shown."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, inspect, literal, select, union_all
from sqlalchemy.orm import aliased
from sqlalchemy.sql.util import ClauseAdapter

from app.access.person import Person
from app.access.row_rules import MODULE_OF
from app.models import Assignment, Lead, Ticket

#: With more people in reach than this, one scan of the newest rows beats a look-up for each of them.
MAX_BRANCHES = 8


def ids_by_person(person: Person, record: Any, conditions: list[Any], limit: int) -> Select[Any] | None:
    """The newest visible ids that match, looked up person by person on (assignee, id) and (owner, id).

    The same rows as `visible`, in a shape for which the database reads only `limit` index entries per branch; for one
    OR it would sort thousands of rows. None where the access rule has no such shape.
    """
    branches = _branches(person, record, conditions, limit)
    return select(union_all(*branches).subquery().c.id).distinct() if branches else None


def count_by_person(person: Person, record: Any, conditions: list[Any], cap: int) -> Select[Any] | None:
    """How many rows `ids_by_person` would find, up to `cap`; None where it has no such shape.

    When the first branch alone reaches the cap, the database never reads the others.
    """
    branches = _branches(person, record, conditions, cap)
    if not branches:
        return None
    first = select(func.count()).select_from(branches[0].subquery()).scalar_subquery()
    ids = select(union_all(*branches).subquery().c.id).distinct().limit(cap).subquery()
    total = select(func.count()).select_from(ids).scalar_subquery()
    return select(case((first >= cap, literal(cap)), else_=total))


def _branches(person: Person, record: Any, conditions: list[Any], limit: int) -> list[Select[Any]]:
    """One limited index range for each way in which each person in reach has a row; [] without the shape."""
    reach = person.reach(MODULE_OF[record]) if record in (Lead, Ticket) else None
    if not reach or len(reach) > MAX_BRANCHES:
        return []
    row, adapter = _alias(record)
    matches = [adapter.traverse(condition) for condition in conditions]
    ways = [way for user_id in sorted(reach) for way in _ways(row, record, user_id)]
    newest = [select(row.id).where(way, *matches).order_by(row.id.desc()).limit(limit) for way in ways]
    return [select(each.subquery().c.id) for each in newest]


@lru_cache
def _alias(record: Any) -> tuple[Any, ClauseAdapter]:
    """An alias of the record and what translates conditions to it. Cached: building forty columns is slow.

    Aliases carry no loader criteria: each branch applies the access rule itself.
    """
    row = aliased(record)
    return row, ClauseAdapter(inspect(row).selectable)


def _ways(row: Any, record: Any, user_id: int) -> list[ColumnElement[bool]]:
    """How one person reaches a row: as assignee, as owner, or as one of several assignees of a ticket."""
    ways = [row.assignee_id == user_id, row.owner_id == user_id]
    if record is Ticket:
        current = aliased(Assignment)
        shared = select(current.ticket_id).where(current.user_id == user_id, current.ended_on.is_(None))
        ways.append(row.id.in_(shared.where(current.ticket_id.is_not(None))))
    return ways
