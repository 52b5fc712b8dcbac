"""The operators of filters: their labels, and their SQL."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, String, Text, and_, cast, false, func, or_

from app.lib.text_normalization import APOSTROPHES, fold_apostrophes

#: Labels of operators.
OPERATOR_LABELS = {
    "eq": _("is"),
    "neq": _("is not"),
    "ct": _("contains"),
    "nct": _("does not contain"),
    "sw": _("starts with"),
    "nsw": _("does not start with"),
    "ew": _("ends with"),
    "new": _("does not end with"),
    "gt": _("after / more than"),
    "lt": _("before / less than"),
    "ge": _("from"),
    "le": _("up to"),
    "in": _("is one of"),
    "not_in": _("is none of"),
    "null": _("is empty"),
    "not_null": _("is not empty"),
    "rel_m_m": _("includes"),
}
#: Operator -> the one that it negates; a missing value matches "not".
NEGATED = {"neq": "eq", "nct": "ct", "nsw": "sw", "new": "ew", "not_in": "in"}
#: Operators without a value; a value of false inverts them.
WITHOUT_VALUE = ("null", "not_null")
_YES, _NO = ("", "1", "true", "yes", "on", "y", "none"), ("0", "false", "no", "off", "n")


def wants_empty(op: str, raw: Any) -> bool | None:
    """Whether the filter asks for rows without a value; None if its own value is neither yes nor no."""
    word = str(raw).strip().lower()
    if word not in (*_YES, *_NO):
        return None
    return (op == "null") == (word in _YES)


def is_empty(column: Any) -> ColumnElement[bool]:
    """Whether a column has no value; an empty text counts as none."""
    missing: ColumnElement[bool] = column.is_(None)
    return or_(missing, column == "") if isinstance(getattr(column, "type", None), String) else missing


def begins(column: Any, text: str) -> Any:
    """The column begins with the text. The pattern is a single value, so that SQLite can use an index."""
    if "'" in fold_apostrophes(text):
        return compare(column, "sw", text)
    escaped = text.replace("/", "//").replace("%", "/%").replace("_", "/_")
    return column.like(f"{escaped}%", escape="/")


def compare(column: Any, op: str, value: Any) -> ColumnElement[bool]:
    """The column compared with a value; non-text columns are matched as text."""
    is_text = isinstance(getattr(column, "type", String()), String)
    if op in ("ct", "sw", "ew") and not is_text:
        column = cast(column, Text)
    elif is_text and isinstance(value, str) and op in ("eq", "ct", "sw", "ew") and "'" in fold_apostrophes(value):
        return _with_apostrophes(column, op, fold_apostrophes(value))
    if op == "eq":
        return column == value if value is not None else column.is_(None)
    if op == "in":
        return column.in_(value) if value else false()
    if op in ("ct", "sw", "ew"):
        return {"ct": column.contains, "sw": column.startswith, "ew": column.endswith}[op](value, autoescape=True)
    return {"gt": column > value, "lt": column < value, "ge": column >= value, "le": column <= value}[op]


def _with_apostrophes(column: Any, op: str, value: str) -> ColumnElement[bool]:
    """Compare with a text that contains an apostrophe, whichever look-alike of it is stored.

    The wildcard finds the rows by index; the folded column then distinguishes D’Souza from DXSouza.
    """
    pattern = value.replace("/", "//").replace("%", "/%").replace("_", "/_")
    before, after = ("%" if op in ("ct", "ew") else ""), ("%" if op in ("ct", "sw") else "")
    alike = column
    for char in APOSTROPHES[1:]:
        alike = func.replace(alike, char, "'")
    exact = alike.like(f"{before}{pattern}{after}", escape="/")
    return and_(column.like(f"{before}{pattern}{after}".replace("'", "_"), escape="/"), exact)
