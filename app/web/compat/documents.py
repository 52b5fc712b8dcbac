"""Rows as the predecessor's documents, and its documents as what our desks take."""

from __future__ import annotations

from typing import Any

from app.extensions import db
from app.web.compat.child_rows import local_timestamp
from app.web.compat.doctypes import DocType
from app.web.compat.list_query import FIXED_FIELDS
from app.web.core.date_fields import DateTimeField
from app.web.core.fields import BooleanField, Field, Viewer
from app.web.core.record_table import ListQuery
from app.web.core.reference_fields import MasterField, PersonField, RecordField


def fetch_documents(
    doctype: DocType, list_query: ListQuery, names: tuple[str, ...], viewer: Viewer
) -> list[dict[str, Any]]:
    """One page of documents with these fields (theirs); one statement."""
    ours = _readable(doctype, names)
    rows = doctype.record_table.rows(db.session(), list_query, ours)
    cuts = {each.name: (each, cut) for each, cut in doctype.record_table.selection(ours)[1]}
    return [_document(doctype, row, names, cuts, viewer) for row in rows]


def fetch_document(doctype: DocType, list_query: ListQuery, viewer: Viewer) -> dict[str, Any] | None:
    """The first document that fits, with every field and what hangs on it; at most two statements more than a list."""
    names = ("name", "doctype", "docstatus", *doctype.fields)
    ours = _readable(doctype, names)
    query, slices = doctype.record_table.selection(ours)
    # All fields need all joins, so whatever the filters speak of is there.
    query = query.where(*list_query.conditions).order_by(*list_query.order).limit(1)
    row = db.session.execute(query, execution_options={"guarded_tables": doctype.tables}).first()
    if row is None:
        return None
    found = _document(doctype, row, names, {each.name: (each, cut) for each, cut in slices}, viewer)
    return found | (doctype.children(db.session(), int(row[0]), viewer) if doctype.children is not None else {})


def _readable(doctype: DocType, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for each in _ours(doctype, names) if doctype.record_table.by_name[each].columns))


def _ours(doctype: DocType, names: tuple[str, ...]) -> list[str]:
    """What must be read: the fields asked for, and by what the document is named."""
    return [
        *([doctype.name_field] if doctype.name_field else []),
        *(doctype.fields[name] for name in names if name in doctype.fields),
    ]


def _document(
    doctype: DocType, row: Any, names: tuple[str, ...], cuts: dict[str, Any], viewer: Viewer
) -> dict[str, Any]:
    key = row[cuts[doctype.name_field][1].start] if doctype.name_field else str(row[0])
    fixed = {"name": key, "doctype": doctype.name, "docstatus": 0, "idx": 0}
    told: dict[str, Any] = {}
    for name in names:
        if name in FIXED_FIELDS:
            told[name] = fixed[name]
        elif doctype.fields.get(name) in cuts:
            each, cut = cuts[doctype.fields[name]]
            told[name] = document_value(each, row[cut], viewer)
        else:
            told[name] = None
    return told


def document_value(each: Field, values: tuple[Any, ...], viewer: Viewer) -> Any:
    """A value as the predecessor wrote it: labels, user names, numbers of records, local times, 0 and 1."""
    if isinstance(each, DateTimeField):
        return local_timestamp(values[0], viewer)
    told = each.serialize(values, viewer)
    if isinstance(each, MasterField):
        return told["label"] if told else None
    if isinstance(each, PersonField):
        return told["username"] if told else None
    if isinstance(each, RecordField):
        return told["number"] if told else None
    return int(told) if isinstance(each, BooleanField) else told
