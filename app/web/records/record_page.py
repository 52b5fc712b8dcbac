"""The context of a record's page and of its form."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import inspect, select

from app.domain.base import RuleBroken
from app.domain.tasks import OPEN, Task
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Customer, Lead, Ticket
from app.web.core.date_fields import moment_cell
from app.web.core.declarations import STAMPS
from app.web.core.fields import Field, TextField, Viewer
from app.web.core.record_table import ListQuery
from app.web.core.reference_fields import person_card
from app.web.core.registry import registered
from app.web.records import timeline

#: Rows of a related list.
RELATED = 8
#: What the sockets call a record.
KINDS = {Lead: "lead", Ticket: "ticket", Customer: "customer"}


def record_page(screen: Any, row: Any, viewer: Viewer, args: Any) -> dict[str, Any]:
    """The context of crm/record.html for a raw row of the plan."""
    record_table, base = screen.record_table, screen.route_base
    slices = record_table.selection(None)[1]
    values = tuple(row)
    cells = {each.name: each.shown_cell(values[cut], viewer) for each, cut in slices}
    wire = record_table.serialize_rows(db.session(), [row], None, viewer)[0]
    may_write = viewer.person.may(screen.module, "write") and "edit" not in screen.exclude_route_methods
    title = cells.get(screen.title_column, {}).get("text") or wire.get("number") or str(screen.record_name)
    return (
        {
            "id": wire["id"],
            "title": title,
            "number": wire.get("number"),
            "module": KINDS.get(record_table.record, record_table.record.__tablename__),
            "base_url": f"{base}/",
            "list_label": screen.list_title,
            "version": wire.get("version"),
            "status": wire["status"] if screen.status_master else None,
            "moves": _moves(screen, wire, viewer) if may_write and screen.status_master else [],
            "assignees": _assignees(wire),
            "primary": screen.primary(wire, viewer),
            "more": screen.more(wire, viewer) if viewer.person.may(screen.module, screen.more_actions_verb) else [],
            "strip": [
                {"label": record_table.by_name[name].label, "cell": cells[name]}
                for name in screen.summary_columns
                if name in cells
            ],
            "sections": _sections(screen, cells),
            "related": _related(screen, wire, viewer),
            "tabs": [
                {
                    "name": "activity",
                    "label": _("Activity"),
                    "count": None,
                    "url": f"{base}/show/{wire['id']}",
                    "active": True,
                }
            ],
            "composer": _composer(screen, wire, viewer),
            "conflict": None,
            "edit_url": f"{base}/edit/{wire['id']}" if may_write else None,
            "delete_url": f"{base}/delete/{wire['id']}" if viewer.person.may(screen.module, "delete") else None,
            "assign_url": f"{base}/assign/{wire['id']}" if hasattr(screen, "assign") else None,
            "why_url": f"{base}/why/{wire['id']}" if hasattr(screen, "why") else None,
        }
        | timeline_part(screen, wire["id"], None, viewer)
        | screen.instead(wire, viewer)
    )


def timeline_part(screen: Any, key: int, before: int | None, viewer: Viewer) -> dict[str, Any]:
    """The timeline's keys of the context."""
    base = f"{screen.route_base}/timeline/{key}"
    has_timeline = screen.timeline_column or screen.service.is_generic
    where = timeline.lines_of(screen.timeline_column, screen.service.record.__tablename__, key)
    lines = timeline.page(db.session(), where, before) if has_timeline else []
    older = f"{base}?before={lines[-1].id}" if len(lines) == timeline.PAGE else None
    return {"timeline": timeline.entries(lines, viewer), "timeline_url": base, "older_url": older}


def _assignees(wire: dict[str, Any]) -> list[dict[str, Any]]:
    people = wire.get("assignees") or ([wire["assignee"]] if wire.get("assignee") else [])
    return [person_card(card) for card in people if card]


def _moves(screen: Any, wire: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The other statuses, and what each of their gates asks for."""
    cards, meanings = viewer.lookups.cards[screen.status_master], viewer.lookups.meanings[screen.status_master]
    now = (wire.get("status") or {}).get("id")
    offered = [key for key in viewer.lookups.offered[screen.status_master] if key != now]
    return [cards[key] | {"needs": _asks(screen, meanings[key], wire, viewer)} for key in offered]


def _asks(screen: Any, meaning: str, wire: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    name = screen.status_requirements.get(meaning)
    if name:
        return [screen.record_table.by_name[name].form_input(wire.get(name), [], viewer) | {"required": True}]
    if meaning == "scheduled":
        return _task_inputs()
    return []


def _task_inputs() -> list[dict[str, Any]]:
    return [
        {
            "name": "task_title",
            "label": _("Task"),
            "kind": "text",
            "value": _("Follow up"),
            "errors": [],
            "required": True,
        },
        {"name": "task_due_on", "label": _("Due"), "kind": "moment", "value": "", "errors": [], "required": True},
    ]


def _sections(screen: Any, cells: dict[str, Any]) -> list[dict[str, Any]]:
    """Label and value pairs, as `show_fieldsets` groups them; without any, the columns and then the stamps."""
    fieldsets = screen.show_fieldsets or _default_fieldsets(screen)
    named = screen.record_table.by_name
    return [
        {
            "title": title or _("Details"),
            "fields": [
                {"name": name, "label": named[name].label, "cell": cells[name], "help": named[name].help}
                for name in options["fields"]
                if name in cells
            ],
        }
        for title, options in fieldsets
    ]


def _default_fieldsets(screen: Any) -> list[Any]:
    named = [name for name in screen.show_columns if name not in ("version", "number", screen.title_column)]
    stamps = [name for name in named if name in STAMPS]
    parts = [(_("Details"), [name for name in named if name not in stamps]), (_("Record"), stamps)]
    return [(title, {"fields": names}) for title, names in parts if names]


def title_column(record_table: Any) -> str:
    """The column that names a row: its name or title, else its first text."""
    texts = [each.name for each in record_table.fields if isinstance(each, TextField)]
    return next((name for name in ("name", "title", "full_name", "label") if name in texts), texts[0] if texts else "")


def related_parts(screen: Any, key: int, viewer: Viewer) -> list[dict[str, Any]]:
    """The first rows of each of `related_views`, those that belong to the record of this id."""
    parts = []
    for view in screen.related_views or ():
        other = registered("screens").get(view.datamodel.obj)
        if other is None or not viewer.person.may(other.module, "read"):
            continue
        name = relation_to(view.datamodel.obj, screen.service.record)
        parts.append(_related_part(other, name, key, viewer))
    return parts


def relation_to(child: Any, parent: Any) -> str:
    """The relation of the child's model that leads to the parent's. Raises TypeError where there is none."""
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


def _related(screen: Any, wire: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """Open tasks, leads, tickets: what belongs to the record and the person sees."""
    return screen.related_parts(wire, viewer)


def open_tasks(kind: str, key: int, viewer: Viewer) -> dict[str, Any]:
    """The open tasks of a lead or ticket."""
    return _tasks(getattr(Task, f"{kind}_id") == key, f"{kind}={key}", viewer)


def of_customer(wire: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The leads and tickets of the record's customer."""
    customer = wire.get("customer")
    return leads_and_tickets(customer["id"], viewer) if customer else []


def leads_and_tickets(customer_id: int, viewer: Viewer) -> list[dict[str, Any]]:
    """The leads and tickets of a customer."""
    return [_leads_of(customer_id, viewer), _tickets_of(customer_id, viewer)]


def _tasks(rule: Any, parent: str, viewer: Viewer) -> dict[str, Any]:
    query = select(Task.id, Task.title, Task.due_on, Task.assignee_id).where(rule, Task.status.in_(OPEN))
    rows = db.session.execute(query.order_by(Task.due_on).limit(8)).all() if viewer.person.may("Tasks", "read") else []
    made = [
        {"url": f"/tasks/show/{key}", "cells": [{"kind": "text", "text": title}, moment_cell(due, viewer, True)]}
        for key, title, due, _who in rows
    ]
    may_add = viewer.person.may("Tasks", "create")
    return {
        "title": _("Open tasks"),
        "count": len(rows),
        "url": f"/tasks/?_flt_eq_{parent.replace('=', '=', 1)}",
        "add_url": f"/tasks/add?{parent}" if may_add else None,
        "rows": made,
    }


def _leads_of(customer_id: int, viewer: Viewer) -> dict[str, Any]:
    query = select(Lead.number, Lead.status_id).where(Lead.customer_id == customer_id)
    rows = (
        db.session.execute(query.order_by(Lead.id.desc()).limit(8)).all() if viewer.person.may("Leads", "read") else []
    )
    return _numbered(_("Leads"), "/leads/", rows, "lead_status", viewer)


def _tickets_of(customer_id: int, viewer: Viewer) -> dict[str, Any]:
    query = select(Ticket.number, Ticket.status_id).where(Ticket.customer_id == customer_id)
    rows = (
        db.session.execute(query.order_by(Ticket.id.desc()).limit(8)).all()
        if viewer.person.may("Tickets", "read")
        else []
    )
    return _numbered(_("Tickets"), "/tickets/", rows, "ticket_status", viewer)


def _numbered(title: str, base: str, rows: Any, master: str, viewer: Viewer) -> dict[str, Any]:
    made = []
    for number, status in rows:
        card = viewer.lookups.card(master, status) or {"label": "–", "color": "gray"}
        state = {"kind": "status", "label": card["label"], "color": card["color"]}
        made.append({"url": f"{base}{number}", "cells": [{"kind": "text", "text": number}, state]})
    return {"title": title, "count": len(made), "url": None, "add_url": None, "rows": made}


def accounts(wire: dict[str, Any]) -> dict[str, Any]:
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


def _composer(screen: Any, wire: dict[str, Any], viewer: Viewer) -> dict[str, Any] | None:
    if not viewer.person.may("Notes", "create") or screen.timeline_column not in (
        "lead_id",
        "ticket_id",
        "customer_id",
    ):
        return None
    tasks = screen.service.record in (Lead, Ticket) and viewer.person.may("Tasks", "create")
    parent = "lead" if screen.service.record is Lead else "ticket"
    return {
        "note_url": f"{screen.route_base}/note/{wire['id']}",
        "note_about": f"{KINDS[screen.service.record]}:{wire['id']}",
        "task_url": f"/tasks/add?{parent}={wire['id']}&back=1" if tasks else None,
        "people_url": "/people/lookup",
        "me": [(viewer.person.id, viewer.person.full_name)],
    }


# --- forms ---


def form_values(screen: Any, key: int, viewer: Viewer) -> dict[str, Any]:
    """The stored values as the form shows them."""
    record_table = screen.record_table
    row = tuple(record_table.one(db.session(), key))
    typed = {each.name: each.form_value(row[cut], viewer) for each, cut in record_table.selection(None)[1]}
    wire = record_table.serialize_rows(db.session(), [row], None, viewer)[0] if record_table.many else {}
    if "subjects" in wire:
        typed["subjects"] = [card["id"] for card in wire["subjects"]]
    return typed


def form_page(
    screen: Any,
    which: str,
    fields: list[Field],
    raw: dict[str, Any],
    errors: dict[str, Any],
    viewer: Viewer,
    row: Any = None,
    sentence: str | None = None,
) -> dict[str, Any]:
    """The context of crm/form.html."""
    base = screen.route_base
    inputs = {
        each.name: each.form_input(_number_of(each, raw.get(each.name)), errors.get(each.name, []), viewer)
        for each in fields
    }
    _offer_roles(inputs, viewer)
    fieldsets = getattr(screen, f"{which}_fieldsets", None) or [(_("Details"), {"fields": [f.name for f in fields]})]
    parts = [
        {"title": title, "fields": [inputs[name] for name in options["fields"] if name in inputs]}
        for title, options in fieldsets
    ]
    title = (
        _("New %(what)s", what=screen.record_name) if which == "add" else _("Edit %(what)s", what=screen.record_name)
    )
    here = f"{base}/edit/{row.id}" if row is not None else f"{base}/add"
    left = {name: text for name, text in errors.items() if name not in inputs}
    return {
        "title": title,
        "action": here,
        "submit_label": _("Save"),
        "sections": [part for part in parts if part["fields"]],
        "cancel_url": screen.url_of(row) if row is not None else f"{base}/",
        "back_label": screen.list_title,
        "version": getattr(row, "version", None),
        "conflict": None,
        "error": sentence if sentence and (left or not errors) else None,
    }


def _number_of(each: Field, raw: Any) -> Any:
    """Ids come back from a form as text."""
    key = parse_id(raw) if each.kind in ("master", "person", "record") else None
    return raw if key is None else key


def _offer_roles(inputs: dict[str, Any], viewer: Viewer) -> None:
    if "assign_to_role" in inputs:
        inputs["assign_to_role"] |= {"kind": "choice", "options": [(role, role) for role in roles_offered(viewer)]}


def roles_offered(viewer: Viewer) -> list[str]:
    """The roles whose turns a form offers."""
    return [role for role in viewer.lookups.roles if role.startswith(("Sales", "Support"))]


def conflict(screen: Any, row: Any, raw: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    """Mine and theirs, side by side, for a stale save."""
    stored = form_values(screen, row.id, viewer)
    card = viewer.lookups.person(row.changed_by_id)
    rows = [
        {
            "label": screen.record_table.by_name[name].label,
            "mine": str(given or ""),
            "theirs": str(stored.get(name) or ""),
        }
        for name, given in raw.items()
        if str(given or "")
        != str((stored.get(name) or {}).get("id", "") if isinstance(stored.get(name), dict) else stored.get(name) or "")
    ]
    return {
        "who": card["full_name"] if card else _("the system"),
        "when": moment_cell(row.changed_on, viewer),
        "rows": rows,
    }


def refuse_missing(fields: list[Field], values: dict[str, Any]) -> None:
    """Raise RuleBroken, naming them all, for required fields without a value."""
    missing = [each for each in fields if each.required and values.get(each.key) in (None, "", [])]
    if missing:
        errors = {each.name: [str(_("Please fill this in."))] for each in missing}
        names = ", ".join(str(each.label) for each in missing)
        raise RuleBroken(_("Please fill in: %(names)s.", names=names), errors=errors)
