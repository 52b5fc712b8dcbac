"""One new object, inserted by a text of our own; afterwards the session has it as after a flush.

For records of which people create many. A flush sorts, checks and compiles for whatever a session may hold, which costs
more than the INSERT.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty, Session, make_transient_to_detached

from app.domain import bulk, change_events, custom_values, stored_text


def insert(session: Session, row: Any) -> None:
    """Insert an object that is not in the session yet; it gets its id. The session's own changes are written first.

    Does what the session's hooks do for a new lead or task: storable texts, and the events for webhooks.
    """
    values = _values(row)
    if values is None:
        session.add(row)
        session.flush()
        return
    session.flush()
    held = inspect(row).dict
    held.update(values)
    held["id"] = bulk.insert_row(session, type(row), values)
    make_transient_to_detached(row)
    session._update_impl(inspect(row))  # not `add`, which looks at all related objects
    if getattr(row, "custom", None):
        custom_values.index(session, [row])
    kind = change_events.KINDS.get(row.__tablename__)
    if kind is not None:
        assigned = ("assigned",) if values.get("assignee_id") is not None else ()
        change_events.record_event(session, kind, row.id, "created", *assigned)


def _values(row: Any) -> dict[str, Any] | None:
    """The values of all columns but the id; None for an object that only a flush can write."""
    mapper = inspect(type(row))
    defaults = _defaults(mapper)
    if defaults is None or not _refer_to_related(row, mapper):
        return None
    stored_text.normalise(row)
    held = inspect(row).dict
    values = {}
    for name, default in defaults.items():
        value = held.get(name)
        if value is None and default is not None:
            value = default.arg(None) if default.is_callable else default.arg
        values[name] = value
    return values


def _refer_to_related(row: Any, mapper: Mapper[Any]) -> bool:
    """Set the keys of the related objects that were set. False if rows of other tables would have to be written."""
    state = inspect(row)
    for relation in mapper.relationships:
        added = state.attrs[relation.key].history.added
        if added and not set_keys(row, relation, added[0]):
            return False
    return True


def set_keys(row: Any, relation: RelationshipProperty[Any], related: Any) -> bool:
    """Set the foreign keys of a related object, None for no object. False if only a flush can write them."""
    if relation.direction is not RelationshipDirection.MANYTOONE:
        return False
    if related is not None and not inspect(related).persistent:
        return False
    for own, other in relation.local_remote_pairs:
        key = None if related is None else getattr(related, str(other.key))
        setattr(row, relation.parent.get_property_by_column(own).key, key)
    return True


@lru_cache(maxsize=100)
def _defaults(mapper: Mapper[Any]) -> dict[str, Any] | None:
    """Attribute -> default of each column but the id; None for a class that only a flush can write."""
    columns = {name: column for name, column in mapper.columns.items() if name != "id"}
    has_listeners = any(getattr(mapper.dispatch, name) for name in ("before_insert", "after_insert"))
    is_plain = all(
        name == column.name and (column.server_default is None or column.default is not None)
        for name, column in columns.items()
    )
    if has_listeners or mapper.inherits or not is_plain:
        return None
    return {name: column.default for name, column in columns.items()}
