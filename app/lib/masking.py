"""Masks: what of a value a person sees who may see only its end, or nothing."""

import re
from typing import Literal

Level = Literal["full", "last4", "hidden"]

#: Replaces the hidden part; always six dots, so that the length is hidden too.
DOTS = "\u2022" * 6
#: A shorter value isn't shown in part: its last four characters would be half of it or more.
MIN_LENGTH_SHOWN = 8

#: Starts at the beginning of a word, or a search would try every letter of a long one.
_EMAIL = re.compile(r"(?<![^@\s])([^@\s]+)@([^@\s]+)")


def masked(text: str | None, level: Level | str) -> str | None:
    """The part of a value that this level shows; None for None and ''. An unknown level hides everything."""
    if not text:
        return None
    if level == "full":
        return text
    return _last_four(text) if level == "last4" else DOTS


def is_masked(text: str | None) -> bool:
    """Whether the text is a mask returned by a form; such a save must leave the value unchanged."""
    return DOTS in (text or "")


def _last_four(text: str) -> str:
    email = _EMAIL.fullmatch(text.strip())
    if email:
        name, domain = email.groups()
        return f"{name[0] if len(name) > 1 else ''}{DOTS}@{domain}"
    chars = [char for char in text if char.isalnum()]
    return DOTS + "".join(chars[-4:]) if len(chars) >= MIN_LENGTH_SHOWN else DOTS
