"""The predecessor's methods for customers: found by number, listed, counted, with what they had."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import case, func, select

from app.extensions import db
from app.models import Customer
from app.web.compat import client
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DOCTYPES, DocType
from app.web.compat.documents import fetch_document, fetch_documents
from app.web.compat.leads import CUSTOMER
from app.web.compat.list_query import parse_filters
from app.web.core.gate import current_viewer
from app.web.core.record_table import ListQuery
from app.web.core.reference_fields import find_record
from app.web.core.text_search import matching

#: Of each kind in what a customer had.
MAX_PER_DOCTYPE = 50


def find_by_mobile(arguments: Arguments) -> dict[str, Any] | None:
    """mobile_no, in any spelling -> the customer, or null."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Customers", "read")
    wanted = ListQuery(parse_filters({"mobile_no": arguments.text("mobile_no")}, CUSTOMER, viewer), [Customer.id], 1)
    return fetch_document(CUSTOMER, wanted, viewer)


def get_customer(arguments: Arguments) -> dict[str, Any]:
    """customer_id -> the customer. Raises NotFound (404)."""
    return client.read_document(CUSTOMER, arguments.first_text("customer_id", "name"))


def search_by_mobile(arguments: Arguments) -> dict[str, Any]:
    """mobile_no -> {found, customer_name, customer_id}."""
    customer = find_by_mobile(arguments)
    if customer is None:
        return {"found": False, "customer_name": None, "customer_id": None}
    return {"found": True, "customer_name": customer["customer_name"], "customer_id": customer["name"]}


def list_customers(arguments: Arguments) -> list[dict[str, Any]]:
    """limit, start, search_term -> customers, newest first."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Customers", "read")
    typed = arguments.text("search_term", "")[:100].strip()
    fit = [matching(CUSTOMER.record_table, typed, viewer)] if typed else []
    size, start = arguments.integer("limit", 20, 1, 1000), arguments.integer("start", 0, 0, 10**6)
    wanted = ListQuery(fit, [Customer.id.desc()], size, start=start, newest=True)
    return fetch_documents(CUSTOMER, wanted, ("name", *CUSTOMER.fields), viewer)


_INTERACTION_KEYS = {"CRM Lead": "leads", "CRM Ticket": "tickets", "CRM Call Log": "call_logs"}


def customer_conditions(arguments: Arguments) -> Callable[[DocType], list[Any]]:
    """The rules by which records of any kind are this customer's: customer_id, a mobile, or an e-mail address.

    Raises Refused (417) when nobody is named, or by what is masked for the person.
    """
    viewer = current_viewer()
    if "customer_id" in arguments:
        key = find_record(Customer, arguments.text("customer_id")) or -1
        return lambda doctype: [doctype.record_table.record.customer_id == key]
    if "customer_mobile" in arguments or "mobile_no" in arguments:
        mobile = arguments.first_text("customer_mobile", "mobile_no")
        return lambda doctype: parse_filters(
            {"customer" if doctype.name == "CRM Call Log" else "mobile_no": mobile}, doctype, viewer
        )
    return lambda doctype: parse_filters({"email": arguments.text("email")}, doctype, viewer)


def interactions(arguments: Arguments) -> dict[str, Any]:
    """customer_id, or customer_mobile -> {leads, tickets, call_logs}: the newest of each that the person sees."""
    theirs = customer_conditions(arguments)
    return {key: _newest_documents(DOCTYPES[name], theirs(DOCTYPES[name])) for name, key in _INTERACTION_KEYS.items()}


def _newest_documents(doctype: DocType, fit: list[Any]) -> list[dict[str, Any]]:
    viewer = current_viewer()
    if not viewer.person.may(doctype.module, "read"):
        return []
    wanted = ListQuery(fit, [doctype.record_table.record.id.desc()], MAX_PER_DOCTYPE)
    return fetch_documents(doctype, wanted, ("name", *doctype.fields), viewer)


def statistics(arguments: Arguments) -> dict[str, int]:
    """How many customers the person sees, active and not, and how many came lately (30 days); one statement."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Customers", "read")
    new = case((Customer.created_on >= viewer.now - timedelta(days=30), 1), else_=0)
    active = case((Customer.status == "Active", 1), else_=0)
    query = select(func.count(Customer.id), func.sum(active), func.sum(new))
    total, actives, fresh = db.session.execute(query).one()
    return {
        "total_customers": total,
        "active_customers": int(actives or 0),
        "inactive_customers": total - int(actives or 0),
        "new_customers": int(fresh or 0),
    }
