"""The newest rows within a person's reach, in a shape for which the database reads only what it shows."""

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


def ids_by_person(who: Person, record: Any, rules: list[Any], limit: int) -> Select[Any] | None:
    """The newest visible ids that fit, looked up person by person on (assignee, id) and (owner, id).

    The same rows as `visible`, in a shape for which the database reads only `limit` index entries a branch; it
    sorts thousands of rows for one OR. None where the rule has no such shape or the rules name other tables.
    """
    parts = _parts(who, record, rules, limit)
    return select(union_all(*parts).subquery().c.id).distinct() if parts else None


def count_by_person(who: Person, record: Any, rules: list[Any], cap: int) -> Select[Any] | None:
    """How many rows `ids_by_person` would find, up to `cap`; None where it has no such shape.

    When the first branch alone reaches the cap, the database never looks at the others.
    """
    parts = _parts(who, record, rules, cap)
    if not parts:
        return None
    first = select(func.count()).select_from(parts[0].subquery()).scalar_subquery()
    each = select(union_all(*parts).subquery().c.id).distinct().limit(cap).subquery()
    every = select(func.count()).select_from(each).scalar_subquery()
    return select(case((first >= cap, literal(cap)), else_=every))


def _parts(who: Person, record: Any, rules: list[Any], limit: int) -> list[Select[Any]]:
    """One cut-short range of an index for each way in which each person in reach has a row; none without the shape."""
    reach = who.reach(MODULE_OF[record]) if record in (Lead, Ticket) else None
    if not reach or len(reach) > MAX_BRANCHES:
        return []
    row, adapt = _twin(record)
    fit = [adapt.traverse(rule) for rule in rules]
    ways = [way for user in sorted(reach) for way in _ways(row, record, user)]
    newest = [select(row.id).where(way, *fit).order_by(row.id.desc()).limit(limit) for way in ways]
    return [select(each.subquery().c.id) for each in newest]


@lru_cache
def _twin(record: Any) -> tuple[Any, ClauseAdapter]:
    """An alias of the record and what translates rules to it, made once: forty columns a time are dear.

    Aliases carry no loader criteria: each branch is the law itself.
    """
    row = aliased(record)
    return row, ClauseAdapter(inspect(row).selectable)


def _ways(row: Any, record: Any, user: int) -> list[ColumnElement[bool]]:
    """How one person reaches a row."""
    ways = [row.assignee_id == user, row.owner_id == user]
    if record is Ticket:
        present = aliased(Assignment)
        mine = select(present.ticket_id).where(present.user_id == user, present.ended_on.is_(None))
        ways.append(row.id.in_(mine.where(present.ticket_id.is_not(None))))
    return ways
