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
from app.web.compat.documents import documents, whole
from app.web.compat.leads import CUSTOMER
from app.web.compat.list_query import rules
from app.web.core.gate import glass
from app.web.core.record_table import Asked
from app.web.core.reference_fields import find_record
from app.web.core.text_search import matching

#: Of each kind in what a customer had.
MOST = 50


def by_mobile(asked: Arguments) -> dict[str, Any] | None:
    """mobile_no, in any spelling -> the customer, or null."""
    seen = glass()
    seen.who.refuse_unless("Customers", "read")
    wanted = Asked(rules({"mobile_no": asked.text("mobile_no")}, CUSTOMER, seen), [Customer.id], 1)
    return whole(CUSTOMER, wanted, seen)


def by_name(asked: Arguments) -> dict[str, Any]:
    """customer_id -> the customer. Raises NotThere (404)."""
    return client.whole_of(CUSTOMER, asked.first("customer_id", "name"))


def found(asked: Arguments) -> dict[str, Any]:
    """mobile_no -> {found, customer_name, customer_id}."""
    customer = by_mobile(asked)
    if customer is None:
        return {"found": False, "customer_name": None, "customer_id": None}
    return {"found": True, "customer_name": customer["customer_name"], "customer_id": customer["name"]}


def listed(asked: Arguments) -> list[dict[str, Any]]:
    """limit, start, search_term -> customers, newest first."""
    seen = glass()
    seen.who.refuse_unless("Customers", "read")
    typed = asked.text("search_term", "")[:100].strip()
    fit = [matching(CUSTOMER.plan, typed, seen)] if typed else []
    size, start = asked.whole("limit", 20, 1, 1000), asked.whole("start", 0, 0, 10**6)
    wanted = Asked(fit, [Customer.id.desc()], size, start=start, newest=True)
    return documents(CUSTOMER, wanted, ("name", *CUSTOMER.fields), seen)


_KEYS = {"CRM Lead": "leads", "CRM Ticket": "tickets", "CRM Call Log": "call_logs"}


def whose(asked: Arguments) -> Callable[[DocType], list[Any]]:
    """The rules by which records of any kind are this customer's: customer_id, a mobile, or an e-mail address.

    Raises Refused (417) when nobody is named, or by what is masked for the person.
    """
    seen = glass()
    if "customer_id" in asked:
        key = find_record(Customer, asked.text("customer_id")) or -1
        return lambda kind: [kind.plan.record.customer_id == key]
    if "customer_mobile" in asked or "mobile_no" in asked:
        mobile = asked.first("customer_mobile", "mobile_no")
        return lambda kind: rules({"customer" if kind.name == "CRM Call Log" else "mobile_no": mobile}, kind, seen)
    return lambda kind: rules({"email": asked.text("email")}, kind, seen)


def interactions(asked: Arguments) -> dict[str, Any]:
    """customer_id, or customer_mobile -> {leads, tickets, call_logs}: the newest of each that the person sees."""
    theirs = whose(asked)
    return {key: _newest(DOCTYPES[name], theirs(DOCTYPES[name])) for name, key in _KEYS.items()}


def _newest(kind: DocType, fit: list[Any]) -> list[dict[str, Any]]:
    seen = glass()
    if not seen.who.may(kind.module, "read"):
        return []
    wanted = Asked(fit, [kind.plan.record.id.desc()], MOST)
    return documents(kind, wanted, ("name", *kind.fields), seen)


def figures(asked: Arguments) -> dict[str, int]:
    """How many customers the person sees, active and not, and how many came lately (30 days); one statement."""
    seen = glass()
    seen.who.refuse_unless("Customers", "read")
    new = case((Customer.created_on >= seen.now - timedelta(days=30), 1), else_=0)
    active = case((Customer.status == "Active", 1), else_=0)
    query = select(func.count(Customer.id), func.sum(active), func.sum(new))
    total, actives, fresh = db.session.execute(query).one()
    return {
        "total_customers": total,
        "active_customers": int(actives or 0),
        "inactive_customers": total - int(actives or 0),
        "new_customers": int(fresh or 0),
    }
