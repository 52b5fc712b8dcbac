"""Text search by number, name, phone in any format, e-mail, title, client id or PAN.

Only what the person may see in full is searched, so that a search is no way to guess what a mask hides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import and_, or_

from app.lib import phone
from app.lib.identity import is_aadhaar, is_pan
from app.web.core.fields import Field, TextField, Viewer, clean_text
from app.web.core.filter_operators import compare
from app.web.core.personal_fields import EmailField, NameField, PhoneField, SecretField
from app.web.core.record_table import RecordTable

#: Codes that match in full, and from so many characters on also in part.
_CODES = ("client_id", "pod_id", "referral_code")
_LEAST_OF_CODE = 3
#: Digits with which a phone number ends, at least: five, as people read them out.
_LEAST_OF_NUMBER = 5
_LEAST_OF_EMAIL = 3
#: Words of a name that are split into first and last name in every way.
_MOST_WORDS = 8


def matching(record_table: RecordTable, typed: str, viewer: Viewer) -> Any:
    """The SQL rule for rows in which the text is found; hidden fields are not searched. Raises RuleBroken."""
    text = clean_text(typed, "q", 100) or ""
    shown = [each for each in record_table.fields if not each.is_hidden(viewer)] if text else []
    fit = [rule for each in shown for rule in _rules(each, text, viewer)]
    plain = [each for each in record_table.plain_texts if each in shown]
    fit += [compare(column, "ct", text) for each in plain for column in each.columns]
    return or_(*fit) if fit else record_table.record.id == -1


def _rules(each: Field, text: str, viewer: Viewer) -> list[Any]:
    if each.name == "number":
        is_last = text.isascii() and text.isdigit()
        ends = [each.columns[0].endswith(f"-{int(text):05d}")] if is_last else []
        return [each.columns[0] == text.upper(), *ends]
    if isinstance(each, NameField):
        return list(_named(each, text.split()))
    if isinstance(each, PhoneField):
        return _numbered(each, text)
    if isinstance(each, EmailField):
        is_address = " " not in text and len(text) >= _LEAST_OF_EMAIL
        return [column.startswith(text.lower(), autoescape=True) for column in each.columns] if is_address else []
    if isinstance(each, SecretField):
        is_whole = is_pan(text) if each.name == "pan" else is_aadhaar(text)
        return [each.where("eq", text, viewer)] if is_whole else []
    if isinstance(each, TextField) and each.name == "title":
        return [compare(column, "ct", text) for column in each.columns]
    if isinstance(each, TextField) and each.name in _CODES:
        return _coded(each, text.upper())
    return []


def _numbered(each: PhoneField, text: str) -> list[Any]:
    """By the whole number in any spelling, or by its last digits."""
    normal = phone.normalize(text)
    rules = [column == normal for column in each.filter_columns()] if normal else []
    digits = text.replace(" ", "")
    if digits.isascii() and digits.isdigit() and _LEAST_OF_NUMBER <= len(digits) <= 15:
        rules += [column.endswith(digits) for column in each.filter_columns()]
    return rules


def _coded(each: TextField, code: str) -> list[Any]:
    """By the whole code, or by a part that has a digit: words are no codes."""
    is_part = len(code) >= _LEAST_OF_CODE and code.isascii() and any(char.isdigit() for char in code)
    return [column.contains(code, autoescape=True) if is_part else column == code for column in each.columns]


def _named(each: NameField, words: list[str]) -> Iterator[Any]:
    """By the beginning of first or last name; several words are split into both in every way, in either order."""
    for column in each.columns:
        yield compare(column, "sw", " ".join(words))
    for first, last in zip(each.columns[::2], each.columns[1::2], strict=True):
        for cut in range(1, min(len(words), _MOST_WORDS)):
            head, tail = " ".join(words[:cut]), " ".join(words[cut:])
            for one, other in ((first, last), (last, first)):
                yield and_(compare(one, "sw", head), compare(other, "sw", tail))
