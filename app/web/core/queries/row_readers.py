"""How raw rows become JSON: field by field, or by converters where the value of one column is enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from app.web.core.fields.base import Field
from app.web.core.queries.record_columns import RecordColumns
from app.web.core.viewer import Viewer


class Reader(NamedTuple):
    """How a field is read from a raw row."""

    name: str
    field: Field
    cut: slice
    #: The index of its only column, if `convert` alone makes JSON of that value, or nothing has to.
    place: int | None
    #: Makes JSON of the value at `place`, or without one of all values; None if there is nothing to do, or the field
    #: must be asked.
    convert: Callable[[Any], Any] | None = None


def reader_of(field: Field, cut: slice, viewer: Viewer) -> Reader:
    """How this viewer reads a field."""
    convert = None if field.is_plain else field.converter(viewer)
    if convert is not None or field.is_passthrough(viewer):
        return Reader(field.name, field, cut, cut.start, convert)
    return Reader(field.name, field, cut, None, None if field.is_plain else field.joint_converter(viewer))


@lru_cache(maxsize=200)
def common_readers(table: RecordColumns, names: tuple[str, ...] | None) -> tuple[Reader, ...]:
    """How everybody reads the selected fields."""
    return tuple(_common_reader(each, cut) for each, cut in table.selection(names)[1])


def _common_reader(field: Field, cut: slice) -> Reader:
    """How everybody reads a field; without a place if that depends on the viewer."""
    convert = None if field.is_plain else field.common_converter()
    is_single = convert is not None or (field.is_plain and not field.mask)
    return Reader(field.name, field, cut, cut.start if is_single else None, convert)


def readers_of_one(table: RecordColumns, names: tuple[str, ...] | None, viewer: Viewer) -> tuple[Reader, ...]:
    """How the viewer reads the selected fields of one row: what depends on their masks is kept with their rights."""
    key, derived = ("readers", table, names), viewer.person.derived
    found: tuple[Reader, ...] | None = derived.get(key)
    if found is None:
        found = tuple(_masked_reader(each, viewer) for each in common_readers(table, names))
        derived.keep(key, found)
    return found


def _masked_reader(reader: Reader, viewer: Viewer) -> Reader:
    """How a viewer reads the field, as far as nothing but their masks matters."""
    if reader.place is not None:
        return reader
    if reader.field.is_passthrough(viewer):
        return reader._replace(place=reader.cut.start)
    return reader if reader.field.is_plain else reader._replace(convert=reader.field.joint_converter(viewer))


def serialize(row: Any, readers: Sequence[Reader], viewer: Viewer) -> dict[str, Any]:
    """A raw row as a JSON object; passthrough values are unchanged."""
    serialized: dict[str, Any] = {"id": row[0]}
    for name, field, cut, place, convert in readers:
        if place is not None:
            value = row[place] if convert is None else convert(row[place])
        else:
            value = field.serialize(row[cut], viewer) if convert is None else convert(row[cut])
        if "." in name:
            relation, _dot, column = name.partition(".")
            nested = serialized.get(relation, {})
            if isinstance(nested, dict):  # copied, because cards of the lookups are shared by all requests
                serialized[relation] = nested | {column: value}
        else:
            serialized[name] = value
    return serialized
