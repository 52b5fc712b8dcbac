"""Normalizes text for storage: composed Unicode (NFC) without control characters; folds look-alikes for searches."""

from __future__ import annotations

import re
import unicodedata

#: Apostrophes as keyboards, phones and word processors write them; searches treat all of them as the first.
APOSTROPHES = "'\u2019\u2018\u02bc\u0060\u00b4\u2032\uff07"
#: The control characters that lines of text keep: line feeds, and tabs as four spaces.
_LINE_FEED, _TAB = "\n", "    "
#: Unicode's own limit for streaming text (UAX #15): more marks on one letter are an attack.
_MOST_MARKS = 30
#: Marks without a shape that phones and web pages copy along, and that can turn the order of what is read around: of
#: writing directions, the zero-width space, the word joiner and the byte-order mark. The joiners U+200C and U+200D
#: belong to the spelling of Indian languages and of emoji.
_SHAPELESS = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_FOLD = str.maketrans(dict.fromkeys(APOSTROPHES[1:], "'"))


class UnstorableText(ValueError):
    """The text contains a character that is never stored."""


def one_line(text: str, is_code: bool = False) -> str:
    """One line of text in NFC, without surrounding spaces. Raises UnstorableText for line breaks and controls.

    A tab at either end, as spreadsheets copy it, is dropped, and so are shapeless marks, such as those of directions,
    but not in codes: these are refused for them.
    """
    stripped = text.strip(" \t")
    if stripped.isascii() and stripped.isprintable():
        return stripped
    stripped = stripped if is_code else without_shapeless(stripped)
    if any(_is_control(char) for char in stripped):
        raise UnstorableText(text[:20])
    return _composed(stripped).strip()


def lines(text: str) -> str:
    """Several lines of text in NFC: every line ends with LF, tabs become four spaces. Raises UnstorableText.

    Empty if nothing of it would be seen.
    """
    unified = text.replace("\r\n", _LINE_FEED).replace("\r", _LINE_FEED).replace("\t", _TAB)
    if any(_is_control(char) for char in unified if char != _LINE_FEED):
        raise UnstorableText(text[:20])
    composed = _composed(unified).strip()
    return composed if composed.isascii() or without_shapeless(composed).strip() else ""


def without_shapeless(text: str) -> str:
    """The text without marks that aren't seen and can turn around the order of what is read."""
    return _SHAPELESS.sub("", text)


def fold_apostrophes(text: str) -> str:
    """The text with every look-alike apostrophe as '."""
    return text.translate(_FOLD)


def _is_control(char: str) -> bool:
    """Whether it is a control character, a line or paragraph separator, or half of a surrogate pair."""
    return (char < " " or char > "~") and unicodedata.category(char) in ("Cc", "Zl", "Zp", "Cs")


def _composed(text: str) -> str:
    if text.isascii():
        return text
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks > _MOST_MARKS:
            raise UnstorableText(text[:20])
    return unicodedata.normalize("NFC", text)
