"""Upload limits per person: files are stored before their message is sent, and could fill the disk."""

from __future__ import annotations

import time

from flask import current_app

from app.domain.base import translatable
from app.ops.redis.rate_counter import Rate
from app.web.core.viewer import Viewer
from app.web.security.rate_limits import TooManyRequests

#: Bytes per person in an hour and in a day; files that are not sent are removed after a day.
RATES = (Rate(500_000_000, 3600), Rate(2_000_000_000, 86_400))


def count(size: int, viewer: Viewer) -> None:
    """Count an upload of this size before it is stored. Raises TooManyRequests."""
    counter, now = current_app.extensions["crm_limits"].counter, time.time()
    for rate in RATES:
        counted = counter.add(f"upload {rate.seconds} {viewer.person.id}", rate, now, size)
        if counted.is_exceeded:
            minutes = max(1, (counted.ends - int(now)) // 60)
            text = "You have uploaded very many files. Please wait %(minutes)s minutes."
            raise TooManyRequests(translatable(text, minutes=minutes), "files")
