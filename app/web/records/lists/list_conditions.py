"""Nested conditions of a list: “all of these”, “any of these”, as JSON in the URL.

`where=["any",["status","eq","3"],["all",["source","eq","2"],["created_on","ge","2026-11-01"]]]`
"""

from __future__ import annotations

import json
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, and_, or_

from app.domain.base import RuleBroken
from app.web.core.queries.record_table import MAX_FILTERS
from app.web.core.viewer import Viewer

#: Depth of nested groups; characters of the text.
MAX_DEPTH, MAX_LENGTH = 4, 4000
#: How a group joins its parts.
_JOINS = {"all": and_, "any": or_}
Condition = list[Any]


def read(screen: Any, text: str) -> Condition | None:
    """The conditions in a URL, with valid structure and columns; None without any. Raises RuleBroken."""
    if not text:
        return None
    found: Condition | None
    try:
        found = json.loads(text) if len(text) <= MAX_LENGTH else None
    except (ValueError, RecursionError):
        found = None
    counted = [0]
    if found is None or not _is_group(found, 1, counted):
        raise RuleBroken(_("The conditions of this address can't be read. Please set the filter again."), "where")
    if counted[0] > MAX_FILTERS:
        raise RuleBroken(_("A list takes at most %(most)s filters.", most=MAX_FILTERS), "where")
    for name, _op, _value in leaves(found):
        screen.record_table.column_field(name)
    return found if counted[0] else None


def _is_group(part: Any, depth: int, counted: list[int]) -> bool:
    if not isinstance(part, list) or not part or not _joins(part) or depth > MAX_DEPTH:
        return False
    return all(_is_leaf(each, counted) or _is_group(each, depth + 1, counted) for each in part[1:])


def _is_leaf(part: Any, counted: list[int]) -> bool:
    if not isinstance(part, list) or len(part) != 3 or _joins(part):
        return False
    counted[0] += 1
    return all(isinstance(each, str) for each in part)


def _joins(part: list[Any]) -> bool:
    """Whether the part begins like a group; its first member can be anything, even a list."""
    return isinstance(part[0], str) and part[0] in _JOINS


def leaves(group: Condition) -> list[Condition]:
    """All single conditions: [column, operator, value]."""
    found: list[Condition] = []
    for part in group[1:]:
        found += leaves(part) if part[0] in _JOINS else [part]
    return found


def clause(screen: Any, group: Condition, viewer: Viewer) -> ColumnElement[bool] | None:
    """The SQL of a group; None for one without conditions. Raises RuleBroken for an invalid condition."""
    parts = []
    for part in group[1:]:
        is_group = part[0] in _JOINS
        made = clause(screen, part, viewer) if is_group else screen.record_table.filter_clause(*part, viewer)
        if made is not None:
            parts.append(made)
    return _JOINS[group[0]](*parts) if parts else None


def describe(screen: Any, group: Condition, say: Any, depth: int = 0) -> str:
    """The group as text: “Status is New or (Source is Web and Created from 1 Nov)”. `say(column, operator, value)`."""
    parts = [describe(screen, part, say, depth + 1) if part[0] in _JOINS else say(*part) for part in group[1:]]
    joined = f" {_('and') if group[0] == 'all' else _('or')} ".join(part for part in parts if part)
    return f"({joined})" if depth and len(parts) > 1 else joined
