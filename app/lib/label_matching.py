"""Matches labels of picklists that are written differently: "Walk-in" for "Walk In", "follow up" for "Follow-up"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache

#: Longer texts can't be labels; comparing them would only cost time.
MAX_LENGTH = 200
#: The similarity, 0 to 1, from which a label is suggested for another.
ALIKE = 0.7
_WORDS = re.compile(r"[^\W_]+")
_SEPARATORS = re.compile(r"(?<=[^\s_./'’‐-―-])[\s_./'’‐-―-]+(?=[^\s_./'’‐-―-])")


@lru_cache(maxsize=4000)
def folded(label: str) -> str:
    """The label without differences in writing: case, spaces, hyphens, dots, forms of one character.

    A separator between two digits stays, so that 1-2 isn't 12; so does one at an end, so that A- isn't A+.
    """
    text = unicodedata.normalize("NFKC", label[:MAX_LENGTH]).casefold().strip()
    return _SEPARATORS.sub(_joined, text)


def _joined(found: re.Match[str]) -> str:
    text, start, end = found.string, found.start(), found.end()
    return " " if text[start - 1].isdigit() and text[end].isdigit() else ""


def same_labels(typed: str, labels: Iterable[str]) -> list[str]:
    """Those labels that are equal to the typed one after folding."""
    wanted = folded(typed)
    return [each for each in labels if folded(each) == wanted] if wanted else []


def nearest_label(typed: str, labels: Iterable[str]) -> str | None:
    """The label most similar to the typed one; None if none is similar enough."""
    by_folded = {folded(each): each for each in labels}
    found = get_close_matches(folded(typed), list(by_folded), n=1, cutoff=ALIKE)
    return by_folded[found[0]] if found else None


def label_with_words(typed: str, labels: Iterable[str]) -> str | None:
    """The label with the most of the typed words, or other forms of them; None if there is none, or no single one.

    Words of less than three letters, which are in many, don't count.
    """
    words = {word for word in _words(typed) if len(word) >= 3}
    counts = {label: _shared(words, _words(label)) for label in labels}
    most = max(counts.values(), default=0)
    found = [label for label, count in counts.items() if count == most]
    return found[0] if most and len(found) == 1 else None


def _words(text: str) -> list[str]:
    return _WORDS.findall(text[:MAX_LENGTH].casefold())


def _shared(words: set[str], others: list[str]) -> int:
    return sum(any(_is_form(word, each) for each in others) for word in words)


def _is_form(word: str, other: str) -> bool:
    return word == other or (min(len(word), len(other)) >= 4 and (other.startswith(word) or word.startswith(other)))
