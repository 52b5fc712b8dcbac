"""The ways in which a person reaches rows, as branches of a page: rows that people in reach hold, and rows of those."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, SelectBase, false, func, not_, select
from sqlalchemy.orm import aliased

from app.access.paging.index_branches import PageQuery, alias_of, for_alias, index_of, index_on, ordered
from app.access.person import Person
from app.access.row_rules import MODULE_OF
from app.models import Activity, Assignment, CallLog, Customer, Lead, Message, Task, Ticket

#: The columns that name who holds a row, each with a user id.
HOLDERS = {
    Lead: ("assignee_id", "owner_id"),
    Ticket: ("assignee_id", "owner_id"),
    Customer: ("owner_id",),
    Task: ("assignee_id",),
    CallLog: ("employee_id",),
    Message: ("created_by_id",),
}
#: Column of a row -> the record through which it is visible too.
PARENTS: dict[Any, dict[str, Any]] = {
    Task: {"lead_id": Lead, "ticket_id": Ticket},
    CallLog: {"lead_id": Lead, "ticket_id": Ticket, "customer_id": Customer},
    Message: {"lead_id": Lead, "ticket_id": Ticket, "customer_id": Customer},
    Activity: {"lead_id": Lead, "ticket_id": Ticket, "customer_id": Customer},
}


def sources(person: Person, record: Any) -> Iterator[Any]:
    """The records that the person reads and through which rows are visible, and in turn the sources of those."""
    parents = (Lead, Ticket) if record is Customer else PARENTS.get(record, {}).values()
    for parent in parents:
        if person.may(MODULE_OF[parent], "read"):
            yield parent
            if parent is Customer:
                yield from sources(person, Customer)


def own_branches(person: Person, record: Any, order: str = "") -> list[Select[Any]]:
    """One index range for each person in reach and each way in which they hold a row; SELECTs of `id`.

    `order`: the column whose order MariaDB has to read them in; for many rows it would rather sort all of the person.
    """
    by_column = [_held_by(record, path, order) for path in access_paths(person, record) if shared_by(path) is None]
    people = sorted(person.reach(MODULE_OF[record]) or ()) if record is Ticket else ()
    return [*by_column, *map(_shared_tickets, people)]


def _held_by(record: Any, path: Any, order: str) -> Select[Any]:
    row, _adapter = alias_of(record)
    index = index_of(record, path.left.key, *(() if order == "id" else (order,))) if order else None
    query = select(row.id).where(path)
    return query if index is None else query.with_hint(row, f"FORCE INDEX ({index})", "mysql")


def _shared_tickets(user_id: int) -> Select[Any]:
    """The tickets of which somebody is one of several assignees, read from the assignments in the order of tickets."""
    (row, _adapter), current = alias_of(Ticket), aliased(Assignment)
    index = index_of(Assignment, "user_id", "ended_on", "ticket_id")
    query = select(row.id).select_from(current).join(row, row.id == current.ticket_id)
    query = query.where(current.user_id == user_id, current.ended_on.is_(None), current.ticket_id.is_not(None))
    return query.prefix_with("STRAIGHT_JOIN", dialect="mysql").with_hint(current, f"FORCE INDEX ({index})", "mysql")


def access_paths(person: Person, record: Any) -> list[ColumnElement[bool]]:
    """How each person in reach holds a row: by its columns, or as one of several assignees of a ticket."""
    row, _adapter = alias_of(record)
    paths: list[ColumnElement[bool]] = []
    for user_id in sorted(person.reach(MODULE_OF[record]) or ()):
        paths += [getattr(row, name) == user_id for name in HOLDERS[record]]
        if record is Ticket:
            current = aliased(Assignment)
            shared = select(current.ticket_id).where(current.user_id == user_id, current.ended_on.is_(None))
            paths.append(row.id.in_(shared.where(current.ticket_id.is_not(None))))
    return paths


def shared_by(path: Any) -> Any:
    """The ids of the tickets of which somebody is one of several assignees, to join; None if the way is by a column."""
    return path.right.element.subquery() if isinstance(getattr(path, "right", None), ScalarSelect) else None


def branches_through_others(person: Person, record: Any) -> list[Select[Any]]:
    """One branch for each way in which a person in reach holds a record through which rows are visible."""
    if record is Customer:
        return _through_customers(person, alias_of(record)[0].id, record)
    return [branch for _parent, branches in branches_by_parent(person, record) for branch in branches]


def branches_by_parent(person: Person, record: Any) -> Iterator[tuple[Any, list[Select[Any]]]]:
    """(a record through which rows are visible, the branches that begin with what people in reach hold of it)."""
    row, _adapter = alias_of(record)
    for name, parent in PARENTS.get(record, {}).items():
        if not person.may(MODULE_OF[parent], "read"):
            continue
        held, _adapter = alias_of(parent)
        found = _apart_from_before(person, parent, _begin_with(person, record, parent, getattr(row, name) == held.id))
        if parent is Customer:
            found += _through_customers(person, getattr(row, name), record)
        yield parent, found


def _apart_from_before(person: Person, source: Any, branches: list[Select[Any]]) -> list[Select[Any]]:
    """The branches, each without the rows whose holding record was in an earlier branch."""
    before: list[Any] = []
    found = []
    for path, branch in zip(access_paths(person, source), branches, strict=True):
        found.append(branch.where(*before))
        if _is_by_column(path):
            before = [*before, not_(func.coalesce(path, false()))]
    return found


def _is_by_column(path: Any) -> bool:
    return (
        hasattr(path, "left")
        and path.left.key in ("assignee_id", "owner_id")
        and not isinstance(path.right, SelectBase)
    )


def _through_customers(person: Person, customer_id: Any, record: Any) -> list[Select[Any]]:
    """Rows of customers to whom a visible lead or ticket leads. A customer can have several: each row once."""
    found = []
    for source in (Lead, Ticket):
        if person.may(MODULE_OF[source], "read"):
            held, _adapter = alias_of(source)
            joined = _begin_with(person, record, source, customer_id == held.customer_id)
            opens = [held.opens_customer.is_(True)] if source is Ticket else []
            found += [each.where(*opens).distinct() for each in joined]
    return found


def customers_in_order(person: Person, page_query: PageQuery, sorts: bool) -> Iterator[Select[Any]]:
    """The first customers for each way of holding a lead or ticket, read in index order until there are enough."""
    row, _adapter = alias_of(Customer)
    conditions, _key = for_alias(Customer, page_query)
    for source in (each for each in (Lead, Ticket) if person.may(MODULE_OF[each], "read")):
        held, _adapter = alias_of(source)
        found = select(held.customer_id.label("id")).where(held.customer_id.is_not(None))
        if conditions:
            found = found.join(row, row.id == held.customer_id).where(*conditions)
        if source is Ticket:
            found = found.where(held.opens_customer.is_(True))
        for path in access_paths(person, source):
            query = found.where(path).limit(page_query.limit)
            index = index_of(source, getattr(getattr(path, "left", None), "name", ""), "customer_id")
            if index is not None:
                query = query.prefix_with("STRAIGHT_JOIN", dialect="mysql")
                query = query.with_hint(held, f"FORCE INDEX ({index})", "mysql")
            if sorts or index is not None:  # otherwise each row counts, so that reading stops when there are enough
                query = query.group_by(held.customer_id)
            if sorts:
                query = query.order_by(*ordered([held.customer_id], page_query.descending))
            yield select(*query.subquery().c)


def _begin_with(person: Person, record: Any, source: Any, on: Any) -> list[Select[Any]]:
    """For each way of holding a `source`: start with the held ones, then their rows.

    The optimizer would scan the rows.
    """
    row, held = alias_of(record)[0], alias_of(source)[0]
    joined = select(row.id).prefix_with("STRAIGHT_JOIN", dialect="mysql").select_from(held).join(row, on)
    found = []
    for path in access_paths(person, source):
        if (shared := shared_by(path)) is not None:  # otherwise all tickets would be read and compared
            begun = select(row.id).prefix_with("STRAIGHT_JOIN", dialect="mysql").select_from(shared)
            found.append(begun.join(held, held.id == shared.c.ticket_id).join(row, on))
            continue
        column = getattr(getattr(path, "left", None), "name", "")
        index = index_on(source, column) if column in HOLDERS[source] else None
        query = joined if index is None else joined.with_hint(held, f"FORCE INDEX ({index})", "mysql")
        found.append(query.where(path))
    return found
