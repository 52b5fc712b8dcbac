"""Methods for customers: find by mobile, list, interactions, statistics."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import case, func, select

from app.extensions import db
from app.lib import phone
from app.models import Customer
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import CALL_LOG, CUSTOMER, LEAD, TICKET, DocType
from app.web.compat.documents import fetch_document, fetch_documents
from app.web.compat.filters import parse_filters
from app.web.core.fab_access import current_viewer
from app.web.core.fields.reference_fields import find_record
from app.web.core.queries.list_query import ListQuery
from app.web.core.queries.text_search import matching
from app.web.records.caller_lookup import look_up, may_look_up

#: Documents of each DocType in a customer's interactions.
MAX_PER_DOCTYPE = 50


def find_by_mobile(arguments: Arguments) -> dict[str, Any] | None:
    """mobile_no, in any format -> the customer with this main or alternative number, or null."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Customers", "read")
    conditions = parse_filters({"mobile_no": arguments.text("mobile_no")}, CUSTOMER, viewer)
    # A main number comes before an alternative one.
    order = [Customer.mobile_e164 != phone.normalize(arguments.text("mobile_no")), Customer.id]
    return fetch_document(CUSTOMER, ListQuery(conditions, order, 1), viewer)


def get_customer(arguments: Arguments) -> dict[str, Any]:
    """customer_id -> the customer. Raises NotFound (404)."""
    return client.read_document(CUSTOMER, arguments.first_text("customer_id", "name"))


def search_by_mobile(arguments: Arguments) -> dict[str, Any]:
    """mobile_no -> {found, customer_name, customer_id}; for people who raise tickets by the limited look-up too."""
    viewer = current_viewer()
    customer = find_by_mobile(arguments) if viewer.person.may("Customers", "read") or not may_look_up(viewer) else None
    if customer is None and may_look_up(viewer):
        cards = look_up(arguments.text("mobile_no"), viewer)
        customer = {"customer_name": cards[0]["name"], "name": cards[0]["number"]} if cards else None
    if customer is None:
        return {"found": False, "customer_name": None, "customer_id": None}
    return {"found": True, "customer_name": customer["customer_name"], "customer_id": customer["name"]}


def list_customers(arguments: Arguments) -> list[dict[str, Any]]:
    """limit, start, search_term -> customers, newest first."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Customers", "read")
    text = arguments.text("search_term", "")[:100].strip()
    conditions = [matching(CUSTOMER.record_table, text, viewer)] if text else []
    size, start = arguments.integer("limit", 20, 1, 1000), arguments.integer("start", 0, 0, 10**6)
    list_query = ListQuery(conditions, [Customer.id.desc()], size, start=start, newest=True)
    return fetch_documents(CUSTOMER, list_query, ("name", *CUSTOMER.fields), viewer)


#: Key in the response -> DocType.
_INTERACTIONS = {"leads": LEAD, "tickets": TICKET, "call_logs": CALL_LOG}


def customer_conditions(arguments: Arguments) -> Callable[[DocType], list[Any]]:
    """customer_id, a mobile number or email -> DocType -> the SQL conditions for this customer's records.

    Raises CompatError (417) without any of them, and for a field that is masked for the person.
    """
    viewer = current_viewer()
    if "customer_id" in arguments:
        customer_id = find_record(Customer, arguments.text("customer_id")) or -1
        return lambda doctype: [doctype.record_table.record.customer_id == customer_id]
    if "customer_mobile" in arguments or "mobile_no" in arguments:
        mobile = arguments.first_text("customer_mobile", "mobile_no")
        return lambda doctype: parse_filters(
            {"customer" if doctype is CALL_LOG else "mobile_no": mobile}, doctype, viewer
        )
    return lambda doctype: parse_filters({"email": arguments.text("email")}, doctype, viewer)


def interactions(arguments: Arguments) -> dict[str, Any]:
    """customer_id or customer_mobile -> {leads, tickets, call_logs}: the newest of each visible to the person."""
    conditions = customer_conditions(arguments)
    return {key: _newest_documents(doctype, conditions(doctype)) for key, doctype in _INTERACTIONS.items()}


def _newest_documents(doctype: DocType, conditions: list[Any]) -> list[dict[str, Any]]:
    viewer = current_viewer()
    if not viewer.person.may(doctype.module, "read"):
        return []
    list_query = ListQuery(conditions, [doctype.record_table.record.id.desc()], MAX_PER_DOCTYPE)
    return fetch_documents(doctype, list_query, ("name", *doctype.fields), viewer)


def statistics(arguments: Arguments) -> dict[str, int]:
    """Counts of the customers visible to the person: all, active, inactive, new in the last 30 days; one statement."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Customers", "read")
    is_new = case((Customer.created_on >= viewer.now - timedelta(days=30), 1), else_=0)
    is_active = case((Customer.status == "Active", 1), else_=0)
    query = select(func.count(Customer.id), func.sum(is_active), func.sum(is_new))
    total, active, new = db.session.execute(query).one()
    return {
        "total_customers": total,
        "active_customers": int(active or 0),
        "inactive_customers": total - int(active or 0),
        "new_customers": int(new or 0),
    }
