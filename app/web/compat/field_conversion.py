"""Converts the predecessor's documents to values for our record services, and finds fields that were not stored."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from flask_babel import gettext as _

from app.domain.telephony.call_parsing import caller
from app.lib import phone
from app.web.compat import date_ranges
from app.web.compat.doctypes import CALL_LOG, NOTE, DocType
from app.web.compat.doctypes.note import join_note
from app.web.compat.filters import FIXED_FIELDS
from app.web.compat.html_text import html_to_text
from app.web.compat.references import REFERENCE_TARGETS
from app.web.compat.responses import CompatError
from app.web.core.fab_access import current_viewer
from app.web.core.fields.base import Field
from app.web.core.fields.contact_field_types import PhoneField
from app.web.core.fields.date_fields import DateField, DateTimeField
from app.web.core.fields.reference_fields import PicklistField
from app.web.core.viewer import Viewer

#: Fields that describe the document itself; sent values are ignored.
_METADATA_FIELDS = frozenset(
    {
        *FIXED_FIELDS,
        "owner",
        "creation",
        "modified",
        "modified_by",
        "parent",
        "parenttype",
        "parentfield",
        "__islocal",
        "__unsaved",
        "__newname",
        "__last_sync_on",
        "docname",
    }
)
_REFERENCE_FIELDS = ("reference_doctype", "reference_docname", "reference_name")
#: Read-only child tables; ticket_subjects is writable.
_READ_ONLY_CHILDREN = frozenset({"accounts", "status_change_log"})
_NOT_PARSED = _METADATA_FIELDS | _READ_ONLY_CHILDREN | {*_REFERENCE_FIELDS}


#: Separators between phone numbers in one field.
_SEPARATOR = re.compile(r"[;,/|\n]| or | and ", re.IGNORECASE)


def record_values(doctype: DocType, doc: dict[str, Any], stored: dict[str, Any] | None = None) -> dict[str, Any]:
    """Raw values by our field names. `stored`: the document before the change, None for a new one.

    Raises CompatError (417) for an unknown field.
    """
    raw: dict[str, Any] = {}
    viewer = current_viewer()
    for name, value in doc.items():
        if name in _NOT_PARSED or name in doctype.ignored_fields:
            continue
        field = _record_field(doctype, name, stored is None)
        if field is None:
            text = _("%(kind)s has no field “%(name)s”.", kind=doctype.name, name=str(name)[:60])
            raise CompatError(417, text)
        value = _converted(doctype.record_table.by_name.get(field), name, value, viewer)
        if raw.get(field) in (None, ""):  # two of the predecessor's fields may map to one of ours
            raw[field] = _subject_labels(value) if field == "subjects" else value
    if doctype is CALL_LOG and stored is None and raw.get("direction") != "Outgoing" and raw.get("to_number"):
        raw["from_number"] = caller(str(raw.get("from_number") or ""))
    raw |= _reference_value(doctype, doc) | (_note_text(raw, stored or {}) if doctype is NOTE else {})
    return {name: value for name, value in raw.items() if name in doctype.record_table.by_name}


def _record_field(doctype: DocType, name: str, is_new: bool) -> str | None:
    """Our field; some fields of a new document map to others."""
    found = doctype.insert_fields.get(name) if is_new or name == "ticket_subjects" else None
    return found or doctype.fields.get(name)


def _reference_value(doctype: DocType, doc: dict[str, Any]) -> dict[str, Any]:
    """The record that reference_doctype and reference_docname name. Raises CompatError (417)."""
    name = doc.get("reference_docname") or doc.get("reference_name")
    if "about_number" not in doctype.record_table.by_name or not name:
        return {}
    target = REFERENCE_TARGETS.get(str(doc.get("reference_doctype") or "CRM Lead"))
    if target is None or target.field not in doctype.record_table.by_name:
        raise CompatError(417, _("This can't refer to “%(name)s”.", name=str(doc.get("reference_doctype"))[:60]))
    return {target.field: name}


def _note_text(raw: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """Title and content are one text here; the part that was not sent is kept."""
    if "title" not in raw and "content" not in raw:
        return {}
    parts = {name: raw.pop(name, stored.get(name)) or "" for name in ("title", "content")}
    if stored and stored.get("title") == stored.get("content"):  # a note of one line has no title of its own
        parts["title"] = "" if parts["title"] == stored["title"] else parts["title"]
    return {"text": join_note(html_to_text(str(parts["title"])), html_to_text(str(parts["content"])))}


def _subject_labels(value: Any) -> Any:
    """[{"subject": label}, …] as labels."""
    if not isinstance(value, list):
        return value
    return [each.get("subject") if isinstance(each, dict) else each for each in value]


def _converted(field: Field | None, name: str, value: Any, viewer: Viewer) -> Any:
    """A value in the format of our field. Raises CompatError (417) for two phone numbers in one field.

    Programs send a date as the time at which it begins somewhere, and a time as seconds or milliseconds.
    """
    if isinstance(field, DateTimeField):
        return date_ranges.from_epoch(value)
    if isinstance(field, DateField):
        found = date_ranges.from_epoch(value)
        return date_ranges.local_day(found.isoformat() if isinstance(found, datetime) else found, viewer)
    if isinstance(field, PhoneField) and isinstance(value, str) and len(_numbers_in(value)) > 1:
        text = _("“%(name)s” holds more than one number. Please send one number per field.", name=name[:60])
        raise CompatError(417, text)
    return value


def _numbers_in(text: str) -> list[str]:
    """The phone numbers in a text that separates several."""
    return [part for part in _SEPARATOR.split(text[:200]) if phone.normalize(part) is not None]


# --- fields that are not stored


def is_same_value(sent: Any, stored: Any) -> bool:
    """Whether a value equals the stored one; "" equals null, and true equals 1."""
    if sent in (None, "") or stored in (None, ""):
        return sent in (None, "") and stored in (None, "")
    if isinstance(sent, list) and isinstance(stored, list):
        return _subject_labels(sent) == _subject_labels(stored)
    if isinstance(sent, bool):
        sent = int(sent)
    return str(sent) == str(stored)


def ignored_fields(doctype: DocType, doc: dict[str, Any], stored: dict[str, Any], mode: str) -> list[str]:
    """The names of fields that were sent, differ from the stored document and were not stored. `mode`: add or edit."""
    return [
        str(name)[:60]
        for name, value in doc.items()
        if value not in (None, "", [], {})
        and not is_same_value(value, stored.get(name))
        and _is_ignored(doctype, name, value, mode)
    ]


def _is_ignored(doctype: DocType, name: str, value: Any, mode: str) -> bool:
    if name in _METADATA_FIELDS or (doctype is NOTE and name in ("title", "content")):
        return False
    if name in doctype.ignored_fields:
        return value not in (0, "0")
    if name in _REFERENCE_FIELDS:
        return mode == "edit"
    field = doctype.record_table.by_name.get(_record_field(doctype, name, mode == "add") or "")
    if isinstance(field, PicklistField):  # of two fields for one picklist, the second was ignored
        return True
    return field is None or not getattr(field, mode)
