"""Phone numbers, normalized to E.164 however they were typed."""

import re
import unicodedata
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType

#: Longer than any typed number, extension included; longer text isn't a number.
MAX_TYPED = 60

#: Indian mobile numbers in their usual formats. The library returns the same (see the tests), but slower.
_INDIAN_MOBILE = re.compile(r"(?:\+91|0091|91|0)?[ -]?([6-9][0-9]{4})[ -]?([0-9]{5})")
#: Letters are allowed only before ("tel:") and after (an extension); the library reads others as keys: "982001 HOME".
_TYPED = re.compile(r"(?:tel:)?[\W\d_]*(?:(?:ext(?:n|ension)?|x)[\W\d_]*)?", re.IGNORECASE)
#: Separators between two numbers in one field.
_SEPARATOR = re.compile(r"[;,/|&+]|(?:\bor\b)|(?:\band\b)", re.IGNORECASE)
#: A part of a text with this many digits is a number of its own.
_LEAST_DIGITS = 6
_MOBILE_TYPES = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


def normalize(typed: str | None, region: str = "IN") -> str | None:
    """The E.164 form ('+919820012345') of what somebody typed; None if it isn't a possible number. Never raises.

    A number without a country code belongs to `region` (ISO 3166, two letters). An extension is dropped.
    """
    return _normalize(typed, region) if isinstance(typed, str) and len(typed) <= MAX_TYPED else None


def display(e164: str | None) -> str:
    """The number as people read it: '+91 98200 12345'. Text that is not a number is returned unchanged, None as ''."""
    return _display(e164) if e164 else ""


def last_four(e164: str | None) -> str:
    """The last four digits; '' if there are no more than four, because they would be the whole number."""
    digits = [char for char in e164 or "" if char.isdecimal()]
    return "".join(digits[-4:]) if len(digits) > 4 else ""


def is_mobile(e164: str | None) -> bool:
    """Whether it can be a mobile number. True also where mobile and fixed-line numbers look the same (US)."""
    return e164 is not None and _is_mobile(e164)


@lru_cache(maxsize=65_536)
def _normalize(typed: str, region: str) -> str | None:
    typed = typed.strip()
    match = _INDIAN_MOBILE.fullmatch(typed) if region == "IN" else None
    if match:
        return f"+91{match[1]}{match[2]}"
    number = _parse(typed, region) if _is_parseable(typed) else None
    # "0000000000" has the national_number 0: telephones send it for a withheld number; the library considers it
    # possible.
    if number is None or not number.national_number or not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@lru_cache(maxsize=16_384)
def _display(e164: str) -> str:
    number = _parse(e164)
    return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL) if number else e164


@lru_cache(maxsize=16_384)
def _is_mobile(e164: str) -> bool:
    number = _parse(e164)
    return number is not None and phonenumbers.number_type(number) in _MOBILE_TYPES


def _parse(text: str, region: str | None = None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None


def has_several(typed: str) -> bool:
    """Whether the text contains several numbers: "9820012345; 9820054321". Only one of them could be stored."""
    parts = _SEPARATOR.split(typed[:1000].replace("\n", ";"))
    numbers = [part for part in parts if sum(char.isdecimal() for char in part) >= _LEAST_DIGITS]
    return len(numbers) > 1


def has_extension(typed: str, region: str = "IN") -> bool:
    """Whether an extension follows the number: "022 2345 6789 ext 5". `normalize` drops it."""
    number = _parse(typed, region) if len(typed) <= MAX_TYPED else None
    return number is not None and bool(number.extension)


def _is_parseable(typed: str) -> bool:
    if has_several(typed):
        return False
    # The library ignores NULs and broken Unicode at the ends; stored as typed, they would reach the database.
    has_junk = any(unicodedata.category(char) in ("Cc", "Cs") for char in typed)
    return not has_junk and _TYPED.fullmatch(typed) is not None
