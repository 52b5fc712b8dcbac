"""The cells of an export: values that the person sees, as text, number, date or time in their time zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

from flask_babel import gettext as _
from markupsafe import Markup

from app.web.core.fields.base import ChoiceField, Field, NumberField
from app.web.core.fields.contact_field_types import PhoneField
from app.web.core.fields.date_fields import DateTimeField
from app.web.core.fields.reference_fields import PersonField, PicklistField, RecordField
from app.web.core.fields.scalar_fields import BooleanField
from app.web.core.fields.title_field import TitleField
from app.web.core.viewer import Viewer
from app.web.records.sla_fields import NextTargetField

#: Longer texts are cut: the most that a spreadsheet cell holds.
MAX_TEXT = 32_000
Cell = str | int | float | date | datetime | None
Reader = Callable[[tuple[Any, ...]], Cell]


def reader_of(each: Field, viewer: Viewer) -> Reader:
    """A function from the selected columns of this field to its cell, made once for all rows."""
    if type(each) is PersonField:
        people = viewer.lookups.people
        return lambda values: (people.get(values[0]) or {}).get("full_name")
    if isinstance(each, PicklistField):
        cards = viewer.lookups.cards[each.picklist]
        return lambda values: (cards.get(values[0]) or {}).get("label")
    if isinstance(each, RecordField):
        return lambda values: _record(each.serialize(values, viewer))
    if isinstance(each, NextTargetField):
        return lambda values: _due(each.serialize(values, viewer), viewer)
    if isinstance(each, DateTimeField | NumberField | PhoneField | TitleField) or (
        type(each) is ChoiceField and not each.words
    ):
        return lambda values: cell_value(each.value(values, viewer), viewer)
    if isinstance(each, BooleanField):
        words = {True: _("Yes"), False: _("No"), None: None}
        return lambda values: words[each.value(values, viewer)]
    return lambda values: _shown(each, values, viewer)


def _record(card: Any) -> str | None:
    """“Asha Rao (CRM-CUST-2026-00001)”."""
    if card is None:
        return None
    label, number = str(card.get("label") or ""), str(card.get("number") or "")
    return f"{label} ({number})" if label and label != number else number


def _due(target: dict[str, Any] | None, viewer: Viewer) -> Cell:
    return cell_value(datetime.fromisoformat(target["due_on"]), viewer) if target else None


def cell_value(value: Any, viewer: Viewer) -> Cell:
    """A value for a cell: a time in the person's zone, numbers and dates unchanged, else text."""
    if isinstance(value, datetime):
        local = value.astimezone(viewer.zone) if value.tzinfo else value
        return local.replace(tzinfo=None, microsecond=0)
    if value is None or isinstance(value, date) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return value.isoformat() if isinstance(value, time) else str(value)[:MAX_TEXT]


def _shown(each: Field, values: tuple[Any, ...], viewer: Viewer) -> Cell:
    """The text of the list's cell, without markup."""
    cell = each.shown_cell(values, viewer)
    kind = cell.get("kind")
    if kind == "missing":
        return None
    if kind == "web":
        return str(cell["url"])[:MAX_TEXT]
    if kind == "people":
        return ", ".join(card["full_name"] for card in cell["people"])
    if kind in ("text", "name", "choice", "status", "email", "phone"):
        return str(cell.get("text") or cell.get("label") or "")[:MAX_TEXT]
    found = each.value(values, viewer)
    if isinstance(found, date | datetime | int | float) and not isinstance(found, bool):
        return cell_value(found, viewer)
    if kind == "html":
        return str(Markup(cell["html"]).striptags())[:MAX_TEXT]  # noqa: S704  # only read
    if kind == "record" and cell.get("title"):
        name, number = str(cell.get("number") or ""), str(cell["title"])
        return f"{name} ({number})" if name and name != number else number
    parts = (cell.get(name) for name in ("text", "label", "full_name", "number"))
    return next((str(part)[:MAX_TEXT] for part in parts if part), None)
