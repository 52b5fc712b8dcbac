"""Documents as our desks take them, and which of what was sent is not kept."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from flask_babel import gettext as _

from app.web.compat.doctypes import DocType
from app.web.compat.list_query import FIXED_FIELDS
from app.web.compat.references import REFERENCE_TARGETS, join_note
from app.web.compat.responses import CompatError
from app.web.core.reference_fields import MasterField

#: Fields that say what a document is, not what is in it.
_FRAME = frozenset(
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
_PAIR = ("reference_doctype", "reference_docname", "reference_name")
#: Children of a document; all but the subjects are read only.
_LISTS = frozenset({"accounts", "status_change_log"})


def record_values(doctype: DocType, doc: dict[str, Any], stored: dict[str, Any] | None = None) -> dict[str, Any]:
    """Our names for what was sent; `stored`: the document as it stands, None for a new one.

    Raises Refused (417) for a field that never was.
    """
    raw: dict[str, Any] = {}
    for name, value in doc.items():
        ours = _ours(doctype, name, stored is None)
        if name in _FRAME or name in _PAIR or name in _LISTS or name in doctype.ignored_fields:
            continue
        if ours is None:
            raise CompatError(417, _("%(kind)s has no field “%(name)s”.", kind=doctype.name, name=str(name)[:60]))
        if raw.get(ours) in (None, ""):  # two of their names may be one of ours
            raw[ours] = _subjects(value) if ours == "subjects" else value
    raw |= _about(doctype, doc) | (_note(raw, stored or {}) if doctype.name == "FCRM Note" else {})
    return {name: value for name, value in raw.items() if name in doctype.record_table.by_name}


def _ours(doctype: DocType, name: str, is_new: bool) -> str | None:
    """What we call it; some words of a new document go elsewhere."""
    found = doctype.insert_fields.get(name) if is_new or name == "ticket_subjects" else None
    return found or doctype.fields.get(name)


def _about(doctype: DocType, doc: dict[str, Any]) -> dict[str, Any]:
    """The record named by reference_doctype and reference_docname. Raises Refused (417)."""
    name = doc.get("reference_docname") or doc.get("reference_name")
    if "about_number" not in doctype.record_table.by_name or not name:
        return {}
    place = REFERENCE_TARGETS.get(str(doc.get("reference_doctype") or "CRM Lead"))
    if place is None or place.field not in doctype.record_table.by_name:
        raise CompatError(417, _("This can't refer to “%(name)s”.", name=str(doc.get("reference_doctype"))[:60]))
    return {place.field: name}


def _note(raw: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """Title and content are one text here; the half that was not sent stays."""
    if "title" not in raw and "content" not in raw:
        return {}
    both = {name: raw.pop(name, stored.get(name)) or "" for name in ("title", "content")}
    if stored and stored.get("title") == stored.get("content"):  # a note of one line has no title of its own
        both["title"] = "" if both["title"] == stored["title"] else both["title"]
    return {"text": join_note(html_to_text(str(both["title"])), html_to_text(str(both["content"])))}


def _subjects(value: Any) -> Any:
    """[{"subject": label}, …] as labels."""
    if not isinstance(value, list):
        return value
    return [each.get("subject") if isinstance(each, dict) else each for each in value]


_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)[^<>]*>")


def html_to_text(text: str) -> str:
    """The words of what the old editor wrote as HTML; what is no HTML stays as it is."""
    if not _TAG.search(text):
        return text.strip()
    lines = _TAG.sub(lambda found: "\n" if found[2] == "br" or (found[1] and found[2] in _BLOCKS) else "", text)
    return re.sub(r"\n{3,}", "\n\n", unescape(lines)).strip()


_BLOCKS = ("p", "div", "li", "tr", "h1", "h2", "h3", "blockquote")


# --- what is not kept


def is_same_value(sent: Any, kept: Any) -> bool:
    """Whether a document says what stands already; "" and null are one, 1 and true too."""
    if sent in (None, "") or kept in (None, ""):
        return sent in (None, "") and kept in (None, "")
    if isinstance(sent, list) and isinstance(kept, list):
        return _subjects(sent) == _subjects(kept)
    if isinstance(sent, bool):
        sent = int(sent)
    return str(sent) == str(kept)


def ignored_fields(doctype: DocType, doc: dict[str, Any], stored: dict[str, Any], mode: str) -> list[str]:
    """The names of the fields that were sent, and are neither kept nor as they stand."""
    return [str(name)[:60] for name, value in doc.items() if _is_unkept(doctype, name, value, stored, mode)]


def _is_unkept(doctype: DocType, name: str, value: Any, stored: dict[str, Any], mode: str) -> bool:
    if name in _FRAME or value in (None, "", [], {}) or is_same_value(value, stored.get(name)):
        return False
    if name in doctype.ignored_fields:
        return value not in (0, "0")
    ours = _ours(doctype, name, mode == "add")
    if name in _PAIR:
        return mode == "edit"
    if doctype.name == "FCRM Note" and name in ("title", "content"):
        return False
    found = doctype.record_table.by_name.get(ours or "")
    if isinstance(found, MasterField):  # of two names for one pick-list, the second was passed over
        return True
    return found is None or not getattr(found, mode)
