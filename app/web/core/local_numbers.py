"""Whole numbers as the language of the page groups them: 2,00,000 in those of India."""

from __future__ import annotations

from flask_babel import format_decimal

from app.web.core.languages import ENGLISH, spoken


def grouped(number: int) -> str:
    """The number, with its thousands set apart."""
    return f"{number:,}" if spoken()[0] in ("", ENGLISH) or abs(number) < 100_000 else str(format_decimal(number))
