"""The bus: what a commit stirred goes to all processes; who misses it looks for himself a moment later.

A message says only *where* to look. The database is the truth, so a lost, late, doubled or invented message costs a
look and no more. Redis may be away: nobody waits for it, and `is_up` says whether a process must look more often.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = logging.getLogger("crm.live")

#: Redis answers within this time or counts as away.
TIMEOUT_SECONDS = 0.5
#: After a failure nobody asks Redis for so long; doubled up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
#: A listener says hello that often, and takes a longer silence for a dead line.
HELLO_SECONDS, SILENCE_SECONDS = 1.0, 3.0
#: A message with more is no message of ours.
MOST = 10_000


@dataclass(frozen=True)
class LiveEvent:
    """Where something happened; sets, so that many commits make one."""

    #: Users whose bell changed.
    told: frozenset[int] = frozenset()
    #: kind and id of records on which something happened.
    stirred: frozenset[tuple[str, int]] = frozenset()
    #: Users of whom a sign-in or key has ended.
    cut: frozenset[int] = frozenset()
    #: Whether everything on show is to be compared with the database.
    all: bool = False

    def __bool__(self) -> bool:
        return bool(self.told or self.stirred or self.cut or self.all)

    def __or__(self, other: LiveEvent) -> LiveEvent:
        return LiveEvent(
            self.told | other.told, self.stirred | other.stirred, self.cut | other.cut, self.all or other.all
        )

    def written(self, origin: str) -> bytes:
        """As JSON, signed by the process it comes from."""
        parts = {"told": sorted(self.told), "stirred": sorted(self.stirred), "cut": sorted(self.cut)}
        return orjson.dumps({"from": origin, **parts})


def read(text: bytes) -> tuple[str, LiveEvent] | None:
    """Origin and tidings of a message; None for anything that is none."""
    try:
        said = orjson.loads(text)
        kinds = frozenset((kind, key) for kind, key in said["stirred"])
        tidings = LiveEvent(frozenset(said["told"]), kinds, frozenset(said["cut"]))
        good = _are_ids(tidings.told | tidings.cut | {key for _kind, key in kinds}) and len(kinds) <= MOST
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return (str(said.get("from")), tidings) if good and all(isinstance(kind, str) for kind, _key in kinds) else None


def _are_ids(keys: frozenset[Any]) -> bool:
    return len(keys) <= MOST and all(type(key) is int and 0 < key < 2**31 for key in keys)


class EventBus:
    """One Redis channel. Sending costs nobody more than TIMEOUT_SECONDS, and that rarely; listening, a thread."""

    def __init__(self, url: str, hear: Callable[[LiveEvent], None]) -> None:
        """`hear` gets what other processes send; it must not wait and not raise."""
        self._hear, self._nonce = hear, uuid.uuid4().hex
        patience = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
        self._redis = Redis.from_url(url, retry=Retry(NoBackoff(), 0), **patience)
        #: Redis' channels know no database numbers; two houses on one Redis are told apart by it all the same.
        self.channel = f"crm-live:{self._redis.get_connection_kwargs().get('db', 0)}"
        self.is_up = False
        self._pause, self._quiet_until = FIRST_PAUSE, 0.0
        self._ended = threading.Event()
        self._listener: tuple[int, threading.Thread] | None = None
        self._lock = threading.Lock()

    @property
    def origin(self) -> str:
        """Names this process; one that was forked has a name of its own."""
        return f"{self._nonce}:{os.getpid()}"

    # --- sending

    def publish(self, tidings: LiveEvent) -> bool:
        """Tell all processes; False when Redis is away. Never raises, and while Redis is away never waits."""
        if time.monotonic() < self._quiet_until:
            return False
        try:
            self._redis.publish(self.channel, tidings.written(self.origin))
        except (RedisError, OSError) as error:
            self._quiet_until = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            log.warning("Redis does not take live news: %s", type(error).__name__)
            return False
        self._pause = FIRST_PAUSE
        return True

    # --- listening

    def listen(self) -> None:
        """Begin to hear the others, in a thread of this process; again is nothing."""
        with self._lock:
            if self._listener is None or self._listener[0] != os.getpid():
                thread = threading.Thread(target=self._listen_on, name="crm-live-bus", daemon=True)
                self._listener = (os.getpid(), thread)
                thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._ended.set()

    def _listen_on(self) -> None:
        pause = FIRST_PAUSE
        while not self._ended.is_set():
            try:
                self._hear_on()
            except (RedisError, OSError) as error:
                pause = FIRST_PAUSE if self.is_up else min(pause * 2, LONGEST_PAUSE)
                if self.is_up:
                    log.warning("Redis brings no live news: %s; this process looks for itself", type(error).__name__)
                self.is_up = False
            self._ended.wait(pause)

    def _hear_on(self) -> None:
        """Until the line breaks or falls silent: then it raises RedisError or OSError."""
        line = self._redis.pubsub()  # type: ignore[no-untyped-call]
        try:
            line.subscribe(self.channel)
            heard = asked = time.monotonic()
            while not self._ended.is_set():
                said, now = line.get_message(timeout=HELLO_SECONDS), time.monotonic()
                if said is not None:
                    heard = now
                    self._take(said)
                elif now - heard > SILENCE_SECONDS:
                    raise OSError("silence")
                if now - asked >= HELLO_SECONDS:
                    line.ping()
                    asked = now
        finally:
            with suppress(RedisError, OSError):
                line.close()

    def _take(self, said: dict[str, Any]) -> None:
        if said["type"] == "subscribe":
            self.is_up, self._quiet_until = True, 0.0
            self._hear(LiveEvent(all=True))  # nobody knows what was said in the meantime
        elif said["type"] == "message":
            news = read(said["data"])
            if news is not None and news[0] != self.origin:
                self._hear(news[1])
