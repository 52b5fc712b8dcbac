"""The related lists beside a record page: rows of other records that belong to it and that the viewer sees."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import lru_cache
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import inspect, select

from app.domain.base import NUMBER_PREFIXES
from app.domain.tasks import OPEN, Task
from app.domain.tickets import ENDED
from app.extensions import db
from app.generated_titles import shown_title
from app.models import Lead, Ticket
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.default_labels import shown_label
from app.web.core.queries.list_query import ListQuery
from app.web.core.queries.prepared_queries import PreparedQuery
from app.web.core.view_registry import views_of
from app.web.core.viewer import Viewer

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
    """The relation of the child's model to the parent's. Raises TypeError if there is none."""
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
    parent, column = f"{kind}={key}", getattr(Task, f"{kind}_id")
    rows = _open_tasks().of_one(db.session(), column, key, kind) if viewer.person.may("Tasks", "read") else []
    made = [
        {
            "url": f"/tasks/show/{task}",
            "cells": [{"kind": "text", "text": shown_title(title)}, moment_cell(due, viewer, True)],
        }
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


def of_customer(serialized: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The other leads and tickets of the record's customer."""
    customer = serialized.get("customer")
    return leads_and_tickets(customer["id"], viewer, serialized.get("number")) if customer else []


def leads_and_tickets(customer_id: int, viewer: Viewer, own: str | None = None) -> list[dict[str, Any]]:
    """The other leads and tickets of the record's customer."""
    parts = (("Leads", _leads_of), ("Tickets", _tickets_of))
    return [part(customer_id, viewer, own) for module, part in parts if viewer.person.may(module, "read")]


@lru_cache
def _open_tasks() -> PreparedQuery:
    query = select(Task.id, Task.title, Task.due_on, Task.assignee_id).where(Task.status.in_(OPEN))
    return PreparedQuery.of(query.order_by(Task.due_on).limit(RELATED), Task)


@lru_cache
def _newest(record: Any, *columns: Any) -> PreparedQuery:
    query = select(record.number, record.status_id, record.created_on, *columns).order_by(record.id.desc())
    return PreparedQuery.of(query.limit(RELATED + 2), record)  # the own one, and one to tell whether there are more


def _leads_of(customer_id: int, viewer: Viewer, own: str | None) -> dict[str, Any]:
    """Each under its number, with its source and date."""
    rows = _newest(Lead, Lead.source_id).where(db.session(), [Lead.customer_id == customer_id])
    made = []
    for number, status, created, source in rows:
        about = [_label_of("lead_source", source, viewer), _day(created, viewer)]
        made.append(_row(f"/leads/{number}", number, about, _state("lead_status", status, viewer)))
    title = _("Other leads") if str(own).startswith(NUMBER_PREFIXES["LEAD"]) else _("Leads")
    return _list(title, made, own) | {"url": f"/leads/?_flt_eq_customer={customer_id}"}


def _tickets_of(customer_id: int, viewer: Viewer, own: str | None) -> dict[str, Any]:
    """Each under its subjects, with its number and date."""
    rows = _newest(Ticket, Ticket.title).where(db.session(), [Ticket.customer_id == customer_id])
    made = []
    for number, status, created, title in rows:
        state = _state("ticket_status", status, viewer)
        made.append(_row(f"/tickets/{number}", shown_title(title or number), [number, _day(created, viewer)], state))
    add = f"/tickets/add?customer={customer_id}" if viewer.person.may("Tickets", "create") else None
    shown = {"url": f"/tickets/?_flt_eq_customer={customer_id}", "add_url": add}
    if not str(own).startswith(NUMBER_PREFIXES["TICKET"]):
        return _list(_("Tickets"), made, own) | shown
    return _list(_("Other tickets of this customer"), made, own) | shown | {"is_early": True}


def open_tickets(customer_ids: Collection[int], viewer: Viewer) -> list[dict[str, Any]]:
    """The newest tickets of these customers that are neither resolved nor closed, as far as the viewer sees them."""
    if not customer_ids or not viewer.person.may("Tickets", "read"):
        return []
    ended = [key for key, meaning in viewer.lookups.meanings["ticket_status"].items() if meaning in ENDED]
    query = select(Ticket.number, Ticket.status_id, Ticket.created_on, Ticket.title)
    theirs = query.where(Ticket.customer_id.in_(customer_ids), Ticket.status_id.not_in(ended))
    rows = db.session.execute(theirs.order_by(Ticket.id.desc()).limit(RELATED))
    return [
        _row(
            f"/tickets/{number}",
            shown_title(title or number),
            [number, _day(created, viewer)],
            _state("ticket_status", status, viewer),
        )
        for number, status, created, title in rows
    ]


def _list(title: str, rows: list[dict[str, Any]], own: str | None = None) -> dict[str, Any]:
    """A list beside the page, of at most RELATED rows; without the one whose number is `own`."""
    others = [row for row in rows if own is None or row["url"].rpartition("/")[2] != own]
    count = f"{RELATED}+" if len(others) > RELATED else len(others)
    return {"title": title, "count": count, "url": None, "add_url": None, "rows": others[:RELATED]}


def _row(url: str | None, text: str, about: list[str], *cells: dict[str, Any]) -> dict[str, Any]:
    """One row; `about`: the line below the text."""
    return {"url": url, "about": " · ".join(filter(None, about)), "cells": [{"kind": "text", "text": text}, *cells]}


def _label_of(picklist: str, key: Any, viewer: Viewer) -> str:
    card = viewer.lookups.card(picklist, key)
    return str(shown_label(card["label"])) if card else ""


def _state(picklist: str, key: Any, viewer: Viewer) -> dict[str, Any]:
    card = viewer.lookups.card(picklist, key) or {"label": "–", "color": "gray"}
    return {"kind": "status", "label": shown_label(card["label"]), "color": card["color"]}


def _day(moment: datetime, viewer: Viewer) -> str:
    """The day, with its year if that isn't the current one: a line beside the page is short."""
    local = moment.astimezone(viewer.zone)
    return format_local_date(local, "%-d %b" if local.year == viewer.today.year else "%-d %b %Y")


def accounts(serialized: dict[str, Any]) -> dict[str, Any]:
    """The accounts of a customer, which have no page of their own."""
    rows = []
    for account in serialized.get("accounts", []):
        label = (account["account_type"] or {}).get("label", "")
        kind = {"kind": "text", "text": shown_label(label)} if label else {"kind": "missing"}
        rows.append(_row(None, account["client_id"], [], kind))
    return _list(_("Accounts"), rows) | {"count": len(rows), "rows": rows}
