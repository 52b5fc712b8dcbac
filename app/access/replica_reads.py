"""Reads for a person from another server than the primary.

Only what the session reads for its person goes there, under the same access rules: they are part of the statement,
wherever it is sent. Who the person is, their rights and the picklists are read by the system, always from the primary
(ADR 0002): a revoked right is gone at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine

from app.access.system_session import acting
from app.extensions import RoutedSession
from app.ops.statements.sqlalchemy_internals import locks_rows


@contextmanager
def reading_from(session: RoutedSession, engine: Engine) -> Iterator[None]:
    """Inside, what the session reads for its person comes from this server; changes still go to the primary."""

    def choose(clause: Any) -> Engine | None:
        is_change = getattr(clause, "is_dml", False) or locks_rows(clause)
        return None if is_change or acting(session) is None else engine

    session.reader = choose
    try:
        yield
    finally:
        session.reader = None
