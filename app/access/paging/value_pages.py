"""Rows with one value of a column, such as a status: their number if few have it, and the first of one person."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, literal, select

from app.access.paging.index_branches import PageQuery, alias_of, by_value, for_alias, one_value_index
from app.access.person import Person
from app.access.row_rules import MODULE_OF, reads_all, sees_own, visible_alias
from app.models import Customer


def count_of_rare(person: Person, page_query: PageQuery) -> tuple[Any, Any] | None:
    """(SQL: whether fewer than `size` customers have the value that a condition names, how many of these are visible).

    Without it, all customers of the person would be read to find that few have the value. None if no index has it.
    """
    found = one_value_index(Customer, PageQuery(page_query.conditions, page_query.size))
    if found is None:
        return None
    row, _adapter = alias_of(Customer)
    conditions, _key = for_alias(Customer, page_query)
    with_value = select(row.id).with_hint(row, f"FORCE INDEX ({found[1]})", "mysql").where(conditions[found[0]])
    is_frequent = with_value.with_only_columns(literal(1)).limit(1).offset(page_query.size - 1).scalar_subquery()
    seen = with_value.with_only_columns(func.count()).where(*conditions, visible_alias(person, Customer, row))
    return is_frequent.is_(None), seen.scalar_subquery()


def first_of_holder(person: Person, record: Any, page_query: PageQuery, holder: tuple[str, Any]) -> list[Select[Any]]:
    """SELECTs of (id, key) of the first rows that somebody holds, one for each value that a condition names.

    `holder`: (column, user id). [] if the person doesn't see all of these rows, or no index has them in order.
    """
    column, user_id = holder
    reach = person.reach(MODULE_OF[record]) or frozenset()
    if not reads_all(person, record) and not (user_id in reach and sees_own(person, record)):
        return []
    row, _adapter = alias_of(record)
    return by_value(record, page_query, getattr(row, column) == user_id, held_by=column)
