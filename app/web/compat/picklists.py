"""Picklists as DocTypes: read from the lookups in memory, changed on the settings pages only."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from typing import Any

from sqlalchemy import select

from app.extensions import db
from app.models import SupportPage
from app.web.compat.arguments import Arguments
from app.web.compat.list_query import Filter, bare_name, field_names, page_bounds, split_filters, unknown_operator
from app.web.core.fields import Viewer


@dataclass(frozen=True)
class Picklist:
    """A picklist; the label of an entry is the name of its document."""

    name: str
    #: The master in the lookups.
    master: str
    #: The predecessor's field for the label.
    label_field: str
    #: The module that a person must be able to read; "" = everybody may.
    module: str = ""

    def documents(self, viewer: Viewer) -> list[dict[str, Any]]:
        """All active entries in order: {name, <label field>, color, position, is_active}."""
        if self.module:
            viewer.person.refuse_unless(self.module, "read")
        cards = [viewer.lookups.cards[self.master][key] for key in viewer.lookups.offered[self.master]]
        documents = [
            {
                "name": card["label"],
                "doctype": self.name,
                "docstatus": 0,
                "idx": 0,
                self.label_field: card["label"],
                "color": card.get("color"),
                "position": position,
                "is_active": 1,
            }
            for position, card in enumerate(cards, 1)
        ]
        return _with_support_links(documents) if self.master == "support_page" else documents

    def filter_documents(self, filters: Any, viewer: Viewer) -> list[dict[str, Any]]:
        """The documents that match the filters. Raises CompatError (417)."""
        split = split_filters(filters, _operator_and_value)
        return [doc for doc in self.documents(viewer) if all(_matches(doc, each) for each in split)]

    def list_documents(self, arguments: Arguments, viewer: Viewer) -> list[dict[str, Any]]:
        """The page of a list request: filters, fields, limit_start, limit_page_length."""
        size, start = page_bounds(arguments)
        names = field_names(arguments.json_value("fields", ["name"]))
        page = self.filter_documents(arguments.json_value("filters"), viewer)[start : start + size]
        return self.select_fields(page, tuple(names))

    def select_fields(self, documents: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
        """The documents with these fields only; null for an unknown field."""
        bare = [bare_name(name) for name in names]
        return documents if "*" in bare else [{name: doc.get(name) for name in bare} for doc in documents]


def _with_support_links(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lookups do not hold the link and description of a support page."""
    query = select(SupportPage.label, SupportPage.url, SupportPage.description)
    links = {label: {"support_link": url, "description": text} for label, url, text in db.session.execute(query)}
    return [doc | links.get(doc["name"], {}) for doc in documents]


def _operator_and_value(value: Any) -> tuple[str, Any]:
    """A list of two is always [operator, value] here."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        return value[0].lower(), value[1]
    return "=", value


def _matches(doc: dict[str, Any], each: Filter) -> bool:
    stored = str(doc.get(each.field) if doc.get(each.field) is not None else "").casefold()
    values = [str(value).casefold() for value in (each.value if isinstance(each.value, list) else [each.value])]
    tests = {
        "=": lambda: stored == values[0],
        "!=": lambda: stored != values[0],
        "in": lambda: stored in values,
        "like": lambda: fnmatchcase(stored, escape(values[0]).replace("%", "*")),
        "is": lambda: bool(stored) == (values[0] == "set"),
    }
    if each.operator not in tests or not values:
        raise unknown_operator(each.operator)
    return tests[each.operator]()


_ALL = (
    Picklist("CRM Lead Status", "lead_status", "lead_status"),
    Picklist("CRM Ticket Status", "ticket_status", "ticket_status"),
    Picklist("CRM Lead Source", "lead_source", "source_name"),
    Picklist("Account Type", "account_type", "account_type"),
    Picklist("Ticket Subject", "ticket_subject", "subject_name"),
    Picklist("Support Page", "support_page", "page_name", "Support Pages"),
)
#: DocType name -> picklist.
PICKLISTS: dict[str, Picklist] = {picklist.name: picklist for picklist in _ALL}
