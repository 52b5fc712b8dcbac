"""Finding by a few typed letters: number, name, telephone in any format, e-mail, title; each by its own index."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, or_

from app.lib import phone
from app.web.core.fields import Field, Glass, Text, clean_text
from app.web.core.personal_fields import Email, Name, Phone
from app.web.core.record_table import Plan

#: Codes that people type whole.
_CODES = ("client_id", "pod_id", "referral_code")


def matching(plan: Plan, typed: str, seen: Glass) -> Any:
    """The SQL rule for rows in which the text is found; hidden fields are not searched. Raises RuleBroken."""
    text = clean_text(typed, "q", 100) or ""
    fit = [rule for each in plan.fields if not each.is_hidden(seen) for rule in _rules(each, text)]
    return or_(*fit) if fit else plan.record.id == -1


def _rules(each: Field, text: str) -> list[Any]:
    if each.name == "number":
        is_last = text.isascii() and text.isdigit()
        ends = [each.columns[0].endswith(f"-{int(text):05d}")] if is_last else []
        return [each.columns[0] == text.upper(), *ends]
    if isinstance(each, Name):
        return _named(each, text)
    if isinstance(each, Phone):
        normal = phone.normal(text)
        return [column == normal for column in each.asked_columns()] if normal else []
    if isinstance(each, Email):
        return [column.startswith(text.lower(), autoescape=True) for column in each.columns] if "@" in text else []
    if isinstance(each, Text) and each.name == "title":
        return [column.contains(text, autoescape=True) for column in each.columns]
    if isinstance(each, Text) and each.name in _CODES:
        return [column == text.upper() for column in each.columns]
    return []


def _named(each: Name, text: str) -> list[Any]:
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
