"""The operators of filters: their names in words, and the SQL that they make."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, false

#: Operators in words.
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
    "rel_m_m": _("includes"),
}
#: Operator -> the one it negates; a missing value counts as "not".
NEGATED = {"neq": "eq", "nct": "ct", "nsw": "sw", "new": "ew", "not_in": "in"}


def compare(column: Any, op: str, value: Any) -> ColumnElement[bool]:
    if op == "eq":
        return column == value if value is not None else column.is_(None)
    if op == "in":
        return column.in_(value) if value else false()
    if op in ("ct", "sw", "ew"):
        return {"ct": column.contains, "sw": column.startswith, "ew": column.endswith}[op](value, autoescape=True)
    return {"gt": column > value, "lt": column < value, "ge": column >= value, "le": column <= value}[op]
