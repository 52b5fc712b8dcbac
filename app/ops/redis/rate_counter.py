"""Counters of events per time window, in this process or shared through Redis."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from app.ops import TAG
from app.ops.redis import redis_client

log = logging.getLogger("crm.tally")
#: How long a request waits for Redis.
TIMEOUT_SECONDS = 0.05
#: Seconds without trying Redis after a failure.
BACKOFF_SECONDS = 10
#: The most names that one process counts; above it, all are forgotten, so that nobody can fill its memory.
MAX_NAMES = 100_000
PREFIX = f"{TAG}tally:"


@dataclass(frozen=True)
class Rate:
    """A limit on the number of events in a window of this many seconds."""

    limit: int
    seconds: int


@dataclass(frozen=True)
class Count:
    """The count of a name in the current window."""

    limit: int
    used: int
    #: When the window ends, Unix time in seconds.
    ends: int

    @property
    def remaining(self) -> int:
        """How many more are allowed in this window."""
        return max(0, self.limit - self.used)

    @property
    def is_exceeded(self) -> bool:
        """Whether the limit is exceeded."""
        return self.used > self.limit


class RateCounter(Protocol):
    """Counts names in time windows that begin at multiples of their length."""

    def add(self, name: str, rate: Rate, now: float, by: int = 1) -> Count:
        """Count this name at `now`, Unix time; `by=-1` undoes one."""
        ...


class LocalRateCounter:
    """Counts in this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[tuple[str, int], int] = {}
        self._clean_up_at = 0.0

    def add(self, name: str, rate: Rate, now: float, by: int = 1) -> Count:
        """Count this name at `now`."""
        ends = window_end(rate, now)
        key = (name, ends)
        with self._lock:
            if now >= self._clean_up_at or len(self._counts) > MAX_NAMES:
                self._clean_up(now)
            used = self._counts[key] = self._counts.get(key, 0) + by
        return Count(rate.limit, used, ends)

    def _clean_up(self, now: float) -> None:
        """Remove windows that have ended, once a minute."""
        current = {key: used for key, used in self._counts.items() if key[1] > now}
        self._counts = current if len(current) <= MAX_NAMES else {}
        self._clean_up_at = now + 60


class RedisRateCounter:
    """Counts in Redis for all processes; in this process while Redis is unreachable, so that nobody waits for it."""

    def __init__(self, url: str) -> None:
        self._redis = redis_client.connect(url, TIMEOUT_SECONDS)
        self._local = LocalRateCounter()
        self._backoff_until = 0.0

    def add(self, name: str, rate: Rate, now: float, by: int = 1) -> Count:
        """Count this name at `now`."""
        if time.monotonic() < self._backoff_until:
            return self._local.add(name, rate, now, by)
        ends, ours = window_end(rate, now), self._local.add(name, rate, now, by)
        try:
            used = self._increment(f"{PREFIX}{name}:{ends}", rate.seconds, by)
        except (*redis_client.TROUBLE, TypeError) as error:
            self._backoff_until = time.monotonic() + BACKOFF_SECONDS
            log.warning("Redis does not count for %s s: %s", BACKOFF_SECONDS, type(error).__name__)
            return ours
        # Anybody who can write to Redis must not be able to lower what this process has counted itself.
        return Count(rate.limit, max(used, ours.used), ends)

    def _increment(self, key: str, seconds: int, by: int) -> int:
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.incrby(key, by)
            pipeline.expire(key, seconds + 1)
            used, _set = pipeline.execute()
        return int(used)


def window_end(rate: Rate, now: float) -> int:
    """The end of the time window that contains `now`, in Unix time."""
    return (int(now) // rate.seconds + 1) * rate.seconds
