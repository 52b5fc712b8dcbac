"""The number of parts in which an SMS is sent and billed (3GPP TS 23.038 and 23.040).

A text of GSM-7 characters has up to 160 of them in one part, or 153 in each of several parts. With any other character
(Hindi, an emoji, a curly quote) it is sent as UCS-2: 70 UTF-16 code units, or 67 in each part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

#: The basic character set, without Escape (0x1B), which isn't a character of its own.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: The extension table: each of these is sent as an escape and a character.
_EXTENDED = frozenset("\f^{}\\[~]|€")
#: Encoding -> units in a single part, and in each of several parts (a header links them).
_CAPACITY = {"GSM-7": (160, 153), "UCS-2": (70, 67)}
_LAST_OF_BMP = "\uffff"


@dataclass(frozen=True)
class SmsParts:
    """How a text is sent."""

    #: GSM-7 or UCS-2.
    encoding: str
    #: Septets, or UTF-16 code units.
    units: int
    #: 0 for an empty text.
    parts: int
    #: Units that still fit into the last part.
    left: int


def is_gsm(text: str) -> bool:
    """Whether the text has only characters of GSM-7, extension table included."""
    return all(char in _BASIC or char in _EXTENDED for char in text)


def count_parts(text: str) -> SmsParts:
    """The encoding and the number of parts of a text."""
    encoding = "GSM-7" if is_gsm(text) else "UCS-2"
    sizes = [2 if _is_double(char, encoding) else 1 for char in text]
    alone, each = _CAPACITY[encoding]
    units = sum(sizes)
    if units <= alone:
        return SmsParts(encoding, units, 1 if units else 0, alone - units)
    parts, used = _pack(sizes, each)
    return SmsParts(encoding, units, parts, each - used)


def _is_double(char: str, encoding: str) -> bool:
    return char in _EXTENDED if encoding == "GSM-7" else char > _LAST_OF_BMP


def _pack(sizes: Iterable[int], capacity: int) -> tuple[int, int]:
    """(parts, units used in the last one). A character of two units is never split between parts."""
    parts, used = 1, 0
    for size in sizes:
        if used + size > capacity:
            parts, used = parts + 1, 0
        used += size
    return parts, used
