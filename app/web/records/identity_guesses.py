"""Limits guessing of phone, PAN and Aadhaar numbers, which are refused if another customer has them.

Uniqueness can't be hidden, but people who don't see such numbers in full may enter only few of them: not enough to find
one whose last digits they see.
"""

from __future__ import annotations

import time
from typing import Any

from flask import current_app

from app.domain.base import TranslatableText, translatable
from app.domain.customers import SECRET_FIELDS
from app.ops.redis.rate_counter import Rate
from app.web.core.viewer import Viewer
from app.web.security.rate_limits import TooManyRequests

#: Numbers of one kind that one person may enter for customers and leads.
RATES = (Rate(60, 60), Rate(600, 86400))
#: Field -> kind: both phone numbers are compared with all phone numbers.
_KINDS = {name: name for name in SECRET_FIELDS} | {"mobile": "mobile", "alternative_mobile": "mobile"}


def count(values: dict[str, Any], viewer: Viewer) -> None:
    """Count the masked numbers among these changes, before they are applied. Raises TooManyRequests."""
    entered = [name for name in _KINDS if values.get(name) and viewer.person.mask(name) != "full"]
    counter, now = current_app.extensions["crm_limits"].counter, time.time()
    for name in entered:
        for rate in RATES:
            counted = counter.add(f"secret {_KINDS[name]} {rate.seconds} {viewer.person.id}", rate, now)
            if counted.is_exceeded:
                raise TooManyRequests(_too_many(name, max(1, counted.ends - int(now))))


def _too_many(name: str, seconds: int) -> TranslatableText:
    if name in SECRET_FIELDS:
        return translatable(
            "You have entered too many PAN or Aadhaar numbers. Please wait %(seconds)s seconds.", seconds=seconds
        )
    return translatable("You have entered too many phone numbers. Please wait %(seconds)s seconds.", seconds=seconds)
