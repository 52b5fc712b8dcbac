"""Converts cells of a file for the forms' fields: values damaged by a spreadsheet are refused with a sentence."""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from datetime import datetime
from typing import Any

from babel import Locale

from app.domain.base import RuleBroken, translatable
from app.domain.files.spreadsheet_files import kind_of
from app.lib.iso_time import read_moment

#: dmy: 30/11/2026; mdy: 11/30/2026.
DATE_ORDERS = ("dmy", "mdy")
_SHORTENED = re.compile(r"[+-]?[0-9](?:\.[0-9]{0,15})?[eE]\+?[0-9]{1,3}")
_NUMERIC = re.compile(r"([0-9]{1,4})[-/. ]([0-9]{1,2})[-/. ]([0-9]{2,4})(?:[ T,]+(\S.*))?")
_NAMED = re.compile(r"([0-9]{1,2})[- /]([^\s0-9,/-]{2,20})[- /,]{1,2}([0-9]{2,4})(?:[ ,]+(\S.*))?")
_TIMES = ("%H:%M:%S", "%H:%M", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%H:%M:%S.%f")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LANGUAGES = ("hi", "gu", "mr", "bn", "ta", "te", "kn", "ml", "pa", "or")
#: Two ways to write the same word -> one of them.
_SPELLINGS = ((".", ""), ("॰", ""), ("\u093c", ""), ("\u0abc", ""), ("म्ब", "ंब"), ("મ્બ", "ંબ"))
_PHONES = ("mobile", "alternative_mobile", "from_number", "to_number", "phone")
_CODES = ("aadhaar", "client_id", "pod_id", "referral", "referred_by", "device_call_id", *_PHONES)


def cleaned(name: str, kind: str, cell: str, order: str) -> Any:
    """The cell for the field of this name and kind (Field.kind). Raises RuleBroken."""
    is_ = kind_of(cell)
    if is_ == "formula":
        text = "“%(name)s” holds a formula. Please copy the column and paste its values only."
        raise RuleBroken(translatable(text, name=name), name)
    if is_ == "error":
        text = "“%(name)s” holds an error of the spreadsheet (%(value)s). Please correct the cell."
        raise RuleBroken(translatable(text, name=name, value=str(cell)[:20]), name)
    text = str(cell).strip()
    if name in _CODES and _SHORTENED.fullmatch(text):
        sentence = (
            "“%(value)s” is a number that the spreadsheet has shortened: its last digits are lost. Please format the "
            "column as text, enter the numbers again, and upload the file anew."
        )
        raise RuleBroken(translatable(sentence, value=text[:40]), name)
    if (name == "aadhaar" and is_ == "number") or (name == "aadhaar" and text.isdigit()):
        _refuse_lost_zero(text, 12, name)
    if name in _PHONES and text.isdigit() and len(text) < 10:
        _refuse_lost_zero(text, 10, name)
    if kind in ("date", "moment", "birth"):
        found = iso_date(name, text, order)
        if kind != "birth":
            _refuse_no_date(name, text, found)
        return found
    return text


def _refuse_no_date(name: str, text: str, found: str) -> None:
    """Raise RuleBroken for an invalid date, or one outside the plausible centuries."""
    try:
        is_date = 1900 <= read_moment(found).year <= 2199
    except ValueError:
        is_date = False
    if not is_date:
        sentence = "“%(value)s” isn't a date that can be read. Please write it as in 30/11/2026 or 2026-11-30."
        raise RuleBroken(translatable(sentence, value=text[:40]), name)


def _refuse_lost_zero(text: str, digits: int, name: str) -> None:
    """Raise RuleBroken for a number with too few digits: spreadsheets drop leading zeros."""
    if 4 < len(text) < digits:
        sentence = (
            "“%(value)s” has %(count)s digits instead of %(wanted)s. If the spreadsheet has dropped a zero at its "
            "beginning, format the column as text and enter it again."
        )
        raise RuleBroken(translatable(sentence, value=text, count=len(text), wanted=digits), name)


def iso_date(name: str, text: str, order: str) -> str:
    """A date in ISO format: from 30/11/2026, 30-Nov-2026, 2026-11-30, with or without a time. Raises RuleBroken.

    Any other text is returned unchanged: the field says what it accepts.
    """
    named, numeric = _NAMED.fullmatch(text), _NUMERIC.fullmatch(text)
    if named is not None:
        return _iso(name, (named[3], str(_month_of(named[2])), named[1], named[4]), text, order)
    if numeric is None or (len(numeric[1]) == 4 and "-" in text[:5]):
        return text
    first, second, last, clock = numeric.groups()
    if len(first) == 4:
        return _iso(name, (first, second, last, clock), text, order)
    day, month = (first, second) if order == "dmy" else (second, first)
    return _iso(name, (last, month, day, clock), text, order)


def _month_of(word: str) -> int:
    """The number of a month, named in English or a language of India, in full or abbreviated; 0 for other words."""
    english = next((n for n, each in enumerate(_MONTHS, 1) if word.lower().startswith(each)), 0)
    return english or _local_months().get(_spelled(word), 0)


@functools.cache
def _local_months() -> dict[str, int]:
    """Names and abbreviations of the months in India's languages, as `_spelled` writes them -> number."""
    found: dict[str, int] = {}
    for language, use, width in itertools.product(_LANGUAGES, ("format", "stand-alone"), ("wide", "abbreviated")):
        found |= {_spelled(name): number for number, name in Locale.parse(language).months[use][width].items()}
    return found


def _spelled(word: str) -> str:
    """The word in one spelling: without full stops and nuktas (फरवरी, फ़रवरी), and with anusvara (सितम्बर, सितंबर)."""
    plain = unicodedata.normalize("NFD", word.lower())
    for written, meant in _SPELLINGS:
        plain = plain.replace(written, meant)
    return plain


def _iso(name: str, parts: tuple[str, str, str, str | None], text: str, order: str) -> str:
    year, month, day, clock = parts
    full = int(year) if len(year) == 4 else 2000 + int(year) - (100 if int(year) > 50 else 0)
    try:
        found = datetime(full, int(month), int(day))  # in the person's zone, as typed
    except ValueError as error:
        expected = translatable("day/month/year") if order == "dmy" else translatable("month/day/year")
        sentence = "“%(value)s” isn't a date in the order %(order)s. Please correct it, or choose the other order."
        raise RuleBroken(translatable(sentence, value=text[:40], order=expected), name) from error
    if not clock:
        return found.date().isoformat()
    for pattern in _TIMES:
        try:
            at = datetime.strptime(clock.strip().upper(), pattern)
        except ValueError:
            continue
        return datetime.combine(found.date(), at.time().replace(microsecond=0)).isoformat()
    raise RuleBroken(translatable("“%(value)s” has a time that can't be read.", value=text[:40]), name)


def guessed_order(cells: list[str]) -> str:
    """The order of day and month in these cells: mdy only if a second number can't be a month and no first one is
    so.
    """
    firsts, seconds = [], []
    for cell in cells:
        found = _NUMERIC.fullmatch(str(cell).strip())
        if found and len(found[1]) <= 2 and kind_of(cell) == "text":
            firsts.append(int(found[1]))
            seconds.append(int(found[2]))
    return "mdy" if seconds and max(seconds) > 12 and max(firsts) <= 12 else "dmy"
