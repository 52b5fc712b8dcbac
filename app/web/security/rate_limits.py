"""How often the API may be asked: per key or person, else per address; every answer says how much is left.

Decision: counted after it is known who asks. By the name of a key that nobody has proved, anybody could use up the
holder's share.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app, g, request

import config
from app.domain.base import RuleBroken, translatable
from app.ops.database import WRITES
from app.ops.rate_counter import Count, LocalRateCounter, Rate, RateCounter, RedisRateCounter
from app.web.core import gate
from app.web.core.languages import is_machine
from app.web.pages import errors

#: Wrong tries to sign in from one address at the telephones' door, before which FAB's limiter does not stand.
TRIES = Rate(20, 60)


class TooFast(RuleBroken):
    """More calls than the limit allows (429)."""

    http_status = 429


@dataclass(frozen=True)
class Limits:
    """What is allowed (None = as often as they like), and where it is counted."""

    tally: RateCounter
    call: Rate | None
    write: Rate | None

    def count(self, name: str, now: float) -> Count | None:
        """Count a call, and a write among them; the count that comes to its end first."""
        counts = [self.tally.add(f"call {name}", self.call, now)] if self.call else []
        if self.write and WRITES.get():
            counts.append(self.tally.add(f"write {name}", self.write, now))
        return min(counts, key=lambda each: each.limit - each.used, default=None)


def install(app: Flask, settings: config.Settings) -> None:
    """Count every call of the API. Stands before FAB is built, so that a request begins uncounted."""
    tally = RedisRateCounter(settings.redis_url) if settings.redis_url else LocalRateCounter()
    rates = [Rate(*each) if each else None for each in (settings.api_limit, settings.api_write_limit)]
    app.extensions["crm_limits"] = Limits(tally, *rates)
    app.before_request(_begin)
    app.after_request(_told)


def _begin() -> None:
    g.pop("limit", None)


def count(name: str) -> None:
    """Count this request for whoever asks, once. Raises TooFast when it is one too many."""
    if "limit" in g or not is_machine():
        return
    limits: Limits = current_app.extensions["crm_limits"]
    g.limit = held = limits.count(name, time.time())
    if held is not None and held.is_exceeded:
        raise TooFast(translatable("Too many requests. Please wait %(seconds)s seconds.", seconds=_wait(held)))


def count_try() -> int:
    """Count a try of this address before it is looked at; the seconds to wait when it is one too many, else 0."""
    held = _tried(1)
    return _wait(held) if held.is_exceeded else 0


def forgive_try() -> None:
    """A right one was none: the telephones of a whole office stand behind one address."""
    _tried(-1)


def _tried(by: int) -> Count:
    limits: Limits = current_app.extensions["crm_limits"]
    return limits.tally.add(f"sign-in {request.remote_addr}", TRIES, time.time(), by)


def _wait(held: Count) -> int:
    return max(1, held.ends - int(time.time()))


def of_found(found: Any) -> str:
    """The name under which somebody who has signed in is counted: his key's, else his own."""
    key = g.get("api_key_id")
    return f"key {key}" if key else f"user {found.user.id}"


def _told(response: Response) -> Response:
    """Headers of an answer of the API; who is nobody is counted here, by address."""
    if not is_machine() or request.method == "OPTIONS":
        return response
    try:
        count(f"address {request.remote_addr}")
    except TooFast as broken:
        response = current_app.make_response(errors.answer(*gate.refusal(broken)[:2]))
    held = g.get("limit")
    if held is None:
        return response
    response.headers.setdefault("X-RateLimit-Limit", str(held.limit))
    response.headers.setdefault("X-RateLimit-Remaining", str(held.remaining))
    response.headers.setdefault("X-RateLimit-Reset", str(held.ends))
    if held.is_exceeded and response.status_code == 429:
        response.headers.setdefault("Retry-After", str(_wait(held)))
    return response
