"""Leads, tickets and customers identified in a URL or form by kind and id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import gettext as _

from app import access
from app.domain.base import NotFound
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Customer, Lead, Ticket

#: Kind -> record.
RECORDS: dict[str, Any] = {"lead": Lead, "ticket": Ticket, "customer": Customer}
#: Kind -> the URL of a record's page, without its id.
PAGES = {"lead": "/leads/show/", "ticket": "/tickets/show/", "customer": "/customers/show/"}


def named_record(kind: str, pk: str, records: Mapping[str, Any] = RECORDS) -> Any:
    """The record of this kind and id that the viewer sees. Raises NotFound."""
    model = records.get(kind)
    row = access.get_visible(db.session(), model, parse_id(pk)) if model is not None else None
    if row is None:
        raise NotFound(_("This record doesn't exist, or you don't have access to it."))
    return row


def links_of(kind: str, row: Any) -> dict[str, int | None]:
    """The record itself and its customer, as columns of rows that belong to it: lead_id, ticket_id, customer_id."""
    return {"customer_id": getattr(row, "customer_id", None), f"{kind}_id": row.id}
