"""Parses numbers as people type them: with thousands separators, in Devanagari digits, with a currency sign."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, InvalidOperation
from typing import Any

#: Digits before and after the decimal point. Together they fit into a float without loss.
MAX_WHOLE, MAX_PLACES = 11, 4
_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{2,3}){0,9},[0-9]{3}")
_PLAIN = re.compile(r"[+-]?[0-9]*(?:\.[0-9]*)?")


def read(raw: Any) -> int | float:
    """The number: 1234.5, "12,34,567.50", "₹ 1,234", "१२", "1.234,50". Raises ValueError.

    A comma separates thousands; after a point it separates decimals. "1,5" could be either, and is refused.
    """
    if isinstance(raw, bool) or not isinstance(raw, int | float | str | Decimal):
        raise ValueError(raw)
    return _exact(_plain(raw) if isinstance(raw, str) else str(raw))


def _exact(text: str) -> int | float:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error
    if not number.is_finite() or abs(number) >= Decimal(10) ** MAX_WHOLE:
        raise ValueError(text)
    if number != round(number, MAX_PLACES):
        raise ValueError(text)
    return int(number) if number == number.to_integral_value() else float(number)


def _plain(typed: str) -> str:
    """The text with a point before its decimals, and no other separators. Raises ValueError."""
    text = "".join(_ascii(char) for char in typed[:60] if not char.isspace()).removeprefix("₹")
    sign = text[:1] if text[:1] in "+-" else ""
    text = text.removeprefix(sign).removeprefix("₹")
    if "," in text and "." in text and text.rindex(",") > text.rindex("."):  # 1.234,50
        text = text.replace(".", "_").replace(",", ".").replace("_", ",")
    whole, point, places = text.partition(".")
    if "," in whole:
        if not _GROUPED.fullmatch(whole):
            raise ValueError(typed)
        whole = whole.replace(",", "")
    made = f"{sign}{whole}{point}{places}"
    if not _PLAIN.fullmatch(made) or not any(char.isdigit() for char in made):
        raise ValueError(typed)
    return made


def _ascii(char: str) -> str:
    if char == "\N{MINUS SIGN}":
        return "-"
    digit = unicodedata.digit(char, None)
    return char if digit is None or not char.isdecimal() else str(digit)
