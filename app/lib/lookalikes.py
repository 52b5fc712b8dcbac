"""Compares names as a person reads them: ignoring case, accents, width and blanks, and with look-alikes as one.

The look-alikes are those that matter in names: letters of Latin, Cyrillic, Greek and Armenian of the same shape
(Unicode's confusables, UTS 39, reduced to these scripts), the digits 0 and 1, and a capital I. Names that people easily
tell apart, such as neil and nell, or karna and kama, stay different.
"""

from __future__ import annotations

import hashlib
import unicodedata

#: Look-alike letters after case folding, each with the Latin letter that it is read as.
_LETTERS = (
    # Latin letters that Unicode does not decompose, and digits
    "ıi ɪi ɩi øo ɵo łl đd ðd ħh ŧt ƀb ɓb ɗd ƙk ɠg ɡg ɢg ɑa ɐa ʀr ʏy ꞵb ƿp ʋv 0o 1l |l ǀl ǃl ѕs",
    # Cyrillic
    "аa б6 вb гr еe ёe з3 иi ғf јj кk мm нh оo өo пn рp сc тt уy үy хx һh ԁd ԛq ԝw ѵv ьb ԍg ӏl ґr єe іi їi",
    # Greek
    "αa βb γy δd εe ζz ηn ιi κk λl νv ξx οo ρp σs ςs τt υu φf χx ωw ϲc ϳj",
    # Armenian
    "աw եt հh ոn սu ցg քp զq օo լl ւu",
)
#: Capitals that look like another Latin letter than their lower-case form does.
_CAPITALS = "Il Βb Εe Ηh Ιl Κk Μm Νn Ρp Τt Υy Χx Вb Нh Мm Тt Уy Іl Ӏl"
_WIDE = {"æ": "ae", "œ": "oe", "þ": "p"}


def _pairs(text: str) -> dict[int, str]:
    return {ord(pair[0]): pair[1] for pair in text.split()}


_READ_AS = {key: read for line in _LETTERS for key, read in _pairs(line).items()} | {
    ord(letter): read for letter, read in _WIDE.items()
}
_CAPITALS_READ_AS = _pairs(_CAPITALS)
#: Quotes, dashes and dots that look like ASCII ones.
_PUNCTUATION = str.maketrans(dict.fromkeys("‘’ʼ`´′", "'") | dict.fromkeys("‐‑‒–—−", "-") | dict.fromkeys("․。·", "."))


def skeleton(text: str) -> str:
    """The text as a person reads it; two texts with the same skeleton look alike. Empty if nothing in it is visible."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_PUNCTUATION)
    letters = unicodedata.normalize("NFD", folded.translate(_READ_AS))
    shown = (letter for letter in letters if not _is_invisible(letter))
    return unicodedata.normalize("NFC", "".join(shown).translate(_READ_AS))


def _is_invisible(letter: str) -> bool:
    """Blanks, controls, formats, and the accents of Latin, Greek and Cyrillic.

    Marks of other scripts are vowels: without them it would be another name.
    """
    if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"):
        return True
    return "\u0300" <= letter <= "\u036f" or "\u1ab0" <= letter <= "\u1aff" or "\u1dc0" <= letter <= "\u1dff"


def name_keys(text: str) -> frozenset[str]:
    """The keys of a name: look-alike names have one in common. SHA-256 in hex, which every database compares alike.

    A name with capitals can have two, because a capital may resemble another letter than its lower-case form (I and l).
    """
    wide = unicodedata.normalize("NFKC", text)
    shapes = {skeleton(wide), skeleton(wide.translate(_CAPITALS_READ_AS))} - {""}
    return frozenset(hashlib.sha256(shape.encode()).hexdigest() for shape in shapes)
