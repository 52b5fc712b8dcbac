"""Methods of the list pages and of search: a page of rows with columns and counts, link fields, universal search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask_babel import gettext as _

from app.domain import assignment
from app.extensions import db
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import LEAD, TASK, TICKET, DocType
from app.web.compat.documents import fetch_documents
from app.web.compat.field_lists import describe_fields
from app.web.compat.filters import parse_filters
from app.web.compat.in_memory_lists import MemoryDocType, matching
from app.web.compat.list_options import ListOptions, is_set
from app.web.compat.list_query import ListRequest, parse_list_request
from app.web.compat.responses import CompatError
from app.web.compat.users import name_of
from app.web.core.fab_access import current_viewer
from app.web.core.queries import text_search
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer

#: DocType name -> the default columns of its list.
DEFAULT_COLUMNS = {
    "CRM Lead": ("lead_name", "status", "email", "mobile_no", "assign_to", "modified"),
    "CRM Ticket": ("subject", "customer_id", "status", "priority", "ticket_owner", "assigned_to", "modified"),
    "CRM Customer": ("customer_name", "email", "mobile_no", "referral_code", "creation"),
    "CRM Task": ("title", "status", "priority", "due_date", "assigned_to", "modified"),
    "CRM Call Log": ("employee", "customer_name", "customer", "type", "status", "duration", "start_time"),
    "CRM Assignment Request": ("creation", "requested_user", "requested_by", "status", "reason", "approved_on"),
    "FCRM Note": ("title", "content", "reference_doctype", "reference_docname", "modified"),
}
MAX_LINK_RESULTS = 50


def list_page(arguments: Arguments) -> dict[str, Any]:
    """doctype, rows, columns, filters, order_by, page_length, start -> a page: rows, columns, total count."""
    doctype = client.record_doctype(arguments.text("doctype"))
    viewer = current_viewer()
    viewer.person.refuse_unless(doctype.module, "read")
    page = _parse_page_request(arguments, doctype, viewer)
    list_query, fields = page.list_query, page.fields
    rows = fetch_documents(doctype, list_query, ("name", *(name for name in fields if name != "name")), viewer)
    return {
        "data": rows,
        "columns": _columns(arguments, doctype),
        "rows": list(fields),
        "total_count": doctype.record_table.count_for_page(db.session(), list_query, rows)[0],
        "row_count": len(rows),
        "page_length": list_query.size,
        "page_length_count": list_query.size,
        "start": list_query.offset,
        "views": [],
        "view_type": "list",
        "form_script": None,
        "list_script": None,
        "is_default": True,
        "group_by_field": None,
        "column_field": None,
        "title_field": None,
        "kanban_columns": [],
        "kanban_fields": [],
    }


def _requested_names(arguments: Arguments, doctype: DocType) -> list[str]:
    """The requested fields: `rows`, or the keys of the columns; unknown ones are left out."""
    rows = arguments.json_value("rows")
    keys = [each.get("key") for each in _requested_columns(arguments)] or list(DEFAULT_COLUMNS.get(doctype.name, ()))
    names = rows if isinstance(rows, list) and rows else keys
    return ["name", *(str(name) for name in names if str(name) in doctype.fields)]


def _parse_page_request(arguments: Arguments, doctype: DocType, viewer: Viewer) -> ListRequest:
    fields = _requested_names(arguments, doctype)
    _refuse_other_views(arguments)
    filters, default_filters = arguments.json_value("filters"), arguments.json_value("default_filters")
    if isinstance(default_filters, dict) and isinstance(filters or {}, dict):
        filters = default_filters | (filters or {})
    elif filters and default_filters:
        raise CompatError(417, _("“%(name)s” must be an object.", name="default_filters"))
    values = arguments.values | {"filters": filters or default_filters, "fields": fields}
    return parse_list_request(ListOptions.of_resource(Arguments(values)), doctype, viewer)


#: Parameters of the predecessor's kanban and grouped views, which its pages built from the rows themselves.
_OTHER_VIEWS = ("group_by", "distinct", "pluck", "as_list", "kanban_columns", "column_field", "group_by_field")


def _refuse_other_views(arguments: Arguments) -> None:
    """Raise CompatError (417) for a view other than a list, which this method doesn't support."""
    view = arguments.json_object("view") if "view" in arguments else {}
    kind = str(view.get("view_type") or "list")[:20]
    named = next((name for name in _OTHER_VIEWS if is_set(arguments.raw(name))), None)
    if kind not in ("list", "group_by", "kanban") or named:
        raise CompatError(417, _("“%(name)s” isn't supported here. Please leave it out.", name=named or "view_type"))


def _requested_columns(arguments: Arguments) -> list[dict[str, Any]]:
    columns = arguments.json_value("columns", [])
    return [each for each in columns if isinstance(each, dict)] if isinstance(columns, list) else []


def _columns(arguments: Arguments, doctype: DocType) -> list[dict[str, Any]]:
    """[{label, type, key, width}]."""
    if columns := _requested_columns(arguments):
        return columns
    names = DEFAULT_COLUMNS.get(doctype.name, ())
    fields = {each["fieldname"]: each for each in describe_fields(doctype, current_viewer())}
    return [
        {"label": fields[name]["label"], "type": fields[name]["fieldtype"], "key": name, "width": "10rem"}
        for name in names
        if name in fields
    ]


def assigned_users(arguments: Arguments) -> list[str]:
    """doctype, name -> the user names of the record's current assignees."""
    doctype = client.record_doctype(arguments.text("doctype"), LEAD.name, TICKET.name, TASK.name)
    row = client.get_record(doctype, arguments.text("name"), "read")
    ids = [row.assignee_id] if doctype is TASK else assignment.current_assignees(db.session(), row)
    return [name for key in ids if (name := name_of(key, current_viewer()))]


# --- search


def search_link(arguments: Arguments) -> list[dict[str, str]]:
    """doctype, txt, page_length, filters -> [{value, label, description}], for the autocomplete of a link field."""
    doctype, text = client.find_doctype(arguments.text("doctype")), arguments.text("txt", "")[:100].strip()
    size = arguments.integer("page_length", 10, 1, MAX_LINK_RESULTS)
    if isinstance(doctype, MemoryDocType):
        documents = matching(doctype.documents(current_viewer()), arguments.json_value("filters"), doctype.name)
        return [_link(doc, doc.get("full_name")) for doc in documents if _contains(doc, text)][:size]
    conditions = parse_filters(arguments.json_value("filters"), doctype, current_viewer())
    return [
        {"value": doc["name"], "label": doc["title"] or doc["name"], "description": doc["title"] or ""}
        for doc in search_documents(doctype, text, size, conditions)
    ]


def _link(doc: dict[str, Any], description: str | None) -> dict[str, str]:
    return {"value": doc["name"], "label": description or doc["name"], "description": description or ""}


def _contains(doc: dict[str, Any], text: str) -> bool:
    return any(text.casefold() in str(doc.get(name) or "").casefold() for name in ("name", "full_name", "username"))


#: DocType name -> the field that is the document's title.
_TITLE_FIELDS = {
    "CRM Lead": "lead_name",
    "CRM Ticket": "subject",
    "CRM Customer": "customer_name",
    "CRM Task": "title",
    "CRM Call Log": "customer_name",
}


def search_documents(doctype: DocType, text: str, size: int, conditions: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The newest documents that contain the text and match the conditions: {name, title, status, mobile_no …}."""
    viewer = current_viewer()
    viewer.person.refuse_unless(doctype.module, "read")
    title_field = _TITLE_FIELDS.get(doctype.name)
    if title_field is None:
        raise CompatError(417, _("“%(name)s” can't be searched.", name=doctype.name))
    contains = [text_search.matching(doctype.record_table, text, viewer)] if text else []
    names = [name for name in ("status", "mobile_no", "modified", title_field) if name in doctype.fields]
    order = [doctype.record_table.record.id.desc()]
    list_query = ListQuery([*contains, *conditions], order, size, newest=True)
    documents = fetch_documents(doctype, list_query, ("name", *names), viewer)
    return [doc | {"title": doc[title_field]} for doc in documents]


#: DocType name -> label of its section in the search results, in order.
_SECTIONS = {"CRM Lead": "Leads", "CRM Customer": "Customers", "CRM Ticket": "Tickets", "CRM Task": "Tasks"}


def universal_search(arguments: Arguments) -> dict[str, Any]:
    """query, limit (20), doctype -> {query, total, sections: [{doctype, label, results: [{name, title, …}]}]}."""
    text, viewer = arguments.text("query", "").strip()[:100], current_viewer()
    limit = arguments.integer("limit", 20, 1, 100)
    names = [arguments.text("doctype")] if "doctype" in arguments else list(_SECTIONS)
    size = max(3, -(-limit // len(names)))
    sections = []
    for name in names if len(text) > 1 else ():
        doctype = client.record_doctype(name, *_SECTIONS)
        if viewer.person.may(doctype.module, "read") and (found := search_documents(doctype, text, size)):
            results = [doc | {"doctype": name} for doc in found]
            sections.append({"doctype": name, "label": _SECTIONS[name], "results": results})
    return {"query": text, "total": sum(len(each["results"]) for each in sections), "sections": sections}
