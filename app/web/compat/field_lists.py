"""Methods about the fields of a DocType: all of them, and those to filter, sort and group by."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DocType
from app.web.core.fab_access import current_viewer
from app.web.core.fields.base import Field
from app.web.core.viewer import Viewer
from app.web.records.customers import CustomerScreen
from app.web.records.leads import LeadScreen
from app.web.records.tasks import TaskScreen
from app.web.records.telephony.calls import CallScreen
from app.web.records.tickets import TicketScreen

#: Kind of our field -> fieldtype.
FIELD_TYPES = {
    "choice": "Select",
    "picklist": "Link",
    "person": "Link",
    "record": "Link",
    "moment": "Datetime",
    "date": "Date",
    "number": "Int",
    "flag": "Check",
    "textarea": "Text",
    "many": "Table MultiSelect",
}
#: Types of fields with few values. The client groups the rows itself, sorted by the field.
_GROUPABLE_TYPES = ("Select", "Link", "Check")
_SCREENS: dict[str, Any] = {
    "CRM Lead": LeadScreen,
    "CRM Ticket": TicketScreen,
    "CRM Customer": CustomerScreen,
    "CRM Task": TaskScreen,
    "CRM Call Log": CallScreen,
}


def _readable_doctype(arguments: Arguments) -> DocType:
    doctype = client.record_doctype(arguments.text("doctype"))
    current_viewer().person.refuse_unless(doctype.module, "read")
    return doctype


def filterable_fields(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype -> the fields that the person may filter by."""
    doctype, viewer = _readable_doctype(arguments), current_viewer()
    allowed = {field.name for field in doctype.record_table.filterable(viewer)}
    return [each for each in describe_fields(doctype, viewer) if doctype.fields[each["fieldname"]] in allowed]


def describe_fields(doctype: DocType, viewer: Viewer) -> list[dict[str, Any]]:
    """[{fieldname, label, fieldtype, options, reqd, hidden, read_only, name}] of all fields."""
    fields = doctype.record_table.by_name
    named = {name: fields[field] for name, field in doctype.fields.items() if field in fields}
    return [_describe(name, field, viewer) for name, field in named.items()]


def _describe(name: str, field: Field, viewer: Viewer) -> dict[str, Any]:
    return {
        "fieldname": name,
        "label": str(field.label),
        "fieldtype": FIELD_TYPES.get(field.kind, "Data"),
        "options": _options(field, viewer),
        "reqd": int(field.required),
        "hidden": 0,
        "read_only": int(not (field.add or field.edit)),
        "name": name,
    }


def _options(field: Any, viewer: Viewer) -> str | None:
    """The options of a field, one per line; "User" for a person."""
    if field.kind == "picklist":
        cards = viewer.lookups.cards[field.picklist]
        return "\n".join(cards[key]["label"] for key in viewer.lookups.offered[field.picklist])
    return "User" if field.kind == "person" else "\n".join(field.options) if field.kind == "choice" else None


def sort_options(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype -> [{label, value, fieldname}] of the fields that the person may sort by."""
    doctype, viewer = _readable_doctype(arguments), current_viewer()
    fields = doctype.record_table.by_name
    allowed = {name for name, field in fields.items() if field.sort and not field.is_hidden(viewer)}
    labels = {"name": str(_("Number")), "creation": str(_("Created"))}
    labels |= {
        each["fieldname"]: each["label"]
        for each in describe_fields(doctype, viewer)
        if doctype.fields[each["fieldname"]] in allowed
    }
    return [{"label": label, "value": name, "fieldname": name} for name, label in labels.items()]


def group_by_fields(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype -> [{label, fieldname, …}]: the fields with few values that the person may filter by."""
    return [each for each in filterable_fields(arguments) if each["fieldtype"] in _GROUPABLE_TYPES]


def quick_filters(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype -> [{label, name, type, options}]: the quick filters of our own list page."""
    doctype = _readable_doctype(arguments)
    names = _SCREENS[doctype.name].quick_filters if doctype.name in _SCREENS else ()
    by_field: dict[str, dict[str, Any]] = {}
    for each in filterable_fields(arguments):
        by_field.setdefault(doctype.fields[each["fieldname"]], each)
    return [
        {
            "label": by_field[name]["label"],
            "name": by_field[name]["fieldname"],
            "fieldname": by_field[name]["fieldname"],
            "type": by_field[name]["fieldtype"],
            "fieldtype": by_field[name]["fieldtype"],
            "options": by_field[name]["options"],
        }
        for name in names
        if name in by_field
    ]


def list_fields(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype -> [{fieldname, label, fieldtype, options, reqd, read_only}] of all fields."""
    return describe_fields(_readable_doctype(arguments), current_viewer())


def fields_meta(arguments: Arguments) -> Any:
    """doctype, as_array -> the descriptions of all fields by fieldname, or as a list."""
    fields = list_fields(arguments)
    return fields if arguments.flag("as_array") else {each["fieldname"]: each for each in fields}
