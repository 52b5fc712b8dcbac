"""Links to pages that people enter: never a script, and no scheme but http and https."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:(?![0-9])")


def link_of(typed: str) -> str:
    """The address, with https in front where no scheme was typed. Raises ValueError for anything but http and https."""
    text = typed.strip()
    if any(char.isspace() or ord(char) < 32 or char in "\\\"'<>`" for char in text):
        raise ValueError(typed)
    if not _SCHEME.match(text):
        text = f"https://{text.lstrip('/')}"
    parts = urlsplit(text)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(typed)
    if "." not in parts.hostname and parts.hostname != "localhost":
        raise ValueError(typed)
    _port = parts.port  # raises ValueError if it isn't a number
    return text
