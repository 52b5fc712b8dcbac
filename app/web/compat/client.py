"""frappe.client.*: read and write documents by DocType and name, through the record services and access rules."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from flask import g
from flask_babel import gettext as _
from sqlalchemy import false, func, select

from app import access
from app.domain.base import Conflict, NotFound
from app.domain.persistence import record_locks
from app.extensions import db
from app.models import CallLog
from app.ops.database.database_errors import Cause, cause_of
from app.web.compat import aggregates, date_ranges
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import CALL_LOG, DOCTYPES, READ_ONLY, DocType
from app.web.compat.documents import fetch_document, fetch_documents
from app.web.compat.field_conversion import ignored_fields, is_same_value, record_values
from app.web.compat.filters import parse_filters
from app.web.compat.in_memory_lists import MemoryDocType, matching, with_fields
from app.web.compat.list_options import ListOptions, is_set, refuse_unknown_options
from app.web.compat.list_query import field_names, parse_list_request, requested_fields
from app.web.compat.picklists import PICKLISTS
from app.web.compat.responses import CompatError, Envelope
from app.web.core.fab_access import REFUSABLE, current_viewer, database_sentence, refusal_of_one
from app.web.core.queries.list_query import ListQuery
from app.web.core.queries.replica_lists import from_replica
from app.web.core.repeated_writes import again_if_overtaken
from app.web.core.viewer import Viewer

#: Documents in one insert_many or bulk_update.
MAX_DOCUMENTS = 200


def requested_doctype(arguments: Arguments) -> DocType | MemoryDocType:
    """The DocType that the argument `doctype` names. Raises CompatError (403) for an unknown one."""
    return find_doctype(arguments.text("doctype"))


def find_doctype(name: str) -> DocType | MemoryDocType:
    """The DocType or picklist with this name. Raises CompatError (403), as the predecessor does, for an unknown one."""
    found = DOCTYPES.get(name) or PICKLISTS.get(name)
    if found is None:
        raise CompatError(403, _("“%(name)s” isn't available here.", name=name[:60]), "PermissionError")
    return found


def record_doctype(name: str, *allowed: str) -> DocType:
    """The DocType of a record, one of `allowed` if any are given. Raises CompatError (403, 417)."""
    found = find_doctype(name)
    if isinstance(found, MemoryDocType) or (allowed and found.name not in allowed):
        raise CompatError(417, _("This can't be done with “%(name)s”.", name=name[:60]))
    return found


def not_found(doctype: str, name: str) -> NotFound:
    """The error for a document that does not exist or is not visible to the person."""
    return NotFound(_("%(kind)s %(name)s was not found.", kind=doctype, name=name[:40]))


# --- reading


def get_list(arguments: Arguments) -> list[Any]:
    """doctype and the parameters of ListOptions -> documents."""
    return list_documents(requested_doctype(arguments), ListOptions.of_resource(arguments))


@from_replica
def list_documents(doctype: DocType | MemoryDocType, options: ListOptions) -> list[Any]:
    """The documents or groups of a list request; one statement."""
    viewer = current_viewer()
    if isinstance(doctype, MemoryDocType):
        return options.shaped(doctype.list_documents(options, viewer))
    viewer.person.refuse_unless(doctype.module, "read")
    if aggregates.is_aggregated(options):
        return options.shaped(aggregates.list_groups(options, doctype, viewer))
    request = parse_list_request(options, doctype, viewer)
    return options.shaped(fetch_documents(doctype, request.list_query, request.fields, viewer))


def get_count(arguments: Arguments) -> int:
    """doctype, filters, or_filters, limit -> how many documents match."""
    refuse_unknown_options(arguments, "count")
    doctype, viewer = requested_doctype(arguments), current_viewer()
    filters, either = arguments.json_value("filters"), arguments.json_value("or_filters")
    if isinstance(doctype, MemoryDocType):
        found = len(matching(doctype.documents(viewer), filters, doctype.name, either))
    else:
        found = count_documents(doctype, parse_filters(filters, doctype, viewer, either))
    return min(found, arguments.integer("limit", 0, 0, 10**9) or found)


@from_replica
def count_documents(doctype: DocType, conditions: list[Any]) -> int:
    """How many documents match these SQL conditions."""
    current_viewer().person.refuse_unless(doctype.module, "read")
    return int(doctype.record_table.count(db.session(), ListQuery(conditions, [], 1, exact=True))[0])


def get(arguments: Arguments) -> dict[str, Any]:
    """doctype, and name or filters -> the whole document. Raises NotFound (404)."""
    refuse_unknown_options(arguments, "document")
    doctype = requested_doctype(arguments)
    filters = {"name": arguments.text("name")} if "name" in arguments else arguments.json_value("filters")
    return _read_first(doctype, filters)


def read_document(doctype: DocType | MemoryDocType, name: str) -> dict[str, Any]:
    """The document with all of its fields and child tables. Raises NotFound (404)."""
    return _read_first(doctype, {"name": name})


def get_for_form(arguments: Arguments) -> Envelope:
    """doctype, name -> {"docs": [document]}, as the predecessor's forms expect."""
    return Envelope("docs", [get(arguments)])


def _read_first(doctype: DocType | MemoryDocType, filters: Any) -> dict[str, Any]:
    """The newest matching document. Raises NotFound."""
    viewer = current_viewer()
    if isinstance(doctype, MemoryDocType):
        return _read_fields(doctype, filters, ("*",))
    viewer.person.refuse_unless(doctype.module, "read")
    document = fetch_document(doctype, _newest_one(doctype, filters, viewer), viewer)
    if document is None:
        raise NotFound(_("%(kind)s was not found.", kind=doctype.name))
    return document


def get_value(arguments: Arguments) -> Any:
    """doctype, filters, fieldname (a name or a list), as_dict -> these fields of the first match; {} without one."""
    refuse_unknown_options(arguments, "document")
    doctype = requested_doctype(arguments)
    names = _value_fields(doctype, arguments.json_value("fieldname", "name"))
    try:
        found = _read_fields(doctype, arguments.json_value("filters"), names)
    except NotFound:
        return {}
    if "as_dict" in arguments and not is_set(arguments.raw("as_dict")):
        return list(found.values()) if len(found) != 1 else next(iter(found.values()))
    return found


def _value_fields(doctype: DocType | MemoryDocType, requested: Any) -> tuple[str, ...]:
    if isinstance(doctype, DocType):
        return requested_fields(requested, doctype)
    return tuple(field_names(requested, doctype.name))


def _read_fields(doctype: DocType | MemoryDocType, filters: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """These fields of the newest matching document. Raises NotFound."""
    viewer = current_viewer()
    if isinstance(doctype, MemoryDocType):
        documents = with_fields(doctype.filter_documents(filters, viewer)[:1], list(names))
    else:
        viewer.person.refuse_unless(doctype.module, "read")
        documents = fetch_documents(doctype, _newest_one(doctype, filters, viewer), names, viewer)
    if not documents:
        raise NotFound(_("%(kind)s was not found.", kind=doctype.name))
    return documents[0]


def _newest_one(doctype: DocType, filters: Any, viewer: Viewer) -> ListQuery:
    order = [doctype.record_table.record.id.desc()]
    if doctype is CALL_LOG and isinstance(filters, dict) and isinstance(filters.get("name"), str):
        # A sender's own id of a call may be a number, too: it takes precedence over the number of another call.
        order.insert(0, func.coalesce(CallLog.device_call_id == filters["name"][:120], false()).desc())
    return ListQuery(parse_filters(filters, doctype, viewer), order, 1)


# --- writing


def insert(arguments: Arguments) -> dict[str, Any]:
    """doc: {doctype, …} -> the stored document."""
    return insert_document(_require_document(arguments.json_value("doc")))


def insert_many(arguments: Arguments) -> list[str]:
    """docs (a list) -> the names of the stored documents; all or none are stored."""
    return [insert_document(doc)["name"] for doc in _requested_documents(arguments)]


def insert_document(doc: dict[str, Any]) -> dict[str, Any]:
    """Create a record from the document; returns the stored document."""
    doctype, viewer = _writable_doctype(find_doctype(str(doc.get("doctype"))), "post"), current_viewer()
    viewer.person.refuse_unless(doctype.module, "create")
    values = doctype.record_table.parse(record_values(doctype, doc), "add", viewer)
    row = doctype.resource.service.create(db.session(), values, viewer)
    db.session.flush()
    return _stored_document(doctype, doc, document_name(doctype, row), "add")


def save(arguments: Arguments) -> dict[str, Any]:
    """doc: a changed document -> the stored one; without a name it is inserted. Raises Conflict (409) if stale."""
    doc = _require_document(arguments.json_value("doc"))
    doctype = find_doctype(str(doc.get("doctype")))
    if not doc.get("name"):
        return insert_document(doc)
    return again_if_overtaken(lambda: update_document(doctype, str(doc["name"]), doc, doc.get("modified")))


def set_value(arguments: Arguments) -> dict[str, Any]:
    """doctype, name, fieldname (a name, or an object of several), value -> the stored document."""
    doctype, fields = requested_doctype(arguments), arguments.json_value("fieldname")
    doc = fields if isinstance(fields, dict) else {arguments.text("fieldname"): arguments.raw("value")}
    return again_if_overtaken(lambda: update_document(doctype, arguments.text("name"), doc))


def update_document(
    doctype: DocType | MemoryDocType, name: str, doc: dict[str, Any], expected_modified: Any = None
) -> dict[str, Any]:
    """Change the fields of a record that differ from the document; returns the stored document.

    Raises NotFound (404), Denied (403), and Conflict (409) when `expected_modified` or the document's own `modified`
    is stale: clients send the whole document that they have read.
    """
    writable, viewer = _writable_doctype(doctype, "put"), current_viewer()
    row = get_record(writable, name, "write")
    stored = read_document(writable, name)
    for modified in (expected_modified, doc.get("modified")):
        refuse_stale(stored, modified, viewer)
    changes = {field: value for field, value in doc.items() if not is_same_value(value, stored.get(field))}
    values = writable.record_table.parse(record_values(writable, changes, stored), "edit", viewer)
    if values:
        writable.resource.service.save(db.session(), row, values, None, viewer)
        db.session.flush()
    return _stored_document(writable, changes, document_name(writable, row), "edit")


def _stored_document(doctype: DocType, doc: dict[str, Any], name: str, mode: str) -> dict[str, Any]:
    """The stored document; fields that were sent and not kept are remembered for the response's warning."""
    try:
        stored = read_document(doctype, name)
    except (NotFound, access.Denied):  # the change itself put the record out of the person's reach
        return {"doctype": doctype.name, "name": name}
    g.setdefault("ignored_fields", set()).update(ignored_fields(doctype, doc, stored, mode))
    return stored


#: After so many seconds, `bulk_update` waits for no further lock once it has waited for one in vain.
PATIENCE_SECONDS = 10.0


def bulk_update(arguments: Arguments) -> dict[str, Any]:
    """docs: [{doctype, docname, …}] -> {"failed_docs": [{doc, exc}]}; one that fails does not stop the others.

    Each is saved in a transaction of its own, so that others wait for its record for a moment only.
    """
    failed, is_locked, began = [], False, time.monotonic()
    for doc in _requested_documents(arguments):
        if is_locked and time.monotonic() - began > PATIENCE_SECONDS:
            failed.append({"doc": doc, "exc": database_sentence(Cause.LOCKED)})
            continue
        try:
            again_if_overtaken(partial(_update_alone, doc))
        except REFUSABLE as broken:
            db.session.rollback()
            is_locked = is_locked or cause_of(broken) is Cause.LOCKED
            failed.append({"doc": doc, "exc": _refusal(broken)})
    return {"failed_docs": failed}


def _update_alone(doc: dict[str, Any]) -> None:
    doctype = _writable_doctype(find_doctype(str(doc.get("doctype"))), "put")
    name = str(doc.get("docname") or doc.get("name"))
    current_viewer().person.refuse_unless(doctype.module, "bulk")
    lock_records([(doctype, [name])], True)
    update_document(doctype, name, doc)
    db.session.commit()


def _refusal(broken: BaseException) -> str:
    """The sentence about one document. Raises the error again if the others would fail for it, too."""
    return database_sentence(Cause.LOCKED) if cause_of(broken) is Cause.LOCKED else refusal_of_one(broken)[1]


def delete(arguments: Arguments) -> None:
    """doctype, name."""
    delete_document(requested_doctype(arguments), arguments.text("name"))


def delete_document(doctype: DocType | MemoryDocType, name: str) -> str:
    """Delete a record; returns "ok". Raises NotFound (404), Denied (403)."""
    writable = _writable_doctype(doctype, "delete")
    writable.resource.service.remove(db.session(), get_record(writable, name, "delete"), current_viewer())
    return "ok"


def _requested_documents(arguments: Arguments) -> list[dict[str, Any]]:
    """The argument `docs`. Raises CompatError (417)."""
    docs = arguments.json_value("docs")
    if not isinstance(docs, list) or len(docs) > MAX_DOCUMENTS:
        raise CompatError(417, _("“docs” must be a list of at most %(most)s documents.", most=MAX_DOCUMENTS))
    return [_require_document(doc) for doc in docs]


def _require_document(doc: Any) -> dict[str, Any]:
    if not isinstance(doc, dict):
        raise CompatError(417, _("“doc” must be an object with a doctype."))
    return doc


# --- records


def find_records(doctype: DocType, names: list[str], verb: str) -> dict[str, Any]:
    """Name -> record, of those visible to the person; one statement, or two if the verb reaches fewer of them.

    Raises Denied for the first record that is visible but not within reach of the verb.
    """
    viewer = current_viewer()
    conditions = parse_filters({"name": ["in", names]}, doctype, viewer)
    records = list(db.session.scalars(select(doctype.record_table.record).where(*conditions)))
    for row in records:
        doctype.refuse_unreached(row, verb, viewer)
    return {document_name(doctype, row): row for row in records}


def lock_records(named: list[tuple[DocType, list[str]]], has_contacts: bool = False) -> None:
    """Lock the records with these names that the person sees, and forget what was read of them.

    For many of one transaction, which would otherwise lock them in the order of the request; `has_contacts` as in
    `record_locks.lock_rows`.
    """
    records: list[Any] = []
    for doctype, names in named:
        conditions = parse_filters({"name": ["in", names]}, doctype, current_viewer())
        records += db.session.scalars(select(doctype.record_table.record).where(*conditions))
    record_locks.lock_rows(db.session(), records, has_contacts)
    for row in records:
        db.session.expire(row)


def get_record(doctype: DocType, name: str, verb: str) -> Any:
    """The record with this name, for a change. Raises NotFound, Denied."""
    current_viewer().person.refuse_unless(doctype.module, "read")
    records = list(find_records(doctype, [name], verb).values())
    if not records:
        raise not_found(doctype.name, name)
    if len(records) > 1:
        raise CompatError(417, _("More than one document is named “%(name)s”. Please use its number.", name=name[:60]))
    return records[0]


def document_name(doctype: DocType, row: Any) -> str:
    """The name of a record's document: its number, or its id."""
    return str(getattr(row, doctype.name_field) if doctype.name_field else row.id)


def refuse_stale(stored: dict[str, Any], expected_modified: Any, viewer: Viewer) -> None:
    """Raise Conflict unless the document was last modified at this time; CompatError (417) for an invalid time."""
    if expected_modified in (None, "") or not stored.get("modified"):
        return
    if not isinstance(expected_modified, str) or (
        expected_modified != stored["modified"]
        and date_ranges.parse_span(expected_modified, viewer)[0]
        != date_ranges.parse_span(stored["modified"], viewer)[0]
    ):
        raise Conflict(_("The document was changed after you opened it. Please refresh to get the latest version."))


def _writable_doctype(doctype: DocType | MemoryDocType, verb: str) -> DocType:
    """The DocType, if its records can be written with this HTTP verb. Raises CompatError (403)."""
    if isinstance(doctype, MemoryDocType) or doctype.name in READ_ONLY or not doctype.allows(verb):
        raise CompatError(403, _("%(kind)s can't be changed this way.", kind=doctype.name))
    return doctype
