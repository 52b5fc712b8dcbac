"""What the old list pages asked of a DocType before its rows: its fields, to sort by, to group by, to filter by."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DocType
from app.web.compat.lists import describe_fields, filterable_fields
from app.web.core.gate import current_viewer
from app.web.records.calls import CallScreen
from app.web.records.customers import CustomerScreen
from app.web.records.leads import LeadScreen
from app.web.records.tasks import TaskScreen
from app.web.records.tickets import TicketScreen

#: Kinds of fields with few values. The rows are not grouped here: whoever asks orders them by the field and groups.
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


def sort_options(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype -> [{label, value, fieldname}]: what `order_by` takes of this person."""
    doctype, viewer = _readable_doctype(arguments), current_viewer()
    by_name = doctype.record_table.by_name
    allowed = {name for name, each in by_name.items() if each.sort and not each.is_hidden(viewer)}
    found = {"name": str(_("Number")), "creation": str(_("Created"))}
    found |= {
        each["fieldname"]: each["label"]
        for each in describe_fields(doctype, viewer)
        if doctype.fields[each["fieldname"]] in allowed
    }
    return [{"label": label, "value": name, "fieldname": name} for name, label in found.items()]


def group_by_fields(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype -> [{label, fieldname, …}]: fields of few values that the person may filter by."""
    return [each for each in filterable_fields(arguments) if each["fieldtype"] in _GROUPABLE_TYPES]


def quick_filters(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype -> [{label, name, type, options}]: the filters that our own list shows first."""
    doctype = _readable_doctype(arguments)
    wanted = _SCREENS[doctype.name].quick if doctype.name in _SCREENS else ()
    known: dict[str, dict[str, Any]] = {}
    for each in filterable_fields(arguments):
        known.setdefault(doctype.fields[each["fieldname"]], each)
    return [
        {
            "label": known[name]["label"],
            "name": known[name]["fieldname"],
            "fieldname": known[name]["fieldname"],
            "type": known[name]["fieldtype"],
            "fieldtype": known[name]["fieldtype"],
            "options": known[name]["options"],
        }
        for name in wanted
        if name in known
    ]


def list_fields(arguments: Arguments) -> list[dict[str, Any]]:
    """doctype -> all of its fields: {fieldname, label, fieldtype, options, reqd, read_only}."""
    return describe_fields(_readable_doctype(arguments), current_viewer())


def fields_meta(arguments: Arguments) -> Any:
    """doctype, as_array -> the same by their names, or as a list."""
    found = list_fields(arguments)
    as_list = str(arguments.raw("as_array", "0")).lower() not in ("0", "false", "none", "")
    return found if as_list else {each["fieldname"]: each for each in found}
