"""Remembers for half a minute that a list has more rows than are counted, so that its next page need not count again.

Only counts that stopped at the cap are cached: they show “1,000+” even if a few rows change. They are stored with the
person, who is loaded anew when anything about their access changes.
"""

from __future__ import annotations

import time
from typing import Any

from app.access import Person
from app.ops.statements.sqlalchemy_internals import cache_key_of

KEEP_SECONDS = 30.0
#: For how long it is remembered that a person had fewer rows of their own: they are then counted without a look
#: whether they are too many.
KEEP_FEW_SECONDS = 300.0


def key_of(record: Any, conditions: list[Any]) -> Any:
    """Identifies the list: its record, filters and their values. None if they can't be compared."""
    keys = [cache_key_of(condition) for condition in conditions]
    if any(key is None for key in keys):
        return None
    values = [[repr(each.effective_value) for each in key.bindparams] for key in keys]
    return (record.__tablename__, tuple(key.key for key in keys), repr(values))


def is_capped(person: Person, key: Any) -> bool:
    """Whether the list had more rows than the cap a moment ago."""
    return key is not None and (person.capped_counts.get(key) or 0.0) > time.monotonic()


def remember(person: Person, key: Any) -> None:
    """Remember that the list has more rows than the cap."""
    if key is not None:
        person.capped_counts.keep(key, time.monotonic() + KEEP_SECONDS)


def were_few(person: Person, key: Any) -> bool:
    """Whether the person's own rows of the list were fewer than the cap a few minutes ago."""
    return key is not None and (person.capped_counts.get(("few", key)) or 0.0) > time.monotonic()


def remember_few(person: Person, key: Any) -> None:
    """Remember that the person's own rows of the list are fewer than the cap."""
    if key is not None:
        person.capped_counts.keep(("few", key), time.monotonic() + KEEP_FEW_SECONDS)
