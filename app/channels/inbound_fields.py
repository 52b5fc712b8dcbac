"""Readers of providers' input: they return clean values or raise NotUnderstood, whatever the input."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from app.channels.http_client import read_json
from app.channels.provider import Inbound, NotUnderstood
from app.lib import phone

#: Characters of an identifier, a message, and the address of a file; longer ones are cut.
MAX_ID, MAX_TEXT, MAX_ADDRESS = 255, 65_536, 4000
#: The seconds since 1970 that are accepted as the time of a message: 2001 to 2286.
_FIRST_SECOND, _LAST_SECOND = 1_000_000_000, 9_999_999_999


def header(request: Inbound, name: str) -> str:
    """The value of a header, case-insensitive; "" if it is missing."""
    return next((value for key, value in request.headers.items() if key.lower() == name.lower()), "")


def first_value(fields: Mapping[str, list[str]], name: str, maximum: int = MAX_ID) -> str:
    """The first value of a field, on one line; "" if it is missing."""
    return one_line((fields.get(name) or [""])[0], maximum)


def clean(value: Any, maximum: int = MAX_TEXT) -> str:
    """A text that can be stored, with its lines; "" for anything but text.

    Control characters and surrogates are removed.
    """
    if not isinstance(value, str):
        return ""
    text = value[:maximum].replace("\r\n", "\n").replace("\r", "\n")
    return "".join(char for char in text if char == "\n" or unicodedata.category(char) not in ("Cc", "Cs"))


def one_line(value: Any, maximum: int = MAX_ID) -> str:
    """A text on one line, without spaces around it."""
    return " ".join(clean(value, maximum).split())


def field_id(fields: Mapping[str, list[str]], name: str) -> str:
    """The identifier in a field. Raises NotUnderstood."""
    return identifier(first_value(fields, name, MAX_ID + 1), name)


def identifier(value: Any, what: str) -> str:
    """An identifier of the provider. Raises NotUnderstood if it is empty or can't be stored."""
    text = value if isinstance(value, str) else ""
    if not text or len(text) > MAX_ID or not text.isascii() or not text.isprintable():
        raise NotUnderstood(f"There is no {what}.")
    return text


def number(value: Any) -> str:
    """A phone number in E.164; anything else, such as a sender's name, unchanged."""
    text = one_line(value, 64).removeprefix("whatsapp:")
    return phone.normalize(text) or text


def international(value: Any) -> str:
    """A number that WhatsApp writes without its plus sign, in E.164."""
    text = one_line(value, 64)
    return number(f"+{text.lstrip('+')}") if text else ""


def unix_time(value: Any) -> datetime | None:
    """The time for seconds since 1970, given as text or number; None if it isn't a time."""
    try:
        seconds = int(value) if isinstance(value, int) or (isinstance(value, str) and len(value) < 16) else 0
    except ValueError:
        return None
    return datetime.fromtimestamp(seconds, UTC) if _FIRST_SECOND <= seconds <= _LAST_SECOND else None


def whole_number(value: Any) -> int | None:
    """Digits as a number, such as the seconds of a call; None if it isn't a number."""
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def json_object(request: Inbound) -> dict[str, Any]:
    """The body as a JSON object. Raises NotUnderstood."""
    found = read_json(request.body)
    if not isinstance(found, dict):
        raise NotUnderstood("The body isn't a JSON object.")
    return found


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty dict."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[dict[str, Any]]:
    """The JSON objects of a list; [] for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def clean_json(value: Any, depth: int = 8) -> Any:
    """JSON whose texts can be stored; deeper levels are left out."""
    if isinstance(value, dict | list) and depth == 0:
        return None
    if isinstance(value, dict):
        return {clean(key, MAX_ID): clean_json(each, depth - 1) for key, each in value.items()}
    if isinstance(value, list):
        return [clean_json(each, depth - 1) for each in value]
    return clean(value) if isinstance(value, str) else value


def with_query(url: str, **values: str) -> str:
    """The address with additional parameters, without empty ones."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True) + [(key, value) for key, value in values.items() if value]
    return urlunsplit(parts._replace(query=urlencode(query)))
