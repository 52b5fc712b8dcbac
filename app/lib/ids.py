"""Database ids in URLs, forms and JSON."""

from __future__ import annotations

#: Every id of up to this many digits fits the 32-bit column of every table.
MAX_DIGITS = 9


def parse_id(raw: object) -> int | None:
    """A database id from untrusted input: up to nine ASCII digits, as text or int. None for anything else."""
    text = str(raw)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None
