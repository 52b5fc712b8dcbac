"""Lengths as a clock shows them: 4:30 is four and a half minutes, 1:04:30 an hour more."""

from __future__ import annotations

import re

_FORM = re.compile(r"(?:([0-9]{1,4}):)?([0-9]{1,5}):([0-9]{2})")


def seconds_of(text: str) -> int | None:
    """The seconds of minutes:seconds or hours:minutes:seconds; None if the text is neither."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    if seconds > 59 or (found[1] and minutes > 59):
        return None
    return hours * 3600 + minutes * 60 + seconds


def text_of(seconds: int) -> str:
    """Seconds as minutes:seconds, from an hour on as hours:minutes:seconds."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
