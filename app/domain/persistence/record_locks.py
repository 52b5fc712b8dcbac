"""The order in which a transaction locks rows, so that no two wait for each other (ADR 0139).

1. A lead or ticket comes before all that refers to it: its tasks, assignments, requests, notices and timeline. Its
   customer comes before it, as the INSERT of a row about both locks them in this order.
2. A transaction that writes a lead or ticket does so before it adds rows about it. Such a row shares a lock of it, and
   two transactions that share one and then want to write would wait for each other.
3. Several records of one transaction come in the order of their ids: customers, then leads, then tickets.

Whoever changes a record as an object therefore lets it be flushed before the rows about it: `history_rows` and
`notices` see to that for theirs. The UPDATE of a task locks its lead or ticket, and theirs their customer, by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.base import NotFound
from app.domain.persistence import row_updates
from app.domain.persistence.parent_holders import PARENTS
from app.domain.persistence.row_effects import Rows, changed_columns
from app.ops.statements import fast_statements

#: The tables whose rows are locked here, in their order.
_ORDER = ("customer", "leads", "ticket")
#: Modes of a lock: to write the record, or to refer to it.
EXCLUSIVE, SHARED = "FOR UPDATE", "LOCK IN SHARE MODE"


def lock(session: Session, records: Iterable[tuple[str, int]], mode: str = EXCLUSIVE) -> set[tuple[str, int]]:
    """Lock records (table, id) until the end of the transaction, all of them before it writes the first.

    Returns those that there are. On SQLite, a transaction that writes is alone anyway.
    """
    wanted, found = sorted({(table, int(key)) for table, key in records}), set()
    lock_words = "" if session.get_bind().dialect.name == "sqlite" else mode
    for name in sorted({table for table, _ in wanted}, key=_ORDER.index):
        keys = ", ".join(str(key) for table, key in wanted if table == name)
        text = f"SELECT id FROM {name} WHERE id IN ({keys}) ORDER BY id {lock_words}"  # noqa: S608  # our names, numbers
        found |= {(name, int(row[0])) for row in fast_statements.send(session, text, {}).rows}
    return found


def lock_rows(session: Session, rows: Collection[Any], has_contacts: bool = False) -> None:
    """Lock these records before the first of them is written; in place of tasks, their leads and tickets.

    `has_contacts`: contact data is written, too, which leads and tickets have from their customers.
    """
    places = {place for row in rows for place in _places_of(row)}
    if has_contacts:
        customers = [getattr(row, "customer_id", None) for row in rows if row.__tablename__ in PARENTS]
        places |= {("customer", key) for key in customers if key is not None}
    lock(session, places)


def lock_customers(session: Session, record: Any, ids: Iterable[int]) -> None:
    """Lock the customers of these leads or tickets, which are locked next; no effect for other records."""
    if record.__tablename__ in PARENTS:
        query = select(record.customer_id).where(record.id.in_(ids), record.customer_id.is_not(None))
        lock(session, {("customer", key) for key in session.scalars(query)})


def refuse_gone(session: Session, row: Any) -> None:
    """Lock a row without a version, which is deleted next: a second deletion would succeed, too, and be in the audit.

    Raises NotFound if somebody else has deleted it meanwhile.
    """
    if not hasattr(row, "version"):
        key = type(row).id
        if session.execute(select(key).where(key == row.id).with_for_update()).first() is None:
            raise NotFound("This record doesn't exist.")


def _places_of(row: Any) -> list[tuple[str, int]]:
    if row.__tablename__ == "task":
        return _parents_of(row)
    return [(row.__tablename__, row.id)] if row.__tablename__ in _ORDER else []


def _parents_of(task: Any) -> list[tuple[str, int]]:
    return [(table, key) for table, column in PARENTS.items() if (key := getattr(task, column)) is not None]


def write_first(session: Session) -> None:
    """Write the session's own changes before rows are added that refer to them."""
    if session.dirty:
        row_updates.flush(session)


def lock_parents(session: Session, rows: Rows) -> None:
    """Effect before a flush: lock the leads and tickets of changed tasks first, unless the statement itself does so.

    Those that the same flush writes are locked for that.
    """
    if rows.locks_parents or session.get_bind().dialect.name == "sqlite":
        return
    changed = [row for row in rows.changed if changed_columns(row)]
    parents = {parent for row in (*changed, *rows.deleted) for parent in _parents_of(row)}
    written = parents & {(row.__tablename__, row.id) for row in session.dirty if row.__tablename__ in PARENTS}
    lock(session, written)
    lock(session, parents - written, SHARED)
