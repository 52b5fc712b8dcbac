"""The predecessor's LIKE patterns as SQL: on texts, names, phone numbers, and labels in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from glob import escape
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, case, func, or_

from app.lib import phone
from app.web.compat.doctypes.note import ContentField, TitleField
from app.web.compat.responses import CompatError
from app.web.core.fields.base import ChoiceField, Field, TextField
from app.web.core.fields.contact_field_types import EmailField, NameField, PhoneField
from app.web.core.fields.reference_fields import PersonField, PicklistField, RecordField
from app.web.core.viewer import Viewer
from app.web.core.views.custom_columns import CustomColumn

#: Characters of a pattern, and wildcards in it: more make a database search for seconds.
MAX_PATTERN, MAX_WILDCARDS = 200, 6
_ESCAPE = "/"
_SEPARATORS = re.compile(r"[\s()-]")
#: One character of a pattern, or an escaped one.
_PARTS = re.compile(r"\\[%_\\]|.", re.DOTALL)
_WILDCARDS = {"%": "*", "_": "?"}


def checked(pattern: Any, name: str) -> str:
    """The pattern as text. Raises CompatError (417) for another type, invalid characters, and excess length."""
    is_text = isinstance(pattern, str | int | float) and not isinstance(pattern, bool)
    text = str(pattern) if is_text else ""
    if not is_text or len(text) > MAX_PATTERN or text.count("%") > MAX_WILDCARDS:
        raise CompatError(417, _("The pattern for “%(name)s” is too long, or isn't text.", name=name[:60]))
    if any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in text):
        raise CompatError(417, _("“%(name)s” has a character that can't be stored. Please remove it.", name=name[:60]))
    return text


def like(column: Any, pattern: str) -> ColumnElement[bool]:
    """`column LIKE pattern`: % matches any text, _ one character; a backslash escapes either."""
    parts = _PARTS.findall(pattern)
    escaped = "".join(_ESCAPE + each[-1] if len(each) > 1 or each == _ESCAPE else each for each in parts)
    found: ColumnElement[bool] = column.like(escaped, escape=_ESCAPE)
    return found


def _matches(pattern: str, label: str) -> bool:
    """The same in memory, ignoring case."""
    parts = _PARTS.findall(pattern.casefold())
    return fnmatchcase(label.casefold(), "".join(_WILDCARDS.get(each) or escape(each[-1]) for each in parts))


def labels_like(pattern: str, labels: Iterable[tuple[Any, str]]) -> list[Any]:
    """The keys of the labels that match the pattern."""
    return [key for key, label in labels if _matches(pattern, label)]


# --- fields


def text_of(field: Field) -> Any:
    """SQL: the text of a field as documents show it; None for a field that is not text."""
    if isinstance(field, CustomColumn):
        return field.sql if isinstance(field, TextField) else None
    if isinstance(field, NameField):
        return _full_name(field.columns)
    if isinstance(field, TitleField | ContentField):
        text, newline = field.columns[0]["text"].as_string(), "\n"
        end = func.instr(text, newline)
        if isinstance(field, TitleField):
            return func.substr(text, 1, func.instr(text.concat(newline), newline) - 1)
        return case((end > 0, func.trim(func.substr(text, end + 1))), else_=text)
    if isinstance(field, TextField | EmailField):
        return func.coalesce(*field.columns) if len(field.columns) > 1 else field.columns[0]
    return None


def _full_name(columns: tuple[Any, ...]) -> Any:
    """First and last name; the customer's if the record has none."""
    pairs = list(zip(columns[::2], columns[1::2], strict=True))
    full = [func.trim(func.coalesce(first, "").concat(" ").concat(func.coalesce(last, ""))) for first, last in pairs]
    if len(full) == 1:
        return full[0]
    first, last = pairs[0]
    return case((or_(first.is_not(None), last.is_not(None)), full[0]), else_=full[1])


def field_like(field: Field, pattern: str, viewer: Viewer) -> ColumnElement[bool] | None:
    """SQL: the field matches the pattern; None for a field without text."""
    if isinstance(field, PhoneField):
        return _number_like(field, pattern)
    if isinstance(field, RecordField):
        return like(field.columns[1], pattern)
    if isinstance(field, CustomColumn):
        return _custom_like(field, pattern)
    if isinstance(field, PicklistField | PersonField | ChoiceField):
        return field.filter_columns()[0].in_(labels_like(pattern, _labels(field, viewer)))
    text = text_of(field)
    return like(text, pattern) if text is not None else None


def _custom_like(field: CustomColumn, pattern: str) -> ColumnElement[bool] | None:
    """By the table of values: texts themselves, choices by their labels."""
    if isinstance(field, TextField):
        return field.with_value(like(field.stored, pattern))
    if not isinstance(field, ChoiceField):
        return None
    words = [(value, word) for value in field.words for word in (value, str(field.words[value]))]
    return field.with_value(field.stored.in_(labels_like(pattern, words)))


def _labels(field: Field, viewer: Viewer) -> list[tuple[Any, str]]:
    lookups = viewer.lookups
    if isinstance(field, PicklistField):
        return [(key, card["label"]) for key, card in lookups.cards[field.picklist].items()]
    if isinstance(field, ChoiceField):
        return [(option, option) for option in field.options]
    people = [(key, card["username"]) for key, card in lookups.people.items()]
    people += [(key, card["full_name"]) for key, card in lookups.people.items()]
    return people + list(lookups.addresses.items())


# --- phone numbers


def number_is(field: PhoneField, value: str) -> ColumnElement[bool]:
    """SQL: a column with numbers as typed contains this one, in any spelling."""
    return _number_like(field, phone.normalize(value) or value.replace("%", "").replace("_", ""))


def _number_like(field: PhoneField, pattern: str) -> ColumnElement[bool]:
    """A pattern of digits matches the number with or without its country code."""
    text = _SEPARATORS.sub("", pattern)
    spellings = {text}
    if text[:1].isdigit() or text[:1] == "+":
        national = text.removeprefix("+91") if text.startswith("+91") else text.removeprefix("0")
        spellings |= {f"+91{national}", f"+{national}", national, f"0{national}", f"91{national}"}
        spellings |= {f"+{text}"} if text.startswith("91") else set()
    return or_(*[like(_digits(column), each) for column in field.columns for each in sorted(spellings)])


def _digits(column: Any) -> Any:
    """A number without the spaces and hyphens between its digits."""
    return func.replace(func.replace(column, " ", ""), "-", "")
