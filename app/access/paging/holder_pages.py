"""Pages of tasks by due time, each way in which a person reaches tasks read in the order of an index.

Tasks repeat who holds their lead or ticket (ADR 0129), which only serves to find them: the statement that reads the
rows carries the access rules, so that a wrong value can hide a task, but never show one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import BindParameter, Column, Select, inspect, select, union_all
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import BinaryExpression
from sqlalchemy.sql.operators import eq, in_op

from app.access.paging.index_branches import PageQuery, alias_of, first_rows, index_of, newest, ordered, page_of
from app.access.person import Person
from app.access.system_session import as_system
from app.domain import task_holders
from app.domain.persistence.parent_holders import PARENTS, STORED
from app.domain.tasks import STATUSES
from app.models import Assignment, Task

#: Seconds after which it is asked again whether the holders that tasks repeat can be relied on: if not, and if so.
_SECONDS, _RELIED = 60.0, 3600.0
_MODULES = {"leads": "Leads", "ticket": "Tickets"}
#: Engine -> whether the holders can be relied on, and until when that is taken for known.
_known: WeakKeyDictionary[Any, tuple[bool, float]] = WeakKeyDictionary()


def are_settled(session: Session) -> bool:
    """Whether tasks can be found by the holders that they repeat; cached, as it only decides how they are found."""
    engine: Any = session.get_bind()
    is_settled, until = _known.get(engine, (False, 0.0))
    if until <= time.monotonic():
        with as_system(session):
            is_settled = task_holders.is_settled(session)
        _known[engine] = is_settled, time.monotonic() + (_RELIED if is_settled else _SECONDS)
    return is_settled


def forget() -> None:
    """Ask again whether the holders can be relied on."""
    _known.clear()


def can_page(session: Session, record: Any, key: Any) -> bool:
    """Whether a list in the order of this column can be found so, for a person who reaches the rows of few people."""
    return record is Task and key is not None and key.key == "due_on" and are_settled(session)


def page(session: Session, person: Person, page_query: PageQuery) -> Select[Any]:
    """The ids of the page."""
    return page_of(_parts(session, person, page_query), page_query)


def first(session: Session, person: Person, page_query: PageQuery) -> Select[Any]:
    """(id, key) of the rows up to the end of the page, each once; without a key, by id."""
    rows = union_all(*_parts(session, person, page_query)).subquery("ways")
    key = [] if page_query.key is None else [rows.c.key]
    found = select(rows.c.id, *key).group_by(*key, rows.c.id)
    return found.order_by(*ordered([*key, rows.c.id], page_query.descending)).limit(page_query.limit)


def through_others(person: Person) -> list[Select[Any]]:
    """SELECTs of the tasks of each way through a lead or ticket that is held; not all of them need be visible."""
    return [way.branch.where(*way.rules) for way in ways(person) if not way.is_own]


@dataclass(frozen=True)
class _Way:
    """One way in which somebody in reach holds tasks or what they belong to."""

    #: SELECT of `id` of tasks.
    branch: Select[Any]
    rules: tuple[Any, ...]
    #: Whether it is the assignee of the task.
    is_own: bool = False


def _parts(session: Session, person: Person, page_query: PageQuery) -> list[Select[Any]]:
    """The first rows of each way and status."""
    asked = [*by_status(page_query)]
    # MariaDB would first store each SELECT of a SELECT.
    read = newest if session.get_bind().dialect.name == "sqlite" else first_rows
    return [read(way.branch.where(*way.rules), Task, each) for way in ways(person) for each in asked]


def by_status(page_query: PageQuery) -> Iterator[PageQuery]:
    """The query for each status that the rows may have: no index has those of several in order."""
    status = Task.__table__.c.status
    for place, condition in enumerate(page_query.conditions):
        if _is_of_status(condition, eq):
            yield page_query
            return
        if _is_of_status(condition, in_op) and condition.right.expanding:
            others = [*page_query.conditions[:place], *page_query.conditions[place + 1 :]]
            for value in dict.fromkeys(condition.right.effective_value or ()):
                yield replace(page_query, conditions=[*others, status == value])
            return
    for value in STATUSES:
        yield replace(page_query, conditions=[*page_query.conditions, status == value])


def _is_of_status(condition: Any, operator: Any) -> bool:
    """Whether it compares the status of tasks with values by this operator."""
    if not isinstance(condition, BinaryExpression) or condition.operator is not operator:
        return False
    column, given = condition.left, condition.right
    is_own = isinstance(column, Column) and column.table is Task.__table__ and column.name == "status"
    return is_own and isinstance(given, BindParameter)


def ways(person: Person) -> Iterator[_Way]:
    """The ways in which the person reaches tasks."""
    row, _adapter = alias_of(Task)
    columns = inspect(row).selectable.c
    for user_id in sorted(person.reach("Tasks") or ()):
        yield _Way(_by_index("assignee_id"), (row.assignee_id == user_id,), is_own=True)
    reaches = {
        table: person.reach(module) or frozenset() for table, module in _MODULES.items() if person.may(module, "read")
    }
    for user_id in sorted(frozenset().union(*reaches.values())):
        held = [PARENTS[table] for table in _MODULES if user_id in reaches.get(table, ())]
        of_kind = (columns[held[0]].is_not(None),) if len(held) == 1 else ()
        for name in STORED.values():
            yield _Way(_by_index(name), (columns[name] == user_id, *of_kind))
    for user_id in sorted(reaches.get("ticket", ())):
        yield _Way(*_beside(user_id))


def _by_index(column: str) -> Select[Any]:
    row, _adapter = alias_of(Task)
    return select(row.id).with_hint(row, f"FORCE INDEX ({index_of(Task, column, 'status', 'due_on')})", "mysql")


def _beside(user_id: int) -> tuple[Select[Any], tuple[Any, ...]]:
    """Tasks of the tickets that somebody has beside the main assignee."""
    (row, _adapter), (held, _other) = alias_of(Task), alias_of(Assignment)
    branch = select(row.id).select_from(held).join(row, row.ticket_id == held.ticket_id)
    branch = branch.prefix_with("STRAIGHT_JOIN", dialect="mysql")
    branch = branch.with_hint(held, f"FORCE INDEX ({index_of(Assignment, 'beside_id', 'ticket_id')})", "mysql")
    branch = branch.with_hint(row, f"FORCE INDEX ({index_of(Task, 'ticket_id', 'status')})", "mysql")
    return branch, (held.beside_id == user_id, held.ended_on.is_(None))
