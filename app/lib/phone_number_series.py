"""Series of Indian phone numbers: 140 for promotional calls, 1600 for service calls, and ordinary numbers.

Sources: TCCCPR as amended on 12 Feb 2025, TRAI's direction of 19 Nov 2025.
"""

from __future__ import annotations

import re

#: As the report names them.
SERIES = ("140", "1600", "ten-digit", "other")
#: Series -> the only purpose that it may be used for.
PURPOSES = {"140": "promotional", "1600": "service"}
_PATTERNS = (
    ("140", re.compile(r"\+91140[0-9]{7}")),
    ("1600", re.compile(r"\+911600[0-9]{6}")),
    ("ten-digit", re.compile(r"\+91[0-9]{10}")),
)


def phone_series(number: str | None) -> str:
    """The series of a number in E.164; "other" for foreign and unknown ones."""
    return next((name for name, pattern in _PATTERNS if pattern.fullmatch(number or "")), "other")
