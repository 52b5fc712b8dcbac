"""A telephone number has one normal form, E.164, whatever way it was typed."""

import re
import unicodedata
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType

#: More signs than any number that a person types, with its extension; longer text is refused unread.
LONGEST_TYPED = 60

#: Indian mobiles as they are nearly always written. The library agrees for each (see the tests) and is slower.
_INDIAN_MOBILE = re.compile(r"(?:\+91|0091|91|0)?[ -]?([6-9][0-9]{4})[ -]?([0-9]{5})")
#: Letters stand only before ("tel:") and after (an extension). The library reads others as keys: "982001 HOME" calls.
_TYPED = re.compile(r"(?:tel:)?[\W\d_]*(?:(?:ext(?:n|ension)?|x)[\W\d_]*)?", re.IGNORECASE)
_MOBILE_TYPES = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})


def normal(typed: str | None, region: str = "IN") -> str | None:
    """The E.164 form ('+919820012345') of what somebody typed, or None when it is no possible number; never raises.

    A number without a country code belongs to `region` (ISO 3166, two letters). An extension is dropped.
    """
    return _normal(typed, region) if isinstance(typed, str) and len(typed) <= LONGEST_TYPED else None


def shown(e164: str | None) -> str:
    """For people to read: '+91 98200 12345'. What is no number comes back as it is, None as ''."""
    return _shown(e164) if e164 else ""


def last_four(e164: str | None) -> str:
    """The last four digits; '' when there are not more than four, for then they would be the whole number."""
    digits = [sign for sign in e164 or "" if sign.isdecimal()]
    return "".join(digits[-4:]) if len(digits) > 4 else ""


def is_mobile(e164: str | None) -> bool:
    """Whether it can be a mobile telephone; in some countries (US) mobiles and fixed lines look alike, and count."""
    return e164 is not None and _is_mobile(e164)


@lru_cache(maxsize=65_536)
def _normal(typed: str, region: str) -> str | None:
    typed = typed.strip()
    common = _INDIAN_MOBILE.fullmatch(typed) if region == "IN" else None
    if common:
        return f"+91{common[1]}{common[2]}"
    number = _parsed(typed, region) if _is_readable(typed) else None
    # `national_number` is 0 for "0000000000", which the library calls possible: what telephones send for "withheld"
    if number is None or not number.national_number or not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@lru_cache(maxsize=16_384)
def _shown(e164: str) -> str:
    number = _parsed(e164)
    return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL) if number else e164


@lru_cache(maxsize=16_384)
def _is_mobile(e164: str) -> bool:
    number = _parsed(e164)
    return number is not None and phonenumbers.number_type(number) in _MOBILE_TYPES


def _parsed(text: str, region: str | None = None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None


def _is_readable(typed: str) -> bool:
    # the library cuts off NULs and broken Unicode at the ends, which would then reach the database in the typed form
    has_junk = any(unicodedata.category(sign) in ("Cc", "Cs") for sign in typed)
    return not has_junk and _TYPED.fullmatch(typed) is not None
