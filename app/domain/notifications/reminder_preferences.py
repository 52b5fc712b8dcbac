"""How long before a task is due its assignee is reminded: the default, and what each user chose instead."""

from __future__ import annotations

from typing import Any

from app.domain.base import RuleBroken

#: Minutes before a task's due time at which its assignee is reminded, unless the person chose others.
REMINDER_MINUTES = (60, 5)
#: The earliest reminder, a week before due.
MAX_MINUTES = 7 * 24 * 60
MAX_OFFSETS = 5


def reminder_offsets(user: Any) -> tuple[int, ...]:
    """Minutes before due at which this user is reminded; () = never."""
    chosen = getattr(user, "reminder_minutes", None)
    return tuple(REMINDER_MINUTES if chosen is None else chosen)


def parse_offsets(text: str) -> list[int] | None:
    """ "60, 5" -> minutes before due, largest first; None for an empty text. Raises RuleBroken."""
    parts = text.replace(",", " ").split()
    if not parts:
        return None
    are_numbers = all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts)
    if not are_numbers or len(parts) > MAX_OFFSETS or not all(0 < int(part) <= MAX_MINUTES for part in parts):
        raise RuleBroken(
            "Please enter up to five numbers of minutes from 1 to 10080, such as 60, 5.", "reminder_minutes"
        )
    return sorted({int(part) for part in parts}, reverse=True)
