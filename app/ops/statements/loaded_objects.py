"""Puts objects of rows that were already read into a session, as a loader would: without events and cascades."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, Session

from app.ops.statements import sqlalchemy_internals as internals


def hold(session: Session, record: Any, values: Mapping[str, Any]) -> Any:
    """A new object of the session with these columns, including `id`; other columns are loaded on access.

    The session must not have the object yet.
    """
    names = _column_names(inspect(record))
    missing = names - values.keys() if len(values) < len(names) else ()
    return internals.add_loaded(session, record, values, missing)


@lru_cache(maxsize=200)
def _column_names(mapper: Mapper[Any]) -> frozenset[str]:
    return frozenset(mapper.columns.keys())
