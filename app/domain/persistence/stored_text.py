"""Ensures that stored texts are in Unicode's composed form (NFC) without control characters, whoever writes them.

Forms and endpoints check what they parse, and name the field for the user. This checks every row again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import String, Text, inspect
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, translatable
from app.domain.persistence.row_effects import Rows
from app.lib import text_normalization

#: Columns that people fill in with several lines, although they aren't TEXT.
_WITH_LINES = frozenset({"address", "reason", "decision_note", "outcome", "rejection_reason", "description"})
#: Columns that the CRM itself writes: exceptions, responses of other servers, addresses and secrets.
_BY_MACHINE = frozenset({"agent", "answer", "error", "hash", "password", "query", "result", "sentence"})


def keep_storable(_session: Session, rows: Rows) -> None:
    """Effect before a flush: normalize the new values of text columns. Raises RuleBroken, naming the column."""
    for row in (*rows.new, *rows.changed):
        _normalise_texts(row)


def _normalise_texts(row: Any) -> None:
    model: Any = type(row)
    columns, state = _text_columns(model), inspect(row).dict
    for name, has_lines in columns:
        value = state.get(name)
        if isinstance(value, str) and not _is_plain(value):
            _normalise(row, name, value, has_lines)


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _normalise(row: Any, name: str, value: str, has_lines: bool) -> None:
    if not inspect(row).attrs[name].history.has_changes():
        return  # stored before this rule
    try:
        stored = text_normalization.lines(value) if has_lines else text_normalization.one_line(value)
    except text_normalization.UnstorableText:
        sentence = translatable("“%(name)s” has a character that can't be stored. Please remove it.", name=name)
        raise RuleBroken(sentence, name) from None
    if stored != value:
        setattr(row, name, stored)


@lru_cache(maxsize=500)
def _text_columns(model: Any) -> tuple[tuple[str, bool], ...]:
    """(attribute, whether it may have several lines) of the text columns of a model."""
    return tuple(
        (name, isinstance(column.type, Text) or name in _WITH_LINES)
        for name, column in inspect(model).columns.items()
        if isinstance(column.type, String) and name not in _BY_MACHINE
    )
