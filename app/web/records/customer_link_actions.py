"""Pending links to a customer: shown to the people who decide about the customer, who confirm or refuse them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response, after_this_request
from flask_babel import gettext as _

from app import access
from app.domain import pending_customer_links
from app.domain.base import NotFound, RuleBroken
from app.domain.customer_linking import CustomerMatch
from app.domain.pending_customer_links import CustomerLink
from app.extensions import db
from app.file_store_and_vault import vault
from app.lib.ids import parse_id
from app.models import Customer, Lead, Ticket
from app.web.api.operations import OperationSpec
from app.web.api.schemas import ID, STRING, ref, shape
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer

_LINK = shape(
    {
        "id": ID,
        "customer": ID,
        "customer_number": STRING,
        "customer_name": STRING,
        "record": STRING,
        "name": STRING,
        "mobile": STRING,
        "requested_by": ref("UserCard"),
        "requested_on": STRING,
    },
    "id",
    "customer",
    "record",
)
#: Documentation of the REST endpoints.
DOCUMENTATION = {
    "links": OperationSpec(
        "List the leads and tickets that wait for your word about their link to a customer",
        (404, 409, 422),
        answer=shape({"result": {"type": "array", "items": _LINK}}, "result"),
    ),
    "decide_link": OperationSpec(
        "Confirm or refuse such a link",
        (404, 409, 413, 422),
        ("pk",),
        shape({"link": ID, "confirm": {"type": "boolean"}}, "link", "confirm"),
        ref("Done"),
    ),
}


def may_decide(owner_id: int | None, viewer: Viewer) -> bool:
    """Whether the person decides about a customer of this owner: the owner, their managers, and people with level all.

    Not if the number is masked for them: a pending link would confirm a guess.
    """
    reach = viewer.person.reach("Customers", "write")
    return viewer.person.mask("mobile") == "full" and (reach is None or owner_id in reach)


def waiting(viewer: Viewer, customer_id: int | None = None) -> list[dict[str, Any]]:
    """The links that this person has to decide about: both records, who asks, and when.

    {id, customer, customer_number, customer_name, record (its number), name and mobile (as typed there, "" = none),
    requested_by, requested_on}.
    """
    reach = viewer.person.reach("Customers", "write")
    if viewer.person.mask("mobile") != "full" or (reach is not None and not reach):
        return []
    with access.as_system(db.session()):
        rows = pending_customer_links.waiting(db.session(), reach, customer_id)
        return [_shown(row, viewer) for row in rows]


def _shown(row: CustomerLink, viewer: Viewer) -> dict[str, Any]:
    record = _record_of(row)
    return {
        "id": row.id,
        "customer": row.customer_id,
        "customer_number": row.customer.number,
        "customer_name": row.customer.name,
        "record": record.number,
        "name": " ".join(filter(None, (record.first_name, record.last_name))),
        "mobile": record.mobile_e164 or "",
        "requested_by": viewer.lookups.person(row.created_by_id),
        "requested_on": row.created_on.isoformat(),
    }


def decide(customer: Any, link_id: Any, is_confirmed: Any, viewer: Viewer) -> None:
    """Confirm or refuse a link to this customer. Raises Denied, NotFound, Conflict."""
    if not may_decide(customer.owner_id, viewer):
        raise access.Denied(_("Only the customer's owner or one of their managers can decide about a link."))
    if not isinstance(is_confirmed, bool):
        raise RuleBroken(_("Please say whether to confirm the link: true or false."), "confirm")
    session = db.session()
    with access.as_system(session):
        found = session.get(CustomerLink, parse_id(link_id) or 0)
        if found is None or found.customer_id != customer.id:
            raise NotFound(_("There is no such record."))
        context = viewer.change_context(vault=vault())
        pending_customer_links.decide(session, found, _record_of(found), is_confirmed, context)


@contextmanager
def asking_before(row: Any, viewer: Viewer) -> Iterator[None]:
    """Request the link that a refused change of this lead needs, in a transaction of its own after the request."""
    record, key = type(row), row.id
    try:
        yield
    except pending_customer_links.LinkPending as awaited:
        customer_id = awaited.match.customer.id

        @after_this_request
        def ask(response: Response) -> Response:
            with request_transaction() as session:
                lead, customer = session.get(record, key), session.get(Customer, customer_id)
                if lead is not None and customer is not None:
                    pending_customer_links.request_link(
                        session, lead, CustomerMatch(customer, False, "conversion"), viewer.stamp
                    )
            return response

        raise


def _record_of(row: CustomerLink) -> Any:
    record = Lead if row.lead_id is not None else Ticket
    return db.session().get(record, row.lead_id or row.ticket_id)
