"""The related lists beside a record page: rows of other records that belong to it and that the viewer sees."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import inspect, select

from app.domain.tasks import OPEN, Task
from app.extensions import db
from app.models import Lead, Ticket
from app.web.core.date_fields import moment_cell
from app.web.core.default_labels import shown_label
from app.web.core.fields import Viewer
from app.web.core.prepared_queries import PreparedQuery
from app.web.core.record_table import ListQuery
from app.web.core.registry import views_of

#: Rows per related list.
RELATED = 8


def related_parts(screen: Any, key: int, viewer: Viewer) -> list[dict[str, Any]]:
    """For each of `related_views`, the first rows that belong to this record."""
    parts = []
    for view in screen.related_views or ():
        other = next((each for each in views_of(view.datamodel.obj) if type(each) is view), None)
        if other is None or not viewer.person.may(other.module, "read"):
            continue
        name = relation_to(view.datamodel.obj, screen.service.record)
        parts.append(_related_part(other, name, key, viewer))
    return parts


def relation_to(child: Any, parent: Any) -> str:
    """The relation of the child's model that leads to the parent's. Raises TypeError if there is none."""
    for name, relation in inspect(child).relationships.items():
        if relation.mapper.class_ is parent:
            return str(name)
    raise TypeError(f"{child.__name__} has no relation to {parent.__name__}, so it cannot be one of its related_views")


def _related_part(other: Any, name: str, key: int, viewer: Viewer) -> dict[str, Any]:
    table, relation = other.record_table, getattr(other.service.record, name)
    parent = relation.property.mapper.class_
    belongs = relation.any(parent.id == key) if relation.property.uselist else relation.has(parent.id == key)
    query = ListQuery([*table.base_conditions(), belongs], table.order_by(None, None, viewer), RELATED + 1)
    names = tuple(other.list_columns[:3])
    found = table.rows(db.session(), query, names)
    table.prepare(found, names, viewer)
    rows = []
    for row in found[:RELATED]:
        values = tuple(row)
        cells = [each.shown_cell(values[cut], viewer) for each, cut in table.selection(names)[1]]
        rows.append({"url": f"{other.route_base}/show/{values[0]}", "cells": cells})
    may_add = viewer.person.may(other.module, "create") and "add" not in other.exclude_route_methods
    return {
        "title": other.list_title,
        "count": f"{RELATED}+" if len(found) > RELATED else len(found),
        "url": f"{other.route_base}/list/?_flt_eq_{name}={key}" if name in other.search_columns else None,
        "add_url": f"{other.route_base}/add?{name}={key}" if may_add and name in other.add_columns else None,
        "rows": rows,
    }


def open_tasks(kind: str, key: int, viewer: Viewer) -> dict[str, Any]:
    """The open tasks of a lead or ticket that the viewer sees."""
    return _tasks(getattr(Task, f"{kind}_id") == key, kind, key, viewer)


def of_customer(wire: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The leads and tickets of the record's customer."""
    customer = wire.get("customer")
    return leads_and_tickets(customer["id"], viewer) if customer else []


def leads_and_tickets(customer_id: int, viewer: Viewer) -> list[dict[str, Any]]:
    """The leads and tickets of a customer."""
    return [_leads_of(customer_id, viewer), _tickets_of(customer_id, viewer)]


def _tasks(rule: Any, kind: str, key: int, viewer: Viewer) -> dict[str, Any]:
    parent = f"{kind}={key}"
    rows = _open_tasks().where(db.session(), [rule], kind) if viewer.person.may("Tasks", "read") else []
    made = [
        {"url": f"/tasks/show/{task}", "cells": [{"kind": "text", "text": title}, moment_cell(due, viewer, True)]}
        for task, title, due, _who in rows
    ]
    may_add = viewer.person.may("Tasks", "create")
    return {
        "title": _("Open tasks"),
        "open_tasks": [tuple(row) for row in rows],
        "count": len(rows),
        "url": f"/tasks/?_flt_eq_{parent}",
        "add_url": f"/tasks/add?{parent}" if may_add else None,
        "rows": made,
    }


@lru_cache
def _open_tasks() -> PreparedQuery:
    query = select(Task.id, Task.title, Task.due_on, Task.assignee_id).where(Task.status.in_(OPEN))
    return PreparedQuery.of(query.order_by(Task.due_on).limit(RELATED), Task)


@lru_cache
def _newest(record: Any) -> PreparedQuery:
    query = select(record.number, record.status_id).order_by(record.id.desc())
    return PreparedQuery.of(query.limit(RELATED), record)


def _leads_of(customer_id: int, viewer: Viewer) -> dict[str, Any]:
    may_read, rule = viewer.person.may("Leads", "read"), Lead.customer_id == customer_id
    rows = _newest(Lead).where(db.session(), [rule]) if may_read else []
    return _numbered(_("Leads"), "/leads/", rows, "lead_status", viewer)


def _tickets_of(customer_id: int, viewer: Viewer) -> dict[str, Any]:
    may_read, rule = viewer.person.may("Tickets", "read"), Ticket.customer_id == customer_id
    rows = _newest(Ticket).where(db.session(), [rule]) if may_read else []
    return _numbered(_("Tickets"), "/tickets/", rows, "ticket_status", viewer)


def _numbered(title: str, base: str, rows: Any, master: str, viewer: Viewer) -> dict[str, Any]:
    made = []
    for number, status in rows:
        card = viewer.lookups.card(master, status) or {"label": "–", "color": "gray"}
        state = {"kind": "status", "label": shown_label(card["label"]), "color": card["color"]}
        made.append({"url": f"{base}{number}", "cells": [{"kind": "text", "text": number}, state]})
    return {"title": title, "count": len(made), "url": None, "add_url": None, "rows": made}


def accounts(wire: dict[str, Any]) -> dict[str, Any]:
    """The brokerage accounts in the serialized customer `wire`, as a related list."""
    rows = [
        {
            "url": "#",
            "cells": [
                {"kind": "text", "text": account["client_id"]},
                {"kind": "text", "text": (account["account_type"] or {}).get("label", "")},
            ],
        }
        for account in wire.get("accounts", [])
    ]
    return {"title": _("Accounts"), "count": len(rows), "url": None, "add_url": None, "rows": rows}
