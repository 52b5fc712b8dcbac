"""Indian identity numbers: the forms of PAN, Aadhaar, client ids and codes."""

import re

_PAN = re.compile(r"[A-Z]{5}[0-9]{4}[A-Z]")
_AADHAAR = re.compile(r"[2-9][0-9]{11}")
_CLIENT_ID = re.compile(r"[A-Z0-9]{1,40}")
_CODE = re.compile(r"[A-Z0-9](?:[A-Z0-9 ._/#-]{0,198}[A-Z0-9.#])?")
_SEPARATORS = re.compile(r"[\s-]+")

# Verhoeff's tables: multiplication in the dihedral group D5, and the permutation by position, repeated after eight.
_PRODUCT = (
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
_PERMUTATION = (
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
    """Whether it has the form of a PAN: five letters, four digits, a letter, in either case."""
    return _PAN.fullmatch((text or "").strip().upper()) is not None


def is_client_id(text: str) -> bool:
    """Whether it has the form of a client id: up to 40 letters A to Z and digits, in capitals."""
    return _CLIENT_ID.fullmatch(text) is not None


def is_code(text: str) -> bool:
    """Whether it has the form of a code or reference: letters A to Z, digits, and spaces and - . _ / # between them."""
    return _CODE.fullmatch(text.upper()) is not None and text.isascii()


def is_aadhaar(text: str | None) -> bool:
    """Whether it is a well-formed Aadhaar: twelve digits, the first 2 to 9, with Verhoeff's check digit."""
    digits = _SEPARATORS.sub("", text or "")
    return _AADHAAR.fullmatch(digits) is not None and _verhoeff(digits) == 0


def _verhoeff(digits: str) -> int:
    check = 0
    for position, digit in enumerate(reversed(digits)):
        check = _PRODUCT[check][_PERMUTATION[position % 8][int(digit)]]
    return check
