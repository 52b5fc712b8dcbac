"""Rows as the predecessor's documents, and its documents as what our desks take."""

from __future__ import annotations

from typing import Any

from app.extensions import db
from app.web.compat.child_rows import local
from app.web.compat.doctypes import DocType
from app.web.compat.list_query import FIXED
from app.web.core.date_fields import DateTimeField
from app.web.core.fields import BooleanField, Field, Viewer
from app.web.core.record_table import ListQuery
from app.web.core.reference_fields import MasterField, PersonField, RecordField


def documents(kind: DocType, list_query: ListQuery, names: tuple[str, ...], viewer: Viewer) -> list[dict[str, Any]]:
    """One page of documents with these fields (theirs); one statement."""
    ours = _readable(kind, names)
    rows = kind.record_table.rows(db.session(), list_query, ours)
    cuts = {each.name: (each, cut) for each, cut in kind.record_table.selection(ours)[1]}
    return [_document(kind, row, names, cuts, viewer) for row in rows]


def whole(kind: DocType, list_query: ListQuery, viewer: Viewer) -> dict[str, Any] | None:
    """The first document that fits, with every field and what hangs on it; at most two statements more than a list."""
    names = ("name", "doctype", "docstatus", *kind.fields)
    ours = _readable(kind, names)
    query, slices = kind.record_table.selection(ours)
    # All fields need all joins, so whatever the filters speak of is there.
    query = query.where(*list_query.conditions).order_by(*list_query.order).limit(1)
    row = db.session.execute(query, execution_options={"law_tables": kind.tables}).first()
    if row is None:
        return None
    found = _document(kind, row, names, {each.name: (each, cut) for each, cut in slices}, viewer)
    return found | (kind.children(db.session(), int(row[0]), viewer) if kind.children is not None else {})


def _readable(kind: DocType, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for each in _ours(kind, names) if kind.record_table.by_name[each].columns))


def _ours(kind: DocType, names: tuple[str, ...]) -> list[str]:
    """What must be read: the fields asked for, and by what the document is named."""
    return [*([kind.key] if kind.key else []), *(kind.fields[name] for name in names if name in kind.fields)]


def _document(kind: DocType, row: Any, names: tuple[str, ...], cuts: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    key = row[cuts[kind.key][1].start] if kind.key else str(row[0])
    fixed = {"name": key, "doctype": kind.name, "docstatus": 0, "idx": 0}
    told: dict[str, Any] = {}
    for name in names:
        if name in FIXED:
            told[name] = fixed[name]
        elif kind.fields.get(name) in cuts:
            each, cut = cuts[kind.fields[name]]
            told[name] = value_of(each, row[cut], viewer)
        else:
            told[name] = None
    return told


def value_of(each: Field, values: tuple[Any, ...], viewer: Viewer) -> Any:
    """A value as the predecessor wrote it: labels, user names, numbers of records, local times, 0 and 1."""
    if isinstance(each, DateTimeField):
        return local(values[0], viewer)
    told = each.serialize(values, viewer)
    if isinstance(each, MasterField):
        return told["label"] if told else None
    if isinstance(each, PersonField):
        return told["username"] if told else None
    if isinstance(each, RecordField):
        return told["number"] if told else None
    return int(told) if isinstance(each, BooleanField) else told
