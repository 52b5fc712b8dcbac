"""Pages of several groups of tickets, such as the columns of a board, in a form that reads shared tickets once.

A ticket may have several assignees, and no index has those whom it is shared with by status: a page for each group
would read all assignments of the person again and again. Here each group's own tickets are a range of an index, as in
`fast_paging`; the shared ones of all groups are read together, and divided by window functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, case, false, func, literal, not_, or_, select, union_all

from app.access.fast_paging import has_few, is_of_few, reach_conditions, shared_by
from app.access.index_branches import PageQuery, alias_of, for_alias, ordered
from app.access.person import Person
from app.models import Assignment, Ticket


def is_shared(person: Person, record: Any, page_query: PageQuery) -> bool:
    """Whether `pages_of_groups` can be used: tickets of a few people."""
    return record is Ticket and has_few(person, record) and not is_of_few(record, page_query)


def pages_of_groups(person: Person, groups: Sequence[ColumnElement[bool]], page_query: PageQuery) -> Select[Any]:
    """(index of the group, ticket id, index in the group, number of the group's tickets that are only shared).

    The rows of each group's page; the number is the same in all rows of a group. `groups`: a condition for each.
    """
    row, adapter = alias_of(Ticket)
    conditions, key = for_alias(Ticket, page_query)
    key = row.id if key is None else key
    rules = [adapter.traverse(group) for group in groups]
    paths = reach_conditions(person, Ticket)
    own = [path for path in paths if shared_by(path) is None]
    order = ordered([key, row.id] if key is not row.id else [row.id], page_query.descending)
    parts = []
    for place, rule in enumerate(rules):
        named = [literal(place).label("place"), row.id.label("id"), key.label("key"), literal(0).label("shared")]
        for path in own:
            part = select(*named).where(path, rule, *conditions).order_by(*order).limit(page_query.limit)
            parts.append(select(*part.subquery().c))
    parts.append(_shared(person, rules, conditions, key, own, page_query))
    ways = union_all(*parts).subquery("ways")
    once = select(ways.c.place, ways.c.id, ways.c.key, func.max(ways.c.shared).label("shared"))
    found = once.group_by(ways.c.place, ways.c.id, ways.c.key).subquery("once")
    turned = ordered([found.c.key, found.c.id], page_query.descending)
    at = func.row_number().over(partition_by=found.c.place, order_by=turned).label("at")
    shared = func.max(found.c.shared).over(partition_by=found.c.place).label("shared")
    page = select(found.c.place, found.c.id, shared, at).subquery("page")
    rows = select(page.c.place, page.c.id, page.c.at, page.c.shared)
    return rows.where(page.c.at > page_query.offset, page.c.at <= page_query.limit)


def _shared(
    person: Person, rules: Sequence[Any], conditions: list[Any], key: Any, own: list[Any], page_query: PageQuery
) -> Select[Any]:
    """The first tickets of each group that are only shared with people in reach, and the number of all of them."""
    (row, _adapter), (assignment, _other) = alias_of(Ticket), alias_of(Assignment)
    place = case(*[(rule, literal(at)) for at, rule in enumerate(rules)], else_=literal(-1)).label("place")
    people = sorted(person.reach("Tickets") or ())
    not_own = [not_(func.coalesce(path, false())) for path in own]
    held = select(place, row.id.label("id"), key.label("key")).distinct()
    held = held.prefix_with("STRAIGHT_JOIN", dialect="mysql").select_from(assignment)
    held = held.join(row, row.id == assignment.ticket_id)
    is_current = (assignment.user_id.in_(people), assignment.ended_on.is_(None))
    found = held.where(*is_current, or_(*rules), *not_own, *conditions).subquery("held")
    order = ordered([found.c.key, found.c.id], page_query.descending)
    at = func.row_number().over(partition_by=found.c.place, order_by=order).label("at")
    count = func.count().over(partition_by=found.c.place).label("shared")
    ranked = select(*found.c, count, at).subquery("ranked")
    first = select(ranked.c.place, ranked.c.id, ranked.c.key, ranked.c.shared)
    return first.where(ranked.c.at <= page_query.limit)
