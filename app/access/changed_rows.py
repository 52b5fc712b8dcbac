"""What a flush is about to write: changed rows, and the values their attributes had before."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Session


def changed_rows(session: Session, *models: Any) -> list[Any]:
    """New, changed and deleted rows of these models."""
    rows = [row for row in (*session.new, *session.dirty, *session.deleted) if isinstance(row, models)]
    return [row for row in rows if row in session.new or row in session.deleted or session.is_modified(row)]


def history_of(row: Any, name: str) -> Any:
    """SQLAlchemy's history of the attribute: `added`, `deleted`, `unchanged`."""
    return inspect(row).attrs[name].history


def previous_value(row: Any, name: str) -> Any:
    """The attribute's value before this flush."""
    history = history_of(row, name)
    return history.deleted[0] if history.deleted else getattr(row, name)
