"""The old list pages: rows with their columns and counts, fields to filter by, what a picker offers."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain import assignment
from app.extensions import db
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DocType
from app.web.compat.documents import fetch_documents
from app.web.compat.list_query import ListRequest, parse_filters, parse_list_request
from app.web.compat.picklists import Picklist
from app.web.compat.responses import CompatError
from app.web.core.fields import Viewer
from app.web.core.gate import current_viewer
from app.web.core.record_table import ListQuery
from app.web.core.text_search import matching

#: Kind of field -> what the predecessor's forms called it.
FIELD_TYPES = {
    "choice": "Select",
    "master": "Link",
    "person": "Link",
    "record": "Link",
    "moment": "Datetime",
    "date": "Date",
    "number": "Int",
    "flag": "Check",
    "textarea": "Text",
    "many": "Table MultiSelect",
}
#: DocType -> its columns as the old list showed them by itself.
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
    """One page of a list: rows, columns, how many there are in all."""
    doctype = client.record_doctype(arguments.text("doctype"))
    viewer = current_viewer()
    viewer.person.refuse_unless(doctype.module, "read")
    names = _requested_names(arguments, doctype)
    wanted = _listing(arguments, doctype, names, viewer)
    rows = fetch_documents(
        doctype, wanted.list_query, ("name", *(name for name in wanted.fields if name != "name")), viewer
    )
    return {
        "data": rows,
        "columns": _columns(arguments, doctype),
        "rows": list(wanted.fields),
        "total_count": doctype.record_table.count_for_page(db.session(), wanted.list_query, rows)[0],
        "row_count": len(rows),
        "page_length": wanted.list_query.size,
        "page_length_count": wanted.list_query.size,
        "start": wanted.list_query.offset,
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
    """The fields wanted: rows, or those of the columns; what this door never had is passed over."""
    rows = arguments.json_value("rows")
    keys = [each.get("key") for each in _requested_columns(arguments)] or list(DEFAULT_COLUMNS.get(doctype.name, ()))
    chosen = rows if isinstance(rows, list) and rows else keys
    return ["name", *(str(each) for each in chosen if str(each) in doctype.fields)]


def _listing(arguments: Arguments, doctype: DocType, names: list[str], viewer: Viewer) -> ListRequest:
    filters, standing = arguments.json_value("filters"), arguments.json_value("default_filters")
    if isinstance(standing, dict) and isinstance(filters or {}, dict):
        filters = standing | (filters or {})
    values = {
        "filters": filters or standing,
        "fields": names,
        "limit_page_length": arguments.raw("page_length"),
        "limit_start": arguments.raw("start"),
        "order_by": arguments.raw("order_by"),
    }
    return parse_list_request(Arguments(values), doctype, viewer)


def _requested_columns(arguments: Arguments) -> list[dict[str, Any]]:
    given = arguments.json_value("columns", [])
    return [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []


def _columns(arguments: Arguments, doctype: DocType) -> list[dict[str, Any]]:
    """[{label, type, key, width}]."""
    if given := _requested_columns(arguments):
        return given
    names = DEFAULT_COLUMNS.get(doctype.name, ())
    known = {each["fieldname"]: each for each in describe_fields(doctype, current_viewer())}
    return [
        {"label": known[name]["label"], "type": known[name]["fieldtype"], "key": name, "width": "10rem"}
        for name in names
        if name in known
    ]


def filterable_fields(arguments: Arguments) -> list[dict[str, Any]]:
    """The fields that this person may filter by."""
    doctype, viewer = client.record_doctype(arguments.text("doctype")), current_viewer()
    viewer.person.refuse_unless(doctype.module, "read")
    allowed = {each.name for each in doctype.record_table.filterable(viewer)}
    return [each for each in describe_fields(doctype, viewer) if doctype.fields[each["fieldname"]] in allowed]


def describe_fields(doctype: DocType, viewer: Viewer) -> list[dict[str, Any]]:
    """[{fieldname, label, fieldtype, options, reqd, read_only}] of all fields."""
    told = []
    for name, ours in doctype.fields.items():
        each = doctype.record_table.by_name.get(ours)
        if each is not None:
            told.append(
                {
                    "fieldname": name,
                    "label": str(each.label),
                    "fieldtype": FIELD_TYPES.get(each.kind, "Data"),
                    "options": _options(each, viewer),
                    "reqd": int(each.required),
                    "hidden": 0,
                    "read_only": int(not (each.add or each.edit)),
                    "name": name,
                }
            )
    return told


def _options(each: Any, viewer: Viewer) -> str | None:
    if each.kind == "master":
        return "\n".join(viewer.lookups.cards[each.master][key]["label"] for key in viewer.lookups.offered[each.master])
    return "User" if each.kind == "person" else "\n".join(each.options) if each.kind == "choice" else None


def assigned_users(arguments: Arguments) -> list[str]:
    """doctype, name -> the user names of all who have the record now."""
    doctype = client.record_doctype(arguments.text("doctype"), "CRM Lead", "CRM Ticket", "CRM Task")
    row = client.get_record(doctype, arguments.text("name"), "read")
    ids = [row.assignee_id] if doctype.name == "CRM Task" else assignment.current_assignees(db.session(), row)
    return [card["username"] for key in ids if (card := current_viewer().lookups.person(key))]


# --- finding


def search_link(arguments: Arguments) -> list[dict[str, str]]:
    """doctype, txt, page_length -> [{value, label, description}], for a field that points to a record."""
    doctype, typed = client.find_doctype(arguments.text("doctype")), arguments.text("txt", "")[:100].strip()
    size = arguments.integer("page_length", 10, 1, MAX_LINK_RESULTS)
    if isinstance(doctype, Picklist):
        fit = [doc["name"] for doc in doctype.documents(current_viewer()) if typed.casefold() in doc["name"].casefold()]
        return [{"value": name, "label": name, "description": ""} for name in fit[:size]]
    extra = parse_filters(arguments.json_value("filters"), doctype, current_viewer())
    return [
        {"value": doc["name"], "label": doc["title"] or doc["name"], "description": doc["title"] or ""}
        for doc in search_documents(doctype, typed, size, current_viewer(), extra)
    ]


#: What says of a document what it is.
_TITLE_FIELDS = {
    "CRM Lead": "lead_name",
    "CRM Ticket": "subject",
    "CRM Customer": "customer_name",
    "CRM Task": "title",
    "CRM Call Log": "customer_name",
}


def search_documents(
    doctype: DocType, typed: str, size: int, viewer: Viewer, extra: list[Any] | None = None
) -> list[dict[str, Any]]:
    """The newest documents in which the text is found: {name, title, status, mobile_no …}; one statement."""
    viewer.person.refuse_unless(doctype.module, "read")
    if doctype.name not in _TITLE_FIELDS:
        raise CompatError(417, _("“%(name)s” can't be searched.", name=doctype.name))
    fit = [matching(doctype.record_table, typed, viewer)] if typed else []
    names = tuple(
        name for name in ("status", "mobile_no", "modified", _TITLE_FIELDS[doctype.name]) if name in doctype.fields
    )
    arguments = ListQuery([*fit, *(extra or [])], [doctype.record_table.record.id.desc()], size, newest=True)
    return [
        doc | {"title": doc[_TITLE_FIELDS[doctype.name]]}
        for doc in fetch_documents(doctype, arguments, ("name", *names), viewer)
    ]


SEARCHED = ("CRM Lead", "CRM Customer", "CRM Ticket", "CRM Task")
LABELS = {"CRM Lead": "Leads", "CRM Customer": "Customers", "CRM Ticket": "Tickets", "CRM Task": "Tasks"}


def universal_search(arguments: Arguments) -> dict[str, Any]:
    """query, limit (20), doctype -> {query, total, sections: [{doctype, label, results: [{name, title, …}]}]}."""
    typed, viewer = arguments.text("query", "").strip()[:100], current_viewer()
    limit = arguments.integer("limit", 20, 1, 100)
    wanted = [arguments.text("doctype")] if "doctype" in arguments else list(SEARCHED)
    each = max(3, -(-limit // len(wanted)))
    sections = []
    for name in wanted if len(typed) > 1 else ():
        doctype = client.record_doctype(name, *SEARCHED)
        if viewer.person.may(doctype.module, "read") and (found := search_documents(doctype, typed, each, viewer)):
            results = [doc | {"doctype": name} for doc in found]
            sections.append({"doctype": name, "label": LABELS[name], "results": results})
    return {"query": typed, "total": sum(len(each["results"]) for each in sections), "sections": sections}
