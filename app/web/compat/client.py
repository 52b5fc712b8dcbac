"""frappe.client.*: documents in general, by DocType and name, each through its own desk and the one law."""

from __future__ import annotations

from typing import Any

from flask import g
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain.base import Conflict, NotFound
from app.extensions import db
from app.web.compat.arguments import Arguments
from app.web.compat.child_rows import local_timestamp
from app.web.compat.doctypes import DOCTYPES, READ_ONLY, DocType
from app.web.compat.documents import fetch_document, fetch_documents
from app.web.compat.field_conversion import ignored_fields, is_same_value, record_values
from app.web.compat.list_query import ListRequest, parse_filters, parse_list_request, requested_fields
from app.web.compat.picklists import PICKLISTS, Picklist
from app.web.compat.responses import CompatError, Envelope
from app.web.core.fields import Viewer
from app.web.core.gate import REFUSABLE, current_viewer, refusal
from app.web.core.record_table import ListQuery

#: Documents of one insert_many or bulk_update.
MAX_DOCUMENTS = 200


def requested_doctype(arguments: Arguments, name: str = "doctype") -> DocType | Picklist:
    """The DocType named. Raises Refused (403) for one that is not in the table: the old answer to "not permitted"."""
    return find_doctype(arguments.text(name))


def find_doctype(name: str) -> DocType | Picklist:
    """The DocType, or pick-list, of this name. Raises Refused (403)."""
    found = DOCTYPES.get(name) or PICKLISTS.get(name)
    if found is None:
        raise CompatError(403, _("“%(name)s” isn't available here.", name=name[:60]), "PermissionError")
    return found


def record_doctype(name: str, *wanted: str) -> DocType:
    """The DocType of a record; of those wanted, where some are named. Raises Refused (403, 417)."""
    found = find_doctype(name)
    if isinstance(found, Picklist) or (wanted and found.name not in wanted):
        raise CompatError(417, _("This can't be done with “%(name)s”.", name=name[:60]))
    return found


# --- reading


def get_list(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype, fields, filters, order_by, limit_start, limit_page_length -> documents."""
    return list_documents(arguments, requested_doctype(arguments))


def list_documents(arguments: Arguments, doctype: DocType | Picklist) -> list[dict[str, Any]]:
    """The documents of a list call; one statement."""
    viewer = current_viewer()
    if isinstance(doctype, Picklist):
        return doctype.listed(arguments, viewer)
    viewer.person.refuse_unless(doctype.module, "read")
    wanted: ListRequest = parse_list_request(arguments, doctype, viewer)
    return fetch_documents(doctype, wanted.list_query, wanted.fields, viewer)


def get_count(arguments: Arguments) -> int:
    """How many documents fit."""
    doctype, viewer = requested_doctype(arguments), current_viewer()
    if isinstance(doctype, Picklist):
        return len(doctype.found(arguments.json_value("filters"), viewer))
    return count_documents(doctype, parse_filters(arguments.json_value("filters"), doctype, viewer))


def count_documents(doctype: DocType, fit: list[Any]) -> int:
    """How many of its documents fit these rules."""
    current_viewer().person.refuse_unless(doctype.module, "read")
    return int(doctype.record_table.count(db.session(), ListQuery(fit, [], 1, exact=True))[0])


def get(arguments: Arguments) -> dict[str, Any]:
    """One document by name, or the first that fits the filters. Raises NotFound (404)."""
    doctype = requested_doctype(arguments)
    return _read_first(
        doctype, {"name": arguments.text("name")} if "name" in arguments else arguments.json_value("filters")
    )


def read_document(doctype: DocType | Picklist, name: str) -> dict[str, Any]:
    """One document with all of its fields and children. Raises NotFound (404)."""
    return _read_first(doctype, {"name": name})


def get_for_form(arguments: Arguments) -> Envelope:
    """The document as forms asked for it: {"docs": [document]}."""
    return Envelope("docs", [get(arguments)])


def _read_first(doctype: DocType | Picklist, filters: Any) -> dict[str, Any]:
    viewer = current_viewer()
    if isinstance(doctype, Picklist):
        return _read_fields(doctype, filters, ("*",))
    viewer.person.refuse_unless(doctype.module, "read")
    found = fetch_document(
        doctype, ListQuery(parse_filters(filters, doctype, viewer), [doctype.record_table.record.id.desc()], 1), viewer
    )
    if found is None:
        raise NotFound(_("%(kind)s was not found.", kind=doctype.name))
    return found


def get_value(arguments: Arguments) -> Any:
    """One or more fields (fieldname: name or list) of the first document that fits; {} when there is none."""
    doctype = requested_doctype(arguments)
    wanted = arguments.json_value("fieldname", "name")
    names = tuple(_field_names(wanted)) if isinstance(doctype, Picklist) else requested_fields(wanted, doctype)
    try:
        return _read_fields(doctype, arguments.json_value("filters"), names)
    except NotFound:
        return {}


def _field_names(wanted: Any) -> list[str]:
    return [str(each)[:60] for each in (wanted if isinstance(wanted, list) else [wanted])]


def _read_fields(doctype: DocType | Picklist, filters: Any, names: tuple[str, ...]) -> dict[str, Any]:
    viewer = current_viewer()
    if isinstance(doctype, Picklist):
        found = doctype.told(doctype.found(filters, viewer)[:1], names)
    else:
        viewer.person.refuse_unless(doctype.module, "read")
        newest = [doctype.record_table.record.id.desc()]
        found = fetch_documents(doctype, ListQuery(parse_filters(filters, doctype, viewer), newest, 1), names, viewer)
    if not found:
        raise NotFound(_("%(kind)s was not found.", kind=doctype.name))
    return found[0]


# --- writing


def insert(arguments: Arguments) -> dict[str, Any]:
    """doc: {doctype, …} -> the stored document."""
    return insert_document(_require_document(arguments.json_value("doc")))


def insert_many(arguments: Arguments) -> list[str]:
    """docs: a list; all or none. Answers their names."""
    docs = arguments.json_value("docs")
    if not isinstance(docs, list) or len(docs) > MAX_DOCUMENTS:
        raise CompatError(417, _("“docs” must be a list of at most %(most)s documents.", most=MAX_DOCUMENTS))
    return [insert_document(_require_document(each))["name"] for each in docs]


def insert_document(doc: dict[str, Any]) -> dict[str, Any]:
    """Make a record of the document."""
    doctype, viewer = _writable_doctype(find_doctype(str(doc.get("doctype"))), "post"), current_viewer()
    viewer.person.refuse_unless(doctype.module, "create")
    values = doctype.record_table.parse(record_values(doctype, doc), "add", viewer)
    row = doctype.resource.service.create(db.session(), values, viewer)
    db.session.flush()
    return _stored_document(doctype, doc, document_name(doctype, row), "add")


def save(arguments: Arguments) -> dict[str, Any]:
    """doc: a document as it was read, changed -> as it is stored. A stale one (modified) is refused with 409."""
    doc = _require_document(arguments.json_value("doc"))
    doctype = find_doctype(str(doc.get("doctype")))
    if not doc.get("name"):
        return insert_document(doc)
    return update_document(doctype, str(doc["name"]), doc, doc.get("modified"))


def set_value(arguments: Arguments) -> dict[str, Any]:
    """doctype, name, fieldname (a name, or an object of many), value -> the stored document."""
    doctype, names = requested_doctype(arguments), arguments.json_value("fieldname")
    doc = names if isinstance(names, dict) else {arguments.text("fieldname"): arguments.raw("value")}
    return update_document(doctype, arguments.text("name"), doc)


def update_document(
    wanted: DocType | Picklist, name: str, doc: dict[str, Any], expected_modified: Any = None
) -> dict[str, Any]:
    """Change a record as the document says; what it says as it stands is passed over.

    Raises NotFound, Conflict (409), Denied (403).
    """
    doctype, viewer = _writable_doctype(wanted, "put"), current_viewer()
    row = get_record(doctype, name, "write")
    _refuse_stale(row, expected_modified, viewer)
    stored = read_document(doctype, name)
    new = {field: value for field, value in doc.items() if not is_same_value(value, stored.get(field))}
    values = doctype.record_table.parse(record_values(doctype, new, stored), "edit", viewer)
    if values:
        doctype.resource.service.save(db.session(), row, values, None, viewer)
        db.session.flush()
    return _stored_document(doctype, new, document_name(doctype, row), "edit")


def _stored_document(doctype: DocType, doc: dict[str, Any], name: str, mode: str) -> dict[str, Any]:
    """The stored document; what was sent and is not in it is remembered for the answer's warning."""
    try:
        stored = read_document(doctype, name)
    except (NotFound, access.Denied):  # it is out of sight by now, which was the person's right to do
        return {"doctype": doctype.name, "name": name}
    g.setdefault("unkept", set()).update(ignored_fields(doctype, doc, stored, mode))
    return stored


def bulk_update(arguments: Arguments) -> dict[str, Any]:
    """docs: [{doctype, docname, …}] -> {"failed_docs": [{doc, exc}]}; each for itself, by who may change many."""
    docs = arguments.json_value("docs")
    if not isinstance(docs, list) or len(docs) > MAX_DOCUMENTS:
        raise CompatError(417, _("“docs” must be a list of at most %(most)s documents.", most=MAX_DOCUMENTS))
    failed = []
    for each in docs:
        doc = _require_document(each)
        try:
            with db.session.begin_nested():
                doctype = _writable_doctype(find_doctype(str(doc.get("doctype"))), "put")
                current_viewer().person.refuse_unless(doctype.module, "bulk")
                update_document(doctype, str(doc.get("docname") or doc.get("name")), doc)
        except REFUSABLE as broken:
            failed.append({"doc": doc, "exc": refusal(broken)[1]})
    return {"failed_docs": failed}


def delete(arguments: Arguments) -> None:
    """doctype, name."""
    delete_document(requested_doctype(arguments), arguments.text("name"))


def delete_document(wanted: DocType | Picklist, name: str) -> str:
    """Delete a record; "ok". Raises NotFound, Denied (403)."""
    doctype = _writable_doctype(wanted, "delete")
    doctype.resource.service.remove(db.session(), get_record(doctype, name, "delete"), current_viewer())
    return "ok"


def _require_document(doc: Any) -> dict[str, Any]:
    if not isinstance(doc, dict):
        raise CompatError(417, _("“doc” must be an object with a doctype."))
    return doc


def find_records(doctype: DocType, names: list[str], verb: str) -> dict[str, Any]:
    """Name -> record, of those that the person sees; one statement, or two where the verb reaches fewer.

    Raises Denied for the first that is seen, and not reached.
    """
    viewer = current_viewer()
    query = select(doctype.record_table.record).where(*parse_filters({"name": ["in", names]}, doctype, viewer))
    found = list(db.session.scalars(query))
    for row in found:
        doctype.refuse_unreached(row, verb, viewer)
    return {document_name(doctype, row): row for row in found}


def get_record(doctype: DocType, name: str, verb: str) -> Any:
    """The record under the law, for changing. Raises NotFound, Denied."""
    current_viewer().person.refuse_unless(doctype.module, "read")
    found = list(find_records(doctype, [name], verb).values())
    if not found:
        raise NotFound(_("%(kind)s %(name)s was not found.", kind=doctype.name, name=name[:40]))
    return found[0]


def _refuse_stale(row: Any, expected_modified: Any, viewer: Viewer) -> None:
    if (
        expected_modified
        and hasattr(row, "version")
        and str(expected_modified) != local_timestamp(row.changed_on, viewer)
    ):
        raise Conflict(_("The document was changed after you opened it. Please refresh to get the latest version."))


def _writable_doctype(doctype: DocType | Picklist, verb: str) -> DocType:
    """The DocType whose records can be changed so. Raises Refused (403)."""
    if isinstance(doctype, Picklist) or doctype.name in READ_ONLY or not doctype.allows(verb):
        raise CompatError(403, _("%(kind)s can't be changed this way.", kind=doctype.name))
    return doctype


def document_name(doctype: DocType, row: Any) -> str:
    """How the predecessor named this record."""
    return str(getattr(row, doctype.name_field) if doctype.name_field else row.id)
