"""Other methods of frappe.client and frappe.desk: permissions, links, settings, and lists in columns."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app import access
from app.domain.base import NotFound
from app.domain.people.permissions import VERBS
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.in_memory_lists import MemoryDocType
from app.web.compat.list_options import ListOptions
from app.web.compat.list_query import field_names
from app.web.compat.responses import CompatError
from app.web.core.fab_access import current_viewer

#: The predecessor's permission -> our verb.
_VERBS = {"read": "read", "select": "read", "write": "write", "create": "create", "delete": "delete"} | {
    verb: verb for verb in ("export", "import") if verb in VERBS
}


def has_permission(arguments: Arguments) -> dict[str, bool]:
    """doctype, docname, perm_type (read) -> {has_permission}: for this document, or for any without a name."""
    doctype, verb = client.requested_doctype(arguments), _VERBS.get(arguments.text("perm_type", "read").lower())
    if isinstance(doctype, MemoryDocType):
        return {"has_permission": verb == "read"}
    if verb is None:
        return {"has_permission": False}
    may = current_viewer().person.may(doctype.module, verb)
    if may and "docname" in arguments:
        try:
            client.get_record(doctype, arguments.text("docname"), verb)
        except (NotFound, access.Denied):
            may = False
    return {"has_permission": may}


def validate_link(arguments: Arguments) -> dict[str, Any]:
    """doctype, docname, fields -> {name, …} of a document that the person may refer to; {} if there is none."""
    doctype = client.requested_doctype(arguments)
    names = field_names(arguments.json_value("fields", []), doctype.name)
    try:
        document = client.read_document(doctype, arguments.text("docname"))
    except NotFound:
        return {}
    return {"name": document["name"]} | {name: document.get(name) for name in names}


def get_single_value(arguments: Arguments) -> Any:
    """doctype, field -> a setting that clients ask for. Raises CompatError (403, 417) for any other."""
    doctype, field = arguments.text("doctype"), arguments.text("field")
    viewer = current_viewer()
    values = {
        "System Settings": {
            "time_zone": str(viewer.zone),
            "country": "India",
            "language": viewer.person.locale or "en",
            "date_format": "yyyy-mm-dd",
            "time_format": "HH:mm:ss",
            "currency": "INR",
        }
    }
    if doctype not in values:
        raise CompatError(403, _("“%(name)s” isn't available here.", name=doctype[:60]), "PermissionError")
    if field not in values[doctype]:
        raise CompatError(417, _("%(kind)s has no field “%(name)s”.", kind=doctype, name=field[:60]))
    return values[doctype][field]


def rename_doc(arguments: Arguments) -> None:
    """Refuse: numbers never change. Raises CompatError (417)."""
    client.requested_doctype(arguments)
    text = _("A document keeps its number, so it can't be renamed. Please change its fields instead.")
    raise CompatError(417, text)


def submit_or_cancel(arguments: Arguments) -> None:
    """Refuse: documents here have no drafts. Raises CompatError (417)."""
    text = _("Documents can't be submitted or canceled here: they count as soon as they are saved.")
    raise CompatError(417, text)


# --- lists


def list_in_columns(arguments: Arguments) -> dict[str, Any]:
    """The parameters of a list -> {keys, values}: one list of values per document; [] if there are none."""
    documents = client.list_documents(client.requested_doctype(arguments), _list_options(arguments))
    if not documents:
        return {"keys": [], "values": [], "user_info": {}}
    keys = list(documents[0])
    return {"keys": keys, "values": [[doc[key] for key in keys] for doc in documents], "user_info": {}}


def list_documents(arguments: Arguments) -> list[Any]:
    """The parameters of a list -> documents."""
    return client.list_documents(client.requested_doctype(arguments), ListOptions.of_resource(arguments))


def _list_options(arguments: Arguments) -> ListOptions:
    for name in ("pluck", "as_list"):
        if name in arguments:
            raise CompatError(417, _("“%(name)s” isn't supported here. Please leave it out.", name=name))
    return ListOptions.of_resource(arguments)
