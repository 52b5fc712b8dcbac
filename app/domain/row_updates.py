"""One changed object, written by a text of our own; afterwards the session has it as after a flush.

For the changes that people make most: one record at a time. See fast_insert for why not by a flush.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import JSON, inspect
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.sql.elements import ClauseElement

from app.domain import bulk, change_events, custom_values, fast_insert, stored_text
from app.domain.base import RECORD_COLUMNS

#: Columns that take a record away from another one; only a flush asks whether a legal hold forbids it.
_MOVES = frozenset(RECORD_COLUMNS.values())


def flush(session: Session) -> None:
    """Write what the session holds: a single changed record by a text of our own, anything else by a flush.

    Does what the session's hooks do for a changed lead, ticket, customer or task: storable texts, the events for
    webhooks, and the index of custom fields. Raises StaleDataError if the record was changed or deleted meanwhile.
    """
    changed = [] if session.new or session.deleted else list(session.dirty)
    # A savepoint that is rolled back restores only what a flush has written.
    change = _change_of(changed[0]) if len(changed) == 1 and not session.in_nested_transaction() else None
    if change is None:
        session.flush()
        return
    row, state = changed[0], inspect(changed[0])
    if bulk.update_row(session, type(row), change.values, change.identity) != 1:
        raise StaleDataError(f"{row.__tablename__} {state.dict['id']} was changed meanwhile")
    kind, names = change_events.KINDS[row.__tablename__], change.values.keys()
    events = change_events.events_of_columns(kind, names)
    state.dict.update(change.values)
    state._commit_all(state.dict, session.identity_map)
    if "custom" in names:
        custom_values.index(session, [row])
    if events:
        change_events.record_event(session, kind, row.id, *sorted(events))


@dataclass(frozen=True)
class _Change:
    #: New values by column.
    values: dict[str, Any]
    #: What the row in the database must have: its id, and the version that was read.
    identity: dict[str, Any]


def _change_of(row: Any) -> _Change | None:
    """What has changed in an object; None if only a flush can write it."""
    mapper, state = inspect(type(row)), inspect(row)
    if row.__tablename__ not in change_events.KINDS or row.__tablename__ == "call_log" or not _is_plain(mapper):
        return None
    if not _refers_to_related(row, mapper):
        return None
    stored_text.normalise(row)
    columns = mapper.columns
    names = [name for name in state.committed_state if name in columns and state.attrs[name].history.has_changes()]
    values = {name: state.dict.get(name) for name in names}
    if not _MOVES.isdisjoint(values):
        return None
    if not values or "id" in values or not all(_is_plain_value(columns[name], each) for name, each in values.items()):
        return None
    identity = {"id": state.key[1][0]}
    if mapper.version_id_col is not None:
        name = mapper.version_id_col.name
        if name in values or name not in state.dict:
            return None
        identity[name] = state.dict[name]
        values[name] = state.dict[name] + 1
    return _Change(values, identity)


def _refers_to_related(row: Any, mapper: Mapper[Any]) -> bool:
    """Set the keys of the related objects that were set. False if rows of other tables would have to be written."""
    state = inspect(row)
    for name in [each for each in state.committed_state if each in mapper.relationships]:
        if not state.attrs[name].history.has_changes():
            continue  # set to what it was: the key counts, which may have been set by itself
        if not fast_insert.set_keys(row, mapper.relationships[name], state.dict.get(name)):
            return False
    return True


def _is_plain_value(column: Any, value: Any) -> bool:
    """Whether the value stands for itself: no SQL, and not the null of a JSON column, of which there are two."""
    return not isinstance(value, ClauseElement) and not (value is None and isinstance(column.type, JSON))


@lru_cache(maxsize=100)
def _is_plain(mapper: Mapper[Any]) -> bool:
    """Whether rows of this class are written by their columns alone, and nobody listens."""
    has_listeners = any(getattr(mapper.dispatch, name) for name in ("before_update", "after_update"))
    is_simple = mapper.inherits is None and list(mapper.primary_key) == [mapper.local_table.c.get("id")]
    is_counted = mapper.version_id_col is None or mapper.version_id_generator is not False
    return (
        not has_listeners
        and is_simple
        and is_counted
        and all(
            name == column.name and column.onupdate is None and column.server_onupdate is None
            for name, column in mapper.columns.items()
        )
    )
