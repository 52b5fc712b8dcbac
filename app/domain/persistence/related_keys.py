"""Foreign keys of related objects: after `lead.status = other`, only a flush would set `lead.status_id`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import RelationshipDirection, RelationshipProperty

from app.ops.statements import sqlalchemy_internals as internals


def set_keys(row: Any) -> bool:
    """Set the foreign keys of related objects that were set. False if a flush has to write rows of other tables."""
    state: Any = inspect(row)
    relations = state.mapper.relationships
    for name in [each for each in internals.set_attributes(row) if each in relations]:
        if not internals.has_changes(state, name):
            continue  # set to its former value: the key applies, which may have been set itself
        if not _set_key(row, relations[name], state.dict.get(name)):
            return False
    return True


def _set_key(row: Any, relation: RelationshipProperty[Any], related: Any) -> bool:
    """Set the foreign key of a related object, null for None."""
    if relation.direction is not RelationshipDirection.MANYTOONE:
        return False
    if related is not None and not inspect(related).persistent:
        return False
    for own, other in relation.local_remote_pairs:
        key = None if related is None else getattr(related, str(other.key))
        setattr(row, relation.parent.get_property_by_column(own).key, key)
    return True
