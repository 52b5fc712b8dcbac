"""The event bus: a Redis channel by which processes tell each other where something has changed.

An event says only *where* to look. The database is authoritative, so a lost, late, repeated or forged event costs a
query and no more. While Redis is unreachable nobody waits for it, and `is_up` tells the process to check more often.
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

from app.ops.redis import redis_client
from app.ops.redis.redis_client import ListenerConnection

log = logging.getLogger("crm.live")

#: Redis counts as unreachable if it does not respond within this time.
TIMEOUT_SECONDS = 0.5
#: Pause after a failure; doubled with each further one, up to the second value.
MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.25, 5.0
#: How often a listener pings Redis, and after how long a silence the connection counts as dead.
PING_SECONDS, SILENCE_SECONDS = 1.0, 3.0
#: A message with more ids can't be ours.
MAX_IDS = 10_000
MAX_BYTES = 1024 * 1024
#: Characters of a field name.
MAX_FIELD = 40


@dataclass(frozen=True)
class PagePresence:
    """The people who have a record open in one process; a higher serial replaces earlier ones."""

    origin: str
    serial: int
    kind: str
    key: int
    #: (user id, the field that they edit; "" = none).
    people: tuple[tuple[int, str], ...]

    @property
    def record(self) -> tuple[str, int]:
        """(kind, id) of the record."""
        return self.kind, self.key


@dataclass(frozen=True)
class LiveEvent:
    """Ids of what has changed; sets, so that the events of many commits merge into one."""

    #: Users with a new or read notice.
    notified: frozenset[int] = frozenset()
    #: (kind, id) of records with a new entry in their timeline.
    changed_timelines: frozenset[tuple[str, int]] = frozenset()
    #: Users with a sign-in or API key that has ended.
    ended_sign_ins: frozenset[int] = frozenset()
    #: (id of the conversation, user id) of people who are currently writing a reply; not stored.
    typing: frozenset[tuple[int, int]] = frozenset()
    #: Users with a changed call card.
    call_card_users: frozenset[int] = frozenset()
    #: Who has which record open; not stored.
    presences: frozenset[PagePresence] = frozenset()
    #: Whether to compare everything on display with the database.
    compare_all: bool = False

    def __bool__(self) -> bool:
        shown = self.notified or self.changed_timelines or self.typing or self.call_card_users
        return bool(shown or self.ended_sign_ins or self.presences or self.compare_all)

    def __or__(self, other: LiveEvent) -> LiveEvent:
        return LiveEvent(
            self.notified | other.notified,
            self.changed_timelines | other.changed_timelines,
            self.ended_sign_ins | other.ended_sign_ins,
            self.typing | other.typing,
            self.call_card_users | other.call_card_users,
            self.presences | other.presences,
            self.compare_all or other.compare_all,
        )

    def to_json(self, origin: str) -> bytes:
        """The message for the channel; `origin` identifies the sending process."""
        users = {
            "told": sorted(self.notified),
            "cut": sorted(self.ended_sign_ins),
            "called": sorted(self.call_card_users),
        }
        places = {"stirred": sorted(self.changed_timelines), "typing": sorted(self.typing)}
        here = [(each.serial, each.kind, each.key, each.people) for each in self.presences]
        return orjson.dumps({"from": origin, **places, **users, "here": here})


def parse(message: bytes) -> tuple[str, LiveEvent] | None:
    """Origin and event of a message; None if it isn't ours."""
    try:
        if len(message) > MAX_BYTES:
            return None
        parts = orjson.loads(message)
        timelines = frozenset((kind, key) for kind, key in parts["stirred"])
        # Processes of an older version, during an upgrade, don't send who is typing, called or present.
        typing = frozenset((talk, user) for talk, user in parts.get("typing", ()))
        users = (frozenset(parts["told"]), frozenset(parts["cut"]), frozenset(parts.get("called", ())))
        presences = frozenset(_parse_presence(str(parts.get("from")), raw) for raw in parts.get("here", ()))
        event = LiveEvent(users[0], timelines, users[1], typing, users[2], presences)
        ids = users[0] | users[1] | users[2] | {key for _kind, key in timelines}
        ids |= {key for each in presences for key in (each.key, *(user for user, _field in each.people))}
        are_ids = _are_ids(ids | {each for pair in typing for each in pair})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    is_valid = are_ids and len(timelines) <= MAX_IDS and all(isinstance(kind, str) for kind, _key in timelines)
    return (str(parts.get("from")), event) if is_valid else None


def _parse_presence(origin: str, reported: Any) -> PagePresence:
    """A process's presence report about a record. Raises TypeError or ValueError for anything else."""
    serial, kind, key, people = reported
    pairs = tuple((user, field) for user, field in people)
    are_names = all(isinstance(field, str) and len(field) <= MAX_FIELD for _user, field in pairs)
    if type(serial) is not int or not isinstance(kind, str) or not are_names:
        raise TypeError("not a presence report")
    return PagePresence(origin, serial, kind, key, pairs)


def _are_ids(keys: frozenset[Any]) -> bool:
    return len(keys) <= MAX_IDS and all(type(key) is int and 0 < key < 2**31 for key in keys)


class EventBus:
    """One Redis channel. A sender rarely waits, and at most TIMEOUT_SECONDS; listening takes a thread."""

    def __init__(self, url: str, on_event: Callable[[LiveEvent], None]) -> None:
        """`on_event` is called with events of other processes; it must neither wait nor raise."""
        self._on_event, self._nonce = on_event, uuid.uuid4().hex
        self._redis = redis_client.connect(url, TIMEOUT_SECONDS)
        #: The listener pings every PING_SECONDS; everything it reads until the next ping is one exchange.
        self._listening = redis_client.connect(url, SILENCE_SECONDS, ListenerConnection)
        #: Redis channels ignore the database number, so it is part of the name.
        self.channel = f"crm-live:{self._redis.get_connection_kwargs().get('db', 0)}"
        self.is_up = False
        self._backoff, self._backoff_until = MIN_BACKOFF_SECONDS, 0.0
        self._closed = threading.Event()
        #: (pid, thread): a forked process has none yet.
        self._listener: tuple[int, threading.Thread] | None = None
        self._lock = threading.Lock()

    @property
    def origin(self) -> str:
        """Identifies this process; a fork has its own."""
        return f"{self._nonce}:{os.getpid()}"

    # --- send

    def publish(self, event: LiveEvent) -> bool:
        """Send to all processes. Returns False if Redis is unreachable. Never raises; during a pause, never waits."""
        if time.monotonic() < self._backoff_until:
            return False
        try:
            self._redis.publish(self.channel, event.to_json(self.origin))
        except redis_client.TROUBLE as error:
            self._backoff_until = time.monotonic() + self._backoff
            self._backoff = min(self._backoff * 2, MAX_BACKOFF_SECONDS)
            log.warning("Redis does not take live events: %s", type(error).__name__)
            return False
        self._backoff = MIN_BACKOFF_SECONDS
        return True

    # --- listen

    def listen(self) -> None:
        """Listen to the other processes, in a thread of this process. Idempotent."""
        with self._lock:
            if self._listener is None or self._listener[0] != os.getpid():
                thread = threading.Thread(target=self._run, name="crm-live-bus", daemon=True)
                self._listener = (os.getpid(), thread)
                thread.start()

    def close(self) -> None:
        """Stop listening to other processes."""
        self._closed.set()

    def _run(self) -> None:
        backoff = MIN_BACKOFF_SECONDS
        while not self._closed.is_set():
            try:
                self._receive()
            except redis_client.TROUBLE as error:
                backoff = MIN_BACKOFF_SECONDS if self.is_up else min(backoff * 2, MAX_BACKOFF_SECONDS)
                if self.is_up:
                    log.warning("Redis brings no live events: %s; this process polls instead", type(error).__name__)
                self.is_up = False
            self._closed.wait(backoff)

    def _receive(self) -> None:
        """Receive until closed. Raises RedisError or OSError if the connection breaks or falls silent."""
        connection = self._listening.pubsub()  # type: ignore[no-untyped-call]
        try:
            connection.subscribe(self.channel)
            received_at = pinged_at = time.monotonic()
            while not self._closed.is_set():
                message, now = connection.get_message(timeout=PING_SECONDS), time.monotonic()
                if message is not None:
                    received_at = now
                    self._on_message(message)
                elif now - received_at > SILENCE_SECONDS:
                    raise OSError("silence")
                if now - pinged_at >= PING_SECONDS:
                    connection.ping()
                    pinged_at = now
        finally:
            with suppress(*redis_client.TROUBLE):
                connection.close()

    def _on_message(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self.is_up, self._backoff_until = True, 0.0
            self._on_event(LiveEvent(compare_all=True))  # events may have been missed until now
        elif message["type"] == "message":
            parsed = parse(message["data"])
            if parsed is not None and parsed[0] != self.origin:
                self._pass_on(parsed[1])

    def _pass_on(self, event: LiveEvent) -> None:
        """Pass on an event from outside; no content may end the listener."""
        try:
            self._on_event(event)
        except Exception:
            log.exception("a live event could not be passed on")
