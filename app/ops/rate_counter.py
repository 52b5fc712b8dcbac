"""How often something happened in the present window of time: in this process, or shared by all over Redis."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = logging.getLogger("crm.tally")
#: Seconds that Redis may take for an answer; who calls waits for it.
PATIENCE = 0.05
#: For so many seconds Redis is not asked again after it did not answer.
REST_SECONDS = 10
#: Names that one process remembers; beyond it all are forgotten, so that nobody fills its memory.
MOST_NAMES = 100_000
PREFIX = "crm-tally:"


@dataclass(frozen=True)
class Rate:
    """So many in a window of so many seconds."""

    most: int
    seconds: int


@dataclass(frozen=True)
class Count:
    """How far a name has come in the present window."""

    most: int
    used: int
    #: When the window ends, seconds of Unix time.
    ends: int

    @property
    def left(self) -> int:
        """How many more may come in this window."""
        return max(0, self.most - self.used)

    @property
    def is_over(self) -> bool:
        """Whether this one was too many."""
        return self.used > self.most


class RateCounter(Protocol):
    """Counts names in windows that begin at full multiples of their length."""

    def add(self, name: str, rate: Rate, now: float, by: int = 1) -> Count:
        """Count one more of this name (or `by`, -1 takes one back) at `now`, Unix time."""
        ...


class LocalRateCounter:
    """Counted in this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[tuple[str, int], int] = {}
        self._sweep_at = 0.0

    def add(self, name: str, rate: Rate, now: float, by: int = 1) -> Count:
        """Count one more of this name at `now`."""
        ends = window_end(rate, now)
        key = (name, ends)
        with self._lock:
            if now >= self._sweep_at or len(self._counts) > MOST_NAMES:
                self._sweep(now)
            used = self._counts[key] = self._counts.get(key, 0) + by
        return Count(rate.most, used, ends)

    def _sweep(self, now: float) -> None:
        """Windows that ended are forgotten, once a minute."""
        alive = {key: used for key, used in self._counts.items() if key[1] > now}
        self._counts = alive if len(alive) <= MOST_NAMES else {}
        self._sweep_at = now + 60


class RedisRateCounter:
    """Counted in Redis for all processes; in this one while Redis is away, so that nobody waits for it."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(
            url, retry=Retry(NoBackoff(), 0), socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
        )
        self._own = LocalRateCounter()
        self._asks_again = 0.0

    def add(self, name: str, rate: Rate, now: float, by: int = 1) -> Count:
        """Count one more of this name at `now`."""
        if time.monotonic() < self._asks_again:
            return self._own.add(name, rate, now, by)
        ends = window_end(rate, now)
        try:
            return Count(rate.most, self._added(f"{PREFIX}{name}:{ends}", rate.seconds, by), ends)
        except RedisError as error:
            self._asks_again = time.monotonic() + REST_SECONDS
            log.warning("Redis does not count for %s s: %s", REST_SECONDS, type(error).__name__)
            return self._own.add(name, rate, now, by)

    def _added(self, key: str, seconds: int, by: int) -> int:
        with self._redis.pipeline(transaction=False) as both:
            both.incrby(key, by)
            both.expire(key, seconds + 1)
            used, _set = both.execute()
        return int(used)


def window_end(rate: Rate, now: float) -> int:
    """When the window of `now` ends, Unix time."""
    return (int(now) // rate.seconds + 1) * rate.seconds
