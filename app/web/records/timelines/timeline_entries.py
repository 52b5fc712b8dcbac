"""Timeline entries for pages: calls and messages in their current state, fields by label, runs folded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any

from flask_babel import gettext as _

from app.lib import phone
from app.models import Customer, Lead, Ticket
from app.web.core.fields.base import ChoiceField, Field
from app.web.core.fields.contact_field_types import PhoneField
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.default_labels import shown_label
from app.web.core.view_registry import screen_of
from app.web.core.viewer import Viewer
from app.web.records.timelines import call_entries, entry_texts, message_entries, timeline_folding


def entries(rows: list[Any], viewer: Viewer, parent: tuple[str, int] | None = None) -> list[dict[str, Any]]:
    """Entries for the template; calls and messages in their current state, because they change after their entry.

    `parent`: the record that the rows belong to, if the viewer is known to see it.
    """
    calls = call_entries.entries_of(_keys(rows, "call"), viewer, parent)
    texts = message_entries.entries_of(_keys(rows, "message"), viewer, parent)
    current = [calls.get(_key(row, "call"), {}) | texts.get(_key(row, "message"), {}) for row in rows]
    lines = [_named(row, viewer) | now for row, now in zip(rows, current, strict=True)]
    return timeline_folding.fold_runs(timeline_folding.fold(lines))


def changed(row: Any, viewer: Viewer) -> dict[str, Any]:
    """An entry of the changes tab: old and new value, also of the status and the assignee."""
    made, payload = _named(row, viewer), row.payload or {}
    if row.kind == "status_change":
        old, new = (
            viewer.lookups.card(entry_texts.picklist_of(row), payload.get(name)) or {} for name in ("from", "to")
        )
        labels = [shown_label(each["label"]) if each else None for each in (old, new)]
        changes = [{"label": _("Status"), "old": labels[0], "new": labels[1]}, *made["changes"]]
        return made | {"changes": changes, "headline": _("changed %(names)s", names=_("Status"))}
    if row.kind == "assignment" and not payload.get("what") and payload.get("old"):
        people = [entry_texts.name_of(payload.get(name), viewer) for name in ("old", "to")]
        return made | {"changes": [{"label": _("Assignee"), "old": people[0], "new": people[1]}]}
    return made


def _named(row: Any, viewer: Viewer) -> dict[str, Any]:
    """The entry with the labels of its fields, and the record that it belongs to."""
    made = entry_texts.entry(row, viewer)
    if made["changes"]:
        named = _fields(row)
        stored = [change for change in row.payload.get("changes", []) if len(change) == 3]
        for (name, old, new), change in zip(stored, made["changes"], strict=False):
            each = named.get(name.removesuffix("_id"))
            change["label"] = str((each and each.label) or change["label"])
            change |= {"old": _in_words(each, old, change["old"]), "new": _in_words(each, new, change["new"])}
    if row.kind == "field_change" and made["changes"]:
        made["headline"] = timeline_folding.changes_headline([made])
    keys = ((kind, getattr(row, f"{kind}_id", None)) for kind in ("ticket", "lead", "customer"))
    return made | {"of": next(((kind, key) for kind, key in keys if key is not None), None)}


def _in_words(each: Field | None, stored: Any, shown: str | None) -> str | None:
    """A value of a change, formatted like the field elsewhere."""
    if shown is None or each is None:
        return shown
    if isinstance(stored, bool):
        return str(_("Yes") if stored else _("No"))
    if isinstance(each, ChoiceField):
        return str(each.words.get(shown) or shown_label(shown)) if each.words else shown_label(shown)
    if each.kind == "date":
        with suppress(ValueError):
            return format_local_date(date.fromisoformat(shown), "%-d %b %Y")
    return phone.display(phone.normalize(shown) or shown) if isinstance(each, PhoneField) else shown


def _fields(row: Any) -> Mapping[str, Any]:
    """The fields, by name, in the forms of the record that a row belongs to; their labels name the changes."""
    screen = screen_of(Ticket if row.ticket_id else Lead if row.lead_id else Customer)
    return {} if screen is None else screen.record_table.by_name


def _keys(rows: list[Any], kind: str) -> list[Any]:
    return [(row.payload or {}).get(kind) for row in rows if row.kind == kind]


def _key(row: Any, kind: str) -> Any:
    return (row.payload or {}).get(kind, 0) if row.kind == kind else 0
