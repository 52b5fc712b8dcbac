"""Converts the predecessor's values: times in its office's zone, durations, HTML, JSON in cells."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, tzinfo
from typing import Any

from app.domain.base import RuleBroken, translatable
from app.lib import text_normalization as texts
from app.web.compat.html_text import MAX_HTML, html_to_text
from app.web.compat.responses import CompatError
from app.web.transfer import import_values

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FRACTION = re.compile(r"(:[0-9]{2})[.][0-9]{1,6}")
_PART = re.compile(r"([0-9]{1,9}) ?([dhms])")
_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
#: An empty editor of the predecessor.
_EMPTY = ("<p></p>", "<br>", "<div><br></div>", "null", "none")


def plain_text(value: Any) -> str:
    """Text of several lines that can be stored; "" for None."""
    if value is None or isinstance(value, dict | list):
        return ""
    typed = str(value).strip()
    if not typed or typed.lower() in _EMPTY:
        return ""
    try:
        return texts.lines(_CONTROL.sub(" ", typed))
    except texts.UnstorableText:
        return typed.encode("ascii", "ignore").decode()


def line_of(value: Any) -> str:
    """The text of a cell on one line."""
    return " ".join(plain_text(value).split())


def from_html(value: Any) -> str:
    """The text of an editor's HTML."""
    typed = plain_text(value)
    try:
        return plain_text(html_to_text(typed[:MAX_HTML]))
    except CompatError:
        return typed


def moment(value: Any, zone: tzinfo) -> datetime | None:
    """The time in UTC of a text without a zone, in the office's. Raises RuleBroken."""
    typed = _FRACTION.sub(r"\1", line_of(value))
    if not typed or typed.startswith("0000-00-00"):
        return None
    try:
        found = datetime.fromisoformat(str(import_values.iso_date("", typed, "dmy")).replace(" +", "+"))
        found = found if found.tzinfo else found.replace(tzinfo=zone)
        if 1900 <= found.year <= 2199:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise RuleBroken(translatable("“%(value)s” isn't a date such as 2025-09-29 14:03:22.", value=typed[:40]))


def day(value: Any) -> date | None:
    """A date. Raises RuleBroken."""
    found = moment(value, UTC)
    return found.date() if found else None


def seconds(value: Any) -> int:
    """A number of seconds, also from “1h 2m 3s”; 0 for None."""
    typed = line_of(value).lower()
    try:
        return max(0, min(int(float(typed)), 2_000_000_000)) if typed else 0
    except (ValueError, OverflowError):
        return sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(typed))


def is_yes(value: Any) -> bool:
    """Whether a checkbox is set."""
    return line_of(value).lower() in ("1", "yes", "true", "1.0")


def listed(value: Any) -> list[Any]:
    """A JSON list, parsed or as text; [] for anything else."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return value if isinstance(value, list) else []


def name_of(value: Any) -> str:
    """The name of a record: text, or a number in a JSON file."""
    return line_of(value).strip('"')[:140]
