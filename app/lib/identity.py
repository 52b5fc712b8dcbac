"""Indian identity numbers, and what is left of a value behind a mask."""

import re
from typing import Literal

Level = Literal["full", "last4", "hidden"]

#: What stands for the hidden part; always six, so that the length stays hidden too.
DOTS = "\u2022" * 6
#: Below this many letters and digits the last four would give away half of the value or more.
SHORTEST_SHOWN = 8

_PAN = re.compile(r"[A-Z]{5}[0-9]{4}[A-Z]")
_AADHAAR = re.compile(r"[2-9][0-9]{11}")
_SEPARATORS = re.compile(r"[\s-]+")
_EMAIL = re.compile(r"([^@\s]+)@([^@\s]+)")

# Verhoeff's tables: multiplication in the dihedral group D5, and the permutation by place, repeated after eight.
_TIMES = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_PLACE = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


def is_pan(text: str | None) -> bool:
    """Whether it has the shape of a PAN: five letters, four digits, a letter, in either case."""
    return _PAN.fullmatch((text or "").strip().upper()) is not None


def is_aadhaar(text: str | None) -> bool:
    """Whether it is a well-formed Aadhaar: twelve digits, the first 2 to 9, with Verhoeff's check digit."""
    digits = _SEPARATORS.sub("", text or "")
    return _AADHAAR.fullmatch(digits) is not None and _verhoeff(digits) == 0


def masked(text: str | None, level: Level | str) -> str | None:
    """What a person with this level may see of a value; None for None and ''. An unknown level hides it all."""
    if not text:
        return None
    if level == "full":
        return text
    return _last_four(text) if level == "last4" else DOTS


def is_masked(text: str | None) -> bool:
    """Whether it is a mask that a form sent back: such a save leaves the value as it is."""
    return DOTS in (text or "")


def _last_four(text: str) -> str:
    email = _EMAIL.fullmatch(text.strip())
    if email:
        name, domain = email.groups()
        return f"{name[0] if len(name) > 1 else ''}{DOTS}@{domain}"
    signs = [sign for sign in text if sign.isalnum()]
    return DOTS + "".join(signs[-4:]) if len(signs) >= SHORTEST_SHOWN else DOTS


def _verhoeff(digits: str) -> int:
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _TIMES[check][_PLACE[place % 8][int(digit)]]
    return check
