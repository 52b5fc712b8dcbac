"""Texts in files that spreadsheets open: none of them is taken for a formula."""

from __future__ import annotations

#: Texts that a spreadsheet would take for a formula begin with one of these.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would take this text for a formula."""
    return text.startswith(_FORMULA)


def as_text(text: str) -> str:
    """The text; one that a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{text}" if is_formula(text) else text
