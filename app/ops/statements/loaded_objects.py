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
    mapper, names = _mapped(record)
    missing = names - values.keys() if len(values) < len(names) else ()
    return internals.add_loaded(session, mapper, values, missing)


def present(session: Session, record: Any, key: int) -> Any:
    """The object of this id, if the session has it."""
    return session.identity_map.get(_mapped(record)[0].identity_key_from_primary_key((key,)))


@lru_cache(maxsize=200)
def _mapped(record: Any) -> tuple[Mapper[Any], frozenset[str]]:
    """The mapper of a class, and the names of its columns."""
    mapper = inspect(record)
    return mapper, frozenset(mapper.columns.keys())
