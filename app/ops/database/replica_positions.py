"""The position in the database's changes of each person's last save, shared by all servers through Redis."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from app.ops import TAG
from app.ops.database.gtids import UNKNOWN, Position, covers
from app.ops.redis import redis_client

log = logging.getLogger("crm.replicas")

#: How long it is remembered: much longer than a replica may be behind.
KEPT_SECONDS = 600
#: How long a request waits for Redis, and how long a process does without it after a failure.
TIMEOUT_SECONDS, BACKOFF_SECONDS = 0.05, 5.0
MAX_PEOPLE = 10_000
PREFIX = f"{TAG}saved:"


class SavedPositions:
    """Stores positions in Redis, and in this process those that it has seen itself."""

    def __init__(self, url: str) -> None:
        self._redis = redis_client.connect(url, TIMEOUT_SECONDS)
        #: user id -> (until when, monotonic; position, or None if unknown).
        self._own: dict[int, tuple[float, Position | None]] = {}
        #: user id -> scores that could not be sent to Redis.
        self._untold: dict[int, dict[str, int]] = {}
        self._lock = Lock()
        self._backoff_until = 0.0

    def remember(self, user_id: int, position: Position | None) -> None:
        """Record that this person has saved up to this position; None = unknown. Never raises."""
        with self._lock:
            if len(self._own) >= MAX_PEOPLE:
                self._own.clear()
            self._own[user_id] = (time.monotonic() + KEPT_SECONDS, position)
        scores = {UNKNOWN: 1} if position is None else {str(domain): number for domain, number in position.items()}
        try:
            self._tried_twice(lambda: self._store(f"{PREFIX}{user_id}", scores))
        except redis_client.TROUBLE as error:
            self._untold[user_id] = scores
            self._back_off(error)

    def resend(self) -> None:
        """Retry sending to Redis, for clients without a cookie. Never raises."""
        for user_id in list(self._untold):
            try:
                self._store(f"{PREFIX}{user_id}", self._untold[user_id])
            except redis_client.TROUBLE:
                return
            self._untold.pop(user_id, None)

    def of(self, user_id: int) -> Position | None:
        """The position of the person's last save, {} if there is no recent one; None if unknown. Never raises."""
        if time.monotonic() < self._backoff_until:
            return None
        try:
            rows = self._tried_twice(lambda: self._redis.zrange(f"{PREFIX}{user_id}", 0, -1, withscores=True))
            found = {bytes(name).decode(): int(number) for name, number in rows}
            position = {int(domain): number for domain, number in found.items() if domain != UNKNOWN}
        except (*redis_client.TROUBLE, TypeError) as error:
            self._back_off(error)
            return None
        until, own = self._own.get(user_id, (0.0, {}))
        if UNKNOWN in found or (own is None and until > time.monotonic()):
            return None
        # Redis may have lost it in a fail-over.
        return position if own is None or until < time.monotonic() or covers(position, own) else {**position, **own}

    def _store(self, key: str, scores: dict[str, int]) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zadd(key, scores, gt=True)
            pipeline.expire(key, KEPT_SECONDS)
            pipeline.execute()

    @staticmethod
    def _tried_twice(call: Callable[[], Any]) -> Any:
        """Call twice if needed: after a restart or fail-over, each idle connection breaks once.

        Both calls may be repeated.
        """
        try:
            return call()
        except redis_client.TROUBLE:
            return call()

    def _back_off(self, error: Exception) -> None:
        self._backoff_until = time.monotonic() + BACKOFF_SECONDS
        log.warning("Redis doesn't say who has saved what; lists come from the primary: %s", type(error).__name__)
