"""Rate limits of the API: per key or user, else per address; every response has the remaining calls.

Requests are counted after authentication. Counted by an unverified key, anybody could use up the limit of the key's
holder.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app, request

import config
from app.domain.base import RuleBroken, translatable
from app.ops.database.connections import WRITES
from app.ops.redis.rate_counter import Count, LocalRateCounter, Rate, RateCounter, RedisRateCounter
from app.web.core import fab_access
from app.web.core.flask_internals import request_values
from app.web.core.localization.languages import is_machine
from app.web.pages import errors

#: Attempts to sign in from one address that fail, at each endpoint.
SIGN_IN_ATTEMPTS = Rate(20, 60)
#: The attribute of `g` with the endpoint of an attempt that has not succeeded yet.
_ATTEMPT = "sign_in_attempt"


class TooManyRequests(RuleBroken):
    """More calls than the limit allows (429)."""

    http_status = 429


@dataclass(frozen=True)
class Limits:
    """The limits (None = unlimited), and the counter."""

    counter: RateCounter
    call: Rate | None
    write: Rate | None

    def count_request(self, name: str, now: float) -> Count | None:
        """Count a call, and whether it writes; returns the count with the least left."""
        counts = [self.counter.add(f"call {name}", self.call, now)] if self.call else []
        if self.write and WRITES.get():
            counts.append(self.counter.add(f"write {name}", self.write, now))
        return min(counts, key=lambda each: each.limit - each.used, default=None)


def install(app: Flask, settings: config.Settings) -> None:
    """Count every API call. Must be installed before FAB, so that its hook runs first."""
    counter = new_counter(settings)
    rates = [Rate(*each) if each else None for each in (settings.api_limit, settings.api_write_limit)]
    app.extensions["crm_limits"] = Limits(counter, *rates)
    app.before_request(_begin)
    app.after_request(_add_headers)
    app.after_request(_count_failed_attempt)


def new_counter(settings: config.Settings) -> RateCounter:
    """A counter that all processes share through Redis, or one of this process."""
    return RedisRateCounter(settings.redis_url) if settings.redis_url else LocalRateCounter()


def _begin() -> None:
    request_values().pop("limit", None)


def count_request(name: str) -> None:
    """Count this request once, under this name. Raises TooManyRequests above the limit."""
    held = request_values()
    if "limit" in held or not is_machine():
        return
    limits: Limits = current_app.extensions["crm_limits"]
    held["limit"] = count = limits.count_request(name, time.time())
    if count is not None and count.is_exceeded:
        raise TooManyRequests(translatable("Too many requests. Please wait %(seconds)s seconds.", seconds=_wait(count)))


def begin_sign_in_attempt(method: str = "compat") -> int:
    """Let this request try to sign in this way: it counts as failed unless `forget_attempt` follows.

    Attempts that are being checked don't count: a whole office shares one address, and begins at the same minute.
    Returns the seconds to wait if too many of this address have failed; 0 within limits.
    """
    count = _change_failed(0, method)
    if count.remaining == 0:
        return _wait(count)
    request_values()[_ATTEMPT] = method
    return 0


def forget_attempt() -> None:
    """Let the attempt of this request not count as failed: it was right, or nothing was checked."""
    request_values().pop(_ATTEMPT, None)


def _count_failed_attempt(response: Response) -> Response:
    method = request_values().pop(_ATTEMPT, None)
    if method is not None:
        _change_failed(1, method)
    return response


def count_attempt(name: str, rate: Rate) -> int:
    """Count an attempt under this name. Returns the seconds to wait; 0 within the limit."""
    limits: Limits = current_app.extensions["crm_limits"]
    count = limits.counter.add(name, rate, time.time())
    return _wait(count) if count.is_exceeded else 0


def _change_failed(by: int, method: str) -> Count:
    limits: Limits = current_app.extensions["crm_limits"]
    return limits.counter.add(f"sign-in {method} {request.remote_addr}", SIGN_IN_ATTEMPTS, time.time(), by)


def _wait(count: Count) -> int:
    return max(1, count.ends - int(time.time()))


def counter_name(credential: Any) -> str:
    """The name under which an authenticated request is counted: that of the API key, else of the user."""
    key = request_values().get("api_key_id")
    return f"key {key}" if key else f"user {credential.user.id}"


def _add_headers(response: Response) -> Response:
    """Add the limit's headers to an API response. Anonymous requests are counted here, by address."""
    if not is_machine() or request.method == "OPTIONS":
        return response
    held = request_values()
    if "limit" not in held:
        try:
            count_request(f"address {request.remote_addr}")
        except TooManyRequests as broken:
            response = current_app.make_response(errors.answer(*fab_access.refusal(broken)[:2]))
    count = held.get("limit")
    if count is None:
        return response
    response.headers.setdefault("X-RateLimit-Limit", str(count.limit))
    response.headers.setdefault("X-RateLimit-Remaining", str(count.remaining))
    response.headers.setdefault("X-RateLimit-Reset", str(count.ends))
    if count.is_exceeded and response.status_code == 429:
        response.headers.setdefault("Retry-After", str(_wait(count)))
    return response
