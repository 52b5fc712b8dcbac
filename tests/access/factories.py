"""Factories for tests of access rules: a person with given rights, and a row of any record."""

from __future__ import annotations

from datetime import date
from itertools import count
from typing import Any

from sqlalchemy import JSON, String, inspect, select
from sqlalchemy.orm import Session

from app.access import Person, visible
from app.domain.base import Code
from tests.factories import NOW

_FILLERS: dict[type, Any] = {int: 1, date: NOW.date()}
_serial = count(1)


def person(user_id: int = 1, levels: dict[str, str] | None = None, team: tuple[int, ...] = (), **more: Any) -> Person:
    """A person who holds these levels, written "Module.verb"; `team`: who reports to them."""
    values: dict[str, Any] = {
        "id": user_id,
        "team_ids": frozenset({user_id, *team}),
        "username": "ana",
        "full_name": "Ana Shah",
        "roles": frozenset({"Sales User"}),
    }
    values |= {"masks": {}, "own_ids": frozenset({user_id}), "fab_permissions": frozenset()}
    values["levels"] = {tuple(key.rsplit(".", 1)): level for key, level in (levels or {}).items()}
    return Person(**(values | more))


def row(session: Session, record: Any, **values: Any) -> Any:
    """A stored row with these values; other columns that must not be null hold a made-up one."""
    for column in record.__table__.columns:
        if column.nullable or column.default is not None or column.primary_key or column.foreign_keys:
            continue
        name = inspect(record).get_property_by_column(column).key
        if name not in values:
            values[name] = _made_up(column)
    made = record(**values)
    session.add(made)
    session.flush()
    return made


def _made_up(column: Any) -> Any:
    if isinstance(column.type, String | Code):
        return f"{next(_serial)}"
    return {} if isinstance(column.type, JSON) else _FILLERS.get(column.type.python_type, NOW)


def seen(session: Session, who: Person, record: Any, verb: str = "read") -> set[int]:
    """The ids of the rows that the verb reaches."""
    return set(session.scalars(select(record.id).where(visible(who, record, verb))))
