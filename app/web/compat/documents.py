"""Rows as the predecessor's documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.extensions import db
from app.lib.cached_property import cached_property
from app.web.compat.doctypes import DocType
from app.web.compat.filters import FIXED_FIELDS
from app.web.compat.timestamps import local_timestamp
from app.web.compat.users import name_of
from app.web.core.fields.base import Field
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.fields.reference_fields import PersonField, PicklistField, RecordField
from app.web.core.fields.scalar_fields import BooleanField
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer

Document = dict[str, Any]


def fetch_documents(doctype: DocType, list_query: ListQuery, names: tuple[str, ...], viewer: Viewer) -> list[Document]:
    """One page of documents with these fields of the predecessor; one statement."""
    selected = _selected_fields(doctype, names)
    rows = doctype.record_table.rows(db.session(), list_query, selected)
    reader = _RowReader(doctype, names, _slices(doctype.record_table.selection(selected)[1]), viewer)
    return [reader.document(row) for row in rows]


def fetch_document(doctype: DocType, list_query: ListQuery, viewer: Viewer) -> Document | None:
    """The first matching document with all fields and child tables; at most two statements more than a list."""
    names = ("name", "doctype", "docstatus", *doctype.fields)
    query, slices = doctype.record_table.selection(_selected_fields(doctype, names))
    # All fields need all joins, so every table that the filters use is there.
    query = query.where(*list_query.conditions).order_by(*list_query.order).limit(1)
    row = db.session.execute(query, execution_options={"guarded_tables": doctype.tables}).first()
    if row is None:
        return None
    document = _RowReader(doctype, names, _slices(slices), viewer).document(row)
    return document | (doctype.children(db.session(), int(row[0]), viewer) if doctype.children is not None else {})


def _selected_fields(doctype: DocType, names: tuple[str, ...]) -> tuple[str, ...]:
    """Our fields that must be read: those of the request, and the one that holds the document's name."""
    known, by_name = doctype.fields, doctype.record_table.by_name
    fields = [known[name] for name in names if name in known]
    if doctype.name_field is not None:
        fields.insert(0, doctype.name_field)
    return tuple(dict.fromkeys(name for name in fields if by_name[name].columns))


def _slices(selection: list[tuple[Field, slice]]) -> dict[str, tuple[Field, slice]]:
    return {field.name: (field, part) for field, part in selection}


@dataclass(frozen=True)
class _RowReader:
    """Turns the rows of one SELECT into documents."""

    doctype: DocType
    #: The predecessor's fields, in order.
    names: tuple[str, ...]
    #: Our field's name -> the field and its columns in a row.
    slices: dict[str, tuple[Field, slice]]
    viewer: Viewer

    @cached_property
    def _fields(self) -> dict[str, str]:
        return self.doctype.fields

    def document(self, row: Any) -> Document:
        """The document of a row."""
        fixed = {"name": self._name(row), "doctype": self.doctype.name, "docstatus": 0, "idx": 0}
        return {name: fixed[name] if name in FIXED_FIELDS else self._value(name, row) for name in self.names}

    def _name(self, row: Any) -> Any:
        name_field = self.doctype.name_field
        return row[self.slices[name_field][1].start] if name_field else str(row[0])

    def _value(self, name: str, row: Any) -> Any:
        found = self.slices.get(self._fields.get(name, ""))
        return document_value(found[0], row[found[1]], self.viewer) if found else None


def document_value(field: Field, values: tuple[Any, ...], viewer: Viewer) -> Any:
    """A value in the predecessor's format: labels, user names, record numbers, local times, 0 and 1."""
    if isinstance(field, DateTimeField):
        return local_timestamp(values[0], viewer)
    value = field.serialize(values, viewer)
    if isinstance(field, PicklistField):
        return value["label"] if value else None
    if isinstance(field, PersonField):
        return name_of(value["id"], viewer) if value else None
    if isinstance(field, RecordField):
        return value["number"] if value else None
    return int(value) if isinstance(field, BooleanField) else value
