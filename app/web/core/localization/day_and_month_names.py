"""Dates with the names of days and months in the language of the page."""

from __future__ import annotations

import functools
import re
from datetime import date

from babel import Locale

from app.web.core.localization.languages import ENGLISH, language_key

#: The directives of strftime that are words: (of days or months, width in Babel's terms).
_WORDS = {
    "%a": ("days", "abbreviated"),
    "%A": ("days", "wide"),
    "%b": ("months", "abbreviated"),
    "%B": ("months", "wide"),
}
_WORD = re.compile("%[aAbB]")


def format_local_date(when: date, pattern: str) -> str:
    """The date or moment by strftime's pattern, such as "%a %-d %b %Y, %H:%M", with names in the page's language."""
    language, territory = language_key()
    if language in ("", ENGLISH):
        return when.strftime(pattern)
    places = {"days": when.weekday(), "months": when.month}
    names = _names(language, territory)
    return when.strftime(_WORD.sub(lambda found: names[found[0]][places[_WORDS[found[0]][0]]], pattern))


@functools.cache
def _names(language: str, territory: str | None) -> dict[str, dict[int, str]]:
    """Directive -> number of the day (Monday: 0) or month (January: 1) -> name."""
    locale = Locale(language, territory)
    return {each: dict(getattr(locale, kind)["format"][width]) for each, (kind, width) in _WORDS.items()}
