"""Protects files for spreadsheets: no text in them is read as a formula."""

from __future__ import annotations

#: First characters of texts that a spreadsheet would read as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would read this text as a formula."""
    return text.startswith(_FORMULA)


def as_text(text: str) -> str:
    """The text; with an apostrophe before it if a spreadsheet would read it as a formula."""
    return f"'{text}" if is_formula(text) else text
