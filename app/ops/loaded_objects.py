"""Objects of rows that were read already, put into a session as a loader would: without its events and cascades.

They stand on private parts of SQLAlchemy, whose version is pinned.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, Session


def hold(session: Session, record: Any, values: Mapping[str, Any]) -> Any:
    """A new object of the session with these columns, `id` among them; other columns are read when they are asked for.

    The session must not have the object yet.
    """
    mapper = inspect(record)
    made = mapper.class_manager.new_instance()
    state = inspect(made)
    state.dict.update(values)
    state.key = mapper.identity_key_from_primary_key((values["id"],))
    names = _column_names(mapper)
    if len(values) < len(names):
        state.expired_attributes.update(names - values.keys())
    session._update_impl(state)
    return made


@lru_cache(maxsize=200)
def _column_names(mapper: Mapper[Any]) -> frozenset[str]:
    return frozenset(mapper.columns.keys())
