"""The old list pages: rows with their columns and counts, fields to filter by, what a picker offers."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain import assignment
from app.extensions import db
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DocType
from app.web.compat.documents import documents
from app.web.compat.list_query import Listing, listing, rules
from app.web.compat.picklists import Shelf
from app.web.compat.responses import Refused
from app.web.core.fields import Glass
from app.web.core.gate import glass
from app.web.core.record_table import Asked
from app.web.core.text_search import matching

#: Kind of field -> what the predecessor's forms called it.
TYPES = {
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
COLUMNS = {
    "CRM Lead": ("lead_name", "status", "email", "mobile_no", "assign_to", "modified"),
    "CRM Ticket": ("subject", "customer_id", "status", "priority", "ticket_owner", "assigned_to", "modified"),
    "CRM Customer": ("customer_name", "email", "mobile_no", "referral_code", "creation"),
    "CRM Task": ("title", "status", "priority", "due_date", "assigned_to", "modified"),
    "CRM Call Log": ("employee", "customer_name", "customer", "type", "status", "duration", "start_time"),
    "CRM Assignment Request": ("creation", "requested_user", "requested_by", "status", "reason", "approved_on"),
    "FCRM Note": ("title", "content", "reference_doctype", "reference_docname", "modified"),
}
MOST_PICKED = 50


def page(asked: Arguments) -> dict[str, Any]:
    """One page of a list: rows, columns, how many there are in all."""
    kind = client.record_kind(asked.text("doctype"))
    seen = glass()
    seen.who.refuse_unless(kind.module, "read")
    names = _names(asked, kind)
    wanted = _listing(asked, kind, names, seen)
    rows = documents(kind, wanted.asked, ("name", *(name for name in wanted.fields if name != "name")), seen)
    return {
        "data": rows,
        "columns": _columns(asked, kind),
        "rows": list(wanted.fields),
        "total_count": kind.plan.counted(db.session(), wanted.asked, rows)[0],
        "row_count": len(rows),
        "page_length": wanted.asked.size,
        "page_length_count": wanted.asked.size,
        "start": wanted.asked.offset,
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


def _names(asked: Arguments, kind: DocType) -> list[str]:
    """The fields wanted: rows, or those of the columns; what this door never had is passed over."""
    rows = asked.parsed("rows")
    keys = [each.get("key") for each in _given_columns(asked)] or list(COLUMNS.get(kind.name, ()))
    chosen = rows if isinstance(rows, list) and rows else keys
    return ["name", *(str(each) for each in chosen if str(each) in kind.fields)]


def _listing(asked: Arguments, kind: DocType, names: list[str], seen: Glass) -> Listing:
    filters, standing = asked.parsed("filters"), asked.parsed("default_filters")
    if isinstance(standing, dict) and isinstance(filters or {}, dict):
        filters = standing | (filters or {})
    values = {
        "filters": filters or standing,
        "fields": names,
        "limit_page_length": asked.raw("page_length"),
        "limit_start": asked.raw("start"),
        "order_by": asked.raw("order_by"),
    }
    return listing(Arguments(values), kind, seen)


def _given_columns(asked: Arguments) -> list[dict[str, Any]]:
    given = asked.parsed("columns", [])
    return [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []


def _columns(asked: Arguments, kind: DocType) -> list[dict[str, Any]]:
    """[{label, type, key, width}]."""
    if given := _given_columns(asked):
        return given
    names = COLUMNS.get(kind.name, ())
    known = {each["fieldname"]: each for each in meta_of(kind, glass())}
    return [
        {"label": known[name]["label"], "type": known[name]["fieldtype"], "key": name, "width": "10rem"}
        for name in names
        if name in known
    ]


def filterable(asked: Arguments) -> list[dict[str, Any]]:
    """The fields that this person may filter by."""
    kind, seen = client.record_kind(asked.text("doctype")), glass()
    seen.who.refuse_unless(kind.module, "read")
    open_ones = {each.name for each in kind.plan.filterable(seen)}
    return [each for each in meta_of(kind, seen) if kind.fields[each["fieldname"]] in open_ones]


def meta_of(kind: DocType, glass: Glass) -> list[dict[str, Any]]:
    """[{fieldname, label, fieldtype, options, reqd, read_only}] of all fields."""
    told = []
    for name, ours in kind.fields.items():
        each = kind.plan.by_name.get(ours)
        if each is not None:
            told.append(
                {
                    "fieldname": name,
                    "label": str(each.label),
                    "fieldtype": TYPES.get(each.kind, "Data"),
                    "options": _options(each, glass),
                    "reqd": int(each.required),
                    "hidden": 0,
                    "read_only": int(not (each.add or each.edit)),
                    "name": name,
                }
            )
    return told


def _options(each: Any, glass: Glass) -> str | None:
    if each.kind == "master":
        return "\n".join(glass.cards.cards[each.master][key]["label"] for key in glass.cards.offered[each.master])
    return "User" if each.kind == "person" else "\n".join(each.options) if each.kind == "choice" else None


def assigned_users(asked: Arguments) -> list[str]:
    """doctype, name -> the user names of all who have the record now."""
    kind = client.record_kind(asked.text("doctype"), "CRM Lead", "CRM Ticket", "CRM Task")
    row = client.row_of(kind, asked.text("name"), "read")
    ids = [row.assignee_id] if kind.name == "CRM Task" else assignment.present(db.session(), row)
    return [card["username"] for key in ids if (card := glass().cards.person(key))]


# --- finding


def pick(asked: Arguments) -> list[dict[str, str]]:
    """doctype, txt, page_length -> [{value, label, description}], for a field that points to a record."""
    kind, typed = client.known(asked.text("doctype")), asked.text("txt", "")[:100].strip()
    size = asked.whole("page_length", 10, 1, MOST_PICKED)
    if isinstance(kind, Shelf):
        fit = [doc["name"] for doc in kind.documents(glass()) if typed.casefold() in doc["name"].casefold()]
        return [{"value": name, "label": name, "description": ""} for name in fit[:size]]
    extra = rules(asked.parsed("filters"), kind, glass())
    return [
        {"value": doc["name"], "label": doc["title"] or doc["name"], "description": doc["title"] or ""}
        for doc in hits(kind, typed, size, glass(), extra)
    ]


#: What says of a document what it is.
_TITLES = {
    "CRM Lead": "lead_name",
    "CRM Ticket": "subject",
    "CRM Customer": "customer_name",
    "CRM Task": "title",
    "CRM Call Log": "customer_name",
}


def hits(kind: DocType, typed: str, size: int, seen: Glass, extra: list[Any] | None = None) -> list[dict[str, Any]]:
    """The newest documents in which the text is found: {name, title, status, mobile_no …}; one statement."""
    seen.who.refuse_unless(kind.module, "read")
    if kind.name not in _TITLES:
        raise Refused(417, _("“%(name)s” cannot be searched.", name=kind.name))
    fit = [matching(kind.plan, typed, seen)] if typed else []
    names = tuple(name for name in ("status", "mobile_no", "modified", _TITLES[kind.name]) if name in kind.fields)
    asked = Asked([*fit, *(extra or [])], [kind.plan.record.id.desc()], size, newest=True)
    return [doc | {"title": doc[_TITLES[kind.name]]} for doc in documents(kind, asked, ("name", *names), seen)]


SEARCHED = ("CRM Lead", "CRM Customer", "CRM Ticket", "CRM Task")
LABELS = {"CRM Lead": "Leads", "CRM Customer": "Customers", "CRM Ticket": "Tickets", "CRM Task": "Tasks"}


def search(asked: Arguments) -> dict[str, Any]:
    """query, limit (20), doctype -> {query, total, sections: [{doctype, label, results: [{name, title, …}]}]}."""
    typed, seen = asked.text("query", "").strip()[:100], glass()
    limit = asked.whole("limit", 20, 1, 100)
    wanted = [asked.text("doctype")] if "doctype" in asked else list(SEARCHED)
    each = max(3, -(-limit // len(wanted)))
    sections = []
    for name in wanted if len(typed) > 1 else ():
        kind = client.record_kind(name, *SEARCHED)
        if seen.who.may(kind.module, "read") and (found := hits(kind, typed, each, seen)):
            results = [doc | {"doctype": name} for doc in found]
            sections.append({"doctype": name, "label": LABELS[name], "results": results})
    return {"query": typed, "total": sum(len(each["results"]) for each in sections), "sections": sections}
