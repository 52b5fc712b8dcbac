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
from app.web.compat.child_rows import local
from app.web.compat.doctypes import DOCTYPES, READ_ONLY, DocType
from app.web.compat.documents import documents, whole
from app.web.compat.field_conversion import same, taken, unkept
from app.web.compat.list_query import Listing, fields_of, listing, rules
from app.web.compat.picklists import SHELVES, PickList
from app.web.compat.responses import Named, Refused
from app.web.core.fields import Viewer
from app.web.core.gate import REFUSABLE, current_viewer, refusal
from app.web.core.record_table import ListQuery

#: Documents of one insert_many or bulk_update.
MOST = 200


def kind_of(arguments: Arguments, name: str = "doctype") -> DocType | PickList:
    """The DocType named. Raises Refused (403) for one that is not in the table: the old answer to "not permitted"."""
    return known(arguments.text(name))


def known(doctype: str) -> DocType | PickList:
    """The DocType, or pick-list, of this name. Raises Refused (403)."""
    found = DOCTYPES.get(doctype) or SHELVES.get(doctype)
    if found is None:
        raise Refused(403, _("“%(name)s” isn't available here.", name=doctype[:60]), "PermissionError")
    return found


def record_kind(doctype: str, *wanted: str) -> DocType:
    """The DocType of a record; of those wanted, where some are named. Raises Refused (403, 417)."""
    found = known(doctype)
    if isinstance(found, PickList) or (wanted and found.name not in wanted):
        raise Refused(417, _("This can't be done with “%(name)s”.", name=doctype[:60]))
    return found


# --- reading


def get_list(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype, fields, filters, order_by, limit_start, limit_page_length -> documents."""
    return list_of(arguments, kind_of(arguments))


def list_of(arguments: Arguments, kind: DocType | PickList) -> list[dict[str, Any]]:
    """The documents of a list call; one statement."""
    viewer = current_viewer()
    if isinstance(kind, PickList):
        return kind.listed(arguments, viewer)
    viewer.person.refuse_unless(kind.module, "read")
    wanted: Listing = listing(arguments, kind, viewer)
    return documents(kind, wanted.list_query, wanted.fields, viewer)


def get_count(arguments: Arguments) -> int:
    """How many documents fit."""
    kind, viewer = kind_of(arguments), current_viewer()
    if isinstance(kind, PickList):
        return len(kind.found(arguments.parsed("filters"), viewer))
    return count_of(kind, rules(arguments.parsed("filters"), kind, viewer))


def count_of(kind: DocType, fit: list[Any]) -> int:
    """How many of its documents fit these rules."""
    current_viewer().person.refuse_unless(kind.module, "read")
    return int(kind.record_table.count(db.session(), ListQuery(fit, [], 1, exact=True))[0])


def get(arguments: Arguments) -> dict[str, Any]:
    """One document by name, or the first that fits the filters. Raises NotFound (404)."""
    kind = kind_of(arguments)
    return _whole(kind, {"name": arguments.text("name")} if "name" in arguments else arguments.parsed("filters"))


def whole_of(kind: DocType | PickList, name: str) -> dict[str, Any]:
    """One document with all of its fields and children. Raises NotFound (404)."""
    return _whole(kind, {"name": name})


def load(arguments: Arguments) -> Named:
    """The document as forms asked for it: {"docs": [document]}."""
    return Named("docs", [get(arguments)])


def _whole(kind: DocType | PickList, filters: Any) -> dict[str, Any]:
    viewer = current_viewer()
    if isinstance(kind, PickList):
        return _first(kind, filters, ("*",))
    viewer.person.refuse_unless(kind.module, "read")
    found = whole(kind, ListQuery(rules(filters, kind, viewer), [kind.record_table.record.id.desc()], 1), viewer)
    if found is None:
        raise NotFound(_("%(kind)s was not found.", kind=kind.name))
    return found


def get_value(arguments: Arguments) -> Any:
    """One or more fields (fieldname: name or list) of the first document that fits; {} when there is none."""
    kind = kind_of(arguments)
    wanted = arguments.parsed("fieldname", "name")
    names = tuple(_names(wanted)) if isinstance(kind, PickList) else fields_of(wanted, kind)
    try:
        return _first(kind, arguments.parsed("filters"), names)
    except NotFound:
        return {}


def _names(wanted: Any) -> list[str]:
    return [str(each)[:60] for each in (wanted if isinstance(wanted, list) else [wanted])]


def _first(kind: DocType | PickList, filters: Any, names: tuple[str, ...]) -> dict[str, Any]:
    viewer = current_viewer()
    if isinstance(kind, PickList):
        found = kind.told(kind.found(filters, viewer)[:1], names)
    else:
        viewer.person.refuse_unless(kind.module, "read")
        newest = [kind.record_table.record.id.desc()]
        found = documents(kind, ListQuery(rules(filters, kind, viewer), newest, 1), names, viewer)
    if not found:
        raise NotFound(_("%(kind)s was not found.", kind=kind.name))
    return found[0]


# --- writing


def insert(arguments: Arguments) -> dict[str, Any]:
    """doc: {doctype, …} -> the stored document."""
    return inserted(_doc(arguments.parsed("doc")))


def insert_many(arguments: Arguments) -> list[str]:
    """docs: a list; all or none. Answers their names."""
    docs = arguments.parsed("docs")
    if not isinstance(docs, list) or len(docs) > MOST:
        raise Refused(417, _("“docs” must be a list of at most %(most)s documents.", most=MOST))
    return [inserted(_doc(each))["name"] for each in docs]


def inserted(doc: dict[str, Any]) -> dict[str, Any]:
    """Make a record of the document."""
    kind, viewer = _open(known(str(doc.get("doctype"))), "post"), current_viewer()
    viewer.person.refuse_unless(kind.module, "create")
    values = kind.record_table.parse(taken(kind, doc), "add", viewer)
    row = kind.resource.service.create(db.session(), values, viewer)
    db.session.flush()
    return _kept(kind, doc, name_of(kind, row), "add")


def save(arguments: Arguments) -> dict[str, Any]:
    """doc: a document as it was read, changed -> as it is stored. A stale one (modified) is refused with 409."""
    doc = _doc(arguments.parsed("doc"))
    kind = known(str(doc.get("doctype")))
    if not doc.get("name"):
        return inserted(doc)
    return changed(kind, str(doc["name"]), doc, doc.get("modified"))


def set_value(arguments: Arguments) -> dict[str, Any]:
    """doctype, name, fieldname (a name, or an object of many), value -> the stored document."""
    kind, names = kind_of(arguments), arguments.parsed("fieldname")
    doc = names if isinstance(names, dict) else {arguments.text("fieldname"): arguments.raw("value")}
    return changed(kind, arguments.text("name"), doc)


def changed(wanted: DocType | PickList, name: str, doc: dict[str, Any], seen_modified: Any = None) -> dict[str, Any]:
    """Change a record as the document says; what it says as it stands is passed over.

    Raises NotFound, Conflict (409), Denied (403).
    """
    kind, viewer = _open(wanted, "put"), current_viewer()
    row = row_of(kind, name, "write")
    _refuse_stale(row, seen_modified, viewer)
    stored = whole_of(kind, name)
    new = {field: value for field, value in doc.items() if not same(value, stored.get(field))}
    values = kind.record_table.parse(taken(kind, new, stored), "edit", viewer)
    if values:
        kind.resource.service.save(db.session(), row, values, None, viewer)
        db.session.flush()
    return _kept(kind, new, name_of(kind, row), "edit")


def _kept(kind: DocType, doc: dict[str, Any], name: str, which: str) -> dict[str, Any]:
    """The stored document; what was sent and is not in it is remembered for the answer's warning."""
    try:
        stored = whole_of(kind, name)
    except (NotFound, access.Denied):  # it is out of sight by now, which was the person's right to do
        return {"doctype": kind.name, "name": name}
    g.setdefault("unkept", set()).update(unkept(kind, doc, stored, which))
    return stored


def bulk_update(arguments: Arguments) -> dict[str, Any]:
    """docs: [{doctype, docname, …}] -> {"failed_docs": [{doc, exc}]}; each for itself, by who may change many."""
    docs = arguments.parsed("docs")
    if not isinstance(docs, list) or len(docs) > MOST:
        raise Refused(417, _("“docs” must be a list of at most %(most)s documents.", most=MOST))
    failed = []
    for each in docs:
        doc = _doc(each)
        try:
            with db.session.begin_nested():
                kind = _open(known(str(doc.get("doctype"))), "put")
                current_viewer().person.refuse_unless(kind.module, "bulk")
                changed(kind, str(doc.get("docname") or doc.get("name")), doc)
        except REFUSABLE as broken:
            failed.append({"doc": doc, "exc": refusal(broken)[1]})
    return {"failed_docs": failed}


def delete(arguments: Arguments) -> None:
    """doctype, name."""
    removed(kind_of(arguments), arguments.text("name"))


def removed(wanted: DocType | PickList, name: str) -> str:
    """Delete a record; "ok". Raises NotFound, Denied (403)."""
    kind = _open(wanted, "delete")
    kind.resource.service.remove(db.session(), row_of(kind, name, "delete"), current_viewer())
    return "ok"


def _doc(doc: Any) -> dict[str, Any]:
    if not isinstance(doc, dict):
        raise Refused(417, _("“doc” must be an object with a doctype."))
    return doc


def rows_of(kind: DocType, names: list[str], verb: str) -> dict[str, Any]:
    """Name -> record, of those that the person sees; one statement, or two where the verb reaches fewer.

    Raises Denied for the first that is seen, and not reached.
    """
    viewer = current_viewer()
    query = select(kind.record_table.record).where(*rules({"name": ["in", names]}, kind, viewer))
    found = list(db.session.scalars(query))
    for row in found:
        kind.refuse_unreached(row, verb, viewer)
    return {name_of(kind, row): row for row in found}


def row_of(kind: DocType, name: str, verb: str) -> Any:
    """The record under the law, for changing. Raises NotFound, Denied."""
    current_viewer().person.refuse_unless(kind.module, "read")
    found = list(rows_of(kind, [name], verb).values())
    if not found:
        raise NotFound(_("%(kind)s %(name)s was not found.", kind=kind.name, name=name[:40]))
    return found[0]


def _refuse_stale(row: Any, seen_modified: Any, viewer: Viewer) -> None:
    if seen_modified and hasattr(row, "version") and str(seen_modified) != local(row.changed_on, viewer):
        raise Conflict(_("The document was changed after you opened it. Please refresh to get the latest version."))


def _open(kind: DocType | PickList, verb: str) -> DocType:
    """The DocType whose records can be changed so. Raises Refused (403)."""
    if isinstance(kind, PickList) or kind.name in READ_ONLY or not kind.allows(verb):
        raise Refused(403, _("%(kind)s can't be changed this way.", kind=kind.name))
    return kind


def name_of(kind: DocType, row: Any) -> str:
    """How the predecessor named this record."""
    return str(getattr(row, kind.key) if kind.key else row.id)
