"""Pick-lists under their old names; read from the process's memory, changed on the settings pages only."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.extensions import db
from app.models import SupportPage
from app.web.compat.arguments import Arguments
from app.web.compat.responses import CompatError
from app.web.core.fields import Viewer

MOST = 1000


@dataclass(frozen=True)
class Picklist:
    """A pick-list whose documents are named by their labels."""

    name: str
    #: In glass().cards.
    master: str
    #: What they called the label.
    label: str
    #: The module that must be readable; "" = everybody's.
    module: str = ""

    def documents(self, viewer: Viewer) -> list[dict[str, Any]]:
        """All on offer, in order: {name, <label>, color, position, is_active}."""
        if self.module:
            viewer.person.refuse_unless(self.module, "read")
        offered = viewer.lookups.offered[self.master]
        cards = [viewer.lookups.cards[self.master][key] for key in offered]
        made = [
            {
                "name": card["label"],
                "doctype": self.name,
                "docstatus": 0,
                "idx": 0,
                self.label: card["label"],
                "color": card.get("color"),
                "position": place,
                "is_active": 1,
            }
            for place, card in enumerate(cards, 1)
        ]
        return _with_links(made) if self.master == "support_page" else made

    def found(self, filters: Any, viewer: Viewer) -> list[dict[str, Any]]:
        """Those that fit. Raises Refused (417)."""
        tests = _tests(filters)
        return [doc for doc in self.documents(viewer) if all(_fits(doc, *test) for test in tests)]

    def listed(self, arguments: Arguments, viewer: Viewer) -> list[dict[str, Any]]:
        """A list call: filters, fields, limit_start, limit_page_length."""
        size = arguments.integer("limit_page_length", arguments.integer("limit", 20, 0, MOST), 0, MOST) or MOST
        start = arguments.integer("limit_start", arguments.integer("start", 0, 0, MOST), 0, MOST)
        names = arguments.json_value("fields", ["name"])
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise CompatError(417, _("“fields” must be a list of names."))
        return self.told(self.found(arguments.json_value("filters"), viewer)[start : start + size], tuple(names))

    def told(self, docs: list[dict[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
        """These fields of the documents; null for those that there are not."""
        bare = [name.rpartition(".")[2].strip("` ") for name in names]
        return docs if "*" in bare else [{name: doc.get(name) for name in bare} for doc in docs]


def _with_links(docs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a support page links to is on no card."""
    query = select(SupportPage.label, SupportPage.url, SupportPage.description)
    links = {label: {"support_link": url, "description": text} for label, url, text in db.session.execute(query)}
    return [doc | links.get(doc["name"], {}) for doc in docs]


def _tests(filters: Any) -> list[tuple[str, str, Any]]:
    if isinstance(filters, str) and filters:
        return [("name", "=", filters)]
    if isinstance(filters, dict):
        return [(str(name), *(_pair(value))) for name, value in filters.items()]
    parts = filters or []
    if not isinstance(parts, list) or not all(isinstance(each, list) and len(each) in (3, 4, 5) for each in parts):
        raise CompatError(417, _("“filters” must be a list of [field, operator, value] or an object."))
    cut = [each if len(each) == 3 else each[1:4] for each in parts]
    return [(str(name), str(op).lower(), value) for name, op, value in cut]


def _pair(value: Any) -> tuple[str, Any]:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        return value[0].lower(), value[1]
    return "=", value


def _fits(doc: dict[str, Any], name: str, op: str, value: Any) -> bool:
    held = str(doc.get(name) if doc.get(name) is not None else "").casefold()
    values = [str(each).casefold() for each in (value if isinstance(value, list) else [value])]
    ways = {
        "=": lambda: held == values[0],
        "!=": lambda: held != values[0],
        "in": lambda: held in values,
        "like": lambda: fnmatchcase(held, escape(values[0]).replace("%", "*")),
        "is": lambda: bool(held) == (values[0] == "set"),
    }
    if op not in ways or not values:
        raise CompatError(417, _("There is no operator “%(op)s” here.", op=op[:20]))
    return ways[op]()


_ALL = (
    Picklist("CRM Lead Status", "lead_status", "lead_status"),
    Picklist("CRM Ticket Status", "ticket_status", "ticket_status"),
    Picklist("CRM Lead Source", "lead_source", "source_name"),
    Picklist("Account Type", "account_type", "account_type"),
    Picklist("Ticket Subject", "ticket_subject", "subject_name"),
    Picklist("Support Page", "support_page", "page_name", "Support Pages"),
)
PICKLISTS: dict[str, Picklist] = {each.name: each for each in _ALL}
