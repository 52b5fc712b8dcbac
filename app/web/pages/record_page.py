"""The context of a record's page and of its form."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.domain.tasks import OPEN, Task
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Customer, Lead, Ticket
from app.web.core.date_fields import moment_cell
from app.web.core.fields import Field, Viewer
from app.web.core.reference_fields import person_card
from app.web.records import assignment_actions, timeline

#: What the sockets call a record.
KINDS = {Lead: "lead", Ticket: "ticket", Customer: "customer"}


def record_page(screen: Any, row: Any, viewer: Viewer, args: Any) -> dict[str, Any]:
    """The context of crm/record.html for a raw row of the plan."""
    record_table, base = screen.service.record_table, screen.route_base
    slices = record_table.selection(None)[1]
    values = tuple(row)
    cells = {each.name: each.cell(values[cut], viewer) for each, cut in slices}
    wire = record_table.serialize_rows(db.session(), [row], None, viewer)[0]
    may_write = viewer.person.may(screen.module, "write") and "edit" not in screen.exclude_route_methods
    title = cells.get(screen.headline, {}).get("text") or wire.get("number") or str(screen.singular)
    return (
        {
            "id": wire["id"],
            "title": title,
            "number": wire.get("number"),
            "module": KINDS.get(record_table.record, record_table.record.__tablename__),
            "base_url": f"{base}/",
            "list_label": screen.title,
            "version": wire.get("version"),
            "status": wire["status"] if screen.status_master else None,
            "moves": _moves(screen, wire, viewer) if may_write and screen.status_master else [],
            "assignees": _assignees(wire),
            "primary": screen.primary(wire, viewer),
            "more": screen.more(wire, viewer) if viewer.person.may(screen.module, screen.more_verb) else [],
            "strip": [
                {"label": record_table.by_name[name].label, "cell": cells[name]}
                for name in screen.strip
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
            "assign_url": f"{base}/assign/{wire['id']}" if record_table.record in (Lead, Ticket) else None,
            "why_url": f"{base}/why/{wire['id']}" if record_table.record in (Lead, Ticket) else None,
        }
        | timeline_part(screen, wire["id"], None, viewer)
        | screen.instead(wire, viewer)
    )


def timeline_part(screen: Any, key: int, before: int | None, viewer: Viewer) -> dict[str, Any]:
    """The timeline's keys of the context."""
    base = f"{screen.route_base}/timeline/{key}"
    lines = timeline.page(db.session(), screen.own_timeline, key, before) if screen.own_timeline else []
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
    name = screen.needs.get(meaning)
    if name:
        return [screen.service.record_table.by_name[name].form_input(wire.get(name), [], viewer) | {"required": True}]
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
    """Label and value pairs: the record's own, the person's, the stamps."""
    shown = [
        each for each in screen.service.record_table.fields if each.name not in ("version", "number", "title", "name")
    ]
    parts: dict[str, list[Field]] = {"main": [], "person": [], "sla": [], "stamps": [], "none": []}
    for each in shown:
        section = "stamps" if each.name in ("created_on", "changed_on", "owner") else each.section
        parts[section].append(each)
    titles = {"person": _("Contact"), "main": _("Details"), "sla": _("SLA"), "stamps": _("Record")}
    return [
        {
            "title": title,
            "fields": [{"name": f.name, "label": f.label, "cell": cells[f.name], "help": f.help} for f in parts[key]],
        }
        for key, title in titles.items()
        if parts[key]
    ]


def _related(screen: Any, wire: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """Open tasks, leads, tickets: what belongs to the record and the person sees."""
    record, key = screen.service.record, wire["id"]
    if record is Lead:
        return [_tasks(Task.lead_id == key, f"lead={key}", viewer), *_of_customer(wire, viewer)]
    if record is Ticket:
        return [_tasks(Task.ticket_id == key, f"ticket={key}", viewer), *_of_customer(wire, viewer)]
    if record is Customer:
        return [_leads_of(key, viewer), _tickets_of(key, viewer), _accounts(wire)]
    return []


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


def _of_customer(wire: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    customer = wire.get("customer")
    return [_leads_of(customer["id"], viewer), _tickets_of(customer["id"], viewer)] if customer else []


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


def _accounts(wire: dict[str, Any]) -> dict[str, Any]:
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
    if not viewer.person.may("Notes", "create") or screen.own_timeline not in ("lead_id", "ticket_id", "customer_id"):
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


def typed_values(screen: Any, key: int, viewer: Viewer) -> dict[str, Any]:
    """The stored values as the form shows them."""
    record_table = screen.service.record_table
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
    titles = {"person": _("Contact"), "main": _("Details")}
    parts = [{"title": titles[key], "fields": [inputs[f.name] for f in fields if f.section == key]} for key in titles]
    title = _("New %(what)s", what=screen.singular) if which == "add" else _("Edit %(what)s", what=screen.singular)
    here = f"{base}/edit/{row.id}" if row is not None else f"{base}/add"
    left = {name: text for name, text in errors.items() if name not in inputs}
    return {
        "title": title,
        "action": here,
        "submit_label": _("Save"),
        "sections": [part for part in parts if part["fields"]],
        "cancel_url": screen.url_of(row) if row is not None else f"{base}/",
        "back_label": screen.title,
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
    stored = typed_values(screen, row.id, viewer)
    card = viewer.lookups.person(row.changed_by_id)
    rows = [
        {
            "label": screen.service.record_table.by_name[name].label,
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


# --- bulk ---


def bulk_actions(screen: Any, viewer: Viewer) -> list[dict[str, Any]]:
    """What may be done to many rows at once."""
    who, made = viewer.person, []
    record = screen.service.record
    if not who.may(screen.module, "bulk"):
        return []
    if record in (Lead, Ticket) and who.may(screen.module, "assign"):
        person = {
            "name": "assignee",
            "label": _("Colleague"),
            "kind": "person",
            "value": "",
            "errors": [],
            "required": True,
            "lookup_url": "/people/lookup",
            "selected": [],
        }
        made.append({"name": "assign", "label": _("Assign"), "icon": "user-check", "confirm": None, "fields": [person]})
        fair = _("Records are distributed evenly by round robin among the users of the role.")
        role = {
            "name": "role",
            "label": _("Role"),
            "kind": "choice",
            "value": screen.served_by,
            "errors": [],
            "required": True,
            "help": fair,
            "options": [(each, each) for each in roles_offered(viewer)],
        }
        made.append(
            {"name": "turn", "label": _("Assign by round robin"), "icon": "repeat", "confirm": None, "fields": [role]}
        )
    if screen.status_master and who.may(screen.module, "write"):
        field = screen.service.record_table.by_name["status"].form_input(None, [], viewer) | {"required": True}
        made.append({"name": "status", "label": _("Status"), "icon": "arrow-right", "confirm": None, "fields": [field]})
    if record is Task and who.may("Tasks", "write"):
        made.append({"name": "done", "label": _("Done"), "icon": "check", "confirm": None, "fields": []})
    if who.may(screen.module, "delete") and "delete" not in screen.exclude_route_methods:
        sure = _("Delete the selected records?")
        made.append({"name": "delete", "label": _("Delete"), "icon": "trash", "confirm": sure, "fields": []})
    return made


def act_on(screen: Any, name: str, row: Any, form: Any, viewer: Viewer) -> int | None:
    """One bulk action on one row; answers who got it by turn."""
    session, service = db.session(), screen.service
    if name == "delete":
        service.remove(session, row, viewer)
    elif name == "assign":
        chosen = service.record_table.by_name["assignee"].parse(form.get("assignee"), viewer)
        assignment_actions.give(screen, row, chosen, viewer, "bulk")
    elif name == "turn":
        return assignment_actions.give_by_turn(screen, row, form.get("role", ""), viewer)
    else:
        raw = {"status": "Done"} if name == "done" else {"status": form.get("status")}
        service.change(session, row, service.record_table.parse(raw, "edit", viewer), viewer)
    return None
