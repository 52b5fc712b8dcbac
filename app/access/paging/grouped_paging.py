"""Pages of several groups of tickets, such as the columns of a board, in a form that reads shared tickets once.

A ticket may have several assignees, and no index has those whom it is shared with by status: a page for each group
would read all assignments of the person again and again. Here each group's own tickets are a range of an index, as in
`fast_paging`; the shared ones of all groups are read together, and divided by window functions.

Who holds very many tickets has them looked for among the newest ones first; a second statement reads all shared
tickets of the groups whose page these don't fill.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, case, false, func, literal, not_, or_, select, union_all
from sqlalchemy.orm import Session

from app.access.compiled_statements import CachedStatement, answer_for
from app.access.paging.fast_paging import has_few, is_of_few, reach_conditions
from app.access.paging.index_branches import PageQuery, alias_of, for_alias, index_of, ordered
from app.access.paging.reach_branches import shared_by
from app.access.person import Person
from app.models import Assignment, Ticket

#: So many of the newest tickets of each person in reach are looked through for shared ones, if they hold more.
NEWEST = 1000
#: Seconds for which it is cached that they do. It decides only how tickets are looked for.
SECONDS = 600.0

#: See pages_of_groups.
Way = Literal["all", "newest", "rest"]


def is_shared(person: Person, record: Any, page_query: PageQuery) -> bool:
    """Whether `pages_of_groups` can be used: tickets of a few people."""
    return record is Ticket and has_few(person, record) and not is_of_few(record, page_query)


def holds_many_tickets(session: Session, person: Person, page_query: PageQuery) -> bool:
    """Whether people in reach hold more tickets than `NEWEST`, and the page begins with the newest ones."""
    if page_query.key is not None or not page_query.descending:
        return False
    known = person.many_held.get(Assignment)
    if known is not None and known[0] > time.monotonic():
        return known[1]
    rules = (*_is_current(Assignment, person), Assignment.ticket_id.is_not(None))
    query = select(literal(1)).select_from(Assignment).where(*rules).limit(1).offset(NEWEST)
    question = CachedStatement(("many held", Assignment), lambda: query)
    is_many = bool(answer_for(session, person, question, {})[0])
    person.many_held.keep(Assignment, (time.monotonic() + SECONDS, is_many))
    return is_many


def _is_current(assignment: Any, person: Person) -> tuple[Any, ...]:
    people = sorted(person.reach("Tickets") or ())
    return (assignment.user_id.in_(people), assignment.ended_on.is_(None))


def pages_of_groups(
    person: Person, groups: Sequence[ColumnElement[bool]], page_query: PageQuery, way: Way = "all"
) -> Select[Any]:
    """(index of the group, ticket id, index in the group, number of the group's tickets that are only shared).

    The rows of each group's page; the number is the same in all rows of a group. `groups`: a condition for each.
    `way`: how shared tickets are found. "all": through all tickets of the people; "newest": among the `NEWEST` of each,
    so that a full page of the newest tickets is right, and there are at least as many as the number says; "rest": as
    "all", or through all tickets of the groups, whichever the database takes to be fewer.
    """
    asked = _Groups.of(person, groups, page_query)
    ways = union_all(*asked.own_pages(), asked.shared_pages(way)).subquery("ways")
    once = select(ways.c.place, ways.c.id, ways.c.key, func.max(ways.c.shared).label("shared"))
    found = once.group_by(ways.c.place, ways.c.id, ways.c.key).subquery("once")
    turned = ordered([found.c.key, found.c.id], page_query.descending)
    at = func.row_number().over(partition_by=found.c.place, order_by=turned).label("at")
    shared = func.max(found.c.shared).over(partition_by=found.c.place).label("shared")
    page = select(found.c.place, found.c.id, shared, at).subquery("page")
    rows = select(page.c.place, page.c.id, page.c.at, page.c.shared)
    return rows.where(page.c.at > page_query.offset, page.c.at <= page_query.limit)


@dataclass(frozen=True)
class _Groups:
    """What is asked of the groups, on an alias of the tickets."""

    person: Person
    page_query: PageQuery
    row: Any
    #: The condition of each group, and those of all of them.
    rules: Sequence[Any]
    conditions: Sequence[Any]
    #: The column that the pages are ordered by.
    key: Any
    #: By which paths the person reaches tickets that aren't shared with people in reach.
    own: Sequence[Any]

    @classmethod
    def of(cls, person: Person, groups: Sequence[ColumnElement[bool]], page_query: PageQuery) -> _Groups:
        row, adapter = alias_of(Ticket)
        conditions, key = for_alias(Ticket, page_query)
        rules = [adapter.traverse(group) for group in groups]
        own = [path for path in reach_conditions(person, Ticket) if shared_by(path) is None]
        return cls(person, page_query, row, rules, conditions, row.id if key is None else key, own)

    def own_pages(self) -> list[Select[Any]]:
        """(place, id, key, 0) of the first tickets of each group by each path."""
        row, key, query = self.row, self.key, self.page_query
        order, parts = ordered([key, row.id] if key is not row.id else [row.id], query.descending), []
        for place, rule in enumerate(self.rules):
            named = [literal(place).label("place"), row.id.label("id"), key.label("key"), literal(0).label("shared")]
            for path in self.own:
                part = select(*named).where(path, rule, *self.conditions).order_by(*order).limit(query.limit)
                parts.append(select(*part.subquery().c))
        return parts

    def shared_pages(self, way: Way) -> Select[Any]:
        """The first tickets of each group that are only shared with people in reach, and the number of all of them."""
        row, query = self.row, self.page_query
        place = case(*[(rule, literal(at)) for at, rule in enumerate(self.rules)], else_=literal(-1)).label("place")
        not_own = [not_(func.coalesce(path, false())) for path in self.own]
        given = _newest_tickets(self.person) if way == "newest" else _all_tickets(self.person)
        held = select(place, row.id.label("id"), self.key.label("key")).distinct()
        if way != "rest":
            held = held.prefix_with("STRAIGHT_JOIN", dialect="mysql")
        held = held.select_from(given).join(row, row.id == given.c.ticket_id)
        found = held.where(or_(*self.rules), *not_own, *self.conditions).subquery("held")
        order = ordered([found.c.key, found.c.id], query.descending)
        at = func.row_number().over(partition_by=found.c.place, order_by=order).label("at")
        count = func.count().over(partition_by=found.c.place).label("shared")
        ranked = select(*found.c, count, at).subquery("ranked")
        first = select(ranked.c.place, ranked.c.id, ranked.c.key, ranked.c.shared)
        return first.where(ranked.c.at <= query.limit)


def _all_tickets(person: Person) -> Any:
    assignment, _adapter = alias_of(Assignment)
    return select(assignment.ticket_id).where(*_is_current(assignment, person)).subquery("given")


def _newest_tickets(person: Person) -> Any:
    """The newest tickets that each person in reach holds, read backwards in the order of an index."""
    assignment, _adapter = alias_of(Assignment)
    index = index_of(Assignment, "user_id", "ended_on", "ticket_id")
    parts = []
    for user_id in sorted(person.reach("Tickets") or ()):
        rules = (assignment.user_id == user_id, assignment.ended_on.is_(None), assignment.ticket_id.is_not(None))
        part = select(assignment.ticket_id).where(*rules).order_by(assignment.ticket_id.desc()).limit(NEWEST)
        parts.append(select(part.with_hint(assignment, f"FORCE INDEX ({index})", "mysql").subquery().c.ticket_id))
    return union_all(*parts).subquery("given")
