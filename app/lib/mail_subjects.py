"""Subjects of emails."""

from __future__ import annotations

import re

#: What mail programs put before a subject, also repeated: "Re:", "Fwd:", "AW:", "RE[2]:".
_PREFIXES = re.compile(r"^(?:\s*+(?:re|fwd?|aw|wg|sv|tr)\s*+(?:\[\d{1,3}\]\s*+)?:)+", re.IGNORECASE)


def bare_subject(subject: str | None) -> str:
    """The subject without the prefixes of replies and forwarded emails, and without needless spaces."""
    return " ".join(_PREFIXES.sub("", subject or "").split())
