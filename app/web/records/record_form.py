"""The context of a record's form: inputs by fieldset, submitted values, and the conflict of a stale save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flask import request
from flask_babel import gettext as _
from sqlalchemy import inspect

from app.domain import custom_fields
from app.domain.base import RuleBroken
from app.extensions import db
from app.lib.ids import parse_id
from app.web.core import request_custom_fields
from app.web.core.fields.base import Field
from app.web.core.fields.date_fields import moment_cell
from app.web.core.viewer import Viewer


@dataclass
class FormState:
    """A form as it was filled in, and why it was refused."""

    #: add or edit.
    mode: str
    #: Field -> typed or stored value.
    raw: dict[str, Any]
    #: Field -> sentences.
    errors: dict[str, Any] = field(default_factory=dict)
    #: The stored row; None for a new record.
    row: Any = None
    sentence: str | None = None
    #: HTTP.
    status: int = 200


def reference_sent(name: str) -> str:
    """The submitted value of a field.

    For a picklist the typed text, which without JavaScript is in a field beside it.
    """
    return request.form.get(f"{name}--typed", "").strip()[:200] or request.form.get(name, "")


def refuse_vanished(record: Any, stored: Any = None) -> None:
    """Raise RuleBroken for what was typed into a custom field that was removed while the form was open.

    Nothing could keep it. `record` is the class of the row, `stored` the row as it is.
    """
    known = {each.name for each in request_custom_fields.current().of(record.__tablename__)}
    before = (getattr(stored, "custom", None) or {}) if stored is not None else {}
    for name, text in request.form.items():
        is_gone = name.startswith(custom_fields.PREFIX) and name.partition("--")[0] not in known
        if is_gone and text.strip() and text != str(before.get(name, "")):
            sentence = _(
                "A field of this form was removed meanwhile. To go on without it, save again. You had entered: "
                "%(text)s",
                text=text.strip()[:300],
            )
            raise RuleBroken(sentence)


def form_values(screen: Any, key: int, viewer: Viewer) -> dict[str, Any]:
    """The stored values as the form shows them."""
    record_table, names = screen.record_table, None
    if screen.service.is_generic:  # without rows of relations that only the record page shows
        names = tuple(name for name in screen.edit_columns if record_table.by_name[name].columns)
    row = tuple(record_table.one(db.session(), key, names))
    typed = {each.name: each.form_value(row[cut], viewer) for each, cut in record_table.selection(names)[1]}
    serialized = record_table.serialize_rows(db.session(), [row], None, viewer)[0] if record_table.many else {}
    if "subjects" in serialized:
        typed["subjects"] = [card["id"] for card in serialized["subjects"]]
    return typed


def form_page(screen: Any, fields: list[Field], state: FormState, viewer: Viewer) -> dict[str, Any]:
    """The context of pages/form.html; a new record shows its default values."""
    mode, row, errors = state.mode, state.row, state.errors
    if mode == "add":
        state = replace(state, raw=default_values(screen, fields, viewer) | state.raw)
    inputs = _inputs(screen, fields, state, viewer)
    what = within_sentence(str(screen.record_name))
    title = _("New %(what)s", what=what) if mode == "add" else _("Edit %(what)s", what=what)
    left = {name: text for name, text in errors.items() if name not in inputs}
    base = screen.route_base
    return {
        "title": title,
        "action": f"{base}/edit/{row.id}" if row is not None else f"{base}/add",
        "submit_label": _("Save"),
        "sections": _sections(screen, mode, fields, inputs),
        "cancel_url": screen.url_of(row) if row is not None else f"{base}/",
        "back_label": screen.list_title,
        "version": getattr(row, "version", None),
        "conflict": None,
        "error": state.sentence if state.sentence and (left or not errors) else None,
    }


def _inputs(screen: Any, fields: list[Field], state: FormState, viewer: Viewer) -> dict[str, dict[str, Any]]:
    """The inputs of the form by field, without those that nobody needs yet."""
    mode, raw, errors = state.mode, state.raw, state.errors
    inputs = {
        each.name: each.form_input(number_of(each, raw.get(each.name)), errors.get(each.name, []), viewer)
        for each in fields
    }
    for made in inputs.values():
        if mode == "edit" and "/related/" in (made["lookup_url"] or ""):
            made["lookup_url"] += "?for=edit"  # the filters of edit forms
    _offer_roles(inputs, screen.module, viewer)
    for name in screen.hidden_unless_needed if mode == "add" else ():
        if name in inputs and not raw.get(name) and name not in errors:
            del inputs[name]
    return inputs


def _sections(screen: Any, mode: str, fields: list[Field], inputs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The fieldsets with their inputs; those without any are left out."""
    fieldsets = getattr(screen, f"{mode}_fieldsets", None) or [(_("Details"), {"fields": [f.name for f in fields]})]
    fieldsets = with_custom_part(screen, fieldsets)
    parts = [
        {"title": title, "fields": [inputs[name] for name in options["fields"] if name in inputs]}
        for title, options in fieldsets
    ]
    return [part for part in parts if part["fields"]]


#: The fieldsets before the custom fields: the person, and the subject.
_BEFORE_CUSTOM = 2


def with_custom_part(screen: Any, fieldsets: Sequence[Any]) -> list[Any]:
    """The fieldsets with one for the custom fields, if the record has any."""
    shown = {name for _title, options in fieldsets for name in options["fields"]}
    names = [name for name in screen.record_table.declared.custom if name not in shown]
    own = [(_("More fields"), {"fields": names})] if names else []
    return [*fieldsets[:_BEFORE_CUSTOM], *own, *fieldsets[_BEFORE_CUSTOM:]]


def default_values(screen: Any, fields: list[Field], viewer: Viewer) -> dict[str, Any]:
    """What a new record gets if nothing is chosen: the columns' defaults, the first status, the viewer as assignee."""
    named = {each.name for each in fields}
    made: dict[str, Any] = {name: value for name, value in screen.new_values.items() if name in named}
    columns = inspect(screen.service.record).columns
    for each in fields:
        column = columns.get(each.key)
        default = getattr(column, "default", None)
        if default is not None and default.is_scalar and each.kind in ("choice", "text", "number", "flag"):
            made[each.name] = default.arg
    if screen.status_picklist and "status" in named:
        made["status"] = _first_status(screen, viewer)
    if "assignee" in named:
        made["assignee"] = viewer.person.id
    return {name: value for name, value in made.items() if value is not None}


def _first_status(screen: Any, viewer: Viewer) -> int | None:
    meanings = viewer.lookups.meanings[screen.status_picklist]
    return next((key for key in viewer.lookups.offered[screen.status_picklist] if meanings[key] == "new"), None)


def number_of(each: Field, raw: Any) -> Any:
    """An id that a form sends as text as a number; other values unchanged."""
    key = parse_id(raw) if each.kind in ("picklist", "person", "record") else None
    return raw if key is None else key


def _offer_roles(inputs: dict[str, Any], module: str, viewer: Viewer) -> None:
    if "assign_to" in inputs:
        inputs["assign_to"] |= {"placeholder": _("You, unless you choose someone")}
    if not viewer.person.may(module, "assign"):
        inputs.pop("assign_to_role", None)
    elif "assign_to_role" in inputs:
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


def changed_values(raw: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """Only the values that the person changed, so that a save leaves all other columns alone."""
    return {name: given for name, given in raw.items() if not _is_same(given, stored.get(name))}


def _is_same(given: Any, stored: Any) -> bool:
    if isinstance(stored, dict):
        stored = stored.get("id")
    if isinstance(given, list):
        return sorted(map(str, given)) == sorted(map(str, stored or []))
    if isinstance(given, bool):
        return given == bool(stored)
    return (given or "").strip().replace("\r\n", "\n") == ("" if stored is None else str(stored))


def within_sentence(name: str) -> str:
    """The name of a record as it stands within a sentence: lead, not Lead; an abbreviation keeps its capitals."""
    return name if name[1:2].isupper() else name[:1].lower() + name[1:]
