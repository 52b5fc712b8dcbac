"""Writes rows of a record's history without objects: timeline, statuses, assignments.

A change writes three or four of them. As objects, each would cost the session more than the database; collected, they
are written by one INSERT per table when the change is complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy.orm import Session

from app.domain.persistence import bulk_statements, row_updates
from app.domain.persistence.session_context import session_context


@contextmanager
def written_together(session: Session) -> Iterator[None]:
    """Collect the rows passed to `add` inside the block, and write them at its end, after the session's own changes.

    Nothing inside may read those rows. A nested block adds to the outer one. An exception drops them, because the
    change to which they belong will be rolled back.
    """
    context = session_context(session)
    if context.history_rows is not None:
        yield
        return
    gathered: dict[Any, list[dict[str, Any]]] = {}
    context.history_rows = gathered
    try:
        yield
    finally:
        context.history_rows = None
    # First the record itself: the foreign keys of its history take a shared lock on it, and two transactions that then
    # want to update it would deadlock.
    row_updates.flush(session)
    for record, rows in gathered.items():
        bulk_statements.insert_rows(session, record, rows)


def add(session: Session, record: Any, values: dict[str, Any]) -> None:
    """Write one row of this class; columns that aren't given are null. Its text is the CRM's own, or in a payload."""
    gathered = session_context(session).history_rows
    if gathered is None:
        session.add(record(**values))
        return
    gathered.setdefault(record, []).append(_empty(record) | values)


@lru_cache
def _empty(record: Any) -> dict[str, Any]:
    """Null for every column except the id, so that all rows of one INSERT have the same columns."""
    return {column.name: None for column in record.__table__.columns if not column.primary_key}
