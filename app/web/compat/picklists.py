"""Picklists, colleagues and roles as DocTypes: read from the lookups in memory, changed only on the settings pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from app.extensions import db
from app.models import SupportPage
from app.web.compat import users
from app.web.compat.in_memory_lists import MemoryDocType
from app.web.core.viewer import Viewer


@dataclass(frozen=True)
class Picklist(MemoryDocType):
    """A picklist; the label of an entry is the name of its document."""

    name: str
    #: The picklist in the lookups.
    picklist: str
    #: The predecessor's field for the label.
    label_field: str
    #: The module that a person must be able to read; "" = everybody may.
    module: str = ""

    def documents(self, viewer: Viewer) -> list[dict[str, Any]]:
        """All active entries in order: {name, <label field>, color, position, is_active}."""
        if self.module:
            viewer.person.refuse_unless(self.module, "read")
        cards = [viewer.lookups.cards[self.picklist][key] for key in viewer.lookups.offered[self.picklist]]
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
        return _with_support_links(documents) if self.picklist == "support_page" else documents


def _with_support_links(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the link and description of support pages, which the lookups do not have."""
    query = select(SupportPage.label, SupportPage.url, SupportPage.description)
    links = {label: {"support_link": url, "description": text} for label, url, text in db.session.execute(query)}
    return [doc | links.get(doc["name"], {}) for doc in documents]


class Colleagues(MemoryDocType):
    """DocType User: the public fields of active colleagues, so that clients know whom they may refer to."""

    name = "User"

    def documents(self, viewer: Viewer) -> list[dict[str, Any]]:
        """Sorted by full name. Raises Denied for a key that is limited to other modules, as REST does."""
        users.refuse_limited_key(viewer.person)
        return users.active_users(viewer)


class Roles(MemoryDocType):
    """DocType Role: the names of all roles."""

    name = "Role"

    def documents(self, viewer: Viewer) -> list[dict[str, Any]]:
        """All roles, sorted by name."""
        fixed = {"doctype": self.name, "docstatus": 0, "idx": 0, "disabled": 0, "desk_access": 1}
        return [{"name": role, "role_name": role} | fixed for role in viewer.lookups.roles]


_ALL = (
    Picklist("CRM Lead Status", "lead_status", "lead_status"),
    Picklist("CRM Ticket Status", "ticket_status", "ticket_status"),
    Picklist("CRM Lead Source", "lead_source", "source_name"),
    Picklist("Account Type", "account_type", "account_type"),
    Picklist("Ticket Subject", "ticket_subject", "subject_name"),
    Picklist("Support Page", "support_page", "page_name", "Support Pages"),
)
#: DocType name -> DocType in memory; some had a name with and without "CRM" in the predecessor.
PICKLISTS: dict[str, MemoryDocType] = {each.name: each for each in (*_ALL, Colleagues(), Roles())}
PICKLISTS |= {f"CRM {each.name}": each for each in _ALL if not each.name.startswith("CRM ")}
