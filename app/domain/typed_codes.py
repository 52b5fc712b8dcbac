"""Codes that people type and compare by eye: referral codes, POD ids."""

from __future__ import annotations

from typing import Any

from app.domain.base import RuleBroken
from app.lib.identity_numbers import is_code

#: Columns that hold a code, of any record.
CODES = ("referral", "referral_code", "referred_by", "pod_id")
#: These and the client id, whose own rule is in `client_ids.py`: shapeless characters in them are refused, not dropped.
UNCHANGED = frozenset((*CODES, "client_id"))


def refuse_ambiguous(row: Any, values: dict[str, Any]) -> None:
    """Raise RuleBroken for a changed code with invisible, look-alike or markup characters."""
    for name in CODES:
        given = (values.get(name) or "").strip()
        if given and given != getattr(row, name) and not is_code(given):
            raise RuleBroken(
                "A code has only letters A to Z, digits, spaces and the signs - . _ / #. Please check it.", name
            )
