"""What was typed into a search: its kind, and the forms in which indexes are searched for it.

The kind says in which columns a text is searched and how; texts of a kind differ only in their forms.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache

from app.access.search.index_ranges import pattern
from app.access.search.search_plans import INSIDE, TEXT, WORDS
from app.access.search.word_search import inside, is_rare, wanted_words
from app.domain.base import kind_of_number
from app.extensions import db
from app.lib import phone
from app.lib.cached_property import cached_property
from app.lib.identity_numbers import is_aadhaar, is_pan
from app.lib.text_normalization import fold_apostrophes

#: From this length on, the beginning or end of a code is enough.
_LEAST_OF_CODE = 3
#: The minimum and maximum number of last digits of a phone number: five, as people read them out.
_LEAST_OF_NUMBER, _MOST_OF_NUMBER = 5, 15
#: Minimum characters of an email address; only letters are a name, because every address would begin so.
_LEAST_OF_EMAIL = 3
#: Maximum digits of the serial part of a record's number.
_MOST_OF_SERIAL = 8


class TypedText:
    """A text with its kind and its forms."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = text.split()
        self._forms: dict[str, str] = {}

    def form(self, name: str) -> str:
        """The form of this name; see `_FORMS`."""
        found = self._forms.get(name)
        if found is None:
            make = _BEGINNINGS.get(name)
            found = self._forms[name] = _FORMS[name](self.text) if make is None else pattern(make(self.text))
        return found

    def beginning(self, name: str) -> str:
        """The text of a form that is the pattern of a beginning."""
        return _BEGINNINGS[name](self.text)

    @cached_property
    def kind(self) -> Hashable:
        """What decides where the text is searched; None if that also depends on the text itself.

        Several words are split in several ways; the numbers of records and of identity papers are found by other means.
        """
        text = self.text
        is_apart = len(self.words) != 1 or self.has_apostrophe or self.is_serial or kind_of_number(text) is not None
        if is_apart or is_pan(text) or is_aadhaar(text):
            return None
        return self.is_end_of_number, self.is_whole_number, self.is_address, self.is_part_of_code, is_rare(text)

    @cached_property
    def has_apostrophe(self) -> bool:
        """Whether names are compared in every spelling of an apostrophe."""
        return "'" in fold_apostrophes(self.text)

    @cached_property
    def is_serial(self) -> bool:
        """Whether it can be the serial part of a record's number."""
        return self.text.isascii() and self.text.isdigit() and len(self.text) <= _MOST_OF_SERIAL

    @cached_property
    def is_end_of_number(self) -> bool:
        """Whether it can be the last digits of a phone number, or all of them."""
        digits = _digits(self.text)
        return digits.isascii() and digits.isdigit() and _LEAST_OF_NUMBER <= len(digits) <= _MOST_OF_NUMBER

    @cached_property
    def is_whole_number(self) -> bool:
        """Whether it is a complete phone number that isn't found by its last digits."""
        normal = self.form("whole_number")
        return bool(normal) and not (self.is_end_of_number and normal.endswith(_digits(self.text)))

    @cached_property
    def is_address(self) -> bool:
        """Whether it can be the beginning of an email address."""
        return " " not in self.text and len(self.text) >= _LEAST_OF_EMAIL and not self.text.isalpha()

    @cached_property
    def is_part_of_code(self) -> bool:
        """Whether it can be the beginning or end of a code: words are none."""
        code = self.text.upper()
        return len(code) >= _LEAST_OF_CODE and code.isascii() and any(char.isdigit() for char in code)


def _digits(text: str) -> str:
    return text.replace(" ", "")


@lru_cache(maxsize=8)
def _ends(text: str) -> tuple[str, str]:
    """The range of a reversed column for numbers that end with these digits: its first text, and the next one."""
    first = _digits(text)[::-1]
    kept = first.rstrip("9")
    return first, kept[:-1] + str(int(kept[-1]) + 1) if kept else "A"


#: Name -> the beginning of a column of which the form of this name is the pattern.
_BEGINNINGS: dict[str, Callable[[str], str]] = {
    "begun": lambda text: " ".join(text.split()),
    "upper_begun": str.upper,
    "upper_ended": lambda text: text.upper()[::-1],
    "lower_begun": str.lower,
}
#: Name -> any other form of a text.
_FORMS: dict[str, Callable[[str], str]] = {
    TEXT: str,
    INSIDE: inside,
    WORDS: lambda text: wanted_words(text, db.engine.dialect.name == "sqlite"),
    "upper": str.upper,
    "whole_number": lambda text: phone.normalize(text) or "",
    "end_of_number": lambda text: _ends(text)[0],
    "after_end_of_number": lambda text: _ends(text)[1],
}
