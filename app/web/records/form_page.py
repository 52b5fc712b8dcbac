"""The context of a record's form: inputs by fieldset, submitted values, and the conflict of a stale save."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.extensions import db
from app.lib.ids import parse_id
from app.web.core.date_fields import moment_cell
from app.web.core.fields import Field, Viewer


def form_values(screen: Any, key: int, viewer: Viewer) -> dict[str, Any]:
    """The stored values as the form shows them."""
    record_table, names = screen.record_table, None
    if screen.service.is_generic:  # no rows of relations that only the record page shows
        names = tuple(name for name in screen.edit_columns if record_table.by_name[name].columns)
    row = tuple(record_table.one(db.session(), key, names))
    typed = {each.name: each.form_value(row[cut], viewer) for each, cut in record_table.selection(names)[1]}
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
    """Convert an id, which a form sends as text."""
    key = parse_id(raw) if each.kind in ("master", "person", "record") else None
    return raw if key is None else key


def _offer_roles(inputs: dict[str, Any], viewer: Viewer) -> None:
    if "assign_to_role" in inputs:
        inputs["assign_to_role"] |= {"kind": "choice", "options": [(role, role) for role in roles_offered(viewer)]}


def roles_offered(viewer: Viewer) -> list[str]:
    """The roles whose round robin a form offers."""
    return [role for role in viewer.lookups.roles if role.startswith(("Sales", "Support"))]


def conflict(screen: Any, row: Any, raw: dict[str, Any], viewer: Viewer) -> dict[str, Any]:
    """Submitted and stored values side by side, for a stale save."""
    stored = form_values(screen, row.id, viewer)
    card = viewer.lookups.person(getattr(row, "changed_by_id", None))
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
        "when": moment_cell(getattr(row, "changed_on", None), viewer),
        "rows": rows,
    }


def refuse_missing(fields: list[Field], values: dict[str, Any]) -> None:
    """Raise RuleBroken naming every required field without a value."""
    missing = [each for each in fields if each.required and values.get(each.key) in (None, "", [])]
    if missing:
        errors = {each.name: [str(_("Please fill this in."))] for each in missing}
        names = ", ".join(str(each.label) for each in missing)
        raise RuleBroken(_("Please fill in: %(names)s.", names=names), errors=errors)
