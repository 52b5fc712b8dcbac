"""Limits of counting: whether the rows of others that a person sees are counted, which can be very many."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Select, literal, select, union, union_all
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import BinaryExpression, BindParameter
from sqlalchemy.sql.operators import eq, in_op

from app.access.compiled_statements import CachedStatement, answer_for
from app.access.paging.index_branches import PageQuery, newest
from app.access.paging.reach_branches import HOLDERS, own_branches, sources
from app.access.person import Person
from app.access.row_rules import MODULE_OF

#: Leads, tickets and customers together.
MOST_HELD = 500
#: Seconds for which the answer is cached. It decides only how far rows are counted, never which are visible.
SECONDS = 600.0


def holds_many(session: Session, person: Person, record: Any) -> bool:
    """Whether people in reach hold more than `MOST_HELD` records through which rows of `record` are visible.

    For a record that `is_counted_by_path`: the person reaches the rows of few people.
    """
    known = person.many_held.get(record)
    if known is not None and known[0] > time.monotonic():
        return known[1]
    query = _more_than_few(person, record)
    is_many = query is not None and bool(_answer(session, person, record, query))
    person.many_held.keep(record, (time.monotonic() + SECONDS, is_many))
    return is_many


def _answer(session: Session, person: Person, record: Any, query: Select[Any]) -> list[Any]:
    return answer_for(session, person, CachedStatement(("many held", record), lambda: query), {})[0]


def _more_than_few(person: Person, record: Any) -> Select[Any] | None:
    """A SELECT that has a row if there are more; each index is read no further than that."""
    few = PageQuery([], MOST_HELD + 1)
    found = []
    for source in dict.fromkeys(sources(person, record)):
        ways = [newest(way, source, few, sorts=False) for way in own_branches(person, source)]
        found.append(select(union(*ways).subquery().c.id))  # whoever is both assignee and owner holds it once
    if not found:
        return None
    return select(literal(1)).select_from(union_all(*found).subquery("held")).limit(1).offset(MOST_HELD)


def asks_for_own(person: Person, record: Any, conditions: Sequence[Any]) -> bool:
    """Whether a condition names people in reach as holders of the rows, so that rows of others can't match."""
    reach = person.reach(MODULE_OF[record]) or frozenset()
    return any(_names(record, condition, reach) for condition in conditions)


def _names(record: Any, condition: Any, people: frozenset[int]) -> bool:
    if not (isinstance(condition, BinaryExpression) and condition.operator in (eq, in_op)):
        return False
    column, given = condition.left, condition.right
    if not (isinstance(column, Column) and isinstance(given, BindParameter) and column.table is record.__table__):
        return False
    values = given.effective_value if given.expanding else [given.effective_value]
    return [column.name] == [*HOLDERS[record]] and people.issuperset(values or ())
