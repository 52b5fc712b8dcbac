"""Filters of a list as people read and choose them: conditions in words, and the fields of the filter builder."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_babel import gettext as _

from app.web.core.fields.base import Field
from app.web.core.fields.filter_operators import WITHOUT_VALUE, wants_empty
from app.web.core.localization.default_labels import shown_label
from app.web.core.viewer import Viewer


def in_words(screen: Any, condition: tuple[str, str, str], viewer: Viewer) -> str:
    """One condition (column, operator, value) as text: “Status is New”."""
    name, op, value = condition
    each = screen.record_table.by_name[name]
    return " ".join([str(each.label), _operator_label(each, op), *_value_parts(each, op, value, viewer)])


def _operator_label(each: Field, op: str) -> str:
    return each.operator_label(op) if op in each.operators else op


def _value_parts(each: Field, op: str, value: str, viewer: Viewer) -> list[str]:
    """The value as text; empty for "is empty"."""
    if op in WITHOUT_VALUE:
        return [] if wants_empty(op, value) == (op == "null") else [f"({_('No')})"]
    return [_value_text(each, value, viewer)]


def _value_text(each: Field, value: str, viewer: Viewer) -> str:
    if each.kind == "picklist":
        card = viewer.lookups.card(each.picklist, viewer.lookups.find(each.picklist, value))  # type: ignore[attr-defined]
        return shown_label(card["label"]) if card else value[:60]
    if each.kind == "person":
        card = viewer.lookups.person(viewer.person.id if value == "@me" else viewer.lookups.find_person(value))
        return card["full_name"] if card else value[:60]
    if each.kind == "choice":
        return str(dict(each.form_input(None, [], viewer)["options"] or ()).get(value, value[:60]))
    return value[:60]


def filter_field(each: Field, viewer: Viewer) -> dict[str, Any]:
    """A field for the filter builder: its operators, options and picklist."""
    made = each.form_input(None, [], viewer)
    ops = [(op, each.operator_label(op)) for op in each.operators]
    return {
        "name": each.name,
        "label": each.label,
        "kind": each.kind,
        "ops": ops,
        "options": made["options"],
        "lookup_url": made["lookup_url"],
        "value": "",
    }


def quick_filter(each: Field, viewer: Viewer) -> dict[str, Any]:
    """A filter above the list, with its current value."""
    value = request.args.get(f"_flt_eq_{each.name}", "")
    shown = filter_field(each, viewer) | {"value": value}
    shown["ops"] = [("eq", _("is"))]
    if each.kind == "person" and value:
        shown["selected"] = [(value, _value_text(each, value, viewer))]
    if each.kind == "picklist":
        found = viewer.lookups.find(each.picklist, value) if value else None  # type: ignore[attr-defined]
        shown["value"] = found if found is not None else ""
    return shown
