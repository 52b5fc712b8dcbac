"""Dates and times as text (ISO 8601), read strictly: ambiguous input is refused, never truncated.

`fromisoformat` alone reads "18.30" as a fraction of the hour (18:00:00.3), and 1764123456789 as the year 1764.
"""

import re
from datetime import datetime, time

#: The longest text that can be a time.
MAX_TYPED = 40
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_MOMENT = re.compile(rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[T ]{_CLOCK}(?:Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)?)?")
_TIME = re.compile(r"([0-9]{1,2}:[0-9]{2})(?::([0-9]{2})(?:\.0{1,9})?)?")


def read_moment(typed: str) -> datetime:
    """A date such as 2026-11-30, with or without a time and an offset. Raises ValueError."""
    if len(typed) > MAX_TYPED or not _MOMENT.fullmatch(typed):
        raise ValueError(typed[:MAX_TYPED])
    return datetime.fromisoformat(typed)


def read_time(typed: str) -> time:
    """A time of day such as 17:30, 9:30 or 17:30:00, without an offset. Raises ValueError."""
    found = _TIME.fullmatch(typed[:MAX_TYPED])
    if found is None:
        raise ValueError(typed[:MAX_TYPED])
    return time.fromisoformat(f"{found[1]:0>5}:{found[2] or '00'}")
