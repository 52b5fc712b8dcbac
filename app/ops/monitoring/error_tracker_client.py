"""The client of an error tracker with Sentry's protocol: one envelope per event, sent by a thread.

Reporting never waits. Events that the tracker does not accept in time, and surplus ones, are dropped: they are in the
log.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import queue
import re
import ssl
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from app.lib import deadline
from app.lib.deadline import DeadlineWatchdog
from app.lib.product_version import product_version

log = logging.getLogger("crm.tracker")

#: Seconds from the look-up of the tracker to its response.
SECONDS = 5.0
#: The most events waiting to be sent; more are dropped.
MAX_WAITING = 50
#: Seconds without sending after a failure, or if the tracker asks for a pause without a duration.
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 3600.0
#: How long a stopping process waits for unsent events.
FLUSH_SECONDS = 2.0
_DEFAULT_PORTS = {"http": 80, "https": 443}


class TrackerAddress(NamedTuple):
    """The URL of the tracker, and the public key of this installation."""

    scheme: str
    host: str
    port: int
    path: str
    key: str

    @classmethod
    def of(cls, dsn: str) -> Self:
        """The address in a DSN, https://KEY@host/PROJECT. Raises ValueError."""
        parts = urlsplit(dsn)
        folder, _slash, project = parts.path.rstrip("/").rpartition("/")
        if parts.scheme not in _DEFAULT_PORTS or not (parts.hostname and parts.username and project):
            raise ValueError("not a DSN")
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        return cls(parts.scheme, parts.hostname, port, f"{folder}/api/{project}/envelope/", parts.username)


class ErrorTracker:
    """Sends events one after the other, also after a fork."""

    def __init__(self, address: TrackerAddress) -> None:
        self.address = address
        self._process = 0
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue(MAX_WAITING)
        self._silent_until = 0.0

    def send(self, event: dict[str, Any]) -> None:
        """Send an event soon, or drop it."""
        if self._process != os.getpid():  # a thread does not survive a fork, and a lock could stay locked
            self._process, self._waiting = os.getpid(), queue.Queue(MAX_WAITING)
            threading.Thread(target=self._work, args=(self._waiting,), name="crm-tracker", daemon=True).start()
        with suppress(queue.Full):
            self._waiting.put_nowait(event)

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Wait until everything is sent, for at most `seconds`."""
        end = time.monotonic() + seconds
        while self._process == os.getpid() and self._waiting.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.02)

    def _work(self, waiting: queue.Queue[dict[str, Any]]) -> None:
        while True:
            event = waiting.get()
            try:
                if time.monotonic() >= self._silent_until:
                    self._silent_until = time.monotonic() + self._pause_after(event)
            finally:
                waiting.task_done()

    def _pause_after(self, event: dict[str, Any]) -> float:
        """Send an event. Returns the seconds to pause afterwards."""
        try:
            status, wait = post(self.address, envelope(event))
        except (OSError, http.client.HTTPException, ValueError) as error:
            log.warning("the error tracker could not be reached (%s)", type(error).__name__)
            return PAUSE_SECONDS
        if status == 200:
            return 0.0
        log.warning("the error tracker answered %s", status)
        return wait or PAUSE_SECONDS


def envelope(event: Mapping[str, Any]) -> bytes:
    """An event as a request body."""
    item = json.dumps(event).encode()
    head = {"event_id": event["event_id"], "sent_at": datetime.now(UTC).isoformat()}
    kind = {"type": "event", "content_type": "application/json", "length": len(item)}
    return b"\n".join((json.dumps(head).encode(), json.dumps(kind).encode(), item, b""))


def new_event_id() -> str:
    """An event id in the protocol's format."""
    return uuid.uuid4().hex


def post(address: TrackerAddress, body: bytes, seconds: float = SECONDS) -> tuple[int, float]:
    """Send an envelope. Returns the status and the seconds that the tracker asks to wait.

    Raises OSError, HTTPException.
    """
    client = f"eshin-crm/{product_version()}"
    headers = {
        "Content-Type": "application/x-sentry-envelope",
        "User-Agent": client,
        "X-Sentry-Auth": f"Sentry sentry_version=7, sentry_client={client}, sentry_key={address.key}",
        "Connection": "close",
    }
    line = http.client.HTTPConnection(address.host, address.port)
    line.default_port = _DEFAULT_PORTS[address.scheme]
    with DeadlineWatchdog(seconds) as watchdog:
        made = deadline.connect(address.host, address.port, seconds)
        try:
            watchdog.guard(made)
            line.sock = _tls().wrap_socket(made, server_hostname=address.host) if address.scheme == "https" else made
            line.request("POST", address.path, body, headers)
            response = line.getresponse()
            return response.status, _seconds(response.getheader("Retry-After") or "")
        finally:
            line.close()
            made.close()


def _seconds(text: str) -> float:
    return min(float(text), LONGEST_PAUSE_SECONDS) if re.fullmatch("[0-9]{1,9}", text.strip()) else 0.0


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
