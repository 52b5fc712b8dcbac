"""Text search by number, name, phone in any format, e-mail or title, each by its own index."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, or_

from app.lib import phone
from app.web.core.fields import Field, TextField, Viewer, clean_text
from app.web.core.personal_fields import EmailField, NameField, PhoneField
from app.web.core.record_table import RecordTable

#: Codes that match only in full.
_CODES = ("client_id", "pod_id", "referral_code")


def matching(record_table: RecordTable, typed: str, viewer: Viewer) -> Any:
    """The SQL rule for rows in which the text is found; hidden fields are not searched. Raises RuleBroken."""
    text = clean_text(typed, "q", 100) or ""
    fit = [rule for each in record_table.fields if not each.is_hidden(viewer) for rule in _rules(each, text)]
    fit += [
        column.contains(text, autoescape=True)
        for each in record_table.plain_texts
        if not each.is_hidden(viewer)
        for column in each.columns
    ]
    return or_(*fit) if fit else record_table.record.id == -1


def _rules(each: Field, text: str) -> list[Any]:
    if each.name == "number":
        is_last = text.isascii() and text.isdigit()
        ends = [each.columns[0].endswith(f"-{int(text):05d}")] if is_last else []
        return [each.columns[0] == text.upper(), *ends]
    if isinstance(each, NameField):
        return _named(each, text)
    if isinstance(each, PhoneField):
        normal = phone.normalize(text)
        return [column == normal for column in each.filter_columns()] if normal else []
    if isinstance(each, EmailField):
        return [column.startswith(text.lower(), autoescape=True) for column in each.columns] if "@" in text else []
    if isinstance(each, TextField) and each.name == "title":
        return [column.contains(text, autoescape=True) for column in each.columns]
    if isinstance(each, TextField) and each.name in _CODES:
        return [column == text.upper() for column in each.columns]
    return []


def _named(each: NameField, text: str) -> list[Any]:
    """By the beginning of first or last name; several words are a first and a last name, in either order."""
    head, _space, tail = text.partition(" ")
    whole = [column.startswith(text, autoescape=True) for column in each.columns] if text else []
    pairs = zip(each.columns[::2], each.columns[1::2], strict=True)
    return whole + [
        and_(one.startswith(head, autoescape=True), other.startswith(tail.strip(), autoescape=True))
        for first, last in pairs
        for one, other in ((first, last), (last, first))
        if tail.strip()
    ]
