"""frappe.client.*: documents in general, by DocType and name, each through its own desk and the one law."""

from __future__ import annotations

from typing import Any

from flask import g
from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain.base import Conflict, NotThere
from app.extensions import db
from app.web.compat.arguments import Arguments
from app.web.compat.child_rows import local
from app.web.compat.doctypes import DOCTYPES, READ_ONLY, DocType
from app.web.compat.documents import documents, whole
from app.web.compat.field_conversion import same, taken, unkept
from app.web.compat.list_query import Listing, fields_of, listing, rules
from app.web.compat.picklists import SHELVES, Shelf
from app.web.compat.responses import Named, Refused
from app.web.core.fields import Glass
from app.web.core.gate import REFUSABLE, glass, refusal
from app.web.core.record_table import Asked

#: Documents of one insert_many or bulk_update.
MOST = 200


def kind_of(asked: Arguments, name: str = "doctype") -> DocType | Shelf:
    """The DocType named. Raises Refused (403) for one that is not in the table: the old answer to "not permitted"."""
    return known(asked.text(name))


def known(doctype: str) -> DocType | Shelf:
    """The DocType, or pick-list, of this name. Raises Refused (403)."""
    found = DOCTYPES.get(doctype) or SHELVES.get(doctype)
    if found is None:
        raise Refused(403, _("There is no access to “%(name)s” here.", name=doctype[:60]), "PermissionError")
    return found


def record_kind(doctype: str, *wanted: str) -> DocType:
    """The DocType of a record; of those wanted, where some are named. Raises Refused (403, 417)."""
    found = known(doctype)
    if isinstance(found, Shelf) or (wanted and found.name not in wanted):
        raise Refused(417, _("This does not go with “%(name)s”.", name=doctype[:60]))
    return found


# --- reading


def get_list(asked: Arguments) -> list[dict[str, Any]]:
    """doctype, fields, filters, order_by, limit_start, limit_page_length -> documents."""
    return list_of(asked, kind_of(asked))


def list_of(asked: Arguments, kind: DocType | Shelf) -> list[dict[str, Any]]:
    """The documents of a list call; one statement."""
    seen = glass()
    if isinstance(kind, Shelf):
        return kind.listed(asked, seen)
    seen.who.refuse_unless(kind.module, "read")
    wanted: Listing = listing(asked, kind, seen)
    return documents(kind, wanted.asked, wanted.fields, seen)


def get_count(asked: Arguments) -> int:
    """How many documents fit."""
    kind, seen = kind_of(asked), glass()
    if isinstance(kind, Shelf):
        return len(kind.found(asked.parsed("filters"), seen))
    return count_of(kind, rules(asked.parsed("filters"), kind, seen))


def count_of(kind: DocType, fit: list[Any]) -> int:
    """How many of its documents fit these rules."""
    glass().who.refuse_unless(kind.module, "read")
    return int(kind.plan.count(db.session(), Asked(fit, [], 1, exact=True))[0])


def get(asked: Arguments) -> dict[str, Any]:
    """One document by name, or the first that fits the filters. Raises NotThere (404)."""
    kind = kind_of(asked)
    return _whole(kind, {"name": asked.text("name")} if "name" in asked else asked.parsed("filters"))


def whole_of(kind: DocType | Shelf, name: str) -> dict[str, Any]:
    """One document with all of its fields and children. Raises NotThere (404)."""
    return _whole(kind, {"name": name})


def load(asked: Arguments) -> Named:
    """The document as forms asked for it: {"docs": [document]}."""
    return Named("docs", [get(asked)])


def _whole(kind: DocType | Shelf, filters: Any) -> dict[str, Any]:
    seen = glass()
    if isinstance(kind, Shelf):
        return _first(kind, filters, ("*",))
    seen.who.refuse_unless(kind.module, "read")
    found = whole(kind, Asked(rules(filters, kind, seen), [kind.plan.record.id.desc()], 1), seen)
    if found is None:
        raise NotThere(_("%(kind)s was not found.", kind=kind.name))
    return found


def get_value(asked: Arguments) -> Any:
    """One or more fields (fieldname: name or list) of the first document that fits; {} when there is none."""
    kind = kind_of(asked)
    wanted = asked.parsed("fieldname", "name")
    names = tuple(_names(wanted)) if isinstance(kind, Shelf) else fields_of(wanted, kind)
    try:
        return _first(kind, asked.parsed("filters"), names)
    except NotThere:
        return {}


def _names(wanted: Any) -> list[str]:
    return [str(each)[:60] for each in (wanted if isinstance(wanted, list) else [wanted])]


def _first(kind: DocType | Shelf, filters: Any, names: tuple[str, ...]) -> dict[str, Any]:
    seen = glass()
    if isinstance(kind, Shelf):
        found = kind.told(kind.found(filters, seen)[:1], names)
    else:
        seen.who.refuse_unless(kind.module, "read")
        newest = [kind.plan.record.id.desc()]
        found = documents(kind, Asked(rules(filters, kind, seen), newest, 1), names, seen)
    if not found:
        raise NotThere(_("%(kind)s was not found.", kind=kind.name))
    return found[0]


# --- writing


def insert(asked: Arguments) -> dict[str, Any]:
    """doc: {doctype, …} -> the stored document."""
    return inserted(_doc(asked.parsed("doc")))


def insert_many(asked: Arguments) -> list[str]:
    """docs: a list; all or none. Answers their names."""
    docs = asked.parsed("docs")
    if not isinstance(docs, list) or len(docs) > MOST:
        raise Refused(417, _("“docs” must be a list of at most %(most)s documents.", most=MOST))
    return [inserted(_doc(each))["name"] for each in docs]


def inserted(doc: dict[str, Any]) -> dict[str, Any]:
    """Make a record of the document."""
    kind, seen = _open(known(str(doc.get("doctype"))), "post"), glass()
    seen.who.refuse_unless(kind.module, "create")
    values = kind.plan.take(taken(kind, doc), "add", seen)
    row = kind.resource.desk.create(db.session(), values, seen)
    db.session.flush()
    return _kept(kind, doc, name_of(kind, row), "add")


def save(asked: Arguments) -> dict[str, Any]:
    """doc: a document as it was read, changed -> as it is stored. A stale one (modified) is refused with 409."""
    doc = _doc(asked.parsed("doc"))
    kind = known(str(doc.get("doctype")))
    if not doc.get("name"):
        return inserted(doc)
    return changed(kind, str(doc["name"]), doc, doc.get("modified"))


def set_value(asked: Arguments) -> dict[str, Any]:
    """doctype, name, fieldname (a name, or an object of many), value -> the stored document."""
    kind, names = kind_of(asked), asked.parsed("fieldname")
    doc = names if isinstance(names, dict) else {asked.text("fieldname"): asked.raw("value")}
    return changed(kind, asked.text("name"), doc)


def changed(wanted: DocType | Shelf, name: str, doc: dict[str, Any], seen_modified: Any = None) -> dict[str, Any]:
    """Change a record as the document says; what it says as it stands is passed over.

    Raises NotThere, Conflict (409), Denied (403).
    """
    kind, seen = _open(wanted, "put"), glass()
    row = row_of(kind, name, "write")
    _refuse_stale(row, seen_modified, seen)
    stored = whole_of(kind, name)
    new = {field: value for field, value in doc.items() if not same(value, stored.get(field))}
    values = kind.plan.take(taken(kind, new, stored), "edit", seen)
    if values:
        kind.resource.desk.save(db.session(), row, values, None, seen)
        db.session.flush()
    return _kept(kind, new, name_of(kind, row), "edit")


def _kept(kind: DocType, doc: dict[str, Any], name: str, which: str) -> dict[str, Any]:
    """The stored document; what was sent and is not in it is remembered for the answer's warning."""
    try:
        stored = whole_of(kind, name)
    except (NotThere, access.Denied):  # it is out of sight by now, which was the person's right to do
        return {"doctype": kind.name, "name": name}
    g.setdefault("unkept", set()).update(unkept(kind, doc, stored, which))
    return stored


def bulk_update(asked: Arguments) -> dict[str, Any]:
    """docs: [{doctype, docname, …}] -> {"failed_docs": [{doc, exc}]}; each for itself, by who may change many."""
    docs = asked.parsed("docs")
    if not isinstance(docs, list) or len(docs) > MOST:
        raise Refused(417, _("“docs” must be a list of at most %(most)s documents.", most=MOST))
    failed = []
    for each in docs:
        doc = _doc(each)
        try:
            with db.session.begin_nested():
                kind = _open(known(str(doc.get("doctype"))), "put")
                glass().who.refuse_unless(kind.module, "bulk")
                changed(kind, str(doc.get("docname") or doc.get("name")), doc)
        except REFUSABLE as broken:
            failed.append({"doc": doc, "exc": refusal(broken)[1]})
    return {"failed_docs": failed}


def delete(asked: Arguments) -> None:
    """doctype, name."""
    removed(kind_of(asked), asked.text("name"))


def removed(wanted: DocType | Shelf, name: str) -> str:
    """Delete a record; "ok". Raises NotThere, Denied (403)."""
    kind = _open(wanted, "delete")
    kind.resource.desk.remove(db.session(), row_of(kind, name, "delete"), glass())
    return "ok"


def _doc(doc: Any) -> dict[str, Any]:
    if not isinstance(doc, dict):
        raise Refused(417, _("“doc” must be an object with a doctype."))
    return doc


def rows_of(kind: DocType, names: list[str], verb: str) -> dict[str, Any]:
    """Name -> record, of those that the person sees; one statement, or two where the verb reaches fewer.

    Raises Denied for the first that is seen, and not reached.
    """
    seen = glass()
    query = select(kind.plan.record).where(*rules({"name": ["in", names]}, kind, seen))
    found = list(db.session.scalars(query))
    for row in found:
        kind.refuse_unreached(row, verb, seen)
    return {name_of(kind, row): row for row in found}


def row_of(kind: DocType, name: str, verb: str) -> Any:
    """The record under the law, for changing. Raises NotThere, Denied."""
    glass().who.refuse_unless(kind.module, "read")
    found = list(rows_of(kind, [name], verb).values())
    if not found:
        raise NotThere(_("%(kind)s %(name)s was not found.", kind=kind.name, name=name[:40]))
    return found[0]


def _refuse_stale(row: Any, seen_modified: Any, seen: Glass) -> None:
    if seen_modified and hasattr(row, "version") and str(seen_modified) != local(row.changed_on, seen):
        raise Conflict(_("The document was changed after you opened it. Please refresh to get the latest version."))


def _open(kind: DocType | Shelf, verb: str) -> DocType:
    """The DocType whose records can be changed so. Raises Refused (403)."""
    if isinstance(kind, Shelf) or kind.name in READ_ONLY or not kind.allows(verb):
        raise Refused(403, _("%(kind)s cannot be changed in this way.", kind=kind.name))
    return kind


def name_of(kind: DocType, row: Any) -> str:
    """How the predecessor named this record."""
    return str(getattr(row, kind.key) if kind.key else row.id)
